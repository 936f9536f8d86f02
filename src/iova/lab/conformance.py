"""Replaying conformance vectors: is an allocator exact, row by row and state by state?

Every sequence of a folder is replayed once for each behaviour of Linux (variant), on a clock of its
own: the delayed jobs that are due run before each row. Every result and every field of every
snapshot is compared. A sequence is left at its first difference, since what comes after one
follows from it. Frees name the row of an allocation, so a variant frees what it handed out itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from iova.errors import InputError
from iova.lab.conformance_files import (
    SIZE_CLASSES,
    SKIPPED,
    VARIANTS,
    Result,
    Sequence,
    State,
    list_sequences,
    read_sequence,
)

#: The design that behaves as a variant does.
DESIGN_OF_VARIANT: Final[Mapping[str, str]] = {
    "A": "linux-6.1",
    "B": "linux-6.12",
    "C": "linux-7.3",
}

Words = npt.NDArray[np.uint64]

_END_OF_MAGAZINE: Final = np.array([2**64 - 1], dtype=np.uint64)


class MemoryUnderTest(Protocol):
    """What a replay needs of :class:`iova._core.Memory`."""

    fail_magazines: int
    fail_ranges: int

    @property
    def magazines(self) -> int: ...  # noqa: D102
    @property
    def ranges(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Implementation:
    """An allocator to be verified.

    Args:
        domain: called as :class:`iova._core.RawDomain` is.
        memory: called as :class:`iova._core.Memory` is.
        fnv1a64: the hash of an array of 64-bit words.
    """

    domain: Callable[..., Any]
    memory: Callable[[], MemoryUnderTest]
    fnv1a64: Callable[[Words], int]


@dataclass(frozen=True)
class Difference:
    """Where a variant first was not exact."""

    variant: str
    row: int  #: from 0, the header not counted
    op: str
    field: str  #: ``result``, or a field of a snapshot such as ``rcache[0].hash``
    expected: object
    got: object

    def __str__(self) -> str:
        """One sentence."""
        where = f"variant {self.variant}, row {self.row}, {self.op}, {self.field}"
        return f"{where}: expected {_shown(self.expected)}, got {_shown(self.got)}"


@dataclass(frozen=True)
class SequenceVerdict:
    """What the replay of one sequence found."""

    name: str
    rows: int  #: it has, calls and snapshots
    dumps: int  #: snapshots of one variant
    exact: bool  #: every answer and every snapshot is the stored one
    first_difference: Difference | None  #: None: it is exact


def core_implementation() -> Implementation:
    """The allocator of this package."""
    from iova import _core

    return Implementation(_core.RawDomain, _core.Memory, _core.fnv1a64)


def verify_folder(
    path: str | PathLike[str],
    *,
    only: Collection[str] | None = None,
    variants: str = VARIANTS,
    factory: Implementation | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[SequenceVerdict]:
    """Replay the sequences of a conformance folder, in the manifest's order.

    Args:
        path: the folder. Without a manifest every ``*.csv.zst`` in it is taken.
        only: names of the sequences wanted; None: all.
        variants: which of A, B and C.
        factory: the allocator; None: the one of this package.
        progress: called with the number of rows replayed since the call before.

    Raises:
        InputError: a file is missing, damaged, or says something that has no meaning; the
            sequences before it have been yielded by then.
        ValueError: ``variants`` is not made of A, B and C.
    """
    if not variants or set(variants) - set(VARIANTS):
        raise ValueError(f"variants: want letters of {VARIANTS}, not {variants!r}")
    folder = Path(path)
    listed = list_sequences(folder)
    unknown = sorted(set(only or ()) - {files.name for files in listed})
    if unknown:
        known = ", ".join(files.name for files in listed)
        raise InputError(str(folder), f"has no sequence {unknown[0]}.", hint=f"It has {known}.")
    implementation = core_implementation() if factory is None else factory
    for files in listed:
        if only is None or files.name in only:
            sequence = read_sequence(files, variants)
            yield verify_sequence(sequence, variants, implementation, progress)


def verify_sequence(
    sequence: Sequence,
    variants: str,
    implementation: Implementation,
    progress: Callable[[int], None] | None = None,
) -> SequenceVerdict:
    """Replay one sequence in some variants, up to the first difference."""
    difference: Difference | None = None
    for variant in variants:
        difference = _Replay(sequence, variant, implementation).run()
        if progress is not None:
            progress(sequence.rows)
        if difference is not None:
            break
    dumps = sequence.op.count("DS")
    return SequenceVerdict(sequence.name, sequence.rows, dumps, difference is None, difference)


# ---- the replay ---------------------------------------------------------------------------------


class _StateDiffersError(Exception):
    """A snapshot is not as expected: its field, what was expected, what is there."""


class _Replay:
    """One sequence in one variant. Every operation has a method that gives its result."""

    def __init__(self, sequence: Sequence, variant: str, implementation: Implementation) -> None:
        self._sequence = sequence
        self._variant = variant
        self._make_domain = implementation.domain
        self._fnv1a64 = implementation.fnv1a64
        self._memory = implementation.memory()
        self._domain: Any = None
        self._now = 0  # ns
        self._pfn_of_row = [-1] * sequence.rows  # what the row allocated and nobody freed yet
        self._states = iter(sequence.states[variant])
        self._warnings_before = 0  # of the domains torn down
        self._reclaims_before = 0
        self._operations: dict[str, Callable[..., Result]] = {
            "IN": self._create,
            "IR": self._make_caches,
            "PD": self._destroy,
            "AF": self._alloc,
            "AC": self._alloc_if_previous_failed,
            "AR": self._alloc_raw,
            "FF": self._free_row,
            "FR": self._free_row_raw,
            "FX": self._free,
            "FP": self._free_raw,
            "FN": self._find,
            "RS": self._reserve,
            "CD": self._cpu_offline,
            "CU": self._cpu_online,
            "TK": self._tick,
            "XM": self._fail_magazines,
            "XI": self._fail_ranges,
            "DS": self._compare_state,
        }

    def run(self) -> Difference | None:
        """The first difference, or None."""
        sequence = self._sequence
        expected = sequence.results[self._variant]
        methods = map(self._operations.__getitem__, sequence.op)
        rows = zip(methods, sequence.t_ns, sequence.cpu, *sequence.arguments, expected, strict=True)
        for row, (method, t_ns, cpu, a, b, c, d, want) in enumerate(rows):
            try:
                if t_ns != self._now:
                    self._now = t_ns
                    if self._domain is not None:
                        self._domain.run_due(t_ns)
                got = method(row, cpu, a, b, c, d)
            except _StateDiffersError as difference:
                return Difference(self._variant, row, sequence.op[row], *difference.args)
            except (ValueError, OverflowError, MemoryError) as error:
                # The row was checked to have a meaning, so the allocator should have taken it.
                got = f"{type(error).__name__}: {error}"
            if got != want:
                return Difference(self._variant, row, sequence.op[row], "result", want, got)
        return None

    # Each method takes a row's number, CPU and arguments a to d; unused arguments are 0.

    def _create(self, _row: int, _cpu: int, a: int, b: int, c: int, d: int) -> Result:
        self._domain = self._make_domain(
            granule=a,
            start=b,
            possible=c,
            online=d,
            design=DESIGN_OF_VARIANT[self._variant],
            memory=self._memory,
        )
        return int(self._domain.d32)

    def _make_caches(self, *_: int) -> Result:
        self._domain.make_caches()
        return 0

    def _destroy(self, *_: int) -> Result:
        self._warnings_before += self._domain.warnings
        self._reclaims_before += self._domain.reclaim_runs
        self._domain.destroy()
        self._domain = None
        return self._memory.magazines, self._memory.ranges

    def _alloc(self, row: int, cpu: int, a: int, b: int, c: int, _d: int) -> Result:
        pfn: int = self._domain.alloc(cpu, a, b, c != 0, self._now)
        if pfn:
            self._pfn_of_row[row] = pfn
        return pfn

    def _alloc_if_previous_failed(
        self, row: int, cpu: int, a: int, b: int, c: int, d: int
    ) -> Result:
        if self._sequence.op[row - 1] != "AF" or self._pfn_of_row[row - 1] != -1:
            return SKIPPED
        return self._alloc(row, cpu, a, b, c, d)

    def _alloc_raw(self, row: int, _cpu: int, a: int, b: int, c: int, _d: int) -> Result:
        pfn: int = self._domain.alloc_raw(a, b, c != 0)
        self._pfn_of_row[row] = pfn
        return pfn

    def _free_row(self, _row: int, cpu: int, a: int, *_: int) -> Result:
        pfn = self._pfn_of_row[a]
        if pfn == -1:
            return SKIPPED
        self._pfn_of_row[a] = -1
        self._domain.free(cpu, pfn, self._sequence.arguments[0][a], self._now)
        return pfn

    def _free_row_raw(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        pfn = self._pfn_of_row[a]
        if pfn == -1:
            return SKIPPED
        self._pfn_of_row[a] = -1
        self._domain.free_raw(pfn)
        return pfn

    def _free(self, _row: int, cpu: int, a: int, b: int, *_: int) -> Result:
        self._domain.free(cpu, a, b, self._now)
        return 0

    def _free_raw(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        self._domain.free_raw(a)
        return 0

    def _find(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        found: tuple[int, int] | None = self._domain.find(a)
        return -1 if found is None else found

    def _reserve(self, _row: int, _cpu: int, a: int, b: int, *_: int) -> Result:
        held: tuple[int, int] | None = self._domain.reserve(a, b)
        return -1 if held is None else held

    def _cpu_offline(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        return int(self._domain.cpu_offline(a))

    def _cpu_online(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        return int(self._domain.cpu_online(a))

    def _tick(self, *_: int) -> Result:
        return self._reclaims()

    def _fail_magazines(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        self._memory.fail_magazines = a
        return 0

    def _fail_ranges(self, _row: int, _cpu: int, a: int, *_: int) -> Result:
        self._memory.fail_ranges = a
        return 0

    def _reclaims(self) -> int:
        return self._reclaims_before + (0 if self._domain is None else self._domain.reclaim_runs)

    # ---- snapshots ----

    def _compare_state(self, row: int, *_: int) -> Result:
        expected = _flat(next(self._states))
        got = _flat(self._state(row))
        for field, want in expected.items():
            if field not in got or got[field] != want:
                raise _StateDiffersError(field, want, got.get(field))
        return 0

    def _state(self, row: int) -> State:
        domain = self._domain
        ranges: Words = domain.ranges()
        near, near32, give_up = domain.search_starts
        # Wraps like everything else, as the sum of all of 64 bits would.
        pages = int((ranges[:, 1] - ranges[:, 0]).sum(dtype=np.uint64)) + len(ranges)
        return {
            "op": row,
            "t": self._now // 1000,
            "var": self._variant,
            "online": domain.online,
            "ranges": len(ranges),
            "pages": pages % 2**64,
            "ranges_hash": self._hash(ranges.reshape(-1)),
            "cached": near,
            "cached32": near32,
            "max32": give_up,
            "mags": self._memory.magazines,
            "warns": self._warnings_before + domain.warnings,
            "works_run": self._reclaims(),
            "rcache": [self._rcache(k) for k in range(SIZE_CLASSES)] if domain.has_caches else None,
        }

    def _rcache(self, size_class: int) -> State:
        domain = self._domain
        fresh = -1 if self._variant == "C" else 0
        cpus: list[list[int]] = []
        words: list[Words] = []
        for cpu in range(domain.possible):
            lengths = []
            for previous in (False, True):
                entries: Words | None = domain.magazine(cpu, size_class, previous)
                lengths.append(-1 if entries is None else len(entries))
                words += ([] if entries is None else [entries]) + [_END_OF_MAGAZINE]
            if lengths != [fresh, fresh]:
                cpus.append([cpu, *lengths])
        depot: list[Words] = domain.depot(size_class)
        state: State = {
            "depot": len(depot),
            "cpus": cpus,
            "cached_pfns": sum(map(len, words)) - 2 * domain.possible + sum(map(len, depot)),
            "hash": self._hash(np.concatenate([*words, *depot])),
        }
        if self._variant != "A":
            due: int | None = domain.due(size_class)
            us, rest_ns = divmod(due or 0, 1000)
            state["due"] = None if due is None else f"{due} ns" if rest_ns else us
        return state

    def _hash(self, words: Words) -> str:
        return f"{self._fnv1a64(np.ascontiguousarray(words)):016x}"


def _flat(state: State) -> State:
    """A snapshot as a flat table, the fields of ``rcache`` named as in ``rcache[0].hash``."""
    flat = {field: value for field, value in state.items() if field != "rcache"}
    flat["rcache"] = None if state["rcache"] is None else len(state["rcache"])
    for size_class, entry in enumerate(state["rcache"] or ()):
        flat.update({f"rcache[{size_class}].{field}": value for field, value in entry.items()})
    return flat


def _shown(value: object) -> str:
    """A value as the vectors write it."""
    if isinstance(value, tuple):
        return ":".join(map(str, value))
    return "null" if value is None else str(value)
