"""A session: our instance of tracefs with its probes, from start to removal.

    with Session(find_tracefs()) as session:
        session.start()
        ...  # Capture(session.instance) reads
        session.stop()

Nothing is recorded before start(): all events are switched on first, so that they begin at once.
On leaving, whatever the reason, instance and probes are removed.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from iova.closing import ClosedOnLeaving
from iova.sources.record.btf import BtfError, Types, read_types
from iova.sources.record.errors import RecordError
from iova.sources.record.kernel_text import (
    KernelMemory,
    Symbols,
    entry_offset,
    exit_candidates,
    read_symbols,
)
from iova.sources.record.probes import (
    Layout,
    Probe,
    as_breakpoint,
    as_fprobe,
    as_kprobe,
    device_probe,
    layout_of,
    probes_of,
    refuse_missing,
)
from iova.sources.record.tracefs import (
    Tracefs,
    clean_up,
    devices_instance,
    is_optimising,
    own_name,
    remove,
    switch_off_optimisation,
)

#: KiB of ring buffer for each CPU, by default.
BUFFER_KIB: Final = 8192
CLOCK: Final = "mono"
LEVELS: Final = ("calls", "maps")

#: The kernel's own events: what drivers unmap, and at level maps what they map.
_UNMAP: Final = "iommu/unmap"
_MAP: Final = "iommu/map"

_MISSING: Final = (errno.ENOENT, errno.EADDRNOTAVAIL)
#: A place within an instruction, or one where no probe may be.
_NO_PLACE: Final = (errno.EILSEQ, errno.EINVAL, errno.EADDRINUSE, errno.EFAULT)


@dataclass(frozen=True)
class CpuLoss:
    """What the kernel counted of one CPU's buffer."""

    cpu: int
    entries: int
    overrun: int
    commit_overrun: int
    dropped: int

    @property
    def lost(self) -> int:
        """Events that are missing."""
        return self.overrun + self.commit_overrun + self.dropped


class Session(ClosedOnLeaving):
    """Owns an instance and the probes; see the module.

    Args:
        tracefs: as :func:`~iova.sources.record.tracefs.find_tracefs` gives it.
        level: ``calls``, or ``maps``: no probes, the kernel's own map and unmap events alone.
        buffer_kib: KiB of ring buffer for each CPU.
        types: the kernel's types, where they are known already.

    Attributes:
        name: of the instance and of the group of events.
        instance: our instance.
        devices: the instance that ties domains to devices; None: that cannot be recorded.
        events: events that are on, as ``group/name``.
        layout: what BTF said.
        notes: what cannot be known on this kernel, in words.
    """

    def __init__(
        self,
        tracefs: Tracefs,
        *,
        level: str = "calls",
        buffer_kib: int = BUFFER_KIB,
        read_btf: Callable[[], Types | None] = read_types,
        memory: Callable[[], KernelMemory] = KernelMemory,
        symbols: Callable[[set[str]], Symbols] = read_symbols,
    ) -> None:
        self._tracefs = tracefs
        self._level = level
        self._buffer_kib = buffer_kib
        self._read_btf = read_btf
        self._open_memory = memory
        self._read_symbols = symbols
        self._misses_before: dict[str, int] = {}
        self.name = ""
        self.instance = tracefs
        self.devices: Tracefs | None = None
        self.events: list[str] = []
        self.layout = Layout()
        self.notes: list[str] = []

    def __enter__(self) -> Self:
        clean_up(self._tracefs)
        has_fprobes = "f[:" in self._readme() or "f[:[" in self._readme()
        breaks = self._level == "calls" and not has_fprobes
        turns_off = breaks and is_optimising(self._tracefs)
        self.name = own_name(self._tracefs.proc, turns_off)
        try:
            self._set_up(has_fprobes, turns_off)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Remove everything; harmless if that was done."""
        remove(self._tracefs, self.name)

    def start(self) -> None:
        """Begin to record."""
        self.instance.write("tracing_on", "1")

    def stop(self) -> None:
        """End recording; what is in the buffers stays there to be read."""
        self.instance.write("tracing_on", "0")

    def problem(self) -> str | None:
        """Whether somebody took tracing away from us, in words."""
        try:
            if self.instance.read("tracing_on").strip() != "1":
                return "somebody switched tracing off"
            for event in self.events:
                if self.instance.read(f"events/{event}/enable").strip() not in ("1", "1*"):
                    return f"somebody switched off the event {event}"
        except OSError as error:
            return f"tracing was taken away ({error.strerror})"
        return None

    def watch_devices(self, on: bool) -> None:
        """Switch the tie of domains to devices on or off; it costs an event a call."""
        if self.devices is not None:
            self.devices.write(f"events/{self.name}/dev_use/enable", "1" if on else "0")

    def filter_devices(self, wanted: str) -> bool:
        """Have it record only what this filter lets through; whether that could be said."""
        if self.devices is None:
            return False
        try:
            self.devices.write(f"events/{self.name}/dev_use/filter", wanted)
        except OSError:
            return False
        return True

    # ------------------------------------------------------------------------- counters

    def losses(self) -> list[CpuLoss]:
        """What each CPU's buffer lost so far."""
        found = []
        for folder in sorted((self.instance.root / "per_cpu").glob("cpu*")):
            text = (folder / "stats").read_text(errors="replace")
            counted = dict(re.findall(r"^([a-z ]+): (\d+)$", text, re.MULTILINE))
            found.append(
                CpuLoss(
                    cpu=int(folder.name[3:]),
                    entries=int(counted.get("entries", 0)),
                    overrun=int(counted.get("overrun", 0)),
                    commit_overrun=int(counted.get("commit overrun", 0)),
                    dropped=int(counted.get("dropped events", 0)),
                )
            )
        return sorted(found, key=lambda loss: loss.cpu)

    def misses(self) -> dict[str, int]:
        """By probe, calls that the kernel did not let it see since the set-up.

        The kernel counts them for kprobes, by the event's name alone. It tells none for fprobes.
        """
        before = self._misses_before
        return {
            name: count - before.get(name, 0)
            for name, count in self._counted_misses().items()
            if name in before
        }

    def _counted_misses(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        ours = {event.partition("/")[2] for event in self.events}
        try:
            lines = self._tracefs.read("kprobe_profile").splitlines()
        except OSError:
            return {}
        for line in lines:
            words = line.split()
            if len(words) == 3 and words[0] in ours and words[2].isdigit():
                counted[words[0]] = counted.get(words[0], 0) + int(words[2])
        return counted

    def formats(self) -> dict[str, str]:
        """The format of each event, by ``group/name``."""
        return {event: self.instance.read(f"events/{event}/format") for event in self._all_events()}

    def _all_events(self) -> list[str]:
        return self.events + ([f"{self.name}/dev_use"] if self.devices else [])

    # --------------------------------------------------------------------------- set-up

    def _readme(self) -> str:
        try:
            return self._tracefs.read("README")
        except OSError:
            return ""

    def _set_up(self, has_fprobes: bool, turns_off: bool) -> None:
        self.instance = self._make_instance(self.name, self._buffer_kib)
        if self._level == "calls":
            self._set_probes(has_fprobes, turns_off)
        self._switch_on(_UNMAP)
        if self._level == "maps":
            self._switch_on(_MAP)
            if len(self.events) < 2:
                raise RecordError(
                    "this kernel has no events iommu:map and iommu:unmap: it was built without"
                    " CONFIG_IOMMU_API or without event tracing."
                )
        self._misses_before = self._counted_misses()

    def _make_instance(self, name: str, kib: int) -> Tracefs:
        instance = self._tracefs.instance(name)
        try:
            instance.create()
            instance.write("tracing_on", "0")
            instance.write("trace_clock", CLOCK)
            instance.write("options/overwrite", "0")
            instance.write("buffer_size_kb", str(kib))
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise RecordError(
                    f"the kernel has no memory for buffers of {kib} KiB a CPU: give a smaller"
                    " --buffer-kib."
                ) from error
            raise RecordError(
                f"tracefs does not let us make an instance ({error.strerror}): run this as root"
                " of the machine, outside of containers."
            ) from error
        return instance

    def _switch_on(self, event: str) -> None:
        try:
            self.instance.write(f"events/{event}/enable", "1")
        except OSError as error:
            self.notes.append(f"the event {event} is not recorded: {error.strerror}")
        else:
            self.events.append(event)

    def _set_probes(self, has_fprobes: bool, turns_off: bool) -> None:
        try:
            self.layout = layout_of(self._read_btf())
        except BtfError as error:
            self.layout = layout_of(None)
            self.notes.append(f"the kernel's types (BTF) could not be read: {error}")
        self.notes += self.layout.unknown
        if turns_off:
            switch_off_optimisation(self._tracefs)
        probes = probes_of(self.layout)
        setter = self._fprobes if has_fprobes else self._breakpoints(probes)
        for probe in probes:
            if setter(probe):
                self._switch_on(f"{self.name}/{probe.name}")
        self._tie_to_devices(setter)

    def _tie_to_devices(self, setter: Callable[[Probe], bool]) -> None:
        probe = device_probe(self.layout)
        if probe is None or not setter(probe):
            self.notes.append("which device a domain belongs to is not known")
            return
        self.devices = self._make_instance(devices_instance(self.name), 256)
        self.devices.write("tracing_on", "1")

    def _define(self, definition: str) -> int:
        """Set a probe: 0, or what the kernel says against it."""
        try:
            self._tracefs.write("dynamic_events", definition + "\n")
        except OSError as error:
            if error.errno == errno.EPERM:
                raise RecordError(
                    "the kernel forbids probes: it is locked down, or we lack CAP_SYS_ADMIN."
                ) from error
            return error.errno or errno.EINVAL
        return 0

    def _set(self, probe: Probe, definition: str) -> bool:
        """Set a probe; if it cannot be, note it, or give up where it is needed."""
        refused = self._define(definition)
        if not refused:
            return True
        if probe.needed:
            raise refuse_missing(probe.function)
        what = "exit" if probe.at_return else "call"
        why = "has no such function" if refused in _MISSING else "takes no probe there"
        self.notes.append(f"each {what} of {probe.function} is not recorded: the kernel {why}")
        return False

    def _fprobes(self, probe: Probe) -> bool:
        return self._set(probe, as_fprobe(probe, self.name))

    def _breakpoints(self, probes: list[Probe]) -> Callable[[Probe], bool]:
        """What sets probes into functions, by the kernel's text; else at their starts."""
        names = {probe.function for probe in probes}
        extra = device_probe(self.layout)
        names |= {extra.function} if extra else set()
        try:
            symbols = self._read_symbols(names)
            memory = self._open_memory()
        except (OSError, ValueError):
            self._note_starts("its text (/proc/kcore) cannot be read")
            return lambda probe: self._set(probe, as_kprobe(probe, self.name))
        if not symbols.ranges:
            memory.close()
            self._note_starts("it hides where functions lie (kptr_restrict)")
            return lambda probe: self._set(probe, as_kprobe(probe, self.name))
        texts = {name: memory.read(*place) for name, place in symbols.ranges.items()}
        memory.close()

        def set_into(probe: Probe) -> bool:
            text = texts.get(probe.function)
            if text is None:
                return self._set(probe, as_kprobe(probe, self.name))
            if not probe.at_return:
                offset = entry_offset(text)
                if offset is None:
                    return self._set(probe, as_kprobe(probe, self.name))
                return self._set(probe, as_breakpoint(probe, self.name, offset))
            return self._set_exits(probe, symbols, texts)

        return set_into

    def _note_starts(self, why: str) -> None:
        self.notes.append(
            f"the kernel has no fprobe events and {why}: probes sit at the functions' starts,"
            " where calls in nested interrupts can be missed"
        )

    def _set_exits(self, probe: Probe, symbols: Symbols, texts: dict[str, bytes | None]) -> bool:
        """A probe at each exit, all of one name."""
        function = probe.function
        cold = {name: place for name, place in symbols.ranges.items()
                if name.startswith(function + ".cold")}  # fmt: skip
        parts = {function: symbols.ranges[function], **cold}
        own = list(parts.values())
        found = 0
        for part, (start, _) in parts.items():
            text = texts.get(part)
            for offset in exit_candidates(text or b"", start, own):
                refused = self._define(as_breakpoint(probe, self.name, offset, part))
                if refused and refused not in _NO_PLACE:
                    self.notes.append(f"an exit of {function} takes no probe")
                found += not refused
        if not found:
            return self._set(probe, as_kprobe(probe, self.name))
        return True
