"""Compare designs on one source: what each would have done with the same calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from iova.designs import DesignSpec
from iova.events import Trace, TraceInfo
from iova.lab.replay import ReplayInput, ReplayResult, prepare, replay

#: ``progress(design's label, rows done, rows in all)``
CompareProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ComparisonRow:
    """One design's line in the table. Pages are page frames of the domain's granule."""

    design: str
    allocations: int
    failed: int
    skipped_frees: int
    cached_percent: float  #: allocations served from magazines
    depot_percent: float  #: allocations that fetched a magazine from the depot
    tree_allocations: int
    tree_frees: int
    tree_steps: int  #: nodes Linux would have walked for them
    cached_pages_peak: int
    cached_pages_mean: float  #: over time
    live_pages_peak: int
    waste: float  #: cached_pages_mean / live_pages_peak
    depot_peak: int  #: longest depot of any size class and domain, in magazines
    pushed: int
    popped: int
    reclaimed: int  #: magazines
    armed: int
    found_armed: int
    magazines_peak: int
    memory_kib_peak: float  #: at Linux's sizes


@dataclass(frozen=True)
class Comparison:
    """All designs on one source."""

    source: str
    info: TraceInfo
    calls: int
    span_ns: int
    domain: int | None  #: only this domain was replayed
    rows: tuple[ComparisonRow, ...]
    results: tuple[ReplayResult, ...] = dataclasses.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without the time series."""
        return {
            "source": self.source,
            "calls": self.calls,
            "span_ns": self.span_ns,
            "domain": self.domain,
            "kernel": self.info.kernel,
            "lost_events": self.info.lost_events,
            "designs": [dataclasses.asdict(row) for row in self.rows],
        }

    def series(self) -> pl.DataFrame:
        """The time series of all designs below each other, with a ``design`` column."""
        frames = [
            result.series.with_columns(pl.lit(result.design).alias("design"))
            for result in self.results
            if result.series is not None
        ]
        return pl.concat(frames) if frames else pl.DataFrame()


def compare(
    name: str,
    trace: Trace,
    designs: Sequence[DesignSpec],
    *,
    domain: int | None = None,
    samples: int = 0,
    progress: CompareProgress | None = None,
) -> Comparison:
    """Replay a trace under each design.

    Args:
        name: how the source is called in tables.
        trace: the calls.
        designs: in the order of the table.
        domain: replay this domain alone.
        samples: about so many rows a design in the time series; 0: none.
        progress: told while a replay runs.

    Raises:
        IovaError: the trace can not be replayed.
    """
    source = prepare(trace, domain=domain)
    results = tuple(_replay_one(source, design, samples, progress) for design in designs)
    return Comparison(
        source=name,
        info=trace.info,
        calls=results[0].totals["calls"],
        span_ns=source.span_ns,
        domain=domain,
        rows=tuple(_row(result) for result in results),
        results=results,
    )


def _replay_one(
    source: ReplayInput, design: DesignSpec, samples: int, progress: CompareProgress | None
) -> ReplayResult:
    def told(done: int, total: int) -> None:
        if progress:
            progress(design.label, done, total)

    return replay(source, design, samples=samples, progress=told)


def _row(result: ReplayResult) -> ComparisonRow:
    totals = result.totals
    return ComparisonRow(
        design=result.design,
        allocations=result.allocations,
        failed=totals["failed"],
        skipped_frees=totals["skipped_frees"],
        cached_percent=100 * result.cached_share,
        depot_percent=100 * result.depot_share,
        tree_allocations=result.count("tree_allocations"),
        tree_frees=result.count("tree_frees"),
        tree_steps=result.count("tree_steps"),
        cached_pages_peak=totals["cached_pages_peak"],
        cached_pages_mean=result.cached_pages_mean,
        live_pages_peak=totals["live_pages_peak"],
        waste=result.waste,
        depot_peak=totals["depot_peak"],
        pushed=result.count("pushed"),
        popped=result.count("popped"),
        reclaimed=result.count("reclaimed"),
        armed=result.count("armed"),
        found_armed=result.count("found_armed"),
        magazines_peak=totals["magazines_peak"],
        memory_kib_peak=result.linux_bytes_peak / 1024,
    )
