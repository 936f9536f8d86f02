"""``iova tune`` as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import iova
from comparisons import busy
from iova.sources.parquet import write_parquet
from iova.workloads import to_toml
from tables import filling_depot, trace_of


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small trace file."""
    path = tmp_path / "small.parquet"
    write_parquet(trace_of(*filling_depot(3)), path)
    return path


def test_the_answer_fits_80_columns_and_ends_in_a_design_to_copy(small: Path) -> None:
    told = iova("tune", small, "--trials", "12", "--target", "cache>=0")
    lines = told.splitlines()
    assert all(len(line) <= 80 for line in lines)
    (design,) = [line.split() for line in lines if line.startswith("  --design ")]
    iova("compare", small, *design)
    assert "Decision: take\n\n  --design linux-6.12" in told
    assert "\n\nof those that meet the targets, the one with the least memory: " in told


def test_json_holds_every_trial(small: Path) -> None:
    told = json.loads(
        iova("tune", small, "--param", "threshold=0..9", "--trials", "10", "--json", "--seed", "3")
    )
    assert (told["format"], told["schema_version"], told["seed"]) == ("iova tune", 1, 3)
    assert told["exhaustive"]
    searched = [one for one in told["trials"] if one["how"] == "search"]
    assert sorted(one["params"]["threshold"] for one in searched) == list(range(10))
    assert told["decision"]["number"] in told["pareto"]


def test_traces_and_workloads_are_tuned_together(small: Path) -> None:
    workload = small.parent / "busy.toml"
    workload.write_text(to_toml(busy()))
    told = iova(
        "tune", small, workload, "--design", "linux-6.1", "--param", "depot=0..3",
        "--objective", "cache", "--trials", "4",
    )  # fmt: skip
    assert "other seeds of the workload" in told
    failed = iova("tune", small, workload, "--objective", "p99", status=2)
    assert "a replay of a trace has no prices" in failed


def test_targets_that_no_setting_meets_are_exit_status_1(small: Path) -> None:
    told = iova("tune", small, "--trials", "5", "--target", "cache>=100", status=1)
    assert "No setting that was tried meets the targets" in told


def test_a_user_s_design_that_refuses_some_settings_is_tuned_all_the_same(small: Path) -> None:
    (small.parent / "picky.py").write_text(
        "from iova.designs import Decision\n"
        "class Picky:\n"
        "    def __init__(self, release=1):\n"
        "        if release % 2:\n"
        "            raise ValueError('only even numbers')\n"
        "        self.release = release\n"
        "    def look(self, view):\n"
        "        return Decision(release=self.release)\n"
    )
    told = iova("tune", small, "--design", "picky:Picky,", cwd=small.parent, status=2)
    assert "key=value" in told
    told = iova("tune", small, "--design", "linux-6.12", "--param", "nothing=0..5", status=2)
    assert "linux-6.12 has no nothing" in told
    (small.parent / "even.py").write_text(
        (small.parent / "picky.py").read_text().replace("release=1", "release=2")
    )
    told = iova(
        "tune", small, "--design", "even:Picky", "--param", "release=0..5", cwd=small.parent
    )
    assert "3 settings failed:" in told
    assert "only even numbers" in told


def test_a_parameter_that_a_user_s_class_does_not_have_is_an_error(small: Path) -> None:
    (small.parent / "mine.py").write_text(
        "class Half:\n    def look(self, view):\n        return None\n"
    )
    told = iova(
        "tune", small, "--design", "mine:Half", "--param", "nope=1..3", "--trials", "3",
        cwd=small.parent, status=2,
    )  # fmt: skip
    assert "each of 3 settings failed; the first: --design mine:Half,nope=1: " in told


def test_without_optuna_one_sentence_says_what_to_install(small: Path) -> None:
    hidden = small.parent / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: (\n"
        "    None if name == 'optuna' else found(name, *rest))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "iova", "tune", small],
        capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{small.parent}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "iova: iova tune needs optuna: install it with  pip install 'iova[tune]'"
    )


def test_ctrl_c_shows_what_was_found(tmp_path: Path) -> None:
    """Stopped while a trial runs that would take minutes; the trials before it were quick."""
    (tmp_path / "slow.py").write_text(
        "import time, pathlib\n"
        "class Slow:\n"
        "    arm_delay_ns = 1\n"
        "    def __init__(self, seconds=0):\n        self.seconds = seconds\n"
        "    def look(self, view):\n"
        "        if self.seconds:\n"
        "            pathlib.Path('sleeping').touch()\n"
        "            time.sleep(60)\n"
    )
    write_parquet(trace_of(*filling_depot(3)), tmp_path / "small.parquet")
    running = subprocess.Popen(
        [sys.executable, "-m", "iova", "tune", "small.parquet", "--design", "slow:Slow",
         "--param", "seconds=0..1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    for _ in range(300):
        if (tmp_path / "sleeping").exists():
            break
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=30)
    assert running.returncode == 130, error
    assert re.match("Stopped with Ctrl-C after [01] of 2 trials: this is what was found", out)
    assert "--design slow:Slow" in out
    assert "this is what was found until then" in error


def test_help_names_the_metrics() -> None:
    told = iova("tune", "--help")
    assert "throughput" in told
    assert "--budget" in told
