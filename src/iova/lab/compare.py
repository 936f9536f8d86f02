"""Compare designs on one source: a recorded trace, replayed, or a workload, simulated."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from iova.designs import DesignSpec
from iova.events import Trace, TraceInfo
from iova.lab.machine import MachineResult, simulate
from iova.lab.prices import Prices
from iova.lab.replay import ReplayInput, ReplayResult, named_as, prepare, replay
from iova.lab.rows import (
    ComparisonRow,
    MachineRow,
    half_width_row,
    machine_row_of,
    mean_row,
    metrics_of,
    row_of,
)
from iova.lab.spread import spread
from iova.lab.tables import MOST_CPU_ROWS, handovers_of
from iova.words import noun
from iova.workloads import Workload

__all__ = [
    "CompareProgress",
    "Comparison",
    "ComparisonRow",
    "DesignRuns",
    "MachineRow",
    "Run",
    "Simulation",
    "compare",
    "compare_workload",
]

#: ``progress(what runs: the design's label, and the seed if there are several; done; in all)``
CompareProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Run:
    """One run of a design."""

    row: ComparisonRow  #: the allocator's side
    machine: MachineRow | None = None  #: of a simulated run
    seed: int | None = None  #: of a simulated run
    speed: float | None = None  #: simulated operations a second of real time

    def metrics(self) -> dict[str, float]:
        """Every number of the run by name, but for its speed."""
        return metrics_of(self.row) | (metrics_of(self.machine) if self.machine else {})


@dataclass(frozen=True)
class DesignRuns:
    """The runs of one design: one for a trace, one a seed for a workload."""

    design: str
    runs: tuple[Run, ...]

    @property
    def row(self) -> ComparisonRow:
        """Means over the runs."""
        return mean_row([run.row for run in self.runs])

    @property
    def machine(self) -> MachineRow | None:
        """Means over the runs, if they are simulated ones."""
        rows = self._machines()
        return mean_row(rows) if rows else None

    @property
    def row_half_width(self) -> ComparisonRow | None:
        """Half of the width of each mean's 95 % confidence interval (Student's); None: one run."""
        return half_width_row([run.row for run in self.runs])

    @property
    def machine_half_width(self) -> MachineRow | None:
        """The same of the simulated machine's numbers."""
        rows = self._machines()
        return half_width_row(rows) if rows else None

    def _machines(self) -> list[MachineRow]:
        return [run.machine for run in self.runs if run.machine is not None]

    def to_json(self) -> dict[str, Any]:
        """A JSON object: means, their half-widths, and every run."""
        halves = [half for half in (self.row_half_width, self.machine_half_width) if half]
        merged: dict[str, float] = {}
        for half in halves:
            merged |= metrics_of(half)
        means = metrics_of(self.row) | (metrics_of(self.machine) if self.machine else {})
        return {
            "design": self.design,
            **means,
            "half_width_95": merged or None,
            "runs": [{"seed": r.seed, "speed": r.speed, **r.metrics()} for r in self.runs],
        }


@dataclass(frozen=True)
class Simulation:
    """What was simulated, and how."""

    summary: str  #: the workload, in one line
    source: str  #: where the workload's shape comes from, and which of its numbers are guesses
    settings: tuple[str, ...]  #: ``key=value``, as the user changed the workload
    cpus: int  #: online
    duration_s: float  #: simulated
    seeds: tuple[int, ...]  #: one run a design for each
    prices: Prices  #: of the machine's steps
    prices_from: str  #: the file's name, or what else the price table is called


@dataclass(frozen=True)
class Comparison:
    """All designs on one source. Of several runs ``results`` and ``machines`` are the first."""

    source: str
    info: TraceInfo | None  #: of a recorded trace
    calls: int  #: allocations and frees, of a workload those under the first design
    span_ns: int  #: from the first event to the last, in the source's time
    domain: int | None  #: only this domain was replayed
    designs: tuple[DesignRuns, ...]
    results: tuple[ReplayResult, ...] = field(repr=False)
    simulation: Simulation | None = None  #: of a workload
    machines: tuple[MachineResult, ...] = field(default=(), repr=False)
    cpus: int | None = None  #: the trace was spread over so many
    #: What of the source is missing, and what this comparison can not show, in sentences.
    warnings: tuple[str, ...] = ()
    digest: str | None = None  #: SHA-256 of a recorded trace's file, hexadecimal
    malformed: int = 0  #: lines of it that could not be used
    #: Frees of a recorded trace by the CPU that allocated and the one that frees, each in groups
    #: of neighbours; a workload's depend on the design: they are in its results' tables.
    handovers: npt.NDArray[np.uint64] | None = field(default=None, repr=False)

    @property
    def rows(self) -> tuple[ComparisonRow, ...]:
        """One a design; means, where there were several runs."""
        return tuple(runs.row for runs in self.designs)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without the time series."""
        return {
            "source": self.source,
            "kind": "trace" if self.simulation is None else "workload",
            "calls": self.calls,
            "span_ns": self.span_ns,
            "domain": self.domain,
            "cpus": self.cpus,
            "kernel": self.info.kernel if self.info else None,
            "lost_events": self.info.lost_events if self.info else None,
            "malformed": self.malformed,
            "incomplete": list(self.info.incomplete) if self.info else [],
            "simulation": _simulation_json(self.simulation),
            "warnings": list(self.warnings),
            "designs": [runs.to_json() for runs in self.designs],
        }

    def frame(self) -> pl.DataFrame:
        """One row a run: ``source``, ``design``, ``seed`` (null: a replay) and every metric."""
        return pl.DataFrame(
            [
                {"source": self.source, "design": runs.design, "seed": run.seed} | run.metrics()
                for runs in self.designs
                for run in runs.runs
            ],
            infer_schema_length=None,
        )

    def series(self) -> pl.DataFrame:
        """The time series of all designs below each other, with a ``design`` column."""
        whose = self.machines or self.results
        frames = [
            result.series.with_columns(pl.lit(result.design).alias("design"))
            for result in whose
            if result.series is not None
        ]
        return pl.concat(frames) if frames else pl.DataFrame()


def _simulation_json(simulation: Simulation | None) -> dict[str, Any] | None:
    if simulation is None:
        return None
    values = {f.name: getattr(simulation, f.name) for f in dataclasses.fields(simulation)}
    prices = simulation.prices
    values["prices"] = {"provenance": prices.provenance, "picoseconds": prices.as_dict()}
    return values | {"settings": list(simulation.settings), "seeds": list(simulation.seeds)}


# ------------------------------------------------------------------------- recorded traces


def compare(
    name: str,
    trace: Trace,
    designs: Sequence[DesignSpec],
    *,
    domain: int | None = None,
    cpus: int | None = None,
    samples: int = 0,
    tables: bool = False,
    progress: CompareProgress | None = None,
) -> Comparison:
    """Replay a trace under each design.

    Args:
        name: how the source is called in tables.
        trace: the calls.
        designs: in the order of the table.
        domain: replay this domain alone.
        cpus: spread the calls over so many CPUs; see :mod:`iova.lab.spread`.
        samples: about so many rows a design in the time series; 0: none.
        tables: with samples, also what is in each CPU's magazines, where ranges lie, and which
            CPU frees what which allocated.
        progress: told while a replay runs.

    Raises:
        IovaError: the trace can not be replayed.
    """
    dealt = spread(trace, cpus) if cpus is not None else None
    source = prepare(dealt.trace if dealt else trace, domain=domain)
    with named_as(name):
        results = tuple(
            _replay_one(source, design, samples, tables, progress) for design in designs
        )
    rows = min(source.possible, MOST_CPU_ROWS)
    return Comparison(
        source=name,
        info=trace.info,
        calls=source.calls,
        span_ns=source.span_ns,
        domain=domain,
        designs=tuple(DesignRuns(result.design, (Run(row_of(result)),)) for result in results),
        results=results,
        cpus=dealt.cpus if dealt else None,
        warnings=(*_missing(trace.info), *(dealt.warnings if dealt else ())),
        malformed=trace.info.malformed_lines,
        handovers=handovers_of(source.columns, source.possible, rows) if tables else None,
    )


def _missing(info: TraceInfo) -> tuple[str, ...]:
    """That part of a trace is not in the numbers, if so."""
    told = list(info.incomplete)
    for count, one, what in (
        (info.lost_events, "event", "lost while it was recorded"),
        (info.malformed_lines, "malformed line", "left out"),
    ):
        if count:
            told.append(f"{count:,} {noun(count, one)} {noun(count, 'was', 'were')} {what}")
    if not told:
        return ()
    return (f"The trace is not whole: {'; '.join(told)}. The numbers are those of the rest.",)


def _replay_one(
    source: ReplayInput,
    design: DesignSpec,
    samples: int,
    tables: bool,
    progress: CompareProgress | None,
) -> ReplayResult:
    def told(done: int, total: int) -> None:
        if progress:
            progress(design.label, done, total)

    return replay(source, design, samples=samples, tables=tables, progress=told)


# ------------------------------------------------------------------------------- workloads


def compare_workload(
    name: str,
    workload: Workload,
    designs: Sequence[DesignSpec],
    prices: Prices,
    *,
    seeds: Sequence[int] | None = None,
    settings: Sequence[str] = (),
    prices_from: str = "given",
    samples: int = 0,
    tables: bool = False,
    progress: CompareProgress | None = None,
) -> Comparison:
    """Simulate a workload under each design.

    Args:
        name: how the source is called in tables.
        workload: what the machine is to do.
        designs: in the order of the table.
        prices: what each step costs.
        seeds: one run a design for each; by default the workload's own.
        settings: what the user changed in the workload, for the record.
        prices_from: how the price table is called, for the record.
        samples: about so many rows a design in the time series of the first seed; 0: none.
        tables: with samples, also what is in each CPU's magazines, where ranges lie, and which
            CPU frees what which allocated.
        progress: told while a simulation runs.

    Raises:
        IovaError: the workload can not be simulated.
    """
    chosen = tuple(seeds) if seeds else (workload.seed,)
    runs: list[DesignRuns] = []
    first: list[MachineResult] = []
    for design in designs:
        of_design = []
        for seed in chosen:
            wanted = samples if seed == chosen[0] else 0
            several = len(chosen) > 1
            label = f"{design.label}, seed {seed}" if several else design.label
            result, run = _simulate_one(
                workload, design, prices, seed, wanted, tables, label, progress
            )
            of_design.append(run)
            if seed == chosen[0]:
                first.append(result)
        runs.append(DesignRuns(design.label, tuple(of_design)))
    return Comparison(
        source=name,
        info=None,
        calls=first[0].totals["operations"],
        span_ns=first[0].totals["now"] // 1000,
        domain=None,
        designs=tuple(runs),
        results=tuple(result.replay for result in first),
        simulation=Simulation(
            summary=workload.summary,
            source=workload.source,
            settings=tuple(settings),
            cpus=workload.machine.online,
            duration_s=workload.duration_s,
            seeds=chosen,
            prices=prices,
            prices_from=prices_from,
        ),
        machines=tuple(first),
    )


def _simulate_one(
    workload: Workload,
    design: DesignSpec,
    prices: Prices,
    seed: int,
    samples: int,
    tables: bool,
    label: str,
    progress: CompareProgress | None,
) -> tuple[MachineResult, Run]:
    def told(done: int, total: int) -> None:
        if progress:
            progress(label, done, total)

    began = time.perf_counter()
    result = simulate(
        workload, design, prices, seed=seed, samples=samples, tables=tables, progress=told
    )
    speed = result.totals["operations"] / (time.perf_counter() - began)
    return result, Run(row_of(result.replay), machine_row_of(result), seed, speed)
