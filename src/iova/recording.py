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

import atexit
import logging
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
from iova.files import file_to_write, refuse_other_format
from iova.words import printable

if TYPE_CHECKING:
    from iova.domain import Domain

#: Between two looks at the buffer.
DRAIN_S: Final = 0.002
MAX_ROOM: Final = 1 << 24
#: More than the schema of a trace has.
MAX_CPUS: Final = 8192

_LOG = logging.getLogger("iova")


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
    refuse_other_format(path, "Name OUT.parquet.", also=(".pftrace",))
    return Recording(domain, Path(path), room)


class Recording(ClosedOnLeaving):
    """A recording that runs until it or its domain is closed; a context manager.

    The domain is kept alive by it. If both are forgotten, the recording's own thread writes the
    file when they are collected. A program that ends without closing it has its file written at
    exit. After ``fork`` it goes on in the parent only.

    Attributes:
        path: the file, which appears when the recording is closed.
    """

    def __init__(self, domain: Domain, path: Path, room: int) -> None:
        self.path = path
        self._domain = domain
        self._pid = os.getpid()
        self._closing = threading.Lock()
        self.is_closed = False
        file = _spill_beside(path)
        events = _core.Events(room)
        try:
            self._spill = _Spill(path, file, events, _begin(domain, events))
        except BaseException:
            file.close()
            raise
        self._thread = threading.Thread(target=self._spill.run, name="iova-recording", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Calls that found no room so far."""
        return self._spill.lost

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
            self._spill.stop.set()
            self._thread.join()
            self._spill.write(destroyed)

    def _abandon(self) -> None:
        """Its domain is collected, in whichever thread that happens: its own thread finishes it."""
        if self.is_closed or self._pid != os.getpid():
            return
        self.is_closed = True
        _abandoned.add(self._thread)
        self._spill.is_abandoned = True
        self._spill.stop.set()


class _Spill:
    """What the thread of a recording works on.

    It knows neither the recording nor the domain: a thread that runs would keep both alive.
    """

    def __init__(
        self, path: Path, file: IO[bytes], events: _core.Events, beginning: Beginning
    ) -> None:
        self.stop = threading.Event()
        self.is_abandoned = False
        self._path = path
        self._file = file
        self._events = events
        self._beginning = beginning
        self._error: OSError | None = None

    @property
    def lost(self) -> int:
        """Calls that found no room so far."""
        return self._events.lost

    def run(self) -> None:
        """Empty the buffer until told to stop; then write the file if nobody else will."""
        while not self.stop.wait(DRAIN_S):
            self._drain()
        if not self.is_abandoned:
            return
        try:
            self.write(destroyed=True)
        except Exception:
            _LOG.exception(
                "the recording of %s could not be written", printable(self._beginning.name)
            )
        finally:
            _abandoned.discard(threading.current_thread())

    def write(self, destroyed: bool) -> None:
        """Write the trace of what was recorded. No call is being recorded any more."""
        try:
            self._write(destroyed)
        finally:
            self._file.close()

    def _write(self, destroyed: bool) -> None:
        from iova.recording_rows import write_recording

        self._drain()
        self._events.end()
        if self._error is not None:
            problem = f"cannot be written: {self._error.strerror or self._error}."
            raise InputError(str(self._path), problem) from self._error
        self._file.flush()
        self._file.seek(0)
        calls = np.fromfile(self._file, dtype=_core.LIVE_EVENT)
        ended = time.monotonic_ns() if destroyed else None
        write_recording(self._path, self._beginning, calls, lost=self.lost, ended=ended)

    def _drain(self) -> None:
        calls = self._events.take()
        if not len(calls) or self._error is not None:
            return
        try:
            self._file.write(calls.data)
        except OSError as error:  # told when the recording is closed
            self._error = error


#: Threads that finish a recording nobody waits for; the end of the interpreter does.
_abandoned: set[threading.Thread] = set()


def _finish_abandoned() -> None:
    for thread in _abandoned.copy():
        thread.join()


atexit.register(_finish_abandoned)
os.register_at_fork(after_in_child=_abandoned.clear)  # the parent writes them


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
