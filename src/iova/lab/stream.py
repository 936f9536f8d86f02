"""Replay a stream of generated events of any length in bounded memory: no file, no table.

The simulated machine makes the calls of a workload piece by piece, and each piece is replayed under
every design and forgotten. What stays is the machine, the replays, one piece, and a window of rows
that wait: the machine writes a call when it ends, so calls that began earlier may come later. A row
waits as long as a number before its own is missing, but not for ever, as background jobs have
numbers, too, and write no rows: a window's length later, what is missing was no call. Should it
come all the same, that is an error and not another order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iova import _core
from iova.designs import DesignSpec, parse_design
from iova.errors import IovaError
from iova.events import FIRST_INSIDE_OP
from iova.lab.prices import Prices
from iova.lab.replay import ReplayResult
from iova.policy_errors import blamed_on_policy
from iova.workloads import Workload
from iova.workloads.events import DEFAULT_DESIGN
from iova.workloads.running import RunningWorkload, start

#: Rows taken from the machine at a time.
PIECE_ROWS: Final = 1 << 19

#: Rows that wait at most for one that is missing, about 60 bytes each.
WINDOW_ROWS: Final = 1 << 18

#: A stream ends with its number of calls, not with the workload: this is as long as can be, in ps.
_UNTIL_PS: Final = (1 << 62) - 1

#: What a replay reads of what the machine writes, and the number in the core's order.
_USED: Final = ("seq", *(n for n in _core.EVENT_COLUMNS if n in _core.MACHINE_EVENT_COLUMNS))

Columns = dict[str, npt.NDArray[Any]]

#: ``progress(calls replayed, in all)``
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Streamed:
    """What the designs did with a stream."""

    workload: str  #: its name
    seed: int  #: of all that was left to chance
    made_under: str  #: the design of the machine: addresses and times of the calls are its
    calls: int  #: that each design replayed
    span_ns: int  #: simulated, from the first call to the last
    results: tuple[ReplayResult, ...] = field(repr=False)  #: one a design, in their order


def replay_generated(
    workload: Workload,
    designs: Sequence[DesignSpec],
    prices: Prices,
    *,
    calls: int,
    made_under: DesignSpec | None = None,
    seed: int | None = None,
    piece_rows: int = PIECE_ROWS,
    window_rows: int = WINDOW_ROWS,
    progress: Progress | None = None,
) -> Streamed:
    """Replay the first calls that a workload makes, as many as are wanted, under each design.

    Args:
        workload: what the machine does; its duration does not matter.
        designs: the depot designs.
        prices: what each step costs on the machine that makes the calls.
        calls: allocations, frees and the like; fewer only if the workload makes no more.
        made_under: the design of the machine that makes them; None: ``linux-6.12``.
        seed: of every choice left to chance; None: the workload's own.
        piece_rows: rows made at a time, at least ``_core.MACHINE_MIN_ROOM``.
        window_rows: how much later than others a call may end.
        progress: told after each piece.

    Raises:
        IovaError: the workload can not be simulated, makes new domains again and again (so
            that no memory would be enough), or has a call that ends beyond the window.
    """
    for flow in workload.flows:
        if flow.rebind_ms > 0:
            raise IovaError(
                f"workload {workload.name} makes a new domain every {flow.rebind_ms:g} ms: a stream"
                f" of it has no bound; set flow.{flow.name}.rebind_ms=0"
            )
    under = made_under or parse_design(DEFAULT_DESIGN)
    running = dataclasses.replace(
        start(workload, under, prices.as_dict(), seed=seed), until_ps=_UNTIL_PS
    )
    replays = [_Replay(design, running) for design in designs]
    order = _Order(window_rows)
    done, fed = False, 0
    while not done and fed < calls:
        rows, done = running.run_events(piece_rows)
        ready = order.ready(rows, last=done)
        wanted = np.flatnonzero(ready["op"] < FIRST_INSIDE_OP)[: calls - fed]
        columns = _columns(ready, wanted)
        for one in replays:
            one.feed(columns)
        fed += len(wanted)
        if progress:
            progress(fed, calls)
    results = tuple(one.result() for one in replays)
    return Streamed(
        workload.name,
        running.seed,
        under.label,
        fed,
        results[0].span_ns if results else 0,
        results,
    )


# ---------------------------------------------------------------------------------- order


class _Order:
    """Puts rows into the order in which the core executed them."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._next = 0  # number of the first row that was not given out
        self._waiting: Columns = {}

    def ready(self, rows: Columns, *, last: bool) -> Columns:
        """The rows that follow what was given out; ``last``: all there are."""
        rows = {name: rows[name] for name in _USED}
        if self._waiting:
            rows = {name: np.concatenate([self._waiting[name], rows[name]]) for name in rows}
        if not len(rows["seq"]):
            return rows
        place = rows["seq"].astype(np.int64) - self._next
        if int(place.min()) < 0:
            raise IovaError(
                f"call {int(rows['seq'].min())} of the stream ended after {self._window} calls that"
                " began later: give a larger window"
            )
        row_at = np.full(int(place.max()) + 1, -1, dtype=np.int64)
        row_at[place] = np.arange(len(place))
        missing = np.flatnonzero(row_at < 0)
        order = row_at[row_at >= 0]
        whole = int(missing[0]) if len(missing) and not last else len(order)
        count = max(whole, len(order) - self._window)
        ready, waiting = order[:count], order[count:]
        if count:
            self._next += int(place[ready[-1]]) + 1
        self._waiting = {name: column[waiting] for name, column in rows.items()}
        return {name: column[ready] for name, column in rows.items()}


def _columns(rows: Columns, wanted: npt.NDArray[np.int64]) -> Columns:
    """Rows as a replay takes them; what the machine does not write is 0."""
    return {
        name: rows[name][wanted] if name in rows else np.zeros(len(wanted), dtype=kind)
        for name, kind in _core.EVENT_COLUMNS.items()
    }


# --------------------------------------------------------------------------------- replay


class _Replay:
    """A design, and the replay of the stream under it."""

    def __init__(self, design: DesignSpec, running: RunningWorkload) -> None:
        self._design = design
        shape = running.workload.machine
        self._made = [design.make() for _ in running.domains]
        self._mechanism = design.make().mechanism(shape.cpus, shape.classes)
        self._core = _core.Replay(
            self._made,
            [(int(d["granule"]), int(d["start_pfn"])) for d in running.domains],
            possible=shape.cpus,
            online=shape.online,
            classes=self._mechanism["classes"],
        )

    def feed(self, columns: Columns) -> None:
        try:
            with blamed_on_policy(self._design):
                self._core.feed(columns)
        except _core.ReplayError as error:
            raise IovaError(f"call {error.row} of the stream: {error.problem}") from error

    def result(self) -> ReplayResult:
        core, classes = self._core, self._mechanism["classes"]
        depot_max = self._mechanism["depot_max"]
        fixed = 0 if depot_max is None else 8 * depot_max * classes * len(self._made)
        return ReplayResult(
            design=self._design.label,
            totals=core.totals(),
            classes=tuple(core.counters(k) for k in range(classes)),
            beyond=core.counters(_core.BEYOND_CLASSES),
            fixed_depot_bytes=fixed,
            depot_max=depot_max,
            domains=len(self._made),
        )
