"""The calls of a Perfetto trace: slices and instants on the tracks of their CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova.events import Flag, Op, TraceInfo
from iova.report.perfetto_lanes import NO_LANE, Lanes
from iova.report.perfetto_tracks import (
    CALLS_TRACK,
    FIRST_CPU,
    PACKET,
    SEQUENCE,
    Event,
    Packet,
    Type,
    child_track,
    event_packet,
    root_track,
)
from iova.report.perfetto_wire import (
    Packets,
    Part,
    in_order,
    joined,
    message,
    number,
    packets,
    text,
)

_CLEARED: Final = 1  #: ``SEQ_INCREMENTAL_STATE_CLEARED``
_USES_NAMES: Final = 2  #: ``SEQ_NEEDS_INCREMENTAL_STATE``

#: ``InternedData``: names of events and of annotations; both messages are ``iid`` and ``name``.
_EVENT_NAMES: Final = 2
_ANNOTATION_NAMES: Final = 3

#: ``DebugAnnotation``: by interned name, and its values; a pointer is shown as hexadecimal.
_NAME_IID: Final = 1
_BOOL: Final = 2
_UINT: Final = 3
_POINTER: Final = 7

#: Columns shown beside a slice, where they are not null.
_SHOWN: Final = {
    "domain": ("domain", _UINT),
    "size": ("pages", _UINT),
    "limit": ("limit pfn", _POINTER),
    "pfn": ("pfn", _POINTER),
    "last": ("last pfn", _POINTER),
    "slot": ("slot", _UINT),
    "n": ("n", _UINT),
}

#: What ``n`` counts.
_N_IS: Final = {
    Op.CPU_OFFLINE: "which CPU",
    Op.CPU_ONLINE: "which CPU",
    Op.MAGAZINE_FREE: "entries",
    Op.RECLAIM: "depot length before",
}

_FLAG_NAMES: Final = {
    Flag.RAW: "past the caches",
    Flag.FLUSH_RETRY: "flush caches and retry",
    Flag.ONLY_IF_PREVIOUS_FAILED: "only if the previous failed",
    Flag.ALIGN: "aligned",
    Flag.REACHED_TREE: "reached the tree",
}

#: Interned names: an event's is its operation + 1; an allocation without a range has its own.
_FAILED: Final = 255
_ANNOTATIONS: Final = [
    *(name for name, _ in _SHOWN.values()),
    *_FLAG_NAMES.values(),
    *dict.fromkeys(_N_IS.values()),
]

_DESCRIPTION: Final = (
    "One track a CPU; more where calls overlap without nesting. A slice lasts from entry to return."
)

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Ends:
    """Ends of slices that are yet to be written."""

    t: Times
    track: npt.NDArray[np.uint64]


class CallPackets:
    """Makes the packets of a trace's rows, piece by piece.

    Attributes:
        slices: written so far.
        instants: written so far.
        crowded: of these, calls that overlapped too many others.
    """

    def __init__(self, title: str, info: TraceInfo) -> None:
        self.slices = self.instants = self.crowded = 0
        where = f" Recorded on Linux {info.kernel}." if info.kernel else ""
        self._root = root_track(CALLS_TRACK, title, _DESCRIPTION + where)
        self._lanes = Lanes()
        self._tracks: set[int] = set()
        self._open = _Ends(np.empty(0, np.int64), np.empty(0, np.uint64))

    def head(self) -> bytes:
        """What comes before all pieces: the root track and the names."""
        names: list[Part] = []
        events = {int(op) + 1: op.name.lower() for op in Op} | {_FAILED: "alloc, failed"}
        for field, table in (
            (_EVENT_NAMES, events),
            (_ANNOTATION_NAMES, dict(enumerate(_ANNOTATIONS, start=1))),
        ):
            for iid, name in table.items():
                names += message(field, number(1, iid) + text(2, name))
        packet = number(Packet.SEQUENCE, SEQUENCE) + number(Packet.SEQUENCE_FLAGS, _CLEARED)
        packet += message(Packet.INTERNED_DATA, names)
        return self._root + joined(message(PACKET, packet))

    def piece(self, events: pl.DataFrame) -> bytes:
        """The packets of the next rows: tracks that are new, then events in order of time."""
        t = events["t"].to_numpy()
        lane = self._lanes_of(events)
        drawn = lane >= 0
        track = (FIRST_CPU + (np.maximum(lane, 0) << 16) + events["cpu"].to_numpy()).astype(
            np.uint64
        )
        described = self._new_tracks(track)
        ends = events["t_end"].fill_null(0).to_numpy()
        return described + self._written(events, t, ends, track, drawn)

    def tail(self) -> bytes:
        """The ends of slices that are open after the last row."""
        order = np.argsort(self._open.t, kind="stable")
        return in_order([_end_packets(np.arange(len(order)), self._open, order)])

    def _lanes_of(self, events: pl.DataFrame) -> npt.NDArray[np.int64]:
        """The lane of each row's slice; negative: it is an instant."""
        lanes = np.full(events.height, NO_LANE, dtype=np.int64)
        ended = events["t_end"].is_not_null().to_numpy()
        calls = events.filter(ended)
        if calls.height:
            t, t_end = calls["t"].to_numpy(), calls["t_end"].to_numpy()
            lanes[ended] = self._lanes.assign(calls["cpu"].to_numpy().astype(np.int64), t, t_end)
        drawn = int((lanes >= 0).sum())
        self.slices += drawn
        self.instants += events.height - drawn
        self.crowded += calls.height - drawn
        return lanes

    def _new_tracks(self, track: npt.NDArray[np.uint64]) -> bytes:
        out = []
        for uuid in np.unique(track).tolist():
            if uuid not in self._tracks:
                self._tracks.add(uuid)
                lane, cpu = divmod(uuid - FIRST_CPU, 1 << 16)
                name = f"CPU {cpu}" + (f", overlapping {lane}" if lane else "")
                out.append(child_track(uuid, name, CALLS_TRACK, cpu << 8 | lane))
        return b"".join(out)

    def _written(
        self,
        events: pl.DataFrame,
        t: Times,
        ends: Times,
        track: npt.NDArray[np.uint64],
        drawn: npt.NDArray[np.bool_],
    ) -> bytes:
        begun = np.flatnonzero(drawn)
        short = ends[begun] == t[begun]
        rows = len(t)
        end_t = np.concatenate((self._open.t, ends[begun]))
        end_track = np.concatenate((self._open.track, track[begun]))
        # At one time: ends first, but that of a slice without length right after its begin.
        end_rank = np.concatenate((np.zeros(len(self._open.t), np.int64), short.astype(np.int64)))
        end_after = np.concatenate((np.zeros(len(self._open.t), np.int64), 2 * begun + 1))
        now = end_t <= t[-1]
        self._open = _Ends(end_t[~now], end_track[~now])
        closing = _Ends(end_t[now], end_track[now])
        order = np.lexsort((
            np.concatenate((2 * np.arange(rows), end_after[now])),
            np.concatenate((np.ones(rows, np.int64), end_rank[now])),
            np.concatenate((t, closing.t)),
        ))  # fmt: skip
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        begins = _begin_packets(events, place[:rows], track, drawn)
        return in_order([*begins, _end_packets(place[rows:], closing, np.arange(len(closing.t)))])


def _end_packets(
    place: npt.NDArray[np.int64], ends: _Ends, order: npt.NDArray[np.int64]
) -> Packets:
    timestamp = number(Packet.TIMESTAMP, ends.t[order].astype(np.uint64))
    event = number(Event.TYPE, Type.END) + number(Event.TRACK, ends.track[order])
    return packets(place, event_packet(timestamp, _USES_NAMES, event))


def _begin_packets(
    events: pl.DataFrame,
    place: npt.NDArray[np.int64],
    track: npt.NDArray[np.uint64],
    drawn: npt.NDArray[np.bool_],
) -> Iterator[Packets]:
    """Begins and instants, in groups of the same shape: operation, and what is not null."""
    columns = {name: events[name] for name in _SHOWN}
    known = {name: column.is_not_null().to_numpy() for name, column in columns.items()}
    op = events["op"].to_numpy().astype(np.int64)
    failed = (op == int(Op.ALLOC)) & drawn & ~known["pfn"]
    key = np.where(failed, _FAILED, op + 1) << 1 | drawn
    for name in _SHOWN:
        key = key << 1 | known[name]
    key = key << 8 | events["flags"].to_numpy()
    values = {name: column.fill_null(0).to_numpy() for name, column in columns.items()}
    t = events["t"].to_numpy().astype(np.uint64)
    for one in np.unique(key):
        rows = np.flatnonzero(key == one)
        first = int(rows[0])
        annotations: list[Part] = []
        for name, (shown, kind) in _SHOWN.items():
            if known[name][first]:
                told = _N_IS.get(Op(int(op[first])), shown) if name == "n" else shown
                annotations += _annotation(told, kind, values[name][rows].astype(np.uint64))
        for flag, shown in _FLAG_NAMES.items():
            if int(one) & flag:
                annotations += _annotation(shown, _BOOL, 1)
        event = (
            number(Event.TYPE, Type.BEGIN if drawn[first] else Type.INSTANT)
            + number(Event.TRACK, track[rows])
            + number(Event.NAME_IID, _FAILED if failed[first] else int(op[first]) + 1)
            + annotations
        )
        parts = event_packet(number(Packet.TIMESTAMP, t[rows]), _USES_NAMES, event)
        yield packets(place[rows], parts)


def _annotation(name: str, field: int, value: int | npt.NDArray[np.uint64]) -> list[Part]:
    iid = number(_NAME_IID, _ANNOTATIONS.index(name) + 1)
    return message(Event.ANNOTATIONS, iid + number(field, value))
