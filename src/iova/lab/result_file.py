"""The JSON that ``iova compare --json`` prints, and reading it back.

A file that is read back may come from anyone: its size, numbers of runs and every value used
are checked before anything is made of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from iova import _core
from iova.errors import InputError
from iova.lab.compare import Comparison

FORMAT: Final = "iova compare"
SCHEMA_VERSION: Final = 1

MOST_BYTES: Final = 1 << 26
#: Runs of one design.
MOST_RUNS: Final = 200
#: Beyond this sums of some values are no longer numbers.
_LARGEST: Final = 1e100

_HINT: Final = "`iova compare SOURCE... --json >FILE` writes one."


@dataclass(frozen=True)
class StoredRuns:
    """The runs of one design on one source, as a file holds them."""

    source: str
    design: str
    runs: tuple[Mapping[str, float], ...]  #: numbers by name
    seeds: tuple[int | None, ...]  #: None: a replay, which has none
    circumstances: Mapping[str, str]  #: what a reader should know if it differs: settings, prices

    @property
    def is_replay(self) -> bool:
        """Whether nothing in it is random: any change is a change."""
        return all(seed is None for seed in self.seeds)

    def metrics(self) -> list[str]:
        """Names of the numbers that every run has."""
        return [name for name in self.runs[0] if all(name in run for run in self.runs)]


@dataclass(frozen=True)
class StoredResult:
    """An earlier result."""

    file: str
    version: str  #: of the program that made it
    designs: tuple[StoredRuns, ...]


def result_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The JSON object of a result."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "version": _core.VERSION,
        "comparisons": [comparison.to_json() for comparison in comparisons],
    }


def stored(result: Mapping[str, Any], file: str) -> StoredResult:
    """What is in the JSON object of a result.

    Raises:
        InputError: it is no such object; names the place.
    """
    return _Reader(file).result(result)


def read_result(path: str | Path) -> StoredResult:
    """Read a file with the JSON of a result.

    Raises:
        InputError: it can not be read or is no such result; names the file and the place in it.
    """
    file = str(path)
    try:
        with Path(path).open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else None
        raise InputError(file, f"cannot be read: {told or error}.") from error
    if len(raw) > MOST_BYTES:
        raise InputError(file, f"is no result: it has more than {MOST_BYTES >> 20} MiB.")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InputError(file, "is no JSON.", line=line, hint=_HINT) from error
    return stored(found, file)


class _Reader:
    """Checks each value it takes; ``place`` is where it stands, as in comparisons[0].source."""

    def __init__(self, file: str) -> None:
        self.file = file

    def refuse(self, place: str, problem: str, hint: str | None = None) -> NoReturn:
        raise InputError(self.file, f"{place} {problem}", hint=hint)

    def result(self, found: object) -> StoredResult:
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(self.file, "is no result of `iova compare --json`.", hint=_HINT)
        version = found.get("schema_version")
        if type(version) is not int or version != SCHEMA_VERSION:
            self.refuse(
                "schema_version",
                f"is {version!r}; this program reads {SCHEMA_VERSION}.",
                "Make the result again with this version of iova.",
            )
        designs = []
        for i, comparison in enumerate(self.list_of(found, "comparisons", "")):
            place = f"comparisons[{i}]"
            designs += self.comparison(self.object(comparison, place), place)
        return StoredResult(self.file, self.text(found, "version", ""), tuple(designs))

    def comparison(self, found: dict[str, Any], place: str) -> list[StoredRuns]:
        source = self.text(found, "source", place)
        circumstances = _circumstances(found)
        return [
            self.design(self.object(design, f"{place}.designs[{i}]"), source, circumstances,
                        f"{place}.designs[{i}]")
            for i, design in enumerate(self.list_of(found, "designs", place))
        ]  # fmt: skip

    def design(
        self, found: dict[str, Any], source: str, circumstances: Mapping[str, str], place: str
    ) -> StoredRuns:
        runs = self.list_of(found, "runs", place)
        if not 0 < len(runs) <= MOST_RUNS:
            self.refuse(f"{place}.runs", f"holds {len(runs)} runs, not 1 to {MOST_RUNS}.")
        checked = [
            self.run(self.object(run, f"{place}.runs[{i}]"), f"{place}.runs[{i}]")
            for i, run in enumerate(runs)
        ]
        return StoredRuns(
            source,
            self.text(found, "design", place),
            tuple(metrics for metrics, _ in checked),
            tuple(seed for _, seed in checked),
            circumstances,
        )

    def run(self, found: dict[str, Any], place: str) -> tuple[dict[str, float], int | None]:
        seed = found.get("seed")
        if seed is not None and type(seed) is not int:
            self.refuse(f"{place}.seed", "is no whole number.")
        metrics = {}
        for name, value in found.items():
            if name in ("seed", "speed"):
                continue
            if type(value) not in (int, float) or not _is_usable(value):
                self.refuse(f"{place}.{name}", "is no number that can be used.")
            metrics[name] = value
        return metrics, seed

    def object(self, value: object, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse(place, "is no object.")
        return value

    def list_of(self, found: Mapping[str, Any], name: str, place: str) -> list[Any]:
        value = found.get(name)
        if not isinstance(value, list):
            self.refuse(f"{place}.{name}".lstrip("."), "is no list.")
        return value

    def text(self, found: Mapping[str, Any], name: str, place: str) -> str:
        value = found.get(name)
        if not isinstance(value, str):
            self.refuse(f"{place}.{name}".lstrip("."), "is no text.")
        return value


def _is_usable(value: float) -> bool:
    return abs(value) <= _LARGEST and math.isfinite(value)


def _circumstances(found: Mapping[str, Any]) -> dict[str, str]:
    """What the same source can be run under, each as a text to be compared and shown."""
    simulation = found.get("simulation")
    told = simulation if isinstance(simulation, dict) else {}
    prices = told.get("prices")
    table = prices.get("picoseconds") if isinstance(prices, dict) else None
    settings = told.get("settings")
    return {
        "settings": " ".join(map(str, settings)) if isinstance(settings, list) else "",
        "domain": _number_or_all(found.get("domain")),
        "CPUs": _number_or_all(found.get("cpus")),
        "prices": json.dumps(table, sort_keys=True),
    }


def _number_or_all(value: object) -> str:
    return str(value) if isinstance(value, int) else ""
