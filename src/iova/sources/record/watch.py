"""When domains are tied to devices: an event a call costs time, so it is on only while it helps.

It is on until nothing new was seen for a while. Then a look at some calls switches it on again
where they are of a domain without a device, and it is on for a part of the time besides. Domains
that are known are filtered out in the kernel, so that what is left to read is little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from iova.sources.record.pages import Format, entries_of
from iova.sources.record.session import Session

#: Seconds without a new domain, of which some call was seen, after which it is on now and then.
_QUIET_S: Final = 10.0
_OFF_S: Final = 4.0
_ON_S: Final = 1.0
#: Seconds between two pages of calls of one CPU that are looked at.
_LOOK_S: Final = 1.0
#: A domain whose calls switch it on so often has no device that could be told.
_MOST_TRIES: Final = 5
#: Bytes that a filter may have.
_MAX_FILTER: Final = 3000


class DeviceWatch:
    """Switches the event of a session on and off, by the clock and by what it saw.

    Times are seconds since the recording began.
    """

    def __init__(self, session: Session, formats: Mapping[str, Format | None]) -> None:
        self._session = session
        self._layout = formats.get(f"{session.name}/dev_use")
        self._call = formats.get(f"{session.name}/alloc_fast")
        self._known: set[int] = set()
        self._fits = True
        self._on = False
        self._since_s = 0.0
        self._newest_s = 0.0
        self._wanted_until_s = 0.0
        self._tries: Counter[int] = Counter()
        self._looks_again_s: dict[int, float] = {}

    def saw(self, page: memoryview, seconds: float) -> None:
        """Take a page of the event."""
        if self._layout is None:
            return
        new = set()
        for _, entry in entries_of(bytes(page)):
            domain = self._layout.value("cookie", entry)
            if domain and self._layout.text("dev", entry):
                new.add(domain)
        if new - self._known:
            self._known |= new
            self._newest_s = seconds
            self._filter()

    def called(self, cpu: int, page: memoryview, seconds: float) -> None:
        """Take a page of a CPU's calls; most are passed over."""
        to_iovad = self._session.layout.cookie_to_iovad
        if self._call is None or to_iovad is None or self._on:
            return
        if seconds < self._looks_again_s.get(cpu, 0.0):
            return
        self._looks_again_s[cpu] = seconds + _LOOK_S
        calls = (entry for _, entry in entries_of(bytes(page))
                 if int.from_bytes(entry[:2], "little") == self._call.number)  # fmt: skip
        domains = {(self._call.value("iovad", entry) or 0) - to_iovad for entry in calls}
        for domain in domains - self._known:
            if self._tries[domain] < _MOST_TRIES:
                self._tries[domain] += 1
                self._wanted_until_s = seconds + _ON_S

    def turn(self, seconds: float) -> None:
        """Switch it on or off, as the time says."""
        if not self._known or seconds - self._newest_s < _QUIET_S or seconds < self._wanted_until_s:
            wanted = True
        else:  # measured from the last turn: a recorder that is kept waiting skips none
            lasts = _ON_S if self._on else _OFF_S
            wanted = self._on is (seconds - self._since_s < lasts)
        if wanted != self._on:
            self._session.watch_devices(wanted)
            self._on, self._since_s = wanted, seconds

    def end(self) -> None:
        """Switch it off."""
        self._session.watch_devices(False)

    def _filter(self) -> None:
        said = " && ".join(f"cookie != {domain:#x}" for domain in sorted(self._known))
        if self._fits and len(said) <= _MAX_FILTER:
            self._fits = self._session.filter_devices(said)
