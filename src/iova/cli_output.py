"""What the command writes beside its results: progress, warnings, files that must not be lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from iova.designs import DesignSpec, parse_design
from iova.errors import InputError
from iova.files import file_to_write, is_same_file, refuse_standard_output, refuse_unwritable
from iova.report.schemas import json_result
from iova.report.table import short_count
from iova.sources import ImportReport, Loaded
from iova.sources.contradictions import contradiction_of
from iova.words import counted, printable


class _RateColumn(ProgressColumn):
    """Bytes, rows, events or simulated nanoseconds a second, whatever the task counts."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{short_count(speed)}/s")


@contextmanager
def progress_bars() -> Iterator[Callable[[str], Callable[[int, int | None], None]]]:
    """Progress bars on standard error: ``progress(what)(done, total)``; nothing off a terminal."""
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, Any] = {}

    def start(what: str) -> Callable[[int, int | None], None]:
        if what not in tasks:
            tasks[what] = bars.add_task(printable(what), total=None)

        def told(done: int, total: int | None) -> None:
            bars.update(tasks[what], completed=done, total=total)

        return told

    with bars:
        yield start


def designs_named(texts: list[str] | tuple[str, ...]) -> list[DesignSpec]:
    """The designs a user named.

    Raises:
        DesignError: there is no such design, or a user's own can not be made.
    """
    return [parse_design(text) for text in texts]


@contextmanager
def user_code_prints_to_stderr() -> Iterator[None]:
    """What a user's policy prints must not end up within our output."""
    with redirect_stdout(sys.stderr):
        yield


# ---------------------------------------------------------------------------------- files


def refuse_unusable_output(out: Path | None, inputs: list[str]) -> None:
    """Find out, before any work is done, that its result can not be written.

    Raises:
        InputError: the file has no name, can not be one, or is an input.
    """
    if out is None:
        return
    refuse_standard_output(out)
    path = file_to_write(out)
    if any(is_same_file(out, source) for source in inputs):
        raise InputError(str(out), "is an input as well.", hint="Name another file to write.")
    refuse_unwritable(path.parent, out)


# --------------------------------------------------------------------------------- output


def warn(told: str) -> None:
    """One line on standard error."""
    print(f"iova: {printable(told)}", file=sys.stderr)


def warn_of_missing_parts(source: str, report: ImportReport) -> None:
    """Say that part of a trace is missing or was left out."""
    told = list(report.incomplete)
    if report.malformed_count:
        were = "was" if report.malformed_count == 1 else "were"
        lines = counted(report.malformed_count, "malformed line")
        told.append(f"{lines} {were} left out; `iova info` shows what")
    if told:
        warn(f"{source}: {'; '.join(told)}")


def warn_of_contradiction(source: str, loaded: Loaded) -> str | None:
    """Say that a trace can not have happened, and return what was said."""
    told = contradiction_of(loaded)
    if told:
        warn(f"{source}: {told}")
    return told


def print_result(verb: str, values: dict[str, Any]) -> None:
    """What a verb found, for machines."""
    print_json(json_result(verb, values))


def print_json(value: Any) -> None:
    """A result for machines; numbers are finite."""
    print(json.dumps(value, indent=2, default=str, allow_nan=False))
