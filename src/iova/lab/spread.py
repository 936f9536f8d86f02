"""Spread a recorded trace over more CPUs than it was recorded on, by a fixed rule.

The rule. The recorded machine had B CPUs: those online at the start, or as many as the calls
name. The spread machine has r x B. The k-th allocation made on CPU c goes to CPU
c + B (k mod r), and the free of that range, made on CPU f, to f + B (k mod r). An allocation
that is tried only because the one before it failed is the same allocation once more. When a CPU
went offline or came online, so do its r copies. Everything else stays: the calls, their order,
their times, the live set.

What grows is the number of caches over which the same calls are dealt. What this can not show
is in :data:`NOT_SHOWN`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import polars as pl

from iova.errors import IovaError
from iova.events import FIRST_INSIDE_OP, Flag, Op, Trace

#: More the simulated machine has not either.
MOST_CPUS: Final = 4096

NOT_SHOWN: Final = (
    "A spread trace cannot show timing, contention, more requests in flight, or on which CPU a"
    " larger machine would have made these calls: they, their order, their times and the live"
    " set stay those of the recorded machine."
)

_ALLOC = pl.col("op") == int(Op.ALLOC)
_FREE = pl.col("op") == int(Op.FREE)
_MOVES_CPU = pl.col("op").is_in([int(Op.CPU_OFFLINE), int(Op.CPU_ONLINE)])


@dataclass(frozen=True)
class Spread:
    """A trace on more CPUs."""

    trace: Trace
    recorded: int  #: CPUs of the recorded machine
    cpus: int  #: CPUs now
    warnings: tuple[str, ...]  #: the rule that was applied, and what this cannot show


def spread(trace: Trace, cpus: int) -> Spread:
    """Deal the calls of a trace over more CPUs.

    Args:
        trace: what was recorded; events seen inside the recorded system are left out.
        cpus: at most so many; the largest multiple of the recorded CPUs up to it is taken.

    Raises:
        IovaError: fewer CPUs than were recorded, or more than 4 096.
    """
    events = trace.events.filter(pl.col("op") < FIRST_INSIDE_OP)
    recorded = _recorded_cpus(events, trace.info.cpus_online or 1)
    copies = _copies(recorded, cpus)
    info = dataclasses.replace(
        trace.info,
        cpus_possible=recorded * copies,
        cpus_online=min(trace.info.cpus_online or recorded, recorded) * copies,
    )
    moved = _with_cpu_copies(_dealt(events, recorded, copies), recorded, copies)
    return Spread(
        Trace(moved, info), recorded, recorded * copies, _warnings(recorded, copies, cpus)
    )


def _recorded_cpus(events: pl.DataFrame, online: int) -> int:
    named = [events["cpu"].max(), events.filter(_MOVES_CPU)["n"].max()]
    return max([online, *(cpu + 1 for cpu in named if isinstance(cpu, int))])


def _copies(recorded: int, cpus: int) -> int:
    if cpus > MOST_CPUS:
        raise IovaError(f"--cpus {cpus}: a trace is spread over {MOST_CPUS} CPUs at most")
    if cpus < recorded:
        raise IovaError(
            f"--cpus {cpus}: the trace was recorded on {recorded} CPUs, and can be spread over"
            " more, not over fewer"
        )
    if recorded < cpus < 2 * recorded:
        raise IovaError(
            f"--cpus {cpus}: a trace of {recorded} CPUs is spread over a multiple of them;"
            f" the next is {2 * recorded}"
        )
    return cpus // recorded


def _warnings(recorded: int, copies: int, asked: int) -> tuple[str, ...]:
    cpus = recorded * copies
    rule = (
        f"Spread from {recorded} over {cpus} CPUs: the k-th allocation of CPU c is dealt to CPU"
        f" c + {recorded} (k mod {copies}), and its free likewise."
    )
    rounded = f"{asked} is no multiple of {recorded}: {cpus} CPUs were taken."
    return (rule, *((rounded,) if cpus != asked else ()), NOT_SHOWN)


def _dealt(events: pl.DataFrame, recorded: int, copies: int) -> pl.DataFrame:
    """Each allocation and its free on one of the copies of its CPU."""
    again = (pl.col("flags") & int(Flag.ONLY_IF_PREVIOUS_FAILED)) != 0
    # From 0 up, per CPU; a second try has the number of the first.
    number = (_ALLOC & ~again).cast(pl.Int64).cum_sum().over("cpu") - 1
    copy = number.clip(0) % copies
    return (
        events.with_columns(pl.when(_ALLOC).then(copy).alias("copy"))
        # A slot is held from its allocation to its free, so the last allocation before it is it.
        .with_columns(
            pl.when(_FREE & pl.col("slot").is_not_null())
            .then(pl.col("copy").forward_fill().over("slot"))
            .otherwise(pl.col("copy"))
            .fill_null(0)
            .alias("copy")
        )
        .with_columns((pl.col("cpu") + recorded * pl.col("copy")).cast(pl.UInt16).alias("cpu"))
        .drop("copy")
        .with_columns(pl.lit(None, events.schema["depot"]).alias("depot"))
    )


def _with_cpu_copies(events: pl.DataFrame, recorded: int, copies: int) -> pl.DataFrame:
    """A row for each copy of a CPU that went or came."""
    if not events.select(_MOVES_CPU.any()).item():
        return events
    every = pl.int_ranges(pl.when(_MOVES_CPU).then(copies).otherwise(1)).alias("copy")
    return (
        events.with_columns(every)
        .explode("copy")
        .with_columns((pl.col("n") + recorded * pl.col("copy")).cast(pl.UInt32).alias("n"))
        .drop("copy")
    )
