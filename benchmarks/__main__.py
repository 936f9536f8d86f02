"""``python -m benchmarks [NAME…]``: measure and print; see README.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    cache,
    calibrate,
    findings,
    live,
    live_holds,
    live_memory,
    live_python,
    machine,
    model_threads,
    replay,
    stream,
    tree,
)
from benchmarks.figures import Report, table
from benchmarks.performance import DOCUMENT, write_section

Measure = Callable[[int, bool], Report]


BENCHMARKS: dict[str, tuple[Measure, Sequence[str]]] = {
    "cache": (cache.measure, cache.PEERS),
    "tree": (tree.measure, tree.PEERS),
    "replay": (replay.measure, replay.PEERS),
    "live": (live.measure, live.PEERS),
    "live-python": (live_python.measure, live_python.PEERS),
    "live-memory": (live_memory.measure, live_memory.PEERS),
    "live-holds": (live_holds.measure, live_holds.PEERS),
    "machine": (machine.measure, machine.PEERS),
    "model-threads": (model_threads.measure, model_threads.PEERS),
}
#: Where the tables of a benchmark stand, if not in the page on performance.
DOCUMENTS = {"model-threads": findings.DOCUMENT}
SCAN = Path(__file__).parent / "scan.py"
#: What has options of its own: the first word of the command line.
COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "calibrate": calibrate.main,
    "findings": findings.main,
    "stream": stream.main,
}


def main() -> None:
    """Measure what was named, or everything."""
    if len(sys.argv) > 1 and sys.argv[1] in COMMANDS:
        COMMANDS[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [*BENCHMARKS, "scan"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names) + "; all")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (15)")
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown or arguments.rounds < 1:
        parser.error(f"no such benchmark: {', '.join(unknown)}" if unknown else "no rounds")
    reports: list[Report] = []
    for name in arguments.names or names:
        if name == "scan":
            subprocess.run([sys.executable, str(SCAN)], check=True)
            continue
        measure, peers = BENCHMARKS[name]
        reports.append(measure(arguments.rounds, arguments.quick))
        print(table(reports[-1], peers), end="\n\n", flush=True)
        if arguments.write:
            write_section(name, reports[-1], peers, DOCUMENTS.get(name, DOCUMENT))
    if arguments.json:
        arguments.json.write_text(json.dumps([r.as_dict() for r in reports], indent=1) + "\n")


if __name__ == "__main__":
    main()
