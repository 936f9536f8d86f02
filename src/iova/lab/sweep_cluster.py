"""Run tasks on a Dask cluster.

The scheduler gives the tasks of a worker that is lost to the others. A task that took several
workers with it (Dask's ``allowed-failures``) is a failed cell. Only so many tasks are handed over
at a time: a scheduler is slow with a million.
"""

from __future__ import annotations

import logging
import re
import secrets
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import distributed

from iova.errors import IovaError
from iova.lab.sweep_work import Result, Task, run_task

#: Tasks that the scheduler has at a time.
_HANDED_OVER: Final = 1000
#: Seconds within which a connection is made, within which the scheduler then answers, and after
#: which the user is told that it has not yet.
_KNOCK: Final = 5
_PATIENCE: Final = 10
_SLOW: Final = 2

_ADDRESS: Final = re.compile(
    r"(?:(?:tcp|tls)://)?(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})"
)

#: Its types are partly declared.
_dask: Any = distributed


def run_on_cluster(
    tasks: Sequence[Task], address: str, tell: Callable[[str], None] = lambda _told: None
) -> Generator[tuple[Task, Result], None, None]:
    """Results, as they come; whoever stops iterating takes the rest back.

    Args:
        tasks: in any order.
        address: of the scheduler, as ``dask scheduler`` prints it.
        tell: told in a sentence what is waited for.

    Raises:
        IovaError: no scheduler answers there, or it went away.
    """
    run = secrets.token_hex(4)
    waiting = iter(tasks)
    _refuse_unreachable(address)
    with _quiet(), _client(address, tell) as client:
        if not client.nthreads():
            tell(f"{address} has no workers: cells wait for one; `dask worker {address}` starts it")
        task_of: dict[str, Task] = {}

        def handed_over(task: Task) -> Any:
            name = f"iova-{run}-{task.key}"  # the same cell of an earlier run is another task
            task_of[name] = task
            return client.submit(run_task, task, key=name, pure=False)

        first = [handed_over(task) for task in islice(waiting, _HANDED_OVER)]
        running = _dask.as_completed(first, loop=client.loop)
        for future in running:
            result = _result_of(future, address)
            yield task_of.pop(future.key), result
            future.release()
            for task in islice(waiting, 1):
                running.add(handed_over(task))


def _result_of(future: Any, address: str) -> Result:
    if future.cancelled():
        raise IovaError(f"--scheduler {address}: it went away; the same command goes on from here")
    problem = future.exception()
    if problem is not None:
        told = str(problem).splitlines()[0] if str(problem) else ""
        return Result({}, 0.0, 0.0, f"{type(problem).__name__}: {told}")
    result = future.result()
    if not isinstance(result, Result):
        return Result({}, 0.0, 0.0, f"the worker answered with {type(result).__name__}")
    return result


def _refuse_unreachable(address: str) -> None:
    """Dask tries an address again and again, for long and without a word.

    Whatever speaks Dask's protocol says so first, unless it is to be encrypted.
    """
    match = _ADDRESS.fullmatch(address)
    port = int(match["port"]) if match else 0
    if match is None or not 0 < port < 65536:
        raise IovaError(f"--scheduler {address!r} is not of the form tcp://HOST:PORT")
    try:
        with socket.create_connection((match["host"].strip("[]"), port), timeout=_KNOCK) as knock:
            if not address.startswith("tls://") and not knock.recv(1):
                raise _unanswered(address, "it hung up")
    except TimeoutError as error:
        raise _unanswered(address, f"nothing within {_KNOCK} s") from error
    except (OSError, UnicodeError) as error:
        told = error.strerror if isinstance(error, OSError) else None
        raise _unanswered(address, told or str(error)) from error


def _unanswered(address: str, why: str) -> IovaError:
    return IovaError(
        f"--scheduler {address}: no scheduler answers there; `dask scheduler` prints its address"
        f" ({why})"
    )


@contextmanager
def _client(address: str, tell: Callable[[str], None]) -> Iterator[Any]:
    slow = threading.Timer(
        _SLOW, tell, [f"{address} has not answered yet: waiting for {_PATIENCE} s at most"]
    )
    slow.start()
    try:
        client = _dask.Client(address, timeout=_PATIENCE, set_as_default=False)
    except Exception as error:  # of Dask, which lets many kinds through
        first = str(error).partition("\n")[0]
        raise _unanswered(address, first or type(error).__name__) from error
    finally:
        slow.cancel()
    with client:
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs each lost worker and connection; what matters is told as a result.

    Its configuration gives many of its loggers a level of their own, so one level is not enough.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
