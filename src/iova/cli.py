"""The command ``iova``: few verbs, each a thin wrapper of a function of the lab.

Exit status: 0 done; 1 the answer is no (``verify``); 2 an error, told in one sentence on
standard error; 3 done, but part of the input could not be used (``convert``); 130 stopped
with Ctrl-C, with no half-written file left behind.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from iova import _core, samples
from iova.designs import LINUX_DESIGNS, builtin_designs, parse_design
from iova.errors import InputError, IovaError
from iova.lab import compare as lab_compare
from iova.lab import conformance, verify_trace
from iova.report import page, table, text
from iova.sources import info as source_info
from iova.sources import load
from iova.sources.convert import convert as convert_source

NOT_EXACT = 1
PARTLY_DONE = 3
INTERRUPTED = 130
NO_READER = 141

#: Rows of the time series a design gets in a report.
REPORT_SAMPLES = 800

#: Of this all errors on a command line are: typer names none of its bases in public.
USAGE_ERROR: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="iova",
    help="The Linux IOVA allocator as a lab: replay traces, compare depot designs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

# ------------------------------------------------------------------------------- options

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A trace: text, .zst or Parquet, - for standard input; or a sample's name.",
    ),
]
SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Traces: text, .zst or Parquet, - for standard input; or samples' names.",
    ),
]
AllowLost = Annotated[
    bool, typer.Option("--allow-lost", help="Accept a trace that says it lost events.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"iova {_core.VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """The Linux IOVA allocator as a lab: replay traces, compare depot designs."""


# --------------------------------------------------------------------------------- verbs


@app.command()
def compare(
    sources: SourcesArgument,
    design: Annotated[
        list[str] | None,
        typer.Option(
            "--design",
            metavar="D",
            help="NAME[,key=value...] or module:Class[,key=value...]; may be given several times."
            f" By default: {', '.join(LINUX_DESIGNS)}.",
        ),
    ] = None,
    domain: Annotated[
        int | None, typer.Option(metavar="N", help="Replay this domain's calls alone.")
    ] = None,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML report.")
    ] = None,
    allow_lost: AllowLost = False,
) -> None:
    """Replay traces under several depot designs: one table a trace, one row a design."""
    specs = [parse_design(one) for one in design or LINUX_DESIGNS]
    comparisons = []
    with _progress() as progress:
        for source in sources:
            resolved = samples.resolve(source)
            _refuse_overwriting(resolved, html)
            loaded = load(resolved, allow_lost=allow_lost, progress=progress("reading"))
            _warn_of_malformed(source, loaded.report.malformed_count)
            trace = loaded.trace
            comparisons.append(
                lab_compare.compare(
                    source,
                    trace,
                    specs,
                    domain=domain,
                    samples=REPORT_SAMPLES if html else 0,
                    progress=lambda label, done, total: progress(label)(done, total),
                )
            )
    if html:
        page.write_page(comparisons, html, command=shlex.join(["iova", *sys.argv[1:]]))
    if as_json:
        _print_json([comparison.to_json() for comparison in comparisons])
        return
    console = Console(soft_wrap=False)
    for comparison in comparisons:
        console.print(table.headline(comparison), markup=False, highlight=False)
        console.print(table.comparison_table(comparison))
        console.print()
    console.print(table.legend(), markup=False, highlight=False)
    if html:
        console.print(f"\nreport: {html}", markup=False, highlight=False)


@app.command()
def verify(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="A recorded trace, or a folder of conformance vectors."
        ),
    ],
    design: Annotated[
        str | None,
        typer.Option(metavar="D", help="Design of the recorded kernel, if the trace names none."),
    ] = None,
    as_json: AsJson = False,
    allow_lost: AllowLost = False,
) -> None:
    """Show that the allocator returns, call for call, what was recorded.

    Exit status 0 only if everything is exact.
    """
    verdicts = []
    for path in paths:
        resolved = samples.resolve(path)
        if Path(resolved).is_dir():
            verdicts.append(_verify_folder(path, as_json))
        else:
            verdicts.append(_verify_trace(path, resolved, design, allow_lost, as_json))
    if as_json:
        _print_json(verdicts)
    if not all(verdict["exact"] for verdict in verdicts):
        raise typer.Exit(NOT_EXACT)


@app.command()
def convert(
    source: SourceArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT.parquet", help="File to write.")],
    as_json: AsJson = False,
    allow_lost: AllowLost = False,
) -> None:
    """Turn a kernel trace into a Parquet file of events.

    Exit status 3 if some lines were malformed; the good rest is written all the same.
    """
    with _progress() as progress:
        report = convert_source(
            samples.resolve(source), out, allow_lost=allow_lost, progress=progress("converting")
        )
    if as_json:
        _print_json(asdict(report))
    else:
        print(text.import_report(report, out))
    if report.malformed_count:
        raise typer.Exit(PARTLY_DONE)


@app.command()
def info(source: SourceArgument, as_json: AsJson = False, allow_lost: AllowLost = False) -> None:
    """Print what a trace holds: kernel, domains, calls, sizes, CPUs, losses."""
    with _progress() as progress:
        loaded = load(samples.resolve(source), allow_lost=allow_lost, progress=progress("reading"))
    summary = source_info.summarise(loaded.trace)
    if as_json:
        _print_json(asdict(summary))
    else:
        print(text.trace_summary(source, summary))
        problems = text.import_problems(loaded.report)
        if problems:
            print(problems)


@app.command(name="list")
def list_(
    what: Annotated[
        str | None, typer.Argument(metavar="[designs|samples]", help="What to list; all of it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the depot designs with their parameters, and the bundled traces."""
    lists: dict[str, tuple[Any, str]] = {
        "designs": ([asdict(design) for design in builtin_designs()], text.design_list()),
        "samples": ([asdict(sample) for sample in samples.SAMPLES], text.sample_list()),
    }
    if what is not None and what not in lists:
        raise IovaError(f"there is no list of {what!r}; there are: {', '.join(lists)}")
    chosen = [what] if what else list(lists)
    if as_json:
        _print_json({name: lists[name][0] for name in chosen})
    else:
        print("\n\n".join(lists[name][1] for name in chosen))


# ----------------------------------------------------------------------------- verifying


def _verify_folder(path: str, as_json: bool) -> dict[str, Any]:
    verdicts = []
    with _progress() as progress:
        done = 0

        def told(rows: int) -> None:
            nonlocal done
            done += rows
            progress("rows")(done, None)

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
    with _progress() as progress:
        loaded = load(resolved, allow_lost=allow_lost, progress=progress("reading"))
        verdict = verify_trace.verify_trace(
            loaded.trace,
            design=design,
            source=name,
            progress=lambda done, total, what: progress(what)(done, total),
        )
    malformed = loaded.report.malformed_count
    if not as_json:
        print(text.trace_verdict(name, verdict, malformed))
    return {
        "path": name,
        **asdict(verdict),
        "exact": verdict.explained
        and verdict.state_before < max(verdict.total, 1)
        and not malformed,
        "exact_addresses": verdict.exact,
        "malformed": malformed,
    }


# ------------------------------------------------------------------------------- plumbing


class _RateColumn(ProgressColumn):
    """Bytes, rows or events a second, whatever the task counts."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{table.short_count(speed)}/s")


@contextmanager
def _progress() -> Iterator[Callable[[str], Callable[[int, int | None], None]]]:
    """Progress bars on standard error: ``progress(what)(done, total)``; nothing off a terminal."""
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, Any] = {}

    def start(what: str) -> Callable[[int, int | None], None]:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=None)

        def told(done: int, total: int | None) -> None:
            bars.update(tasks[what], completed=done, total=total)

        return told

    with bars:
        yield start


def _refuse_overwriting(source: str, out: Path | None) -> None:
    if out is not None and out.exists() and Path(source).exists() and out.samefile(source):
        raise InputError(str(out), "is an input as well.", hint="Name another file to write.")


def _warn_of_malformed(source: str, count: int) -> None:
    if count:
        told = f"{source}: {count} malformed lines were left out; `iova info` shows them"
        print(f"iova: {told}", file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))


def _stop(problem: object, status: int) -> int:
    print(f"iova: {problem}", file=sys.stderr)
    return status


def _without_reader() -> int:
    """Whoever read our output has gone: say nothing more, end as if by SIGPIPE."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return NO_READER


def run(arguments: list[str] | None = None) -> int:
    """Run the command; its exit status. Errors a user can act on are one line, no traceback."""
    # Polars' handler has the kernel restart a read, so Ctrl-C would wait for the pipe to end.
    signal.siginterrupt(signal.SIGINT, True)
    try:
        result = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as stop:
        return _stop("stopped", INTERRUPTED) if stop.exit_code == INTERRUPTED else stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _stop("stopped", INTERRUPTED)
    except USAGE_ERROR as error:
        error.show()
        return InputError.exit_status
    except IovaError as error:
        return _stop(error, error.exit_status)
    except (BrokenPipeError, SystemExit):  # the latter is what typer makes of the former
        return _without_reader()
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _stop(f"{name}{error.strerror or error}", InputError.exit_status)
    except MemoryError:
        return _stop("out of memory", InputError.exit_status)
    return result if isinstance(result, int) else 0
