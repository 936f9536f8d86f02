"""The ``.json`` beside a text trace: what the recorder knew of the machine.

It is as untrusted as the trace: its size is bounded, every value is looked at before it is used,
and what is not of the expected form counts as not there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 4 << 20
MAX_TEXT: Final = 4096
MAX_CPUS: Final = 8192

#: Suffixes that belong to the text and not to the trace's name.
_TEXT_SUFFIXES: Final = (".txt", ".log", ".trace", ".report", ".ftrace")

_LOSS = re.compile(r"\b(?:overrun|commit overrun|dropped events): (\d{1,18})\b")
_DEPOT_PROBE = re.compile(r"\bd([0-5])=\+(\d{1,6})\(")
_GROUP_TYPE = re.compile(r"\d+ (DMA-FQ|DMA) ")
_STRICT = re.compile(r"(?:^| )iommu\.strict=([01])(?: |$)")


@dataclass(frozen=True)
class Sidecar:
    """What a ``.json`` file says; None or 0 where it says nothing."""

    kernel: str | None = None
    cmdline: str | None = None
    clock: str | None = None
    cpus: int | None = None
    lost: int = 0
    mode: str | None = None  #: ``strict`` or ``lazy`` if all domains had it at the start
    stride: int | None = None  #: bytes between a domain's rcaches
    notes: tuple[str, ...] = ()


def path_beside(trace: str) -> Path | None:
    """The ``.json`` that belongs to a text trace, if there is one."""
    path = Path(trace)
    name = path.name.removesuffix(".zst")
    names = [name + ".json"]
    for suffix in _TEXT_SUFFIXES:
        if name.endswith(suffix):
            names.insert(0, name.removesuffix(suffix) + ".json")
    for candidate in (path.with_name(name) for name in names):
        if candidate.is_file():
            return candidate
    return None


def read_beside(trace: str) -> Sidecar:
    """Read the ``.json`` that belongs to a text trace; an empty one if there is none."""
    path = path_beside(trace)
    if path is None:
        return Sidecar()
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            return Sidecar(notes=(f"{path.name} is larger than {MAX_BYTES} bytes: not used",))
        values = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return Sidecar(notes=(f"{path.name} could not be read as JSON: not used",))
    if not isinstance(values, dict):
        return Sidecar(notes=(f"{path.name} is no JSON object: not used",))
    return _sidecar_of(values)


def _sidecar_of(values: dict[str, Any]) -> Sidecar:
    kernel = printable_text(values.get("kernel"))
    cpus = values.get("ncpus")
    cmdline = printable_text(values.get("cmdline"))
    return Sidecar(
        kernel=kernel.split()[0] if kernel and kernel.split() else None,
        cmdline=cmdline,
        clock=printable_text(values.get("trace_clock")),
        cpus=cpus if type(cpus) is int and 0 < cpus <= MAX_CPUS else None,
        lost=sum(losses(line) for line in _lines(values.get("per_cpu_stats"))),
        mode=_mode(_lines(values.get("iommu_groups")), cmdline),
        stride=_stride(_lines(values.get("dynamic_events"))),
    )


def printable_text(value: object) -> str | None:
    """A printable string of bounded length; None of anything else."""
    if not isinstance(value, str):
        return None
    return "".join(c for c in value[:MAX_TEXT] if c.isprintable()) or None


def _lines(value: object) -> list[str]:
    return [line for line in value if isinstance(line, str)] if isinstance(value, list) else []


def losses(line: str) -> int:
    """Events that a line of a ring buffer's statistics says were lost."""
    return sum(int(number) for number in _LOSS.findall(line))


def _mode(groups: list[str], cmdline: str | None) -> str | None:
    """The mode of every domain, if all groups have one type and the command line agrees."""
    types = {match[1] if match else None for match in map(_GROUP_TYPE.match, groups)}
    mode = {"DMA": "strict", "DMA-FQ": "lazy"}.get(types.pop() or "") if len(types) == 1 else None
    asked = _STRICT.search(cmdline or "")
    if asked and mode != ("strict" if asked[1] == "1" else "lazy"):
        return None
    return mode


def _stride(probes: list[str]) -> int | None:
    """The distance of the depot lengths that a probe of this name fetches."""
    for probe in probes:
        offsets = {int(order): int(offset) for order, offset in _DEPOT_PROBE.findall(probe)}
        if len(offsets) == 6:
            steps = {offsets[order + 1] - offsets[order] for order in range(5)}
            stride = steps.pop()
            return stride if not steps and stride > 0 else None
    return None
