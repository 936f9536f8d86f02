"""What a sweep is to run: a TOML file, and the cells that it stands for.

    seeds = [1, 2, 3]              # of workloads; or a number: so many
    cpus = [64, 256]               # by default as each source has them
    prices = "prices.toml"         # of workloads; by default the package's own
    allow_lost = false             # accept traces that lost events

    [[source]]
    source = "fleet/**/*.parquet"  # a path or pattern, a sample, a preset or a workload's .toml
    cpus = [16]                    # in place of the above; seeds likewise

    [[source]]
    source = "scsi-256"
    set = ["duration_s=0.5"]       # as on the command line
    vary.depth = [8, 16]           # one cell each

    [[design]]
    design = "linux-6.12"          # as on the command line
    vary.threshold = [8, 16, 32]   # one cell each, times those of other keys

Paths are relative to the file. Every combination of source, its variations, CPUs, seed, design and
its variations is a cell. Traces have no seeds; a trace on other CPUs is spread over them.
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeVar

from iova import samples
from iova.designs import DesignError, parse_design
from iova.errors import InputError
from iova.lab.prices import Prices, load_prices
from iova.words import meant, suggestion
from iova.workloads import WorkloadError, is_workload, load_workload, presets, to_toml

LONGEST_TEXT: Final = 1 << 20
MOST_CELLS: Final = 1_000_000
#: Values of one list of a spec.
MOST_VALUES: Final = 10_000
MOST_SOURCES: Final = 100_000
MOST_CPUS: Final = 4096
_LARGEST_TOLD: Final = 10**15
LARGEST_SEED: Final = 2**63 - 1

_TOP: Final = ("source", "design", "seeds", "cpus", "prices", "allow_lost")
_SOURCE: Final = ("source", "set", "vary", "cpus", "seeds")
_DESIGN: Final = ("design", "vary")
_WILD: Final = frozenset("*?[")

_T = TypeVar("_T")


@dataclass(frozen=True)
class SourceCell:
    """One source in one variation: what a worker loads once."""

    name: str  #: as the spec named it
    path: str | None  #: of a trace
    workload: str | None  #: a workload's TOML, settings included
    cpus: int | None  #: a trace is spread over so many; None: as recorded
    settings: tuple[str, ...] = ()  #: of a workload, its CPUs included
    varied: tuple[tuple[str, str], ...] = ()  #: keys that the spec varies, and their values


@dataclass(frozen=True)
class Cell:
    """One run."""

    source: SourceCell
    design: str  #: as ``--design`` takes it
    params: tuple[tuple[str, Any], ...]  #: of the design
    cpus: int | None  #: a workload's, or what a trace is spread over
    seed: int | None  #: None: a trace


@dataclass(frozen=True)
class Spec:
    """A sweep's file, read and expanded."""

    file: str
    cells: tuple[Cell, ...] = field(repr=False)  #: in the table's order
    prices: Prices = field(repr=False)  #: of workloads' cells
    allow_lost: bool = False  #: traces that lost events are taken

    @property
    def sources(self) -> tuple[SourceCell, ...]:
        """Each source and variation once, in order."""
        return tuple(dict.fromkeys(cell.source for cell in self.cells))


def read_spec(path: str | Path) -> Spec:
    """Read a sweep's TOML file and expand it.

    Raises:
        InputError: it can not be read, or a value is not what it must be; names file and key.
    """
    file = str(path)
    try:
        with Path(path).open("rb") as opened:
            raw = opened.read(LONGEST_TEXT + 1)
        if len(raw) > LONGEST_TEXT:
            raise InputError(file, "is longer than 1 MiB: it is no sweep.")
        tables = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise InputError(file, f"is no TOML: {str(error).splitlines()[0]}.") from error
    except OSError as error:
        raise InputError(file, f"cannot be read: {error.strerror or error}.") from error
    try:
        return _Reader(file, Path(path).resolve().parent).spec(tables)
    except RecursionError as error:
        raise InputError(file, "has tables nested too deep.") from error


class _Reader:
    """Checks each value it takes; ``where`` is its key as the file has it."""

    def __init__(self, file: str, folder: Path) -> None:
        self.file = file
        self.folder = folder

    def refuse(self, where: str, problem: str, hint: str | None = None) -> InputError:
        return InputError(self.file, f"{where} {problem}", hint=hint)

    # ------------------------------------------------------------------------ the tables

    def spec(self, raw: Mapping[str, Any]) -> Spec:
        self._known(raw, _TOP, "")
        self._refuse_more_cells(_at_least(raw), "at least ")
        seeds = self._seeds(raw["seeds"], "seeds") if "seeds" in raw else None
        cpus = self._cpus(raw["cpus"], "cpus") if "cpus" in raw else None
        tables = self._tables(raw, "source")
        designs = [
            design
            for i, table in enumerate(self._tables(raw, "design"))
            for design in self._design(table, f"design[{i}]")
        ]
        sources = []
        for i, table in enumerate(tables):
            sources += self._source(table, f"source[{i}]", seeds, cpus)
            count = len(designs) * sum(len(own) for _, _, own in sources)
            self._refuse_more_cells(count, "" if i + 1 == len(tables) else "at least ")
        cells = (
            Cell(source, design, params, cpus, seed)
            for (source, cpus, own), (design, params) in product(sources, designs)
            for seed in own
        )
        allow_lost = raw.get("allow_lost", False)
        if not isinstance(allow_lost, bool):
            raise self.refuse("allow_lost", "must be true or false.")
        return Spec(self.file, tuple(dict.fromkeys(cells)), self._prices(raw), allow_lost)

    def _refuse_more_cells(self, count: int, about: str) -> None:
        if count > MOST_CELLS:
            told = count if count < _LARGEST_TOLD else f"more than {_LARGEST_TOLD}"
            raise InputError(
                self.file, f"stands for {about}{told} cells; {MOST_CELLS} are the most."
            )

    def _tables(self, raw: Mapping[str, Any], name: str) -> list[Any]:
        tables = raw.get(name)
        if not isinstance(tables, list) or not tables:
            raise self.refuse(name, "is missing.", f"Write a table [[{name}]] for each.")
        return tables

    def _prices(self, raw: Mapping[str, Any]) -> Prices:
        given = raw.get("prices")
        return load_prices(None if given is None else self.folder / self._text(given, "prices"))

    def _source(
        self, table: Any, where: str, seeds: tuple[int, ...] | None, cpus: tuple[int, ...] | None
    ) -> list[tuple[SourceCell, int | None, Sequence[int | None]]]:
        """Its variations, each with its CPUs and seeds."""
        table = self._table(table, where)
        self._known(table, _SOURCE, where)
        if "source" not in table:
            raise self.refuse(f"{where}.source", "is missing.", "Name a trace or a workload.")
        name = self._text(table["source"], f"{where}.source")
        if "cpus" in table:
            cpus = self._cpus(table["cpus"], f"{where}.cpus")
        if "seeds" in table:
            seeds = self._seeds(table["seeds"], f"{where}.seeds")
        if self._is_workload(name):
            settings = self._settings(table.get("set", []), f"{where}.set")
            varied = self._varied(table.get("vary", {}), f"{where}.vary")
            return [
                self._workload(name, where, settings, pairs, count, seeds)
                for pairs in varied
                for count in (cpus or (None,))
            ]
        for key in ("set", "vary", "seeds"):
            if key in table:
                raise self.refuse(f"{where}.{key}", "is for workloads, and this is a trace.")
        return [
            (SourceCell(shown, path, None, count), count, (None,))
            for shown, path in self._traces(name, where)
            for count in (cpus or (None,))
        ]

    def _is_workload(self, name: str) -> bool:
        return is_workload(name) and not (not name.endswith(".toml") and self._here(name).exists())

    def _here(self, name: str) -> Path:
        return self.folder / name

    def _workload(
        self,
        name: str,
        where: str,
        settings: tuple[str, ...],
        pairs: tuple[tuple[str, Any], ...],
        cpus: int | None,
        seeds: tuple[int, ...] | None,
    ) -> tuple[SourceCell, int, Sequence[int]]:
        varied = tuple((key, _as_setting(value)) for key, value in pairs)
        told = (
            *settings,
            *(f"{key}={value}" for key, value in varied),
            *(() if cpus is None else (f"machine.cpus={cpus}",)),
        )
        located = str(self._here(name)) if name.endswith(".toml") else name
        try:
            workload = load_workload(located, told)
        except (InputError, WorkloadError) as error:
            raise self.refuse(where, f"can not be simulated: {error}") from error
        cell = SourceCell(name, None, to_toml(workload), None, told, varied)
        return cell, workload.machine.online, seeds or (workload.seed,)

    def _traces(self, name: str, where: str) -> list[tuple[str, str]]:
        """Names and paths of the traces that a path or pattern stands for, in order of names."""
        if not _WILD & set(name):
            resolved = samples.resolve(name)
            path = Path(resolved) if resolved != name else self._here(name)
            self._refuse_misspelt(name, path, where)
            return [(name, str(path))]
        try:
            root = Path(name).anchor
            base = Path(root) if root else self.folder
            found = base.glob(name[len(root) :])
            paths = [path for _, path in zip(range(MOST_SOURCES + 1), found, strict=False)]
        except (ValueError, NotImplementedError, OSError) as error:
            raise self.refuse(f"{where}.source", f"is no pattern: {error}.") from error
        files = sorted(path for path in paths if path.is_file())
        if len(paths) > MOST_SOURCES:
            raise self.refuse(f"{where}.source", f"stands for more than {MOST_SOURCES} files.")
        if not files:
            raise self.refuse(f"{where}.source", f"{name!r} matches no file.")
        return [(str(path if root else path.relative_to(base)), str(path)) for path in files]

    def _refuse_misspelt(self, name: str, path: Path, where: str) -> None:
        names = [*(one.name for one in presets()), *(one.name for one in samples.SAMPLES)]
        close = meant(name, names)
        if close and not os.path.lexists(path):
            raise self.refuse(
                f"{where}.source",
                f"{name!r} is no file, and no preset or bundled trace has that name.",
                f"Did you mean {close}?",
            )

    def _design(self, table: Any, where: str) -> list[tuple[str, tuple[tuple[str, Any], ...]]]:
        table = self._table(table, where)
        self._known(table, _DESIGN, where)
        if "design" not in table:
            raise self.refuse(f"{where}.design", "is missing.", "Name a design.")
        name = self._text(table["design"], f"{where}.design")
        texts = [
            ",".join([name, *(f"{key}={_as_setting(value)}" for key, value in pairs)])
            for pairs in self._varied(table.get("vary", {}), f"{where}.vary")
        ]
        try:
            specs = [(text, parse_design(text)) for text in texts]
            return [(text, spec.params + spec.options) for text, spec in specs]
        except DesignError as error:
            raise self.refuse(where, f"is no design: {error}") from error

    # ------------------------------------------------------------------------ the values

    def _varied(self, value: Any, where: str) -> list[tuple[tuple[str, Any], ...]]:
        """Every combination of a table of lists."""
        table = _flat(self._table(value, where))
        lists = {key: self._list(values, f"{where}.{key}") for key, values in table.items()}
        return [tuple(zip(lists, one, strict=True)) for one in product(*lists.values())]

    def _settings(self, value: Any, where: str) -> tuple[str, ...]:
        return tuple(self._text(one, where) for one in self._list(value, where, least=0))

    def _cpus(self, value: Any, where: str) -> tuple[int, ...]:
        values = self._list(value if isinstance(value, list) else [value], where)
        return tuple(self._whole(one, where, 1, MOST_CPUS) for one in values)

    def _seeds(self, value: Any, where: str) -> tuple[int, ...]:
        if isinstance(value, list):
            values = self._list(value, where)
            return tuple(self._whole(one, where, 0, LARGEST_SEED) for one in values)
        if not isinstance(value, int):
            raise self.refuse(where, f"must be a whole number from 1 to {MOST_VALUES}, or a list.")
        return tuple(range(1, self._whole(value, where, 1, MOST_VALUES) + 1))

    def _list(self, value: Any, where: str, least: int = 1) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= MOST_VALUES:
            raise self.refuse(where, f"must be a list of {least} to {MOST_VALUES} values.")
        return value

    def _whole(self, value: Any, where: str, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refuse(where, f"must be whole numbers from {low} to {high}.")
        return value

    def _text(self, value: Any, where: str) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.refuse(where, "must be text.")
        return value

    def _table(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.refuse(where, "must be a table.")
        return value

    def _known(self, table: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
        for key in table:
            if key not in keys:
                path = f"{where}.{key}" if where else key
                raise self.refuse(ascii(path)[1:-1], "is not known.", suggestion(key, keys))


def _at_least(raw: Mapping[str, Any]) -> int:
    """Cells that a spec stands for if each pattern matches one file; what is wrong counts as one.

    It is known before anything is expanded, so that a spec of a million million is told at once.
    """

    def count(table: Any, *keys: str) -> int:
        given = [table.get(key, raw.get(key)) for key in keys]
        return math.prod(_length(value) for value in given) * _combinations(table.get("vary"))

    designs = [table for table in _list_of(raw.get("design")) if isinstance(table, dict)]
    sources = [table for table in _list_of(raw.get("source")) if isinstance(table, dict)]
    return sum(count(table) for table in designs) * sum(
        # Traces have no seeds, and what has settings or variations is no trace.
        count(table, "cpus", "seeds") if {"vary", "set", "seeds"} & set(table)
        else count(table, "cpus")
        for table in sources
    )  # fmt: skip


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _length(seeds_or_cpus: Any) -> int:
    return len(seeds_or_cpus) if isinstance(seeds_or_cpus, list) else 1


def _combinations(vary: Any) -> int:
    lists = _flat(vary).values() if isinstance(vary, dict) else ()
    return math.prod(max(1, len(_list_of(values))) for values in lists)


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``vary.flow.disk.depth`` is a table of tables in TOML; here it is one key."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{before}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _as_setting(value: Any) -> str:
    """A TOML value as text on a command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
