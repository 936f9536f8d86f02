"""Tables beside a time series: the fill of each CPU's magazines, the address space, handovers.

They are what heat maps are drawn of, and bounded: many CPUs are grouped with their neighbours,
and tables go with every so many-th sample only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.events import NO_SLOT, Op

#: Rows of a table of CPUs at most.
MOST_CPU_ROWS: Final = 384
#: Tables of a run at most, about.
MOST_TABLES: Final = 300
#: Stretches into which the window of the address space is cut; what is not used is cut off.
MAP_BINS: Final = 4096


@dataclass(frozen=True)
class Reservation:
    """Page frames that are kept out of a domain, from a time on (ns) until another."""

    since: int
    until: int
    first: int
    last: int


@dataclass(frozen=True)
class TablePlan:
    """Which tables a run makes; by default none."""

    every: int = 0  #: they go with every so many-th sample
    window: tuple[int, int] = (0, 0)  #: page frames, inclusive, that maps show
    reserved: tuple[Reservation, ...] = ()

    @staticmethod
    def of(
        samples: int, window: tuple[int, int], reserved: tuple[Reservation, ...] = ()
    ) -> TablePlan:
        """Tables of a run of so many samples."""
        return TablePlan(-(-samples // MOST_TABLES), window, reserved)

    @property
    def bin_pages(self) -> int:
        """Page frames in a stretch of the map."""
        return (self.window[1] - self.window[0]) // MAP_BINS + 1

    def core_options(self) -> dict[str, Any]:
        """Options of ``_core.Replay`` and ``_core.Machine``."""
        if not self.every:
            return {}
        return {
            "table_every": self.every,
            "sample_cpus": True,
            "cpu_rows": MOST_CPU_ROWS,
            "map_bins": MAP_BINS,
            "map_first": self.window[0],
            "map_last": self.window[1],
        }


@dataclass(frozen=True)
class SampleTables:
    """The tables of a run. CPU c is in row ``c * rows // cpus``."""

    t: npt.NDArray[np.int64]  #: (tables,): ns, of their samples
    cpus: int  #: possible
    cpu_pages: npt.NDArray[np.uint32]  #: (tables, rows): pages in the magazines of a row's CPUs
    #: (tables, bins) pages, the lowest addresses first; the tree's but for reserved ones, and
    #: those of them cached.
    allocated: npt.NDArray[np.uint32]
    cached: npt.NDArray[np.uint32]
    map_first: int  #: page frame at which the first bin begins
    bin_pages: int
    #: (rows, rows): frees by the row of the CPU that had allocated, and of the one that frees;
    #: of a simulated machine.
    handovers: npt.NDArray[np.uint64] | None


def sample_tables(
    core: _core.Replay | _core.Machine, plan: TablePlan, series: pl.DataFrame | None
) -> SampleTables | None:
    """The tables of a run that has ended; None if it made none."""
    cpu_pages, maps = core.cpu_pages(), core.maps()
    if cpu_pages is None or maps is None or series is None:
        return None
    t = series["t"].to_numpy()[:: plan.every]
    maps[:, 0] -= np.minimum(maps[:, 0], _reserved(t, plan))
    used = np.flatnonzero(maps.any(axis=(0, 1)))
    first, last = (int(used[0]), int(used[-1])) if len(used) else (MAP_BINS - 1, MAP_BINS - 1)
    return SampleTables(
        t=t,
        cpus=core.possible,
        cpu_pages=cpu_pages,
        allocated=maps[:, 0, first : last + 1].copy(),
        cached=maps[:, 1, first : last + 1].copy(),
        map_first=plan.window[0] + first * plan.bin_pages,
        bin_pages=plan.bin_pages,
        handovers=core.handovers() if isinstance(core, _core.Machine) else None,
    )


def _reserved(t: npt.NDArray[np.int64], plan: TablePlan) -> npt.NDArray[np.uint32]:
    """(tables, bins): pages that are reserved at the times of the tables."""
    changes = np.zeros((len(t) + 1, MAP_BINS), dtype=np.int64)
    starts = plan.window[0] + np.arange(MAP_BINS, dtype=np.int64) * plan.bin_pages
    for one in plan.reserved:
        first, last = max(one.first, plan.window[0]), min(one.last, plan.window[1])
        if first > last:
            continue
        low, high = ((v - plan.window[0]) // plan.bin_pages for v in (first, last))
        some = starts[low : high + 1]
        pages = np.minimum(some + plan.bin_pages - 1, last) - np.maximum(some, first) + 1
        # A sample tells the state before its time.
        changes[np.searchsorted(t, one.since, side="right"), low : high + 1] += pages
        changes[np.searchsorted(t, one.until, side="right"), low : high + 1] -= pages
    return np.minimum(np.cumsum(changes, axis=0)[:-1], 0xFFFF_FFFF).astype(np.uint32)


def reservations_of(columns: dict[str, npt.NDArray[Any]]) -> tuple[Reservation, ...]:
    """The ranges that a trace reserves, each until its domain is destroyed."""
    op = columns["op"]
    forever = np.iinfo(np.int64).max
    rows = np.flatnonzero((op == int(Op.RESERVE)) | (op == int(Op.DESTROY)))
    open_ranges: dict[int, list[tuple[int, int, int]]] = {}
    found: list[Reservation] = []
    for row in rows.tolist():
        t, domain = int(columns["t"][row]), int(columns["domain"][row])
        if op[row] == int(Op.RESERVE):
            one = (t, int(columns["pfn"][row]), int(columns["last"][row]))
            open_ranges.setdefault(domain, []).append(one)
        else:
            found += [Reservation(a, t, *ends) for a, *ends in open_ranges.pop(domain, [])]
    for ranges in open_ranges.values():
        found += [Reservation(a, forever, *ends) for a, *ends in ranges]
    return tuple(found)


def handovers_of(
    columns: dict[str, npt.NDArray[Any]], cpus: int, rows: int
) -> npt.NDArray[np.uint64]:
    """Which CPU frees what which CPU allocated, in a recorded trace.

    Args:
        columns: ``op``, ``cpu`` and ``slot`` of calls in the order of time.
        cpus: possible.
        rows: groups into which neighbouring CPUs fall.

    Returns:
        (rows, rows): frees by the row of the CPU that allocated and the row of the one that frees.
    """
    op, slot = columns["op"], columns["slot"]
    chosen = np.flatnonzero(((op == int(Op.ALLOC)) | (op == int(Op.FREE))) & (slot != NO_SLOT))
    # A slot's calls below each other, in the order of time: a free follows its allocation.
    chosen = chosen[np.argsort(slot[chosen], kind="stable")]
    before, after = chosen[:-1], chosen[1:]
    pairs = (
        (slot[before] == slot[after]) & (op[before] == int(Op.ALLOC)) & (op[after] == int(Op.FREE))
    )
    row = columns["cpu"].astype(np.int64) * rows // cpus
    cells = row[before[pairs]] * rows + row[after[pairs]]
    return np.bincount(cells, minlength=rows * rows).reshape(rows, rows).astype(np.uint64)
