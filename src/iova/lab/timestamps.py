"""What the time stamps alone explain: every point at its deadline, with no search.

Frees give back the recorded page frame here, so one wrong address does not spoil all that follow.
"""

from __future__ import annotations

from typing import Final

from iova._core import RawDomain
from iova.lab.order_cache import CacheState
from iova.lab.points import (
    DRAIN,
    FAILED,
    GET,
    HIT,
    INSERT,
    MISS,
    POP,
    PUT,
    REMOVE,
    DomainPoints,
)

_U64: Final = (1 << 64) - 1


def right_at_deadlines(domain: DomainPoints, caches: list[CacheState], tree: RawDomain) -> int:
    """Count the allocations that get their recorded address.

    Args:
        domain: its points.
        caches: a fresh state of each of its caches.
        tree: a fresh domain for its tree.
    """
    return _Deadlines(domain, caches, tree).run()


class _Deadlines:
    def __init__(self, domain: DomainPoints, caches: list[CacheState], tree: RawDomain) -> None:
        self._domain = domain
        self._caches = caches
        self._tree = tree
        self._right = 0
        self._cached: dict[int, int] = {}  # misses that found an entry, by row
        self._taken: dict[int, list[int]] = {}  # magazines on their way into the tree, by drain

    def run(self) -> int:
        tree = self._domain.tree
        order = [
            (end, row, -1, p) for p, (end, row) in enumerate(zip(tree.end, tree.row, strict=True))
        ]
        for which, cache in enumerate(self._domain.caches):
            ends = zip(cache.end, cache.row, strict=True)
            order += [(end, row, which, point) for point, (end, row) in enumerate(ends)]
        order.sort()
        for _, row, which, point in order:
            if which < 0:
                self._tree_point(row, point)
            else:
                self._cache_point(row, which, point)
        return self._right

    def _cache_point(self, row: int, which: int, point: int) -> None:
        chain, state = self._domain.caches[which], self._caches[which]
        kind, cpu, drain = chain.kind[point], chain.cpu[point], chain.drain[point]
        if kind == PUT:
            for pfn in state.put(cpu, chain.pfn[point]) or ():
                self._tree.free_raw(pfn)
        elif kind == HIT:
            cap = chain.cap[point]
            pages = 1 << chain.size_class
            pfn = state.get(cpu, cap) or self._tree.alloc_raw(pages, (cap + pages - 1) & _U64, True)
            self._right += pfn == chain.pfn[point]
        elif kind in (MISS, GET):
            pfn = state.get(cpu, chain.cap[point])
            if pfn:
                self._cached[row] = pfn
        elif kind == POP:
            self._taken[drain] = state.pop() or []
        else:
            self._taken[drain] = state.empty(cpu, self._domain.drains[drain].previous)

    def _tree_point(self, row: int, point: int) -> None:
        tree, state = self._domain.tree, self._tree
        kind = tree.kind[point]
        if kind == INSERT:
            pfn = self._cached.get(row, FAILED)
            if pfn == FAILED:
                pfn = state.alloc_raw(tree.size[point], tree.limit[point], tree.align[point])
            self._right += pfn == tree.pfn[point]
        elif kind == REMOVE:
            state.free_raw(tree.pfn[point])
        elif kind == DRAIN:
            for pfn in self._taken.pop(tree.drain[point], ()):
                state.free_raw(pfn)
        else:
            state.reserve(tree.pfn[point], tree.last[point])
