"""Figures of interleaved rounds, and how they are told."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Series:
    """One contender under one pattern: one value for each round."""

    pattern: str
    contender: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile."""
        if len(self.values) < 2:
            return (self.values[0], self.values[0])
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (low, high)

    def over(self, peer: Series) -> float:
        """Median of the ratios to the peer, round by round."""
        pairs = zip(self.values, peer.values, strict=True)
        return statistics.median(own / other for own, other in pairs)


@dataclass(frozen=True)
class Verdict:
    """A goal, and what was measured."""

    goal: str
    measured: float
    met: bool


@dataclass(frozen=True)
class Report:
    """What one benchmark found."""

    name: str
    series: tuple[Series, ...]
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def find(self, pattern: str, contender: str) -> Series:
        """The series of a contender under a pattern; KeyError if it was not measured."""
        for one in self.series:
            if (one.pattern, one.contender) == (pattern, contender):
                return one
        raise KeyError((pattern, contender))

    def ratio(self, one: Series, peers: Sequence[str]) -> float | None:
        """Of a series to the first of ``peers`` that has its pattern; None for a peer itself."""
        for peer in peers:
            if peer == one.contender:
                return None
            try:
                other = self.find(one.pattern, peer)
            except KeyError:
                continue
            if len(other.values) == len(one.values):
                return one.over(other)
        return None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def at_most(goal: str, measured: float, limit: float) -> Verdict:
    """A goal that is met below a limit."""
    return Verdict(f"{goal} at most {limit:g}", measured, measured <= limit)


def at_least(goal: str, measured: float, limit: float) -> Verdict:
    """A goal that is met above a limit."""
    return Verdict(f"{goal} at least {limit:g}", measured, measured >= limit)


def collect(rows: Iterable[dict[str, Any]], unit: str, prefix: str = "") -> tuple[Series, ...]:
    """Series of the lines that a C program printed, in the order of their first line."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        key = (prefix + row["pattern"], row["contender"])
        values.setdefault(key, []).append(row["value"])
    return tuple(Series(pattern, who, unit, tuple(v)) for (pattern, who), v in values.items())


def table(report: Report, peer_of: Sequence[str] = ()) -> str:
    """A table of the series; the ratio is to the first of ``peer_of`` with the same pattern."""
    width = max((len(f"{s.pattern}: {s.contender}") for s in report.series), default=0)
    head = f"{'':<{width}}  {'median':>10} {'quartiles':>21}  {'ratio':>7}"
    lines = [report.name, "=" * len(report.name), head]
    for one in report.series:
        low, high = one.quartiles
        label = f"{one.pattern}: {one.contender}"
        found = report.ratio(one, peer_of)
        ratio = "" if found is None else f"{found:.2f}"
        lines.append(
            f"{label:<{width}}  {one.median:>10.2f} {low:>10.2f}-{high:<10.2f}  {ratio:>7}"
            f"  {one.unit}"
        )
    for verdict in report.verdicts:
        told = "met" if verdict.met else "NOT MET"
        lines.append(f"goal: {verdict.goal}: {verdict.measured:.2f}, {told}")
    lines.extend(f"note: {note}" for note in report.notes)
    return "\n".join(lines)
