"""Bytes of an input, piece by piece: plain or zstd, a file or standard input.

What an input is shows in its first bytes, not in its name. Memory stays bounded: a piece of
compressed input is so small that what it can expand to is bounded as well.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from iova.errors import InputError
from iova.sources.report import Progress

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC: Final = b"PAR1"

#: Bytes of text read at once.
TEXT_PIECE: Final = 1 << 20
#: Bytes of compressed input at once: 4 bytes can stand for 128 KiB, so this for 32 MiB at most.
ZSTD_PIECE: Final = 1 << 10
#: The largest window a compressor may have used.
MAX_WINDOW: Final = 1 << 27

STANDARD_INPUT: Final = "-"


class DamagedError(Exception):
    """The compressed input ends early or is damaged; what came before is good."""


class Input:
    """An open input whose first bytes have been looked at.

    Attributes:
        name: as the user gave it.
        start: its first bytes, at most four.
    """

    def __init__(self, name: str, file: BinaryIO, size: int | None) -> None:
        self.name = name
        self.start = _read_fully(file, len(ZSTD_MAGIC))
        self._file = file
        self._size = size

    def read_all(self) -> io.BytesIO:
        """Everything at once, in memory."""
        return io.BytesIO(self.start + self._file.read())

    def text(self, progress: Progress | None) -> Iterator[bytes]:
        """Yield the text, decompressed if it is zstd.

        Raises:
            DamagedError: the compressed data cannot be read any further.
        """
        if self.start == ZSTD_MAGIC:
            return _decompressed(self._raw(ZSTD_PIECE, progress))
        return self._raw(TEXT_PIECE, progress)

    def _raw(self, length: int, progress: Progress | None) -> Iterator[bytes]:
        done = told = 0
        piece = self.start + _read_fully(self._file, length - len(self.start))
        while piece:
            yield piece
            done += len(piece)
            if progress and done - told >= TEXT_PIECE:
                progress(done, self._size)
                told = done
            piece = _read_fully(self._file, length)
        if progress:
            progress(done, self._size)


@contextmanager
def open_input(source: str) -> Iterator[Input]:
    """Open a file, or standard input for ``-``.

    Raises:
        InputError: it cannot be opened or read.
    """
    try:
        if source == STANDARD_INPUT:
            yield Input(source, sys.stdin.buffer, None)
            return
        with Path(source).open("rb") as file:
            path = Path(source)
            yield Input(source, file, path.stat().st_size if path.is_file() else None)
    except OSError as error:
        if error.filename not in (source, None):
            raise
        raise InputError(source, f"cannot be read: {error.strerror or error}.") from error


def _read_fully(file: BinaryIO, length: int) -> bytes:
    """``length`` bytes, or fewer at the end; a pipe may give them in parts."""
    parts = []
    while length > 0 and (part := file.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    frame = decompressor.decompressobj()
    begun = False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                if frame.eof:
                    frame = decompressor.decompressobj()
                text = frame.decompress(rest)
                rest = frame.unused_data if frame.eof else b""
                begun = not frame.eof
                if text:
                    yield text
    except zstandard.ZstdError as error:
        raise DamagedError(f"the compressed data is damaged from here on ({error})") from error
    if begun:
        raise DamagedError("the compressed data ends early")
