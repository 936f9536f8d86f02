"""Tables for a terminal, 80 columns wide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from rich.table import Table
from rich.text import Text

from iova.lab.compare import Comparison, ComparisonRow, MachineRow, Simulation
from iova.lab.rows import Row
from iova.words import counted, noun, printable


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of numbers: its head, what it shows, and the legend's line."""

    head: str
    show: Callable[[Row], str]
    legend: str


def short_count(n: float) -> str:
    """A count in at most six characters: 12345, 1.23M, 45.6G."""
    if abs(n) < 100_000:
        return f"{n:.0f}"
    for power, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G"), (1e15, "T")):
        if abs(n) < 0.9995 * power:
            return f"{n / (power / 1000):.3g}{unit}"
    return f"{n:.2e}"


def short_time(ns: float) -> str:
    """A time in at most five characters: 85ns, 1.2us, 120ms, 31s."""
    for power, unit in ((1.0, "ns"), (1e3, "us"), (1e6, "ms")):
        shown = _digits(ns / power)
        if float(shown) < 1000:
            return shown + unit
    return f"{_digits(ns / 1e9)}s"


def span_text(ns: float) -> str:
    """How long a trace is, in three significant digits: 13.8 ms, 1.38 s, 283.6 s."""
    for power, unit in ((1.0, "ns"), (1e3, "us"), (1e6, "ms")):
        shown = f"{ns / power:.3g}"
        if float(shown) < 1000:
            return f"{shown} {unit}"
    seconds = ns / 1e9
    return f"{seconds:,.1f} s" if seconds >= 99.95 else f"{seconds:.3g} s"


def _digits(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def short_share(value: float) -> str:
    """A small number or a percentage in at most five characters: 0, 0.012, 3.14, 99.7, 256."""
    if value and abs(value) < 0.0005:
        return "<.001"
    for limit, digits in ((0.9995, 3), (9.995, 2), (99.95, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}" if value else "0"
    return short_count(value)


#: The allocator's numbers, in order. ``report`` draws them, ``README`` and legend explain them.
COLUMNS: tuple[Column[ComparisonRow], ...] = (
    Column("cache%", lambda r: f"{r.cached_percent:.2f}", "allocations served from magazines"),
    Column("depot%", lambda r: f"{r.depot_percent:.2f}", "that fetched a magazine from the depot"),
    Column("tree", lambda r: short_count(r.tree_allocations), "ranges cut from the range tree"),
    Column("steps", lambda r: short_count(r.tree_steps), "tree nodes Linux would walk for them"),
    Column("peak", lambda r: short_count(r.cached_pages_peak), "most pages held in magazines"),
    Column("mean", lambda r: short_count(r.cached_pages_mean), "the same, averaged over time"),
    Column("waste", lambda r: f"{r.waste:.3g}", "mean cached pages / peak live pages"),
    Column("depot", lambda r: short_count(r.depot_peak),
           "full magazines in the longest depot, of one size in one domain"),
    Column("recl", lambda r: short_count(r.reclaimed), "magazines reclaimed in the background"),
    Column("KiB", lambda r: short_count(r.memory_kib_peak), "peak memory at Linux's sizes"),
)  # fmt: skip

#: The simulated machine's numbers; times are of the simulated machine.
MACHINE_COLUMNS: tuple[Column[MachineRow], ...] = (
    Column("req/s", lambda r: short_count(r.requests_per_s), "requests completed a second"),
    Column("p99", lambda r: short_time(r.alloc_p99_ns), "99 % of allocations take at most this"),
    Column("p99.9", lambda r: short_time(r.alloc_p999_ns), "99.9 % of them"),
    Column("wait%", lambda r: short_share(r.lock_wait_percent),
           "of all CPUs' time: waiting for locks"),
    Column("hold", lambda r: short_time(r.longest_tree_hold_ns), "longest hold of the tree lock"),
    Column("timer", lambda r: short_time(r.longest_timer_ns),
           "longest run of the flush queue's timer"),
    Column("calls", lambda r: short_share(r.callers_cpu_s_per_s),
           "CPU seconds a second in allocations and frees"),
    Column("jobs", lambda r: short_share(r.reclaim_cpu_s_per_s), "in background reclaim"),
    Column("timers", lambda r: short_share(r.timer_cpu_s_per_s), "in the flush queue's timer"),
    Column("fail", lambda r: short_count(r.failed_requests), "requests whose allocation failed"),
    Column("lost", lambda r: short_count(r.lost), "ranges that vanished from flush queues"),
)  # fmt: skip

#: Beside these, where there is room for them.
MORE_MACHINE_COLUMNS: tuple[Column[MachineRow], ...] = (
    Column("p50", lambda r: short_time(r.alloc_p50_ns), "half of the allocations: at most this"),
    Column("worst", lambda r: short_time(r.alloc_worst_ns), "the longest allocation"),
    Column("free p99", lambda r: short_time(r.free_p99_ns), "99 % of frees take at most this"),
    Column("free worst", lambda r: short_time(r.free_worst_ns), "the longest free"),
    Column("cpu%", lambda r: short_share(r.cpu_lock_wait_percent),
           "of all CPUs' time: waiting for the lock of a CPU's own caches"),
    Column("dep%", lambda r: short_share(r.depot_lock_wait_percent), "for depots' locks"),
    Column("tree%", lambda r: short_share(r.tree_lock_wait_percent), "for the trees' lock"),
    Column("ring%", lambda r: short_share(r.ring_lock_wait_percent), "for flush queues' rings"),
    Column("job", lambda r: short_time(r.longest_reclaim_ns), "longest run of a delayed job"),
    Column("queued", lambda r: short_count(r.queued_peak), "most ranges in flush queues"),
)  # fmt: skip

_DESIGN_LEGEND = "depot design; `iova list designs` explains them"
PLUS_MINUS_LEGEND = "half of the 95 % confidence interval of the mean above"


# ------------------------------------------------------------------------------- headlines


def headline(comparison: Comparison) -> str:
    """What was replayed or simulated, in one line."""
    if comparison.simulation:
        return f"{printable(comparison.source)}: {_simulated(comparison, comparison.simulation)}"
    info = comparison.info
    kernel = f", recorded on {printable(info.kernel)}" if info and info.kernel else ""
    only = f", domain {comparison.domain} only" if comparison.domain is not None else ""
    lost = f", {counted(info.lost_events, 'event')} LOST" if info and info.lost_events else ""
    calls = f"{comparison.calls:,} {noun(comparison.calls, 'call')}"
    calls += f" over {span_text(comparison.span_ns)}"
    return f"{printable(comparison.source)}: {calls}{kernel}{only}{lost}"


def _simulated(comparison: Comparison, simulation: Simulation) -> str:
    operations = [round(runs.machine.operations) for runs in comparison.designs if runs.machine]
    least, most = short_count(min(operations)), short_count(max(operations))
    settings = f", {' '.join(map(printable, simulation.settings))}" if simulation.settings else ""
    return (
        f"{simulation.cpus} CPUs, {simulation.duration_s:,g} s simulated,"
        f" {least if least == most else f'{least} to {most}'} operations,"
        f" {seeds_text(simulation.seeds)}, {printable(simulation.prices_from)}{settings}"
    )


def seeds_text(seeds: Sequence[int]) -> str:
    """Which seeds: a run of numbers one after the other."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"


# ---------------------------------------------------------------------------------- tables


def comparison_table(comparison: Comparison) -> Table:
    """One row a design; its parameters stand on lines of their own below its name."""
    designs = comparison.designs
    rows = [(runs.row, runs.row_half_width) for runs in designs]
    return _table(COLUMNS, [runs.design for runs in designs], rows)


def machine_table(comparison: Comparison) -> Table | None:
    """The simulated machine's numbers, one row a design; None for a recorded trace."""
    designs = [(runs.design, runs.machine, runs.machine_half_width) for runs in comparison.designs]
    rows = [(row, half) for _, row, half in designs if row is not None]
    if not rows:
        return None
    return _table(MACHINE_COLUMNS, [name for name, row, _ in designs if row is not None], rows)


def _table(
    columns: Sequence[Column[Row]], designs: Sequence[str], rows: Sequence[tuple[Row, Row | None]]
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    widest = max(len(line) for design in designs for line in _lines(design))
    table.add_column("design", min_width=min(widest, 22), overflow="fold")
    for column in columns:
        table.add_column(column.head, justify="right", no_wrap=True)
    for design, (row, half) in zip(designs, rows, strict=True):
        table.add_row(
            Text("\n".join(_lines(design))), *(Text(column.show(row)) for column in columns)
        )
        if half is not None:
            table.add_row("  ±", *(Text(column.show(half)) for column in columns), style="dim")
    return table


def _lines(design: str) -> list[str]:
    name, *params = printable(design).split(",")
    return [name, *(f"  {param}" for param in params)]


def legend(comparisons: Sequence[Comparison]) -> str:
    """What each column of their tables means, one line each."""
    blocks = legend_blocks(comparisons)
    return "\n\n".join(
        "\n".join(f"  {head:<7} {meaning}" for head, meaning in block) for block in blocks
    )


def legend_blocks(
    comparisons: Sequence[Comparison], more: Sequence[Column[MachineRow]] = ()
) -> list[list[tuple[str, str]]]:
    """Heads and meanings of the columns, in the order of the tables, a list for each kind of table.

    Args:
        comparisons: what the tables show.
        more: columns of the simulated machine's table beside the usual ones.
    """
    blocks = [[("design", _DESIGN_LEGEND), *((c.head, c.legend) for c in COLUMNS)]]
    if any(comparison.simulation for comparison in comparisons):
        blocks.append([(c.head, c.legend) for c in (*MACHINE_COLUMNS, *more)])
    if any(len(runs.runs) > 1 for comparison in comparisons for runs in comparison.designs):
        blocks[-1].append(("±", PLUS_MINUS_LEGEND))
    return blocks
