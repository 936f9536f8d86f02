"""The least that any cache can waste: who knows the future keeps what pays most, and no more.

The calls of a run are given. A cache of ranges of one size in one domain serves an allocation with
a range that was freed before and kept since; that costs the range's pages for the time between.
Which free goes with which allocation is free to choose, so pair them as a stack does: each
allocation with the last free that has no partner yet. For every number of hits, to keep the
cheapest of these pairs costs least.

Why: let a range that is kept be worth w a hit. A free and an allocation that follow each other
directly can always be a pair in a best choice, if it is worth it: exchanging partners never makes
the times longer in sum. If it is not, no pair across them is worth it either, as it lasts longer.
Take both away and go on with the rest. So for each w the best choice is the stack's pairs that
cost less than w, and these are the cheapest ones. (The same argument as for servers that are
turned off when idle: Lu, Chen and Andrew, "Simple and effective dynamic provisioning for
power-proportional data centers", 2013.)

Such a cache knows the future, belongs to all CPUs at once, and takes no magazines: no design can
have its waste, and none has less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iova.events import Op, Trace

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LeastWaste:
    """What hits must cost, in the calls of one run."""

    allocations: int  #: calls
    span_ns: int
    live_pages_peak: int
    costs: npt.NDArray[np.float64]  #: pages times ns of the cheapest pair, of the two cheapest, ...

    def at(self, cached_share: float) -> float:
        """Least waste of who serves this share (0..1) of the allocations; infinite: nobody can."""
        hits = int(np.ceil(cached_share * self.allocations))
        if hits > len(self.costs):
            return float("inf")
        cost = float(self.costs[hits - 1]) if hits else 0.0
        return cost / self.span_ns / self.live_pages_peak


def least_waste(trace: Trace, span_ns: int) -> LeastWaste:
    """What hits must cost, in a trace of calls; ``span_ns`` is the time averaged over."""
    events = trace.events
    calls = events.filter(events["op"].is_in([Op.ALLOC, Op.FREE])).sort("t", maintain_order=True)
    t, size, pfn, domain = (
        calls[name].fill_null(0).cast(int).to_numpy() for name in ("t", "size", "pfn", "domain")
    )
    is_alloc = (calls["op"] == Op.ALLOC).to_numpy()
    served = ~is_alloc | (pfn > 0)
    pages = _rounded(size)
    live = np.cumsum(np.where(is_alloc, pages, -pages)[served])
    kinds = domain * 64 + np.log2(pages).astype(np.int64)
    costs = []
    for kind in np.unique(kinds[served]):
        here = served & (kinds == kind)
        idle_ns = stack_pairs(t[here], is_alloc[here])
        costs.append(idle_ns.astype(np.float64) * float(1 << (int(kind) % 64)))
    return LeastWaste(
        allocations=int(is_alloc.sum()),
        span_ns=span_ns,
        live_pages_peak=int(live.max()),
        costs=np.cumsum(np.sort(np.concatenate(costs))),
    )


def _rounded(size: Numbers) -> Numbers:
    """Pages of the size class: the next power of two."""
    return np.left_shift(1, np.ceil(np.log2(size)).astype(np.int64))


def stack_pairs(t: Numbers, is_alloc: npt.NDArray[np.bool_]) -> Numbers:
    """Times between each free and the allocation that a stack pairs it with; ``t`` rises.

    A free puts a range on the stack, an allocation takes the last one off, if there is one.
    """
    level = np.cumsum(np.where(is_alloc, -1, 1))
    lowest = np.minimum(np.minimum.accumulate(level), 0)
    depth = level - lowest  # of the stack, after the call
    before = np.concatenate(([0], lowest[:-1]))
    found_none = is_alloc & (lowest < before)
    keep = ~found_none
    # A range lies at one place of the stack: there a free and its allocation follow each other.
    place = np.where(is_alloc, depth + 1, depth)[keep]
    order = np.argsort(place, kind="stable")
    time, alloc, place = t[keep][order], is_alloc[keep][order], place[order]
    paired = alloc[1:] & ~alloc[:-1] & (place[1:] == place[:-1])
    idle: Numbers = time[1:][paired] - time[:-1][paired]
    return idle
