"""What the shell offers at the Tab key beside verbs and options: sources, designs, lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from iova.designs import OPTIONS, DesignError, builtin_designs, parse_design
from iova.samples import SAMPLES
from iova.workloads import presets

LISTS: Final = ("designs", "presets", "samples", "schemas")
#: Of a large folder so many files are offered.
MOST_FILES: Final = 500


def sources(incomplete: str) -> list[str]:
    """Bundled traces, presets, and files of the folder that is being typed."""
    names = sorted([*(one.name for one in SAMPLES), *(one.name for one in presets())])
    return [*_begin(names, incomplete), *_files(incomplete)]


def paths(incomplete: str) -> list[str]:
    """Bundled traces, and files: what can be verified."""
    return [*_begin([one.name for one in SAMPLES], incomplete), *_files(incomplete)]


def designs(incomplete: str) -> list[str]:
    """Designs by name; after a comma the parameters that are not set yet, with their ``=``."""
    known = {one.name: one for one in builtin_designs()}
    given, comma, _ = incomplete.rpartition(",")
    if not comma:
        return _begin(list(known), incomplete)
    name, *pairs = given.split(",")
    try:
        parse_design(given)
    except DesignError:
        return []
    chosen = known.get(name)
    keys = [*(one.name for one in chosen.parameters), *OPTIONS] if chosen else [*OPTIONS]
    used = {pair.partition("=")[0] for pair in pairs}
    return _begin([f"{given},{key}=" for key in keys if key not in used], incomplete)


def lists(incomplete: str) -> list[str]:
    """What ``iova list`` lists."""
    return _begin(list(LISTS), incomplete)


def _begin(words: list[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _files(incomplete: str) -> Iterator[str]:
    """Paths as they are typed; folders end in a slash, hidden files only where a dot was typed."""
    typed, start = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(Path(typed or ".").expanduser()), key=lambda one: one.name)
    except (OSError, ValueError, RuntimeError):  # the latter: ~ of nobody
        return
    fitting = (
        one
        for one in entries
        if one.name.startswith(start) and (start or not one.name.startswith("."))
    )
    for entry, _ in zip(fitting, range(MOST_FILES), strict=False):
        yield os.path.join(typed, entry.name) + "/" * entry.is_dir()  # noqa: PTH118 as typed
