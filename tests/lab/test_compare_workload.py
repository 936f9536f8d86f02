"""Comparing designs on a workload: runs, means, JSON, and what a user's policy may do."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from comparisons import TABLE, busy, compared
from iova.designs import DesignError, parse_design
from iova.lab.compare import compare, compare_workload
from iova.lab.confidence import t_quantile
from iova.lab.machine import simulate
from iova.lab.rows import machine_row_of, metrics_of, row_of
from tables import filling_depot, trace_of


def test_a_run_shows_the_numbers_of_its_simulation() -> None:
    comparison = compared("linux-6.12", seeds=[7])
    result = simulate(busy(), parse_design("linux-6.12"), TABLE, seed=7)
    (runs,) = comparison.designs
    assert runs.row == row_of(result.replay)
    assert runs.machine == machine_row_of(result)
    assert runs.row_half_width is None
    assert runs.machine_half_width is None
    assert comparison.calls == result.totals["operations"] > 1000
    assert comparison.span_ns == 20_000_000


def test_a_machine_row_counts_what_the_totals_say() -> None:
    result = simulate(busy(), parse_design("linux-6.12"), TABLE)
    row, totals = machine_row_of(result), result.totals
    all_cpus = totals["now"] * 4
    assert row.requests_per_s == pytest.approx(totals["requests"] / 0.02)
    assert row.tree_lock_wait_percent == pytest.approx(
        100 * totals["lock"]["tree"]["wait"] / all_cpus
    )
    assert row.lock_wait_percent == pytest.approx(
        100 * sum(lock["wait"] for lock in totals["lock"].values()) / all_cpus
    )
    callers = totals["cpu"]["alloc"] + totals["cpu"]["free"]
    assert row.callers_cpu_s_per_s == pytest.approx(callers / totals["now"])
    assert row.longest_timer_ns == pytest.approx(totals["timer_longest"] / 1000)
    assert row.longest_timer_ns > 0
    assert row.alloc_p50_ns <= row.alloc_p99_ns <= row.alloc_p999_ns <= row.alloc_worst_ns


def test_several_seeds_give_means_and_half_widths() -> None:
    seeds = [3, 4, 5]
    comparison = compared("linux-6.12", seeds=seeds)
    (runs,) = comparison.designs
    assert [run.seed for run in runs.runs] == seeds
    machines = [run.machine for run in runs.runs]
    rates = [machine.requests_per_s for machine in machines if machine]
    assert len(set(rates)) == 3
    assert runs.machine is not None
    assert runs.machine_half_width is not None
    assert runs.machine.requests_per_s == pytest.approx(statistics.mean(rates))
    assert runs.machine_half_width.requests_per_s == pytest.approx(
        t_quantile(2) * statistics.stdev(rates) / 3**0.5
    )
    assert runs.row.allocations == pytest.approx(
        statistics.mean(run.row.allocations for run in runs.runs)
    )


def test_the_same_seeds_give_the_same_numbers() -> None:
    first, again = (compared(seeds=[1, 2]).to_json() for _ in "ab")
    for comparison in (first, again):
        for design in comparison["designs"]:
            for run in design["runs"]:
                assert run.pop("speed") > 0
    assert first == again


def test_the_json_holds_means_half_widths_and_every_run() -> None:
    comparison = compared("linux-6.12", seeds=[1, 2], settings=["depth=64"])
    found = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    (design,) = found["designs"]
    assert found["kind"] == "workload"
    assert found["simulation"]["settings"] == ["depth=64"]
    assert found["simulation"]["seeds"] == [1, 2]
    assert found["simulation"]["prices"]["provenance"] == TABLE.provenance
    assert found["simulation"]["prices"]["picoseconds"] == TABLE.as_dict()
    assert [run["seed"] for run in design["runs"]] == [1, 2]
    row = metrics_of(comparison.designs[0].row)
    assert {name: design[name] for name in row} == row
    assert set(design["half_width_95"]) == set(design) - {"design", "half_width_95", "runs"}
    assert set(design["runs"][0]) == set(design["half_width_95"]) | {"seed", "speed"}


def test_a_trace_is_one_run_without_seed() -> None:
    comparison = compare("t", trace_of(*filling_depot(3)), [parse_design("linux-6.12")])
    (design,) = comparison.to_json()["designs"]
    assert comparison.to_json()["kind"] == "trace"
    assert design["half_width_95"] is None
    assert [(run["seed"], run["speed"]) for run in design["runs"]] == [(None, None)]
    assert "requests_per_s" not in design


def test_the_time_series_is_of_the_first_seed_of_each_design() -> None:
    comparison = compared(seeds=[1, 2], samples=50)
    frame = comparison.series()
    assert frame["design"].unique().sort().to_list() == ["linux-6.1", "linux-6.12"]
    assert 80 <= frame.height <= 140
    assert {"requests", "wait_tree_ps", "cached_pages"} <= set(frame.columns)
    assert [result.seed for result in comparison.machines] == [1, 1]
    assert compared().series().is_empty()


def test_progress_names_design_and_seed() -> None:
    told: list[tuple[str, int, int]] = []
    compared("linux-6.12", seeds=[1, 2], progress=lambda *now: told.append(now))
    assert {label for label, _, _ in told} == {"linux-6.12, seed 1", "linux-6.12, seed 2"}
    assert all(0 < done <= total for _, done, total in told)
    compared("linux-6.12", progress=lambda *now: told.append(now))
    assert told[-1] == ("linux-6.12", 20_000_000, 20_000_000)


def test_a_policy_that_ends_the_program_is_an_error_of_the_design(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves.py").write_text(
        "class Leaves:\n"
        "    arm_delay_ns = 1\n"
        "    def look(self, view):\n"
        "        raise SystemExit('enough')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    leaves = parse_design("leaves:Leaves")
    with pytest.raises(DesignError, match="Leaves: look\\(\\) raised SystemExit: enough"):
        compare("t", trace_of(*filling_depot(3)), [leaves])
    with pytest.raises(DesignError, match="SystemExit"):
        compare_workload("busy", busy(duration_s=0.2), [leaves], TABLE)
