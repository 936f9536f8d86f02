"""What a sweep did, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import Final

import polars as pl
from rich.table import Table
from rich.text import Text

from iova.lab.sweep import Outcome
from iova.report.table import short_count
from iova.words import counted, printable

WIDTH: Final = 80

#: Failed cells that are told one by one.
MOST_FAILED: Final = 10
#: Designs that the overview shows.
MOST_DESIGNS: Final = 40

_LEGEND: Final = """\
  cells   those that did not fail
  cache%  allocations served from magazines: mean over the cells, and the least
  waste   mean cached pages / peak live pages: mean, and the most
  KiB     peak memory at Linux's sizes: mean, and the most"""


def sweep_text(outcome: Outcome, name: str) -> str:
    """How many cells, what became of them, where the results are."""
    same = outcome.cells - outcome.distinct
    alike = f" ({same} the same as others)" if same else ""
    told = (
        f"{printable(name)}: {outcome.cells} cells{alike}, {outcome.ran} run now,"
        f" {outcome.reused} known from earlier, {len(outcome.failures)} failed"
    )
    lines = [_filled(told), *(_filled(line) for line in _speed(outcome.table))]
    if outcome.broken_lines:
        lines.append(
            _filled(f"! {counted(outcome.broken_lines, 'line')} of the journal could not be used")
        )
    lines.append(f"results: {printable(outcome.out)}")
    return "\n".join(lines)


def _speed(table: pl.DataFrame) -> list[str]:
    """Events a second of one process, loading included."""
    sums = table.select(pl.col("calls", "seconds", "load_seconds").sum()).row(0)
    calls, seconds = float(sums[0]), float(sums[1]) + float(sums[2])
    if not calls or not seconds:
        return []
    hours = 1e9 / (calls / seconds) / 3600
    return [
        f"{short_count(calls)} calls in {seconds:,.1f} core-seconds"
        f" ({short_count(calls / seconds)}/s): {hours:.2g} core-hours per billion"
    ]


def failures_text(outcome: Outcome) -> str | None:
    """The cells that failed; None: none did."""
    failures = outcome.failures
    if not failures:
        return None
    lines = [f"{counted(len(failures), 'cell')} failed; the same command tries them again:"]
    for one in failures[:MOST_FAILED]:
        cell = one.cell
        seed = "" if cell.seed is None else f", seed {cell.seed}"
        lines.append(_filled(printable(f"  {cell.source.name}, {cell.design}{seed}: {one.error}")))
    if len(failures) > MOST_FAILED:
        lines.append("  ...")
    return "\n".join(lines)


def overview(outcome: Outcome) -> Table:
    """One row a design: means over all its cells, and the worst of them."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("design", min_width=16, overflow="fold")
    for head in ("cells", "cache%", "least", "waste", "most", "KiB", "most"):
        table.add_column(head, justify="right", no_wrap=True)
    grouped = outcome.table.group_by("design", maintain_order=True).agg(
        pl.col("error").is_null().sum().alias("cells"),
        pl.col("cached_percent").mean().alias("cache"),
        pl.col("cached_percent").min().alias("least"),
        pl.col("waste").mean().alias("waste"),
        pl.col("waste").max().alias("worst"),
        pl.col("memory_kib_peak").mean().alias("memory"),
        pl.col("memory_kib_peak").max().alias("most"),
    )
    for row in grouped.head(MOST_DESIGNS).iter_rows(named=True):
        if row["cache"] is None:
            table.add_row(_named(row["design"]), str(row["cells"]), "failed")
            continue
        table.add_row(
            _named(row["design"]),
            str(row["cells"]),
            *(f"{row[name]:.2f}" for name in ("cache", "least")),
            *(f"{row[name]:.3g}" for name in ("waste", "worst")),
            *(short_count(row[name]) for name in ("memory", "most")),
        )
    if grouped.height > MOST_DESIGNS:
        table.add_row("...")
    return table


def _named(design: str) -> Text:
    """A design with its parameters on lines of their own."""
    return Text(printable(design).replace(",", "\n  "))


def legend() -> str:
    """What the overview's columns mean."""
    return _LEGEND


def _filled(told: str) -> str:
    return textwrap.fill(
        told, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
