"""What a workload is, and the presets, as text for a terminal."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any, Final

from iova.words import printable
from iova.workloads import Workload, presets

WIDTH: Final = 80

#: Holds a pair together while lines are filled.
_NBSP: Final = "\N{NO-BREAK SPACE}"


def preset_list() -> str:
    """The bundled workloads."""
    return "workloads (presets)\n\n" + "\n".join(
        f"{preset.name}\n{_wrapped(preset.summary, '    ')}" for preset in presets()
    )


def workload_text(workload: Workload) -> str:
    """Where it comes from and all its parameters, under the names that ``--set`` takes."""
    about = [f"{printable(workload.name)}: {printable(workload.summary)}"]
    if workload.source:
        about.append(_wrapped(printable(" ".join(workload.source.split())), "  "))
    blocks = ["\n\n".join(about), _pairs(_top(workload), "  ")]
    blocks.append(_table("machine", workload.machine))
    blocks += [_table(f"domain.{domain.name}", domain) for domain in workload.domains]
    blocks += [_table(f"flow.{flow.name}", flow) for flow in workload.flows]
    first = f"flow.{workload.flows[0].name}.depth=8" if workload.flows else "duration_s=1"
    blocks.append(
        f"  {workload.lanes:,} requests may be outstanding.\n"
        f"  A parameter is changed with, for example, --set {first}"
    )
    return "\n\n".join(blocks)


def workload_json(workload: Workload) -> dict[str, Any]:
    """The same for machines."""
    return dataclasses.asdict(workload)


def _top(workload: Workload) -> dict[str, Any]:
    return {"duration_s": workload.duration_s, "seed": workload.seed}


def _table(head: str, part: Any) -> str:
    values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    values.pop("name", None)
    return f"  [{head}]\n{_pairs(values, '    ')}"


def _pairs(values: dict[str, Any], indent: str) -> str:
    pairs = [f"{key}{_NBSP}={_NBSP}{_shown(value)}" for key, value in values.items()]
    return _wrapped("  ".join(pairs), indent).replace(_NBSP, " ")


def _shown(value: Any) -> str:
    """As TOML would have it, or in words what no value means."""
    if value is None:
        return "(follows)"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {k: v for k, v in dataclasses.asdict(value).items() if v is not None}
        return "{" + f",{_NBSP}".join(f"{k}={_shown(v)}" for k, v in given.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(part) for part in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return f'"{printable(value)}"' if isinstance(value, str) else str(value)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
