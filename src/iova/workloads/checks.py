"""What a value of a workload may be, written beside its field: ``Annotated[int, Whole(1, 64)]``."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin, get_type_hints

from iova.errors import IovaError

#: Characters of a user's value that an error shows.
_SHOWN = 60


class WorkloadError(IovaError):
    """A value of a workload that can not be used.

    Attributes:
        key: dotted path of the value, as in a workload's TOML (``flow.disk.depth``).
        problem: what is wrong, in one sentence without the key.
        hint: what to do about it.
    """

    def __init__(self, key: str, problem: str, hint: str | None = None) -> None:
        super().__init__(f"{key}: {problem}" + (f" {hint}" if hint else ""))
        self.key = key
        self.problem = problem
        self.hint = hint

    def under(self, table: str) -> WorkloadError:
        """The same error, its key lying in ``table``."""
        return WorkloadError(f"{table}.{self.key}", self.problem, self.hint)


class Check(Protocol):
    """What a field's value must be."""

    def problem(self, value: object) -> str | None:
        """What is wrong with the value, in one sentence; None: nothing."""


@dataclass(frozen=True)
class Whole:
    """A whole number, bounds included."""

    low: int
    high: int

    def problem(self, value: object) -> str | None:
        """See :class:`Check`."""
        if isinstance(value, bool) or not isinstance(value, int):
            return f"must be a whole number, not {shown(value)}."
        if not self.low <= value <= self.high:
            return f"must be {self.low} to {self.high}, not {shown(value)}."
        return None


@dataclass(frozen=True)
class Real:
    """A finite number, bounds included."""

    low: float
    high: float

    def problem(self, value: object) -> str | None:
        """See :class:`Check`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, not {shown(value)}."
        if not self.low <= value <= self.high:  # NaN is not
            return f"must be {self.low:g} to {self.high:g}, not {shown(value)}."
        return None


@dataclass(frozen=True)
class Words:
    """Text of at most so many characters."""

    longest: int

    def problem(self, value: object) -> str | None:
        """See :class:`Check`."""
        if not isinstance(value, str):
            return f"must be text, not {shown(value)}."
        if len(value) > self.longest:
            return f"has {len(value)} characters; {self.longest} is the most."
        return None


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """See :class:`Check`."""
        if isinstance(value, str) and value in self.words:
            return None
        known = ", ".join(f'"{word}"' for word in self.words)
        return f"must be one of {known}, not {shown(value)}."


@cache
def checks_of(kind: type) -> dict[str, Check]:
    """The check of each field of a dataclass that has one."""
    found: dict[str, Check] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is Literal:
            found[name] = OneOf(get_args(hint))
        elif get_origin(hint) is Annotated:
            found[name] = hint.__metadata__[0]
    return found


def check_fields(instance: Any) -> None:
    """Hold every field of a dataclass' instance to its check; None passes where it is the default.

    Raises:
        WorkloadError: with the field's name as its key.
    """
    checks = checks_of(instance.__class__)
    for one in fields(instance):
        value = getattr(instance, one.name)
        if one.name not in checks or (value is None and one.default is None):
            continue
        problem = checks[one.name].problem(value)
        if problem:
            raise WorkloadError(one.name, problem)


def shown(value: object) -> str:
    """A user's value for an error's text: printable, short, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 64:
        return "a number beyond 64 bits"  # thousands of digits can not even be printed
    if isinstance(value, dict | list):
        return {dict: "a table", list: "a list"}[type(value)]
    text = ascii(value) if isinstance(value, str | int | float) else reprlib.repr(value)
    text = {"True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
