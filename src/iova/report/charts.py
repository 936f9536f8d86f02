"""The charts of the report, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import polars as pl

from iova.lab.compare import Comparison

#: Rows a chart may have at most; a page of some sources stays under 3 MB.
MAX_CHART_ROWS: Final = 4000

_WAITS: Final = ("wait_cpu_ps", "wait_depot_ps", "wait_tree_ps", "wait_ring_ps")


@dataclass(frozen=True)
class ChartOf:
    """One chart: its name on the page, what it shows, and its specification."""

    name: str
    caption: str
    spec: dict[str, Any]


def charts_of(comparison: Comparison) -> list[ChartOf]:
    """The charts of a comparison; none if it has no time series."""
    frame = comparison.series()
    if frame.is_empty():
        return []
    depots = [name for name in frame.columns if name.startswith("depot_")]
    start = frame["t"].min()
    data = frame.with_columns(
        ((pl.col("t") - start) / 1e9).alias("seconds"),
        pl.sum_horizontal(depots).alias("depot"),
    )
    machine = _machine_charts(data, comparison.simulation.cpus) if comparison.simulation else []
    return [
        *machine,
        ChartOf(
            "depot",
            "Full magazines in all depots over time",
            line_chart(data, ["depot"], "magazines"),
        ),
        ChartOf(
            "pages",
            "Pages over time: cached in magazines, and live with users",
            line_chart(data, ["cached_pages", "live_pages"], "pages"),
        ),
    ]


def _machine_charts(data: pl.DataFrame, cpus: int) -> list[ChartOf]:
    rates = _rates(data, cpus)
    if rates.is_empty():
        return []
    return [
        ChartOf(
            "throughput",
            "Throughput over time: requests completed in a simulated second",
            line_chart(rates, ["requests"], "requests/s"),
        ),
        ChartOf(
            "waits",
            "Waiting for locks over time, in percent of all CPUs' time",
            line_chart(rates, ["lock wait"], "percent", digits=3),
        ),
    ]


def _rates(data: pl.DataFrame, cpus: int) -> pl.DataFrame:
    """What the counters grew by from each sample to the next, a second."""
    waited = pl.sum_horizontal(*_WAITS)
    frame = data.select("design", "seconds", "t", "requests", waited.alias("waited"))

    def growth(name: str) -> pl.Expr:
        return pl.col(name).diff().shift(-1).over("design")

    seconds = growth("t") / 1e9
    return (
        frame.select(
            "design",
            "seconds",
            (growth("requests") / seconds).alias("requests"),
            (100 * growth("waited") / 1e12 / (seconds * cpus)).alias("lock wait"),
            seconds.alias("span"),
        )
        .filter(pl.col("span") > 0)
        .drop("span")
    )


def thinned(data: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
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


def line_chart(
    data: pl.DataFrame, columns: list[str], unit: str, *, digits: int = 0
) -> dict[str, Any]:
    """Columns over ``seconds``, one line a ``design`` and column."""
    designs = data["design"].unique(maintain_order=True).to_list()
    long = (
        thinned(data, columns)
        .select("seconds", "design", *columns)
        .unpivot(index=["seconds", "design"], variable_name="what", value_name="value")
        .with_columns(pl.col("seconds").round(4), pl.col("what").str.replace("_", " "))
        .with_columns(pl.col("value").round(digits) if digits else pl.col("value"))
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
            alt.Tooltip("value:Q", format=f",.{digits}f"),
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
