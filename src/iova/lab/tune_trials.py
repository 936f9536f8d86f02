"""Settings that were tried, which of them are better, and which are worth keeping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from iova.errors import IovaError
from iova.lab.confidence import mean_of
from iova.lab.subjects import Subject
from iova.lab.tune_goals import Goals
from iova.lab.tune_space import Space, Values

#: Numbers that agree to so many digits are the same: the next metric decides.
_DIGITS: Final = 4

#: ``progress(what runs, trials done, of at most; None: it is not known)``
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Trial:
    """One setting, measured on every source."""

    number: int  #: its place among the trials
    how: str  #: what asked for it: as given, search, refine, simplify or sensitivity
    values: Values  #: parameters and what they were set to
    design: str  #: as ``--design`` takes it
    #: Every number, by name, of each source in order; empty: it failed.
    by_source: tuple[Mapping[str, float], ...] = field(default=(), repr=False)
    shortfall: float = 0.0  #: from the targets; 0: it meets them
    problem: str | None = None  #: why it failed

    @property
    def is_feasible(self) -> bool:
        """Whether it ran and met every target."""
        return self.problem is None and self.shortfall == 0

    @property
    def numbers(self) -> dict[str, float]:
        """The mean over the sources of every number; empty if it failed."""
        if not self.by_source:
            return {}
        shared = [k for k in self.by_source[0] if all(k in one for one in self.by_source)]
        return {name: mean_of([one[name] for one in self.by_source]) for name in shared}

    @property
    def changed(self) -> int:
        """How many parameters it sets."""
        return sum(value is not None for value in self.values)

    def to_json(self, space: Space) -> dict[str, Any]:
        """A JSON object."""
        names = [one.name for one in space.ranges]
        return {
            "number": self.number,
            "how": self.how,
            "design": self.design,
            "params": dict(zip(names, self.values, strict=True)),
            "feasible": self.is_feasible,
            "shortfall": self.shortfall if self.problem is None else None,
            "problem": self.problem,
            "metrics": self.numbers,
            "by_source": [dict(one) for one in self.by_source],
        }


class Bench:
    """Measures settings, each once, and keeps what was found."""

    def __init__(
        self,
        space: Space,
        goals: Goals,
        subjects: Sequence[Subject],
        progress: Progress | None,
        most: int,
    ) -> None:
        self.space = space
        self.goals = goals
        self.trials: list[Trial] = []
        self._subjects = subjects
        self._progress = progress
        self._most = most
        self._known: dict[Values, Trial] = {}

    def measure(self, values: Values, how: str) -> Trial:
        """The trial of a setting, now or earlier."""
        known = self._known.get(values)
        if known is None:
            known = self._measure(values, how)
            self._known[values] = known
            self.trials.append(known)
        return known

    def best(self) -> Trial | None:
        """The best setting so far; None: each one failed."""
        ran = [trial for trial in self.trials if trial.problem is None]
        return min(ran, key=self.rank, default=None)

    def rank(self, trial: Trial) -> tuple[float, ...]:
        """Less is better: as :meth:`merit`, then plainness, then the digits that do not count."""
        exact = (m.cost(trial.numbers[m.field]) for m in self.goals.order)
        return (*self.merit(trial), trial.changed, *exact, trial.number)

    def merit(self, trial: Trial) -> tuple[float, ...]:
        """Less is better: what a setting lacks, then the metrics in order, to digits that count."""
        numbers = trial.numbers
        costs = (m.cost(rounded(numbers[m.field])) for m in self.goals.order)
        return (trial.shortfall, *costs)

    def is_as_good(self, one: Trial, other: Trial) -> bool:
        """Whether a setting is not worse than another, to the digits that count."""
        return one.problem is None and self.merit(one) <= self.merit(other)

    def is_better(self, one: Trial, other: Trial) -> bool:
        """Whether a setting is better than another that was tried before or after it."""
        return one.problem is None and self.rank(one)[:-1] < self.rank(other)[:-1]

    def _measure(self, values: Values, how: str) -> Trial:
        number, text = len(self.trials), self.space.text(values)
        if self._progress:
            self._progress(how, number, self._most if number < self._most else None)
        try:
            spec = self.space.spec(values)
            by_source = tuple(subject.measure(spec) for subject in self._subjects)
        except IovaError as error:
            return Trial(number, how, values, text, problem=str(error))
        return Trial(number, how, values, text, by_source, self.goals.shortfall(by_source))


def rounded(value: float) -> float:
    """A number to the digits that count."""
    return float(f"{value:.{_DIGITS}g}")


def pareto(trials: Sequence[Trial], goals: Goals) -> tuple[Trial, ...]:
    """Feasible trials that no other one beats in every objective, the best of the first one first.

    Of trials that are the same to the digits that count, the plainest stays. Where no trial is
    feasible it is the set of all that ran.
    """
    ran = [trial for trial in trials if trial.problem is None]
    chosen = [trial for trial in ran if trial.is_feasible] or ran
    plain = sorted(chosen, key=lambda trial: (trial.changed, trial.number))
    points: dict[tuple[float, ...], Trial] = {}
    for trial in plain:
        numbers = trial.numbers
        point = tuple(m.cost(rounded(numbers[m.field])) for m in goals.objectives)
        points.setdefault(point, trial)
    front: list[tuple[float, ...]] = []
    for point in sorted(points):  # whoever beats a point stands before it
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in front):
            front.append(point)
    return tuple(points[point] for point in front)
