"""One cell of a sweep: what identifies it, and running it, wherever that is.

A task travels to another process or machine. It names its trace by path and content: a worker that
finds another content there says so. Each worker keeps what it loaded last, so the cells of one
source load it once.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from iova import _core
from iova.designs import DesignSpec, parse_design
from iova.errors import InputError, IovaError
from iova.lab.prices import Prices, load_prices
from iova.lab.subjects import Subject, WorkloadSubject, trace_subject
from iova.lab.sweep_spec import SourceCell, Spec
from iova.sources import load
from iova.workloads import parse_workload

#: Part of each key: another number where the same content gives other results.
_KEY_FORMAT: Final = 1

#: Sources that a worker keeps: some threads of one may work on different ones.
_KEPT: Final = 2


@dataclass(frozen=True)
class Task:
    """A cell as a worker gets it."""

    key: str  #: hash of all that the result depends on
    source: SourceCell
    sha256: str | None  #: of a trace's file
    design: str
    seed: int | None
    prices: Prices | None = field(repr=False)  #: of a workload
    allow_lost: bool
    version: str  #: of the program that made the task


@dataclass(frozen=True)
class Result:
    """What became of a cell."""

    metrics: Mapping[str, float]  #: empty if it failed
    seconds: float  #: of the replay or simulation
    load_seconds: float  #: of reading the source; 0: the worker had it
    error: str | None = None


# ------------------------------------------------------------------------------- identity


def tasks_of(spec: Spec, hashes: Mapping[str, str]) -> list[Task]:
    """The tasks of all cells, in their order.

    Args:
        spec: the sweep.
        hashes: SHA-256 of each trace that could be read, by its path.
    """
    designs = dict.fromkeys(cell.design for cell in spec.cells)
    design_keys = {text: _digest(_identity(parse_design(text))) for text in designs}
    source_keys = {one: _digest(_content(one, spec, hashes)) for one in spec.sources}
    return [
        Task(
            _digest([source_keys[cell.source], design_keys[cell.design], cell.seed]),
            cell.source,
            hashes.get(cell.source.path or ""),
            cell.design,
            cell.seed,
            None if cell.source.path else spec.prices,
            spec.allow_lost,
            _core.VERSION,
        )
        for cell in spec.cells
    ]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content(source: SourceCell, spec: Spec, hashes: Mapping[str, str]) -> Any:
    """What a result depends on beside design and seed."""
    return {
        "format": _KEY_FORMAT,
        "version": _core.VERSION,
        "trace": hashes.get(source.path or "", source.path),  # unread: it has no content
        "spread": source.cpus,
        "workload": source.workload,
        "prices": None if source.path else spec.prices.as_dict(),
    }


def _identity(design: DesignSpec) -> Any:
    """What makes a design the same one: a user's class with the text of its module."""
    params = sorted((key, repr(value)) for key, value in (*design.params, *design.options))
    if design.policy_class is None:
        return [design.name, params]
    try:
        file = inspect.getsourcefile(design.policy_class)
        code = hash_of(file) if file else None
    except (OSError, TypeError):
        code = None
    return [design.text.partition(",")[0], params, code]


def hash_of(path: str | Path) -> str:
    """SHA-256 of a file.

    Raises:
        OSError: it can not be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -------------------------------------------------------------------------------- running


def run_task(task: Task) -> Result:
    """Run a cell; what goes wrong is its result."""
    began = time.perf_counter()
    loaded = began
    try:
        if task.version != _core.VERSION:
            raise IovaError(
                f"the worker has iova {_core.VERSION}, the sweep {task.version}: install the same"
            )
        subject = _SUBJECTS.of(task)
        loaded = time.perf_counter()
        metrics = subject.measure(parse_design(task.design))
    except IovaError as error:
        return _failed(str(error), began, loaded)
    except Exception as error:  # one cell's trouble is not the sweep's
        return _failed(f"{type(error).__name__}: {error}", began, loaded)
    return Result(metrics, time.perf_counter() - loaded, loaded - began)


def _failed(problem: str, began: float, loaded: float) -> Result:
    return Result({}, time.perf_counter() - loaded, loaded - began, problem or "failed")


class _Subjects:
    """The sources that this process loaded last; a worker of Dask has several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, Subject] = OrderedDict()

    def of(self, task: Task) -> Subject:
        """The subject of a task, loaded unless it is there."""
        if task.source.workload is not None:
            return _workload(task)
        key = (task.source.path, task.sha256, task.source.cpus, task.allow_lost)
        with self._lock:
            if key not in self._kept:
                while len(self._kept) >= _KEPT:
                    self._kept.popitem(last=False)
                self._kept[key] = _trace(task)
            self._kept.move_to_end(key)
            return self._kept[key]


_SUBJECTS: Final = _Subjects()


def _workload(task: Task) -> Subject:
    name = task.source.name
    workload = parse_workload(task.source.workload or "", name=name, source=name)
    seed = workload.seed if task.seed is None else task.seed
    return WorkloadSubject(name, workload, task.prices or load_prices(), (seed,))


def _trace(task: Task) -> Subject:
    source = task.source
    path = source.path or ""
    try:
        found = hash_of(path)
    except OSError as error:
        raise InputError(path, f"cannot be read here: {error.strerror or error}.") from error
    if found != task.sha256:
        raise InputError(path, "has changed since the sweep began.", hint="Start the sweep again.")
    loaded = load(path, allow_lost=task.allow_lost)
    return trace_subject(source.name, loaded.trace, cpus=source.cpus)
