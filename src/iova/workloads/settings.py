"""``--set key=value``: parameters of a workload, overridden before it is checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Final

from iova.errors import InputError
from iova.words import suggestion
from iova.workloads.checks import shown
from iova.workloads.model import DomainGroup, Flow, MachineShape, Workload

Path = tuple[str, ...]


def keys_of(kind: type) -> tuple[str, ...]:
    """The TOML keys that make up one of the model's classes."""
    tables = {"name", "machine", "domains", "flows"}
    return tuple(one.name for one in fields(kind) if one.name not in tables)


#: Characters of a setting: tomllib takes n * n steps for a dotted key of n parts.
_LONGEST: Final = 4096
_POINTED: Final = re.compile(r"[+-]?(\.[0-9]+|[0-9]+\.)(e[+-]?[0-9]+)?", re.IGNORECASE)

_TOP: Final = keys_of(Workload)
_MACHINE: Final = keys_of(MachineShape)
#: Keys of tables of which there may be several.
_NAMED: Final = {"domain": keys_of(DomainGroup), "flow": keys_of(Flow)}


def apply_settings(raw: dict[str, Any], settings: Sequence[str]) -> dict[Path, str]:
    """Write settings into a workload's TOML tables, in their order.

    A key is a dotted path, ``*`` stands for every name: ``machine.cpus``, ``flow.disk.depth``,
    ``flow.*.depth``. A key alone means the machine's, or every flow's or domain's that may have
    it. A value is a TOML value, a number like ``.2``, or else text.

    Args:
        raw: as ``tomllib`` gives it; changed.
        settings: ``key=value`` each.

    Returns:
        The paths that were written, and the setting that wrote each.

    Raises:
        InputError: a setting is none, or names no key of the workload.
    """
    origins: dict[Path, str] = {}
    given: set[Path] = set()
    for setting in settings:
        source = f"--set {setting if len(setting) < 100 else setting[:100] + '...'}"
        key, equals, text = setting.partition("=")
        parts = tuple(part.strip() for part in key.split("."))
        if not (equals and text.strip() and all(parts)):
            raise InputError(source, "is not of the form key=value.", hint="Try depth=8.")
        if len(setting) > _LONGEST:
            raise InputError(source, f"is longer than {_LONGEST} characters.")
        value = _value(text.strip())
        if parts in given:
            raise InputError(source, f"{shown(key.strip())} is given twice.", hint="Give it once.")
        given.add(parts)
        for path in _paths(raw, parts, source):
            _write(raw, path, value, source)
            origins[path] = source
    return origins


def _value(text: str) -> Any:
    if _POINTED.fullmatch(text):  # TOML wants a digit on both sides of a point; people do not
        return float(text)
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # nested too deeply to be any value of a workload
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _paths(raw: dict[str, Any], parts: Path, source: str) -> list[Path]:
    first, rest = parts[0], parts[1:]
    if first in _NAMED and rest:
        if len(rest) < 2:
            raise InputError(source, "names no key.", hint=f"Write {first}.{rest[0]}.KEY=VALUE.")
        names = _names(raw, first, rest[0], source)
        _known(rest[1], _NAMED[first], source)
        return [(first, name, *rest[1:]) for name in names]
    if first == "machine" and rest:
        _known(rest[0], _MACHINE, source)
        return [parts]
    if first in _TOP:
        return [parts]
    if first in _MACHINE:
        return [("machine", *parts)]
    for table, keys in _NAMED.items():
        if first in keys:
            return [(table, name, *parts) for name in _names(raw, table, "*", source)]
    raise _unknown(first, [*_TOP, *_MACHINE, *_NAMED["flow"], *_NAMED["domain"]], source)


def _names(raw: dict[str, Any], table: str, name: str, source: str) -> list[str]:
    tables = raw.get(table)
    names = list(tables) if isinstance(tables, dict) else []
    if name == "*" and names:
        return names
    if name not in names:
        what = f"any {table}" if name == "*" else f"the {table} {shown(name)}"
        known = ", ".join(names[:20]) or "none"
        raise InputError(source, f"the workload has not {what}.", hint=f"There are: {known}.")
    return [name]


def _known(key: str, keys: Iterable[str], source: str) -> None:
    if key not in keys:
        raise _unknown(key, keys, source)


def _unknown(key: str, keys: Iterable[str], source: str) -> InputError:
    return InputError(source, f"there is no key {shown(key)}.", hint=suggestion(key, keys))


def _write(raw: dict[str, Any], path: Path, value: Any, source: str) -> None:
    table = raw
    for depth, part in enumerate(path[:-1]):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            where = ".".join(path[: depth + 1])
            raise InputError(
                source, f"{where} is no table.", hint=f"Set the whole of it: {where}=VALUE."
            )
    table[path[-1]] = value
