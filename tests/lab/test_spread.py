"""A trace spread over more CPUs: the rule, held against a plain program, and what stays."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import polars as pl
import pytest

from iova.designs import parse_design
from iova.errors import IovaError
from iova.events import Flag, Op, Trace
from iova.lab.compare import compare
from iova.lab.replay import prepare, replay
from iova.lab.spread import NOT_SHOWN, spread
from tables import alloc, filling_depot, free, row, trace_of

CPUS = 4


def traffic(seed: int, calls: int = 600) -> Trace:
    """Allocations and frees on random CPUs, with second tries and frees without allocation."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    live: list[tuple[int, int]] = []
    idle: list[int] = []
    slots = 0
    for t in range(calls):
        cpu, size = draw.randrange(CPUS), draw.choice((1, 1, 2, 40))
        if live and draw.random() < 0.48:
            slot, pages = live.pop(draw.randrange(len(live)))
            idle.append(slot)
            rows.append(free(t, slot, pages, cpu))
        elif draw.random() < 0.02:
            rows.append(row(t, Op.FREE, cpu, size=1, pfn=99))
        else:
            if not idle:
                idle.append(slots)
                slots += 1
            slot = idle.pop()
            live.append((slot, size))
            rows.append(alloc(t, slot, size, cpu))
            if draw.random() < 0.1:
                again = int(Flag.ONLY_IF_PREVIOUS_FAILED)
                rows.append(alloc(t, slot, size, cpu, flags=again, limit=2**40))
    return trace_of(*rows, cpus=CPUS)


def spread_by_hand(events: pl.DataFrame, copies: int) -> list[int]:
    """The CPU of each row, as the rule's sentence says it."""
    made: Counter[int] = Counter()
    copy_of_slot: dict[int, int] = {}
    cpus = []
    for event in events.iter_rows(named=True):
        copy = 0
        if event["op"] == Op.ALLOC:
            if not event["flags"] & Flag.ONLY_IF_PREVIOUS_FAILED:
                copy_of_slot[event["slot"]] = made[event["cpu"]] % copies
                made[event["cpu"]] += 1
            copy = copy_of_slot[event["slot"]]
        elif event["op"] == Op.FREE and event["slot"] is not None:
            copy = copy_of_slot[event["slot"]]
        cpus.append(event["cpu"] + CPUS * copy)
    return cpus


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("copies", [1, 2, 3, 8])
def test_every_call_goes_where_the_rule_says(seed: int, copies: int) -> None:
    trace = traffic(seed)
    dealt = spread(trace, CPUS * copies)
    assert dealt.trace.events["cpu"].to_list() == spread_by_hand(trace.events, copies), seed
    same = ["t", "op", "domain", "size", "limit", "slot", "flags"]
    assert dealt.trace.events.select(same).equals(trace.events.select(same))
    assert (dealt.recorded, dealt.cpus) == (CPUS, CPUS * copies)
    assert dealt.trace.info.cpus_online == dealt.trace.info.cpus_possible == CPUS * copies


def test_the_live_set_stays_and_the_caches_hold_more() -> None:
    trace = trace_of(*filling_depot(12), cpus=1)
    design = parse_design("linux-6.12")
    narrow, wide = (replay(prepare(t), design) for t in (trace, spread(trace, 8).trace))
    for name in ("live_pages_peak", "allocations", "frees", "failed"):
        assert narrow.totals[name] == wide.totals[name]
    assert wide.totals["depot_peak"] < narrow.totals["depot_peak"]


def test_every_copy_of_a_cpu_goes_offline_with_it() -> None:
    trace = trace_of(alloc(1, 0, cpu=1), row(2, Op.CPU_OFFLINE, 0, n=1), free(3, 0, cpu=0))
    events = spread(trace, 6).trace.events
    gone = events.filter(pl.col("op") == int(Op.CPU_OFFLINE))
    assert gone["n"].to_list() == [1, 3, 5]
    assert gone["t"].to_list() == [2, 2, 2]
    assert events["t"].to_list() == [1, 2, 2, 2, 3]


def test_what_was_seen_inside_the_recorded_system_is_left_out() -> None:
    trace = trace_of(alloc(1, 0), row(2, Op.TREE_FREE, pfn=3), row(3, Op.RECLAIM, n=1))
    assert spread(trace, 4).trace.events["op"].to_list() == [Op.ALLOC]


def test_a_cpu_that_calls_counts_even_beyond_those_online() -> None:
    trace = trace_of(alloc(1, 0, cpu=6), cpus=4)
    assert spread(trace, 14).recorded == 7


def test_many_possible_cpus_do_not_stand_in_the_way() -> None:
    trace = trace_of(alloc(1, 0), cpus_possible=240, cpus_online=8)
    assert spread(trace, 16).cpus == 16


@pytest.mark.parametrize(
    ("cpus", "told"),
    [(3, "over fewer"), (6, "the next is 8"), (5000, "4096 CPUs at most")],
)
def test_what_can_not_be_spread_is_refused(cpus: int, told: str) -> None:
    with pytest.raises(IovaError, match=told):
        spread(traffic(1), cpus)


def test_the_warnings_state_rule_rounding_and_limits() -> None:
    warnings = spread(traffic(1), 18).warnings
    assert "CPU c + 4 (k mod 4)" in warnings[0]
    assert "18 is no multiple of 4: 16 CPUs" in warnings[1]
    assert warnings[2] == NOT_SHOWN
    assert len(spread(traffic(1), 16).warnings) == 2


def test_a_comparison_tells_how_far_it_was_spread() -> None:
    comparison = compare("x", traffic(3), [parse_design("linux-6.12")], cpus=9)
    assert comparison.cpus == 8
    assert comparison.to_json()["cpus"] == 8
    assert comparison.warnings == tuple(comparison.to_json()["warnings"])
    assert NOT_SHOWN in comparison.warnings
