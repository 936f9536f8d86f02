"""Arguments and options of the command's verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from iova import cli_completion
from iova.designs import LINUX_DESIGNS
from iova.lab.result_file import MOST_RUNS
from iova.sources.formats import Format
from iova.workloads.events import DEFAULT_DESIGN

#: The runs of --seeds have room above it.
LARGEST_SEED: Final = 2**63 - 1 - MOST_RUNS

_KINDS = "text, .zst or Parquet, - for standard input; a preset's or sample's name; or a .toml file"


def _bounded_seed(seed: int | None) -> int | None:
    if seed is not None and seed > LARGEST_SEED:
        raise typer.BadParameter(f"the largest seed is {LARGEST_SEED}")
    return seed


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help=f"A trace or a workload: {_KINDS} of a workload.",
        autocompletion=cli_completion.sources,
    ),
]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help=f"Traces and workloads: {_KINDS} of a workload.",
        autocompletion=cli_completion.sources,
    ),
]
AllowLost = Annotated[
    bool, typer.Option("--allow-lost", help="Accept a trace that says it lost events.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for machines; `iova list schemas`.")
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="F",
        help=f"Traces: read SOURCE as {', '.join(Format)}; by default what its first lines show.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Workloads: change a parameter, e.g. cpus=128, duration_s=5, flow.disk.depth=8;"
        " `iova info PRESET` shows them. May be given several times.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        callback=_bounded_seed,
        help="Workloads: seed of everything left to chance.",
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=MOST_RUNS,
        help="Workloads: N runs, with the seeds that follow one another; means and their"
        " 95 % confidence.",
    ),
]
PriceFile = Annotated[
    Path | None,
    typer.Option(
        "--prices", metavar="FILE", help="Workloads: what each step costs; a TOML price table."
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Recorded traces: deal the calls over so many CPUs, by a rule."
    ),
]
Domain = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Recorded traces: replay this domain's calls alone."),
]
Against = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="An earlier result, from --json: what changed, and is it by chance?"
    ),
]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML report.")
]
Png = Annotated[
    Path | None,
    typer.Option(
        "--png", metavar="DIR", help="Write each of the report's charts as PNG and SVG there."
    ),
]
AsText = Annotated[
    bool, typer.Option("--text", help="Print plain text of 72 columns, for the body of a mail.")
]
Designs = Annotated[
    list[str] | None,
    typer.Option(
        "--design",
        metavar="D",
        autocompletion=cli_completion.designs,
        help="NAME[,key=value...] or module:Class[,key=value...]; may be given several times."
        f" By default: {', '.join(LINUX_DESIGNS)}.",
    ),
]
ConvertDesign = Annotated[
    str | None,
    typer.Option(
        "--design",
        metavar="D",
        autocompletion=cli_completion.designs,
        help="Workloads: the design under which the calls are made; their addresses and times"
        f" are its. By default {DEFAULT_DESIGN}. Traces to Perfetto: the design whose counters are"
        " shown; by default the recorded kernel's or live domain's.",
    ),
]
RecordedDesign = Annotated[
    str | None,
    typer.Option(
        "--design",
        metavar="D",
        autocompletion=cli_completion.designs,
        help="Design of the recorded kernel, if the trace names none.",
    ),
]
Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="A recorded trace, or a folder of conformance vectors.",
        autocompletion=cli_completion.paths,
    ),
]
OutFile = Annotated[
    Path,
    typer.Argument(
        metavar="OUT",
        help="File to write: OUT.pftrace for Perfetto (ui.perfetto.dev); else Parquet.",
    ),
]
ListName = Annotated[
    str | None,
    typer.Argument(
        metavar="[designs|presets|samples|schemas]",
        help="What to list; all of it.",
        autocompletion=cli_completion.lists,
    ),
]
