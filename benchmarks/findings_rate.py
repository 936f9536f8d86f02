"""Which rate: how fast should a depot that is too long be drained?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import altair as alt

from benchmarks.findings_bursts import Bursts, BurstsSeen
from benchmarks.findings_claims import check_claims
from benchmarks.findings_drain import Idle
from benchmarks.findings_frame import (
    Job,
    Outcome,
    Page,
    Replayed,
    Results,
    Told,
    rounded,
    table,
)

#: CPUs, each with so many requests in flight during a burst.
MACHINES: Final = (16, 64)
_SMALL: Final = (2, 4)  # to see that it works
_DEPTH: Final = 512
QUIET_S: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_SURPLUS: Final = 1000
_REPORTED: Final = 10_000
_TRACE: Final = "burst8-6.12"
#: Points of hits by which two settings may differ and be called the same.
_SAME: Final = 0.2


@dataclass(frozen=True)
class Rate:
    """How many magazines of a size class go, how often."""

    delay_ms: int
    batch: int = 1

    @property
    def per_s(self) -> float:
        """Magazines of a size class in a second."""
        return 1000 * self.batch / self.delay_ms

    @property
    def design(self) -> str:
        """Both patches at this rate."""
        return f"linux-6.12,delay_ms={self.delay_ms},batch={self.batch}"

    @property
    def label(self) -> str:
        """What its row is called."""
        return f"{self.per_s:g}/s: {self.batch} every {self.delay_ms} ms"


LINUX: Final = Rate(100)
SLOW: Final = Rate(1000)
FAST: Final = Rate(10)
FASTEST: Final = Rate(10, 10)
LUMPS: Final = Rate(1000, 100)
RATES: Final = (SLOW, LINUX, FAST, LUMPS, FASTEST)


def _machines(quick: bool) -> tuple[int, ...]:
    return _SMALL if quick else MACHINES


def _jobs(quick: bool) -> Sequence[Job[object]]:
    designs = ["unbounded", *(rate.design for rate in RATES)]
    return [
        *(Bursts(c, _DEPTH, d, q) for c in _machines(quick) for q in QUIET_S for d in designs),
        *(Idle(_SURPLUS, design=rate.design) for rate in RATES),
        *(Replayed(_TRACE, rate.design) for rate in RATES),
    ]


class _Seen:
    """What the runs showed, by rate."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def burst(self, cpus: int, rate: Rate, quiet_s: float) -> BurstsSeen:
        return self._results[Bursts(cpus, _DEPTH, rate.design, quiet_s)]

    def lost(self, cpus: int, rate: Rate, quiet_s: float) -> float:
        """Points of hits."""
        best = self._results[Bursts(cpus, _DEPTH, "unbounded", quiet_s)]
        return best.cached_percent - self.burst(cpus, rate, quiet_s).cached_percent

    def surplus(self, cpus: int) -> float:
        """Magazines above the threshold in the longest depot, before anything is drained."""
        return self._results[Bursts(cpus, _DEPTH, "unbounded", QUIET_S[0])].quiet_depot - cpus

    def drain_s(self, rate: Rate) -> float:
        return self._results[Idle(_SURPLUS, design=rate.design)].seconds()

    def trace(self, rate: Rate) -> Outcome:
        return self._results[Replayed(_TRACE, rate.design)]


def _bursts_table(seen: _Seen, machines: Sequence[int]) -> str:
    rows = [
        (f"{cpus} CPUs, {rate.label}", *(rounded(seen.lost(cpus, rate, q), 1) for q in QUIET_S))
        for cpus in machines
        for rate in RATES
    ]
    return table(("hits lost, points, after a quiet of", *(f"{q:g} s" for q in QUIET_S)), rows)


def _rates_table(seen: _Seen, cpus: int) -> str:
    rows = []
    for rate in RATES:
        outcome, trace = seen.burst(cpus, rate, QUIET_S[-1]).outcome, seen.trace(rate)
        rows.append((
            rate.label,
            f"{seen.drain_s(rate):,.0f} s",
            f"{outcome['longest_tree_hold_ns'] / 1000:.1f} us",
            f"{outcome['longest_reclaim_ns'] / 1000:.0f} us",
            f"{trace['cached_percent']:.2f}",
            f"{trace['waste']:.2f}",
        ))  # fmt: skip
    head = (
        "rate of a size class", f"{_SURPLUS:,} surplus magazines last", "longest hold, tree",
        "longest run of the job", f"`{_TRACE}`: cached, %", "waste",
    )  # fmt: skip
    return table(head, rows)


def _picture(seen: _Seen, machines: Sequence[int]) -> alt.TopLevelMixin:
    data = [
        {"machine": f"{c} CPUs", "rate": rate.label, "quiet": q, "lost": seen.lost(c, rate, q)}
        for c in machines
        for rate in RATES
        for q in QUIET_S
    ]
    return (
        alt.Chart(alt.Data(values=data), width=240, height=170)
        .mark_line(point=True)
        .encode(
            x=alt.X("quiet:Q", title="quiet between bursts, s")
            .scale(type="log")
            .axis(values=list(QUIET_S), grid=False),
            y=alt.Y("lost:Q", title="hits lost, points"),
            color=alt.Color("rate:N", title=None, sort=[rate.label for rate in RATES]),
            column=alt.Column("machine:N", title=None, sort=[f"{c} CPUs" for c in machines]),
        )
    )


def _claims(seen: _Seen, machines: Sequence[int]) -> dict[str, bool]:
    *_, long = QUIET_S

    def same(one: float, other: float) -> bool:
        return abs(one - other) <= _SAME

    holds = [seen.burst(machines[0], r, long).outcome["longest_tree_hold_ns"] for r in RATES]
    wastes = [seen.trace(rate)["waste"] for rate in RATES]
    return {
        "after the longest quiet all rates lose the same": all(
            same(seen.lost(c, rate, long), seen.lost(c, LINUX, long))
            for c in machines
            for rate in RATES
        ),
        "a slower rate loses nothing after a second": all(
            seen.lost(c, SLOW, 1.0) < 1 for c in machines
        ),
        "ten times the rate loses after a tenth of the quiet what Linux's does": all(
            same(seen.lost(c, FAST, q / 10), seen.lost(c, LINUX, q))
            for c in machines
            for q in (3.0, 10.0)
        ),
        "the hold of the tree's lock does not depend on the rate": max(holds) < 1.01 * min(holds),
        "on the trace the rate hardly moves the waste": max(wastes) < 1.05 * min(wastes),
        "on the trace faster rates cost hits": seen.trace(FASTEST)["cached_percent"]
        < seen.trace(LINUX)["cached_percent"] - 0.5
        < seen.trace(SLOW)["cached_percent"] - 0.5,
    }


def _tell(results: Results, quick: bool) -> Told:
    seen, machines = _Seen(results), _machines(quick)
    check_claims("rate", _claims(seen, machines), quick)
    first = machines[0]

    def lost(rate: Rate, quiet_s: float) -> str:
        return " and ".join(rounded(seen.lost(cpus, rate, quiet_s), 1) for cpus in machines[-1:])

    job = {rate: seen.burst(first, rate, QUIET_S[-1]).outcome for rate in (LINUX, FASTEST)}
    traces = {rate: seen.trace(rate) for rate in RATES}
    return Told(
        answer=(
            "the rate only says how long a surplus stays: surplus / rate. A burst that comes back"
            " sooner finds part of it, one that comes later finds the threshold, at any rate. On"
            f" {machines[-1]} CPUs with {_DEPTH} in flight on each Linux's {LINUX.per_s:g} a second"
            f" cost {lost(LINUX, 1.0)} points of hits after a quiet of 1 s and {lost(LINUX, 10.0)}"
            f" after 10 s; {SLOW.per_s:g} a second would cost {lost(SLOW, 1.0)} and"
            f" {lost(SLOW, 10.0)}, {FAST.per_s:g} a second {lost(FAST, 1.0)} and"
            f" {lost(FAST, 10.0)}. So a rate is right for one surplus and one quiet: Linux's for a"
            " few dozen magazines and a few seconds. For large surpluses it is slow:"
            f" {_SURPLUS:,} magazines last {seen.drain_s(LINUX):,.0f} s."
        ),
        tables=[_bursts_table(seen, machines), _rates_table(seen, first)],
        picture=_picture(seen, machines),
        caption="Hits lost in a burst after a quiet, against a depot that is never drained.",
        why=(
            "At the end of a burst the longest depot holds"
            f" {' and '.join(f'{seen.surplus(cpus):.0f}' for cpus in machines)} magazines more than"
            f" the threshold on {' and '.join(map(str, machines))} CPUs. Each second takes as many"
            " as the rate says, so ten times the rate loses after a tenth of the quiet what"
            " Linux's loses, and from surplus / rate on nothing more is lost, at any rate."
            "\n\n"
            "Many at once are no longer hold of the tree's lock: every magazine is emptied under"
            " its own. They are a longer run of the job, which keeps a CPU busy:"
            f" {job[LINUX]['longest_reclaim_ns'] / 1000:.0f} us at Linux's rate,"
            f" {job[FASTEST]['longest_reclaim_ns'] / 1000:.0f} us where"
            f" {FASTEST.batch} go in a run."
            "\n\n"
            "On the recorded trace a tenth of the rate keeps"
            f" {traces[SLOW]['cached_percent'] - traces[LINUX]['cached_percent']:.1f} points of"
            f" hits, a hundred times Linux's rate loses"
            f" {traces[LINUX]['cached_percent'] - traces[FASTEST]['cached_percent']:.1f}; the waste"
            f" moves from {min(o['waste'] for o in traces.values()):.2f} to"
            f" {max(o['waste'] for o in traces.values()):.2f} only, as most of what is cached lies"
            " on CPUs."
        ),
        guesses=(
            "The preset's sizes, latency and bursts of 5 ms. That all bursts are alike: then the"
            " surplus of each is wanted by the next, and any draining is a loss. Where a burst does"
            f" not come back, a faster rate would have saved memory: {_REPORTED:,} surplus"
            f" magazines of 4 KiB ranges are {_REPORTED * 127 / 2**18:.1f} GiB of address space."
        ),
        would_change=(
            "Gaps between bursts of real workloads, and what their depots hold after them. A"
            " design that watches what comes back needs no rate: see [adaptive.md](adaptive.md)."
        ),
    )


PAGE: Final = Page(
    name="rate",
    question="Which rate?",
    asked=(
        "The merged design frees one magazine of a size class every 100 ms while its depot is"
        " longer than the threshold; its author called the rate chosen fairly arbitrarily, and"
        " slow on purpose, so that bursty workloads that release much and soon want it again are"
        " not disturbed (17 August 2023)."
        "\n\n"
        f"Run: the preset `burst`, with {_DEPTH} requests in flight on each CPU, bursts of 5 ms and"
        " quiets of different lengths, under `linux-6.12` with other rates; a replay in which"
        f" {_SURPLUS:,} magazines above the threshold lie in one depot and nothing happens but"
        " reclaim; and the recorded trace. Hits lost are those against `unbounded`."
    ),
    jobs=_jobs,
    tell=_tell,
)
