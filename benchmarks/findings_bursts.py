"""Bursts with quiet between them: what reclaim takes in the quiet, a burst has to make again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.findings_frame import Outcome, Simulated

#: Bursts in a run; the first fills the caches and is not counted.
BURSTS = 4
_ON_MS = 5
#: Samples a period.
_SAMPLES = 12
_HITS = ("hits_loaded", "hits_previous", "hits_depot")


@dataclass(frozen=True)
class Bursts:
    """The preset ``burst`` with its bursts shortened, on so many CPUs, so many requests each."""

    cpus: int
    depth: int
    design: str
    quiet_s: float = 60.0
    settings: tuple[str, ...] = ()

    def do(self) -> BurstsSeen:
        """Simulate it."""
        period_s = self.quiet_s + _ON_MS / 1000
        columns = (*_HITS, "requests", "tree_allocations", "cached_pages", "depot_1")
        seen = Simulated(
            "burst",
            self.design,
            (
                f"cpus={self.cpus}",
                f"depth={self.depth}",
                f"on_ms={_ON_MS}",
                f"off_ms={self.quiet_s * 1000:g}",
                f"duration_s={(BURSTS - 0.5) * period_s}",
                *self.settings,
            ),
            samples=_SAMPLES * BURSTS,
            columns=columns,
        ).do()
        return _seen(seen, period_s)


@dataclass(frozen=True)
class BurstsSeen:
    """All bursts but the first."""

    requests: float  #: in a burst
    misses: float  #: allocations in a burst that no cache served
    cached_percent: float
    quiet_pages: float  #: cached, at the end of the last quiet
    quiet_depot: float  #: full magazines of one page, then
    outcome: Outcome  #: of the whole run


def _seen(outcome: Outcome, period_s: float) -> BurstsSeen:
    series = outcome.series
    times = series["t"]
    begin = _index(times, 0.5 * period_s)
    quiet = _index(times, (BURSTS - 1.05) * period_s)

    def rise(name: str) -> float:
        return series[name][-1] - series[name][begin]

    hits, misses = sum(map(rise, _HITS)), rise("tree_allocations")
    return BurstsSeen(
        requests=rise("requests") / (BURSTS - 1),
        misses=misses / (BURSTS - 1),
        cached_percent=100 * hits / max(1, hits + misses),
        quiet_pages=series["cached_pages"][quiet],
        quiet_depot=series["depot_1"][quiet],
        outcome=outcome,
    )


def _index(times: Sequence[float], seconds: float) -> int:
    """The last sample that is not later."""
    return max(i for i, t in enumerate(times) if t <= seconds * 1e9)
