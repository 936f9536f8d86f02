"""Which threshold: above how many full magazines should a depot be drained?"""

from __future__ import annotations

from typing import Final

import altair as alt

from benchmarks.findings_bursts import Bursts
from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import Job, Outcome, Page, Replayed, Results, Told, loss, table

#: The old depot's size.
OLD: Final = 32
#: CPUs, and requests in flight on each.
MACHINES: Final = (4, 16, 256, 384)
DEPTHS: Final = (32, 128, 256, 512)
#: Of the CPUs online.
SHARES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
_TRACE: Final = "burst8-6.12"
_TRACE_CPUS: Final = 8


def _design(threshold: float) -> str:
    return f"linux-6.12,threshold={round(threshold)}"


def _machines(quick: bool) -> tuple[int, ...]:
    return MACHINES[:2] if quick else MACHINES


def _jobs(quick: bool) -> list[Job[object]]:
    found: list[Job[object]] = []
    for cpus in _machines(quick):
        for depth in DEPTHS:
            designs = ["unbounded", _design(OLD), *(_design(cpus * share) for share in SHARES)]
            found += [Bursts(cpus, depth, design) for design in designs]
    return found + [Replayed(_TRACE, _design(_TRACE_CPUS * share)) for share in SHARES]


def _points_lost(results: Results, cpus: int, depth: int, threshold: float) -> float:
    best = results[Bursts(cpus, depth, "unbounded")].cached_percent
    return best - results[Bursts(cpus, depth, _design(threshold))].cached_percent


def _requests_lost(results: Results, cpus: int, depth: int, threshold: float) -> float:
    best = results[Bursts(cpus, depth, "unbounded")].requests
    return loss(results[Bursts(cpus, depth, _design(threshold))].requests, best)


def _percent(value: float) -> str:
    return f"{round(value) or 0} %"


def _bursts_table(results: Results, quick: bool) -> str:
    rows = []
    for cpus in _machines(quick):
        for depth in DEPTHS:
            cells = [
                f"{_points_lost(results, cpus, depth, threshold):.1f}"
                f" ({_percent(_requests_lost(results, cpus, depth, threshold))})"
                for threshold in (OLD, *(cpus * share for share in (0.5, 1.0, 2.0)))
            ]
            needed = results[Bursts(cpus, depth, "unbounded")].quiet_depot
            rows.append((f"{cpus} CPUs, {depth} each", f"{needed:.0f}", *cells))
    head = (
        "in flight", "depot, unbounded", f"threshold {OLD}", "half the CPUs", "CPUs online",
        "twice the CPUs",
    )  # fmt: skip
    return table(head, rows)


def _trace_table(results: Results) -> str:
    rows = []
    for share in SHARES:
        one = results[Replayed(_TRACE, _design(_TRACE_CPUS * share))]
        assert isinstance(one, Outcome)
        rows.append(
            (
                f"{_TRACE_CPUS * share:.0f} ({share:g} x CPUs)",
                f"{one['cached_percent']:.2f}",
                f"{one['waste']:.2f}",
                f"{one['reclaimed']:.0f}",
                f"{one['memory_kib_peak'] / 1024:.2f} MiB",
            )
        )
    head = (f"`{_TRACE}`, threshold", "cached, %", "waste", "magazines reclaimed", "memory, peak")
    return table(head, rows)


def _picture(results: Results, quick: bool) -> alt.TopLevelMixin:
    machines = _machines(quick)
    data = [
        {
            "machine": f"{cpus} CPUs",
            "share": share,
            "hits": _points_lost(results, cpus, depth, cpus * share),
            "requests": _requests_lost(results, cpus, depth, cpus * share),
            "in flight on each CPU": str(depth),
        }
        for cpus in machines
        for depth in DEPTHS
        for share in SHARES
    ]
    base = alt.Chart(alt.Data(values=data), width=130, height=130).mark_line(point=True)

    def row(column: str, title: str) -> alt.TopLevelMixin:
        return base.encode(
            x=alt.X("share:Q", title="threshold / CPUs online")
            .scale(type="log", base=2)
            .axis(values=list(SHARES[::2]), grid=False),
            y=alt.Y(f"{column}:Q", title=title),
            color=alt.Color("in flight on each CPU:N", sort=[str(d) for d in DEPTHS]).legend(
                orient="top"
            ),
            column=alt.Column("machine:N", title=None, sort=[f"{cpus} CPUs" for cpus in machines]),
        )

    return alt.vconcat(row("hits", "hits lost, points"), row("requests", "requests lost, %"))


def _claims(results: Results) -> dict[str, bool]:
    _, middle, deep, deepest = DEPTHS
    most = MACHINES[-1]

    def points(cpus: int, depth: int, share: float) -> float:
        return _points_lost(results, cpus, depth, cpus * share)

    def requests(cpus: int, depth: int, threshold: float) -> float:
        return _requests_lost(results, cpus, depth, threshold)

    return {
        "the CPUs online are enough for what is usual in flight": all(
            points(c, depth, 1.0) < 1 and requests(c, depth, c) < 1
            for c in MACHINES
            for depth in DEPTHS[: DEPTHS.index(middle) + 1]
        ),
        "half of them are not, on some machine": max(points(c, middle, 0.5) for c in MACHINES) > 3,
        "they are too few for more in flight": max(points(c, deepest, 1.0) for c in MACHINES) > 5,
        "twice as many are enough for that": all(
            points(c, deep, 2.0) < 0.5 and requests(c, deep, 2 * c) < 1 for c in MACHINES
        ),
        "32 are enough for 16 CPUs": all(
            _points_lost(results, 16, depth, OLD) < 0.5 for depth in DEPTHS[:3]
        ),
        "and too few for hundreds": requests(most, middle, OLD) > 10,
        "large machines lose requests more than hits": all(
            requests(c, deepest, c) > 5 * points(c, deepest, 1.0) for c in MACHINES[2:]
        ),
        "on the trace a higher threshold hits more": [
            results[Replayed(_TRACE, _design(_TRACE_CPUS * share))]["cached_percent"]
            for share in SHARES
        ]
        == sorted(
            results[Replayed(_TRACE, _design(_TRACE_CPUS * share))]["cached_percent"]
            for share in SHARES
        ),
    }


def _tell(results: Results, quick: bool) -> Told:
    if not quick:
        check_claims("threshold", _claims(results), quick)
    machines = _machines(quick)
    most = machines[-1]
    _, middle, deep, deepest = DEPTHS

    def worst(depth: int, share: float) -> str:
        """Of the machines: hits lost in points, requests lost in percent."""
        points = max(_points_lost(results, c, depth, c * share) for c in machines)
        lost = max(_requests_lost(results, c, depth, c * share) for c in machines)
        return f"{points:.1f} points of hits and {_percent(lost)} of the requests"

    needed = [
        results[Bursts(c, depth, "unbounded")].quiet_depot / (c * depth / 127)
        for c in machines
        for depth in DEPTHS[1:]
    ]
    old = max(_points_lost(results, 16, depth, OLD) for depth in DEPTHS[:3])
    old_deepest = _points_lost(results, 16, deepest, OLD)
    old_most = max(_requests_lost(results, most, depth, OLD) for depth in DEPTHS)
    return Told(
        answer=(
            "it should grow with the CPUs online, and with what is in flight on each, which Linux's"
            " does not. At the CPUs online a burst after a long quiet loses, against a depot that"
            f" is never drained and on the worst of the machines tried, {worst(middle, 1.0)} with"
            f" {middle} requests in flight on each CPU, and {worst(deepest, 1.0)} with {deepest}."
            " At"
            f" twice the CPUs it is {worst(deep, 2.0)} with {deep} on each, and"
            f" {worst(deepest, 2.0)} with {deepest}. A fixed threshold of {OLD}, the old depot's"
            f" size, costs 16 CPUs {old:.1f} points of hits with up to {deep} on each and"
            f" {old_deepest:.1f} with {deepest}; it costs {most} CPUs up to {_percent(old_most)} of"
            " the requests."
        ),
        tables=[_bursts_table(results, quick), _trace_table(results)],
        picture=_picture(results, quick),
        caption=(
            "Hits and requests lost in bursts that come once a minute, against a depot that is"
            " never drained, by the threshold. Below 0: more than with that depot."
        ),
        why=(
            "Between bursts nothing is in flight, and all that was lies in caches: 2 magazines a"
            " CPU and size, the rest in the depots. What the next burst needs of a depot is what"
            " the last one left there: here"
            f" {min(needed):.1f} to {max(needed):.1f} times the requests in flight / 127 entries of"
            " a magazine, in the depot of the most frequent size. Requests in flight grow with the"
            " CPUs that submit, so a threshold that does not grow with the CPUs is too small on"
            " large machines; but they also grow with the queue depth, which no number of CPUs"
            " tells. On the large machines what is lost are requests more than hits. Inferred, not"
            " measured: who misses waits for the tree, so that a burst has fewer requests, and"
            " these need fewer ranges; shares of hits alone are not to be compared there."
        ),
        guesses=(
            "The preset's sizes (70 % of 4 KiB, 30 % of 32 KiB), latency, bursts of 5 ms and a"
            " quiet of a minute, in which depots come down to their thresholds or nearly so. In a"
            " shorter quiet less is taken, and a low threshold harms less. One seed and three"
            f" bursts a run: with {deepest} in flight on each CPU the large machines lose no steady"
            " share of their requests, not even always less at a higher threshold, so these"
            " rows show that there is a loss and not how large it is."
        ),
        would_change=(
            "Counts of full magazines in the depots of real machines of more than 100 CPUs, before"
            " and after idle minutes: if they come back to less than half of the CPUs online, half"
            " would do. A workload that leaves a large depot behind and never comes again pays for"
            " the threshold in memory: threshold x 127 ranges a size."
        ),
    )


PAGE: Final = Page(
    name="threshold",
    question="Which threshold?",
    asked=(
        "The merged design drains a depot that is longer than the number of CPUs online. On 16 CPUs"
        f" that is half of the old depot's {OLD} magazines; is it right on 4, 16, 256 and 384?"
        "\n\n"
        "Run: the preset `burst` on so many CPUs with so many requests in flight on each, bursts"
        " of 5 ms a minute apart. *Depot, unbounded*: full magazines of 4 KiB ranges that wait for"
        " the next burst if nothing is drained. Cells: hits lost against that, in points, and"
        " requests lost. Below it the recorded trace, replayed."
    ),
    jobs=_jobs,
    tell=_tell,
)
