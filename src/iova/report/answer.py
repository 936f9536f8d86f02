"""What a comparison found, in a sentence or two: the opening of the page and of the mail."""

from __future__ import annotations

from collections.abc import Sequence

from iova.lab.compare import Comparison, ComparisonRow
from iova.report.table import short_count


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
