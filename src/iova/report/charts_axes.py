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
