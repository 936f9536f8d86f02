"""What a live domain calls: policies in Python, and on_flush; and what they may do and not do."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import iova
from iova import Domain
from iova.designs import Decision, View
from waiting import eventually

PAGE = 4096
RING = 255  #: deferred frees that a CPU's queue holds
OLD_S = 0.011  #: after which they are too old
MS = 1_000_000

pytestmark = pytest.mark.timeout(60)


class Giving:
    """Soon after a push, give back whatever is in the depot, and do something else before."""

    arm_delay_ns = MS

    def __init__(self, before: Callable[[View], object] = lambda _view: None) -> None:
        self.before = before
        self.looks = 0

    def look(self, view: View) -> Decision:
        self.looks += 1
        self.before(view)
        return Decision(release=view.depot)


def fill_depot(domain: Domain, pages: int = 1) -> None:
    """Free so much at once that some of it goes to the depot, whichever CPUs this runs on."""
    domain.free_many(domain.alloc_many(5000, pages * PAGE), pages * PAGE)


def defer_all(domain: Domain, addresses: list[int]) -> None:
    for address in addresses:
        domain.defer(address, PAGE)


def nothing_is_lost(domain: Domain) -> None:
    domain.flush_caches()
    stats = domain.stats()
    assert (stats.live, stats.cached, stats.deferred) == (0, 0, 0)
    assert domain._check() is None


# ---- policies -----------------------------------------------------------------------------------


def test_a_policy_decides_in_the_background() -> None:
    policy = Giving()
    with Domain(design=policy) as domain:
        fill_depot(domain)
        eventually(lambda: domain.stats().classes[0].reclaimed > 10)
        eventually(lambda: domain.stats().classes[0].depot == 0)
        assert policy.looks == domain.stats().reclaim_runs
        nothing_is_lost(domain)


def test_a_policy_is_shown_the_live_domain() -> None:
    seen: list[tuple[Any, ...]] = []

    def note(view: View) -> None:
        cpus = [view.cpu(cpu) for cpu in range(view.cpus_possible)]
        seen.append((view.size_class, view.classes, view.depot, view.pushed, cpus))

    with Domain(design=Giving(note), classes=3, cpus=2) as domain:
        fill_depot(domain, 4)
        eventually(lambda: seen)
        size_class, classes, depot, pushed, cpus = seen[0]
        assert (size_class, classes, len(cpus)) == (2, 3, 2)
        assert 0 < depot <= pushed
        assert sum(cpu["puts"] for cpu in cpus) <= 5000


def test_a_design_by_name_and_with_parameters() -> None:
    with Domain(design="linux-6.12,threshold=0,delay_ms=1") as domain:
        fill_depot(domain)
        eventually(lambda: domain.stats().classes[0].depot == 0)
        nothing_is_lost(domain)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda _view: 1 / 0, id="raises"),
        pytest.param(lambda view: view.cpu(99), id="asks for a CPU that is not"),
        pytest.param(lambda _view: (_ for _ in ()).throw(SystemExit(3)), id="wants to exit"),
    ],
)
def test_a_policy_that_raises_is_reported_once_and_the_default_takes_over(
    fault: Callable[[View], object], caplog: pytest.LogCaptureFixture
) -> None:
    policy = Giving(fault)
    with Domain(design=policy, name="nic", cpus=1) as domain:
        fill_depot(domain)
        eventually(lambda: caplog.records)
        # linux-7.3 gives back one magazine every 100 ms, down to the number of CPUs.
        eventually(lambda: domain.stats().classes[0].reclaimed >= 2)
        fill_depot(domain, 2)
        eventually(lambda: domain.stats().classes[1].reclaimed >= 1)
        nothing_is_lost(domain)
    assert policy.looks == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("iova", logging.ERROR)
    assert record.getMessage() == "the policy of nic raised; linux-7.3 decides from now on"
    assert record.exc_info
    assert record.exc_info[2] is not None, "the traceback shows where"


@pytest.mark.parametrize(
    "decision",
    [
        "nonsense",
        Decision(trim=[7]),
        Decision(trim=[-1]),
        Decision(trim=[0.5]),  # type: ignore[list-item]
        Decision(release=-1),
        Decision(release=1.5),  # type: ignore[arg-type]
        5,
    ],
)
def test_a_decision_that_makes_no_sense_counts_as_an_error(
    decision: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Confused(Giving):
        def look(self, view: View) -> Decision:
            super().look(view)
            found: Decision = decision
            return found

    policy = Confused()
    with Domain(design=policy, name="nic", cpus=1) as domain:
        fill_depot(domain)
        eventually(lambda: domain.stats().classes[0].reclaimed >= 1)
        assert policy.looks == 1
        nothing_is_lost(domain)
    (record,) = caplog.records
    told = record.getMessage()
    assert told.startswith("the policy of nic: look() returned ")
    assert told.endswith("; linux-7.3 decides from now on")
    assert not record.exc_info


def test_a_policy_that_blocks_holds_up_nobody_but_the_background() -> None:
    entered, leave = threading.Event(), threading.Event()

    def block(_view: View) -> None:
        entered.set()
        leave.wait(30)

    began = time.monotonic()
    with Domain(design=Giving(block)) as domain, Domain() as other:
        try:
            fill_depot(domain)
            assert entered.wait(20)
            fill_depot(domain)
            fill_depot(other)
            domain.flush_caches()
            assert domain.stats().live == 0
            domain.close()  # does not wait
            with pytest.raises(iova.Closed):
                domain.alloc(PAGE)
        finally:
            leave.set()
    assert time.monotonic() - began < 20


def test_a_policy_may_call_the_domain() -> None:
    errors: list[BaseException] = []

    def call(_view: View) -> None:
        try:
            domain.free(domain.alloc(PAGE))
            domain.free_many(domain.alloc_many(300, PAGE), PAGE)
            domain.flush_caches()
            domain.defer(domain.alloc(2 * PAGE))
            assert domain.stats().deferred
            assert domain.ranges().shape == (0, 2)
        except BaseException as error:
            errors.append(error)
            raise

    policy = Giving(call)
    with Domain(design=policy) as domain:
        fill_depot(domain)
        eventually(lambda: policy.looks >= 3 or errors)
        assert not errors


def test_a_policy_may_close_its_domain() -> None:
    policy = Giving(lambda _view: domain.close())
    domain = Domain(design=policy)
    fill_depot(domain)
    eventually(lambda: domain.is_closed)
    with pytest.raises(iova.Closed):
        domain.alloc(PAGE)
    time.sleep(0.02)
    assert policy.looks == 1


def test_an_object_without_look_is_no_policy() -> None:
    with pytest.raises(TypeError, match="no method look"):
        Domain(design=object())  # type: ignore[arg-type]


# ---- deferred frees -----------------------------------------------------------------------------


def test_a_deferred_range_is_not_handed_out_before_its_flush() -> None:
    with Domain(windows=[(0x10000, 0x13FFF)], cpus=1) as domain:
        first, second, *_ = domain.alloc_many(4, PAGE).tolist()
        ticket = domain.defer(first, PAGE)
        later = domain.defer(second, PAGE)
        assert later > ticket > 0
        found = domain.find(first)
        assert found is not None
        assert found.state == "deferred"
        with pytest.raises(iova.NoSpace, match="2 wait for an IOTLB flush"):
            domain.alloc(PAGE)
        domain.flushed(ticket)
        assert domain.alloc(PAGE) == first
        with pytest.raises(iova.NoSpace):
            domain.alloc(PAGE)
        domain.flushed(later)
        assert domain.alloc(PAGE) == second


def test_what_can_not_be_freed_can_not_be_deferred() -> None:
    with Domain() as domain:
        address = domain.alloc(PAGE)
        with pytest.raises(iova.SizeMismatch):
            domain.defer(address, 2 * PAGE)
        with pytest.raises(iova.NotAllocated):
            domain.defer(address + 1)
        domain.defer(address)
        with pytest.raises(iova.DoubleFree, match="was deferred already"):
            domain.defer(address)
        with pytest.raises(iova.DoubleFree, match="was deferred already"):
            domain.free(address)
        with pytest.raises(ValueError, match="ticket 77 was not given out"):
            domain.flushed(77)
        with pytest.raises(ValueError, match="ticket 0 was not given out"):
            domain.flushed(0)


def test_without_on_flush_a_full_queue_asks_for_a_flush() -> None:
    with Domain(cpus=1) as domain:
        addresses = domain.alloc_many(RING + 1, PAGE).tolist()
        with pytest.raises(iova.FlushNeeded) as caught:
            defer_all(domain, addresses)
        error = caught.value
        assert (error.size, error.__cause__) == (PAGE, None)
        assert f"flushed({error.ticket})" in str(error)
        assert error.address is not None
        found = domain.find(error.address)
        assert found is not None
        assert found.state == "live"
        domain.flushed(error.ticket)
        assert domain.defer(error.address, PAGE) > error.ticket
        assert domain.stats().deferred <= RING


def test_without_on_flush_an_old_entry_asks_for_a_flush() -> None:
    with Domain(cpus=1) as domain:
        one, two = domain.alloc_many(2, PAGE).tolist()
        ticket = domain.defer(one)
        time.sleep(OLD_S)
        with pytest.raises(iova.FlushNeeded) as caught:
            domain.defer(two)
        assert caught.value.ticket == ticket


def test_on_flush_is_called_when_the_queue_is_full_and_the_frees_are_done() -> None:
    calls: list[int] = []
    with Domain(cpus=1, on_flush=lambda: calls.append(1)) as domain:
        addresses = domain.alloc_many(1000, PAGE)
        defer_all(domain, addresses.tolist())
        assert len(calls) >= 3
        assert domain.stats().iotlb_flushes == len(calls)
        eventually(lambda: domain.stats().deferred == 0)
        nothing_is_lost(domain)


def test_on_flush_is_called_in_the_background_when_the_oldest_is_too_old() -> None:
    threads: list[str] = []
    with Domain(on_flush=lambda: threads.append(threading.current_thread().name)) as domain:
        domain.defer(domain.alloc(PAGE))
        eventually(lambda: domain.stats().deferred == 0)
        assert threads
        assert threads[0] != threading.current_thread().name
        nothing_is_lost(domain)


@pytest.mark.parametrize("false", [False, np.False_, 0])
def test_an_on_flush_that_returns_something_false_has_not_flushed(false: object) -> None:
    answers = [false, false]
    with Domain(cpus=1, on_flush=lambda: answers.pop() if answers else True) as domain:
        address = domain.alloc(PAGE)
        domain.defer(address)
        eventually(lambda: domain.stats().deferred == 0)
        assert not answers
        assert domain.stats().iotlb_flushes == 3


def test_what_a_failed_on_flush_returned_is_told_by_flush_needed() -> None:
    failed = pytest.raises(iova.FlushNeeded, match="on_flush returned 0, which says that it could")
    with Domain(cpus=1, on_flush=lambda: 0) as domain, failed:
        defer_until_flush(domain)


def test_what_a_failed_on_flush_returned_in_the_background_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = [0, 0, 0]
    with Domain(on_flush=lambda: answers.pop() if answers else None, name="nic") as domain:
        domain.defer(domain.alloc(PAGE))
        eventually(lambda: domain.stats().deferred == 0)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("iova", logging.ERROR)
    assert record.getMessage().startswith("on_flush of nic returned 0, ")


def defer_until_flush(domain: Domain) -> None:
    """Fill the queue of a domain with one CPU."""
    defer_all(domain, domain.alloc_many(RING + 1, PAGE).tolist())


def test_an_on_flush_that_raises_is_the_cause_and_the_range_stays_live() -> None:
    broken = OSError("the device is gone")

    def flush() -> None:
        raise broken

    with Domain(cpus=1, on_flush=flush) as domain:
        with pytest.raises(iova.FlushNeeded) as caught:
            defer_until_flush(domain)
        assert caught.value.__cause__ is broken
        assert caught.value.address is not None
        found = domain.find(caught.value.address)
        assert found is not None
        assert found.state == "live"


def test_ctrl_c_in_on_flush_is_ctrl_c() -> None:
    def flush() -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    with Domain(cpus=1, on_flush=flush) as domain:
        addresses = domain.alloc_many(RING + 1, PAGE).tolist()
        with pytest.raises(KeyboardInterrupt):
            defer_all(domain, addresses)
        states = [found.state if (found := domain.find(address)) else None for address in addresses]
        assert states.count("live") >= 1
        assert set(states) <= {"live", "deferred", None}


def test_an_on_flush_that_raises_in_the_background_is_reported_and_called_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = [ValueError("first"), ValueError("second")]

    def flush() -> None:
        if faults:
            raise faults.pop(0)

    with Domain(on_flush=flush, name="nic") as domain:
        domain.defer(domain.alloc(PAGE))
        eventually(lambda: domain.stats().deferred == 0)
    # Once, until it succeeds again.
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == ["first"]
    assert "on_flush of nic raised" in caplog.text


def test_on_flush_may_call_the_domain() -> None:
    spare: list[int] = []

    def flush() -> None:
        domain.free(domain.alloc(PAGE))
        domain.flush_caches()
        spare.extend(domain.alloc_many(2, 8 * PAGE).tolist())
        assert domain.stats().iotlb_flushes

    with Domain(cpus=1, on_flush=flush) as domain:
        defer_all(domain, domain.alloc_many(600, PAGE).tolist())
        assert spare


def test_a_defer_takes_as_long_as_the_on_flush_that_it_calls() -> None:
    threads: list[int] = []

    def flush() -> None:
        time.sleep(0.05)
        threads.append(threading.get_ident())

    with Domain(cpus=1, on_flush=flush) as domain:
        defer_all(domain, domain.alloc_many(1000, PAGE).tolist())
        assert threading.get_ident() in threads


def test_an_on_flush_that_defers_is_not_entered_again() -> None:
    depth = 0
    deepest = 0

    def flush() -> None:
        nonlocal depth, deepest
        if threading.current_thread() is not threading.main_thread():
            return
        depth += 1
        deepest = max(deepest, depth)
        try:
            domain.defer(domain.alloc(PAGE))  # the queue is still full
        finally:
            depth -= 1

    with Domain(cpus=1, on_flush=flush) as domain:
        with pytest.raises(iova.FlushNeeded) as caught:
            defer_until_flush(domain)
        assert isinstance(caught.value.__cause__, iova.FlushNeeded)
        assert deepest == 1


def test_on_flush_may_close_the_domain() -> None:
    with Domain(cpus=1, on_flush=lambda: domain.close()) as domain:
        with pytest.raises(iova.Closed):
            defer_all(domain, domain.alloc_many(2 * RING, PAGE).tolist())
        assert domain.is_closed


def test_another_thread_may_close_the_domain_while_on_flush_runs() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def flush() -> None:
        inside.set()
        go_on.wait(20)

    domain = Domain(cpus=1, on_flush=flush)
    addresses = domain.alloc_many(3 * RING, PAGE).tolist()
    caught: list[BaseException] = []

    def defer() -> None:
        try:
            defer_all(domain, addresses)
        except iova.DomainError as error:
            caught.append(error)

    thread = threading.Thread(target=defer)
    thread.start()
    assert inside.wait(20)
    domain.close()
    go_on.set()
    thread.join(20)
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [iova.Closed]


# ---- reference cycles ---------------------------------------------------------------------------


def test_a_domain_in_a_cycle_with_its_callbacks_is_collected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Driver:
        def __init__(self) -> None:
            self.domain = Domain(on_flush=self.flush, design=Giving(self.look))

        def flush(self) -> None:
            assert self.domain is not None

        def look(self, _view: View) -> None:
            assert self.domain is not None

    gc.collect()
    for _ in range(20):
        driver = Driver()
        gone = weakref.ref(driver.domain)
        driver.domain.defer(driver.domain.alloc(PAGE))
        fill_depot(driver.domain)
        del driver
        eventually(lambda gone=gone: gc.collect() is not None and gone() is None)  # type: ignore[misc]
    assert not caplog.records


def test_a_domain_that_is_forgotten_with_live_ranges_is_closed() -> None:
    domain = Domain()
    domain.alloc_many(1000, PAGE)
    gone = weakref.ref(domain)
    del domain
    gc.collect()
    assert gone() is None
