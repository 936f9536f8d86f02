"""A recording on disk: raw pages as they came, between what was known at its start and end.

The file is eight bytes that name it and then parts, each of a kind, a CPU and a length
(little-endian, 32, 32 and 64 bits) and so many bytes. It is written from front to back and
nothing in it changes, so what a crash leaves is a recording without its last part.

=========== ==========================================================================
``START``   JSON: the machine, the events' formats
``BOOT``    trace text: births of domains before the recording began
``PAGE``    a page of the ring buffer of one CPU
``DEVICE``  the same, of the instance that ties domains to devices
``END``     JSON: counters of losses, why the recording ended
=========== ==========================================================================
"""

from __future__ import annotations

import enum
import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

RING_MAGIC: Final = b"IOVR"
VERSION: Final = b"ING1"
SUFFIX: Final = ".iovaring"

_PART: Final = struct.Struct("<IIQ")
MAX_JSON: Final = 8 << 20


class Kind(enum.IntEnum):
    """What a part holds."""

    START = 1
    BOOT = 2
    PAGE = 3
    DEVICE = 4
    END = 5


_KINDS: Final = frozenset(Kind)


@dataclass(frozen=True)
class Part:
    """Where a part's bytes lie in the file."""

    kind: int
    cpu: int
    offset: int
    length: int


class RingWriter:
    """Writes a recording to an empty file. ``written``: bytes of whole parts so far."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.written = 0
        self._write([RING_MAGIC + VERSION])

    def part(self, kind: Kind, data: bytes | memoryview, cpu: int = 0) -> None:
        """Add a part, all of it or nothing.

        Raises:
            OSError: the disk is full, or whatever else keeps it from being written.
        """
        self._write([_PART.pack(kind, cpu, len(data)), data])

    def json(self, kind: Kind, values: dict[str, Any]) -> None:
        """Add a part of JSON."""
        self.part(kind, json.dumps(values).encode())

    def _write(self, pieces: list[bytes | memoryview]) -> None:
        length = sum(map(len, pieces))
        try:
            done = os.writev(self._file, pieces)
            if done != length:  # the disk is nearly full, or the part very large
                rest = b"".join(pieces)[done:]
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.written)
                os.lseek(self._file, self.written, os.SEEK_SET)
            raise
        self.written += length


def parts_of(file: memoryview) -> Iterator[Part]:
    """Go through the parts, to one that is cut short or of no kind: what a crash may leave."""
    at = len(RING_MAGIC) + len(VERSION)
    while at + _PART.size <= len(file):
        kind, cpu, length = _PART.unpack_from(file, at)
        at += _PART.size
        if kind not in _KINDS or length > len(file) - at:
            return
        yield Part(kind, cpu, at, length)
        at += length
