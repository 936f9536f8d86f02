"""How densely a design packs what is mapped: pages of the IOMMU's page tables, over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iova.designs import parse_design
from iova.events import Op
from iova.lab.prices import load_prices
from iova.workloads import load_workload
from iova.workloads.running import start

#: Entries of a page of a page table: it maps 2 MiB of 4 KiB pages.
ENTRIES: Final = 512
#: Page frames of which the core tells which are taken: those below 4 GiB.
_FRAMES: Final = 1 << 20
_SAMPLES: Final = 40
_PIECE_ROWS: Final = 1 << 19
_COLUMNS: Final = ("seq", "t", "t_end", "op", "pfn", "size")

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Tables:
    """Pages of page tables: with 512 entries each. Means are those of the second half."""

    needed: float  #: live pages / 512: were all packed
    mapped: float  #: with a live range in them
    mapped_peak: float
    taken: float | None  #: with a live, cached or queued range; None: some lie above 4 GiB
    touched: float  #: that ever had a live range
    cached_percent: float  #: allocations that magazines served


@dataclass(frozen=True)
class Mapped:
    """A preset of one domain under a design."""

    preset: str
    design: str
    settings: tuple[str, ...] = ()

    def do(self) -> Tables:
        """Simulate it, and follow every range from its allocation to its unmapping."""
        workload = load_workload(self.preset, self.settings)
        if sum(group.count for group in workload.domains) != 1:
            raise ValueError(f"{self.preset} has several domains, each with tables of its own")
        duration_ns = round(workload.duration_s * 1e9)
        running = start(
            workload,
            parse_design(self.design),
            load_prices().as_dict(),
            sample_ns=max(1, duration_ns // _SAMPLES),
            max_samples=2 * _SAMPLES + 16,
            map_bins=_FRAMES // ENTRIES,
            map_first=0,
            map_last=_FRAMES - 1,
        )
        pieces, done = [], False
        while not done:
            piece, done = running.run_events(_PIECE_ROWS)
            pieces.append({name: piece[name] for name in _COLUMNS})
        events = {name: np.concatenate([one[name] for one in pieces]) for name in _COLUMNS}
        counters = [running.machine.counters(k) for k in range(workload.machine.classes)]
        hits = sum(one[f"hits_{where}"] for one in counters for where in _HITS)
        allocations = running.machine.replay_totals()["allocations"]
        return _tables(
            _changes(events), duration_ns, running.machine.maps(), 100 * hits / allocations
        )


_HITS: Final = ("loaded", "previous", "depot")


@dataclass(frozen=True)
class _Changes:
    """Ranges that were mapped or unmapped, in the order of time."""

    t: Column  #: ns
    table: Column  #: page of the page table; no range reaches into a second one
    pages: Column  #: more that are live; below 0: fewer


def _changes(events: dict[str, Column]) -> _Changes:
    op, pfn = events["op"], events["pfn"]
    mapped = (op == int(Op.ALLOC)) & (pfn != 0)
    lazy = op == int(Op.UNMAP)
    # Where a flush queue holds frees back the driver unmapped the range before.
    unmapped = lazy if lazy.any() else (op == int(Op.FREE)) & (pfn != 0)
    pages = _pages_of(events, mapped, unmapped)
    t = np.concatenate([events["t_end"][mapped], events["t"][unmapped]])
    order = np.argsort(t, kind="stable")
    table = np.concatenate([pfn[mapped], pfn[unmapped]]) // ENTRIES
    return _Changes(t[order], table[order], pages[order])


def _pages_of(events: dict[str, Column], mapped: Column, unmapped: Column) -> Column:
    """Pages of each change: an unmapping takes those of the last mapping of its address."""
    seq, pfn = events["seq"], events["pfn"]
    chosen = np.concatenate([np.flatnonzero(mapped), np.flatnonzero(unmapped)])
    is_mapped = np.arange(len(chosen)) < np.count_nonzero(mapped)
    sizes = np.where(is_mapped, events["size"][chosen].astype(np.int64), 0)
    order = np.lexsort((seq[chosen], pfn[chosen]))
    # In the order of an address's history each unmapping follows its mapping.
    before = np.concatenate([[0], sizes[order][:-1]])
    pages = np.empty_like(sizes)
    pages[order] = np.where(is_mapped[order], sizes[order], -before)
    return pages


def _tables(
    changes: _Changes, end_ns: int, maps: npt.NDArray[np.uint32] | None, cached_percent: float
) -> Tables:
    by_table = np.lexsort((np.arange(len(changes.t)), changes.table))
    table = changes.table[by_table]
    live = np.cumsum(np.sign(changes.pages[by_table]))
    starts = np.concatenate([[True], table[1:] != table[:-1]])
    # All ranges of the tables before: what this table's own count starts from.
    first = np.concatenate([[0], live[:-1]])[starts]
    live -= np.repeat(first, np.diff(np.append(np.flatnonzero(starts), len(table))))
    was = np.where(starts, 0, np.concatenate([[0], live[:-1]]))
    change = np.empty(len(live), dtype=np.int64)
    change[by_table] = (live > 0).astype(np.int64) - (was > 0)
    in_use = np.cumsum(change)
    return Tables(
        needed=_late_mean(changes.t, np.cumsum(changes.pages), end_ns) / ENTRIES,
        mapped=_late_mean(changes.t, in_use, end_ns),
        mapped_peak=float(in_use.max()),
        taken=_taken(maps) if changes.table.max() < _FRAMES // ENTRIES else None,
        touched=float(np.count_nonzero(starts)),
        cached_percent=cached_percent,
    )


def _late_mean(t: Column, level: Column, end_ns: int) -> float:
    """Of a level that holds until the next change, over the second half of the time."""
    edges = np.clip(np.append(t, end_ns), end_ns // 2, end_ns)
    return float(np.sum(level * np.diff(edges)) / (end_ns - end_ns // 2))


def _taken(maps: npt.NDArray[np.uint32] | None) -> float:
    """Tables of which something is taken, but for what is reserved from the beginning."""
    if maps is None:
        raise ValueError("the run has no occupancy map")
    allocated = maps[:, 0]
    return float(np.mean((allocated > allocated[0])[len(allocated) // 2 :].sum(axis=1)))
