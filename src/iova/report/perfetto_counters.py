"""The counters of a Perfetto trace: what a replay's samples say of the design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova.lab.replay import ReplayResult
from iova.report.perfetto_tracks import (
    COUNTERS_TRACK,
    FIRST_COUNTER,
    Event,
    Packet,
    Type,
    counter_track,
    event_packet,
    root_track,
)
from iova.report.perfetto_wire import Packets, doubles, in_order, number, packets

_DESCRIPTION: Final = (
    "What this depot design does with the calls of the trace, replayed at their times; of all"
    " domains together."
)


@dataclass(frozen=True)
class Counted:
    """The packets of all counters."""

    packets: bytes
    samples: int  #: moments


@dataclass(frozen=True)
class _Counter:
    name: str
    unit: str
    values: npt.NDArray[np.float64]  #: NaN: none at this moment


def counter_packets(result: ReplayResult, title: str) -> Counted:
    """Tracks and values of the counters of a replay that was sampled."""
    out = [root_track(COUNTERS_TRACK, title, _DESCRIPTION)]
    series = result.series
    if series is None:
        return Counted(b"".join(out), 0)
    counters = _counters(series)
    out += [
        counter_track(FIRST_COUNTER + rank, counter.name, counter.unit, rank)
        for rank, counter in enumerate(counters)
    ]
    times = series["t"].to_numpy()
    place, groups = 0, []
    for rank, counter in enumerate(counters):
        told = _told(counter.values)
        group = _packets(FIRST_COUNTER + rank, place, times[told], counter.values[told])
        groups.append(group)
        place += len(group.place)
    return Counted(b"".join([*out, in_order(groups)]), series.height)


def _counters(series: pl.DataFrame) -> list[_Counter]:
    def column(name: str) -> npt.NDArray[np.float64]:
        return series[name].cast(pl.Float64).to_numpy()

    depots = [name for name in series.columns if name.startswith("depot_")]
    return [
        _Counter("cached", "pages", column("cached_pages")),
        _Counter("live", "pages", column("live_pages")),
        _Counter("hit rate", "%", _hit_rate(series)),
        _Counter("reclaimed", "magazines", column("reclaimed")),
        *(
            _Counter(
                f"depot, {_pages(int(name.removeprefix('depot_')))}", "magazines", column(name)
            )
            for name in depots
        ),
    ]


def _told(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Places of the values to write: a counter keeps its value until the next."""
    known = np.flatnonzero(~np.isnan(values))
    changed = np.diff(values[known], prepend=np.nan) != 0
    changed[-1:] = True  # the track lasts as long as the trace
    told: npt.NDArray[np.int64] = known[changed]
    return told


def _pages(pages: int) -> str:
    return "1 page" if pages == 1 else f"{pages} pages"


def _hit_rate(series: pl.DataFrame) -> npt.NDArray[np.float64]:
    """Of the allocations since the sample before that got a range, those from magazines, in %."""
    served = pl.sum_horizontal("hits_loaded", "hits_previous", "hits_depot").cast(pl.Float64)
    rates = series.select(
        served.diff().fill_null(served).alias("hits"),
        pl.col("tree_allocations").cast(pl.Float64).alias("tree"),
    ).with_columns(pl.col("tree").diff().fill_null(pl.col("tree")))
    rate = 100 * pl.col("hits") / (pl.col("hits") + pl.col("tree"))  # 0 / 0 is NaN: no value
    return rates.select(rate).to_series().to_numpy()


def _packets(
    track: int, first: int, t: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> Packets:
    timestamp = number(Packet.TIMESTAMP, t.astype(np.uint64))
    event = number(Event.TYPE, Type.COUNTER) + number(Event.TRACK, track)
    parts = event_packet(timestamp, 0, event + doubles(Event.DOUBLE_COUNTER, values))
    return packets(first + np.arange(len(t)), parts)
