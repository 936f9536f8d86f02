"""What designs are measured on, loaded once and measured many times: a trace or a workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from iova.designs import DesignSpec
from iova.events import Trace
from iova.lab.confidence import mean_of
from iova.lab.machine import simulate
from iova.lab.prices import Prices
from iova.lab.replay import ReplayInput, named_as, prepare, replay
from iova.lab.rows import machine_row_of, metrics_of, row_of
from iova.lab.spread import spread
from iova.workloads import Workload

#: ``progress(done, in all)``: calls of a replay, nanoseconds of a simulation.
Progress = Callable[[int, int], None]


class Subject(Protocol):
    """What a design is measured on."""

    @property
    def name(self) -> str:
        """How tables call it."""

    @property
    def is_simulated(self) -> bool:
        """Whether there are numbers of the simulated machine, too."""

    def measure(self, design: DesignSpec, progress: Progress | None = None) -> dict[str, float]:
        """Every number of the design by name, as in :mod:`iova.lab.rows`, and its ``calls``.

        Raises:
            IovaError: the design can not run on it.
        """


@dataclass(frozen=True)
class TraceSubject:
    """A recorded trace, ready to be replayed."""

    name: str
    source: ReplayInput = field(repr=False)
    cpus: int  #: possible, after spreading
    warnings: tuple[str, ...] = ()  #: what a spread trace can not show

    is_simulated = False

    def measure(self, design: DesignSpec, progress: Progress | None = None) -> dict[str, float]:
        """See :class:`Subject`."""
        with named_as(self.name):
            result = replay(self.source, design, progress=progress)
        return metrics_of(row_of(result)) | {"calls": self.source.calls}


@dataclass(frozen=True)
class WorkloadSubject:
    """A workload on the simulated machine; numbers are means over its seeds."""

    name: str
    workload: Workload
    prices: Prices = field(repr=False)
    seeds: tuple[int, ...]

    is_simulated = True

    def measure(self, design: DesignSpec, progress: Progress | None = None) -> dict[str, float]:
        """See :class:`Subject`."""
        return means([self._run(design, seed, progress) for seed in self.seeds])

    def _run(self, design: DesignSpec, seed: int, progress: Progress | None) -> dict[str, float]:
        result = simulate(self.workload, design, self.prices, seed=seed, progress=progress)
        numbers = metrics_of(row_of(result.replay)) | metrics_of(machine_row_of(result))
        return numbers | {"calls": result.totals["operations"]}


def trace_subject(
    name: str, trace: Trace, *, cpus: int | None = None, domain: int | None = None
) -> TraceSubject:
    """Make a trace ready.

    Args:
        name: how tables call it.
        trace: the calls.
        cpus: spread them over so many CPUs; see :mod:`iova.lab.spread`.
        domain: this domain's calls alone.

    Raises:
        IovaError: the trace can not be replayed, or not be spread so.
    """
    dealt = spread(trace, cpus) if cpus is not None else None
    source = prepare(dealt.trace if dealt else trace, domain=domain)
    return TraceSubject(name, source, source.possible, dealt.warnings if dealt else ())


def means(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each number that all runs have."""
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: mean_of([run[name] for run in runs]) for name in shared}
