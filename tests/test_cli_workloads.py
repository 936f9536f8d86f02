"""The command on workloads: presets in every verb, seeds, an earlier result, more CPUs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands import assert_refused, iova, run_iova
from iova.sources.parquet import write_parquet
from iova.workloads import presets
from tables import filling_depot, trace_of

SHORT = ("--set", "duration_s=0.02")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small trace of one CPU."""
    path = tmp_path / "small.parquet"
    write_parquet(trace_of(*filling_depot(3), cpus=1), path)
    return path


# ------------------------------------------------------------------------------- compare


def test_compare_shows_the_machine_below_the_allocator_within_80_columns() -> None:
    lines = iova("compare", "scsi-256", *SHORT).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("scsi-256: 256 CPUs, 0.02 s simulated, ")
    heads = [line.split() for line in lines if line.startswith("design ")]
    assert [head[1] for head in heads] == ["cache%", "req/s"]
    rows = [line.split()[0] for line in lines if line.startswith(("linux", "unbounded"))]
    assert rows == 2 * ["linux-6.1", "unbounded", "linux-6.12", "linux-7.3"]


def test_traces_and_workloads_are_compared_side_by_side(small: Path) -> None:
    options = ("--design", "unbounded", "--seeds", 2, "--json")
    file = small.parent / "mine.toml"
    file.write_text(
        "duration_s = 0.01\nmachine.cpus = 2\ndomain.a = {}\n"
        "flow.a = {domain = 'a', think_us = 5}\n"
    )
    found = json.loads(iova("compare", small, file, small, *options))["comparisons"]
    assert [one["kind"] for one in found] == ["trace", "workload", "trace"]
    assert [len(one["designs"][0]["runs"]) for one in found] == [1, 2, 1]
    assert [run["seed"] for run in found[1]["designs"][0]["runs"]] == [1, 2]


def test_the_same_command_gives_the_same_json_but_for_its_speed() -> None:
    found = []
    for _ in "ab":
        result = json.loads(iova("compare", "scsi-256", *SHORT, "--seed", 5, "--json"))
        for design in result["comparisons"][0]["designs"]:
            assert [run["seed"] for run in design["runs"]] == [5]
            assert all(run.pop("speed") > 0 for run in design["runs"])
        found.append(result)
    assert found[0] == found[1]


def test_seeds_give_a_line_of_half_widths_below_each_design() -> None:
    options = (*SHORT, "--seeds", 3, "--design", "unbounded", "--design", "linux-7.3")
    lines = iova("compare", "board-4", *options).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.startswith("  ± ") for line in lines) == 5  # the legend's is one
    assert "seeds 1 to 3" in " ".join(lines[:2])


def test_prices_of_a_file_are_used_and_named(tmp_path: Path) -> None:
    from iova.lab.prices import load_prices, write_prices

    path = tmp_path / "slow.toml"
    given = load_prices()
    write_prices(path, given, {"host": "none"})
    path.write_text(
        path.read_text().replace(f"tree_alloc = {given.tree_alloc / 1000}", "tree_alloc = 50000.0")
    )
    options = ("compare", "scsi-256", *SHORT, "--design", "unbounded", "--json")
    usual, slow = (
        json.loads(iova(*options, *more))["comparisons"][0] for more in ([], ["--prices", path])
    )
    assert slow["simulation"]["prices_from"] == f"prices {path}"
    assert slow["simulation"]["prices"]["provenance"] == "host: none"
    assert slow["designs"][0]["alloc_p99_ns"] > 2 * usual["designs"][0]["alloc_p99_ns"]


def test_a_page_of_a_workload_is_written(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    iova("compare", "stalled-flush", *SHORT, "--html", page)
    text = page.read_text()
    assert "Throughput" in text
    assert "FACTS" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert page.stat().st_size < 3_000_000


# ------------------------------------------------------------------------ earlier results


def test_an_earlier_result_is_compared_with(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    design = ("--design", "unbounded")
    options = ("compare", "scsi-256", *SHORT, "--seeds", 4, *design)
    earlier.write_text(iova(*options, "--json"))
    same = iova(*options, "--against", earlier)
    assert "nothing of the tables has changed" in same
    changed = iova(*options, "--set", "in_flight=64", "--against", earlier)
    assert "other settings: duration_s=0.02 then, duration_s=0.02 in_flight=64 now." in " ".join(
        changed.split()
    )
    assert any(line.startswith("  requests_per_s") for line in changed.splitlines())
    found = json.loads(iova(*options, "--set", "in_flight=64", "--against", earlier, "--json"))
    metrics = found["against"]["designs"][0]["metrics"]
    assert metrics["requests_per_s"]["p"] == pytest.approx(2 / 70)
    assert metrics["requests_per_s"]["percent"] < -20


def test_an_earlier_result_of_a_trace_needs_no_seeds(small: Path) -> None:
    earlier = small.parent / "earlier.json"
    earlier.write_text(iova("compare", small, "--json"))
    again = iova("compare", small, "--against", earlier)
    assert "a replay: any change is a change" in " ".join(again.split())  # lines are folded
    wide = iova("compare", small, "--cpus", 4, "--against", earlier)
    assert "depot_peak" in wide


def test_an_earlier_result_that_is_none_is_told_before_anything_runs(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text("[]")
    # No run of such a length ends within this test's time.
    options = ("compare", "scsi-256", "--set", "duration_s=1e5", "--against", earlier)
    assert f"{earlier}: is no result" in iova(*options, status=2)


def test_an_earlier_result_is_not_overwritten_by_the_report(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text("{}")
    told = iova("compare", "board-4", "--against", earlier, "--html", earlier, status=2)
    assert "is an input as well" in told
    assert earlier.read_text() == "{}"


# -------------------------------------------------------------------------------- more CPUs


def test_a_trace_is_spread_over_more_cpus_with_a_warning(small: Path) -> None:
    output = iova("compare", small, "--cpus", 8, "--design", "linux-6.12")
    assert "! Spread from 1 over 8 CPUs" in output
    assert "cannot show timing" in " ".join(output.split())
    page = small.parent / "r.html"
    found = json.loads(iova("compare", small, "--cpus", 8, "--html", page, "--json"))
    assert found["comparisons"][0]["cpus"] == 8
    assert len(found["comparisons"][0]["warnings"]) == 2
    assert "Spread from 1 over 8 CPUs" in page.read_text()


# ---------------------------------------------------------------------- convert, info, list


def test_convert_writes_the_events_of_a_preset(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    told = iova("convert", "scsi-256", out, *SHORT, "--seed", 3, "--design", "unbounded")
    assert "seed 3" in told
    assert "unbounded" in told
    summary = json.loads(iova("info", out, "--json"))
    assert summary["info"]["source"] == "machine"
    assert summary["allocs"] > 1000
    options = ("--design", "unbounded", "--json")
    of_trace = json.loads(iova("compare", out, *options))["comparisons"][0]
    direct = ("compare", "scsi-256", *SHORT, "--seed", 3, *options)
    of_preset = json.loads(iova(*direct))["comparisons"][0]
    for name in ("allocations", "failed", "live_pages_peak"):
        assert of_trace["designs"][0][name] == of_preset["designs"][0][name]


def test_info_of_a_preset_shows_its_parameters_and_its_source() -> None:
    output = iova("info", "scsi-256", "--set", "depth=3")
    assert "Guesses:" in output
    assert "depth = 3" in output
    assert "[flow.disk]" in output
    found = json.loads(iova("info", "scsi-256", "--json"))
    assert found["machine"]["cpus"] == 256


def test_list_names_every_preset() -> None:
    output = iova("list", "presets")
    assert all(preset.name in output for preset in presets())
    found = json.loads(iova("list", "--json"))
    assert [one["name"] for one in found["presets"]] == [preset.name for preset in presets()]
    assert {"designs", "presets", "samples", "schemas"} <= set(found)


def test_a_file_of_a_preset_s_name_is_that_file(tmp_path: Path) -> None:
    write_parquet(trace_of(*filling_depot(3)), tmp_path / "scsi-256")
    output = iova("compare", "scsi-256", "--design", "unbounded", cwd=tmp_path)
    assert output.startswith("scsi-256: 1,018 calls")


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "burst8-6.12", "--set", "cpus=3"], "--set cpus=3: burst8-6.12 is a recorded"),
        (["compare", "scsi-256", "burst8-6.12", "--set", "cpus=3"], "is a recorded trace"),
        (["compare", "burst8-6.12", "--seeds", "3"], "--seeds: burst8-6.12 is a recorded trace"),
        (["compare", "burst8-6.12", "--seed", "3"], "its replay is always the same"),
        (["compare", "burst8-6.12", "--prices", "x"], "a replay has no prices"),
        (["compare", "scsi-256", "--cpus", "512"], "use --set cpus=512"),
        (["compare", "scsi-256", "--domain", "0"], "--domain is for recorded traces"),
        (["compare", "burst8-6.12", "--cpus", "4"], "recorded on 8 CPUs"),
        (["compare", "burst8-6.12", "--cpus", "9"], "the next is 16"),
        (["compare", "scsi-256", "--set", "frobs=3"], "frobs"),
        (["compare", "scsi-256", "--set", "cpus=0"], "cpus"),
        (["compare", "scsi-256", "--prices", "absent.toml"], "absent.toml: cannot be read"),
        (["compare", "absent.toml"], "absent.toml: cannot be read"),
        (["compare", "scsi-256", "--seeds", "0"], "--seeds"),
        (["compare", "scsi-256", "--seeds", "201"], "200"),
        (["compare", "scsi-256", "--against", "absent.json"], "absent.json: cannot be read"),
        (["compare", "scsi-256", "--seed", str(2**63), *SHORT], "the largest seed is"),
        (["convert", "burst8-6.12", "x.parquet", "--set", "a=1"], "is a recorded trace"),
        (["convert", "burst8-6.12", "x.parquet", "--seed", "1"], "has no seed"),
        (["convert", "burst8-6.12", "x.parquet", "--design", "unbounded"], "those of its kernel"),
        (["convert", "scsi-256", "-"], "Give the file's name"),
        (["convert", "scsi-256", "x.parquet", "--design", "linux-9"], "Known: linux-6.1"),
        (["info", "burst8-6.12", "--set", "a=1"], "is a recorded trace"),
        (["compare", "nope", "--set", "x=1"], "nope: is no file, and no preset or bundled trace"),
        (["compare", "scsi-255", "--seed", "1"], "Did you mean scsi-256?"),
        (["compare", "scsi-256", "nope", "--set", "cpus=3"], "nope: is no file"),
        (["convert", "nope", "x.parquet", "--prices", "x"], "nope: is no file"),
        (["info", "nope", "--set", "a=1"], "nope: is no file"),
        (["info", "scsi-256", "--set", "depth"], "is not of the form key=value"),
    ],
)
def test_an_error_is_one_sentence_and_nothing_is_written(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    assert_refused(*arguments, told=told, cwd=tmp_path)


def test_a_trace_that_was_generated_has_no_kernel_to_be_verified_against(tmp_path: Path) -> None:
    out = tmp_path / "made.parquet"
    iova("convert", "board-4", out, "--set", "duration_s=0.05")
    for design in ([], ["--design", "linux-6.12"]):
        told = iova("verify", out, *design, status=2)
        assert "made.parquet: this was generated from a workload, not recorded" in told


def test_a_workload_s_own_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("duration_s = 1\n")
    assert "is an input as well" in iova("convert", file, file, status=2)
    assert file.read_text() == "duration_s = 1\n"


# ----------------------------------------------------------------------- Ctrl-C, progress


@pytest.mark.parametrize(
    "last",
    [("compare", "--html", "out"), ("convert", "out"), ("convert", "out.pftrace"), ("explain",)],
)
def test_ctrl_c_ends_a_simulation_and_leaves_nothing(last: tuple[str, ...], tmp_path: Path) -> None:
    arguments = (last[0], "scsi-256", *last[1:], "--set", "duration_s=1000")
    process, terminal = started(tmp_path, *arguments)
    try:
        wait_for_bar(terminal)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert list(tmp_path.iterdir()) == []


def started(folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """The command with a terminal as its standard error, and that terminal's other end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "iova", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    return process, ours


def wait_for_bar(terminal: int) -> None:
    """Wait until a simulation shows its progress."""
    seen = b""
    while b"%" not in seen:
        seen += os.read(terminal, 4096)


def test_progress_is_shown_for_each_design_and_seed(tmp_path: Path) -> None:
    arguments = ("compare", "scsi-256", *SHORT, "--seeds", "2", "--design", "unbounded")
    process, terminal = started(tmp_path, *arguments)
    seen = b""
    try:
        while part := os.read(terminal, 4096):
            seen += part
    except OSError:  # the other end is closed
        pass
    finally:
        assert process.wait(timeout=60) == 0
        os.close(terminal)
    assert b"unbounded, seed 1" in seen
    assert b"unbounded, seed 2" in seen


def test_off_a_terminal_nothing_but_the_tables_is_printed() -> None:
    done = run_iova("compare", "board-4", *SHORT, "--design", "unbounded")
    assert done.returncode == 0
    assert done.stderr == ""
