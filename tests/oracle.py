"""The oracle: the allocator of the Linux designs written down once more, as plainly as it can be.

Same interface as ``RawDomain`` and ``Memory`` of the binding, none of its cleverness: the ranges
are a sorted list that is walked node by node, a magazine is a Python list. ``walked`` counts the
nodes. Page frame numbers are unsigned 64-bit and wrap, hence the ``& U64``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

U64: Final = 2**64 - 1
CAPACITY: Final = 127  #: entries of a magazine
RECLAIM_DELAY_NS: Final = 100_000_000

Words = npt.NDArray[np.uint64]
Magazine = list[int]


@dataclass(frozen=True)
class Design:
    """What sets one Linux design apart from the others."""

    depot_bound: int | None  #: magazines per size class; None: no bound
    reclaims: bool  #: a delayed job trims the depot
    at_first_use: bool  #: a CPU's magazines are made when first needed


DESIGNS: Final[Mapping[str, Design]] = {
    "linux-6.1": Design(depot_bound=32, reclaims=False, at_first_use=False),
    "unbounded": Design(depot_bound=None, reclaims=False, at_first_use=False),
    "linux-6.12": Design(depot_bound=None, reclaims=True, at_first_use=False),
    "linux-7.3": Design(depot_bound=None, reclaims=True, at_first_use=True),
}


def order(size: int) -> int:
    """The smallest k with 2**k >= size."""
    return (size - 1).bit_length()


class OracleMemory:
    """Counts magazines and range records, and fails when told to."""

    def __init__(self) -> None:
        self.magazines = 0
        self.ranges = 0
        self.fail_magazines = 0
        self.fail_ranges = 0
        self.fail_at = 0

    @property
    def blocks(self) -> int:
        return self.magazines + self.ranges

    def take_magazine(self) -> bool:
        """False if there is no memory for a magazine."""
        due_to_fail = self._nth_fails()
        if self.fail_magazines:
            self.fail_magazines -= 1
            return False
        self.magazines += not due_to_fail
        return not due_to_fail

    def take_range(self) -> bool:
        """False if there is no memory for a range record."""
        due_to_fail = self._nth_fails()
        if self.fail_ranges:
            self.fail_ranges -= 1
            return False
        self.ranges += not due_to_fail
        return not due_to_fail

    def _nth_fails(self) -> bool:
        if self.fail_at == 0:
            return False
        self.fail_at -= 1
        return self.fail_at == 0


@dataclass(eq=False, slots=True)
class Range:
    """Page frames ``lo..hi``, both included. Two ranges are equal only if they are one."""

    lo: int
    hi: int


by_lo = attrgetter("lo")


@dataclass
class CpuCache:
    """One CPU's two magazines of one size class; None: not made yet."""

    loaded: Magazine | None
    prev: Magazine | None


@dataclass
class RangeCache:
    """One size class."""

    cpus: list[CpuCache]
    depot: list[Magazine] = field(default_factory=list)  #: most recently pushed last
    due: int | None = None  #: when its reclaim job runs; None: not armed
    armed_as: int = 0  #: how many jobs had been armed before it


class OracleDomain:
    """One domain; see ``RawDomain`` for what each call takes and gives."""

    def __init__(
        self,
        *,
        granule: int = 4096,
        start: int = 1,
        possible: int = 1,
        online: int | None = None,
        design: object = "linux-7.3",
        params: Mapping[str, int] | None = None,
        classes: int = 6,
        memory: OracleMemory | None = None,
    ) -> None:
        if granule.bit_count() != 1 or granule > 4096:
            raise ValueError("granule: want a power of two up to 4096")
        if params or design not in DESIGNS:
            raise ValueError("the oracle knows the four Linux designs, without parameters")
        self._design = DESIGNS[str(design)]
        self._memory = OracleMemory() if memory is None else memory
        self._online = set(range(possible if online is None else online))
        self._start = start
        self._shift = granule.bit_length() - 1
        self.possible = possible
        self.classes = classes
        self.d32 = 2 ** (32 - self._shift)
        self.warnings = 0
        self.reclaim_runs = 0
        self.walked = 0
        self._anchor = Range(U64, U64)
        self._ranges = [self._anchor]
        self._near = self._near32 = self._anchor
        self._give_up = self.d32
        self._caches: list[RangeCache] | None = None
        self._times_armed = 0

    def make_caches(self) -> None:
        caches = [
            RangeCache([CpuCache(None, None) for _ in range(self.possible)])
            for _ in range(self.classes)
        ]
        if not self._design.at_first_use:
            made = 0
            for cpu_cache in (cpu_cache for cache in caches for cpu_cache in cache.cpus):
                for which in ("loaded", "prev"):
                    if not self._memory.take_magazine():
                        self._memory.magazines -= made
                        raise MemoryError("no memory for a magazine")
                    made += 1
                    setattr(cpu_cache, which, [])
        self._caches = caches

    # ---- the set of ranges --------------------------------------------------------------------

    def alloc_raw(self, size: int, limit: int, align: bool) -> int:
        if not self._memory.take_range():
            return -1
        pfn = self._search(size, (limit + 1) & U64, (U64 << order(size)) & U64 if align else U64)
        if pfn is None:
            self._memory.ranges -= 1
            return -1
        new = Range(pfn, pfn + size - 1)
        self._ranges.insert(bisect_left(self._ranges, pfn, key=by_lo), new)
        if new.hi < self.d32:
            self._near32 = new
        else:
            self._near = new
        return pfn

    def _search(self, size: int, top: int, mask: int) -> int | None:
        """Where a new range fits below ``top``, looking the way Linux looks."""
        is_32bit = top <= self.d32
        if is_32bit and size >= self._give_up:
            return None
        cur = self._index_of(self._near32 if is_32bit else self._near)
        retry = self._ranges[cur].hi
        high, low = top, self._start
        while True:
            while True:
                self.walked += 1
                high = min(high, self._ranges[cur].lo)
                pfn = (high - size) & mask
                cur -= 1
                if not (cur >= 0 and pfn <= self._ranges[cur].hi and pfn >= low):
                    break
            if high >= size and pfn >= low:
                return pfn
            if low != self._start or retry >= top:
                self._give_up = size
                return None
            high, low = top, retry + 1
            cur = len(self._ranges) - 1
            if is_32bit:  # a reservation may have pulled the anchor's lo below the top
                cur = min(cur, bisect_left(self._ranges, top, key=by_lo))

    def _index_of(self, wanted: Range) -> int:
        return bisect_left(self._ranges, wanted.lo, key=by_lo)

    def _holding(self, pfn: int) -> Range | None:
        index = bisect_right(self._ranges, pfn, key=by_lo) - 1
        return self._ranges[index] if index >= 0 and pfn <= self._ranges[index].hi else None

    def _remove(self, gone: Range) -> None:
        if gone is self._anchor:
            raise ValueError("the anchor is not to be freed")
        index = self._index_of(gone)
        above = self._ranges[index + 1]
        if gone is self._near32 or (gone.hi < self.d32 and gone.lo >= self._near32.lo):
            self._near32 = above
        if gone.lo < self.d32:
            self._give_up = self.d32
        if gone.lo >= self._near.lo:
            self._near = above
        del self._ranges[index]
        self._memory.ranges -= 1

    def free_raw(self, pfn: int) -> None:
        gone = self._holding(pfn)
        if gone is not None:
            self._remove(gone)

    def find(self, pfn: int) -> tuple[int, int] | None:
        found = self._holding(pfn)
        return None if found is None else (found.lo, found.hi)

    def reserve(self, lo: int, hi: int) -> tuple[int, int] | None:
        if lo | hi > U64 >> self._shift:
            self.warnings += 1
            return None
        if lo > hi:  # misuse: only where nothing would change has it a meaning
            holder = self._holding(hi)
            if holder is None or holder.hi < lo:
                raise ValueError("lo is above hi")
            return holder.lo, holder.hi
        overlapped = False
        for old in self._ranges:
            if lo <= old.hi and hi >= old.lo:
                overlapped = True
                old.lo = min(old.lo, lo)
                if hi <= old.hi:
                    return old.lo, old.hi
                lo = old.hi + 1
            elif overlapped:
                break
        if not self._memory.take_range():
            return None
        self._ranges.insert(bisect_left(self._ranges, lo, key=by_lo), Range(lo, hi))
        return lo, hi

    # ---- the range caches ---------------------------------------------------------------------

    def alloc(self, cpu: int, size: int, limit: int, flush: bool, now: int) -> int:
        del now  # taking neither arms nor disarms anything
        if size < 2 ** (self.classes - 1):
            size = 2 ** order(size)
        cached = self._get(cpu, size, (limit + 1) & U64)
        if cached != 0:
            return cached
        pfn = self.alloc_raw(size, limit, align=True)
        if pfn == -1 and flush:
            self.flush_caches()
            pfn = self.alloc_raw(size, limit, align=True)
        return 0 if pfn == -1 else pfn

    def free(self, cpu: int, pfn: int, size: int, now: int) -> None:
        if not self._put(cpu, pfn, size, now):
            self.free_raw(pfn)

    def _cache_for(self, size: int) -> RangeCache | None:
        if self._caches is None:
            raise ValueError("fast calls need caches: call make_caches() first")
        return self._caches[order(size)] if order(size) < self.classes else None

    def _get(self, cpu: int, size: int, top: int) -> int:
        """A cached page frame number, 0 if there is none."""
        cache = self._cache_for(size)
        if cache is None:
            return 0
        own = cache.cpus[cpu]
        if not own.loaded:
            if own.prev:
                own.loaded, own.prev = own.prev, own.loaded
            elif cache.depot:
                self._memory.magazines -= own.loaded is not None
                own.loaded = cache.depot.pop()
            else:
                return 0
        entries = own.loaded
        assert entries
        highest = (top - size) & U64
        for index in reversed(range(len(entries))):
            if entries[index] <= highest:
                found = entries[index]
                entries[index] = entries[-1]
                entries.pop()
                return found
        return 0

    def _put(self, cpu: int, pfn: int, size: int, now: int) -> bool:
        """Whether the cache took it."""
        cache = self._cache_for(size)
        if cache is None:
            return False
        own = cache.cpus[cpu]
        surplus: Magazine | None = None
        if own.loaded is None or len(own.loaded) == CAPACITY:
            if own.prev is not None and len(own.prev) < CAPACITY:
                own.loaded, own.prev = own.prev, own.loaded
            else:
                if not self._memory.take_magazine():
                    return False
                if own.loaded is not None and own.prev is None:
                    own.prev = own.loaded
                elif own.loaded is not None:
                    surplus = self._push(cache, own.loaded, now)
                own.loaded = []
        assert own.loaded is not None
        own.loaded.append(pfn)
        if surplus is not None:
            self._empty([surplus])
            self._memory.magazines -= 1
        return True

    def _push(self, cache: RangeCache, full: Magazine, now: int) -> Magazine | None:
        """Put a full magazine on the depot; what the depot has no room for comes back."""
        bound = self._design.depot_bound
        if bound is not None and len(cache.depot) >= bound:
            return full
        cache.depot.append(full)
        if self._design.reclaims and cache.due is None:
            self._arm(cache, now)
        return None

    def _empty(self, magazines: Iterable[Magazine | None]) -> None:
        """Return every entry's range to the set."""
        for magazine in magazines:
            for pfn in magazine or ():
                gone = self._holding(pfn)
                if gone is None:
                    self.warnings += 1
                else:
                    self._remove(gone)
            if magazine:
                magazine.clear()

    def _empty_cpu(self, cpu: int) -> None:
        for cache in self._caches or ():
            self._empty((cache.cpus[cpu].loaded, cache.cpus[cpu].prev))

    def flush_caches(self) -> None:
        for cpu in sorted(self._online):
            self._empty_cpu(cpu)
        for cache in self._caches or ():
            self._empty(cache.depot)
            self._memory.magazines -= len(cache.depot)
            cache.depot.clear()

    def cpu_offline(self, cpu: int) -> int:
        self._online.remove(cpu)
        self._empty_cpu(cpu)
        return self.online

    def cpu_online(self, cpu: int) -> int:
        self._online.add(cpu)
        return self.online

    # ---- reclaim ------------------------------------------------------------------------------

    def _arm(self, cache: RangeCache, now: int) -> None:
        cache.due = now + RECLAIM_DELAY_NS
        cache.armed_as = self._times_armed
        self._times_armed += 1

    def next_deadline(self) -> int | None:
        return min((c.due for c in self._caches or () if c.due is not None), default=None)

    def run_due(self, now: int) -> int:
        ran = 0
        while True:
            armed = [(c.due, c.armed_as, c) for c in self._caches or () if c.due is not None]
            if not armed or min(armed)[0] > now:
                return ran
            due, _, cache = min(armed)
            cache.due = None
            self.reclaim_runs += 1
            ran += 1
            if len(cache.depot) > self.online:
                self._empty([cache.depot.pop()])
                self._memory.magazines -= 1
                self._arm(cache, due)

    def due(self, size_class: int) -> int | None:
        return self._caches[size_class].due if self._caches else None

    def destroy(self) -> None:
        for cache in self._caches or ():
            held = [m for own in cache.cpus for m in (own.loaded, own.prev) if m is not None]
            self._memory.magazines -= len(held) + len(cache.depot)
        self._memory.ranges -= len(self._ranges) - 1
        self._caches = None
        self._ranges = [self._anchor]

    # ---- what can be seen from outside --------------------------------------------------------

    @property
    def online(self) -> int:
        return len(self._online)

    @property
    def has_caches(self) -> bool:
        return self._caches is not None

    @property
    def search_starts(self) -> tuple[int, int, int]:
        near, near32 = (-1 if r is self._anchor else r.lo for r in (self._near, self._near32))
        return near, near32, self._give_up

    def ranges(self) -> Words:
        pairs = [(r.lo, r.hi) for r in self._ranges if r is not self._anchor]
        return np.array(pairs, dtype=np.uint64).reshape(-1, 2)

    def magazine(self, cpu: int, size_class: int, previous: bool) -> Words | None:
        if self._caches is None:
            return None
        own = self._caches[size_class].cpus[cpu]
        entries = own.prev if previous else own.loaded
        return None if entries is None else np.array(entries, dtype=np.uint64)

    def depot(self, size_class: int) -> list[Words]:
        cache = self._caches[size_class] if self._caches else RangeCache([])
        return [np.array(entries, dtype=np.uint64) for entries in reversed(cache.depot)]


def fnv1a64(words: Words, state: int = 0xCBF2_9CE4_8422_2325) -> int:
    """FNV-1a, 64 bits, over little-endian 64-bit words."""
    for byte in words.astype("<u8").tobytes():
        state = ((state ^ byte) * 0x100_0000_01B3) & U64
    return state
