"""What an idle live domain costs on a machine of 256 CPUs."""

from __future__ import annotations

from typing import Any

from benchmarks.build import program, shared_library
from benchmarks.figures import Report, Verdict, at_most, collect

RESIDENT = "resident"
PEERS: tuple[str, ...] = ()

DOMAINS, CPUS = 1_000, 256
DESIGN = "linux-7.3"
#: Makes all magazines at once: so few domains, for each takes 3 MiB.
EAGER, EAGER_DOMAINS = "linux-6.12", 20
LIMIT_BYTES = 16 * 1024
#: Every round is a process of its own; there is little to vary.
_MOST_ROUNDS = 5


def measure(rounds: int, quick: bool) -> Report:
    """Open the domains, let each serve one allocation, and look at the process' memory."""
    built = program("bench_memory", "bench_memory.c", core=False)
    library = shared_library()
    domains = DOMAINS // 10 if quick else DOMAINS
    rows: list[dict[str, Any]] = []
    eager: list[dict[str, Any]] = []
    for _ in range(min(rounds, _MOST_ROUNDS)):
        rows += built.run(library, domains, CPUS, DESIGN)
        eager += built.run(library, EAGER_DOMAINS, CPUS, EAGER)
    series = collect(rows, "B", f"{DESIGN}, ") + collect(eager, "B", f"{EAGER}, ")
    report = Report(f"live-memory: bytes a domain, idle, {CPUS} CPUs configured", series)
    return Report(report.name, series, _verdicts(report))


def _verdicts(report: Report) -> tuple[Verdict, ...]:
    return tuple(
        at_most(
            f"{when}: B {RESIDENT}", report.find(f"{DESIGN}, {when}", RESIDENT).median, LIMIT_BYTES
        )
        for when in ("fresh", "served")
    )
