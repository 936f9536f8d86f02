"""``iova convert``: a trace, or what a workload calls, as Parquet or for Perfetto."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from iova import cli_options, samples
from iova.cli_compare import Bars, refuse_seeds_of_traces, refuse_settings_of_traces
from iova.cli_output import (
    designs_named,
    print_result,
    progress_bars,
    refuse_unusable_output,
    user_code_prints_to_stderr,
)
from iova.cli_status import PARTLY_DONE
from iova.designs import DesignSpec
from iova.errors import IovaError
from iova.events import Trace
from iova.files import refuse_other_format
from iova.lab.explain import recorded_design
from iova.lab.prices import load_prices
from iova.report import text
from iova.report.perfetto import PerfettoReport, is_perfetto, write_perfetto
from iova.sources import Format, ImportReport, load
from iova.sources.convert import convert as convert_source
from iova.sources.formats import parse_format
from iova.sources.parquet import write_parquet
from iova.workloads import is_workload, load_workload
from iova.workloads.events import DEFAULT_DESIGN, generate


@dataclass(frozen=True)
class _Done:
    """What became of the input, and what was written for Perfetto."""

    report: ImportReport
    perfetto: PerfettoReport | None = None


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(convert)


def convert(
    source: cli_options.Source,
    out: cli_options.OutFile,
    settings: cli_options.Settings = None,
    seed: cli_options.Seed = None,
    design: cli_options.ConvertDesign = None,
    prices: cli_options.PriceFile = None,
    as_json: cli_options.AsJson = False,
    allow_lost: cli_options.AllowLost = False,
    kind: cli_options.InputFormat = None,
) -> None:
    """Turn a trace or a workload into Parquet, or a trace for Perfetto.

    Parquet: the events, as every other verb reads them. OUT.pftrace: calls as slices of their
    CPUs, and as counters what a design does with them. Exit status 3 if some lines were
    malformed; the good rest is written all the same.
    """
    forced = parse_format(kind) if kind is not None else None
    inputs = [samples.resolve(source), *([str(prices)] if prices else [])]
    refuse_unusable_output(out, inputs)
    refuse_other_format(out, "Name OUT.parquet, or for Perfetto OUT.pftrace.")
    with user_code_prints_to_stderr(), progress_bars() as bars:
        if is_workload(source):
            _refuse_format_of_workload(source, forced)
            done = _workload(source, out, settings or (), seed, design, prices, bars)
        else:
            refuse_settings_of_traces([source], settings or ())
            refuse_seeds_of_traces([source], seed, None, prices)
            done = _trace(source, out, design, allow_lost, forced, bars)
    if as_json:
        told = {"perfetto": done.perfetto and asdict(done.perfetto)}
        print_result("convert", asdict(done.report) | told)
    else:
        print(text.import_report(done.report, out))
        if done.perfetto:
            print(text.perfetto_report(done.perfetto))
    if not done.report.is_whole:
        raise typer.Exit(PARTLY_DONE)


def _workload(
    source: str,
    out: Path,
    settings: Sequence[str],
    seed: int | None,
    design: str | None,
    prices: Path | None,
    bars: Bars,
) -> _Done:
    workload = load_workload(source, settings)
    table = load_prices(prices).as_dict()
    (spec,) = designs_named([design or DEFAULT_DESIGN])
    trace = generate(workload, table, design=spec, seed=seed, progress=bars("generating"))
    report = ImportReport(source=source, rows=trace.events.height, notes=trace.info.notes)
    if is_perfetto(out):
        return _Done(report, _perfetto(source, trace, out, spec, workload.machine.classes, bars))
    write_parquet(trace, out)
    return _Done(report)


def _refuse_format_of_workload(source: str, forced: Format | None) -> None:
    if forced is not None:
        raise IovaError(f"--format: {source} is a workload: a format is for a trace")


def _trace(
    source: str, out: Path, design: str | None, allow_lost: bool, forced: Format | None, bars: Bars
) -> _Done:
    resolved = samples.resolve(source)
    if is_perfetto(out):
        loaded = load(resolved, kind=forced, allow_lost=allow_lost, progress=bars("reading"))
        (spec,) = designs_named([design]) if design else (recorded_design(source, loaded.trace),)
        return _Done(loaded.report, _perfetto(source, loaded.trace, out, spec, 6, bars))
    if design is not None:
        raise IovaError(
            f"--design: {source} is a recorded trace: its calls are those of its kernel; a design"
            " is for OUT.pftrace, whose counters it gives"
        )
    return _Done(
        convert_source(
            resolved, out, kind=forced, allow_lost=allow_lost, progress=bars("converting")
        )
    )


def _perfetto(
    source: str, trace: Trace, out: Path, design: DesignSpec, classes: int, bars: Bars
) -> PerfettoReport:
    return write_perfetto(
        trace,
        out,
        name=source,
        design=design,
        classes=classes,
        progress=lambda what, done, total: bars(what)(done, total),
    )
