"""Texts that are cut, mixed up, made up to mislead, or made to fill memory."""

from __future__ import annotations

import random
import re
import resource
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_text import DATA, DOMAIN_A, TraceText, load_text

from iova.errors import InputError
from iova.events import Op
from iova.sources import load, text
from iova.sources._scan import Scanner

INIT = TraceText().init().text()


def scan(text: bytes) -> Scanner:
    scanner = Scanner(1)
    scanner.feed(text)
    scanner.finish()
    return scanner


def accounted(scanner: Scanner) -> int:
    """Lines by kind, summed; every line is in one."""
    counts = scanner.counts()
    by_name = [*scanner.events(used=True).values(), *scanner.events(used=False).values()]
    others = ("headers", "loss_lines", "unknown", "malformed")
    return sum(by_name) + sum(counts[name] for name in others)


# ---------------------------------------------------------------------------- task names


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "[001]",
        "x [003] y",
        "a-1 [001] 1.0: ",
        "a-1 [000] ",
        "-1 [0] 1: e: ",
        "a:b: c",
        "<...>",
        "((sd-pam))",
        "a [001] 1.0: alloc_fast: (x) pfn=1",
        "a-9 [001] .... 1.0: free_fast: (x) pfn=1",
        "cpus=4",
        "# comment",
        "CPU:0 [LOST 1 E",
        "\N{SNOWMAN}\x01\x7f",
    ],
)
def test_a_task_cannot_choose_what_its_lines_mean(tmp_path: Path, name: str) -> None:
    for flags in ("..... ", ""):
        text = TraceText().init()
        text.add(
            "free_fast",
            f"iovad={DOMAIN_A:#x} pfn=0x5 size=1",
            cpu=2,
            task=f"{name}-77",
            flags=flags,
        )
        loaded = load_text(tmp_path, text)
        assert loaded.report.malformed_count == 0
        frees = loaded.trace.events.filter(pl.col("op") == int(Op.FREE))
        assert frees.select("t", "cpu", "pfn").rows() == [(1_000_001_000, 2, 5)]


def test_a_marker_cannot_pretend_to_be_another_line(tmp_path: Path) -> None:
    text = TraceText().init()
    forged = text.alloc(5).lines.pop()
    text.raw("tracing_mark_write", forged).raw("print", f"tracing_mark_write: {forged}")
    report = load_text(tmp_path, text).report
    assert report.ignored == {"tracing_mark_write": 1, "print": 1}
    assert "alloc_fast_ret" not in report.events


def test_a_marker_under_a_clock_of_cycles_cannot_either(tmp_path: Path) -> None:
    forged = TraceText().alloc(5).lines[0]
    line = f"  sh-1 [000] ..... 123456789: tracing_mark_write: {forged}\n"
    report = load_text(tmp_path, INIT + line.encode()).report
    assert report.malformed[0].problem.startswith("the time is not in seconds")
    assert report.events == {"b_init": 1}


def test_a_name_longer_than_the_kernel_allows_is_malformed_not_believed(tmp_path: Path) -> None:
    text = TraceText().init()
    name = "a-1 [001] 1.000000: alloc_fast_ret: (x) pfn=1"
    text.add("free_fast", f"iovad={DOMAIN_A:#x} pfn=0x5 size=1", task=f"{name}-77")
    report = load_text(tmp_path, text).report
    assert report.malformed_count == 1
    assert report.events == {"b_init": 1}


# --------------------------------------------------------------------- numbers and fields

BIG = "the number is too large"
WIDE = "expected a number of at most 64 bits"


@pytest.mark.parametrize(
    ("event", "fields", "problem"),
    [
        ("free_fast", "iovad=0x1 pfn=0x1 size=18446744073709551616", WIDE),
        ("free_fast", "iovad=0x10000000000000000 pfn=0x1 size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn=" + "9" * 5000 + " size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn=0x" + "f" * 5000 + " size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn=-5 size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn=1e5 size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn=0x size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn= size=1", WIDE),
        ("free_fast", "iovad=0x1 pfn=5", "a field of this event is missing"),
        ("free_fast", "iovad=(fault) pfn=5 size=1", "a field of this event is missing"),
        ("free_fast", "iovad=0x1 pfn=5 size=1 size=2", "this field is given twice"),
        ("free_fast", "iovad=0x1 pfn=5 size=0", "the size is zero"),
        ("free_fast", "iovad=0x1 pfn=5 size=1 d0=65536", BIG),
        ("free_fast", "iovad=0x1 pfn=5 size=1 hello", "expected name=value"),
        ("mag_free_pfns", "mag=0x1 iovad=0x1 n=4294967296", BIG),
        ("depot_work", "work=0x1 iovad=0x1 depot=4294967296", BIG),
        ("free_cpu_cached", "iovad=0x1 cpu=8192", "the CPU's number is too large"),
        ("b_init", "iovad=0x1 granule=0x0 start=0x1", "the granule is no power of two"),
        ("b_init", "iovad=0x1 granule=0x1001 start=0x1", "the granule is no power of two"),
        ("b_init", "iovad=0x1 granule=0x8000000000000000 start=1", "the granule is no power"),
        ("b_resv", "iovad=0x1 lo=0x5 hi=0x4", "the range ends before it starts"),
        ("tree_remove", "iovad=0x1 lo=0x5 hi=0x4", "the range ends before it starts"),
    ],
)
def test_a_number_or_field_that_cannot_be_is_malformed(
    tmp_path: Path, event: str, fields: str, problem: str
) -> None:
    text = TraceText().init().add(event, fields).alloc(5)
    report = load_text(tmp_path, text).report
    assert report.malformed_count == 1
    assert report.malformed[0].line == 2
    assert report.malformed[0].problem.startswith(problem)
    assert 0 < len(report.malformed[0].excerpt) <= 4 * 120
    assert report.events["alloc_fast"] == 1


def test_the_column_points_at_the_number(tmp_path: Path) -> None:
    text = TraceText().init().add("free_fast", "iovad=0x1 pfn=zz size=1")
    found = load_text(tmp_path, text).report.malformed[0]
    assert found.column == text.lines[1].index("zz") + 1


def test_the_largest_numbers_are_kept_as_they_are(tmp_path: Path) -> None:
    top = (1 << 64) - 1
    text = TraceText().init()
    text.add("alloc_fast", f"iovad={top} size={top} limit={top:#x} flush={top}")
    frame = load_text(tmp_path, text).trace.events.filter(pl.col("op") == int(Op.ALLOC))
    assert frame.select("size", "limit").rows() == [(top, top)]


@pytest.mark.parametrize(
    "line",
    [
        "a-1 [99999] 1.000000: put_domain: (x) iovad=0x1",
        "a-1 [18446744073709551616] 1.000000: put_domain: (x) iovad=0x1",
        "a-1 [000] 99999999999.000000: put_domain: (x) iovad=0x1",
        "a-1 [000] 99999999999999999999999.000000: put_domain: (x) iovad=0x1",
        "a-1 [000] 1.00000: put_domain: (x) iovad=0x1",
        "a-1 [000] 1.0000000000: put_domain: (x) iovad=0x1",
        "a-1 [000] -1.000000: put_domain: (x) iovad=0x1",
        "a-1 [000] 1.000000: put_domain",
        "a-1 [000] 1.000000: put domain: x",
        "a-1 [000] 1.000000: " + "e" * 64 + ": x",
        "a-1 [000] 1.000000: put_domain: (x iovad=0x1",
        "a-1 [000] 1.000000: put_domain: iovad=0x1",
        "a-1 [000] 1.000000: put_domain:",
        "a-1 [000] 1.000000: unmap: IOMMU: iova=0x5000 - 0x5000 size=0",
        "a-1 [000] 1.000000: unmap: IOMMU: iova=0x5000",
        "a-1 [000] 1.000000: unmap: iova=0x5000 - 0x6000",
        "a-123456789 [000] 1.000000: put_domain: (x) iovad=0x1",
        "hello",
        "CPU:0 [LOST x EVENTS]",
        "CPU:0 [LOST 5 EVENTS",
        "cpus=-4",
    ],
)
def test_a_line_that_breaks_the_grammar_is_malformed(tmp_path: Path, line: str) -> None:
    report = load_text(tmp_path, INIT + line.encode() + b"\n").report
    assert report.malformed_count == 1
    assert report.malformed[0].line == 2
    assert report.events == {"b_init": 1}


def test_the_first_twenty_malformed_lines_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    report = load_text(tmp_path, INIT + b"what?\n" * 5000).report
    assert [problem.line for problem in report.malformed] == list(range(2, 22))
    assert report.malformed_count == 5000


def test_an_excerpt_is_printable(tmp_path: Path) -> None:
    line = b"\x1b[31mred\x00\xff\xe2\x80\xaehidden\n"
    excerpt = load_text(tmp_path, INIT + line).report.malformed[0].excerpt
    assert excerpt.isprintable()
    assert "\\x1b[31mred\\x00\\xff\\u202ehidden" in excerpt


# ----------------------------------------------------------------------- lines and order


def test_a_line_that_is_too_long_is_skipped(tmp_path: Path) -> None:
    long = b"x" * 100_000 + b" a-1 [000] 1.000000: put_domain: (x) iovad=0x1"
    report = load_text(tmp_path, INIT + long + b"\n" + TraceText().alloc(4).text()).report
    assert report.malformed_count == 1
    assert report.malformed[0].problem == "the line is too long"
    assert report.lines == 4
    assert report.events["alloc_fast_ret"] == 1


@pytest.mark.parametrize("length", [16383, 16384, 16385])
@pytest.mark.parametrize("piece", [100, 1 << 20])
def test_the_longest_line_is_as_long_wherever_the_text_is_cut(length: int, piece: int) -> None:
    text = INIT + b"x" * length + b"\n"
    scanner = Scanner(1)
    for start in range(0, len(text), piece):
        scanner.feed(text[start : start + piece])
    scanner.finish()
    problem = scanner.problems()[0][2]
    assert (problem == "the line is too long") == (length > 16384)


def test_a_last_line_without_end_is_not_believed(tmp_path: Path) -> None:
    text = TraceText().init().alloc(0xABCDE)
    report = load_text(tmp_path, text.text()[:-3]).report
    assert report.malformed_count == 1
    assert "may be cut short" in report.malformed[0].problem
    assert report.pairing.open_entries == 1


def test_a_last_line_without_end_that_makes_no_row_is_no_problem(tmp_path: Path) -> None:
    text = TraceText().init().raw("print", "tracing_mark_write: PHASE end")
    report = load_text(tmp_path, text.text()[:-1]).report
    assert report.malformed_count == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_text_cut_anywhere_gives_the_rows_before_the_cut(seed: int) -> None:
    whole = TraceText().init()
    for pfn in range(1, 50):
        whole.alloc(pfn, cpu=pfn % 4)
    text = whole.text()
    full = pl.DataFrame(scan(text))
    cut = random.Random(seed).randrange(len(text))
    scanner = scan(text[:cut])
    assert accounted(scanner) == scanner.counts()["lines"]
    part = pl.DataFrame(scanner)
    same = ["t", "cpu", "op", "domain", "size"]
    assert part.select(same).equals(full.head(part.height).select(same))


def test_lines_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    text = TraceText().init()
    for pfn in range(1, 2000):
        text.alloc(pfn, cpu=pfn % 4).free(pfn, cpu=(pfn + 1) % 4)
    expected = load_text(tmp_path, text).trace.events
    random.Random(1).shuffle(text.lines)
    loaded = load_text(tmp_path, text)
    assert loaded.trace.events.equals(expected)
    assert loaded.report.out_of_order > 1000
    assert loaded.report.malformed_count == 0


def test_a_time_that_goes_back_further_than_the_window_is_malformed(tmp_path: Path) -> None:
    text = TraceText().init()
    for _ in range(20_000):
        text.add("fq_timeout")
    text.add("tree_free", f"iovad={DOMAIN_A:#x} pfn=0x5", t_us=999_999)
    loaded = load_text(tmp_path, text)
    assert loaded.report.malformed_count == 1
    assert loaded.report.malformed[0].line == 20_002
    assert loaded.trace.events["t"].is_sorted()


# -------------------------------------------------------------------------- no trace at all


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n\n",
        b"\x00" * 10_000,
        random.Random(7).randbytes(100_000),
        b"hello\n",
        b"# entries-in-buffer/entries-written: 0/0   #P:4\n",
        TraceText().raw("sched_switch", "prev_comm=a").text(),
        TraceText().add("fq_timeout").text(),
        "a-1 [000] 1.000000: put_domain: (x) iovad=0x1\n".encode("utf-16"),
    ],
)
def test_an_input_without_usable_event_is_an_error(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(InputError, match="no event of the IOVA allocator"):
        load_text(tmp_path, text)


def test_what_holds_no_line_of_a_trace_for_long_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "HOPELESS", 1 << 18)
    trace = TraceText().init().alloc(5).text()
    other = b"  <idle>-0     [001] d.h1.   0.345678: sched_waking: comm=x\n" * 10_000
    assert load_text(tmp_path, other + trace).report.unknown == {"sched_waking": 10_000}
    assert load_text(tmp_path, b"# comment\n" * 100_000 + trace).report.headers == 100_000
    with pytest.raises(InputError, match="no event of the IOVA allocator"):
        load_text(tmp_path, b"no trace\n" * 100_000 + trace)


def test_the_error_names_file_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trace\.txt:3:1: .*Expected tracefs text"):
        load_text(tmp_path, b"# comment\n\nhello\n")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_compressed_text_that_ends_early_is_used_and_reported(tmp_path: Path) -> None:
    packed = (DATA / "small4-6.12.txt.zst").read_bytes()
    (tmp_path / "cut.zst").write_bytes(packed[: len(packed) // 2])
    report = load(tmp_path / "cut.zst").report
    assert report.rows > 10_000
    assert report.incomplete[0] == "the compressed data ends early"
    assert re.fullmatch(r"\d+ of the 84095 entries .* are missing", report.incomplete[1])
    assert not report.is_whole


def test_damaged_compressed_text_is_used_up_to_the_damage(tmp_path: Path) -> None:
    packed = bytearray((DATA / "small4-6.12.txt.zst").read_bytes())
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
    (tmp_path / "bad.zst").write_bytes(packed)
    loaded = load(tmp_path / "bad.zst")
    assert loaded.report.incomplete[0].startswith("the compressed data is damaged")
    assert loaded.trace.info.incomplete == loaded.report.incomplete
    assert all(problem.line > 0 for problem in loaded.report.malformed)


def test_compressed_text_in_several_frames_is_one_text(tmp_path: Path) -> None:
    text = TraceText().init().alloc(5).text()
    (tmp_path / "a.zst").write_bytes(
        zstandard.compress(text[:100]) + zstandard.compress(b"") + zstandard.compress(text[100:])
    )
    loaded = load(tmp_path / "a.zst")
    assert loaded.report.malformed_count == 0
    assert loaded.trace.events.equals(load_text(tmp_path, text).trace.events)


# ------------------------------------------------------------------------- memory and time


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_compressed_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    block = b"\x00" * (1 << 20)
    packed = b"".join(compressor.compress(block) for _ in range(512)) + compressor.flush()
    (tmp_path / "bomb.zst").write_bytes(packed)
    before = peak_kib()
    with pytest.raises(InputError, match="the line is too long"):
        load(tmp_path / "bomb.zst")
    assert peak_kib() - before < 200_000


def test_numbers_in_the_text_decide_no_sizes() -> None:
    text = TraceText()
    top = (1 << 64) - 1
    for cpu in (0, 4095, 8191):
        text.add("b_init", f"iovad={top:#x} granule=0x10000 start={top:#x}", cpu=cpu)
        text.add("alloc_fast", f"iovad={top} size={top} limit={top} flush=1", cpu=cpu)
        text.add("alloc_fast_ret", f"pfn={top}", cpu=cpu)
        text.add("mag_free_pfns", f"iovad={top} n=4294967295", cpu=cpu)
        text.add("depot_work", f"work={top} iovad={top} depot=4294967295", cpu=cpu)
    before = peak_kib()
    scanner = scan(text.text())
    assert scanner.counts()["malformed"] == 0
    assert peak_kib() - before < 50_000


def test_more_domains_than_any_system_has_are_malformed() -> None:
    scanner = Scanner(1)
    for first in range(0, 66_000, 1000):
        lines = (
            f"a-1 [000] 1.000000: tree_free: (x) iovad={i:#x} pfn=1\n"
            for i in range(first, first + 1000)
        )
        scanner.feed("".join(lines).encode())
    scanner.finish()
    assert len(scanner.domains()) == 65_536
    assert scanner.counts()["malformed"] == 66_000 - 65_536


def test_a_line_of_brackets_is_read_in_good_time() -> None:
    lines = (b"a-1 [0] " * 2000)[:16000] + b"\n" + b"-1 [[[[" * 2000 + b"\n"
    scanner = scan(INIT + lines * 200)
    assert scanner.counts()["malformed"] == 400


# ------------------------------------------------------------------------------- anything

_REAL = TraceText().init().alloc(5).free(5).alloc(0)
_REAL.raw("unmap", "IOMMU: iova=0x00000000ff0d0000 - 0x00000000ff0d8000 size=32768")
_REAL.add("depot_work", f"work=0xff00 iovad={DOMAIN_A:#x} depot=7")
_PARTS = st.sampled_from(
    [line.encode() for line in _REAL.lines]
    + [b"\n", b"\r\n", b"\x00", b" ", b"[", b"-1 [000] ", b"1.000000: ", b"=0x", b"(fault)"]
)


@given(st.lists(_PARTS | st.binary(max_size=40), max_size=60), st.integers(1, 200))
@settings(max_examples=300)
def test_whatever_comes_every_line_is_counted_once(parts: list[bytes], piece: int) -> None:
    text = b"".join(parts)
    scanner = Scanner(3)
    for start in range(0, len(text), piece):
        scanner.feed(text[start : start + piece])
    scanner.finish()
    whole = scan(text)
    assert (
        accounted(scanner)
        == scanner.counts()["lines"]
        == text.count(b"\n") + (not text.endswith(b"\n") and text != b"")
    )
    assert scanner.problems() == whole.problems()
    frame = pl.DataFrame(scanner)
    assert frame.equals(pl.DataFrame(whole))
    assert frame["t"].is_sorted()
    assert (frame["t_end"] >= frame["t"]).all()
