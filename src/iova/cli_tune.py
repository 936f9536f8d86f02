"""``iova tune``: from what the user gave to a decision, and the decision shown."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.console import Console

from iova import cli_completion, cli_options, samples
from iova.cli_compare import Bars, CompareRequest
from iova.cli_output import (
    designs_named,
    print_json,
    progress_bars,
    user_code_prints_to_stderr,
    warn,
    warn_of_missing_parts,
)
from iova.cli_status import ANSWER_IS_NO, INTERRUPTED, PARTLY_DONE
from iova.errors import IovaError
from iova.lab.prices import load_prices
from iova.lab.subjects import Subject, WorkloadSubject, trace_subject
from iova.lab.tune_goals import METRICS, parse_goals
from iova.lab.tune_space import parse_space
from iova.sources import load
from iova.workloads import is_workload, load_workload

#: What the progress bar calls each phase.
_PHASES: Final = {
    "as given": "settings",
    "search": "settings",
    "refine": "settings",
    "simplify": "simplifying",
    "sensitivity": "neighbours",
}

Design = Annotated[
    str,
    typer.Option(
        "--design",
        metavar="D",
        autocompletion=cli_completion.designs,
        help="NAME[,key=value...] or module:Class[,key=value...]; what it names stays fixed.",
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="KEY=LOW..HIGH",
        help="Values to try; with ,log ratios matter, with ,STEP every STEP-th. May be given"
        " several times; by default what the design declares.",
    ),
]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="METRIC,...",
        help=f"What is wanted, the most important first: {', '.join(METRICS)}."
        " By default cache,memory.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="METRIC>=X",
        help="A bound to keep on every source, >= or <=, e.g. cache>=99 or p99<=2us.",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(metavar="KIB", min=1, help="The same as --target 'memory<=KIB'."),
]
Trials = Annotated[
    int, typer.Option(metavar="N", min=1, max=100_000, help="Settings the search may try.")
]
SearchSeed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        max=cli_options.LARGEST_SEED,
        help="Seed of the search (1) and of workloads: the same seed, the same answer.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(tune)


def tune(
    sources: cli_options.Sources,
    design: Design = "linux-6.12",
    param: Params = None,
    objective: Objectives = None,
    target: Targets = None,
    budget: Budget = None,
    trials: Trials = 60,
    seed: SearchSeed = None,
    settings: cli_options.Settings = None,
    seeds: cli_options.Seeds = None,
    prices: cli_options.PriceFile = None,
    cpus: cli_options.Cpus = None,
    domain: cli_options.Domain = None,
    as_json: cli_options.AsJson = False,
    allow_lost: cli_options.AllowLost = False,
) -> None:
    """Find the cheapest setting of a design that meets a target.

    And what it costs, and how sure that is. Exit status 1 if no setting met the targets; Ctrl-C
    ends with what was found until then.
    """
    _refuse_without_optuna()
    from iova.lab.tune import tune as search
    from iova.report.tuning import tuning_blocks

    with user_code_prints_to_stderr(), progress_bars() as bars:
        (spec,) = designs_named([design])
        request = CompareRequest(
            tuple(sources),
            (spec,),
            tuple(settings or ()),
            seed if any(map(is_workload, sources)) else None,
            seeds,
            prices,
            cpus,
            domain,
            allow_lost,
        )
        space = parse_space(spec, param or ())
        simulated = all(map(is_workload, sources))
        goals = parse_goals(
            objective or (), target or (), _whole_budget(budget), simulated=simulated
        )
        subjects, all_whole = _subjects(request, bars)
        found = search(
            subjects,
            space,
            goals,
            trials=trials,
            seed=1 if seed is None else seed,
            progress=lambda how, done, most: bars(_PHASES[how])(done, most),
        )
    if as_json:
        print_json(found.to_json())
    else:
        console = Console(soft_wrap=False)
        for block in tuning_blocks(found):
            console.print(block.text, markup=False, highlight=False)
            if block.table:
                console.print(block.table)
            console.print()
    if found.interrupted:
        warn("stopped early: this is what was found until then")
        raise typer.Exit(INTERRUPTED)
    if not found.best.is_feasible:
        raise typer.Exit(ANSWER_IS_NO)
    if not all_whole:
        raise typer.Exit(PARTLY_DONE)


def _refuse_without_optuna() -> None:
    if importlib.util.find_spec("optuna") is None:
        raise IovaError("iova tune needs optuna: install it with  pip install 'iova[tune]'")


def _whole_budget(budget: float | None) -> float | None:
    if budget is not None and not math.isfinite(budget):
        raise IovaError("--budget: how many KiB? It must be a number")
    return budget


def _subjects(request: CompareRequest, bars: Bars) -> tuple[Sequence[Subject], bool]:
    """What settings are measured on, and whether all of every trace was there."""
    found: list[Subject] = []
    all_whole = True
    prices = load_prices(request.prices)
    for source in request.sources:
        if is_workload(source):
            workload = load_workload(source, request.settings)
            found.append(WorkloadSubject(source, workload, prices, request.seeds_of(workload)))
            continue
        loaded = load(
            samples.resolve(source), allow_lost=request.allow_lost, progress=bars("reading")
        )
        warn_of_missing_parts(source, loaded.report)
        all_whole &= loaded.report.is_whole
        subject = trace_subject(source, loaded.trace, cpus=request.cpus, domain=request.domain)
        for warning in subject.warnings:
            warn(warning)
        found.append(subject)
    return found, all_whole
