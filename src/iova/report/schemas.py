"""What ``--json`` prints, as published: one JSON Schema (2020-12) a verb, in ``iova/schemas``.

Every output is an object that begins with ``format`` (``iova VERB``), ``schema_version`` and
``version``. The schemas leave no room for what they do not name: a field that is added, is added
there too.
"""

from __future__ import annotations

import json
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

from iova import _core

#: Grows when something is taken away or changes its meaning.
SCHEMA_VERSION: Final = 1

_SUFFIX: Final = ".schema.json"


def json_result(verb: str, values: dict[str, Any]) -> dict[str, Any]:
    """A verb's result, as the schemas have it."""
    head = {
        "format": f"iova {verb}",
        "schema_version": SCHEMA_VERSION,
        "version": _core.VERSION,
    }
    return head | values


def schemas() -> dict[str, dict[str, Any]]:
    """Each verb's schema."""
    return {
        verb: json.loads(_folder().joinpath(verb + _SUFFIX).read_text(encoding="utf-8"))
        for verb in _verbs()
    }


def schema_list() -> str:
    """Where the schemas are."""
    files = "\n".join(f"  {_folder().joinpath(verb + _SUFFIX)}" for verb in _verbs())
    return f"JSON Schemas (2020-12) of --json\n\n{files}"


def _verbs() -> list[str]:
    names = sorted(entry.name for entry in _folder().iterdir())
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def _folder() -> Traversable:
    return resources.files("iova") / "schemas"
