"""Recording: the calls of a live domain, as a trace that ``iova compare`` and its like read.

While it runs, every call of the domain takes the full path and is noted with its times, CPU and
result in a buffer of bounded size. A thread empties that into a temporary file without a name.
What finds the buffer full is counted as lost, and readers refuse the trace unless told otherwise.
Closing the recording makes rows of it (:mod:`iova.recording_rows`) and writes the trace, which
takes memory in proportion to its length.

A domain that was used before is recorded from its state as it is then: the trace begins with rows
that lay its reservations and live ranges, its caches are empty, and its metadata says that its
birth was not seen. Of a domain recorded from birth, all that decides about addresses is in the
trace but for two things: the moments at which the background thread gave memory back, and in which
order calls of several threads that overlap took effect.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from iova import _core
from iova.closing import ClosedOnLeaving
from iova.errors import Closed, InputError, IovaError
from iova.files import file_to_write

if TYPE_CHECKING:
    from iova.domain import Domain

#: Between two looks at the buffer.
DRAIN_S: Final = 0.002
MAX_ROOM: Final = 1 << 24
#: More than the schema of a trace has.
MAX_CPUS: Final = 8192


@dataclass(frozen=True)
class Beginning:
    """A domain as it was when its recording began. Frames and times as in a trace."""

    name: str
    design: str
    granule: int  #: bytes
    classes: int
    start: int  #: lowest frame that may be handed out
    cpus: int
    reserved: npt.NDArray[np.uint64]  #: (n, 2) first and last frame
    live: npt.NDArray[np.uint64]  #: (n, 2) first and last frame
    born: bool  #: nothing was ever allocated before
    deferred: int  #: ranges that waited for an IOTLB flush
    knows_live: bool  #: False: an unchecked domain, in which cached ranges look live
    t: int  #: ns


def start_recording(domain: Domain, path: str | Path, room: int) -> Recording:
    """See :meth:`iova.Domain.record`."""
    try:
        import iova.recording_rows  # noqa: F401 - it must be there when the recording ends
    except ImportError as error:
        raise IovaError(
            f"recording needs the package {error.name}: install it with  pip install 'iova[lab]'"
        ) from error
    if not 1 <= room <= MAX_ROOM:
        raise ValueError(f"room {room} is not within 1..{MAX_ROOM}")
    return Recording(domain, Path(path), room)


class Recording(ClosedOnLeaving):
    """A recording that runs until it or its domain is closed; a context manager.

    The domain is kept alive by it. A program that ends without closing it has its file written at
    exit. After ``fork`` it goes on in the parent only.

    Attributes:
        path: the file, which appears when the recording is closed.
    """

    def __init__(self, domain: Domain, path: Path, room: int) -> None:
        self.path = path
        self._domain = domain
        self._pid = os.getpid()
        self._closing = threading.Lock()
        self._stop = threading.Event()
        self._error: OSError | None = None
        self._lost = 0
        self.is_closed = False
        self._file = _spill_beside(path)
        self._events = _core.Events(room)
        try:
            self._beginning = _begin(domain, self._events)
        except BaseException:
            self._file.close()
            raise
        self._thread = threading.Thread(target=self._drain_on, name="iova-recording", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Calls that found no room so far."""
        return self._lost if self.is_closed else self._events.lost

    def close(self) -> None:
        """Stop, and write the file. May be called again.

        Raises:
            InputError: the file cannot be written; what was recorded is gone.
        """
        self.finish()

    def finish(self, *, destroyed: bool = False) -> None:
        """As :meth:`close`; ``destroyed``: the trace ends with the domain's end."""
        if self._pid != os.getpid():  # the parent writes it
            return
        with self._closing:
            if self.is_closed:
                return
            self.is_closed = True
            with suppress(Closed):
                self._domain._set_events(None)
            self._stop.set()
            self._thread.join()
            try:
                self._write(destroyed)
            finally:
                self._file.close()

    def _write(self, destroyed: bool) -> None:
        from iova.recording_rows import write_recording

        self._drain()
        self._lost = self._events.lost
        self._events.end()
        if self._error is not None:
            problem = f"cannot be written: {self._error.strerror or self._error}."
            raise InputError(str(self.path), problem) from self._error
        self._file.flush()
        self._file.seek(0)
        calls = np.fromfile(self._file, dtype=_core.LIVE_EVENT)
        ended = time.monotonic_ns() if destroyed else None
        write_recording(self.path, self._beginning, calls, lost=self._lost, ended=ended)

    def _drain_on(self) -> None:
        while not self._stop.wait(DRAIN_S):
            self._drain()

    def _drain(self) -> None:
        calls = self._events.take()
        if not len(calls) or self._error is not None:
            return
        try:
            self._file.write(calls.data)
        except OSError as error:  # told when the recording is closed
            self._error = error


def _spill_beside(path: Path) -> IO[bytes]:
    """A file without a name in the folder of ``path``: nothing is left of it, whatever happens."""
    target = file_to_write(path)
    try:
        return tempfile.TemporaryFile(dir=target.parent)
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}.") from error


def _begin(domain: Domain, events: _core.Events) -> Beginning:
    """Switch recording on, and look at what is there; others may allocate meanwhile."""
    layout = domain._layout()
    if layout["cpus"] > MAX_CPUS:
        raise IovaError(f"a trace can name {MAX_CPUS} CPUs, and the domain has {layout['cpus']}")
    t = time.monotonic_ns()
    domain._set_events(events)
    counters: list[dict[str, Any]] = [domain._counters(k) for k in range(domain.classes)]
    counters.append(domain._counters(_core.BEYOND_CLASSES))
    used = any(one["tree_allocations"] or one["failures"] for one in counters)
    frames = domain.ranges() // np.uint64(domain.granule)
    knows_live = layout["checked"] or not used
    return Beginning(
        name=domain.name,
        design=domain.design.label,
        granule=domain.granule,
        classes=domain.classes,
        start=layout["start"],
        cpus=layout["cpus"],
        reserved=layout["reserved"],
        live=frames if knows_live else frames[:0],
        born=not used,
        deferred=domain.stats().deferred,
        knows_live=knows_live,
        t=t,
    )
