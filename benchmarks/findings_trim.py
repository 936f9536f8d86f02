"""Does trimming idle CPUs' magazines pay?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import altair as alt

from benchmarks.findings_bursts import Bursts
from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import (
    TRACES,
    Job,
    Outcome,
    Page,
    Replayed,
    Results,
    Simulated,
    Told,
    loss,
    rounded,
    signed,
    table,
)
from iova.workloads import presets

#: As trim, but for the trimming: it makes magazines at first use, too.
AGAINST: Final = "linux-7.3"
IDLE_MS: Final = (100, 1000, 10000)
#: The design's default.
_DEFAULT: Final = 1000
OURS: Final = "adaptive"
_QUICK: Final = ("burst", "migrate", "scsi-256")
#: CPUs that always have something to do.
BUSY: Final = ("ageing", "mixed-sizes", "nic-rx", "nvme-384", "sas-256", "scsi-256")
_CPUS, _DEPTH = 16, 256
_QUIET_S: Final = (3.0, 60.0)


def _trim(idle_ms: int) -> str:
    return f"trim,idle_ms={idle_ms}"


DESIGNS: Final = (AGAINST, *(_trim(idle) for idle in IDLE_MS), OURS)


def _names(quick: bool) -> Sequence[str]:
    return _QUICK if quick else [one.name for one in presets()]


def _run(source: str, design: str, quick: bool) -> Job[Outcome]:
    # Named as other pages name it, so that it is run once for all.
    design = "trim" if design == _trim(_DEFAULT) else design
    if source in TRACES:
        return Replayed(TRACES[source], design)
    return Simulated(source, design, ("duration_s=0.3",) if quick else ())


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [
        *(
            _run(source, design, quick)
            for source in (*_names(quick), *TRACES)
            for design in DESIGNS
        ),
        *(Bursts(_CPUS, _DEPTH, design, quiet) for design in DESIGNS for quiet in _QUIET_S),
    ]


@dataclass(frozen=True)
class Change:
    """What a design changes on one source."""

    waste: float  #: ratio
    hits: float  #: points
    requests: float  #: percent; of a trace: 0


def _change(results: Results, source: str, design: str, quick: bool) -> Change:
    ours, base = (results[_run(source, one, quick)] for one in (design, AGAINST))
    simulated = "requests_per_s" in ours.metrics
    return Change(
        ours["waste"] / base["waste"],
        ours["cached_percent"] - base["cached_percent"],
        -loss(ours["requests_per_s"], base["requests_per_s"]) if simulated else 0.0,
    )


Changes = dict[tuple[str, str], Change]


def _sources_table(results: Results, changes: Changes, quick: bool) -> str:
    sources = list(dict.fromkeys(source for source, _ in changes))
    rows = [
        (
            f"`{source}`",
            f"{results[_run(source, AGAINST, quick)]['waste']:.2f}",
            *(
                f"{changes[source, design].waste:.2f} ({signed(changes[source, design].hits, 1)})"
                for design in DESIGNS[1:]
            ),
        )
        for source in sources
    ]
    head = (
        "waste, ratio (hits, points)", f"waste, `{AGAINST}`",
        *(f"idle {idle:,} ms" for idle in IDLE_MS), f"`{OURS}`",
    )  # fmt: skip
    return table(head, rows)


def _bursts_table(results: Results) -> str:
    rows = []
    for quiet in _QUIET_S:
        for design in DESIGNS:
            one = results[Bursts(_CPUS, _DEPTH, design, quiet)]
            label = f"bursts, {quiet:g} s between, `{design}`"
            rows.append((label, f"{one.quiet_pages:,.0f}", f"{one.cached_percent:.1f}",
                         f"{one.requests:,.0f}"))  # fmt: skip
    head = ("16 CPUs, 256 in flight on each", "pages cached in the quiet", "cached, %",
            "requests in a burst")  # fmt: skip
    return table(head, rows)


def _picture(changes: Changes) -> alt.TopLevelMixin:
    labels = {_trim(idle): f"idle {idle:,} ms" for idle in IDLE_MS} | {OURS: OURS}
    data = [
        {"source": source, "design": labels[design], "waste": one.waste, "hits": one.hits}
        for (source, design), one in changes.items()
    ]
    return (
        alt.Chart(alt.Data(values=data), width=430, height=240)
        .mark_point(filled=True, size=60, opacity=0.7)
        .encode(
            x=alt.X("waste:Q", title=f"waste / waste of {AGAINST}").scale(type="log"),
            y=alt.Y("hits:Q", title="hits, points more").scale(type="symlog", constant=1)
            .axis(values=[-30, -10, -3, -1, 0, 1, 3, 10]),
            color=alt.Color("design:N", title=None, sort=list(labels.values())),
        )
    )  # fmt: skip


def _claims(results: Results, changes: Changes) -> dict[str, bool]:
    by_default = {s: one for (s, design), one in changes.items() if design == _trim(_DEFAULT)}
    early = {s: one for (s, design), one in changes.items() if design == _trim(IDLE_MS[0])}
    quiet = _QUIET_S[-1]
    base, trimmed = (results[Bursts(_CPUS, _DEPTH, d, quiet)] for d in (AGAINST, _trim(_DEFAULT)))
    return {
        "nothing to trim on busy CPUs": all(
            abs(by_default[name].waste - 1) < 0.05 and abs(by_default[name].hits) < 0.1
            for name in BUSY
        ),
        "the traces have idle CPUs": all(by_default[name].waste < 0.8 for name in TRACES),
        "early trimming costs the bundled trace many hits": early["burst8-6.12"].hits < -10,
        "requests are no fewer": all(one.requests > -0.5 for one in by_default.values()),
        "a slow-ageing machine gains hits": by_default["slow-ageing"].hits > 1,
        "less is kept over a minute": trimmed.quiet_pages < 0.8 * base.quiet_pages,
        "which the next burst pays": trimmed.cached_percent < base.cached_percent - 3,
    }


def _tell(results: Results, quick: bool) -> Told:
    changes = {
        (source, design): _change(results, source, design, quick)
        for source in (*_names(quick), *TRACES)
        for design in DESIGNS[1:]
    }
    if not quick:
        check_claims("trim", _claims(results, changes), quick)
    first, *_ = TRACES
    early, default, late = (changes[first, _trim(idle)] for idle in IDLE_MS)
    ours = changes[first, OURS]
    quiet = _QUIET_S[-1]
    base, trimmed, own = (
        results[Bursts(_CPUS, _DEPTH, d, quiet)] for d in (AGAINST, _trim(_DEFAULT), OURS)
    )
    traces = [changes[name, _trim(_DEFAULT)] for name in TRACES]
    return Told(
        answer=(
            "where CPUs fall idle, and only there. On the recorded traces, with an idle time of"
            f" 1 s, {rounded(100 * min(one.waste for one in traces), 0)} to"
            f" {rounded(100 * max(one.waste for one in traces), 0)} % of the waste are left and"
            f" hits change by {signed(min(one.hits for one in traces), 1)} to"
            f" {signed(max(one.hits for one in traces), 1)} points. On presets whose CPUs are"
            " always busy nothing changes, whatever they waste. The price of a wrong idle time is"
            f" high: at {IDLE_MS[0]} ms `{first}` keeps {100 * early.waste:.0f} % of the waste and"
            f" loses {-early.hits:.0f} points of hits. What trims by demand does better"
            f" there: `{OURS}` keeps {100 * ours.waste:.0f} %, with hits"
            f" {signed(ours.hits, 1)} points."
        ),
        tables=[_sources_table(results, changes, quick), _bursts_table(results)],
        picture=_picture(changes),
        caption="What trimming does to waste and hits: each point is a preset or a trace.",
        why=(
            "Most of what is cached lies on CPUs, not in depots, so a threshold on the depot can"
            " not give it back; trimming can. But a magazine that is given back is cut from the"
            " tree again when its CPU wakes up. An idle time shorter than the gap between bursts"
            " takes what the next burst wants:"
            f" after a minute of quiet `trim` holds {trimmed.quiet_pages:,.0f} pages instead of"
            f" {base.quiet_pages:,.0f} (full magazines of idle CPUs go to the depot, which keeps as"
            " many as its threshold says), and in the burst that follows"
            f" {trimmed.cached_percent:.0f} % are hits instead of {base.cached_percent:.0f} %;"
            f" `{OURS}` holds {own.quiet_pages:,.0f} pages, and {own.cached_percent:.0f} % are"
            f" hits."
            f" On `{first}` an idle time of {IDLE_MS[-1]:,} ms keeps {100 * late.waste:.0f} % of"
            f" the waste and costs {-late.hits:.1f} points, one of {_DEFAULT:,} ms"
            f" {100 * default.waste:.0f} % and {-default.hits:.1f}."
            "\n\n"
            "Where submitters move on and leave filled magazines behind (`slow-ageing`), what one"
            " CPU gives back another can use: hits grow. With an idle time below the time for"
            " which they are away (`migrate`, 100 ms) they find nothing when they come back."
        ),
        guesses=(
            "Idle times of presets are guesses, and presets last seconds: an idle time of 10 s is"
            " longer than most of them. The traces are of small virtual machines. After Zhen Lei's"
            " proposal of 2019 only in part: his would cut the magazines of CPUs that are less"
            " busy, too."
        ),
        would_change=(
            "How long CPUs of a real machine make no call of a size, beside how long they then"
            " make many: `iova compare TRACE --design trim,idle_ms=...` tells for a trace."
        ),
    )


PAGE: Final = Page(
    name="trim",
    question="Does trimming idle CPUs' caches pay?",
    asked=(
        "A reviewer hoped for reclaim that also trims per-CPU caches that are not in use, which"
        " Zhen Lei had proposed in 2019 (15 August 2023)."
        "\n\n"
        f"Run: every preset and the recorded traces under `trim` with several idle times, against"
        f" `{AGAINST}`, which also makes magazines at first use; bursts of 5 ms, 3 s and a minute"
        " apart; and `adaptive`, which finds its idle times itself."
    ),
    jobs=_jobs,
    tell=_tell,
)
