"""The live domain behind C calls, beside DPDK's mempool and the heaps: one thread and two."""

from __future__ import annotations

import os
import statistics
from typing import Any

from benchmarks.build import dpdk_flags, program, shared_library
from benchmarks.figures import Report, Series, Verdict, at_least, at_most, collect
from benchmarks.peers import install_debian

UNCHECKED = "iova, unchecked"
CHECKED = "iova, checked"
LOCKS = "iova with locks, unchecked"
NINE_LOCKS = "iova with locks, nine classes, unchecked"
DPDK = "DPDK mempool"
RING = "the empty ring"
XADD = "lock xadd"
HEAPS = ("glibc malloc", "jemalloc", "mimalloc", "tcmalloc")
PEERS = (DPDK, RING)

ONE, TWO = "W1, one thread", "W1, two threads"
SCALING = "W1, throughput of two threads / one"

_SOURCES = (
    "bench_live.c",
    "live_choices.c",
    "live_controls.c",
    "live_heaps.c",
    "live_iova.c",
    "live_threads.c",
)
#: Rounds of two threads for each of one, and each the shorter: their goal is a 90th percentile.
_ROUNDS_OF_TWO = 4
#: A heap that is loaded later finds no room for its thread-local variables otherwise.
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=65536"}


def measure(rounds: int, quick: bool) -> Report:
    """Run the workloads W1 to W5."""
    notes = install_debian()
    operations = 400_000 if quick else 4_000_000
    rows = _run(rounds, operations, "one")
    cpus = os.cpu_count() or 1
    if cpus > 1:
        rows += _run(rounds * _ROUNDS_OF_TWO, operations // _ROUNDS_OF_TWO, "two")
    else:
        notes += ("one CPU: two threads were not measured",)
    series = collect(rows, "ns")
    series += _scaling(series)
    report = Report("live: ns an allocation or free", series)
    return Report(report.name, series, _verdicts(report, dpdk_flags() is not None), notes)


def _run(rounds: int, operations: int, threads: str) -> list[dict[str, Any]]:
    flags = dpdk_flags()
    sources = _SOURCES if flags is None else (*_SOURCES, "live_dpdk.c")
    extra = ("-pthread",) if flags is None else ("-pthread", "-DHAVE_DPDK", *flags)
    built = program("bench_live", *sources, extra=extra, core=False)
    libraries = (shared_library(), shared_library(rseq=False))
    return built.run(*libraries, rounds, operations, threads, environment=_ENVIRONMENT)


def _scaling(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Throughput ratios, round by round."""
    one = {s.contender: s for s in series if s.pattern == ONE}
    return tuple(
        Series(
            SCALING, s.contender, "x", tuple(a / b for a, b in zip(alone, s.values, strict=True))
        )
        for s in series
        if s.pattern == TWO
        for alone in (one[s.contender].values,)
    )


# ------------------------------------------------------------------------------- goals


def _verdicts(report: Report, dpdk: bool) -> tuple[Verdict, ...]:
    tree = report.find("W4", UNCHECKED).median
    found = _beside_dpdk(report) if dpdk else []
    found.append(at_most("W4: through the tree, ns", tree, 110))
    patterns = {s.pattern for s in report.series}
    if SCALING in patterns:
        found += [*_of_scaling(report), *_of_hand_over(report)]
    return tuple(found)


def _beside_dpdk(report: Report) -> list[Verdict]:
    goals = (
        ("W1", LOCKS, 2.0),
        ("W2", LOCKS, 2.0),
        ("W3", LOCKS, 1.4),
        ("W4", NINE_LOCKS, 2.0),
        ("W1", UNCHECKED, 1.0),
        ("W2", UNCHECKED, 1.0),
        ("W3", UNCHECKED, 1.0),
    )
    return [
        at_most(f"{pattern}: {who} / {DPDK}", _over(report, pattern, who, DPDK), limit)
        for pattern, who, limit in goals
    ]


def _of_scaling(report: Report) -> list[Verdict]:
    found = []
    for who in (UNCHECKED, CHECKED, LOCKS):
        ratios = report.find(SCALING, who).values
        found.append(at_least(f"{SCALING}: {who}, p90 of rounds", _p90(ratios), 1.9))
        found.append(at_least(f"{SCALING}: {who}, median", statistics.median(ratios), 1.7))
    return found


def _of_hand_over(report: Report) -> list[Verdict]:
    goals = [(LOCKS, RING, 4.0), (UNCHECKED, RING, 2.0)]
    measured = {s.contender for s in report.series}
    goals += [
        (who, heap, 1.0) for who in (UNCHECKED, CHECKED) for heap in HEAPS if heap in measured
    ]
    return [
        at_most(f"W5: {who} / {peer}", _over(report, "W5", who, peer), limit)
        for who, peer, limit in goals
    ]


def _over(report: Report, pattern: str, who: str, peer: str) -> float:
    return report.find(pattern, who).over(report.find(pattern, peer))


def _p90(values: tuple[float, ...]) -> float:
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=10, method="inclusive")[-1]
