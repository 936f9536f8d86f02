"""Why a call of a live domain failed: the exception, with what there is to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iova.errors import (
    Closed,
    DoubleFree,
    FlushNeeded,
    NoSpace,
    NotAllocated,
    OverBudget,
    Reserved,
    SizeMismatch,
)
from iova.words import printable

if TYPE_CHECKING:
    from iova.domain import Domain
    from iova.domain_stats import Range


@dataclass(frozen=True)
class Failure:
    """A call that failed. Addresses and sizes in bytes, as the caller gave them."""

    status: str
    address: int | None
    size: int | None
    limit: int | None = None
    align: int | None = None
    ticket: int | None = None
    index: int | None = None  #: which of many addresses it was
    count: int | None = None  #: how many ranges were asked for at once
    returned: str | None = None  #: the text of what on_flush returned, where that is why


def exception_of(domain: Domain, failure: Failure) -> Exception:
    """What to raise; its text is made of what the domain looks like now."""
    if failure.status == "INVALID":
        return ValueError(_invalid(domain, failure))
    if failure.status == "NO_MEMORY":
        return MemoryError(f"no memory for what {printable(domain.name)} must keep of the range")
    about = {"address": failure.address, "size": failure.size}
    if failure.status == "FLUSH_NEEDED":
        return FlushNeeded(_flush_needed(failure), ticket=failure.ticket or 0, **about)
    kind, text = _TEXTS[failure.status]
    return kind(text(domain, failure) + _which(failure), **about)


def _which(failure: Failure) -> str:
    if failure.index is None:
        return ""
    return f" It is number {failure.index} of the addresses; those before it have been freed."


# ------------------------------------------------------------------------------ arguments


def _invalid(domain: Domain, failure: Failure) -> str:
    if failure.size == 0:
        return "size is 0: a range has at least one byte"
    if failure.align is not None and failure.align & (failure.align - 1):
        return f"align {failure.align:#x} is no power of two"
    if failure.address is not None:
        return f"address {failure.address:#x} is no multiple of the granule, {domain.granule} bytes"
    return (
        f"windows hold nothing to hand out: no whole granule of {domain.granule} bytes that is not "
        "reserved, or only the one at address 0, which needs allow_zero=True"
    )


# ----------------------------------------------------------------------------- allocating


def _no_space(domain: Domain, failure: Failure) -> str:
    times = "" if failure.count is None else f"{failure.count} times "
    wanted = f"{times}{failure.size} bytes"
    if failure.limit is not None:
        wanted += f" at or below {failure.limit:#x}"
    if failure.align:
        wanted += f" at a multiple of {failure.align:#x}"
    try:
        stats = domain.stats()
    except Closed:
        return f"{printable(domain.name)} has no room for {wanted}."
    emptied = "" if stats.cached else ", with every cache emptied"
    return (
        f"{printable(domain.name)} has no room for {wanted}{emptied}: "
        f"{stats.live} ranges ({stats.live_bytes} bytes) are live, {stats.deferred} wait for an "
        f"IOTLB flush, {stats.cached_bytes} bytes are cached, {stats.free_bytes} bytes are free, "
        f"and the longest free piece has {stats.largest_gap_bytes} bytes. "
        + _advice(failure, stats.largest_gap_bytes, stats.deferred)
    )


def _advice(failure: Failure, largest_gap_bytes: int, deferred: int) -> str:
    if failure.size is None or largest_gap_bytes < failure.size:
        flush = "flush the IOTLB, " if deferred else ""
        return f"Free ranges, {flush}ask for less, or open the domain with more windows."
    if failure.limit is not None:
        return "What is free lies above the limit, or not at a multiple of the alignment."
    return "No free piece holds it at its alignment: sizes are rounded up and so aligned."


def _over_budget(domain: Domain, _failure: Failure) -> str:
    return (
        f"{printable(domain.name)} holds as many ranges as its budget allows, {domain.budget}: "
        "free one, or map more with each."
    )


# -------------------------------------------------------------------------------- freeing


def _double_free(domain: Domain, failure: Failure) -> str:
    found = _found(domain, failure)
    if found is not None and found.state == "deferred":
        return f"{failure.address:#x} was deferred already, and waits for its IOTLB flush."
    return f"{failure.address:#x} was freed already; nothing was changed."


def _not_allocated(domain: Domain, failure: Failure) -> str:
    found = _found(domain, failure)
    if found is None:
        return f"nothing that was handed out starts at {failure.address:#x}."
    return (
        f"no range starts at {failure.address:#x}: it lies inside {_span(found)}, which is "
        f"{found.state}. Free a range by its first address."
    )


def _size_mismatch(domain: Domain, failure: Failure) -> str:
    found = _found(domain, failure)
    has = "another size" if found is None else f"{found.size} bytes"
    return f"the range at {failure.address:#x} has {has}, not {failure.size}; it is still live."


def _reserved(domain: Domain, failure: Failure) -> str:
    found = _found(domain, failure)
    asked = f"{failure.address:#x}"
    if failure.address is not None and failure.size is not None and failure.size > 0:
        asked += f"..{failure.address + failure.size - 1:#x}"
    if found is None:
        return f"{asked} can not be had: part of it is taken."
    if found.state == "reserved" and failure.size is not None:
        return (
            f"{asked} can not be had or freed: {_span(found)} is reserved or outside the windows, "
            "or something in between is taken."
        )
    if found.state == "reserved":
        return f"{asked} can not be freed: {_span(found)} is reserved, or outside the windows."
    if found.state == "deferred":
        return f"{asked} can not be had: {_span(found)} waits for its IOTLB flush; see flushed()."
    return f"{asked} can not be had: {_span(found)} is {found.state}. Free it first."


def _flush_needed(failure: Failure) -> str:
    why = (
        "no on_flush has flushed the IOTLB"
        if failure.returned is None
        else f"on_flush returned {failure.returned}, which says that it could not flush the IOTLB "
        "(None says that it did)"
    )
    return (
        f"the frees deferred so far are too many or too old, and {why}: flush it, call "
        f"flushed({failure.ticket}), and defer {failure.address:#x} again; it is still live."
    )


def _closed(domain: Domain, _failure: Failure) -> str:
    return f"{printable(domain.name)} is closed."


def _found(domain: Domain, failure: Failure) -> Range | None:
    try:
        return None if failure.address is None else domain.find(failure.address)
    except Closed:  # meanwhile
        return None


def _span(found: Range) -> str:
    return f"{found.first:#x}..{found.last:#x}"


_TEXTS = {
    "NO_SPACE": (NoSpace, _no_space),
    "OVER_BUDGET": (OverBudget, _over_budget),
    "RESERVED": (Reserved, _reserved),
    "DOUBLE_FREE": (DoubleFree, _double_free),
    "NOT_ALLOCATED": (NotAllocated, _not_allocated),
    "SIZE_MISMATCH": (SizeMismatch, _size_mismatch),
    "CLOSED": (Closed, _closed),
}
