"""A trace, or what a workload calls, played back at a chosen speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.designs import DesignSpec
from iova.errors import IovaError
from iova.events import Op, Trace
from iova.lab.replay import CHUNK_ROWS, ReplayInput, UnreplayableError, named_as, prepare
from iova.policy_errors import blamed_on_policy
from iova.top.look import BEYOND, About, Cell, Key, Look
from iova.top.tally import Tally, tallied


def tells_inside(trace: Trace) -> bool:
    """Whether a trace says what the caches of the recorded kernel did."""
    return bool((trace.events["op"] == int(Op.TREE_ALLOC)).any())


def domain_names(trace: Trace) -> dict[int, str]:
    """A name for each domain: its device, if that is the only domain it has; else its number."""
    devices = [domain.device for domain in trace.info.domains]
    return {
        d.domain: d.device if d.device and devices.count(d.device) == 1 else str(d.domain)
        for d in trace.info.domains
    }


class _Clock:
    """Where in a trace we are: its time counts from its first event, as everywhere else.

    What is shown starts with its first allocation or free.
    """

    def __init__(self, times: pl.Series, trace: Trace) -> None:
        self._times = times
        calls = trace.events["t"].filter(trace.events["op"].is_in([int(Op.ALLOC), int(Op.FREE)]))
        self._zero = int(trace.events["t"][0]) if len(calls) else 0
        self._now: float = int(calls[0]) if len(calls) else 0
        self._last = int(calls[-1]) if len(calls) else 0
        self._row = 0
        self._over = False

    @property
    def now_ns(self) -> int:
        """The trace's time."""
        return round(self._now)

    def advance(self, seconds: float) -> tuple[int, int, float] | None:
        """Go on; the rows that passed, and seconds since its first event. None: it was over."""
        if self._over:
            return None
        first = self._row
        self._now = min(self._now + seconds * 1e9, self._last)
        self._over = self._now >= self._last
        self._row = (
            len(self._times)
            if self._over
            else int(self._times.search_sorted(int(self._now), side="right"))
        )
        return first, self._row, (self._now - self._zero) / 1e9


class Recorded:
    """What a trace recorded of its kernel's caches."""

    def __init__(self, name: str, trace: Trace, speed: float) -> None:
        self.about = About(name, _what(trace), trace.info.notes)
        self.speed: float | None = speed
        self._rows = tallied(trace.events)
        self._clock = _Clock(self._rows["t"], trace)
        granules = {d.domain: d.granule for d in trace.info.domains}
        self._tally = Tally(domain_names(trace), granules, sees_tree=True)
        self._trace = trace

    def look(self, elapsed_s: float) -> Look | None:
        """See :class:`iova.top.look.Watched`."""
        passed = self._clock.advance(elapsed_s * (self.speed or 1))
        if passed is None:
            return None
        first, end, t_s = passed
        self._tally.add(self._rows[first:end])
        info = self._trace.info
        return Look(t_s, self._tally.cells(), cpus=info.cpus_online, lost=info.lost_events)

    def close(self) -> None:
        """Nothing to let go of."""


class Replayed:
    """What a design does with a trace's calls, each domain for itself.

    Raises:
        IovaError: the trace has no calls.
    """

    def __init__(
        self, name: str, trace: Trace, design: DesignSpec, speed: float, classes: int = 6
    ) -> None:
        self.about = About(name, f"replayed under {design.label}", trace.info.notes)
        self.speed: float | None = speed
        calls = trace.events.filter(pl.col("op").is_in(_CALLS) & pl.col("domain").is_not_null())
        self._clock = _Clock(calls["t"], trace)
        self._lost = trace.info.lost_events
        names = domain_names(trace)
        self._domains = [
            _DomainReplay(names.get(number, str(number)), prepare(trace, domain=number), design,
                          classes)
            for number in sorted(calls["domain"].unique().to_list())
        ]  # fmt: skip
        if not self._domains:
            raise IovaError(f"{name}: the trace has no calls to replay")

    def look(self, elapsed_s: float) -> Look | None:
        """See :class:`iova.top.look.Watched`."""
        passed = self._clock.advance(elapsed_s * (self.speed or 1))
        if passed is None:
            return None
        cells: dict[Key, Cell] = {}
        for domain in self._domains:
            with named_as(self.about.name):
                domain.go_on(self._clock.now_ns)
            cells |= domain.cells()
        source = self._domains[0].source
        return Look(
            passed[2],
            cells,
            memory_bytes=sum(domain.linux_bytes() for domain in self._domains),
            cpus=source.online,
            lost=self._lost,
        )

    def close(self) -> None:
        """Nothing to let go of."""


_CALLS = [int(op) for op in Op if op < Op.TREE_ALLOC]


class _DomainReplay:
    """One domain's calls, under a design."""

    def __init__(self, name: str, source: ReplayInput, design: DesignSpec, classes: int) -> None:
        made = [design.make() for _ in source.domains]
        self.source = source
        self._granule = source.domains[-1].granule
        self._name = name
        self._design = design
        mechanism = made[0].mechanism(source.possible, classes)
        self._classes, self._capacity = mechanism["classes"], mechanism["magazine"]
        self._core = _core.Replay(
            made,
            [(d.granule, d.start) for d in source.domains],
            possible=source.possible,
            online=source.online,
            classes=self._classes,
        )
        self._row = 0
        self._free_orders = _orders_of_frees(source, self._classes)
        self._freed = np.zeros(self._classes + 1, dtype=np.int64)

    def go_on(self, now_ns: int) -> None:
        """Execute what was called until then, and what was due."""
        times = self.source.columns["t"]
        end = int(times.searchsorted(now_ns, side="right"))
        with blamed_on_policy(self._design):
            while self._row < end:
                stop = min(end, self._row + CHUNK_ROWS)
                self._feed(slice(self._row, stop))
                self._row = stop
            if self._row:
                self._core.advance(max(now_ns, int(times[self._row - 1])))

    def _feed(self, rows: slice) -> None:
        orders = self._free_orders[rows]
        self._freed += np.bincount(orders[orders >= 0], minlength=self._classes + 1)
        piece: dict[str, Any] = {name: c[rows] for name, c in self.source.columns.items()}
        try:
            self._core.feed(piece)
        except _core.ReplayError as error:
            raise UnreplayableError(error.row, error.problem) from error

    def cells(self) -> dict[Key, Cell]:
        """What its size classes did and hold."""
        found = {}
        for order in range(self._classes):
            key = Key(self._name, self._granule << order)
            found[key] = self._cell(self._core.counters(order), order)
        beyond = self._core.counters(_core.BEYOND_CLASSES)
        found[Key(self._name, BEYOND)] = self._cell(beyond, self._classes)
        return {key: cell for key, cell in found.items() if cell.allocs or cell.frees}

    def linux_bytes(self) -> int:
        """Memory at Linux's sizes, at its peak so far."""
        return int(self._core.totals()["linux_bytes_peak"])

    def _cell(self, counters: dict[str, int], order: int) -> Cell:
        cached = order < self._classes
        hits = sum(counters[f"hits_{where}"] for where in ("loaded", "previous", "depot"))
        tree = counters["tree_allocations"]
        depot = counters["depot"] if cached else None
        return Cell(
            allocs=hits + tree,
            frees=int(self._freed[order]),
            tree=tree,
            reclaimed=counters["reclaimed"] if cached else None,
            depot=depot,
            in_cpus=max(0, counters["cached"] - self._capacity * (depot or 0)) if cached else None,
        )


def _orders_of_frees(source: ReplayInput, classes: int) -> npt.NDArray[np.int64]:
    """Order of the size class of each free, ``classes`` if it has none; -1 for other calls."""
    pages = np.maximum(source.columns["size"].astype(np.float64), 1)
    orders = np.minimum(np.ceil(np.log2(pages)).astype(np.int64), classes)
    return np.where(source.columns["op"] == int(Op.FREE), orders, -1)


def _what(trace: Trace) -> str:
    info = trace.info
    return f"recorded on {info.kernel}" if info.kernel else f"from {info.source}"
