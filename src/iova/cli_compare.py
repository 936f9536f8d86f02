"""``iova compare``: from what the user gave to comparisons, and from these to what is shown."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from iova import samples
from iova.cli_output import warn_of_contradiction, warn_of_missing_parts
from iova.designs import DesignError, DesignSpec
from iova.errors import InputError, IovaError
from iova.lab import compare as lab_compare
from iova.lab.against import Against
from iova.lab.compare import Comparison
from iova.lab.prices import Prices, load_prices
from iova.report import changes, table
from iova.sources import load
from iova.sources.pieces import STANDARD_INPUT
from iova.words import meant, printable
from iova.workloads import Workload, is_workload, load_workload, presets

#: ``progress(what)(done, total)``
Bars = Callable[[str], Callable[[int, int | None], None]]


@dataclass(frozen=True)
class CompareRequest:
    """What the user asked for."""

    sources: tuple[str, ...]
    designs: tuple[DesignSpec, ...]
    settings: tuple[str, ...] = ()
    seed: int | None = None
    seeds: int | None = None
    prices: Path | None = None
    cpus: int | None = None
    domain: int | None = None
    allow_lost: bool = False
    samples: int = 0
    tables: bool = False

    def __post_init__(self) -> None:
        workloads = [source for source in self.sources if is_workload(source)]
        traces = [source for source in self.sources if not is_workload(source)]
        refuse_settings_of_traces(traces, self.settings)
        if not workloads:
            refuse_seeds_of_traces(traces, self.seed, self.seeds, self.prices)
        refuse_twice(self.designs)
        if workloads and self.cpus is not None:
            raise IovaError(
                f"--cpus is for recorded traces; for {workloads[0]} use --set cpus={self.cpus}"
            )
        if workloads and self.domain is not None:
            raise IovaError(
                f"--domain is for recorded traces; {workloads[0]} is a workload, whose domains"
                " are compared together"
            )

    def seeds_of(self, workload: Workload) -> tuple[int, ...]:
        """One a run."""
        first = workload.seed if self.seed is None else self.seed
        return tuple(range(first, first + (self.seeds or 1)))


def refuse_twice(designs: Sequence[DesignSpec]) -> None:
    """Two rows of one design say no more than one.

    Raises:
        DesignError: a design is there twice, be its parameters in another order.
    """
    seen: set[object] = set()
    for one in designs:
        what = (one.name, one.policy_class, frozenset(one.params), frozenset(one.options))
        if what in seen:
            raise DesignError(f"--design {one.text}: is given twice. Give it once.")
        seen.add(what)


def refuse_absent(traces: Sequence[str]) -> None:
    """What is no workload's name may be a file's or a bundled trace's; or it is misspelt.

    Raises:
        InputError: one of them is neither.
    """
    for source in traces:
        if source != STANDARD_INPUT and not os.path.lexists(samples.resolve(source)):
            names = [*(one.name for one in presets()), *(one.name for one in samples.SAMPLES)]
            close = meant(source, names)
            raise InputError(
                source,
                "is no file, and no preset or bundled trace has that name.",
                hint=f"Did you mean {close}?" if close else "`iova list` shows their names.",
            )


def refuse_settings_of_traces(traces: Sequence[str], settings: Sequence[str]) -> None:
    """A recorded trace has no parameters.

    Raises:
        InputError: a trace is not there.
        IovaError: settings are given and traces as well.
    """
    refuse_absent(traces)
    if traces and settings:
        raise IovaError(
            f"--set {settings[0]}: {traces[0]} is a recorded trace and has no parameters; --set"
            " is for workloads (`iova list presets`)"
        )


def refuse_seeds_of_traces(
    traces: Sequence[str], seed: int | None, seeds: int | None, prices: Path | None
) -> None:
    """A replay is always the same and has no prices.

    Raises:
        InputError: a trace is not there.
        IovaError: one of these options is given.
    """
    refuse_absent(traces)
    named = traces[0] if traces else "the source"
    if seeds is not None or seed is not None:
        option = "--seeds" if seeds is not None else "--seed"
        raise IovaError(
            f"{option}: {named} is a recorded trace and has no seed: its replay is always the same"
        )
    if prices is not None:
        raise IovaError(f"--prices: {named} is a recorded trace: a replay has no prices")


# ------------------------------------------------------------------------------- comparing


@dataclass(frozen=True)
class Compared:
    """All comparisons, and whether all of every input could be used."""

    comparisons: tuple[Comparison, ...]
    all_whole: bool


def compare_all(request: CompareRequest, bars: Bars) -> Compared:
    """Compare the designs on each source.

    Raises:
        IovaError: a source can not be read, replayed or simulated.
    """
    # Workloads first, and all of them: what is wrong with one is told before anything runs.
    workloads = {
        source: load_workload(source, request.settings)
        for source in request.sources
        if is_workload(source)
    }
    prices = load_prices(request.prices) if workloads else None
    comparisons, all_whole = [], True
    for source in request.sources:
        workload = workloads.get(source)
        if workload is not None and prices is not None:
            comparisons.append(_compare_workload(request, source, workload, prices, bars))
        else:
            comparison, whole = _compare_trace(request, source, bars)
            comparisons.append(comparison)
            all_whole &= whole
    return Compared(tuple(comparisons), all_whole)


def _compare_workload(
    request: CompareRequest, source: str, workload: Workload, prices: Prices, bars: Bars
) -> Comparison:
    return lab_compare.compare_workload(
        source,
        workload,
        request.designs,
        prices,
        seeds=request.seeds_of(workload),
        settings=request.settings,
        prices_from=f"prices {request.prices}" if request.prices else "default prices",
        samples=request.samples,
        tables=request.tables,
        progress=lambda label, done, total: bars(label)(done, total),
    )


def _compare_trace(request: CompareRequest, source: str, bars: Bars) -> tuple[Comparison, bool]:
    resolved = samples.resolve(source)
    loaded = load(resolved, allow_lost=request.allow_lost, progress=bars("reading"))
    warn_of_missing_parts(source, loaded.report)
    contradiction = warn_of_contradiction(source, loaded)
    comparison = lab_compare.compare(
        source,
        loaded.trace,
        request.designs,
        domain=request.domain,
        cpus=request.cpus,
        samples=request.samples,
        tables=request.tables,
        progress=lambda label, done, total: bars(label)(done, total),
    )
    digest = _sha256(Path(resolved)) if request.samples else None
    warnings = comparison.warnings
    if contradiction:
        warnings = (f"{contradiction[0].upper()}{contradiction[1:]}.", *warnings)
    comparison = dataclasses.replace(comparison, digest=digest, warnings=warnings)
    return comparison, loaded.report.is_whole


def _sha256(path: Path) -> str | None:
    """Of a file; None of a pipe, which can be read only once."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------------- showing

#: What the tables need.
_LEAST_WIDTH: Final = 80


def print_comparisons(
    comparisons: Sequence[Comparison], against: Against | None, written: Sequence[str]
) -> None:
    """Tables, legend, what cannot be shown, what changed; 80 columns."""
    # A narrower terminal folds the lines itself: what does not fit would be cut off here.
    console = Console(soft_wrap=False, width=max(_LEAST_WIDTH, Console().width))

    def say(told: str) -> None:
        console.print(told, markup=False, highlight=False)

    for comparison in comparisons:
        say(_filled(table.headline(comparison), console.width))
        console.print(table.comparison_table(comparison))
        of_machine = table.machine_table(comparison)
        if of_machine is not None:
            say("")
            console.print(of_machine)
        for warning in comparison.warnings:
            say(_filled(f"! {printable(warning)}", console.width))
        say("")
    say(table.legend(comparisons))
    if against:
        say("\n" + changes.changes_text(against))
    for line in written:
        say(f"\n{line}")


def _filled(told: str, width: int) -> str:
    return textwrap.fill(
        told, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
