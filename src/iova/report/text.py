"""Plain text for a terminal: what the verbs print beside the comparison's table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from iova.designs import OPTIONS, BuiltinDesign, builtin_designs
from iova.events import TraceInfo
from iova.lab.conformance import SequenceVerdict
from iova.lab.verify_trace import TraceVerdict
from iova.report.perfetto import PerfettoReport
from iova.samples import SAMPLES
from iova.sources import ImportReport
from iova.sources.info import CpuCount, TraceSummary
from iova.words import counted, printable

WIDTH = 80

#: More CPUs than this are shown as ranges of numbers instead of one line each.
MOST_CPU_LINES = 32


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


# ---------------------------------------------------------------------------------- lists


def design_list() -> str:
    """The built-in designs, each with its parameters, and what goes with any of them."""
    designs = "\n\n".join(_design(design) for design in builtin_designs())
    options = "\n".join(f"    {name}\n{_wrapped(told, ' ' * 8)}" for name, told in OPTIONS.items())
    return f"depot designs\n\n{designs}\n\nwith any design\n{options}"


def _design(design: BuiltinDesign) -> str:
    lines = [design.name, _wrapped(design.summary, "    ")]
    for p in design.parameters:
        bounds = f"{p.unit}, {p.minimum}..{p.maximum}, default {p.default}"
        lines.append(f"    {p.name:<10} {p.help}\n{'':<15}({bounds})")
    return "\n".join(lines)


def sample_list() -> str:
    """The bundled traces."""
    return "bundled traces\n\n" + "\n".join(
        f"{sample.name}\n{_wrapped(sample.summary, '    ')}" for sample in SAMPLES
    )


# ------------------------------------------------------------------------------- importing


def import_report(report: ImportReport, out: Path) -> str:
    """What became of an input that was converted."""
    counts = ", ".join(f"{name} {count}" for name, count in report.events.items())
    lines = [
        f"{printable(str(out))}: {counted(report.rows, 'event')}"
        + (f" from {counted(report.lines, 'line')}" if report.lines else "")
    ]
    if counts:
        lines.append(_wrapped(f"events: {counts}", "  "))
    if report.ignored:
        ignored = ", ".join(f"{name} {count}" for name, count in report.ignored.items())
        lines.append(_wrapped(f"known, not used: {ignored}", "  "))
    problems = import_problems(report)
    return "\n".join([*lines, problems] if problems else lines)


def perfetto_report(report: PerfettoReport) -> str:
    """What was drawn for Perfetto."""
    drawn = f"  {counted(report.slices, 'slice')}, {counted(report.instants, 'instant')}"
    if report.crowded:
        drawn += f" ({report.crowded} for want of room: too many calls overlap)"
    counters = f"counters under {printable(report.design)}, read {counted(report.samples, 'time')}"
    return f"{drawn}; {counters}\n  open it at https://ui.perfetto.dev"


def import_problems(report: ImportReport) -> str:
    """What could not be used or is not whole; empty if nothing is."""
    lines = [_wrapped(f"NOT WHOLE: {printable(problem)}", "  ") for problem in report.incomplete]
    if report.unknown_count:
        names = ", ".join(f"{printable(name)} {n}" for name, n in report.unknown.items())
        lines.append(
            _wrapped(f"unknown events: {counted(report.unknown_count, 'line')}: {names}", "  ")
        )
    if report.malformed_count:
        lines.append(f"  malformed: {counted(report.malformed_count, 'line')}")
        for one in report.malformed:
            column = f":{one.column}" if one.column else ""
            where = f"{printable(report.source)}:{one.line}{column}"
            lines.append(f"    {where}: {one.problem}")
            lines.append(f"      {printable(one.excerpt)}")
        if report.malformed_count > len(report.malformed) > 0:
            lines.append("    ...")
    if report.lost:
        lines.append(f"  LOST: {counted(report.lost, 'event')} lost while recording")
    if report.out_of_order:
        lines.append(
            f"  put in order: {counted(report.out_of_order, 'line')} that went back in time"
        )
    lines += [_wrapped(f"note: {printable(note)}", "  ") for note in report.notes]
    return "\n".join(lines)


# ----------------------------------------------------------------------------------- info


def trace_summary(name: str, s: TraceSummary) -> str:
    """What a trace holds."""
    blocks = [_facts(name, s), _domains(s), _sizes(s), _cpus(s.cpus)]
    return "\n\n".join(block for block in blocks if block)


def _facts(name: str, s: TraceSummary) -> str:
    info = s.info
    cpus = f"{info.cpus_online or '?'} online, {info.cpus_possible or '?'} possible"
    facts = [
        ("kernel", printable(info.kernel or "unknown")),
        ("time", f"{s.seconds:.3f} s, from {s.first_ns / 1e9:.3f} to {s.last_ns / 1e9:.3f} s"),
        ("CPUs", cpus),
        ("events", f"{s.events}: " + ", ".join(f"{k} {v}" for k, v in s.operations.items())),
        ("allocations", f"{s.allocs}, {s.failed_allocs} failed, {s.unfinished_allocs} unfinished"),
        ("cached", f"{s.cache_hits} ({_percent(s.cache_hits, s.allocs)}) served from magazines"),
        ("frees", f"{s.frees}, {s.frees_on_other_cpu} "
                  f"({_percent(s.frees_on_other_cpu, s.frees)}) on another CPU than their "
                  f"allocation, {s.frees_without_alloc} without one in the trace"),
        ("live at end", f"{s.live_ranges} ranges, {s.live_pages} pages; "
                        f"{s.unmapped_never_freed} were unmapped but never freed"),
        ("lost", _lost(info)),
    ]  # fmt: skip
    return "\n".join([printable(name), *(_fact(head, text) for head, text in facts)])


def _lost(info: TraceInfo) -> str:
    if info.lost_events:
        return counted(info.lost_events, "event")
    return "nothing while it was recorded" if info.incomplete else "nothing"


def _fact(head: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {head:<12} ", subsequent_indent=" " * 15)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [tuple(head), *(tuple(str(value) for value in row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        "  " + "  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True))
        for row in cells
    )


def _domains(s: TraceSummary) -> str:
    head = ("domain", "granule", "start", "born", "allocs", "frees", "reserved", "live", "device")
    rows = (
        (
            d.info.domain, d.info.granule, d.info.start, "yes" if d.info.born else "before",
            d.allocs, d.frees, d.reserved_ranges, d.live_ranges, printable(d.info.device or "-"),
        )
        for d in s.domains
    )  # fmt: skip
    return _table(head, rows)


def _sizes(s: TraceSummary) -> str:
    head = ("pages", "allocs", "share", "reached the tree")
    rows = (
        (size.pages, size.allocs, _percent(size.allocs, s.allocs),
         f"{size.reached_tree} ({_percent(size.reached_tree, size.allocs)})")
        for size in s.sizes
    )  # fmt: skip
    return _table(head, rows)


def _cpus(cpus: Sequence[CpuCount]) -> str:
    if len(cpus) <= MOST_CPU_LINES:
        return _table(("CPU", "allocs", "frees"), ((c.cpu, c.allocs, c.frees) for c in cpus))
    allocating = [c.cpu for c in cpus if c.allocs]
    freeing = [c.cpu for c in cpus if c.frees]
    return "\n".join(
        _wrapped(f"{len(chosen)} CPUs {what}: {_number_ranges(chosen)}", "  ")
        for what, chosen in (("allocate", allocating), ("free", freeing))
    )


def _number_ranges(numbers: Sequence[int]) -> str:
    """Rising numbers as ranges: 0-3, 7, 9-12."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


# ----------------------------------------------------------------------------- verifying


def sequence_line(verdict: SequenceVerdict) -> str:
    """One line a conformance sequence; the first difference where there is one."""
    line = f"{printable(verdict.name):<28} {verdict.rows:>8} rows {verdict.dumps:>4} states  "
    if verdict.exact:
        return line + "exact"
    return line + f"NOT EXACT\n    {verdict.first_difference}"


def trace_verdict(name: str, verdict: TraceVerdict, report: ImportReport) -> str:
    """What the verification of a recorded trace found; the last line is the verdict."""
    lines = [f"{printable(name)}: {counted(verdict.calls, 'call')} under {verdict.design}"]
    if verdict.first is not None:
        lines.append(f"first unexplained: {verdict.first}")
    if not report.is_whole:
        malformed = report.malformed_count
        told = [*report.incomplete, *([counted(malformed, "malformed line")] if malformed else [])]
        lines.append(f"the trace is not whole: {printable('; '.join(told))}")
    if verdict.state_before:
        lines.append(
            f"{counted(verdict.state_before, 'address', 'addresses')} can not be predicted: "
            "the creation of their domain is not in the trace"
        )
    return "\n".join([*lines, verdict.line()])
