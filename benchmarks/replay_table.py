"""The event table of the replay benchmark: a trace that can be repeated end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iova import _core
from iova.designs import parse_design
from iova.events import FIRST_INSIDE_OP, NO_SLOT, Flag, Op
from iova.lab.replay import ReplayInput, prepare
from iova.samples import resolve
from iova.sources import load

Columns = dict[str, npt.NDArray[Any]]

#: Rows that make a domain: they can not be repeated.
_SETTING_UP = (int(Op.CREATE), int(Op.MAKE_CACHES), int(Op.RESERVE))


@dataclass(frozen=True)
class Table:
    """The calls of a trace, closed so that they can follow upon themselves.

    What is live at the end is freed there, so a repetition finds the address space as a longer
    recording would: nothing live, the caches filled. Domains are made once, by ``setting_up``.
    """

    setting_up: Columns
    columns: Columns
    source: ReplayInput
    period_ns: int

    @property
    def rows(self) -> int:
        """Rows of one repetition."""
        return len(self.columns["t"])

    def start(self, design: str, *, count_steps: bool) -> _core.Replay:
        """A new replay under a design, its domains made."""
        spec = parse_design(design)
        replay = _core.Replay(
            [spec.make() for _ in self.source.domains],
            [(domain.granule, domain.start) for domain in self.source.domains],
            possible=self.source.possible,
            online=self.source.online,
            count_steps=count_steps,
        )
        replay.feed(self.setting_up)
        return replay


def load_table(source: str) -> Table:
    """Read a sample, a trace file or a Parquet."""
    calls = prepare(load(resolve(source)).trace)
    op = calls.columns["op"]
    making = np.isin(op, _SETTING_UP)
    setting_up = _rows(calls.columns, making)
    setting_up["t"] = np.full_like(setting_up["t"], calls.columns["t"][0])
    columns = _rows(calls.columns, ~making & (op < FIRST_INSIDE_OP))
    left = _rows(columns, _never_freed(columns))
    left["op"][:] = int(Op.FREE)
    left["flags"] &= int(Flag.RAW)
    left["t"][:] = columns["t"][-1]
    closed = {name: np.concatenate([column, left[name]]) for name, column in columns.items()}
    period = int(closed["t"][-1] - closed["t"][0]) + 1
    return Table(setting_up, closed, calls, period)


def _rows(columns: Columns, wanted: npt.NDArray[Any]) -> Columns:
    return {name: column[wanted] for name, column in columns.items()}


def _never_freed(columns: Columns) -> npt.NDArray[np.intp]:
    """Rows of the allocations that are live at the end: the last of their slots."""
    slot = columns["slot"]
    named = np.flatnonzero(slot != NO_SLOT)
    last = np.zeros(int(slot[named].max()) + 1, dtype=np.intp)
    last[slot[named]] = named
    rows: npt.NDArray[np.intp] = np.sort(last)
    allocations: npt.NDArray[np.intp] = rows[columns["op"][rows] == int(Op.ALLOC)]
    return allocations
