"""Recordings of real kernels, decoded: they verify; and made-up pages, which harm nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import run_iova
from fake_tracefs import pages, recording
from iova.errors import InputError
from iova.events import Op
from iova.lab.verify_trace import verify_trace
from iova.sources import Loaded, load
from iova.sources._scan import Scanner
from iova.sources.parquet import write_parquet
from iova.sources.record.pages import entries_of, format_of
from iova.sources.record.ring_file import Kind, parts_of

KERNELS = ("6.1", "6.12")


def loaded(tmp_path: Path, file: bytes, *, allow_lost: bool = False) -> Loaded:
    path = tmp_path / "recording"
    path.write_bytes(file)
    return load(path, allow_lost=allow_lost)


def parts(file: bytes) -> list[tuple[int, int, bytes]]:
    return [(p.kind, p.cpu, file[p.offset : p.offset + p.length])
            for p in parts_of(memoryview(file))]  # fmt: skip


def joined(file: bytes, listed: list[tuple[int, int, bytes]]) -> bytes:
    heads = (
        kind.to_bytes(4, "little") + cpu.to_bytes(4, "little") + len(data).to_bytes(8, "little")
        for kind, cpu, data in listed
    )
    return file[:8] + b"".join(
        head + data for head, (_, _, data) in zip(heads, listed, strict=True)
    )


def changed(file: bytes, kind: Kind, **values: object) -> bytes:
    """The recording with other values in its description."""
    return joined(file, [
        (k, cpu, json.dumps(json.loads(data) | values).encode() if k == kind else data)
        for k, cpu, data in parts(file)
    ])  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_recording_of_a_real_kernel_is_exact(tmp_path: Path, kernel: str) -> None:
    trace = loaded(tmp_path, recording(kernel)).trace
    verdict = verify_trace(trace, source="recording")
    assert verdict.explained
    assert verdict.exact == verdict.total > 200
    assert verdict.state_before == 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_metadata_tells_machine_and_domains(tmp_path: Path, kernel: str) -> None:
    info = loaded(tmp_path, recording(kernel)).trace.info
    assert info.kernel is not None
    assert info.kernel.startswith(f"{kernel}.")
    assert (info.cpus_possible, info.cpus_online, info.clock) == (2, 2, "mono")
    assert info.lost_events == 0
    assert [line for line in info.loss_counters if line.startswith("cpu1: ")]
    used = [domain for domain in info.domains if domain.device]
    assert used
    assert all(domain.born and domain.mode == "lazy" for domain in used)
    assert all(re.fullmatch(r"0000:00:0\d\.0", domain.device or "") for domain in used)


@pytest.mark.parametrize("kernel", KERNELS)
def test_redacted_it_names_neither_host_nor_command_line(tmp_path: Path, kernel: str) -> None:
    info = loaded(tmp_path, recording(kernel)).trace.info
    assert (info.host, info.cmdline) == (None, None)


@pytest.mark.parametrize("kernel", KERNELS)
def test_births_at_boot_an_offline_cpu_and_depots_are_rows(tmp_path: Path, kernel: str) -> None:
    events = loaded(tmp_path, recording(kernel)).trace.events
    counted = dict(events.group_by("op").len().iter_rows())
    assert counted[int(Op.CREATE)] >= 2
    assert counted[int(Op.RESERVE)] >= 2
    assert counted[int(Op.CPU_OFFLINE)] >= 1
    calls = events.filter(pl.col("op").is_in([int(Op.ALLOC), int(Op.FREE)]))
    assert calls["depot"].null_count() == 0
    assert calls["t_end"].null_count() == 0


def test_the_trace_holds_no_address_of_the_kernel_and_no_process(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    trace = loaded(tmp_path, recording("6.12")).trace
    write_parquet(trace, out)
    assert max(trace.events["pfn"].drop_nulls().max(), 0) < 1 << 40  # type: ignore[type-var]
    told = json.dumps(pl.read_parquet_metadata(out))
    assert "0xff" not in told
    assert "kworker" not in told
    assert "fio" not in told


def test_the_command_converts_and_verifies_it(tmp_path: Path) -> None:
    (tmp_path / "r.iovaring").write_bytes(recording("6.1"))
    done = run_iova("convert", tmp_path / "r.iovaring", tmp_path / "r.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    assert run_iova("verify", tmp_path / "r.parquet").returncode == 0


def test_a_device_can_be_kept_alone(tmp_path: Path) -> None:
    whole = loaded(tmp_path, recording("6.12")).trace
    (device,) = {domain.device for domain in whole.info.domains if domain.device} & {"0000:00:03.0"}
    file = changed(recording("6.12"), Kind.START, devices=[device])
    trace = loaded(tmp_path, file).trace
    assert [domain.device for domain in trace.info.domains] == [device]
    assert trace.events["domain"].unique().to_list() == [0]
    assert 0 < trace.events.height < whole.events.height
    assert verify_trace(trace, source="recording").explained


def test_a_device_without_calls_is_told(tmp_path: Path) -> None:
    file = changed(recording("6.12"), Kind.START, devices=["0000:00:1e.0"])
    with pytest.raises(InputError, match=r"no call of 0000:00:1e\.0"):
        loaded(tmp_path, file)


# --------------------------------------------------------------------------------- births


def test_a_domain_in_use_before_the_recording_is_marked(tmp_path: Path) -> None:
    file = recording("6.12")
    (start,) = [json.loads(data) for kind, _, data in parts(file) if kind == Kind.START]
    driven = [group | {"driven": group["devices"]} for group in start["groups"]]
    trace = loaded(tmp_path, changed(file, Kind.START, groups=driven)).trace
    assert not any(domain.born for domain in trace.info.domains)
    verdict = verify_trace(trace, source="recording")
    assert verdict.state_before == verdict.total


def test_births_timed_by_another_clock_are_left_out(tmp_path: Path) -> None:
    trace = loaded(tmp_path, changed(recording("6.12"), Kind.START, boot_clock="local")).trace
    assert int(Op.CREATE) not in trace.events["op"].to_list()
    assert not any(domain.born for domain in trace.info.domains)
    assert all(domain.granule == 4096 for domain in trace.info.domains)


# --------------------------------------------------------------------------------- losses


def test_lost_events_are_refused_unless_allowed(tmp_path: Path) -> None:
    file = changed(recording("6.12"), Kind.END, lost=3)
    with pytest.raises(InputError, match="at least 3 events were lost"):
        loaded(tmp_path, file)
    assert loaded(tmp_path, file, allow_lost=True).trace.info.lost_events == 3


def test_a_recorder_that_was_killed_may_have_lost_events(tmp_path: Path) -> None:
    file = recording("6.12")
    cut = joined(file, [part for part in parts(file) if part[0] != Kind.END])
    with pytest.raises(InputError, match="lost"):
        loaded(tmp_path, cut)
    notes = loaded(tmp_path, cut, allow_lost=True).trace.info.notes
    assert "the recorder was killed: the recording's end is missing" in notes


def test_a_page_that_says_events_were_missed_counts_them(tmp_path: Path) -> None:
    listed = parts(recording("6.12"))
    at = next(i for i, part in enumerate(listed) if part[0] == Kind.PAGE)
    page = bytearray(listed[at][2])
    page[11] |= 0xC0
    listed[at] = (Kind.PAGE, listed[at][1], bytes(page) + (17).to_bytes(8, "little"))
    with pytest.raises(InputError, match="at least 17 events"):
        loaded(tmp_path, joined(recording("6.12"), listed))


# ----------------------------------------------------------------------------- bad inputs


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"IOVR", "another version"),
        (b"IOVRING1", "ended before it began"),
        (b"IOVRING1" + b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0[]", "description is damaged"),
        (b"IOVRING1" + b"\3\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0{}", "description is damaged"),
        (b"IOVRING1" + b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0{}", "not little-endian"),
    ],
)
def test_what_is_no_recording_is_told(tmp_path: Path, file: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        loaded(tmp_path, file)


def test_an_event_that_lacks_a_field_is_told(tmp_path: Path) -> None:
    file = recording("6.12")
    (start,) = [json.loads(data) for kind, _, data in parts(file) if kind == Kind.START]
    formats = {name: text.replace("limit;", "other;") for name, text in start["formats"].items()}
    with pytest.raises(InputError, match="alloc_fast lacks a field"):
        loaded(tmp_path, changed(file, Kind.START, formats=formats))


_SIX = recording("6.12")
_FORMATS = [
    (parsed.number, event.rpartition("/")[2], list(parsed.fields))
    for kind, _, data in parts(_SIX)
    if kind == Kind.START
    for event, text in json.loads(data)["formats"].items()
    if (parsed := format_of(text))
]


def scan(file: bytes, listed: list[tuple[int, int, int]]) -> Scanner:
    scanner = Scanner(1)
    scanner.feed_pages(file, _FORMATS, np.array(listed, dtype=np.uint64).reshape(-1, 3))
    scanner.finish()
    return scanner


def test_both_decoders_see_the_same_number_of_events() -> None:
    found = sorted(pages(_SIX), key=lambda part: part.cpu)
    scanner = scan(_SIX, [(p.cpu, p.offset, p.length) for p in found])
    entries = sum(len(list(entries_of(_SIX[p.offset : p.offset + p.length]))) for p in found)
    assert scanner.counts()["lines"] == entries > 500
    assert scanner.counts()["malformed"] == 0


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_pages_harm_nothing(data: st.DataObject) -> None:
    some = pages(_SIX)[:6]
    file = bytearray(_SIX[: some[-1].offset + some[-1].length])
    for _ in range(data.draw(st.integers(1, 12))):
        page = some[data.draw(st.integers(0, len(some) - 1))]
        file[page.offset + data.draw(st.integers(0, page.length - 1))] = data.draw(
            st.integers(0, 255)
        )
    huge = st.sampled_from([0, 1, 15, 16, 1 << 20, 1 << 40, (1 << 64) - 1])
    listed = sorted(
        [(part.cpu, part.offset, part.length) for part in some]
        + data.draw(st.lists(st.tuples(st.sampled_from([0, 1, 9999]), huge, huge), max_size=3)),
        key=lambda page: page[0],
    )
    scanner = scan(bytes(file), listed)
    counts = scanner.counts()
    told = sum(scanner.events(used=True).values()) + sum(scanner.events(used=False).values())
    assert counts["lines"] == told + counts["unknown"] + counts["malformed"]
    events = pl.DataFrame(scanner)
    assert events["t"].is_sorted()
    for part in some:
        list(entries_of(bytes(file[part.offset : part.offset + part.length])))


@settings(max_examples=60)
@given(file=st.binary(max_size=300), length=st.integers(0, 400))
def test_any_bytes_are_taken_as_a_page(file: bytes, length: int) -> None:
    list(entries_of(file))
    if file:
        scan(file, [(0, 0, length)])
