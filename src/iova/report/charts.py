"""The charts of a comparison: which there are, what each shows, and what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from iova.lab.compare import Comparison
from iova.lab.replay import ReplayResult
from iova.report.charts_axes import BYTES, memory_unit
from iova.report.charts_data import MOST_COLUMNS, Floats, columns_for, growth, reduced, seconds
from iova.report.charts_heat import heat_maps
from iova.report.charts_spec import Chart, Line, Look, Panel, lines, look_of, stack

#: Of a second in picoseconds.
_PS: Final = 1e12
#: An axis of percent goes up to here at least: what is next to nothing looks like it.
_LEAST_PERCENT: Final = 0.01

_LIVE, _CACHED = Look("#8C8C8C"), Look("#E69F00")
_SERVED: Final = (
    ("range tree", "#D55E00", ("tree_allocations",)),
    ("depot", "#E69F00", ("hits_depot",)),
    ("previous magazine", "#56B4E9", ("hits_previous",)),
    ("loaded magazine", "#0072B2", ("hits_loaded",)),
)
_LOCKS: Final = (
    ("tree lock", "#D55E00", "wait_tree_ps"),
    ("depot locks", "#E69F00", "wait_depot_ps"),
    ("flush queue's rings", "#CC79A7", "wait_ring_ps"),
    ("CPUs' own locks", "#56B4E9", "wait_cpu_ps"),
)


@dataclass(frozen=True)
class _Series:
    """The time series of all designs, and what the charts share."""

    names: tuple[str, ...]
    frames: tuple[pl.DataFrame, ...]
    t: tuple[Floats, ...]
    end: float
    share: float  #: of the numbers a page may have
    panel_columns: int  #: stretches of time at most in a panel of one design

    def column(self, design: int, *names: str) -> Floats:
        frame = self.frames[design]
        columns = [frame[name].to_numpy().astype(np.float64) for name in names]
        return np.asarray(np.sum(columns, axis=0), dtype=np.float64)

    def line(
        self, whose: int, values: Floats, columns: int, label: str, look: Look, **options: Any
    ) -> tuple[Floats, Line]:
        one = reduced(self.t[whose], values, columns)
        return one.start, Line(label, look, one.mean, one.low, one.high, **options)


def charts_of(
    comparison: Comparison, share: float = 1.0, panel_columns: int = MOST_COLUMNS
) -> list[Chart]:
    """The charts of a comparison; none if it has no time series.

    Args:
        comparison: with samples; heat maps need tables as well.
        share: of the numbers that a page may have, 0..1.
        panel_columns: stretches of time at most that lines of one design's panel are drawn in:
            its width in pixels, if that is known.
    """
    whose = comparison.machines or comparison.results
    frames = [one.series for one in whose if one.series is not None and one.series.height > 1]
    if not frames or len(frames) < len(whose):
        return []
    t = tuple(seconds(frame) for frame in frames)
    end = max(float(one[-1]) for one in t)
    series = _Series(
        tuple(one.design for one in whose), tuple(frames), t, end, share, panel_columns
    )
    cpus = comparison.simulation.cpus if comparison.simulation else None
    charts = [_depot(series, comparison.results), _pages(series), _served(series)]
    if cpus is not None:
        charts += [_throughput(series), _waits(series, cpus)]
    charts += [_steps(series), _memory(series)]
    return charts + heat_maps(comparison, series.names, end, share)


# ---------------------------------------------------------------------------- lines, stacks


def _depot(s: _Series, results: Sequence[ReplayResult]) -> Chart:
    sizes = [
        name.removeprefix("depot_") for name in s.frames[0].columns if name.startswith("depot_")
    ]
    every = [[s.column(d, f"depot_{size}") for size in sizes] for d in range(len(s.frames))]
    used = [i for i in range(len(sizes)) if any(one[i].any() for one in every)] or [0]
    columns = columns_for(len(used) * len(s.frames), s.share, s.panel_columns)
    highest = max(float(one[i].max()) for one in every for i in used)
    panels = []
    for d, name in enumerate(s.names):
        told = []
        for i in used:
            pages = f"{sizes[i]} page" + ("s" if sizes[i] != "1" else "")
            start, line = s.line(d, every[d][i], columns, pages, look_of(i))
            told.append(line)
        panels.append(
            lines(start, s.end, told, "full magazines", design=d, title=name, highest=highest)
        )
    return Chart(
        "depot",
        "Length of the depot, by size class",
        "Full magazines that no CPU holds, those of all domains together. A slope to the right of a"
        f" peak is allocations that fetch them, or reclaim giving back.{_full_depots(results)}",
        tuple(panels),
    )


def _full_depots(results: Sequence[ReplayResult]) -> str:
    """Which designs' depots were full, and of what length that is."""
    full: dict[int, list[str]] = {}
    for one in results:
        if one.depot_max is not None and one.totals["depot_peak"] >= one.depot_max > 0:
            full.setdefault(one.depot_max, []).append(one.design)
    if not full:
        return ""
    bounds = "; ".join(f"{length:,} under {', '.join(names)}" for length, names in full.items())
    if any(one.domains > 1 for one in results):
        return f" A domain's depot was full, at {bounds}, and threw the rest into the tree."
    return f" A flat top is a depot that is full, at {bounds}, and throws the rest into the tree."


def _pages(s: _Series) -> Chart:
    columns = columns_for(2 * len(s.frames), s.share, s.panel_columns)
    every = [(s.column(d, "live_pages"), s.column(d, "cached_pages")) for d in range(len(s.names))]
    highest = max(float(values.max()) for pair in every for values in pair)
    panels = []
    for d, (live, cached) in enumerate(every):
        start, grey = s.line(d, live, columns, "live", _LIVE, filled=True)
        _, orange = s.line(d, cached, columns, "cached", _CACHED)
        panels.append(
            lines(start, s.end, [grey, orange], "pages", design=d, title=s.names[d],
                  highest=highest)
        )  # fmt: skip
    return Chart(
        "pages",
        "Cached against live",
        "Pages that magazines hold, beside pages that users hold. Orange that stays up while grey"
        " is down is what the design keeps for nothing.",
        tuple(panels),
    )


def _served(s: _Series) -> Chart:
    columns = columns_for(len(_SERVED) * len(s.frames), s.share) // 2
    panels = []
    for d, name in enumerate(s.names):
        counters = [s.column(d, *columns_of) for _, _, columns_of in _SERVED]
        edges, parts = growth(s.t[d], counters, columns)
        total = np.sum(parts, axis=0)
        shares = [100 * part / np.where(total > 0, total, 1) for part in parts]
        layers = [
            Line(label, Look(colour), part)
            for (label, colour, _), part in zip(_SERVED, shares, strict=True)
        ]
        panels.append(
            stack(edges, s.end, layers, "% of allocations", design=d, title=name, own=100)
        )
    return Chart(
        "served",
        "Where allocations were served",
        "In percent of the calls of each moment; a gap is a moment without calls. Blue is cheap;"
        " yellow takes a lock of all CPUs; red walks the tree under the lock of all.",
        tuple(panels),
    )


def _rates(s: _Series, unit: str, counter: str) -> Panel:
    columns = columns_for(len(s.frames), s.share)
    told, start = [], s.t[0]
    for d, name in enumerate(s.names):
        edges, (grown,) = growth(s.t[d], [s.column(d, counter)], columns)
        span = np.diff(edges)
        rate = grown / np.where(span > 0, span, 1)
        told.append(Line(name, look_of(d), rate, design=d))
        start = edges[:-1]
    shortest = min(len(start), *(len(line.mean) for line in told))
    even = [_cut(one, shortest) for one in told]
    return lines(start[:shortest], s.end, even, unit)


def _steps(s: _Series) -> Chart:
    return Chart(
        "steps",
        "Tree nodes walked",
        "What Linux walks under its tree's lock, a second. Lower is better; designs that do the"
        " same lie on top of each other.",
        (_rates(s, "nodes/s", "tree_steps"),),
    )


def _throughput(s: _Series) -> Chart:
    return Chart(
        "throughput",
        "Throughput",
        "Requests that end in a simulated second. Dips are when callers wait for locks.",
        (_rates(s, "requests/s", "requests"),),
    )


def _waits(s: _Series, cpus: int) -> Chart:
    columns = columns_for(len(_LOCKS) * len(s.frames), s.share) // 2
    every, highest = [], 0.0
    for d in range(len(s.names)):
        edges, parts = growth(s.t[d], [s.column(d, name) for _, _, name in _LOCKS], columns)
        all_time = np.diff(edges) * cpus * _PS
        shares = [100 * part / np.where(all_time > 0, all_time, 1) for part in parts]
        every.append((edges, shares))
        highest = max(highest, float(np.sum(shares, axis=0).max(initial=0)))
    panels = [
        stack(
            edges, s.end,
            [Line(label, Look(colour), part)
             for (label, colour, _), part in zip(_LOCKS, shares, strict=True)],
            "% of all CPUs' time", design=d, title=s.names[d], highest=highest,
            own=max(_LEAST_PERCENT, float(np.sum(shares, axis=0).max(initial=0))),
        )
        for d, (edges, shares) in enumerate(every)
    ]  # fmt: skip
    return Chart(
        "waits",
        "Waiting for locks",
        "Share of the time of all CPUs that is spent waiting, by the lock that is waited for. A"
        " wait counts when it ends: a moment in which long ones end may show more than 100 %.",
        tuple(panels),
    )


def _memory(s: _Series) -> Chart:
    columns = columns_for(len(s.frames), s.share)
    every = [s.column(d, "linux_bytes") for d in range(len(s.names))]
    unit = memory_unit(max(float(one.max()) for one in every))
    told, start = [], s.t[0]
    for d, name in enumerate(s.names):
        start, line = s.line(d, every[d] / BYTES[unit], columns, name, look_of(d), design=d)
        told.append(line)
    shortest = min(len(start), *(len(line.mean) for line in told))
    return Chart(
        "memory",
        "Memory",
        "At Linux's sizes: magazines, and a record for each range in the tree, cached ranges"
        " included. Arrays of a fixed depot, which are always there, are in the table only.",
        (lines(start[:shortest], s.end, [_cut(one, shortest) for one in told], unit),),
    )


def _cut(line: Line, n: int) -> Line:
    low = None if line.low is None else line.low[:n]
    high = None if line.high is None else line.high[:n]
    return replace(line, mean=line.mean[:n], low=low, high=high)
