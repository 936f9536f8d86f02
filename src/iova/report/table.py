"""Tables for a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from iova.lab.compare import Comparison, ComparisonRow


@dataclass(frozen=True)
class Column:
    """One column of the comparison: its head, what it shows, and the legend's line."""

    head: str
    show: Callable[[ComparisonRow], str]
    legend: str


def short_count(n: float) -> str:
    """A count in at most six characters: 12345, 1.23M, 45.6G."""
    if abs(n) < 100_000:
        return f"{n:.0f}"
    for power, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G"), (1e15, "T")):
        if abs(n) < 0.9995 * power:
            return f"{n / (power / 1000):.3g}{unit}"
    return f"{n:.2e}"


#: The comparison's columns, in order. ``report`` draws them, ``README`` and legend explain them.
COLUMNS = (
    Column("design", lambda r: r.design, "depot design; `iova list designs` explains them"),
    Column("cache%", lambda r: f"{r.cached_percent:.2f}", "allocations served from magazines"),
    Column("depot%", lambda r: f"{r.depot_percent:.2f}", "that fetched a magazine from the depot"),
    Column("tree", lambda r: short_count(r.tree_allocations), "ranges cut from the range tree"),
    Column("steps", lambda r: short_count(r.tree_steps), "tree nodes Linux would walk for them"),
    Column("peak", lambda r: short_count(r.cached_pages_peak), "most pages held in magazines"),
    Column("mean", lambda r: short_count(r.cached_pages_mean), "the same, averaged over time"),
    Column("waste", lambda r: f"{r.waste:.3g}", "mean cached pages / peak live pages"),
    Column("depot", lambda r: short_count(r.depot_peak), "longest depot, in full magazines"),
    Column("recl", lambda r: short_count(r.reclaimed), "magazines reclaimed in the background"),
    Column("KiB", lambda r: short_count(r.memory_kib_peak), "peak memory at Linux's sizes"),
)


def printable(text: str) -> str:
    """Text of a trace, with control characters as escapes: it must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def headline(comparison: Comparison) -> str:
    """What was replayed, in one line."""
    info = comparison.info
    kernel = f", recorded on {printable(info.kernel)}" if info.kernel else ""
    only = f", domain {comparison.domain} only" if comparison.domain is not None else ""
    lost = f", {info.lost_events} events LOST" if info.lost_events else ""
    seconds = comparison.span_ns / 1e9
    calls = f"{comparison.calls:,} calls over {seconds:,.1f} s"
    return f"{printable(comparison.source)}: {calls}{kernel}{only}{lost}"


def comparison_table(comparison: Comparison) -> Table:
    """One row a design; its parameters stand on lines of their own below its name."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    names, *numbers = COLUMNS
    widest = max(len(line) for row in comparison.rows for line in _lines(row.design))
    table.add_column(names.head, min_width=min(widest, 22), overflow="fold")
    for column in numbers:
        table.add_column(column.head, justify="right", no_wrap=True)
    for row in comparison.rows:
        table.add_row(
            Text("\n".join(_lines(row.design))), *(Text(column.show(row)) for column in numbers)
        )
    return table


def _lines(design: str) -> list[str]:
    name, *params = design.split(",")
    return [name, *(f"  {param}" for param in params)]


def legend() -> str:
    """What each column means, one line each."""
    return "\n".join(f"  {column.head:<7} {column.legend}" for column in COLUMNS)
