"""What a comparison found, in a sentence or two: the opening of the page and of the mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iova.lab.compare import Comparison, ComparisonRow
from iova.report.table import short_count, short_share


def answer(comparison: Comparison) -> str:
    """What the table says, in a sentence or two."""
    rows = comparison.rows
    best = max(rows, key=lambda r: r.cached_percent)
    served = _spread([r.cached_percent for r in rows], "{:.2f}".format)
    text = f"{comparison.source}: the caches serve {served} % of {_allocations(comparison)}"
    if len(rows) == 1:
        text += f" under {best.design}, at a peak of {best.memory_kib_peak:,.0f} KiB."
        return f"{text} {_machine_sentence(comparison)}".rstrip()
    tied = [r.design for r in rows if f"{r.cached_percent:.2f}" == f"{best.cached_percent:.2f}"]
    text += f", most under {_listed(tied)}" if len(tied) < len(rows) else " under every design"
    last = _machine_sentence(comparison) if comparison.simulation else _steps_sentence(rows)
    return f"{text}; {_least_memory(rows)}. {last}"


def _allocations(comparison: Comparison) -> str:
    """How many there were: designs may make other numbers of them, and so may seeds."""
    counts = [r.allocations for r in comparison.rows]
    are_means = any(len({r.row.allocations for r in one.runs}) > 1 for one in comparison.designs)
    shown = _spread(counts, "{:,.0f}".format)
    return f"{'about ' if are_means else ''}{shown} allocations"


def _least_memory(rows: Sequence[ComparisonRow]) -> str:
    least = round(min(r.memory_kib_peak for r in rows))
    lean = [r.design for r in rows if round(r.memory_kib_peak) == least]
    if len(lean) == len(rows):
        return f"each needs {least:,} KiB at its peak"
    verb, whose = ("needs", "its peak") if len(lean) == 1 else ("need", "their peak")
    return f"{_listed(lean)} {verb} the least memory at {whose} ({least:,} KiB)"


def _spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """The least and the most, or one of them where they look alike."""
    low, high = show(min(values)), show(max(values))
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
    waited = _spread([r.lock_wait_percent for r in rows], short_share)
    rates = [short_count(row.requests_per_s) for row in (least, most)]
    if rates[0] == rates[1]:
        rate = f"It completes {rates[0]} requests a second"
    else:
        rate = (
            f"It completes {rates[0]} ({least.design}) to {rates[1]} ({most.design}) requests a"
            " second"
        )
    return f"{rate}; CPUs wait for locks in {waited} % of their time."
