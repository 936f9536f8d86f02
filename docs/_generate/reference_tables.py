"""Tables of the reference: designs, workloads, the event schema, metrics."""

from __future__ import annotations

import dataclasses
import inspect
import re

from verbs import plain

from iova import designs as iova_designs
from iova import events
from iova.samples import SAMPLES
from iova.workloads import presets as iova_presets


def designs() -> str:
    """A section a built-in design, with its parameters."""
    return "\n".join(_design(design) for design in iova_designs.builtin_designs())


def any_design() -> str:
    """What may be given with any design."""
    return _definitions(iova_designs.OPTIONS.items())


def presets() -> str:
    """The bundled workloads: what they are, and where their numbers come from."""
    return "\n".join(
        f"### {one.name}\n\n{_sentence(one.summary)}\n\n{_sentence(one.source)}\n"
        for one in iova_presets()
    )


def samples() -> str:
    """The bundled traces."""
    return _definitions((one.name, one.summary) for one in SAMPLES)


def columns() -> str:
    """The columns of an event table, with their types and the words of the source."""
    said = dict(re.findall(r'^    "(\w+)": pl\..+  #: (.+)$', inspect.getsource(events), re.M))
    rows = [(f"`{name}`", f"`{kind}`", said[name]) for name, kind in events.SCHEMA.items()]
    return _table(("column", "type", "meaning"), rows)


def operations() -> str:
    """The codes of the ``op`` column, and what the module says of what each operation uses."""
    text = inspect.getdoc(events) or ""
    uses = dict(re.findall(r"^``(\w+)``\s+(.+)$", text, re.M))
    _, _, after = text.rpartition("=\n\n")
    notes = after.partition("\n\n")[0].replace("``", "`")
    rows = [
        (str(int(op)), f"`{op.name.lower()}`", uses[op.name.lower()].replace("``", "`"))
        for op in events.Op
    ]
    return (
        _table(("code", "operation", "uses, beside `t`, `cpu` and `domain`"), rows) + f"\n{notes}\n"
    )


def flags() -> str:
    """The bits of the ``flags`` column, with the words of the source beside them."""
    source = inspect.getsource(events.Flag)
    said = dict(re.findall(r"^    ([A-Z_]+) = \d+  #: (.+)$", source, re.M))
    rows = [
        (str(int(flag)), f"`{flag.name.lower()}`", said[flag.name].replace("``", "`"))
        for flag in events.Flag
    ]
    return _table(("bit", "flag", "meaning"), rows)


def metrics() -> str:
    """What a scrape shows: names, kinds and labels, from a domain that is scraped."""
    from iova import Domain
    from iova.metrics import DomainCollector

    with Domain(name="documentation"):
        families = list(DomainCollector().collect())
    rows = []
    for family in families:
        counter = family.type == "counter"
        labels = ", ".join(f"`{name}`" for name in family.samples[0].labels)
        name = family.name + "_total" * counter
        rows.append((f"`{name}`", family.type, labels, family.documentation))
    return _table(("metric", "kind", "labels", "meaning"), rows)


def _design(design: iova_designs.BuiltinDesign) -> str:
    parts = [f"## {design.name}", "", _sentence(design.summary), ""]
    if design.parameters:
        rows = [
            (
                f"`{one.name}`",
                one.unit,
                plain(one.help),
                f"{one.minimum} .. {one.maximum}",
                plain(one.default),
            )
            for one in map(_checked, design.parameters)
        ]
        parts.append(_table(("parameter", "unit", "meaning", "range", "default"), rows))
    else:
        parts.append("No parameters of its own.\n")
    return "\n".join(parts)


def _checked(parameter: iova_designs.Parameter) -> iova_designs.Parameter:
    for field in dataclasses.fields(parameter):
        if field.name in ("name", "unit", "help") and not getattr(parameter, field.name):
            raise ValueError(f"a parameter without {field.name}: {parameter}")
    return parameter


def _sentence(text: str) -> str:
    said = plain(text)
    begins = said if _begins_with_a_name(said) else said[:1].upper() + said[1:]
    return begins + ("" if said.endswith((".", "?")) else ".")


def _begins_with_a_name(text: str) -> bool:
    names = tuple(design.name for design in iova_designs.builtin_designs())
    return text.startswith(names) and "-" in text.split()[0]


def _definitions(pairs: object) -> str:
    return "\n".join(f"`{name}`\n: {plain(text)}\n" for name, text in pairs)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:], ""])
