"""What an input is: told by its first bytes and lines, never by its name."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from iova.errors import InputError
from iova.sources.pieces import PARQUET_MAGIC
from iova.sources.record.ring_file import RING_MAGIC

#: A line within which the kind of a text shows; longer ones are no lines of a trace.
_LONGEST_LINE: Final = 1024

_TRACE_DAT_MAGIC: Final = b"\x17\x08\x44tracing"
_PERF_DATA_MAGICS: Final = (b"PERFILE2", b"2ELIFREP")

_FTRACE_LINE: Final = re.compile(rb"-\d{1,10} +(?:\([ \d-]{1,10}\) +)?\[\d{1,6}\] ")
_PERF_LINE: Final = re.compile(rb" (?:-?\d{1,10}/)?-?\d{1,10} +\[\d{1,6}\] +\d{1,20}\.\d{6,9}: ")


class Format(StrEnum):
    """The formats that are read."""

    FTRACE = "ftrace"  #: text of tracefs' ``trace`` and ``trace_pipe``, and of ``trace-cmd report``
    TRACE_DAT = "trace.dat"  #: what ``trace-cmd record`` writes
    PERF = "perf"  #: text of ``perf script``
    RECORDING = "recording"  #: raw pages, as ``iova record -o FILE.iovaring`` keeps them
    PARQUET = "parquet"  #: what ``iova convert`` writes


#: What each is called in a trace's metadata.
TITLES: Final = {
    Format.FTRACE: "ftrace text",
    Format.TRACE_DAT: "trace.dat",
    Format.PERF: "perf script text",
}


_MARKS: Final = {
    Format.TRACE_DAT: _TRACE_DAT_MAGIC,
    Format.RECORDING: RING_MAGIC,
    Format.PARQUET: PARQUET_MAGIC,
}


def format_of(source: str, head: bytes) -> Format:
    """Tell the format of an input that is no Parquet.

    Args:
        source: its name, for the error.
        head: as much of its start as is at hand, decompressed.

    Raises:
        InputError: it is a file that has to be turned into text by another tool first.
    """
    if head.startswith(_TRACE_DAT_MAGIC):
        return Format.TRACE_DAT
    if head.startswith(_PERF_DATA_MAGICS):
        raise InputError(
            source,
            "is what `perf record` writes, which perf alone can read.",
            hint="Give its text: `perf script --header --show-lost-events -i FILE >TEXT`.",
        )
    if _is_perfetto(head):
        raise InputError(
            source,
            "is a Perfetto trace, which is written but not read.",
            hint="Give the trace that it was made from.",
        )
    return _layout_of(head)


def _is_perfetto(head: bytes) -> bool:
    """A list of packets in binary: the tag of the first, and soon what is in no text."""
    binary = re.search(rb"[\x00-\x08\x0e-\x1a]", head[:_LONGEST_LINE])
    return head.startswith(b"\n") and binary is not None


def refuse_unmarked(source: str, kind: Format, start: bytes) -> None:
    """A file that is no text begins with its mark: what does not is not read to its end.

    Raises:
        InputError: it is to be read as such a file and does not begin so.
    """
    mark = _MARKS.get(kind, b"")
    if not start.startswith(mark):
        raise InputError(source, f"is no {kind}: it does not begin like one.",
                         hint="Without --format it is read as what it looks like.")  # fmt: skip


def parse_format(text: str) -> Format:
    """The format of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return Format(text)
    except ValueError:
        known = ", ".join(Format)
        raise InputError("--format", f"{text!r} is no format.", hint=f"Known: {known}.") from None


def _layout_of(head: bytes) -> Format:
    """Whose text it is, from its first line that is anyone's."""
    for line in head.split(b"\n"):
        part = line[:_LONGEST_LINE]
        if part.startswith(b"#"):
            continue
        perf, ftrace = _PERF_LINE.search(part), _FTRACE_LINE.search(part)
        if ftrace and not (perf and perf.start() < ftrace.start()):
            return Format.FTRACE
        if perf:
            return Format.PERF
    return Format.FTRACE
