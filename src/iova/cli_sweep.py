"""``iova sweep``: many sources under many designs, on this machine or on a cluster."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from iova import cli_options
from iova.cli_output import (
    print_json,
    progress_bars,
    refuse_unusable_output,
    user_code_prints_to_stderr,
    warn,
)
from iova.cli_status import INTERRUPTED, PARTLY_DONE
from iova.errors import IovaError
from iova.files import refuse_other_format
from iova.lab.sweep import Outcome, Runner, journal_of, sweep
from iova.lab.sweep_local import run_locally
from iova.lab.sweep_spec import Spec, read_spec
from iova.lab.sweep_work import Result, Task
from iova.report.sweeping import failures_text, legend, overview, sweep_text

SpecFile = Annotated[
    Path,
    typer.Argument(metavar="SPEC.toml", help="Sources, designs, CPUs and seeds; docs/sweep.md."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", metavar="OUT.parquet", help="Results; by default SPEC.parquet, here."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=4096, help="Processes at a time; by default the CPUs."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Run on the Dask cluster of this scheduler."),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(name="sweep")(sweep_)


def sweep_(
    spec: SpecFile,
    out: Out = None,
    jobs: Jobs = None,
    scheduler: Scheduler = None,
    as_json: cli_options.AsJson = False,
) -> None:
    """Run sources x designs x parameters x CPUs x seeds.

    The results are one Parquet file. What was done is kept beside it: after Ctrl-C the same
    command goes on, and a changed SPEC runs only what is new. Exit status 3 if some cells
    failed.
    """
    runner = _runner(jobs, scheduler)
    with user_code_prints_to_stderr():
        wanted = read_spec(spec)
    written = out or Path(f"{spec.stem}.parquet")
    inputs = [str(spec), *(source.path for source in wanted.sources if source.path)]
    refuse_unusable_output(written, inputs)
    refuse_unusable_output(journal_of(written), inputs)
    refuse_other_format(written, "Name OUT.parquet.")
    done = _run(wanted, written, runner)
    if as_json:
        print_json(done.to_json())
    else:
        _show(done, spec)
    if done.failures:
        raise typer.Exit(PARTLY_DONE)


def _runner(jobs: int | None, scheduler: str | None) -> Runner:
    if scheduler is None:
        count = jobs or len(os.sched_getaffinity(0))
        return lambda tasks: run_locally(tasks, count)
    if jobs is not None:
        raise IovaError("--jobs is for processes of this machine; a --scheduler has its workers")
    if importlib.util.find_spec("distributed") is None:
        raise IovaError("--scheduler needs Dask: install it with  pip install 'iova[tune]'")

    def on_cluster(tasks: Sequence[Task]) -> Generator[tuple[Task, Result], None, None]:
        from iova.lab.sweep_cluster import run_on_cluster

        return run_on_cluster(tasks, scheduler, warn)

    return on_cluster


def _run(spec: Spec, out: Path, runner: Runner) -> Outcome:
    done, total = 0, 0
    with user_code_prints_to_stderr(), progress_bars() as bars:

        def told(finished: int, of: int, failed: int) -> None:
            nonlocal done, total
            done, total = finished, of
            bars("cells")(finished, of)
            if failed:
                bars("failed")(failed, of)

        try:
            return sweep(spec, out, run=runner, progress=told, hashing=bars("traces"))
        except KeyboardInterrupt:
            warn(
                f"{done} of {total} cells are done and kept in {journal_of(out)};"
                " the same command goes on from there"
            )
            raise typer.Exit(INTERRUPTED) from None


def _show(done: Outcome, spec: Path) -> None:
    console = Console(soft_wrap=False)

    def say(told: str) -> None:
        console.print(told, markup=False, highlight=False)

    say(sweep_text(done, str(spec)) + "\n")
    console.print(overview(done))
    say("\n" + legend())
    failures = failures_text(done)
    if failures:
        say("\n" + failures)
