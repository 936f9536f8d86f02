"""Tables of ``docs/performance.md``, each between two comments that name its benchmark."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.build import ROOT
from benchmarks.figures import Report, Series, Verdict

DOCUMENT = ROOT / "docs" / "performance.md"


def write_section(
    name: str, report: Report, peers: Sequence[str], document: Path = DOCUMENT
) -> None:
    """Put a report's tables in place of those of that name, if the document has such."""
    replace_section(document, name, section(report, peers))


def replace_section(document: Path, name: str, section: str) -> None:
    """Put a text between the two comments of that name, if the document has such."""
    text = document.read_text()
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    if begin not in text or end not in text:
        print(f"{document.name} has no place for {name}: nothing was written\n")
        return
    head, rest = text.split(begin, 1)
    tail = rest.split(end, 1)[1]
    _replace_file(document, f"{head}{begin}\n{section.rstrip()}\n{end}{tail}")


def section(report: Report, peers: Sequence[str]) -> str:
    """A report as Markdown: medians with their ratios, goals, notes, and the machine."""
    rounds = sorted({len(s.values) for s in report.series})
    told = " and ".join(map(str, rounds))
    parts = ["\n".join(_table(report, peers)), "\n".join(_goals(report.verdicts))]
    parts += [f"Not measured: {note}." for note in report.notes]
    parts.append(f"Medians of {told} rounds. {machine()}")
    return "\n" + "\n\n".join(part for part in parts if part) + "\n"


def _replace_file(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# ------------------------------------------------------------------------------ tables


def _table(report: Report, peers: Sequence[str]) -> Iterable[str]:
    """Contenders down, patterns across."""
    patterns = list(dict.fromkeys(s.pattern for s in report.series))
    units = {s.pattern: s.unit for s in report.series}
    found = {(s.contender, s.pattern): s for s in report.series}
    yield "| | " + " | ".join(f"{p}, {units[p]}" for p in patterns) + " |"
    yield "|---|" + "---:|" * len(patterns)
    for contender in dict.fromkeys(s.contender for s in report.series):
        cells = [_cell(report, found.get((contender, p)), peers) for p in patterns]
        yield f"| {contender} | " + " | ".join(cells) + " |"


def _cell(report: Report, one: Series | None, peers: Sequence[str]) -> str:
    if one is None:
        return ""
    ratio = report.ratio(one, peers)
    told = _number(one.median)
    if ratio is None or one.unit == "x":
        return told
    return f"{told} ({ratio:.2f} x)" if ratio < 10 else f"{told} ({ratio:.0f} x)"


def _goals(verdicts: Sequence[Verdict]) -> Iterable[str]:
    if not verdicts:
        return
    yield "| goal | measured | |"
    yield "|---|---:|---|"
    for verdict in verdicts:
        told = "met" if verdict.met else "**missed**"
        yield f"| {verdict.goal} | {_number(verdict.measured)} | {told} |"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


# ----------------------------------------------------------------------------- machine


def machine() -> str:
    """One sentence: what it was measured on."""
    compiler = subprocess.run(
        [os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, check=False
    ).stdout.partition("\n")[0]
    libc, kernel = " ".join(platform.libc_ver()), platform.release().partition("-")[0]
    return (
        f"{_processor()}, {os.cpu_count()} CPUs; Linux {kernel}, {libc}, "
        f"{compiler}, Python {platform.python_version()}; load average {os.getloadavg()[1]:.1f}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.M) if info.exists() else None
    return found[1].strip() if found else platform.machine()
