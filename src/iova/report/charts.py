"""The charts of a comparison: which there are, what each shows, and what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from iova.lab.compare import Comparison
from iova.lab.tables import SampleTables
from iova.report.charts_data import (
    MOST_COLUMNS,
    Floats,
    cells_of,
    columns_for,
    grouped,
    groups,
    growth,
    heat_shape,
    reduced,
    seconds,
)
from iova.report.charts_spec import COLOURS, Line, Panel, heat, lines, stack

#: Of one KiB and of a second in picoseconds.
_KIB: Final = 1024
_PS: Final = 1e12

_LIVE, _CACHED = "#8C8C8C", "#E69F00"
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
class Chart:
    """One figure: one panel, or one a design side by side."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]


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
        self, whose: int, values: Floats, columns: int, label: str, colour: str, **options: Any
    ) -> tuple[Floats, Line]:
        one = reduced(self.t[whose], values, columns)
        return one.start, Line(label, colour, one.mean, one.low, one.high, **options)


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
    charts = [_depot(series), _pages(series), _served(series)]
    if cpus is not None:
        charts += [_throughput(series), _waits(series, cpus)]
    charts += [_steps(series), _memory(series)]
    return charts + _heat_maps(comparison, series)


# ---------------------------------------------------------------------------- lines, stacks


def _depot(s: _Series) -> Chart:
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
            start, line = s.line(d, every[d][i], columns, pages, COLOURS[i % len(COLOURS)])
            told.append(line)
        panels.append(
            lines(start, s.end, told, "full magazines", design=d, title=name, highest=highest)
        )
    return Chart(
        "depot",
        "Length of the depot, by size class",
        "Full magazines that no CPU holds, those of all domains together. A flat top is a depot"
        " that is full and throws the rest into the tree; a slope to the right of a peak is reclaim"
        " giving back.",
        tuple(panels),
    )


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
            Line(label, colour, part)
            for (label, colour, _), part in zip(_SERVED, shares, strict=True)
        ]
        panels.append(
            stack(edges, s.end, layers, "% of allocations", design=d, title=name, highest=100)
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
        told.append(Line(name, COLOURS[d % len(COLOURS)], rate, design=d))
        start = edges[:-1]
    shortest = min(len(start), *(len(line.mean) for line in told))
    even = [Line(one.label, one.colour, one.mean[:shortest], design=one.design) for one in told]
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
            [Line(label, colour, part)
             for (label, colour, _), part in zip(_LOCKS, shares, strict=True)],
            "% of all CPUs' time", design=d, title=s.names[d], highest=highest,
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
    told, start = [], s.t[0]
    for d, name in enumerate(s.names):
        start, line = s.line(
            d, s.column(d, "linux_bytes") / _KIB, columns, name, COLOURS[d % len(COLOURS)], design=d
        )
        told.append(line)
    shortest = min(len(start), *(len(line.mean) for line in told))
    return Chart(
        "memory",
        "Memory",
        "At Linux's sizes: magazines, and a record for each range in the tree, cached ranges"
        " included. Arrays of a fixed depot, which are always there, are in the table only.",
        (lines(start[:shortest], s.end, [_cut(one, shortest) for one in told], "KiB"),),
    )


def _cut(line: Line, n: int) -> Line:
    low = None if line.low is None else line.low[:n]
    high = None if line.high is None else line.high[:n]
    return Line(line.label, line.colour, line.mean[:n], low, high, line.design, line.filled)


# ------------------------------------------------------------------------------- heat maps


def _heat_maps(comparison: Comparison, s: _Series) -> list[Chart]:
    tables = [one.tables for one in comparison.results if one.tables is not None]
    if len(tables) < len(s.names):
        return []
    return [*_handovers(comparison, tables, s), _fill(tables, s), _space(comparison, tables, s)]


def _table_edges(table: SampleTables, columns: int, end: float) -> Floats:
    """Edges of the stretches of time that remain when tables are grouped, in s."""
    t = (table.t - table.t[0]) / 1e9
    edges = np.r_[t[groups(len(t), columns)], max(end, float(t[-1]))]
    return np.asarray(edges, dtype=np.float64)


def _cpu_edges(rows: int, most: int, cpus: int) -> Floats:
    """CPU numbers at which the rows that remain begin, and their end."""
    return np.asarray(np.r_[-(-groups(rows, most) * cpus // rows), cpus], dtype=np.float64)


def _handovers(comparison: Comparison, tables: Sequence[SampleTables], s: _Series) -> list[Chart]:
    recorded = comparison.handovers
    every = [recorded] if recorded is not None else [one.handovers for one in tables]
    matrices = [np.asarray(one, dtype=np.float64) for one in every if one is not None]
    if not matrices:
        return []
    cpus, rows = tables[0].cpus, len(matrices[0])
    most, _ = heat_shape(rows, rows, len(matrices), s.share)
    small = [grouped(grouped(one, 0, most, "sum"), 1, most, "sum") for one in matrices]
    edges = _cpu_edges(rows, most, cpus)
    highest = max(float(one.max(initial=0)) for one in small)
    panels = tuple(
        heat(
            cells_of(edges, edges, one.T), x_title="CPU that frees", y_title="CPU that allocates",
            legend="frees", names=("frees",), end=None, x_domain=(0, cpus), y_domain=(0, cpus),
            highest=highest, log=True, falling=True,
            design=None if recorded is not None else d,
            title="" if recorded is not None else s.names[d],
        )
        for d, one in enumerate(small)
    )  # fmt: skip
    return [
        Chart(
            "handovers",
            "Which CPU allocates, and which frees",
            "On the diagonal a CPU frees what it allocated and its magazines balance. A few bright"
            " columns are CPUs that free for all: full magazines travel through the depot.",
            panels,
        )
    ]


def _fill(tables: Sequence[SampleTables], s: _Series) -> Chart:
    cpus, rows = tables[0].cpus, tables[0].cpu_pages.shape[1]
    most, columns = heat_shape(rows, len(tables[0].t), len(tables), s.share)
    small = [
        grouped(grouped(one.cpu_pages, 0, columns, "max"), 1, most, "max").astype(np.float64)
        for one in tables
    ]
    edges = _cpu_edges(rows, most, cpus)
    highest = max(float(one.max(initial=0)) for one in small)
    panels = tuple(
        heat(
            cells_of(_table_edges(table, columns, s.end), edges, one),
            x_title="time, s", y_title="CPU", legend="pages", names=("pages",), end=s.end,
            x_domain=(0, s.end), y_domain=(0, cpus), highest=highest, falling=True,
            design=d, title=s.names[d],
        )
        for d, (table, one) in enumerate(zip(tables, small, strict=True))
    )  # fmt: skip
    told = f" Rows are groups of neighbours, shown by the fullest of {-(-rows // most)}."
    grouped_cpus = told if rows > most else ""
    return Chart(
        "fill",
        "Fill of each CPU's magazines",
        "Pages in the loaded and previous magazines of a CPU, all sizes together. Rows that stay"
        f" bright while nothing runs are caches that idle CPUs keep.{grouped_cpus}",
        panels,
    )


def _space(comparison: Comparison, tables: Sequence[SampleTables], s: _Series) -> Chart:
    granule = 4096
    if comparison.info and comparison.info.domains:
        granule = comparison.info.domains[0].granule
    first = min(one.map_first for one in tables)
    bin_pages = tables[0].bin_pages
    last = max(one.map_first + one.allocated.shape[1] * bin_pages for one in tables)
    bins = (last - first) // bin_pages
    most, columns = heat_shape(bins, len(tables[0].t), len(tables), s.share)
    panels, fullest, every = [], 1.0, []
    used = np.zeros(bins, dtype=bool)
    for table in tables:
        at = (table.map_first - first) // bin_pages
        used[at : at + table.allocated.shape[1]] |= table.allocated.any(axis=0)
    used[0] |= not used.any()
    starts = groups(int(used.sum()), most)
    addresses = [(first + int(i) * bin_pages) * granule for i in np.flatnonzero(used)[starts]]
    row_size = int(np.diff(starts).max(initial=1)) * bin_pages * granule
    edges = np.arange(len(starts) + 1, dtype=np.float64)
    for table in tables:
        at = (table.map_first - first) // bin_pages
        wide = np.zeros((2, len(table.t), bins))
        wide[:, :, at : at + table.allocated.shape[1]] = (table.allocated, table.cached)
        # Of each stretch of time the table at its start: what lies where at that moment.
        moments = wide[:, groups(len(table.t), columns)]
        taken, cached = np.add.reduceat(moments[:, :, used], starts, axis=2)
        fullest = max(fullest, float(taken.max(initial=0)))
        every.append((taken, cached))
    for d, (taken, cached) in enumerate(every):
        share = np.round(cached / np.where(taken > 0, taken, 1), 2)
        strength = np.round(0.2 + 0.8 * np.sqrt(taken / fullest), 2)
        cells = cells_of(
            _table_edges(tables[d], columns, s.end),
            edges,
            np.where(taken > 0, np.maximum(share, 0.001), 0),
            strength,
        )
        panels.append(
            heat(
                cells, x_title="time, s", y_title="address", legend="held by",
                names=("cached share", "strength"), end=s.end, x_domain=(0, s.end),
                y_domain=(0, float(edges[-1])), highest=1, mixed=True, addresses=addresses,
                design=d, title=s.names[d],
            )
        )  # fmt: skip
    return Chart(
        "space",
        "The address space",
        "Which addresses are taken, over time: blue by users, orange by magazines, the stronger the"
        f" denser; empty is free. A row is {_span(row_size)}; stretches that nobody ever used, and"
        " reserved ones, are left out. Many faint orange rows are cached ranges that lie far"
        " apart: fragmentation.",
        tuple(panels),
    )


def _span(size: float) -> str:
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.3g} {unit}"
    return f"{size:.0f} bytes"
