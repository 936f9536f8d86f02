"""The screen of `iova top`, with keys pressed, in a pseudo-terminal; and its lines without one."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from commands import iova, run_here, run_iova
from iova.errors import InputError
from iova.top.look import BEYOND, About, Cell, Key, Look
from iova.top.plain import line_of
from iova.top.rates import rates_between
from iova.top.screen import TopScreen

pytestmark = pytest.mark.timeout(120)


class Counting:
    """A source whose counts go up by a known number at each look; ends after ``looks``."""

    def __init__(self, looks: int = 10**9, speed: float | None = 1.0) -> None:
        self.about = About("counting\x1b[2J", "made up")
        self.speed = speed
        self.looked = 0
        self._looks = looks

    def look(self, elapsed_s: float) -> Look | None:
        n = self.looked = self.looked + 1
        if n > self._looks:
            return None
        del elapsed_s
        return Look(
            float(n),
            {
                Key("a", 4096): Cell(10 * n, 10 * n, n, 0, 2, 127),
                Key("a", BEYOND): Cell(0, 0, 0),
                Key("b", 8192): Cell(90 * n, 80 * n, 60 * n, n, 1, 100),
            },
            cpus=4,
        )

    def close(self) -> None:
        pass


def on_screen(
    source: Counting, use: Callable[[TopScreen, Pilot[None]], Awaitable[None]]
) -> TopScreen:
    app = TopScreen(source, interval_s=0.05)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await use(app, pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        await pilot.pause(0.05)
    raise AssertionError("it never came")


def table_of(app: TopScreen) -> list[list[str]]:
    table = app.query_one(DataTable)
    return [[cell.plain for cell in table.get_row_at(at)] for at in range(table.row_count)]


def text_of(app: TopScreen, name: str) -> str:
    return str(app.query_one(name, Static).content)


# ------------------------------------------------------------------------------- the screen


def test_each_domain_and_size_class_has_a_row_with_its_rates() -> None:
    async def use(app: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: len(table_of(app)) == 3)
        assert table_of(app) == [
            ["a", "4K", "10.0", "10.0", "10.0", "2", "127", "12.5", "0"],
            ["a", "larger", "0", "0", "-", "-", "-", "-", "-"],
            ["b", "8K", "90.0", "80.0", "66.7", "1", "100", "9.8", "1.0"],
        ]
        assert "alloc 100/s" in text_of(app, "#total")
        assert "\x1b" not in text_of(app, "#head")
        table = app.query_one(DataTable)
        assert table.virtual_size.width <= 80

    on_screen(Counting(), use)


def test_keys_sort_filter_and_hide() -> None:
    async def use(app: TopScreen, pilot: Pilot[None]) -> None:
        def domains() -> list[str]:
            return [row[0] for row in table_of(app)]

        await until(pilot, lambda: len(table_of(app)) == 3)
        await pilot.press("s")
        assert domains() == ["b", "a", "a"]
        assert "sorted by alloc/s" in text_of(app, "#memory")
        await pilot.press("r")
        assert domains() == ["a", "a", "b"]
        await pilot.press("a")
        assert [row[:2] for row in table_of(app)] == [["a", "4K"], ["b", "8K"]]
        for shown in (["a"], ["b"], ["a", "b"]):
            await pilot.press("d")
            assert domains() == shown

    on_screen(Counting(), use)


def test_pause_stops_the_looks_and_speed_changes_what_is_played_back() -> None:
    source = Counting()

    async def use(app: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: source.looked > 2)
        await pilot.press("space")
        assert "PAUSED" in text_of(app, "#head")
        await pilot.pause(0.2)
        stopped_at = source.looked
        await pilot.pause(0.3)
        assert source.looked == stopped_at
        await pilot.press("plus", "plus", "minus", "space")
        assert source.speed == 2.0
        await until(pilot, lambda: source.looked > stopped_at)

    on_screen(source, use)


def test_the_end_of_a_trace_stays_on_the_screen() -> None:
    async def use(app: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "THE END" in text_of(app, "#head"))
        assert len(table_of(app)) == 3
        await pilot.press("q")

    assert on_screen(Counting(looks=3), use).failure is None


class Busy(Counting):
    """A long name, large numbers and losses; THE END after ``looks``."""

    def __init__(self, looks: int = 4) -> None:
        super().__init__(looks, speed=128.0)
        self.about = About("burst8-of-a-long-name-6.12", "recorded on 6.12.117+deb12-amd64")

    def look(self, elapsed_s: float) -> Look | None:
        look = super().look(elapsed_s)
        if look is None:
            return None
        n = self.looked
        cell = Cell(54_321 * n, 54_320 * n, 54_321 * n, 12 * n, 5432, 54_321)
        return Look(8000.0 + n, {Key("a", 4096): cell}, memory_bytes=10**8, cpus=4, lost=123_456)


def test_80_columns_have_room_for_every_total_and_for_the_end() -> None:
    async def use(app: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "THE END" in text_of(app, "#head"))
        room = app.query_one("#total", Static).content_size.width
        assert room == 78
        assert text_of(app, "#total").endswith("CPUs 54321  recl 12.0/s")
        assert text_of(app, "#head").endswith("  8,004.0 s  x128  THE END")
        assert text_of(app, "#memory").startswith("123456 events LOST  memory 97,656 KiB")
        for name in ("#total", "#head"):
            assert len(text_of(app, name)) <= room
        await pilot.resize_terminal(100, 24)
        await until(pilot, lambda: "+deb12-amd64  8,004.0 s" in text_of(app, "#head"))

    on_screen(Busy(), use)


def test_a_line_is_at_most_80_columns_wide() -> None:
    first, second = (Busy().look(1.0), Busy().look(1.0))
    assert first is not None
    assert second is not None
    rates = rates_between(replace(first, cells={}), replace(second, t_s=8002.0, lost=0))
    assert len(line_of(rates)) <= 80


def test_a_source_that_is_gone_ends_the_screen_with_its_reason() -> None:
    class Gone(Counting):
        def look(self, elapsed_s: float) -> Look | None:
            if self.looked == 2:
                raise InputError("http://x", "does not answer.")
            return super().look(elapsed_s)

    async def use(app: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.failure is not None)

    assert str(on_screen(Gone(speed=None), use).failure) == "http://x: does not answer."


def test_only_cells_that_differ_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    update = DataTable.update_cell_at
    monkeypatch.setattr(
        DataTable,
        "update_cell_at",
        lambda self, place, cell, **more: (drawn.append(place), update(self, place, cell, **more)),
    )
    source = Counting()

    async def use(_: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: source.looked > 6)

    on_screen(source, use)
    assert drawn == []  # its rates stay the same


# ----------------------------------------------------------------------- a pseudo-terminal


@pytest.mark.parametrize(
    ("end", "status"),
    [("q", 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["q", "SIGTERM", "SIGHUP"],
)
def test_in_a_terminal_there_is_a_screen_that_ends_and_leaves_nothing_behind(
    end: str | signal.Signals, status: int
) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(follower)
    process = subprocess.Popen(
        [sys.executable, "-m", "iova", "top", "burst8-6.12", "--speed", "50", "--interval", "0.1"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
    )
    shown = b""
    try:
        until_s = time.monotonic() + 90
        while b"alloc/s" not in shown or b"6.12.117" not in shown:
            assert time.monotonic() < until_s, shown[-500:]
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65536)
        if isinstance(end, str):
            os.write(leader, end.encode())
        else:
            process.send_signal(end)
        while process.poll() is None:
            assert time.monotonic() < until_s
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65536)
        assert process.returncode == status
        assert b"\x1b[?1049h" in shown  # its own screen, and back
        assert b"\x1b[?1049l" in shown
        assert b"Traceback" not in shown
        assert termios.tcgetattr(follower) == before
    finally:
        process.kill()
        process.wait()
        os.close(leader)
        os.close(follower)


# ------------------------------------------------------------------------------- the lines


def test_without_a_terminal_there_is_a_line_a_look() -> None:
    lines = iova("top", "burst8-6.12", "--speed", "3000", "--interval", "0.05").splitlines()
    assert len(lines) >= 2
    assert all(re.match(r" +\d+\.\ds alloc/s +\S+ free/s", line) for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_json_lines_have_the_total_and_every_row() -> None:
    told = iova("top", "board-4", "--set", "duration_s=1", "--speed", "2", "--interval", "0.1",
                "--count", "3", "--json")  # fmt: skip
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["t_s"] for line in lines] == [0.2, 0.4, 0.6]
    for line in lines:
        total = sum(row["allocs_s"] for row in line["rows"])
        assert total == pytest.approx(line["total"]["allocs_s"], abs=0.01)
        assert {row["domain"] for row in line["rows"]} == {"disk", "nic"}


def test_a_trace_that_tells_only_calls_is_shown_under_a_design_and_that_is_said(
    tmp_path: Path,
) -> None:
    out = tmp_path / "calls.parquet"
    iova("convert", "board-4", out, "--set", "duration_s=1")
    done = run_here("top", out, "--speed", "100", "--interval", "0.05")
    assert done.returncode == 0
    assert "shown is what linux-6.12 does" in done.stderr
    done = run_here("top", out, "--speed", "100", "--interval", "0.05", "--design", "unbounded")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("http://127.0.0.1:9/metrics",), "does not answer"),
        (("http://127.0.0.1:9/metrics", "--speed", "2"), "is live"),
        (("http://[::1", "--count", "1"), "does not answer"),
        (("nothing-of-that-name",), "is no file"),
        (("burst8-6.12", "--seed", "1"), "is a recorded trace"),
        (("burst8-6.12", "--design", "no-such"), "no-such"),
        (("burst8-6.12", "--speed", "0"), "--speed"),
        (("burst8-6.12", "--speed", "nan", "--count", "1"), "--speed"),
        (("burst8-6.12", "--interval", "inf"), "--interval"),
    ],
)
def test_what_can_not_be_watched_is_one_sentence(arguments: tuple[str, ...], told: str) -> None:
    assert told in iova("top", *arguments, status=2)


def test_a_closed_pipe_ends_it_quietly() -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c",
         f"{sys.executable} -m iova top burst8-6.12 --speed 10 --interval 0.05 | head -n 1"],
        capture_output=True, timeout=100, text=True,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_it_with_its_own_status(number: signal.Signals, status: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "iova", "top", "burst8-6.12", "--interval", "0.1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in told


def test_help_names_the_keys() -> None:
    told = run_iova("top", "--help").stdout
    assert "q quit" in told
    assert "127.0.0.1:9814" in told
