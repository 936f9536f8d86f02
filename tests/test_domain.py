"""A live domain as one thread sees it: what it hands out, and its life."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import iova
from domains import PAGE, SMALL, U64, fill
from iova import Domain
from scripts import output_of

# ---- what it hands out --------------------------------------------------------------------------


def test_importing_it_loads_nothing_of_the_lab() -> None:
    code = "import sys, iova; print({'polars', 'typer', 'rich', 'zstandard'} & set(sys.modules))"
    assert output_of(code) == "set()"


def test_the_hot_methods_have_no_python_around_them() -> None:
    for name in ("alloc", "free", "alloc_many", "free_many", "alloc_at", "reserve", "defer"):
        assert name not in Domain.__dict__
        assert not inspect.isfunction(getattr(Domain, name))


def test_the_constructor_is_as_documented() -> None:
    assert str(inspect.signature(Domain)).startswith("(*, windows: "), "only keywords"
    defaults = {n: p.default for n, p in inspect.signature(Domain).parameters.items()}
    assert defaults == {
        "windows": None, "reserved": (), "granule": 4096, "design": None, "classes": 6,
        "budget": None, "checked": True, "allow_zero": False, "on_flush": None, "name": None,
        "cpus": None,
    }  # fmt: skip


def test_methods_have_signatures_and_help() -> None:
    assert str(inspect.signature(Domain.alloc)) == "(self, /, size, *, limit=None, align=None)"
    public = {name for name in dir(Domain) if not name.startswith("_")}
    methods = {name for name in public if callable(getattr(Domain, name))}
    assert len(methods) == 14
    for name in methods:
        assert (getattr(Domain, name).__doc__ or "").strip(), name


def test_addresses_come_from_the_top_of_the_default_window(domain: Domain) -> None:
    assert domain.alloc(PAGE) == 2**48 - PAGE
    assert domain.alloc(2 * PAGE) == 2**48 - 4 * PAGE


def test_sizes_are_rounded_up_and_frees_compare_rounded_sizes(domain: Domain) -> None:
    address = domain.alloc(3 * PAGE - 1)
    assert domain.find(address) == (address, address + 4 * PAGE - 1, "live")
    assert address % (4 * PAGE) == 0
    domain.free(address, 2 * PAGE + 1)  # also 4 pages
    assert domain.find(address) is None


def test_sizes_beyond_the_classes_are_rounded_to_the_granule_only(domain: Domain) -> None:
    address = domain.alloc(33 * PAGE)
    found = domain.find(address)
    assert found is not None
    assert found.size == 33 * PAGE
    with pytest.raises(iova.SizeMismatch):
        domain.free(address, 34 * PAGE)
    domain.free(address, 33 * PAGE - 5)


def test_classes_widen_what_is_cached() -> None:
    with Domain(classes=10) as domain:
        address = domain.alloc(500 * PAGE)
        domain.free(address)
        assert domain.stats().classes[9].puts == 1
        assert domain.stats().classes[9].size_bytes == 512 * PAGE


def test_a_freed_range_comes_back_first(domain: Domain) -> None:
    address = domain.alloc(PAGE)
    domain.free(address, PAGE)
    assert domain.alloc(PAGE) == address


def test_the_msi_window_is_never_handed_out_by_default(domain: Domain) -> None:
    found = domain.find(0xFEE12345)
    assert found == (0xFEE00000, 0xFEEFFFFF, "reserved")
    with pytest.raises(iova.Reserved):
        domain.alloc_at(0xFEE00000, PAGE)
    with Domain(windows=[(0xFEE00000, 0xFEEFFFFF)]) as other:
        assert 0xFEE00000 <= other.alloc(PAGE) <= 0xFEEFFFFF


def test_all_of_the_windows_is_handed_out_and_nothing_else() -> None:
    windows = [(0x40000, 0x43FFF), (0x10000, 0x12FFF), (0x20800, 0x22800)]
    with Domain(windows=windows, reserved=[(0x11000, 0x11000)]) as domain:
        pages = [0x10000, 0x12000, 0x21000, 0x40000, 0x41000, 0x42000, 0x43000]
        assert sorted(fill(domain)) == pages
        assert domain.find(0x11FFF) == (0x11000, 0x11FFF, "reserved")
        state = domain.find(0x30000)
        assert state is not None
        assert state.state == "reserved"


def test_windows_may_be_an_array_and_may_reach_the_highest_address() -> None:
    windows = np.array([[2**63, U64]], dtype=np.uint64)
    with Domain(windows=windows) as domain:
        assert domain.alloc(PAGE) == 2**64 - PAGE


def test_address_zero_needs_a_window_and_leave() -> None:
    window = [(0, 2 * PAGE - 1)]
    with Domain(windows=window) as domain:
        assert fill(domain) == [PAGE]
    with Domain(windows=window, allow_zero=True) as domain:
        assert sorted(fill(domain)) == [0, PAGE]
        assert domain.find(0) == (0, PAGE - 1, "live")
        domain.free(0, PAGE)
        with pytest.raises(iova.DoubleFree):
            domain.free(0, PAGE)
        assert domain.alloc(PAGE) == 0


def test_a_limit_holds_for_the_last_byte(domain: Domain) -> None:
    assert domain.alloc(2 * PAGE, limit=0xFFFFFFFF) == 0x100000000 - 2 * PAGE
    assert domain.alloc(PAGE, limit=0x5FFE) == 0x4000
    for _ in range(3):  # the caches respect it too
        high = domain.alloc(PAGE)
        domain.free(high, PAGE)
        assert domain.alloc(PAGE, limit=0xFFFF) < 0x10000


@pytest.mark.parametrize("align", [PAGE, 64 * PAGE, 2**21, 2**30, 2**40])
def test_alignment_beyond_the_size(domain: Domain, align: int) -> None:
    domain.alloc(PAGE)
    addresses = [domain.alloc(PAGE, align=align) for _ in range(3)]
    assert [address % align for address in addresses] == [0, 0, 0]
    assert len(set(addresses)) == 3
    for address in addresses:
        domain.free(address, PAGE)


@pytest.mark.parametrize("granule", [1, 512, 2048, 16384, 65536])
def test_other_granules(granule: int) -> None:
    with Domain(granule=granule, windows=[(2**20, 2**32 - 1)]) as domain:
        address = domain.alloc(1)
        assert address == 2**32 - granule
        found = domain.find(address)
        assert found is not None
        assert found.size == granule
        domain.free(address, granule)


def test_a_fixed_address_is_taken_and_freed_like_any_other(domain: Domain) -> None:
    domain.alloc_at(0x7000, 3 * PAGE)
    assert domain.find(0x9FFF) == (0x7000, 0x9FFF, "live")
    with pytest.raises(iova.Reserved, match=r"0x7000\.\.0x9fff is live"):
        domain.alloc_at(0x9000, PAGE)
    domain.free(0x7000, 3 * PAGE)
    domain.alloc_at(0x7000, PAGE)


def test_of_a_fixed_address_only_the_address_must_be_a_multiple_of_the_granule(
    domain: Domain,
) -> None:
    domain.alloc_at(0x7000, PAGE + 1)
    assert domain.find(0x8FFF) == (0x7000, 0x8FFF, "live")
    domain.free(0x7000, 2 * PAGE)


def test_an_unchecked_domain_frees_without_a_size_too() -> None:
    with Domain(checked=False) as domain:
        domain.free(domain.alloc(3 * PAGE))
        domain.flush_caches()
        assert domain.stats().live == 0


def test_a_fixed_address_can_be_had_though_a_cache_holds_it(domain: Domain) -> None:
    address = domain.alloc(PAGE)
    domain.free(address, PAGE)
    assert domain.stats().cached == 1
    domain.alloc_at(address, PAGE)
    assert domain.find(address) is not None


def test_what_is_reserved_later_is_not_handed_out(domain: Domain) -> None:
    top = 2**48 - 1
    domain.reserve(top - 10 * PAGE, top)
    assert domain.alloc(PAGE) == 2**48 - 12 * PAGE
    with pytest.raises(iova.Reserved):
        domain.reserve(0, top)
    assert domain.find(0x5000) is None, "nothing was changed"
    domain.reserve(top - 10 * PAGE, top)  # already so


def test_batches_are_what_single_calls_would_return() -> None:
    with Domain() as one, Domain() as many:
        single = [one.alloc(2 * PAGE) for _ in range(300)]
        assert many.alloc_many(300, 2 * PAGE).tolist() == single
        for address in single:
            one.free(address, 2 * PAGE)
        many.free_many(np.array(single, dtype=np.uint64), 2 * PAGE)
        assert [one.alloc(2 * PAGE) for _ in range(300)] == many.alloc_many(300, 2 * PAGE).tolist()


def test_a_batch_goes_into_a_given_array(domain: Domain) -> None:
    out = np.full(8, 7, dtype=np.uint64)
    assert domain.alloc_many(8, PAGE, out) is out
    assert len(set(out.tolist())) == 8
    part = domain.alloc_many(3, PAGE, out)
    assert part.tolist() == out[:3].tolist()
    assert domain.alloc_many(0, PAGE).shape == (0,)


def test_a_batch_is_taken_as_a_whole_or_not_at_all() -> None:
    with Domain(windows=SMALL) as domain:
        with pytest.raises(iova.NoSpace):
            domain.alloc_many(17, PAGE)
        assert domain.stats().live == 0
        assert len(domain.alloc_many(16, PAGE)) == 16


def test_a_batch_of_frees_stops_at_the_first_that_fails(domain: Domain) -> None:
    addresses = domain.alloc_many(4, PAGE).tolist()
    domain.free(addresses[2], PAGE)
    with pytest.raises(iova.DoubleFree, match="number 2 of the addresses") as caught:
        domain.free_many(addresses, PAGE)
    assert (caught.value.address, caught.value.size) == (addresses[2], PAGE)
    assert domain.ranges()[:, 0].tolist() == [addresses[3]]


def test_lists_tuples_and_generators_can_be_freed(domain: Domain) -> None:
    for kind in (list, tuple, iter):
        domain.free_many(kind(domain.alloc_many(5, PAGE).tolist()), PAGE)
    assert domain.stats().live == 0


def test_ranges_are_those_that_are_live(domain: Domain) -> None:
    addresses = sorted(domain.alloc(size) for size in (PAGE, 8 * PAGE, 100 * PAGE))
    domain.free(domain.alloc(PAGE))
    ranges = domain.ranges()
    assert ranges.dtype == np.uint64
    assert ranges.shape == (3, 2)
    assert ranges[:, 0].tolist() == addresses
    assert (ranges[:, 1] > ranges[:, 0]).all()


def test_more_ranges_than_one_look_has_room_for(domain: Domain) -> None:
    domain.alloc_many(5000, PAGE)
    assert domain.ranges().shape == (5000, 2)


def test_statistics_add_up() -> None:
    with Domain(windows=SMALL, budget=9, name="small") as domain:
        kept = domain.alloc(2 * PAGE)
        domain.free(domain.alloc(PAGE))
        domain.defer(domain.alloc(4 * PAGE))
        stats = domain.stats()
        assert (stats.live, stats.live_bytes, stats.deferred) == (1, 2 * PAGE, 1)
        assert (stats.cached, stats.cached_bytes) == (1, PAGE)
        assert stats.free_bytes == (16 - 2 - 1 - 4) * PAGE
        assert 0 < stats.largest_gap_bytes <= stats.free_bytes
        assert stats.budget == 9
        assert stats.classes[0].puts == 1
        assert stats.classes[1].tree_allocations == 1
        assert stats.memory_bytes > stats.tree_bytes > 0
        domain.free(kept)
        assert domain.stats().live == 0
        with pytest.raises(AttributeError):
            stats.live = 3  # type: ignore[misc]


def test_flushing_the_caches_gives_everything_to_the_tree(domain: Domain) -> None:
    domain.free_many(domain.alloc_many(1000, PAGE), PAGE)
    assert domain.stats().cached == 1000
    domain.flush_caches()
    assert domain.stats().cached == 0
    assert domain.stats().classes[0].tree_frees == 1000


def test_unchecked_domains_believe_the_caller() -> None:
    with Domain(checked=False) as domain:
        address = domain.alloc(PAGE)
        domain.free(address, PAGE)
        assert domain.alloc(PAGE) == address
        domain.free(address)  # the size is looked up
        big = domain.alloc(100 * PAGE)
        domain.free(big, 100 * PAGE)
        assert domain.stats().live == 0


# ---- its life -----------------------------------------------------------------------------------


def test_a_closed_domain_says_so_to_every_call() -> None:
    domain = Domain(name="nic")
    address = domain.alloc(PAGE)
    domain.close()
    domain.close()
    assert domain.is_closed
    assert repr(domain) == "<iova.Domain 'nic' closed>"
    calls: list[Callable[[], object]] = [
        lambda: domain.alloc(PAGE),
        lambda: domain.free(address, PAGE),
        lambda: domain.alloc_many(3, PAGE),
        lambda: domain.free_many([address], PAGE),
        lambda: domain.alloc_at(0x5000, PAGE),
        lambda: domain.reserve(0x5000, 0x5FFF),
        lambda: domain.find(address),
        lambda: domain.defer(address),
        lambda: domain.flushed(1),
        domain.flush_caches,
        domain.stats,
        domain.ranges,
        lambda: domain.record("never.parquet"),
    ]
    for call in calls:
        with pytest.raises(iova.Closed, match="nic is closed"):
            call()


def test_the_end_of_a_block_closes_whatever_happened() -> None:
    domain = Domain()
    with pytest.raises(KeyError), domain:
        raise KeyError
    assert domain.is_closed


def test_a_batch_that_can_not_fit_is_refused_at_once_and_costs_nobody_anything() -> None:
    with Domain(windows=[(PAGE, 5000 * PAGE - 1)], cpus=1) as domain:
        domain.free_many(domain.alloc_many(3000, PAGE), PAGE)
        before = domain.stats()
        with pytest.raises(iova.NoSpace, match="no room for 5000 times 4096 bytes"):
            domain.alloc_many(5000, PAGE)
        assert domain.stats() == before  # the caches are as full as they were
        assert len(domain.alloc_many(4999, PAGE)) == 4999


def test_other_threads_run_during_a_large_batch() -> None:
    ticks = 0
    started, done = threading.Event(), threading.Event()

    def tick() -> None:
        nonlocal ticks
        started.set()
        while not done.is_set():
            ticks += 1
            time.sleep(0)

    thread = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    with Domain() as domain:
        thread.start()
        started.wait()
        sys.setswitchinterval(1000)  # nobody is made to let go of the interpreter's lock
        try:
            before = ticks
            taken = domain.alloc_many(1_000_000, PAGE)
            during_alloc = ticks - before
            domain.free_many(taken, PAGE)
            during_free = ticks - before - during_alloc
        finally:
            sys.setswitchinterval(interval)
            done.set()
            thread.join()
    assert during_alloc > 0
    assert during_free > 0


@pytest.mark.parametrize("name", ["\ud800", "a\udcffb"])
def test_a_name_that_no_text_can_show_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="parts of characters"):
        Domain(name=name)


def test_a_domain_is_made_once_and_can_not_be_copied(domain: Domain) -> None:
    with pytest.raises(RuntimeError, match="made once"):
        domain.__init__()  # type: ignore[misc]
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copied(domain)


def test_a_domain_that_was_never_opened_does_nothing() -> None:
    domain = Domain.__new__(Domain)
    with pytest.raises(iova.Closed, match="never opened"):
        domain.alloc(PAGE)
    domain.close()


def test_a_number_that_closes_the_domain_while_it_is_read() -> None:
    class Closing:
        def __index__(self) -> int:
            domain.close()
            return PAGE

    calls: list[Callable[[Any], object]] = [
        lambda size: domain.alloc(size),
        lambda size: domain.free(size),
        lambda size: domain.find(size),
        lambda size: domain.alloc_at(size, size),
        lambda size: domain.reserve(0, size),
        lambda size: domain.alloc_many(1, size),
        lambda size: domain.free_many([size], PAGE),
        lambda size: domain.defer(size),
    ]
    for call in calls:
        domain = Domain()
        with pytest.raises(iova.Closed):
            call(Closing())


def test_control_characters_of_a_name_reach_no_message() -> None:
    domain = Domain(name="a\nb\x1b[2J", windows=SMALL)
    texts = [repr(domain)]
    with pytest.raises(iova.NoSpace) as full:
        domain.alloc(2**40)
    domain.close()
    with pytest.raises(iova.Closed) as closed:
        domain.alloc(PAGE)
    texts += [str(full.value), str(closed.value)]
    assert all("a\\nb\\x1b[2J" in text and text.isprintable() for text in texts)


def test_a_closed_domain_can_not_be_entered() -> None:
    domain = Domain(name="nic")
    domain.close()
    with pytest.raises(iova.Closed, match=r"nic is closed\."), domain:
        pass


def test_a_design_shows_what_it_is() -> None:
    with Domain(design="linux-6.12,threshold=0") as domain:
        assert repr(domain.design) == "<Design linux-6.12,threshold=0>"


def test_names_count_up_unless_given() -> None:
    with Domain() as one, Domain() as two, Domain(name="nic 0") as named:
        assert one.name != two.name
        assert (named.name, named.granule, named.budget) == ("nic 0", 4096, None)


def test_a_subclass_may_add_what_it_needs() -> None:
    class Device(Domain):
        def __init__(self, bus: str) -> None:
            super().__init__(name=bus, windows=SMALL)
            self.bus = bus

    with Device("0000:01:00.0") as device:
        assert device.alloc(PAGE) == 0x1F000
        assert device.bus == device.name
