"""Traces as Parquet: the columns of :data:`iova.events.SCHEMA`, and a TraceInfo as JSON.

The JSON is the value of one key of the file's metadata. A file is as untrusted as a text: its
numbers of rows, slots, domains and CPUs are bounded before anything of that size is made.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import polars as pl

from iova.errors import InputError
from iova.events import (
    SCHEMA_VERSION,
    DomainInfo,
    Trace,
    TraceInfo,
    normalised,
    problem_of,
)
from iova.files import appearing_whole
from iova.sources.pieces import PARQUET_MAGIC, Input

_HINT: Final = "Copy it again, or convert the trace again with `iova convert`."

METADATA_KEY: Final = "iova.trace"

#: Rows of a group, about 10 MB in memory.
ROW_GROUP: Final = 1 << 17
#: No trace packs more rows into a byte of Parquet; a file that says so is made to fill memory.
MAX_ROWS_PER_BYTE: Final = 64
MAX_DOMAINS: Final = 1 << 16
MAX_CPUS: Final = 8192
MAX_GRANULE: Final = 1 << 16


def write_parquet(trace: Trace, out: str | Path) -> None:
    """Write a trace, compressed with zstd, under a temporary name that is then renamed.

    Whoever reads a trace reads all of it, so there are no statistics of its pages.

    Raises:
        InputError: the file cannot be written.
    """
    metadata = {METADATA_KEY: json.dumps(asdict(trace.info), sort_keys=True)}
    # Through memory: after Ctrl-C Polars' threads would go on writing to a file.
    buffer = io.BytesIO()
    trace.events.write_parquet(
        buffer,
        compression="zstd",
        compression_level=1,
        statistics=False,
        row_group_size=ROW_GROUP,
        metadata=metadata,
    )
    with appearing_whole(out) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_parquet(opened: Input) -> Trace:
    """Read a trace.

    Raises:
        InputError: this is no such file, or it breaks the schema.
    """
    _refuse_unfinished(opened)
    file = opened.read_all()
    try:
        text = pl.read_parquet_metadata(file).get(METADATA_KEY)
        file.seek(0)
        rows = pl.scan_parquet(file).select(pl.len()).collect().item()
        if rows > MAX_ROWS_PER_BYTE * file.getbuffer().nbytes:
            raise InputError(opened.name, f"claims {rows} rows, more than a file of its size has.")
        file.seek(0)
        events = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError, ValueError, pl.exceptions.PanicException) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            opened.name, f"is no readable Parquet file: {first}.", hint=_HINT
        ) from error
    info = _info_of(text, opened.name)
    events = normalised(events, opened.name)
    problem = problem_of(events)
    if problem:
        raise InputError(opened.name, problem)
    return Trace(events, info)


def _refuse_unfinished(opened: Input) -> None:
    """A file's end, where all else of it is described, is looked at before the rest is read."""
    end = opened.end(len(PARQUET_MAGIC) + 4)
    if end is None:
        return
    described = opened.end(int.from_bytes(end[:4], "little") + len(end)) or b""
    if not end.endswith(PARQUET_MAGIC):
        raise InputError(
            opened.name, "is no readable Parquet file: its end is missing.", hint=_HINT
        )
    try:
        pl.read_parquet_metadata(io.BytesIO(PARQUET_MAGIC + described))
    except (pl.exceptions.PolarsError, OSError, ValueError, pl.exceptions.PanicException) as error:
        raise InputError(
            opened.name, "is no readable Parquet file: its description is damaged.", hint=_HINT
        ) from error


# ---------------------------------------------------------------------------- metadata


def _info_of(text: str | None, source: str) -> TraceInfo:
    """The TraceInfo of the metadata; what is not of the right type is an error."""
    if text is None:
        return TraceInfo(source="parquet", notes=("the file says nothing of where it came from",))
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(source, f"its metadata {METADATA_KEY} is no JSON.") from error
    if not isinstance(values, dict):
        raise InputError(source, f"its metadata {METADATA_KEY} is no JSON object.")
    version = values.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise InputError(
            source,
            f"is of schema version {version!r}; this program reads {SCHEMA_VERSION}.",
            hint="Convert the trace again, or use the version of iova that made it.",
        )
    domains = values.pop("domains", [])
    if not isinstance(domains, list) or len(domains) > MAX_DOMAINS:
        raise InputError(source, f"its metadata {METADATA_KEY} has no usable list of domains.")
    info = TraceInfo(
        **_checked(values, TraceInfo, source),
        domains=tuple(DomainInfo(**_checked(domain, DomainInfo, source)) for domain in domains),
    )
    for cpus in (info.cpus_possible, info.cpus_online):
        if cpus is not None and not 0 < cpus <= MAX_CPUS:
            raise InputError(source, f"says it has {cpus} CPUs; at most {MAX_CPUS} are possible.")
    for known in info.domains:
        if not _is_possible(known):
            raise InputError(source, "has a domain with a bad granule or start, or a bad number.")
    if info.lost_events < 0 or info.malformed_lines < 0:
        raise InputError(source, "counts fewer than no events as lost or malformed.")
    return info


def _is_possible(domain: DomainInfo) -> bool:
    granule = domain.granule
    return (
        0 <= domain.domain < MAX_DOMAINS
        and 0 < granule <= MAX_GRANULE
        and granule & (granule - 1) == 0
        and 0 <= domain.start < 1 << 64
    )


#: How the types of the two dataclasses' fields look in JSON.
_JSON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "tuple[str, ...]": (list,),
}


def _checked(values: object, kind: type, source: str) -> dict[str, Any]:
    """The values a dataclass takes, each of its type; keys it does not have are left out."""
    if not isinstance(values, dict):
        raise InputError(source, f"its metadata {METADATA_KEY} has a domain that is no object.")
    taken: dict[str, Any] = {}
    for item in fields(kind):
        if item.name not in values:
            continue
        value = values[item.name]
        if type(value) not in _JSON_TYPES[str(item.type)]:
            raise InputError(source, f"its metadata {METADATA_KEY} has a bad {item.name!r}.")
        if isinstance(value, list):
            value = tuple(str(part) for part in value)
        taken[item.name] = value
    if kind is DomainInfo and "domain" not in taken:
        raise InputError(source, f"its metadata {METADATA_KEY} has a domain without number.")
    return taken
