"""The HTML report: one self-contained page with the answer, the tables and charts.

Everything that comes from a trace, a workload or a command line is escaped: text by
``html.escape``, chart data as JSON in which ``<`` can not end the script that holds it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import vl_convert

from iova import _core
from iova.files import appearing_whole
from iova.lab.against import Against, DesignChange
from iova.lab.compare import Comparison, ComparisonRow, Simulation
from iova.lab.rows import Row
from iova.report import changes
from iova.report.charts import charts_of
from iova.report.table import (
    COLUMNS,
    MACHINE_COLUMNS,
    MORE_MACHINE_COLUMNS,
    Column,
    headline,
    legend_blocks,
    seeds_text,
    short_count,
)

ALL_MACHINE_COLUMNS = (*MACHINE_COLUMNS, *MORE_MACHINE_COLUMNS)


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
    """The whole page as text."""
    template = resources.files("iova.report").joinpath("page.html").read_text(encoding="utf-8")
    charts: dict[str, Any] = {}
    sections = [_section(i, comparison, charts) for i, comparison in enumerate(comparisons)]
    if against:
        sections.append(_against(against))
    parts = {
        "title": html.escape("iova compare: " + ", ".join(c.source for c in comparisons)),
        "answer": html.escape(" ".join(answer(c) for c in comparisons)),
        "sections": "\n".join(sections),
        "legend": "".join(
            f"<dt>{html.escape(head)}</dt><dd>{html.escape(meaning)}</dd>"
            for block in legend_blocks(comparisons, MORE_MACHINE_COLUMNS)
            for head, meaning in block
        ),
        "limits": html.escape(_limits(comparisons)),
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


def _limits(comparisons: Sequence[Comparison]) -> str:
    """What the numbers rest on."""
    told = []
    if any(comparison.simulation is None for comparison in comparisons):
        told.append(
            "A replay executes the recorded calls in the order in which they began, on virtual"
            " time; what the callers would have done differently under another design, and how"
            " long they would have waited for locks, it can not show."
        )
    if any(comparison.simulation for comparison in comparisons):
        told.append(
            "A simulated machine executes every call on the real allocator and prices what it did"
            " by the price table; its times are as good as these prices, and as the workload's"
            " shape."
        )
    return " ".join(told)


# ------------------------------------------------------------------------------- the answer


def answer(comparison: Comparison) -> str:
    """What the table says, in a sentence or two."""
    rows = comparison.rows
    several = comparison.simulation is not None
    best = max(rows, key=lambda r: r.cached_percent)
    least = min(rows, key=lambda r: r.memory_kib_peak)
    served = _spread([f"{r.cached_percent:.2f}" for r in rows])
    of = short_count(rows[0].allocations) if several else f"{rows[0].allocations:,}"
    text = f"{comparison.source}: the caches serve {served} % of {of} allocations"
    if len(rows) == 1:
        text += f" under {best.design}, at a peak of {least.memory_kib_peak:,.0f} KiB."
        return f"{text} {_machine_sentence(comparison)}".rstrip()
    tied = [r.design for r in rows if f"{r.cached_percent:.2f}" == f"{best.cached_percent:.2f}"]
    text += f", most under {_listed(tied)}" if len(tied) < len(rows) else " under every design"
    lean = [r.design for r in rows if round(r.memory_kib_peak) == round(least.memory_kib_peak)]
    last = _machine_sentence(comparison) if comparison.simulation else _steps_sentence(rows)
    return (
        f"{text}; {_listed(lean)} needs the least memory at its peak"
        f" ({least.memory_kib_peak:,.0f} KiB). {last}"
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


def _machine_sentence(comparison: Comparison) -> str:
    rows = [runs.machine for runs in comparison.designs if runs.machine is not None]
    if not rows:
        return ""
    least, most = (f(rows, key=lambda r: r.requests_per_s) for f in (min, max))
    waited = _spread([f"{r.lock_wait_percent:.2g}" for r in rows])
    rates = [short_count(row.requests_per_s) for row in (least, most)]
    if rates[0] == rates[1]:
        rate = f"It completes {rates[0]} requests a second"
    else:
        rate = (
            f"It completes {rates[0]} ({least.design}) to {rates[1]} ({most.design}) requests a"
            " second"
        )
    return f"{rate}; CPUs wait for locks in {waited} % of their time."


# -------------------------------------------------------------------------------- sections


def _section(number: int, comparison: Comparison, charts: dict[str, Any]) -> str:
    body = _table(
        COLUMNS, [(runs.design, runs.row, runs.row_half_width) for runs in comparison.designs]
    )
    if comparison.simulation:
        body += _machine_table(comparison) + _provenance(comparison.simulation)
    body += "".join(f'<p class="warning">{html.escape(w)}</p>' for w in comparison.warnings)
    for chart in charts_of(comparison):
        name = f"{chart.name}{number}"
        charts[name] = chart.spec
        body += (
            f"<figure><figcaption>{html.escape(chart.caption)}</figcaption>"
            f'<div class="chart" id="{name}"></div></figure>'
        )
    return f"<section><h2>{html.escape(headline(comparison))}</h2>{body}</section>"


def _machine_table(comparison: Comparison) -> str:
    rows = [
        (runs.design, runs.machine, runs.machine_half_width)
        for runs in comparison.designs
        if runs.machine is not None
    ]
    return _table(ALL_MACHINE_COLUMNS, rows)


def _table(columns: Sequence[Column[Row]], rows: Sequence[tuple[str, Row, Row | None]]) -> str:
    body = [[html.escape(design), *_cells(columns, row, half)] for design, row, half in rows]
    return _plain_table(["design", *(column.head for column in columns)], body)


def _cells(columns: Sequence[Column[Row]], row: Row, half: Row | None) -> list[str]:
    return [_cell(column, row, half) for column in columns]


def _cell(column: Column[Row], row: Row, half: Row | None) -> str:
    shown = html.escape(column.show(row))
    return shown if half is None else f"{shown} <small>±{html.escape(column.show(half))}</small>"


def _plain_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table; the cells are HTML, the heads are text."""
    heads = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in body
    )
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _provenance(simulation: Simulation) -> str:
    """What was simulated and where its numbers come from."""
    guesses = ", ".join(simulation.prices.guesses)
    facts = [
        ("workload", simulation.summary),
        ("its shape", simulation.source),
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
