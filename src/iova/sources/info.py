"""``info``: what a trace holds, in numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from iova.events import DomainInfo, Flag, Op, Trace, TraceInfo


@dataclass(frozen=True)
class DomainSummary:
    """One domain of a trace."""

    info: DomainInfo
    allocs: int  #: that returned a range
    failed_allocs: int
    frees: int
    reserved_ranges: int
    live_ranges: int  #: at the end of the trace: allocated in it and not freed
    live_pages: int  #: as asked for, not rounded
    unmapped_never_freed: int  #: of the live ranges, those that the driver unmapped


@dataclass(frozen=True)
class SizeCount:
    """Allocations of one size."""

    pages: int  #: as asked for, not rounded
    allocs: int
    reached_tree: int  #: of these, how many the caches did not serve


@dataclass(frozen=True)
class CpuCount:
    """Calls on one CPU."""

    cpu: int
    allocs: int
    frees: int


@dataclass(frozen=True)
class TraceSummary:
    """What a trace holds. ``dataclasses.asdict`` makes it ready for JSON."""

    info: TraceInfo
    events: int  #: rows
    first_ns: int
    last_ns: int
    operations: dict[str, int]  #: rows by operation, in the order of their codes
    domains: tuple[DomainSummary, ...]
    sizes: tuple[SizeCount, ...]  #: rising
    cpus: tuple[CpuCount, ...]  #: rising; only CPUs that allocate or free
    allocs: int  #: that returned a range
    failed_allocs: int
    unfinished_allocs: int  #: whose return is not in the trace
    cache_hits: int  #: successful allocations that did not go past the caches
    frees: int
    frees_on_other_cpu: int  #: on another CPU than their allocation
    frees_without_alloc: int  #: whose allocation is not in the trace
    live_ranges: int
    live_pages: int
    unmapped_never_freed: int

    @property
    def seconds(self) -> float:
        """From the first event to the last."""
        return (self.last_ns - self.first_ns) / 1e9


_ALLOC = pl.col("op") == int(Op.ALLOC)
_FREE = pl.col("op") == int(Op.FREE)
_RETURNED = _ALLOC & pl.col("pfn").is_not_null()
_FAILED = _ALLOC & pl.col("pfn").is_null() & pl.col("t_end").is_not_null()
_REACHED_TREE = (pl.col("flags") & int(Flag.REACHED_TREE)) != 0


def summarise(trace: Trace) -> TraceSummary:
    """Count what a trace holds."""
    events = trace.events
    uses = _uses_of_slots(events)
    live = _with_unmaps(uses.filter(_ALLOC & ~pl.col("freed")), events)
    count = events.select(
        allocs=_RETURNED.sum(),
        failed=_FAILED.sum(),
        unfinished=(_ALLOC & pl.col("t_end").is_null()).sum(),
        hits=(_RETURNED & ~_REACHED_TREE).sum(),
        frees=_FREE.sum(),
        unknown_frees=(_FREE & pl.col("slot").is_null()).sum(),
    ).row(0, named=True)
    return TraceSummary(
        info=trace.info,
        events=events.height,
        first_ns=_whole(events["t"].min()),
        last_ns=max(_whole(events["t"].max()), _whole(events["t_end"].max())),
        operations=_operations(events),
        domains=tuple(_domains(events, live, trace.info.domains)),
        sizes=tuple(_sizes(events)),
        cpus=tuple(_cpus(events)),
        allocs=count["allocs"],
        failed_allocs=count["failed"],
        unfinished_allocs=count["unfinished"],
        cache_hits=count["hits"],
        frees=count["frees"],
        frees_on_other_cpu=uses.filter(_FREE & (pl.col("cpu") != pl.col("alloc_cpu"))).height,
        frees_without_alloc=count["unknown_frees"],
        live_ranges=live.height,
        live_pages=_whole(live["size"].sum()),
        unmapped_never_freed=_whole(live["unmapped"].sum()),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _uses_of_slots(events: pl.DataFrame) -> pl.DataFrame:
    """Allocations and frees that hold a slot, each beside the next or last of the same slot.

    A slot is held from the row of an allocation to that of its free, so in the order of rows they
    take turns. Where a free is missing an allocation follows an allocation.
    """
    return (
        events.select("t", "t_end", "cpu", "op", "domain", "size", "pfn", "slot")
        .with_row_index("row")
        .filter((_RETURNED | _FREE) & pl.col("slot").is_not_null())
        .sort("slot", "row")
        .with_columns(
            freed=(pl.col("op").shift(-1) == int(Op.FREE)).over("slot").fill_null(False),
            alloc_cpu=pl.col("cpu").shift(1).over("slot"),
        )
    )


def _with_unmaps(live: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Add ``unmapped``: whether the driver unmapped the range after it was allocated.

    An unmap names no domain. So a range counts as unmapped if since its allocation there were more
    unmaps than frees of its page frames, and more than the later ranges of these page frames use
    up.
    """
    pages = ["pfn", "last"]
    last = pl.col("pfn") + pl.col("size") - 1
    unmaps = events.filter(pl.col("op") == int(Op.UNMAP)).select("t", *pages, step=1)
    frees = events.filter(_FREE).select("t", "pfn", last=last, step=-1)
    steps = (
        pl.concat([unmaps, frees])
        .sort("t", maintain_order=True)
        .with_columns(before=pl.col("step").cum_sum().over(pages))
    )
    ranges = live.with_columns(last=last).sort("t_end", "row")
    ranges = ranges.join_asof(
        steps.select("t", *pages, "before"),
        left_on="t_end",
        right_on="t",
        by=pages,
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    totals = steps.group_by(pages).agg(total=pl.col("step").sum())
    excess = pl.col("total").fill_null(0) - pl.col("before").fill_null(0)
    later = (pl.col("excess") > 0).cum_sum().over(pages) - (pl.col("excess") > 0)
    return (
        ranges.join(totals, on=pages, how="left")
        .with_columns(excess=excess.cast(pl.Int64))
        .sort("row", descending=True)
        .with_columns(unmapped=pl.col("excess") > later)
    )


def _operations(events: pl.DataFrame) -> dict[str, int]:
    rows = events.group_by("op").len().sort("op").rows()
    return {Op(op).name.lower(): count for op, count in rows}


def _domains(
    events: pl.DataFrame, live: pl.DataFrame, known: Iterable[DomainInfo]
) -> Iterable[DomainSummary]:
    calls = events.group_by("domain").agg(
        allocs=_RETURNED.sum(),
        failed=_FAILED.sum(),
        frees=_FREE.sum(),
        reserved=(pl.col("op") == int(Op.RESERVE)).sum(),
    )
    left = live.group_by("domain").agg(
        ranges=pl.len(), pages=pl.col("size").sum(), unmapped=pl.col("unmapped").sum()
    )
    infos = {info.domain: info for info in known}
    joined = calls.filter(pl.col("domain").is_not_null()).join(left, on="domain", how="left")
    for row in joined.fill_null(0).sort("domain").iter_rows(named=True):
        yield DomainSummary(
            info=infos.get(row["domain"], DomainInfo(row["domain"], born=False)),
            allocs=row["allocs"],
            failed_allocs=row["failed"],
            frees=row["frees"],
            reserved_ranges=row["reserved"],
            live_ranges=row["ranges"],
            live_pages=row["pages"],
            unmapped_never_freed=row["unmapped"],
        )


def _sizes(events: pl.DataFrame) -> Iterable[SizeCount]:
    counted = events.filter(_RETURNED).group_by("size").agg(pl.len(), _REACHED_TREE.sum())
    for pages, allocs, reached_tree in counted.sort("size").iter_rows():
        yield SizeCount(pages, allocs, reached_tree)


def _cpus(events: pl.DataFrame) -> Iterable[CpuCount]:
    calls = events.filter(_ALLOC | _FREE)
    counted = calls.group_by("cpu").agg(_ALLOC.sum().alias("allocs"), _FREE.sum().alias("frees"))
    for cpu, allocs, frees in counted.sort("cpu").iter_rows():
        yield CpuCount(cpu, allocs, frees)
