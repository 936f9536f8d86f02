"""The bundled traces of two real kernels, against what was counted when they were made."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
import zstandard
from trace_text import DATA, TRACES

from iova.events import SCHEMA, Flag, Op, Trace
from iova.sources import Loaded, load
from iova.sources._scan import Scanner
from iova.sources.info import summarise

#: Counted when the traces were made, by other means.
EXPECTED: dict[str, Any] = {
    "small4-6.1": {
        "kernel": "6.1.0-56-amd64",
        "allocs": 12196,
        "frees": 12164,
        "hits": 0.6265,
        "cross": 5769,
        "pages": (0xBECA0, 0xFFFFF),
        "sizes": {1: 11008, 2: 134, 4: 248, 8: 189, 16: 244, 23: 6, 32: 367},
        "events": {
            "b_init": 6, "b_resv": 31, "tree_alloc": 4555, "tree_alloc_ret": 4555, "unmap": 12164,
            "fq_timeout": 73, "cpuhp_dead": 6, "free_cpu_cached": 6, "mag_free_pfns": 72,
            "tree_remove": 1253,
        },
        "ignored": {"map": 12825, "tracing_mark_write": 10},
        "lines": 84288,
    },
    "small4-6.12": {
        "kernel": "6.12.117+deb12-amd64",
        "allocs": 12072,
        "frees": 12041,
        "hits": 0.6364,
        "cross": 5439,
        "pages": (0xBEBA7, 0xFFFFF),
        "sizes": {
            1: 10998, 2: 134, 4: 248, 8: 189, 16: 215, 23: 6, 32: 202, 48: 29, 64: 17, 96: 34,
        },
        "events": {
            "b_init": 6, "b_resv": 31, "tree_alloc": 4389, "tree_alloc_ret": 4389, "unmap": 12041,
            "fq_timeout": 78, "tree_free": 80, "tree_remove": 1918, "depot_work": 18,
            "mag_free_pfns": 83, "cpuhp_dead": 6, "free_cpu_cached": 6,
        },
        "ignored": {"map": 12814, "tracing_mark_write": 10},
        "lines": 84107,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=TRACES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def loaded(name: str) -> Loaded:
    return load(DATA / f"{name}.txt.zst")


@pytest.fixture
def trace(loaded: Loaded) -> Trace:
    return loaded.trace


def text_of(name: str) -> bytes:
    packed = (DATA / f"{name}.txt.zst").read_bytes()
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def test_every_line_is_accounted_for(name: str, loaded: Loaded) -> None:
    report = loaded.report
    expected = EXPECTED[name]
    events = dict(report.events)
    for entry, count in (("alloc_fast", "allocs"), ("free_fast", "frees")):
        assert events.pop(entry) == events.pop(entry + "_ret") == expected[count]
    assert events == expected["events"]
    assert report.ignored == expected["ignored"]
    assert report.lines == expected["lines"]
    counted = sum(report.events.values()) + sum(report.ignored.values())
    assert counted + report.headers == report.lines
    assert (report.unknown, report.malformed, report.lost, report.out_of_order) == ({}, (), 0, 0)


def test_everything_pairs(loaded: Loaded) -> None:
    assert set(vars(loaded.report.pairing).values()) == {0}


def test_the_summary_agrees_with_what_was_counted_when_the_trace_was_made(
    name: str, trace: Trace
) -> None:
    expected = EXPECTED[name]
    summary = summarise(trace)
    assert (summary.allocs, summary.frees) == (expected["allocs"], expected["frees"])
    assert summary.failed_allocs == summary.unfinished_allocs == summary.frees_without_alloc == 0
    assert round(summary.cache_hits / summary.allocs, 4) == expected["hits"]
    assert summary.frees_on_other_cpu == expected["cross"]
    assert {size.pages: size.allocs for size in summary.sizes} == expected["sizes"]
    assert summary.live_ranges == expected["allocs"] - expected["frees"]
    assert summary.unmapped_never_freed == 0


def test_calls_by_cpu_and_live_ranges_agree_with_the_recorder(name: str, trace: Trace) -> None:
    analysis = json.loads((DATA / f"{name}.json").read_text())["analysis"]
    summary = summarise(trace)
    assert {str(c.cpu): c.allocs for c in summary.cpus} == analysis["alloc_by_cpu"]
    assert {str(c.cpu): c.frees for c in summary.cpus} == analysis["free_by_cpu"]
    used = sorted(d.live_ranges for d in summary.domains if d.allocs)
    assert used == sorted(analysis["live_left"].values())


def test_the_frame_has_the_schema(trace: Trace) -> None:
    assert dict(trace.events.schema) == SCHEMA
    assert trace.events["t"].is_sorted()
    for column in ("t", "cpu", "op", "flags"):
        assert trace.events[column].null_count() == 0


def test_addresses_lie_where_the_traces_say(name: str, trace: Trace) -> None:
    pfns = trace.events.filter(pl.col("op") == int(Op.ALLOC))["pfn"]
    assert (pfns.min(), pfns.max()) == EXPECTED[name]["pages"]


def test_an_address_of_the_kernel_is_nowhere_in_the_rows(trace: Trace) -> None:
    for column in trace.events.select(pl.selectors.integer()).iter_columns():
        assert (column.cast(pl.UInt64).drop_nulls() < 1 << 48).all()


def test_what_the_json_beside_says_is_known(name: str, trace: Trace) -> None:
    info = trace.info
    assert info.kernel == EXPECTED[name]["kernel"]
    assert (info.clock, info.cpus_possible, info.cpus_online) == ("mono", 4, 4)
    assert info.cmdline is not None
    assert "iommu.strict=0" in info.cmdline
    assert [domain.mode for domain in info.domains] == ["lazy"] * 6
    assert all(domain.born and domain.granule == 4096 for domain in info.domains)


def test_no_two_live_ranges_share_a_slot_or_overlap(trace: Trace) -> None:
    calls = trace.events.filter(pl.col("op").is_in([int(Op.ALLOC), int(Op.FREE)]))
    holder: dict[int, tuple[int, int, int]] = {}
    highest = 0
    for op, domain, pfn, size, slot in calls.select(
        "op", "domain", "pfn", "size", "slot"
    ).iter_rows():
        if op == Op.ALLOC:
            assert slot not in holder
            holder[slot] = (domain, pfn, size)
            highest = max(highest, len(holder))
        else:
            assert holder.pop(slot) == (domain, pfn, size)
    assert calls["slot"].max() == highest - 1


def test_an_outer_call_stands_before_the_calls_nested_in_it(trace: Trace) -> None:
    rows = trace.events.with_row_index("row")
    outer = rows.filter((pl.col("op") == int(Op.ALLOC)) & (pl.col("flags") & 16 != 0))
    inner = rows.filter(pl.col("op") == int(Op.TREE_ALLOC))
    assert outer.height == inner.height > 4000
    both = inner.join_asof(outer, on="row", by="cpu", check_sortedness=False)
    assert (both["domain"] == both["domain_right"]).all()
    assert (both["t_end"] <= both["t_end_right"]).all()


def test_a_free_that_the_cache_did_not_take_is_marked() -> None:
    events = load(DATA / "small4-6.12.txt.zst").trace.events
    marked = (pl.col("op") == int(Op.FREE)) & (pl.col("flags") & int(Flag.REACHED_TREE) != 0)
    assert events.filter(marked).height == 80
    assert (events.filter(marked)["size"] > 32).all()


def test_runs_of_depot_workers_have_their_size_class() -> None:
    trace = load(DATA / "small4-6.12.txt.zst").trace
    runs = trace.events.filter(pl.col("op") == int(Op.RECLAIM))
    assert runs["size"].to_list() == [1] * 18
    analysis = json.loads((DATA / "small4-6.12.json").read_text())["analysis"]
    assert runs["n"].max() == analysis["depot_max_seen"]
    assert "alignment" in trace.info.notes[0]


def test_cpu_3_goes_offline_in_each_domain(trace: Trace) -> None:
    gone = trace.events.filter(pl.col("op") == int(Op.CPU_OFFLINE))
    assert gone["n"].to_list() == [3] * 6
    assert sorted(gone["domain"].to_list()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("piece", [1, 7, 4096, 1 << 20])
def test_where_the_text_is_cut_into_pieces_does_not_matter(name: str, piece: int) -> None:
    text = text_of(name)[: 300_000 if piece < 100 else None]
    whole, cut = Scanner(1), Scanner(2)
    whole.feed(text)
    for start in range(0, len(text), piece):
        cut.feed(text[start : start + piece])
    whole.finish()
    cut.finish()
    assert whole.counts() == cut.counts()
    assert whole.problems() == cut.problems()
    assert pl.DataFrame(whole).equals(pl.DataFrame(cut))
