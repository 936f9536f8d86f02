"""Cells in processes of this machine: deaths, Ctrl-C, what a user's design prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from commands import iova, run_iova
from iova.lab.sweep_local import run_locally
from iova.lab.sweep_spec import read_spec
from iova.lab.sweep_work import tasks_of
from sweeps import CELLS, make_folder
from waiting import eventually

DEADLY = """
import os, pathlib
class Deadly:
    arm_delay_ns = 1
    def __init__(self, lives=1):
        self.lives = lives
    def look(self, view):
        print('looked')
        deaths = len(list(pathlib.Path('.').glob('death-*')))
        if deaths < self.lives:
            pathlib.Path(f'death-{deaths}').touch()
            os.kill(os.getpid(), 9)
"""

GATE = """
import pathlib, time
class Gate:
    arm_delay_ns = 1
    def look(self, view):
        pathlib.Path('waits').touch()
        while not pathlib.Path('go').exists():
            time.sleep(0.01)
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The small sweep."""
    return make_folder(tmp_path)


def test_a_sweep_runs_in_processes_and_prints_what_it_did(spec: Path) -> None:
    told = iova("sweep", spec.name, "--jobs", "2", cwd=spec.parent)
    assert f"{CELLS} cells, {CELLS} run now, 0 known from earlier, 0 failed" in told
    assert "results: sweep.parquet" in told
    assert "core-hours per billion" in told
    assert all(len(line) <= 80 for line in told.splitlines())
    table = pl.read_parquet(spec.parent / "sweep.parquet")
    assert table["error"].null_count() == table.height == CELLS
    again = json.loads(iova("sweep", spec.name, "--json", cwd=spec.parent))
    assert (again["ran"], again["reused"], again["failed"]) == (0, CELLS, [])


@pytest.mark.parametrize(("lives", "failed"), [(1, 0), (9, 1)])
def test_a_process_that_dies_costs_its_cell_a_second_try_and_no_other_anything(
    spec: Path, lives: int, failed: int
) -> None:
    (spec.parent / "deadly.py").write_text(DEADLY)
    source = '[[source]]\nsource = "fleet/a.parquet"\n'
    design = '[[design]]\ndesign = "{}"\n'
    spec.write_text(
        source + design.format(f"deadly:Deadly,lives={lives}") + design.format("unbounded")
    )
    told = iova("sweep", spec.name, "--jobs", "1", cwd=spec.parent, status=3 if failed else 0)
    table = pl.read_parquet(spec.parent / "sweep.parquet")
    assert table["error"].is_not_null().sum() == failed
    assert table.filter(design="unbounded")["error"].item() is None
    assert "looked" not in told
    if failed:
        assert "its process died 2 times (SIGKILL)" in table["error"][0]


def test_a_cell_that_failed_does_not_count_beside_means_without_it(spec: Path) -> None:
    (spec.parent / "bad.py").write_text(
        "class Bad:\n    arm_delay_ns = 1\n    def look(self, view):\n        1 // 0\n"
    )
    spec.write_text(
        '[[source]]\nsource = "fleet/*.parquet"\n'
        + "".join(f'[[design]]\ndesign = "{design}"\n' for design in ("bad:Bad", "unbounded"))
    )
    told = run_iova("sweep", spec.name, cwd=spec.parent).stdout.splitlines()
    rows = [line.split() for line in told]
    assert ["bad:Bad", "0", "failed"] in rows
    assert ["unbounded", "2"] in [row[:2] for row in rows]


def test_whoever_stops_iterating_ends_the_processes(spec: Path) -> None:
    read = read_spec(spec)
    tasks = [task for task in tasks_of(read, {}) if task.seed is not None]
    results = run_locally(tasks, 2)
    task, result = next(results)
    assert result.error is None
    assert task in tasks
    before = children()
    results.close()  # type: ignore[attr-defined]
    assert before
    assert not before & children()


def children() -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {pid for pid in map(int, listed.split()) if is_worker(pid)}


def is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(spec: Path) -> None:
    folder = spec.parent
    (folder / "gate.py").write_text(GATE)
    designs = ["linux-6.1", "linux-6.12", "gate:Gate"]
    spec.write_text(
        '[[source]]\nsource = "fleet/*.parquet"\n'
        + "".join(f'[[design]]\ndesign = "{design}"\n' for design in designs)
    )
    command = [sys.executable, "-m", "iova", "sweep", spec.name, "--jobs", "1"]
    running = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    eventually((folder / "waits").exists, 60)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
    _, error = running.communicate(timeout=30)
    assert running.returncode == 130, error
    assert "cells are done and kept in sweep.parquet.journal" in error
    assert "Traceback" not in error
    journal = folder / "sweep.parquet.journal"
    assert finished(journal) == 2
    assert not (folder / "sweep.parquet").exists()
    (folder / "go").touch()
    told = json.loads(iova("sweep", spec.name, "--json", cwd=folder))
    assert (told["cells"], told["ran"], told["reused"]) == (6, 4, 2)
    assert finished(journal) == 6


def finished(journal: Path) -> int:
    if not journal.exists():
        return 0
    return sum(line.startswith(b'{"key"') for line in journal.read_bytes().splitlines())


def test_a_sweep_does_not_write_over_its_inputs(spec: Path) -> None:
    for name in ("sweep.toml", "fleet/a.parquet"):
        told = iova("sweep", spec.name, "-o", name, cwd=spec.parent, status=2)
        assert "is an input as well" in told
    told = iova("sweep", spec.name, "-o", "no/where.parquet", cwd=spec.parent, status=2)
    assert "written: " in told


def test_options_that_do_not_go_together_are_refused(spec: Path) -> None:
    told = iova("sweep", spec, "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1", status=2)
    assert "--jobs is for processes of this machine" in told


def test_without_dask_one_sentence_says_what_to_install(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    told = iova("sweep", spec, "--scheduler", "tcp://127.0.0.1:1", status=2)
    assert told == ("iova: --scheduler needs Dask: install it with  pip install 'iova[tune]'\n")
