"""Ring buffer pages and event formats in Python, for the few events that tie domains to devices.

The many are decoded in C (``ring.c``), by the same rules.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FIELD: Final = re.compile(
    r"field:([^;\n]*?)(\w+)(?:\[[^\]\n]*\])?;\s*offset:(\d{1,9});\s*size:(\d{1,9});"
)
_ID: Final = re.compile(r"^ID: (\d{1,9})$", re.MULTILINE)

_HEADER: Final = struct.Struct("<QQ")
_COMMITTED: Final = 0xFFFFF
_WORD: Final = struct.Struct("<I")
_PADDING, _EXTEND, _STAMP = 29, 30, 31


@dataclass(frozen=True)
class Format:
    """How an event's bytes are laid out."""

    number: int
    fields: tuple[tuple[str, int, int], ...]  #: name, offset, bytes

    def value(self, name: str, entry: bytes) -> int | None:
        """A field as an unsigned number; None if it is not there."""
        for known, offset, size in self.fields:
            if known == name and offset + size <= len(entry):
                return int.from_bytes(entry[offset : offset + size], "little")
        return None

    def text(self, name: str, entry: bytes) -> str | None:
        """A field that holds the place of a string: 16 bits of offset, 16 of length."""
        place = self.value(name, entry)
        if place is None:
            return None
        start, length = place & 0xFFFF, place >> 16 & 0xFFFF
        return entry[start : start + length].split(b"\0")[0].decode("ascii", "replace")


def format_of(text: str) -> Format | None:
    """Read an event's format; None if this is none."""
    number = _ID.search(text)
    if not number:
        return None
    fields = [(name, int(at), int(size)) for _, name, at, size in _FIELD.findall(text)]
    return Format(int(number[1]), tuple(fields))


def entries_of(page: bytes) -> Iterator[tuple[int, bytes]]:
    """Time and bytes of each event of a page; it ends where the page is damaged."""
    if len(page) < _HEADER.size:
        return
    t, commit = _HEADER.unpack_from(page)
    at = _HEADER.size
    end = min(len(page), at + (commit & _COMMITTED))
    while at + 8 <= end:
        (head,), (following,) = _WORD.unpack_from(page, at), _WORD.unpack_from(page, at + 4)
        kind, delta = head & 31, head >> 5
        if kind == _PADDING and not delta:
            return
        start = at + (8 if kind == 0 else 4)
        if kind in (0, _PADDING):
            at += (following + 4 + 3) & ~3
        else:
            at += 8 if kind > _PADDING else 4 + 4 * kind
        if at > end or at < start:
            return
        if kind == _STAMP:
            t = delta + (following << 27)
            continue
        t += delta + (following << 27) if kind == _EXTEND else delta
        if kind < _PADDING:
            yield t, page[start:at]
