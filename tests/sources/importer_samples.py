"""What real tools printed (``tests/data/importers``), and a stand-in for one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import zstandard

SAMPLES: Final = Path(__file__).parent.parent / "data" / "importers"

FTRACE: Final = (
    "trace.txt",
    "trace-tgid.txt",
    "trace-lossy.txt",
    "trace_pipe-lossy.txt",
    "trace-cmd-report.txt",
    "trace-cmd-report-lossy.txt",
)
PERF: Final = ("perf-script.txt", "perf-script-chains.txt", "perf-script-lossy.txt")


def sample(name: str) -> Path:
    """Where a sample is, compressed."""
    return SAMPLES / f"{name}.zst"


def content(name: str) -> bytes:
    """A sample's bytes."""
    packed = zstandard.ZstdDecompressor().decompressobj()
    return packed.decompress(sample(name).read_bytes())


def trace_cmd_that(folder: Path, *does: str) -> Path:
    """A folder with a ``trace-cmd`` that runs these lines of shell; ``$*`` are its arguments."""
    tool = folder / "bin" / "trace-cmd"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text("\n".join(["#!/bin/sh", *does]) + "\n")
    tool.chmod(0o755)
    return tool.parent
