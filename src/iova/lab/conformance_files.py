"""Reading a conformance folder: its manifest, the rows of a sequence, its snapshots.

A folder holds ``NAME.csv.zst`` (one operation a row, with its result in each variant) and
``NAME.states.jsonl.zst`` (snapshots of the inner state) for every sequence, and ``manifest.json``,
which lists the sequences with the SHA-256 of the uncompressed files. Everything is checked before
a row is replayed, so that a replay only meets operations that mean something; what is wrong is an
:class:`~iova.errors.InputError` that names file and line.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl
import zstandard

from iova.errors import InputError
from iova.lab.conformance_rows import RowRules

COLUMNS: Final = ("t_us", "cpu", "op", "a", "b", "c", "d", "rA", "rB", "rC")
FIRST_ROW_LINE: Final = 2  #: line of row 0, below the header
VARIANTS: Final = "ABC"
SKIPPED: Final = "s"  #: the result of a row that was not done

#: Fields of a snapshot; those of an entry of ``rcache``, where only B and C have ``due``.
STATE_FIELDS: Final = (
    "op", "t", "var", "online", "ranges", "pages", "ranges_hash", "cached", "cached32", "max32",
    "mags", "warns", "works_run", "rcache",
)  # fmt: skip
RCACHE_FIELDS: Final = ("depot", "due", "cpus", "cached_pfns", "hash")
SIZE_CLASSES: Final = 6

MAX_FILE_BYTES: Final = 256 << 20  #: uncompressed

#: A row's result: a number, :data:`SKIPPED`, or the two numbers of ``lo:hi``.
Result: TypeAlias = int | str | tuple[int, int]
State: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class SequenceFiles:
    """Where a sequence is, and what the manifest says of it (None: nothing)."""

    name: str
    rows_path: Path
    states_path: Path
    rows_sha256: str | None = None
    states_sha256: str | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Sequence:
    """One sequence, checked. Each column has one entry a row; nobody changes them."""

    name: str
    t_ns: list[int]
    cpu: list[int]
    op: list[str]
    arguments: tuple[list[int], list[int], list[int], list[int]]  #: 0 where unused
    results: dict[str, list[Result]]  #: by variant
    states: dict[str, list[State]]  #: by variant, one for each DS row, in row order

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.op)


# ---- the folder ---------------------------------------------------------------------------------


def list_sequences(folder: Path) -> list[SequenceFiles]:
    """The sequences of a folder: those of the manifest, then the files it does not list.

    Raises:
        InputError: there is no such folder, nothing in it to verify, or the manifest is wrong.
    """
    if not folder.is_dir():
        raise InputError(str(folder), "this is not a folder.", hint="Give a conformance folder.")
    manifest = folder / "manifest.json"
    listed = _read_manifest(manifest) if manifest.exists() else []
    known = {files.rows_path.name for files in listed}
    for path in sorted(folder.glob("*.csv.zst")):
        if path.name not in known:
            name = path.name.removesuffix(".csv.zst")
            listed.append(SequenceFiles(name, path, folder / f"{name}.states.jsonl.zst"))
    if not listed:
        problem = "holds neither manifest.json nor any *.csv.zst."
        raise InputError(str(folder), problem, hint="Give a conformance folder.")
    return listed


def _read_manifest(path: Path) -> list[SequenceFiles]:
    try:
        manifest = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        problem = f"is not valid JSON: {error.msg}."
        raise InputError(str(path), problem, line=error.lineno, column=error.colno) from None
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(str(path), f"cannot be read: {error}.") from None
    entries = manifest.get("sequences") if isinstance(manifest, dict) else None
    if not isinstance(entries, list):
        raise InputError(str(path), 'has no list "sequences".')
    if manifest.get("format_version") != 1:
        problem = f"format_version is {manifest.get('format_version')!r}; only 1 can be read."
        raise InputError(str(path), problem)
    return [_manifest_entry(path, number, entry) for number, entry in enumerate(entries)]


def _manifest_entry(path: Path, number: int, entry: object) -> SequenceFiles:
    def part(where: object, key: str, default: object = None) -> Any:
        return where.get(key, default) if isinstance(where, dict) else None

    def wrong(problem: str) -> InputError:
        return InputError(str(path), f"sequences[{number}]: {problem}.")

    name, rows = part(entry, "name"), part(entry, "rows")
    files, sums = part(entry, "files", {}), part(entry, "sha256_uncompressed", {})
    names = [name, part(files, "ops", f"{name}.csv.zst")]
    names.append(part(files, "states", f"{name}.states.jsonl.zst"))
    if not all(isinstance(n, str) and n == Path(n).name != "" for n in names):
        raise wrong("name, files.ops and files.states must be plain file names")
    sha256 = part(sums, "ops"), part(sums, "states")
    if not all(s is None or isinstance(s, str) for s in sha256):
        raise wrong("sha256_uncompressed must be text")
    if rows is not None and not isinstance(rows, int):
        raise wrong("rows must be a number")
    return SequenceFiles(name, path.parent / names[1], path.parent / names[2], *sha256, rows)


def _read_zstd(path: Path, sha256: str | None) -> bytes:
    """A file's uncompressed content: complete, of bounded size, and as the manifest says."""
    source = str(path)
    try:
        compressed = path.read_bytes()
    except OSError as error:
        raise InputError(source, f"cannot be read: {error.strerror}.") from None
    content = io.BytesIO()
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        # A little at a time: a few compressed bytes may stand for megabytes.
        for start in range(0, len(compressed), 1024):
            rest = compressed[start : start + 1024]
            while rest:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                content.write(frame.decompress(rest))
                rest = frame.unused_data
                if content.tell() > MAX_FILE_BYTES:
                    raise InputError(source, f"holds more than {MAX_FILE_BYTES >> 20} MiB.")
    except zstandard.ZstdError as error:
        raise InputError(source, f"is not valid Zstandard: {error}.") from None
    if not frame.eof:
        raise InputError(source, "ends before its Zstandard frame does.", hint="Copy it again.")
    if sha256 is not None and hashlib.sha256(content.getbuffer()).hexdigest() != sha256.lower():
        problem = "has another SHA-256, uncompressed, than the manifest says."
        raise InputError(source, problem, hint="Copy both from one source.")
    return content.getvalue()


# ---- one sequence -------------------------------------------------------------------------------


def read_sequence(files: SequenceFiles, variants: str = VARIANTS) -> Sequence:
    """Read and check one sequence.

    Args:
        files: the sequence, as :func:`list_sequences` gave it.
        variants: the variants whose snapshots must be there.

    Raises:
        InputError: a file is missing, damaged, or says something that has no meaning.
    """
    source = str(files.rows_path)
    table = _read_csv(source, _read_zstd(files.rows_path, files.rows_sha256))
    if files.rows is not None and len(table) != files.rows:
        raise InputError(source, f"has {len(table)} rows; the manifest says {files.rows}.")
    numbers = table.select(
        pl.col("t_us", "cpu", "a", "b", "c", "d").cast(pl.UInt64(), strict=False)
    )
    op = table["op"].to_list()
    _reject_bad_rows(source, op, numbers)
    dumps = [row for row, name in enumerate(op) if name == "DS"]
    a, b, c, d = (numbers[name].fill_null(0).to_list() for name in "abcd")
    return Sequence(
        name=files.name,
        t_ns=(numbers["t_us"] * 1000).to_list(),
        cpu=numbers["cpu"].to_list(),
        op=op,
        arguments=(a, b, c, d),
        results=dict(_read_results(source, table)),
        states=_read_states(files, dumps, variants),
    )


def _read_csv(source: str, content: bytes) -> pl.DataFrame:
    """All columns as text; an empty field is null."""
    lines = content.removesuffix(b"\n").split(b"\n")
    if lines[0] != ",".join(COLUMNS).encode():
        raise InputError(source, f"the header must be {','.join(COLUMNS)}.", line=1)
    commas = len(COLUMNS) - 1
    if {text.count(b",") for text in lines} != {commas} or not _is_plain(content):
        bad = (n for n, t in enumerate(lines, 1) if t.count(b",") != commas or not _is_plain(t))
        raise InputError(source, f"want {len(COLUMNS)} plain fields in a row.", line=next(bad))
    return pl.read_csv(content, infer_schema=False, quote_char=None)


def _is_plain(text: bytes) -> bool:
    return text.isascii() and b"\r" not in text


def _reject_bad_rows(source: str, op: list[str | None], numbers: pl.DataFrame) -> None:
    problem_of = RowRules(op).problem
    for row, values in enumerate(zip(*(column.to_list() for column in numbers), strict=True)):
        problem = problem_of(row, *values)
        if problem is not None:
            raise InputError(source, f"{problem}.", line=row + FIRST_ROW_LINE)


def _read_results(source: str, table: pl.DataFrame) -> Iterator[tuple[str, list[Result]]]:
    """Each variant's results, with ``=`` replaced by what it stands for."""
    text = table["rA"]
    results = _parse_results(source, "rA", text)
    yield "A", results
    for variant in "BC":
        column = table[f"r{variant}"]
        same = (column == "=").fill_null(value=False)
        if not same.all():
            text = text.zip_with(same, column)
            results = _parse_results(source, f"r{variant}", text)
        yield variant, results


def _parse_results(source: str, column: str, text: pl.Series) -> list[Result]:
    numbers = text.cast(pl.UInt64, strict=False)
    results: list[Result] = numbers.to_list()
    for row in numbers.is_null().arg_true():
        result = _parse_odd_result(text[row])
        if result is None:
            problem = f"{column}: {str(text[row])[:40]!r} is no result."
            raise InputError(source, problem, line=row + FIRST_ROW_LINE)
        results[row] = result
    return results


def _parse_odd_result(text: str | None) -> Result | None:
    """A result that is not a number from 0 to 2**64-1."""
    if text == SKIPPED:
        return SKIPPED
    if text == "-1":
        return -1
    lo, _, hi = (text or "").partition(":")
    if lo.isdigit() and hi.isdigit() and max(len(lo), len(hi)) <= len(str(2**64)):
        return int(lo), int(hi)
    return None


# ---- snapshots ----------------------------------------------------------------------------------


def _read_states(files: SequenceFiles, dumps: list[int], variants: str) -> dict[str, list[State]]:
    source = str(files.states_path)
    states: dict[str, list[State]] = {variant: [] for variant in VARIANTS}
    content = _read_zstd(files.states_path, files.states_sha256)
    for line, text in enumerate(content.removesuffix(b"\n").split(b"\n") if content else (), 1):
        try:
            state = json.loads(text)
        except json.JSONDecodeError as error:
            problem = f"is not valid JSON: {error.msg}."
            raise InputError(source, problem, line=line, column=error.colno) from None
        except (ValueError, RecursionError) as error:
            raise InputError(source, f"cannot be read: {error}.", line=line) from None
        wrong = _problem_of_state(state, states, dumps)
        if wrong is not None:
            raise InputError(source, f"{wrong}.", line=line)
        states[state["var"]].append(state)
    for variant in variants:
        if len(states[variant]) != len(dumps):
            problem = f"has {len(states[variant])} snapshots of {variant} for {len(dumps)} DS rows."
            raise InputError(source, problem)
    return states


def _problem_of_state(
    state: object, states: dict[str, list[State]], dumps: list[int]
) -> str | None:
    if not isinstance(state, dict) or set(state) != set(STATE_FIELDS):
        return f"want an object with the fields {', '.join(STATE_FIELDS)}"
    variant = state["var"]
    if not isinstance(variant, str) or variant not in states:
        return f"var must be one of {', '.join(VARIANTS)}"
    number = len(states[variant])
    if number >= len(dumps) or state["op"] != dumps[number]:
        wanted = f"row {dumps[number]}" if number < len(dumps) else "no further DS row"
        return f"snapshot {number} of {variant} is of row {state['op']!r}, expected {wanted}"
    fields = set(RCACHE_FIELDS) - ({"due"} if variant == "A" else set())
    rcache = state["rcache"]
    if rcache is not None and not (
        isinstance(rcache, list)
        and len(rcache) == SIZE_CLASSES
        and all(isinstance(entry, dict) and set(entry) == fields for entry in rcache)
    ):
        return f"rcache must be null or {SIZE_CLASSES} objects of {', '.join(sorted(fields))}"
    return None
