"""Where a kernel's structures keep their members, from its own type information.

The format is BTF (Documentation/bpf/btf.rst): a header, a list of types, each of a fixed head and
of more words by its kind, and the strings they name. Types have no index, so that all are passed
once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BTF_FILE: Final = Path("/sys/kernel/btf/vmlinux")
MAX_BYTES: Final = 64 << 20

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_STRUCT: Final = 4
_UNION: Final = 5
#: Words after a type's head of three: so many, and so many for each of its parts.
_MORE_WORDS: Final = {
    1: (1, 0), 2: (0, 0), 3: (3, 0), 4: (0, 3), 5: (0, 3), 6: (0, 2), 7: (0, 0), 8: (0, 0),
    9: (0, 0), 10: (0, 0), 11: (0, 0), 12: (0, 0), 13: (0, 2), 14: (1, 0), 15: (0, 3), 16: (0, 0),
    17: (1, 0), 18: (0, 0), 19: (0, 3),
}  # fmt: skip
#: Structures within structures within structures.
_MAX_DEPTH: Final = 8


class BtfError(ValueError):
    """This is no BTF, or of a kind that came later."""


@dataclass(frozen=True)
class Types:
    """The structures of a kernel."""

    words: memoryview
    strings: bytes
    places: list[int]  #: index of each type's first word; type 0 is none

    def offset(self, structure: str, member: str) -> int | None:
        """Bytes from the start of a structure to a member; ``a.b`` is a member of a member.

        Members of unnamed parts count as the structure's own. None: there is no such thing.
        """
        at = self._structure(structure)
        total = 0
        for name in member.split("."):
            found = self._member(at, name, 0) if at is not None else None
            if found is None:
                return None
            offset, at = found
            total += offset
        return total

    def size(self, structure: str) -> int | None:
        """Bytes of a structure."""
        at = self._structure(structure)
        return None if at is None else self.words[at + 2]

    def _structure(self, name: str) -> int | None:
        start = self.strings.find(b"\0" + name.encode() + b"\0") + 1
        if not start:
            return None
        words = self.words
        for at in self.places:
            if words[at] == start and words[at + 1] >> 24 & 31 == _STRUCT and words[at + 2]:
                return at
        return None

    def _member(self, at: int, name: str, depth: int) -> tuple[int, int | None] | None:
        info = self.words[at + 1]
        if info >> 24 & 31 not in (_STRUCT, _UNION) or depth == _MAX_DEPTH:
            return None
        for part in range(at + 3, at + 3 + 3 * (info & 0xFFFF), 3):
            named, kind, bits = self.words[part : part + 3]
            offset = (bits & 0xFFFFFF if info >> 31 else bits) // 8
            place = self._place(kind)
            if self._string(named) == name:
                return offset, place
            if not named and place is not None:
                inner = self._member(place, name, depth + 1)
                if inner is not None:
                    return offset + inner[0], inner[1]
        return None

    def _place(self, kind: int) -> int | None:
        """Of what a type is behind its other names."""
        for _ in range(_MAX_DEPTH):
            if not 0 < kind < len(self.places) + 1:
                return None
            at = self.places[kind - 1]
            if self.words[at + 1] >> 24 & 31 not in (8, 9, 10, 18):
                return at
            kind = self.words[at + 2]
        return None

    def _string(self, start: int) -> str:
        end = self.strings.find(b"\0", start)
        return self.strings[start:end].decode("ascii", "replace") if end >= 0 else ""


def read_types(file: Path = BTF_FILE) -> Types | None:
    """The types of the running kernel; None if it does not tell them.

    Raises:
        BtfError: what it tells cannot be read.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES)
    except OSError:
        return None
    return types_of(data)


def types_of(data: bytes) -> Types:
    """The types in the bytes of a BTF file.

    Raises:
        BtfError: this is no BTF.
    """
    if len(data) < _HEADER.size:
        raise BtfError("it is too short")
    magic, _, _, head, type_at, type_bytes, string_at, string_bytes = _HEADER.unpack_from(data)
    if magic != _MAGIC or max(type_at + type_bytes, string_at + string_bytes) + head > len(data):
        raise BtfError("its header is not one of BTF")
    if (head + type_at) % 4 or type_bytes % 4:
        raise BtfError("its types do not lie on words")
    words = memoryview(data)[head + type_at :][:type_bytes].cast("I")
    strings = data[head + string_at :][:string_bytes]
    return Types(words, strings, _places(words))


def _places(words: memoryview) -> list[int]:
    places = []
    at, end = 0, len(words)
    while at + 3 <= end:
        info = words[at + 1]
        more = _MORE_WORDS.get(info >> 24 & 31)
        if more is None:
            raise BtfError(f"it has a kind of type that is not known ({info >> 24 & 31})")
        places.append(at)
        at += 3 + more[0] + more[1] * (info & 0xFFFF)
    if at != end:
        raise BtfError("its types end early")
    return places
