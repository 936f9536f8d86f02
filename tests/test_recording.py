"""A live domain's calls as a trace: what stands in it, and that a replay hands out the same."""

from __future__ import annotations

import gc
import os
import random
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from typer.testing import CliRunner

import iova
from commands import iova as command
from commands import run_here
from iova import Domain, _core
from iova.cli import app
from iova.errors import InputError
from iova.events import DOMAIN_SOURCE, Flag, Op, Trace
from iova.lab.replay import prepare
from iova.sources import load
from iova.sources.parquet import write_parquet
from scripts import output_of
from waiting import eventually

PAGE = 4096

pytestmark = pytest.mark.timeout(120)


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """What is done here is served by one CPU's caches."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def read(path: Path) -> Trace:
    return load(path).trace


def traffic(domain: Domain, seed: int, steps: int) -> list[int]:
    """Random allocations and frees; the addresses in the order in which they came."""
    numbers = random.Random(seed)
    held: list[tuple[int, int]] = []
    got = []
    for step in range(steps):
        grows = step // (steps // 4) % 2 == 0
        if held and numbers.random() < (0.3 if grows else 0.7):
            address, size = held.pop(numbers.randrange(len(held)))
            domain.free(address, size)
            continue
        size = numbers.choice((1, PAGE, PAGE, 3 * PAGE, 32 * PAGE, 33 * PAGE, 256 * PAGE))
        limit = numbers.choice((None, None, 2**32 - 1, 2**31))
        got.append(domain.alloc(size, limit=limit))
        held.append((got[-1], size))
    return got


def replayed(
    trace: Trace, design: str, params: Mapping[str, int] | None = None
) -> npt.NDArray[np.uint64]:
    """The page frame that each allocation of a trace gets in a replay; 0: none."""
    source = prepare(trace)
    core = _core.Replay(
        [_core.Design(design, params) for _ in source.domains],
        [(one.granule, one.start) for one in source.domains],
        possible=source.possible,
        online=source.online,
    )
    result = np.zeros(source.rows, dtype=np.uint64)
    core.feed(source.columns, result)
    return result[source.columns["op"] == int(Op.ALLOC)]


def columns(trace: Trace, *names: str) -> list[tuple[Any, ...]]:
    return trace.events.select(names).rows()


# ---- it is replayed exactly ---------------------------------------------------------------------


@pytest.mark.parametrize("design", ["linux-6.1", "unbounded", "linux-6.12", "linux-7.3"])
def test_a_replay_of_a_domain_recorded_from_birth_hands_out_the_same(
    tmp_path: Path, design: str
) -> None:
    """The designs that reclaim are made to do so in an hour, by when it is over."""
    path = tmp_path / "live.parquet"
    params = {"delay_ms": 3_600_000} if design in ("linux-6.12", "linux-7.3") else {}
    named = ",".join([design, *(f"{key}={value}" for key, value in params.items())])
    with Domain(design=named) as domain:
        with domain.record(path) as recording, on_one_cpu():
            got = traffic(domain, 7, 40_000)
        assert recording.lost == 0
    trace = read(path)
    recorded = trace.events.filter(pl.col("op") == int(Op.ALLOC))["pfn"]
    assert (recorded * PAGE).to_list() == got
    assert (replayed(trace, design, params) * np.uint64(PAGE)).tolist() == got
    assert trace.info.domains[0].born


def test_windows_reservations_failures_and_flushes_are_replayed_too(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    windows = [(0x10000, 0x8FFFF), (0xA0000, 0xFFFFF)]
    got: list[int] = []
    with (
        Domain(windows=windows, reserved=[(0x20000, 0x20FFF)]) as domain,
        domain.record(path),
        on_one_cpu(),
    ):
        domain.reserve(0xF0000, 0xF1FFF)
        for size in (PAGE, 4 * PAGE, 20 * PAGE):
            with pytest.raises(iova.NoSpace):  # noqa: PT012
                while True:
                    got.append(domain.alloc(size))
        for address in got[::3]:
            domain.free(address)
        domain.flush_caches()
        again = [domain.alloc(PAGE) for _ in range(10)]
    trace = read(path)
    result = replayed(trace, "linux-7.3") * np.uint64(PAGE)
    assert [pfn for pfn in result.tolist() if pfn] == [*got, *again]
    assert (result == 0).sum() == 3
    assert trace.events.filter(pl.col("op") == int(Op.ALLOC))["pfn"].null_count() == 3


def test_the_commands_read_it(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    with Domain(name="nic") as domain, domain.record(path):
        traffic(domain, 3, 2000)
    compared = CliRunner().invoke(app, ["compare", str(path)])
    assert compared.exit_code == 0, compared.output
    assert "2,0" in compared.output
    told = CliRunner().invoke(app, ["info", str(path)])
    assert told.exit_code == 0, told.output
    assert "nic" in told.output
    assert "live domain" in told.output


def test_a_recording_of_many_threads_can_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    with Domain() as domain, domain.record(path) as recording:
        threads = [threading.Thread(target=traffic, args=(domain, n, 3000)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recording.close()
        assert recording.lost == 0
        live = domain.stats().live
    trace = read(path)
    frees = trace.events.filter(pl.col("op") == int(Op.FREE))
    assert frees["slot"].null_count() == 0
    got = replayed(trace, "linux-7.3")
    assert (got > 0).all()
    allocs = len(got)
    assert allocs - frees.height == live


# ---- what stands in it --------------------------------------------------------------------------


def test_rows_of_a_short_recording(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    domain = Domain(windows=[(0x10000, 0x8FFFF)], cpus=1, name="nic")
    domain.record(path)
    one = domain.alloc(3 * PAGE, limit=0x7FFFF)
    domain.alloc_at(0x20000, PAGE)
    domain.free(0x20000)
    domain.free(one)
    with pytest.raises(iova.NoSpace):
        domain.alloc(2**20)
    domain.defer(domain.alloc(PAGE))
    domain.close()
    trace = read(path)
    assert columns(trace, "op", "flags", "size", "limit", "pfn", "last", "slot") == [
        (Op.CREATE, 0, None, None, 0x10, None, None),
        (Op.MAKE_CACHES, 0, None, None, None, None, None),
        (Op.RESERVE, 0, None, None, 0x90, 2**52 - 1, None),
        (Op.ALLOC, Flag.FLUSH_RETRY | Flag.REACHED_TREE, 4, 0x7F, 0x7C, None, 2),
        (Op.ALLOC, Flag.RAW | Flag.REACHED_TREE, 1, 0x20, 0x20, None, 0),
        (Op.FREE, Flag.RAW, 1, None, 0x20, None, 0),
        (Op.FREE, 0, 4, None, 0x7C, None, 2),
        (Op.ALLOC, Flag.FLUSH_RETRY | Flag.REACHED_TREE, 1, 0x8F, 0x7B, None, 1),
        (Op.DESTROY, 0, None, None, None, None, None),
    ]
    info = trace.info
    assert (info.source, info.clock, info.cpus_possible) == (DOMAIN_SOURCE, "monotonic", 1)
    (known,) = info.domains
    assert (known.device, known.start, known.granule) == ("nic", 0x10, PAGE)
    assert (known.mode, known.born, known.destroyed) == ("lazy", True, True)
    assert info.host is None
    assert info.cmdline is None
    assert any("design linux-7.3" in note for note in info.notes)
    assert any("1 ranges were placed" in note for note in info.notes)


def test_a_domain_that_was_in_use_begins_with_what_was_live(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    with Domain() as domain:
        got = traffic(domain, 5, 3000)
        kept = domain.ranges()
        with domain.record(path):
            for first in kept[::2, 0].tolist():
                domain.free(first)
            domain.alloc(PAGE)
    assert got
    trace = read(path)
    assert not trace.info.domains[0].born
    assert any("in use before" in note for note in trace.info.notes)
    laid = trace.events.filter((pl.col("op") == int(Op.ALLOC)) & (pl.col("flags") & 1 == 1))
    assert sorted(laid["pfn"].to_list()) == (kept[:, 0] // PAGE).tolist()
    assert trace.events.filter(pl.col("op") == int(Op.FREE))["slot"].null_count() == 0
    # They are laid where they lay.
    assert replayed(trace, "linux-7.3")[: len(kept)].tolist() == laid["pfn"].to_list()


def test_an_unchecked_domain_that_was_in_use_says_that_it_knows_no_live_ranges(
    tmp_path: Path,
) -> None:
    path = tmp_path / "live.parquet"
    with Domain(checked=False) as domain:
        address = domain.alloc(PAGE)
        with domain.record(path):
            domain.free(address, PAGE)
    trace = read(path)
    assert trace.events.filter(pl.col("op") == int(Op.FREE))["slot"].to_list() == [None]
    assert any("unchecked" in note for note in trace.info.notes)
    assert len(replayed(trace, "linux-7.3")) == 0


def test_calls_that_find_no_room_are_lost_and_the_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    with Domain() as domain:
        with domain.record(path, room=16) as recording:
            domain.free_many(domain.alloc_many(5000, PAGE), PAGE)  # holds the GIL
        lost = recording.lost
    assert lost >= 9000
    with pytest.raises(InputError, match=f"lost {lost}|{lost}"):
        load(path)
    trace = load(path, allow_lost=True).trace
    assert trace.info.lost_events == lost
    replayed(trace, "linux-7.3")


def test_a_recording_may_follow_another(tmp_path: Path) -> None:
    with Domain() as domain:
        for number in range(3):
            path = tmp_path / f"{number}.parquet"
            with domain.record(path) as recording:
                assert not path.exists(), "it appears whole"
                address = domain.alloc(PAGE)
            assert recording.is_closed
            domain.free(address)
            assert read(path).events.filter(pl.col("op") == int(Op.FREE)).is_empty()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{n}.parquet" for n in range(3)]


def test_a_second_recording_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with (
        Domain(name="nic") as domain,
        domain.record(tmp_path / "one.parquet"),
        pytest.raises(iova.DomainError, match=r"nic is being recorded into .*one\.parquet"),
    ):
        domain.record(tmp_path / "two.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["one.parquet"]


def test_of_two_threads_that_start_a_recording_one_fails() -> None:
    with Domain() as domain:
        domain._set_events(_core.Events(10))
        with pytest.raises(RuntimeError, match="recorded already"):
            domain._set_events(_core.Events(10))
        domain._set_events(None)
        domain._set_events(_core.Events(10))


def test_places_that_can_not_be_written_are_refused_at_once(tmp_path: Path) -> None:
    with Domain() as domain:
        for path in (tmp_path / "no" / "such.parquet", tmp_path, Path("/dev/null")):
            with pytest.raises(InputError, match=r"cannot be written|is not a file"):
                domain.record(path)
        for room in (0, -1, 2**30):
            with pytest.raises(ValueError, match="room"):
                domain.record(tmp_path / "live.parquet", room=room)
        for bad in (1.5, "9", True, None):
            with pytest.raises(TypeError, match="room must be a whole number"):
                domain.record(tmp_path / "live.parquet", room=bad)  # type: ignore[arg-type]
        for name in ("live.txt", "live.pftrace", "live.CSV"):
            with pytest.raises(InputError, match=r"not the format.* Name OUT\.parquet"):
                domain.record(tmp_path / name)
        with domain.record(tmp_path / "live.parquet"):  # none of these was a recording
            domain.alloc(PAGE)
    assert [p.name for p in tmp_path.iterdir()] == ["live.parquet"]


def test_a_file_that_can_not_be_written_in_the_end_closes_the_domain_all_the_same(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    domain = Domain()
    domain.record(folder / "live.parquet")
    domain.alloc(PAGE)
    folder.rmdir()
    with pytest.raises(InputError, match="cannot be written"):
        domain.close()
    assert domain.is_closed


def test_without_the_packages_of_the_lab_one_sentence_says_what_to_install() -> None:
    code = """
    import sys, iova
    sys.modules["polars"] = None
    with iova.Domain() as domain:
        try:
            domain.record("never.parquet")
        except iova.IovaError as error:
            print(error)
    """
    assert output_of(code) == (
        "recording needs the package polars: install it with  pip install 'iova[lab]'"
    )


def test_a_program_that_ends_without_closing_it_has_its_file_written(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    code = f"""
    import iova
    domain = iova.Domain()
    domain.record({str(path)!r})
    domain.alloc(4096)
    """
    assert output_of(code) == ""
    assert read(path).events.filter(pl.col("op") == int(Op.ALLOC)).height == 1


def test_a_domain_that_is_forgotten_while_recording_is_collected_and_its_file_written(
    tmp_path: Path,
) -> None:
    out = tmp_path / "leaked.parquet"
    domain = Domain(name="leaked")
    recording = domain.record(out)
    domain.alloc(PAGE)
    gone = weakref.ref(domain)
    del domain, recording
    gc.collect()
    assert gone() is None
    eventually(out.exists)
    trace = read(out)
    assert trace.info.domains[0].destroyed
    assert trace.events["op"].to_list().count(int(Op.ALLOC)) == 1


def test_a_recording_that_is_forgotten_at_the_end_of_a_program_is_written(tmp_path: Path) -> None:
    path = tmp_path / "live.parquet"
    code = f"""
    import gc, iova
    domain = iova.Domain()
    domain.record({str(path)!r})
    domain.alloc(4096)
    del domain
    gc.collect()
    """
    assert output_of(code) == ""
    assert read(path).info.domains[0].destroyed


def test_a_program_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
    import iova, os
    domain = iova.Domain()
    domain.record({str(tmp_path / "live.parquet")!r})
    domain.alloc(4096)
    print("killed", flush=True)
    os._exit(0)
    """
    assert output_of(code) == "killed"
    assert list(tmp_path.iterdir()) == []


def test_after_fork_the_recording_goes_on_in_the_parent_only(tmp_path: Path) -> None:
    path, other = tmp_path / "live.parquet", tmp_path / "child.parquet"
    code = f"""
    import iova, os
    domain = iova.Domain()
    recording = domain.record({str(path)!r})
    domain.alloc(4096)
    child = os.fork()
    if child == 0:
        domain.alloc(4096)
        recording.close()
        with domain.record({str(other)!r}):
            domain.alloc_many(3, 8192)
        domain.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert not os.path.exists({str(path)!r})
    domain.alloc(4096)
    domain.close()
    """
    assert output_of(code) == ""
    assert read(path).events.filter(pl.col("op") == int(Op.ALLOC)).height == 2
    assert read(other).events.filter(pl.col("size") == 2).height == 3


def test_ranges_that_overlap_in_time_get_slots_of_their_own() -> None:
    """The row of an allocation may come before that of the free which made room for it."""
    from iova.recording import Beginning
    from iova.recording_rows import trace_of

    calls = np.zeros(4, dtype=_core.LIVE_EVENT)
    ops = _core.LIVE_OPS
    calls["op"] = [ops["alloc"], ops["alloc"], ops["free"], ops["free"]]
    calls["began"] = [10, 20, 25, 60]
    calls["ended"] = [15, 40, 50, 70]
    calls["size"], calls["pfn"], calls["limit"] = 1, 9, 100
    empty = np.empty((0, 2), dtype=np.uint64)
    beginning = Beginning("d", "linux-7.3", PAGE, 6, 1, 1, empty, empty, True, 0, True, 5)
    trace = trace_of(beginning, calls)
    assert columns(trace, "t", "op", "slot")[2:] == [
        (10, Op.ALLOC, 0),
        (20, Op.ALLOC, 1),
        (25, Op.FREE, 0),
        (60, Op.FREE, 1),
    ]
    assert len(replayed(trace, "linux-7.3")) == 2


def recorded_under(design: str | Any, path: Path) -> Path:
    with Domain(design=design) as domain, domain.record(path):
        traffic(domain, seed=5, steps=500)
    return path


def test_verbs_take_the_design_under_which_it_was_recorded(tmp_path: Path) -> None:
    path = recorded_under("two-list", tmp_path / "own.parquet")
    assert "under two-list" in command("explain", path)
    assert "counters under two-list" in command("convert", path, tmp_path / "own.pftrace")
    done = run_here("top", path, "--speed", "1000", "--interval", "0.05")
    assert "shown is what two-list does" in done.stderr


@pytest.mark.parametrize("design", ["linux-6.12,threshold=0", "linux-6.1,depot=3,magazine=31"])
def test_they_take_its_parameters_as_well(design: str, tmp_path: Path) -> None:
    path = recorded_under(design, tmp_path / "own.parquet")
    assert f"under {design}" in command("explain", path)
    assert f"counters under {design}" in command("convert", path, tmp_path / "own.pftrace")


@pytest.mark.parametrize("design", ["linux-6.12,threshold=x", "linux-6.12,nothing=1", "os:abort"])
def test_a_design_that_can_not_be_is_the_file_s_mistake(design: str, tmp_path: Path) -> None:
    path = recorded_under("linux-7.3", tmp_path / "own.parquet")
    trace = load(str(path)).trace
    notes = tuple(note.replace("linux-7.3", design) for note in trace.info.notes)
    write_parquet(replace(trace, info=replace(trace.info, notes=notes)), path)
    told = command("explain", path, status=2)
    assert str(path) in told
    assert design in told
    assert "Traceback" not in told


def test_of_a_design_that_is_not_built_in_they_say_so(tmp_path: Path) -> None:
    class Nothing:
        def look(self, view: Any) -> None:
            """Do nothing."""

    path = recorded_under(Nothing(), tmp_path / "own.parquet")
    for told in (
        command("explain", path, status=2),
        command("convert", path, tmp_path / "own.pftrace", status=2),
        run_here("top", path, "--speed", "1000", "--interval", "0.05").stderr,
    ):
        assert "under the design Nothing, which is not built in" in told
    assert "Nothing" in command("explain", path, status=2)
    assert "linux-7.3" in command("explain", path, "--design", "linux-7.3")
