"""Tuning finds what was planted, says how sure it is, and survives settings that fail."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from comparisons import TABLE, busy
from iova.designs import DesignSpec, parse_design
from iova.errors import IovaError
from iova.lab.subjects import Progress, WorkloadSubject, trace_subject
from iova.lab.tune import Tuning, tune
from iova.lab.tune_goals import Goals, parse_goals
from iova.lab.tune_space import Space, parse_space
from iova.lab.tune_trials import Trial, pareto
from tables import alloc, free, trace_of


@dataclasses.dataclass(frozen=True)
class Formula:
    """A subject whose numbers are a function of the design's parameters."""

    of: Callable[[dict[str, float]], dict[str, float]]
    name: str = "formula"
    is_simulated: bool = False

    def measure(self, design: DesignSpec, progress: Progress | None = None) -> dict[str, float]:
        assert progress is None
        given = {"threshold": 64, "delay_ms": 100, "batch": 1} | dict(design.params)
        return self.of(given)


def bowl(best: dict[str, int]) -> Formula:
    """The farther a parameter is from the best, in ratio, the less is cached; memory is even."""

    def of(given: dict[str, float]) -> dict[str, float]:
        far = sum(abs(math.log((given[k] + 1) / (v + 1))) for k, v in best.items())
        return {"cached_percent": 100 * math.exp(-far), "memory_kib_peak": 1000.0}

    return Formula(of)


def found(
    *subjects: Any,
    design: str = "linux-6.12",
    params: tuple[str, ...] = (),
    objective: str = "cache,memory",
    targets: tuple[str, ...] = (),
    budget: float | None = None,
    **options: Any,
) -> Tuning:
    simulated = all(subject.is_simulated for subject in subjects)
    goals = parse_goals([objective], targets, budget, simulated=simulated)
    return tune(subjects, parse_space(parse_design(design), params), goals, **options)


def params(trial: Trial, space: Space) -> dict[str, Any]:
    return dict(zip([one.name for one in space.ranges], trial.values, strict=True))


# ------------------------------------------------------------------------ what was planted


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_optimum_of_three_parameters_is_found(seed: int) -> None:
    planted = {"threshold": 137, "delay_ms": 2500, "batch": 12}
    tuning = found(bowl(planted), seed=seed, trials=120)
    # Numbers that agree to four digits are the same, and then the shorter one is taken.
    assert params(tuning.best, tuning.space) == pytest.approx(planted, rel=0.01)
    assert tuning.best.numbers["cached_percent"] > 99


def test_a_planted_threshold_of_a_trace_is_found_by_replaying_it() -> None:
    """After a pause the depot holds `threshold` magazines; exactly 9 are wanted again."""
    burst, again, threshold_needed = 127 * 24, 127 * 11, 9
    rows = [alloc(i, i) for i in range(burst)]
    rows += [free(burst + i, i) for i in range(burst)]
    rows.append(alloc(10**11, 0))  # 1000 runs of the job later
    rows += [alloc(10**11 + i, i) for i in range(1, again)]
    subject = trace_subject("pause", trace_of(*rows))
    cache = {
        threshold: subject.measure(parse_design(f"linux-6.12,threshold={threshold}"))
        for threshold in range(21)
    }
    most = cache[20]["cached_percent"]
    # Two magazines of the CPU and nine of the depot are the eleven that are wanted.
    assert next(k for k, v in cache.items() if v["cached_percent"] == most) == threshold_needed
    tuning = found(
        subject,
        params=("threshold=0..4096,log",),
        objective="cached",
        targets=(f"cache>={most}",),
        trials=40,
    )
    assert tuning.best.design == "linux-6.12,threshold=9"
    assert not tuning.is_exhaustive
    below = next(one for one in tuning.sensitivity if one.change == "threshold=4")
    assert not below.trial.is_feasible


def flat_above(needed: int, reached: int) -> Formula:
    """What a threshold of so many serves is enough, and one that is never reached costs no more."""

    def of(given: dict[str, float]) -> dict[str, float]:
        threshold = given["threshold"]
        return {
            "cached_percent": 90.0 if threshold >= needed else 80.0,
            "memory_kib_peak": 1000.0 + min(threshold, reached),
        }

    return Formula(of)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_edge_of_a_target_is_found_from_where_more_costs_nothing(seed: int) -> None:
    tuning = found(flat_above(needed=37, reached=60), targets=("cache>=85",), seed=seed, trials=60)
    assert params(tuning.best, tuning.space) == {"threshold": 37, "delay_ms": None, "batch": None}
    searched = [trial for trial in tuning.trials if trial.how in ("search", "refine")]
    assert len(searched) <= 61


def test_a_planted_depot_of_a_workload_is_found() -> None:
    """The least fixed depot that serves as many from magazines as an unbounded one does."""
    subject = WorkloadSubject("busy", busy(duration_s=0.05), TABLE, (1,))
    most = subject.measure(parse_design("unbounded"))["cached_percent"]
    needed = next(
        depot
        for depot in range(64)
        if subject.measure(parse_design(f"linux-6.1,depot={depot}"))["cached_percent"] >= most
    )
    assert needed > 1
    tuning = found(
        subject,
        design="linux-6.1",
        params=("depot=0..1000,log",),
        targets=(f"cache>={most}",),
        trials=40,
    )
    assert params(tuning.best, tuning.space) == {"depot": needed}
    assert tuning.sensitivity[-1].change == "other seeds of the workload"


def test_a_space_no_larger_than_the_trials_is_tried_whole() -> None:
    tuning = found(
        bowl({"threshold": 7}), params=("threshold=1..20,2", "batch=1..3"), trials=30, seed=9
    )
    assert tuning.is_exhaustive
    assert params(tuning.best, tuning.space) == {"threshold": 7, "batch": None}
    searched = {trial.values for trial in tuning.trials if trial.how == "search"}
    assert searched == {(t, b) for t in range(1, 20, 2) for b in (1, 2, 3)}


# ------------------------------------------------------------------------------- deciding


def priced(given: dict[str, float]) -> dict[str, float]:
    """More threshold: more is cached, up to 99 %, and more memory is taken."""
    threshold = given["threshold"]
    return {"cached_percent": min(99.0, threshold), "memory_kib_peak": 100.0 + threshold}


def test_with_a_target_the_cheapest_setting_that_meets_it_is_chosen() -> None:
    tuning = found(Formula(priced), targets=("cache>=90",), params=("threshold=0..4096,log",))
    assert tuning.goals.deciding.name == "memory"
    assert tuning.best.design == "linux-6.12,threshold=90"


def test_with_a_budget_the_best_setting_within_it_is_chosen() -> None:
    tuning = found(Formula(priced), budget=143, params=("threshold=0..4096,log",))
    assert tuning.goals.deciding.name == "cache"
    assert tuning.best.design == "linux-6.12,threshold=43"


def test_with_both_the_cheapest_is_chosen() -> None:
    tuning = found(
        Formula(priced), budget=180, targets=("cache>=50",), params=("threshold=0..4096,log",)
    )
    assert tuning.best.design == "linux-6.12,threshold=50"


def test_targets_that_cannot_be_met_are_told_with_the_nearest_setting() -> None:
    tuning = found(
        Formula(priced), budget=150, targets=("cache>=90",), params=("threshold=0..99",), trials=100
    )
    assert not tuning.best.is_feasible
    assert 50 <= params(tuning.best, tuning.space)["threshold"] <= 90
    assert tuning.best.shortfall == min(trial.shortfall for trial in tuning.trials)


def test_a_target_must_hold_on_every_source() -> None:
    def harder(given: dict[str, float]) -> dict[str, float]:
        return priced({"threshold": given["threshold"] / 2})

    one = found(Formula(priced), Formula(harder), targets=("cache>=40",),
                params=("threshold=0..4096,log",))  # fmt: skip
    assert one.best.design == "linux-6.12,threshold=80"
    assert [numbers["cached_percent"] for numbers in one.best.by_source] == [80, 40]
    assert one.best.numbers["cached_percent"] == 60


def test_what_makes_no_difference_is_left_out_of_the_decision() -> None:
    tuning = found(bowl({"threshold": 64}), trials=30)
    assert tuning.best.design == "linux-6.12"
    assert tuning.best.changed == 0


def test_the_pareto_set_holds_what_no_setting_beats() -> None:
    tuning = found(Formula(priced), params=("threshold=0..120",), trials=200)
    assert [trial.numbers["cached_percent"] for trial in tuning.pareto] == [*range(99, -1, -1)]

    goals = parse_goals(["cache,memory"], [], None, simulated=False)
    trials = [
        Trial(i, "search", (i,), str(i), ({"cached_percent": cache, "memory_kib_peak": memory},))
        for i, (cache, memory) in enumerate([(90, 10), (80, 10), (95, 12), (95, 11), (70, 9)])
    ]
    assert [trial.number for trial in pareto(trials, goals)] == [3, 0, 4]


# ---------------------------------------------------------------------- how sure, and from where


def test_the_same_seed_gives_the_same_answer_and_another_does_not_try_the_same() -> None:
    planted = bowl({"threshold": 137, "delay_ms": 20})
    first, again, other = (found(planted, seed=seed, trials=30) for seed in (5, 5, 6))
    assert first.to_json() == again.to_json()
    assert [t.values for t in first.trials] != [t.values for t in other.trials]
    assert json.loads(json.dumps(first.to_json(), allow_nan=False))["decision"]["feasible"]


def test_importance_goes_to_the_parameter_that_matters() -> None:
    tuning = found(bowl({"threshold": 137}), trials=60, objective="cache")
    assert tuning.importances is not None
    assert sum(tuning.importances.values()) == pytest.approx(1)
    assert tuning.importances["threshold"] > 0.7


def test_sensitivity_moves_one_parameter_at_a_time() -> None:
    tuning = found(bowl({"threshold": 128, "batch": 10}), trials=80)
    best = params(tuning.best, tuning.space)
    changes = {one.change for one in tuning.sensitivity}
    assert {f"threshold={best['threshold']}", "threshold=default", "batch=default"} - changes == {
        f"threshold={best['threshold']}"
    }
    for one in tuning.sensitivity:
        assert sum(a != b for a, b in zip(one.trial.values, tuning.best.values, strict=True)) == 1
        assert one.trial.numbers["cached_percent"] <= tuning.best.numbers["cached_percent"]


# ------------------------------------------------------------------------------- failing


def test_settings_that_fail_are_reported_and_the_rest_is_searched() -> None:
    def of(given: dict[str, float]) -> dict[str, float]:
        if given["threshold"] > 50:
            raise IovaError("too much")
        return priced(given)

    tuning = found(Formula(of), params=("threshold=0..100",), trials=50, objective="cache")
    assert tuning.best.design == "linux-6.12,threshold=50"
    assert tuning.failed
    assert {trial.problem for trial in tuning.failed} == {"too much"}
    assert tuning.given.problem == "too much"


def test_where_every_setting_fails_the_first_reason_is_told() -> None:
    def of(_given: dict[str, float]) -> dict[str, float]:
        raise IovaError("nothing works")

    with pytest.raises(IovaError, match=r"each of \d+ settings failed; the first: nothing works"):
        found(Formula(of), params=("threshold=0..3",))


def test_where_only_the_design_as_given_runs_it_is_no_decision() -> None:
    calls = 0

    def of(given: dict[str, float]) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise IovaError("no such parameter")
        return priced(given)

    with pytest.raises(IovaError, match="each of 4 settings failed; the first: no such parameter"):
        found(Formula(of), params=("threshold=0..3",))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.6, 0.99])
def test_ctrl_c_ends_with_what_was_found_so_far(share: float) -> None:
    count, most = 0, math.inf

    def of(given: dict[str, float]) -> dict[str, float]:
        nonlocal count
        count += 1
        if count > most:
            raise KeyboardInterrupt
        return priced(given)

    def run() -> Tuning:
        nonlocal count
        count = 0
        options: Any = {"params": ("threshold=0..4096,log",), "objective": "cache"}
        return found(Formula(of), trials=40, **options)

    whole = run()
    assert not whole.interrupted
    most = max(1, int(share * len(whole.trials)))
    tuning = run()
    assert tuning.interrupted
    assert [t.values for t in tuning.trials] == [t.values for t in whole.trials[:most]]
    best = max(trial.numbers["cached_percent"] for trial in tuning.trials)
    assert tuning.best.numbers["cached_percent"] == best


def test_ctrl_c_before_anything_was_found_is_ctrl_c() -> None:
    def of(_given: dict[str, float]) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found(Formula(of))


def test_goals_name_every_metric_once_and_memory() -> None:
    goals: Goals = parse_goals(["cache"], ["cache>=1", "waste<=2"], None, simulated=False)
    assert [metric.name for metric in goals.metrics] == ["cache", "waste", "memory"]
    assert goals.deciding.name == "memory"
