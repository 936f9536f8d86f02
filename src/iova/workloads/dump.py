"""A workload written back as TOML: what was run, settings included, for a file or a report."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from iova.workloads.distributions import Distribution
from iova.workloads.model import Size, Workload
from iova.workloads.settings import keys_of


def to_toml(workload: Workload) -> str:
    """TOML that :func:`iova.workloads.parse_workload` reads back to an equal workload.

    What has its default value is left out. The workload's name is not in it: that is the
    file's.
    """
    tables = [("", workload), ("[machine]", workload.machine)]
    tables += [(f"[domain.{domain.name}]", domain) for domain in workload.domains]
    tables += [(f"[flow.{flow.name}]", flow) for flow in workload.flows]
    return "\n\n".join("\n".join([head, *_lines(table)]).strip() for head, table in tables) + "\n"


def _lines(table: Any) -> list[str]:
    return [f"{key} = {value}" for key, value in _given(table)]


def _given(table: Any) -> list[tuple[str, str]]:
    """Keys of an object of the model that differ from their defaults, values as TOML."""
    defaults = {one.name: one.default for one in fields(table)}
    return [
        (key, _value(getattr(table, key)))
        for key in keys_of(type(table))
        if defaults[key] is MISSING or getattr(table, key) != defaults[key]
    ]


def _value(value: Any) -> str:
    if isinstance(value, Distribution | Size):
        return "{ " + ", ".join(f"{key} = {one}" for key, one in _given(value)) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):  # JSON's escapes are TOML's, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
