"""What does reclaim cost bursts?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt

from benchmarks.findings_bursts import Bursts, BurstsSeen
from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import Job, Page, Results, Told, loss, rounded, signed, table

KEEPS: Final = "unbounded"
LINUX: Final = "linux-6.12"
EMPTY: Final = "linux-6.12,threshold=0"
OURS: Final = "adaptive"
#: Those that give back, least first.
RECLAIM: Final = (LINUX, EMPTY, "trim", "working-set", "grown-magazines", OURS)
#: CPUs, and requests in flight on each.
MACHINES: Final = ((16, 512), (64, 256))
_SMALL: Final = ((2, 512), (4, 512))  # to see that it works
QUIET_S: Final = (0.5, 3.0, 10.0, 60.0)
#: Requests that make no difference, percent.
_SAME: Final = 0.5


def _machines(quick: bool) -> Sequence[tuple[int, int]]:
    return _SMALL if quick else MACHINES


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [
        Bursts(cpus, depth, design, quiet)
        for cpus, depth in _machines(quick)
        for quiet in QUIET_S
        for design in (KEEPS, *RECLAIM)
    ]


Machine = tuple[int, int]


class _Seen:
    """What the runs showed, against a depot that keeps everything."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def of(self, machine: Machine, design: str, quiet_s: float) -> BurstsSeen:
        return self._results[Bursts(*machine, design, quiet_s)]

    def kept(self, machine: Machine, design: str, quiet_s: float) -> float:
        """Of the pages, percent, at the end of the quiet."""
        best = self.of(machine, KEEPS, quiet_s).quiet_pages
        return 100 * self.of(machine, design, quiet_s).quiet_pages / best

    def points(self, machine: Machine, design: str, quiet_s: float) -> float:
        """Hits lost."""
        best = self.of(machine, KEEPS, quiet_s).cached_percent
        return best - self.of(machine, design, quiet_s).cached_percent

    def requests(self, machine: Machine, design: str, quiet_s: float) -> float:
        """Percent of a burst's requests lost."""
        best = self.of(machine, KEEPS, quiet_s).requests
        return loss(self.of(machine, design, quiet_s).requests, best)


def _table(seen: _Seen, machines: Sequence[Machine]) -> str:
    rows = []
    for machine in machines:
        for design in RECLAIM:
            cells = [
                f"{seen.kept(machine, design, quiet):.0f};"
                f" {signed(-seen.points(machine, design, quiet), 1)};"
                f" {signed(-seen.requests(machine, design, quiet), 1)}"
                for quiet in QUIET_S
            ]
            rows.append((f"{machine[0]} CPUs, `{design}`", *cells))
    head = ("kept, %; hits, points; requests, %", *(f"quiet of {q:g} s" for q in QUIET_S))
    return table(head, rows)


def _wait_us(machine: Machine, seen: BurstsSeen, lock: str) -> float:
    """Time that CPUs wait for a lock, a request."""
    outcome = seen.outcome
    seconds_per_s = machine[0] * outcome[f"{lock}_lock_wait_percent"] / 100
    return 1e6 * seconds_per_s / outcome["requests_per_s"]


def _times_table(seen: _Seen, machine: Machine) -> str:
    rows = []
    for design in (KEEPS, *RECLAIM):
        one = seen.of(machine, design, QUIET_S[-1])
        outcome = one.outcome
        rows.append((
            f"`{design}`",
            f"{one.misses:,.0f}",
            *(f"{_wait_us(machine, one, lock):.2f} us" for lock in ("tree", "depot")),
            f"{outcome['alloc_p99_ns'] / 1000:.1f} us",
            f"{outcome['alloc_worst_ns'] / 1000:.0f} us",
            f"{outcome['longest_tree_hold_ns'] / 1000:.1f} us",
            f"{outcome['waste']:.2f}",
        ))  # fmt: skip
    head = (
        f"{machine[0]} CPUs, quiet of {QUIET_S[-1]:g} s", "misses in a burst",
        "a request waits for the tree", "for depots", "99 % of allocations",
        "longest", "longest hold, tree", "waste",
    )  # fmt: skip
    return table(head, rows)


def _picture(seen: _Seen, machines: Sequence[Machine]) -> alt.TopLevelMixin:
    data = [
        {"machine": f"{machine[0]} CPUs", "design": design, "quiet": f"{quiet:g} s",
         "kept": seen.kept(machine, design, quiet),
         "lost": max(0.0, seen.requests(machine, design, quiet))}
        for machine in machines
        for design in RECLAIM
        for quiet in QUIET_S
    ]  # fmt: skip
    return (
        alt.Chart(alt.Data(values=data), width=225, height=200)
        .mark_point(filled=True, size=60)
        .encode(
            x=alt.X("kept:Q", title="pages kept in the quiet, %"),
            y=alt.Y("lost:Q", title="requests lost, %")
            .scale(type="symlog", constant=1)
            .axis(values=[0, 1, 3, 10, 30, 60]),
            color=alt.Color("design:N", title=None, sort=list(RECLAIM)),
            shape=alt.Shape("quiet:N", title="quiet", sort=[f"{q:g} s" for q in QUIET_S]),
            column=alt.Column("machine:N", title=None, sort=[f"{c} CPUs" for c, _ in machines]),
        )
    )


def _claims(seen: _Seen) -> dict[str, bool]:
    large = MACHINES[-1]
    of_linux = [seen.requests(m, LINUX, q) for m in MACHINES for q in QUIET_S]
    long, short = QUIET_S[-1], QUIET_S[0]
    return {
        "Linux's reclaim costs hits": all(seen.points(m, LINUX, long) > 2 for m in MACHINES),
        "but no requests": max(of_linux) < _SAME,
        "and frees little": all(seen.kept(m, LINUX, long) > 80 for m in MACHINES),
        "no threshold: more hits lost, half of the pages gone": all(
            seen.points(m, EMPTY, long) > seen.points(m, LINUX, long) + 5
            and seen.kept(m, EMPTY, long) < 60
            for m in MACHINES
        ),
        "many CPUs pay in requests for an empty depot": seen.requests(large, EMPTY, long) > 5,
        "after half a second working-set keeps all": all(
            seen.kept(m, "working-set", short) > 99 for m in MACHINES
        ),
        "adaptive gives everything back over a minute": all(
            seen.kept(m, OURS, long) < 5 for m in MACHINES
        ),
        "it waits more than working-set": _wait_us(large, seen.of(large, OURS, long), "depot")
        > 2 * _wait_us(large, seen.of(large, "working-set", long), "depot"),
        "and the burst pays": all(seen.requests(m, OURS, long) > 10 for m in MACHINES),
    }


def _tell(results: Results, quick: bool) -> Told:
    seen, machines = _Seen(results), _machines(quick)
    long = QUIET_S[-1]
    large = machines[-1]
    if not quick:
        check_claims("reclaim", _claims(seen), quick)
    hits = [seen.points(m, LINUX, q) for m in machines for q in QUIET_S]
    kept = [seen.kept(m, LINUX, long) for m in machines]
    own, other = (seen.of(large, design, long) for design in (OURS, "working-set"))
    most = max(abs(seen.requests(m, LINUX, q)) for m in machines for q in QUIET_S)

    def told(design: str) -> str:
        return (
            f"`{design}` keeps {seen.kept(large, design, long):.0f} % and costs"
            f" {rounded(seen.points(large, design, long), 1)} points of hits and"
            f" {rounded(seen.requests(large, design, long), 1)} % of the requests"
        )

    return Told(
        answer=(
            f"Linux's costs {rounded(min(hits), 1)} to {rounded(max(hits), 1)} points of hits and"
            f" at most {rounded(most, 1)} % of a burst's requests, because it takes little: over a"
            f" minute of quiet it leaves {min(kept):.0f} to {max(kept):.0f} % of what was cached."
            f" Who gives back more pays more. On {large[0]} CPUs, after that minute, {told(EMPTY)},"
            f" {told('trim')}, {told(OURS)}."
        ),
        tables=[_table(seen, machines), _times_table(seen, large)],
        picture=_picture(seen, machines),
        caption="What a quiet leaves in the caches, and what the next burst loses by it.",
        why=(
            "Between bursts all ranges lie in caches. Reclaim takes those in the depot above the"
            " threshold; what CPUs hold stays. The burst cuts what is missing from the tree. Few"
            " misses cost hits and hardly any requests; when all CPUs miss at once they line up for"
            " the tree's lock, and a burst of 5 ms is over before the caches are full again. So"
            " the loss in requests grows with the CPUs."
            "\n\n"
            f"Misses are not all of it: `{OURS}` has {own.misses:,.0f} in a burst and `working-set`"
            f" {other.misses:,.0f}, but a request waits"
            f" {_wait_us(large, own, 'tree'):.1f} us for the tree and"
            f" {_wait_us(large, own, 'depot'):.1f} us for depots under the one,"
            f" {_wait_us(large, other, 'tree'):.1f} and {_wait_us(large, other, 'depot'):.1f} us"
            " under the other. It makes smaller magazines, which go through the depot more often."
            "\n\n"
            "A short quiet protects from slow designs: after half a second Linux has taken a few"
            " magazines, and `working-set`, which watches an interval of 1 s, none."
        ),
        guesses=(
            "The preset's sizes and latency; that bursts last 5 ms, so that warming up is most of"
            " them: in bursts of a second the same misses are spread over two hundred times as"
            " many requests. That nothing else wants the memory meanwhile."
        ),
        would_change=(
            "What the memory is worth to others in the quiet: no run here shows a gain by giving"
            " it back, only its price."
        ),
    )


PAGE: Final = Page(
    name="reclaim",
    question="What does reclaim cost bursts?",
    asked=(
        "Reclaim is slow on purpose: bursty workloads release much and soon want it again (17"
        " August 2023). What do they lose, and what would a design that gives back more cost them?"
        "\n\n"
        "Run: the preset `burst` with bursts of 5 ms and quiets of different lengths, on 16 CPUs"
        " with 512 requests in flight on each and on 64 with 256. *Kept*: cached pages at the end"
        " of a quiet, in percent of those under `unbounded`; hits and requests of the bursts are"
        " against the same."
    ),
    jobs=_jobs,
    tell=_tell,
)
