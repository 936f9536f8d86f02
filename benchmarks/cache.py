"""An allocation or free that hits the loaded magazine, beside DPDK's mempool."""

from __future__ import annotations

from benchmarks.build import dpdk_flags, program, shared_library
from benchmarks.figures import Report, Verdict, at_most, collect

INLINED = "iova, inlined"
CALLED = "iova, called"
DPDK = "DPDK mempool, inlined"
XADD = "lock xadd"
PEERS = (DPDK, XADD)


def measure(rounds: int, quick: bool) -> Report:
    """Run the benchmark; without DPDK beside the atomic addition alone."""
    flags = dpdk_flags()
    sources = ("bench_cache.c",) if flags is None else ("bench_cache.c", "cache_dpdk.c")
    extra = () if flags is None else ("-DHAVE_DPDK", *flags)
    built = program("bench_cache", *sources, extra=extra)
    operations = 2_000_000 if quick else 20_000_000
    rows = built.run(shared_library(), rounds, operations)
    report = Report("cache: ns an operation that hits the loaded magazine", collect(rows, "ns"))
    if flags is None:
        note = "DPDK is not installed (Debian: libdpdk-dev); its ratios are missing"
        return Report(report.name, report.series, notes=(note,))
    return Report(report.name, report.series, _verdicts(report))


def _verdicts(report: Report) -> tuple[Verdict, ...]:
    found = []
    for pattern in ("pairs", "4096 live"):
        dpdk = report.find(pattern, DPDK)
        inlined, called = report.find(pattern, INLINED), report.find(pattern, CALLED)
        found.append(at_most(f"{pattern}: inlined / DPDK inlined", inlined.over(dpdk), 1.2))
        found.append(at_most(f"{pattern}: called / DPDK inlined", called.over(dpdk), 2))
    return tuple(found)
