"""The HTML report: one self-contained page with the answer, the tables and charts.

Everything that comes from a trace, a workload or a command line is escaped: text by
``html.escape``, chart data as JSON in which ``<`` can not end the script that holds it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import vl_convert

from iova import _core
from iova.files import appearing_whole
from iova.lab.against import Against, DesignChange
from iova.lab.compare import Comparison, Simulation
from iova.lab.rows import Row
from iova.report import changes
from iova.report.answer import answer
from iova.report.charts import charts_of
from iova.report.charts_axes import time_unit
from iova.report.charts_spec import Chart, Panel, look_of
from iova.report.page_facts import facts_of
from iova.report.table import (
    COLUMNS,
    MACHINE_COLUMNS,
    MORE_MACHINE_COLUMNS,
    Column,
    headline,
    legend_blocks,
    seeds_text,
)

#: What of the bundled Vega, Vega-Lite and vega-embed the page's own script uses.
_EXPORTS: Final = "window.vegaEmbed = vegaEmbed;"

#: A page that is larger is drawn in less detail, down to this share of what one source can have.
_MOST_BYTES: Final = 2_900_000
_LEAST_SHARE: Final = 1 / 64

#: Heights of panels, in pixels: of lines and stacks, of heat maps, of what is as high as wide.
_HEIGHT: Final = 190
_HEAT_HEIGHT: Final = 250
_SQUARE_HEIGHT: Final = 380


def write_page(
    comparisons: Sequence[Comparison],
    path: Path,
    *,
    command: str,
    against: Against | None = None,
) -> None:
    """Write the report; it appears when it is complete.

    Raises:
        InputError: the file cannot be written.
    """
    text = render_page(comparisons, command=command, against=against)
    with appearing_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def render_page(
    comparisons: Sequence[Comparison], *, command: str, against: Against | None = None
) -> str:
    """The whole page as text; the more designs and sources, the less detail."""
    share = 1 / len(comparisons)
    page = _rendered(comparisons, command, against, share)
    while len(page.encode(errors="replace")) > _MOST_BYTES and share > _LEAST_SHARE:
        share /= 2
        page = _rendered(comparisons, command, against, share)
    return page


def _rendered(
    comparisons: Sequence[Comparison], command: str, against: Against | None, share: float
) -> str:
    panels: list[dict[str, Any]] = []
    sections = [_section(i, comparison, panels, share) for i, comparison in enumerate(comparisons)]
    if against:
        sections.append(_against(against))
    vega = _vega()
    script = _file("page.js")
    parts = {
        "title": html.escape("iova compare: " + ", ".join(c.source for c in comparisons)),
        "answers": "".join(map(_answer, comparisons)),
        "sections": "\n".join(sections),
        "legend": "".join(
            _fact(head, meaning)
            for block in legend_blocks(comparisons, MORE_MACHINE_COLUMNS)
            for head, meaning in block
        ),
        "about": "".join(_fact(*fact) for fact in facts_of(comparisons, command)),
        "version": html.escape(_core.VERSION),
        "style": _file("page.css"),
        "charts": json.dumps(panels, separators=(",", ":")).replace("<", "\\u003c"),
        "vega": vega,
        "script": script,
        # What is not one of these scripts does not run, whatever the page holds.
        "hashes": " ".join(f"'sha256-{_sha256(one)}'" for one in (vega, script)),
    }
    # One pass over the template, so that nothing in a value is taken for a place.
    pieces = _file("page.html").split("{{")
    return pieces[0] + "".join(
        parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:])
    )


def _answer(comparison: Comparison) -> str:
    """What was found, and right below it what makes it doubtful."""
    told = "".join(f'<p class="warning">{html.escape(w)}</p>' for w in comparison.warnings)
    return f'<p class="answer">{html.escape(answer(comparison))}</p>{told}'


def _file(name: str) -> str:
    return resources.files("iova.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _vega() -> str:
    return vl_convert.javascript_bundle(_EXPORTS)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _fact(head: str, told: str) -> str:
    return f"<dt>{html.escape(head)}</dt><dd>{html.escape(told)}</dd>"


# -------------------------------------------------------------------------------- sections


def _section(
    number: int, comparison: Comparison, panels: list[dict[str, Any]], share: float
) -> str:
    rows = [(runs.design, runs.row, runs.row_half_width) for runs in comparison.designs]
    if comparison.simulation:
        body = _table(COLUMNS, rows, "The allocator")
        body += _machine_tables(comparison) + _provenance(comparison.simulation)
    else:
        body = _table(COLUMNS, rows)
    charts = charts_of(comparison, share)
    if charts:
        body += _bar(number, [runs.design for runs in comparison.designs])
    for chart in charts:
        body += _figure(number, chart, panels)
    return f"<section><h2>{html.escape(headline(comparison))}</h2>{body}</section>"


def _bar(number: int, designs: Sequence[str]) -> str:
    """Switches of the designs, which also say their colours, and the zoom in time."""
    switches = "".join(
        f'<label><input type="checkbox" data-switch="{i}" checked>{_dot(look_of(i).swatch())}'
        f"{html.escape(design)}</label>"
        for i, design in enumerate(designs)
    )
    return (
        f'<div class="bar" data-source="{number}">{switches}<span class="time">'
        '<input type="range" class="from" min="0" max="1000" value="0" aria-label="time from">'
        '<input type="range" class="to" min="0" max="1000" value="1000" aria-label="time to">'
        '<output></output><button type="button">all</button></span></div>'
        '<p class="none" hidden>All designs are switched off: switch one on to see its charts.</p>'
        '<p class="hint"><small>Drag over a chart to zoom all charts in time, double-click for all'
        " of it; point at a chart for its values.</small></p>"
    )


def _dot(swatch: str) -> str:
    return f'<span class="dot" style="{swatch}"></span>'


def _figure(number: int, chart: Chart, panels: list[dict[str, Any]]) -> str:
    square = chart.name == "handovers"
    boxes = ""
    for i, panel in enumerate(chart.panels):
        name = f"{chart.name}{number}-{i}"
        panels.append(_panel(name, number, chart, panel))
        own = "" if panel.design is None else f' data-design="{panel.design}"'
        head = f"<h4>{html.escape(panel.title)}</h4>" if panel.title else ""
        kind = "chart square" if square else "chart"
        whole = "panel" if panel.title else "panel plain"
        boxes += f'<div class="{whole}"{own}>{head}<div class="{kind}" id="{name}"></div></div>'
    return (
        f'<figure id="{chart.name}{number}"><figcaption><h3>{html.escape(chart.title)}</h3>'
        f"<p>{html.escape(chart.caption)}</p></figcaption>{_key(chart)}"
        f'<div class="panels">{boxes}</div></figure>'
    )


def _key(chart: Chart) -> str:
    """Which colour is what, once for all panels; heat maps have a scale in each."""
    series = chart.panels[0].hover.get("series", [])
    if not series:
        return ""
    shown = "".join(
        "<li" + (f' data-design="{one["design"]}"' if one["design"] is not None else "")
        + f">{_dot(one['swatch'])}{html.escape(one['label'])}</li>"
        for one in series
    )  # fmt: skip
    return f'<ul class="key">{shown}</ul>'


def _panel(name: str, number: int, chart: Chart, panel: Panel) -> dict[str, Any]:
    square = chart.name == "handovers"
    spec = json.loads(json.dumps(panel.spec))
    heat = panel.hover["kind"] == "cells"
    if not heat:
        for channel in ("color", "strokeDash"):
            if channel in spec["encoding"]:
                spec["encoding"][channel]["legend"] = None  # the page has its own
    params = {one["name"]: one["value"] for one in panel.spec["params"]}
    per_s, unit = time_unit(params.get("t1", 0))
    return {
        "id": name,
        "figure": f"{chart.name}{number}",
        "source": number,
        "timed": "t1" in params,
        "end": params.get("t1", 0),
        "perSecond": per_s,
        "timeUnit": unit,
        "design": panel.design,
        "tops": panel.tops,
        "height": _SQUARE_HEIGHT if square else _HEAT_HEIGHT if heat else _HEIGHT,
        "spec": spec,
        "data": panel.data,
        "hover": panel.hover,
    }


def _machine_tables(comparison: Comparison) -> str:
    rows = [
        (runs.design, runs.machine, runs.machine_half_width)
        for runs in comparison.designs
        if runs.machine is not None
    ]
    return _table(MACHINE_COLUMNS, rows, "The simulated machine") + _table(
        MORE_MACHINE_COLUMNS, rows, "Its times and waits in detail"
    )


def _table(
    columns: Sequence[Column[Row]], rows: Sequence[tuple[str, Row, Row | None]], caption: str = ""
) -> str:
    body = [[html.escape(design), *_cells(columns, row, half)] for design, row, half in rows]
    return _plain_table(["design", *(column.head for column in columns)], body, caption)


def _cells(columns: Sequence[Column[Row]], row: Row, half: Row | None) -> list[str]:
    return [_cell(column, row, half) for column in columns]


def _cell(column: Column[Row], row: Row, half: Row | None) -> str:
    shown = html.escape(column.show(row))
    return shown if half is None else f"{shown} <small>±{html.escape(column.show(half))}</small>"


def _plain_table(head: Sequence[str], body: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table; the cells are HTML, the heads and the caption are text."""
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    heads = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in body
    )
    return (
        f'<div class="scroll"><table>{above}<thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _provenance(simulation: Simulation) -> str:
    """What was simulated and where its numbers come from."""
    guesses = ", ".join(simulation.prices.guesses)
    facts = [
        ("workload", simulation.summary),
        ("its shape", " ".join(simulation.source.split())),
        ("changed", " ".join(simulation.settings)),
        ("runs", seeds_text(simulation.seeds)),
        (simulation.prices_from, simulation.prices.provenance),
        ("guessed prices", guesses),
    ]
    shown = "".join(
        f"<dt>{html.escape(head)}</dt><dd>{html.escape(told)}</dd>" for head, told in facts if told
    )
    return f'<details><summary>What was simulated</summary><dl class="told">{shown}</dl></details>'


def _against(against: Against) -> str:
    title = f"Against {against.file} (iova {against.earlier_version})"
    notes = "".join(f'<p class="warning">{html.escape(note)}</p>' for note in against.notes)
    blocks = "".join(_changes(one) for one in against.designs)
    tested = any(change.p is not None for one in against.designs for change in one.changes)
    told = f"<p>{html.escape(changes.significance_text())}</p>" if tested else ""
    return f"<section><h2>{html.escape(title)}</h2>{notes}{blocks}{told}</section>"


def _changes(one: DesignChange) -> str:
    head = f"<h3>{html.escape(f'{one.source}, {one.design}: {one.basis()}')}</h3>"
    rows = [
        [
            html.escape(change.metric),
            changes.number_text(change.earlier),
            changes.number_text(change.now),
            changes.percent_text(change),
            changes.p_text(change),
        ]
        for change in changes.shown_changes(one)
    ]
    if not rows:
        return f"{head}<p>Nothing of the tables has changed.</p>"
    return head + _plain_table(["metric", "earlier", "now", "change", "p"], rows)
