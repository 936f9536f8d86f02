"""One boot of a kernel in QEMU: a script runs in the guest, its files come back through a folder.

The guest sees the host's files read-only, at the host's paths, so the Python, the package and the
tools are the ones that the tests themselves use. Two folders are its own: `/mnt/share`, which the
host shares for reading and writing, and `/tmp`.

Devices, behind an emulated Intel IOMMU: two NVMe disks of zeroes, of which the second takes 300 ms
for a request; a SATA disk; a paravirtual disk, which takes a megabyte in one mapping; an e1000e
network card with a TFTP server behind it, which QEMU itself is. Their drivers are not loaded until
the script says ``load nvme`` (``ahci``, ``e1000e``, ...). `loads.sh` has work for them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from tests.e2e.initramfs import initramfs
from tests.e2e.kernels import Kernel

ROOT: Final = Path(__file__).parent.parent.parent
WORDS: Final = (
    "console=ttyS0 quiet panic=-1 rdinit=/init intel_iommu=on iommu=nopt mitigations=off"
    " no_timer_check tsc=reliable clocksource=tsc"
)
#: An emulated CPU of QEMU 7.2 now and then trips over the breakpoint with which another one patches
#: the kernel's code. A guest that dies so before its script began is booted again.
BOOTS: Final = 3
#: Lines of the console that are shown when a guest failed.
LAST_LINES: Final = 60

_SETUP: Final = """\
export PATH=@BIN@:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/tmp LANG=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1 COLUMNS=100
mount -t devpts devpts /dev/pts 2>/dev/null
load() {
	local module
	for module in $(for name; do cat /mnt/modules/$name; echo; done); do
		grep -q "^${module%.ko} " /proc/modules || /mnt/busybox insmod /mnt/modules/$module
	done
}
bus() { # DRIVER: addresses of its PCI devices
	ls /sys/bus/pci/drivers/$1 2>/dev/null | grep '^0000:'
}
network() {
	load e1000e
	local card
	for card in /sys/class/net/e*; do card=${card##*/}; done
	/mnt/busybox ifconfig $card 10.0.2.15 netmask 255.255.255.0 up
}
fetch() { # times: reads a file by TFTP
	local i
	for ((i = 0; i < $1; i++)); do
		/mnt/busybox tftp -g -r payload -l /dev/null 10.0.2.2
	done
}
cd /mnt/share
export -f load bus network fetch
: > /mnt/share/.begun
bash -e /mnt/share/.script
echo $? > /mnt/share/.status
"""


class GuestError(Exception):
    """A guest that did not do what it was asked: says the last lines of its console."""


@dataclass(frozen=True)
class Machine:
    """What is emulated."""

    cpus: int = 4
    memory_mib: int = 2048
    words: str = "iommu.strict=0"  #: more words for the kernel


def run(
    kernel: Kernel,
    script: str,
    share: Path,
    *,
    machine: Machine | None = None,
    timeout_s: float = 300,
    console: TextIO | None = None,
) -> str:
    """Boot, run the script (bash, with -e), power off.

    Args:
        kernel: which.
        script: its working folder is the share.
        share: of the host, read and written by the guest at `/mnt/share`.
        machine: CPUs, memory, kernel words.
        timeout_s: the guest is killed after so many seconds.
        console: gets the guest's output as it comes.

    Returns:
        The guest's console.

    Raises:
        GuestError: the script failed, the guest died, or the time was over.
    """
    chosen = machine or Machine()
    share.mkdir(parents=True, exist_ok=True)
    status, begun = share / ".status", share / ".begun"
    for left in (status, begun):
        left.unlink(missing_ok=True)
    (share / ".script").write_text(script)
    binaries = (
        f"{ROOT / '.venv' / 'bin'}"
        if (ROOT / ".venv").exists()
        else str(Path(sys.executable).parent)
    )
    (share / ".boot").write_text(_SETUP.replace("@BIN@", binaries))
    tftp = share / ".tftp"
    tftp.mkdir(exist_ok=True)
    (tftp / "payload").write_bytes(bytes(256 * 1024))
    command = _command(kernel, share, tftp, chosen)
    for _ in range(BOOTS):
        lines, late = _watch(command, timeout_s, console)
        if late or begun.exists():
            break
    text = "\n".join(lines)
    if late:
        raise _failed(kernel, f"did not end within {timeout_s:.0f} s", lines)
    if not status.exists():
        raise _failed(kernel, "died before the script's end", lines)
    if (code := int(status.read_text())) != 0:
        raise _failed(kernel, f"script ended with status {code}", lines)
    return text


def _failed(kernel: Kernel, what: str, lines: Sequence[str]) -> GuestError:
    last = "\n".join(lines[-LAST_LINES:])
    return GuestError(f"guest {kernel.release} {what}; its last lines:\n{last}")


def _command(kernel: Kernel, share: Path, tftp: Path, machine: Machine) -> list[str]:
    disk = "driver=null-co,read-zeroes=on,size=1073741824"
    return [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off",
        "-machine", "q35,kernel-irqchip=split", "-m", str(machine.memory_mib),
        "-smp", str(machine.cpus), "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
        "-device", "intel-iommu,intremap=on",
        "-kernel", str(kernel.image), "-initrd", str(initramfs(kernel)),
        "-append", f"{WORDS} rig.project={ROOT} {machine.words}",
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        "-fsdev", f"local,id=share,path={share},security_model=none",
        "-device", "virtio-9p-pci,fsdev=share,mount_tag=share",
        "-blockdev", f"{disk},node-name=fast",
        "-device", f"nvme,drive=fast,serial=fast,max_ioqpairs={machine.cpus}",
        "-blockdev", f"{disk},node-name=slow,latency-ns=300000000",
        "-device", f"nvme,drive=slow,serial=slow,max_ioqpairs={machine.cpus}",
        "-blockdev", f"{disk},node-name=sata",
        "-device", "ide-hd,drive=sata,bus=ide.0",
        "-blockdev", f"{disk},node-name=large",
        "-device", "virtio-blk-pci,drive=large,iommu_platform=on,ats=off,disable-legacy=on",
        "-netdev", f"user,id=net,restrict=on,tftp={tftp}",
        "-device", "e1000e,netdev=net,romfile=",
    ]  # fmt: skip


def _watch(command: list[str], timeout_s: float, console: TextIO | None) -> tuple[list[str], bool]:
    """Lines of the console, and whether the time was over."""
    process = subprocess.Popen(
        ["nice", "-n", "5", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout
    late = threading.Event()

    def kill() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout_s, kill)
    timer.start()
    lines: deque[str] = deque(maxlen=20_000)
    began = time.monotonic()
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            lines.append(line)
            if console:
                print(f"[{time.monotonic() - began:6.1f}] {line}", file=console, flush=True)
        process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
    return list(lines), late.is_set()
