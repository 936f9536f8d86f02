"""Causes that cost CPU time: work that a cache hit would have spared.

A cause's time is what its calls did in a replay, priced by the table of prices, or the difference
to a replay in which the cause is taken away. Waits for locks are in neither, so that a trace
and the workload it was made from give the same answer; on a busy machine they come on top.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from iova.events import Op
from iova.lab.explain_facts import RING, Facts, busy_cpus, share_of, whole
from iova.lab.explain_model import WORTH_TELLING, Evidence, Finding, Harm
from iova.workloads.events import MACHINE_SOURCE

#: Frees happen on few CPUs if it takes at most a quarter of those that allocate. The cases that
#: were reported are 16 of 256; a queue for two CPUs, which is common, is none.
FEW: Final = 0.25

#: Frees of one run follow one another this closely, ns: tracing one takes a few microseconds.
BACK_TO_BACK_NS: Final = 20_000
#: The flush queue's timer frees this soon after it fires, ns: the IOTLB is flushed before.
TIMER_TO_FREE_NS: Final = 1_000_000
#: A timer's run this long is a storm: nothing else runs on that CPU for a tick of 1000 Hz.
STORM_NS: Final = 1_000_000
#: A free takes less than a microsecond where nobody traces it, so if fewer than this take
#: STORM_NS, it is the tracing that does, or a virtual CPU that was paused.
STORM_FREES: Final = 1000
#: Storms are the rule if a tenth of all frees happens in them.
STORM_SHARE: Final = 0.1


# ------------------------------------------------------------------- sizes beyond the caches


def sizes_beyond(facts: Facts) -> Finding | None:
    """Requests larger than the caches serve go to the tree every time."""
    beyond = facts.result.beyond
    share = share_of(facts.time_of_counters(beyond, facts.result), facts.time_ns)
    if share < WORTH_TELLING:
        return None
    largest = facts.largest_cached
    kib = facts.largest_cached_kib
    sizes = facts.trace.events.filter((pl.col("op") == int(Op.ALLOC)) & (pl.col("size") > largest))
    return Finding(
        cause="sizes-beyond",
        verdict=f"Requests larger than {kib} KiB are beyond the caches: each goes to the tree.",
        harm=Harm.SLOWS,
        cost=share,
        evidence=(
            Evidence(f"allocations of more than {largest} pages", sizes.height),
            Evidence(
                "of all allocations", share_of(sizes.height, facts.result.allocations), "share"
            ),
            Evidence("largest", whole(sizes["size"].max()), "pages"),
            Evidence("tree nodes walked for them", beyond["tree_steps"]),
            Evidence(
                "of all nodes walked",
                share_of(beyond["tree_steps"], facts.result.count("tree_steps")),
                "share",
            ),
            Evidence("of the allocator's CPU time, estimated", share, "share"),
            Evidence("all nodes walked", facts.result.count("tree_steps")),
            Evidence("the same if caches served 512 pages", facts.widened.count("tree_steps")),
        ),
        remedy=f"Clamp transfers to {kib} KiB, for a disk: echo {kib} >"
        " /sys/block/DISK/queue/max_sectors_kb. Or build a kernel whose caches have more"
        " size classes.",
        settle="Clamp for an hour and record again: the tree should hardly be reached.",
        certainty="measured in a replay; the share of time is estimated from prices",
    )


# ---------------------------------------------------------------------------- fixed depots


def fixed_depot(facts: Facts) -> Finding | None:
    """A depot of bounded length is full, so surplus magazines are emptied into the tree."""
    bound = facts.mechanism["depot_max"]
    if bound is None or facts.result.totals["depot_peak"] < bound:
        return None
    cured = facts.unbounded
    now, then = (
        sum(facts.time_of_counters(c, result) for c in result.classes)
        for result in (facts.result, cured)
    )
    share = share_of(now - then, facts.time_ns)
    if share < WORTH_TELLING:
        return None
    return Finding(
        cause="fixed-depot",
        verdict=f"The depot's {bound} magazines are full: what does not fit is emptied into the"
        " tree, and comes back from there.",
        harm=Harm.SLOWS,
        cost=share,
        evidence=(
            Evidence("most magazines a depot may hold", bound),
            Evidence("ranges given back to the tree", _in_classes(facts, "tree_frees")),
            Evidence("allocations that reached the tree", _misses(facts.result.classes)),
            Evidence("reached it if the depot had no bound", _misses(cured.classes)),
            Evidence("longest such depot", cured.totals["depot_peak"], "magazines"),
            Evidence("of the allocator's CPU time, estimated", share, "share"),
        ),
        remedy="Run Linux 6.7 or later: its depot has no bound.",
        settle="iova compare SOURCE --design linux-6.1 --design linux-6.12 shows both.",
        certainty="measured in two replays; the share of time is estimated from prices",
    )


def _in_classes(facts: Facts, counter: str) -> int:
    return sum(one[counter] for one in facts.result.classes)


# ---------------------------------------------------------------------- frees on few CPUs


def frees_on_few_cpus(facts: Facts) -> Finding | None:
    """Many CPUs allocate, few free: every magazine travels through the depot."""
    # The flush queue's timer frees on one CPU what others unmapped: that is another cause.
    by_timer = timer_runs(facts)["run"].implode()
    others = _with_runs(facts).filter(~pl.col("run").is_in(by_timer))
    freeing = busy_cpus(others["cpu"])
    if 2 * others.height <= facts.frees.height or freeing > FEW * facts.allocating_cpus:
        return None
    home = facts.freed_at_home
    share = share_of(facts.time_ns - facts.time_of(home), facts.time_ns)
    held_kib = (facts.result.cached_pages_mean - home.cached_pages_mean) * facts.granule() / 1024
    live_kib = facts.result.totals["live_pages_peak"] * facts.granule() / 1024
    if share < WORTH_TELLING and held_kib < live_kib:
        return None
    slows = share >= WORTH_TELLING
    return Finding(
        cause="frees-on-few-cpus",
        verdict=f"Nearly all allocations happen on {facts.allocating_cpus} CPUs, nearly all frees"
        f" on {freeing}: magazines fill there, travel through the depot, lie half empty.",
        harm=Harm.SLOWS if slows else Harm.HOLDS,
        cost=share if slows else held_kib,
        evidence=(
            Evidence("CPUs that do 95 % of the allocations", facts.allocating_cpus),
            Evidence("CPUs that do 95 % of the frees", freeing),
            Evidence("magazines exchanged with depots", _exchanges(facts.result.classes)),
            Evidence("exchanged if freed where allocated", _exchanges(home.classes)),
            Evidence("allocations that reached the tree", _misses(facts.result.classes)),
            Evidence("reached it if freed where allocated", _misses(home.classes)),
            Evidence("cached on average / live at most", facts.result.waste),
            Evidence("the same ratio if freed where allocated", home.waste),
            Evidence("of the allocator's CPU time, estimated", share, "share"),
        ),
        remedy="Let requests complete where they were submitted: more hardware queues, their"
        " interrupts spread over the CPUs. For NVMe, whose driver unmaps when a request completes,"
        " also: echo 2 > /sys/block/DISK/queue/rq_affinity.",
        settle="Record again with the interrupts spread. In a longer trace the first filling of the"
        " caches, which reaches the tree, counts for less.",
        certainty="measured in two replays; the share of time is estimated from prices",
    )


def _exchanges(classes: tuple[dict[str, int], ...]) -> int:
    return sum(one["pushed"] + one["popped"] for one in classes)


def _misses(classes: tuple[dict[str, int], ...]) -> int:
    return sum(one["tree_allocations"] for one in classes)


# ----------------------------------------------------------------------------- timer storms


def _with_runs(facts: Facts) -> pl.DataFrame:
    """Frees with the number of the run they are part of: back to back, on one CPU."""
    gap = pl.col("t") - pl.col("t_end").fill_null(pl.col("t")).shift(1)
    starts = (pl.col("cpu") != pl.col("cpu").shift(1)) | (gap > BACK_TO_BACK_NS)
    by_cpu = facts.frees.sort("cpu", "t", maintain_order=True)
    return by_cpu.with_columns(run=starts.fill_null(True).cum_sum())


def timer_runs(facts: Facts) -> pl.DataFrame:
    """Runs of frees of the flush queue's timer: ``run``, ``cpu``, ``t``, ``frees``, ``ns``.

    Those during which, or shortly before which, the timer fired on the same CPU. Where a trace does
    not tell of timers it is the runs of more frees than a ring holds.
    """
    runs = (
        _with_runs(facts)
        .group_by("run", maintain_order=True)
        .agg(
            cpu=pl.col("cpu").first(),
            t=pl.col("t").min(),
            frees=pl.len(),
            end=pl.max_horizontal("t", "t_end").max(),
        )
    )
    fired = facts.trace.events.filter(pl.col("op") == int(Op.FLUSH_TIMER)).select("cpu", fired="t")
    if fired.is_empty():
        by_timer = runs.filter(pl.col("frees") > RING)
    else:
        by_timer = (
            runs.sort("end")
            .join_asof(fired, left_on="end", right_on="fired", by="cpu", check_sortedness=False)
            .filter(pl.col("fired") >= pl.col("t") - TIMER_TO_FREE_NS)
        )
    return by_timer.select("run", "cpu", "t", "frees", ns=pl.col("end") - pl.col("t"))


def timer_storms(facts: Facts) -> Finding | None:
    """The flush queue's timer frees all CPUs' rings on one CPU, in one go."""
    if all(info.mode == "strict" for info in facts.trace.info.domains):
        return None
    runs = timer_runs(facts)
    storms = runs.filter((pl.col("ns") >= STORM_NS) & (pl.col("frees") >= STORM_FREES))
    share = share_of(whole(storms["frees"].sum()), facts.frees.height)
    if share < STORM_SHARE:
        return None
    longest, most = whole(storms["ns"].max()), whole(storms["frees"].max())
    return Finding(
        cause="timer-storm",
        verdict="The flush queue's timer frees what all CPUs have queued, on one CPU and in one"
        f" go: up to {most:,} ranges, {longest / 1e6:.1f} ms in which that CPU does little else.",
        harm=Harm.STALLS,
        cost=longest / 1e6,
        evidence=(
            Evidence("runs of the timer that free something", runs.height),
            Evidence(f"of these at least 1 ms long and {STORM_FREES:,} ranges", storms.height),
            Evidence("most ranges in one run", most),
            Evidence("longest run", longest / 1e6, "ms"),
            Evidence("all these runs", whole(storms["ns"].sum()) / 1e6, "ms"),
            Evidence("of all frees happen in these", share, "share"),
            Evidence("of all frees are of sizes beyond the caches", _beyond(facts), "share"),
        ),
        remedy="Use strict mode, which has no flush queue, where the IOMMU's invalidation is fast"
        " enough: iommu.strict=1, or with the driver unbound: echo DMA >"
        " /sys/kernel/iommu_groups/N/type. If sizes beyond the caches are among the frees,"
        f" clamp transfers to {facts.largest_cached_kib} KiB first: each of those costs a walk of"
        " the tree.",
        settle="Record again in strict mode; or trace timer:timer_expire_entry and"
        " timer:timer_expire_exit alone, which leaves out what tracing each free costs.",
        certainty="measured on a simulated machine"
        if facts.trace.info.source == MACHINE_SOURCE
        else "the runs are measured; tracing itself makes each free in them longer",
    )


def _beyond(facts: Facts) -> float:
    """Share of the frees whose size the caches do not serve."""
    largest = facts.largest_cached
    return share_of(facts.frees.filter(pl.col("size") > largest).height, facts.frees.height)
