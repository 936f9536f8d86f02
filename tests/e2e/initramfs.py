"""The file system that a guest starts from: busybox, modules, the way to the host's files."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.e2e.kernels import BUILD, Kernel, busybox

#: Inserted before the script runs: enough to reach the host's files.
_EARLY: Final = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
#: Left to the script, by `load NAME...`: drivers whose domains are to be born while it watches.
LATE: Final = ("nvme", "ahci", "sd_mod", "virtio_blk", "e1000e", "vfio_pci", "null_blk")

_INIT: Final = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tracefs trace /sys/kernel/tracing 2>/dev/null
export PATH=/bin
busybox --install -s /bin
echo 1 > /proc/sys/kernel/panic
for module in $(cat /modules/early); do insmod /modules/$module || echo "no $module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=262144,ro host /root || poweroff -f
mount -t proc proc /root/proc
mount --bind /sys /root/sys
mount --bind /sys/kernel/tracing /root/sys/kernel/tracing
mount --bind /dev /root/dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs run /root/run
project=$(sed -n 's/.*rig.project=\([^ ]*\).*/\1/p' /proc/cmdline)
mkdir -p /project
mount --bind /root$project /project
mount -t tmpfs var /root/tmp
case $project in /tmp/*) mkdir -p /root$project; mount --bind /project /root$project ;; esac
mount -t tmpfs mnt /root/mnt
mkdir -p /root/mnt/share /root/mnt/modules
P=trans=virtio,version=9p2000.L
mount -t 9p -o $P,cache=none,msize=262144 share /root/mnt/share || poweroff -f
cp /modules/* /root/mnt/modules
cp /bin/busybox /root/mnt/busybox
chroot /root /bin/bash /mnt/share/.boot
sync
poweroff -f
"""


def initramfs(kernel: Kernel) -> Path:
    """The compressed archive for a kernel; made once and kept."""
    path = BUILD / f"initramfs-{kernel.release}.gz"
    stamp = Path(__file__).stat().st_mtime
    if path.exists() and path.stat().st_mtime >= stamp:
        return path
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bin").mkdir()
        (root / "modules").mkdir()
        shutil.copy(busybox(), root / "bin" / "busybox")
        (root / "init").write_text(_INIT)
        (root / "init").chmod(0o755)
        early = kernel.module_files(_EARLY)
        for name, data in early + kernel.module_files(LATE):
            (root / "modules" / name).write_bytes(data)
        (root / "modules" / "early").write_text("\n".join(name for name, _ in early))
        seen = {name for name, _ in early}
        for late in LATE:
            files = [name for name, _ in kernel.module_files([late])]
            (root / "modules" / late).write_text("\n".join(n for n in files if n not in seen))
        _pack(root, path)
    return path


def _pack(root: Path, path: Path) -> None:
    names = "\0".join(sorted(str(p.relative_to(root)) for p in root.rglob("*"))) + "\0"
    packed = subprocess.run(
        ["cpio", "--null", "--create", "--format=newc", "--quiet", "--owner=0:0"],
        cwd=root,
        input=names.encode(),
        capture_output=True,
        check=True,
    ).stdout
    temporary = path.with_suffix(".new")
    temporary.write_bytes(gzip.compress(packed, 1))
    temporary.replace(path)
