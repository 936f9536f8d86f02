"""The oracle itself is exact on the vectors, and an oracle that is a little wrong is not.

The sequences were chosen to be cheap in plain Python and to reach every rule of the allocator; the
core is verified with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from conformance_folders import VECTORS

import oracle
from iova.lab.conformance import Implementation, SequenceVerdict, verify_folder
from oracle import OracleDomain, OracleMemory, Range

SEQUENCES = (
    "s01_lifo_1cpu",
    "s02_fifo_1cpu",
    "s06_big_sizes",
    "s08_dma32_then_64",
    "s09_exhaust_tiny",
    "s10_exhaust_32",
    "s11_reserve_pci",
    "s12_hotplug_16",
    "s13_teardown",
    "s16_nomem",
    "s17_start_zero",
    "s18_limit_scan",
    "s19_edge_limits",
    "s20_reserve_fuzz",
    "s21_fragmented",
    "s22_granule",
    "s23_unrounded_into_cache",
    "s24_fuzz",
    "s25_flush_depot",
)


def verdict_on(domain: type[OracleDomain], name: str) -> SequenceVerdict:
    implementation = Implementation(domain, OracleMemory, oracle.fnv1a64)
    (verdict,) = verify_folder(VECTORS, only=[name], factory=implementation)
    return verdict


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_oracle_is_exact(name: str) -> None:
    verdict = verdict_on(OracleDomain, name)
    assert verdict.exact, str(verdict.first_difference)


# ---- an oracle that is wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "constant", "value"),
    [
        ("s23_unrounded_into_cache", "CAPACITY", 126),
        ("s23_unrounded_into_cache", "CAPACITY", 128),
        ("s12_hotplug_16", "RECLAIM_DELAY_NS", 100_000_001),
        ("s12_hotplug_16", "RECLAIM_DELAY_NS", 99_999_000),
    ],
)
def test_a_wrong_constant_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, constant: str, value: int
) -> None:
    monkeypatch.setattr(oracle, constant, value)
    assert not verdict_on(OracleDomain, name).exact


@pytest.mark.parametrize(
    ("name", "design", "change"),
    [
        ("s25_flush_depot", "linux-6.1", {"depot_bound": 31}),
        ("s25_flush_depot", "linux-6.1", {"depot_bound": 33}),
        ("s12_hotplug_16", "linux-6.12", {"reclaims": False}),
        ("s01_lifo_1cpu", "linux-7.3", {"at_first_use": False}),
        ("s16_nomem", "linux-6.12", {"at_first_use": True}),
    ],
)
def test_a_design_that_is_a_little_another_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, design: str, change: Mapping[str, Any]
) -> None:
    wrong = replace(oracle.DESIGNS[design], **change)
    monkeypatch.setattr(oracle, "DESIGNS", {**oracle.DESIGNS, design: wrong})
    assert not verdict_on(OracleDomain, name).exact


class KeepsGiveUp(OracleDomain):
    """Does not forget the size that failed when a range is removed."""

    def _remove(self, gone: Range) -> None:
        give_up = self._give_up
        super()._remove(gone)
        self._give_up = give_up


class KeepsStarts(OracleDomain):
    """Moves a search start only if it is the range that goes."""

    def _remove(self, gone: Range) -> None:
        near, near32 = self._near, self._near32
        super()._remove(gone)
        self._near = self._near if near is gone else near
        self._near32 = self._near32 if near32 is gone else near32


class ReclaimsTooSoon(OracleDomain):
    """Trims the depot to one magazine fewer than there are CPUs online."""

    def run_due(self, now: int) -> int:
        away = max(self._online)
        self._online.remove(away)
        ran = super().run_due(now)
        self._online.add(away)
        return ran


class OldestFirst(OracleDomain):
    """Takes the magazine from the depot that was pushed first."""

    def _get(self, cpu: int, size: int, top: int) -> int:
        cache = self._cache_for(size)
        if cache is not None:
            cache.depot.reverse()
        pfn = super()._get(cpu, size, top)
        if cache is not None:
            cache.depot.reverse()
        return pfn


class FlushesOnlyDepots(OracleDomain):
    """Leaves the CPUs' magazines alone when all caches are to be flushed."""

    def flush_caches(self) -> None:
        online, self._online = self._online, set()
        super().flush_caches()
        self._online = online


class ReservesNoGaps(OracleDomain):
    """A reservation does not grow the range that it overlaps."""

    def reserve(self, lo: int, hi: int) -> tuple[int, int] | None:
        before = {id(r): r.lo for r in self._ranges}
        held = super().reserve(lo, hi)
        for r in self._ranges:
            r.lo = before.get(id(r), r.lo)
        return held


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("s10_exhaust_32", KeepsGiveUp),
        ("s06_big_sizes", KeepsStarts),
        ("s02_fifo_1cpu", ReclaimsTooSoon),
        ("s02_fifo_1cpu", OldestFirst),
        ("s09_exhaust_tiny", FlushesOnlyDepots),
        ("s20_reserve_fuzz", ReservesNoGaps),
    ],
)
def test_a_rule_that_is_wrong_is_found(name: str, wrong: type[OracleDomain]) -> None:
    assert not verdict_on(wrong, name).exact
