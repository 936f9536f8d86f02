"""Small sweeps for tests: a folder with traces and a spec, and ways to run it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from comparisons import busy
from iova.lab.sweep import Outcome, Runner, sweep
from iova.lab.sweep_spec import read_spec
from iova.lab.sweep_work import Result, Task, run_task
from iova.sources.parquet import write_parquet
from iova.workloads import to_toml
from tables import filling_depot, trace_of

#: 2 traces x 2 designs, and a workload of 2 seeds under them.
SPEC = """
[[source]]
source = "fleet/*.parquet"

[[source]]
source = "busy.toml"
seeds = [1, 2]

[[design]]
design = "linux-6.1"
vary.depot = [1]

[[design]]
design = "linux-6.12"
"""
CELLS = 8


def make_folder(folder: Path, spec: str = SPEC, duration_s: float = 0.005) -> Path:
    """Two traces, a workload, and the spec; the spec's path."""
    fleet = folder / "fleet"
    fleet.mkdir(parents=True)
    for magazines, name in ((3, "a"), (5, "b")):
        write_parquet(trace_of(*filling_depot(magazines)), fleet / f"{name}.parquet")
    (folder / "busy.toml").write_text(to_toml(busy(duration_s)))
    path = folder / "sweep.toml"
    path.write_text(spec)
    return path


def here(counted: list[Task], most: int | None = None) -> Runner:
    """A runner within this process; after so many tasks it is as if Ctrl-C were pressed."""

    def run(tasks: Sequence[Task]) -> Generator[tuple[Task, Result], None, None]:
        for i, task in enumerate(tasks):
            if i == most:
                raise KeyboardInterrupt
            counted.append(task)
            yield task, run_task(task)

    return run


def swept(spec: Path, counted: list[Task] | None = None, most: int | None = None) -> Outcome:
    """Run a spec; the table lies beside it."""
    tasks: list[Task] = [] if counted is None else counted
    return sweep(read_spec(spec), spec.with_suffix(".parquet"), run=here(tasks, most))
