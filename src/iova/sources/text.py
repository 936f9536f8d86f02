"""From the text of ftrace or perf to a trace: feeds the scanner, puts together what it found."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Final

import polars as pl

from iova.errors import InputError
from iova.events import DomainInfo, Trace, TraceInfo
from iova.sources._scan import Scanner
from iova.sources.formats import TITLES, Format
from iova.sources.perf_head import facts_of
from iova.sources.pieces import STANDARD_INPUT, DamagedError, Input
from iova.sources.reclaim import classes_of_works
from iova.sources.report import ImportReport, Malformed, Pairing, Progress
from iova.sources.sidecar import Sidecar, read_beside
from iova.sources.trace_dat import open_trace_dat
from iova.words import counted, noun

#: Without that option perf names losses on standard error alone.
_PERF_NOTE: Final = (
    "perf script shows lost samples only with --show-lost-events: without it some may be missing"
)

#: Where of so many bytes most lines are no trace's, the rest is not read: it may be a disk's image,
#: or have no end.
HOPELESS = 1 << 26


def import_text(
    opened: Input,
    kind: Format,
    text: tuple[bytes, Iterator[memoryview]],
    *,
    allow_lost: bool,
    progress: Progress | None,
) -> tuple[Trace, ImportReport]:
    """Import a text trace, or what a tool makes one of, with the ``.json`` beside it.

    Args:
        opened: the input.
        kind: its format; not Parquet.
        text: its first bytes, and all of them in pieces.
        allow_lost: accept a trace that says it lost events.
        progress: told of the text that a tool makes.

    Raises:
        InputError: it holds no event of the allocator, or it lost events and that is not allowed.
    """
    head, pieces = text
    scanner = Scanner(secrets.randbits(64), perf=kind == Format.PERF)
    told = facts_of(head) if kind == Format.PERF else Sidecar()
    with ExitStack() as stack:
        if kind == Format.TRACE_DAT:
            dat = stack.enter_context(open_trace_dat(opened, pieces))
            told, pieces = dat.facts(), stack.enter_context(closing(dat.text(progress)))
        damage = _feed(scanner, pieces)
    sidecar = Sidecar() if opened.name == STANDARD_INPUT else read_beside(opened.name)
    sidecar = _both(sidecar, told)
    counts = scanner.counts()
    lost = max(counts["lost"], sidecar.lost)
    malformed = sorted(map(malformed_line, scanner.problems()), key=_place)
    if not scanner.domains():
        raise _nothing_found(opened.name, damage, malformed)
    refuse_losses(opened.name, lost, allow_lost)
    if kind == Format.PERF and not counts["loss_lines"]:
        sidecar = replace(sidecar, notes=(*sidecar.notes, _PERF_NOTE))
    notes = [*sidecar.notes, *set_reclaim_sizes(scanner, sidecar.stride), *scan_notes(scanner)]
    domains = _domains(scanner, sidecar.mode)
    pairing = Pairing(**scanner.pairing())
    events = pl.DataFrame(scanner)
    incomplete = (*damage, *_missing(counts))
    cpus, cpu_notes = _cpus(events, sidecar.cpus, counts["header_cpus"])
    info = TraceInfo(
        source=TITLES[kind],
        kernel=sidecar.kernel,
        cmdline=sidecar.cmdline,
        clock=sidecar.clock,
        cpus_possible=cpus,
        cpus_online=cpus,
        lost_events=lost,
        allowed_loss=lost > 0,
        malformed_lines=counts["malformed"],
        incomplete=incomplete,
        domains=domains,
        notes=(*notes, *cpu_notes),
    )
    report = ImportReport(
        source=opened.name,
        rows=events.height,
        lines=counts["lines"],
        headers=counts["headers"] + counts["loss_lines"],
        events=scanner.events(used=True),
        ignored=scanner.events(used=False),
        unknown=scanner.unknown(),
        unknown_count=counts["unknown"],
        malformed=tuple(malformed),
        malformed_count=counts["malformed"],
        incomplete=incomplete,
        lost=lost,
        out_of_order=counts["out_of_order"],
        pairing=pairing,
        notes=info.notes,
    )
    return Trace(events, info), report


def refuse_losses(source: str, lost: int, allow_lost: bool) -> None:
    """Raise InputError if events were lost and the user did not allow it."""
    if lost and not allow_lost:
        told = f"{counted(lost, 'event')} {noun(lost, 'was', 'were')} lost"
        raise InputError(
            source,
            f"at least {told} while it was recorded, so the rest may mislead.",
            hint="Record it again with larger buffers, or give --allow-lost.",
        )


def _both(beside: Sidecar, told: Sidecar) -> Sidecar:
    """What the file beside a trace says, and where that is silent the trace itself."""
    return replace(
        beside,
        kernel=beside.kernel or told.kernel,
        cpus=beside.cpus or told.cpus,
        clock=beside.clock or told.clock,
        lost=max(beside.lost, told.lost),
    )


def _feed(scanner: Scanner, pieces: Iterable[memoryview]) -> list[str]:
    """Feed it all, unless it is hopeless; what is wrong with the input as a whole."""
    damage = []
    fed, hopeful = 0, False
    try:
        for piece in pieces:
            scanner.feed(piece)
            fed += len(piece)
            if fed >= HOPELESS and not hopeful:
                counts = scanner.counts()
                hopeful = counts["lines"] > 2 * counts["malformed"]
                if not hopeful:
                    break
    except DamagedError as error:
        damage.append(str(error))
    scanner.finish()
    return damage


def _missing(counts: dict[str, int]) -> list[str]:
    """Entries that the kernel's header announces and that are not there, whatever else is."""
    missing = counts["announced"] - (counts["lines"] - counts["comments"])
    if missing <= 0:
        return []
    which = f"of the {counts['announced']} entries that its header announces"
    return [f"{missing} {which} {'is' if missing == 1 else 'are'} missing"]


# ------------------------------------------------------------------------------ problems


def malformed_line(problem: tuple[int, int, str, int, bytes]) -> Malformed:
    """One of the scanner's problems, printable."""
    line, column, what, excerpt_column, excerpt = problem
    shown = excerpt.decode("utf-8", errors="backslashreplace")
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return Malformed(line, column or None, what, "..." + shown if excerpt_column > 1 else shown)


def _place(problem: Malformed) -> tuple[int, int]:
    return problem.line, problem.column or 0


def _nothing_found(source: str, damage: list[str], malformed: list[Malformed]) -> InputError:
    what = "no event of the IOVA allocator was found"
    hint = "Expected tracefs text, trace-cmd report, trace.dat, perf script or Parquet."
    if damage or not malformed:
        return InputError(source, "; ".join([what, *damage]) + ".", hint=hint)
    first = malformed[0]
    return InputError(
        source,
        f"{what}; {first.problem}.",
        line=first.line,
        column=first.column,
        hint=hint,
    )


# ---------------------------------------------------------------------- what is known


def set_reclaim_sizes(scanner: Scanner, stride_hint: int | None) -> list[str]:
    """Tell the scanner the size class of each depot run, where it can be known."""
    works = [domain[4] for domain in scanner.domains()]
    classes = classes_of_works(works, stride_hint)
    orders = [classes.orders[domain][work] for domain, work in scanner.reclaim_runs()]
    scanner.set_reclaim_sizes([None if order is None else 1 << order for order in orders])
    notes = []
    if classes.by_alignment:
        notes.append(
            f"the size class of {classes.by_alignment} depot workers was inferred from the"
            " alignment of their memory"
        )
    if unknown := orders.count(None) + scanner.pairing()["unnumbered_runs"]:
        notes.append(f"the size class of {unknown} depot runs is not known")
    return notes


def scan_notes(scanner: Scanner) -> list[str]:
    """What could not be known of the calls, in words."""
    notes = []
    if scanner.mixed_granules():
        notes.append("domains differ in granule: the page frames of unmap rows may be off")
    if outside := scanner.pairing()["tree_calls_outside"]:
        notes.append(f"{outside} tree allocations were outside of any fast allocation")
    return notes


def _domains(scanner: Scanner, mode: str | None) -> tuple[DomainInfo, ...]:
    """Number the domains. The mode is certain only if none was ever replaced by another."""
    seen = scanner.domains()
    if any(destroyed for _, _, _, destroyed, _ in seen):
        mode = None
    return tuple(
        DomainInfo(
            domain=number, granule=granule, start=start, mode=mode, born=born, destroyed=destroyed
        )
        for number, (start, granule, born, destroyed, _) in enumerate(seen)
    )


def _cpus(events: pl.DataFrame, recorded: int | None, header: int) -> tuple[int, list[str]]:
    """CPUs of the machine, all taken as online at the start."""
    highest = events["cpu"].max()
    seen = highest + 1 if isinstance(highest, int) else 1
    cpus = max(recorded or header, seen)
    notes = []
    if not recorded and not header:
        notes.append("the number of CPUs is that of the highest CPU seen, plus one")
    return cpus, notes
