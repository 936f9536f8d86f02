"""The heat maps of a comparison: who frees what, which CPUs hold pages, where ranges lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iova.lab.compare import Comparison
from iova.lab.tables import SampleTables
from iova.report.charts_axes import address_rows, cpu_rows
from iova.report.charts_data import Floats, cells_of, grouped, groups, heat_shape
from iova.report.charts_spec import Chart, heat


@dataclass(frozen=True)
class _Shown:
    """What the heat maps of a comparison share."""

    names: tuple[str, ...]  #: of the designs
    end: float  #: of the time axis, in s
    share: float  #: of the numbers a page may have


def heat_maps(
    comparison: Comparison, names: tuple[str, ...], end: float, share: float
) -> list[Chart]:
    """The heat maps; none if a design has no tables.

    Args:
        comparison: with tables.
        names: of the designs.
        end: of the time axis, in s.
        share: of the numbers that a page may have, 0..1.
    """
    s = _Shown(names, end, share)
    tables = [one.tables for one in comparison.results if one.tables is not None]
    if len(tables) < len(s.names):
        return []
    return [*_handovers(comparison, tables, s), _fill(tables, s), _space(comparison, tables, s)]


def _table_edges(table: SampleTables, columns: int, end: float) -> Floats:
    """Edges of the stretches of time that remain when tables are grouped, in s."""
    t = (table.t - table.t[0]) / 1e9
    edges = np.r_[t[groups(len(t), columns)], max(end, float(t[-1]))]
    return np.asarray(edges, dtype=np.float64)


def _cpu_edges(rows: int, most: int, cpus: int) -> list[int]:
    """CPU numbers at which the rows that remain begin, and their end."""
    return [*(-(-groups(rows, most) * cpus // rows)).tolist(), cpus]


def _plain_edges(rows: int) -> Floats:
    """Edges of rows that have no size."""
    return np.arange(rows + 1, dtype=np.float64)


def _handovers(comparison: Comparison, tables: Sequence[SampleTables], s: _Shown) -> list[Chart]:
    recorded = comparison.handovers
    every = [recorded] if recorded is not None else [one.handovers for one in tables]
    matrices = [np.asarray(one, dtype=np.float64) for one in every if one is not None]
    if not matrices:
        return []
    cpus, rows = tables[0].cpus, len(matrices[0])
    most, _ = heat_shape(rows, rows, len(matrices), s.share)
    small = [grouped(grouped(one, 0, most, "sum"), 1, most, "sum") for one in matrices]
    cpu_edges = _cpu_edges(rows, most, cpus)
    edges, size = _plain_edges(len(cpu_edges) - 1), int(np.diff(cpu_edges).max())
    freeing = cpu_rows("CPU that frees", "freed on ", cpu_edges)
    allocating = cpu_rows("CPU that allocates", "allocated on ", cpu_edges)
    highest = max(float(one.max(initial=0)) for one in small)
    panels = tuple(
        heat(
            cells_of(edges, edges, one.T), x=freeing, y=allocating, legend="frees",
            told=("frees" if size == 1 else "frees, the sum of these CPUs'",),
            highest=highest, log=True, falling=True,
            design=None if recorded is not None else d,
            title="" if recorded is not None else s.names[d],
        )
        for d, one in enumerate(small)
    )  # fmt: skip
    sums = f" A cell is the sum of {size} by {size} neighbouring CPUs."
    return [
        Chart(
            "handovers",
            "Which CPU allocates, and which frees",
            "On the diagonal a CPU frees what it allocated and its magazines balance. A few bright"
            " columns are CPUs that free for all: full magazines travel through the depot."
            f" Where nothing is drawn, nothing was freed.{sums if size > 1 else ''}",
            panels,
        )
    ]


def _fill(tables: Sequence[SampleTables], s: _Shown) -> Chart:
    cpus, rows = tables[0].cpus, tables[0].cpu_pages.shape[1]
    most, columns = heat_shape(rows, len(tables[0].t), len(tables), s.share)
    small = [
        grouped(grouped(one.cpu_pages, 0, columns, "max"), 1, most, "max").astype(np.float64)
        for one in tables
    ]
    cpu_edges = _cpu_edges(rows, most, cpus)
    edges, size = _plain_edges(len(cpu_edges) - 1), int(np.diff(cpu_edges).max())
    # Of more CPUs than a table has rows, a row is the sum of some.
    fullest = "the fullest" if rows == cpus else f"the fullest {-(-cpus // rows)}"
    highest = max(float(one.max(initial=0)) for one in small)
    panels = tuple(
        heat(
            cells_of(_table_edges(table, columns, s.end), edges, one), x=None,
            y=cpu_rows("CPU", "", cpu_edges), legend="pages",
            told=("pages" if size == 1 else f"pages on {fullest} of them",),
            end=s.end, highest=highest, falling=True,
            design=d, title=s.names[d],
        )
        for d, (table, one) in enumerate(zip(tables, small, strict=True))
    )  # fmt: skip
    grouped_cpus = f" A row is {size} neighbouring CPUs, shown by {fullest}."
    return Chart(
        "fill",
        "Fill of each CPU's magazines",
        "Pages in the loaded and previous magazines of a CPU, all sizes together. Rows that stay"
        " bright while nothing runs are caches that idle CPUs keep. Where nothing is drawn, there"
        f" are no pages.{grouped_cpus if size > 1 else ''}",
        panels,
    )


def _space(comparison: Comparison, tables: Sequence[SampleTables], s: _Shown) -> Chart:
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
    edges = _plain_edges(len(starts))
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
                cells, x=None, y=address_rows(addresses), legend="held by",
                told=("cached share", "strength"), end=s.end, mixed=True,
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
