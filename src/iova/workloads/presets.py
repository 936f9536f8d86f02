"""The presets that come with the package, and workloads from files of the user's."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from iova.errors import InputError
from iova.words import suggestion
from iova.workloads.model import Workload
from iova.workloads.toml import LONGEST_TEXT, parse_workload


@dataclass(frozen=True)
class PresetInfo:
    """A bundled workload."""

    name: str
    summary: str  #: one line
    source: str  #: where its shape comes from, which numbers are guesses


@cache
def presets() -> tuple[PresetInfo, ...]:
    """All presets, by name."""
    return tuple(_info(name) for name in sorted(_names()))


def preset_text(name: str) -> str:
    """A preset's TOML, comments included: something to start from.

    Raises:
        InputError: there is no such preset.
    """
    if name not in _names():
        raise InputError(
            name,
            "is neither a preset nor a .toml file of a workload.",
            hint=suggestion(name, sorted(_names())),
        )
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def is_workload(source: str) -> bool:
    """Whether a SOURCE is a workload: a ``.toml`` file, or a preset's name that is no file's."""
    return source.endswith(".toml") or (source in _names() and not Path(source).exists())


def load_workload(name_or_path: str, settings: Sequence[str] = ()) -> Workload:
    """A preset, or the workload in a ``.toml`` file, with some parameters overridden.

    Args:
        name_or_path: what ends in ``.toml`` is a file.
        settings: ``key=value`` each; see :func:`iova.workloads.settings.apply_settings`.

    Raises:
        InputError: there is no such preset or file, it is no workload, or a setting does not fit.
    """
    if not name_or_path.endswith(".toml"):
        text = preset_text(name_or_path)
        return parse_workload(
            text, name=name_or_path, source=f"preset {name_or_path}", settings=settings
        )
    return parse_workload(
        _read(name_or_path),
        name=Path(name_or_path).stem,
        source=name_or_path,
        settings=settings,
    )


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LONGEST_TEXT + 1)
        if len(content) > LONGEST_TEXT:
            raise InputError(path, "is longer than 64 KiB: it is no workload.")
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(path, "is not UTF-8 text.", line=line) from error
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        named = path if path.isprintable() else ascii(path)
        raise InputError(named, f"cannot be read: {told}.") from error


def _folder() -> Traversable:
    return resources.files("iova.workloads").joinpath("presets")


def _names() -> set[str]:
    return {
        entry.name.removesuffix(".toml")
        for entry in _folder().iterdir()
        if entry.name.endswith(".toml")
    }


def _info(name: str) -> PresetInfo:
    raw = tomllib.loads(preset_text(name))
    return PresetInfo(name, str(raw.get("summary", "")), str(raw.get("source", "")))
