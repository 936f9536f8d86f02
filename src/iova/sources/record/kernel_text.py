"""A function's first instruction after its hook, and its exits, from the running kernel's text.

Only kernels without fprobe events need this (before 6.5), and only on x86-64. A probe at the very
start rides on the function tracer and loses what is hit in a nested interrupt; a return probe does
too. So the entry's probe sits past the tracer's hook, and the exits get probes of their own.

Where instructions start is not worked out here: any byte that could be an exit is proposed, and
the kernel, which decodes the function before it sets a probe, refuses those that are none.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

KALLSYMS: Final = Path("/proc/kallsyms")
KCORE: Final = Path("/proc/kcore")

#: No function of the allocator is near as long; what is longer has no next symbol.
MAX_FUNCTION: Final = 1 << 14

_ENDBR: Final = b"\xf3\x0f\x1e\xfa"
_HOOKS: Final = (b"\x0f\x1f\x44\x00\x00", b"\xe8", b"\xcc", b"\xe9")
_HOOK_BYTES: Final = 5
_RET: Final = 0xC3
_JUMP_NEAR: Final = 0xE9
_JUMP_SHORT: Final = 0xEB


@dataclass(frozen=True)
class Symbols:
    """Where functions lie: ``ranges[name]`` is the address and the one past the last."""

    ranges: dict[str, tuple[int, int]]


def read_symbols(names: set[str], file: Path = KALLSYMS) -> Symbols:
    """Find functions and their cold parts; those that are not there, or hidden, are left out."""
    starts: dict[str, int] = {}
    addresses = []
    with file.open() as lines:
        for line in lines:
            if line.endswith("]\n"):  # of a module
                continue
            address, kind, name = line.split()[:3]
            if kind not in "tTwW":
                continue
            value = int(address, 16)
            addresses.append(value)
            if name.partition(".cold")[0] in names:
                starts[name] = value
    addresses.sort()
    return Symbols(
        {name: (start, _next_after(addresses, start)) for name, start in starts.items() if start}
    )


def _next_after(addresses: list[int], start: int) -> int:
    following = (address for address in addresses if start < address)
    return min(next(following, start + MAX_FUNCTION), start + MAX_FUNCTION)


class KernelMemory:
    """The kernel's own memory, through the ELF core file it offers.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, file: Path = KCORE) -> None:
        self._file = file.open("rb", buffering=0)
        try:
            self._segments = _segments_of(self._file, file)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, first: int, end: int) -> bytes | None:
        """The bytes of first..end, or None."""
        for address, length, offset in self._segments:
            if address <= first and end <= address + length:
                self._file.seek(offset + first - address)
                data = self._file.read(end - first)
                return data if len(data) == end - first else None
        return None


def _segments_of(file: FileIO, name: Path) -> list[tuple[int, int, int]]:
    """Address, bytes and place in the file of each segment of an ELF core."""
    head = file.read(64)
    if len(head) < 64 or head[:5] != b"\x7fELF\x02":
        raise OSError(errno.ENOEXEC, "is no 64-bit ELF file", str(name))
    (start,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    file.seek(start)
    table = file.read(size * count)
    segments = []
    for at in range(0, len(table) - 55, max(size, 56)):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", table, at)
        if kind == 1:
            segments.append((address, length, offset))
    return segments


def entry_offset(text: bytes) -> int | None:
    """Bytes from a function's start to what follows the tracer's hook; None: no hook."""
    start = len(_ENDBR) if text.startswith(_ENDBR) else 0
    if any(text.startswith(hook, start) for hook in _HOOKS):
        return start + _HOOK_BYTES
    return None


def exit_candidates(text: bytes, start: int, own: list[tuple[int, int]]) -> list[int]:
    """Offsets at which a function could end: returns, and jumps out of all its parts.

    Args:
        text: the bytes of one of its parts.
        start: the address of that part.
        own: first and past-the-last address of all its parts.
    """
    found = []
    for at, byte in enumerate(text):
        if byte == _RET:
            found.append(at)
        elif byte == _JUMP_NEAR and at + 5 <= len(text):
            (jump,) = struct.unpack_from("<i", text, at + 1)
            if not _is_in(start + at + 5 + jump, own):
                found.append(at)
        elif byte == _JUMP_SHORT and at + 2 <= len(text):
            (jump,) = struct.unpack_from("<b", text, at + 1)
            if not _is_in(start + at + 2 + jump, own):
                found.append(at)
    return found


def _is_in(address: int, parts: list[tuple[int, int]]) -> bool:
    return any(first <= address < end for first, end in parts)
