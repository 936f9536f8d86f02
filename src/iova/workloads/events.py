"""Generating a trace: the calls that a workload makes on the simulated machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova.designs import DesignSpec, parse_design
from iova.errors import IovaError
from iova.events import NO_SLOT, SCHEMA, DomainInfo, Op, Trace, TraceInfo, normalised, problem_of
from iova.workloads.model import Workload
from iova.workloads.running import RunningWorkload, start

#: ``TraceInfo.source`` of what was generated.
MACHINE_SOURCE: Final = "machine"

#: What a workload runs under unless told otherwise.
DEFAULT_DESIGN: Final = "linux-6.12"

#: Rows in all, unless told otherwise: about 2 GB while a trace is made.
MAX_ROWS: Final = 25_000_000

#: Rows taken from the machine at a time; between two pieces Ctrl-C is seen.
_PIECE_ROWS: Final = 1 << 19

#: Columns that only some operations use; null in the rows of the others.
_USED_BY: Final[dict[str, tuple[Op, ...]]] = {
    "t_end": (Op.ALLOC, Op.FREE),
    "size": (Op.ALLOC, Op.FREE),
    "limit": (Op.ALLOC,),
    "pfn": (Op.CREATE, Op.RESERVE, Op.ALLOC, Op.FREE, Op.UNMAP),
    "last": (Op.RESERVE, Op.UNMAP),
    "slot": (Op.ALLOC, Op.FREE),
}

Columns = dict[str, npt.NDArray[Any]]

#: What the machine writes where a row names no domain.
_NO_DOMAIN: Final = 0xFFFF_FFFF

#: ``progress(simulated ns done, in all)``
Progress = Callable[[int, int], None]


def generate(
    workload: Workload,
    prices: Mapping[str, int],
    *,
    design: DesignSpec | None = None,
    seed: int | None = None,
    max_rows: int = MAX_ROWS,
    progress: Progress | None = None,
) -> Trace:
    """Run a workload on the simulated machine and keep every call as an event.

    Addresses and times are those of the design it runs under: they are part of the answer that
    this design gives, and the trace's notes name it. Calls that had not returned at the end are
    not among the events; the notes say how many these are.

    Args:
        workload: what the machine does.
        prices: what each step costs: fields of ``struct machine_prices`` in picoseconds.
        design: what the domains run under; None: ``linux-6.12``.
        seed: of every choice left to chance; None: the workload's own.
        max_rows: an error if there are more.
        progress: told after each piece.

    Raises:
        IovaError: the workload can not be simulated, or makes too many events.
    """
    running = start(workload, design or parse_design(DEFAULT_DESIGN), prices, seed=seed)
    events = normalised(_frame(_in_order(_pieces(running, max_rows, progress))), workload.name)
    problem = problem_of(events)
    if problem:
        raise IovaError(f"workload {workload.name} makes events that no trace can hold: {problem}")
    return Trace(events, _info(running, events))


def _pieces(running: RunningWorkload, max_rows: int, progress: Progress | None) -> list[Columns]:
    pieces: list[Columns] = []
    rows, done = 0, False
    while not done:
        piece, done = running.run_events(_PIECE_ROWS)
        pieces.append(piece)
        rows += len(piece["seq"])
        if rows > max_rows:
            raise _too_many(running, rows, max_rows)
        if progress:
            progress(running.machine.totals()["now"] // 1000, running.until_ps // 1000)
    return pieces


def _in_order(pieces: list[Columns]) -> Columns:
    """All rows, in the order in which the core executed them; takes the pieces apart."""

    def taken(name: str) -> npt.NDArray[Any]:
        return np.concatenate([piece.pop(name) for piece in pieces])

    order = np.argsort(taken("seq"), kind="stable")
    return {name: taken(name)[order] for name in list(pieces[0])}


def _frame(columns: Columns) -> pl.DataFrame:
    """Rows of the event schema, with nulls where an operation does not use a column."""
    op, pfn, slot = (columns[name] for name in ("op", "pfn", "slot"))
    used = {name: np.isin(op, [int(one) for one in by]) for name, by in _USED_BY.items()}
    used["pfn"] &= (op != int(Op.ALLOC)) | (pfn != 0)
    used["slot"] &= slot != NO_SLOT
    used["domain"] = columns["domain"] != _NO_DOMAIN
    return pl.DataFrame(
        [_series(name, columns[name], used.get(name)) for name in SCHEMA if name in columns]
    )


def _series(name: str, values: npt.NDArray[Any], used: npt.NDArray[np.bool_] | None) -> pl.Series:
    series = pl.Series(name, values)
    return series if used is None else series.set(pl.Series(~used), None)


def _too_many(running: RunningWorkload, rows: int, max_rows: int) -> IovaError:
    """How long the workload might last, from how far it came."""
    name = running.workload.name
    now_ps = running.machine.totals()["now"]
    enough_s = now_ps / 1e12 * max_rows / rows
    return IovaError(
        f"workload {name} makes more than {max_rows} events:"
        f" there were {rows} after {now_ps / 1e12:.3g} of {running.until_ps / 1e12:.3g} s."
        f" Shorten it, for example with --set duration_s={0.9 * enough_s:.2g}."
    )


def _info(running: RunningWorkload, events: pl.DataFrame) -> TraceInfo:
    workload, shape = running.workload, running.workload.machine
    return TraceInfo(
        source=MACHINE_SOURCE,
        clock="simulated",
        cpus_possible=shape.cpus,
        cpus_online=shape.online,
        domains=_domains(running, events),
        notes=(
            f"generated from the workload {workload.name}, seed {running.seed},"
            f" {workload.duration_s:g} simulated seconds",
            f"it ran under the design {running.design.label}:"
            " the addresses and the times of the calls are this design's",
            *_note_of_unfinished(running, events),
        ),
    )


def _note_of_unfinished(running: RunningWorkload, events: pl.DataFrame) -> tuple[str, ...]:
    """The machine does a call as a whole when it begins, but writes its row when it returns."""
    totals = running.machine.replay_totals()
    written = events["op"].is_in([int(Op.ALLOC), int(Op.FREE)]).sum()
    unfinished = totals["allocations"] + totals["frees"] - written
    if not unfinished:
        return ()
    calls = "call" if unfinished == 1 else "calls"
    return (f"not in it: {unfinished} {calls} that had not returned at the end",)


def _domains(running: RunningWorkload, events: pl.DataFrame) -> tuple[DomainInfo, ...]:
    """Every domain of the trace; one that took the place of another has that one's properties."""
    devices = [
        group.name if group.count == 1 else f"{group.name}.{i}"
        for group in running.workload.domains
        for i in range(group.count)
    ]
    origin = list(range(len(devices)))
    destroyed: list[int] = []
    lives = events.filter(pl.col("op").is_in([int(Op.CREATE), int(Op.DESTROY)]))
    for op, domain in lives.select("op", "domain").iter_rows():
        if op == int(Op.DESTROY):
            destroyed.append(domain)
        elif domain == len(origin):
            origin.append(origin[destroyed[-1]])
    return tuple(
        DomainInfo(
            number,
            granule=int(running.domains[index]["granule"]),
            start=int(running.domains[index]["start_pfn"]),
            device=devices[index],
            mode="lazy" if running.domains[index]["lazy"] else "strict",
            destroyed=number in destroyed,
        )
        for number, index in enumerate(origin)
    )
