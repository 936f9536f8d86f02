"""CPU lists: ``all``, ``all/16``, ``0-255``, ``0-240/16``, ``0,3,7-9``; as text, in order."""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from iova.workloads.checks import shown

MAX_CPUS: Final = 4096

_PIECE: Final = re.compile(
    r"(?:(?P<all>all)|(?P<first>[0-9]{1,6})(?:-(?P<last>[0-9]{1,6}))?)(?:/(?P<step>[0-9]{1,6}))?"
)


class CpuListError(ValueError):
    """A CPU list that can not be read, or names a CPU that is not there."""


def parse_cpus(text: str, cpus: int) -> tuple[int, ...]:
    """The CPUs a list names, in its order; one named twice is there twice.

    Args:
        text: ``all``, or numbers and ranges separated by commas; ``/N`` after a range takes
            every N-th CPU of it.
        cpus: CPUs there are; what ``all`` stands for.

    Raises:
        CpuListError: its text says what is wrong.
    """
    found: list[int] = []
    for piece in text.split(","):
        named = _piece(piece.strip(), cpus)
        if named and max(named[0], named[-1]) >= cpus:
            raise CpuListError(f"names CPU {named[-1]}, but there are {cpus} (0 to {cpus - 1}).")
        found.extend(islice(named, MAX_CPUS + 1))
        if len(found) > MAX_CPUS:
            raise CpuListError(f"names more than {MAX_CPUS} CPUs.")
    return tuple(found)


def _piece(piece: str, cpus: int) -> range:
    match = _PIECE.fullmatch(piece)
    if match is None:
        raise CpuListError(
            f'{shown(piece)} is no CPU list; write "all", "0-255", "0-240/16" or "0,3,7-9".'
        )
    step = int(match["step"] or 1)
    if step == 0:
        raise CpuListError(f"{shown(piece)} takes every 0-th CPU; the step is at least 1.")
    if match["all"]:
        return range(0, cpus, step)
    first = int(match["first"])
    last = int(match["last"] or first)
    if last < first:
        raise CpuListError(f"{shown(piece)} ends before it starts.")
    return range(first, last + 1, step)
