"""``iova explain``: from a source to what is wrong with it, or to one address' story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from iova import cli_completion, cli_options, samples
from iova.cli_compare import Bars, refuse_seeds_of_traces, refuse_settings_of_traces
from iova.cli_output import (
    designs_named,
    print_result,
    progress_bars,
    user_code_prints_to_stderr,
    warn_of_contradiction,
    warn_of_missing_parts,
)
from iova.cli_status import PARTLY_DONE
from iova.designs import DesignSpec
from iova.events import Trace
from iova.lab.explain import Explanation, explain, recorded_design
from iova.lab.explain_address import Story, parse_address, story_of
from iova.lab.explain_facts import Facts, of_domain
from iova.lab.prices import Prices, load_prices
from iova.lab.replay import named_as
from iova.report.explanation import explanation_text, story_text
from iova.sources import ImportReport, load
from iova.workloads import is_workload, load_workload
from iova.workloads.events import DEFAULT_DESIGN, generate

Design = Annotated[
    str | None,
    typer.Option(
        "--design",
        metavar="D",
        autocompletion=cli_completion.designs,
        help="The design it ran under. By default that of the recorded kernel or live domain; for a"
        f" workload {DEFAULT_DESIGN}.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="A",
        help="Tell one address' story instead: 0x... is an address in bytes, pfn:N a page frame.",
    ),
]
OneDomain = Annotated[
    int | None, typer.Option("--domain", metavar="N", min=0, help="Look at this domain alone.")
]


@dataclass(frozen=True)
class _Source:
    """What is to be explained."""

    trace: Trace
    design: DesignSpec
    prices: Prices
    classes: int
    report: ImportReport | None = None  #: of a recorded trace


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(name="explain")(explain_)


def explain_(
    source: cli_options.Source,
    design: Design = None,
    address: Address = None,
    domain: OneDomain = None,
    settings: cli_options.Settings = None,
    seed: cli_options.Seed = None,
    prices: cli_options.PriceFile = None,
    as_json: cli_options.AsJson = False,
    allow_lost: cli_options.AllowLost = False,
) -> None:
    """Say what is wrong with a source and what to do.

    With the evidence; or that nothing is wrong. A workload is run on the simulated machine
    first. Exit status 3 if lines of a trace were malformed.
    """
    with user_code_prints_to_stderr(), progress_bars() as bars:
        if is_workload(source):
            read = _simulated(source, design, settings or [], seed, load_prices(prices), bars)
        else:
            refuse_settings_of_traces([source], settings or ())
            refuse_seeds_of_traces([source], seed, None, None)
            read = _recorded(source, design, load_prices(prices), allow_lost, bars)
        told = (
            _explanation(source, read, domain, bars)
            if address is None
            else _story(source, read, address, domain)
        )
    if as_json:
        kind = "story" if isinstance(told, Story) else "findings"
        print_result("explain", {"kind": kind} | told.to_json())
    else:
        print(story_text(source, told) if isinstance(told, Story) else explanation_text(told))
    if read.report and not read.report.is_whole:
        warn_of_missing_parts(source, read.report)
        raise typer.Exit(PARTLY_DONE)


def _simulated(
    source: str,
    design: str | None,
    settings: list[str],
    seed: int | None,
    prices: Prices,
    bars: Bars,
) -> _Source:
    workload = load_workload(source, settings)
    (spec,) = designs_named([design or DEFAULT_DESIGN])
    trace = generate(
        workload, prices.as_dict(), design=spec, seed=seed, progress=bars("simulating")
    )
    return _Source(trace, spec, prices, workload.machine.classes)


def _recorded(
    source: str, design: str | None, prices: Prices, allow_lost: bool, bars: Bars
) -> _Source:
    loaded = load(samples.resolve(source), allow_lost=allow_lost, progress=bars("reading"))
    warn_of_contradiction(source, loaded)
    spec = designs_named([design])[0] if design else recorded_design(source, loaded.trace)
    return _Source(loaded.trace, spec, prices, 6, loaded.report)


def _explanation(source: str, read: _Source, domain: int | None, bars: Bars) -> Explanation:
    return explain(
        source,
        read.trace,
        design=read.design,
        prices=read.prices,
        classes=read.classes,
        domain=domain,
        progress=lambda what, done, total: bars(what)(done, total),
    )


def _story(source: str, read: _Source, address: str, domain: int | None) -> Story:
    trace = read.trace if domain is None else of_domain(read.trace, domain)
    facts = Facts(trace, read.design, read.prices, read.classes)
    with named_as(source):
        return story_of(facts, parse_address(address, facts.granule(domain)))
