"""Texts that real tools printed, in all their layouts; and texts that only look like them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importer_samples import FTRACE, PERF, content, sample
from trace_text import DOMAIN_A

from commands import iova
from iova.errors import InputError
from iova.events import Op
from iova.sources import Format, load
from iova.sources._scan import Scanner
from iova.sources.formats import TITLES, format_of

PERF_SAMPLE = content("perf-script.txt")


def counted(text: bytes, event: str) -> int:
    """How often the text names an event, looked for with the simplest of means."""
    return len(re.findall(rb"[ :]%s: " % event.encode(), text))


def accounted(scanner: Scanner) -> int:
    counts = scanner.counts()
    by_name = [*scanner.events(used=True).values(), *scanner.events(used=False).values()]
    return sum(by_name) + sum(counts[n] for n in ("headers", "loss_lines", "unknown", "malformed"))


# ------------------------------------------------------------------------------ real texts


@pytest.mark.parametrize("name", [*FTRACE, *PERF])
def test_every_event_a_tool_printed_is_read(name: str) -> None:
    text = content(name)
    loaded = load(sample(name), allow_lost=True)
    assert loaded.report.is_whole
    assert loaded.report.unknown_count == 0
    assert loaded.report.lines == text.count(b"\n")
    for event in ("alloc_fast", "free_fast", "tree_alloc", "fq_timeout", "unmap"):
        assert loaded.report.events.get(event, 0) == counted(text, event)
    assert loaded.trace.info.source == TITLES[Format.PERF if name in PERF else Format.FTRACE]


@pytest.mark.parametrize("name", [name for name in (*FTRACE, *PERF) if "lossy" not in name])
def test_calls_and_their_returns_find_each_other(name: str) -> None:
    loaded = load(sample(name))
    assert loaded.report.pairing.returns_without_entry == 0
    assert loaded.report.pairing.open_entries == 0
    text = content(name).decode()
    returned = re.findall(r"alloc_fast_ret: .* pfn=(0x[0-9a-f]+)", text)
    allocs = loaded.trace.events.filter(op=int(Op.ALLOC))
    assert sorted(allocs["pfn"].to_list()) == sorted(int(pfn, 16) for pfn in returned)
    assert allocs["t_end"].null_count() == 0


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("trace-lossy.txt", 2217 - 351),
        ("trace_pipe-lossy.txt", None),
        ("trace-cmd-report-lossy.txt", 2),  # it names the CPUs, not how many
        ("perf-script-lossy.txt", None),
    ],
)
def test_a_loss_that_a_tool_tells_is_an_error_unless_allowed(name: str, lost: int | None) -> None:
    if lost is None:
        told = re.findall(rb"LOST (?:lost )?(\d+)", content(name))
        lost = sum(map(int, told))
        assert len(told) > 1
    with pytest.raises(InputError, match=f"at least {lost} events were lost"):
        load(sample(name))
    assert load(sample(name), allow_lost=True).trace.info.lost_events == lost


def test_perf_names_the_kernel_the_cpus_and_the_clock_in_its_head() -> None:
    info = load(sample("perf-script.txt")).trace.info
    assert (info.kernel, info.cpus_possible, info.clock) == ("6.12.117+deb12-amd64", 4, "mono")
    assert info.host is None


def test_perf_that_was_not_asked_for_losses_is_not_trusted_to_have_none() -> None:
    told = [note for note in load(sample("perf-script.txt")).trace.info.notes if "lost" in note]
    assert len(told) == 1
    assert "--show-lost-events" in told[0]
    lossy = load(sample("perf-script-lossy.txt"), allow_lost=True)
    assert not [note for note in lossy.trace.info.notes if "--show-lost-events" in note]


def test_the_summary_of_a_loss_does_not_count_it_twice(tmp_path: Path) -> None:
    text = tmp_path / "both.txt"
    for summary, lost in (
        (b"Processed 200 samples and lost 50.00%!", 100),
        (b"Processed 200 events and lost 7 chunks!", 31),
        (b"Processed 20 samples and lost 0.01%!", 31),
    ):
        one = b"    dd   7 [001]     1.000000: PERF_RECORD_LOST lost 31\n"
        text.write_bytes(PERF_SAMPLE + one + b"Warning:\n" + summary + b"\n\n")
        loaded = load(text, allow_lost=True)
        assert loaded.report.is_whole
        assert loaded.trace.info.lost_events == lost


# --------------------------------------------------------------------------------- formats


def test_a_text_is_told_by_its_first_line_that_is_anyones() -> None:
    for name in FTRACE:
        assert format_of(name, content(name)) == Format.FTRACE
    for name in PERF:
        assert format_of(name, content(name)) == Format.PERF
    assert format_of("", b"") == Format.FTRACE
    assert format_of("", content("trace.dat")[:64]) == Format.TRACE_DAT
    misleading = b"   a 7 [0] 1.0:  -12     [000] .....     2.299747: b_init: (x) y=1\n"
    assert format_of("", misleading) == Format.FTRACE


def test_what_perf_record_wrote_is_answered_with_the_command_that_makes_text_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "perf.data").write_bytes(b"PERFILE2" + bytes(200))
    told = iova("convert", tmp_path / "perf.data", tmp_path / "out", status=2)
    assert "perf script --header --show-lost-events -i FILE" in told


def test_a_format_can_be_forced(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    iova("convert", sample("perf-script.txt"), out, "--format", "perf")
    first = out.read_bytes()
    iova("convert", sample("perf-script.txt"), out)
    assert out.read_bytes() == first
    told = iova("convert", sample("perf-script.txt"), out, "--format", "ftrace", status=2)
    assert "no event of the IOVA allocator was found" in told
    told = iova("convert", sample("trace.txt"), out, "--format", "perf", status=2)
    assert "`task tid [cpu] seconds: group:event:`" in told
    iova("convert", out, tmp_path / "again.parquet", "--format", "parquet")
    for wrong in ("parquet", "trace.dat"):
        iova("convert", sample("trace.txt"), out, "--format", wrong, status=2)
    assert "ftrace, trace.dat, perf, recording, parquet" in iova(
        "convert", sample("trace.txt"), out, "--format", "y", status=2
    )
    assert "is a workload" in iova("convert", "sas-256", out, "--format", "perf", status=2)
    assert out.read_bytes() == first


# ---------------------------------------------------------------------------- hostile texts


def perf_scan(text: bytes) -> Scanner:
    scanner = Scanner(1, perf=True)
    scanner.feed(text)
    scanner.finish()
    return scanner


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "[001]",
        "x 3 [003] y",
        "9 [0] 0.000000:",
        "-1 [000] ",
        "a:b: c",
        "1/2 [3] ",
        "PERF_RECORD_LO",
        "cpus=4",
        "\N{SNOWMAN}\x7f",
    ],
)
def test_a_task_may_have_any_name(name: str) -> None:
    line = (
        f" {name:>15}  77 [003]     5.000001:  iova:free_fast: (ffffffff81)"
        f" iovad={DOMAIN_A:#x} pfn=0x5 size=1\n"
    )
    scanner = perf_scan(line.encode())
    assert scanner.counts()["malformed"] == 0
    assert scanner.events(used=True) == {"free_fast": 1}


@pytest.mark.parametrize(
    "line",
    [
        " dd 7 [003] 5.000001:  iova:free_fast: (ff) iovad=0x1 pfn=0x5",
        " dd 7 [003] 5.0001:  iova:free_fast: (ff) iovad=0x1 pfn=0x5 size=1",
        " dd 7 [9999] 5.000001:  iova:free_fast: (ff) iovad=0x1 pfn=0x5 size=1",
        " dd 7 5.000001:  iova:free_fast: (ff) iovad=0x1 pfn=0x5 size=1",
        " dd / [003] 5.000001:  iova:free_fast: (ff) iovad=0x1 pfn=0x5 size=1",
        " dd 7 [003] 5.000001:  iova:free_fast (ff) iovad=0x1 pfn=0x5 size=1",
        "Processed 5 samples and lost 10.00%! not so",
    ],
)
def test_a_line_that_is_almost_one_is_malformed(line: str) -> None:
    scanner = perf_scan(line.encode() + b"\n")
    assert scanner.counts()["malformed"] == 1
    ((number, *_),) = scanner.problems()
    assert number == 1


def test_events_that_perf_samples_by_itself_are_unknown_not_malformed() -> None:
    lines = (
        b" dd 7 [003] 5.000001:     250000 cpu-clock:  ffffffff81 x ([kernel.kallsyms])\n"
        b" dd 7 [003] 5.000002:          1 cycles:P:  ffffffff81 x ([kernel.kallsyms])\n"
        b" dd 7 [003] 5.000003: sched:sched_switch: prev_comm=x\n"
        b" dd 7/8 [003] 5.000004: PERF_RECORD_COMM: dd:7/8\n"
        b"\tffffffff81 x+0x1 ([kernel.kallsyms])\n"
    )
    counts = perf_scan(lines).counts()
    assert (counts["malformed"], counts["unknown"], counts["headers"]) == (0, 3, 2)


@given(st.data())
def test_a_perf_text_with_damage_is_read_to_its_end(data: st.DataObject) -> None:
    lines = PERF_SAMPLE.splitlines(keepends=True)
    start = data.draw(st.integers(0, len(lines) - 1))
    text = bytearray(b"".join(lines[start : start + 12]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    whole, cut = perf_scan(bytes(text)), Scanner(2, perf=True)
    step = data.draw(st.integers(1, 50))
    for at in range(0, len(text), step):
        cut.feed(bytes(text[at : at + step]))
    cut.finish()
    assert whole.counts() == cut.counts()
    assert whole.problems() == cut.problems()
    assert accounted(whole) == whole.counts()["lines"]
