"""Run every cell of a sweep that was not run before, and write all results as one table.

Beside the table lies a journal (:mod:`iova.lab.sweep_journal`): a sweep that was stopped goes on
where it was, and a changed one runs only what is new. The table is written at the end, at once.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from iova import _core
from iova.errors import InputError, IovaError
from iova.files import appearing_whole, file_to_write
from iova.lab.rows import ComparisonRow, MachineRow
from iova.lab.sweep_journal import Journal
from iova.lab.sweep_local import run_locally
from iova.lab.sweep_spec import Cell, Spec
from iova.lab.sweep_work import Result, Task, tasks_of

METADATA_KEY: Final = "iova.sweep"
SCHEMA_VERSION: Final = 1

#: Every number of a cell, in the order of the columns; null where the cell has none.
METRICS: Final = (
    "calls",
    *(one.name for row in (ComparisonRow, MachineRow) for one in dataclasses.fields(row)
      if one.name != "design"),
)  # fmt: skip

#: ``progress(cells done, of so many, how many of these failed)``
Progress = Callable[[int, int, int], None]

#: Runs tasks somewhere, and gives results as they come; closing it ends what still runs.
Runner = Callable[[Sequence[Task]], Generator[tuple[Task, Result], None, None]]


@dataclass(frozen=True)
class Failure:
    """A cell that failed."""

    cell: Cell
    error: str  #: one sentence


@dataclass(frozen=True)
class Outcome:
    """What a sweep did."""

    out: str  #: the file that was written
    cells: int  #: rows of it
    distinct: int  #: cells may be the same, as two copies of a trace
    ran: int  #: of the distinct ones, now; failed ones included
    reused: int  #: of the distinct ones, from the journal
    failures: tuple[Failure, ...]  #: cells without numbers
    broken_lines: int  #: of the journal, that could not be used
    table: pl.DataFrame = field(repr=False)  #: what the file holds, one row a cell

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the numbers themselves are in the file."""
        return {
            "format": "iova sweep",
            "schema_version": SCHEMA_VERSION,
            "version": _core.VERSION,
            "out": self.out,
            "cells": self.cells,
            "distinct": self.distinct,
            "ran": self.ran,
            "reused": self.reused,
            "failed": [
                {"source": one.cell.source.name, "design": one.cell.design,
                 "cpus": one.cell.cpus, "seed": one.cell.seed, "error": one.error}
                for one in self.failures
            ],
        }  # fmt: skip


def journal_of(out: Path) -> Path:
    """Where the journal of a table lies."""
    return out.with_name(f"{out.name}.journal")


def sweep(
    spec: Spec,
    out: Path,
    *,
    run: Runner | None = None,
    progress: Progress | None = None,
    hashing: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run what is missing, and write the table.

    Args:
        spec: from :func:`iova.lab.sweep_spec.read_spec`.
        out: the Parquet file.
        run: runs tasks; by default in as many processes as there are CPUs.
        progress: told after each cell.
        hashing: told after each trace whose content was looked at, and of how many.

    Raises:
        InputError: the journal or the table can not be written.
        IovaError: nothing can be run.
    """
    file_to_write(out)
    with Journal(journal_of(out)) as journal:
        problems = _unreadable(spec, journal, hashing)
        hashes = {
            source.path: journal.hash_of(source.path)
            for source in spec.sources
            if source.path and source.path not in problems
        }
        tasks = tasks_of(spec, hashes)
        failed = {
            task.key: problems[task.source.path] for task in tasks if task.source.path in problems
        }
        missing = {
            task.key: task
            for task in tasks
            if task.key not in journal.results and task.key not in failed
        }
        total = len({task.key for task in tasks})
        done = total - len(missing)
        runner = run or (lambda todo: run_locally(todo, _cpus()))
        if progress:
            progress(done, total, len(failed))
        if missing:
            with closing(runner(tuple(missing.values()))) as results:
                for task, result in results:
                    journal.add(task.key, result)
                    if result.error is not None:
                        failed[task.key] = result.error
                    done += 1
                    if progress:
                        progress(done, total, len(failed))
        table = _table(spec.cells, tasks, journal.results, failed)
        broken = journal.broken_lines
    _write(table, out)
    return Outcome(
        str(out),
        len(spec.cells),
        total,
        len(missing),
        total - len(missing) - len([k for k in failed if k not in missing]),
        tuple(
            Failure(cell, failed[task.key])
            for cell, task in zip(spec.cells, tasks, strict=True)
            if task.key in failed
        ),
        broken,
        table,
    )


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def _unreadable(
    spec: Spec, journal: Journal, hashing: Callable[[int, int], None] | None
) -> dict[str | None, str]:
    """Traces that can not even be hashed, and why."""
    problems: dict[str | None, str] = {}
    traces = {source.path: source.name for source in spec.sources if source.path}
    for i, (path, name) in enumerate(traces.items()):
        try:
            if Path(path).is_fifo() or Path(path).is_char_device():
                refused = InputError(name, "is no file: a sweep reads its sources more than once.")
                problems[path] = str(refused)
            else:
                journal.hash_of(path)
        except (OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) else None
            problems[path] = str(InputError(name, f"cannot be read: {told or error}."))
        if hashing:
            hashing(i + 1, len(traces))
    if len(problems) == len({source.path for source in spec.sources}):
        raise IovaError(f"{spec.file}: nothing can be run; {next(iter(problems.values()))}")
    return problems


# ---------------------------------------------------------------------------------- table


def _table(
    cells: Sequence[Cell],
    tasks: Sequence[Task],
    results: dict[str, Result],
    failed: dict[str, str],
) -> pl.DataFrame:
    """One row a cell, in the order of the spec."""
    found = [results.get(task.key) for task in tasks]
    columns = [
        pl.Series("source", [cell.source.name for cell in cells], pl.String),
        pl.Series("design", [cell.design for cell in cells], pl.String),
        pl.Series("cpus", [cell.cpus for cell in cells], pl.UInt32),
        pl.Series("seed", [cell.seed for cell in cells], pl.Int64),
        pl.Series("settings", [" ".join(c.source.settings) or None for c in cells], pl.String),
        *_params(cells),
        *_varied(cells),
        pl.Series("error", [failed.get(task.key) for task in tasks], pl.String),
        pl.Series("seconds", [one.seconds if one else None for one in found], pl.Float64),
        pl.Series("load_seconds", [one.load_seconds if one else None for one in found], pl.Float64),
        *(
            pl.Series(name, [one.metrics.get(name) if one else None for one in found], pl.Float64)
            for name in METRICS
        ),
        pl.Series("version", [task.version for task in tasks], pl.String),
        pl.Series("key", [task.key for task in tasks], pl.String),
    ]
    return pl.DataFrame(columns)


def _params(cells: Sequence[Cell]) -> list[pl.Series]:
    """A column for each parameter of a design that any cell sets: numbers if all are."""
    rows = [dict(cell.params) for cell in cells]
    found = []
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        if all(isinstance(value, int | float | None) for value in values):
            numbers = [None if value is None else float(value) for value in values]
            found.append(pl.Series(f"param.{name}", numbers, pl.Float64))
        else:
            texts = [None if value is None else str(value) for value in values]
            found.append(pl.Series(f"param.{name}", texts, pl.String))
    return found


def _varied(cells: Sequence[Cell]) -> list[pl.Series]:
    """A column for each parameter of a workload that the spec varies."""
    rows = [dict(cell.source.varied) for cell in cells]
    return [
        pl.Series(f"set.{name}", [row.get(name) for row in rows], pl.String)
        for name in dict.fromkeys(key for row in rows for key in row)
    ]


def _write(table: pl.DataFrame, out: Path) -> None:
    about = {"schema_version": SCHEMA_VERSION, "version": _core.VERSION}
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", metadata={METADATA_KEY: json.dumps(about)})
    with appearing_whole(out) as temporary:
        temporary.write_bytes(buffer.getbuffer())
