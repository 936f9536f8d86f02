"""From a recording of raw pages to a trace."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import polars as pl

from iova.errors import InputError
from iova.events import DomainInfo, Op, Trace, TraceInfo
from iova.sources._scan import Scanner
from iova.sources.pieces import Input
from iova.sources.record import domains as known
from iova.sources.record import maps
from iova.sources.record.pages import entries_of, format_of
from iova.sources.record.ring_file import MAX_JSON, RING_MAGIC, VERSION, Kind, Part, parts_of
from iova.sources.report import ImportReport, Pairing, Progress
from iova.sources.text import malformed_line, refuse_losses, scan_notes, set_reclaim_sizes

FORMAT: Final = "iova record"

#: Bytes of pages that tie domains to devices; there are far fewer.
MAX_DEVICE_BYTES: Final = 64 << 20
_HINT: Final = "Record again."


@dataclass
class _Recording:
    """A recording, taken apart."""

    start: dict[str, Any]
    end: dict[str, Any] | None = None
    boot: list[Part] = field(default_factory=list)
    pages: list[Part] = field(default_factory=list)
    devices: list[Part] = field(default_factory=list)


def import_recording(
    opened: Input, *, allow_lost: bool, progress: Progress | None = None
) -> tuple[Trace, ImportReport]:
    """Decode a recording.

    Raises:
        InputError: it is no recording, holds no event of the allocator, or lost events and that
            is not allowed.
    """
    with opened.mapped() as file:
        recording = _take_apart(file, opened.name)
        scanner = _scan(file, recording, opened.name)
        uses = list(_uses(file, recording))
        mapped = _mapped(file, recording, opened.name)
        total = len(file)
    if progress:
        progress(total, total)
    if mapped is not None:
        return _trace_of_maps(opened.name, recording, scanner, mapped, allow_lost)
    if not scanner.domains():
        raise InputError(
            opened.name,
            "no event of the IOVA allocator was recorded.",
            hint="Record while a device that an IOMMU translates is at work.",
        )
    counts = scanner.counts()
    lost = _lost(recording, counts["lost"])
    refuse_losses(opened.name, lost, allow_lost)
    return _trace(opened.name, recording, scanner, uses, lost)


# ---------------------------------------------------------------------------- taking apart


def _take_apart(file: memoryview, source: str) -> _Recording:
    if bytes(file[:8]) != RING_MAGIC + VERSION:
        raise InputError(source, "is a recording of another version of iova.", hint=_HINT)
    recording = None
    for part in parts_of(file):
        if recording is None:
            recording = _Recording(_json(file, part, source))
        elif part.kind == Kind.PAGE:
            recording.pages.append(part)
        elif part.kind == Kind.DEVICE:
            recording.devices.append(part)
        elif part.kind == Kind.BOOT:
            recording.boot.append(part)
        elif part.kind == Kind.END:
            recording.end = _json(file, part, source)
    if recording is None:
        raise InputError(source, "is a recording that ended before it began.", hint=_HINT)
    if recording.start.get("byteorder") != "little":
        raise InputError(source, "was recorded on a machine whose words are not little-endian.")
    return recording


def _json(file: memoryview, part: Part, source: str) -> dict[str, Any]:
    try:
        if part.length > MAX_JSON:
            raise ValueError
        values = json.loads(bytes(file[part.offset : part.offset + part.length]))
    except (ValueError, RecursionError):
        values = None
    if part.kind not in (Kind.START, Kind.END) or not isinstance(values, dict):
        raise InputError(source, "is a recording whose description is damaged.", hint=_HINT)
    return values


def _scan(
    file: memoryview, recording: _Recording, source: str, *, renamed: str | None = None
) -> Scanner:
    """Scan the events; ``renamed``: this one alone, as if it were an unmap."""
    scanner = Scanner(secrets.randbits(64))
    formats = [
        (number, "unmap" if renamed else name, fields)
        for number, name, fields in _formats(recording)
        if renamed in (None, name)
    ]
    if not renamed and recording.start.get("boot_clock") == recording.start.get("clock"):
        for part in recording.boot:
            scanner.feed(file[part.offset : part.offset + part.length])
    pages = np.array([(p.cpu, p.offset, p.length) for p in recording.pages], dtype=np.uint64)
    pages = pages.reshape(-1, 3)
    pages = np.ascontiguousarray(pages[np.argsort(pages[:, 0], kind="stable")])
    try:
        scanner.feed_pages(file, formats, pages)
    except (ValueError, OverflowError) as error:
        raise InputError(source, f"cannot be decoded: {error}.", hint=_HINT) from error
    scanner.finish()
    return scanner


def _formats(recording: _Recording) -> Iterator[tuple[int, str, list[tuple[str, int, int]]]]:
    formats = recording.start.get("formats")
    for event, text in formats.items() if isinstance(formats, dict) else ():
        parsed = format_of(text) if isinstance(text, str) else None
        if parsed:
            yield parsed.number, event.rpartition("/")[2], list(parsed.fields)


def _uses(file: memoryview, recording: _Recording) -> Iterator[known.Use]:
    """Who asked a domain for ranges."""
    offset = _whole(recording.start.get("cookie_to_iovad"))
    formats = recording.start.get("formats")
    texts = [text for event, text in (formats.items() if isinstance(formats, dict) else ())
             if event.endswith("/dev_use") and isinstance(text, str)]  # fmt: skip
    layout = format_of(texts[0]) if texts else None
    if layout is None or offset is None:
        return
    size = 0
    for part in recording.devices:
        size += part.length
        if size > MAX_DEVICE_BYTES:
            return
        for t, entry in entries_of(bytes(file[part.offset : part.offset + part.length])):
            if int.from_bytes(entry[:2], "little") != layout.number:
                continue
            values = [layout.value(name, entry) for name in ("cookie", "granule", "start")]
            device = layout.text("dev", entry)
            cookie, granule, start = values
            if cookie and granule and start is not None and device:
                yield known.Use(t, cookie + offset, known.clean_name(device), granule, start)


def _mapped(file: memoryview, recording: _Recording, source: str) -> pl.DataFrame | None:
    """What was mapped, at level maps."""
    if recording.start.get("level") != "maps":
        return None
    return pl.DataFrame(_scan(file, recording, source, renamed="map"))


# ------------------------------------------------------------------------------ the trace


def _lost(recording: _Recording, in_pages: int) -> int:
    """Events that are missing; at least one where the end of the recording is."""
    if recording.end is None:
        return max(in_pages, 1)
    return max(in_pages, _whole(recording.end.get("lost")) or 0)


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 62 else None


def _trace(
    source: str, recording: _Recording, scanner: Scanner, uses: list[known.Use], lost: int
) -> tuple[Trace, ImportReport]:
    start, end = recording.start, recording.end or {}
    counts = scanner.counts()
    notes = _strings(start.get("notes"))
    notes += set_reclaim_sizes(scanner, _whole(start.get("stride")))
    notes += scan_notes(scanner)
    if recording.end is None:
        notes.append("the recorder was killed: the recording's end is missing")
    pairing = Pairing(**scanner.pairing())
    seen, addresses = scanner.domains(), scanner.domain_addresses()
    births = [DomainInfo(number, granule, first, born=born, destroyed=destroyed)
              for number, (first, granule, born, destroyed, _) in enumerate(seen)]  # fmt: skip
    events = pl.DataFrame(scanner)
    began = known.groups_of(start.get("groups"))
    ended = known.groups_of(end.get("groups")) or began
    start_t = _whole(start.get("began_ns"))
    described = known.describe(births, addresses, _first_seen(events), uses, began, ended, start_t)
    events, described = _of_devices(source, start, events, described, [*began, *ended])
    malformed = tuple(map(malformed_line, scanner.problems()))
    info = _info(recording, events, tuple(described), lost, counts["malformed"], tuple(notes))
    report = ImportReport(
        source=source,
        rows=events.height,
        lines=counts["lines"],
        headers=counts["headers"],
        events=scanner.events(used=True),
        ignored=scanner.events(used=False),
        unknown=scanner.unknown(),
        unknown_count=counts["unknown"],
        malformed=malformed,
        malformed_count=counts["malformed"],
        lost=lost,
        out_of_order=counts["out_of_order"],
        pairing=pairing,
        notes=info.notes,
    )
    return Trace(events, info), report


def _trace_of_maps(
    source: str, recording: _Recording, scanner: Scanner, mapped: pl.DataFrame, allow_lost: bool
) -> tuple[Trace, ImportReport]:
    """The trace of a recording that knows only maps and unmaps."""
    start, end, counts = recording.start, recording.end or {}, scanner.counts()
    lost = _lost(recording, counts["lost"])
    refuse_losses(source, lost, allow_lost)
    unmapped = pl.DataFrame(scanner).filter(pl.col("op") == int(Op.UNMAP))
    groups = known.groups_of(end.get("groups")) or known.groups_of(start.get("groups"))
    lazy = any(group.mode == "lazy" for group in groups)
    events = maps.calls_of(mapped, unmapped, lazy=lazy)
    if events.is_empty():
        raise InputError(source, "nothing was mapped while it was recorded.",
                         hint="Record while a device is at work.")  # fmt: skip
    notes = (*_strings(start.get("notes")), *maps.NOTES, *((maps.LAZY_NOTE,) if lazy else ()))
    highest = events["domain"].max()
    count = highest + 1 if isinstance(highest, int) else 0
    modes = {group.mode for group in groups}
    mode = modes.pop() if len(modes) == 1 else None
    known_domains = tuple(DomainInfo(n, mode=mode, born=False) for n in range(count))
    info = _info(recording, events, known_domains, lost, counts["malformed"], notes)
    report = ImportReport(
        source=source,
        rows=events.height,
        lines=counts["lines"],
        events=scanner.events(used=True),
        ignored=scanner.events(used=False),
        malformed=tuple(map(malformed_line, scanner.problems())),
        malformed_count=counts["malformed"],
        lost=lost,
        notes=notes,
    )
    return Trace(events, info), report


def _info(
    recording: _Recording,
    events: pl.DataFrame,
    described: tuple[DomainInfo, ...],
    lost: int,
    malformed: int,
    notes: tuple[str, ...],
) -> TraceInfo:
    start, end = recording.start, recording.end or {}
    highest = events["cpu"].max()
    seen = highest + 1 if isinstance(highest, int) else 1
    cpus = min(max(_whole(start.get("cpus_possible")) or 1, seen), 8192)
    return TraceInfo(
        source=FORMAT,
        kernel=_string(start.get("kernel")),
        cmdline=_string(start.get("cmdline")),
        host=_string(start.get("host")),
        clock=_string(start.get("clock")),
        cpus_possible=cpus,
        cpus_online=min(_whole(start.get("cpus_online")) or cpus, 8192),
        lost_events=lost,
        allowed_loss=lost > 0,
        malformed_lines=malformed,
        loss_counters=tuple(_strings(end.get("counters"))),
        domains=described,
        notes=notes,
    )


def _first_seen(events: pl.DataFrame) -> dict[int, int]:
    firsts = events.filter(pl.col("domain").is_not_null()).group_by("domain").agg(pl.col("t").min())
    return dict(firsts.iter_rows())


def _of_devices(
    source: str,
    start: dict[str, Any],
    events: pl.DataFrame,
    described: list[DomainInfo],
    groups: list[known.Group],
) -> tuple[pl.DataFrame, list[DomainInfo]]:
    """The rows of the devices that were asked for, numbered anew."""
    wanted = known.devices_in(start.get("devices"))
    if not wanted:
        return events, described
    kept = sorted(known.numbers_of_devices(described, wanted, groups))
    if not kept:
        raise InputError(
            source,
            f"no call of {', '.join(wanted)} was recorded.",
            hint="Record while the device is at work; `iova record` without --device tells which"
            " devices are.",
        )
    numbers = {old: new for new, old in enumerate(kept)}
    rows = events.filter(pl.col("domain").is_in(kept)).with_columns(
        domain=pl.col("domain").replace_strict(numbers, return_dtype=pl.UInt32),
        slot=(pl.col("slot").rank("dense") - 1).cast(pl.UInt32),
    )
    return rows, [replace(described[old], domain=new) for old, new in numbers.items()]


_MAX_STRINGS: Final = 65536
_MAX_STRING: Final = 4096


def _strings(values: object) -> list[str]:
    texts = map(_string, values[:_MAX_STRINGS]) if isinstance(values, list) else ()
    return [text for text in texts if text]


def _string(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(c for c in value[:_MAX_STRING] if c.isprintable()) or None
