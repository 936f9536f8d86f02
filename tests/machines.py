"""Small simulated machines for tests, described by what differs from the simplest one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iova import _core

NS = 1_000
US = 1_000_000
MS = 1_000_000_000
SECOND = 1_000_000_000_000  # ps

LIMIT_32 = 0xF_FFFF

#: Round numbers of the right order; no host's.
PRICES = {
    "alloc_hit": 8 * NS, "free_hit": 8 * NS, "swap": 2 * NS, "lock": 10 * NS,
    "line": 50 * NS, "line_far": 150 * NS, "line_ahead": 10 * NS, "line_ahead_far": 30 * NS,
    "depot": 5 * NS,
    "magazine_new": 60 * NS, "magazine_free": 30 * NS, "scan": 500,
    "tree_alloc": 100 * NS, "tree_free": 80 * NS, "tree_step": 2 * NS, "tree_step_far": 60 * NS,
    "tree_level": 3 * NS, "tree_level_far": 60 * NS, "tree_near": 20_000,
    "index_alloc": 150 * NS, "index_free": 120 * NS, "queue": 10 * NS, "job": 500 * NS,
}  # fmt: skip


def constant(ps: int) -> npt.NDArray[np.uint64]:
    """Quantiles of what always takes the same time."""
    return np.full(_core.QUANTILES, ps, dtype=np.uint64)


def uniform(low: int, high: int) -> npt.NDArray[np.uint64]:
    """Quantiles of what takes between so and so long."""
    return np.linspace(low, high, _core.QUANTILES).astype(np.uint64)


def flow(cpus: Sequence[int], **values: Any) -> dict[str, Any]:
    """A flow with a submitter, and a queue, on each of these CPUs."""
    return {
        "domain": 0,
        "domains": 1,
        "submitters": len(cpus),
        "depth": 1,
        "submit_cpus": cpus,
        "complete_cpus": cpus,
        "sizes": [(1, 1)],
        "limit": LIMIT_32,
    } | values


def domain(**values: Any) -> dict[str, Any]:
    """A strict domain of 4 KiB granules."""
    return {"granule": 4096, "start_pfn": 1} | values


def machine(
    *flows: dict[str, Any],
    cpus: int = 4,
    design: object = "linux-6.12",
    domains: Sequence[dict[str, Any]] | None = None,
    prices: dict[str, int] | None = None,
    **options: Any,
) -> _core.Machine:
    """A machine of one node and of one design."""
    made = domains or [domain()]
    designs = [_core.Design(design) for _ in made]
    numbers = {"cpus_possible": cpus, "cpus_online": cpus, "cpus_per_node": cpus}
    return _core.Machine(
        designs,
        domains=made,
        flows=list(flows),
        prices=PRICES if prices is None else prices,
        **(numbers | options),
    )


def busy_machine(seed: int = 1, **options: Any) -> _core.Machine:
    """Four CPUs allocate mixed sizes, one of them frees: depot, tree and locks are in use."""
    one = flow(
        range(4),
        depth=64,
        complete_cpus=[0],
        think=uniform(0, 20 * US),
        latency=uniform(5 * US, 400 * US),
        sizes=[(1, 5), (3, 2), (8, 1), (64, 1)],
    )
    return machine(one, seed=seed, **({"sample_ns": 100_000, "sample_cpus": True} | options))


def finish(one: _core.Machine, until: int, operations: int = 1_000_000) -> _core.Machine:
    """Run to the end."""
    while not one.run(until, operations):
        pass
    return one


def events_of(
    one: _core.Machine, until: int, rows: int = _core.MACHINE_MIN_ROOM
) -> dict[str, npt.NDArray[Any]]:
    """Run to the end; every event, column by column, in the order of execution."""
    pieces, done = [], False
    while not done:
        piece, done = one.run_events(until, rows)
        pieces.append(piece)
    columns = {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
    order = np.argsort(columns["seq"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def sum_of(one: _core.Machine, *names: str) -> int:
    """Counters of all size classes and of the sizes beyond them, added up."""
    every = [one.counters(k) for k in (*range(6), _core.BEYOND_CLASSES)]
    return sum(counters[name] for counters in every for name in names)
