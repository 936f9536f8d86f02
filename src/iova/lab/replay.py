"""Replay a trace under a design: event arrays in, counters and a time series out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.designs import DesignSpec
from iova.errors import InputError, IovaError
from iova.events import FIRST_INSIDE_OP, NO_SLOT, DomainInfo, Op, Trace
from iova.lab.tables import SampleTables, TablePlan, reservations_of, sample_tables
from iova.policy_errors import blamed_on_policy

#: Rows fed to the core at a time; between two pieces progress is told and Ctrl-C is seen.
CHUNK_ROWS = 1 << 20

NO_LIMIT = 0xFFFF_FFFF_FFFF_FFFF

#: ``progress(rows done, rows in all)``
Progress = Callable[[int, int], None]


class UnreplayableError(IovaError):
    """A call of a trace that can not be executed; the trace's name is not known here."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(f"call {row} of the trace: {problem}")


@contextmanager
def named_as(source: str) -> Iterator[None]:
    """Within it a trace that can not be replayed is told with its name, and what to do.

    Raises:
        InputError: in the place of an UnreplayableError.
    """
    try:
        yield
    except UnreplayableError as error:
        raise InputError(
            source,
            f"{error}.",
            hint="Its rows contradict each other or are not in the order of the calls: convert or"
            " record it again.",
        ) from error


@dataclass(frozen=True)
class ReplayInput:
    """The calls of a trace as the core takes them; made once, replayed under each design.

    ``columns`` are numpy arrays of equal length with the types of the event schema and
    nulls filled as ``core/replay.h`` says.
    """

    columns: dict[str, npt.NDArray[Any]]
    domains: tuple[DomainInfo, ...]  #: by the numbers in ``columns``
    possible: int  #: CPUs there may be
    online: int  #: CPUs at the start

    @property
    def rows(self) -> int:
        """Number of events."""
        return len(self.columns["t"])

    @property
    def calls(self) -> int:
        """Allocations and frees, as ``iova verify`` counts them."""
        return int(np.isin(self.columns["op"], (int(Op.ALLOC), int(Op.FREE))).sum())

    @property
    def span_ns(self) -> int:
        """From the first event to the last."""
        t = self.columns["t"]
        return int(t[-1] - t[0]) if len(t) else 0


@dataclass(frozen=True)
class ReplayResult:
    """What a design did with a trace."""

    design: str
    totals: dict[str, Any]  #: the fields of ``struct replay_totals``
    classes: tuple[dict[str, int], ...]  #: ``struct iova_counters`` per size class
    beyond: dict[str, int]  #: the same for sizes beyond the caches
    fixed_depot_bytes: int  #: depot arrays, where a design's depot is fixed
    series: pl.DataFrame | None = field(default=None, repr=False)  #: counters over time
    tables: SampleTables | None = field(default=None, repr=False)  #: with some of the samples
    depot_max: int | None = None  #: most full magazines of a depot; None: no bound
    domains: int = 1

    def count(self, name: str) -> int:
        """One counter, summed over the size classes and the sizes beyond them."""
        return sum(c[name] for c in self.classes) + self.beyond[name]

    @property
    def hits(self) -> int:
        """Allocations served from magazines."""
        return sum(self.count(f"hits_{where}") for where in ("loaded", "previous", "depot"))

    @property
    def allocations(self) -> int:
        """Allocation calls."""
        return int(self.totals["allocations"])

    @property
    def cached_share(self) -> float:
        """Share of the allocations served from the caches, 0..1."""
        return self.hits / self.allocations if self.allocations else 0.0

    @property
    def depot_share(self) -> float:
        """Share of the allocations that fetched a magazine from the depot, 0..1."""
        return self.count("hits_depot") / self.allocations if self.allocations else 0.0

    @property
    def span_ns(self) -> int:
        """Virtual time from the first event to the last."""
        return int(self.totals["t_last"] - self.totals["t_first"])

    @property
    def cached_pages_mean(self) -> float:
        """Cached pages, averaged over time."""
        return self.totals["cached_page_ns"] / self.span_ns if self.span_ns else 0.0

    @property
    def waste(self) -> float:
        """Time-averaged cached pages / peak live pages."""
        peak = self.totals["live_pages_peak"]
        return self.cached_pages_mean / peak if peak else 0.0

    @property
    def linux_bytes_peak(self) -> int:
        """Peak memory at Linux's sizes: 1 KiB a magazine, 40 B a range, fixed depot arrays."""
        return int(self.totals["linux_bytes_peak"]) + self.fixed_depot_bytes


# ----------------------------------------------------------------------------- preparing


def prepare(trace: Trace, *, domain: int | None = None) -> ReplayInput:
    """Make a trace ready for replays.

    Args:
        trace: what was recorded or generated.
        domain: replay this domain's calls alone.

    Raises:
        IovaError: the trace has no calls, or no such domain.
    """
    events = trace.events.filter(
        (pl.col("op") < FIRST_INSIDE_OP) | (pl.col("op") == int(Op.RECLAIM))
    )
    if domain is not None:
        events = events.filter(pl.col("domain") == domain)
        if events.is_empty():
            known = ", ".join(str(d.domain) for d in trace.info.domains) or "none"
            raise IovaError(f"the trace has no calls of domain {domain}; its domains: {known}")
    if events.is_empty():
        raise IovaError("the trace has no calls to replay")
    columns = _columns(events)
    # A domain alone, or a trace with lines missing, leaves numbers out.
    columns["slot"] = _dense_slots(columns["slot"])
    count = int(columns["domain"].max()) + 1
    known_domains = {d.domain: d for d in trace.info.domains}
    possible = max(trace.info.cpus_possible or 1, _cpus_named(columns))
    return ReplayInput(
        columns,
        tuple(known_domains.get(i, DomainInfo(i)) for i in range(count)),
        possible,
        min(trace.info.cpus_online or possible, possible),
    )


def _columns(events: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    fill = {"limit": NO_LIMIT, "slot": NO_SLOT}
    return {
        name: events[name].fill_null(fill.get(name, 0)).to_numpy() for name in _core.EVENT_COLUMNS
    }


def _dense_slots(slots: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Number slots anew in the order in which they first appear, without gaps."""
    named = slots != NO_SLOT
    values, first, inverse = np.unique(slots[named], return_index=True, return_inverse=True)
    rank = np.empty(len(values), dtype=np.uint32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(values), dtype=np.uint32)
    dense = slots.copy()
    dense[named] = rank[inverse]
    return dense


def _cpus_named(columns: dict[str, npt.NDArray[Any]]) -> int:
    moved = np.isin(columns["op"], (int(Op.CPU_OFFLINE), int(Op.CPU_ONLINE)))
    named = columns["n"][moved]
    highest = max(int(columns["cpu"].max()), int(named.max()) if len(named) else 0)
    if highest > 0xFFFF:
        raise IovaError(f"the trace names CPU {highest}; at most 65536 CPUs are possible")
    return highest + 1


# ----------------------------------------------------------------------------- replaying


def replay(
    source: ReplayInput,
    design: DesignSpec,
    *,
    samples: int = 0,
    classes: int = 6,
    recorded_reclaim: bool = False,
    tables: bool = False,
    progress: Progress | None = None,
) -> ReplayResult:
    """Execute the calls of a trace under a design.

    Args:
        source: from :func:`prepare`.
        design: the depot design.
        samples: about so many rows in the time series; 0: none.
        classes: size classes of the caches, 1..10, unless the design has a say.
        recorded_reclaim: run reclaim where the trace recorded it, not at virtual deadlines.
        tables: with samples, what is in each CPU's magazines and where ranges lie.
        progress: told after each piece.

    Raises:
        UnreplayableError: a row can not be replayed.
        DesignError: a policy in Python failed.
    """
    made = [design.make() for _ in source.domains]
    mechanism = made[0].mechanism(source.possible, classes)
    classes = mechanism["classes"]
    plan = TablePlan()
    if tables and samples:
        plan = TablePlan.of(samples, _map_window(source), reservations_of(source.columns))
    core = _core.Replay(
        made,
        [(d.granule, d.start) for d in source.domains],
        possible=source.possible,
        online=source.online,
        classes=classes,
        recorded_reclaim=recorded_reclaim,
        sample_ns=max(1, source.span_ns // samples) if samples else 0,
        max_samples=2 * samples + 16,
        **plan.core_options(),
    )
    for first in range(0, source.rows, CHUNK_ROWS):
        piece = {
            name: column[first : first + CHUNK_ROWS] for name, column in source.columns.items()
        }
        try:
            with blamed_on_policy(design):
                core.feed(piece)
        except _core.ReplayError as error:
            raise UnreplayableError(error.row, error.problem) from error
        if progress:
            progress(min(first + CHUNK_ROWS, source.rows), source.rows)
    return _result(core, design, mechanism, len(source.domains), plan)


def _map_window(source: ReplayInput) -> tuple[int, int]:
    """The page frames the recorded system handed out."""
    allocated = source.columns["pfn"][source.columns["op"] == int(Op.ALLOC)]
    allocated = allocated[allocated > 0]
    if not len(allocated):
        return (0, 0xFFFFF)
    return (int(allocated.min()), int(allocated.max()))


def _result(
    core: _core.Replay,
    design: DesignSpec,
    mechanism: _core.Mechanism,
    domains: int,
    plan: TablePlan,
) -> ReplayResult:
    depot_max, classes = mechanism["depot_max"], mechanism["classes"]
    series = _series(core, classes)
    return ReplayResult(
        design=design.label,
        totals=core.totals(),
        classes=tuple(core.counters(k) for k in range(classes)),
        beyond=core.counters(_core.BEYOND_CLASSES),
        fixed_depot_bytes=0 if depot_max is None else 8 * depot_max * classes * domains,
        series=series,
        tables=sample_tables(core, plan, series),
        depot_max=depot_max,
        domains=domains,
    )


def _series(core: _core.Replay, classes: int) -> pl.DataFrame | None:
    samples = core.samples()
    depot = samples.pop("depot")
    if not len(depot):
        return None
    columns = {name: pl.Series(name, np.ascontiguousarray(v)) for name, v in samples.items()}
    columns |= {
        f"depot_{1 << k}": pl.Series(np.ascontiguousarray(depot[:, k])) for k in range(classes)
    }
    return pl.DataFrame(columns)
