"""Bytes of an input, piece by piece: plain or zstd, a file or standard input.

What an input is shows in its first bytes, not in its name. Memory stays bounded: a piece of
compressed input is so small that what it can expand to is bounded as well.
"""

from __future__ import annotations

import codecs
import io
import mmap
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, cast

import zstandard

from iova.errors import InputError
from iova.sources.report import Progress

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC: Final = b"PAR1"

#: Bytes of text read at once; so much stays in a core's cache.
TEXT_PIECE: Final = 1 << 18
#: Bytes after which progress is told.
TOLD_EVERY: Final = 1 << 20
#: Bytes of compressed input at once: 4 bytes can stand for 128 KiB, so this for 32 MiB at most.
ZSTD_PIECE: Final = 1 << 10
#: Bytes of text in which its format shows, and the head that perf may write.
HEAD: Final = 1 << 16
#: Bytes of a stream that is no text: all of it is kept in memory, or in a temporary file.
MAX_STREAMED: Final = 1 << 32
#: The largest window a compressor may have used.
MAX_WINDOW: Final = 1 << 27

STANDARD_INPUT: Final = "-"


class ByteSource(Protocol):
    """What is needed of an open file."""

    def read(self, length: int = -1, /) -> bytes:
        """Everything that is left, or so many bytes of it."""

    def fileno(self) -> int:
        """The file's descriptor."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """As many bytes as there are, up to the buffer's length."""


class DamagedError(Exception):
    """The compressed input ends early or is damaged; what came before is good."""


class Input:
    """An open input whose first bytes have been looked at.

    Attributes:
        name: as the user gave it.
        start: its first bytes, at most four.
    """

    def __init__(self, name: str, file: ByteSource, size: int | None) -> None:
        self.name = name
        start = memoryview(bytearray(len(ZSTD_MAGIC)))
        self.start = bytes(start[: _fill(file, start)])
        self._file = file
        self._size = size

    def read_all(self) -> io.BytesIO:
        """Everything at once, in memory.

        Raises:
            InputError: it is a stream of more than so many bytes.
        """
        if self._size is not None:
            return io.BytesIO(self.start + self._file.read())
        everything = self.start + self._file.read(MAX_STREAMED - len(self.start) + 1)
        if len(everything) > MAX_STREAMED:
            raise InputError(
                self.name,
                f"is a stream of more than {MAX_STREAMED >> 30} GiB.",
                hint="Parquet is read as a whole: write it to a file and name that.",
            )
        return io.BytesIO(everything)

    @contextmanager
    def mapped(self) -> Iterator[memoryview]:
        """Everything, of a file without reading it.

        Raises:
            InputError: it is a stream of more than so many bytes.
        """
        if not self._size:
            yield self.read_all().getbuffer()
            return
        with mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_READ) as file:
            view = memoryview(file)
            try:
                yield view
            finally:
                view.release()

    def end(self, length: int) -> bytes | None:
        """The last bytes, so many at most; None of what is no file."""
        if self._size is None:
            return None
        return os.pread(self._file.fileno(), length, max(0, self._size - length))

    def text(self, progress: Progress | None) -> Iterator[memoryview]:
        """Yield the text, decompressed if it is zstd. Each piece is good until the next.

        Raises:
            DamagedError: the compressed data cannot be read any further.
        """
        if self.start == ZSTD_MAGIC:
            return _decompressed(self._raw(ZSTD_PIECE, progress))
        return self._raw(TEXT_PIECE, progress)

    def _raw(self, length: int, progress: Progress | None) -> Iterator[memoryview]:
        return pieces_of(self._file, self.start, length, self._size, progress)

    @property
    def path(self) -> Path | None:
        """Where another program can read these very bytes; None of what is no file, or packed."""
        if self._size is None or self.name == STANDARD_INPUT or self.start == ZSTD_MAGIC:
            return None
        return Path(self.name)


def pieces_of(
    file: ByteSource,
    start: bytes,
    length: int,
    size: int | None,
    progress: Progress | None,
) -> Iterator[memoryview]:
    """Yield what a file holds. Each piece is good until the next.

    Args:
        file: to read to its end.
        start: what was read of it already.
        length: of a piece, in bytes.
        size: of it all, for the progress; None: not known.
        progress: told ``(done, size)`` now and then.
    """
    buffer = memoryview(bytearray(length))
    buffer[: len(start)] = start
    filled = len(start)
    done = told = 0
    while filled := filled + _fill(file, buffer[filled:]):
        yield buffer[:filled]
        done += filled
        filled = 0
        if progress and done - told >= TOLD_EVERY:
            progress(done, size)
            told = done
    if progress:
        progress(done, size)


def with_head(pieces: Iterator[memoryview]) -> tuple[bytes, Iterator[memoryview]]:
    """The first bytes of a text, :data:`HEAD` of them where there are as many, and all of it."""
    head = bytearray()
    damage: list[DamagedError] = []
    try:
        for piece in pieces:
            head += piece
            if len(head) >= HEAD:
                break
    except DamagedError as error:
        damage.append(error)
    if head.startswith(codecs.BOM_UTF8):  # what some editors put before a text
        del head[: len(codecs.BOM_UTF8)]

    def everything() -> Iterator[memoryview]:
        yield memoryview(head)
        if damage:
            raise damage[0]
        yield from pieces

    return bytes(head[:HEAD]), everything()


@contextmanager
def open_input(source: str) -> Iterator[Input]:
    """Open a file, or standard input for ``-``.

    Raises:
        InputError: it cannot be opened or read.
    """
    try:
        if source == STANDARD_INPUT:
            if sys.stdin is None:
                raise InputError(source, "cannot be read: standard input is closed.")
            piped = cast(ByteSource, sys.stdin.buffer)
            yield Input(source, piped, _size_of(piped))
            return
        path = Path(source)
        with _open(path) as file:
            yield Input(source, file, _size_of(file))
    except OSError as error:
        if error.filename not in (source, None):
            raise
        hint = "Name a file in it." if isinstance(error, IsADirectoryError) else None
        problem = f"cannot be read: {error.strerror or error}."
        raise InputError(source, problem, hint=hint) from error
    except MemoryError as error:
        raise InputError(
            source, "is larger than what this machine has memory for.", hint="Take a part of it."
        ) from error


def _open(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except ValueError as error:
        raise InputError(str(path), "cannot be read: no file has such a name.") from error


def _size_of(file: ByteSource) -> int | None:
    """Bytes of a file; None of what is none, such as a pipe."""
    try:
        status = os.fstat(file.fileno())
    except io.UnsupportedOperation:  # what stands for standard input may be no file
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _fill(file: ByteSource, buffer: memoryview) -> int:
    """Fill the buffer, or less at the end; a pipe may give it in parts."""
    filled = 0
    while filled < len(buffer) and (part := file.readinto(buffer[filled:])):
        filled += part
    return filled


def _decompressed(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    frame = decompressor.decompressobj()
    begun = False
    try:
        for piece in pieces:
            rest: bytes | memoryview = piece
            while rest:
                if frame.eof:
                    frame = decompressor.decompressobj()
                text = frame.decompress(rest)
                rest = frame.unused_data if frame.eof else b""
                begun = not frame.eof
                if text:
                    yield memoryview(text)
    except zstandard.ZstdError as error:
        raise DamagedError(f"the compressed data is damaged from here on ({error})") from error
    if begun:
        raise DamagedError("the compressed data ends early")
