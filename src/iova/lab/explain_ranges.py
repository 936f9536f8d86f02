"""Causes that show in the lives of ranges: never freed, freed as another size, lost on the way."""

from __future__ import annotations

from typing import Final

import polars as pl

from iova.lab.explain_facts import PATIENCE, RING, Facts, share_of
from iova.lab.explain_model import Evidence, Finding, Harm

#: Fewer ranges than a magazine holds are what drivers keep for themselves.
KEPT: Final = 127
#: Of a leak each of the last quarters has at least so much: buffers made at the start have not.
STEADY: Final = 0.1


# ---------------------------------------------------------------------------- lost rings


def lost_rings(facts: Facts) -> Finding | None:
    """Whole rings of the flush queue vanish: unmapped by the driver, never freed."""
    lost = facts.stuck.filter(pl.col("unmap_t").is_not_null())
    if lost.height < RING:
        return None
    in_rings = lost.height % RING == 0
    by_cpu = lost.group_by("unmap_cpu").len().sort("unmap_cpu")
    whole_cpus = by_cpu.filter(pl.col("len") % RING == 0).height
    kib = int(lost["size"].sum()) * facts.granule() / 1024
    return Finding(
        cause="lost-rings",
        verdict=f"{lost.height:,} ranges were unmapped by the driver and never freed"
        + (f": {lost.height // RING} whole rings of the flush queue." if in_rings else "."),
        harm=Harm.LOSES,
        cost=kib,
        evidence=(
            Evidence("ranges unmapped but never freed", lost.height),
            Evidence("as rings of 256", lost.height / RING),
            Evidence("CPUs that unmapped them", by_cpu.height),
            Evidence("of these in whole rings", whole_cpus),
            Evidence("address space that is gone", kib, "KiB"),
            Evidence("memory for their records, 40 bytes each", lost.height * 40 / 1024, "KiB"),
        ),
        remedy="Use strict mode, which has no flush queue: iommu.strict=1. A virtual machine should"
        " not have its CPUs paused for long: that is when it was seen.",
        settle="Count iommu_iova in /proc/slabinfo over days: does it grow by 256 at a time, and"
        " never shrink?",
        certainty=_how_lost(facts, in_rings),
    )


def _how_lost(facts: Facts, in_rings: bool) -> str:
    if facts.trace.info.lost_events:
        return (
            "uncertain: the trace lost events, which may be these frees; record with larger buffers"
        )
    measured = "that they were never freed is measured"
    if not in_rings:
        return f"{measured}; why is not known: they are no multiple of 256"
    return (
        f"{measured}; that a full ring was overwritten while another CPU's flush was under way is"
        " inferred from the multiples of 256"
    )


# -------------------------------------------------------------------------- never unmapped


def never_unmapped(facts: Facts) -> Finding | None:
    """A driver maps and does not unmap: what is live grows and grows."""
    kept = facts.stuck.filter(pl.col("unmap_t").is_null())
    if kept.height < KEPT:
        return None
    quarters = _by_quarter(kept, facts)
    if min(quarters[2:]) < STEADY * kept.height:
        return None
    (size, of_size), *_ = kept["size"].value_counts(sort=True).rows()
    (domain, in_domain), *_ = kept["domain"].value_counts(sort=True).rows()
    asked = facts.ranges.filter((pl.col("size") == size) & (pl.col("domain") == domain)).height
    kib = int(kept["size"].sum()) * facts.granule(domain) / 1024
    hours = facts.source.span_ns / 3.6e12
    pages = f"{size} page{'s' if size > 1 else ''}"
    return Finding(
        cause="never-unmaps",
        verdict=f"A driver does not unmap what it maps: {kept.height:,} ranges, most of {pages},"
        " were never freed, and there are more all the time.",
        harm=Harm.LOSES,
        cost=kib,
        evidence=(
            Evidence("ranges never unmapped", kept.height),
            *(
                Evidence(f"allocated in the {name} quarter", quarters[i])
                for i, name in enumerate(("first", "second", "third", "last"))
            ),
            Evidence(f"of {pages}", of_size),
            Evidence("allocations of that size in that domain", asked),
            Evidence(f"in domain {domain}{_device(facts, domain)}", in_domain),
            Evidence("address space that is gone", kib, "KiB"),
            Evidence("gone in an hour at this rate", share_of(kib, hours), "KiB"),
        ),
        remedy="Look in the driver for a path that maps this size and returns without an unmap. In"
        " a kernel with CONFIG_DMA_API_DEBUG, /sys/kernel/debug/dma-api/dump lists what is mapped,"
        " by device.",
        settle="A longer trace: ranges that merely live long are freed in the end.",
        certainty=f"inferred: they are {PATIENCE:g} times as old as nearly all that were freed"
        + (
            ""
            if facts.tells_of_unmaps
            else "; the trace does not tell of unmaps, so rings that the"
            " flush queue lost look the same"
        ),
    )


def _by_quarter(ranges: pl.DataFrame, facts: Facts) -> list[int]:
    """Ranges by the quarter of their allocation, of the time in which one can be told stuck."""
    span_ns = max(facts.last_ns - int(facts.patience_ns) - facts.first_ns, 1)
    place = (ranges["t"] - facts.first_ns) * 4 // span_ns
    return [int((place == quarter).sum()) for quarter in range(4)]


def _device(facts: Facts, domain: int) -> str:
    named = [d.device for d in facts.trace.info.domains if d.domain == domain and d.device]
    return f" ({named[0]})" if named else ""


# ----------------------------------------------------------------------------- wrong sizes


def wrong_sizes(facts: Facts) -> Finding | None:
    """A free names another size class than the allocation: the caches are poisoned."""
    largest = facts.largest_cached
    wrong = facts.ranges.filter(
        pl.col("freed")
        & (_class_of("free_size", largest) != _class_of("size", largest))
        & ~(pl.col("domain").is_in(facts.destroyed) & (pl.col("free_size") == 0))
    )
    if wrong.is_empty():
        return None
    larger = wrong.filter(pl.col("free_size") > pl.col("size"))
    pairs = wrong.group_by("size", "free_size").len().sort("len", "size", descending=True)
    size, freed_as, _ = pairs.row(0)
    (domain, in_domain), *_ = wrong["domain"].value_counts(sort=True).rows()
    first = int(wrong.filter(pl.col("domain") == domain)["pfn"][0])
    return Finding(
        cause="wrong-size",
        verdict=f"A driver unmaps another size than it mapped: {wrong.height:,} times, most often"
        f" {size} pages as {freed_as}. The range is cached as one of the wrong size.",
        harm=Harm.CORRUPTS,
        cost=wrong.height,
        evidence=(
            Evidence("frees of another size class than the allocation", wrong.height),
            Evidence("freed as larger: handed out over its neighbour", larger.height),
            Evidence("freed as smaller: the rest stays mapped", wrong.height - larger.height),
            Evidence("of all frees", share_of(wrong.height, facts.frees.height), "share"),
            Evidence(f"in domain {domain}{_device(facts, domain)}", in_domain),
        ),
        remedy="Correct the driver: an unmap must name the size that was mapped;"
        " CONFIG_DMA_API_DEBUG names the call. Until then, distrust what the device wrote.",
        settle=f"`iova explain SOURCE --domain {domain} --address pfn:{first:#x}` tells the first"
        " such range's story.",
        certainty="measured: each free is tied to its allocation",
    )


def _class_of(column: str, largest: int) -> pl.Expr:
    """Size class by its largest size; all sizes beyond the caches are one."""
    pages = pl.col(column)
    rounded = pl.lit(1, pl.UInt64)
    for power in range(largest.bit_length()):
        rounded = pl.when(pages > 1 << power).then(pl.lit(2 << power, pl.UInt64)).otherwise(rounded)
    return rounded
