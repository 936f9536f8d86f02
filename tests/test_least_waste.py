"""The least that anybody could waste is what trying every choice finds."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from iova.events import SCHEMA, Op, Trace, TraceInfo

ROOT = Path(__file__).parent.parent

#: Time of a call, and whether it is an allocation.
Calls = list[tuple[int, bool]]


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.least_waste")


def best_by_trying(calls: Calls) -> dict[int, int]:
    """Least sum of cached ranges times time, for each number of hits that can be had."""
    best: dict[int, int] = {}

    def go_on(i: int, kept: int, hits: int, cost: int) -> None:
        if i == len(calls):
            best[hits] = min(best.get(hits, cost), cost)
            return
        at, is_alloc = calls[i]
        until = calls[i + 1][0] if i + 1 < len(calls) else at
        if is_alloc and kept:
            go_on(i + 1, kept - 1, hits + 1, cost + (kept - 1) * (until - at))
        most = kept if is_alloc else kept + 1
        for left in range(most + 1):  # any number may be given back to the tree
            go_on(i + 1, left, hits, cost + left * (until - at))

    go_on(0, 0, 0, 0)
    return best


def test_no_choice_of_what_to_keep_costs_less_than_the_cheapest_pairs(
    bound: ModuleType, chosen_seed: int | None
) -> None:
    for seed in range(60) if chosen_seed is None else [chosen_seed]:
        rng = random.Random(seed)
        times = sorted(rng.randint(0, 30) for _ in range(rng.randint(1, 9)))
        calls = [(at, rng.random() < 0.5) for at in times]
        idle = np.sort(
            bound.stack_pairs(np.array(times), np.array([is_alloc for _, is_alloc in calls]))
        )
        best = best_by_trying(calls)
        assert max(best) == len(idle), f"seed {seed}: {calls}"
        for hits, cost in best.items():
            assert idle[:hits].sum() == cost, f"seed {seed}: {calls}"


def test_waste_counts_pages_of_each_size_and_only_hits_of_the_same_one(bound: ModuleType) -> None:
    # Two pages lie idle for 30 ns, one for 10; who takes 4 pages finds none.
    rows = [
        (0, Op.ALLOC, 2, 10),
        (0, Op.ALLOC, 1, 20),
        (10, Op.FREE, 2, 10),
        (20, Op.FREE, 1, 20),
        (30, Op.ALLOC, 1, 20),
        (35, Op.ALLOC, 4, 40),
        (40, Op.ALLOC, 2, 10),
    ]
    frame = pl.DataFrame(
        {
            "t": [t for t, *_ in rows],
            "op": [int(op) for _, op, *_ in rows],
            "domain": [0] * len(rows),
            "size": [size for *_, size, _ in rows],
            "pfn": [pfn for *_, pfn in rows],
        }
    )
    events = frame.with_columns(
        pl.lit(None).cast(kind).alias(name)
        for name, kind in SCHEMA.items()
        if name not in frame.columns
    )
    least = bound.least_waste(Trace(events, TraceInfo()), span_ns=100)
    assert least.allocations == 5
    assert least.live_pages_peak == 7
    assert least.at(0.2) == pytest.approx(10 / 100 / 7)
    assert least.at(0.4) == pytest.approx((10 + 2 * 30) / 100 / 7)
    assert least.at(0.6) == float("inf")
