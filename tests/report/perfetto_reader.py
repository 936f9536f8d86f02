"""A reader of Perfetto traces that shares nothing with the writer.

The messages are decoded by Perfetto's own definitions (the package ``perfetto``, on Google's
protobuf); how events become slices is done here as Perfetto's documentation says: by time, then by
place in the file, an end closing the innermost open slice of its track. Perfetto's trace processor
itself is a program that the package would fetch from the network, so it is not used.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

Event = pb.TrackEvent


@dataclass(frozen=True)
class Slice:
    """An instant has no end."""

    name: str
    track: str
    t: int
    t_end: int | None
    arguments: dict[str, Any]


@dataclass
class ReadTrace:
    """What a trace shows; every list in order of time."""

    tracks: dict[int, Any] = field(default_factory=dict)
    slices: list[Slice] = field(default_factory=list)
    instants: list[Slice] = field(default_factory=list)
    counters: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def parent_of(self, name: str) -> str:
        """Name of the track above the one of this name."""
        (track,) = (one for one in self.tracks.values() if one.name == name)
        parent: str = self.tracks[track.parent_uuid].name
        return parent


def read(path: Path) -> ReadTrace:
    """Read a file; every packet must be one that Perfetto knows, and every slice must end."""
    trace = pb.Trace()
    assert trace.ParseFromString(path.read_bytes()) == path.stat().st_size
    size = trace.ByteSize()
    trace.DiscardUnknownFields()
    assert trace.ByteSize() == size
    out, names, arguments, cleared = ReadTrace(), {}, {}, False
    counters: dict[str, list[tuple[int, float]]] = defaultdict(list)
    open_slices: dict[int, list[Slice]] = defaultdict(list)
    events = []
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            assert packet.track_descriptor.uuid not in out.tracks
            out.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            continue
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("interned_data"):
            assert packet.sequence_flags & packet.SEQ_INCREMENTAL_STATE_CLEARED
            cleared = True
            names = {one.iid: one.name for one in packet.interned_data.event_names}
            arguments = {one.iid: one.name for one in packet.interned_data.debug_annotation_names}
            continue
        assert cleared
        # A track is described in the file before its first event.
        assert packet.track_event.track_uuid in out.tracks
        events.append(packet)
    for packet in sorted(events, key=lambda one: one.timestamp):
        event, uuid = packet.track_event, packet.track_event.track_uuid
        track = out.tracks[uuid].name
        if event.type == Event.TYPE_COUNTER:
            assert out.tracks[uuid].HasField("counter")
            counters[track].append((packet.timestamp, event.double_counter_value))
            continue
        assert packet.sequence_flags & packet.SEQ_NEEDS_INCREMENTAL_STATE
        if event.type == Event.TYPE_SLICE_END:
            begun = open_slices[uuid].pop()
            out.slices.append(Slice(begun.name, track, begun.t, packet.timestamp, begun.arguments))
            continue
        told = {arguments[one.name_iid]: _value(one) for one in event.debug_annotations}
        one = Slice(names[event.name_iid], track, packet.timestamp, None, told)
        assert event.type in (Event.TYPE_SLICE_BEGIN, Event.TYPE_INSTANT)
        (open_slices[uuid] if event.type == Event.TYPE_SLICE_BEGIN else out.instants).append(one)
    assert not any(open_slices.values())
    out.counters = dict(counters)
    return out


def _value(annotation: Any) -> Any:
    return getattr(annotation, annotation.WhichOneof("value"))
