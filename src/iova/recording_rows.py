"""From the calls of a live domain to the rows of a trace.

A placement, at a fixed address or at an alignment beyond the size's own, becomes a raw allocation
whose limit is its last frame: under another design it lies as high as possible below that. A
deferred free stands where it was released, as in a kernel's trace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.events import DOMAIN_SOURCE, DomainInfo, Flag, Op, Trace, TraceInfo, normalised
from iova.recording import Beginning
from iova.sources.parquet import write_parquet

#: What the ``source`` of such a trace says.

_OPS: Final = _core.LIVE_OPS
_ROW_OF: Final = {
    _OPS["alloc"]: (Op.ALLOC, Flag.FLUSH_RETRY),
    _OPS["free"]: (Op.FREE, Flag(0)),
    _OPS["place"]: (Op.ALLOC, Flag.RAW),
    _OPS["remove"]: (Op.FREE, Flag.RAW),
    _OPS["reserve"]: (Op.RESERVE, Flag(0)),
    _OPS["flush_caches"]: (Op.FLUSH_CACHES, Flag(0)),
}
_ALLOC: Final = pl.col("op") == int(Op.ALLOC)
_FREE: Final = pl.col("op") == int(Op.FREE)
_RAW: Final = (pl.col("flags") & int(Flag.RAW)) != 0
_NO_FREE: Final = 2**62


def write_recording(
    path: Path,
    beginning: Beginning,
    calls: npt.NDArray[np.void],
    *,
    lost: int,
    ended: int | None,
) -> None:
    """Write a trace of one domain.

    Args:
        path: the file; it appears whole.
        beginning: the domain before the calls.
        calls: of :data:`iova._core.LIVE_EVENT`, in the order in which they ended.
        lost: calls that are not among them.
        ended: when the domain was closed, ns; None: it was not.

    Raises:
        InputError: the file cannot be written.
    """
    write_parquet(trace_of(beginning, calls, lost=lost, ended=ended), path)


def trace_of(
    beginning: Beginning, calls: npt.NDArray[np.void], *, lost: int = 0, ended: int | None = None
) -> Trace:
    """Make a trace; see :func:`write_recording`."""
    rows = _rows_of(calls)
    first = _first_rows(beginning, rows)
    parts = [first, rows.with_columns(pl.col("t", "t_end").clip(lower_bound=beginning.t))]
    if ended is not None:
        last_t = max(ended, *(part.select(pl.col("t").max()).item() or 0 for part in parts))
        parts.append(_frame([{"t": last_t, "op": int(Op.DESTROY)}]))
    table = pl.concat(parts, how="diagonal").sort("t", maintain_order=True)
    table = _with_slots(table).with_columns(domain=pl.lit(0, pl.UInt32))
    info = TraceInfo(
        source=DOMAIN_SOURCE,
        clock="monotonic",
        cpus_possible=beginning.cpus,
        cpus_online=beginning.cpus,
        lost_events=lost,
        domains=(
            DomainInfo(
                domain=0,
                granule=beginning.granule,
                start=beginning.start,
                device=beginning.name,
                mode="lazy" if (calls["op"] == _OPS["defer"]).any() else "strict",
                born=beginning.born,
                destroyed=ended is not None,
            ),
        ),
        notes=tuple(_notes(beginning, table)),
    )
    return Trace(normalised(table, DOMAIN_SOURCE), info)


# ----------------------------------------------------------------------------------- rows


def _frame(rows: list[dict[str, int]]) -> pl.DataFrame:
    wide = dict.fromkeys(("size", "limit", "pfn", "last"), pl.UInt64)
    kinds = {"t": pl.Int64, "t_end": pl.Int64, "cpu": pl.UInt32, "op": pl.Int32, "flags": pl.Int32}
    frame = pl.DataFrame(rows, schema={**kinds, **wide}, orient="row")
    return frame.with_columns(pl.col("cpu", "flags").fill_null(0))


def _rows_of(calls: npt.NDArray[np.void]) -> pl.DataFrame:
    """One row a call, with null where the schema has it; in the order in which they ended."""
    calls = calls[calls["op"] != _OPS["defer"]]
    table = np.array([(*_ROW_OF.get(op, (0, 0)),) for op in range(max(_ROW_OF) + 1)], np.int32)
    began = np.where(calls["began"] == 0, calls["ended"], calls["began"]).astype(np.int64)
    frame = pl.DataFrame(
        {
            "t": began,
            "t_end": calls["ended"].astype(np.int64),
            "cpu": calls["cpu"].copy(),
            "op": table[calls["op"], 0],
            "flags": table[calls["op"], 1],
            "status": calls["status"].copy(),
            **{name: calls[name].copy() for name in ("size", "limit", "pfn", "last")},
        }
    )
    pages = pl.col("last") - pl.col("pfn") + 1
    reached_tree = _ALLOC & (_RAW | (pl.col("last") == 1))
    is_call = _ALLOC | _FREE
    at = pl.when(_ALLOC & (pl.col("status") != 0)).then(None).otherwise(pl.col("pfn"))
    return frame.with_columns(
        flags=pl.col("flags") | pl.when(reached_tree).then(int(Flag.REACHED_TREE)).otherwise(0),
        t_end=pl.when(is_call).then("t_end"),
        size=pl.when(_ALLOC & _RAW).then(pages).when(is_call).then("size"),
        limit=pl.when(_ALLOC & _RAW).then("last").when(_ALLOC).then("limit"),
        pfn=pl.when(pl.col("op") != int(Op.FLUSH_CACHES)).then(at),
        last=pl.when(pl.col("op") == int(Op.RESERVE)).then("last"),
    ).drop("status")


def _first_rows(beginning: Beginning, rows: pl.DataFrame) -> pl.DataFrame:
    """Lay the domain as it was: from the top down, so that raw allocations land where they lay."""
    t, top = beginning.t, 2**64 // beginning.granule - 1
    first: list[dict[str, int]] = [
        {"t": t, "op": int(Op.CREATE), "pfn": beginning.start},
        {"t": t, "op": int(Op.MAKE_CACHES)},
    ]
    first += [
        {"t": t, "op": int(Op.RESERVE), "pfn": low, "last": min(high, top)}
        for low, high in beginning.reserved.tolist()
        if low <= top
    ]
    live = pl.DataFrame(beginning.live, schema={"pfn": pl.UInt64, "last": pl.UInt64})
    size = pl.col("last") - pl.col("pfn") + 1
    laid = (
        live.join(_allocated_first(rows), on="pfn", how="anti")
        .sort("pfn", descending=True)
        .select(
            pl.lit(t, pl.Int64).alias("t"),
            pl.lit(t, pl.Int64).alias("t_end"),
            pl.lit(0, pl.UInt32).alias("cpu"),
            pl.lit(int(Op.ALLOC), pl.Int32).alias("op"),
            pl.lit(int(Flag.RAW), pl.Int32).alias("flags"),
            "pfn",
            size=size,
            limit="last",
        )
    )
    return pl.concat([_frame(first), laid], how="diagonal")


def _allocated_first(rows: pl.DataFrame) -> pl.DataFrame:
    """Frames whose first call is an allocation: not live when the recording began."""
    seen = rows.filter((_ALLOC | _FREE) & pl.col("pfn").is_not_null()).select(
        "pfn", "op", moment=pl.when(_ALLOC).then("t_end").otherwise("t")
    )
    first = seen.sort("moment", maintain_order=True).group_by("pfn").agg(pl.col("op").first())
    return first.filter(_ALLOC).select("pfn")


# ---------------------------------------------------------------------------------- slots


def _with_slots(table: pl.DataFrame) -> pl.DataFrame:
    """Tie frees to allocations: a slot a frame, but where rows overlap a slot of its own.

    A range is its owner's from the end of its allocation to the start of its free, and is handed
    out again only after that. So the ends of the allocations of a frame and the starts of its frees
    take turns, though the rows, sorted by their starts, need not.
    """
    table = table.with_row_index("row")
    allocs = table.filter(_ALLOC & pl.col("pfn").is_not_null()).select(
        "pfn", moment="t_end", alloc_row="row"
    )
    frees = table.filter(_FREE).select("pfn", moment="t", free_row="row")
    tied = frees.sort("moment", "free_row").join_asof(
        allocs.sort("moment", "alloc_row"),
        on="moment",
        by="pfn",
        strategy="backward",
        check_sortedness=False,
    )
    tied = tied.filter(pl.col("alloc_row").is_not_null()).unique(
        "alloc_row", keep="first", maintain_order=True
    )
    uses = allocs.join(tied.select("alloc_row", "free_row"), on="alloc_row", how="left").sort(
        "pfn", "moment", "alloc_row"
    )
    held_until = pl.col("free_row").fill_null(_NO_FREE).cast(pl.Int64).cum_max().shift(1)
    overlaps = (held_until.over("pfn") > pl.col("alloc_row").cast(pl.Int64)).fill_null(False)
    uses = uses.with_columns(
        overlaps=overlaps, slot=pl.col("pfn").rank("dense").cast(pl.UInt32) - 1
    )
    frames = uses["pfn"].n_unique()
    own = frames + pl.col("overlaps").cum_sum() - 1
    uses = uses.with_columns(slot=pl.when("overlaps").then(own).otherwise("slot").cast(pl.UInt32))
    slots = pl.concat(
        [
            uses.select("slot", row="alloc_row"),
            uses.filter(pl.col("free_row").is_not_null()).select("slot", row="free_row"),
        ]
    )
    return table.join(slots, on="row", how="left", maintain_order="left").drop("row")


# ---------------------------------------------------------------------------------- notes


def _notes(beginning: Beginning, table: pl.DataFrame) -> list[str]:
    placed = table.filter(_ALLOC & _RAW & (pl.col("t") > beginning.t)).height
    unknown = table.filter(_FREE & pl.col("slot").is_null()).height
    told: list[tuple[Any, str]] = [
        (True, f"a live domain of iova {_core.VERSION} under the design {beginning.design}"),
        (beginning.classes != 6, f"its caches hold {beginning.classes} size classes, not 6"),
        (not beginning.born, "it was in use before: its caches are not in the trace"),
        (
            not beginning.knows_live,
            "nor are its live ranges, which an unchecked domain does not know",
        ),
        (beginning.deferred, f"{beginning.deferred} frees waited for an IOTLB flush before"),
        (placed, f"{placed} ranges were placed past Linux's search: replays may differ from there"),
        (unknown, f"{unknown} frees give back ranges whose allocation was not seen"),
    ]
    return [note for applies, note in told if applies]
