"""Patch one alone, and both patches: at least no worse than the fixed depot?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import altair as alt

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
    k,
    loss,
    signed,
    table,
)
from iova.workloads import presets

FIXED: Final = "linux-6.1"
#: What each design is, in the discussion's words.
PATCHES: Final = {"unbounded": "patch one", "linux-6.12": "both patches"}
DESIGNS: Final = (FIXED, *PATCHES)
SEEDS: Final = (1, 2, 3)
_QUICK: Final = ("board-4", "scsi-256", "burst")
BOARD: Final = "board-4"
_LATEST: Final = "linux-7.3"
#: What is lost is a loss if it is more than this: of requests in percent, of hits in points.
TOLERATED: Final = 0.5


def _presets(quick: bool) -> Sequence[str]:
    return _QUICK if quick else [one.name for one in presets()]


def _runs(source: str, design: str, quick: bool) -> list[Job[Outcome]]:
    if source in TRACES:
        return [Replayed(TRACES[source], design)]
    short = ("duration_s=0.3",) if quick else ()
    return [Simulated(source, design, short, seed) for seed in (SEEDS[:1] if quick else SEEDS)]


def _jobs(quick: bool) -> Sequence[Job[object]]:
    sources = [*_presets(quick), *TRACES]
    wanted = [run for one in sources for design in DESIGNS for run in _runs(one, design, quick)]
    return [*wanted, *_runs(BOARD, _LATEST, quick)]


# ------------------------------------------------------------------------- what a source showed


@dataclass(frozen=True)
class Change:
    """What a design changes on one source, against the fixed depot. Means over seeds."""

    source: str
    design: str
    requests: float | None  #: percent; None: a trace, whose requests are given
    hits: float  #: points
    memory: float  #: percent

    @property
    def is_worse(self) -> bool:
        """Whether more is lost than is tolerated."""
        return self.hits < -TOLERATED or (self.requests or 0.0) < -TOLERATED


class _Means:
    """Means over the seeds, of any source under any design."""

    def __init__(self, results: Results, quick: bool) -> None:
        self._results, self._quick = results, quick

    def of(self, source: str, design: str, metric: str) -> float:
        return self._results.mean(_runs(source, design, self._quick), metric)

    def greatest(self, source: str, design: str, metric: str) -> float:
        return self._results.range(_runs(source, design, self._quick), metric)[1]

    def change(self, source: str, design: str) -> Change:
        def more(metric: str) -> float:
            return -loss(self.of(source, design, metric), self.of(source, FIXED, metric))

        hits = "cached_percent"
        return Change(
            source,
            design,
            None if source in TRACES else more("requests_per_s"),
            self.of(source, design, hits) - self.of(source, FIXED, hits),
            more("memory_kib_peak"),
        )


# --------------------------------------------------------------------------------------- tables


def _main_table(means: _Means, sources: Sequence[str]) -> str:
    rows = []
    for source in sources:
        one, both = (means.change(source, design) for design in PATCHES)
        rate = "" if source in TRACES else k(means.of(source, FIXED, "requests_per_s"))
        rows.append(
            (
                f"`{source}`",
                rate,
                signed(one.requests, 1),
                signed(both.requests, 1),
                f"{means.of(source, FIXED, 'cached_percent'):.2f}",
                signed(one.hits, 2),
                signed(both.hits, 2),
                f"{means.of(source, FIXED, 'memory_kib_peak'):,.0f}",
                signed(one.memory, 1),
                signed(both.memory, 1),
            )
        )
    head = (
        "source", "requests/s, fixed", "patch one, %", "both, %", "cached %, fixed",
        "patch one, points", "both, points", "KiB, fixed", "patch one, %", "both, %",
    )  # fmt: skip
    return table(head, rows)


def _holds_table(means: _Means, names: Sequence[str]) -> str:
    """Where the background reclaim gave anything back: how long it held the tree's lock."""
    hold = "longest_tree_hold_ns"
    rows = [
        (
            f"`{name}`",
            f"{means.of(name, 'linux-6.12', 'reclaimed'):,.1f}",
            *(f"{means.greatest(name, design, hold) / 1000:,.2f} us" for design in DESIGNS),
        )
        for name in names
        if means.of(name, "linux-6.12", "reclaimed")
    ]
    head = ("magazines were reclaimed", "how many", "longest hold, fixed", "patch one", "both")
    return table(head, rows)


def _board_table(means: _Means) -> str:
    rows = [
        (
            f"`{design}`",
            f"{means.of(BOARD, design, 'memory_kib_peak'):.1f}",
            f"{means.of(BOARD, design, 'magazines_peak'):.0f}",
            f"{means.of(BOARD, design, 'depot_peak'):.0f}",
            f"{means.of(BOARD, design, 'pushed'):.0f}",
            f"{means.of(BOARD, design, 'cached_percent'):.2f}",
        )
        for design in (*DESIGNS, _LATEST)
    ]
    head = ("`board-4`", "KiB, peak", "magazines, peak", "longest depot", "pushed", "cached, %")
    return table(head, rows)


# -------------------------------------------------------------------------------------- picture


def _picture(changes: Sequence[Change]) -> alt.TopLevelMixin:
    data = [
        {"source": one.source, "design": PATCHES[one.design], "what": what, "change": value}
        for one in changes
        for what, value in (("requests", one.requests), ("hits", one.hits), ("memory", one.memory))
        if value is not None
    ]
    sources = list(dict.fromkeys(one.source for one in changes))
    scale = alt.Scale(type="symlog", constant=1)

    def panel(what: str, title: str, names: bool) -> alt.TopLevelMixin:
        base = alt.Chart(alt.Data(values=data), width=150, height=17 * len(sources))
        return (
            base.transform_filter(f"datum.what == '{what}'")
            .mark_point(filled=True, size=55, opacity=0.8)
            .encode(
                x=alt.X("change:Q", title=title, scale=scale).axis(
                    values=[-10, -1, 0, 1, 10, 50], format="+d"
                ),
                y=alt.Y("source:N", title=None, sort=sources, scale=alt.Scale(domain=sources)).axis(
                    labels=names, grid=True
                ),
                color=alt.Color("design:N", title=None, sort=list(PATCHES.values())).legend(
                    orient="top"
                ),
                shape=alt.Shape("design:N", sort=list(PATCHES.values()), legend=None),
            )
        )

    return alt.hconcat(
        panel("requests", "requests, %", True),
        panel("hits", "hits, points", False),
        panel("memory", "memory at the peak, %", False),
    )


# ------------------------------------------------------------------------------------- the page


def _claims(changes: Sequence[Change], means: _Means, names: Sequence[str]) -> dict[str, bool]:
    of = {d: [one for one in changes if one.design == d] for d in PATCHES}
    one, both = of.values()
    worse = [change.source for change in both if change.is_worse]
    hold = "longest_tree_hold_ns"
    return {
        "patch one alone is nowhere worse": not any(change.is_worse for change in one),
        "both: worse on the recorded traces and nowhere else": worse == list(TRACES),
        "both: requests are nowhere fewer": all(
            (change.requests or 0.0) >= -TOLERATED for change in both
        ),
        "reclaim lengthens the longest hold somewhere": any(
            means.greatest(name, "linux-6.12", hold) > 2 * means.greatest(name, "unbounded", hold)
            for name in names
        ),
        "a board saves little": 0
        < means.of(BOARD, FIXED, "memory_kib_peak")
        - means.of(BOARD, "unbounded", "memory_kib_peak")
        < 0.05 * means.of(BOARD, FIXED, "memory_kib_peak"),
        "magazines at first use save more on a board": means.of(BOARD, _LATEST, "memory_kib_peak")
        < 0.9 * means.of(BOARD, "unbounded", "memory_kib_peak"),
        "the board's depots stay short": means.greatest(BOARD, "unbounded", "depot_peak") <= 4,
    }


def _tell(results: Results, quick: bool) -> Told:
    names, means = _presets(quick), _Means(results, quick)
    sources = [*names, *TRACES]
    changes = [means.change(source, design) for source in sources for design in PATCHES]
    check_claims("no-worse", _claims(changes, means, names), quick)
    both = [one for one in changes if one.design == "linux-6.12"]
    on_traces = [one.hits for one in both if one.source in TRACES]
    more = [one for one in changes if one.design == "unbounded" and one.hits > TOLERATED]
    faster = [one.requests for one in more if one.requests and one.requests > TOLERATED]
    kib = {d: means.of(BOARD, d, "memory_kib_peak") for d in (*DESIGNS, _LATEST)}
    return Told(
        answer=(
            f"patch one alone is no worse on any of {len(sources)} sources and better on"
            f" {len(more)}; the requests are {min(faster, default=0):.0f} to"
            f" {max(faster, default=0):.0f} % more on {len(faster)} of them, and the peak of memory"
            f" is at most {max(one.memory for one in changes):.0f} % higher. With both patches"
            " requests are nowhere fewer, but on the recorded traces, which have long idle"
            f" gaps, reclaim costs {-max(on_traces):.1f} to {-min(on_traces):.1f} points of hits. A"
            f" board of 4 cores saves {kib[FIXED] - kib['unbounded']:.1f} KiB of"
            f" {kib[FIXED]:.0f}: the arrays of its depots."
        ),
        tables=[_main_table(means, sources), _holds_table(means, names), _board_table(means)],
        picture=_picture(changes),
        caption=(
            "Change against the fixed depot: right of 0 is more. Recorded traces have no requests"
            " of their own."
        ),
        why=(
            "A depot without bound differs from the fixed one only when that is full, so where no"
            " depot reaches 32 magazines the two give the same addresses and the memory differs by"
            " the fixed depot's arrays. Where one does, the fixed depot empties a magazine into"
            " the tree on the path of a free, and takes as many ranges from the tree again; that"
            " is what the unbounded depot saves, for magazines that it keeps."
            "\n\n"
            "Reclaim takes from the depot what lay in it while nothing ran. After an idle gap the"
            " next burst cuts it from the tree again. The job empties a magazine under one hold of"
            " the tree's lock: where nothing else holds it long, that is the longest hold there is"
            " (second table; the greatest of the seeds)."
            "\n\n"
            "A board pushes hardly anything, as its author saw (the third table): most of its"
            " memory are the magazines that every CPU gets for every size at the start. Made at"
            f" first use, as kernels from 7.3 do, they leave {kib[_LATEST]:.0f} KiB of"
            f" {kib['linux-6.12']:.0f}."
        ),
        guesses=(
            "All of a preset but its shape; `iova info PRESET` tells. Presets made for `iova"
            " explain` show one fault each and are no picture of a usual load: the largest gains"
            " are theirs, and those of SAS controllers on kernels that try 32 bits first. A trace"
            " replayed under another design keeps its times, so it shows hits and memory and no"
            " throughput. Three seeds a preset; half a percent of requests or half a point of hits"
            " counts as no change."
        ),
        would_change=(
            "A workload on which a depot of more than 32 magazines is a burden: memory that is"
            " short, or a tree search that is faster than a magazine another CPU has filled. Or a"
            " trace of a machine that is never idle: reclaim would then take nothing that is"
            " missed."
        ),
    )


PAGE: Final = Page(
    name="no-worse",
    question="Fixed or unbounded depot: at least no worse?",
    asked=(
        "The author asked to confirm first that the concept is sound and at least no worse than"
        " today, and made two patches so that each can be judged alone (15 August 2023): the first"
        " makes the depot an unbounded list (`unbounded`), the second reclaims in the background"
        " (`linux-6.12`). On large systems that scales, on small ones it saves memory; a 4-core"
        " board hardly pushes anything (14 August)."
        "\n\n"
        "Run: all presets at their full length with three seeds, of which the means are shown,"
        " and three traces recorded from Linux 6.1 and 6.12, replayed. All against `linux-6.1`."
    ),
    jobs=_jobs,
    tell=_tell,
)
