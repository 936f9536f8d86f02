"""What a report says about itself: versions, sources, seeds, losses, and what it cannot show."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import polars as pl
import vl_convert

from iova import _core
from iova.lab.compare import Comparison
from iova.report.table import seeds_text
from iova.words import noun, printable

Fact = tuple[str, str]

REPLAY_LIMITS = (
    "A replay executes the recorded calls in the order in which they began, on virtual time; what"
    " the callers would have done differently under another design, and how long they would have"
    " waited for locks, it can not show."
)
MACHINE_LIMITS = (
    "A simulated machine executes every call on the real allocator and prices what it did by the"
    " price table; its times are as good as these prices, and as the workload's shape."
)
CHART_LIMITS = (
    "Charts show samples: what comes and goes between two of them only the table's peaks tell."
)
SEED_LIMITS = "The charts of a workload are those of its first seed."


def facts_of(comparisons: Sequence[Comparison], command: str) -> list[Fact]:
    """Facts in the order in which they are told: head and text."""
    facts = [("command", command), ("versions", versions())]
    for one in comparisons:
        facts += _facts_of_source(one)
    return [*facts, ("what it cannot show", limits(comparisons))]


def versions() -> str:
    """Of what made the report."""
    return (
        f"iova {_core.VERSION}, Python {platform.python_version()}, Polars {pl.__version__},"
        f" Vega {vl_convert.get_vega_version()},"
        f" Vega-Lite {vl_convert.get_vegalite_versions()[-1]}"
    )


def _facts_of_source(one: Comparison) -> list[Fact]:
    source = printable(one.source)
    if one.simulation:
        told = one.simulation
        settings = f"; {' '.join(map(printable, told.settings))}" if told.settings else ""
        return [
            (source, f"{seeds_text(told.seeds)}; {printable(told.prices_from)}{settings}"),
            ("losses", "none: simulated"),
        ]
    digest = f"SHA-256 {one.digest}" if one.digest else "no hash: not from a file"
    kernel = f", recorded on {printable(one.info.kernel)}" if one.info and one.info.kernel else ""
    return [(source, f"{digest}{kernel}; a replay has no seed"), ("losses", losses(one))]


def losses(one: Comparison) -> str:
    """What of the recorded calls is not in the numbers."""
    skipped = round(max(row.skipped_frees for row in one.rows))
    lost = one.info.lost_events if one.info else 0
    told = [
        (lost, "event", "lost while recording"),
        (one.malformed, "malformed line", "left out"),
        (skipped, "free", "skipped: the allocation failed, or is not in the trace"),
    ]
    missing = one.info.incomplete if one.info else ()
    counts = [f"{count:,} {noun(count, what)} {fate}" for count, what, fate in told if count]
    return "; ".join([*map(printable, missing), *counts]) or "none"


def limits(comparisons: Sequence[Comparison]) -> str:
    """What the numbers rest on."""
    told = []
    if any(comparison.simulation is None for comparison in comparisons):
        told.append(REPLAY_LIMITS)
    if any(comparison.simulation for comparison in comparisons):
        told.append(MACHINE_LIMITS)
    told.append(CHART_LIMITS)
    if any(one.simulation and len(one.simulation.seeds) > 1 for one in comparisons):
        told.append(SEED_LIMITS)
    return " ".join(told)
