"""What starts ageing? Each suspect switched off in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Final

import altair as alt

from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import Job, Outcome, Page, Results, Simulated, Told, k, table

SEEDS: Final = (1, 2, 3)
FIXED: Final = "linux-6.1"
_DURATION_S: Final = 3.0
_INTERVALS: Final = 30
_BEFORE: Final = slice(0, 4)
_LATE: Final = slice(-6, None)
#: Below this share of the rate before, throughput has collapsed.
_COLLAPSED: Final = 0.5
_KEPT: Final = 0.9
#: Page frames below 4 GiB.
_BELOW_4_GIB: Final = 1 << 20

_UP_TO_32_KIB: Final = (
    "sizes=[{pages=1, weight=40}, {pages=2, weight=12}, {pages=4, weight=12}, {pages=8, weight=36}]"
)


@dataclass(frozen=True)
class Suspect:
    """One thing changed."""

    label: str
    settings: tuple[str, ...] = ()
    design: str = FIXED


AS_IT_IS: Final = Suspect("as it is")
#: Throughput stays when one of these alone is changed.
CURES: Final = (
    Suspect("strict mode", ("domain.*.mode=strict",)),
    Suspect("32 bits until a failure", ("limit_rule=32-until-failure",)),
    Suspect("one size, 4 KiB", ("sizes=1",)),
    Suspect("sizes up to 32 KiB", (_UP_TO_32_KIB,)),
    Suspect("128 CPUs, 8 complete", ("cpus=128",)),
    Suspect("magazines of 31", design=f"{FIXED},magazine=31"),
    Suspect("depot of 48", design=f"{FIXED},depot=48"),
    Suspect("unbounded depot", design="unbounded"),
    Suspect("tree with an index", design=f"{FIXED},tree=indexed"),
)
#: It still collapses, in one run at least.
NO_CURES: Final = (
    Suspect("no pauses", ("on_ms=0", "off_ms=0")),
    Suspect("one ring for all CPUs", ("domain.*.queue=single",)),
    Suspect("each CPU completes its own", ("complete_cpus=all",)),
    Suspect("16 ranges a hold", design=f"{FIXED},hold=16"),
    Suspect("strict, depot of 16", ("domain.*.mode=strict",), f"{FIXED},depot=16"),
)
_LEAVES_ROOM: Final = (
    "one size, 4 KiB", "sizes up to 32 KiB", "128 CPUs, 8 complete", "magazines of 31",
)  # fmt: skip
SUSPECTS: Final = (AS_IT_IS, *CURES, *NO_CURES)


def _run(suspect: Suspect, seed: int, quick: bool) -> Simulated:
    return Simulated(
        "ageing",
        suspect.design,
        (
            f"duration_s={_DURATION_S / 60 if quick else _DURATION_S}",
            "in_flight=3072",
            *suspect.settings,
        ),
        seed,
        samples=_INTERVALS,
        columns=("requests",),
    )


def _seeds(quick: bool) -> tuple[int, ...]:
    return SEEDS[:1] if quick else SEEDS


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [_run(suspect, seed, quick) for suspect in SUSPECTS for seed in _seeds(quick)]


# --------------------------------------------------------------------------- what a run showed


@dataclass(frozen=True)
class Aged:
    """Throughput of one run, interval by interval, and what the caches did."""

    outcome: Outcome
    until_s: tuple[float, ...]
    per_s: tuple[float, ...]

    @property
    def before_per_s(self) -> float:
        """Requests a second in the first intervals."""
        return max(self.per_s[_BEFORE])

    @property
    def late_per_s(self) -> float:
        """Requests a second in the last fifth."""
        return mean(self.per_s[_LATE])

    @property
    def collapsed_s(self) -> float | None:
        """When it first fell to less than half; None: never."""
        low = _COLLAPSED * self.before_per_s
        return next(
            (t for t, rate in zip(self.until_s, self.per_s, strict=True) if rate < low), None
        )


def aged(outcome: Outcome) -> Aged:
    """Rates from a time series of requests since the start."""
    t, requests = outcome.series["t"], outcome.series["requests"]
    rates = [
        (requests[i] - requests[i - 1]) / (t[i] - t[i - 1]) * 1e9
        for i in range(1, len(t))
        if t[i] > t[i - 1]
    ]
    ends = [t[i] / 1e9 for i in range(1, len(t)) if t[i] > t[i - 1]]
    return Aged(outcome, tuple(ends), tuple(rates))


def _all_aged(results: Results, quick: bool) -> dict[Suspect, list[Aged]]:
    return {
        suspect: [aged(results[_run(suspect, seed, quick)]) for seed in _seeds(quick)]
        for suspect in SUSPECTS
    }


def _collapses(runs: list[Aged]) -> list[float]:
    return [run.collapsed_s for run in runs if run.collapsed_s is not None]


def _most_cached(runs: list[Aged]) -> float:
    return max(run.outcome["cached_pages_peak"] for run in runs)


def _given_back(runs: list[Aged]) -> float:
    return sum(run.outcome["tree_frees"] for run in runs)


def _left_percent(runs: list[Aged]) -> float:
    return min(100 * run.late_per_s / run.before_per_s for run in runs)


# ------------------------------------------------------------------------------------ the page


def _spread(values: Sequence[float]) -> str:
    least, most = k(min(values)), k(max(values))
    return least if least == most else f"{least} to {most}"


def _row(suspect: Suspect, runs: list[Aged]) -> tuple[str, ...]:
    when = _collapses(runs)
    return (
        suspect.label,
        f"{len(when)} of {len(runs)}",
        ", ".join(f"{t:.1f}" for t in when),
        _spread([run.before_per_s for run in runs]),
        _spread([run.late_per_s for run in runs]),
        k(mean(run.outcome["cached_pages_peak"] for run in runs)),
        f"{mean(run.outcome['tree_frees'] for run in runs):,.0f}",
    )


def _picture(found: dict[Suspect, list[Aged]]) -> alt.TopLevelMixin:
    data = [
        {"what": suspect.label, "seed": seed, "t": t, "left": 100 * rate / run.before_per_s}
        for suspect, runs in found.items()
        for seed, run in zip(SEEDS, runs, strict=False)
        for t, rate in zip(run.until_s, run.per_s, strict=True)
    ]
    return (
        alt.Chart(alt.Data(values=data), width=175, height=75)
        .mark_line()
        .encode(
            x=alt.X("t:Q", title="s").axis(values=[0, 1, 2, 3], grid=False),
            y=alt.Y("left:Q", title="% left")
            .scale(domain=[0, 110], clamp=True)
            .axis(values=[0, 50, 100]),
            color=alt.Color("seed:N").legend(orient="top"),
            facet=alt.Facet("what:N", columns=3, title=None, sort=[one.label for one in found]),
        )
    )


def _claims(found: dict[Suspect, list[Aged]]) -> dict[str, bool]:
    by_label = {suspect.label: runs for suspect, runs in found.items()}
    base = found[AS_IT_IS]
    fails = {label: len(_collapses(runs)) for label, runs in by_label.items()}
    return {
        "as it is, every run collapses": fails[AS_IT_IS.label] == len(base),
        "caches outgrow 4 GiB": _most_cached(base) > _BELOW_4_GIB,
        **{
            f"{one.label}: no run collapses": fails[one.label] == 0
            and _left_percent(found[one]) >= 100 * _KEPT
            for one in CURES
        },
        **{f"{one.label}: a run collapses": fails[one.label] > 0 for one in NO_CURES},
        "fewer collapse without pauses": 0 < fails["no pauses"] < len(base),
        "without pauses only runs that give back collapse": all(
            (run.outcome["tree_frees"] > 0) == (run.collapsed_s is not None)
            for run in by_label["no pauses"]
        ),
        **{
            f"{label}: room is left below 4 GiB": _most_cached(by_label[label]) < _BELOW_4_GIB
            for label in _LEAVES_ROOM
        },
        **{
            f"{label}: nothing is given back": _given_back(by_label[label]) == 0
            for label in ("strict mode", "depot of 48", "unbounded depot")
        },
        **{
            f"{label}: ranges are given back": _given_back(by_label[label]) > 0
            for label in ("32 bits until a failure", "tree with an index", "magazines of 31")
        },
    }


def _tell(results: Results, quick: bool) -> Told:
    found = _all_aged(results, quick)
    base = found[AS_IT_IS]
    check_claims("ageing", _claims(found), quick)
    kept = min(_left_percent(found[suspect]) for suspect in CURES)
    without = len(_collapses(found[NO_CURES[0]]))
    left = [100 * run.late_per_s / run.before_per_s for run in base]
    return Told(
        answer=(
            "no single thing. Four have to meet: caches that fill the space below 4 GiB (many"
            " CPUs, magazines of 127 and sizes up to 128 KiB), requests that try that space first"
            " every time, a depot that overflows, and a tree in which a search in vain is a walk."
            f" Take any one away and at least {kept:.0f} % of the throughput are left, where"
            f" otherwise {min(left):.0f} to {max(left):.0f} % are. Lazy mode is what makes this"
            " depot overflow; with a smaller depot strict mode collapses as well. Pauses hasten it:"
            f" without them {without} of {len(base)} runs collapse in the same time. It needs"
            " neither completion on few CPUs nor a ring for each CPU."
        ),
        tables=[
            table(
                (
                    "changed",
                    "runs that collapsed",
                    "at, s",
                    "requests/s before",
                    "late",
                    "pages cached, peak",
                    "ranges given back",
                ),
                [_row(suspect, runs) for suspect, runs in found.items()],
            )
        ],
        picture=_picture(found),
        caption="Throughput in percent of what it was in the first moments, by what was changed.",
        why=(
            "Once the space below 4 GiB is full, a request that misses the caches and tries there"
            " first fails, and Linux remembers the size that failed, so that the next fails at"
            " once. A depot that overflows empties a magazine into the tree. If one of its ranges"
            " lies below 4 GiB the memory of the failure is gone, and the next misses walk all"
            " ranges under the tree's lock. What waits for them comes in lumps, lumps overflow the"
            " depot more, and that feeds itself: in these runs it does not end where few CPUs"
            " complete."
            "\n\n"
            "So each cure breaks one link, as the last two columns show. In strict mode, and with"
            " a depot of 48, nothing overflows; the unbounded depot never gives a range back on"
            " that path at all. With fewer CPUs, smaller magazines, smaller sizes or one size, what"
            f" is cached fits below 4 GiB ({_BELOW_4_GIB:,} pages), and a range that is given back"
            " is soon found. Newer kernels, which stop trying 32 bits after the first failure, do"
            " not look there; an index makes the walk short. Short holds of the lock do not help:"
            " it is the search that is long, not the giving back. Of the runs without pauses those"
            " collapse whose depot overflowed."
        ),
        guesses=(
            "Everything but the shape: 256 CPUs, 3 072 in flight (1 024 more than in the preset,"
            " so that 3 s are enough with each of three seeds; with 2 048 some seeds take longer),"
            " sizes, latencies. So which depot is large enough and how many CPUs are few enough"
            " hold for this load only. With three seeds, what collapses in none of them might"
            " collapse later or seldom."
        ),
        would_change=(
            "A trace of an ageing machine with the pages in use below 4 GiB. If these are not"
            " full when throughput falls, the cause is another."
        ),
    )


PAGE: Final = Page(
    name="ageing",
    question="What starts ageing?",
    asked=(
        "Reports of 2019 to 2021: with SAS controllers throughput falls over hours and does not"
        " recover, in lazy mode only, while what is cached grows. The diagnosis (January 2021)"
        " names pauses, in which the flush timer dumps all rings at once into a fixed depot that"
        " takes a tenth of them. The patches' unbounded depot is meant to cure it."
        "\n\n"
        "Run: the preset `ageing` under `linux-6.1` with 3 072 requests in flight, three seeds,"
        " one thing changed at a time. A run collapsed when its requests in a tenth of a second"
        " were less than half of those at the start."
    ),
    jobs=_jobs,
    tell=_tell,
)
