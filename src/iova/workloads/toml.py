"""Workloads as TOML: one table ``[machine]``, a ``[domain.NAME]`` and ``[flow.NAME]`` each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final, TypeVar

from iova.errors import InputError
from iova.words import suggestion
from iova.workloads.checks import WorkloadError, shown
from iova.workloads.distributions import Distribution
from iova.workloads.model import (
    MAX_DOMAINS,
    MAX_FLOWS,
    MAX_SIZES,
    DomainGroup,
    Flow,
    MachineShape,
    Size,
    Workload,
    check_name,
)
from iova.workloads.settings import apply_settings, keys_of

_Made = TypeVar("_Made")
_TABLES: Final = ("machine", "domain", "flow")
#: A workload is written by hand. Of a dotted key of n parts tomllib takes n * n steps, so its
#: line, on which it must end, is bounded as well.
LONGEST_TEXT: Final = 1 << 16
LONGEST_LINE: Final = 4096

_TOML_PLACE: Final = re.compile(r" \(at line ([0-9]+), column ([0-9]+)\)$")


def parse_workload(text: str, *, name: str, source: str, settings: Sequence[str] = ()) -> Workload:
    """Read a workload.

    Args:
        text: TOML.
        name: what to call it.
        source: where the text is from, for errors.
        settings: ``key=value`` each; see :func:`iova.workloads.settings.apply_settings`.

    Raises:
        InputError: the text is no workload or a setting does not fit; names file, line and key.
    """
    raw = _load(text, source)
    origins = apply_settings(raw, settings)
    try:
        return _workload(raw, name)
    except WorkloadError as error:
        raise _located(error, text, source, origins) from error


def _load(text: str, source: str) -> dict[str, Any]:
    if len(text) > LONGEST_TEXT:
        raise InputError(source, f"is longer than {LONGEST_TEXT} characters: it is no workload.")
    lengths = [len(line) for line in text.split("\n")]
    if max(lengths) > LONGEST_LINE:
        raise InputError(
            source,
            f"is longer than {LONGEST_LINE} characters.",
            line=lengths.index(max(lengths)) + 1,
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line, column = (int(place[1]), int(place[2])) if place else (None, None)
        problem = _TOML_PLACE.sub("", str(error))
        raise InputError(source, f"{problem}.", line=line, column=column) from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(source, f"holds a value that can not be read: {error}.") from error
    except RecursionError as error:
        raise InputError(source, "nests its values too deeply.") from error


# ------------------------------------------------------------------------------- building


def _workload(raw: Mapping[str, Any], name: str) -> Workload:
    _refuse_unknown("", raw, (*keys_of(Workload), *_TABLES))
    return _make(
        Workload,
        {key: value for key, value in raw.items() if key not in _TABLES}
        | {
            "name": name,
            "machine": _machine(_table("machine", raw.get("machine", {}))),
            "domains": tuple(
                _domain(key, _table(f"domain.{key}", value))
                for key, value in _named("domain", raw, MAX_DOMAINS)
            ),
            "flows": tuple(
                _flow(key, _table(f"flow.{key}", value))
                for key, value in _named("flow", raw, MAX_FLOWS)
            ),
        },
        "",
    )


def _named(table: str, raw: Mapping[str, Any], most: int) -> list[tuple[str, Any]]:
    tables = raw.get(table, {})
    if not isinstance(tables, dict):
        raise WorkloadError(table, f"must be tables [{table}.NAME], not {shown(tables)}.")
    if len(tables) > most:
        raise WorkloadError(table, f"there are {len(tables)}; {most} are the most.")
    for name in tables:
        check_name(table, name)
    return list(tables.items())


def _table(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WorkloadError(where, f"must be a table [{where}], not {shown(value)}.")
    return value


def _machine(table: dict[str, Any]) -> MachineShape:
    _refuse_unknown("machine", table, keys_of(MachineShape))
    return _make(MachineShape, table, "machine")


def _domain(name: str, table: dict[str, Any]) -> DomainGroup:
    where = f"domain.{name}"
    _refuse_unknown(where, table, keys_of(DomainGroup))
    values = dict(table, name=name)
    if "reserved" in table:
        values["reserved"] = _reserved(f"{where}.reserved", table["reserved"])
    return _make(DomainGroup, values, where)


def _flow(name: str, table: dict[str, Any]) -> Flow:
    where = f"flow.{name}"
    _refuse_unknown(where, table, keys_of(Flow))
    values = dict(table, name=name)
    for key in ("submit_cpus", "complete_cpus"):
        if _is_whole(values.get(key)):  # CPU 3 alone may be written as a number
            values[key] = shown(values[key])
    for key in ("think_us", "latency_us"):
        if isinstance(values.get(key), dict):
            values[key] = _distribution(f"{where}.{key}", values[key])
    if "sizes" in table:
        values["sizes"] = _sizes(f"{where}.sizes", table["sizes"])
    return _make(Flow, values, where)


def _distribution(where: str, table: dict[str, Any]) -> Distribution:
    _refuse_unknown(where, table, keys_of(Distribution))
    return _make(Distribution, table, where)


def _sizes(where: str, value: object) -> tuple[Size, ...]:
    if not isinstance(value, list):
        value = [{"pages": value}]
    if len(value) > MAX_SIZES:
        raise WorkloadError(where, f"must be 1 to {MAX_SIZES} sizes, not {len(value)}.")
    found = []
    for one in value:
        if not isinstance(one, dict):
            raise WorkloadError(where, f"must be {{pages, weight}} each, not {shown(one)}.")
        _refuse_unknown(where, one, keys_of(Size))
        found.append(_make(Size, one, where))
    return tuple(found)


def _reserved(where: str, value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list):
        raise WorkloadError(where, f"must be a list of [first, last], not {shown(value)}.")
    return tuple(_reserved_range(where, one) for one in value)


def _reserved_range(where: str, value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise WorkloadError(where, f"must be [first, last] each, not {shown(value)}.")
    return _pfn(where, value[0]), _pfn(where, value[1])


def _pfn(where: str, value: object) -> int:
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value, 0)
        except ValueError:
            pass
    if isinstance(value, bool) or not isinstance(value, int):
        raise WorkloadError(where, f'must hold pfns, as numbers or "0xfee00", not {shown(value)}.')
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse_unknown(where: str, table: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in table:
        if key not in keys:
            path = f"{where}.{shown(key)[1:-1]}" if where else shown(key)[1:-1]
            raise WorkloadError(path, "is not known.", suggestion(key, keys))


def _make(kind: type[_Made], values: Mapping[str, Any], where: str) -> _Made:
    """An object of the model; errors name the key within ``where``."""
    for one in fields(kind):  # type: ignore[arg-type]
        if one.name not in values and one.default is MISSING:
            key = f"{where}.{one.name}" if where else one.name
            raise WorkloadError(key, "is missing.", "Give it a value.")
    try:
        return kind(**values)
    except WorkloadError as error:
        raise (error.under(where) if where else error) from error


# -------------------------------------------------------------------------------- errors


def _located(
    error: WorkloadError, text: str, source: str, origins: Mapping[tuple[str, ...], str]
) -> InputError:
    """The error with its place: the setting that wrote the value, or the line of the file."""
    path = tuple(error.key.split("."))
    value = len(path) if path[0] not in _TABLES else 2 if path[0] == "machine" else 3
    for written, setting in reversed(list(origins.items())):
        if written[:value] == path[:value]:
            return InputError(setting, f"{error.key} {error.problem}", hint=error.hint)
    return InputError(
        source, f"{error.key} {error.problem}", line=_line_of(path, text), hint=error.hint
    )


def _line_of(path: tuple[str, ...], text: str) -> int | None:
    """The line where a key is written, or else its table; as far as plain reading shows."""
    best: tuple[int, int] | None = None
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("[") and not bare.startswith("[["):
            table = tuple(part.strip(" \"'") for part in bare[1:].split("]")[0].split("."))
            here = table
        elif "=" in bare and not bare.startswith("#"):
            here = (*table, *(part.strip(" \"'") for part in bare.split("=")[0].split(".")))
        else:
            continue
        if here == path[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return best[1] if best else None
