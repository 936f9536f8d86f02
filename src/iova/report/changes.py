"""A result beside an earlier one, as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from iova.lab.against import SIGNIFICANT, Against, Change, DesignChange
from iova.report.table import short_count
from iova.words import printable

WIDTH: Final = 80

#: What is shown of a change that is not nil; the rest is in the JSON.
SHOWN: Final = (
    "requests_per_s",
    "alloc_p50_ns",
    "alloc_p99_ns",
    "alloc_p999_ns",
    "alloc_worst_ns",
    "free_p99_ns",
    "lock_wait_percent",
    "tree_lock_wait_percent",
    "depot_lock_wait_percent",
    "longest_tree_hold_ns",
    "longest_timer_ns",
    "callers_cpu_s_per_s",
    "reclaim_cpu_s_per_s",
    "timer_cpu_s_per_s",
    "failed_requests",
    "lost",
    "failed",
    "cached_percent",
    "depot_percent",
    "tree_allocations",
    "tree_steps",
    "cached_pages_peak",
    "cached_pages_mean",
    "waste",
    "depot_peak",
    "reclaimed",
    "memory_kib_peak",
)


def shown_changes(one: DesignChange) -> list[Change]:
    """The changes that are worth a line, in the order of the tables."""
    changes = {change.metric: change for change in one.changes}
    return [changes[name] for name in SHOWN if name in changes and changes[name].is_one]


def changes_text(against: Against) -> str:
    """All changes, below each other."""
    version = printable(against.earlier_version)
    blocks = [f"against {printable(against.file)} (iova {version})"]
    blocks[0] += "".join(f"\n{_wrapped(printable(note), '  ')}" for note in against.notes)
    blocks += [_block(one) for one in against.designs]
    if any(change.p is not None for one in against.designs for change in one.changes):
        blocks.append(_wrapped(significance_text(), "  "))
    return "\n\n".join(blocks)


def significance_text() -> str:
    """What p and the mark mean."""
    return (
        f"* p <= {SIGNIFICANT}: of all ways to deal the runs to the two sides so few differ as"
        " much (permutation test of the means, two-sided). One metric in twenty gets there"
        " by chance."
    )


def percent_text(change: Change) -> str:
    """The change in percent, with its sign."""
    if change.percent is None:
        return "new"
    digits = 1 if abs(change.percent) < 1000 else 0
    shown = f"{change.percent:+.{digits}f} %"
    return f"~{shown[1:]}" if float(shown[1:-2]) == 0 else shown


def p_text(change: Change) -> str:
    """p, with a mark where it is significant."""
    if change.p is None:
        return ""
    return f"{change.p:.3f}" + (" *" if change.is_significant else "  ")


def number_text(value: float) -> str:
    """A mean: counts short, small numbers with their digits."""
    return short_count(value) if abs(value) >= 1000 else f"{value:.4g}"


def _block(one: DesignChange) -> str:
    head = _wrapped(f"{printable(one.source)}, {printable(one.design)}: {one.basis()}", "")
    changes = shown_changes(one)
    if not changes:
        return f"{head}\n  nothing of the tables has changed"
    return "\n".join([head, *_lines(changes)])


def _lines(changes: Sequence[Change]) -> Iterator[str]:
    tested = any(change.p is not None for change in changes)
    yield f"  {'':<24}{'earlier':>10}{'now':>10}{'change':>12}" + ("       p" if tested else "")
    for change in changes:
        numbers = f"{number_text(change.earlier):>10}{number_text(change.now):>10}"
        line = f"  {change.metric:<24}{numbers}{percent_text(change):>12}"
        yield (line + (f"{p_text(change):>10}" if tested else "")).rstrip()


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
