"""The named designs with their parameters, and the protocol of a policy written in Python.

A design is a mechanism (how the depot behaves on the path of an allocation or free) and a
policy (what is decided at most every few milliseconds, at a deadline). The built-in ones
are C, one small file each in ``core/policy``. A Python class takes the place of one:

    class Half:
        '''Every second after a push, give back half of what the depot holds.'''

        arm_delay_ns = 1_000_000_000

        def look(self, view):
            return Decision(release=view.depot // 2, again_ns=view.depot and 1_000_000_000)

Wherever a design is named, ``mypackage.mymodule:Half`` names it, and ``,key=value`` pairs
go to its constructor.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from iova import _core
from iova.errors import IovaError

#: A parameter's value that leaves the choice to the design.
AUTO = _core.AUTO

#: What ``compare`` shows unless told otherwise: the designs Linux has had, in order.
LINUX_DESIGNS = ("linux-6.1", "unbounded", "linux-6.12", "linux-7.3")


class DesignError(IovaError):
    """A design that does not exist, or can not be made with these parameters."""


class Decision(NamedTuple):
    """What a policy decided for one size class.

    ``release`` magazines are taken from the depot and emptied into the tree, as long as
    more than ``keep`` are there. The job looks again after ``again_ns``, but not sooner than
    after 1 ms (0: not before the next push arms it). The CPUs in ``trim`` give their two
    magazines of this class back: a full one to the depot, a partial one to the tree.
    """

    release: int = 0
    keep: int = 0
    again_ns: int = 0
    trim: Sequence[int] = ()


class View(Protocol):
    """What a policy sees; valid during the call of ``look`` only."""

    @property
    def now_ns(self) -> int:
        """When this job was due."""

    @property
    def size_class(self) -> int:
        """The class this look is for: ranges of ``2**size_class`` page frames."""

    @property
    def classes(self) -> int:
        """Size classes the domain has."""

    @property
    def cpus_online(self) -> int:
        """CPUs online now."""

    @property
    def cpus_possible(self) -> int:
        """CPUs that may ever be."""

    @property
    def depot(self) -> int:
        """Full magazines in the depot."""

    @property
    def depot_low(self) -> int:
        """Fewest since this class' job last ran."""

    @property
    def pushed(self) -> int:
        """Magazines CPUs put into the depot, ever."""

    @property
    def popped(self) -> int:
        """Magazines CPUs took out of it, ever."""

    @property
    def tree_allocated(self) -> int:
        """Ranges of this class cut from the tree, ever."""

    def cpu(self, cpu: int) -> _core.CpuView:
        """What one CPU's cache of this class holds and has done."""


@runtime_checkable
class Policy(Protocol):
    """A policy in Python. One object serves one domain; ``look`` is called per size class.

    Optional attributes: ``name``; ``depot_max``, the most full magazines a depot may hold
    (None: no bound); ``arm_delay_ns``, from a push to the look it causes (100 ms);
    ``magazines_at_first_use`` (True).
    """

    def look(self, view: View) -> Decision | None:
        """Decide; None means: do nothing, and look again after the next push."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a built-in design."""

    name: str
    unit: str
    help: str
    minimum: int
    maximum: int
    initial: int | None  #: None: chosen by the design, as ``automatic`` says
    automatic: str | None

    @property
    def default(self) -> str:
        """The default as a user reads it."""
        return self.automatic or "auto" if self.initial is None else str(self.initial)


@dataclass(frozen=True)
class BuiltinDesign:
    """A design the core has."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]


@cache
def builtin_designs() -> tuple[BuiltinDesign, ...]:
    """All designs of the core, in the order in which Linux had them."""
    return tuple(
        BuiltinDesign(
            design["name"],
            design["summary"],
            tuple(
                Parameter(**{**p, "initial": None if p["initial"] == AUTO else p["initial"]})
                for p in design["params"]
            ),
        )
        for design in _core.builtin_designs()
    )


@dataclass(frozen=True)
class DesignSpec:
    """A design as a user named it: ``NAME[,key=value...]`` or ``module:Class[,key=value...]``."""

    text: str
    name: str
    params: tuple[tuple[str, Any], ...] = ()
    policy_class: type | None = None

    @property
    def label(self) -> str:
        """Short name for tables; parameters are part of it."""
        return self.text if self.params else self.name

    def make(self) -> _core.Design:
        """A design for one domain.

        Raises:
            DesignError: the parameters do not fit.
        """
        try:
            if self.policy_class is None:
                return _core.Design(self.name, dict(self.params))
            return _core.Design(self.policy_class(**dict(self.params)))
        except Exception as error:  # a user's constructor may raise anything
            known = isinstance(error, TypeError | ValueError)
            kind = "" if known else f"{type(error).__name__}: "
            raise DesignError(f"--design {self.text}: {kind}{error}") from error


def parse_design(text: str) -> DesignSpec:
    """Read ``NAME[,key=value...]`` or ``module:Class[,key=value...]``.

    Raises:
        DesignError: there is no such design, class or parameter, or a value does not fit.
    """
    if "\0" in text:
        raise DesignError(f"--design {text!r}: a name has no zero characters")
    name, *pairs = text.split(",")
    params = tuple(_parse_pair(text, pair) for pair in pairs)
    for key, _ in params:
        if [other for other, _ in params].count(key) > 1:
            raise DesignError(f"--design {text}: {key} is given twice")
    policy_class = _load_class(text, name) if ":" in name else None
    spec = DesignSpec(text, name.rpartition(":")[2], params, policy_class)
    spec.make()
    return spec


def _parse_pair(text: str, pair: str) -> tuple[str, Any]:
    key, equals, value = pair.partition("=")
    if not (key and equals and value):
        raise DesignError(f"--design {text}: {pair!r} is not of the form key=value")
    return key.strip(), _parse_value(value.strip())


def _parse_value(value: str) -> Any:
    if value in ("auto", "true", "false"):
        return {"auto": AUTO, "true": True, "false": False}[value]
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def _load_class(text: str, name: str) -> type:
    module_name, _, class_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a user's module lies where the command is run
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        kind = type(error).__name__
        raise DesignError(f"--design {text}: can not load {name}: {kind}: {error}") from error
    if not isinstance(found, type):
        raise DesignError(f"--design {text}: {name} is not a class")
    return found
