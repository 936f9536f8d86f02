"""Building and running the C programs, with the flags of a release build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "benchmarks"
FLAGS = ("-std=gnu17", "-O3", "-DNDEBUG", "-Wall", "-Wextra")
INCLUDES = tuple(f"-I{ROOT / folder}" for folder in ("core", "core/include", "benchmarks/c"))


@dataclass(frozen=True)
class Program:
    """A built program."""

    path: Path

    def run(
        self, *arguments: object, environment: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Run it, with ``environment`` beside ours; the figures it printed, one a line."""
        command = [str(self.path), *map(str, arguments)]
        everything = {**os.environ, **(environment or {})}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=everything
        )
        return [json.loads(line) for line in done.stdout.splitlines()]


def _cc(*arguments: object) -> None:
    subprocess.run([os.environ.get("CC", "cc"), *map(str, arguments)], check=True)


def _core_sources() -> list[Path]:
    return sorted((ROOT / "core").rglob("*.c"))


def shared_library(*, rseq: bool = True) -> Path:
    """The core as a shared library, as programs outside the project link it.

    Without ``rseq`` it is built with locks alone (``-Drseq=false``).
    """
    OUT.mkdir(parents=True, exist_ok=True)
    library = OUT / ("libiova.so" if rseq else "libiova-locks.so")
    hidden = ("-fPIC", "-fvisibility=hidden", "-shared", *(() if rseq else ("-DIOVA_NO_RSEQ",)))
    _cc(*FLAGS, *hidden, *INCLUDES, *_core_sources(), "-o", library)
    return library


def program(name: str, *sources: str, extra: tuple[str, ...] = (), core: bool = True) -> Program:
    """Build ``name`` of its own sources in ``c/``, and of the core, linked statically.

    Without ``core`` it sees the public header alone, and loads the library itself.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    own = [ROOT / "benchmarks" / "c" / source for source in sources]
    if core:
        own += _core_sources()
    _cc(*FLAGS, *INCLUDES, *own, "-o", OUT / name, "-ldl", *extra)
    return Program(OUT / name)


def dpdk_flags() -> tuple[str, ...] | None:
    """What to build with DPDK takes; None where it is not installed."""
    if not shutil.which("pkg-config"):
        return None
    query = ["pkg-config", "--cflags", "--libs", "libdpdk"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return tuple(found.stdout.split()) if found.returncode == 0 else None
