"""When domains are tied to devices: an event a call costs time, so it is on only while it helps.

It is on until nothing new was seen for a while, and then for a part of the time. Domains that are
known are filtered out in the kernel, so that what is left to read is little.
"""

from __future__ import annotations

from typing import Final

from iova.sources.record.pages import Format, entries_of
from iova.sources.record.session import Session

#: Seconds without a new domain, of which some call was seen, after which it is on now and then.
_QUIET_S: Final = 10.0
_EVERY_S: Final = 5.0
_FOR_S: Final = 1.0
#: Bytes that a filter may have.
_MAX_FILTER: Final = 3000


class DeviceWatch:
    """Switches the event of a session on and off, by the clock and by what it saw."""

    def __init__(self, session: Session, layout: Format | None) -> None:
        self._session = session
        self._layout = layout
        self._known: set[int] = set()
        self._fits = True
        self._on = False
        self._newest_s = 0.0

    def saw(self, page: memoryview, seconds: float) -> None:
        """Take a page of the event; ``seconds`` since the recording began."""
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

    def turn(self, seconds: float) -> None:
        """Switch it on or off, as the time says."""
        waits = not self._known or seconds - self._newest_s < _QUIET_S
        wanted = waits or seconds % _EVERY_S < _FOR_S
        if wanted != self._on:
            self._session.watch_devices(wanted)
            self._on = wanted

    def end(self) -> None:
        """Switch it off."""
        self._session.watch_devices(False)

    def _filter(self) -> None:
        said = " && ".join(f"cookie != {domain:#x}" for domain in sorted(self._known))
        if self._fits and len(said) <= _MAX_FILTER:
            self._fits = self._session.filter_devices(said)
