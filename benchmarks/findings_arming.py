"""Is arming on every push negligible, and why must the worker arm itself again?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import altair as alt

from benchmarks.findings_bursts import Bursts
from benchmarks.findings_claims import check_claims
from benchmarks.findings_drain import CPUS, Drained, Idle
from benchmarks.findings_frame import Job, Outcome, Page, Replayed, Results, Simulated, Told, table
from iova.lab.prices import load_prices
from iova.workloads import presets

LINUX: Final = "linux-6.12"
NOT_AGAIN: Final = "linux-6.12,rearm=0"
_TRACE: Final = "burst8-6.12"
_QUICK: Final = ("board-4", "scsi-256", "burst")
_SURPLUS: Final = 100
#: Below so many pushes in a run there is nothing to say about a preset.
_FEW: Final = 100
_BURSTS: Final = (16, 64)
_DEPTH: Final = 512


def _names(quick: bool) -> Sequence[str]:
    return _QUICK if quick else [one.name for one in presets()]


def _run(name: str, quick: bool) -> Simulated:
    return Simulated(name, LINUX, ("duration_s=0.3",) if quick else ())


def _bursts(quick: bool) -> tuple[int, ...]:
    return _BURSTS[:1] if quick else _BURSTS


def _jobs(quick: bool) -> Sequence[Job[object]]:
    both = (LINUX, NOT_AGAIN)
    return [
        *(_run(name, quick) for name in _names(quick)),
        *(Idle(_SURPLUS, design=design) for design in both),
        *(Replayed(_TRACE, design) for design in both),
        *(Bursts(c, _DEPTH, d) for c in _bursts(quick) for d in ("unbounded", *both)),
    ]


# ------------------------------------------------------------------------------- arming


def _dearest_s() -> float:
    """Seconds of a push that fetches a line from another node, and locks it, to arm."""
    prices = load_prices()
    return (prices.line_far + prices.lock) / 1e12


@dataclass(frozen=True)
class Armed:
    """What arming costs on a preset, at the most."""

    name: str
    outcome: Outcome

    @property
    def per_million(self) -> float:
        """Pushes in a million allocations and frees."""
        return 1e6 * self.outcome["pushed"] / self.outcome["operations"]

    @property
    def found_percent(self) -> float:
        """Of the pushes."""
        return 100 * self.outcome["found_armed"] / self.outcome["pushed"]

    @property
    def _per_s(self) -> float:
        seconds = self.outcome["operations"] / self.outcome["operations_per_s"]
        return self.outcome["pushed"] / seconds

    @property
    def of_calls_percent(self) -> float:
        """Of the time that callers spend in allocations and frees."""
        return 100 * self._per_s * _dearest_s() / self.outcome["callers_cpu_s_per_s"]

    @property
    def of_a_cpu_percent(self) -> float:
        """Of one CPU's time."""
        return 100 * self._per_s * _dearest_s()


def _armed_table(found: Sequence[Armed]) -> str:
    rows = [
        (
            f"`{one.name}`",
            f"{one.outcome['pushed']:,.0f}",
            f"{one.per_million:,.0f}",
            f"{one.outcome['armed']:,.0f}",
            f"{one.found_percent:.2f}",
            f"{one.of_calls_percent:.2f} %",
            f"{one.of_a_cpu_percent:.3f} %",
        )
        for one in found
    ]
    head = (
        "preset", "pushes", "in a million calls", "armed the job", "found it armed, %",
        "at most, of the calls' time", "of one CPU",
    )  # fmt: skip
    return table(head, rows)


# ------------------------------------------------------------------------------ arming again


def _again_table(results: Results, machines: Sequence[int]) -> str:
    idle = [results[Idle(_SURPLUS, design=design)].depot[-1] for design in (LINUX, NOT_AGAIN)]
    label = f"idle for an hour after {_SURPLUS} surplus magazines"
    rows = [(label, *(f"{length}" for length in (CPUS, CPUS + _SURPLUS, *idle)))]
    for cpus in machines:
        designs = ("unbounded", LINUX, NOT_AGAIN)
        left = [results[Bursts(cpus, _DEPTH, d)].quiet_depot for d in designs]
        label = f"a minute after a burst, {cpus} CPUs with {_DEPTH} each"
        rows.append((label, f"{cpus}", *(f"{depot:.0f}" for depot in left)))
    head = (
        "magazines in the longest depot", "threshold", "never drained", f"`{LINUX}`", "`rearm=0`",
    )  # fmt: skip
    return table(head, rows)


def _trace_table(results: Results) -> str:
    rows = []
    for design in (LINUX, NOT_AGAIN):
        one = results[Replayed(_TRACE, design)]
        rows.append((
            f"`{_TRACE}`, `{design}`",
            *(f"{one[name]:.0f}" for name in ("pushed", "armed", "found_armed", "reclaimed")),
            f"{one['cached_percent']:.2f}",
        ))  # fmt: skip
    head = ("replayed", "pushes", "armed", "found armed", "reclaimed", "cached, %")
    return table(head, rows)


def _points(design: str, drained: Drained) -> list[dict[str, object]]:
    return [
        {"design": design, "t": t_s, "depot": depot}
        for t_s, depot in zip(drained.times_s, drained.depot, strict=True)
        if t_s <= _SHOWN_S
    ] + [{"design": design, "t": _SHOWN_S, "depot": drained.depot[-1]}]


_SHOWN_S: Final = 15.0


def _picture(results: Results) -> alt.TopLevelMixin:
    labels = {LINUX: "arms itself again", NOT_AGAIN: "armed by pushes alone"}
    data = [
        point
        for design, label in labels.items()
        for point in _points(label, results[Idle(_SURPLUS, design=design)])
    ]
    return (
        alt.Chart(alt.Data(values=data), width=440, height=180)
        .mark_line()
        .encode(
            x=alt.X("t:Q", title="idle, s"),
            y=alt.Y("depot:Q", title="magazines in the depot"),
            color=alt.Color("design:N", title=None, sort=list(labels.values())).legend(
                orient="top"
            ),
        )
    )


# -------------------------------------------------------------------------------- the page


def _tell(results: Results, quick: bool) -> Told:
    runs = [Armed(name, results[_run(name, quick)]) for name in _names(quick)]
    found = [one for one in runs if one.outcome["pushed"] >= _FEW]
    shares = [one.of_calls_percent for one in found]
    worst = max(found, key=lambda one: one.of_calls_percent)
    most = max(found, key=lambda one: one.of_a_cpu_percent)
    often = max(found, key=lambda one: one.per_million)
    drained = {d: results[Idle(_SURPLUS, design=d)] for d in (LINUX, NOT_AGAIN)}
    again = [results[Replayed(_TRACE, design)] for design in (LINUX, NOT_AGAIN)]
    claims = {
        "at most one call in 200 pushes": often.per_million < 5000,
        "arming is a small part of the calls' time": median(shares) < 1 and max(shares) < 5,
        "arming is less than half a percent of a CPU": most.of_a_cpu_percent < 0.5,
        "armed again, the depot comes down to the threshold": drained[LINUX].depot[-1] == CPUS,
        "by pushes alone one magazine goes": drained[NOT_AGAIN].depot[-1] == CPUS + _SURPLUS - 1,
        "bursts leave the depot above the threshold": all(
            results[Bursts(c, _DEPTH, NOT_AGAIN)].quiet_depot
            > 2 * results[Bursts(c, _DEPTH, LINUX)].quiet_depot
            for c in _bursts(quick)
        ),
        "on the trace hardly fewer are reclaimed": again[1]["reclaimed"]
        > 0.8 * again[0]["reclaimed"],
    }
    check_claims("arming", claims, quick)
    return Told(
        answer=(
            f"arming on every push costs next to nothing: at most {often.per_million:,.0f} of a"
            " million allocations and frees push a magazine, and if each push fetched the job's"
            f" word from another node it would be {median(shares):.1f} % of the time that callers"
            f" spend in the allocator on half of the presets, {max(shares):.1f} % on the worst"
            f" (`{worst.name}`), and never more than {most.of_a_cpu_percent:.2f} % of one CPU. The"
            " worker has to arm itself because pushes end when the load does: without it, of"
            f" {_SURPLUS} surplus magazines {CPUS + _SURPLUS - drained[NOT_AGAIN].depot[-1]} goes"
            " and the others stay for as long as the machine is idle."
        ),
        tables=[_armed_table(found), _again_table(results, _bursts(quick)), _trace_table(results)],
        picture=_picture(results),
        caption=f"The depot of an idle machine, {_SURPLUS} magazines above its threshold at first.",
        why=(
            "A push is what a free does when both magazines of its CPU are full: at least 127"
            " frees of a CPU lie between two of its pushes. Under load nearly all find the job"
            " armed, which is a look at a word; the job is armed anew at most once in 100 ms and"
            " size class. The price in the table is a bound, not a measurement: the machine does"
            " not charge for arming, and the word may well lie beside the depot's lock, which was"
            " fetched already."
            "\n\n"
            "With `rearm=0` a run of the job frees one magazine and the next push arms it again."
            " While pushes come that is the same rate. When they end, one run is left; so the depot"
            " keeps what the last burst put there. On the recorded trace, whose bursts keep"
            f" pushing, {again[1]['reclaimed']:.0f} magazines are reclaimed instead of"
            f" {again[0]['reclaimed']:.0f}."
        ),
        guesses=(
            "The presets' loads; the price of a line from another node is a guess itself"
            " (`line_far`)."
        ),
        would_change=(
            "A kernel in which arming takes a lock that all CPUs share: `found armed` says how"
            " often it would be taken."
        ),
    )


PAGE: Final = Page(
    name="arming",
    question="Is arming on every push negligible, and why must the worker arm itself again?",
    asked=(
        "A reviewer asked why the job arms itself again when every push schedules it; the author"
        " answered that scheduling is cheap when the job is pending already, and that the job has"
        " to finish after the depot has gone idle (17 August 2023)."
        "\n\n"
        f"Run: every preset with at least {_FEW} pushes under `linux-6.12`, its counters; a replay"
        f" in which {_SURPLUS} magazines above the threshold lie in a depot and nothing happens"
        " for an hour; bursts of 5 ms a minute apart; the recorded trace. The last three with and"
        " without `rearm=0`."
    ),
    jobs=_jobs,
    tell=_tell,
)
