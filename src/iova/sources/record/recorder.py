"""Recording: a session, its pages to a file, until there is a reason to stop."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Final

from iova.sources.record.capture import Capture
from iova.sources.record.errors import RecordError
from iova.sources.record.machine import boot_births, groups, machine
from iova.sources.record.pages import format_of
from iova.sources.record.ring_file import Kind, RingWriter
from iova.sources.record.session import BUFFER_KIB, CLOCK, Session
from iova.sources.record.tracefs import Tracefs
from iova.sources.record.watch import DeviceWatch

#: Seconds between looks at the buffers, and at whether tracing is still ours.
_LOOK_S: Final = 0.05
_CHECK_S: Final = 1.0


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    level: str = "calls"
    duration_s: float | None = None  #: None: until it is stopped
    command: tuple[str, ...] = ()  #: recorded while it runs
    max_bytes: int | None = None  #: of raw pages
    buffer_kib: int = BUFFER_KIB  #: of each CPU
    devices: tuple[str, ...] = ()  #: of the trace, the domains of these alone
    redact: bool = False  #: without host and command line
    command_to_stderr: bool = False  #: what it prints


@dataclass(frozen=True)
class Status:
    """How far a recording is."""

    seconds: float
    bytes: int  #: of raw pages on disk
    lost: int


@dataclass(frozen=True)
class Recorded:
    """How a recording ended."""

    seconds: float
    bytes: int
    lost: int
    reason: str  #: in words
    cut_short: bool  #: it ended before it should
    command_status: int | None
    notes: tuple[str, ...]


class _Stop:
    """Whether somebody asked for the end; signals only set this."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def ask(self, number: int, _frame: object) -> None:
        """A signal's handler."""
        self.reason = "stopped with Ctrl-C" if number == signal.SIGINT else "stopped by a signal"


@contextmanager
def _signals_stop(stop: _Stop) -> Iterator[None]:
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop.ask) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def record(
    tracefs: Tracefs,
    plan: Plan,
    file: int,
    *,
    told: Callable[[Status], None] = lambda _: None,
    make_session: Callable[..., Session] = Session,
) -> Recorded:
    """Record into an empty file, by its descriptor, until the plan, a signal or a failure ends it.

    On return probes and instance are gone. The file is complete but where ``cut_short`` says
    otherwise, and even then it can be read.

    Raises:
        RecordError: it could not begin.
    """
    stop = _Stop()
    writer = RingWriter(file)
    with (
        _signals_stop(stop),
        make_session(tracefs, level=plan.level, buffer_kib=plan.buffer_kib) as session,
    ):
        return _Recording(tracefs, plan, writer, session, stop, told).run()


class _Recording:
    """One recording at work."""

    def __init__(
        self,
        tracefs: Tracefs,
        plan: Plan,
        writer: RingWriter,
        session: Session,
        stop: _Stop,
        told: Callable[[Status], None],
    ) -> None:
        self._tracefs = tracefs
        self._plan = plan
        self._writer = writer
        self._session = session
        self._stop = stop
        self._told = told
        self._command: subprocess.Popen[bytes] | None = None
        self._began = self._checked = time.monotonic()
        self._lost = 0
        self._watch: DeviceWatch | None = None
        self._unread = 0

    def run(self) -> Recorded:
        """Record; how it ended."""
        reason, failed = None, False
        try:
            self._write_start()
            with Capture(self._session.instance) as calls, self._open_devices() as devices:
                try:
                    reason = self._follow(calls, devices)
                except _Ended as ended:
                    reason, failed = str(ended), True
                self._last_pages(calls, devices)
        except OSError as error:  # what was not read any more is a loss
            reason, failed, self._unread = _what_failed(error), True, 1
        finally:
            status = self._end_command()
        seconds = time.monotonic() - self._began
        try:
            self._write_end(reason or "")
        except OSError as error:
            reason, failed = _what_failed(error), True
        return Recorded(
            seconds=seconds,
            bytes=self._writer.written,
            lost=self._lost,
            reason=reason or "",
            cut_short=failed,
            command_status=status,
            notes=tuple(self._session.notes),
        )

    # ------------------------------------------------------------------------- while it runs

    def _follow(self, calls: Capture, devices: Capture | None) -> str:
        if self._watch:
            self._watch.turn(0.0)
        self._session.start()
        self._began = self._checked = time.monotonic()
        if self._plan.command:
            self._command = _start(self._plan)
        while True:
            pages = calls.read(self._take_page)
            if devices:
                pages += devices.read(self._take_device)
            now = time.monotonic() - self._began
            reason = self._reason_to_end(now)
            if reason:
                return reason
            self._look(now)
            if not pages:
                time.sleep(_LOOK_S)

    def _reason_to_end(self, seconds: float) -> str | None:
        plan = self._plan
        if self._stop.reason:
            return self._stop.reason
        if self._command and self._command.poll() is not None:
            return "the command ended"
        if plan.duration_s is not None and seconds >= plan.duration_s:
            return "the time is over"
        if plan.max_bytes is not None and self._writer.written >= plan.max_bytes:
            return "--max-bytes is reached"
        return None

    def _look(self, seconds: float) -> None:
        if self._watch:
            self._watch.turn(seconds)
        now = time.monotonic()
        if now - self._checked < _CHECK_S:
            return
        self._checked = now
        problem = self._session.problem()
        if problem:
            raise _Ended(problem)
        self._lost = self._count_lost()
        self._told(Status(seconds, self._writer.written, self._lost))

    def _take_page(self, cpu: int, page: memoryview) -> None:
        self._writer.part(Kind.PAGE, page, cpu)
        if self._watch:
            self._watch.called(cpu, page, time.monotonic() - self._began)

    def _take_device(self, cpu: int, page: memoryview) -> None:
        self._writer.part(Kind.DEVICE, page, cpu)
        if self._watch:
            self._watch.saw(page, time.monotonic() - self._began)

    # ----------------------------------------------------------------------- start and end

    def _open_devices(self) -> AbstractContextManager[Capture | None]:
        return Capture(self._session.devices) if self._session.devices else nullcontext()

    def _write_start(self) -> None:
        session = self._session
        formats = session.formats()
        if session.devices:
            self._watch = DeviceWatch(session, {e: format_of(text) for e, text in formats.items()})
        births = b""
        if self._plan.level == "calls":
            births = boot_births(self._tracefs.root / "trace")
        self._writer.json(Kind.START, {
            "byteorder": sys.byteorder,
            "level": self._plan.level,
            "clock": CLOCK,
            "boot_clock": _chosen(self._tracefs.read("trace_clock")),
            "devices": list(self._plan.devices),
            "redact": self._plan.redact,
            "formats": formats,
            "began_ns": time.monotonic_ns(),  # of the same clock as the events
            "stride": session.layout.stride,
            "cookie_to_iovad": session.layout.cookie_to_iovad,
            "notes": session.notes,
            **machine(redact=self._plan.redact),
        })  # fmt: skip
        self._writer.part(Kind.BOOT, births)

    def _last_pages(self, calls: Capture, devices: Capture | None) -> None:
        with suppress(OSError):  # tracing was taken away; the buffers may still be read
            self._session.stop()
        calls.drain(self._take_page)
        if devices:
            if self._watch:
                self._watch.end()
            devices.drain(self._take_device)

    def _count_lost(self) -> int:
        try:
            lost = sum(loss.lost for loss in self._session.losses())
            return lost + sum(self._session.misses().values())
        except OSError:
            return self._lost

    def _write_end(self, reason: str) -> None:
        session = self._session
        try:
            counters = [
                f"cpu{loss.cpu}: entries {loss.entries}, overrun {loss.overrun}, commit overrun"
                f" {loss.commit_overrun}, dropped events {loss.dropped}"
                for loss in session.losses()
            ]
            counters += [f"{name}: missed {count}" for name, count in session.misses().items()]
            self._lost = self._count_lost()
        except OSError as error:
            counters = [f"could not be read: {error.strerror}"]
            self._lost = max(self._lost, 1)
        self._lost += self._unread
        self._writer.json(Kind.END, {
            "reason": reason,
            "lost": self._lost,
            "counters": counters,
            "groups": groups(),
        })  # fmt: skip

    def _end_command(self) -> int | None:
        """The command's exit status; if it still runs it is asked to end."""
        if self._command is None:
            return None
        if self._command.poll() is None:
            self._command.terminate()
            try:
                self._command.wait(5)
            except subprocess.TimeoutExpired:
                self._command.kill()
        return self._command.wait()


class _Ended(Exception):  # noqa: N818
    """Tracing is no longer ours: why, in words."""


def _start(plan: Plan) -> subprocess.Popen[bytes]:
    out = sys.stderr if plan.command_to_stderr else None
    try:
        return subprocess.Popen(plan.command, stdout=out)  # noqa: S603
    except OSError as error:
        told = f"{plan.command[0]} could not be run: {error.strerror}."
        raise RecordError(told) from error


def _what_failed(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the disk is full"
    told = os.strerror(error.errno or 0)
    return f"tracing was taken away, or the file could not be written ({told})"


def _chosen(clocks: str) -> str:
    start = clocks.find("[")
    return clocks[start + 1 : clocks.find("]", start)] if start >= 0 else clocks.strip()
