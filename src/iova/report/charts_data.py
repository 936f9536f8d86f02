"""Time series and tables reduced to what a screen can show; least and most values are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

#: Stretches of time that a chart of lines shows at most, and at least if there is so much data.
MOST_COLUMNS: Final = 300
LEAST_COLUMNS: Final = 40
#: Numbers that the lines of one chart may have.
MOST_NUMBERS: Final = 60_000
#: Rows and columns of one heat map, and cells of all heat maps of a chart, at most.
MOST_HEAT_ROWS: Final = 96
MOST_HEAT_COLUMNS: Final = 150
MOST_CELLS: Final = 20_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reduced:
    """A quantity by stretches of time: its least, mean and most value in each."""

    start: Floats  #: (n,): s since the first sample
    low: Floats
    mean: Floats
    high: Floats


def columns_for(series: int, share: float = 1.0, most: int = MOST_COLUMNS) -> int:
    """Stretches of time that so many lines can have, given their share of the page."""
    room = int(share * MOST_NUMBERS / (3 * max(1, series)))
    return max(LEAST_COLUMNS, min(MOST_COLUMNS, most, room))


def reduced(t_s: Floats, values: Floats, columns: int) -> Reduced:
    """Reduce samples to at most so many stretches of equal time; empty ones are left out."""
    if len(t_s) <= columns:
        return Reduced(t_s, values, values, values)
    span = float(t_s[-1] - t_s[0]) or 1.0
    column = np.minimum(((t_s - t_s[0]) * (columns / span)).astype(np.int64), columns - 1)
    first = np.flatnonzero(np.r_[True, np.diff(column) > 0])
    counts = np.diff(np.r_[first, len(column)])
    return Reduced(
        start=t_s[first],
        low=np.minimum.reduceat(values, first),
        mean=np.add.reduceat(values, first) / counts,
        high=np.maximum.reduceat(values, first),
    )


def growth(t_s: Floats, counters: Sequence[Floats], columns: int) -> tuple[Floats, list[Floats]]:
    """What counters grew by in each of at most so many stretches of time.

    Returns:
        The edges of the stretches, (n + 1,), and for each counter its growth, (n,).
    """
    if len(t_s) < 2:
        return t_s, [np.zeros(0) for _ in counters]
    at = np.unique(np.linspace(0, len(t_s) - 1, min(columns, len(t_s) - 1) + 1).astype(np.int64))
    return t_s[at], [np.diff(counter[at]) for counter in counters]


def seconds(frame: pl.DataFrame) -> Floats:
    """Time of the samples since the first, in s."""
    t = frame["t"].to_numpy()
    return np.asarray((t - t[0]) / 1e9, dtype=np.float64)


# ------------------------------------------------------------------------------- heat maps


@dataclass(frozen=True)
class Cells:
    """Rectangles of a heat map; what is 0 is left out. All are (n,)."""

    x: Floats
    x2: Floats
    y: Floats
    y2: Floats
    values: tuple[Floats, ...]


def groups(count: int, most: int) -> npt.NDArray[np.int64]:
    """First members of at most so many groups of neighbours, of equal size but the last."""
    return np.arange(0, count, -(-count // most) if count else 1)


def heat_shape(rows: int, columns: int, maps: int, share: float = 1.0) -> tuple[int, int]:
    """Rows and columns at most that each of so many heat maps can have."""
    each = share * MOST_CELLS / maps
    shown = max(1, min(rows, MOST_HEAT_ROWS, int(each**0.5)))
    return shown, max(8, min(columns, MOST_HEAT_COLUMNS, int(each / shown)))


def cells_of(edges_x: Floats, edges_y: Floats, shown: Floats, *more: Floats) -> Cells:
    """The rectangles of a grid; neighbours in x that are equal in everything are one.

    Args:
        edges_x: (columns + 1,).
        edges_y: (rows + 1,).
        shown: (columns, rows); where it is 0 nothing is drawn.
        more: further values of the cells.
    """
    grids = (shown, *more)
    changes = np.ones(shown.shape, dtype=bool)
    changes[1:] = np.logical_or.reduce([g[1:] != g[:-1] for g in grids])
    boxes: list[tuple[float, ...]] = []
    for row in range(shown.shape[1]):
        starts = np.flatnonzero(changes[:, row])
        ends = np.r_[starts[1:], shown.shape[0]]
        boxes += [
            (
                edges_x[a], edges_x[b], edges_y[row], edges_y[row + 1],
                *(float(grid[a, row]) for grid in grids),
            )
            for a, b in zip(starts, ends, strict=True)
            if shown[a, row]
        ]  # fmt: skip
    table = np.array(boxes, dtype=np.float64).reshape(len(boxes), 4 + len(grids)).T
    return Cells(table[0], table[1], table[2], table[3], tuple(table[4:]))


def grouped(
    table: npt.NDArray[Any], axis: int, most: int, how: Literal["sum", "max"]
) -> npt.NDArray[Any]:
    """Neighbours along an axis put together, so that at most so many are left."""
    count = table.shape[axis]
    if count <= most:
        return table
    reduce = np.add if how == "sum" else np.maximum
    out: npt.NDArray[Any] = reduce.reduceat(table, groups(count, most), axis=axis)
    return out
