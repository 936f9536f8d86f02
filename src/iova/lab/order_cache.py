"""One cache as the order search sees it: magazines and a depot, with every step undoable.

The rules are those of the Linux range caches: per CPU a loaded and a previous magazine, each a
stack of at most 127 entries, and a depot, a stack of full magazines. An entry is a recorded page
frame.
"""

from __future__ import annotations

from typing import Final

from iova.lab.points import GET, HIT, MISS, POP, PUT, CacheChain, Drain

CAPACITY: Final = 127  #: entries of a magazine

# How a step began, for taking it back.
_PLAIN: Final = 0  # with the loaded magazine
_SWAPPED: Final = 1  # loaded and previous changed places
_EXCHANGED: Final = 2  # with the depot
_LEFT_OVER: Final = 3  # the depot was full
_NOTHING: Final = 4

# What a step was, in place of the index from which a get took its entry (-1: it took none).
_PUT: Final = -2
_POP: Final = -3
_EMPTY: Final = -4


class CacheState:
    """The state of one cache.

    Args:
        chain: the points that :meth:`execute` takes, by index.
        drains: the domain's magazines that were emptied.
        cpus: dense CPU numbers there are.
        depot_bound: magazines the depot holds at most; None: no bound.
        reclaims: the design has a worker that empties magazines of the depot.
        capacity: entries of a magazine.
    """

    def __init__(
        self,
        chain: CacheChain,
        drains: list[Drain],
        cpus: int,
        *,
        depot_bound: int | None = None,
        reclaims: bool = True,
        capacity: int = CAPACITY,
    ) -> None:
        self._kind, self._cpu, self._pfn, self._cap = chain.kind, chain.cpu, chain.pfn, chain.cap
        self._drain = chain.drain
        self._drains = drains
        self.loaded: list[list[int]] = [[] for _ in range(cpus)]
        self.previous: list[list[int]] = [[] for _ in range(cpus)]
        self.depot: list[list[int]] = []
        self.depot_bound = depot_bound
        self.reclaims = reclaims
        self.capacity = capacity
        self._log: list[tuple[int, int, int, int, list[int] | None]] = []

    shows_late: Final = True  #: in which order magazines were put on the depot

    def execute(self, point: int) -> bool:
        """Execute a point; whether it gave its recorded result."""
        kind = self._kind[point]
        cpu = self._cpu[point]
        if kind == PUT:
            surplus = self.put(cpu, self._pfn[point])
            drain = self._drain[point]
            return surplus == (None if drain < 0 else self._drains[drain].pfns)
        if kind == HIT:
            return self.get(cpu, self._cap[point]) == self._pfn[point]
        if kind == MISS:
            return self.get(cpu, self._cap[point]) == 0
        if kind == GET:
            self.get(cpu, self._cap[point])
            return True
        recorded = self._drains[self._drain[point]]
        magazine = self.pop() if kind == POP else self.empty(cpu, recorded.previous)
        return magazine == recorded.pfns

    def gave(self, point: int) -> bool:  # noqa: ARG002 - one step is taken back in no time
        """See :class:`iova.lab.order.State`."""
        return False

    def get(self, cpu: int, cap: int) -> int:
        """Take the topmost entry that is at most ``cap``; 0 = nothing."""
        how, magazine, gone = _PLAIN, self.loaded[cpu], None
        if not magazine:
            previous = self.previous[cpu]
            if previous:
                how = _SWAPPED
                self.loaded[cpu], self.previous[cpu] = previous, magazine
                magazine = previous
            elif self.depot:
                how, gone = _EXCHANGED, magazine
                magazine = self.loaded[cpu] = self.depot.pop()
            else:
                self._log.append((_NOTHING, cpu, 0, 0, None))
                return 0
        index = len(magazine) - 1
        while index >= 0 and magazine[index] > cap:
            index -= 1
        if index < 0:
            self._log.append((how, cpu, 0, -1, gone))
            return 0
        pfn = magazine[index]
        top = magazine.pop()
        if index < len(magazine):
            magazine[index] = top
        self._log.append((how, cpu, pfn, index, gone))
        return pfn

    def put(self, cpu: int, pfn: int) -> list[int] | None:
        """Keep ``pfn``; the magazine that is left over because the depot is full, if any."""
        magazine = self.loaded[cpu]
        if len(magazine) < self.capacity:
            magazine.append(pfn)
            self._log.append((_PLAIN, cpu, 0, _PUT, None))
            return None
        previous = self.previous[cpu]
        if len(previous) < self.capacity:
            self.loaded[cpu], self.previous[cpu] = previous, magazine
            previous.append(pfn)
            self._log.append((_SWAPPED, cpu, 0, _PUT, None))
            return None
        self.loaded[cpu] = [pfn]
        if self.depot_bound is None or len(self.depot) < self.depot_bound:
            self.depot.append(magazine)
            self._log.append((_EXCHANGED, cpu, 0, _PUT, None))
            return None
        self._log.append((_LEFT_OVER, cpu, 0, _PUT, magazine))
        return magazine

    def pop(self) -> list[int] | None:
        """Reclaim: take the depot's most recent magazine; None: there is none to take."""
        if not self.reclaims or not self.depot:
            self._log.append((_NOTHING, 0, 0, 0, None))
            return None
        magazine = self.depot.pop()
        self._log.append((_EXCHANGED, 0, 0, _POP, magazine))
        return magazine

    def empty(self, cpu: int, previous: bool | None) -> list[int]:
        """Empty one magazine of an offline CPU; None: the loaded one if it holds anything."""
        if previous is None:
            previous = not self.loaded[cpu]
        side = self.previous if previous else self.loaded
        magazine = side[cpu]
        side[cpu] = []
        self._log.append((_SWAPPED if previous else _PLAIN, cpu, 0, _EMPTY, magazine))
        return magazine

    def pushes(self) -> list[bool]:
        """Whether each step so far gave a magazine to the depot, or found it full."""
        return [index == _PUT and how >= _EXCHANGED for how, _, _, index, _ in self._log]

    def undo(self) -> bool:
        """Take back the last step; whether it exchanged a magazine with the depot."""
        how, cpu, pfn, index, magazine = self._log.pop()
        if how == _NOTHING:
            return False
        if index == _PUT:
            self._undo_put(how, cpu, magazine)
        elif index == _POP:
            self.depot.append(magazine or [])
        elif index == _EMPTY:
            side = self.previous if how == _SWAPPED else self.loaded
            side[cpu] = magazine or []
            return False
        else:
            self._undo_get(how, cpu, pfn, index, magazine)
        return how >= _EXCHANGED

    def _undo_get(self, how: int, cpu: int, pfn: int, index: int, gone: list[int] | None) -> None:
        magazine = self.loaded[cpu]
        if index == len(magazine):
            magazine.append(pfn)
        elif index >= 0:
            magazine.append(magazine[index])
            magazine[index] = pfn
        if how == _SWAPPED:
            self.loaded[cpu], self.previous[cpu] = self.previous[cpu], magazine
        elif how == _EXCHANGED:
            self.depot.append(magazine)
            self.loaded[cpu] = gone or []

    def _undo_put(self, how: int, cpu: int, left_over: list[int] | None) -> None:
        if how == _EXCHANGED:
            self.loaded[cpu] = self.depot.pop()
        elif how == _LEFT_OVER:
            self.loaded[cpu] = left_over or []
        else:
            self.loaded[cpu].pop()
            if how == _SWAPPED:
                self.loaded[cpu], self.previous[cpu] = self.previous[cpu], self.loaded[cpu]
