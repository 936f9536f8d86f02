"""Instructions of the hot paths, counted by callgrind, against the counts on record.

    python benchmarks/gate.py [--update]

A path that takes more than ``instructions.json`` allows fails the gate; one that takes less by as
much is told, so that the record is lowered. Counts hold for one compiler: with another one they
are shown and not judged. Without valgrind nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.build import Program, program

RECORD = Path(__file__).parent / "instructions.json"
OPERATIONS = {"inlined": 100_000, "called": 100_000, "tree": 40_000, "replay": 200_000}

_COLLECTED = re.compile(r"Collected : (\d+)")


def count(built: Program, path: str, operations: int) -> float:
    """Instructions an operation: an allocation, a free or an event."""
    options = [
        "--collect-atstart=no",
        "--toggle-collect=measured",
        "--callgrind-out-file=/dev/null",
    ]
    command = ["valgrind", "--tool=callgrind", *options, str(built.path), path, str(operations)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = _COLLECTED.search(done.stderr)
    if done.returncode != 0 or not found or int(found[1]) == 0:
        sys.exit(f"callgrind counted nothing for {path}:\n{done.stderr}")
    return int(found[1]) / operations


def compiler() -> str:
    """Name and major version of the C compiler."""
    told = subprocess.run(
        [os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    name = "clang" if "clang" in told else "gcc"
    version = re.search(r"(\d+)\.\d+", told)
    return f"{name} {version[1]}" if version else name


def judge(record: dict[str, Any], counted: dict[str, float]) -> list[str]:
    """Print each path; the names of those that take too many."""
    tolerance = record["tolerance"]
    exceeded = []
    for path, now in counted.items():
        expected = record["instructions"][path]
        told = "ok"
        if now > expected * (1 + tolerance):
            exceeded.append(path)
            told = "TOO MANY"
        elif now < expected * (1 - tolerance):
            told = "fewer: record it with --update"
        print(f"{path:<8} {now:>9.1f} instructions an operation, on record {expected:.1f}: {told}")
    return exceeded


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description="Gate on instruction counts.")
    parser.add_argument("--update", action="store_true", help="record what is counted")
    update = parser.parse_args().update
    if not shutil.which("valgrind"):
        print("gate: skipped, valgrind is not installed (Debian: valgrind)")
        return
    record = json.loads(RECORD.read_text())
    built = program("instructions", "instructions.c")
    counted = {path: count(built, path, n) for path, n in OPERATIONS.items()}
    if update:
        record["compiler"] = compiler()
        record["instructions"] = {path: round(n, 1) for path, n in counted.items()}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
    exceeded = judge(record, counted)
    if compiler() != record["compiler"]:
        print(f"gate: not judged, the record is of {record['compiler']}, this is {compiler()}")
    elif exceeded:
        sys.exit(f"gate: more instructions than on record: {', '.join(exceeded)}")


if __name__ == "__main__":
    main()
