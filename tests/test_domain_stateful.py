"""A live domain against a model of it, over all calls, in random order.

Hypothesis finds short histories and shrinks them. The seeded driver makes long ones, in which
magazines fill; it names its seed when it fails, and ``--seed N`` runs that alone and prints it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain_model import ModelledDomain, Setting

SEEDS = range(24)

pytestmark = pytest.mark.timeout(300)

SETTINGS = [
    Setting(),
    Setting(windows=((1, 40), (60, 61), (90, 200)), reserved=((20, 22), (100, 100), (5000, 6000))),
    Setting(windows=((0, 63),), allow_zero=True, classes=3),
    Setting(windows=((0, 63),), granule=1),
    Setting(windows=((128, 255),), granule=65536, classes=10, budget=7),
    Setting(windows=((2**20 - 64, 2**20 + 63),), budget=30),  # both sides of 4 GiB
    Setting(windows=((2**52 - 100, 2**52 - 1),)),
]


def setting_strategy() -> st.SearchStrategy[Setting]:
    return st.sampled_from(SETTINGS)


class DomainAgainstModel(RuleBasedStateMachine):
    """Each rule is one call."""

    both: ModelledDomain

    @initialize(setting=setting_strategy())
    def open(self, setting: Setting) -> None:
        self.both = ModelledDomain(setting)

    def a_size(self, data: st.DataObject) -> int:
        granule = self.both.granule
        pages = st.integers(1, 12) | st.sampled_from((16, 31, 32, 33, 64, 2**40))
        less = st.sampled_from((0, 0, 0, 1, granule - 1))
        return data.draw(pages, label="pages") * granule - data.draw(less, label="less") % granule

    def an_address(self, data: st.DataObject) -> int:
        both = self.both
        pages = [page for window in both.setting.windows for page in window]
        known = [*pages, *both.ever, *both.live, *both.deferred, 0, both.top + 1, both.top + 100]
        page = data.draw(st.sampled_from(sorted(set(known))), label="page")
        off = data.draw(st.integers(-2, 6), label="off")
        odd = data.draw(st.sampled_from((0, 0, 0, 0, 1, both.granule - 1)), label="odd")
        address = max(0, page + off) * both.granule + odd % both.granule
        return min(address, 2**64 - 1)

    def a_size_or_none(self, data: st.DataObject, address: int) -> int | None:
        pages = self.both.live.get(address // self.both.granule)
        right = [None] if pages is None else [None, pages * self.both.granule]
        return data.draw(st.sampled_from([*right, self.a_size(data)]), label="size")

    @rule(data=st.data(), align=st.sampled_from((None, None, 0, 1, 2, 16)))
    def alloc(self, data: st.DataObject, align: int | None) -> None:
        limit = self.an_address(data) if data.draw(st.booleans(), label="limited") else None
        multiple = align if align is None else align * self.both.granule
        self.both.alloc(self.a_size(data), limit, multiple)

    @rule(data=st.data(), n=st.integers(0, 20))
    def alloc_many(self, data: st.DataObject, n: int) -> None:
        self.both.alloc_many(n, self.a_size(data))

    @rule(data=st.data())
    def alloc_at(self, data: st.DataObject) -> None:
        self.both.alloc_at(self.an_address(data), self.a_size(data))

    @rule(data=st.data(), length=st.integers(0, 5))
    def reserve(self, data: st.DataObject, length: int) -> None:
        first = self.an_address(data) // self.both.granule
        self.both.reserve(first, min(first + length, 2**64 // self.both.granule - 1))

    @precondition(lambda self: self.both.live)
    @rule(data=st.data(), many=st.booleans(), later=st.booleans())
    def free_live(self, data: st.DataObject, many: bool, later: bool) -> None:
        first = data.draw(st.sampled_from(sorted(self.both.live)), label="first")
        address = first * self.both.granule
        size = self.a_size_or_none(data, address)
        if later:
            self.both.flush_all()  # else time would decide what the next calls may do
            self.both.defer(address, size)
        else:
            self.both.free(address, size, many=many)

    @rule(data=st.data(), many=st.booleans(), later=st.booleans())
    def free_anything(self, data: st.DataObject, many: bool, later: bool) -> None:
        address = self.an_address(data)
        size = self.a_size_or_none(data, address)
        if later:
            self.both.flush_all()  # else time would decide what the next calls may do
            self.both.defer(address, size)
        else:
            self.both.free(address, size, many=many)

    @rule(data=st.data())
    def flushed(self, data: st.DataObject) -> None:
        tickets = [ticket for _, ticket in self.both.deferred.values()]
        self.both.flushed(data.draw(st.sampled_from([*tickets, 0, 10**6]), label="ticket"))

    @rule()
    def flush_caches(self) -> None:
        self.both.flush_caches()

    @rule(data=st.data())
    def find(self, data: st.DataObject) -> None:
        self.both.find(self.an_address(data))

    @invariant()
    def all_that_can_be_seen_agrees(self) -> None:
        self.both.compare()

    def teardown(self) -> None:
        if hasattr(self, "both"):
            self.both.close()


TestDomainAgainstModel = DomainAgainstModel.TestCase
TestDomainAgainstModel.settings = settings(max_examples=80, stateful_step_count=40)


# ---- long histories: a seed ---------------------------------------------------------------------


class SeededHistory:
    """Random traffic in a domain with room for some magazines."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        choose = self.random.choice
        self.both = ModelledDomain(
            Setting(
                windows=((1, 1500), (1700, 1700 + choose((0, 500)))),
                reserved=((40, 60), (1700, 1700)) if choose((True, False)) else (),
                granule=choose((4096, 16384, 512)),
                classes=choose((1, 4, 6, 9)),
                budget=choose((None, None, 200)),
            )
        )

    def step(self) -> None:
        """One step out of all of them; every one is checked in full afterwards."""
        steps: list[tuple[int, Callable[[], None]]] = [
            (30, self.many_allocs),
            (30, self.many_frees),
            (5, self.misuse),
            (3, self.places),
            (2, self.both.flush_all),
            (1, self.both.flush_caches),
        ]
        weights = [weight for weight, _ in steps]
        self.random.choices([step for _, step in steps], weights)[0]()
        self.both.compare()

    def a_size(self) -> int:
        pages = self.random.choice((1, 1, 1, 1, 2, 3, 8, 40))
        return pages * self.both.granule - self.random.choice((0, 0, 1))

    def many_allocs(self) -> None:
        size, limit = self.a_size(), self.random.choice((None, None, 700 * self.both.granule - 1))
        if self.random.random() < 0.3:
            self.both.alloc_many(self.random.choice((3, 130, 400)), size, limit)
            return
        for _ in range(self.random.choice((1, 10, 100))):
            self.both.alloc(size, limit, self.random.choice((None, None, 4 * self.both.granule)))

    def many_frees(self) -> None:
        for _ in range(min(len(self.both.live), self.random.choice((1, 10, 130, 400)))):
            first = self.random.choice(list(self.both.live))
            address, size = first * self.both.granule, self.both.live[first] * self.both.granule
            kind = self.random.randrange(10)
            if kind == 0:
                self.both.defer(address, size)
            else:
                self.both.free(address, None if kind == 1 else size, many=kind == 2)

    def misuse(self) -> None:
        for first in self.random.sample(sorted(self.both.ever), min(20, len(self.both.ever))):
            self.both.free(
                (first + self.random.choice((0, 0, 1))) * self.both.granule, self.a_size()
            )

    def places(self) -> None:
        page = self.random.randrange(1, 1800)
        self.both.alloc_at(page * self.both.granule, self.a_size())
        page = self.random.randrange(1, 1800)
        self.both.reserve(page, page + self.random.randrange(5))
        self.both.find(page * self.both.granule)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seed = metafunc.config.getoption("--seed")
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS if seed is None else [seed])


def test_a_random_history_of_a_domain_is_as_the_model_has_it(
    seed: int, chosen_seed: int | None
) -> None:
    history = SeededHistory(seed)
    try:
        for _ in range(60):
            history.step()
    except AssertionError as error:
        number = len(history.both.steps)
        raise AssertionError(f"call {number}: {error}; to see all calls: --seed {seed}") from error
    finally:
        history.both.close()
        if chosen_seed is not None:
            print("\n".join(history.both.steps))
