"""The binding itself: life times, and arguments that make no sense."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

from iova import _core
from iova._core import Memory, RawDomain


def used_domain(memory: Memory | None = None) -> RawDomain:
    domain = RawDomain(possible=4, design="linux-6.12", memory=memory)
    domain.make_caches()
    for pfn in [domain.alloc(0, 1, 0xFFFFF, False) for _ in range(600)]:
        domain.free(0, pfn, 1, 0)
    return domain


def test_a_domain_that_is_not_destroyed_gives_its_memory_back_when_collected() -> None:
    memory = Memory()
    for _ in range(50):
        used_domain(memory)
    gc.collect()
    assert (memory.blocks, memory.ranges, memory.magazines) == (0, 0, 0)


def test_a_domain_in_a_cycle_with_its_policy_can_be_collected() -> None:
    class Policy:
        domain: RawDomain

        def look(self, view: _core.View) -> None: ...

    memory = Memory()
    for _ in range(50):
        policy = Policy()
        policy.domain = RawDomain(design=policy, memory=memory)
        policy.domain.make_caches()
    del policy
    gc.collect()
    assert memory.blocks == 0


def test_a_magazine_in_the_hand_goes_with_its_domain() -> None:
    memory = Memory()
    domain = used_domain(memory)
    assert domain.reclaim_take(0) >= 0
    assert domain.reclaim_take(5) == -1
    domain.destroy()
    assert memory.blocks == 0


def test_a_destroyed_domain_says_so() -> None:
    domain = RawDomain()
    domain.destroy()
    domain.destroy()
    with pytest.raises(ValueError, match="destroyed"):
        domain.ranges()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda d: d.alloc(9, 1, 0xFF, False), "CPU 9"),
        (lambda d: d.alloc(0, 0, 0xFF, False), "size of 0"),
        (lambda d: d.alloc_raw(0, 0xFF, False), "invalid"),
        (lambda d: d.free(9, 1, 1, 0), "CPU 9"),
        (lambda d: d.free(0, 1, 0, 0), "size of 0"),
        (lambda d: d.cpu_offline(9), "CPU 9"),
        (lambda d: d.magazine(0, 6, False), "size class 6"),
        (lambda d: d.reserve(5, 4), "below its start"),
        (lambda d: d.make_caches(), "invalid"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    call: Callable[[RawDomain], object], problem: str
) -> None:
    domain = RawDomain()
    domain.make_caches()
    with pytest.raises(ValueError, match=problem):
        call(domain)


@pytest.mark.parametrize("numbers", [{"granule": 3}, {"granule": 131072}, {"possible": 0},
                                     {"possible": 2, "online": 3}, {"classes": 11}])  # fmt: skip
def test_a_domain_that_can_not_be_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="invalid"):
        RawDomain(**numbers)  # type: ignore[arg-type]


def test_cached_calls_before_the_caches_are_made_are_refused() -> None:
    with pytest.raises(ValueError, match="have not been made"):
        RawDomain().alloc(0, 1, 0xFF, False)


def test_fnv1a_is_the_published_one_over_little_endian_words() -> None:
    assert _core.fnv1a64(np.array([], dtype=np.uint64)) == 0xCBF29CE484222325
    halves = np.array([1, 2, 3], dtype=np.uint64)
    whole = _core.fnv1a64(halves)
    assert _core.fnv1a64(halves[1:], _core.fnv1a64(halves[:1])) == whole
    assert _core.fnv1a64(np.array([0x61], dtype=np.uint64)) != whole
