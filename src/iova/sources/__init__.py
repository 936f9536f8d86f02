"""Readers of kernel traces: text of ftrace and perf, ``trace.dat``, recordings, and Parquet.

And the recorder. It can do without Polars, so that is loaded at the first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iova.sources.formats import Format, format_of, refuse_unmarked
from iova.sources.report import ImportReport, Malformed, Pairing, Progress

if TYPE_CHECKING:
    from iova.events import Trace
    from iova.sources.pieces import Input

__all__ = ["Format", "ImportReport", "Loaded", "Malformed", "Pairing", "Progress", "load"]


@dataclass(frozen=True)
class Loaded:
    """A trace, and what became of the input's lines."""

    trace: Trace
    report: ImportReport


def load(
    source: str | Path,
    *,
    kind: Format | None = None,
    allow_lost: bool = False,
    progress: Progress | None = None,
) -> Loaded:
    """Load a trace in any :class:`Format`, plain or zstd; told by content, not by name.

    Args:
        source: a file, or ``-`` for standard input.
        kind: read it as this, whatever it looks like.
        allow_lost: accept a trace that says it lost events.
        progress: told ``(done, total)`` in bytes of the input now and then.

    Raises:
        InputError: it cannot be read, holds no event of the allocator, or lost events.
    """
    from iova.sources.parquet import read_parquet
    from iova.sources.pieces import PARQUET_MAGIC, open_input
    from iova.sources.record.ring_file import RING_MAGIC
    from iova.sources.text import refuse_losses

    with open_input(str(source)) as opened:
        if kind is None:
            kind = {PARQUET_MAGIC: Format.PARQUET, RING_MAGIC: Format.RECORDING}.get(opened.start)
        if kind == Format.RECORDING:
            refuse_unmarked(opened.name, kind, opened.start)
            return _load_recording(opened, allow_lost, progress)
        if kind != Format.PARQUET:
            return _load_text(opened, kind, allow_lost, progress)
        refuse_unmarked(opened.name, kind, opened.start)
        trace = read_parquet(opened)
    refuse_losses(opened.name, trace.info.lost_events, allow_lost)
    report = ImportReport(
        source=opened.name,
        rows=trace.events.height,
        malformed_count=trace.info.malformed_lines,
        incomplete=trace.info.incomplete,
        lost=trace.info.lost_events,
        notes=trace.info.notes,
    )
    return Loaded(trace, report)


def _load_recording(opened: Input, allow_lost: bool, progress: Progress | None) -> Loaded:
    from iova.sources.record.decode import import_recording

    return Loaded(*import_recording(opened, allow_lost=allow_lost, progress=progress))


def _load_text(
    opened: Input, kind: Format | None, allow_lost: bool, progress: Progress | None
) -> Loaded:
    from iova.sources.pieces import with_head
    from iova.sources.text import import_text

    text = with_head(opened.text(progress))
    found = kind or format_of(opened.name, text[0])
    refuse_unmarked(opened.name, found, text[0])
    return Loaded(*import_text(opened, found, text, allow_lost=allow_lost, progress=progress))
