"""One look at the caches of some domains, and what can be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

#: In the place of a size class: sizes beyond the caches.
BEYOND: Final = 1 << 62
#: Some size class, but it is not known which.
UNKNOWN: Final = BEYOND + 1

#: Ranges a magazine holds.
MAGAZINE: Final = 127


@dataclass(frozen=True, order=True)
class Key:
    """A domain and a size class."""

    domain: str
    size: int  #: of the class, in bytes; BEYOND or UNKNOWN


@dataclass(frozen=True)
class Cell:
    """Counters since the start, and what is held now. None: the source does not say."""

    allocs: int = 0
    frees: int = 0
    tree: int | None = None  #: allocations that reached the range tree
    reclaimed: int | None = None  #: magazines given back in the background
    depot: int | None = None  #: full magazines in the depot
    in_cpus: int | None = None  #: ranges in the magazines of all CPUs


@dataclass(frozen=True)
class Slab:
    """Objects of a kernel's slab cache."""

    name: str
    objects: int
    bytes: int  #: of all its slabs


@dataclass(frozen=True)
class Look:
    """The state at one moment."""

    t_s: float  #: on the source's own clock
    cells: dict[Key, Cell]
    slabs: tuple[Slab, ...] = ()
    memory_bytes: int | None = None  #: of magazines and ranges, where no slab says it
    cpus: int | None = None  #: whose magazines are meant
    lost: int = 0  #: events that were lost so far


@dataclass(frozen=True)
class About:
    """What is looked at, in words."""

    name: str
    what: str  #: such as ``recorded on 6.12.1``
    notes: tuple[str, ...] = field(default=())


class Watched(Protocol):
    """A source of looks.

    Attributes:
        about: what it is.
        speed: seconds of the source that pass in a second; None where it can not be chosen.
    """

    about: About
    speed: float | None

    def look(self, elapsed_s: float) -> Look | None:
        """Look after so many seconds of the watcher's time; None: it has ended.

        Raises:
            IovaError: it can not be looked at any more.
        """

    def close(self) -> None:
        """Let go of it."""
