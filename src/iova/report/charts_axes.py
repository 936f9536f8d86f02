"""The axes of the charts: what their ticks say, and in which unit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

Spec = dict[str, Any]

#: Labels on an axis of rows at most: of one number each, and of longer texts.
_MOST_LABELS: Final = 8
_MOST_LONG_LABELS: Final = 4


#: Units of memory by how many bytes they are.
BYTES: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
#: Units of time, the largest first: of which a chart that lasts so many s is drawn in one.
_TIMES: Final = ((1.0, 1, "s"), (1e-3, 1000, "ms"), (0.0, 1_000_000, "µs"))
#: A label of a time axis, and the gap to the next, take at most so many pixels.
_TIME_LABEL_PIXELS: Final = 60

#: Expressions of Vega for a tick: of what is counted, with SI prefixes; of all else, without.
COUNTED: Final = "abs(datum.value) < 1 ? format(datum.value, '.3~r') : format(datum.value, '.4~s')"
#: The same where a scale is logarithmic: of a long one only powers of ten have a label.
POWERS: Final = (
    "top < 20 || abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-9"
    f" ? ({COUNTED}) : ''"
)
_PLAIN: Final = "format(datum.value, ',.6~r')"
#: What there are only whole ones of.
_WHOLE: Final = ("full magazines", "pages")


def time_unit(end_s: float) -> tuple[int, str]:
    """How many of it are a second, and its name, for a time axis that ends there."""
    return next((per_s, name) for least, per_s, name in _TIMES if end_s >= least)


def time_axis(end_s: float) -> Spec:
    """Title and axis of time, which is in s; the parameter ``ticks`` is how many there are."""
    per_s, name = time_unit(end_s)
    label = f"format(datum.value * {per_s}, '.9~r')"
    axis = {"grid": False, "tickCount": {"expr": "ticks"}, "labelExpr": label, "labelFlush": False}
    return {"title": f"time, {name}", "axis": axis}


def ticks_for(width: float) -> int:
    """How many ticks an axis of time has at most that is so many pixels wide."""
    return max(2, min(8, int(width / _TIME_LABEL_PIXELS)))


def quantity_axis(unit: str) -> Spec:
    """Title and axis of what is counted or measured; it ends at the parameter ``top``."""
    plain = unit.startswith("%") or unit in BYTES
    ticks = {"expr": "max(1, min(5, top))"} if unit in _WHOLE else 5
    axis: Spec = {"tickCount": ticks, "labelExpr": _PLAIN if plain else COUNTED}
    return {"title": unit, "axis": axis}


def memory_unit(most_bytes: float) -> str:
    """In which so many bytes are at least ten, if any."""
    units = [name for name, size in BYTES.items() if most_bytes >= 10 * size]
    return units[-1] if units else "KiB"


@dataclass(frozen=True)
class Rows:
    """An axis of things that have no size: cells on it go from ``i`` to ``i + 1``."""

    title: str
    labels: tuple[str, ...]  #: of the ticks, one a row
    told: tuple[str, ...]  #: what a pointer over a row is told
    between: bool = False  #: a label is that of the row's begin, not of all of it
    most: int = _MOST_LABELS  #: so many labels are shown

    def axis(self) -> Spec:
        """Whole rows only, each in its middle or at its begin."""
        step = 1
        while len(self.labels) > step * self.most:
            step *= 2
        shown = ",".join(f"'{label}'" for label in self.labels)
        middle = 0 if self.between else 0.5
        return {
            "grid": False,
            "values": [i + middle for i in range(0, len(self.labels), step)],
            "labelExpr": f"[{shown}][floor(datum.value)] || ''",
            "labelSeparation": 8,
        }

    def scale(self, *, falling: bool = False) -> Spec:
        """All rows; ``falling``: the first is at the top."""
        return {
            "domain": [0, len(self.labels)],
            "nice": False,
            "zero": False,
            "reverse": falling,
        }


def cpu_rows(title: str, told: str, edges: Sequence[int]) -> Rows:
    """Rows of CPUs, of one each or of groups of neighbours.

    Args:
        title: of the axis.
        told: goes before the CPUs of a row that is pointed at.
        edges: the first CPU of each row, and the number of CPUs.
    """
    spans = [(first, end - 1) for first, end in itertools.pairwise(edges)]
    one_each = all(first == last for first, last in spans)
    return Rows(
        title,
        tuple(f"{a}" if a == b else f"{a}-{b}" for a, b in spans),
        tuple(f"{told}CPU {a}" if a == b else f"{told}CPUs {a} to {b}" for a, b in spans),
        most=_MOST_LABELS if one_each else _MOST_LONG_LABELS,
    )


def address_rows(addresses: Sequence[int]) -> Rows:
    """Rows that begin at these addresses."""
    shown = tuple(f"0x{one:x}" for one in addresses)
    return Rows("address", shown, tuple(f"address {one}" for one in shown), between=True)
