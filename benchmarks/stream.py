"""``python -m benchmarks stream``: a stream of generated events, replayed in bounded memory.

No file and no table: the simulated machine makes the calls of a workload, the designs replay them,
and both forget them. Prints events a second and the memory of this process as it goes; ``--write``
puts the summary into ``docs/sweep.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.build import ROOT
from benchmarks.performance import machine, replace_section
from iova.designs import parse_design
from iova.lab.prices import load_prices
from iova.lab.stream import Streamed, replay_generated
from iova.workloads import load_workload

DOCUMENT: Final = ROOT / "docs" / "sweep.md"

#: Lines that are printed while it runs.
LINES: Final = 20


@dataclass(frozen=True)
class Point:
    """How far it was, and what it had taken until then."""

    calls: int
    seconds: float
    resident_kib: int
    peak_kib: int


def main(arguments: Sequence[str]) -> None:
    """Stream as many events as were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks stream", description=__doc__)
    parser.add_argument(
        "--events", type=int, default=20_000_000, help="calls to replay (20 million)"
    )
    parser.add_argument("--workload", default="scsi-256", help="preset or TOML file (scsi-256)")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="(cpus=16)")
    parser.add_argument("--design", action="append", help="designs that replay it (linux-6.12)")
    parser.add_argument("--write", action="store_true", help=f"put it into {DOCUMENT.name}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all points there")
    options = parser.parse_args(arguments)
    if options.events < 1:
        parser.error("--events: at least 1 is wanted")
    preset = options.workload == parser.get_default("workload")
    settings = options.set or (["cpus=16"] if preset else [])
    designs = options.design or ["linux-6.12"]
    points, streamed = stream(options.workload, settings, designs, options.events)
    told = summary(options.workload, settings, points, streamed)
    print(f"\n{told}")
    if options.write:
        replace_section(DOCUMENT, "stream", told)
    if options.json:
        options.json.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")


def stream(
    workload: str, settings: Sequence[str], designs: Sequence[str], events: int
) -> tuple[list[Point], Streamed]:
    """Run it, and print how it goes."""
    points: list[Point] = []
    began = time.perf_counter()
    print(f"{'events':>15} {'s':>8} {'M/s':>7} {'MiB':>7} {'peak':>7}")

    def told(done: int, total: int) -> None:
        if done < total and points and done - points[-1].calls < total / LINES:
            return
        point = Point(done, time.perf_counter() - began, *_memory())
        before = points[-1] if points else Point(0, 0.0, 0, 0)
        points.append(point)
        rate = (done - before.calls) / (point.seconds - before.seconds) / 1e6
        print(
            f"{done:>15,} {point.seconds:>8.1f} {rate:>7.2f} {point.resident_kib / 1024:>7.1f}"
            f" {point.peak_kib / 1024:>7.1f}",
            flush=True,
        )

    streamed = replay_generated(
        load_workload(workload, settings),
        [parse_design(design) for design in designs],
        load_prices(),
        calls=events,
        progress=told,
    )
    return points, streamed


def summary(
    workload: str, settings: Sequence[str], points: Sequence[Point], streamed: Streamed
) -> str:
    """What was measured, as Markdown."""
    last = points[-1]
    tenth = next(point for point in points if point.calls >= last.calls / 10)
    rate = last.calls / last.seconds
    named = " ".join([f"`{workload}`", *(f"`--set {one}`" for one in settings)])
    designs = ", ".join(f"`{one.design}`" for one in streamed.results)
    head = " ".join(
        [
            f"{last.calls:,} calls of {named} ({streamed.span_ns / 1e9:,.0f} simulated seconds),",
            f"made and replayed under {designs} by one process in {last.seconds:,.0f} s:",
            f"{rate / 1e6:.2f} million/s, {1e9 / rate / 3600:.3f} core-hours per billion.",
            f"Peak memory {last.peak_kib / 1024:.0f} MiB; after the first {tenth.calls:,} calls",
            f"it was {tenth.peak_kib / 1024:.0f} MiB.",
        ]
    )
    rows = [
        f"| `{one.design}` | {100 * one.cached_share:.2f} | {one.totals['live_ranges_peak']:,}"
        f" | {one.linux_bytes_peak / 1024:,.0f} |"
        for one in streamed.results
    ]
    table = [
        "| design | cached % | ranges live at most | KiB at Linux's sizes |",
        "|---|---:|---:|---:|",
    ]
    return "\n".join([head, "", *table, *rows, "", machine()])


def _memory() -> tuple[int, int]:
    """Resident memory of this process, now and at most, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values["VmRSS"].split()[0]), int(values["VmHWM"].split()[0])
