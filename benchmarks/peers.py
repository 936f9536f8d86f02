"""The allocators that ours is measured beside: installing them, or saying what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from ctypes.util import find_library
from importlib.util import find_spec

from benchmarks.build import ROOT, dpdk_flags

REQUIREMENTS = ROOT / "requirements" / "bench.txt"

_HEAPS = {
    "libjemalloc-dev": "jemalloc",
    "libmimalloc-dev": "mimalloc",
    "libgoogle-perftools-dev": "tcmalloc_minimal",
}
_MODULES = {"tlsfallocator": "TLSFAllocator", "tinygrad": "tinygrad"}


def install_debian() -> tuple[str, ...]:
    """Install the C peers' packages where this user may; a note for each that is missing."""
    if _missing_packages() and _may_install():
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        packages = _missing_packages()
        subprocess.run(
            [*command, *packages], env=environment, stdout=subprocess.DEVNULL, check=False
        )
    return tuple(f"{package} is not installed: without its rows" for package in _missing_packages())


def install_python() -> tuple[str, ...]:
    """Install the Python peers into this environment; a note for each that is missing."""
    if _missing_modules() and sys.prefix != sys.base_prefix:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    return tuple(f"{name} is not installed: without its rows" for name in _missing_modules())


def _missing_packages() -> list[str]:
    missing = [package for package, library in _HEAPS.items() if not find_library(library)]
    return missing if dpdk_flags() else ["libdpdk-dev", *missing]


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _missing_modules() -> list[str]:
    return [name for name, module in _MODULES.items() if find_spec(module) is None]
