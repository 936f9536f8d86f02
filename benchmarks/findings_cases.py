"""Published cases on the simulated machine: what is run, and what is read off the runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

from iova.designs import parse_design
from iova.lab.machine import MachineResult, simulate
from iova.lab.prices import load_prices
from iova.workloads import load_workload

#: Intervals of a run's time series.
INTERVALS: Final = 20


@dataclass(frozen=True)
class Run:
    """One run: a preset with settings and a seed, under a design, at prices."""

    preset: str
    design: str
    settings: tuple[str, ...] = ()
    seed: int = 1
    dearer: tuple[tuple[str, float], ...] = ()  #: prices, and by how much they are multiplied


@dataclass(frozen=True)
class Seen:
    """What a run showed. Early and late are the second and the last quarter of its time."""

    requests_per_s: float
    early_per_s: float
    late_per_s: float
    late_cached_percent: float  #: allocations served from magazines, late
    early_cached_pages: float
    late_cached_pages: float
    early_depots: float  #: full magazines in all depots
    late_depots: float
    cached_ranges: int  #: at the end
    live_ranges_peak: int
    magazines_peak: int
    depot_peak: int  #: longest depot of a size class
    wait_percent: float
    longest_wait_ms: float  #: for the tree's lock
    longest_hold_ms: float  #: of the tree's lock
    longest_timer_ms: float
    lost: int
    flushed_in_vain: int
    frees: int


def see_all(runs: Sequence[Run]) -> dict[Run, Seen]:
    """Every run once, on two processes."""
    wanted = list(dict.fromkeys(runs))
    # A fork of a process in which Polars has threads may wait for them for ever.
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return dict(zip(wanted, pool.map(see, wanted), strict=True))


def see(run: Run) -> Seen:
    """Simulate one run."""
    prices = load_prices()
    changes = {name: round(getattr(prices, name) * factor) for name, factor in run.dearer}
    result = simulate(
        load_workload(run.preset, run.settings),
        parse_design(run.design),
        dataclasses.replace(prices, **changes),  # type: ignore[arg-type]
        seed=run.seed,
        samples=INTERVALS,
    )
    return _seen(result)


def _seen(result: MachineResult) -> Seen:
    if result.series is None:
        raise ValueError("the run has no time series")
    rows = result.series.to_dicts()
    quarter = len(rows) // 4
    early, late = rows[quarter : 2 * quarter + 1], rows[-quarter - 1 :]
    totals, replayed = result.totals, result.replay
    tree = totals["lock"]["tree"]
    return Seen(
        requests_per_s=result.requests_per_s,
        early_per_s=_rate(early),
        late_per_s=_rate(late),
        late_cached_percent=_cached_percent(late),
        early_cached_pages=_mean(early, "cached_pages"),
        late_cached_pages=_mean(late, "cached_pages"),
        early_depots=_mean_depots(early),
        late_depots=_mean_depots(late),
        cached_ranges=replayed.count("cached"),
        live_ranges_peak=replayed.totals["live_ranges_peak"],
        magazines_peak=replayed.totals["magazines_peak"],
        depot_peak=replayed.totals["depot_peak"],
        wait_percent=100 * result.lock_wait_share,
        longest_wait_ms=tree["wait_longest"] / 1e9,
        longest_hold_ms=result.longest_tree_hold_ns / 1e6,
        longest_timer_ms=result.longest_timer_ns / 1e6,
        lost=totals["lost"],
        flushed_in_vain=totals["flushed_in_vain"],
        frees=replayed.totals["frees"],
    )


Rows = Sequence[Mapping[str, float]]


def _rate(rows: Rows) -> float:
    return (rows[-1]["requests"] - rows[0]["requests"]) / (rows[-1]["t"] - rows[0]["t"]) * 1e9


def _cached_percent(rows: Rows) -> float:
    def rise(name: str) -> float:
        return rows[-1][name] - rows[0][name]

    hits = sum(rise(f"hits_{where}") for where in ("loaded", "previous", "depot"))
    return 100 * hits / max(1, hits + rise("tree_allocations"))


def _mean(rows: Rows, name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def _mean_depots(rows: Rows) -> float:
    return sum(_mean(rows, name) for name in rows[0] if name.startswith("depot_"))
