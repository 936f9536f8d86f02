"""Run tasks in processes of this machine.

A process that dies (the kernel ended it, out of memory) costs the one cell it was running: that is
tried once more in a new one. Processes block SIGINT: Ctrl-C is the parent's, which ends them.
A worker stays with a source as long as there are cells of it.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from iova.lab.sweep_spec import SourceCell
from iova.lab.sweep_work import Result, Task, run_task

#: So often a cell is started before it counts as the cause of its process' death.
_TRIES: Final = 2

_SPAWN: Final = multiprocessing.get_context("spawn")


def run_locally(tasks: Sequence[Task], jobs: int) -> Generator[tuple[Task, Result], None, None]:
    """Results, as they come; whoever stops iterating ends the processes.

    Args:
        tasks: in any order; those of one source run together.
        jobs: processes at a time.
    """
    waiting = _Waiting(tasks)
    workers: list[_Worker] = []
    tries: Counter[str] = Counter()
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(_Worker.start(waiting.take(None)))
            for worker in _ready(workers):
                result = worker.result()
                task = worker.task
                if result is None:
                    worker.end()
                    workers.remove(worker)
                    tries[task.key] += 1
                    if tries[task.key] < _TRIES:
                        waiting.put_back(task)
                        continue
                    result = worker.death()
                elif waiting:
                    worker.give(waiting.take(task.source))
                else:
                    worker.end()
                    workers.remove(worker)
                yield task, result
    finally:
        for worker in workers:
            worker.end()


class _Waiting:
    """Tasks that no worker has yet, by source."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._queues: dict[SourceCell, deque[Task]] = {}
        for task in tasks:
            self._queues.setdefault(task.source, deque()).append(task)

    def __bool__(self) -> bool:
        return bool(self._queues)

    def take(self, last: SourceCell | None) -> Task:
        """A task of the source that the worker has; else of the one with most left."""
        source = last
        if source is None or source not in self._queues:
            source = max(self._queues, key=lambda one: len(self._queues[one]))
        queue = self._queues[source]
        task = queue.popleft()
        if not queue:
            del self._queues[source]
        return task

    def put_back(self, task: Task) -> None:
        self._queues.setdefault(task.source, deque()).appendleft(task)


@dataclass
class _Worker:
    """A process, and the task it works on."""

    process: SpawnProcess
    pipe: Connection
    task: Task

    @classmethod
    def start(cls, task: Task) -> _Worker:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_work, args=(theirs,), daemon=True)
        # Ctrl-C reaches every process of the terminal. A blocked signal stays so in the child, if
        # not for the resource tracker, whose start unblocks it.
        resource_tracker.ensure_running()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        worker = cls(process, ours, task)
        worker.give(task)
        return worker

    def give(self, task: Task) -> None:
        self.task = task
        with suppress(BrokenPipeError):  # it died: result() will tell
            self.pipe.send(task)

    def result(self) -> Result | None:
        """What it sent; None: it died."""
        try:
            received = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return received if isinstance(received, Result) else None

    def death(self) -> Result:
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Result(
            {}, 0.0, 0.0, f"its process died {_TRIES} times ({how}): is there enough memory?"
        )

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Workers that sent something or died; waits for the first."""
    found = wait([worker.pipe for worker in workers])
    return [worker for worker in workers if worker.pipe in found]


def _work(pipe: Connection) -> None:
    """A process' life: task by task, until the parent closes the pipe or dies."""
    sys.stdout = sys.stderr  # what a user's design prints must not end up in our output
    with suppress(EOFError, BrokenPipeError):
        while True:
            task: Task = pipe.recv()
            pipe.send(run_task(task))
