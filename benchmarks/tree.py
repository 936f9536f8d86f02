"""The range tree with up to a million live ranges, beside a linear walk as Linux makes it."""

from __future__ import annotations

from benchmarks.build import Program, program
from benchmarks.figures import Report, Series, Verdict, at_most, collect

OURS = "iova"
WALK = "linear walk"
PEERS = (WALK,)
LIVE = (1_000, 10_000, 100_000, 1_000_000)
#: From so many ranges on, a round of the walk takes longer than all the rest.
WALK_UP_TO = 100_000
LAYOUTS = ("64 pages", "mixed")

_UNITS = {"bytes a range": "B", "heap bytes a range": "B", "steps of a walk": "steps"}


def measure(rounds: int, quick: bool) -> Report:
    """Run the benchmark at every size, smallest first."""
    built = program("bench_tree", "bench_tree.c", "linear_walk.c")
    series: list[Series] = []
    for live in LIVE[: 2 if quick else None]:
        series += _at(built, live, rounds, quick)
    report = Report("tree: ns an allocation or free of 64 pages", tuple(series))
    notes = (
        f"beside the walk up to {WALK_UP_TO} ranges; its addresses were the same",
        "unaligned: as many gaps as live ranges, large enough for 64 and 48 pages, none aligned",
    )
    return Report(report.name, report.series, _verdicts(report), notes)


def _at(built: Program, live: int, rounds: int, quick: bool) -> tuple[Series, ...]:
    operations = 20_000 if quick else 200_000
    walk = ("walk",) if live <= WALK_UP_TO else ()
    found = collect(built.run(live, rounds, operations, *walk), "ns", f"{live} live, ")
    return tuple(
        Series(s.pattern, s.contender, _UNITS.get(s.contender, s.unit), s.values) for s in found
    )


def _verdicts(report: Report) -> tuple[Verdict, ...]:
    found = []
    for layout in LAYOUTS:
        at = {
            live: report.find(f"{live} live, {layout}", OURS).median for live in _measured(report)
        }
        found.append(at_most(f"{layout}: ns at 10000", at[10_000], 110))
        if 1_000_000 in at:
            found.append(at_most(f"{layout}: 1000000 / 1000", at[1_000_000] / at[1_000], 4))
    largest = max(_measured(report))
    heap = report.find(f"{largest} live, 64 pages", "heap bytes a range").median
    found.append(at_most(f"bytes of heap a range at {largest}", heap, 32))
    return tuple(found)


def _measured(report: Report) -> list[int]:
    return sorted({int(s.pattern.split()[0]) for s in report.series})
