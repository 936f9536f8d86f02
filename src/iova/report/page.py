"""The HTML report: one self-contained page with the answer, the table and charts.

Everything that comes from a trace or a command line is escaped: text by ``html.escape``,
chart data as JSON in which ``<`` can not end the script that holds it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from iova import _core
from iova.files import appearing_whole
from iova.lab.compare import Comparison, ComparisonRow
from iova.report.table import COLUMNS, headline

#: Rows a chart may have at most; a page of some sources stays under 3 MB.
MAX_CHART_ROWS = 4000


def write_page(comparisons: Sequence[Comparison], path: Path, *, command: str) -> None:
    """Write the report; it appears when it is complete.

    Raises:
        InputError: the file cannot be written.
    """
    with appearing_whole(path) as temporary:
        temporary.write_text(render_page(comparisons, command=command), encoding="utf-8")


def render_page(comparisons: Sequence[Comparison], *, command: str) -> str:
    """The whole page as text."""
    template = resources.files("iova.report").joinpath("page.html").read_text(encoding="utf-8")
    charts: dict[str, Any] = {}
    sections = [_section(i, comparison, charts) for i, comparison in enumerate(comparisons)]
    parts = {
        "title": html.escape("iova compare: " + ", ".join(c.source for c in comparisons)),
        "answer": html.escape(" ".join(answer(c) for c in comparisons)),
        "sections": "\n".join(sections),
        "legend": "".join(
            f"<dt>{html.escape(c.head)}</dt><dd>{html.escape(c.legend)}</dd>" for c in COLUMNS
        ),
        "version": html.escape(_core.VERSION),
        "command": html.escape(command),
        "charts": json.dumps(charts, separators=(",", ":")).replace("<", "\\u003c"),
        "vega": vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
    }
    # One pass over the template, so that nothing in a value is taken for a place.
    pieces = template.split("{{")
    return pieces[0] + "".join(
        parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:])
    )


# ------------------------------------------------------------------------------- the answer


def answer(comparison: Comparison) -> str:
    """What the table says, in a sentence or two."""
    rows = comparison.rows
    best = max(rows, key=lambda r: r.cached_percent)
    least = min(rows, key=lambda r: r.memory_kib_peak)
    served = _spread([f"{r.cached_percent:.2f}" for r in rows])
    text = (
        f"{comparison.source}: the caches serve {served} % of {rows[0].allocations:,} allocations"
    )
    if len(rows) == 1:
        return f"{text} under {best.design}, at a peak of {least.memory_kib_peak:,.0f} KiB."
    tied = [r.design for r in rows if f"{r.cached_percent:.2f}" == f"{best.cached_percent:.2f}"]
    text += f", most under {_listed(tied)}" if len(tied) < len(rows) else " under every design"
    lean = [r.design for r in rows if round(r.memory_kib_peak) == round(least.memory_kib_peak)]
    return (
        f"{text}; {_listed(lean)} needs the least memory at its peak"
        f" ({least.memory_kib_peak:,.0f} KiB). {_steps_sentence(rows)}"
    )


def _spread(values: Sequence[str]) -> str:
    low, high = min(values, key=float), max(values, key=float)
    return low if low == high else f"{low} to {high}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _steps_sentence(rows: Sequence[ComparisonRow]) -> str:
    least = min(rows, key=lambda r: r.tree_steps)
    most = max(rows, key=lambda r: r.tree_steps)
    if most.tree_steps == least.tree_steps:
        return f"Each walks {most.tree_steps:,} tree nodes."
    return (
        f"Linux would walk from {least.tree_steps:,} ({least.design}) to"
        f" {most.tree_steps:,} ({most.design}) tree nodes."
    )


# -------------------------------------------------------------------------------- sections


def _section(number: int, comparison: Comparison, charts: dict[str, Any]) -> str:
    head = "".join(f"<th>{html.escape(c.head)}</th>" for c in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c.show(row))}</td>" for c in COLUMNS) + "</tr>"
        for row in comparison.rows
    )
    figures = ""
    frame = comparison.series()
    if not frame.is_empty():
        for name, caption, chart in _charts(frame):
            charts[f"{name}{number}"] = chart
            figures += (
                f"<figure><figcaption>{html.escape(caption)}</figcaption>"
                f'<div class="chart" id="{name}{number}"></div></figure>'
            )
    return (
        f"<section><h2>{html.escape(headline(comparison))}</h2>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{figures}</section>"
    )


def _charts(frame: pl.DataFrame) -> list[tuple[str, str, dict[str, Any]]]:
    depots = [name for name in frame.columns if name.startswith("depot_")]
    start = frame["t"].min()
    data = frame.with_columns(
        ((pl.col("t") - start) / 1e9).alias("seconds"),
        pl.sum_horizontal(depots).alias("depot"),
    )
    designs = data["design"].unique(maintain_order=True).to_list()
    return [
        (
            "depot",
            "Full magazines in all depots over time",
            _line_chart(data, ["depot"], designs, "magazines"),
        ),
        (
            "pages",
            "Pages over time: cached in magazines, and live with users",
            _line_chart(data, ["cached_pages", "live_pages"], designs, "pages"),
        ),
    ]


def _thinned(data: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """At most MAX_CHART_ROWS rows: of each stretch of time the least and the most are kept."""
    kept = max(1, -(-2 * data.height // MAX_CHART_ROWS))
    if data.height <= MAX_CHART_ROWS:
        return data
    numbered = data.with_columns((pl.int_range(pl.len()).over("design") // kept).alias("stretch"))
    ends = [f(c).over("design", "stretch") for c in columns for f in (pl.min, pl.max)]
    keep = pl.any_horizontal(
        pl.col(c) == end for c, end in zip([c for c in columns for _ in "ab"], ends, strict=True)
    )
    return numbered.filter(keep).unique(
        ["design", "stretch", *columns], keep="first", maintain_order=True
    )


def _line_chart(
    data: pl.DataFrame, columns: list[str], designs: list[str], unit: str
) -> dict[str, Any]:
    long = (
        _thinned(data, columns)
        .select("seconds", "design", *columns)
        .unpivot(index=["seconds", "design"], variable_name="what", value_name="value")
        .with_columns(pl.col("seconds").round(4), pl.col("what").str.replace("_", " "))
    )
    zoom = alt.selection_interval(bind="scales", encodings=["x"])
    shown = alt.selection_point(fields=["design"], bind="legend")
    encodings: dict[str, Any] = {
        "x": alt.X("seconds:Q").title("time, s").axis(grid=False),
        "y": alt.Y("value:Q").title(unit),
        "color": alt.Color("design:N").sort(designs).scale(scheme="tableau10").title("design"),
        "opacity": alt.when(shown).then(alt.value(1)).otherwise(alt.value(0.08)),
        "tooltip": [
            alt.Tooltip("design:N"),
            alt.Tooltip("what:N"),
            alt.Tooltip("seconds:Q", format=",.3f"),
            alt.Tooltip("value:Q", format=",.0f"),
        ],
    }
    if len(columns) > 1:
        encodings["strokeDash"] = alt.StrokeDash("what:N").title("pages")
    chart = (
        alt.Chart(alt.InlineData(values=[]))
        .mark_line(interpolate="step-after", strokeWidth=1.5, point=False)
        .encode(**encodings)
        .properties(width="container", height=260)
        .add_params(zoom, shown)
    )
    spec: dict[str, Any] = chart.to_dict()
    # Put in afterwards: Altair would hold each row against Vega-Lite's schema.
    spec["data"] = {"values": long.to_dicts()}
    return spec
