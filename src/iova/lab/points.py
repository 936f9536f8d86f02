"""Points: the moments at which recorded calls touched shared state.

A call is an interval, from entry to return; what it does to a cache or to the tree happens at some
moment inside. Such a moment is a *point*, and it has an interval of its own:

* a cache hit: one look into the cache, anywhere in the call;
* a miss: a look that finds nothing, before its tree allocation starts, then an *insert* between the
  tree allocation's entry and return;
* a free that the cache took: one *put*, anywhere in the call; a free past the cache: a *remove*;
* reclaim: a *pop* from the depot between the worker's start and the emptying of the magazine;
* a CPU that went offline: each of its magazines is emptied where that was seen;
* a magazine emptied into the tree: one *drain*, as the tree's lock is held for all of it.

Once the recorded results are known, the points of each cache (one size class of one domain) and
those of each domain's tree do not depend on one another. So a domain becomes up to six cache chains
and one tree chain, each sorted by deadline (the end of a point's interval). A chain is lists of
plain numbers, one entry a point, because the search walks it point by point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Size classes that are cached: 1, 2, 4, 8, 16 and 32 pages.
CACHED_CLASSES: Final = 6
#: Size class of everything larger.
UNCACHED: Final = CACHED_CLASSES
#: Deadline of a call whose return was not recorded.
FOREVER: Final = (1 << 63) - 1
#: In place of a page frame: the call failed.
FAILED: Final = -1
#: In place of a page frame: the trace ends before the call returned.
ANYTHING: Final = -2

# Kinds of cache points.
HIT: Final = 0
MISS: Final = 1
PUT: Final = 2
POP: Final = 3
EMPTY: Final = 4
GET: Final = 5  # a look whose result is not known, as the trace ends before it

# Kinds of tree points.
INSERT: Final = 0
REMOVE: Final = 1
DRAIN: Final = 2
RESERVE: Final = 3


@dataclass(frozen=True)
class Problem:
    """A recorded row that the replay does not yield, or that fits no call."""

    row: int
    domain: int
    cpu: int
    t: int  #: ns
    expected: str  #: what was recorded
    got: str

    def __str__(self) -> str:
        where = f"row {self.row} (domain {self.domain}, CPU {self.cpu}, {self.t / 1e9:.9f} s)"
        return f"{where}: recorded is {self.expected}, the replay has {self.got}"


@dataclass
class Drain:
    """One magazine that was emptied into the tree, as it was recorded."""

    row: int  #: of the ``magazine_free`` event
    cpu: int  #: on which it was emptied
    t: int  #: ns, when the emptying began
    entries: int  #: as the magazine's counter said
    pfns: list[int] = field(default_factory=list)  #: removed ranges, bottom entry first
    pages: int = 0  #: of its largest range
    first_removal: int = 0  #: ns
    last_removal: int = 0  #: ns
    size_class: int = UNCACHED
    reclaim_t: int | None = None  #: ns, start of the reclaim worker that took it off the depot
    offline_cpu: int | None = None  #: dense number of the CPU whose magazine it was
    previous: bool | None = None  #: that CPU's previous magazine, the loaded one; None: unknown
    put_row: int | None = None  #: the free that found the depot full and left it over


@dataclass
class CacheChain:
    """The points of one cache, by deadline."""

    size_class: int
    kind: list[int]
    cpu: list[int]  #: dense number
    pfn: list[int]  #: recorded result of a hit, pfn of a put
    cap: list[int]  #: highest entry that a hit or a miss accepts
    entry: list[int]  #: ns
    end: list[int]  #: ns
    row: list[int]
    drain: list[int]  #: index of the domain's drain, or -1


@dataclass
class TreeChain:
    """The points of one domain's tree, by deadline."""

    kind: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)  #: as recorded
    pfn: list[int] = field(default_factory=list)  #: recorded first frame, FAILED or ANYTHING
    last: list[int] = field(default_factory=list)  #: end of a reservation, inclusive
    size: list[int] = field(default_factory=list)  #: of an insert, rounded
    limit: list[int] = field(default_factory=list)
    align: list[bool] = field(default_factory=list)
    raw: list[bool] = field(default_factory=list)  #: an insert past the caches by design
    entry: list[int] = field(default_factory=list)  #: ns
    end: list[int] = field(default_factory=list)  #: ns
    row: list[int] = field(default_factory=list)  #: of the call, else of the event itself
    drain: list[int] = field(default_factory=list)  #: index of the domain's drain, or -1


@dataclass
class DomainPoints:
    """Everything that happened to one domain whose beginning was seen."""

    domain: int
    start: int  #: lowest page frame the search may hand out
    cpus: list[int]  #: CPU of each dense number
    caches: list[CacheChain]
    tree: TreeChain
    drains: list[Drain]
    problems: list[Problem]
