"""One order for a whole domain, out of the orders of its chains.

Each chain gives its points moments that never go back: a point happens as early as its own entry
and the points before it allow. Sorted by these moments, the chains of a domain become the list of
steps that the allocator's own calls can carry out: a miss and its insert are one call, a magazine
taken from an offline CPU and its drain are one. The look of a miss changed nothing, so it may wait
for its insert unless something is put there in between; if so the two stay apart, the look as a
check.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Final

from iova.lab.points import (
    DRAIN,
    GET,
    HIT,
    INSERT,
    MISS,
    POP,
    PUT,
    REMOVE,
    RESERVE,
    UNCACHED,
    CacheChain,
    DomainPoints,
)

#: Points of its chain that a look or a free lets pass while it waits.
LONGEST_WAIT: Final = 2000

# What a step does.
ALLOC: Final = 0  #: the call as a whole: a hit, or a miss and its insert
LOOK: Final = 1  #: check that a miss finds nothing
ALLOC_TREE: Final = 2  #: the insert alone
FREE: Final = 3  #: into the cache
FREE_TREE: Final = 4  #: past the cache
TAKE: Final = 5  #: reclaim takes a magazine off the depot
DRAIN_TAKEN: Final = 6
DRAIN_CPU: Final = 7  #: empty one magazine of an offline CPU
RESERVE_RANGE: Final = 8


@dataclass(frozen=True)
class CacheOrder:
    """The order found for one cache."""

    chain: CacheChain
    points: list[int]
    pushed: list[bool]  #: whether the point at this place gave a magazine to the depot


@dataclass(frozen=True)
class Steps:
    """Steps in the order in which they are to be carried out; one entry a step."""

    what: list[int]
    at: list[int]  #: ns
    row: list[int]  #: of the call, or of the event
    cpu: list[int]  #: dense number
    drain: list[int]  #: index of the domain's drain, or -1


def moments(points: list[int], entry: list[int]) -> list[int]:
    """Earliest moments, in ns, at which ``points`` can happen in this order."""
    return list(accumulate((entry[point] for point in points), max))


def merge(
    domain: DomainPoints, caches: list[CacheOrder], tree: list[int], alloc_of: dict[int, int]
) -> Steps:
    """Merge the orders of a domain's chains.

    Args:
        domain: its points.
        caches: the order of each cache.
        tree: the order of the tree's points.
        alloc_of: row of the allocation that a free gives back.
    """
    merging = _Merging(domain, tree, alloc_of)
    for cache in caches:
        merging.add_cache(cache)
    merging.add_tree()
    return merging.steps()


# Of steps at the same moment those of caches come first, then the tree's, then frees of ranges that
# the tree has given out at that very moment.
_CACHE: Final = 0
_TREE: Final = 1
_AFTER_TREE: Final = 2


class _Merging:
    def __init__(self, domain: DomainPoints, tree: list[int], alloc_of: dict[int, int]) -> None:
        self._domain = domain
        self._tree = tree
        self._tree_at = moments(tree, domain.tree.entry)
        self._alloc_of = alloc_of
        kind, row, drain = domain.tree.kind, domain.tree.row, domain.tree.drain
        placed = list(zip(tree, self._tree_at, strict=True))
        self._inserted_at = {row[p]: at for p, at in placed if kind[p] == INSERT}
        self._drained_at = {drain[p]: at for p, at in placed if kind[p] == DRAIN}
        self._apart: set[int] = set()  # rows of misses whose look does not wait for the insert
        self._late: dict[int, tuple[int, int]] = {}  # drain: row and CPU of the free it waits for
        self._steps: list[tuple[int, int, int, int, int, int]] = []

    def add_cache(self, order: CacheOrder) -> None:
        """Add the steps of one cache."""
        chain, points = order.chain, order.points
        at = moments(points, chain.entry)
        level, level_at = _CACHE, -1
        for place, (point, now) in enumerate(zip(points, at, strict=True)):
            kind, row, cpu, drain = (
                chain.kind[point],
                chain.row[point],
                chain.cpu[point],
                chain.drain[point],
            )
            if now != level_at:
                level, level_at = _CACHE, now
            if kind in (HIT, GET):
                what = ALLOC
            elif kind == PUT:
                what = FREE
                if self._inserted_at.get(self._alloc_of.get(row, -1)) == now:
                    level = _AFTER_TREE
                if drain >= 0 and self._free_can_wait(order, at, place):
                    self._late[drain] = (row, cpu)
                    continue
            elif kind == MISS:
                what = LOOK
                if self._look_can_wait(order, at, place):
                    continue
                self._apart.add(row)
            elif kind == POP:
                what = TAKE
            else:
                what = DRAIN_CPU
                if drain in self._drained_at:
                    continue
            self._steps.append((now, level, what, row, cpu, drain))

    def _look_can_wait(self, order: CacheOrder, at: list[int], place: int) -> bool:
        """Whether a miss at ``place`` would still find nothing when its insert happens."""
        chain, points = order.chain, order.points
        cpu = chain.cpu[points[place]]
        until = self._inserted_at[chain.row[points[place]]]
        for later in range(place + 1, len(points)):
            if at[later] > until:
                return True
            point = points[later]
            if (
                later > place + LONGEST_WAIT
                or order.pushed[later]
                or (chain.kind[point] == PUT and chain.cpu[point] == cpu)
            ):
                return False
        return True

    def _free_can_wait(self, order: CacheOrder, at: list[int], place: int) -> bool:
        """Whether a free that finds the depot full may happen when its magazine is emptied."""
        chain, points = order.chain, order.points
        until = self._drained_at.get(chain.drain[points[place]])
        if until is None:
            return False
        for later in range(place + 1, len(points)):
            if at[later] > until:
                return True
            if later > place + LONGEST_WAIT or chain.cpu[points[later]] == chain.cpu[points[place]]:
                return False
        return True

    def add_tree(self) -> None:
        """Add the steps of the tree; after those of the caches."""
        tree = self._domain.tree
        dense = {cpu: number for number, cpu in enumerate(self._domain.cpus)}
        for point, now in zip(self._tree, self._tree_at, strict=True):
            kind, row, drain = tree.kind[point], tree.row[point], tree.drain[point]
            cpu = dense.get(tree.cpu[point], 0)
            if kind == INSERT:
                what = ALLOC_TREE if row in self._apart or tree.raw[point] else ALLOC
            elif kind == REMOVE:
                what = FREE_TREE
            elif kind == RESERVE:
                what = RESERVE_RANGE
            elif drain in self._late:
                what = FREE
                row, cpu = self._late[drain]
            elif self._domain.drains[drain].size_class == UNCACHED:
                continue  # no magazine holds such ranges
            elif self._domain.drains[drain].reclaim_t is not None:
                what = DRAIN_TAKEN
            elif self._domain.drains[drain].offline_cpu is not None:
                what = DRAIN_CPU
                cpu = self._domain.drains[drain].offline_cpu or 0
            else:
                continue
            self._steps.append((now, _TREE, what, row, cpu, drain))

    def steps(self) -> Steps:
        """Everything that was added, by moment; what belongs to one chain keeps its order."""
        self._steps.sort(key=itemgetter(0, 1))
        columns = [list(column) for column in zip(*self._steps, strict=True)]
        at, _, what, row, cpu, drain = columns or [[] for _ in range(6)]
        return Steps(what, at, row, cpu, drain)
