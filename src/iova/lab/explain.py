"""From a trace to what is wrong and what to do: ``iova explain``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from iova.designs import DesignError, DesignSpec, builtin_designs, parse_design
from iova.errors import InputError
from iova.events import DOMAIN_SOURCE, Trace
from iova.lab.explain_causes import CAUSES
from iova.lab.explain_facts import PATIENCE, Facts, of_domain
from iova.lab.explain_model import Evidence, Finding, Harm
from iova.lab.prices import Prices, load_prices
from iova.lab.replay import named_as
from iova.lab.verify_trace import design_of
from iova.words import counted, noun
from iova.workloads.events import DEFAULT_DESIGN, MACHINE_SOURCE

__all__ = ["CAUSES", "Evidence", "Explanation", "Finding", "Harm", "explain", "recorded_design"]

#: ``progress(what is done, done, in all)``
ExplainProgress = Callable[[str, int, int], None]

#: Columns of :meth:`Explanation.frame`.
_FINDINGS: Final = {
    "cause": pl.String(),
    "verdict": pl.String(),
    "harm": pl.String(),
    "cost": pl.Float64(),
    "evidence": pl.List(
        pl.Struct({"label": pl.String(), "value": pl.Float64(), "unit": pl.String()})
    ),
    "remedy": pl.String(),
    "settle": pl.String(),
    "certainty": pl.String(),
}

_RAN_UNDER: Final = re.compile(r"it ran under the design (.+): the addresses")
_RECORDED_UNDER: Final = re.compile(r"a live domain of iova \S+ under the design (.+)")


@dataclass(frozen=True)
class Explanation:
    """What is wrong with a trace; most severe first. Without findings nothing is."""

    source: str  #: its name
    design: str  #: under which it was explained
    calls: int  #: allocations and frees
    span_ns: int  #: from the first event to the last
    findings: tuple[Finding, ...]
    limits: tuple[str, ...]  #: what could not be looked into, in sentences

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the causes found, most severe first."""
        return tuple(finding.cause for finding in self.findings)

    def frame(self) -> pl.DataFrame:
        """One row a finding, with its evidence as a list of ``label``, ``value`` and ``unit``."""
        rows = [one.to_json() for one in self.findings]
        return pl.DataFrame(rows, schema=_FINDINGS, strict=False)  # whole numbers become floats

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "source": self.source,
            "design": self.design,
            "calls": self.calls,
            "span_ns": self.span_ns,
            "findings": [finding.to_json() for finding in self.findings],
            "not_found": [cause for cause in CAUSES if cause not in self.causes],
            "limits": list(self.limits),
        }


def explain(
    name: str,
    trace: Trace,
    *,
    design: DesignSpec | None = None,
    prices: Prices | None = None,
    classes: int = 6,
    domain: int | None = None,
    progress: ExplainProgress | None = None,
) -> Explanation:
    """Look for every cause in a trace.

    Args:
        name: how the source is called.
        trace: recorded or generated.
        design: of the system it is from; None: what the trace says.
        prices: what each step of a call costs; None: those that come with the package.
        classes: size classes of the system's caches.
        domain: look at this domain alone.
        progress: told while a replay runs, and before each cause.

    Raises:
        IovaError: the trace can not be replayed, does not tell its design, or has no such domain.
    """
    spec = design or recorded_design(name, trace)
    facts = Facts(
        trace if domain is None else of_domain(trace, domain),
        spec,
        prices or load_prices(),
        classes,
        _replay_progress(progress),
    )
    found = []
    for number, (cause, look) in enumerate(CAUSES.items()):
        if progress:
            progress(f"looking for {cause}", number, len(CAUSES))
        with named_as(name):
            finding = look(facts)
        if finding is not None:
            found.append(finding)
    return Explanation(
        source=name,
        design=spec.label,
        calls=facts.source.calls,
        span_ns=facts.source.span_ns,
        findings=tuple(sorted(found, key=lambda one: (one.harm, -one.cost))),
        limits=tuple(_limits(facts)),
    )


def recorded_design(name: str, trace: Trace) -> DesignSpec:
    """The design of the system a trace is from.

    Its kernel's, that of the live domain which recorded itself, or the one it was generated under.

    Raises:
        InputError: the trace does not say, or names one that is not built in.
    """
    if trace.info.source == MACHINE_SOURCE:
        return parse_design(_told_in_notes(_RAN_UNDER, trace) or DEFAULT_DESIGN)
    own = _told_in_notes(_RECORDED_UNDER, trace) if trace.info.source == DOMAIN_SOURCE else None
    if own is None:
        return parse_design(design_of(trace.info.kernel, name))
    # A trace is not trusted: the module it names is not loaded.
    if own.partition(",")[0] not in [design.name for design in builtin_designs()]:
        raise InputError(
            name,
            f"it was recorded under the design {own}, which is not built in.",
            hint="Give it as module:Class, or another, with --design.",
        )
    try:
        return parse_design(own)
    except DesignError as error:
        told = str(error).removeprefix("--design ")
        raise InputError(
            name,
            f"it says that it was recorded under a design that can not be: {told}.",
            hint="Give one with --design.",
        ) from error


def _told_in_notes(said: re.Pattern[str], trace: Trace) -> str | None:
    return next((told[1] for told in map(said.match, trace.info.notes) if told), None)


def _replay_progress(progress: ExplainProgress | None) -> Callable[[int, int], None] | None:
    if progress is None:
        return None

    def told(done: int, total: int) -> None:
        progress("replaying", done, total)

    return told


def _limits(facts: Facts) -> list[str]:
    info = facts.trace.info
    told = []
    if info.lost_events:
        lost, were = counted(info.lost_events, "event"), noun(info.lost_events, "was", "were")
        told.append(f"{lost} {were} lost while recording: counts are too small.")
    unborn = [str(d.domain) for d in info.domains if not d.born]
    if unborn:
        told.append(
            f"Domain {', '.join(unborn)} began before the trace: what its caches held then is not"
            " known, so the tree seems to be reached more often at first."
        )
    if facts.patience_ns * 2 > facts.source.span_ns:
        told.append(
            f"Some ranges live so long that in {facts.source.span_ns / 1e9:.3g} s few can be told"
            f" stuck ({PATIENCE:g} times a long life is {facts.patience_ns / 1e9:.3g} s): a driver"
            " that never unmaps may go unseen. Record for longer."
        )
    return told
