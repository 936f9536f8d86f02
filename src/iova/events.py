"""The event schema: one table for whatever goes in, a kernel's trace or a generated workload.

A :class:`Trace` is a Polars data frame with the columns of :data:`SCHEMA` and a :class:`TraceInfo`
that says where it came from. Rows are sorted by ``t``; rows of equal ``t`` keep the order in which
the source gave them, so an outer call stands before the calls nested in it.

What each operation (:class:`Op`) uses, beside ``t``, ``cpu`` and ``domain``:

================ =================================================================================
``create``       ``pfn`` = lowest frame the search may hand out
``make_caches``  nothing
``reserve``      ``pfn``..``last``, inclusive
``alloc``        ``t_end``, ``size``, ``limit``, ``flags``, ``pfn`` (null: failed), ``slot``
``free``         ``t_end``, ``size``, ``flags``, ``pfn``, ``slot``
``flush_caches`` nothing
``cpu_offline``  ``n`` = the CPU that went; ``cpu`` is the one on which its caches were emptied
``cpu_online``   ``n`` = the CPU that came
``destroy``      nothing
``tree_alloc``   ``t_end``, ``size``, ``limit``, ``flags``, ``pfn``..``last`` (null: failed)
``tree_free``    ``pfn``: a free that the cache did not take
``tree_remove``  ``pfn``..``last``: the range that left the tree
``magazine_free`` ``n`` = entries of the magazine that is emptied into the tree
``reclaim``      ``size`` = pages of the size class (null: unknown), ``n`` = depot length before
``unmap``        ``pfn``..``last``; ``domain`` is null, as the kernel's event names none
``flush_timer``  ``domain`` is null
================ =================================================================================

The calls (codes below 16) are what a replay executes; the rest was seen inside the recorded system and is for
``verify`` and ``explain``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import polars as pl

SCHEMA_VERSION: Final = 1
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
    "t": pl.Int64(),
    "t_end": pl.Int64(),
    "cpu": pl.UInt16(),
    "op": pl.UInt8(),
    "domain": pl.UInt32(),
    "flags": pl.UInt8(),
    "size": pl.UInt64(),
    "limit": pl.UInt64(),
    "pfn": pl.UInt64(),
    "last": pl.UInt64(),
    "slot": pl.UInt32(),
    "n": pl.UInt32(),
    "depot": pl.Array(pl.UInt16(), DEPOT_CLASSES),
}


@dataclass(frozen=True)
class DomainInfo:
    """What is known of one domain of a trace."""

    domain: int  #: the number in the ``domain`` column
    granule: int = 4096  #: bytes
    start: int = 1  #: lowest page frame the search may hand out
    device: str | None = None
    mode: str | None = None  #: ``strict``, ``lazy`` or None: unknown
    born: bool = True  #: its creation is in the trace, so its first state is known
    destroyed: bool = False


@dataclass(frozen=True)
class TraceInfo:
    """Where a trace came from: what is in a file's metadata, and no more.

    No kernel addresses and no process names: traces are for public lists.
    """

    schema_version: int = SCHEMA_VERSION
    source: str = "unknown"  #: format it was read from, or the preset that made it
    kernel: str | None = None  #: release, as ``uname -r`` gives it
    cmdline: str | None = None  #: the recorded kernel's command line
    host: str | None = None
    clock: str | None = None
    cpus_possible: int | None = None
    cpus_online: int | None = None  #: at the start of the trace
    lost_events: int = 0
    allowed_loss: bool = False  #: the user accepted the loss when the file was made
    domains: tuple[DomainInfo, ...] = ()
    notes: tuple[str, ...] = ()  #: what could not be known, in words


@dataclass(frozen=True)
class Trace:
    """Events and where they came from."""

    events: pl.DataFrame
    info: TraceInfo
