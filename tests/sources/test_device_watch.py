"""When the event that ties domains to devices is on: by the clock, and by what calls tell."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest

from iova.sources.record.pages import Format
from iova.sources.record.session import Session
from iova.sources.record.watch import DeviceWatch

TO_IOVAD = 16
USE = Format(7, (("cookie", 8, 8), ("dev", 16, 4)))
CALL = Format(8, (("iovad", 8, 8),))


class Tracing:
    """A session that keeps what it was told."""

    name = "iova_1"
    layout = SimpleNamespace(cookie_to_iovad=TO_IOVAD)

    def __init__(self) -> None:
        self.on = False
        self.filter = ""

    def watch_devices(self, on: bool) -> None:
        self.on = on

    def filter_devices(self, wanted: str) -> bool:
        self.filter = wanted
        return True


def watch_of(tracing: Tracing) -> DeviceWatch:
    formats = {"iova_1/dev_use": USE, "iova_1/alloc_fast": CALL}
    return DeviceWatch(cast(Session, tracing), formats)


def page(*entries: bytes) -> memoryview:
    body = b"".join(struct.pack("<I", len(entry) // 4) + entry for entry in entries)
    return memoryview(struct.pack("<QQ", 1000, len(body)) + body)


def use_of(domain: int, device: bytes = b"0000:00:03.0\0\0\0\0") -> memoryview:
    return page(struct.pack("<HxxxxxxQI", 7, domain, 20 | len(device) << 16) + device)


def calls_of(*domains: int) -> memoryview:
    return page(*(struct.pack("<HxxxxxxQ", 8, domain + TO_IOVAD) for domain in domains))


@pytest.fixture
def tracing() -> Tracing:
    return Tracing()


@pytest.fixture
def watch(tracing: Tracing) -> DeviceWatch:
    """It knows one domain since second 0 and has been off since second 10."""
    made = watch_of(tracing)
    made.turn(0.0)
    made.saw(use_of(0x100), 0.0)
    made.turn(10.0)
    assert not tracing.on
    return made


def seconds_on(watch: DeviceWatch, tracing: Tracing, times: list[float]) -> list[float]:
    found = []
    for seconds in times:
        watch.turn(seconds)
        if tracing.on:
            found.append(seconds)
    return found


def test_it_is_on_until_a_domain_is_known_and_none_came_for_a_while(tracing: Tracing) -> None:
    watch = watch_of(tracing)
    watch.turn(60.0)
    assert tracing.on
    watch.saw(use_of(0x100), 60.0)
    watch.turn(69.9)
    assert tracing.on
    watch.turn(70.0)
    assert not tracing.on
    assert tracing.filter == "cookie != 0x100"


def test_it_is_on_for_a_part_of_the_time_afterwards(watch: DeviceWatch, tracing: Tracing) -> None:
    times = [10 + 0.5 * i for i in range(1, 31)]
    assert seconds_on(watch, tracing, times) == [14.0, 14.5, 19.0, 19.5, 24.0, 24.5]


def test_a_recorder_that_is_kept_waiting_skips_no_such_part(
    watch: DeviceWatch, tracing: Tracing
) -> None:
    """At these times a clock's seconds were never among the first of five."""
    assert seconds_on(watch, tracing, [12.0, 17.0, 22.0, 27.0, 32.0]) == [17.0, 27.0]


def test_a_call_of_a_domain_without_a_device_switches_it_on(
    watch: DeviceWatch, tracing: Tracing
) -> None:
    watch.called(0, calls_of(0x100, 0x200), 11.0)
    watch.turn(11.0)
    assert tracing.on
    watch.saw(use_of(0x200), 11.5)
    assert tracing.filter == "cookie != 0x100 && cookie != 0x200"
    watch.turn(21.5)
    assert not tracing.on
    watch.called(0, calls_of(0x100, 0x200), 22.0)
    watch.turn(22.0)
    assert not tracing.on


def test_only_a_page_a_second_of_each_cpu_is_looked_at(
    watch: DeviceWatch, tracing: Tracing
) -> None:
    watch.called(0, calls_of(0x100), 11.0)
    watch.called(0, calls_of(0x200), 11.5)
    watch.turn(11.5)
    assert not tracing.on
    watch.called(1, calls_of(0x200), 11.5)
    watch.turn(11.5)
    assert tracing.on


def test_a_domain_whose_device_can_not_be_told_does_not_keep_it_on(
    watch: DeviceWatch, tracing: Tracing
) -> None:
    on = 0
    for second in range(11, 111):
        watch.called(0, calls_of(0x200), float(second))
        watch.turn(float(second))
        on += tracing.on
    assert on < 40


def test_an_event_without_a_device_s_name_ties_nothing(tracing: Tracing) -> None:
    watch = watch_of(tracing)
    watch.saw(use_of(0x100, b"\0\0\0\0"), 0.0)
    watch.turn(60.0)
    assert tracing.on


def test_without_the_calls_layout_the_clock_alone_decides(tracing: Tracing) -> None:
    formats: dict[str, Any] = {"iova_1/dev_use": USE, "iova_1/alloc_fast": None}
    watch = DeviceWatch(cast(Session, tracing), formats)
    watch.turn(0.0)
    watch.saw(use_of(0x100), 0.0)
    watch.turn(10.0)
    watch.called(0, calls_of(0x200), 11.0)
    watch.turn(11.0)
    assert not tracing.on
