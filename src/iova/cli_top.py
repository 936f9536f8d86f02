"""``iova top``: what caches hold and do, once a second, on a screen or as lines."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Final

import typer

from iova import cli_options, samples
from iova.cli_compare import Bars, refuse_settings_of_traces
from iova.cli_output import designs_named, progress_bars, warn, warn_of_missing_parts
from iova.cli_status import SIGNALLED
from iova.designs import DesignSpec
from iova.errors import EndedBySignal, InputError, IovaError
from iova.events import Trace
from iova.lab.explain import recorded_design
from iova.lab.prices import load_prices
from iova.sources import load
from iova.top.look import Watched
from iova.top.plain import print_json_line, print_line, watch
from iova.top.playback import Recorded, Replayed, tells_inside
from iova.workloads import is_workload, load_workload
from iova.workloads.events import DEFAULT_DESIGN, generate

_FASTEST: Final = 1e6


def _number(value: float) -> float:
    """The bounds do not keep out what is no number, nor always what is endless."""
    if not math.isfinite(value):
        raise typer.BadParameter("a number is wanted")
    return value


TopSource = Annotated[
    str | None,
    typer.Argument(
        metavar="[SOURCE]",
        help="The URL of a live process's metrics (http://127.0.0.1:9814/metrics); or a trace or"
        " workload, played back. By default the running kernel, for which one must be root.",
    ),
]
TopDesign = Annotated[
    str | None,
    typer.Option(
        "--design",
        metavar="D",
        help="Played back: what this design does with the calls. By default what the trace"
        " recorded; where it recorded none of that, what the design does that it ran under. Of"
        f" workloads, and where that is not known, {DEFAULT_DESIGN}.",
    ),
]
Speed = Annotated[
    float,
    typer.Option(
        metavar="X",
        min=1e-3,
        max=_FASTEST,
        callback=_number,
        help="Played back: seconds of the source in a second.",
    ),
]
Interval = Annotated[
    float,
    typer.Option(
        metavar="S", min=0.05, max=3600, callback=_number, help="Seconds between two looks."
    ),
]
Count = Annotated[int | None, typer.Option(metavar="N", min=1, help="Stop after N lines.")]
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of a screen.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line, with every row.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(top)


def top(
    source: TopSource = None,
    speed: Speed = 1.0,
    interval: Interval = 1.0,
    design: TopDesign = None,
    settings: cli_options.Settings = None,
    seed: cli_options.Seed = None,
    count: Count = None,
    plain: Plain = False,
    as_json: JsonLines = False,
    allow_lost: cli_options.AllowLost = False,
) -> None:
    """Watch caches fill, once a second: tree, depot, CPUs' magazines.

    A screen on a terminal, else a line a second. Keys of the screen: q quit, space pause, s sort,
    r reverse, d next domain, a active rows only, + and - speed.
    """
    on_screen = not (plain or as_json or count is not None) and sys.stdout.isatty()
    if on_screen:
        from iova.top.screen import TopScreen  # Textual; says what to install if it is missing
    watched = _opened(source, speed, design, settings or [], seed, allow_lost)
    try:
        if on_screen:
            screen = TopScreen(watched, interval_s=interval)
            screen.run()
            if screen.failure is not None:
                raise screen.failure
            if screen.signalled is not None:
                raise EndedBySignal(SIGNALLED + screen.signalled)
            return
        show = print_json_line if as_json else print_line
        for rates in watch(watched, interval_s=interval, count=count):
            show(rates)
    finally:
        watched.close()


def _opened(
    source: str | None,
    speed: float,
    design: str | None,
    settings: list[str],
    seed: int | None,
    allow_lost: bool,
) -> Watched:
    if source is None or source.startswith(("http://", "https://")):
        if design is not None or settings or seed is not None or speed != 1.0:
            raise IovaError(
                f"{source or 'the running kernel'} is live: --design, --set, --seed and --speed"
                " are for what is played back"
            )
        if source is None:
            from iova.top.kernel import LiveKernel

            return LiveKernel()
        from iova.top.endpoint import Endpoint  # prometheus-client

        return Endpoint(source)
    with progress_bars() as bars:
        if is_workload(source):
            return _workload(source, speed, design, settings, seed, bars)
        refuse_settings_of_traces([source], settings)
        if seed is not None:
            raise IovaError(f"--seed: {source} is a recorded trace, not a workload")
        return _trace(source, speed, design, allow_lost, bars)


def _workload(
    source: str,
    speed: float,
    design: str | None,
    settings: list[str],
    seed: int | None,
    bars: Bars,
) -> Watched:
    workload = load_workload(source, settings)
    (spec,) = designs_named([design or DEFAULT_DESIGN])
    trace = generate(
        workload, load_prices(None).as_dict(), design=spec, seed=seed, progress=bars("simulating")
    )
    return Replayed(source, trace, spec, speed, workload.machine.classes)


def _trace(source: str, speed: float, design: str | None, allow_lost: bool, bars: Bars) -> Watched:
    loaded = load(samples.resolve(source), allow_lost=allow_lost, progress=bars("reading"))
    warn_of_missing_parts(source, loaded.report)
    if design is None and tells_inside(loaded.trace):
        return Recorded(source, loaded.trace, speed)
    spec = _shown_instead(source, loaded.trace) if design is None else designs_named([design])[0]
    return Replayed(source, loaded.trace, spec, speed)


def _shown_instead(source: str, trace: Trace) -> DesignSpec:
    """The design a trace ran under; or another, if it does not tell, and that is said."""
    try:
        spec, why = recorded_design(source, trace), "it ran under that"
    except InputError as error:
        spec, why = designs_named([DEFAULT_DESIGN])[0], error.problem.removesuffix(".")
    warn(f"{source} does not tell what its caches did: shown is what {spec.label} does; {why}")
    return spec
