"""A live domain beside a model of it, a table of pages: what one does the other judges.

What the model can not know is which address comes out: it judges whether it may. When the domain
has no room the model looks at every place there is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

import iova

U64 = 2**64 - 1


@dataclass(frozen=True)
class Setting:
    """A domain of few pages. Pages are counted in granules."""

    windows: tuple[tuple[int, int], ...] = ((16, 79),)  #: first and last page
    reserved: tuple[tuple[int, int], ...] = ()
    granule: int = 4096
    classes: int = 6
    budget: int | None = None
    allow_zero: bool = False


def up_to_power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def are_in(pages: set[int], first: int, count: int) -> bool:
    """Whether all of first .. first + count - 1 are; the count may be enormous."""
    return all(page in pages for page in range(first, first + count))


def check_told(error: iova.DomainError, address: int | None, size: int | None) -> None:
    assert (error.address, error.size) == (address, size)


def check_allowed(
    error: iova.DomainError, allowed: Collection[type[iova.DomainError] | None]
) -> None:
    assert type(error) in allowed, f"{type(error).__name__}: {error}"


class ModelledDomain:
    """Each method makes a call and raises AssertionError if it did not do what it must.

    Attributes:
        live: pages of each live range, by its first page.
        deferred: pages and ticket of each range that waits for a flush, by its first page.
        steps: the calls made.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.granule = setting.granule
        inside = {page for low, high in setting.windows for page in range(low, high + 1)}
        self.inside = inside - (set() if setting.allow_zero else {0})
        self.top = max(inside)
        self.reserved = {p for low, high in setting.reserved for p in range(low, high + 1)}
        self.live: dict[int, int] = {}
        self.deferred: dict[int, tuple[int, int]] = {}
        self.ever: set[int] = set()  # first pages of all ranges there were
        self.covered_by: dict[int, int] = {}  # the last range that covered a page
        # Pages that a batch which failed may have had for a moment: since then, and ever.
        self.hazy: set[int] = set()
        self.perhaps_ever: set[int] = set()
        self.steps: list[str] = []
        self.domain = iova.Domain(
            windows=[self._bytes(low, high) for low, high in setting.windows],
            reserved=[self._bytes(low, high) for low, high in setting.reserved],
            granule=setting.granule,
            classes=setting.classes,
            budget=setting.budget,
            allow_zero=setting.allow_zero,
            cpus=1,  # else what comes out depends on where this runs
        )

    def _bytes(self, low: int, high: int) -> tuple[int, int]:
        return low * self.granule, (high + 1) * self.granule - 1

    def pages_of(self, size: int) -> int:
        """Pages that a request of ``size`` bytes takes."""
        pages = -(-size // self.granule)
        return up_to_power(pages) if pages <= 1 << (self.setting.classes - 1) else pages

    def taken(self) -> dict[int, int]:
        """The range that each live or deferred page belongs to, by its first page."""
        ranges = [*self.live.items(), *((first, n) for first, (n, _) in self.deferred.items())]
        return {page: first for first, n in ranges for page in range(first, first + n)}

    def usable(self) -> set[int]:
        return self.inside - self.reserved - self.taken().keys()

    # ---- allocating ----

    def alloc(self, size: int, limit: int | None = None, align: int | None = None) -> None:
        self.steps.append(f"alloc({size}, limit={limit}, align={align})")
        pages = self.pages_of(size)
        try:
            address = self.domain.alloc(size, limit=limit, align=align)
        except iova.NoSpace as error:
            check_told(error, None, size)
            place = self._place_for(pages, limit, align)
            assert place is None, f"there is room at page {place}"
        except iova.OverBudget:
            assert len(self.live) == self.setting.budget
        else:
            assert self.setting.budget is None or len(self.live) < self.setting.budget
            self._take(address, pages, limit, align)

    def alloc_many(self, n: int, size: int, limit: int | None = None) -> None:
        self.steps.append(f"alloc_many({n}, {size}, limit={limit})")
        try:
            addresses = self.domain.alloc_many(n, size, limit=limit)
        except iova.NoSpace:
            # How many places there are depends on what is taken first.
            assert n * self.pages_of(size) > 0
            self._batch_failed()
        except iova.OverBudget:
            assert self.setting.budget is not None
            assert len(self.live) + n > self.setting.budget
            self._batch_failed()
        else:
            assert addresses.shape == (n,)
            for address in addresses.tolist():
                self._take(address, self.pages_of(size), limit, None)
            assert self.setting.budget is None or len(self.live) <= self.setting.budget

    def _batch_failed(self) -> None:
        self.hazy |= self.usable()
        self.perhaps_ever |= self.usable()

    def _take(self, address: int, pages: int, limit: int | None, align: int | None) -> None:
        first, rest = divmod(address, self.granule)
        assert rest == 0
        new = set(range(first, first + pages))
        assert new <= self.usable(), f"pages {sorted(new - self.usable())} may not be had"
        assert limit is None or address + pages * self.granule - 1 <= limit
        assert address % max(self._alignment(pages), align or 1) == 0
        self._note(first, pages)

    def _alignment(self, pages: int) -> int:
        return min(up_to_power(pages), 1 << (self.setting.classes - 1)) * self.granule

    def _place_for(self, pages: int, limit: int | None, align: int | None) -> int | None:
        """A page at which the request could lie; sizes beyond the classes are aligned too."""
        usable = self.usable()
        step = max(up_to_power(pages), (align or 1) // self.granule)
        for first in usable:
            last = (first + pages) * self.granule - 1
            fits = first % step == 0 and (limit is None or last <= limit)
            if fits and are_in(usable, first, pages):
                return first
        return None

    def _note(self, first: int, pages: int) -> None:
        self.live[first] = pages
        self.ever.add(first)
        self.hazy.difference_update(range(first, first + pages))
        self.covered_by.update(dict.fromkeys(range(first, first + pages), first))

    def alloc_at(self, address: int, size: int) -> None:
        self.steps.append(f"alloc_at({address:#x}, {size})")
        first, rest = divmod(address, self.granule)
        pages = -(-size // self.granule)
        try:
            self.domain.alloc_at(address, size)
        except ValueError:
            assert rest
        except iova.Reserved as error:
            check_told(error, address, size)
            assert not are_in(self.usable(), first, pages)
        except iova.OverBudget:
            assert len(self.live) == self.setting.budget
        else:
            assert rest == 0
            assert are_in(self.usable(), first, pages)
            self._note(first, pages)

    def reserve(self, first: int, last: int) -> None:
        """Reserve pages."""
        low, high = self._bytes(first, last)
        self.steps.append(f"reserve({low:#x}, {high:#x})")
        pages = set(range(first, last + 1)) & self.inside
        try:
            self.domain.reserve(low, high)
        except iova.Reserved as error:
            check_told(error, low, high - low + 1)
            assert pages & self.taken().keys()
        else:
            assert not pages & self.taken().keys()
            self.reserved |= pages

    # ---- freeing ----

    def free(self, address: int, size: int | None, *, many: bool = False) -> None:
        self.steps.append(f"free({address:#x}, {size}, many={many})")
        allowed = self._verdicts(address, size)
        try:
            if many and size is not None:
                self.domain.free_many(np.array([address], dtype=np.uint64), size)
            else:
                self.domain.free(address, size)
        except iova.DomainError as error:
            check_allowed(error, allowed)
            check_told(error, address, size)
        else:
            assert None in allowed, f"wanted {allowed}"
            del self.live[address // self.granule]

    def defer(self, address: int, size: int | None) -> None:
        self.steps.append(f"defer({address:#x}, {size})")
        allowed = self._verdicts(address, size)
        try:
            ticket = self.domain.defer(address, size)
        except iova.FlushNeeded as error:  # 10 ms have passed, or the queue is full
            assert None in allowed
            assert self.state_of(address) == "live"
            assert self.deferred
            self.flushed(error.ticket)
            self.defer(address, size)
        except iova.DomainError as error:
            check_allowed(error, allowed)
            check_told(error, address, size)
        else:
            assert None in allowed, f"wanted {allowed}"
            assert all(ticket > other for _, other in self.deferred.values())
            first = address // self.granule
            self.deferred[first] = (self.live.pop(first), ticket)

    def _verdicts(self, address: int, size: int | None) -> set[type[iova.DomainError] | None]:
        """What giving an address back may lead to; None: success."""
        first, rest = divmod(address, self.granule)
        if first > self.top:
            return {iova.Reserved}
        if rest:
            return {iova.NotAllocated}
        if first in self.live:
            pages = -(-(size or 0) // self.granule)
            same = size is None or self.live[first] in (pages, self.pages_of(size))
            return {None if same else iova.SizeMismatch}
        if first not in self.inside or first in self.reserved:
            return {iova.Reserved}
        if first in self.deferred:
            return {iova.DoubleFree}
        if first in self.taken():
            return {iova.NotAllocated}
        if first in self.hazy:
            return {iova.DoubleFree, iova.NotAllocated}
        if first not in self.ever and first not in self.perhaps_ever:
            return {iova.NotAllocated}
        if self.covered_by.get(first) == first:
            return {iova.DoubleFree}
        return {iova.DoubleFree, iova.NotAllocated}  # as a cache holds what covered it, or not

    def flush_all(self) -> None:
        """With nothing waiting, a free can be deferred however long ago the last one was."""
        if self.deferred:
            self.flushed(max(ticket for _, ticket in self.deferred.values()))

    def flushed(self, ticket: int) -> None:
        self.steps.append(f"flushed({ticket})")
        known = max((other for _, other in self.deferred.values()), default=0)
        try:
            self.domain.flushed(ticket)
        except ValueError:
            assert ticket > known or ticket == 0
        else:
            self.deferred = {f: kept for f, kept in self.deferred.items() if kept[1] > ticket}

    def flush_caches(self) -> None:
        self.steps.append("flush_caches()")
        self.domain.flush_caches()
        assert self.domain.stats().cached == 0

    # ---- looking ----

    def state_of(self, address: int) -> str | None:
        found = self.domain.find(address)
        return None if found is None else found.state

    def find(self, address: int) -> None:
        self.steps.append(f"find({address:#x})")
        page = address // self.granule
        found, owner = self.domain.find(address), self.taken().get(page)
        if page not in self.inside or page in self.reserved:
            assert found is not None
            assert found.state == "reserved"
            assert found.first <= address <= found.last
        elif owner is None:
            assert found is None
        else:
            pages = self.live[owner] if owner in self.live else self.deferred[owner][0]
            state = "live" if owner in self.live else "deferred"
            assert found == (*self._bytes(owner, owner + pages - 1), state)

    def compare(self) -> None:
        """All that can be seen at once."""
        expected = sorted(self._bytes(first, first + n - 1) for first, n in self.live.items())
        assert self.domain.ranges().tolist() == [list(span) for span in expected]
        stats, taken = self.domain.stats(), len(self.taken())
        live_bytes = sum(self.live.values()) * self.granule
        assert (stats.live, stats.live_bytes) == (len(self.live), live_bytes)
        assert stats.deferred == len(self.deferred)
        free = (len(self.inside - self.reserved) - taken) * self.granule - stats.cached_bytes
        assert stats.free_bytes == free
        assert 0 <= stats.largest_gap_bytes <= free
        assert self.domain._check() is None

    def close(self) -> None:
        self.domain.close()
