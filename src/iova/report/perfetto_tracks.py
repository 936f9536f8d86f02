"""What both halves of a Perfetto trace share: sequences, tracks, and the numbers of the fields."""

from __future__ import annotations

import enum
from typing import Final

from iova.report.perfetto_wire import Part, joined, message, number, text

#: Field of ``Trace``.
PACKET: Final = 1

#: Packets of one writer; names are interned per sequence.
SEQUENCE: Final = 1


class Packet(enum.IntEnum):
    """Fields of ``TracePacket``."""

    TIMESTAMP = 8
    SEQUENCE = 10
    TRACK_EVENT = 11
    INTERNED_DATA = 12
    SEQUENCE_FLAGS = 13
    TRACK_DESCRIPTOR = 60


class Event(enum.IntEnum):
    """Fields of ``TrackEvent``."""

    ANNOTATIONS = 4
    TYPE = 9
    NAME_IID = 10
    TRACK = 11
    COUNTER = 30
    DOUBLE_COUNTER = 44


class Type(enum.IntEnum):
    """``TrackEvent.Type``."""

    BEGIN = 1
    END = 2
    INSTANT = 3
    COUNTER = 4


class Track(enum.IntEnum):
    """Fields of ``TrackDescriptor``."""

    UUID = 1
    NAME = 2
    PARENT = 5
    COUNTER = 8
    CHILD_ORDERING = 11
    RANK = 12
    DESCRIPTION = 14


#: ``CounterDescriptor.unit_name``
_UNIT_NAME: Final = 6
#: ``TrackDescriptor.ChildTracksOrdering.EXPLICIT``
_BY_RANK: Final = 3

#: Roots: the CPUs' tracks are below one, the counters below the other.
CALLS_TRACK: Final = 1
COUNTERS_TRACK: Final = 2
#: Counters are numbered from here.
FIRST_COUNTER: Final = 16
#: Tracks of CPUs: this + lane * 2^16 + CPU.
FIRST_CPU: Final = 1 << 32


def root_track(uuid: int, name: str, description: str) -> bytes:
    """Describe a track that only groups others."""
    told = number(Track.CHILD_ORDERING, _BY_RANK) + text(Track.DESCRIPTION, description)
    return _described(uuid, name, told)


def child_track(uuid: int, name: str, parent: int, rank: int) -> bytes:
    """Describe a track of slices; those of lower rank stand above."""
    return _described(uuid, name, number(Track.PARENT, parent) + number(Track.RANK, rank))


def counter_track(uuid: int, name: str, unit: str, rank: int) -> bytes:
    """Describe a track of a counter."""
    told = number(Track.PARENT, COUNTERS_TRACK) + number(Track.RANK, rank)
    return _described(uuid, name, told + message(Track.COUNTER, text(_UNIT_NAME, unit)))


def _described(uuid: int, name: str, more: list[Part]) -> bytes:
    track = number(Track.UUID, uuid) + text(Track.NAME, name) + more
    return joined(message(PACKET, message(Packet.TRACK_DESCRIPTOR, track)))


def event_packet(timestamp: list[Part], flags: int, event: list[Part]) -> list[Part]:
    """The parts of packets with an event each."""
    head = number(Packet.SEQUENCE, SEQUENCE) + number(Packet.SEQUENCE_FLAGS, flags)
    return message(PACKET, timestamp + head + message(Packet.TRACK_EVENT, event))
