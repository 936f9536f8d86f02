"""Raw pages of a ring buffer, as they come, from every CPU of an instance."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from iova.closing import ClosedOnLeaving
from iova.sources.record.tracefs import Tracefs

#: A page is never larger.
MAX_PAGE: Final = 1 << 16
#: Pages that one CPU is read before the next has its turn.
_TURN: Final = 256

_HEADER: Final = struct.Struct("<QQ")
_COMMITTED: Final = 0xFFFFF
#: The number of missed events stands behind the entries.
_COUNTED: Final = 1 << 30

#: Told the CPU and its page; the memory is used again.
Sink = Callable[[int, memoryview], None]


class Capture(ClosedOnLeaving):
    """Reads all CPUs of an instance; use it in a ``with``.

    Pages are trimmed to what is committed: at low rates most of a page is empty.
    """

    def __init__(self, instance: Tracefs) -> None:
        self._folder = instance.root / "per_cpu"
        self._files: dict[int, int] = {}
        self._page = memoryview(bytearray(MAX_PAGE))

    def __enter__(self) -> Self:
        folders: list[Path] = sorted(self._folder.glob("cpu*"))
        try:
            for folder in folders:
                flags = os.O_RDONLY | os.O_NONBLOCK
                self._files[int(folder.name[3:])] = os.open(folder / "trace_pipe_raw", flags)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def read(self, sink: Sink) -> int:
        """Hand on what is there now, a bounded number of pages; how many these were.

        Raises:
            OSError: the buffers cannot be read any more, or what ``sink`` raises.
        """
        return sum(self._read_cpu(cpu, file, sink) for cpu, file in self._files.items())

    def drain(self, sink: Sink) -> None:
        """Hand on everything; recording must have been stopped."""
        while self.read(sink):
            pass

    def _read_cpu(self, cpu: int, file: int, sink: Sink) -> int:
        for count in range(_TURN):
            try:
                length = os.readv(file, [self._page])
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EINTR):
                    return count
                raise
            used = self._used(length)
            if used is None:
                return count
            sink(cpu, self._page[:used])
        return _TURN

    def _used(self, length: int) -> int | None:
        """Bytes of the page that say something; None: it has no entries."""
        if length < _HEADER.size:
            return None
        _, commit = _HEADER.unpack_from(self._page)
        used = _HEADER.size + (commit & _COMMITTED)
        if commit & _COUNTED:
            used += 8
        return min(used, length) if used > _HEADER.size else None
