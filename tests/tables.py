"""Small event tables for tests, written row by row."""

from __future__ import annotations

from typing import Any

import polars as pl

from iova.events import SCHEMA, DomainInfo, Op, Trace, TraceInfo

LIMIT = 0xF_FFFF


def row(t: int, op: Op, cpu: int = 0, **values: Any) -> dict[str, Any]:
    """One event of domain 0; columns that are not given are null."""
    return (
        dict.fromkeys(SCHEMA)
        | {"t": t, "op": int(op), "cpu": cpu, "domain": 0, "flags": 0}
        | values
    )


def alloc(t: int, slot: int, size: int = 1, cpu: int = 0, **values: Any) -> dict[str, Any]:
    return row(t, Op.ALLOC, cpu, **({"size": size, "limit": LIMIT, "slot": slot} | values))


def free(t: int, slot: int, size: int = 1, cpu: int = 0, **values: Any) -> dict[str, Any]:
    return row(t, Op.FREE, cpu, size=size, slot=slot, **values)


def trace_of(*rows: dict[str, Any], cpus: int = 2, **info: Any) -> Trace:
    """A trace of these rows, of one domain unless ``domains`` says otherwise."""
    values: dict[str, Any] = {
        "cpus_possible": cpus,
        "cpus_online": cpus,
        "domains": (DomainInfo(0),),
    }
    return Trace(pl.DataFrame(list(rows), schema=SCHEMA), TraceInfo(**(values | info)))


def filling_depot(magazines: int, *, cpu: int = 0, gap_ns: int = 1000) -> list[dict[str, Any]]:
    """Allocate, then free, enough single pages on one CPU to push so many full magazines."""
    count = 127 * (magazines + 1) + 1
    allocs = [alloc(gap_ns * i, i, cpu=cpu) for i in range(count)]
    return allocs + [free(gap_ns * (count + i), i, cpu=cpu) for i in range(count)]
