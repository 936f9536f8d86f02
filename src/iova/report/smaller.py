"""Pictures made smaller that look the same: for mails, where Vega draws for screens."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

_SIGNATURE_BYTES: Final = 8

#: Positions within a path, to be told to a tenth of a pixel.
_PLACES: Final = re.compile(r' d="([^"]+)"')
_FRACTION: Final = re.compile(r"\d+\.\d+")

#: A cell of a heat map, and a whole one. Text of a user's can not be taken for them: its ``<`` is
#: escaped.
_NUMBER: Final = r"([-\d.e]+)"
_CELL: Final = re.compile(
    rf'<path (?:aria-hidden="true" )?d="M{_NUMBER},{_NUMBER}h{_NUMBER}v{_NUMBER}h[-\d.e]+Z"'
    r"([^>]*)/>"
)
_CELLS: Final = re.compile(
    rf'<g class="mark-rect role-mark([^>]*)>((?:{_CELL.pattern.replace("([", "(?:[")})+)(?=</g>)'
)


def smaller_svg(svg: str) -> str:
    """Paths to a tenth of a pixel; of each heat map, cells of one colour in one path.

    The cells of a heat map must not overlap. They are drawn without blurred edges, which would
    show between cells that are drawn one after the other.
    """
    return _PLACES.sub(_rounded, _CELLS.sub(_gathered, svg))


def _gathered(cells: re.Match[str]) -> str:
    looks: dict[str, list[str]] = {}
    for *places, look in _CELL.findall(cells[2]):
        x, y, width, height = map(float, places)
        # Rounded as corners: rounded widths would leave gaps.
        left, right, top, bottom = (round(one, 1) for one in (x, x + width, y, y + height))
        wide, high = right - left, bottom - top
        path = f"M{left:.1f},{top:.1f}h{wide:.1f}v{high:.1f}h-{wide:.1f}Z"
        looks.setdefault(look, []).append(path)
    paths = (f'<path d="{"".join(all_)}"{look}/>' for look, all_ in looks.items())
    head = f'<g class="mark-rect role-mark{cells[1]} shape-rendering="crispEdges">'
    return head + "".join(paths)


def _rounded(path: re.Match[str]) -> str:
    told = _FRACTION.sub(lambda n: f"{float(n[0]):.1f}".removesuffix(".0"), path[1])
    return f' d="{told}"'


def smaller_png(png: bytes) -> bytes:
    """The same pixels, deflated with all effort."""
    chunks, at, pixels = [], _SIGNATURE_BYTES, b""
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        chunk = png[at : at + 12 + length]  # length, kind, content, checksum
        at += len(chunk)
        if kind == b"IDAT":
            pixels += chunk[8:-4]
        else:
            chunks.append(chunk)
    chunks.insert(-1, _chunk(b"IDAT", zlib.compress(zlib.decompress(pixels), 9)))
    return png[:_SIGNATURE_BYTES] + b"".join(chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
