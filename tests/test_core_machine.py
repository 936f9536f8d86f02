"""The simulated machine through its binding: determinism, laws of closed loops, what it tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from iova import _core
from iova.events import NO_SLOT, Op
from machines import (
    MS,
    NS,
    PRICES,
    SECOND,
    US,
    busy_machine,
    constant,
    domain,
    events_of,
    finish,
    flow,
    machine,
    sum_of,
    uniform,
)


def answers(one: _core.Machine) -> dict[str, Any]:
    """Everything a machine tells, as values that can be compared."""
    arrays = one.samples() | {
        "alloc": one.alloc_times(),
        "free": one.free_times(),
        "pages": one.cpu_pages(),
    }
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()} | {
        "totals": one.totals(),
        "replay": one.replay_totals(),
        "classes": [one.counters(k) for k in range(6)],
        "beyond": one.counters(_core.BEYOND_CLASSES),
    }


# -------------------------------------------------------------------------- determinism


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, two, other = (
        answers(finish(busy_machine(seed, map_bins=8, map_last=2**20), 20 * MS))
        for seed in (1, 1, 2)
    )
    assert one == two
    assert one["totals"] != other["totals"]


def test_events_are_the_same_for_the_same_seed() -> None:
    one, two, other = (events_of(busy_machine(seed), 5 * MS) for seed in (1, 1, 2))
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
    assert one["t"].tobytes() != other["t"].tobytes()


def test_in_how_many_pieces_a_machine_runs_makes_no_difference() -> None:
    whole = answers(finish(busy_machine(), 10 * MS))
    assert answers(finish(busy_machine(), 10 * MS, operations=97)) == whole
    halves = finish(busy_machine(), 3 * MS + 1)
    assert answers(finish(halves, 10 * MS)) == whole


def test_taking_events_makes_no_difference() -> None:
    observed = busy_machine()
    events_of(observed, 10 * MS)
    assert answers(observed) == answers(finish(busy_machine(), 10 * MS))


def test_a_piece_has_no_more_rows_than_there_is_room_for() -> None:
    one, room = busy_machine(), _core.MACHINE_MIN_ROOM
    columns, done = one.run_events(SECOND, room)
    assert not done
    assert 0 < len(columns["t"]) <= room
    assert {name: column.dtype for name, column in columns.items()} == {
        name: np.dtype(kind) for name, kind in _core.MACHINE_EVENT_COLUMNS.items()
    }


def test_into_how_many_pieces_the_events_are_cut_makes_no_difference() -> None:
    room = _core.MACHINE_MIN_ROOM
    small, large = (events_of(busy_machine(), 250 * MS, rows) for rows in (room, 4 * room))
    assert len(small["t"]) > 2 * room
    assert all(small[name].tobytes() == large[name].tobytes() for name in small)


# -------------------------------------------------------------------- laws of closed loops


def test_without_contention_throughput_is_lanes_by_the_time_of_a_round() -> None:
    # Little's law. Each CPU for itself: think 7 us, submit 1 us, latency 10 us, complete 2 us.
    one = flow(
        range(4),
        think=constant(7 * US),
        latency=constant(10 * US),
        submit_work=1 * US,
        complete_work=2 * US,
    )
    for depth in (1, 2):
        run = finish(machine(one | {"depth": depth}, prices={}), 100 * MS)
        assert run.totals()["requests"] == pytest.approx(4 * depth * 100e-3 / 20e-6, rel=0.01)


def test_the_price_of_a_call_that_the_cache_serves_is_part_of_the_round() -> None:
    one = flow(range(4), think=constant(1 * US))
    run = finish(machine(one, prices={"alloc_hit": 300 * NS, "free_hit": 200 * NS}), 10 * MS)
    totals = run.totals()
    assert totals["requests"] == pytest.approx(4 * 10e-3 / 1.5e-6, rel=0.01)
    assert totals["cpu"]["alloc"] == pytest.approx(totals["requests"] * 300 * NS, rel=0.01)
    assert totals["cpu"]["free"] == pytest.approx(totals["requests"] * 200 * NS, rel=0.01)


def test_the_mean_of_a_distribution_is_what_counts() -> None:
    one = flow(range(4), depth=8, think=uniform(0, 100 * US), latency=uniform(10 * US, 30 * US))
    run = finish(machine(one, prices={}), 200 * MS)
    assert run.totals()["requests"] == pytest.approx(32 * 0.2 / 70e-6, rel=0.01)


def test_a_device_serves_no_more_than_it_can() -> None:
    one = flow(range(4), depth=16, latency=constant(5 * US), service=1 * US)
    run = finish(machine(one, prices={}), 50 * MS)
    assert run.totals()["requests"] == pytest.approx(50e-3 / 1e-6, rel=0.01)


def test_the_device_never_has_more_than_it_takes_at_a_time() -> None:
    one = flow(range(4), depth=16, latency=constant(20 * US), in_flight=5)
    run = machine(one, prices={})
    columns = events_of(run, 20 * MS)
    change = np.select([columns["op"] == int(Op.ALLOC), columns["op"] == int(Op.FREE)], [1, -1])
    assert np.cumsum(change).max() == 5
    assert run.replay_totals()["live_ranges_peak"] == 5
    assert run.totals()["requests"] == pytest.approx(5 * 20e-3 / 20e-6, rel=0.01)


def test_no_cpu_is_busy_for_longer_than_there_is_time() -> None:
    one = flow(range(4), depth=8, submit_work=1 * US)  # nothing else: all CPUs always have work
    run = finish(machine(one), 20 * MS)
    totals = run.totals()
    assert 0.99 <= totals["busy"] / (4 * totals["now"]) <= 1.001
    # Three of four CPUs submit nothing; one completes for all.
    funnel = flow([0], depth=8, complete_cpus=[0], submit_work=1 * US)
    totals = finish(machine(funnel), 20 * MS).totals()
    assert 0.249 <= totals["busy"] / (4 * totals["now"]) <= 0.2502


@pytest.mark.parametrize("lazy", [False, True])
def test_a_cpu_makes_one_call_at_a_time(lazy: bool) -> None:
    domains = [domain(lazy=lazy, flush=3 * US)]
    columns = events_of(busy_machine(domains=domains), 30 * MS)
    calls = np.isin(columns["op"], (int(Op.ALLOC), int(Op.FREE)))
    assert (columns["t_end"][calls] >= columns["t"][calls]).all()
    for cpu in range(4):
        here = calls & (columns["cpu"] == cpu)
        order = np.argsort(columns["t"][here], kind="stable")
        start, end = columns["t"][here][order], columns["t_end"][here][order]
        assert len(start) > 100
        assert (start[1:] >= end[:-1]).all()


def test_an_idle_flow_sleeps_and_a_late_one_begins_late() -> None:
    half = flow([0], think=constant(10 * US), on=2 * MS, off=2 * MS)
    late = flow([1], think=constant(10 * US), start=30 * MS)
    alone = finish(machine(half, prices={}), 40 * MS).totals()["requests"]
    assert alone == pytest.approx(0.5 * 40e-3 / 10e-6, rel=0.02)
    both = finish(machine(half, late, prices={}), 40 * MS).totals()["requests"]
    assert both - alone == pytest.approx(10e-3 / 10e-6, rel=0.02)


# ------------------------------------------------------------------------- what was done


def test_counters_add_up() -> None:
    run = finish(busy_machine(), 30 * MS)
    totals, replay = run.totals(), run.replay_totals()
    hits = sum_of(run, "hits_loaded", "hits_previous", "hits_depot")
    assert hits + sum_of(run, "tree_allocations") == replay["allocations"] - replay["failed"]
    assert hits > 0
    assert sum_of(run, "hits_depot") > 0
    assert totals["operations"] == replay["allocations"] + replay["frees"]
    assert run.alloc_times().sum() == replay["allocations"]
    assert run.free_times().sum() == replay["frees"]
    assert replay["live_ranges"] == replay["allocations"] - replay["failed"] - replay["frees"]
    assert totals["requests"] == replay["frees"]


def test_the_series_ends_where_the_totals_do() -> None:
    run = finish(busy_machine(), 30 * MS)
    samples, totals = run.samples(), run.totals()
    assert len(samples["t"]) == 301
    for name in _core.MACHINE_SAMPLE_FIELDS:
        assert samples[name].shape == samples["t"].shape
        if name != "queued":
            assert (np.diff(samples[name]) >= 0).all(), name
    assert samples["operations"][-1] == pytest.approx(totals["operations"], abs=8)
    assert samples["cpu_alloc_ps"][-1] == pytest.approx(totals["cpu"]["alloc"], rel=0.01)
    assert samples["wait_tree_ps"][-1] == pytest.approx(totals["lock"]["tree"]["wait"], rel=0.01)
    pages = run.cpu_pages()
    assert pages is not None
    depot = samples["depot"][-1] @ (127 << np.arange(samples["depot"].shape[1]))
    assert pages[-1].sum() + depot == samples["cached_pages"][-1]


def test_ranges_too_large_for_the_caches_make_cpus_wait_for_the_tree() -> None:
    one = flow(range(4), depth=4, sizes=[(64, 1)])
    tree = finish(machine(one), 10 * MS).totals()["lock"]["tree"]
    assert tree["waited"] > 0
    assert tree["wait_longest"] <= 3 * tree["held_longest"] + PRICES["line"] * 8
    # At the end, the holds of those that wait are known already.
    assert tree["held"] <= 10 * MS + 4 * tree["held_longest"]
    alone = finish(machine(flow([0], depth=4, sizes=[(64, 1)])), 10 * MS).totals()["lock"]
    assert alone["tree"]["taken"] > 0
    assert alone["tree"]["waited"] == 0


def test_the_events_of_a_strict_domain_are_calls_on_dense_slots() -> None:
    run = busy_machine()
    columns = events_of(run, 10 * MS)
    assert (np.diff(columns["t"]) >= 0).all()
    ops = columns["op"]
    assert ops[:2].tolist() == [int(Op.CREATE), int(Op.MAKE_CACHES)]
    allocs = ops == int(Op.ALLOC)
    live: dict[int, int] = {}
    highest = -1
    for op, slot, pfn in zip(ops, columns["slot"], columns["pfn"], strict=True):
        if op == int(Op.ALLOC):
            assert slot not in live
            assert slot <= highest + 1
            highest = max(highest, slot)
            live[slot] = pfn
        elif op == int(Op.FREE):
            assert live.pop(slot) == pfn
    assert allocs.sum() == run.replay_totals()["allocations"]
    assert NO_SLOT not in columns["slot"][allocs]


def test_a_flush_queue_holds_frees_back_until_its_timer() -> None:
    one = flow([0], think=constant(50 * US))
    run = finish(machine(one, domains=[domain(lazy=True, flush=1 * US)]), 95 * MS)
    totals = run.totals()
    # The first entry starts the timer, which fires 10 ms later; each is done in no time.
    assert totals["timer_runs"] == 9
    assert 150 < totals["queued_peak"] <= 255
    assert totals["lost"] == 0
    assert totals["cpu"]["timer"] > 0


def test_a_stalled_flush_loses_ranges_under_linux_rule_and_none_under_the_other() -> None:
    one = flow(range(4), depth=400, think=constant(400 * US), latency=uniform(0, 100 * US))
    lost = []
    for rule in (0, 1):
        lazy = domain(lazy=True, flush=2 * US, queue_rule=rule, stall_every=5, stall=20 * MS)
        lost.append(finish(machine(one, domains=[lazy]), 300 * MS).totals()["lost"])
    assert lost[0] > 0
    assert lost[0] % 256 == 0
    assert lost[1] == 0


def test_a_faulty_driver_leaks_ranges_and_frees_others_as_of_another_size() -> None:
    one = flow(range(2), think=constant(10 * US), sizes=[(4, 1)])
    run = machine(one | {"leak_every": 10, "wrong_every": 7, "wrong_pages": 2})
    columns = events_of(run, 20 * MS)
    totals = run.totals()
    sizes = columns["size"][columns["op"] == int(Op.FREE)]
    assert totals["leaked"] == pytest.approx(totals["requests"] / 10, abs=1)
    assert totals["wrong"] == (sizes == 2).sum() == pytest.approx(len(sizes) / 7, abs=1)
    assert set(sizes.tolist()) == {2, 4}
    replay = run.replay_totals()
    assert replay["live_ranges"] - totals["leaked"] <= 2


@pytest.mark.parametrize("lazy", [False, True])
def test_unmaps_and_timers_of_a_lazy_domain_are_rows_beside_the_calls(lazy: bool) -> None:
    one = flow([0], think=constant(50 * US), sizes=[(4, 1)])
    run = machine(one, domains=[domain(lazy=lazy, flush=1 * US)])
    columns = events_of(run, 35 * MS)
    unmaps, timers = (columns["op"] == int(op) for op in (Op.UNMAP, Op.FLUSH_TIMER))
    if not lazy:
        assert not unmaps.any()
        assert not timers.any()
        return
    allocs = columns["op"] == int(Op.ALLOC)
    assert columns["pfn"][unmaps].tolist() == columns["pfn"][allocs][: unmaps.sum()].tolist()
    assert (columns["last"][unmaps] - columns["pfn"][unmaps] == 3).all()
    assert timers.sum() == run.totals()["timer_runs"] == 3
    assert (columns["domain"][unmaps | timers] == 0xFFFF_FFFF).all()


def test_a_driver_that_is_unbound_and_bound_gets_a_new_domain() -> None:
    one = flow(range(2), depth=4, think=constant(20 * US), rebind=5 * MS)
    run = machine(one)
    columns = events_of(run, 23 * MS)
    assert run.totals()["rebinds"] == 4
    ends = columns["op"] == int(Op.DESTROY)
    starts = columns["op"] == int(Op.CREATE)
    assert (ends.sum(), starts.sum()) == (4, 5)
    assert columns["domain"][starts].tolist() == [0, 1, 2, 3, 4]
