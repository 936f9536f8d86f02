"""What ``explain`` found, as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from iova.lab.explain import CAUSES, Explanation
from iova.lab.explain_address import SHOWN, Chapter, Story
from iova.lab.explain_model import Evidence, Finding, Harm
from iova.report.table import span_text
from iova.words import noun, printable

WIDTH: Final = 80

#: What a harm is called, and how its cost is told.
_HARMS: Final = {
    Harm.CORRUPTS: "may corrupt memory: {:,.0f} calls",
    Harm.FAILS: "requests fail: {:,.0f}",
    Harm.LOSES: "loses address space for good: {}",
    Harm.STALLS: "stalls a CPU: {:.1f} ms",
    Harm.SLOWS: "costs CPU time: {:.0f} % of the allocator's",
    Harm.HOLDS: "holds memory: {}",
}


def explanation_text(explanation: Explanation) -> str:
    """The verdict, one block a finding, and what could not be looked into."""
    calls = f"{explanation.calls:,} {noun(explanation.calls, 'call')}"
    head = (
        f"{printable(explanation.source)}: {calls} in"
        f" {span_text(explanation.span_ns)} under {printable(explanation.design)}"
    )
    blocks = [head, _verdict(explanation)]
    blocks += [_finding(i, one) for i, one in enumerate(explanation.findings, start=1)]
    if explanation.limits:
        blocks.append("\n".join(_filled(f"! {printable(one)}", "", "  ") for one in
                                explanation.limits))  # fmt: skip
    if explanation.findings:
        rest = [cause for cause in CAUSES if cause not in explanation.causes]
        blocks.append(_filled("Looked for and not found: " + ", ".join(rest) + ".", "", "  "))
    return "\n\n".join(blocks)


def _verdict(explanation: Explanation) -> str:
    count = len(explanation.findings)
    if not count:
        told = ", ".join(CAUSES)
        return _filled(f"Nothing is wrong. Looked for: {told}.", "", "  ")
    return f"{count} thing{'s are' if count > 1 else ' is'} wrong" + (
        ", the most severe first:" if count > 1 else ":"
    )


def _finding(number: int, finding: Finding) -> str:
    lines = [
        f"{number}. {finding.cause} ({_harm(finding)})",
        _filled(printable(finding.verdict), "   ", "   "),
        *_evidence(finding.evidence),
        _filled("do: " + finding.remedy, "   ", "       "),
        _filled("settle: " + finding.settle, "   ", "       "),
        _filled("known: " + finding.certainty + ".", "   ", "       "),
    ]
    return "\n".join(lines)


def _harm(finding: Finding) -> str:
    told = _HARMS[finding.harm]
    if finding.harm in (Harm.LOSES, Harm.HOLDS):
        return told.format(_kib(finding.cost))
    return told.format(100 * finding.cost if finding.harm is Harm.SLOWS else finding.cost)


def _evidence(evidence: Sequence[Evidence]) -> list[str]:
    """A line a number: the value stands right, so that numbers can be compared."""
    shown = [(printable(one.label), _value(one)) for one in evidence]
    wide = max(len(label) for label, _ in shown)
    return [f"     {label:<{wide}} {value:>14}" for label, value in shown]


def _value(one: Evidence) -> str:
    if one.unit == "share":
        return f"{100 * one.value:.1f} %"
    if one.unit == "KiB":
        return _kib(one.value)
    whole = isinstance(one.value, int) or float(one.value).is_integer()
    number = f"{one.value:,.0f}" if whole else f"{one.value:.3g}"
    return f"{number} {one.unit}".rstrip()


def _kib(kib: float) -> str:
    for unit in ("KiB", "MiB", "GiB"):
        if kib < 9999:
            return f"{kib:.3g} {unit}" if kib < 100 else f"{kib:,.0f} {unit}"
        kib /= 1024
    return f"{kib:.0f} TiB"


def _filled(told: str, first: str, then: str) -> str:
    return textwrap.fill(
        told, WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


# ---------------------------------------------------------------------------------- stories


def story_text(source: str, story: Story) -> str:
    """The story of one address: what it went through in all, then the first and last calls."""
    address = f"address {story.pfn * story.granule:#x} (pfn:{story.pfn:#x})"
    facts = [
        f"{address} in domain {story.domain}: allocated {story.allocations} x, {story.recycled} of"
        f" these from a magazine; {story.ending}.",
        f"CPUs: {_numbers(story.cpus)}. Times that the CPU which allocated it was not the one that"
        f" freed it before: {story.moved}.",
        "Allocated from: " + _counts(story.wheres) + ".",
    ]
    if story.whys:
        facts.append("The tree was reached because: " + _counts(story.whys) + ".")
    if story.elsewhere:
        facts.append(
            f"In {story.elsewhere} allocations the replay, which knows only when calls began,"
            " gave another address: which magazine it was is a guess there."
        )
    if story.other_domains:
        numbers = _numbers(story.other_domains)
        facts.append(f"Domains in which a range begins there too (--domain N): {numbers}.")
    lines = [
        printable(source),
        *(_filled(one, "  ", "    ") for one in facts),
        "",
        *_chapters(story),
    ]
    return "\n".join(lines)


def _chapters(story: Story) -> list[str]:
    left_out = story.calls - len(story.chapters)
    lines = [_chapter(one) for one in story.chapters]
    if left_out:
        lines.insert(SHOWN, f"  ... {left_out} more calls ...")
    return [f"  {'s':>14} {'CPU':>5} {'call':<5} {'pages':>5} {'slot':>7}  from or to", *lines]


def _chapter(one: Chapter) -> str:
    slot = "-" if one.slot is None else str(one.slot)
    where = one.where + (f", nodes walked: {one.steps}" if one.steps else "")
    why = f": {one.why}" if one.why else ""
    head = f"  {one.t_ns / 1e9:>14.6f} {one.cpu:>5} {one.op:<5} {one.pages:>5} {slot:>7}  "
    return _filled(head + where + why, "", " " * len(head))


def _counts(counted: Sequence[tuple[str, int]]) -> str:
    return "; ".join(f"{what} {count} x" for what, count in counted)


def _numbers(numbers: Sequence[int]) -> str:
    """Rising numbers as ranges: 0-3, 7."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
