"""Carries merged steps out on the allocator itself.

Nothing recorded flows in but what callers passed: a free gives back what the replay's own
allocation got, and a magazine is emptied with what is in it. What the recorded system returned is
only compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import polars as pl

from iova._core import RawDomain
from iova.events import Flag
from iova.lab.merge import (
    ALLOC,
    ALLOC_TREE,
    DRAIN_CPU,
    DRAIN_TAKEN,
    FREE,
    FREE_TREE,
    LOOK,
    RESERVE_RANGE,
    TAKE,
    Steps,
)
from iova.lab.points import FOREVER, Drain, Problem

_NONE: Final = 0  # what a failed allocation returns
_CALLS: Final = frozenset((ALLOC, LOOK, ALLOC_TREE, FREE))


@dataclass(frozen=True)
class Calls:
    """Columns of the whole event table, by row; times in ns."""

    t: list[int]
    t_end: list[int]  #: FOREVER where the return was not recorded
    cpu: list[int]
    size: list[int]  #: pages, 0 where there is none
    rounded: list[int]  #: to a power of two below 32 pages
    limit: list[int]
    pfn: list[int]  #: 0 where there is none
    last: list[int]
    flags: list[int]
    alloc_of: dict[int, int]  #: row of the allocation that a free gives back


def calls_of(events: pl.DataFrame, rows: pl.DataFrame) -> Calls:
    """Take the columns of an event table; ``rows`` is what ``prepared`` made of it."""
    rounded = (
        events.select("t")
        .with_row_index("row")
        .join(rows.select("row", "rounded"), on="row", how="left", maintain_order="left")
    )
    numbers = {
        name: events[name].fill_null(0).to_list()
        for name in ("size", "limit", "pfn", "last", "flags")
    }
    tied = rows.filter(pl.col("alloc_row").is_not_null())
    return Calls(
        t=events["t"].to_list(),
        t_end=events["t_end"].fill_null(FOREVER).to_list(),
        cpu=events["cpu"].to_list(),
        rounded=rounded["rounded"].fill_null(0).to_list(),
        alloc_of=dict(zip(tied["row"].to_list(), tied["alloc_row"].to_list(), strict=True)),
        **numbers,
    )


class Replay:
    """One domain's replay.

    Attributes:
        got: the page frame each allocation got, by row; 0 = it failed.
        problems: magazines and steps that are not as recorded.
    """

    def __init__(
        self,
        domain: int,
        allocator: RawDomain,
        calls: Calls,
        drains: list[Drain],
        *,
        reclaims: bool,
    ) -> None:
        self.got: dict[int, int] = {}
        self.problems: list[Problem] = []
        self._domain = domain
        self._allocator = allocator
        self._calls = calls
        self._drains = drains
        self._reclaims = reclaims
        self._taken: dict[int, int] = {}  # drain: token of its magazine

    def run(self, steps: Steps) -> None:
        """Carry out all steps."""
        alloc, free = self._allocator.alloc, self._allocator.free
        size, limit, got, alloc_of = (
            self._calls.size,
            self._calls.limit,
            self.got,
            self._calls.alloc_of,
        )
        others = {
            LOOK: self._look,
            ALLOC_TREE: self._alloc_tree,
            FREE_TREE: self._free_tree,
            TAKE: self._take,
            DRAIN_TAKEN: self._drain_taken,
            DRAIN_CPU: self._drain_cpu,
            RESERVE_RANGE: self._reserve,
        }
        for place, (what, row, cpu) in enumerate(
            zip(steps.what, steps.row, steps.cpu, strict=True)
        ):
            if what == ALLOC:
                got[row] = alloc(cpu, size[row], limit[row], False, 0)
            elif what == FREE:
                pfn = got.get(alloc_of[row], _NONE)
                if pfn:
                    free(cpu, pfn, size[row], 0)
            else:
                others[what](row, cpu, steps.drain[place])
        self._check_moments(steps)

    def _look(self, row: int, cpu: int, _drain: int) -> None:
        size_class = (self._calls.rounded[row] - 1).bit_length()
        for previous in (False, True):
            magazine = self._allocator.magazine(cpu, size_class, previous)
            if magazine is not None and len(magazine):
                self._problem(row, "nothing cached", f"a magazine of {len(magazine)}")
        if self._allocator.depot(size_class):
            self._problem(row, "nothing cached", "a magazine in the depot")

    def _alloc_tree(self, row: int, _cpu: int, _drain: int) -> None:
        calls = self._calls
        raw = calls.flags[row] & Flag.RAW
        pages = calls.size[row] if raw else calls.rounded[row]
        align = not raw or bool(calls.flags[row] & Flag.ALIGN)
        self.got[row] = max(self._allocator.alloc_raw(pages, calls.limit[row], align), _NONE)

    def _free_tree(self, row: int, _cpu: int, _drain: int) -> None:
        pfn = self.got.get(self._calls.alloc_of.get(row, -1), _NONE)
        if pfn:
            self._allocator.free_raw(pfn)

    def _reserve(self, row: int, _cpu: int, _drain: int) -> None:
        self._allocator.reserve(self._calls.pfn[row], self._calls.last[row])

    def _take(self, row: int, _cpu: int, drain: int) -> None:
        recorded = self._drains[drain]
        depot = self._allocator.depot(recorded.size_class) if self._reclaims else []
        self._compare(row, recorded, depot[0].tolist() if depot else None)
        if depot:
            self._taken[drain] = self._allocator.reclaim_take(recorded.size_class)

    def _drain_taken(self, _row: int, _cpu: int, drain: int) -> None:
        token = self._taken.pop(drain, None)
        if token is not None:
            self._allocator.reclaim_drain(token)

    def _drain_cpu(self, row: int, cpu: int, drain: int) -> None:
        recorded = self._drains[drain]
        previous = recorded.previous
        if previous is None:
            loaded = self._allocator.magazine(cpu, recorded.size_class, False)
            previous = loaded is None or not len(loaded)
        magazine = self._allocator.magazine(cpu, recorded.size_class, previous)
        self._compare(row, recorded, [] if magazine is None else magazine.tolist())
        if magazine is not None:
            self._allocator.cpu_drain(cpu, recorded.size_class, previous)

    def _compare(self, row: int, recorded: Drain, magazine: list[int] | None) -> None:
        if magazine is None:
            self._problem(
                row, f"a magazine of {recorded.entries} leaves the depot", "none is there"
            )
        elif magazine != recorded.pfns:
            same = (a == b for a, b in zip(magazine, recorded.pfns, strict=False))
            place = sum(takewhile(bool, same))
            self._problem(
                row,
                f"{_entry(recorded.pfns, place)} as entry {place} of a magazine",
                _entry(magazine, place),
            )

    def _check_moments(self, steps: Steps) -> None:
        """Make sure, from the event table alone, that no step left its call."""
        earliest = [self._calls.t[row] for row in steps.row]
        latest = [self._calls.t_end[row] for row in steps.row]
        for place, what in enumerate(steps.what):
            if what in _CALLS and (what != FREE or steps.drain[place] < 0):
                continue
            latest[place] = FOREVER  # what was seen inside may come after a call's last event
            if what == TAKE:
                earliest[place] = self._drains[steps.drain[place]].reclaim_t or 0
                latest[place] = self._calls.t[steps.row[place]]
            elif what in (DRAIN_TAKEN, DRAIN_CPU):
                latest[place] = self._drains[steps.drain[place]].last_removal
        before = 0
        for place, (low, at, high) in enumerate(zip(earliest, steps.at, latest, strict=True)):
            if not low <= at <= high or at < before:
                self._problem(steps.row[place], f"a moment from {low} to {high} ns", f"{at} ns")
            before = at

    def _problem(self, row: int, expected: str, got: str) -> None:
        cpu, t = self._calls.cpu[row], self._calls.t[row]
        self.problems.append(Problem(row, self._domain, cpu, t, expected, got))


def name_of(pfn: int) -> str:
    """Name a result in words; 0 is a failed allocation's."""
    return f"{pfn:#x}" if pfn else "no range"


def _entry(magazine: list[int], place: int) -> str:
    return f"{magazine[place]:#x}" if place < len(magazine) else "its end"
