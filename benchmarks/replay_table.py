"""The event table of the replay benchmark: a trace that can be repeated end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iova import _core
from iova.designs import parse_design
from iova.events import FIRST_INSIDE_OP, Op
from iova.lab.replay import ReplayInput, prepare
from iova.samples import resolve
from iova.sources import load

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Table:
    """The calls of a trace, closed by the destruction of every domain.

    So the next repetition starts with an empty address space and no slot in use, as the trace
    itself did; only its times have moved on by ``period_ns``.
    """

    columns: Columns
    source: ReplayInput
    period_ns: int

    @property
    def rows(self) -> int:
        """Rows of one repetition, the closing ones included."""
        return len(self.columns["t"])

    def start(self, design: str, *, count_steps: bool) -> _core.Replay:
        """A new replay of this table under a design."""
        spec = parse_design(design)
        return _core.Replay(
            [spec.make() for _ in self.source.domains],
            [(domain.granule, domain.start) for domain in self.source.domains],
            possible=self.source.possible,
            online=self.source.online,
            count_steps=count_steps,
        )

    def move_on(self) -> None:
        """Move all times on by one period, in place."""
        self.columns["t"] += self.period_ns


def load_table(source: str) -> Table:
    """Read a sample, a trace file or a Parquet."""
    calls = prepare(load(resolve(source)).trace)
    wanted = calls.columns["op"] < FIRST_INSIDE_OP
    columns = {name: column[wanted] for name, column in calls.columns.items()}
    domains = len(calls.domains)
    last = int(columns["t"][-1])
    for name, column in columns.items():
        closing = np.zeros(domains, dtype=column.dtype)
        columns[name] = np.concatenate([column, closing])
    end = slice(-domains, None)
    columns["t"][end] = last
    columns["op"][end] = int(Op.DESTROY)
    columns["domain"][end] = np.arange(domains)
    period = last - int(columns["t"][0]) + 1
    return Table(columns, calls, period)
