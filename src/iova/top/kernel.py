"""The running kernel, by way of the recorder's probes.

A thread takes the pages of the ring buffers as they come; each look makes rows of those since the
last one and counts them. A call that a look falls into counts with its entry. Calls before the
first look are not known, so what is held counts from the least that was seen (:mod:`.tally`).
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

import numpy as np
import polars as pl

from iova.errors import InputError
from iova.sources._scan import Scanner
from iova.sources.record.capture import Capture
from iova.sources.record.pages import Format, entries_of, format_of
from iova.sources.record.session import Session
from iova.sources.record.tracefs import find_tracefs
from iova.sources.record.watch import DeviceWatch
from iova.sources.text import set_reclaim_sizes
from iova.top.look import About, Look
from iova.top.slabs import read_slabs
from iova.top.tally import Tally, tallied

NAME: Final = "the running kernel"

#: Seconds between two takes of pages.
_TAKE_S: Final = 0.05
#: Bytes of pages between two looks; what comes on top stays in the kernel's buffers.
_MOST_BYTES: Final = 256 << 20


class LiveKernel:
    """Probes this kernel until it is closed; needs root.

    Raises:
        IovaError: it can not be probed; the sentence says what is missing.
    """

    def __init__(self) -> None:
        self.speed: float | None = None
        with ExitStack() as stack:
            self._session = stack.enter_context(Session(find_tracefs()))
            self._calls = stack.enter_context(Capture(self._session.instance))
            formats = {e: format_of(text) for e, text in self._session.formats().items()}
            self._formats = [
                (known.number, event.rpartition("/")[2], list(known.fields))
                for event, known in formats.items()
                if known is not None
            ]
            self._devices = _Devices(self._session, formats, stack)
            self._stack = stack.pop_all()
        self.about = About(NAME, os.uname().release, tuple(self._session.notes))
        self._domains = _Domains(self._devices, self._session.layout.stride)
        self._pages: list[tuple[int, bytes]] = []
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._problem: str | None = None
        self._start = time.monotonic()
        self._session.start()
        self._thread = threading.Thread(target=self._take_pages, name="iova top", daemon=True)
        self._thread.start()

    def look(self, elapsed_s: float) -> Look | None:  # noqa: ARG002 - what is live is as it is
        """See :class:`iova.top.look.Watched`."""
        problem = self._problem or self._session.problem()
        if problem is not None:
            raise InputError(NAME, f"{problem}.", hint="Start it again.")
        with self._lock:
            pages, self._pages, self._held_bytes = self._pages, [], 0
        if pages:
            self._domains.add(_scanned(pages, self._formats))
        lost = sum(loss.lost for loss in self._session.losses())
        return Look(
            time.monotonic() - self._start,
            self._domains.tally.cells(),
            slabs=read_slabs(),
            cpus=os.sysconf("SC_NPROCESSORS_ONLN"),
            lost=lost + sum(self._session.misses().values()),
        )

    def close(self) -> None:
        """Remove the probes."""
        self._over.set()
        self._thread.join()
        self._stack.close()

    def _take_pages(self) -> None:
        try:
            while not self._over.wait(_TAKE_S):
                if self._held_bytes < _MOST_BYTES:
                    self._calls.read(self._keep)
                self._devices.look(time.monotonic() - self._start)
        except OSError as error:
            self._problem = f"tracing was taken away ({error.strerror})"

    def _keep(self, cpu: int, page: memoryview) -> None:
        with self._lock:
            self._pages.append((cpu, bytes(page)))
            self._held_bytes += len(page)
        self._devices.called(cpu, page)


def _scanned(
    pages: list[tuple[int, bytes]], formats: list[tuple[int, str, list[tuple[str, int, int]]]]
) -> Scanner:
    pages.sort(key=lambda page: page[0])  # each CPU's stay in their order
    lengths = np.array([len(data) for _, data in pages], dtype=np.uint64)
    places = np.empty((len(pages), 3), dtype=np.uint64)
    places[:, 0] = [cpu for cpu, _ in pages]
    places[:, 1] = np.cumsum(lengths) - lengths
    places[:, 2] = lengths
    scanner = Scanner(secrets.randbits(64))
    scanner.feed_pages(b"".join(data for _, data in pages), formats, places)
    scanner.finish()
    return scanner


class _Domains:
    """Domains by their address, over many scans that each number them anew."""

    def __init__(self, devices: _Devices, stride: int | None) -> None:
        self._devices = devices
        self._stride = stride
        self._numbers: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._granules: dict[int, int] = {}
        self._next = 0
        self.tally = Tally(self._names, self._granules, sees_tree=True)

    def add(self, scanner: Scanner) -> None:
        """Count what a scan found."""
        addresses, seen = scanner.domain_addresses(), scanner.domains()
        ours = []
        for address, (_, granule, born, destroyed, _) in zip(addresses, seen, strict=True):
            number = self._number(address, anew=born)
            if born:
                self._granules[number] = granule
            ours.append(number)
            if destroyed:
                del self._numbers[address]
        if not ours:
            return
        set_reclaim_sizes(scanner, self._stride)
        events = pl.DataFrame(scanner).with_columns(
            domain=pl.col("domain").replace_strict(
                dict(enumerate(ours)), default=None, return_dtype=pl.UInt32
            )
        )
        self.tally.add(tallied(events))
        for address, number in self._numbers.items():
            self._names[number] = self._devices.name(address) or f"#{number}"
        self.tally.forget(set(ours) - set(self._numbers.values()))

    def _number(self, address: int, *, anew: bool) -> int:
        if anew and address in self._numbers:
            del self._numbers[address]
        if address not in self._numbers:
            self._numbers[address] = self._next
            self._next += 1
        return self._numbers[address]


class _Devices:
    """Which device a domain belongs to, as far as its calls have told."""

    def __init__(
        self, session: Session, formats: Mapping[str, Format | None], stack: ExitStack
    ) -> None:
        self._to_iovad = session.layout.cookie_to_iovad
        self._layout = layout = formats.get(f"{session.name}/dev_use")
        self._watch = DeviceWatch(session, formats)
        self._names: dict[int, str] = {}
        self._capture = (
            stack.enter_context(Capture(session.devices))
            if session.devices is not None and layout is not None and self._to_iovad is not None
            else None
        )
        self._seconds = 0.0

    def name(self, address: int) -> str | None:
        """The device of the domain at this address."""
        return self._names.get(address)

    def called(self, cpu: int, page: memoryview) -> None:
        """Take a page of calls."""
        if self._capture is not None:
            self._watch.called(cpu, page, self._seconds)

    def look(self, seconds: float) -> None:
        """Take what came, and switch the event on or off."""
        if self._capture is not None:
            self._seconds = seconds
            self._watch.turn(seconds)
            self._capture.read(self._saw)

    def _saw(self, _cpu: int, page: memoryview) -> None:
        assert self._layout is not None  # noqa: S101
        assert self._to_iovad is not None  # noqa: S101
        self._watch.saw(page, self._seconds)
        for _, entry in entries_of(bytes(page)):
            cookie, device = self._layout.value("cookie", entry), self._layout.text("dev", entry)
            if cookie and device:
                self._names.setdefault(cookie + self._to_iovad, device[:64])
