"""Two threads beside two simulated CPUs: W1 to W5 of the live benchmarks, as ratios.

Every round measures the parts of calls, then the workloads, then the transfer of a line once
more. Prices follow from the parts alone, and each round's prices are what its workloads are
simulated with.

A hypervisor may move virtual CPUs: at times the two share a third-level cache, at times not, and a
line then takes several times as long. Rounds are told apart by that; one in which it changed is
dropped.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks import calibrate
from benchmarks.build import Program, program, shared_library
from benchmarks.figures import Report, Series, Verdict, at_most
from iova.designs import parse_design
from iova.lab.prices import Prices
from iova.workloads import DomainGroup, Flow, MachineShape, Size, Workload
from iova.workloads.running import start

PEERS: Final = ()

LIBRARY: Final = "iova with locks, unchecked"
CORE: Final = "the core under ticket locks"
RING: Final = "the empty ring"
_PER_CENT: Final = 25

_SOURCES: Final = (
    "bench_threads.c",
    "live_choices.c",
    "live_controls.c",
    "live_core.c",
    "live_iova.c",
    "live_threads.c",
)
_LINE: Final = "line, half a round trip"
#: All parts but walks, which our own tree does not make.
_PARTS: Final = (
    "lock",
    "alloc",
    "free",
    "quick",
    "swap",
    "exchanges",
    "magazine",
    "scan",
    "link",
    "unlink",
    "index",
    "queue",
    "job",
    "wake-up",
    "line",
)


def measure(rounds: int, quick: bool) -> Report:
    """Measure and simulate, round by round."""
    found = tuple(_rounds(rounds, quick))
    kept = [one for one in found if one.is_steady] or list(found)
    series = tuple(_series(kept))
    facts = {"lines_ns": [one.line_ns for one in kept], "dropped": len(found) - len(kept)}
    notes = tuple(_notes(len(found), kept))
    return Report("model-threads: two threads / one", series, _verdicts(series), notes, facts)


# ---------------------------------------------------------------------------- measuring

#: ``(workload, contender)`` to a figure.
Figures = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Round:
    """One round: what was measured, and what the machine says with its prices."""

    parts: Mapping[str, float]  #: ns
    line_after_ns: float
    measured: Figures
    simulated: Figures

    @property
    def line_ns(self) -> float:
        """Transfer of a line before the workloads ran."""
        return self.parts[_LINE]

    @property
    def is_steady(self) -> bool:
        """Whether the CPUs stayed where they were."""
        return not calibrate.are_moved(self.line_ns, self.line_after_ns)


def _rounds(rounds: int, quick: bool) -> Iterator[Round]:
    operations = 100_000 if quick else 1_000_000
    parts_of = calibrate.build()
    threads = program("bench_threads", *_SOURCES, extra=("-pthread",))
    library = shared_library(rseq=False)
    for _ in range(rounds):
        parts = _medians(parts_of, operations // 4, *_PARTS)
        rows = threads.run(library, 1, operations)
        after = _medians(parts_of, operations // 4, "line")
        ns = {(row["pattern"], row["contender"]): float(row["value"]) for row in rows}
        yield Round(parts, after[_LINE], dict(_ratios(ns)), dict(_simulated(parts, ns, quick)))


def _medians(parts_of: Program, operations: int, *beginnings: str) -> dict[str, float]:
    return calibrate.medians(calibrate.measure_parts(parts_of, 3, operations, *beginnings))


def _ratios(ns: Mapping[tuple[str, str], float]) -> Iterator[tuple[tuple[str, str], float]]:
    """Throughput of two threads / one; of W5 the time of an operation / that in W1 of one."""
    for who in (LIBRARY, CORE):
        for workload in WORKLOADS:
            yield (workload, who), ns[f"{workload}, one", who] / ns[f"{workload}, two", who]
        yield ("W5", who), ns["W5, two", who] / ns["W1, one", who]


# --------------------------------------------------------------------------- simulating

#: The sizes of W3 in pages, and how many of a hundred are of it.
_MIXED: Final = ((1, 60), (2, 15), (4, 10), (8, 7), (16, 5), (32, 3))


@dataclass(frozen=True)
class _Shape:
    """What one thread of a workload does: live ranges, and their sizes."""

    live: int
    sizes: tuple[Size, ...]


WORKLOADS: Final = {
    "W1": _Shape(1, (Size(1),)),
    "W2": _Shape(4096, (Size(1),)),
    "W3": _Shape(10_000, tuple(Size(pages, weight) for pages, weight in _MIXED)),
    "W4": _Shape(10_000, (Size(64),)),
}

#: Slots of the ring of W5.
_IN_FLIGHT: Final = 1024
#: Of ranges that stay live throughout: longer than any run.
_FOR_EVER_US: Final = 1e9
#: Operations of a simulated run: as many again come first, and are not counted.
_OPERATIONS: Final = 200_000


def _simulated(
    parts: Mapping[str, float], ns: Mapping[tuple[str, str], float], quick: bool
) -> Iterator[tuple[tuple[str, str], float]]:
    operations = _OPERATIONS // (4 if quick else 1)
    by_core = calibrate.prices_of(parts)
    quick_calls = dataclasses.replace(
        by_core,
        alloc_hit=round(1000 * parts["quick alloc"]),
        free_hit=round(1000 * parts["quick free"]),
    )
    ring_ns = 2 * ns["W5, two", RING]  # of one range, on either side
    for who, prices in ((LIBRARY, quick_calls), (CORE, by_core)):
        alone = {}
        for workload, shape in WORKLOADS.items():
            alone[workload] = _ns_an_operation(_flows(shape, 1), prices, operations)
            both = _ns_an_operation(_flows(shape, 2), prices, operations)
            yield (workload, who), alone[workload] / both
        both = _ns_an_operation(_hand_over(ring_ns), prices, operations)
        yield ("W5", who), both / alone["W1"]


def _flows(shape: _Shape, cpus: int) -> tuple[Flow, ...]:
    """Of each CPU: ranges that are held, and one that is allocated and freed in turn.

    A thread frees one of its ranges at random, the machine the one it has just allocated: caches
    of ranges that are all alike can not tell.
    """
    found = []
    for cpu in range(cpus):
        in_turn = Flow(
            f"turn-{cpu}",
            "domain",
            submit_cpus=str(cpu),
            sizes=shape.sizes,
            limit_rule="plain",
        )
        found.append(in_turn)
        if shape.live > 1:
            held = dataclasses.replace(
                in_turn, name=f"held-{cpu}", depth=shape.live - 1, latency_us=_FOR_EVER_US
            )
            found.append(held)
    return tuple(found)


def _hand_over(ring_ns: float) -> tuple[Flow, ...]:
    flow = Flow(
        "hand-over",
        "domain",
        submit_cpus="0",
        complete_cpus="1",
        depth=2 * _IN_FLIGHT,
        in_flight=_IN_FLIGHT,
        submit_work_us=ring_ns / 1000,
        complete_work_us=ring_ns / 1000,
        limit_rule="plain",
    )
    return (flow,)


def _ns_an_operation(flows: tuple[Flow, ...], prices: Prices, operations: int) -> float:
    """Over all CPUs, once caches and live ranges have settled."""
    workload = Workload("threads", 10.0, MachineShape(2), (DomainGroup("domain"),), flows)
    running = start(workload, parse_design("linux-7.3,tree=indexed"), prices.as_dict())
    running.run(operations)
    before = running.machine.totals()
    running.run(operations)
    after = running.machine.totals()
    done = after["operations"] - before["operations"]
    return float((after["now"] - before["now"]) / done / 1000)


# --------------------------------------------------------------------------- reporting


def _series(rounds: Iterable[Round]) -> Iterator[Series]:
    for place, together in _by_place(rounds).items():
        for who in (LIBRARY, CORE):
            for workload in (*WORKLOADS, "W5"):
                measured = tuple(one.measured[workload, who] for one in together)
                simulated = tuple(one.simulated[workload, who] for one in together)
                yield Series(workload, f"{who}, {place}", "x", measured)
                yield Series(workload, f"simulated: {who}, {place}", "x", simulated)


def _by_place(rounds: Iterable[Round]) -> dict[str, list[Round]]:
    """Rounds by where the CPUs were, nearest first."""
    found: list[list[Round]] = []
    for one in sorted(rounds, key=lambda one: one.line_ns):
        if not found or calibrate.are_moved(found[-1][0].line_ns, one.line_ns):
            found.append([])
        found[-1].append(one)
    return {f"{_line_of(together):.0f} ns a line": together for together in found}


def _line_of(rounds: Iterable[Round]) -> float:
    return statistics.median(one.line_ns for one in rounds)


def _verdicts(series: tuple[Series, ...]) -> tuple[Verdict, ...]:
    of = {(one.pattern, one.contender): one for one in series}
    return tuple(
        at_most(
            f"{one.pattern}, {one.contender}: simulated is off by, %",
            round(100 * abs(of[one.pattern, f"simulated: {one.contender}"].over(one) - 1), 1),
            _PER_CENT,
        )
        for one in series
        if not one.contender.startswith("simulated: ")
    )


def _notes(rounds: int, kept: list[Round]) -> Iterator[str]:
    if rounds > len(kept):
        yield f"rounds in which the hypervisor moved the CPUs ({rounds - len(kept)})"
