"""Ageing: the same load costs more the longer it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova.events import Op
from iova.lab.explain_facts import Facts, share_of
from iova.lab.explain_model import WORTH_TELLING, Evidence, Finding, Harm

#: Ageing is told if the tree's time for an allocation grew by a quarter,
AGED: Final = 1.25
#: and what is cached grew by a tenth,
CACHED_GREW: Final = 1.1
#: or fewer requests come while as much is in flight: a closed loop that slowed by a tenth.
SLOWED: Final = 0.9
#: The load is the same if the sizes asked for moved by at most a tenth of the calls,
SAME_SIZES: Final = 0.1
#: and they do not come this much more often,
FASTER: Final = 2.0
#: nor this much less: ageing itself slows a closed loop, in a reported case from 1 700 K to 330 K.
SLOWER: Final = 10.0

#: The first quarter fills empty caches, so nothing is compared with it.
_SECOND, _THIRD, _LAST = 1, 2, 3


@dataclass(frozen=True)
class _Quarter:
    """A quarter of the trace."""

    allocations: int
    work_ns: float  #: in the tree, of an allocation
    cached_pages: float  #: on average
    live_pages: float  #: on average
    in_vain: int  #: searches of the tree that found nothing


def ageing(facts: Facts) -> Finding | None:
    """With time the same load reaches the tree more often or walks further, and more is cached."""
    series = facts.result.series
    if series is None or series.height < 8:
        return None
    second, third, last = (_quarter(facts, series, q) for q in (_SECOND, _THIRD, _LAST))
    grows = second.work_ns <= third.work_ns <= last.work_ns * AGED
    if not (second.allocations and grows and second.work_ns * AGED <= last.work_ns):
        return None
    fuller = second.cached_pages * CACHED_GREW <= last.cached_pages
    slowed = (
        last.allocations <= second.allocations * SLOWED
        and last.live_pages >= second.live_pages * SLOWED
    )
    if not (fuller or slowed) or not _load_is_the_same(facts):
        return None
    hit_ns = facts.prices.alloc_hit / 1000
    share = (last.work_ns - second.work_ns) / (last.work_ns + hit_ns)
    # Where the tree takes less than a hit does, what grew is next to nothing.
    if share < WORTH_TELLING or last.work_ns < hit_ns:
        return None
    return Finding(
        cause="ageing",
        verdict="The same load becomes dearer with time: an allocation costs"
        f" {last.work_ns:.3g} ns of work in the tree, {second.work_ns:.3g} ns before,"
        + (" and more is cached." if fuller else " and fewer are made."),
        harm=Harm.SLOWS,
        cost=share,
        evidence=(
            Evidence("tree work per allocation, second quarter", second.work_ns, "ns"),
            Evidence("tree work per allocation, third quarter", third.work_ns, "ns"),
            Evidence("tree work per allocation, last quarter", last.work_ns, "ns"),
            Evidence("cached, second quarter", round(second.cached_pages), "pages"),
            Evidence("cached, last quarter", round(last.cached_pages), "pages"),
            Evidence("live, second quarter", round(second.live_pages), "pages"),
            Evidence("live, last quarter", round(last.live_pages), "pages"),
            Evidence("allocations, second quarter", second.allocations),
            Evidence("allocations, last quarter", last.allocations),
            Evidence("searches in vain, second quarter", second.in_vain),
            Evidence("searches in vain, last quarter", last.in_vain),
        ),
        remedy=_remedy(facts, second, last),
        settle="A longer trace: does it level off? `iova compare` shows which design ages least.",
        certainty="measured in a replay; the work is estimated from prices",
    )


def _fails_more(second: _Quarter, last: _Quarter) -> bool:
    return last.in_vain > 2 * second.in_vain


def _remedy(facts: Facts, second: _Quarter, last: _Quarter) -> str:
    told = []
    if _fails_more(second, last):
        told.append(
            "The space below 4 GiB is full of what is cached, and searching there is in"
            " vain: boot with iommu.forcedac=1, or run a kernel that stops searching"
            " there once it failed."
        )
    if facts.mechanism["depot_max"] is not None:
        told.append(
            "Run Linux 6.7 or later, whose depot has no bound and gives back what nobody needs."
        )
    told.append(
        "Keep submitters on their CPUs: what a CPU has cached stays there when its load moves on."
    )
    return " ".join(told)


def _quarter(facts: Facts, series: pl.DataFrame, quarter: int) -> _Quarter:
    edges = [len(series) * q // 4 for q in range(5)]
    first, last = edges[quarter], min(edges[quarter + 1], len(series) - 1)

    def grew(*names: str) -> int:
        return sum(int(series[name][last]) - int(series[name][first]) for name in names)

    p = facts.prices
    work_ps = (
        grew("tree_allocations") * (p.lock + p.tree_alloc)
        + grew("tree_steps") * p.tree_step
        + grew("tree_frees") * (p.lock + p.tree_free)
    )
    calls = grew("hits_loaded", "hits_previous", "hits_depot", "tree_allocations")
    cached, live = (
        share_of(float(series[name][first : last + 1].sum()), last + 1 - first)
        for name in ("cached_pages", "live_pages")
    )
    return _Quarter(
        allocations=calls,
        work_ns=share_of(work_ps / 1000, calls),
        cached_pages=cached,
        live_pages=live,
        in_vain=_in_vain(facts, int(series["t"][first]), int(series["t"][last])),
    )


def _in_vain(facts: Facts, first_ns: int, last_ns: int) -> int:
    """Recorded allocations of a time that got nothing."""
    got_nothing = pl.col("pfn").is_null() & pl.col("t_end").is_not_null()
    at_that_time = pl.col("t").is_between(first_ns, last_ns)
    is_alloc = pl.col("op") == int(Op.ALLOC)
    return facts.trace.events.filter(is_alloc & at_that_time & got_nothing).height


def _load_is_the_same(facts: Facts) -> bool:
    """Whether the last quarter asks for the same sizes as the second, about as often."""
    columns = facts.source.columns
    calls = columns["op"] == int(Op.ALLOC)
    t, size = columns["t"][calls], columns["size"][calls]
    edges = facts.first_ns + facts.source.span_ns * np.arange(5) // 4
    second, last = (
        _by_class(size[(t >= edges[q]) & (t <= edges[q + 1])], facts.classes)
        for q in (_SECOND, _LAST)
    )
    if not second.sum() or not last.sum():
        return False
    moved = np.abs(second / second.sum() - last / last.sum()).sum() / 2
    rate = last.sum() / second.sum()
    return bool(moved <= SAME_SIZES and 1 / SLOWER <= rate <= FASTER)


def _by_class(size: npt.NDArray[np.uint64], classes: int) -> npt.NDArray[np.int64]:
    order = np.ceil(np.log2(size.astype(np.float64))).astype(np.int64)
    return np.bincount(np.minimum(order, classes), minlength=classes + 1)
