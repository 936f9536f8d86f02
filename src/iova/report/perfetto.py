"""A trace as a Perfetto trace of TrackEvents, for https://ui.perfetto.dev.

Calls are slices on a track of their CPU, with what they were called with and returned; what has no
recorded return is an instant. Counters are what a design does with the same calls: the trace is
replayed under it, and the depot per size class, live and cached pages, the hit rate and the
magazines reclaimed are sampled. Times are those of the trace.

The trace is written piece by piece: beside the trace and the replay's samples, memory holds one
piece and the calls that are open.

Source: https://perfetto.dev/docs/reference/trace-packet-proto.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from iova.designs import DesignSpec
from iova.errors import InputError
from iova.events import Trace
from iova.files import appearing_whole
from iova.lab.replay import named_as, prepare, replay
from iova.report.perfetto_calls import CallPackets
from iova.report.perfetto_counters import counter_packets

#: Rows of a piece.
PIECE_ROWS: Final = 1 << 16

#: Moments at which counters are sampled, about.
SAMPLES: Final = 10_000

#: File names that ask for this format.
SUFFIXES: Final = (".pftrace", ".perfetto-trace")

#: ``progress(what, done, total)``
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PerfettoReport:
    """What was written."""

    design: str  #: the counters are its
    slices: int  #: calls drawn from entry to return
    instants: int  #: what has no return, or none that was recorded
    crowded: int  #: instants for want of room: too many calls overlapped on a CPU
    samples: int  #: of each counter


def is_perfetto(out: str | Path) -> bool:
    """Whether a file's name asks for this format."""
    return str(out).endswith(SUFFIXES)


def write_perfetto(
    trace: Trace,
    out: str | Path,
    *,
    name: str,
    design: DesignSpec,
    classes: int = 6,
    samples: int = SAMPLES,
    progress: Progress | None = None,
) -> PerfettoReport:
    """Write a trace for Perfetto; the file appears when it is complete.

    Args:
        trace: what was recorded or generated.
        out: the file.
        name: how the source is called on the tracks.
        design: the counters show what it does with the calls.
        classes: size classes of the caches, unless the design has a say.
        samples: about so many moments at which the counters are read.
        progress: told while the replay runs and while the file is written.

    Raises:
        InputError: the file can not be written, or the times of the trace are not usable.
        IovaError: the trace can not be replayed.
        DesignError: a policy in Python failed.
    """
    if trace.events["t"][0] < 0:
        raise InputError(name, "has times before 0, which Perfetto does not know.")
    with named_as(name):
        result = replay(
            prepare(trace),
            design,
            samples=samples,
            classes=classes,
            progress=_told(progress, "replaying"),
        )
    calls = CallPackets(f"calls: {name}", trace.info)
    with appearing_whole(out) as temporary, temporary.open("wb") as file:
        file.write(calls.head())
        counted = counter_packets(result, f"counters: {design.label}")
        file.write(counted.packets)
        _write_calls(trace, calls, file, _told(progress, "writing"))
    return PerfettoReport(
        design.label, calls.slices, calls.instants, calls.crowded, counted.samples
    )


def _write_calls(
    trace: Trace, calls: CallPackets, file: IO[bytes], told: Callable[[int, int], None]
) -> None:
    rows = trace.events.height
    for first in range(0, rows, PIECE_ROWS):
        file.write(calls.piece(trace.events.slice(first, PIECE_ROWS)))
        told(min(first + PIECE_ROWS, rows), rows)
    file.write(calls.tail())


def _told(progress: Progress | None, what: str) -> Callable[[int, int], None]:
    def told(done: int, total: int) -> None:
        if progress:
            progress(what, done, total)

    return told
