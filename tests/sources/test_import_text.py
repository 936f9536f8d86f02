"""What each line of a trace becomes, on small texts made for the purpose."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from trace_text import DOMAIN_A, DOMAIN_B, TraceText, load_text

from iova.errors import InputError
from iova.events import Flag, Op
from iova.sources import Loaded


def rows(loaded: Loaded, op: Op, *columns: str) -> list[tuple[object, ...]]:
    return loaded.trace.events.filter(pl.col("op") == int(op)).select(*columns).rows()


# ------------------------------------------------------------------------------- pairing


def test_a_return_closes_the_innermost_call_of_its_cpu(tmp_path: Path) -> None:
    text = TraceText().init()
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0", t_us=10)
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=2 limit=0xfffff flush=0", t_us=20)
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=4 limit=0xfffff flush=0", t_us=25, cpu=1)
    text.add("alloc_fast_ret", "pfn=0xffffe", t_us=30)
    text.add("alloc_fast_ret", "pfn=0xfffff", t_us=40)
    text.add("alloc_fast_ret", "pfn=0xffff8", t_us=50, cpu=1)
    text.lines.sort(key=lambda line: float(line.split(": ")[0].split()[-1]))
    found = rows(load_text(tmp_path, text), Op.ALLOC, "t", "t_end", "size", "pfn")
    assert found == [
        (10_000, 40_000, 1, 0xFFFFF),
        (20_000, 30_000, 2, 0xFFFFE),
        (25_000, 50_000, 4, 0xFFFF8),
    ]


def test_tasks_that_take_turns_on_a_cpu_keep_their_returns_apart(tmp_path: Path) -> None:
    text = TraceText().init()
    for task in ("first-1", "second-2"):
        text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0", task=task)
    text.add("alloc_fast_ret", "pfn=0xaaa", task="first-1")
    text.add("alloc_fast_ret", "pfn=0xbbb", task="second-2")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.ALLOC, "pfn") == [(0xAAA,), (0xBBB,)]
    assert loaded.report.pairing.open_entries == 0


def test_a_call_without_its_return_stays_open_and_is_counted(tmp_path: Path) -> None:
    text = TraceText().init()
    text.add("alloc_fast_ret", "pfn=0x5")
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0")
    text.add("tree_alloc", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff align=1 max32=0x100000")
    text.add("alloc_fast_ret", "pfn=0x7")
    text.add("free_fast", f"iovad={DOMAIN_A:#x} pfn=0x7 size=1")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.ALLOC, "pfn", "t_end") == [(7, 1_000_004_000)]
    assert rows(loaded, Op.TREE_ALLOC, "pfn", "t_end", "flags") == [(None, None, int(Flag.ALIGN))]
    assert rows(loaded, Op.FREE, "t_end", "slot") == [(None, 0)]
    assert loaded.report.pairing.open_entries == 2
    assert loaded.report.pairing.returns_without_entry == 1
    assert loaded.report.malformed_count == 0


def test_a_stack_of_calls_without_returns_is_bounded(tmp_path: Path) -> None:
    text = TraceText().init()
    for _ in range(1000):
        text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0")
    loaded = load_text(tmp_path, text)
    assert loaded.report.pairing.open_entries == 1000
    assert rows(loaded, Op.ALLOC, "slot", "pfn", "t_end") == [(None, None, None)] * 1000


@pytest.mark.parametrize(
    ("entry", "ret"),
    [
        ("alloc_fast", f"iovad={DOMAIN_B:#x} size=1 pfn=0x5"),
        ("alloc_fast", f"iovad={DOMAIN_A:#x} size=2 pfn=0x5"),
        ("free_fast", f"iovad={DOMAIN_B:#x} pfn=0x5"),
        ("free_fast", f"iovad={DOMAIN_A:#x} pfn=0x6"),
    ],
)
def test_a_return_that_disagrees_with_its_call_is_malformed(
    tmp_path: Path, entry: str, ret: str
) -> None:
    text = TraceText().init()
    text.add(entry, f"iovad={DOMAIN_A:#x} size=1 pfn=0x5 limit=0xff flush=0")
    text.add(entry + "_ret", ret)
    report = load_text(tmp_path, text).report
    assert report.malformed_count == 1
    assert report.malformed[0].line == 3
    assert entry + "_ret" in report.malformed[0].excerpt
    assert report.events == {"b_init": 1, entry: 1}


def test_rows_of_equal_times_keep_the_order_of_the_text(tmp_path: Path) -> None:
    text = TraceText().init()
    for pfn in range(100, 120):
        text.add("tree_free", f"iovad={DOMAIN_A:#x} pfn={pfn}", t_us=5_000_000)
    found = rows(load_text(tmp_path, text), Op.TREE_FREE, "pfn")
    assert found == [(pfn,) for pfn in range(100, 120)]


# ------------------------------------------------------------------------ domains, slots


def test_an_address_of_a_domain_that_comes_back_is_another_domain(tmp_path: Path) -> None:
    text = TraceText().init(DOMAIN_A).init(DOMAIN_B).alloc(9, domain=DOMAIN_A)
    text.add("put_domain", f"iovad={DOMAIN_A:#x}")
    text.add("tree_remove", f"iovad={DOMAIN_A:#x} lo=0x9 hi=0x9")
    text.init(DOMAIN_A, start=16).alloc(9, domain=DOMAIN_A).free(9, domain=DOMAIN_A)
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.ALLOC, "domain") == [(0,), (2,)]
    assert rows(loaded, Op.TREE_REMOVE, "domain") == [(0,)]
    assert rows(loaded, Op.FREE, "domain", "slot") == [(2, 1)]
    known = [(d.domain, d.start, d.born, d.destroyed) for d in loaded.trace.info.domains]
    assert known == [(0, 1, True, True), (1, 1, True, False), (2, 16, True, False)]


def test_a_call_after_the_end_of_a_domain_is_of_a_new_one_whose_birth_was_not_seen(
    tmp_path: Path,
) -> None:
    text = TraceText().init().add("put_domain", f"iovad={DOMAIN_A:#x}").alloc(3)
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.ALLOC, "domain") == [(1,)]
    assert not loaded.trace.info.domains[1].born


def test_two_domains_use_the_same_page_frames(tmp_path: Path) -> None:
    text = TraceText().init(DOMAIN_A).init(DOMAIN_B)
    text.alloc(7, domain=DOMAIN_A).alloc(7, domain=DOMAIN_B)
    text.free(7, domain=DOMAIN_A).free(7, domain=DOMAIN_B)
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.FREE, "domain", "slot") == [(0, 0), (1, 1)]


def test_a_free_gives_its_slot_back_and_a_failure_takes_none(tmp_path: Path) -> None:
    text = TraceText().init().alloc(1).alloc(2).free(1).alloc(0).alloc(3).free(99)
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.ALLOC, "pfn", "slot") == [(1, 0), (2, 1), (None, None), (3, 0)]
    assert rows(loaded, Op.FREE, "pfn", "slot") == [(1, 0), (99, None)]
    assert loaded.report.pairing.frees_without_alloc == 1


def test_a_slot_freed_inside_a_call_is_not_given_to_that_call(tmp_path: Path) -> None:
    text = TraceText().init().alloc(5)
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0")
    text.free(5)
    text.add("alloc_fast_ret", "pfn=0x5")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.ALLOC, "slot") == [(0,), (1,)]
    assert rows(loaded, Op.FREE, "slot") == [(0,)]


def test_a_range_that_is_returned_twice_is_counted(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TraceText().init().alloc(5).alloc(5).free(5))
    assert loaded.report.pairing.allocs_of_live == 1
    assert rows(loaded, Op.FREE, "slot") == [(1,)]


# ------------------------------------------------------------------------ the other rows


def test_creation_makes_the_caches_too_and_reservations_are_inclusive(tmp_path: Path) -> None:
    text = TraceText().init(start=2)
    text.add("b_resv", f"iovad={DOMAIN_A:#x} lo=0xfee00 hi=0xfeeff")
    frame = load_text(tmp_path, text).trace.events
    assert frame["op"].to_list() == [Op.CREATE, Op.MAKE_CACHES, Op.RESERVE]
    assert frame["t"].to_list() == [1_000_000_000, 1_000_000_000, 1_000_001_000]
    assert frame.select("pfn", "last").rows() == [(2, None), (None, None), (0xFEE00, 0xFEEFF)]


def test_depot_lengths_are_kept_where_they_were_recorded(tmp_path: Path) -> None:
    call = f"iovad={DOMAIN_A:#x} pfn=0x1 size=1"
    text = TraceText().init()
    text.add("free_fast", f"{call} d0=1 d1=2 d2=3 d3=4 d4=5 d5=6")
    text.add("free_fast", f"{call} d0=1 d1=12 d2=3 d3=4 d4=65535 d5=6")
    text.add("free_fast", call)
    text.add("free_fast", f"{call} d0=(fault) d1=(fault) d2=0 d3=0 d4=0 d5=0")
    found = rows(load_text(tmp_path, text), Op.FREE, "depot")
    assert found == [([1, 2, 3, 4, 5, 6],), ([1, 12, 3, 4, 65535, 6],), (None,), (None,)]


def test_a_tree_allocation_that_failed_has_no_range(tmp_path: Path) -> None:
    text = TraceText().init()
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=1")
    text.add("tree_alloc", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff align=1 max32=0x100000")
    text.add("tree_alloc_ret", f"iovad={DOMAIN_A:#x} iova=0x0 lo=(fault) hi=(fault)")
    text.add("free_cpu_cached", f"cpu=2 iovad={DOMAIN_A:#x}")
    text.add("tree_alloc", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff align=1 max32=0x100000")
    text.add("tree_alloc_ret", "iova=0xff00 lo=0x8 hi=0x8")
    text.add("alloc_fast_ret", "pfn=0x8")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.TREE_ALLOC, "pfn", "last") == [(None, None), (8, 8)]
    assert rows(loaded, Op.ALLOC, "flags") == [(int(Flag.FLUSH_RETRY | Flag.REACHED_TREE),)]
    assert rows(loaded, Op.CPU_OFFLINE, "n") == []
    assert loaded.report.pairing.flush_steps == 1


def test_a_cpu_that_goes_away_is_a_row_for_each_domain(tmp_path: Path) -> None:
    text = TraceText().init(DOMAIN_A).init(DOMAIN_B)
    for domain in (DOMAIN_A, DOMAIN_B):
        text.add("cpuhp_dead", "cpu=3", cpu=1)
        text.add("free_cpu_cached", f"cpu=3 iovad={domain:#x}", cpu=1)
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.CPU_OFFLINE, "cpu", "domain", "n") == [(1, 0, 3), (1, 1, 3)]


def test_a_free_that_jumps_to_its_last_callee_is_marked_all_the_same(tmp_path: Path) -> None:
    text = TraceText().init().free(64, size=64)
    text.add("tree_free", f"iovad={DOMAIN_A:#x} pfn=0x40").free(1)
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.FREE, "flags") == [(int(Flag.REACHED_TREE),), (0,)]


def test_unmaps_are_page_frames_without_a_domain(tmp_path: Path) -> None:
    text = TraceText().init()
    span = "iova=0x00000000ff0d0000 - 0x00000000ff0d8000 size=32768 unmapped_size=32768"
    text.raw("unmap", f"IOMMU: {span}").add("fq_timeout")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.UNMAP, "pfn", "last", "domain") == [(0xFF0D0, 0xFF0D7, None)]
    assert rows(loaded, Op.FLUSH_TIMER, "domain", "pfn") == [(None, None)]


def test_a_worker_that_empties_a_magazine_tells_its_size_class(tmp_path: Path) -> None:
    text = TraceText().init()
    text.add("depot_work", f"work=0xff00 iovad={DOMAIN_A:#x} depot=7")
    text.add("mag_free_pfns", f"mag=0xaa iovad={DOMAIN_A:#x} n=127")
    text.add("tree_remove", f"iovad={DOMAIN_A:#x} lo=0x100 hi=0x107")
    text.add("depot_work", f"work=0xff00 iovad={DOMAIN_A:#x} depot=6")
    text.add("depot_work", f"work=0xff08 iovad={DOMAIN_A:#x} depot=0")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.RECLAIM, "size", "n") == [(8, 7), (8, 6), (None, 0)]
    assert rows(loaded, Op.MAGAZINE_FREE, "n") == [(127,)]
    assert loaded.trace.info.notes[0] == "the size class of 1 depot runs is not known"


# ------------------------------------------------------------------------------- formats


def test_the_text_of_trace_cmd_gives_the_same_rows(tmp_path: Path) -> None:
    tracefs = TraceText().init().alloc(5).free(5)
    lines = tracefs.text().decode().replace(" ..... ", "").replace(": (probe", ":    (probe")
    loaded = load_text(tmp_path, b"cpus=4\n" + lines.encode())
    assert loaded.trace.events.equals(load_text(tmp_path, tracefs).trace.events)
    assert loaded.trace.info.cpus_possible == 4


@pytest.mark.parametrize(
    "change", [("\n", "\r\n"), ("-77 ", "-77 ( 1234) "), ("-77 ", "-77 (-----) ")]
)
def test_line_ends_and_thread_groups_make_no_difference(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    text = TraceText().init().alloc(5).free(5)
    changed = text.text().decode().replace(*change).encode()
    loaded = load_text(tmp_path, changed)
    assert loaded.report.malformed_count == 0
    assert loaded.trace.events.equals(load_text(tmp_path, text).trace.events)


def test_nine_decimals_are_nanoseconds(tmp_path: Path) -> None:
    line = b"  a-1 [000] 12.123456789: put_domain: (x) iovad=0x1\n"
    assert load_text(tmp_path, line).trace.events["t"].to_list() == [12_123_456_789]


def test_fields_may_come_in_any_order_with_others_between(tmp_path: Path) -> None:
    text = TraceText()
    text.add("free_fast", f"size=4 caller=foo+0x1/0x2 pfn=12 iovad={DOMAIN_A:#x}")
    loaded = load_text(tmp_path, text)
    assert rows(loaded, Op.FREE, "pfn", "size") == [(12, 4)]


def test_unknown_events_are_counted_by_name_up_to_a_bound(tmp_path: Path) -> None:
    text = TraceText().init()
    for i in range(100):
        text.raw(f"event_{i}", "anything: at [all] 1.5")
    text.raw("event_3", "once more")
    report = load_text(tmp_path, text).report
    assert len(report.unknown) == 64
    assert report.unknown["event_3"] == 2
    assert report.unknown_count == 101


# -------------------------------------------------------------------------------- losses


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("# entries-in-buffer/entries-written: 5/12   #P:4", 7),
        ("# entries-in-buffer/entries-written: 5/99999999999999999999   #P:4", 1),
        ("CPU:2 [LOST 12 EVENTS]", 12),
        ("CPU:2 [LOST EVENTS]", 1),
        ("CPU:0 [EVENTS DROPPED]", 1),
        ("CPU:0 [3 EVENTS DROPPED]", 3),
        ("CPU:0 [99999999999999999 EVENTS DROPPED]", 99999999999999999),
    ],
)
def test_lost_events_are_refused_unless_allowed(tmp_path: Path, line: str, lost: int) -> None:
    text = line.encode() + b"\n" + TraceText().init().alloc(1).text()
    with pytest.raises(InputError, match=f"{lost} events? (was|were) lost.*--allow-lost"):
        load_text(tmp_path, text)
    loaded = load_text(tmp_path, text, allow_lost=True)
    assert loaded.report.lost == loaded.trace.info.lost_events == lost
    assert loaded.trace.info.allowed_loss


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    text = TraceText().init().alloc(1).text()
    report = load_text(tmp_path, b"\xef\xbb\xbf" + text).report
    assert report.malformed_count == 0
    assert report.rows == load_text(tmp_path, text).report.rows


@pytest.mark.parametrize(
    ("announced", "told"),
    [
        (0, ()),
        (2, ()),
        (3, ("1 of the 3 entries that its header announces is missing",)),
        (9, ("7 of the 9 entries that its header announces are missing",)),
    ],
)
def test_entries_that_the_header_announces_are_missed(
    tmp_path: Path, announced: int, told: tuple[str, ...]
) -> None:
    header = f"# entries-in-buffer/entries-written: {announced}/{announced}   #P:8\n"
    text = TraceText().init().text()
    loaded = load_text(tmp_path, header.encode() + text + b"this is no line\n")
    assert text.count(b"\n") == 1
    assert loaded.report.incomplete == loaded.trace.info.incomplete == told
    assert loaded.trace.info.malformed_lines == 1


def test_a_header_without_loss_says_so(tmp_path: Path) -> None:
    header = b"# tracer: nop\n#\n# entries-in-buffer/entries-written: 12/12   #P:8\n"
    loaded = load_text(tmp_path, header + TraceText().init().text())
    assert loaded.trace.info.lost_events == 0
    assert loaded.trace.info.cpus_possible == 8
    assert loaded.report.headers == 3


def test_the_number_of_cpus_is_never_less_than_what_was_seen(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TraceText().init().alloc(1, cpu=11))
    assert loaded.trace.info.cpus_possible == 12
    assert "highest CPU seen" in loaded.trace.info.notes[0]
