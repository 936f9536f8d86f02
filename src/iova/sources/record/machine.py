"""What is known of a machine beside its events: CPUs, IOMMU groups, devices and their drivers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

SYS: Final = Path("/sys")
PROC: Final = Path("/proc")

#: A PCI device: domain, bus, device, function.
BDF: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

#: Lines of the kernel's trace that are looked through for births at boot.
MAX_BOOT_BYTES: Final = 256 << 20


def machine(*, redact: bool, sys: Path = SYS, proc: Path = PROC) -> dict[str, Any]:
    """The machine as it is now.

    Args:
        redact: leave out the host's name and the command line.
        sys: where sysfs is.
        proc: where procfs is.
    """
    named = os.uname()
    return {
        "kernel": named.release,
        "architecture": named.machine,
        "host": None if redact else named.nodename,
        "cmdline": None if redact else _text(proc / "cmdline"),
        "cpus_possible": count_cpus(_text(sys / "devices/system/cpu/possible")),
        "cpus_online": count_cpus(_text(sys / "devices/system/cpu/online")),
        "groups": groups(sys),
    }


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def count_cpus(listed: str) -> int | None:
    """CPUs of a list such as ``0-3,8``; None if it is none."""
    total = 0
    for part in listed.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if not match:
            return None
        total += int(match[2] or match[1]) - int(match[1]) + 1
    return total if total > 0 else None


def groups(sys: Path = SYS) -> list[dict[str, Any]]:
    """IOMMU groups: type (``DMA``, ``DMA-FQ``, ``identity``), devices, and who has a driver."""
    found = []
    folder = sys / "kernel/iommu_groups"
    if not folder.is_dir():
        return []
    for group in sorted(folder.iterdir(), key=lambda path: path.name.zfill(8)):
        devices = sorted(path.name for path in (group / "devices").glob("*"))
        driven = [name for name in devices if (group / "devices" / name / "driver").exists()]
        found.append({
            "type": _text(group / "type"),
            "devices": devices,
            "driven": driven,
            "reserved": _text(group / "reserved_regions").splitlines(),
        })  # fmt: skip
    return found


def boot_births(trace: Path) -> bytes:
    """The lines of the kernel's own trace that tell of domains' births; nothing is consumed."""
    kept = []
    size = 0
    try:
        with trace.open("rb") as lines:
            for line in lines:
                size += len(line)
                if size > MAX_BOOT_BYTES:
                    break
                if b" b_init: (" in line or b" b_resv: (" in line:
                    kept.append(line)
    except OSError:
        return b""
    return b"".join(kept)
