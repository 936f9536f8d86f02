"""The charts as pictures for mails and papers: PNG and SVG, on white."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import vl_convert

from iova.errors import InputError
from iova.files import appearing_whole
from iova.lab.compare import Comparison
from iova.report.charts import charts_of
from iova.report.charts_axes import ticks_for
from iova.report.charts_spec import Chart, Panel
from iova.report.smaller import smaller_png, smaller_svg
from iova.report.table import headline

#: Widths of a picture whose panels stand beside each other, in pixels; PNGs have twice as many.
_WIDTH: Final = 960
_HEIGHT: Final = 190
_SQUARE: Final = 340
#: Room for the axis and the gap between two.
_AXIS: Final = 55
_MOST_BESIDE: Final = 4
_PNG_SCALE: Final = 2

_CONFIG: Final[dict[str, Any]] = {
    "background": "white",
    "font": "DejaVu Sans, Helvetica, Arial, sans-serif",
    "padding": 12,
    "view": {"stroke": None},
    "mark": {"aria": False},  # else each cell of a heat map is told in words
    "axis": {"gridColor": "#e3e6ea", "domainColor": "#b1b8c0", "tickColor": "#b1b8c0",
             "titleFontWeight": "normal", "labelColor": "#3d444d", "titleColor": "#3d444d",
             "labelOverlap": True},
    "legend": {"orient": "bottom", "titleFontWeight": "normal", "labelLimit": 260, "columns": 6,
               "symbolOpacity": 1},
    "title": {"anchor": "start", "fontSize": 12, "fontWeight": 600},
}  # fmt: skip


def write_pictures(comparisons: Sequence[Comparison], folder: Path) -> list[Path]:
    """Write each chart as PNG and SVG, once all are drawn; each file appears when it is complete.

    Args:
        comparisons: with samples and tables.
        folder: is made if it is not there.

    Returns:
        The files, named after source and chart.

    Raises:
        InputError: a file or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(folder), f"cannot be made: {error.strerror or error}.") from error
    # Drawing takes most of the time: whoever ends it early finds the folder as it was.
    contents = {
        folder / f"{stem}-{chart.name}.{suffix}": content
        for stem, comparison in zip(_stems(comparisons), comparisons, strict=True)
        for chart in charts_of(comparison, panel_columns=_width(len(comparison.designs)))
        for suffix, content in drawn(chart, comparison).items()
    }
    for path, content in contents.items():
        with appearing_whole(path) as temporary:
            temporary.write_bytes(content)
    return list(contents)


def drawn(chart: Chart, comparison: Comparison) -> dict[str, bytes]:
    """The files of a chart, by their suffix."""
    spec = picture_spec(chart, comparison)
    svg = smaller_svg(vl_convert.vegalite_to_svg(spec, vl_version=_version()))
    png = smaller_png(vl_convert.svg_to_png(svg, scale=_PNG_SCALE))
    return {"svg": svg.encode(), "png": png}


def _version() -> str:
    return str(vl_convert.get_vegalite_versions()[-1])


def _stems(comparisons: Sequence[Comparison]) -> list[str]:
    """File names of sources: plain characters, and a number where two are the same."""
    stems: list[str] = []
    for comparison in comparisons:
        name = comparison.source.rsplit("/", 1)[-1]
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:80] or "source"
        count = sum(one == plain or one.startswith(f"{plain}~") for one in stems)
        stems.append(f"{plain}~{count + 1}" if count else plain)
    return stems


def picture_spec(chart: Chart, comparison: Comparison) -> dict[str, Any]:
    """A chart as one Vega-Lite specification, its panels beside each other."""
    square = chart.name == "handovers"
    width, height = (_SQUARE, _SQUARE) if square else (_width(len(chart.panels)), _HEIGHT)
    # Designs may share the name of a parameter, which is one for all views.
    params = {one["name"]: one for panel in chart.panels for one in panel.spec["params"]}
    if "ticks" in params:
        params["ticks"] = {"name": "ticks", "value": ticks_for(width)}
    return {
        "title": {"text": chart.title, "subtitle": headline(comparison), "fontSize": 15},
        "params": list(params.values()),
        "columns": min(len(chart.panels), _MOST_BESIDE),
        "spacing": 22,
        "concat": [_view(panel, width, height) for panel in chart.panels],
        "config": _CONFIG,
    }


def _width(panels: int) -> int:
    """Of each of so many panels, in pixels."""
    beside = min(panels, _MOST_BESIDE)
    return _WIDTH if beside == 1 else _WIDTH // beside - _AXIS


def _view(panel: Panel, width: int, height: int) -> dict[str, Any]:
    names = list(panel.data)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*panel.data.values(), strict=True)]
    view = {key: value for key, value in panel.spec.items() if key != "params"}
    if panel.hover["kind"] == "cells":
        view["mark"] = {"type": "rect", "clip": True}  # the page's cells overlap
    # A long name ends in dots rather than in its neighbour's.
    title = {"text": panel.title, "limit": width + _AXIS // 2}
    return view | {"data": {"values": rows}, "width": width, "height": height, "title": title}
