"""From the event table to chains of points, domain by domain."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Final

import polars as pl

from iova.events import NO_SLOT, Flag, Op
from iova.lab.points import (
    CACHED_CLASSES,
    EMPTY,
    FAILED,
    FOREVER,
    GET,
    HIT,
    MISS,
    POP,
    PUT,
    UNCACHED,
    CacheChain,
    DomainPoints,
    Drain,
    Problem,
    TreeChain,
)
from iova.lab.tie import Ties, TreePoint

_POINT: Final[dict[str, pl.DataType]] = {
    "size_class": pl.UInt8(),
    "kind": pl.UInt8(),
    "cpu": pl.UInt32(),
    "pfn": pl.UInt64(),
    "cap": pl.UInt64(),
    "entry": pl.Int64(),
    "end": pl.Int64(),
    "row": pl.UInt32(),
    "drain": pl.Int32(),
}


def prepared(events: pl.DataFrame) -> pl.DataFrame:
    """Number the rows, sort them by domain and row, and add what every step needs.

    Added are ``size_class``, ``rounded`` (pages) and, for a free, ``alloc_row``: the row of the
    allocation that it gives back, null if that is not in the trace.
    """
    size = pl.col("size")
    size_class, rounded = pl.lit(UNCACHED, pl.UInt8), size
    for k in reversed(range(CACHED_CLASSES)):
        fits = size <= 1 << k
        size_class = pl.when(fits).then(pl.lit(k, pl.UInt8)).otherwise(size_class)
        rounded = pl.when(fits).then(pl.lit(1 << k, pl.UInt64)).otherwise(rounded)
    unused = [int(Op.UNMAP), int(Op.FLUSH_TIMER)]
    rows = (
        events.with_row_index("row")
        .filter(pl.col("domain").is_not_null() & ~pl.col("op").is_in(unused))
        .with_columns(
            pl.col("flags").fill_null(0),
            pl.when(pl.col("slot") != NO_SLOT).then(pl.col("slot")),
            size_class=size_class,
            rounded=rounded,
        )
        .drop("depot")
    )
    return rows.join(_handles(rows), on="row", how="left").sort("domain", "row")


def _handles(rows: pl.DataFrame) -> pl.DataFrame:
    """Tie each free to its allocation: the last one before it of the same slot.

    A slot may be given out again in the clock tick in which it was freed, so the page frame, which
    a free shares with its allocation, has to agree too.
    """
    slotted = rows.filter(pl.col("slot").is_not_null())
    by = ["domain", "slot", "pfn"]
    allocs = (
        slotted.filter((pl.col("op") == int(Op.ALLOC)) & pl.col("t_end").is_not_null())
        .select(*by, "t_end", alloc_row="row")
        .sort("t_end", "alloc_row")
    )
    frees = slotted.filter(pl.col("op") == int(Op.FREE)).select(*by, "t", "row").sort("t", "row")
    tied = frees.join_asof(
        allocs, left_on="t", right_on="t_end", by=by, strategy="backward", check_sortedness=False
    )
    return tied.select("row", "alloc_row")


def tie_domain(rows: pl.DataFrame) -> DomainPoints:
    """Build the points of one domain from its rows in a frame made by :func:`prepared`."""
    domain = int(rows["domain"].item(0))
    created = rows.filter(pl.col("op") == int(Op.CREATE))["pfn"].drop_nulls()
    calls = rows.filter(pl.col("op").is_in([int(Op.ALLOC), int(Op.FREE)]) & (pl.col("size") > 0))
    offline = rows.filter(pl.col("op") == int(Op.CPU_OFFLINE))["n"].drop_nulls()
    cpus = sorted({*calls["cpu"].unique().to_list(), *offline.unique().to_list()})
    dense = {cpu: index for index, cpu in enumerate(cpus)}
    ties = Ties(domain, dense)
    ties.read(rows)
    _find_full_depots(ties, calls)
    _note_unknown_frees(ties, calls)
    return DomainPoints(
        domain=domain,
        start=int(created.item(0)) if created.len() else 1,
        cpus=cpus,
        caches=list(_cache_chains(calls, ties, dense)),
        tree=_tree_chain(ties.tree),
        drains=ties.drains,
        problems=ties.problems,
    )


def _find_full_depots(ties: Ties, calls: pl.DataFrame) -> None:
    """Give each magazine that no worker emptied to the free that must have left it over."""
    orphans = [d for d in ties.drains if d.reclaim_t is None and d.offline_cpu is None]
    if not orphans:
        return
    frees = calls.filter(pl.col("op") == int(Op.FREE))
    parts = frees.partition_by("cpu", "size_class", as_dict=True)
    for drain in orphans:
        part = parts.get((drain.cpu, drain.size_class))
        index = -1 if part is None else int(part["t"].search_sorted(drain.t, side="right")) - 1
        if part is None or index < 0:
            ties.disagree(drain, "a magazine is emptied", "no reclaim, lost CPU or full depot")
        else:
            drain.put_row = int(part["row"].item(index))


def _note_unknown_frees(ties: Ties, calls: pl.DataFrame) -> None:
    unknown = calls.filter((pl.col("op") == int(Op.FREE)) & pl.col("alloc_row").is_null())
    for row, cpu, t, pfn in unknown.select("row", "cpu", "t", "pfn").iter_rows():
        text = "a range is freed" if pfn is None else f"{pfn:#x} is freed"
        ties.problems.append(Problem(row, ties.domain, cpu, t, text, "it is not live"))


def _tree_chain(points: list[TreePoint]) -> TreeChain:
    points = sorted(points, key=attrgetter("end", "row"))
    columns = {name: [getattr(p, name) for p in points] for name in TreePoint._fields}
    columns["pfn"] = [FAILED if pfn is None else pfn for pfn in columns["pfn"]]
    return TreeChain(**columns)


def _cache_chains(calls: pl.DataFrame, ties: Ties, dense: dict[int, int]) -> Iterator[CacheChain]:
    """Yield the domain's caches that were used, smallest class first."""
    number = pl.DataFrame(
        {"cpu": list(dense), "dense": list(dense.values())},
        schema={"cpu": pl.UInt32, "dense": pl.UInt32},
    )
    raw = (pl.col("flags") & int(Flag.RAW)) != 0
    cached = (
        calls.filter((pl.col("size_class") < UNCACHED) & ~raw)
        .with_columns(pl.col("cpu").cast(pl.UInt32))
        .join(number, on="cpu", how="left")
    )
    points = pl.concat([_gets(cached, ties), _puts(cached, ties), _drains(ties.drains)])
    for part in points.partition_by("size_class"):
        # Points that end in the same clock tick: in the order of their calls.
        ordered = part.sort("end", "row")
        columns = {name: ordered[name].to_list() for name in _POINT if name != "size_class"}
        yield CacheChain(size_class=int(part["size_class"].item(0)), **columns)


def _gets(cached: pl.DataFrame, ties: Ties) -> pl.DataFrame:
    """Hits and misses."""
    looked_by = pl.DataFrame(
        {"row": list(ties.looked_by), "looked_by": list(ties.looked_by.values())},
        schema={"row": pl.UInt32, "looked_by": pl.Int64},
    )
    reached = (pl.col("flags") & int(Flag.REACHED_TREE)) != 0
    open_ended = pl.col("t_end").is_null()
    hit = ~reached & pl.col("pfn").is_not_null()
    missed = pl.col("looked_by").is_not_null()
    return (
        cached.filter((pl.col("op") == int(Op.ALLOC)) & pl.col("limit").is_not_null())
        .join(looked_by, on="row", how="left")
        .filter(missed | hit | open_ended)
        .select(
            "size_class",
            kind=pl.when(missed).then(MISS).when(open_ended).then(GET).otherwise(HIT),
            cpu="dense",
            pfn=pl.col("pfn").fill_null(0),
            # Unsigned and wrapping, like the system's own arithmetic.
            cap=pl.col("limit") + 1 - pl.col("rounded"),
            entry="t",
            end=pl.coalesce("looked_by", "t_end", FOREVER),
            row="row",
            drain=-1,
        )
        .cast(pl.Schema(_POINT))
    )


def _puts(cached: pl.DataFrame, ties: Ties) -> pl.DataFrame:
    """Frees that the cache took, with the magazine that a full depot left over."""
    surplus = pl.DataFrame(
        [(drain.put_row, i) for i, drain in enumerate(ties.drains) if drain.put_row is not None],
        schema={"row": pl.UInt32, "drain": pl.Int32},
        orient="row",
    ).unique("row", keep="first")
    refused = pl.DataFrame({"row": sorted(ties.refused)}, schema={"row": pl.UInt32})
    return (
        cached.filter((pl.col("op") == int(Op.FREE)) & pl.col("alloc_row").is_not_null())
        .join(refused, on="row", how="anti")
        .join(surplus, on="row", how="left")
        .select(
            "size_class",
            kind=PUT,
            cpu="dense",
            pfn="pfn",
            cap=0,
            entry="t",
            end=pl.col("t_end").fill_null(FOREVER),
            row="row",
            drain=pl.col("drain").fill_null(-1),
        )
        .cast(pl.Schema(_POINT))
    )


def _drains(drains: list[Drain]) -> pl.DataFrame:
    """Magazines that reclaim took off the depot, or that an offline CPU lost."""
    points = []
    for index, drain in enumerate(drains):
        kind, cpu, entry = POP, 0, drain.reclaim_t
        if drain.offline_cpu is not None:
            kind, cpu, entry = EMPTY, drain.offline_cpu, drain.t
        if drain.size_class < UNCACHED and entry is not None:
            points.append((drain.size_class, kind, cpu, 0, 0, entry, drain.t, drain.row, index))
    return pl.DataFrame(points, schema=_POINT, orient="row")
