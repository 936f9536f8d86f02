"""Ageing in which larger requests are rare: what is cached grows slowly, and throughput falls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from iova.designs import parse_design
from iova.lab.prices import load_prices
from iova.workloads import load_workload
from iova.workloads.running import start

#: Requests of one page for each of 2, 4, 8, 16 and 32 pages.
RARITY: Final = 1000

_OPERATIONS: Final = 500_000  # between two looks for Ctrl-C
_HITS: Final = ("hits_loaded", "hits_previous", "hits_depot")


@dataclass(frozen=True)
class Interval:
    """Part of a run: rates in it, and what is cached at its end."""

    until_s: float
    requests_per_s: float
    cached_percent: float  #: allocations served from magazines
    cached_ranges: int


def grow(design: str, duration_s: float, intervals: int) -> Iterator[Interval]:
    """Run the preset ``ageing`` with rare larger sizes under a design, part by part."""
    larger = ", ".join(f"{{pages={1 << k}}}" for k in range(1, 6))
    settings = (f"sizes=[{{pages=1, weight={RARITY}}}, {larger}]", f"duration_s={duration_s}")
    workload = load_workload("ageing", settings)
    running = start(workload, parse_design(design), load_prices().as_dict())
    machine, classes = running.machine, range(workload.machine.classes)
    before = dict.fromkeys(("now", "requests", "hits", "misses"), 0)
    for i in range(1, intervals + 1):
        while not machine.run(running.until_ps * i // intervals, _OPERATIONS):
            pass
        totals, counters = machine.totals(), [machine.counters(k) for k in classes]
        after = {
            "now": totals["now"],
            "requests": totals["requests"],
            "hits": sum(one[name] for one in counters for name in _HITS),
            "misses": sum(one["tree_allocations"] for one in counters),
        }
        rise = {name: after[name] - before[name] for name in after}
        yield Interval(
            until_s=after["now"] / 1e12,
            requests_per_s=rise["requests"] / rise["now"] * 1e12,
            cached_percent=100 * rise["hits"] / max(1, rise["hits"] + rise["misses"]),
            cached_ranges=sum(one["cached"] for one in counters),
        )
        before = after
