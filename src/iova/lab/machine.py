"""A workload on the simulated machine under a design: what its callers would have seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.designs import DesignSpec
from iova.lab.prices import Prices
from iova.lab.replay import ReplayResult
from iova.lab.tables import Reservation, TablePlan, sample_tables
from iova.workloads.model import Workload
from iova.workloads.running import RunningWorkload, start

#: Operations between two looks at the clock's progress and at Ctrl-C.
_CHUNK_OPERATIONS: Final = 200_000

_PS_PER_S: Final = 1e12
_PS_PER_NS: Final = 1000

#: Page frames that an occupancy map shows: 4 GiB of the usual granule.
_MAP_FRAMES: Final = 1 << 20

#: ``progress(simulated ns done, in all)``
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class MachineResult:
    """What a design did on the simulated machine.

    Times of calls run from entry to return, waits for locks included. Their percentiles are read
    from histograms: each is the middle of a bucket, whose width is at most 1/16 of its value, so
    it is at most 1/32 off; the worst is exact. Rates are those of simulated time.
    """

    design: str
    seed: int  #: of all that was left to chance
    cpus: int  #: online
    duration_ns: int  #: simulated
    replay: ReplayResult  #: the allocator's side: counters, memory, waste
    totals: dict[str, Any]  #: the fields of ``struct machine_totals``, times in ps
    alloc_times: npt.NDArray[np.uint64] = field(repr=False)  #: calls by bucket of time
    free_times: npt.NDArray[np.uint64] = field(repr=False)  #: the same of frees
    #: The replay's columns; operations and requests; CPU time by source and wait by lock in ps;
    #: ranges in flush queues and lost from them. All since the start but what is a state.
    series: pl.DataFrame | None = field(default=None, repr=False)

    # ------------------------------------------------------------------------------- rates

    @property
    def seconds(self) -> float:
        """Simulated seconds."""
        return float(self.totals["now"] / _PS_PER_S)

    @property
    def operations_per_s(self) -> float:
        """Allocations and frees, failed allocations included."""
        return float(self.totals["operations"] / self.seconds) if self.seconds else 0.0

    @property
    def requests_per_s(self) -> float:
        """Round trips through the device that ended."""
        return float(self.totals["requests"] / self.seconds) if self.seconds else 0.0

    @property
    def utilisation(self) -> float:
        """Share of the CPUs' time in which they did anything at all, 0..1."""
        return self._share_of_all_cpus(self.totals["busy"])

    @property
    def cpu_seconds_per_s(self) -> dict[str, float]:
        """CPU time by source: ``alloc`` and ``free`` (callers'), ``reclaim``, ``timer``."""
        now = self.totals["now"]
        return {source: ps / now if now else 0.0 for source, ps in self.totals["cpu"].items()}

    # ------------------------------------------------------------------------------- locks

    @property
    def lock_wait_share(self) -> float:
        """Share of the CPUs' time that was spent waiting for locks, 0..1."""
        return sum(self.lock_wait_shares.values())

    @property
    def lock_wait_shares(self) -> dict[str, float]:
        """The same by lock: ``cpu``, ``depot``, ``tree``, ``ring``."""
        locks = self.totals["lock"].items()
        return {name: self._share_of_all_cpus(lock["wait"]) for name, lock in locks}

    @property
    def longest_tree_hold_ns(self) -> float:
        """Longest time for which the tree's lock was held."""
        return float(self.totals["lock"]["tree"]["held_longest"] / _PS_PER_NS)

    @property
    def longest_timer_ns(self) -> float:
        """Longest run of a flush queue's timer."""
        return float(self.totals["timer_longest"] / _PS_PER_NS)

    @property
    def longest_reclaim_ns(self) -> float:
        """Longest run of a design's delayed job."""
        return float(self.totals["job_longest"] / _PS_PER_NS)

    def _share_of_all_cpus(self, ps: int) -> float:
        available = self.totals["now"] * self.cpus
        return ps / available if available else 0.0

    # --------------------------------------------------------------------- times of calls

    def alloc_percentile_ns(self, share: float) -> float:
        """Time within which this share (0..1) of the allocations returned."""
        return _percentile_ns(self.alloc_times, share, self.totals["alloc_longest"])

    def free_percentile_ns(self, share: float) -> float:
        """Time within which this share (0..1) of the frees returned."""
        return _percentile_ns(self.free_times, share, self.totals["free_longest"])

    @property
    def alloc_p50_ns(self) -> float:
        """Median time of an allocation."""
        return self.alloc_percentile_ns(0.5)

    @property
    def alloc_p99_ns(self) -> float:
        """99th percentile of an allocation's time."""
        return self.alloc_percentile_ns(0.99)

    @property
    def alloc_p999_ns(self) -> float:
        """99.9th percentile of an allocation's time."""
        return self.alloc_percentile_ns(0.999)

    @property
    def alloc_worst_ns(self) -> float:
        """Longest time of an allocation."""
        return float(self.totals["alloc_longest"] / _PS_PER_NS)

    @property
    def free_p50_ns(self) -> float:
        """Median time of a free."""
        return self.free_percentile_ns(0.5)

    @property
    def free_p99_ns(self) -> float:
        """99th percentile of a free's time."""
        return self.free_percentile_ns(0.99)

    @property
    def free_p999_ns(self) -> float:
        """99.9th percentile of a free's time."""
        return self.free_percentile_ns(0.999)

    @property
    def free_worst_ns(self) -> float:
        """Longest time of a free."""
        return float(self.totals["free_longest"] / _PS_PER_NS)


def _bucket_start_ps(bucket: int) -> int:
    """Shortest time that a histogram's bucket counts; see ``core/machine.h``."""
    return bucket if bucket < 16 else (16 + bucket % 16) << (bucket // 16 - 1)


def _percentile_ns(histogram: npt.NDArray[np.uint64], share: float, longest_ps: int) -> float:
    sums = np.cumsum(histogram)
    if not sums[-1]:
        return 0.0
    rank = max(1, math.ceil(share * int(sums[-1])))
    bucket = int(np.searchsorted(sums, rank))
    middle = (_bucket_start_ps(bucket) + _bucket_start_ps(bucket + 1)) / 2
    return min(middle, longest_ps) / _PS_PER_NS


# -------------------------------------------------------------------------- simulating


def simulate(
    workload: Workload,
    design: DesignSpec,
    prices: Prices,
    *,
    seed: int | None = None,
    samples: int = 0,
    tables: bool = False,
    progress: Progress | None = None,
) -> MachineResult:
    """Run a workload on the simulated machine, each of its domains under the same design.

    Args:
        workload: machine, domains, flows, duration.
        design: the depot design.
        prices: what each step of a call costs.
        seed: of every choice left to chance; None: the workload's own.
        samples: about so many rows in the time series; 0: none.
        tables: with samples, what is in each CPU's magazines, which CPU frees what which
            allocated, and where ranges lie among the 2**20 page frames up to the highest that
            the first flow asks for first.
        progress: told now and then.

    Raises:
        IovaError: the workload can not be simulated, or a policy in Python failed.
    """
    until_ns = max(1, round(workload.duration_s * 1e9))
    plan = TablePlan()
    if tables and samples:
        plan = TablePlan.of(samples, _map_window(workload), _reservations(workload, until_ns))
    running = start(
        workload,
        design,
        prices.as_dict(),
        seed=seed,
        sample_ns=max(1, until_ns // samples) if samples else 0,
        max_samples=2 * samples + 16,
        **plan.core_options(),
    )
    done = False
    while not done:
        done = running.run(_CHUNK_OPERATIONS)
        if progress:
            progress(running.machine.totals()["now"] // _PS_PER_NS, until_ns)
    return _result(running, until_ns, plan)


def _map_window(workload: Workload) -> tuple[int, int]:
    flow = workload.flows[0]
    granule = next(d.granule for d in workload.domains if d.name == flow.domain)
    bits = flow.limit_bits if flow.limit_rule == "plain" else min(32, flow.limit_bits)
    highest = (1 << bits) // granule - 1
    return (max(0, highest - _MAP_FRAMES + 1), highest)


def _reservations(workload: Workload, until_ns: int) -> tuple[Reservation, ...]:
    return tuple(
        Reservation(0, until_ns + 1, first, last)
        for group in workload.domains
        for _ in range(group.count)
        for first, last in group.reserved
    )


def _result(running: RunningWorkload, until_ns: int, plan: TablePlan) -> MachineResult:
    machine, shape = running.machine, running.workload.machine
    series = _series(machine, running.mechanism["classes"])
    return MachineResult(
        design=running.design.label,
        seed=running.seed,
        cpus=shape.online,
        duration_ns=until_ns,
        replay=_allocator_side(running, series, plan),
        totals=machine.totals(),
        alloc_times=machine.alloc_times(),
        free_times=machine.free_times(),
        series=series,
    )


def _allocator_side(
    running: RunningWorkload, series: pl.DataFrame | None, plan: TablePlan
) -> ReplayResult:
    machine, mechanism = running.machine, running.mechanism
    depot_max, classes = mechanism["depot_max"], mechanism["classes"]
    domains = len(running.designs)
    return ReplayResult(
        design=running.design.label,
        totals=machine.replay_totals(),
        classes=tuple(machine.counters(k) for k in range(classes)),
        beyond=machine.counters(_core.BEYOND_CLASSES),
        fixed_depot_bytes=0 if depot_max is None else 8 * depot_max * classes * domains,
        series=series,
        tables=sample_tables(machine, plan, series),
        depot_max=depot_max,
        domains=domains,
    )


def _series(machine: _core.Machine, classes: int) -> pl.DataFrame | None:
    samples = machine.samples()
    depot = samples.pop("depot")
    if not len(depot):
        return None
    columns = {name: np.ascontiguousarray(column) for name, column in samples.items()}
    columns |= {f"depot_{1 << k}": np.ascontiguousarray(depot[:, k]) for k in range(classes)}
    return pl.DataFrame(columns)
