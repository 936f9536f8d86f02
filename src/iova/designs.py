"""The named designs with their parameters, and the protocol of a policy written in Python.

A design is a mechanism (how the depot behaves on the path of an allocation or free) and a
policy (what is decided at most every few milliseconds, at a deadline). The built-in ones
are C, one small file each in ``core/policy``. A Python class takes the place of one::

    class Half:
        '''Every second after a push, give back half of what the depot holds.'''

        arm_delay_ns = 1_000_000_000

        def look(self, view):
            return Decision(release=view.depot // 2, again_ns=view.depot and 1_000_000_000)

Wherever a design is named, ``mypackage.mymodule:Half`` names it, and ``,key=value`` pairs
go to its constructor. Four keys go with any design, built in or not, and say what the design
leaves open: see ``OPTIONS``.
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
from iova.errors import STOPS, IovaError
from iova.words import shortened, suggestion

#: A parameter's value that leaves the choice to the design.
AUTO = _core.AUTO

#: What ``compare`` shows unless told otherwise: the designs Linux has had, in order, and before
#: reclaim the list without it, which was a patch and no release.
LINUX_DESIGNS = ("linux-6.1", "unbounded", "linux-6.12", "linux-7.3")


#: What may be chosen for any design beside its own parameters: name and meaning.
OPTIONS = {
    "tree": "linear: tree work on the simulated machine takes the time of Linux's walk (default); "
    "indexed: that of this library's index",
    "magazine": "entries of a magazine, 2**n - 1 within 3..1023; default 127",
    "classes": "size classes, 1..10; default 6: ranges up to 32 pages are cached",
    "hold": "ranges given back to the tree under one hold of its lock when a magazine is emptied; "
    "default: the whole magazine, as Linux does",
}


class DesignError(IovaError):
    """A design that does not exist, or can not be made with these parameters."""


class Decision(NamedTuple):
    """What a policy decided for one size class.

    Without arguments it changes nothing, and the next look comes when a push arms the job.
    """

    #: Magazines that are taken from the depot and emptied into the tree, as long as more than
    #: ``keep`` are there.
    release: int = 0
    #: Magazines that stay in the depot, also if it shrank since the view was taken.
    keep: int = 0
    #: The job looks again after so long, but not sooner than after 1 ms; 0: not before the next
    #: push arms it.
    again_ns: int = 0
    #: CPUs that give their two magazines of this class back: a full one to the depot, a partial
    #: one to the tree.
    trim: Sequence[int] = ()
    #: Entries of the magazines of this class made from now on, ``2**n - 1`` within 3..1023; 0: as
    #: before.
    magazine: int = 0


class View(Protocol):
    """What a policy sees; valid during the call of ``look`` only."""

    @property
    def now_ns(self) -> int:
        """When this job was due, in nanoseconds of the domain's clock."""

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

    @property
    def tree_freed(self) -> int:
        """Ranges of this class given back to the tree, ever."""

    @property
    def depot_cached(self) -> int:
        """Ranges in the depot."""

    @property
    def magazine(self) -> int:
        """Entries of the magazines of this class that are made now."""

    def cpu(self, cpu: int) -> _core.CpuView:
        """What one CPU's cache of this class holds and has done."""


@runtime_checkable
class Policy(Protocol):
    """A policy in Python. One object serves one domain; ``look`` is called per size class.

    Optional attributes: ``name``; ``depot_max``, the most full magazines a depot may hold
    (None: no bound); ``arm_delay_ns``, from a push to the look it causes (100 ms);
    ``arm_by_growth``, a new magazine for a CPU causes one too (False); ``bail``, a range that
    finds both magazines and the depot full goes to the tree, and no magazine is emptied
    (False); ``unbound``, on the simulated machine the job runs where a CPU is idle, not where it
    was armed (False); ``empties_max``, the most empty magazines a depot keeps (0);
    ``magazines_at_first_use`` (True); and what ``OPTIONS`` names. Of the class: ``tuned``, the
    ranges of its parameters that ``iova tune`` tries, as ``("every_ms=50..5000,log",)``.
    """

    def look(self, view: View) -> Decision | None:
        """Decide; None means: do nothing, and look again after the next push."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a built-in design."""

    name: str  #: ends in its unit, if that is a time: ``delay_ms``
    unit: str
    help: str  #: what it does, in a clause
    minimum: int  #: smallest value there may be
    maximum: int  #: largest one
    initial: int | None  #: the default; None: chosen by the design, as ``automatic`` says
    automatic: str | None  #: how the design chooses; None: it has to be a number

    @property
    def default(self) -> str:
        """The default as a user reads it."""
        return self.automatic or "auto" if self.initial is None else str(self.initial)


@dataclass(frozen=True)
class BuiltinDesign:
    """A design the core has."""

    name: str  #: as ``--design`` takes it
    summary: str  #: one line
    parameters: tuple[Parameter, ...]  #: may be empty


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

    text: str  #: as it was given
    name: str  #: of the design, or of the class without its module
    params: tuple[tuple[str, Any], ...] = ()  #: the design's own, name and value
    policy_class: type | None = None  #: None: a design of the core
    options: tuple[tuple[str, Any], ...] = ()  #: of ``OPTIONS``

    @property
    def label(self) -> str:
        """What tables call it: as the user named it, module and parameters included."""
        return self.text

    def make(self) -> _core.Design:
        """A design for one domain.

        Raises:
            DesignError: the parameters do not fit.
        """
        try:
            if self.policy_class is None:
                made = _core.Design(self.name, dict(self.params), **dict(self.options))
            else:
                made = _core.Design(self.policy_class(**dict(self.params)), **dict(self.options))
        except STOPS:
            raise
        except BaseException as error:  # a user's constructor may raise anything
            known = isinstance(error, TypeError | ValueError)
            kind = "" if known else f"{type(error).__name__}: "
            raise DesignError(f"--design {self.text}: {kind}{shortened(str(error))}") from error
        made.label = self.label
        return made


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
    spec = DesignSpec(
        text,
        name.rpartition(":")[2],
        tuple(pair for pair in params if pair[0] not in OPTIONS),
        policy_class,
        tuple(pair for pair in params if pair[0] in OPTIONS),
    )
    if policy_class is None:
        _refuse_unknown_names(spec)
    spec.make()
    return spec


def _refuse_unknown_names(spec: DesignSpec) -> None:
    known = {design.name: design for design in builtin_designs()}
    if spec.name not in known:
        raise DesignError(
            f"--design {spec.text}: there is no design {spec.name!r}."
            f" {suggestion(spec.name, known)}"
        )
    parameters = [parameter.name for parameter in known[spec.name].parameters]
    for key, _ in spec.params:
        if key not in parameters:
            raise DesignError(
                f"--design {spec.text}: design {spec.name} has no parameter {key!r}."
                f" {suggestion(key, [*parameters, *OPTIONS])}"
            )


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


def _named_as_file(module_name: str, class_name: str) -> str:
    """What to write instead, if a file was named where a module is to be."""
    if "/" not in module_name and not module_name.endswith(".py"):
        return ""
    module = Path(module_name).name.removesuffix(".py")
    return f". A module is named, not a file: write {module}:{class_name}, where the file lies"


def _load_class(text: str, name: str) -> type:
    module_name, _, class_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a user's module lies where the command is run
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except STOPS:
        raise
    except BaseException as error:  # a user's module may raise anything
        kind = type(error).__name__
        told = shortened(f"{kind}: {error}")
        hint = _named_as_file(module_name, class_name)
        raise DesignError(f"--design {text}: can not load {name}: {told}{hint}") from error
    if not isinstance(found, type):
        raise DesignError(f"--design {text}: {name} is not a class")
    return found
