"""Recording into a file from a stand-in for tracefs: reasons to end, losses, failures."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fake_tracefs import STATS, FakeTracefs, fake_tracefs, no_types, pages, recording, run_process
from iova.sources.record.errors import RecordError
from iova.sources.record.recorder import Plan, Recorded, record
from iova.sources.record.ring_file import Kind, RingWriter, parts_of
from iova.sources.record.session import Session

FILE = recording("6.12")
PAGES = pages(FILE)[:2]
WAITS = (sys.executable, "-c", "import time; time.sleep(60)")


class _Session(Session):
    """Its instance has a page for each CPU."""

    def __init__(self, tracefs: FakeTracefs, **given: Any) -> None:
        super().__init__(tracefs, read_btf=no_types, **given)

    def start(self) -> None:
        super().start()
        for cpu, page in enumerate(PAGES):
            raw = self.instance.root / "per_cpu" / f"cpu{cpu}" / "trace_pipe_raw"
            raw.write_bytes(FILE[page.offset : page.offset + page.length])


@pytest.fixture
def tracefs(tmp_path: Path) -> FakeTracefs:
    made = fake_tracefs(tmp_path)
    run_process(made, os.getpid(), 77)
    return made


def made(tracefs: FakeTracefs, out: Path, plan: Plan, **given: Any) -> Recorded:
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        return record(tracefs, plan, file, **({"make_session": _Session} | given))
    finally:
        os.close(file)
        assert list((tracefs.root / "instances").iterdir()) == []
        assert tracefs.read("dynamic_events") == ""


def kinds(out: Path) -> list[int]:
    return [part.kind for part in parts_of(memoryview(out.read_bytes()))]


def test_pages_are_kept_as_they_came(tracefs: FakeTracefs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = made(tracefs, out, Plan(duration_s=0.2))
    assert (done.reason, done.cut_short, done.lost) == ("the time is over", False, 0)
    file = out.read_bytes()
    kept = {file[p.offset : p.offset + p.length] for p in pages(file)}
    assert kept == {FILE[p.offset : p.offset + p.length] for p in PAGES}
    assert kinds(out)[0] == Kind.START
    assert kinds(out)[-1] == Kind.END


def test_it_ends_with_its_command_and_tells_its_status(
    tracefs: FakeTracefs, tmp_path: Path
) -> None:
    done = made(tracefs, tmp_path / "out", Plan(command=("sh", "-c", "exit 3")))
    assert (done.reason, done.command_status) == ("the command ended", 3)


def test_a_command_that_is_none_is_told(tracefs: FakeTracefs, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="/no/such could not be run"):
        made(tracefs, tmp_path / "out", Plan(command=("/no/such",)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_its_command(
    tracefs: FakeTracefs, tmp_path: Path, number: signal.Signals
) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    done = made(tracefs, tmp_path / "out", Plan(command=WAITS))
    assert done.reason.startswith("stopped")
    assert done.command_status == -signal.SIGTERM
    assert kinds(tmp_path / "out")[-1] == Kind.END


def test_it_ends_at_max_bytes(tracefs: FakeTracefs, tmp_path: Path) -> None:
    done = made(tracefs, tmp_path / "out", Plan(max_bytes=100))
    assert done.reason == "--max-bytes is reached"


def test_losses_are_told_at_the_end(tracefs: FakeTracefs, tmp_path: Path) -> None:
    class Losing(_Session):
        def stop(self) -> None:
            super().stop()
            stats = self.instance.root / "per_cpu" / "cpu0" / "stats"
            stats.write_text(STATS.format(overrun=0, dropped=9))

    done = made(tracefs, tmp_path / "out", Plan(duration_s=0.1), make_session=Losing)
    assert done.lost == 9


def test_a_full_disk_ends_it_and_counts_as_a_loss(
    tracefs: FakeTracefs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.writev

    def full(file: int, pieces: list[bytes]) -> int:
        if pieces[0][0] == Kind.PAGE:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, pieces)

    monkeypatch.setattr(os, "writev", full)
    done = made(tracefs, tmp_path / "out", Plan(duration_s=5))
    assert (done.reason, done.cut_short) == ("the disk is full", True)
    assert done.lost >= 1
    assert kinds(tmp_path / "out") == [Kind.START, Kind.BOOT, Kind.END]


def test_tracing_taken_away_ends_it(tracefs: FakeTracefs, tmp_path: Path) -> None:
    class Taken(_Session):
        def problem(self) -> str | None:
            return "somebody switched tracing off"

    done = made(tracefs, tmp_path / "out", Plan(), make_session=Taken)
    assert (done.reason, done.cut_short) == ("somebody switched tracing off", True)
    assert kinds(tmp_path / "out")[-1] == Kind.END


def test_a_part_that_does_not_fit_leaves_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    writer = RingWriter(file)
    writer.part(Kind.BOOT, b"abc")
    before = writer.written
    write = os.write

    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", lambda to, pieces: write(to, pieces[0]))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        writer.part(Kind.PAGE, b"x" * 100)
    os.close(file)
    assert writer.written == before == (tmp_path / "out").stat().st_size
