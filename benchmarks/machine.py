"""Simulated operations a second on one core: workloads of 256 CPUs and more under Linux's designs.

A run is a preset at its full length, which was set up before the clock started. The figure is in
processor time of the one thread that simulates, so that a busy neighbour does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.figures import Report, Series, Verdict, at_least
from iova.designs import parse_design
from iova.lab.prices import load_prices
from iova.workloads import load_workload
from iova.workloads.running import start

PRESETS = ("scsi-256", "sas-256", "nvme-384")
DESIGNS = ("linux-6.1", "linux-6.12")
PEERS: tuple[str, ...] = ()
#: Million operations a second, each one allocation or free.
GOAL = 5

#: The whole length of a preset in a round takes seconds; a quick run is a fiftieth of it.
_QUICK = 50


def measure(rounds: int, quick: bool) -> Report:
    """Simulate each preset under each design, in turn."""
    runs = {
        (preset, design): _run_of(preset, design, quick) for preset in PRESETS for design in DESIGNS
    }
    values: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            values[key].append(run())
    series = tuple(
        Series(preset, design, "M/s", tuple(found)) for (preset, design), found in values.items()
    )
    return Report("machine: simulated operations on one core", series, _verdicts(series))


def _verdicts(series: tuple[Series, ...]) -> tuple[Verdict, ...]:
    return tuple(
        at_least(f"{one.pattern}, {one.contender}: M operations/s", one.median, GOAL)
        for one in series
    )


def _run_of(preset: str, design: str, quick: bool) -> Callable[[], float]:
    prices = load_prices().as_dict()
    workload = load_workload(preset, ())
    if quick:
        workload = load_workload(preset, (f"duration_s={workload.duration_s / _QUICK}",))

    def run() -> float:
        running = start(workload, parse_design(design), prices)
        began = time.thread_time()
        while not running.run(1_000_000):
            pass
        took = time.thread_time() - began
        return float(running.machine.totals()["operations"]) / took / 1e6

    return run
