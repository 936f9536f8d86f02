"""Free the full magazine, or bail out?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt

from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import (
    Job,
    Outcome,
    Page,
    Results,
    Simulated,
    Told,
    k,
    loss,
    rounded,
    signed,
    table,
)

EMPTIES: Final = "linux-6.1"
BAILS: Final = "bail"
DESIGNS: Final = (EMPTIES, BAILS, "unbounded")
#: Presets in which a depot of 32 magazines overflows.
OVERFLOW: Final = ("ageing", "nvme-384", "sas-256", "slow-ageing", "small-depot", "timer-storm")
_QUICK: Final = ("nvme-384", "slow-ageing", "small-depot")
#: Where misses walk far, so that who holds the tree's lock searches.
_WALKS: Final = ("ageing", "sas-256")
#: Strict mode: who frees waits for it.
_STRICT: Final = ("slow-ageing", "small-depot")
SEEDS: Final = (1, 2, 3)
_SAME: Final = 0.5  # of requests, percent


def _runs(name: str, design: str, quick: bool) -> list[Job[Outcome]]:
    short = ("duration_s=0.3",) if quick and name not in _STRICT else ()
    return [Simulated(name, design, short, seed) for seed in (SEEDS[:1] if quick else SEEDS)]


def _names(quick: bool) -> Sequence[str]:
    return _QUICK if quick else OVERFLOW


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [
        run for name in _names(quick) for design in DESIGNS for run in _runs(name, design, quick)
    ]


class _Means:
    """Means over the seeds."""

    def __init__(self, results: Results, quick: bool) -> None:
        self._results, self._quick = results, quick

    def of(self, name: str, design: str, metric: str) -> float:
        return self._results.mean(_runs(name, design, self._quick), metric)

    def greatest(self, name: str, design: str, metric: str) -> float:
        return self._results.range(_runs(name, design, self._quick), metric)[1]

    def requests(self, name: str) -> float:
        """Percent more of them where it bails out."""
        rates = (self.of(name, design, "requests_per_s") for design in (BAILS, EMPTIES))
        return -loss(*rates)

    def range(self, name: str, design: str, metric: str) -> tuple[float, float]:
        return self._results.range(_runs(name, design, self._quick), metric)


def _counts_table(means: _Means, names: Sequence[str]) -> str:
    def row(name: str) -> tuple[str, ...]:
        given = [means.of(name, design, "tree_frees") for design in DESIGNS[:2]]
        hits = [means.of(name, design, "cached_percent") for design in DESIGNS]
        return (
            f"`{name}`",
            *(k(means.of(name, design, "requests_per_s")) for design in DESIGNS),
            signed(means.requests(name), 1),
            *(f"{share:.2f}" for share in hits),
            *(f"{count:,.0f}" for count in given),
        )

    head = (
        "depot overflows", "requests/s: empties", "bails out", "unbounded", "bails out, %",
        "cached %: empties", "bails out ", "unbounded ", "ranges to the tree: empties",
        "bails out  ",
    )  # fmt: skip
    return table(head, [row(name) for name in names])


def _times_table(means: _Means, names: Sequence[str]) -> str:
    def row(name: str) -> tuple[str, ...]:
        both = (EMPTIES, BAILS)
        return (
            f"`{name}`",
            *(f"{means.greatest(name, d, 'longest_tree_hold_ns') / 1000:,.2f} us" for d in both),
            *(f"{means.of(name, d, 'free_p99_ns'):,.0f} ns" for d in both),
            *(f"{means.of(name, d, 'free_p999_ns') / 1000:,.1f} us" for d in both),
            *(f"{means.of(name, d, 'callers_cpu_s_per_s'):.3f}" for d in both),
        )

    columns = ("longest hold, tree", "99 % of frees", "99.9 %", "callers' CPU s/s")
    head = ("times", *(f"{c}: {what}" for c in columns for what in ("empties", "bails out")))
    return table(head, [row(name) for name in names])


def _picture(means: _Means, names: Sequence[str]) -> alt.TopLevelMixin:
    labels = {EMPTIES: "empties a magazine", BAILS: "bails out", "unbounded": "unbounded depot"}
    measures = {"free_p99_ns": "99 % of frees", "free_p999_ns": "99.9 % of frees",
                "longest_tree_hold_ns": "longest hold of the tree's lock"}  # fmt: skip
    data = [
        {"preset": name, "design": labels[design], "what": title,
         "ns": means.of(name, design, metric)}
        for name in names
        for design in DESIGNS
        for metric, title in measures.items()
    ]  # fmt: skip
    return (
        alt.Chart(alt.Data(values=data), width=165, height=18 * len(names))
        .mark_point(filled=True, size=55, opacity=0.8)
        .encode(
            x=alt.X("ns:Q", title="ns").scale(type="log").axis(format="~s", tickCount=4),
            y=alt.Y("preset:N", title=None, sort=list(names)).axis(grid=True),
            color=alt.Color("design:N", title=None, sort=list(labels.values())).legend(
                orient="top"
            ),
            column=alt.Column("what:N", title=None, sort=list(measures.values())),
        )
    )


def _claims(means: _Means) -> dict[str, bool]:
    def ratio(name: str, metric: str) -> float:
        return means.of(name, BAILS, metric) / means.of(name, EMPTIES, metric)

    return {
        "nowhere more requests": all(means.requests(name) < _SAME for name in OVERFLOW),
        "fewer where misses walk": all(means.requests(name) < -5 for name in _WALKS),
        "as many where the load is given": all(
            abs(means.requests(name)) < _SAME for name in (*_STRICT, "timer-storm")
        ),
        "strict: more hits": all(
            means.of(name, BAILS, "cached_percent") > means.of(name, EMPTIES, "cached_percent") + 1
            for name in _STRICT
        ),
        "strict: fewer ranges to the tree": all(ratio(one, "tree_frees") < 1 for one in _STRICT),
        "strict: the common free is slower": all(ratio(one, "free_p99_ns") > 20 for one in _STRICT),
        "strict: the rare free is faster": all(ratio(one, "free_p999_ns") < 0.2 for one in _STRICT),
        "strict: more CPU time": all(ratio(one, "callers_cpu_s_per_s") > 1 for one in _STRICT),
        "the hold is shorter where it is a magazine": ratio("small-depot", "longest_tree_hold_ns")
        < 0.1,
        "the unbounded depot beats both": all(
            means.of(name, "unbounded", "cached_percent")
            > max(means.of(name, design, "cached_percent") for design in (EMPTIES, BAILS))
            for name in OVERFLOW
        ),
    }


def _tell(results: Results, quick: bool) -> Told:
    names, means = _names(quick), _Means(results, quick)
    if not quick:
        check_claims("bail", _claims(means), quick)

    def pair(name: str, metric: str, scale: float, digits: int) -> str:
        values = (means.of(name, design, metric) / scale for design in (EMPTIES, BAILS))
        return " to ".join(rounded(value, digits) for value in values)

    walks = [-means.requests(name) for name in _WALKS if name in names] or [0.0]
    spread = [
        " to ".join(k(v) for v in means.range(name, design, "requests_per_s"))
        for name in ([n for n in _WALKS if n in names] or names[:2])
        for design in (EMPTIES, BAILS)
    ]
    hold = pair("small-depot", "longest_tree_hold_ns", 1000, 2)
    return Told(
        answer=(
            "free the magazine. Bailing out does what it promises, it shortens the rare long free"
            f" and the hold of the tree's lock (`small-depot`: {hold} us), but from then on every"
            " free of that CPU goes to the tree, not one in 127: the 99th percentile of a free"
            f" goes from {pair('small-depot', 'free_p99_ns', 1, 0)} ns. It gives no preset more"
            " throughput, and where misses walk far it costs"
            f" {min(walks):.0f} to {max(walks):.0f} % of the requests. With an unbounded depot"
            " there is nothing to choose: no magazine has to go, and hits are more than with"
            " either."
        ),
        tables=[_counts_table(means, names), _times_table(means, names)],
        picture=_picture(means, names),
        caption="Times of frees and of the longest hold of the tree's lock; means over the seeds.",
        why=(
            "Emptying a magazine is one long free, and room for 127 that follow. Bailing out is a"
            " short free, and the next one finds the same full magazines, until the CPU allocates."
            " So in strict mode (`slow-ageing`, `small-depot`) the slow free comes often instead"
            " of seldom. It saves the tree some work, because a magazine stays that an allocation"
            " can use: hits go from"
            f" {pair('slow-ageing', 'cached_percent', 1, 1)} % and"
            f" {pair('small-depot', 'cached_percent', 1, 1)} %. But each visit pays the lock and"
            " its line for a single range, so the callers' CPU time still grows."
            "\n\n"
            "Inferred, not measured: in lazy mode a ring or the timer frees many in a row on one"
            " CPU. Where at the same time misses walk the tree (`ageing`, `sas-256`), every one of"
            " these frees waits for a walk, and completions wait behind them; emptying a magazine"
            " waits once for 127."
        ),
        guesses=(
            "Loads whose depots overflow: all of them are presets that show a fault, or SAS"
            " controllers on kernels that try 32 bits first. There the loss differs from seed to"
            f" seed; requests a second over the three, emptying and bailing out: {spread[0]} and"
            f" {spread[1]} (`ageing`), {spread[2]} and {spread[3]} (`sas-256`)."
        ),
        would_change=(
            "A workload in which a free must never be long and the depot must be bounded: a"
            " real-time driver, say. Or a tree in which a removal needs no lock."
        ),
    )


PAGE: Final = Page(
    name="bail",
    question="Free the full magazine, or bail out?",
    asked=(
        "A reviewer asked why, when the depot and both magazines are full, a magazine was emptied"
        " and a new one made, instead of refusing the insert and bailing out; the author believed"
        " that it kept the flow through the critical section simple and the time under the lock"
        " short (21 August 2023)."
        "\n\n"
        "Run: the presets in which a depot of 32 magazines overflows, under `linux-6.1`, which"
        " empties the magazine, `bail`, which sends the one range to the tree, and `unbounded`;"
        " three seeds, means."
    ),
    jobs=_jobs,
    tell=_tell,
)
