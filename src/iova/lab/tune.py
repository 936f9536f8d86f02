"""Find the parameters of a design: search, refine, decide, and tell how sure the decision is.

1. The design is measured as the user gave it. It is a candidate like any other.
2. Optuna proposes settings: the tree-structured Parzen estimator, with several objectives and
   with targets as constraints (Bergstra et al. 2011; Watanabe and Hutter 2023). If there are no
   more settings than trials, all are tried and nothing is left to chance.
3. A pattern search (Hooke and Jeeves 1961) goes on from the best: each parameter is moved both
   ways, by a sixteenth of its range, then by a quarter of that, down to single steps.
4. What makes no difference is left out of the decision, and where a round number is as good, it
   is taken.
5. Each parameter of the decision is moved to its neighbours, and workloads get another seed:
   what changes is how sensitive the decision is.

Every random choice comes from the seed, so the same call gives the same answer.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import optuna
import polars as pl

from iova import _core
from iova.errors import IovaError
from iova.lab.subjects import Subject, WorkloadSubject
from iova.lab.tune_goals import Goals
from iova.lab.tune_space import Range, Space, Value, Values, rounded_value
from iova.lab.tune_trials import Bench, Progress, Trial, pareto

FORMAT: Final = "iova tune"
SCHEMA_VERSION: Final = 1

#: Of the trials, this part is Optuna's; the pattern search has the rest.
_SEARCH_PART: Final = 1 / 2

#: So often in a row Optuna may propose what it knows before the search ends.
_PATIENCE: Final = 200

#: The pattern search starts with steps of this part of a range, and ends with single ones.
_FIRST_STEP: Final = 1 / 16
_LAST_STEP: Final = 1e-7
#: ... and each time nothing gets better, with steps so much smaller.
_STEP_RATIO: Final = 4

#: How far away the other seed of a workload is: no earlier run has used it.
_SEED_DISTANCE: Final = 1_000_003


@dataclass(frozen=True)
class Sensitivity:
    """What one change of the decision does."""

    change: str  #: what differs, in words
    trial: Trial  #: the changed setting, measured


@dataclass(frozen=True)
class Tuning:
    """What was found."""

    space: Space  #: the design and the ranges that were searched
    goals: Goals  #: objectives and targets
    sources: tuple[str, ...]  #: names
    seed: int  #: of the search
    trials: tuple[Trial, ...]  #: in the order in which they ran; the first is the design as given
    best: Trial  #: the decision; without ``is_feasible`` it is only the nearest to the targets
    pareto: tuple[Trial, ...]  #: settings that no other beats in every objective
    sensitivity: tuple[Sensitivity, ...]  #: the decision's neighbours, and workloads' other seeds
    #: Share of the deciding metric's spread that each parameter explains, 0..1; None: too few
    #: trials to tell, or nothing differs.
    importances: dict[str, float] | None
    is_exhaustive: bool  #: every setting of the space was tried
    interrupted: bool  #: by Ctrl-C: this is what was found until then
    most_trials: int  #: that the search might try

    @property
    def given(self) -> Trial:
        """The design as the user gave it."""
        return self.trials[0]

    @property
    def searched(self) -> tuple[Trial, ...]:
        """Trials of the search, without what came before and after it."""
        return tuple(trial for trial in self.trials if trial.how in ("search", "refine"))

    @property
    def failed(self) -> tuple[Trial, ...]:
        """Trials that failed."""
        return tuple(trial for trial in self.trials if trial.problem is not None)

    def frame(self) -> pl.DataFrame:
        """One row a trial, in their order: what was set (``param.NAME``), and what it gave."""
        names = [f"param.{one.name}" for one in self.space.ranges]
        return pl.DataFrame(
            [
                {"number": trial.number, "how": trial.how, "design": trial.design}
                | dict(zip(names, trial.values, strict=True))
                | {"feasible": trial.is_feasible, "problem": trial.problem}
                | trial.numbers
                for trial in self.trials
            ],
            infer_schema_length=None,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "version": _core.VERSION,
            "sources": list(self.sources),
            "design": self.space.design,
            "ranges": [str(one) for one in self.space.ranges],
            "objectives": [metric.name for metric in self.goals.objectives],
            "targets": [str(target) for target in self.goals.targets],
            "decided_by": self.goals.deciding.name,
            "seed": self.seed,
            "exhaustive": self.is_exhaustive,
            "interrupted": self.interrupted,
            "decision": self.best.to_json(self.space),
            "as_given": self.given.to_json(self.space),
            "pareto": [trial.number for trial in self.pareto],
            "importances": self.importances,
            "sensitivity": [
                {"change": one.change, **one.trial.to_json(self.space)} for one in self.sensitivity
            ],
            "trials": [trial.to_json(self.space) for trial in self.trials],
        }


def tune(
    subjects: Sequence[Subject],
    space: Space,
    goals: Goals,
    *,
    trials: int = 60,
    seed: int = 1,
    progress: Progress | None = None,
) -> Tuning:
    """Find the setting that meets the targets and is best by the deciding metric.

    Args:
        subjects: what settings are measured on; targets hold on each, objectives are means.
        space: the design and the ranges of its parameters.
        goals: objectives and targets.
        trials: at most so many settings in the search.
        seed: of the search.
        progress: told before each trial.

    Raises:
        IovaError: not one setting of the ranges could be measured.
    """
    bench = Bench(space, goals, subjects, progress, trials)
    study = _Study(bench, seed)
    sensitivity: list[Sensitivity] = []
    interrupted = False
    best = None
    try:
        bench.measure(tuple(None for _ in space.ranges), "as given")
        study.search(trials)
        _tighten(bench, trials)
        _refine(bench, trials)
        best = _simplified(bench)
        if best:
            for one in _sensitivity(bench, best, subjects):
                sensitivity.append(one)  # noqa: PERF402 - what was found before Ctrl-C stays
    except KeyboardInterrupt:
        interrupted = True
    best = best or bench.best()
    if best is None or (not interrupted and _is_all_refused(bench)):
        raise _nothing_ran(bench, interrupted)
    searched = [trial for trial in bench.trials if trial.how != "sensitivity"]
    return Tuning(
        space,
        goals,
        tuple(subject.name for subject in subjects),
        seed,
        tuple(bench.trials),
        best,
        pareto(searched, goals),
        tuple(sensitivity),
        study.importances(),
        study.is_exhaustive,
        interrupted,
        trials if space.count is None else min(trials, space.count),
    )


def _is_all_refused(bench: Bench) -> bool:
    """Whether values were tried and each failed: the design as given is then no decision."""
    tried = [trial for trial in bench.trials if trial.changed]
    return bool(tried) and all(trial.problem is not None for trial in tried)


def _nothing_ran(bench: Bench, interrupted: bool) -> BaseException:
    if interrupted or not bench.trials:
        return KeyboardInterrupt()
    failed = [trial for trial in bench.trials if trial.problem is not None]
    return IovaError(f"each of {len(failed)} settings failed; the first: {failed[0].problem}")


# --------------------------------------------------------------------------------- search


class _Study:
    """Optuna's side: what it proposes is measured, what was measured is told to it."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.is_exhaustive = False
        with _quiet_optuna():
            self.study = optuna.create_study(
                sampler=optuna.samplers.TPESampler(seed=seed % 2**32, multivariate=True),
                directions=[
                    "maximize" if metric.more_is_better else "minimize"
                    for metric in bench.goals.objectives
                ],
            )

    def search(self, trials: int) -> None:
        """Try all settings if there are no more than so many; else what Optuna proposes."""
        space = self.bench.space
        with _quiet_optuna():
            if space.count is not None and space.count <= trials:
                for values in itertools.product(*(one.values() for one in space.ranges)):
                    self._ask(values)
                self.is_exhaustive = True
                return
            fruitless = 0
            while len(self.bench.trials) < 1 + trials * _SEARCH_PART and fruitless < _PATIENCE:
                before = len(self.bench.trials)
                self._ask(None)
                fruitless = 0 if len(self.bench.trials) > before else fruitless + 1

    def _ask(self, wanted: Values | None) -> None:
        """One proposal; ``wanted``: this one."""
        ranges = self.bench.space.ranges
        if wanted is not None:
            asked = {
                one.name: value + one.log_offset if one.log and value is not None else value
                for one, value in zip(ranges, wanted, strict=True)
            }
            self.study.enqueue_trial(asked)
        proposal = self.study.ask()
        values = tuple(_suggested(proposal, one) for one in ranges)
        measured = self.bench.measure(values, "search")
        if measured.problem is not None:
            self.study.tell(proposal, state=optuna.trial.TrialState.FAIL)
            return
        numbers = measured.numbers
        for i, target in enumerate(self.bench.goals.targets):
            worst = max(target.shortfall(one[target.metric.field]) for one in measured.by_source)
            proposal.set_constraint(f"target {i}", worst)
        self.study.tell(proposal, [numbers[m.field] for m in self.bench.goals.objectives])

    def importances(self) -> dict[str, float] | None:
        """What each parameter explains of the deciding metric; None: that can not be told."""
        bench, field = self.bench, self.bench.goals.deciding.field
        names = [one.name for one in bench.space.ranges]
        offsets = {one.name: one.log_offset if one.log else 0 for one in bench.space.ranges}

        def deciding(trial: optuna.trial.FrozenTrial) -> float:
            values = tuple(trial.params[name] - offsets[name] for name in names)
            return bench.measure(values, "search").numbers[field]

        done = self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
        if len(names) < 2 or len({deciding(trial) for trial in done}) < 2:
            return None
        try:
            with _quiet_optuna():
                found = optuna.importance.get_param_importances(
                    self.study,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=deciding,
                )
        except (ValueError, RuntimeError):  # too few trials
            return None
        return {name: float(found[name]) for name in names if name in found}


def _suggested(proposal: optuna.Trial, one: Range) -> Value:
    if isinstance(one.low, int) and isinstance(one.high, int):
        offset = one.log_offset if one.log else 0
        step = int(one.step or 1)
        highest = one.low + (one.high - one.low) // step * step
        number = proposal.suggest_int(
            one.name, one.low + offset, highest + offset, step=step, log=one.log
        )
        return number - offset
    if one.step is None:
        return rounded_value(proposal.suggest_float(one.name, one.low, one.high, log=one.log))
    place = proposal.suggest_float(one.name, one.low, one.values()[-1], step=float(one.step))
    return rounded_value(place)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna logs each study, and warns that what is used here may change."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


# --------------------------------------------------------------------------------- refine


def _best_of_search(bench: Bench) -> Trial | None:
    """The best setting that says what each parameter is."""
    searched = [t for t in bench.trials if t.problem is None and None not in t.values]
    return min(searched, key=bench.rank, default=None)


def _tighten(bench: Bench, trials: int) -> None:
    """From the best setting, as near to the targets' edge as a parameter may go.

    Where more costs nothing more, such as a threshold that is never reached, neither proposals nor
    steps tell in which direction the edge lies.
    """
    best = _best_of_search(bench)
    if best is None or not best.is_feasible:
        return
    for i, one in enumerate(bench.space.ranges):
        for end in (one.low, one.high):
            if len(bench.trials) > trials:
                return
            beyond = bench.measure(_with(best.values, i, end), "refine")
            if beyond.problem is None and not beyond.is_feasible:
                best = min(best, _edge(bench, best, beyond, i, trials), key=bench.rank)


def _edge(bench: Bench, met: Trial, missed: Trial, i: int, trials: int) -> Trial:
    """The last setting that meets the targets on the way to one that does not, by halving."""
    one = bench.space.ranges[i]
    while len(bench.trials) <= trials:
        ends = [trial.values[i] for trial in (met, missed)]
        middle = one.value_at(sum(one.place_of(end) for end in ends if end is not None) / 2)
        if middle in ends:
            break
        found = bench.measure(_with(met.values, i, middle), "refine")
        if found.is_feasible:
            met = found
        else:
            missed = found
    return met


def _refine(bench: Bench, trials: int) -> None:
    """Pattern search from the best setting, until single steps make nothing better."""
    best = _best_of_search(bench)
    size = _FIRST_STEP
    while best and size > _LAST_STEP and len(bench.trials) <= trials:
        before = best
        for i in range(len(bench.space.ranges)):
            for by in (-size, size):
                best = _followed(bench, best, i, by, trials)
        if best is before:
            size /= _STEP_RATIO


def _followed(bench: Bench, best: Trial, i: int, by: float, trials: int) -> Trial:
    """The best setting on the way in one direction, in steps that double while it gets better."""
    while len(bench.trials) <= trials:
        value = best.values[i]
        moved = None if value is None else bench.space.ranges[i].moved(value, by)
        if moved is None:
            break
        found = bench.measure(_with(best.values, i, moved), "refine")
        if not bench.is_better(found, best):
            break
        best, by = found, 2 * by
    return best


def _with(values: Values, i: int, value: Value | None) -> Values:
    return (*values[:i], value, *values[i + 1 :])


def _simplified(bench: Bench) -> Trial | None:
    """The best setting, without the parameters that make no difference, in round numbers."""
    best = bench.best()
    for i, one in enumerate(bench.space.ranges):
        for plainer in (None, *(_round_values(one, best.values[i]) if best else ())):
            if best is None or best.values[i] in (None, plainer):
                continue
            trial = bench.measure(_with(best.values, i, plainer), "simplify")
            if bench.is_as_good(trial, best):
                best = trial
                break
    return best


def _round_values(one: Range, value: Value | None) -> list[Value]:
    """Values near a whole one that are legal and shorter to write, the shortest first."""
    if not isinstance(value, int):
        return []
    near = [int(float(f"{value:.{digits}g}")) for digits in (1, 2)]
    return [found for found in near if one.value_at(one.place_of(found)) == found]


# ---------------------------------------------------------------------------- sensitivity


def _sensitivity(bench: Bench, best: Trial, subjects: Sequence[Subject]) -> Iterator[Sensitivity]:
    for i, one in enumerate(bench.space.ranges):
        value = best.values[i]
        if value is None:
            continue
        near = [*one.neighbours(value), None]
        for other in near:
            trial = bench.measure(_with(best.values, i, other), "sensitivity")
            yield Sensitivity(f"{one.name}={'default' if other is None else other}", trial)
    reseeded = _reseeded(subjects)
    if reseeded:
        again = Bench(bench.space, bench.goals, reseeded, None, 0)
        trial = again.measure(best.values, "sensitivity")
        yield Sensitivity("other seeds of the workload", trial)


def _reseeded(subjects: Sequence[Subject]) -> list[Subject] | None:
    """The same subjects, workloads with other seeds; None: there is no workload."""
    found: list[Subject] = []
    for subject in subjects:
        if isinstance(subject, WorkloadSubject):
            seeds = tuple((seed + _SEED_DISTANCE) % 2**63 for seed in subject.seeds)
            found.append(dataclasses.replace(subject, seeds=seeds))
        else:
            found.append(subject)
    return found if any(isinstance(one, WorkloadSubject) for one in found) else None
