"""The design ``adaptive``: what it holds, for how long, and in magazines of what size."""

from __future__ import annotations

import pytest

from iova import _core
from iova.designs import parse_design
from iova.lab.machine import MachineResult, simulate
from iova.lab.prices import load_prices
from iova.workloads import load_workload

MS = 1_000_000
LIMIT = 2**36 - 1
#: A page may lie unused for 4 s to save a tree operation.
PATIENCE_MS = 4000


def a_domain(possible: int = 2, **params: int) -> _core.RawDomain:
    domain = _core.RawDomain(possible=possible, design="adaptive", params=params)
    domain.make_caches()
    return domain


def use(domain: _core.RawDomain, ranges: int, size: int, now: int, free_on: int = 1) -> None:
    """Allocate so many ranges on CPU 0 and free them on another."""
    held = [domain.alloc(0, size, LIMIT, True, now) for _ in range(ranges)]
    for pfn in held:
        domain.free(free_on, pfn, size, now)


def cached(domain: _core.RawDomain, size_class: int) -> int:
    """Ranges of the class in magazines: all that were cut from the tree, once nothing is live."""
    counters = domain.counters(size_class)
    return counters["tree_allocations"] - counters["tree_frees"]


def sizes_taken(domain: _core.RawDomain, size_class: int) -> set[int]:
    """Lengths of the full magazines in the depot: the sizes they were made in."""
    return {len(magazine) for magazine in domain.depot(size_class)}


@pytest.mark.parametrize("size_class", range(6))
def test_what_nobody_needs_is_given_back_after_a_time_that_halves_with_each_class(
    size_class: int,
) -> None:
    domain = a_domain()
    use(domain, 100, 1 << size_class, now=0)
    assert cached(domain, size_class) == 100
    patience = PATIENCE_MS * MS >> size_class
    domain.run_due(patience * 3 // 4)
    assert cached(domain, size_class) == 100
    domain.run_due(patience * 3 // 2 + 50 * MS)
    # A CPU's last full magazine goes to the depot first, for others to take.
    assert cached(domain, size_class) <= 7
    domain.run_due(patience * 7 // 2 + 50 * MS)
    assert cached(domain, size_class) == 0
    assert domain.check() is None


def test_nothing_is_looked_at_once_nothing_is_held() -> None:
    domain = a_domain()
    use(domain, 100, 1, now=0)
    assert domain.next_deadline() is not None
    domain.run_due(60_000 * MS)
    assert domain.next_deadline() is None
    runs = domain.reclaim_runs
    use(domain, 100, 1, now=90_000 * MS)
    assert domain.next_deadline() == 90_005 * MS
    domain.run_due(200_000 * MS)
    assert domain.reclaim_runs > runs
    assert cached(domain, 0) == 0


def test_what_is_needed_again_within_the_patience_stays() -> None:
    domain = a_domain()
    for now in range(0, 30_000, 1000):
        use(domain, 100, 1, now * MS)
        domain.run_due((now + 999) * MS)
        assert cached(domain, 0) >= 100
    assert domain.counters(0)["tree_frees"] < 100


def test_a_cpu_that_went_idle_gives_back_while_a_busy_one_keeps() -> None:
    domain = a_domain(possible=3)
    use(domain, 5, 1, now=0, free_on=2)
    for now in range(0, 10_000, 100):
        use(domain, 5, 1, now * MS, free_on=0)
        domain.run_due((now + 99) * MS)
    assert not domain.cpu(2, 0)["has_loaded"]
    assert domain.cpu(0, 0)["has_loaded"]
    assert domain.counters(0)["trimmed"] > 0


def test_an_idle_cpu_waits_no_longer_because_another_is_busy_with_another_size() -> None:
    domain = a_domain(possible=3)
    use(domain, 5, 32, now=0, free_on=2)
    for now in range(0, 1000, 10):
        use(domain, 5, 1, now * MS, free_on=0)
        domain.run_due((now + 9) * MS)
    assert cached(domain, 5) == 0


def test_magazines_grow_where_a_cpu_goes_to_the_depot_often_and_shrink_again() -> None:
    domain = a_domain()
    assert parse_design("adaptive").make().mechanism(2)["magazine"] == 7
    for now in range(0, 2000, 5):
        use(domain, 2000, 1, now * MS)
        domain.run_due((now + 4) * MS)
    assert 127 in sizes_taken(domain, 0)
    for now in range(2000, 60_000, 50):
        use(domain, 20, 1, now * MS)
        domain.run_due((now + 49) * MS)
    assert domain.cpu(0, 0)["loaded"] < 127
    assert domain.cpu(1, 0)["loaded"] < 127
    use(domain, 2000, 1, 60_000 * MS)
    assert max(sizes_taken(domain, 0)) < 127


def test_magazines_grow_no_larger_than_the_user_allows() -> None:
    domain = a_domain(most=20)
    for now in range(0, 1000, 5):
        use(domain, 2000, 1, now * MS)
        domain.run_due((now + 4) * MS)
    assert max(sizes_taken(domain, 0)) == 15


def test_what_is_wanted_again_time_after_time_is_kept_for_longer_than_the_gap() -> None:
    """Bursts of large ranges every second: by their price alone they would be given back."""
    domain = a_domain()
    misses = []
    for second in range(8):
        before = domain.counters(5)["tree_allocations"]
        use(domain, 300, 32, second * 1000 * MS)
        domain.run_due((second * 1000 + 999) * MS)
        misses.append(domain.counters(5)["tree_allocations"] - before)
    assert misses[:2] == [300, 300]  # given back, and wanted again
    assert max(misses[-3:]) < 10
    # Nobody comes any more.
    domain.run_due(60_000 * MS)
    assert cached(domain, 5) == 0
    assert domain.next_deadline() is None


def test_large_ranges_get_small_magazines() -> None:
    domain = a_domain()
    for now in range(0, 400, 5):
        use(domain, 40, 1, now * MS)
        use(domain, 40, 32, now * MS)
        domain.run_due((now + 4) * MS)
    use(domain, 2000, 1, 400 * MS)
    use(domain, 2000, 32, 400 * MS)
    assert max(sizes_taken(domain, 0)) > 2 * max(sizes_taken(domain, 5))


def test_the_dearer_an_exchange_the_larger_the_magazines() -> None:
    waste = [pages_cached("scsi-256", f"adaptive,exchange_ms={ms}") for ms in (100, 1000, 10_000)]
    assert waste == sorted(waste)
    assert waste[2] > 1.5 * waste[0]


def test_the_longer_the_patience_the_fewer_ranges_come_from_the_tree() -> None:
    runs = [simulated("burst", f"adaptive,patience_ms={ms}", "1.2") for ms in (200, 8000)]
    trees = [run.replay.totals["live_pages_peak"] and run.replay.cached_share for run in runs]
    assert trees[0] < trees[1]


def simulated(preset: str, design: str, seconds: str) -> MachineResult:
    workload = load_workload(preset, [f"duration_s={seconds}"])
    return simulate(workload, parse_design(design), load_prices())


def pages_cached(preset: str, design: str) -> float:
    return simulated(preset, design, "0.5").replay.waste


@pytest.mark.parametrize(("preset", "seconds"), [("scsi-256", "0.6"), ("nvme-384", "1.0")])
def test_it_caches_a_fifth_of_what_linux_does_and_serves_no_less_from_the_cache(
    preset: str, seconds: str
) -> None:
    ours, linux = (simulated(preset, name, seconds) for name in ("adaptive", "linux-6.12"))
    assert ours.replay.waste < linux.replay.waste / 5
    assert ours.replay.cached_share > linux.replay.cached_share - 0.005
    assert ours.longest_tree_hold_ns < linux.longest_tree_hold_ns / 10
    assert ours.requests_per_s > 0.99 * linux.requests_per_s
