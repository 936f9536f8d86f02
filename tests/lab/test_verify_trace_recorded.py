"""The bundled traces of two real kernels: every address is predicted, and wrong models fail."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import polars as pl
import pytest

from iova.designs import parse_design
from iova.events import SCHEMA, Op, Trace
from iova.lab.chains import prepared, tie_domain
from iova.lab.compare import compare
from iova.lab.explain import explain
from iova.lab.order import Budget, Interval, at_deadlines, find_order
from iova.lab.order_cache import CacheState
from iova.lab.points import HIT, MISS, DomainPoints
from iova.lab.verify_trace import verify_trace
from iova.sources import load
from iova.sources.parquet import write_parquet

TRACES = Path(__file__).parents[1] / "data" / "traces"


@pytest.fixture(scope="module")
def trace_6_1() -> Trace:
    return load(TRACES / "small4-6.1.txt.zst").trace


@pytest.fixture(scope="module")
def trace_6_12() -> Trace:
    return load(TRACES / "small4-6.12.txt.zst").trace


def test_linux_6_1_is_predicted_to_the_last_address(trace_6_1: Trace) -> None:
    verdict = verify_trace(trace_6_1)
    assert verdict.design == "linux-6.1"
    assert verdict.line().startswith("exact 12196 of 12196; ")
    assert verdict.line().endswith("; state before the trace 0; unexplained 0")
    assert 0.9 < verdict.by_timestamps / verdict.total < 0.95
    assert 0 < verdict.repaired < 24  # 0.1 % of the calls


def test_linux_6_12_is_predicted_to_the_last_address(trace_6_12: Trace) -> None:
    verdict = verify_trace(trace_6_12)
    assert verdict.design == "linux-6.12"
    assert verdict.line().startswith("exact 12072 of 12072; ")
    assert verdict.line().endswith("; state before the trace 0; unexplained 0")
    assert 0.998 < verdict.by_timestamps / verdict.total < 1
    assert 0 < verdict.repaired < 24


def test_a_comparison_counts_the_calls_that_are_verified(trace_6_12: Trace) -> None:
    verdict = verify_trace(trace_6_12)
    shown = compare("small", trace_6_12, [parse_design("linux-6.12")])
    assert shown.calls == verdict.calls
    assert shown.results[0].totals["calls"] > verdict.calls  # creations and the like
    assert explain("small", trace_6_12).calls == verdict.calls


def test_text_and_parquet_have_the_same_verdict(trace_6_12: Trace, tmp_path: Path) -> None:
    out = tmp_path / "trace.parquet"
    write_parquet(trace_6_12, out)
    assert verify_trace(load(out).trace) == verify_trace(trace_6_12)


def test_reclaims_of_6_12_are_not_explained_by_linux_6_1(trace_6_12: Trace) -> None:
    verdict = verify_trace(trace_6_12, design="linux-6.1")
    assert verdict.unexplained > 100
    assert verdict.first is not None
    assert verdict.first.expected == "a magazine of 127 leaves the depot"


def test_an_altered_page_frame_is_the_first_that_is_unexplained(trace_6_12: Trace) -> None:
    events = trace_6_12.events.with_row_index("row")
    hits = events.filter((pl.col("op") == int(Op.ALLOC)) & (pl.col("flags") == 0))
    row, pfn = hits.select("row", "pfn").row(hits.height // 2)
    altered = events.with_columns(
        pfn=pl.when(pl.col("row") == row).then(pl.lit(pfn ^ 1, pl.UInt64)).otherwise(pl.col("pfn"))
    )
    verdict = verify_trace(dataclasses.replace(trace_6_12, events=altered.drop("row")))
    assert verdict.unexplained > 0
    assert verdict.first is not None
    assert (verdict.first.row, verdict.first.expected) == (row, f"{pfn ^ 1:#x}")
    assert verdict.first.got == f"{pfn:#x}"


@pytest.mark.parametrize("chosen", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_swapped_calls_are_noticed(trace_6_1: Trace, chosen: float) -> None:
    """Two hits of one size, one after the other on one CPU, in the other order."""
    events = trace_6_1.events.with_row_index("row")
    hit = (pl.col("op") == int(Op.ALLOC)) & (pl.col("flags") == 0) & (pl.col("size") == 1)
    hits = events.filter(hit)
    at = int(chosen * hits.height)
    first = hits.row(at, named=True)
    later = hits[at + 1 :].filter(
        (pl.col("cpu") == first["cpu"]) & (pl.col("domain") == first["domain"])
    )
    second = later.filter(pl.col("t") > first["t_end"]).row(0, named=True)
    columns = []
    for name in ("pfn", "slot"):
        values = events[name].to_list()
        values[first["row"]], values[second["row"]] = second[name], first[name]
        columns.append(pl.Series(name, values, dtype=SCHEMA[name]))
    swapped = trace_6_1.events.with_columns(columns)
    assert verify_trace(dataclasses.replace(trace_6_1, events=swapped)).unexplained > 0


# Wrong models of the cache. Each leaves much unexplained where the right one explains all.


class OldestEntryFirst(CacheState):
    """A magazine from whose bottom entries are taken."""

    def get(self, cpu: int, cap: int) -> int:
        pfn = super().get(cpu, cap)
        if pfn:
            magazine = self.loaded[cpu]
            magazine.append(pfn)
            pfn = magazine.pop(0)
        return pfn


class OldestMagazineFirst(CacheState):
    """A depot that gives back the magazine that was pushed first."""

    def get(self, cpu: int, cap: int) -> int:
        if not self.loaded[cpu] and not self.previous[cpu] and self.depot:
            self.depot.append(self.depot.pop(0))
        return super().get(cpu, cap)


class PreviousFirst(CacheState):
    """Magazines that change places before every look."""

    def get(self, cpu: int, cap: int) -> int:
        if self.previous[cpu]:
            swapped = self.previous[cpu], self.loaded[cpu]
            self.loaded[cpu], self.previous[cpu] = swapped
        return super().get(cpu, cap)


def busiest_domain(trace: Trace) -> DomainPoints:
    parts = prepared(trace.events).partition_by("domain", maintain_order=True)
    return tie_domain(max(parts, key=lambda rows: rows.height))


def unexplained_share(domain: DomainPoints, state: type[CacheState], capacity: int = 127) -> float:
    """Of the looks into the busiest cache, those with another result than was recorded."""
    chain = max(domain.caches, key=lambda cache: len(cache.kind))
    model = state(chain, domain.drains, len(domain.cpus), capacity=capacity)
    looks = [point for point, kind in enumerate(chain.kind) if kind in (HIT, MISS)]
    wrong = set(at_deadlines(model, len(chain.kind)))
    return len(wrong.intersection(looks)) / len(looks)


def test_the_right_model_explains_every_look_into_the_cache(trace_6_12: Trace) -> None:
    assert unexplained_share(busiest_domain(trace_6_12), CacheState) == 0


@pytest.mark.parametrize(
    ("state", "capacity"),
    [
        (CacheState, 126),
        (CacheState, 128),
        (OldestEntryFirst, 127),
        (OldestMagazineFirst, 127),
        (PreviousFirst, 127),
    ],
)
def test_wrong_models_leave_much_unexplained(
    trace_6_12: Trace, state: type[CacheState], capacity: int
) -> None:
    assert unexplained_share(busiest_domain(trace_6_12), state, capacity) > 0.1


def test_the_search_does_not_save_a_wrong_model(trace_6_12: Trace) -> None:
    domain = busiest_domain(trace_6_12)
    chain = max(domain.caches, key=lambda cache: len(cache.kind))
    interval = Interval(chain.cpu, chain.entry, chain.end)
    for capacity, explained in ((126, False), (127, True), (128, False)):
        model = CacheState(chain, domain.drains, len(domain.cpus), capacity=capacity)
        order = find_order(model, interval, Budget(repairs=24))
        assert (not order.failed) == explained
