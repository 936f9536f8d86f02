"""The simulated machine and who uses it: policies in Python, threads, life times, mistakes."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iova import _core
from iova.designs import Decision
from iova.events import Op
from machines import (
    MS,
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

# ---------------------------------------------------------------------- policies in Python


class Keeper:
    """Gives everything back 1 ms after a push, and notes the times."""

    arm_delay_ns = 1_000_000

    def __init__(self, also: Callable[[], object] | None = None) -> None:
        self.also = also
        self.seen: list[int] = []

    def look(self, view: _core.View) -> Decision:
        self.seen.append(view.now_ns)
        if self.also:
            self.also()
        return Decision(release=view.depot)


def test_a_policy_in_python_decides() -> None:
    policy = Keeper()
    run = finish(busy_machine(design=policy), 30 * MS)
    assert policy.seen == sorted(policy.seen)
    assert len(policy.seen) > 3
    assert sum_of(run, "reclaimed") > 0
    assert run.totals()["job_runs"] == len(policy.seen)


def test_what_a_policy_raises_is_raised_by_the_run() -> None:
    def fail() -> None:
        raise RuntimeError("a policy's own mistake")

    with pytest.raises(RuntimeError, match="own mistake"):
        finish(busy_machine(design=Keeper(fail)), 30 * MS)


def test_a_machine_goes_no_further_once_a_policy_has_failed() -> None:
    looks = []

    def stop() -> None:
        looks.append(None)
        raise KeyboardInterrupt

    flows = [
        flow(range(4), domain=number, depth=64, complete_cpus=[0], latency=uniform(0, 400 * US))
        for number in range(2)
    ]
    run = machine(*flows, domains=[domain(), domain()], design=Keeper(stop))
    with pytest.raises(KeyboardInterrupt):
        run.run(SECOND, 1 << 40)
    assert len(looks) == 1
    with pytest.raises(ValueError, match="a policy has failed"):
        run.run(SECOND, 1)


def test_a_policy_can_not_use_the_machine_it_runs_in() -> None:
    made: list[_core.Machine] = []
    calls = (
        lambda one: one.run(SECOND, 1),
        lambda one: one.run_events(SECOND, _core.MACHINE_MIN_ROOM),
        lambda one: one.totals(),
        lambda one: one.replay_totals(),
        lambda one: one.counters(0),
        lambda one: one.samples(),
        lambda one: one.cpu_pages(),
        lambda one: one.maps(),
        lambda one: one.alloc_times(),
        lambda one: one.free_times(),
    )
    refused = []

    def use() -> None:
        for call in calls:
            try:
                call(made[0])
            except RuntimeError as error:
                refused.append(str(error))

    made.append(busy_machine(design=Keeper(use), map_bins=8, map_last=2**20))
    finish(made[0], 10 * MS)
    assert len(refused) >= len(calls)
    assert len(refused) % len(calls) == 0
    assert all("running" in text for text in refused)
    assert made[0].totals()["now"] == 10 * MS


def test_a_second_thread_is_refused_while_a_machine_runs() -> None:
    looks, seen = threading.Event(), threading.Event()

    def wait() -> None:
        looks.set()
        assert seen.wait(30)

    run = busy_machine(design=Keeper(wait))
    thread = threading.Thread(target=finish, args=(run, 10 * MS))
    thread.start()
    try:
        assert looks.wait(30)
        with pytest.raises(RuntimeError, match="running"):
            run.totals()
        with pytest.raises(RuntimeError, match="running"):
            run.run(SECOND, 1)
    finally:
        seen.set()
        thread.join()
    assert run.totals()["now"] == 10 * MS


def test_a_second_thread_is_refused_while_a_replay_runs() -> None:
    made: list[_core.Replay] = []
    refused = []

    def use() -> None:
        for call in (made[0].totals, made[0].samples, lambda: made[0].advance(0)):
            try:
                call()
            except RuntimeError as error:
                refused.append(str(error))

    design = _core.Design(Keeper(use))
    made.append(_core.Replay([design], [(4096, 1)], possible=1))
    n = 127 * 3
    zeros = {name: np.zeros(2 * n, dtype=kind) for name, kind in _core.EVENT_COLUMNS.items()}
    made[0].feed(
        zeros
        | {
            "op": np.repeat([int(Op.ALLOC), int(Op.FREE)], n),
            "slot": np.tile(np.arange(n), 2),
            "size": np.ones(2 * n),
            "limit": np.full(2 * n, 0xFFFFF),
        }
    )
    made[0].advance(10**9)
    assert len(refused) == 3
    made[0].totals()


# ---------------------------------------------------------------- life times and mistakes


def test_arrays_are_copied() -> None:
    cpus, think = np.arange(4, dtype=np.uint16), constant(5 * US)
    sizes = np.array([[1, 1]], dtype=np.uint64)
    one = flow(cpus, think=think, sizes=sizes)
    run = machine(one)
    cpus[:], think[:], sizes[:] = 60_000, 0, 2**60
    assert (
        finish(run, 10 * MS).totals()
        == finish(machine(flow(range(4), think=constant(5 * US))), 10 * MS).totals()
    )


def test_machines_that_are_not_used_any_more_give_their_memory_back() -> None:
    def make(cpus: int) -> None:
        domains = [domain(lazy=True, reserved=[(0xFEE00, 0xFEEFF)]) for _ in range(4)]
        one = flow(range(cpus), depth=8, think=uniform(0, 10 * US), domains=4)
        run = machine(one, cpus=cpus, domains=domains, sample_ns=100_000)
        events_of(run, 1 * MS)
        run.samples()

    def resident_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    for _ in range(5):
        make(64)
    before = resident_pages()
    for _ in range(60):
        make(64)
    # Each has 4 domains of 64 CPUs with 12 magazines a CPU: 3 MiB at least.
    assert (resident_pages() - before) * resource.getpagesize() < 20 << 20


def test_a_machine_in_a_cycle_with_its_policy_can_be_collected() -> None:
    class Cyclic(Keeper):
        machine: _core.Machine

    for _ in range(20):
        policy = Cyclic()
        policy.machine = busy_machine(design=policy)
        finish(policy.machine, 2 * MS)


def test_a_timeline_of_no_kind_is_of_no_use() -> None:
    with pytest.raises(TypeError, match="Machine"):
        _core.Timeline().counters(0)


def bad_flow(**values: Any) -> Callable[[], object]:
    return lambda: machine(flow(range(4)) | values)


def bad_domain(**values: Any) -> Callable[[], object]:
    return lambda: machine(flow(range(4)), domains=[domain(**values)])


def bad_machine(**values: Any) -> Callable[[], object]:
    return lambda: machine(flow(range(4)), **values)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (bad_flow(depht=3), "flow 0 has no depht; it has: complete_cpus"),
        (bad_domain(grain=1), "domain 0 has no grain"),
        (bad_machine(prices={"allok_hit": 1}), "the price table has no allok_hit"),
        (bad_flow(submit_cpus=[]), "submit_cpus: at least one"),
        (bad_flow(complete_cpus=None), "complete_cpus: at least one"),
        (bad_flow(sizes=[]), "sizes: at least one"),
        (bad_flow(sizes=[1, 1]), "shape"),
        (bad_flow(sizes=[(1, 1, 1)]), "shape"),
        (bad_flow(sizes=[(1, 2**32)]), "weight"),
        (bad_flow(submit_cpus=[0.5]), "whole numbers"),
        (bad_flow(submit_cpus=[-1]), "not within 0..65535"),
        (bad_flow(submit_cpus=[65536]), "not within 0..65535"),
        (bad_flow(think=[1, 2, 3]), "1025 quantiles are wanted, not 3"),
        (bad_flow(latency=np.arange(1025)[::-1]), "do not fall"),
        (bad_domain(reserved=[(1, 2, 3)]), "shape"),
        (lambda: machine(), "at least one flow"),
        (lambda: _core.Machine([], domains=[], flows=[flow([0])], prices={}, cpus_possible=1,
                               cpus_online=1, cpus_per_node=1), "one design a domain"),
        (bad_flow(submit_cpus=[4]), "out of range"),
        (bad_flow(complete_cpus=[4]), "out of range"),
        (bad_flow(domain=1), "out of range"),
        (bad_flow(domains=2), "out of range"),
        (bad_flow(domains=0), "out of range"),
        (bad_flow(submitters=0), "out of range"),
        (bad_flow(depth=0), "out of range"),
        (bad_flow(submitters=2**22, depth=2), "out of range"),
        (bad_flow(submitters=2**31, depth=2), "out of range"),
        (bad_flow(sizes=[(0, 1)]), "out of range"),
        (bad_flow(sizes=[(1, 0)]), "out of range"),
        (bad_flow(sizes=[(1, 1)] * 65), "out of range"),
        (bad_flow(limit_rule=3), "out of range"),
        (bad_flow(wrong_every=1, wrong_pages=0), "out of range"),
        (bad_domain(granule=3), "out of range"),
        (bad_domain(queue_rule=2), "out of range"),
        (bad_machine(cpus_online=5), "out of range"),
        (bad_machine(cpus_online=0), "out of range"),
        (bad_machine(cpus_per_node=0), "out of range"),
        (bad_machine(classes=11), "out of range"),
        (bad_machine(cpus_possible=4097), "out of range"),
        (bad_machine(sample_ns=-1), "out of range"),
    ],
)  # fmt: skip
def test_a_machine_that_can_not_be_is_refused(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


def test_numbers_that_do_not_fit_are_refused() -> None:
    for make in (bad_flow(depth=2**32), bad_flow(think=[2**64] * 1025), bad_domain(flush=-1)):
        with pytest.raises((OverflowError, ValueError)):
            make()


def test_too_many_samples_end_the_run() -> None:
    run = machine(flow(range(4), think=constant(US)), sample_ns=1000, max_samples=10)
    with pytest.raises(ValueError, match="too many samples"):
        finish(run, 10 * MS)


def test_room_for_a_handful_of_events_is_no_room() -> None:
    with pytest.raises(ValueError, match="is wanted at least"):
        busy_machine().run_events(SECOND, _core.MACHINE_MIN_ROOM - 1)


@pytest.mark.parametrize("until", [2**62, 2**64 - 1])
def test_a_time_that_no_clock_reaches_is_refused(until: int) -> None:
    with pytest.raises(ValueError, match="not below"):
        busy_machine().run(until, 1)
    with pytest.raises(ValueError, match="not below"):
        busy_machine().run_events(until, _core.MACHINE_MIN_ROOM)


def test_events_are_given_in_every_run_or_in_none() -> None:
    one, other = busy_machine(), busy_machine()
    one.run(MS, 10)
    other.run_events(MS, _core.MACHINE_MIN_ROOM)
    with pytest.raises(ValueError, match="in every run or in none"):
        one.run_events(SECOND, _core.MACHINE_MIN_ROOM)
    with pytest.raises(ValueError, match="in every run or in none"):
        other.run(SECOND, 10)
