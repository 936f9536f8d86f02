"""The live domain: IOVA allocation for drivers in user space, from any thread.

    with Domain(windows=[(0x10000, 0xFFFFFFFF)]) as domain:
        address = domain.alloc(8192)
        ...
        domain.free(address, 8192)

What is called once a mapping (``alloc``, ``free`` and their like) is the binding's own, with no
Python in between. Here is the rest: opening, closing, what failed, and what there is to see.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import reprlib
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

import numpy as np
import numpy.typing as npt

from iova import _core
from iova.closing import ClosedOnLeaving
from iova.designs import DesignError, Policy, parse_design
from iova.domain_failures import Failure, exception_of
from iova.domain_stats import ClassStats, DomainStats, Range, stats_of
from iova.errors import Closed, DomainError
from iova.words import printable

if TYPE_CHECKING:
    from iova.recording import Recording

__all__ = ["ClassStats", "Domain", "DomainStats", "Range", "open_domains"]

DEFAULT_DESIGN: Final = "linux-7.3"
MAX_GRANULE: Final = 65536
MAX_WINDOWS: Final = 4096
MAX_CPUS: Final = 65536
#: How long the end of the interpreter waits for a policy or ``on_flush`` that is running.
EXIT_WAIT_S: Final = 1.0

_LOG = logging.getLogger("iova")
_numbers = itertools.count(1)

Span = tuple[int, int]


class Domain(_core.LiveDomain, ClosedOnLeaving):
    """An IOVA domain that any thread may use at any time; a context manager that closes it.

    Sizes and addresses are bytes. Sizes are rounded up to the granule, and up to the largest size
    class to a power of two granules; a range is aligned to its rounded size, up to that class. A
    free compares rounded sizes.

    Args:
        windows: inclusive (first, last) addresses that may be handed out, in any order, as VFIO
            and iommufd report them. Default: 4 KiB .. 2**48 - 1 without the x86 MSI window
            0xfee00000 .. 0xfeefffff.
        reserved: inclusive (first, last) addresses that are never handed out; may lie anywhere.
        granule: the IOMMU's page size in bytes: a power of two up to 65536.
        design: when memory is given back: None (linux-7.3), a name with parameters such as
            ``linux-6.12,threshold=4`` or ``module:Class,key=value``, or an object with
            ``look(view)`` (:class:`iova.designs.Policy`).
        classes: size classes that caches hold: 1, 2, 4 ... 2**(classes-1) granules; 1..10.
        budget: most ranges live at once (65535 for VFIO's type 1); None: no bound.
        checked: a double free, a free of what was never handed out, or with the wrong size
            raises and changes nothing. Without it frees are believed.
        allow_zero: address 0 may be handed out, if a window holds it.
        on_flush: called with nothing when deferred frees need an IOTLB flush: it flushes what was
            unmapped so far. None and whatever is true say that it did; an exception, and whatever
            else is false (``False``, ``0``, an empty list), say that it could not. It runs in
            whichever thread defers, or in the background, and may call the domain.
        name: for messages, in which control characters are escapes, and metrics; default
            ``domain-1`` and so on.
        cpus: caches; more CPUs than the machine may ever have are never used. Default: as many
            as it may have.

    Attributes:
        name: as given.
        granule: bytes.
        budget: as given.
        classes: size classes that its caches hold.
        design: what decides when memory is given back, with its parameters.
        is_closed: whether ``close`` was called.

    Raises:
        ValueError: an argument makes no sense; its name is in the text.
        TypeError: an argument is of a wrong kind.
        DesignError: there is no such design, or it has no such parameter.
        MemoryError: there was no memory for the domain.
    """

    __slots__ = ("__weakref__", "_name", "_recording", "budget", "granule")

    def __init__(
        self,
        *,
        windows: Iterable[Span] | npt.NDArray[np.uint64] | None = None,
        reserved: Iterable[Span] | npt.NDArray[np.uint64] = (),
        granule: int = 4096,
        design: str | Policy | None = None,
        classes: int = 6,
        budget: int | None = None,
        checked: bool = True,
        allow_zero: bool = False,
        on_flush: Callable[[], object] | None = None,
        name: str | None = None,
        cpus: int | None = None,
    ) -> None:
        if on_flush is not None and not callable(on_flush):
            raise TypeError(f"on_flush must be callable, not {type(on_flush).__name__}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, not {type(name).__name__}")
        if name is not None and not _is_text(name):
            raise ValueError(f"name {name!r} has parts of characters, which no text can show")
        chosen = f"domain-{next(_numbers)}" if name is None else name
        size = _count("granule", granule, MAX_GRANULE)
        if size & (size - 1):
            raise ValueError(f"granule {granule} is no power of two")
        most = None if budget is None else _count("budget", budget, 2**64 - 1)
        spans = None if windows is None else _spans("windows", windows)
        if spans is not None and not 0 < len(spans) <= MAX_WINDOWS:
            raise ValueError(f"windows has {len(spans)} entries; 1 to {MAX_WINDOWS} are of use")
        if not hasattr(self, "name"):  # else it is made already, which is refused below
            self._name, self.granule, self.budget = chosen, size, most
            self._recording: Recording | None = None
        super().__init__(
            spans,
            _spans("reserved", reserved),
            size,
            _design_of(design),
            _count("classes", classes, _core.MAX_CLASSES),
            most or 0,
            bool(checked),
            bool(allow_zero),
            on_flush,
            partial(_report_policy, printable(chosen)),
            partial(_report_on_flush, printable(chosen)),
            0 if cpus is None else _count("cpus", cpus, MAX_CPUS),
        )
        _open.add(weakref.ref(self, _open.discard))

    @property
    def name(self) -> str:
        """As given, or ``domain-1`` and so on."""
        return self._name

    def __repr__(self) -> str:
        state = " closed" if self.is_closed else ""
        return f"<iova.Domain {getattr(self, 'name', '')!r}{state}>"

    def __enter__(self) -> Self:
        if self.is_closed:
            self._failed("CLOSED", None, None)
        return self

    def __del__(self) -> None:
        # Before anything else of a cycle it is part of goes: no callback runs from now on.
        _core.LiveDomain.close(self)
        recording = getattr(self, "_recording", None)
        if recording is not None:
            recording._abandon()

    def close(self) -> None:
        """Close the domain with all ranges in it; a recording of it is finished first.

        Calls that run in other threads finish, later ones raise Closed. A policy or ``on_flush``
        that is running in the background is not waited for. May be called again.

        Raises:
            InputError: the recording could not be written; the domain is closed all the same.
        """
        try:
            recording = getattr(self, "_recording", None)
            if recording is not None:
                recording.finish(destroyed=True)
        finally:
            super().close()

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a Domain can not be copied or pickled: its ranges are this process's")

    def find(self, address: int) -> Range | None:
        """What holds an address; None: it is free. O(log n).

        All below the first window, and all above the last, is one reservation.

        A domain with ``checked=False`` can not tell a cached range from a live one.

        Raises:
            Closed: the domain is.
        """
        state, first, last = self._find(address)
        return None if state == "free" else Range(first, last, cast(Any, state))

    def stats(self) -> DomainStats:
        """What the domain holds and has done. Walks the caches of all CPUs.

        Raises:
            Closed: the domain is.
        """
        return stats_of(self, self.granule)

    def record(self, path: str | Path, *, room: int = 1 << 18) -> Recording:
        """Write all calls from now on into a trace file; see :mod:`iova.recording`.

        Args:
            path: the file (Parquet), which appears when the recording is closed.
            room: calls held in memory before they are counted as lost, 64 bytes each, twice.

        Returns:
            The recording, a context manager with ``close()``. Of a domain that is forgotten it is
            finished in the background, when the domain is collected.

        Raises:
            DomainError: the domain is being recorded.
            Closed: the domain is closed.
            InputError: a file cannot be written there, or its name promises another format.
            TypeError: room is no whole number.
            ValueError: room is not within 1..16777216.
            IovaError: packages of ``iova[lab]`` are missing.
        """
        from iova.recording import MAX_ROOM, start_recording

        if self._recording is not None and not self._recording.is_closed:
            raise DomainError(
                f"{printable(self.name)} is being recorded into "
                f"{printable(str(self._recording.path))} already."
            )
        self._recording = start_recording(self, path, _count("room", room, MAX_ROOM))
        return self._recording

    def _failed(
        self,
        status: str,
        address: int | None,
        size: int | None,
        *,
        limit: int | None = None,
        align: int | None = None,
        ticket: int | None = None,
        index: int | None = None,
        count: int | None = None,
        returned: str | None = None,
    ) -> NoReturn:
        if not hasattr(self, "name"):
            raise Closed("the domain was never opened.")
        failure = Failure(status, address, size, limit, align, ticket, index, count, returned)
        raise exception_of(self, failure)


# ------------------------------------------------------------------------------ arguments


def _count(what: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be a whole number, not {value!r}")
    number = int(value.__index__())
    if not 1 <= number <= most:
        raise ValueError(f"{what} {number} is not within 1..{most}")
    return number


def _spans(what: str, spans: Iterable[Any]) -> npt.NDArray[np.uint64]:
    """Pairs of addresses as an array (n, 2)."""
    try:
        pairs = [_pair(what, span) for span in spans]
    except TypeError as error:
        raise TypeError(f"{what} must be pairs (first, last) of addresses") from error
    for pair in pairs:
        for address in pair:
            if isinstance(address, bool) or not hasattr(address, "__index__"):
                raise TypeError(f"{what}: {address!r} is no address")
            if not 0 <= int(address) < 2**64:
                raise ValueError(f"{what}: {address} is not within 0..2**64-1")
        if pair[0] > pair[1]:
            raise ValueError(f"{what}: {int(pair[0]):#x} is above {int(pair[1]):#x}")
    return np.array(pairs, dtype=np.uint64).reshape(len(pairs), 2)


def _pair(what: str, span: Any) -> tuple[Any, Any]:
    """Its two ends, with no look at more of it: a range of addresses has billions."""
    if isinstance(span, range):
        raise ValueError(f"{what}: {span} is no pair (first, last)")
    ends = tuple(itertools.islice(span, 3))
    if len(ends) != 2:
        raise ValueError(f"{what}: {reprlib.repr(span)} is no pair (first, last)")
    return ends


def _design_of(design: str | Policy | None) -> _core.Design:
    """A design for one domain."""
    if isinstance(design, type):
        raise TypeError(f"design must be a policy, not its class: {design.__name__}(...)")
    if design is not None and not isinstance(design, str):
        return _core.Design(design)
    try:
        return parse_design(DEFAULT_DESIGN if design is None else design).make()
    except DesignError as error:
        text = str(error).removeprefix("--design ")
        raise DesignError(f"design {text}") from error.__cause__


# -------------------------------------------------------------- what fails in the background


def _is_text(name: str) -> bool:
    """Whether it can be written as UTF-8: surrogates, as in odd file names, can not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _report_policy(name: str, error: BaseException) -> None:
    if isinstance(error, _core.DecisionError):
        _LOG.error("the policy of %s: %s; %s decides from now on", name, error, DEFAULT_DESIGN)
        return
    _LOG.error(
        "the policy of %s raised; %s decides from now on", name, DEFAULT_DESIGN, exc_info=error
    )


def _report_on_flush(name: str, failure: BaseException | str) -> None:
    """What it raised, or the text of what it returned."""
    if isinstance(failure, str):
        _LOG.error(
            "on_flush of %s returned %s, which says that it could not flush (None says that it "
            "did); it is called again later",
            name,
            failure,
        )
        return
    _LOG.error("on_flush of %s raised; it is called again later", name, exc_info=failure)


# ---------------------------------------------------------------------- all of the process

# Only added to, copied and discarded from: each is one step for other threads.
_open: set[weakref.ref[Domain]] = set()


def open_domains() -> list[Domain]:
    """The domains of the process that are open now, in no order."""
    found = (reference() for reference in _open.copy())
    return [domain for domain in found if domain is not None and not domain.is_closed]


def _at_exit() -> None:
    for domain in open_domains():
        try:
            if domain._recording is not None:
                domain._recording.finish()
        except Exception:
            _LOG.exception("the recording of %s could not be written", printable(domain.name))
    _core.end_live_domains(EXIT_WAIT_S)


def _after_fork_in_child() -> None:
    """The child's domains are its own; recordings and what other threads did stay behind."""
    for domain in open_domains():
        domain._recording = None
        domain._forked()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
