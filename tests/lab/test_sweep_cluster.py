"""A real scheduler and two workers over loopback, one of which is killed."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from commands import iova
from sweeps import SPEC, make_folder, swept


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask; its log is a file in the folder."""
    with (folder / f"{arguments[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], cwd=folder, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


HOST = ("--host", "127.0.0.1")


@contextmanager
def scheduler_alone(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its address and its process."""
    file = folder / "scheduler.json"
    arguments = ("--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    with started(folder, "scheduler", *HOST, *arguments) as process:
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], process


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Its address and its two workers, each of one thread."""
    with scheduler_alone(folder) as (address, _):
        worker = (
            "worker", *HOST, "--no-dashboard", "--no-nanny", "--nthreads", "1",
            "--local-directory", str(folder), address,
        )  # fmt: skip
        with started(folder, *worker) as one, started(folder, *worker) as other:
            yield address, [one, other]


def lines(journal: Path) -> list[str]:
    if not journal.exists():
        return []
    whole = journal.read_text().rpartition("\n")[0]
    return [line for line in whole.splitlines() if line.startswith('{"key"')]


@pytest.mark.timeout(180)
def test_a_worker_killed_mid_way_loses_nothing_and_nothing_counts_twice(tmp_path: Path) -> None:
    spec = make_folder(
        tmp_path, SPEC.replace("seeds = [1, 2]", f"seeds = {[*range(1, 21)]}"), duration_s=0.1
    )
    cells = 2 * 20 + 4
    journal = tmp_path / "far.parquet.journal"
    with cluster(tmp_path) as (address, workers):
        running = subprocess.Popen(
            [sys.executable, "-m", "iova", "sweep", spec.name, "-o", "far.parquet", "--json",
             "--scheduler", address],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while len(lines(journal)) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        before = len(lines(journal))
        workers[0].kill()
        out, error = running.communicate(timeout=120)
    assert 5 <= before < cells
    assert running.returncode == 0, error
    told = json.loads(out)
    assert (told["cells"], told["ran"], told["failed"]) == (cells, cells, [])
    keys = [json.loads(line)["key"] for line in lines(journal)]
    assert len(keys) == len(set(keys)) == cells
    here = swept(spec).table.drop("seconds", "load_seconds")
    far = pl.read_parquet(tmp_path / "far.parquet").drop("seconds", "load_seconds")
    assert far.equals(here)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tcp://127.0.0.1:9", "no scheduler answers there.*Connection refused"),
        ("127.0.0.1:9", "no scheduler answers there"),
        ("tcp://no host:1", r"is not of the form tcp://HOST:PORT"),
        ("nonsense", r"is not of the form tcp://HOST:PORT"),
        ("http://127.0.0.1:8786", r"is not of the form tcp://HOST:PORT"),
        ("tcp://127.0.0.1:99999", r"is not of the form tcp://HOST:PORT"),
        ("tcp://" + "x" * 80 + ":1", "no scheduler answers there"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told_at_once(
    tmp_path: Path, address: str, told: str
) -> None:
    spec = make_folder(tmp_path)
    said = iova("sweep", spec, "-o", tmp_path / "o", "--scheduler", address, status=2)
    assert re.search(told, said)
    assert said.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_what_listens_there_but_is_no_scheduler_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iova.lab.sweep_cluster._KNOCK", 1)
    spec = make_folder(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        said = iova("sweep", spec, "-o", tmp_path / "o", "--scheduler", address, status=2)
    assert f"--scheduler {address}: no scheduler answers there" in said
    assert "(nothing within 1 s)" in said
    assert said.count("\n") == 1


@pytest.mark.timeout(120)
def test_a_scheduler_that_goes_away_ends_the_sweep_with_what_is_done_kept(tmp_path: Path) -> None:
    spec = make_folder(tmp_path)
    with scheduler_alone(tmp_path) as (address, process):
        running = subprocess.Popen(
            [sys.executable, "-m", "iova", "sweep", spec.name, "--scheduler", address],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stderr
        first = running.stderr.readline()
        process.kill()
        _, error = running.communicate(timeout=100)
    assert f"{address} has no workers: cells wait for one; `dask worker {address}`" in first
    assert running.returncode == 2
    assert "it went away; the same command goes on from here" in error
    assert "Traceback" not in error
    assert (tmp_path / "sweep.parquet.journal").exists()
