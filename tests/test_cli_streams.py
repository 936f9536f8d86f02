"""Standard streams that are closed or know few characters, and terminals that are narrow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from iova.sources import load
from iova.sources.parquet import write_parquet
from tables import filling_depot, trace_of

QUICK = ("compare", "board-4", "--set", "duration_s=0.01")


def run_with(
    *arguments: object, closed: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, one of its standard streams closed."""
    redirection = "" if closed is None else f" {closed}{'<' if closed == 0 else '>'}&-"
    return subprocess.run(
        ["sh", "-c", f'exec "$@"{redirection}', "sh", sys.executable, "-m", "iova"]
        + [str(argument) for argument in arguments],
        env=os.environ | environment,
        capture_output=True,
        encoding="latin-1",
        timeout=120,
    )


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.parquet"
    write_parquet(trace_of(*filling_depot(3)), path)
    return path


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_stream_changes_neither_status_nor_files(
    closed: int, trace: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    for arguments in (("list",), ("--version",), ("info", trace), ("convert", trace, out)):
        done = run_with(*arguments, closed=closed)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert load(out).trace.events.equals(load(trace).trace.events)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_an_error_is_an_error_with_a_closed_stream(closed: int) -> None:
    done = run_with("info", "no-such-file", closed=closed)
    assert done.returncode == 2
    assert ("no-such-file" in done.stderr) == (closed != 2)


def test_characters_that_a_stream_does_not_know_are_escaped(tmp_path: Path) -> None:
    seeds = run_with(*QUICK, "--seeds", "2", PYTHONIOENCODING="ascii")
    assert (seeds.returncode, seeds.stderr) == (0, "")
    assert "\\xb1" in seeds.stdout
    missing = run_with("info", tmp_path / "ü.txt", PYTHONIOENCODING="ascii")
    assert missing.returncode == 2
    assert "\\xfc.txt: " in missing.stderr


@pytest.mark.parametrize("columns", ["0", "1", "40", "79"])
def test_a_narrow_terminal_costs_no_digit(columns: str, trace: Path) -> None:
    designs = ("--design", "linux-6.12", "--design", "trim,idle_ms=500")
    narrow = run_with("compare", trace, *designs, COLUMNS=columns)
    assert (narrow.returncode, narrow.stderr) == (0, "")
    assert narrow.stdout == run_with("compare", trace, *designs, COLUMNS="80").stdout
    assert "idle_ms=500" in narrow.stdout
