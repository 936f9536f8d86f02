"""What the parts of a call cost on a CPU: the price table of the simulated machine.

A table is a TOML file::

    [prices]      # nanoseconds; tree_near is a number of ranges
    alloc_hit = 4.1
    ...
    [notes]       # how each price was found, in words
    alloc_hit = "..."
    ...
    [provenance]  # strings: whose prices these are
    host = "..."
    ...
    guesses = ["line_far"]  # prices that were not measured

``python -m benchmarks calibrate --write FILE`` measures one; the package brings one along.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Final, NoReturn

from iova.errors import InputError
from iova.files import appearing_whole

#: Picoseconds in a nanosecond.
_PS: Final = 1000
#: No single part of a call takes longer: 1 ms, in ns.
_LONGEST_NS: Final = 1_000_000
#: ``tree_near`` at most.
_MOST_RANGES: Final = 1_000_000_000
#: A price file is a page of text.
_MOST_BYTES: Final = 65_536
_DEFAULT: Final = "the package's own prices"
_COUNT: Final = "tree_near"
_HINT: Final = "`python -m benchmarks calibrate --write FILE` writes a whole file."


@dataclass(frozen=True)
class Prices:
    """Costs on one CPU in picoseconds; a line is the transfer of one cache line between CPUs."""

    alloc_hit: int  #: an allocation that the loaded magazine serves, its lock included
    free_hit: int  #: a free that the loaded magazine takes, its lock included
    swap: int  #: loaded and previous magazine change places
    lock: int  #: take and release a lock whose line is in the own cache
    line: int  #: a line that another CPU of the same node wrote last
    line_far: int  #: a line that a CPU of another node wrote last
    line_ahead: int  #: one of several lines in a row, which are fetched ahead
    line_ahead_far: int  #: the same from another node
    depot: int  #: push or pop a magazine, beside the lock and the lines
    magazine_new: int  #: make a magazine
    magazine_free: int  #: give a magazine's memory back
    scan: int  #: look at one entry of a magazine that is above the limit
    tree_alloc: int  #: make and link the record of a range, beside the walk
    tree_free: int  #: unlink and free it, beside finding it
    tree_step: int  #: one node of Linux's walk, in the CPU's cache
    tree_step_far: int  #: one node of Linux's walk, from memory
    tree_level: int  #: one level of finding a range by its pfn, in the CPU's cache
    tree_level_far: int  #: one level of finding a range by its pfn, from memory
    tree_near: int  #: so many ranges stay in a CPU's cache (a number, no time)
    index_alloc: int  #: an allocation from this library's own tree, search and all
    index_free: int  #: a free into this library's own tree, search and all
    queue: int  #: put an entry into a flush queue, or take one out
    job: int  #: one run of a delayed job or timer, beside what it does
    provenance: str = ""  #: whose prices these are: host, date, how they were measured
    notes: Mapping[str, str] = field(default_factory=dict)  #: price to how it was found
    guesses: tuple[str, ...] = ()  #: prices that were not measured

    def as_dict(self) -> dict[str, int]:
        """The prices alone, in picoseconds, in the order of the machine's own table."""
        return {name: getattr(self, name) for name in PRICE_NAMES}


#: Names of the prices, in the order of the machine's own table.
PRICE_NAMES: Final = tuple(one.name for one in fields(Prices) if one.type == "int")


# ------------------------------------------------------------------------------- reading


def load_prices(path: str | Path | None = None) -> Prices:
    """Read a price file; without a path, the one that comes with the package.

    Raises:
        InputError: it can not be read, a price is missing, unknown or out of range, or the file
            is no such table; names the file and the key.
    """
    if path is None:
        shipped = resources.files("iova").joinpath("data", "prices.toml")
        return prices_of(shipped.read_text(encoding="utf-8"), _DEFAULT)
    return prices_of(_text_of(Path(path)), str(path))


def prices_of(text: str, source: str) -> Prices:
    """The prices in the text of a file; ``source`` names it in errors (:class:`InputError`)."""
    tables = _parsed(text, source)
    unknown = sorted(tables.keys() - {"prices", "notes", "provenance"})
    if unknown:
        _refuse(source, unknown[0], "is none of the tables prices, notes and provenance.")
    given = _table(tables, "prices", source)
    for name in given.keys() - set(PRICE_NAMES):
        _refuse(source, f"prices.{name}", "is no price.", f"There are: {', '.join(PRICE_NAMES)}.")
    values = {name: _price(given, name, source) for name in PRICE_NAMES}
    for near in ("tree_step", "tree_level"):
        if values[f"{near}_far"] < values[near]:
            _refuse(source, f"prices.{near}_far", f"is less than prices.{near}.")
    provenance = _table(tables, "provenance", source)
    guesses = _guesses(provenance.pop("guesses", []), source)
    return Prices(
        **values,
        provenance=_told(_strings(provenance, "provenance", source)),
        notes=_notes(_table(tables, "notes", source), source),
        guesses=guesses,
    )


def _refuse(source: str, key: str, problem: str, hint: str | None = None) -> NoReturn:
    raise InputError(source, f"{key} {problem}", hint=hint)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}."
        raise InputError(str(path), problem) from error
    if len(raw) > _MOST_BYTES:
        raise InputError(str(path), f"is no price file: it has more than {_MOST_BYTES} bytes.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is no price file: it is not UTF-8 text.") from error


def _parsed(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        problem = f"is no TOML: {str(error).partition(' (at ')[0]}."
        raise InputError(source, problem, line=line, column=column) from error


def _table(tables: Mapping[str, object], name: str, source: str) -> dict[str, object]:
    found = tables.get(name, {})
    if not isinstance(found, dict):
        _refuse(source, name, "is no table.", f"Write [{name}] on a line of its own.")
    return dict(found)


def _price(given: Mapping[str, object], name: str, source: str) -> int:
    key = f"prices.{name}"
    if name not in given:
        _refuse(source, key, "is missing.", _HINT)
    value = given[name]
    if name == _COUNT:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_RANGES:
            _refuse(source, key, f"is no whole number of ranges from 0 to {_MOST_RANGES}.")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(source, key, "is no number of nanoseconds.")
    if not (math.isfinite(value) and 0 <= value <= _LONGEST_NS):
        _refuse(source, key, f"is {value}: it must be from 0 to {_LONGEST_NS} nanoseconds.")
    return round(value * _PS)


def _strings(table: Mapping[str, object], name: str, source: str) -> dict[str, str]:
    found = {}
    for key, value in table.items():
        if not isinstance(value, str):
            _refuse(source, f"{name}.{key}", "is no text.", "Put it in quotation marks.")
        found[key] = value
    return found


def _notes(table: Mapping[str, object], source: str) -> dict[str, str]:
    for name in table.keys() - set(PRICE_NAMES):
        _refuse(source, f"notes.{name}", "is a note on no price.")
    return _strings(table, "notes", source)


def _guesses(value: object, source: str) -> tuple[str, ...]:
    key = "provenance.guesses"
    if not isinstance(value, list):
        _refuse(source, key, "is no list of prices.")
    for name in value:
        if name not in PRICE_NAMES:
            _refuse(source, key, f"names {name!r}, which is no price.")
    return tuple(value)


def _told(provenance: Mapping[str, str]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in provenance.items())


# ------------------------------------------------------------------------------- writing


def write_prices(path: str | Path, prices: Prices, provenance: Mapping[str, str]) -> None:
    """Write a file that :func:`load_prices` reads; ``provenance`` stands for the prices' own.

    Raises:
        InputError: it cannot be written.
    """
    with appearing_whole(path) as temporary:
        temporary.write_text(_toml_of(prices, provenance), encoding="utf-8")


def _toml_of(prices: Prices, provenance: Mapping[str, str]) -> str:
    lines = ["# Prices of the simulated machine: nanoseconds; tree_near is a number of ranges."]
    lines += ["", "[prices]"]
    for name, value in prices.as_dict().items():
        lines.append(f"{name} = {value if name == _COUNT else value / _PS}")
    lines += ["", "[notes]"]
    lines += [f"{name} = {_quoted(note)}" for name, note in prices.notes.items()]
    lines += ["", "[provenance]"]
    lines += [f"{key} = {_quoted(told)}" for key, told in provenance.items()]
    lines.append(f"guesses = [{', '.join(map(_quoted, prices.guesses))}]")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
