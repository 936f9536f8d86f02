"""Parts of pages that are made from the package when a page is read.

A line ``<!-- generate: NAME -->`` of a page is replaced by Markdown about what the package holds
at that moment: nothing of it is typed twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import header
import reference_tables as tables
import verbs

PARTS: Final[dict[str, Callable[[], str]]] = {
    "command": verbs.verbs,
    "options": verbs.own_options,
    "designs": tables.designs,
    "any-design": tables.any_design,
    "presets": tables.presets,
    "samples": tables.samples,
    "columns": tables.columns,
    "operations": tables.operations,
    "flags": tables.flags,
    "metrics": tables.metrics,
    "header": header.contents,
}
_MARK: Final = re.compile(r"^<!-- generate: ([a-z-]+) -->$", re.M)


def filled(text: str) -> str:
    """A page with its marks replaced.

    Raises:
        KeyError: a mark names what nothing makes.
    """
    return _MARK.sub(lambda mark: PARTS[mark[1]](), text)


def _read(_app: Any, _page: str, content: list[str]) -> None:
    content[0] = filled(content[0])


def connect(app: Any) -> None:
    """Have Sphinx fill in each page."""
    app.connect("source-read", _read)
