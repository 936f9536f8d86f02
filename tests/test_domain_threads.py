"""A live domain and what ends under it: other threads, processes, the interpreter."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import iova
from iova import Domain
from iova.designs import Decision, View
from scripts import output_of, run_script

PAGE = 4096

pytestmark = pytest.mark.timeout(120)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(number)`` in so many threads; raise what the first raised."""
    with ThreadPoolExecutor(count) as pool:
        for result in [pool.submit(work, number) for number in range(count)]:
            result.result()


# ---- threads ------------------------------------------------------------------------------------


def test_no_address_has_two_owners() -> None:
    owners: dict[int, int] = {}  # setdefault is one step for other threads
    domain = Domain()

    def work(number: int) -> None:
        numbers, held = random.Random(number), []
        for _ in range(3000):
            if held and numbers.random() < 0.5:
                address, size = held.pop(numbers.randrange(len(held)))
                assert owners.pop(address) == number
                domain.free(address, size)
            else:
                size = PAGE << numbers.randrange(8)
                address = domain.alloc(size)
                assert owners.setdefault(address, number) == number
                held.append((address, size))
        for address, size in held:
            assert owners.pop(address) == number
            domain.free(address, size)

    with domain:
        in_threads(4, work)
        assert domain.stats().live == 0
        domain.flush_caches()
        assert domain.stats().cached == 0
        assert domain._check() is None


def test_of_two_frees_of_one_range_one_fails() -> None:
    failed: list[int] = []

    def work(_number: int) -> None:
        for address in addresses:
            try:
                domain.free(address, PAGE)
            except iova.DoubleFree as error:
                failed.append(error.address or 0)

    with Domain() as domain:
        addresses = domain.alloc_many(5000, PAGE).tolist()
        in_threads(2, work)
        assert sorted(failed) == sorted(addresses)


def test_what_one_thread_allocates_another_may_free_after_it_has_ended() -> None:
    addresses: list[int] = []
    with Domain() as domain:
        for _ in range(50):
            thread = threading.Thread(
                target=lambda: addresses.extend(domain.alloc_many(100, PAGE).tolist())
            )
            thread.start()
            thread.join()
        domain.free_many(addresses, PAGE)
        assert domain.stats().live == 0


def test_a_domain_may_be_closed_while_others_allocate() -> None:
    def work(_number: int) -> None:
        with pytest.raises(iova.Closed):  # noqa: PT012
            while True:
                domain.free(domain.alloc(PAGE), PAGE)
                domain.free_many(domain.alloc_many(10, PAGE), PAGE)
                domain.flush_caches()
                domain.stats()
                domain.ranges()

    for _ in range(10):
        domain = Domain()
        closer = threading.Timer(0.02, domain.close)
        closer.start()
        in_threads(3, work)
        closer.join()


def test_the_budget_is_never_exceeded_by_threads_together() -> None:
    refused = 0

    def work(_number: int) -> None:
        nonlocal refused
        for _ in range(2000):
            try:
                address = domain.alloc(PAGE)
            except iova.OverBudget:
                refused += 1
                time.sleep(0)
            else:
                assert domain.stats().live <= 2
                domain.free(address)

    with Domain(budget=2) as domain:
        in_threads(4, work)
        assert domain.stats().live == 0


# ---- fork ---------------------------------------------------------------------------------------

BUSY = """
    import os, sys, threading, time
    import iova
    from iova.designs import Decision

    class Giving:
        arm_delay_ns = 1_000_000
        def look(self, view):
            return Decision(release=view.depot, again_ns=1_000_000)

    domain = iova.Domain(design=Giving(), on_flush=lambda: True)
    def exercise():
        domain.free_many(domain.alloc_many(3000, 4096), 4096)
        for _ in range(300):
            domain.defer(domain.alloc(8192), 8192)
        domain.flush_caches()
    exercise()
"""


def test_a_forked_child_has_the_same_domain_of_its_own() -> None:
    code = (
        BUSY
        + """
    kept = domain.alloc(4096)
    child = os.fork()
    if child == 0:
        assert domain.find(kept).state == "live"
        domain.free(kept, 4096)
        exercise()
        before = domain.stats().classes[0].reclaimed
        domain.free_many(domain.alloc_many(3000, 4096), 4096)
        end = time.monotonic() + 20
        while domain.stats().classes[0].reclaimed == before:  # its background thread starts again
            assert time.monotonic() < end
            time.sleep(0.001)
        end = time.monotonic() + 20
        while domain.stats().deferred:
            assert time.monotonic() < end
            time.sleep(0.001)
        assert domain._check() is None
        domain.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert domain.find(kept).state == "live"
    domain.free(kept, 4096)
    exercise()
    print(domain.stats().live, domain._check())
    """
    )
    assert output_of(code) == "0 None"


def test_fork_while_other_threads_and_the_background_are_busy() -> None:
    code = (
        BUSY
        + """
    stop = threading.Event()
    def work():
        while not stop.is_set():
            exercise()
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            exercise()
            domain.alloc_at(0x5000, 4096)
            domain.close()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    stop.set()
    for thread in threads:
        thread.join()
    print(domain.stats().live, domain._check())
    """
    )
    assert output_of(code, timeout=100) == "0 None"


def test_a_child_of_multiprocessing_uses_the_domain_and_ends() -> None:
    code = (
        BUSY
        + """
    import multiprocessing
    def work(_):
        exercise()
        return domain.stats().live
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(work, range(6)))
    """
    )
    assert output_of(code) == "[0, 0, 0, 0, 0, 0]"


def test_a_program_started_by_it_has_domains_of_its_own() -> None:
    code = """
    import subprocess, sys, iova
    domain = iova.Domain()
    domain.alloc(4096)
    print(subprocess.run([sys.executable, "-c", "import iova; print(iova.Domain().alloc(1))"],
                         capture_output=True, text=True, check=True).stdout.strip())
    """
    assert output_of(code) == str(2**48 - PAGE)


# ---- the end of the interpreter -----------------------------------------------------------------


def test_a_program_may_end_with_live_domains_and_work_under_way() -> None:
    for _ in range(5):
        assert output_of(BUSY + "    print('end')") == "end"


@pytest.mark.parametrize("how", ["sys.exit(3)", "os._exit(3)", "raise SystemExit(3)"])
def test_however_it_ends(how: str) -> None:
    done = run_script(BUSY + f"    {how}")
    assert (done.returncode, done.stderr) == (3, "")


def test_a_traceback_is_all_that_an_error_leaves() -> None:
    done = run_script(BUSY + "    1 / 0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_the_end_waits_a_second_at_most_for_a_policy_that_blocks() -> None:
    code = """
    import threading, time, iova
    class Blocking:
        arm_delay_ns = 1_000_000
        def look(self, view):
            entered.set()
            time.sleep(1000)
    entered = threading.Event()
    domain = iova.Domain(design=Blocking())
    domain.free_many(domain.alloc_many(3000, 4096), 4096)
    entered.wait()
    print("end")
    """
    began = time.monotonic()
    assert output_of(code, timeout=30) == "end"
    assert time.monotonic() - began < 10


def test_the_end_waits_for_a_policy_that_is_about_to_return() -> None:
    code = """
    import threading, time, iova
    class Slow:
        arm_delay_ns = 1_000_000
        def look(self, view):
            entered.set()
            time.sleep(0.2)
            print("returned", flush=True)
    entered = threading.Event()
    domain = iova.Domain(design=Slow())
    domain.free_many(domain.alloc_many(3000, 4096), 4096)
    entered.wait()
    """
    assert output_of(code).splitlines()[0] == "returned"


def test_once_the_interpreter_ends_only_its_own_threads_run_callbacks() -> None:
    code = """
    import atexit
    atexit.register(lambda: last())  # handlers run in reverse order: after that of iova
    import iova, time
    def flush():
        print("flushed")
    def last():
        domain.defer(domain.alloc(4096))
        time.sleep(0.1)
        print(domain.stats().deferred)
        for _ in range(300):
            domain.defer(domain.alloc(4096))
    domain = iova.Domain(on_flush=flush, cpus=1)
    """
    lines = output_of(code).splitlines()
    assert lines[0] == "1"
    assert set(lines[1:]) == {"flushed"}


def test_daemon_threads_may_be_inside_when_the_interpreter_ends() -> None:
    code = (
        BUSY
        + """
    def work():
        while True:
            exercise()
    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.1)
    print("end")
    """
    )
    for _ in range(3):
        assert output_of(code) == "end"


def test_domains_in_cycles_and_module_globals_are_left_to_the_end() -> None:
    code = """
    import gc, iova
    gc.disable()
    class Driver:
        def __init__(self):
            self.domain = iova.Domain(on_flush=self.flush)
            self.domain.defer(self.domain.alloc(4096))
        def flush(self):
            return self.domain is not None
    drivers = [Driver() for _ in range(50)]
    del drivers[::2]
    kept = drivers
    print("end")
    """
    assert output_of(code) == "end"


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """This thread stays on its CPU: what it freed is in the magazines it allocates from."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_cpu")
def test_a_design_chooses_magazines_and_classes_of_a_live_domain() -> None:
    with Domain(design="linux-7.3,magazine=7,classes=8,hold=3") as domain:
        first = [domain.alloc(4096) for _ in range(100)]
        for address in first:
            domain.free(address, 4096)
        stats = domain.stats().classes[0]
        assert stats.magazines_allocated == -(-100 // 7)
        assert stats.cached == 100
        assert sorted(domain.alloc(4096) for _ in range(100)) == sorted(first)
        large = domain.alloc(128 * 4096)
        domain.free(large, 128 * 4096)
        assert domain.alloc(128 * 4096) == large


def test_magazines_change_their_size_under_running_threads() -> None:
    sizes = [7, 255, 31, 127, 15, 63]
    made = []

    class Restless:
        arm_delay_ns, arm_by_growth, magazine = 1_000_000, True, 3

        def look(self, view: View) -> Decision:
            made.append(view.magazine)
            wanted = sizes[len(made) % len(sizes)]
            return Decision(release=1, again_ns=1_000_000, magazine=wanted)

    with Domain(design=Restless(), checked=True) as domain:
        owned: set[int] = set()

        def work(number: int) -> None:
            mine: list[int] = []
            for i in range(300):
                fresh = [domain.alloc(4096) for _ in range(50 + number)]
                assert owned.isdisjoint(fresh)  # operations of sets hold the interpreter's lock
                owned.update(fresh)
                mine += fresh
                while len(mine) > (200 if i % 3 else 0):
                    address = mine.pop()
                    owned.discard(address)
                    domain.free(address, 4096)
            for address in mine:
                owned.discard(address)
                domain.free(address, 4096)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert domain.stats().live == 0
        assert len(set(made)) > 2
