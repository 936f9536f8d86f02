"""Protocol buffers, as much as a Perfetto trace needs, for many packets of one shape at once.

A message is a list of *parts*: bytes that are the same in every packet, and two-dimensional arrays
of bytes, one row a packet, for what differs. All packets of one list have the same length, so that
lengths within them are constants: a varint is as wide as the largest value of its column wants,
smaller ones carry redundant continuation bytes, as the encoding allows and Perfetto's own writer
does. So packets are written by numpy, many at once.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Bytes2D = npt.NDArray[np.uint8]
Part = bytes | Bytes2D

_VARINT: Final = 0
_FIXED_64: Final = 1
_LENGTH: Final = 2


def varint(value: int) -> bytes:
    """One number, 0..2^64-1, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: npt.NDArray[np.uint64]) -> Bytes2D:
    """A column of numbers, all as wide as the largest."""
    width = max(1, (int(values.max(initial=0)).bit_length() + 6) // 7)
    shifts = np.arange(0, 7 * width, 7, dtype=np.uint64)
    out = ((values[:, None] >> shifts) & np.uint64(0x7F)).astype(np.uint8)
    out[:, :-1] |= 0x80
    return out


def number(field: int, value: int | npt.NDArray[np.uint64]) -> list[Part]:
    """A field that is a whole number."""
    return [
        varint(field << 3 | _VARINT),
        varint(value) if isinstance(value, int) else varints(value),
    ]


def doubles(field: int, values: npt.NDArray[np.float64]) -> list[Part]:
    """A field that is a floating-point number."""
    raw = values.astype("<f8").view(np.uint8).reshape(-1, 8)
    return [varint(field << 3 | _FIXED_64), raw]


def text(field: int, value: str) -> list[Part]:
    """A field that is a text."""
    return message(field, [value.encode("utf-8", "backslashreplace")])


def message(field: int, parts: Sequence[Part]) -> list[Part]:
    """A field that is a message."""
    length = sum(part.shape[1] if isinstance(part, np.ndarray) else len(part) for part in parts)
    return [varint(field << 3 | _LENGTH), varint(length), *parts]


def joined(parts: Sequence[Part]) -> bytes:
    """One packet, none of whose parts differs from packet to packet."""
    return b"".join(part.tobytes() if isinstance(part, np.ndarray) else part for part in parts)


# ---------------------------------------------------------------------------------- many


@dataclass(frozen=True)
class Packets:
    """Packets of one shape, and where each belongs."""

    place: npt.NDArray[np.int64]  #: of each packet in the order of all, 0..
    rows: Bytes2D


def packets(place: npt.NDArray[np.int64], parts: Sequence[Part]) -> Packets:
    """As many packets as there are places."""
    columns = [
        part
        if isinstance(part, np.ndarray)
        else np.broadcast_to(np.frombuffer(part, np.uint8), (len(place), len(part)))
        for part in parts
    ]
    return Packets(place, np.concatenate(columns, axis=1))


def in_order(groups: Sequence[Packets]) -> bytes:
    """The packets of all groups, each at its place."""
    count = sum(len(group.place) for group in groups)
    lengths = np.zeros(count, dtype=np.int64)
    for group in groups:
        lengths[group.place] = group.rows.shape[1]
    starts = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), dtype=np.uint8)
    for group in groups:
        out[starts[group.place][:, None] + np.arange(group.rows.shape[1])] = group.rows
    return out.tobytes()
