"""How long the reclaim of Linux 6.12 takes to give surplus magazines back: a replay."""

from __future__ import annotations

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


def seconds_to_drain(surplus: int, classes: int) -> float:
    """Until so many magazines above the threshold, over so many size classes, are given back.

    All ranges are allocated, and freed on one CPU at once; then nothing happens but reclaim, until
    an hour is over.
    """
    magazines = surplus // classes + CPUS + _ON_THE_CPU
    pages = np.repeat(1 << np.arange(classes, dtype=np.uint64), magazines * _CAPACITY)
    slots = np.arange(len(pages), dtype=np.uint32)
    calls = pl.concat([_rows(Op.ALLOC, pages, slots), _rows(Op.FREE, pages, slots), _end()])
    trace = Trace(calls, TraceInfo(source="drain", cpus_possible=CPUS, cpus_online=CPUS))
    result = replay(prepare(trace), parse_design("linux-6.12"), samples=36_000)
    if result.series is None:
        raise ValueError("the replay has no time series")
    depots = result.series.select(
        pl.col("t"), pl.max_horizontal(pl.col(f"depot_{1 << k}") for k in range(classes)).alias("n")
    )
    # All times are 0 but the last; the first sample is from before the calls.
    drained = depots.filter((pl.col("t") > 1_000_000_000) & (pl.col("n") <= CPUS))["t"].min()
    if not isinstance(drained, int):
        raise ValueError(f"{surplus} magazines are not drained in an hour")
    return drained / 1e9


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
