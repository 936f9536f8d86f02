"""How long the reclaim of Linux 6.12 takes to give surplus magazines back: a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova.designs import parse_design
from iova.events import SCHEMA, Op, Trace, TraceInfo
from iova.lab.replay import prepare, replay

CPUS: Final = 16
_CAPACITY: Final = 127
#: Two magazines stay on the CPU that frees.
_ON_THE_CPU: Final = 2


@dataclass(frozen=True)
class Idle:
    """All ranges are freed on one CPU at once; then, for an hour, nothing happens but reclaim."""

    surplus: int  #: magazines above the threshold of linux-6.12, over all size classes
    classes: int = 1
    design: str = "linux-6.12"

    def do(self) -> Drained:
        """Replay it."""
        magazines = self.surplus // self.classes + CPUS + _ON_THE_CPU
        pages = np.repeat(1 << np.arange(self.classes, dtype=np.uint64), magazines * _CAPACITY)
        slots = np.arange(len(pages), dtype=np.uint32)
        calls = pl.concat([_rows(Op.ALLOC, pages, slots), _rows(Op.FREE, pages, slots), _end()])
        trace = Trace(calls, TraceInfo(source="drain", cpus_possible=CPUS, cpus_online=CPUS))
        result = replay(prepare(trace), parse_design(self.design), samples=36_000)
        if result.series is None:
            raise ValueError("the replay has no time series")
        longest = pl.max_horizontal(pl.col(f"depot_{1 << k}") for k in range(self.classes))
        # All times are 0 but the last; the first sample is from before the calls.
        seen = result.series.select(t_s=pl.col("t") / 1e9, depot=longest)[1:]
        # What the depot still was just before it changed is needed to draw it.
        changes = seen.filter(
            (pl.col("depot") != pl.col("depot").shift(1, fill_value=-1))
            | (pl.col("depot") != pl.col("depot").shift(-1, fill_value=-1))
        )
        return Drained(tuple(changes["t_s"]), tuple(changes["depot"]))


@dataclass(frozen=True)
class Drained:
    """The longest depot over time, where it changes: before and after."""

    times_s: tuple[float, ...]
    depot: tuple[int, ...]  #: magazines

    def seconds(self, threshold: int = CPUS) -> float:
        """Until no depot is longer than the threshold."""
        for t_s, depot in zip(self.times_s, self.depot, strict=True):
            if depot <= threshold:
                return t_s
        raise ValueError(f"{self.depot[-1]} magazines are left after an hour")


def seconds_to_drain(surplus: int, classes: int) -> float:
    """Until so many magazines above the threshold, over so many size classes, are given back."""
    return Idle(surplus, classes).do().seconds()


def _rows(op: Op, pages: npt.NDArray[np.uint64], slots: npt.NDArray[np.uint32]) -> pl.DataFrame:
    return _frame({"op": int(op), "limit": 0xF_FFFF_FFFF, "t": 0}, pages, slots)


def _end() -> pl.DataFrame:
    one = np.ones(1, dtype=np.uint64)
    hour = 3_600_000_000_000
    return _frame({"op": int(Op.FLUSH_CACHES), "limit": 0, "t": hour}, one, one.astype(np.uint32))


def _frame(
    constants: dict[str, Any], pages: npt.NDArray[np.uint64], slots: npt.NDArray[np.uint32]
) -> pl.DataFrame:
    given = {"size": pl.Series(pages), "slot": pl.Series(slots)}
    columns = []
    for name, kind in SCHEMA.items():
        if name in given:
            columns.append(given[name].cast(kind).alias(name))
        else:
            value = constants.get(name, None if name in ("t_end", "depot", "pfn", "last") else 0)
            columns.append(pl.repeat(value, len(pages), dtype=kind, eager=True).alias(name))
    return pl.DataFrame(columns)
