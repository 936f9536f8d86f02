"""Readers of kernel traces: text of ftrace and perf, ``trace.dat``, and Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iova.events import Trace
from iova.sources.formats import Format, format_of, refuse_unmarked
from iova.sources.parquet import read_parquet
from iova.sources.pieces import PARQUET_MAGIC, Input, open_input, with_head
from iova.sources.report import ImportReport, Malformed, Pairing, Progress
from iova.sources.text import import_text, refuse_losses

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
    with open_input(str(source)) as opened:
        if kind is None and opened.start == PARQUET_MAGIC:
            kind = Format.PARQUET
        if kind != Format.PARQUET:
            return _load_text(opened, kind, allow_lost, progress)
        refuse_unmarked(opened.name, kind, opened.start)
        trace = read_parquet(opened)
    refuse_losses(opened.name, trace.info.lost_events, allow_lost)
    report = ImportReport(
        source=opened.name,
        rows=trace.events.height,
        malformed_count=trace.info.malformed_lines,
        lost=trace.info.lost_events,
        notes=trace.info.notes,
    )
    return Loaded(trace, report)


def _load_text(
    opened: Input, kind: Format | None, allow_lost: bool, progress: Progress | None
) -> Loaded:
    text = with_head(opened.text(progress))
    found = kind or format_of(opened.name, text[0])
    refuse_unmarked(opened.name, found, text[0])
    return Loaded(*import_text(opened, found, text, allow_lost=allow_lost, progress=progress))
