"""The command ``iova``: few verbs, each a thin wrapper of a function of the lab.

Exit status: 0 done; 1 the answer is no (``verify``, ``tune``); 2 an error, told in one sentence on
standard error; 3 done, but part of the input could not be used (``compare``, ``convert``,
``info``); 130 stopped with Ctrl-C, 143 by SIGTERM, with no half-written file left behind.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from iova import (
    cli_convert,
    cli_explain,
    cli_options,
    cli_record,
    cli_sweep,
    cli_top,
    cli_tune,
    samples,
)
from iova.cli_compare import (
    CompareRequest,
    compare_all,
    print_comparisons,
    refuse_settings_of_traces,
)
from iova.cli_output import (
    designs_named,
    print_json,
    print_result,
    progress_bars,
    refuse_unusable_output,
    user_code_prints_to_stderr,
    warn,
    warn_of_missing_parts,
)
from iova.cli_status import (
    ANSWER_IS_NO,
    INTERRUPTED,
    NO_READER,
    PARTLY_DONE,
    SIGNALLED,
)
from iova.designs import LINUX_DESIGNS, builtin_designs
from iova.errors import ENDING_SIGNALS, EndedBySignal, InputError, IovaError
from iova.files import refuse_unwritable
from iova.lab import conformance, verify_trace
from iova.lab.against import Against, compare_against
from iova.lab.compare import Comparison
from iova.lab.result_file import read_result, result_json
from iova.report import text
from iova.report.mail import mail_text
from iova.report.schemas import schema_list, schemas
from iova.report.workload import preset_list, workload_json, workload_text
from iova.sources import info as source_info
from iova.sources import load
from iova.version import version_text
from iova.words import printable, suggestion
from iova.workloads import is_workload, load_workload, presets

#: Rows of the time series a design gets in a report.
REPORT_SAMPLES = 2400

#: Of this all errors on a command line are: typer names none of its bases in public.
USAGE_ERROR: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="iova",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(version_text())
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version, and what it was built from and with.",
        ),
    ] = False,
) -> None:
    """The Linux IOVA allocator as a lab: replay traces, simulate workloads, compare designs.

    Exit status: 0 done; 1 the answer is no (verify, tune); 2 an error; 3 done, but part of an
    input was malformed and left out, or cells of a sweep failed; 130 stopped with Ctrl-C.
    """


# --------------------------------------------------------------------------------- verbs


@app.command()
def compare(
    sources: cli_options.Sources,
    design: cli_options.Designs = None,
    settings: cli_options.Settings = None,
    seed: cli_options.Seed = None,
    seeds: cli_options.Seeds = None,
    prices: cli_options.PriceFile = None,
    cpus: cli_options.Cpus = None,
    domain: cli_options.Domain = None,
    against: cli_options.Against = None,
    as_json: cli_options.AsJson = False,
    html: cli_options.Html = None,
    png: cli_options.Png = None,
    as_text: cli_options.AsText = False,
    allow_lost: cli_options.AllowLost = False,
) -> None:
    """Compare depot designs: replay traces, simulate workloads.

    One table a source, one row a design. Exit status 3 if lines of a trace were malformed.
    """
    inputs = [*map(samples.resolve, sources), *(str(f) for f in (prices, against) if f)]
    refuse_unusable_output(html, inputs)
    if as_text and (as_json or against):
        raise IovaError(f"--text does not go with {'--json' if as_json else '--against'}")
    if png and png.exists() and not png.is_dir():
        raise InputError(str(png), "is not a folder.", hint="--png writes several files.")
    if png and png.exists():
        refuse_unwritable(png, png)
    earlier = read_result(against) if against else None
    with user_code_prints_to_stderr(), progress_bars() as bars:
        request = CompareRequest(
            tuple(sources),
            tuple(designs_named(design or LINUX_DESIGNS)),
            tuple(settings or ()),
            seed,
            seeds,
            prices,
            cpus,
            domain,
            allow_lost,
            samples=REPORT_SAMPLES if html or png or as_text else 0,
            tables=bool(html or png),
        )
        compared = compare_all(request, bars)
    changed = compare_against(compared.comparisons, earlier) if earlier else None
    command = shlex.join(["iova", *sys.argv[1:]])
    written: list[str] = []
    failure: Exception | None = None
    try:
        written = _write_report(compared.comparisons, html, png, changed, command)
    except (IovaError, OSError) as error:  # what was found out needs no file
        failure = error
    if as_json:
        told = result_json(compared.comparisons)
        print_json(told | {"against": changed.to_json()} if changed else told)
    elif as_text:
        print(mail_text(compared.comparisons, command))
    else:
        print_comparisons(compared.comparisons, changed, written)
    if failure:
        raise failure
    if not compared.all_whole:
        raise typer.Exit(PARTLY_DONE)


def _write_report(
    comparisons: Sequence[Comparison],
    html: Path | None,
    png: Path | None,
    changed: Against | None,
    command: str,
) -> list[str]:
    """Write what is asked for; lines that say what was written."""
    told = []
    if html:
        from iova.report import page  # what draws takes long to load

        page.write_page(comparisons, html, command=command, against=changed)
        told.append(f"report: {printable(str(html))}")
    if png:
        from iova.report import pictures

        files = pictures.write_pictures(comparisons, png)
        names = ", ".join(path.name for path in files)
        told.append(f"pictures: {len(files)} in {printable(str(png))}: {names}")
    return told


@app.command()
def verify(
    paths: cli_options.Paths,
    design: cli_options.RecordedDesign = None,
    as_json: cli_options.AsJson = False,
    allow_lost: cli_options.AllowLost = False,
) -> None:
    """Predict every recorded address, call for call.

    Exit status 0 only if everything is exact.
    """
    verdicts = []
    for path in paths:
        resolved = samples.resolve(path)
        if os.path.isdir(resolved):  # unlike Path's, never an error  # noqa: PTH112
            verdicts.append(_verify_folder(path, as_json))
        else:
            verdicts.append(_verify_trace(path, resolved, design, allow_lost, as_json))
    if as_json:
        print_result("verify", {"verdicts": verdicts})
    if not all(verdict["exact"] for verdict in verdicts):
        raise typer.Exit(ANSWER_IS_NO)


@app.command()
def info(
    source: cli_options.Source,
    settings: cli_options.Settings = None,
    as_json: cli_options.AsJson = False,
    allow_lost: cli_options.AllowLost = False,
) -> None:
    """Print what a trace holds, or what a workload is.

    A workload: its parameters, and where its shape comes from. Exit status 3 if lines of a
    trace were malformed.
    """
    if is_workload(source):
        workload = load_workload(source, settings or ())
        if as_json:
            print_result("info", {"kind": "workload"} | workload_json(workload))
        else:
            print(workload_text(workload))
        return
    refuse_settings_of_traces([source], settings or ())
    with progress_bars() as bars:
        loaded = load(samples.resolve(source), allow_lost=allow_lost, progress=bars("reading"))
    summary = source_info.summarise(loaded.trace)
    if as_json:
        print_result("info", {"kind": "trace"} | asdict(summary))
    else:
        print(text.trace_summary(source, summary))
        problems = text.import_problems(loaded.report)
        if problems:
            print(problems)
    if not loaded.report.is_whole:
        if as_json:
            warn_of_missing_parts(source, loaded.report)
        raise typer.Exit(PARTLY_DONE)


@app.command(name="list")
def list_(what: cli_options.ListName = None, as_json: cli_options.AsJson = False) -> None:
    """List designs, workloads, bundled traces, schemas of --json."""
    lists: dict[str, tuple[Any, str]] = {
        "designs": ([asdict(design) for design in builtin_designs()], text.design_list()),
        "presets": ([asdict(preset) for preset in presets()], preset_list()),
        "samples": ([asdict(sample) for sample in samples.SAMPLES], text.sample_list()),
        "schemas": (schemas(), schema_list()),
    }
    if what is not None and what not in lists:
        raise IovaError(f"there is no list of {what!r}. {suggestion(what, lists)}")
    chosen = [what] if what else list(lists)
    if as_json:
        print_result("list", {name: lists[name][0] for name in chosen})
    else:
        print("\n\n".join(lists[name][1] for name in chosen))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
    help=cli_record.SUMMARY,
)
def record(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARGUMENTS...]",
            help="Options of the recorder, then -- and a command; `iova record --help` has them.",
        ),
    ] = None,
    as_json: cli_options.AsJson = False,
) -> None:
    """Hand over to the recorder, which parses its own arguments."""
    raise typer.Exit(cli_record.main([*(["--json"] if as_json else []), *(arguments or [])]))


cli_convert.register(app)
cli_explain.register(app)
cli_tune.register(app)
cli_sweep.register(app)
cli_top.register(app)


# ----------------------------------------------------------------------------- verifying


def _verify_folder(path: str, as_json: bool) -> dict[str, Any]:
    verdicts = []
    with progress_bars() as bars:
        done = 0

        def told(rows: int) -> None:
            nonlocal done
            done += rows
            bars("rows")(done, None)

        for verdict in conformance.verify_folder(path, progress=told):
            verdicts.append(verdict)
            if not as_json:
                print(text.sequence_line(verdict), flush=True)
    exact = sum(verdict.exact for verdict in verdicts)
    if not as_json:
        print(f"{exact} of {len(verdicts)} exact")
    return {
        "path": path,
        "exact": exact == len(verdicts) > 0,
        "sequences": [asdict(verdict) for verdict in verdicts],
    }


def _verify_trace(
    name: str, resolved: str, design: str | None, allow_lost: bool, as_json: bool
) -> dict[str, Any]:
    with progress_bars() as bars:
        loaded = load(resolved, allow_lost=allow_lost, progress=bars("reading"))
        verdict = verify_trace.verify_trace(
            loaded.trace,
            design=design,
            source=name,
            progress=lambda done, total, what: bars(what)(done, total),
        )
    if as_json:
        warn_of_missing_parts(name, loaded.report)
    else:
        print(text.trace_verdict(name, verdict, loaded.report))
    return {
        "path": name,
        **asdict(verdict),
        "exact": verdict.explained
        and verdict.state_before < max(verdict.total, 1)
        and loaded.report.is_whole,
        "predictable": verdict.total - verdict.state_before,
        "exact_addresses": verdict.exact,
        "malformed": loaded.report.malformed_count,
        "incomplete": list(loaded.report.incomplete),
    }


# --------------------------------------------------------------------------------- ending


def _stop(problem: object, status: int) -> int:
    warn(str(problem))
    return status


def _without_reader() -> int:
    """Whoever read our output has gone: say nothing more, end as if by SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NO_READER


def _end_by(number: int, _frame: FrameType | None) -> NoReturn:
    """A signal's handler: ends like any command does, with files and probes removed."""
    raise EndedBySignal(SIGNALLED + number)


def _end_well_by_signals() -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # there Python sets no handlers
    # Polars' handler has the kernel restart a read, so Ctrl-C would wait for the pipe to end.
    signal.siginterrupt(signal.SIGINT, True)
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, _end_by)


def run(arguments: list[str] | None = None) -> int:
    """Run the command; its exit status. Errors a user can act on are one line, no traceback."""
    _end_well_by_signals()
    try:
        result = app(arguments, standalone_mode=False, prog_name=app.info.name)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return _stop("stopped", INTERRUPTED)
    except USAGE_ERROR as error:
        error.show()
        return InputError.exit_status
    except IovaError as error:
        return _stop(error, error.exit_status)
    except BrokenPipeError:
        return _without_reader()
    except SystemExit as stop:  # completion ends so; and typer makes it of a broken pipe
        if isinstance(stop.__context__, BrokenPipeError):
            return _without_reader()
        sys.stdout.flush()
        return stop.code if isinstance(stop.code, int) else 0
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _stop(f"{name}{error.strerror or error}.", InputError.exit_status)
    except MemoryError:
        return _stop("out of memory", InputError.exit_status)
    if result == INTERRUPTED:  # typer makes a status of typer.Exit, and of Ctrl-C
        return _stop("stopped", INTERRUPTED)
    return result if isinstance(result, int) else 0
