"""The head that ``perf script --header`` writes: lines of ``# name : value``."""

from __future__ import annotations

import re
from typing import Final

from iova.sources.sidecar import MAX_CPUS, Sidecar, printable_text

_VALUE: Final = re.compile(
    rb"^# (os release|nrcpus avail|clockid)\s*: ([^\n]{1,256})$", re.MULTILINE
)
_CLOCK: Final = re.compile(r"[a-z_]{1,32}")

#: Names that tracefs has for perf's clocks.
_CLOCKS: Final = {"monotonic": "mono", "monotonic_raw": "mono_raw", "boottime": "boot"}


def facts_of(head: bytes) -> Sidecar:
    """The kernel, CPUs and clock that the head names; untrusted like all of the text."""
    values = {name.decode(): value.decode(errors="replace") for name, value in _VALUE.findall(head)}
    cpus = values.get("nrcpus avail", "").strip()
    clock = _CLOCK.match(values.get("clockid", ""))
    return Sidecar(
        kernel=printable_text(values.get("os release", "").strip()),
        cpus=int(cpus) if cpus.isdecimal() and 0 < int(cpus[:6]) <= MAX_CPUS else None,
        clock=_CLOCKS.get(clock[0]) if clock else None,
    )
