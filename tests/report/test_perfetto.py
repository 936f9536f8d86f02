"""What is written for Perfetto holds the trace and the counters, as another reader sees them."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from perfetto_reader import ReadTrace, Slice, read

from commands import iova
from iova.designs import parse_design
from iova.errors import InputError
from iova.events import Flag, Op, Trace
from iova.lab.replay import prepare, replay
from iova.report import perfetto
from iova.report.perfetto_lanes import MOST_LANES
from iova.sources.parquet import write_parquet
from tables import alloc, filling_depot, free, row, trace_of

TRACE = Path(__file__).parent.parent / "data" / "traces" / "small4-6.12.txt.zst"
LINUX_6_12 = parse_design("linux-6.12")


def written(trace: Trace, out: Path, **options: Any) -> tuple[ReadTrace, perfetto.PerfettoReport]:
    report = perfetto.write_perfetto(trace, out, name="t", design=LINUX_6_12, **options)
    return read(out), report


def drawn(read_back: list[Slice], *, ended: bool) -> Counter[tuple[Any, ...]]:
    """What a slice tells of its call: CPU, times, and its values by name."""
    return Counter(
        (
            one.name,
            int(one.track.split()[1].rstrip(",")),
            one.t,
            one.t_end if ended else None,
            one.arguments.get("pages"),
            one.arguments.get("pfn"),
            one.arguments.get("slot"),
            one.arguments.get("domain"),
        )
        for one in read_back
    )


def expected(events: pl.DataFrame, *, ended: bool) -> Counter[tuple[Any, ...]]:
    rows = events.filter(pl.col("t_end").is_not_null() == ended)
    return Counter(
        (
            "alloc, failed" if ended and op == Op.ALLOC and pfn is None else Op(op).name.lower(),
            cpu,
            t,
            t_end,
            size,
            pfn,
            slot,
            domain,
        )
        for op, cpu, t, t_end, size, pfn, slot, domain in rows.select(
            "op", "cpu", "t", "t_end", "size", "pfn", "slot", "domain"
        ).iter_rows()
    )


def assert_same(events: pl.DataFrame, read_back: ReadTrace) -> None:
    assert drawn(read_back.slices, ended=True) == expected(events, ended=True)
    assert drawn(read_back.instants, ended=False) == expected(events, ended=False)


# --------------------------------------------------------------------------------- calls


def test_a_recorded_trace_is_read_back_call_by_call(tmp_path: Path) -> None:
    parquet, out = tmp_path / "t.parquet", tmp_path / "t.pftrace"
    iova("convert", TRACE, parquet)
    told = json.loads(iova("convert", TRACE, out, "--json"))
    events, back = pl.read_parquet(parquet), read(out)
    assert_same(events, back)
    assert told["perfetto"]["slices"] == len(back.slices) > 24_000
    assert told["perfetto"]["instants"] == len(back.instants)
    assert told["perfetto"]["design"] == "linux-6.12"
    assert back.parent_of("CPU 3") == f"calls: {TRACE}"
    assert back.parent_of("hit rate") == "counters: linux-6.12"


@pytest.mark.parametrize("piece_rows", [1, 7, 1 << 16])
def test_calls_that_overlap_in_any_way_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_rows: int, chosen_seed: int | None
) -> None:
    monkeypatch.setattr(perfetto, "PIECE_ROWS", piece_rows)
    for seed in range(12) if chosen_seed is None else [chosen_seed]:
        print("seed", seed)
        trace = any_calls(random.Random(seed))
        back, report = written(trace, tmp_path / "t.pftrace")
        assert_same(trace.events, back)
        assert report.crowded == 0
        assert report.slices + report.instants == trace.events.height


def any_calls(chance: random.Random) -> Trace:
    """Calls of two CPUs at times so few that many begin or end together; some without an end."""
    times = sorted(chance.randrange(40) for _ in range(60))
    rows = [
        alloc(
            t,
            i,
            size=chance.choice((1, 40, 300)),
            cpu=chance.randrange(2),
            t_end=chance.choice((None, t, t, t + chance.randrange(1, 12))),
            pfn=chance.choice((None, 5, 1 << 52)),
        )
        for i, t in enumerate(times)
    ]
    return trace_of(*rows)


def test_nested_calls_share_a_track_and_overlapping_ones_do_not(tmp_path: Path) -> None:
    calls = [
        alloc(10, 0, t_end=50, pfn=1),
        alloc(20, 1, t_end=30, pfn=2),  # within the first
        alloc(40, 2, t_end=60, pfn=3),  # begins within the first, ends after it
        alloc(50, 3, t_end=55, pfn=4),  # after the first, within the third
        alloc(70, 4, t_end=70, pfn=5),
        alloc(70, 5, t_end=75, pfn=6),
    ]
    back, _ = written(trace_of(*calls), tmp_path / "t.pftrace")
    tracks = {one.arguments["slot"]: one.track for one in back.slices}
    assert tracks == {
        0: "CPU 0",
        1: "CPU 0",
        2: "CPU 0, overlapping 1",
        3: "CPU 0",
        4: "CPU 0",
        5: "CPU 0",
    }
    assert back.parent_of("CPU 0, overlapping 1") == "calls: t"


def test_too_many_calls_at_once_are_instants_and_counted(tmp_path: Path) -> None:
    calls = [alloc(i, i, t_end=1000 + i, pfn=i + 1) for i in range(MOST_LANES + 5)]
    back, report = written(trace_of(*calls), tmp_path / "t.pftrace")
    assert (report.slices, report.instants, report.crowded) == (MOST_LANES, 5, 5)
    assert len(back.slices) == MOST_LANES
    assert [one.arguments["slot"] for one in back.instants] == list(
        range(MOST_LANES, MOST_LANES + 5)
    )


def test_what_an_event_says_is_shown_by_its_meaning(tmp_path: Path) -> None:
    rows = [
        alloc(1, 0, t_end=2, pfn=9, flags=int(Flag.REACHED_TREE | Flag.RAW)),
        row(3, Op.RECLAIM, size=4, n=17),
        row(4, Op.CPU_OFFLINE, n=1),
        row(5, Op.UNMAP, pfn=9, last=11) | {"domain": None},
    ]
    back, _ = written(trace_of(*rows), tmp_path / "t.pftrace")
    (call,) = back.slices
    assert call.arguments["reached the tree"] is True
    assert call.arguments["past the caches"] is True
    assert "aligned" not in call.arguments
    assert call.arguments["limit pfn"] == 0xF_FFFF
    reclaim, offline, unmap = back.instants
    assert reclaim.arguments == {"domain": 0, "pages": 4, "depot length before": 17}
    assert offline.arguments["which CPU"] == 1
    assert unmap.arguments == {"pfn": 9, "last pfn": 11}


# ------------------------------------------------------------------------------- counters


def test_counters_are_the_replay_s(tmp_path: Path) -> None:
    trace = trace_of(*filling_depot(3, gap_ns=1_000_000))
    back, report = written(trace, tmp_path / "t.pftrace", samples=50)
    series = replay(prepare(trace), LINUX_6_12, samples=50).series
    assert series is not None
    assert report.samples == series.height
    times = series["t"].to_list()
    for track, column in (
        ("cached", "cached_pages"),
        ("live", "live_pages"),
        ("reclaimed", "reclaimed"),
        ("depot, 1 page", "depot_1"),
        ("depot, 32 pages", "depot_32"),
    ):
        assert back.counters[track] == changes(times, series[column].to_list())
    assert max(value for _, value in back.counters["depot, 1 page"]) >= 2


def changes(times: list[int], values: list[float]) -> list[tuple[int, float]]:
    """A counter keeps its value until the next; the last is told in any case."""
    steps = zip(times, values, [None, *values], strict=False)
    kept = [(t, value) for t, value, before in steps if value != before]
    last = (times[-1], values[-1])
    return kept if kept[-1] == last else [*kept, last]


def test_the_hit_rate_is_that_of_the_allocations_since_the_sample_before(tmp_path: Path) -> None:
    misses = [alloc(i, i) for i in range(10)]
    frees = [free(10 + i, i) for i in range(10)]
    hits = [alloc(20 + i, 10 + i) for i in range(10)]
    trace = trace_of(*misses, *frees, *hits)
    back, _ = written(trace, tmp_path / "t.pftrace", samples=29)
    rates = dict(back.counters["hit rate"])
    assert {rate for t, rate in rates.items() if t < 10} == {0.0}
    assert not [t for t in rates if 11 <= t <= 19]  # nothing was allocated: there is no rate
    assert {rate for t, rate in rates.items() if t > 21} == {100.0}


def test_another_design_gives_other_counters(tmp_path: Path) -> None:
    source, out = tmp_path / "small.parquet", tmp_path / "t.pftrace"
    write_parquet(trace_of(*filling_depot(3)), source)
    assert "Give the design with --design" in iova("convert", source, out, status=2)
    assert not out.exists()
    said = iova("convert", source, out, "--design", "linux-6.1,depot=1")
    assert "counters under linux-6.1,depot=1" in said
    back = read(out)
    assert max(value for _, value in back.counters["depot, 1 page"]) == 1
    assert "is for OUT.pftrace" in iova(
        "convert", source, tmp_path / "x.parquet", "--design", "linux-6.1", status=2
    )


def test_a_workload_is_written_with_its_own_design_s_counters(tmp_path: Path) -> None:
    out = tmp_path / "t.perfetto-trace"
    options = ("--set", "duration_s=0.01", "--design", "linux-7.3")
    told = json.loads(iova("convert", "board-4", out, *options, "--json"))
    back = read(out)
    assert told["perfetto"]["design"] == "linux-7.3"
    assert len(back.slices) == told["perfetto"]["slices"] > 100
    assert back.counters["live"]


# ----------------------------------------------------------------------- memory and mistakes


def test_memory_does_not_grow_with_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perfetto, "PIECE_ROWS", 1 << 10)
    trace = trace_of(*(alloc(i, i, t_end=i, pfn=i + 1) for i in range(40_000)))
    out = tmp_path / "t.pftrace"
    peaks = []
    for rows in (10_000, 40_000):
        piece = Trace(trace.events.head(rows), trace.info)
        calls = perfetto.CallPackets("t", trace.info)
        with out.open("wb") as file:
            tracemalloc.start()
            perfetto._write_calls(piece, calls, file, lambda *_: None)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert out.stat().st_size > 2 * peaks[1]
    assert peaks[1] < 1.5 * peaks[0]


def test_times_before_0_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="t: has times before 0"):
        written(trace_of(alloc(-5, 0), alloc(3, 1)), tmp_path / "t.pftrace")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_is_written_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "t.pftrace"
    out.write_bytes(b"earlier")

    def stop(what: str, _done: int, _total: int) -> None:
        if what == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(trace_of(*filling_depot(3)), out, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["t.pftrace"]
    assert out.read_bytes() == b"earlier"


def test_a_name_that_is_no_text_and_the_last_of_all_times_are_written(tmp_path: Path) -> None:
    last = (1 << 63) - 1
    out = tmp_path / "t.pftrace"
    perfetto.write_perfetto(
        trace_of(alloc(last - 1, 0, t_end=last, pfn=(1 << 64) - 1)),
        out,
        name="a\udcff\n\x1b",
        design=LINUX_6_12,
    )
    (call,) = read(out).slices
    assert (call.t, call.t_end, call.arguments["pfn"]) == (last - 1, last, (1 << 64) - 1)
    assert read(out).parent_of("CPU 0") == "calls: a\\udcff\n\x1b"
