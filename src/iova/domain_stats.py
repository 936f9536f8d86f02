"""What a live domain tells about itself: frozen results of ``Domain.stats`` and ``Domain.find``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from iova import _core


class Range(NamedTuple):
    """What holds an address; both ends included, in bytes."""

    first: int  #: address of the first byte
    last: int  #: address of the last byte
    state: Literal["live", "deferred", "reserved"]  #: reserved: outside the windows, too

    @property
    def size(self) -> int:
        """Bytes."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class ClassStats:
    """Counters of one size class, since the domain was opened; ``depot`` and ``cached`` are now."""

    size_bytes: int | None  #: of its ranges; None: the sizes that no cache holds
    hits_loaded: int  #: allocations served by a CPU's loaded magazine
    hits_previous: int  #: by its previous one
    hits_depot: int  #: by a magazine fetched from the depot
    tree_allocations: int  #: ranges cut from the tree
    tree_frees: int  #: ranges given back to the tree, those of emptied magazines included
    failures: int  #: allocations that failed
    puts: int  #: frees that the cache took
    magazines_allocated: int  #: made
    magazines_freed: int  #: whose memory was given back
    pushed: int  #: full magazines that CPUs put into the depot
    popped: int  #: that CPUs took out of it
    reclaimed: int  #: that the background thread emptied into the tree
    trimmed: int  #: per-CPU magazines given back
    runs: int  #: looks of the policy
    depot: int  #: full magazines in the depot now
    depot_peak: int  #: at most
    cached: int  #: ranges in magazines now

    @property
    def hits(self) -> int:
        """Allocations served from magazines."""
        return self.hits_loaded + self.hits_previous + self.hits_depot


@dataclass(frozen=True)
class DomainStats:
    """What a domain holds. Read while others allocate, its numbers are of moments apart."""

    live: int  #: ranges handed out; deferred ones are not counted
    live_bytes: int  #: in these, rounded sizes
    deferred: int  #: ranges that wait for an IOTLB flush
    cached: int  #: free ranges in magazines
    cached_bytes: int  #: in these
    free_bytes: int  #: of the windows: neither live, deferred, cached nor reserved
    largest_gap_bytes: int  #: the longest free piece
    budget: int | None  #: most ranges that may be live at once; None: no bound
    iotlb_flushes: int  #: that were asked of ``on_flush``
    memory_bytes: int  #: everything the domain holds
    tree_bytes: int  #: of these, nodes of the tree
    magazines: int  #: allocated now
    magazines_peak: int  #: most there were at once
    reclaim_runs: int  #: looks of the policy, of all classes
    classes: tuple[ClassStats, ...]  #: rising; class k holds ranges of 2**k granules
    beyond: ClassStats  #: sizes that no cache holds

    @property
    def failures(self) -> int:
        """Allocations that failed."""
        return sum(one.failures for one in (*self.classes, self.beyond))


def stats_of(domain: _core.LiveDomain, granule: int) -> DomainStats:
    """Read everything.

    Raises:
        Closed: the domain is.
    """
    read = domain._stats()
    totals = read["totals"]
    return DomainStats(
        **{name: read[name] for name in _TAKEN},
        budget=read["budget"] or None,
        iotlb_flushes=read["flushes"],
        tree_bytes=totals["tree_bytes"],
        magazines=totals["magazines"],
        magazines_peak=totals["magazines_peak"],
        reclaim_runs=totals["runs"],
        classes=tuple(
            _class_stats(domain._counters(k), granule << k) for k in range(domain.classes)
        ),
        beyond=_class_stats(domain._counters(_core.BEYOND_CLASSES), None),
    )


_TAKEN = (
    "live",
    "live_bytes",
    "deferred",
    "cached",
    "cached_bytes",
    "free_bytes",
    "largest_gap_bytes",
    "memory_bytes",
)


def _class_stats(counters: dict[str, Any], size_bytes: int | None) -> ClassStats:
    known = {name: counters[name] for name in ClassStats.__dataclass_fields__ if name in counters}
    return ClassStats(size_bytes=size_bytes, **known)
