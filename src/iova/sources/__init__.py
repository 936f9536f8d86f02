"""Readers of kernel traces: text of ftrace, and Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iova.events import Trace
from iova.sources.parquet import read_parquet
from iova.sources.pieces import PARQUET_MAGIC, open_input
from iova.sources.report import ImportReport, Malformed, Pairing, Progress
from iova.sources.text import import_text, refuse_losses

__all__ = ["ImportReport", "Loaded", "Malformed", "Pairing", "Progress", "load"]


@dataclass(frozen=True)
class Loaded:
    """A trace, and what became of the input's lines."""

    trace: Trace
    report: ImportReport


def load(
    source: str | Path, *, allow_lost: bool = False, progress: Progress | None = None
) -> Loaded:
    """Load a trace: ftrace text, plain or zstd, or Parquet; told apart by content, not by name.

    Args:
        source: a file, or ``-`` for standard input.
        allow_lost: accept a trace that says it lost events.
        progress: told ``(done, total)`` in bytes of the input now and then.

    Raises:
        InputError: it cannot be read, holds no event of the allocator, or lost events.
    """
    with open_input(str(source)) as opened:
        if opened.start != PARQUET_MAGIC:
            return Loaded(*import_text(opened, allow_lost=allow_lost, progress=progress))
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
