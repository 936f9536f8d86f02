"""The core against the oracle, over all calls, in random order.

Two drivers share one vocabulary of steps. Hypothesis finds short histories and shrinks them. The
seeded driver makes long ones, in which magazines fill, depots overflow and reclaim runs; it names
its seed when it fails, and ``--seed N`` runs that history alone and prints it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from oracle import DESIGNS, U64
from side_by_side import Setting, SideBySide

DESIGN_NAMES = sorted(DESIGNS)
MS = 1_000_000  # ns
TIME_STEPS = (0, 1, 1000, 60 * MS, 100 * MS - 1, 100 * MS, 100 * MS + 1, 350 * MS)
GRANULES = (4096, 2048, 512, 1)
SEEDS = range(48)
LONG_SEEDS = range(8)


def limits_of(setting: Setting) -> list[int]:
    """Limits at which something changes: narrow, around 4 GiB, wide, and those that wrap."""
    d32, start = setting.d32, setting.start
    near_start = [max(start - 1, 0), start, start + 40, start + 400]
    return [*near_start, 0, 3, d32 - 2, d32 - 1, d32, d32 + 600, 2**36 - 1, U64 - 1, U64]


def sizes_of(setting: Setting) -> list[int]:
    """Sizes around every size class, and those that hardly fit anywhere."""
    largest = 2 ** (setting.classes - 1)
    d32 = setting.d32
    return [
        *range(1, 10),
        *(largest // 2 + n for n in (0, 1)),
        *(largest + n for n in (-1, 0, 1)),
        largest * 2,
        100, 1000, d32 // 2, d32 - 1, d32, d32 + 1, 2**40,
    ]  # fmt: skip


def starts_of(granule: int) -> list[int]:
    """Lowest frames the search may hand out, 4 GiB included."""
    d32 = 2**32 // granule
    return [0, 1, 7, 100, d32 - 300, d32, d32 + 50]


# ---- short histories: Hypothesis ----------------------------------------------------------------


@st.composite
def setting_strategy(draw: st.DrawFn) -> Setting:
    granule = draw(st.sampled_from(GRANULES))
    possible = draw(st.integers(1, 4))
    return Setting(
        granule=granule,
        start=draw(st.sampled_from(starts_of(granule))),
        possible=possible,
        online=draw(st.integers(1, possible)),
        design=draw(st.sampled_from(DESIGN_NAMES)),
        classes=draw(st.integers(6, 10)),
    )


class CoreAgainstOracle(RuleBasedStateMachine):
    """Each rule is one call, or many of the same call, on both."""

    pair: SideBySide

    @initialize(setting=setting_strategy())
    def create(self, setting: Setting) -> None:
        self.pair = SideBySide(setting)

    def has_caches(self) -> bool:
        return self.pair.oracle.has_caches

    def a_cpu(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.pair.online)), label="cpu")

    def a_size(self, data: st.DataObject) -> int:
        size: st.SearchStrategy[int] = st.sampled_from(sizes_of(self.pair.setting))
        return data.draw(size | st.integers(1, 600), label="size")

    def a_limit(self, data: st.DataObject) -> int:
        near: st.SearchStrategy[int] = st.sampled_from(limits_of(self.pair.setting))
        return data.draw(near | st.integers(0, U64), label="limit")

    def a_pfn(self, data: st.DataObject) -> int:
        pair = self.pair
        around = st.integers(0, 500).map(lambda n: min(pair.setting.start + n, U64 - 1))
        inside = [pfn for lo, hi in pair.oracle.ranges().tolist() for pfn in (lo, hi, hi + 1)]
        known = st.sampled_from([pfn for pfn in inside if pfn < U64] or [1])
        return data.draw(around | known | st.integers(0, U64 - 1), label="pfn")

    @precondition(lambda self: not self.has_caches())
    @rule()
    def make_caches(self) -> None:
        self.pair.call("make_caches")

    @precondition(has_caches)
    @rule(data=st.data(), flush=st.booleans(), times=st.sampled_from((1, 1, 1, 3, 130, 400)))
    def alloc(self, data: st.DataObject, flush: bool, times: int) -> None:
        cpu, size, limit = self.a_cpu(data), self.a_size(data), self.a_limit(data)
        for _ in range(times):
            self.pair.alloc(cpu, size, limit, flush)

    @rule(data=st.data(), align=st.booleans(), times=st.sampled_from((1, 1, 3, 20)))
    def alloc_raw(self, data: st.DataObject, align: bool, times: int) -> None:
        size, limit = self.a_size(data), self.a_limit(data)
        for _ in range(times):
            self.pair.alloc_raw(size, limit, align)

    @precondition(lambda self: self.has_caches() and self.pair.live)
    @rule(data=st.data(), newest=st.booleans(), times=st.sampled_from((1, 1, 1, 3, 130, 400)))
    def free(self, data: st.DataObject, newest: bool, times: int) -> None:
        cpu = self.a_cpu(data)
        for _ in range(min(times, len(self.pair.live))):
            self.pair.free_live(cpu, -1 if newest else 0)

    @precondition(lambda self: self.pair.live)
    @rule(data=st.data(), offset=st.integers(0, 1000))
    def free_raw(self, data: st.DataObject, offset: int) -> None:
        index = data.draw(st.integers(0, len(self.pair.live) - 1), label="index")
        self.pair.free_live_raw(index, offset)

    @precondition(has_caches)
    @rule(data=st.data())
    def free_anything(self, data: st.DataObject) -> None:
        cpu, pfn, size = self.a_cpu(data), self.a_pfn(data), self.a_size(data)
        self.pair.call("free", cpu, pfn, size, self.pair.now)

    @rule(data=st.data())
    def free_anything_raw(self, data: st.DataObject) -> None:
        self.pair.call("free_raw", self.a_pfn(data))

    @rule(data=st.data(), length=st.integers(0, 60))
    def reserve(self, data: st.DataObject, length: int) -> None:
        lo = self.a_pfn(data)
        self.pair.call("reserve", lo, min(lo + length, U64 - 1))

    @rule(data=st.data())
    def reserve_upside_down(self, data: st.DataObject) -> None:
        self.pair.call("reserve", self.a_pfn(data), self.a_pfn(data))

    @rule(data=st.data())
    def find(self, data: st.DataObject) -> None:
        self.pair.call("find", self.a_pfn(data))

    @rule()
    def flush_caches(self) -> None:
        self.pair.call("flush_caches")

    @precondition(lambda self: len(self.pair.online) > 1)
    @rule(data=st.data())
    def cpu_offline(self, data: st.DataObject) -> None:
        self.pair.cpu_offline(self.a_cpu(data))

    @precondition(lambda self: len(self.pair.online) < self.pair.setting.possible)
    @rule(data=st.data())
    def cpu_online(self, data: st.DataObject) -> None:
        away = set(range(self.pair.setting.possible)) - self.pair.online
        self.pair.cpu_online(data.draw(st.sampled_from(sorted(away)), label="cpu"))

    @rule(ns=st.sampled_from(TIME_STEPS))
    def pass_time(self, ns: int) -> None:
        self.pair.pass_time(ns)

    @rule(magazines=st.integers(0, 3), ranges=st.integers(0, 3))
    def fail_next(self, magazines: int, ranges: int) -> None:
        self.pair.fail_next(magazines, ranges)

    @rule(setting=setting_strategy())
    def destroy_and_create(self, setting: Setting) -> None:
        self.pair.destroy()
        self.pair.setting = setting
        self.pair.create()

    @invariant()
    def all_that_can_be_seen_agrees(self) -> None:
        self.pair.compare()

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.destroy()


TestCoreAgainstOracle = CoreAgainstOracle.TestCase
TestCoreAgainstOracle.settings = settings(max_examples=100, stateful_step_count=50)


# ---- long histories: a seed ---------------------------------------------------------------------


class SeededHistory:
    """Random traffic in one domain after another, in which the caches come to matter."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pair = SideBySide(self.a_setting())
        self.pair.call("make_caches")
        self.calm()

    def a_setting(self) -> Setting:
        choose = self.random.choice
        granule = choose((4096, 4096, *GRANULES))
        possible = choose((1, 2, 3, 5))
        return Setting(
            granule=granule,
            start=choose((1, 1, *starts_of(granule))),
            possible=possible,
            online=self.random.randint(1, possible),
            design=choose(DESIGN_NAMES),
            classes=choose((6, 6, 7, 8, 9, 10)),
        )

    def calm(self) -> None:
        """Choose anew what traffic looks like for a while."""
        pair, choose = self.pair, self.random.choice
        self.sizes = choose(([1], [1, 2, 4, 8], list(range(1, 71)), sizes_of(pair.setting)))
        tight = pair.setting.start + choose((300, 5000))
        wide = [pair.setting.d32 - 1, 2**36 - 1]
        self.limits = choose(([tight], wide, wide, limits_of(pair.setting)))
        self.flush = choose((True, False))

    def a_cpu(self) -> int:
        return self.random.choice(sorted(self.pair.online))

    def a_pfn(self) -> int:
        ranges = self.pair.oracle.ranges()
        if len(ranges) and self.random.random() < 0.7:
            lo, hi = map(int, self.random.choice(ranges.tolist()))
            return min(self.random.choice((lo, hi, hi + 1)), U64 - 1)
        return self.pair.setting.start + self.random.randrange(600)

    def step(self) -> None:
        """One step out of all of them; every one is checked in full afterwards."""
        steps: list[tuple[int, Callable[[], None]]] = [
            (30, self.many_allocs),
            (30, self.many_frees),
            (10, self.raw_calls),
            (10, lambda: self.pair.pass_time(self.random.choice(TIME_STEPS))),
            (5, self.misuse),
            (5, self.reserve),
            (4, self.hotplug),
            (4, self.calm),
            (2, lambda: self.pair.fail_next(*self.random.choices((0, 1, 3), k=2))),
            (1, lambda: self.pair.call("flush_caches")),
            (1, self.another_domain),
        ]
        weights = [weight for weight, _ in steps]
        self.random.choices([step for _, step in steps], weights)[0]()
        self.pair.compare()

    def many_allocs(self) -> None:
        cpu = self.a_cpu()
        for _ in range(self.random.choice((1, 10, 130, 300, 700))):
            self.pair.alloc(
                cpu, self.random.choice(self.sizes), self.random.choice(self.limits), self.flush
            )

    def many_frees(self) -> None:
        cpu, live = self.a_cpu(), self.pair.live
        which = self.random.choice(("oldest", "newest", "any"))
        for _ in range(min(len(live), self.random.choice((1, 10, 130, 300, 700)))):
            index = {"oldest": 0, "newest": -1}.get(which, self.random.randrange(len(live)))
            self.pair.free_live(cpu, index)

    def raw_calls(self) -> None:
        for _ in range(self.random.randrange(30)):
            if self.pair.live and self.random.random() < 0.5:
                index = self.random.randrange(len(self.pair.live))
                self.pair.free_live_raw(index, self.random.randrange(100))
            else:
                size, limit = self.random.choice(self.sizes), self.random.choice(self.limits)
                self.pair.alloc_raw(size, limit, self.random.random() < 0.5)

    def misuse(self) -> None:
        """Free what is not live, or with another size; the vectors do so too."""
        pair = self.pair
        pair.call("free", self.a_cpu(), self.a_pfn(), self.random.choice(self.sizes), pair.now)
        pair.call("free_raw", self.a_pfn())

    def reserve(self) -> None:
        lo = self.a_pfn()
        self.pair.call("reserve", lo, min(lo + self.random.randrange(40), U64 - 1))
        self.pair.call("find", self.a_pfn())

    def hotplug(self) -> None:
        cpu = self.random.randrange(self.pair.setting.possible)
        if cpu not in self.pair.online:
            self.pair.cpu_online(cpu)
        elif len(self.pair.online) > 1:
            self.pair.cpu_offline(cpu)

    def another_domain(self) -> None:
        self.pair.destroy()
        self.pair.setting = self.a_setting()
        self.pair.create()
        self.calm()
        while not self.pair.oracle.has_caches:  # injected failures may be left
            self.pair.call("make_caches")
            self.pair.compare()


def run_history(history: SeededHistory, steps: Callable[[], None], seed: int, shown: bool) -> None:
    """Run one history to its end; when it fails, say how to see it again."""
    try:
        steps()
        history.pair.destroy()
    except AssertionError as error:
        number = len(history.pair.steps)
        raise AssertionError(f"call {number}: {error}; to see all calls: --seed {seed}") from None
    finally:
        if shown:
            print("\n".join(history.pair.steps))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seed = metafunc.config.getoption("--seed")
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS if seed is None else [seed])
    if "long_seed" in metafunc.fixturenames:
        metafunc.parametrize("long_seed", LONG_SEEDS if seed is None else [seed])


def test_a_random_history_of_the_core_is_that_of_the_oracle(
    seed: int, chosen_seed: int | None
) -> None:
    history = SeededHistory(seed)

    def steps() -> None:
        for _ in range(120):
            history.step()

    run_history(history, steps, seed, shown=chosen_seed is not None)


def test_full_depots_overflow_and_drain_as_the_oracle_s_do(
    long_seed: int, chosen_seed: int | None
) -> None:
    """One CPU allocates, another frees: more magazines than the fixed depot holds, then quiet."""
    history = SeededHistory(long_seed)
    pair, design = history.pair, DESIGN_NAMES[long_seed % len(DESIGN_NAMES)]

    def steps() -> None:
        pair.destroy()
        pair.setting = Setting(possible=3, online=3, design=design)
        pair.create()
        pair.call("make_caches")
        for _ in range(2):
            size = history.random.choice((1, 2, 32))
            for _ in range(37 * 127):
                pair.alloc(0, size, 2**36 - 1, flush=True)
            pair.compare()
            while pair.live:
                pair.free_live(1, history.random.choice((0, -1)))
            pair.compare()
            for _ in range(10):
                pair.pass_time(history.random.choice(TIME_STEPS))
                pair.compare()
            for _ in range(1000):
                pair.alloc(2, size, 2**36 - 1, flush=False)
            pair.compare()
        pair.cpu_offline(1)
        pair.call("flush_caches")
        pair.compare()

    run_history(history, steps, long_seed, shown=chosen_seed is not None)


# ---- corners of their own -----------------------------------------------------------------------


@pytest.mark.parametrize("lo", [U64, U64 - 1, 2**40, 2**32, 2**32 - 20])
def test_a_reservation_up_to_the_top_pulls_the_anchor_down(lo: int) -> None:
    pair = SideBySide(Setting(granule=1))
    pair.call("make_caches")
    pair.call("reserve", lo, U64)
    assert pair.call("find", U64) == (lo, U64)
    for pfn in (lo - 1, lo, U64):
        pair.call("find", pfn)
    for limit in (U64 - 1, 2**40, pair.setting.d32 - 1, pair.setting.d32):
        for size in (1, 5, 64):
            pair.alloc_raw(size, limit, align=True)
            pair.alloc(0, size, limit, flush=False)
            pair.compare()
    while pair.live:
        pair.free_live_raw(0, 0)
        pair.compare()
    pair.destroy()


@pytest.mark.parametrize("design", DESIGN_NAMES)
def test_caches_that_cannot_be_made_leave_nothing_behind(design: str) -> None:
    pair = SideBySide(Setting(design=design, possible=2, online=1))
    before = pair.core_memory.blocks
    for failing in range(1, 1000):
        pair.core_memory.fail_at = failing
        try:
            pair.core.make_caches()
        except MemoryError:
            assert not pair.core.has_caches
            assert (pair.core_memory.magazines, pair.core_memory.blocks) == (0, before)
        else:
            break
    pair.core_memory.fail_at = 0
    assert pair.core.has_caches
    pair.oracle.make_caches()
    pair.compare()
    pair.destroy()
