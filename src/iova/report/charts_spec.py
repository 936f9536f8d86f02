"""The Vega-Lite specifications of the charts' panels.

A panel is one view: lines, a stack, or a heat map. Time runs from the parameters ``t0`` to
``t1``, so that the page can zoom all panels together; a line whose design's parameter ``d0``,
``d1`` ... is false is not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from iova.report.charts_axes import COUNTED, POWERS, Rows, Spec, quantity_axis, ticks_for, time_axis
from iova.report.charts_data import Cells, Floats

#: Okabe and Ito, "Color Universal Design" (2008); its yellow and black can not be read on both
#: a white and a black page.
COLOURS: Final = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C8C8C",
)  # fmt: skip
#: Of the lines beyond that many: on and off, in pixels.
DASHES: Final = ((), (6, 3), (2, 2), (9, 3, 2, 3))
HEAT: Final = {"scheme": "viridis"}


@dataclass(frozen=True)
class Look:
    """What tells a line from others."""

    colour: str
    dash: tuple[int, ...] = ()

    def swatch(self) -> str:
        """It in a legend, as a CSS style."""
        if not self.dash:
            return f"background:{self.colour}"
        stops, at = [], 0
        for i, length in enumerate(self.dash):
            colour = "transparent" if i % 2 else self.colour
            stops.append(f"{colour} {at}px {at + length}px")
            at += length
        # Two periods at least.
        return (
            f"width:{max(24, 2 * at - self.dash[-1])}px;height:4px;border-radius:0;"
            f"background:repeating-linear-gradient(90deg,{','.join(stops)})"
        )


def look_of(number: int) -> Look:
    """Of the designs, or sizes, in their order; 28 can be told apart."""
    dash = number // len(COLOURS) % len(DASHES)
    return Look(COLOURS[number % len(COLOURS)], DASHES[dash])


@dataclass(frozen=True)
class Line:
    """A line and the band from its least to its most value; or a layer of a stack."""

    label: str
    look: Look
    mean: Floats
    low: Floats | None = None
    high: Floats | None = None
    design: int | None = None  #: it goes when this design is switched off
    filled: bool = False


#: What a panel shows at most, in all or of each design.
Tops = tuple[tuple[int | None, float], ...]


@dataclass(frozen=True)
class Panel:
    """One view, its data by columns, and what a pointer over it is told."""

    design: int | None  #: the whole panel is this design's
    title: str
    spec: Spec
    data: dict[str, list[float]]
    hover: dict[str, Any]
    tops: Tops


@dataclass(frozen=True)
class Chart:
    """One figure: one panel, or one a design side by side."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]


def numbers(values: Floats, digits: int = 4) -> list[float]:
    """Values rounded to so many significant digits, whole ones without a point."""
    shown = [float(f"{value:.{digits}g}") for value in values.tolist()]
    return [int(value) if value == int(value) else value for value in shown]


def times(values: Floats) -> list[float]:
    """Times, in s."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def _time_axis(end: float) -> tuple[list[Spec], Spec]:
    """Parameters, and the x channel."""
    params: list[Spec] = [
        {"name": "t0", "value": 0},
        {"name": "t1", "value": end},
        {"name": "ticks", "value": ticks_for(400)},
    ]
    scale = {"domain": [{"expr": "t0"}, {"expr": "t1"}], "nice": False, "zero": False}
    return params, {"field": "t", "type": "quantitative", "scale": scale} | time_axis(end)


def _top(tops: Tops, highest: float) -> Spec:
    """The parameter at which a scale ends that panels share; the page sets it anew."""
    return {"name": "top", "value": max([highest, *(most for _, most in tops)]) or 1}


def _data() -> Spec:
    return {"name": "rows"}


def lines(
    start: Floats, end: float, series: Sequence[Line], unit: str, *,
    design: int | None = None, title: str = "", highest: float = 0,
) -> Panel:  # fmt: skip
    """Lines over time, each with its band; panels beside this one reach up to ``highest``."""
    params, x = _time_axis(end)
    shown = sorted({line.design for line in series if line.design is not None})
    params += [{"name": f"d{i}", "value": True} for i in shown]
    scale: Spec = {"domain": [0, {"expr": "top"}], "nice": True}
    tops = tuple(
        (design if line.design is None else line.design, float(values.max(initial=0)))
        for line in series
        for values in [line.mean if line.high is None else line.high]
    )
    params.append(_top(tops, highest))
    data, layers = {"t": times(start)}, []
    dashes = any(line.look.dash for line in series)
    for i, line in enumerate(series):
        data[f"m{i}"] = numbers(line.mean)
        y = {"type": "quantitative", "scale": scale} | quantity_axis(unit)
        tint = {"datum": line.label}
        kept = [] if line.design is None else [{"filter": f"d{line.design}"}]
        common: Spec = {"interpolate": "step-after", "clip": True}
        if line.low is not None and line.high is not None and (line.low != line.high).any():
            data[f"l{i}"], data[f"h{i}"] = numbers(line.low), numbers(line.high)
            layers.append({
                "transform": kept,
                "mark": {"type": "area", "opacity": 0.28, "line": False} | common,
                "encoding": {"y": y | {"field": f"l{i}"}, "y2": {"field": f"h{i}"}, "color": tint},
            })  # fmt: skip
        mark: Spec = {"type": "line", "strokeWidth": 1.8} | common
        marked: Spec = {"color": tint} | ({"strokeDash": tint} if dashes else {})
        if line.filled:
            mark = {"type": "area", "opacity": 0.35, "line": {"strokeWidth": 1.2}} | common
            marked = {"color": tint}
        layers.append({
            "transform": kept,
            "mark": mark,
            "encoding": {"y": y | {"field": f"m{i}"}} | marked,
        })  # fmt: skip
    spec = _layered(params, x, series, layers)
    hover = {
        "kind": "series",
        "unit": unit,
        "series": [_told(i, line) for i, line in enumerate(series)],
    }
    return Panel(design, title, spec, data, hover, tops)


def _layered(params: list[Spec], x: Spec, series: Sequence[Line], layers: list[Spec]) -> Spec:
    """A view of layers over one time axis, each of which names its colour."""
    shared = {"x": x, "color": _named(series, [line.look.colour for line in series])}
    if any(line.look.dash for line in series):
        # A dash of no length would draw nothing.
        shared["color"]["legend"] = {"symbolType": "stroke", "symbolSize": 900}
        shared["strokeDash"] = _named(series, [list(line.look.dash) or [1, 0] for line in series])
    return {"data": _data(), "params": params, "encoding": shared, "layer": layers}


def _named(series: Sequence[Line], looks: list[Any]) -> Spec:
    """A channel that gives each label its look."""
    scale = {"domain": [line.label for line in series], "range": looks}
    return {"type": "nominal", "scale": scale, "title": None}


def _told(i: int, line: Line) -> dict[str, Any]:
    swatch = line.look.swatch()
    return {"key": i, "label": line.label, "swatch": swatch, "design": line.design}


def stack(
    edges: Floats, end: float, series: Sequence[Line], unit: str, *,
    design: int | None = None, title: str = "", highest: float = 0, own: float | None = None,
) -> Panel:  # fmt: skip
    """Quantities on top of each other, the first at the bottom.

    Args:
        edges: of the stretches of time, (n + 1,).
        end: of the time.
        series: each (n,).
        unit: of all.
        design: the panel is this design's.
        title: of the panel.
        highest: panels beside this one reach up to here.
        own: this one reaches up to here, if that is not what is its most.
    """
    params, x = _time_axis(end)
    data = {"t": times(edges[:-1])}
    total = np.zeros(max(0, len(edges) - 1))
    scale: Spec = {"domain": [0, {"expr": "top"}], "nice": False}
    layers = []
    for i, line in enumerate(series):
        data[f"m{i}"], data[f"l{i}"] = numbers(line.mean), numbers(total)
        total = total + line.mean
        data[f"h{i}"] = numbers(total)
        y = {"type": "quantitative", "scale": scale} | quantity_axis(unit)
        layers.append({
            "mark": {"type": "area", "interpolate": "step-after", "clip": True, "opacity": 0.9},
            "encoding": {
                "y": y | {"field": f"l{i}"}, "y2": {"field": f"h{i}"},
                "color": {"datum": line.label},
            },
        })  # fmt: skip
    tops = ((design, float(total.max(initial=0)) if own is None else own),)
    params.append(_top(tops, highest))
    spec = _layered(params, x, series, layers)
    hover = {"kind": "series", "unit": unit, "stacked": True,
             "series": [_told(i, line) for i, line in enumerate(series)]}  # fmt: skip
    return Panel(design, title, spec, data, hover, tops)


def heat(
    cells: Cells, *, x: Rows | None, y: Rows, legend: str, told: Sequence[str],
    end: float = 0, highest: float = 0, log: bool = False, mixed: bool = False,
    falling: bool = False, design: int | None = None, title: str = "",
) -> Panel:  # fmt: skip
    """A heat map.

    Args:
        cells: its rectangles; the first value gives the colour, with ``mixed`` the second the
            strength of it, 0..1.
        x: None: time.
        y: from bottom to top.
        legend: what the colour says.
        told: names of the values, as a pointer is told.
        end: of the time.
        highest: colours of panels beside this one reach up to here.
        log: the colour scale is logarithmic.
        mixed: colours run from live to cached.
        falling: the y axis begins at the top.
        design: the panel is this design's.
        title: of the panel.
    """
    params, x_channel = _time_axis(end) if x is None else ([], _rows_channel(x))
    y_channel = _rows_channel(y, falling=falling)
    tops = ((design, max(2 if log else 0, float(cells.values[0].max(initial=0)))),)
    colour: Spec = {"field": "v0", "type": "quantitative", "title": legend}
    across: Spec = {"x": x_channel | {"field": "x"}, "x2": {"field": "x2"}}
    encoding: Spec = across | {"y": y_channel | {"field": "y"}, "y2": {"field": "y2"}}
    bar = {
        "orient": "bottom",
        "gradientLength": 160,
        "gradientThickness": 8,
        "labelExpr": POWERS if log else COUNTED,
        "tickCount": 4,
    }
    if mixed:
        colour["scale"] = {"domain": [0, 1], "range": ["#0072B2", "#E69F00"], "interpolate": "rgb"}
        colour["legend"] = bar | {"values": [0, 1], "labelExpr": "datum.value ? 'cached' : 'live'"}
        encoding["opacity"] = {"field": "v1", "type": "quantitative", "scale": None}  # fmt: skip
    else:
        kind: Spec = {"domain": [int(log), {"expr": "top"}]} | ({"type": "log"} if log else {})
        params.append(_top(tops, highest))
        colour["scale"] = HEAT | kind
        colour["legend"] = bar
    encoding["color"] = colour
    mark: Spec = {"type": "rect", "clip": True}
    if mixed:
        # Cells that let the page through may not overlap: they begin and end at whole pixels.
        for channel in (encoding["x"], encoding["y"]):
            channel["scale"] = channel["scale"] | {"round": True}
    else:
        # Where two meet within a pixel, the page would shine through without an overlap.
        mark |= {"x2Offset": 1, "y2Offset": 1 if falling else -1}
    spec = {"data": _data(), "params": params, "mark": mark, "encoding": encoding}
    data: dict[str, list[float]] = {
        "x": times(cells.x), "x2": times(cells.x2),
        "y": [int(v) for v in cells.y], "y2": [int(v) for v in cells.y2],
        **{f"v{i}": numbers(values) for i, values in enumerate(cells.values)},
    }  # fmt: skip
    hover = {"kind": "cells", "x": None if x is None else list(x.told), "y": list(y.told),
             "names": list(told), "mixed": mixed}  # fmt: skip
    return Panel(design, title, spec, data, hover, tops)


def _rows_channel(rows: Rows, *, falling: bool = False) -> Spec:
    """A position channel, but for its field."""
    return {
        "type": "quantitative",
        "title": rows.title,
        "axis": rows.axis(),
        "scale": rows.scale(falling=falling),
    }
