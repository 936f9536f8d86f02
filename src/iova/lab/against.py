"""Compare a result with an earlier one: what changed, by how much, and whether by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from iova import _core
from iova.errors import InputError
from iova.lab.compare import Comparison
from iova.lab.confidence import least_p, mean_of, permutation_p
from iova.lab.result_file import StoredResult, StoredRuns, result_json, stored

#: A difference whose p is not above this is called significant.
SIGNIFICANT: Final = 0.05


@dataclass(frozen=True)
class Change:
    """One metric, then and now."""

    metric: str
    earlier: float  #: mean over the runs
    now: float
    percent: float | None  #: None: it was 0
    p: float | None  #: of the two-sided permutation test; None: not from several runs

    @property
    def is_one(self) -> bool:
        """Whether the means differ at all."""
        return self.earlier != self.now

    @property
    def is_significant(self) -> bool:
        """Whether chance alone would rarely do this; without a test, never."""
        return self.p is not None and self.p <= SIGNIFICANT


@dataclass(frozen=True)
class DesignChange:
    """One design on one source, then and now."""

    source: str
    design: str
    earlier_runs: int
    runs: int
    is_replay: bool  #: nothing is random: any change is a change
    changes: tuple[Change, ...]  #: every metric that both have

    def basis(self) -> str:
        """What the significance rests on, in words."""
        if self.is_replay:
            return "a replay: any change is a change"
        if self.earlier_runs == self.runs == 1:
            return "one run each: no significance"
        told = f"{self.earlier_runs} runs then, {self.runs} now"
        least = least_p(self.earlier_runs, self.runs)
        if least > SIGNIFICANT:
            return f"{told}: too few to be significant (p is at least {least:.2g})"
        return told


@dataclass(frozen=True)
class Against:
    """A result beside an earlier one."""

    file: str
    earlier_version: str
    designs: tuple[DesignChange, ...]
    notes: tuple[str, ...]  #: what else differs, in sentences

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "file": self.file,
            "earlier_version": self.earlier_version,
            "notes": list(self.notes),
            "designs": [
                {
                    "source": one.source,
                    "design": one.design,
                    "earlier_runs": one.earlier_runs,
                    "runs": one.runs,
                    "basis": one.basis(),
                    "metrics": {
                        change.metric: {
                            "earlier": change.earlier,
                            "now": change.now,
                            "percent": change.percent,
                            "p": change.p,
                        }
                        for change in one.changes
                    },
                }
                for one in self.designs
            ],
        }


def compare_against(comparisons: Sequence[Comparison], earlier: StoredResult) -> Against:
    """Set a result beside an earlier one.

    Args:
        comparisons: the result of now.
        earlier: from :func:`iova.lab.result_file.read_result`.

    Raises:
        InputError: they have no source and design in common.
    """
    now = stored(result_json(comparisons), "the result of now")
    then = _by_name(earlier.designs)
    pairs = [(then[name], runs) for name, runs in _by_name(now.designs).items() if name in then]
    if not pairs:
        raise InputError(
            earlier.file,
            "has no source and design in common with this comparison.",
            hint=f"It has: {_names(earlier.designs) or 'none'}.",
        )
    return Against(
        earlier.file,
        earlier.version,
        tuple(_change(old, new) for old, new in pairs),
        tuple(_notes(earlier, now, pairs)),
    )


def _by_name(designs: Sequence[StoredRuns]) -> dict[tuple[str, str], StoredRuns]:
    named: dict[tuple[str, str], StoredRuns] = {}
    for one in designs:
        named.setdefault((one.source, one.design), one)
    return named


def _names(designs: Sequence[StoredRuns], most: int = 8) -> str:
    names = [f"{one.source} under {one.design}" for one in designs]
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _change(earlier: StoredRuns, now: StoredRuns) -> DesignChange:
    known = set(earlier.metrics())
    metrics = [name for name in now.metrics() if name in known]
    is_replay = earlier.is_replay and now.is_replay
    p = {} if is_replay else _p_values(earlier, now, metrics)
    return DesignChange(
        now.source,
        now.design,
        len(earlier.runs),
        len(now.runs),
        is_replay,
        tuple(_one_change(earlier, now, name, p.get(name)) for name in metrics),
    )


def _one_change(earlier: StoredRuns, now: StoredRuns, name: str, p: float | None) -> Change:
    old, new = (mean_of([run[name] for run in runs.runs]) for runs in (earlier, now))
    return Change(name, old, new, 100 * (new - old) / abs(old) if old else None, p)


def _p_values(earlier: StoredRuns, now: StoredRuns, metrics: Sequence[str]) -> dict[str, float]:
    if len(earlier.runs) == len(now.runs) == 1:
        return {}
    tables = (
        np.array([[run[name] for name in metrics] for run in runs.runs], dtype=np.float64)
        for runs in (earlier, now)
    )
    return dict(zip(metrics, permutation_p(*tables).tolist(), strict=True))


def _notes(
    earlier: StoredResult, now: StoredResult, pairs: Sequence[tuple[StoredRuns, StoredRuns]]
) -> list[str]:
    notes = []
    if earlier.version != _core.VERSION:
        notes.append(f"It was made by iova {earlier.version}, this is {_core.VERSION}.")
    differing: dict[str, None] = {}
    for old, new in pairs:
        differing |= dict.fromkeys(_differences(new.source, old.circumstances, new.circumstances))
    notes += differing
    then, names = _by_name(earlier.designs), _by_name(now.designs)
    for told, mine, other in (("Only there", then, names), ("Only here", names, then)):
        alone = [one for name, one in mine.items() if name not in other]
        if alone:
            notes.append(f"{told}: {_names(alone)}.")
    return notes


def _differences(source: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    told = [
        f"{source}: other {what}: {old[what] or 'none'} then, {new[what] or 'none'} now."
        for what in ("settings", "domain", "CPUs")
        if old[what] != new[what]
    ]
    if old["prices"] != new["prices"]:
        told.append(f"{source}: other prices.")
    return told
