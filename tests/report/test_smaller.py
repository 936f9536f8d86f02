"""Pictures are small enough for a mail, and show what they showed."""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
import pytest
import vl_convert

from comparisons import compared
from iova.report.charts_axes import cpu_rows
from iova.report.charts_data import cells_of
from iova.report.charts_spec import Chart, Line, Look, heat, lines
from iova.report.pictures import drawn
from iova.report.smaller import smaller_png, smaller_svg

CELLS = (
    '<g class="mark-rect role-mark concat_0_marks" aria-hidden="true">'
    '<path aria-hidden="true" d="M0,0h1.26v2h-1.26Z" fill="red"/>'
    '<path aria-hidden="true" d="M1.26,0h1.26v2h-1.26Z" fill="blue" opacity="0.5"/>'
    '<path aria-hidden="true" d="M2.52,0h1.26v2h-1.26Z" fill="red"/></g>'
)


def chunks_of(png: bytes) -> dict[bytes, bytes]:
    """Contents by kind; every checksum is right."""
    found, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        content = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + content)
        found[kind] = found.get(kind, b"") + content
        at += 12 + length
    return found


def test_a_smaller_png_has_the_same_pixels() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">'
    svg += (
        '<circle cx="90" cy="80" r="70" fill="#0072b2"/><path d="M0,0L300,200" stroke="red"/></svg>'
    )
    png = vl_convert.svg_to_png(svg, scale=2)
    small = smaller_png(png)
    assert len(small) < len(png) * 0.7
    before, after = chunks_of(png), chunks_of(small)
    assert zlib.decompress(before.pop(b"IDAT")) == zlib.decompress(after.pop(b"IDAT"))
    assert before == after
    assert list(after)[-1] == b"IEND"


def test_cells_of_one_colour_are_one_path_and_meet_without_gap_or_overlap() -> None:
    paths = re.findall(r'<path d="([^"]*)" ([^/]*)/>', smaller_svg(CELLS))
    assert paths == [
        ("M0,0h1.3v2h-1.3ZM2.5,0h1.3v2h-1.3Z", 'fill="red"'),
        ("M1.3,0h1.2v2h-1.2Z", 'fill="blue" opacity="0.5"'),
    ]
    assert 'shape-rendering="crispEdges"' in smaller_svg(CELLS)
    other = CELLS.replace("h-1.26Z", "H0Z", 1)
    assert smaller_svg(other).count("<path") == 3


def test_places_are_told_to_a_tenth_of_a_pixel_and_texts_are_left_alone() -> None:
    text = "<text>0.12345 d=&quot;M1.2345&quot;</text>"
    line = '<path d="M0.04999,10.25L1.96,-3.14159" stroke-width="1.85"/>'
    small = '<path d="M0,10.2L2,-3.1" stroke-width="1.85"/>'
    assert smaller_svg(text + line + "<g>" + line + "</g>") == f"{text}{small}<g>{small}</g>"


@pytest.mark.parametrize("kind", ["heat", "lines"])
def test_no_chart_is_too_large_for_a_mail(kind: str) -> None:
    """As much in each of four panels as there can be, and all of it noise."""
    random = np.random.default_rng(1)
    panels = []
    for design in range(4):
        if kind == "heat":
            edges = np.arange(71.0)
            panels.append(
                heat(
                    cells_of(edges, edges, random.random((70, 70))), x=cpu_rows("x", "", range(71)),
                    y=cpu_rows("y", "", range(71)), legend="z", told=("z",), highest=1,
                    design=design,
                )
            )  # fmt: skip
        else:
            told = [
                Line(str(i), Look("#0072B2"), *np.sort(random.random((3, 185)), axis=0)[[1, 0, 2]])
                for i in range(6)
            ]
            panels.append(lines(np.arange(185.0), 185, told, "y", design=design))
    files = drawn(Chart("x", "noise", "", tuple(panels)), compared())
    assert len(files["svg"]) < 600_000
    assert len(files["png"]) < 300_000
