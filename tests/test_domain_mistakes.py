"""What a live domain says to mistakes: exact exceptions, and nothing changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import iova
from domains import PAGE, SMALL, U64, fill
from iova import Domain
from iova.designs import DesignError


def test_a_double_free_raises_while_the_range_sits_in_a_magazine(domain: Domain) -> None:
    address = domain.alloc(PAGE)
    domain.free(address, PAGE)
    for size in (PAGE, None):
        with pytest.raises(iova.DoubleFree, match=f"{address:#x} was freed already") as caught:
            domain.free(address, size)
        assert (caught.value.address, caught.value.size) == (address, size)
    domain.flush_caches()
    with pytest.raises(iova.DoubleFree):
        domain.free(address, PAGE)
    assert domain.stats().cached == 0


def test_a_free_of_what_was_never_handed_out(domain: Domain) -> None:
    address = domain.alloc(4 * PAGE)
    for wrong in (address + PAGE, address + 1, 0x123000):
        with pytest.raises(iova.NotAllocated, match=f"{wrong:#x}") as caught:
            domain.free(wrong, PAGE)
        assert (caught.value.address, caught.value.size) == (wrong, PAGE)
    with pytest.raises(iova.NotAllocated, match=f"inside {address:#x}"):
        domain.free(address + PAGE)
    for outside in (0, 2**48, U64, 0xFEE00000):
        with pytest.raises(iova.Reserved, match=f"{outside:#x}"):
            domain.free(outside)
    assert domain.find(address) is not None


def test_a_free_with_the_wrong_size_names_the_right_one(domain: Domain) -> None:
    address = domain.alloc(4 * PAGE)
    for wrong in (PAGE, 8 * PAGE, 2**40, U64):
        with pytest.raises(iova.SizeMismatch, match=f"has 16384 bytes, not {wrong}") as caught:
            domain.free(address, wrong)
        assert (caught.value.address, caught.value.size) == (address, wrong)
    domain.free(address, 4 * PAGE)


def test_exhaustion_says_what_there_is() -> None:
    with Domain(windows=SMALL, name="nic") as domain:
        kept = fill(domain)[::2]
        domain.defer(kept[0])
        domain.free_many(kept[1:], PAGE)
        with pytest.raises(iova.NoSpace) as caught:
            domain.alloc(3 * PAGE)
        text = str(caught.value)
        assert text == (
            "nic has no room for 12288 bytes, with every cache emptied: 8 ranges (32768 bytes) "
            "are live, 1 wait for an IOTLB flush, 0 bytes are cached, 28672 bytes are free, and "
            "the longest free piece has 4096 bytes. "
            "Free ranges, flush the IOTLB, ask for less, or open the domain with more windows."
        )
        assert (caught.value.address, caught.value.size) == (None, 3 * PAGE)


def test_a_limit_or_alignment_that_can_not_be_met_is_named() -> None:
    with Domain(windows=SMALL) as domain:
        with pytest.raises(iova.NoSpace, match=r"at or below 0xfff, .*above the limit"):
            domain.alloc(PAGE, limit=0xFFF)
        domain.alloc_at(0x10000, PAGE)
        with pytest.raises(iova.NoSpace, match=r"multiple of 0x10000.*at its alignment"):
            domain.alloc(PAGE, align=0x10000)


def test_the_budget_is_kept_and_given_back() -> None:
    with Domain(budget=3, name="vfio") as domain:
        addresses = domain.alloc_many(3, PAGE).tolist()
        for call in (
            lambda: domain.alloc(PAGE),
            lambda: domain.alloc_at(0x5000, PAGE),
            lambda: domain.alloc_many(1, PAGE),
        ):
            with pytest.raises(iova.OverBudget, match=r"vfio .* its budget allows, 3"):
                call()
        domain.free(addresses[0])
        domain.defer(addresses[1])
        assert len(domain.alloc_many(2, PAGE)) == 2
        with pytest.raises(iova.OverBudget):
            domain.alloc(PAGE)


@pytest.mark.parametrize("bad", [-1, -(2**63), 2**64, 2**100])
def test_numbers_that_fit_nowhere_are_value_errors(domain: Domain, bad: int) -> None:
    calls: list[Callable[[], object]] = [
        lambda: domain.alloc(bad),
        lambda: domain.alloc(PAGE, limit=bad),
        lambda: domain.alloc(PAGE, align=bad),
        lambda: domain.free(bad),
        lambda: domain.free(0x5000, bad),
        lambda: domain.alloc_many(bad, PAGE),
        lambda: domain.alloc_many(1, bad),
        lambda: domain.free_many([bad], PAGE),
        lambda: domain.free_many([0x5000], bad),
        lambda: domain.alloc_at(bad, PAGE),
        lambda: domain.alloc_at(0x5000, bad),
        lambda: domain.reserve(bad, U64),
        lambda: domain.reserve(0, bad),
        lambda: domain.find(bad),
        lambda: domain.defer(bad),
        lambda: domain.flushed(bad),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"is not within 0\.\.2\*\*64-1"):
            call()


@pytest.mark.parametrize("bad", [True, 1.0, "1", b"1", None, [1], np.float64(4096), np.True_, 1j])
def test_what_is_no_whole_number_is_a_type_error(domain: Domain, bad: Any) -> None:
    for call in (domain.alloc, domain.free, domain.find, domain.flushed):
        with pytest.raises(TypeError, match="must be a whole number"):
            call(bad)
    if bad is not None:
        with pytest.raises(TypeError, match="size must be a whole number"):
            domain.free(0x5000, bad)
        with pytest.raises(TypeError, match="align must be a whole number"):
            domain.alloc(PAGE, align=bad)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.uint64])
def test_numbers_of_numpy_are_numbers(domain: Domain, kind: type[np.integer[Any]]) -> None:
    address = domain.alloc(kind(100))
    assert type(address) is int
    domain.free(np.uint64(address), kind(100))


def test_sizes_of_zero_and_bad_alignments_are_named(domain: Domain) -> None:
    for call in (
        lambda: domain.alloc(0),
        lambda: domain.alloc_many(1, 0),
        lambda: domain.alloc_many(0, 0),
        lambda: domain.free_many([], 0),
        lambda: domain.free(0x5000, 0),
        lambda: domain.defer(0x5000, 0),
        lambda: domain.alloc_at(0x5000, 0),
    ):
        with pytest.raises(ValueError, match="size is 0"):
            call()
    with pytest.raises(ValueError, match="align 0x3000 is no power of two"):
        domain.alloc(PAGE, align=0x3000)
    with pytest.raises(ValueError, match="0x5001 is no multiple of the granule, 4096"):
        domain.alloc_at(0x5001, PAGE)
    with pytest.raises(ValueError, match="first 0x6000 is above last 0x5fff"):
        domain.reserve(0x6000, 0x5FFF)


@pytest.mark.parametrize("size", [2**48, 2**52, 2**63, U64 - 1, U64])
def test_sizes_near_the_end_of_the_numbers_do_not_wrap(domain: Domain, size: int) -> None:
    with pytest.raises(iova.NoSpace):
        domain.alloc(size)
    with pytest.raises(iova.NoSpace):
        domain.alloc_many(1, size)
    with pytest.raises(iova.Reserved):
        domain.alloc_at(0x5000, size)
    address = domain.alloc(PAGE)
    with pytest.raises(iova.SizeMismatch):
        domain.free(address, size)
    with pytest.raises(iova.SizeMismatch):
        domain.free_many([address], size)


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros(3), TypeError),
        (np.zeros(3, dtype=np.int64), TypeError),
        (np.zeros(3, dtype=np.uint32), TypeError),
        (np.zeros(3, dtype=">u8"), TypeError),
        (np.zeros((3, 1), dtype=np.uint64), TypeError),
        (np.zeros(6, dtype=np.uint64)[::2], ValueError),
        (np.zeros(3, dtype=object), (TypeError, ValueError)),
        (np.zeros(3, dtype="M8[ns]"), (TypeError, ValueError)),
        ("abc", TypeError),
        ([None], TypeError),
        (5, TypeError),
    ],
    ids=str,
)
def test_arrays_of_another_kind_are_refused(domain: Domain, array: Any, error: Any) -> None:
    with pytest.raises(error):
        domain.free_many(array, PAGE)
    if not isinstance(array, (int, list)):
        with pytest.raises((TypeError, ValueError)):
            domain.alloc_many(3, PAGE, array)
    assert domain.stats().live == 0


def test_an_array_to_write_to_must_be_writeable_and_long_enough(domain: Domain) -> None:
    out = np.zeros(3, dtype=np.uint64)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        domain.alloc_many(3, PAGE, out)
    with pytest.raises(ValueError, match="room for 2 addresses, not 3"):
        domain.alloc_many(3, PAGE, np.zeros(2, dtype=np.uint64))
    addresses = domain.alloc_many(3, PAGE)
    addresses.flags.writeable = False
    domain.free_many(addresses, PAGE)


def test_more_ranges_than_memory_holds(domain: Domain) -> None:
    with pytest.raises(ValueError, match="more than any domain holds"):
        domain.alloc_many(2**41, PAGE)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"windows": []}, ValueError, "windows has 0 entries"),
        ({"windows": [(PAGE, 2 * PAGE)] * 5000}, ValueError, "windows has 5000 entries"),
        ({"windows": [(0, 4095)]}, ValueError, "windows hold nothing"),
        ({"windows": [(0x1001, 0x2FFE)]}, ValueError, "windows hold nothing"),
        ({"reserved": [(0, 2**64 - 1)]}, ValueError, "that is not reserved, or only"),
        (
            {"windows": [(0, 0x1FFF), (0x4000, 0x5FFF)], "reserved": [(0x1800, 0x5000)]},
            ValueError,
            "no whole granule of 4096 bytes that is not reserved",
        ),
        ({"windows": [(5, 4)]}, ValueError, "windows: 0x5 is above 0x4"),
        ({"windows": [(1, 2, 3)]}, ValueError, "windows: .* is no pair"),
        ({"windows": [(1,)]}, ValueError, "windows: .* is no pair"),
        ({"windows": [range(0x1000, 2**40)]}, ValueError, r"^windows: range\(.*\) is no pair"),
        ({"reserved": [range(2**64)]}, ValueError, r"^reserved: range\(.*\) is no pair"),
        ({"windows": [range(1, 3)]}, ValueError, "is no pair"),
        ({"windows": [itertools.count()]}, ValueError, "^windows: count.* is no pair"),
        ({"windows": range(2**40)}, TypeError, "windows must be pairs"),
        ({"reserved": [list(range(10**5))]}, ValueError, r"^reserved: .{,40} is no pair"),
        ({"windows": 5}, TypeError, "windows must be pairs"),
        ({"windows": [1]}, TypeError, "windows must be pairs"),
        ({"windows": [(0, 2**64)]}, ValueError, "windows: 18446744073709551616"),
        ({"windows": [(-1, 2)]}, ValueError, "windows: -1"),
        ({"windows": [(0.0, 5)]}, TypeError, "windows: 0.0 is no address"),
        ({"reserved": [("a", 1)]}, TypeError, "reserved: 'a' is no address"),
        ({"reserved": [(True, 1)]}, TypeError, "reserved: True is no address"),
        ({"granule": 3}, ValueError, "granule 3 is no power of two"),
        ({"granule": 0}, ValueError, "granule 0 is not within 1..65536"),
        ({"granule": 2**17}, ValueError, "granule 131072 is not within"),
        ({"granule": 4096.0}, TypeError, "granule must be a whole number"),
        ({"classes": 0}, ValueError, "classes 0 is not within 1..10"),
        ({"classes": 11}, ValueError, "classes 11 is not within 1..10"),
        ({"budget": 0}, ValueError, "budget 0 is not within"),
        ({"budget": True}, TypeError, "budget must be a whole number"),
        ({"cpus": 2**17}, ValueError, "cpus 131072 is not within"),
        ({"design": "nosuch"}, DesignError, "^design nosuch: there is no design 'nosuch'"),
        ({"design": "linux-6.12,x=1"}, DesignError, "has no parameter 'x'"),
        ({"design": 5}, TypeError, "5 is no policy"),
        ({"design": dict}, TypeError, "design must be a policy, not its class"),
        ({"on_flush": 1}, TypeError, "on_flush must be callable, not int"),
        ({"name": 1}, TypeError, "name must be a str, not int"),
        ({"unknown": 1}, TypeError, "unknown"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense_are_named(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        Domain(**arguments)


def test_errors_have_one_base_and_tell_address_and_size() -> None:
    for name in ("NoSpace", "DoubleFree", "NotAllocated", "SizeMismatch", "Reserved",
                 "OverBudget", "FlushNeeded", "Closed"):  # fmt: skip
        kind = getattr(iova, name)
        assert issubclass(kind, iova.DomainError)
        assert issubclass(kind, iova.IovaError)
