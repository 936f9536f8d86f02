"""``convert``: any trace in, Parquet out."""

from __future__ import annotations

from pathlib import Path

from iova.errors import InputError
from iova.files import is_same_file
from iova.sources import Format, load
from iova.sources.parquet import write_parquet
from iova.sources.pieces import STANDARD_INPUT
from iova.sources.report import ImportReport, Progress


def convert(
    source: str | Path,
    out: str | Path,
    *,
    kind: Format | None = None,
    allow_lost: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Turn a trace into a Parquet file. Where lines are malformed, the good rest is written.

    Args:
        source: as for :func:`iova.sources.load`.
        out: the file to write; it appears when it is complete.
        kind: as for :func:`iova.sources.load`.
        allow_lost: accept a trace that says it lost events.
        progress: told ``(done, total)`` in bytes of the input.

    Returns:
        What became of the input; ``is_whole`` tells whether all of it could be used.

    Raises:
        InputError: the source has no usable event (then there is no file), lost events, or is
            the output; or the output cannot be written.
    """
    if str(source) != STANDARD_INPUT and is_same_file(out, source):
        raise InputError(str(out), "is the input as well.", hint="Name another file to write.")
    loaded = load(source, kind=kind, allow_lost=allow_lost, progress=progress)
    write_parquet(loaded.trace, out)
    return loaded.report
