"""What a setting is wanted for: objectives, and targets that it must meet.

An objective says in which direction a metric is better. A target (``cache>=99``) bounds a metric
on every source; a budget is a target for memory. A setting that meets all targets is *feasible*.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from iova.errors import IovaError
from iova.words import suggestion

#: Nanoseconds of each unit in which a target's time may be given.
_TIME_UNITS: Final = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}

_TARGET: Final = re.compile(
    r"\s*(?P<name>[a-z0-9_]+)\s*(?P<sign>>=|<=)\s*(?P<value>[0-9.eE+-]+)\s*(?P<unit>[a-zA-Z%]*)\s*"
)


@dataclass(frozen=True)
class Metric:
    """A number that settings are judged by."""

    name: str  #: on the command line
    field: str  #: in the rows of :mod:`iova.lab.rows`
    unit: str
    meaning: str
    more_is_better: bool = False
    simulated: bool = False  #: only the simulated machine has it

    def better(self, one: float, other: float) -> bool:
        """Whether a value is better than another."""
        return one > other if self.more_is_better else one < other

    def cost(self, value: float) -> float:
        """The value as a number of which less is better."""
        return -value if self.more_is_better else value


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("cache", "cached_percent", "%", "allocations served from magazines", True),
        Metric("tree", "tree_allocations", "", "ranges cut from the range tree"),
        Metric("steps", "tree_steps", "", "tree nodes Linux would walk for them"),
        Metric("waste", "waste", "", "mean cached pages / peak live pages"),
        Metric("cached", "cached_pages_mean", "pages", "mean pages held in magazines"),
        Metric("memory", "memory_kib_peak", "KiB", "peak memory at Linux's sizes"),
        Metric("reclaimed", "reclaimed", "", "magazines reclaimed in the background"),
        Metric("throughput", "requests_per_s", "/s", "requests completed a second", True, True),
        Metric("p99", "alloc_p99_ns", "ns", "99 % of allocations take at most this",
               simulated=True),
        Metric("p999", "alloc_p999_ns", "ns", "99.9 % of allocations take at most this",
               simulated=True),
        Metric("worst", "alloc_worst_ns", "ns", "the longest allocation", simulated=True),
        Metric("hold", "longest_tree_hold_ns", "ns", "longest hold of the tree lock",
               simulated=True),
        Metric("timer", "longest_timer_ns", "ns", "longest run of the flush queue's timer",
               simulated=True),
        Metric("wait", "lock_wait_percent", "%", "of all CPUs' time: waiting for locks",
               simulated=True),
        Metric("calls", "callers_cpu_s_per_s", "s/s", "CPU seconds a second in the calls",
               simulated=True),
        Metric("jobs", "reclaim_cpu_s_per_s", "s/s", "CPU seconds a second in reclaim",
               simulated=True),
    )
}  # fmt: skip
MEMORY: Final = METRICS["memory"]
DEFAULT_OBJECTIVES: Final = ("cache", "memory")


@dataclass(frozen=True)
class Target:
    """A bound that a metric must keep on every source."""

    metric: Metric
    at_least: bool
    bound: float

    def shortfall(self, value: float) -> float:
        """How far a value is from the bound, relative to it; 0: it keeps the bound."""
        missing = self.bound - value if self.at_least else value - self.bound
        return max(0.0, missing) / max(abs(self.bound), 1e-9)

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.metric.name} {sign} {self.bound:g} {self.metric.unit}".strip()


@dataclass(frozen=True)
class Goals:
    """Objectives and targets together."""

    objectives: tuple[Metric, ...]
    targets: tuple[Target, ...] = ()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that matters here, and memory."""
        wanted = (*self.objectives, *(target.metric for target in self.targets), MEMORY)
        return tuple(dict.fromkeys(wanted))

    @property
    def deciding(self) -> Metric:
        """The metric by which one feasible setting is chosen.

        What a target bounds is good enough when it keeps the bound. So it is the first objective
        that no target bounds; where all are bounded, what the setting costs: memory.
        """
        bounded = {target.metric for target in self.targets}
        return next((metric for metric in self.objectives if metric not in bounded), MEMORY)

    @property
    def order(self) -> tuple[Metric, ...]:
        """Metrics by which settings are compared, the deciding one first."""
        return tuple(dict.fromkeys((self.deciding, *self.objectives, MEMORY)))

    def shortfall(self, by_source: Sequence[Mapping[str, float]]) -> float:
        """How far a setting is from its targets, summed over sources; 0: it is feasible."""
        return math.fsum(
            target.shortfall(numbers[target.metric.field])
            for target in self.targets
            for numbers in by_source
        )


# ------------------------------------------------------------------------------- reading


def parse_goals(
    objectives: Sequence[str], targets: Sequence[str], budget_kib: float | None, *, simulated: bool
) -> Goals:
    """Read what the user wants.

    Args:
        objectives: names, several in one text separated by commas; none: cache and memory.
        targets: ``METRIC>=NUMBER`` or ``METRIC<=NUMBER``; times may have a unit.
        budget_kib: the most memory, in KiB at Linux's sizes.
        simulated: whether every source is simulated.

    Raises:
        IovaError: a metric is not known, is there twice, or needs a workload; or a target is none.
    """
    names = [name.strip() for text in objectives for name in text.split(",")]
    wanted = tuple(_metric(name, "--objective", simulated) for name in names or DEFAULT_OBJECTIVES)
    for metric in wanted:
        if wanted.count(metric) > 1:
            raise IovaError(f"--objective {metric.name} is given twice")
    bounds = [_target(text, simulated) for text in targets]
    if budget_kib is not None:
        bounds.append(Target(MEMORY, False, budget_kib))
    return Goals(wanted, tuple(bounds))


def _metric(name: str, option: str, simulated: bool) -> Metric:
    metric = METRICS.get(name)
    if metric is None:
        raise IovaError(f"{option}: there is no metric {name!r}. {suggestion(name, METRICS)}")
    if metric.simulated and not simulated:
        raise IovaError(
            f"{option} {name}: a replay of a trace has no prices, so no {name}; it is for"
            " workloads (`iova list presets`)"
        )
    return metric


def _target(text: str, simulated: bool) -> Target:
    match = _TARGET.fullmatch(text)
    try:
        bound = float(match["value"]) if match else math.nan
    except ValueError:
        bound = math.nan
    if match is None or not math.isfinite(bound):
        raise IovaError(
            f"--target {text!r} is not of the form METRIC>=NUMBER or METRIC<=NUMBER;"
            " for example cache>=99 or p99<=2us"
        )
    metric = _metric(match["name"], "--target", simulated)
    return Target(metric, match["sign"] == ">=", bound * _unit(match["unit"], metric, text))


def _unit(unit: str, metric: Metric, text: str) -> float:
    known = _TIME_UNITS if metric.unit == "ns" else {metric.unit: 1.0}
    if unit and unit not in known:
        raise IovaError(f"--target {text!r}: {metric.name} is in {' or '.join(known) or 'no unit'}")
    return known.get(unit, 1.0)
