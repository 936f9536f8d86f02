"""What a design did, in the numbers that tables and JSON show: one row a run, and their means.

Each field of a row but ``design`` is a number, and so a metric: tables, JSON, confidence
intervals and the comparison with an earlier result know them by the fields' names. In a row of
means counts may be fractions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from iova.lab.confidence import half_width, mean_of
from iova.lab.machine import MachineResult
from iova.lab.replay import ReplayResult


@dataclass(frozen=True)
class ComparisonRow:
    """The allocator's side of a run. Pages are page frames of the domain's granule."""

    design: str
    allocations: float  #: calls
    failed: float  #: of them
    skipped_frees: float  #: their allocation failed, or is not in the trace
    cached_percent: float  #: allocations served from magazines
    depot_percent: float  #: allocations that fetched a magazine from the depot
    tree_allocations: float  #: ranges cut from the tree
    tree_frees: float  #: ranges given back to it, those of emptied magazines included
    tree_steps: float  #: nodes Linux would have walked for them
    cached_pages_peak: float  #: most held in magazines at once
    cached_pages_mean: float  #: over time
    live_pages_peak: float  #: most that callers held at once
    waste: float  #: cached_pages_mean / live_pages_peak
    depot_peak: float  #: longest depot of one size class in one domain, in magazines
    pushed: float  #: magazines that CPUs put into a depot
    popped: float  #: magazines that they took out
    reclaimed: float  #: magazines that the delayed job emptied into the tree
    armed: float  #: pushes that armed the job
    found_armed: float  #: pushes that found it armed
    magazines_peak: float  #: most there were at once
    memory_kib_peak: float  #: at Linux's sizes


@dataclass(frozen=True)
class MachineRow:
    """The simulated machine's side of a run. Waits for locks are part of a call's time.

    ``p50``, ``p99``, ``p999`` and ``worst`` are the median, the percentiles 99 and 99.9 and the
    longest of single calls.
    """

    design: str
    operations: float  #: allocations and frees
    operations_per_s: float  #: a simulated second, as all rates here
    requests_per_s: float  #: round trips through the device
    failed_requests: float  #: whose allocation failed
    alloc_p50_ns: float
    alloc_p99_ns: float
    alloc_p999_ns: float
    alloc_worst_ns: float
    free_p50_ns: float
    free_p99_ns: float
    free_p999_ns: float
    free_worst_ns: float
    lock_wait_percent: float  #: of the time of all CPUs: waiting for any lock
    cpu_lock_wait_percent: float  #: ... of a CPU's own cache
    depot_lock_wait_percent: float  #: ... of a size class's depot
    tree_lock_wait_percent: float  #: ... of a domain's tree
    ring_lock_wait_percent: float  #: ... of a ring of the flush queue
    longest_tree_hold_ns: float  #: time between taking the tree's lock and letting it go
    longest_timer_ns: float  #: run of a flush queue's timer
    longest_reclaim_ns: float  #: run of a design's delayed job
    callers_cpu_s_per_s: float  #: CPU seconds a second in allocations and frees, waits included
    reclaim_cpu_s_per_s: float  #: the same in designs' delayed jobs
    timer_cpu_s_per_s: float  #: the same in flush queues' timers
    iotlb_flushes: float  #: how many there were
    flushes_in_vain: float  #: by a full ring that stayed full
    lost: float  #: ranges that vanished from flush queues
    queued_peak: float  #: ranges in flush queues


Row = TypeVar("Row", bound=ComparisonRow | MachineRow)


def metrics_of(row: ComparisonRow | MachineRow) -> dict[str, float]:
    """The numbers of a row by name."""
    values = dataclasses.asdict(row)
    del values["design"]
    return values


def mean_row(rows: Sequence[Row]) -> Row:
    """The mean of each number over runs."""
    return _over_runs(rows, mean_of)


def half_width_row(rows: Sequence[Row]) -> Row | None:
    """Half of the width of each mean's 95 % confidence interval; None for a single run."""
    return _over_runs(rows, lambda values: half_width(values) or 0.0) if len(rows) > 1 else None


def _over_runs(rows: Sequence[Row], of: Callable[[Sequence[float]], float]) -> Row:
    kind = type(rows[0])
    metrics = [metrics_of(row) for row in rows]
    return kind(rows[0].design, **{name: of([run[name] for run in metrics]) for name in metrics[0]})


# ------------------------------------------------------------------------ one run's rows


def row_of(result: ReplayResult) -> ComparisonRow:
    """The numbers of a replay."""
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


def machine_row_of(result: MachineResult) -> MachineRow:
    """The numbers of a simulated run."""
    totals = result.totals
    waits = result.lock_wait_shares
    cpu = result.cpu_seconds_per_s
    return MachineRow(
        design=result.design,
        operations=totals["operations"],
        operations_per_s=result.operations_per_s,
        requests_per_s=result.requests_per_s,
        failed_requests=totals["failed"],
        alloc_p50_ns=result.alloc_p50_ns,
        alloc_p99_ns=result.alloc_p99_ns,
        alloc_p999_ns=result.alloc_p999_ns,
        alloc_worst_ns=result.alloc_worst_ns,
        free_p50_ns=result.free_p50_ns,
        free_p99_ns=result.free_p99_ns,
        free_p999_ns=result.free_p999_ns,
        free_worst_ns=result.free_worst_ns,
        lock_wait_percent=100 * result.lock_wait_share,
        cpu_lock_wait_percent=100 * waits["cpu"],
        depot_lock_wait_percent=100 * waits["depot"],
        tree_lock_wait_percent=100 * waits["tree"],
        ring_lock_wait_percent=100 * waits["ring"],
        longest_tree_hold_ns=result.longest_tree_hold_ns,
        longest_timer_ns=result.longest_timer_ns,
        longest_reclaim_ns=result.longest_reclaim_ns,
        callers_cpu_s_per_s=cpu["alloc"] + cpu["free"],
        reclaim_cpu_s_per_s=cpu["reclaim"],
        timer_cpu_s_per_s=cpu["timer"],
        iotlb_flushes=totals["flushes"],
        flushes_in_vain=totals["flushed_in_vain"],
        lost=totals["lost"],
        queued_peak=totals["queued_peak"],
    )
