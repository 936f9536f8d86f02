"""What the lab finds, as Polars frames: the numbers are those of its JSON."""

from __future__ import annotations

import polars as pl
import pytest

from iova import samples
from iova.designs import parse_design
from iova.lab.compare import compare, compare_workload
from iova.lab.explain import explain
from iova.lab.prices import load_prices
from iova.lab.subjects import trace_subject
from iova.lab.tune import tune
from iova.lab.tune_goals import parse_goals
from iova.lab.tune_space import parse_space
from iova.sources import load
from iova.workloads import load_workload
from tables import filling_depot, trace_of

DESIGNS = [parse_design("linux-6.1"), parse_design("unbounded")]


def test_a_comparison_s_frame_has_a_row_a_design() -> None:
    compared = compare("t", trace_of(*filling_depot(3)), DESIGNS)
    frame = compared.frame()
    assert frame["design"].to_list() == ["linux-6.1", "unbounded"]
    assert frame["seed"].to_list() == [None, None]
    for row, design in zip(frame.to_dicts(), compared.to_json()["designs"], strict=True):
        assert {name: row[name] for name in design["runs"][0] if name in row} == {
            name: value for name, value in design["runs"][0].items() if name != "speed"
        }


def test_a_simulated_comparison_s_frame_has_a_row_a_seed() -> None:
    workload = load_workload("board-4", ["duration_s=0.01"])
    compared = compare_workload("board-4", workload, DESIGNS, load_prices(), seeds=[3, 4])
    frame = compared.frame()
    assert frame["seed"].to_list() == [3, 4, 3, 4]
    assert frame["requests_per_s"].dtype == pl.Float64
    means = frame.group_by("design", maintain_order=True).agg(pl.col("waste").mean())
    assert means["waste"].to_list() == pytest.approx([row.waste for row in compared.rows])


def test_a_tuning_s_frame_has_a_row_a_trial() -> None:
    spec = parse_design("linux-6.12")
    subject = trace_subject("t", trace_of(*filling_depot(3)))
    found = tune([subject], parse_space(spec, ()), parse_goals((), (), None, simulated=False),
                 trials=4)  # fmt: skip
    frame = found.frame()
    assert frame.height == len(found.trials)
    assert frame["param.threshold"].to_list() == [
        trial["params"]["threshold"] for trial in found.to_json()["trials"]
    ]
    assert frame["cached_percent"].null_count() == 0


def test_an_explanation_s_frame_has_a_row_a_finding() -> None:
    trace = load(samples.resolve("burst8-6.12")).trace
    found = explain("burst8-6.12", trace)
    frame = found.frame()
    assert frame["cause"].to_list() == list(found.causes)
    assert frame["cause"].len() > 0
    evidence = frame.explode("evidence").unnest("evidence")
    assert evidence.height == sum(len(one.evidence) for one in found.findings)


def test_the_frame_of_no_findings_has_the_same_columns() -> None:
    healthy = explain("t", trace_of(*filling_depot(1)), design=parse_design("linux-6.12"))
    assert healthy.findings == ()
    assert healthy.frame().is_empty()
    assert healthy.frame().columns[:3] == ["cause", "verdict", "harm"]
