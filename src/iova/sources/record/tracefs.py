"""tracefs: an instance of our own in it, and probes that are gone when it is.

The instance and the group of our events have the same name, which says whose they are: process,
its start time, and whether the optimisation of kprobes was switched off for it. So whoever
comes next can clean up after a recorder that was killed, and leaves alone one that is running.
"""

from __future__ import annotations

import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iova.sources.record.errors import RecordError

MOUNTS: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
PROC: Final = Path("/proc")
LOCKDOWN: Final = Path("/sys/kernel/security/lockdown")

_NAME: Final = re.compile(r"iova_(\d+)_(\d+)_(o?)")
_OPTIMISATION: Final = "sys/debug/kprobes-optimization"
#: Seconds to wait for readers of an instance to be gone.
_PATIENCE_S: Final = 3.0


@dataclass(frozen=True)
class Tracefs:
    """A mounted tracefs, and the /proc beside it."""

    root: Path
    proc: Path = PROC

    def read(self, name: str) -> str:
        """The text of a file."""
        return (self.root / name).read_text(errors="replace")

    def write(self, name: str, text: str) -> None:
        """Write a file with one call, without emptying it first: that would remove all probes."""
        write_file(self.root / name, text)

    def instance(self, name: str) -> Tracefs:
        """The instance of this name, which need not be there."""
        return Tracefs(self.root / "instances" / name, self.proc)

    def create(self) -> None:
        """Make this instance; the kernel fills it with files."""
        self.root.mkdir()

    def delete(self) -> None:
        """Remove this instance, and its files with it."""
        self.root.rmdir()


def write_file(file: Path, text: str) -> None:
    """Write text to a file of the kernel with one call."""
    opened = os.open(file, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(opened, text.encode())
    finally:
        os.close(opened)


def find_tracefs(mounts: tuple[Path, ...] = MOUNTS, lockdown: Path = LOCKDOWN) -> Tracefs:
    """Where tracefs is mounted.

    Raises:
        RecordError: it is not, or we may not use it.
    """
    for root in mounts:
        try:
            if (root / "dynamic_events").exists() and (root / "instances").is_dir():
                tracefs = Tracefs(root)
                _refuse_lockdown(lockdown)
                with (root / "dynamic_events").open("rb+", buffering=0):
                    return tracefs
        except PermissionError as error:
            raise _not_allowed(lockdown) from error
        except OSError:
            continue
    if os.geteuid() != 0:
        raise _not_allowed(lockdown)
    raise RecordError(
        "tracefs is not there, or has no dynamic events: mount it with `mount -t tracefs nodev"
        f" {mounts[0]}`; a kernel without CONFIG_FTRACE and CONFIG_KPROBE_EVENTS cannot be"
        " recorded."
    )


def _refuse_lockdown(lockdown: Path) -> None:
    try:
        locked = "[confidentiality]" in lockdown.read_text()
    except OSError:
        return
    if locked:
        raise _not_allowed(lockdown)


def _not_allowed(lockdown: Path) -> RecordError:
    try:
        locked = "[confidentiality]" in lockdown.read_text()
    except OSError:
        locked = False
    if locked:
        return RecordError(
            "the kernel is locked down (confidentiality), which forbids probes: boot it without"
            " lockdown=confidentiality to record."
        )
    return RecordError("recording needs root, to use tracefs: run it with sudo.")


# --------------------------------------------------------------------------- whose is it


def own_name(proc: Path, turns_off_optimisation: bool) -> str:
    """The name of this process's instance."""
    pid = os.getpid()
    return f"iova_{pid}_{_start_of(proc, pid)}_{'o' if turns_off_optimisation else ''}"


def _start_of(proc: Path, pid: int) -> int | None:
    """When a process started, in the kernel's ticks; None if there is none."""
    try:
        status = (proc / str(pid) / "stat").read_text(errors="replace")
        return int(status.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def left_behind(tracefs: Tracefs) -> tuple[list[str], list[str]]:
    """Names of recorders: of those that are gone, and of those that run."""
    names = {path.name for path in (tracefs.root / "instances").iterdir()}
    names |= set(re.findall(r":(iova_\d+_\d+_o?)/", tracefs.read("dynamic_events")))
    gone: set[str] = set()
    running: set[str] = set()
    for name in names:
        match = _NAME.match(name)
        if match:
            lives = _start_of(tracefs.proc, int(match[1])) == int(match[2])
            (running if lives else gone).add(match[0])
    return sorted(gone), sorted(running)


def clean_up(tracefs: Tracefs) -> list[str]:
    """Remove what recorders left behind that are gone; their names.

    Raises:
        RecordError: something could not be removed.
    """
    gone, _ = left_behind(tracefs)
    for name in gone:
        remove(tracefs, name)
    return gone


# ------------------------------------------------------------------------------- removing


def remove(tracefs: Tracefs, name: str) -> None:
    """Remove the instances and the probes of this name, and switch kprobes' optimisation back on.

    Raises:
        RecordError: something could not be removed; all else was.
    """
    problems = []
    for instance in (name, devices_instance(name)):
        problem = _remove_instance(tracefs, instance)
        if problem:
            problems.append(problem)
    for event in _events_of(tracefs, name):
        try:
            tracefs.write("dynamic_events", f"-:{name}/{event}\n")
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"probe {name}/{event}: {error.strerror}")
    if name.endswith("_o"):
        restore_optimisation(tracefs)
    if problems:
        raise RecordError(
            f"what was set up in tracefs could not be removed ({'; '.join(problems)}): end what"
            " uses it, then run `iova record --clean`."
        )


def devices_instance(name: str) -> str:
    """The name of the second instance, which ties domains to devices."""
    return f"{name}d"


def _events_of(tracefs: Tracefs, group: str) -> list[str]:
    try:
        lines = tracefs.read("dynamic_events")
    except OSError:
        return []
    return sorted(set(re.findall(rf"^\S+:{group}/(\w+)", lines, re.MULTILINE)))


def _remove_instance(tracefs: Tracefs, name: str) -> str | None:
    instance = tracefs.instance(name)
    if not instance.root.is_dir():
        return None
    for file, value in (("tracing_on", "0"), ("events/enable", "0")):
        try:
            instance.write(file, value)
        except OSError:
            continue
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            instance.delete()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                return f"instance {name}: {error.strerror}"
            time.sleep(0.05)
        else:
            return None


# --------------------------------------------------------------------------- optimisation


def switch_off_optimisation(tracefs: Tracefs) -> None:
    """Have kprobes stay breakpoints: an optimised one loses hits in nested interrupts."""
    _write_optimisation(tracefs, "0")


def is_optimising(tracefs: Tracefs) -> bool:
    """Whether the kernel turns kprobes into jumps."""
    try:
        return (tracefs.proc / _OPTIMISATION).read_text().strip() == "1"
    except OSError:
        return False


def restore_optimisation(tracefs: Tracefs) -> None:
    """Switch it back on, unless another recorder that runs needs it off."""
    if not any(name.endswith("_o") for name in left_behind(tracefs)[1]
               if name != own_name(tracefs.proc, True)):  # fmt: skip
        _write_optimisation(tracefs, "1")


def _write_optimisation(tracefs: Tracefs, value: str) -> None:
    try:
        (tracefs.proc / _OPTIMISATION).write_text(value)
    except OSError:
        return
