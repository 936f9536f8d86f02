"""The recorder's session: what it sets up, and that nothing of it stays, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_tracefs import STATS, FakeTracefs, fake_tracefs, no_types, run_process
from iova.sources.record.errors import RecordError
from iova.sources.record.kernel_text import KernelMemory, Symbols
from iova.sources.record.session import Session
from iova.sources.record.tracefs import clean_up, find_tracefs, own_name


@pytest.fixture
def tracefs(tmp_path: Path) -> FakeTracefs:
    made = fake_tracefs(tmp_path)
    run_process(made, os.getpid(), 77)
    return made


def session(tracefs: FakeTracefs, **given: object) -> Session:
    return Session(tracefs, read_btf=no_types, **given)  # type: ignore[arg-type]


def left(tracefs: FakeTracefs) -> list[str]:
    return [path.name for path in (tracefs.root / "instances").iterdir()] + (
        tracefs.read("dynamic_events").splitlines()
    )


def test_a_session_records_into_its_own_instance_and_leaves_nothing(tracefs: FakeTracefs) -> None:
    with session(tracefs) as made:
        assert made.name == f"iova_{os.getpid()}_77_"
        assert made.instance.read("trace_clock") == "mono"
        assert made.instance.read("options/overwrite") == "0"
        assert made.instance.read("tracing_on") == "0"
        made.start()
        assert made.instance.read("tracing_on") == "1"
        assert made.problem() is None
        assert {f"{made.name}/alloc_fast", f"{made.name}/free_fast", "iommu/unmap"} <= set(
            made.events
        )
        assert all(f":{made.name}/" in line for line in left(tracefs)[1:])
    assert left(tracefs) == []


def test_probes_of_others_stay(tracefs: FakeTracefs) -> None:
    tracefs.write("dynamic_events", "p:kprobes/b_init init_iova_domain iovad=$arg1:x64")
    with session(tracefs):
        pass
    assert left(tracefs) == ["p:kprobes/b_init init_iova_domain iovad=$arg1:x64"]


def test_every_argument_has_a_type(tracefs: FakeTracefs) -> None:
    with session(tracefs):
        lines = tracefs.read("dynamic_events").splitlines()
    fetched = [word for line in lines for word in line.split()[2:]]
    assert len(fetched) > 20
    assert all(word.rpartition(":")[2] in ("x64", "u32", "u16", "u8") for word in fetched)


@pytest.mark.parametrize("function", ["alloc_iova_fast", "free_iova_fast"])
def test_a_kernel_without_the_allocator_is_told(tmp_path: Path, function: str) -> None:
    tracefs = fake_tracefs(tmp_path, missing=function)
    with pytest.raises(RecordError, match=f"no function {function}.*inlined"), session(tracefs):
        pass
    assert left(tracefs) == []


def test_what_is_not_needed_may_be_missing_and_is_noted(tmp_path: Path) -> None:
    tracefs = fake_tracefs(tmp_path, missing="put_iova_domain")
    with session(tracefs) as made:
        assert f"{made.name}/put_domain" not in made.events
        assert any("put_iova_domain" in note for note in made.notes)


def test_without_types_it_says_what_is_not_recorded(tracefs: FakeTracefs) -> None:
    with session(tracefs) as made:
        assert any("depot lengths" in note for note in made.notes)
        assert not any("d0=" in line for line in tracefs.read("dynamic_events").splitlines())


def test_at_level_maps_there_is_no_probe(tracefs: FakeTracefs) -> None:
    with session(tracefs, level="maps") as made:
        assert made.events == ["iommu/unmap", "iommu/map"]
        assert tracefs.read("dynamic_events") == ""


@pytest.mark.parametrize(
    ("file", "value", "problem"),
    [
        ("tracing_on", "0", "switched tracing off"),
        ("events/iommu/unmap/enable", "0", "iommu/unmap"),
    ],
)
def test_tracing_that_was_taken_away_is_seen(
    tracefs: FakeTracefs, file: str, value: str, problem: str
) -> None:
    with session(tracefs) as made:
        made.start()
        made.instance.write(file, value)
        assert problem in str(made.problem())


def test_an_instance_that_was_removed_is_seen(tracefs: FakeTracefs) -> None:
    with session(tracefs) as made:
        made.start()
        made.instance.delete()
        assert "taken away" in str(made.problem())


def test_every_counter_of_losses_is_counted(tracefs: FakeTracefs) -> None:
    with session(tracefs) as made:
        stats = made.instance.root / "per_cpu" / "cpu1" / "stats"
        stats.write_text(STATS.format(overrun=3, dropped=4))
        assert [loss.lost for loss in made.losses()] == [0, 7]


def test_misses_before_the_recording_are_not_its_own(tracefs: FakeTracefs) -> None:
    (tracefs.root / "kprobe_profile").write_text("  alloc_fast   10   5\n  other 1 9\n")
    with session(tracefs) as made:
        (tracefs.root / "kprobe_profile").write_text("  alloc_fast   90   8\n  other 1 99\n")
        assert made.misses() == {"alloc_fast": 3}


# ------------------------------------------------------------------- before fprobe events


TEXT = bytes.fromhex("0f1f440000") + b"\x55\xc3" + b"\xe9\x00\x10\x00\x00" + b"\xcc" * 4


class _Memory(KernelMemory):
    def __init__(self) -> None:
        pass

    def read(self, first: int, end: int) -> bytes | None:
        return TEXT[: end - first]

    def close(self) -> None:
        pass


def _symbols(names: set[str]) -> Symbols:
    return Symbols({name: (0x1000, 0x1000 + len(TEXT)) for name in names})


@pytest.fixture
def older(tmp_path: Path) -> Iterator[FakeTracefs]:
    made = fake_tracefs(tmp_path, fprobes=False)
    run_process(made, os.getpid(), 77)
    return made


def _optimisation(tracefs: FakeTracefs) -> str:
    return (tracefs.proc / "sys/debug/kprobes-optimization").read_text().strip()


def test_breakpoints_sit_past_the_hook_and_at_exits(older: FakeTracefs) -> None:
    with session(older, memory=_Memory, symbols=_symbols) as made:
        lines = older.read("dynamic_events").splitlines()
        group = made.name
        assert _optimisation(older) == "0"
    assert f"p:{group}/free_fast free_iova_fast+5 iovad=%di:x64 pfn=%si:x64 size=%dx:u32" in lines
    exits = [line for line in lines if "/alloc_fast_ret " in line]
    assert exits == [f"p:{group}/alloc_fast_ret alloc_iova_fast+{at} pfn=%ax:x64" for at in (6, 7)]
    assert _optimisation(older) == "1"
    assert left(older) == []


def test_optimisation_that_was_off_stays_off(older: FakeTracefs) -> None:
    (older.proc / "sys/debug/kprobes-optimization").write_text("0\n")
    with session(older, memory=_Memory, symbols=_symbols):
        pass
    assert _optimisation(older) == "0"


def test_without_the_kernels_text_probes_sit_at_starts_and_that_is_noted(
    older: FakeTracefs,
) -> None:
    def unreadable() -> KernelMemory:
        raise PermissionError

    with session(older, memory=unreadable, symbols=_symbols) as made:
        lines = older.read("dynamic_events").splitlines()
        assert any("nested interrupts" in note for note in made.notes)
    assert any(line.startswith("r:") and line.endswith("pfn=$retval:x64") for line in lines)


# ------------------------------------------------------------------------------- cleaning


def test_what_a_killed_recorder_left_is_removed_and_a_running_ones_stays(
    tracefs: FakeTracefs,
) -> None:
    run_process(tracefs, 500, 60)
    for name in ("iova_400_50_o", "iova_400_50_od", "iova_500_60_", "iova_500_61_", "mine"):
        tracefs.instance(name).create()
    tracefs.write("dynamic_events", "p:iova_400_50_o/alloc_fast alloc_iova_fast+5")
    tracefs.write("dynamic_events", "f:iova_500_60_/alloc_fast alloc_iova_fast")
    (tracefs.proc / "sys/debug/kprobes-optimization").write_text("0\n")
    assert clean_up(tracefs) == ["iova_400_50_o", "iova_500_61_"]
    assert sorted(left(tracefs)) == [
        "f:iova_500_60_/alloc_fast alloc_iova_fast", "iova_500_60_", "mine",
    ]  # fmt: skip
    assert _optimisation(tracefs) == "1"


def test_a_session_cleans_up_first(tracefs: FakeTracefs) -> None:
    tracefs.instance("iova_400_50_").create()
    with session(tracefs):
        assert "iova_400_50_" not in left(tracefs)


def test_the_own_name_tells_process_and_start(tracefs: FakeTracefs) -> None:
    assert own_name(tracefs.proc, True) == f"iova_{os.getpid()}_77_o"


# ------------------------------------------------------------------------ where it cannot


def test_without_tracefs_it_says_how_to_mount_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(RecordError, match="mount -t tracefs"):
        find_tracefs((tmp_path / "none",), tmp_path / "lockdown")


def test_without_privileges_it_asks_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RecordError, match="needs root"):
        find_tracefs((tmp_path / "none",), tmp_path / "lockdown")


def test_a_locked_down_kernel_is_told(tmp_path: Path) -> None:
    tracefs = fake_tracefs(tmp_path)
    (tmp_path / "lockdown").write_text("none integrity [confidentiality]\n")
    with pytest.raises(RecordError, match="locked down"):
        find_tracefs((tracefs.root,), tmp_path / "lockdown")
