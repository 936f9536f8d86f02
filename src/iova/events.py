"""The event schema: one table for whatever goes in, a kernel's trace or a generated workload.

A :class:`Trace` is a Polars data frame with the columns of :data:`SCHEMA` and a :class:`TraceInfo`
that says where it came from. Rows are sorted by ``t``; rows of equal ``t`` keep the order in which
the source gave them, so an outer call stands before the calls nested in it.

What each operation (:class:`Op`) uses, beside ``t``, ``cpu`` and ``domain``:

================= ==============================================================================
``create``        ``pfn`` = lowest frame the search may hand out
``make_caches``   nothing
``reserve``       ``pfn`` .. ``last``, inclusive
``alloc``         ``t_end``, ``size``, ``limit``, ``flags``, ``pfn`` (null: failed), ``slot``
``free``          ``t_end``, ``size``, ``flags``, ``pfn``, ``slot``
``flush_caches``  nothing
``cpu_offline``   ``n`` = the CPU that went; ``cpu`` is the one on which its caches were emptied
``cpu_online``    ``n`` = the CPU that came
``destroy``       nothing
``tree_alloc``    ``t_end``, ``size``, ``limit``, ``flags``, ``pfn`` .. ``last`` (null: failed)
``tree_free``     ``pfn``: a free that the cache did not take
``tree_remove``   ``pfn`` .. ``last``: the range that left the tree
``magazine_free`` ``n`` = entries of the magazine that is emptied into the tree
``reclaim``       ``size`` = pages of the size class (null: unknown), ``n`` = depot length before
``unmap``         ``pfn`` .. ``last``; ``domain`` is null, as the kernel's event names none
``flush_timer``   ``domain`` is null
================= ==============================================================================

``n`` is a number whose meaning the operation gives. ``alloc`` and ``free`` have ``depot`` where it
was recorded. ``flags`` is 0, not null, where none is set. A ``t_end`` of null means that the return
was not recorded; the ``pfn`` of such an ``alloc`` is not known. Slots are numbered over the whole
trace. An ``alloc`` holds its slot from its own row to that of its ``free``, so rows executed in
their order never share one.

The calls (codes below 16) are what a replay executes; the rest was seen inside the recorded system
and is for ``verify`` and ``explain``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import polars as pl

from iova.errors import InputError

SCHEMA_VERSION: Final = 1

#: ``TraceInfo.source`` of what a live domain recorded of itself.
DOMAIN_SOURCE: Final = "iova.Domain"
DEPOT_CLASSES: Final = 6

#: Null in ``slot`` of a free means that its allocation is not in the trace.
NO_SLOT: Final = 0xFFFF_FFFF


class Op(enum.IntEnum):
    """What happened in one row."""

    CREATE = 0
    MAKE_CACHES = 1
    RESERVE = 2
    ALLOC = 3
    FREE = 4
    FLUSH_CACHES = 5
    CPU_OFFLINE = 6
    CPU_ONLINE = 7
    DESTROY = 8
    TREE_ALLOC = 16
    TREE_FREE = 17
    TREE_REMOVE = 18
    MAGAZINE_FREE = 19
    RECLAIM = 20
    UNMAP = 21
    FLUSH_TIMER = 22


#: Operations with a code below this are calls; a replay executes them.
FIRST_INSIDE_OP: Final = 16


class Flag(enum.IntFlag):
    """Bits of the ``flags`` column."""

    RAW = 1  #: past the caches (``alloc_iova``/``free_iova``)
    FLUSH_RETRY = 2  #: on failure flush the caches and try once more
    ONLY_IF_PREVIOUS_FAILED = 4  #: done only if the row before is an allocation that failed
    ALIGN = 8  #: a raw allocation aligned to its rounded-up size
    REACHED_TREE = 16  #: the recorded call went past the caches


#: Column name to Polars type, in file order. ``t``, ``cpu`` and ``op`` are never null.
SCHEMA: Final[dict[str, pl.DataType]] = {
    "t": pl.Int64(),  #: when it began
    "t_end": pl.Int64(),  #: when it returned
    "cpu": pl.UInt16(),  #: on which it happened
    "op": pl.UInt8(),  #: what happened, a code
    "domain": pl.UInt32(),  #: number of the domain, as in the metadata
    "flags": pl.UInt8(),  #: bits
    "size": pl.UInt64(),  #: pages
    "limit": pl.UInt64(),  #: highest page frame that is wanted
    "pfn": pl.UInt64(),  #: first page frame
    "last": pl.UInt64(),  #: last page frame
    "slot": pl.UInt32(),  #: ties a free to its allocation; null in a free: not in the trace
    "n": pl.UInt32(),  #: a number, see below
    "depot": pl.Array(pl.UInt16(), DEPOT_CLASSES),  #: full magazines in each class' depot
}


@dataclass(frozen=True)
class DomainInfo:
    """What is known of one domain of a trace."""

    domain: int  #: the number in the ``domain`` column
    granule: int = 4096  #: bytes
    start: int = 1  #: lowest page frame the search may hand out
    device: str | None = None  #: as the kernel calls it, ``0000:01:00.0``; None: unknown
    mode: str | None = None  #: ``strict``, ``lazy`` or None: unknown
    born: bool = True  #: its creation is in the trace, so its first state is known
    destroyed: bool = False  #: its end is in the trace


@dataclass(frozen=True)
class TraceInfo:
    """Where a trace came from: what is in a file's metadata, and no more.

    No kernel addresses and no process names: traces are for public lists.
    """

    schema_version: int = SCHEMA_VERSION
    source: str = "unknown"  #: format it was read from, or the preset that made it
    kernel: str | None = None  #: release, as ``uname -r`` gives it
    cmdline: str | None = None  #: the recorded kernel's command line
    host: str | None = None  #: its name
    clock: str | None = None  #: the kernel's trace clock, such as ``mono``
    cpus_possible: int | None = None  #: CPUs the machine may ever have
    cpus_online: int | None = None  #: at the start of the trace
    lost_events: int = 0  #: that the recorder could not keep
    allowed_loss: bool = False  #: the user accepted the loss when the file was made
    malformed_lines: int = 0  #: lines of the text it was made from that could not be used
    incomplete: tuple[str, ...] = ()  #: what shows that a part of it is missing, in words
    loss_counters: tuple[
        str, ...
    ] = ()  #: what the recorder's buffers and probes counted at the end
    domains: tuple[DomainInfo, ...] = ()  #: what is known of each
    notes: tuple[str, ...] = ()  #: what could not be known, in words


@dataclass(frozen=True)
class Trace:
    """Events and where they came from."""

    events: pl.DataFrame  #: columns as in ``SCHEMA``, one row an event, in order of ``t``
    info: TraceInfo


# ---------------------------------------------------------------------------- validation

#: What must not be null in a row of each operation, beside ``t``, ``cpu``, ``op`` and ``flags``.
_NEEDED: Final[dict[Op, tuple[str, ...]]] = {
    Op.CREATE: ("domain", "pfn"),
    Op.MAKE_CACHES: ("domain",),
    Op.RESERVE: ("domain", "pfn", "last"),
    Op.ALLOC: ("domain", "size", "limit"),
    Op.FREE: ("domain", "size"),
    Op.FLUSH_CACHES: ("domain",),
    Op.CPU_OFFLINE: ("domain", "n"),
    Op.CPU_ONLINE: ("domain", "n"),
    Op.DESTROY: ("domain",),
    Op.TREE_ALLOC: ("domain", "size", "limit"),
    Op.TREE_FREE: ("domain", "pfn"),
    Op.TREE_REMOVE: ("domain", "pfn", "last"),
    Op.MAGAZINE_FREE: ("domain", "n"),
    Op.RECLAIM: ("domain", "n"),
    Op.UNMAP: ("pfn", "last"),
    Op.FLUSH_TIMER: (),
}


def normalised(events: pl.DataFrame, source: str) -> pl.DataFrame:
    """Give a frame the columns and types of :data:`SCHEMA`, in order, its rows sorted by time.

    Nullable columns that are missing become null, ``flags`` that are null become 0.

    Raises:
        InputError: a column is missing that must be there, or holds other than whole numbers of
            its range.
    """
    columns = []
    for name, kind in SCHEMA.items():
        if name not in events.columns:
            if name in ("t", "cpu", "op"):
                raise InputError(
                    source,
                    f"has no column {name!r}, so it is no trace.",
                    hint="`iova convert` makes one of a kernel's trace text.",
                )
            columns.append(pl.lit(None, kind).alias(name))
            continue
        if not _holds_whole_numbers(events.schema[name], name):
            raise InputError(source, f"column {name!r} holds {events.schema[name]}, not {kind}.")
        columns.append(pl.col(name).cast(kind, strict=True))
    try:
        frame = events.select(columns).with_columns(pl.col("flags").fill_null(0))
    except pl.exceptions.PolarsError as error:
        first = str(error).splitlines()[0]
        raise InputError(source, f"a column is out of the schema's range: {first}.") from error
    return frame if frame["t"].is_sorted() else frame.sort("t", maintain_order=True)


def _holds_whole_numbers(kind: pl.DataType, name: str) -> bool:
    if kind == pl.Null:
        return name not in ("t", "cpu", "op")
    if name != "depot":
        return kind.is_integer()
    if isinstance(kind, pl.Array):
        return kind.shape == (DEPOT_CLASSES,) and kind.inner.is_integer()
    return isinstance(kind, pl.List) and kind.inner.is_integer()


def problem_of(events: pl.DataFrame) -> str | None:
    """What is wrong with the rows of a frame of the right schema, in one sentence; or None.

    Bounds what the numbers in it can make a reader allocate: slots, domains and CPUs are dense.
    """
    if events.is_empty():
        return "holds no events."
    checks = [
        ("has a null in t, cpu or op.", pl.any_horizontal(pl.col("t", "cpu", "op").is_null())),
        ("has an unknown operation.", ~pl.col("op").is_in([int(op) for op in Op])),
        ("lacks a value that its operation needs.", _lacks_a_value()),
        (
            "frees neither a page frame nor a slot.",
            (pl.col("op") == int(Op.FREE)) & pl.col("pfn").is_null() & pl.col("slot").is_null(),
        ),
        ("has a size of zero pages.", pl.col("size") == 0),
        ("has a range that ends before it starts.", pl.col("last") < pl.col("pfn")),
        ("returns before it was called.", pl.col("t_end") < pl.col("t")),
        ("names a CPU beyond 8191.", (pl.col("cpu") > 8191) | _names_no_cpu()),
        (
            "has a slot or domain number that is no count of its ranges or domains.",
            (pl.col("slot") >= pl.len()) | (pl.col("domain") >= pl.min_horizontal(pl.len(), 65536)),
        ),
    ]
    for problem, expression in checks:
        bad = events.select(expression.fill_null(False).arg_true().first()).item()
        if bad is not None:
            return f"row {bad} {problem}"
    return None


def _lacks_a_value() -> pl.Expr:
    return pl.any_horizontal(
        *(
            (pl.col("op") == int(op)) & pl.any_horizontal(pl.col(*names).is_null())
            for op, names in _NEEDED.items()
            if names
        )
    )


def _names_no_cpu() -> pl.Expr:
    return pl.col("op").is_in([int(Op.CPU_OFFLINE), int(Op.CPU_ONLINE)]) & (pl.col("n") > 8191)
