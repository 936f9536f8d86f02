"""Calls worked out of what drivers map and unmap, where the allocator itself was not probed.

What is known: which bytes were mapped and unmapped, when and where. What is not, and is modelled:

- a range is what one unmap takes away, allocated when its first piece was mapped;
- with a flush queue (lazy mode), each CPU holds frees back until 255 wait there or 10 ms after the
  first of any CPU did, as Linux does, or until one of them is mapped again; else a free is at its
  unmap;
- domains are not named: a range that is mapped while it is mapped belongs to another one, so
  there are as many as overlap;
- limits are the largest address seen, rounded up to a power of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from iova.events import SCHEMA, Op

NOTES: Final = (
    "calls were worked out of iommu:map and iommu:unmap: sizes of ranges never unmapped, limits,"
    " depot lengths, trips to the tree and reclaims are not known",
    "domains are not named in these events: ranges that overlap were put into different ones",
)
LAZY_NOTE: Final = "the flush queue was not recorded: when ranges were freed is modelled"

#: Of a CPU's flush queue, which has room for one more.
_QUEUE: Final = 255
_TIMER_NS: Final = 10_000_000

#: Time, CPU, first and last page.
_Event = tuple[int, int, int, int]


@dataclass
class _Work:
    """Rows so far, and what is mapped."""

    lazy: bool
    rows: list[dict[str, int]] = field(default_factory=list)
    #: For each domain, pieces by their first page: last page, time, CPU.
    mapped: list[dict[int, tuple[int, int, int]]] = field(default_factory=list)
    queues: dict[int, list[dict[str, int]]] = field(default_factory=dict)
    #: Domain and first page of what waits in a queue.
    waiting: set[tuple[int, int]] = field(default_factory=set)
    timer: int | None = None

    def map(self, event: _Event) -> None:
        t, cpu, first, last = event
        for domain, pieces in enumerate(self.mapped):
            if first not in pieces:
                if (domain, first) in self.waiting:  # it was freed earlier than modelled
                    self._empty_all(t)
                pieces[first] = (last, t, cpu)
                return
        self.mapped.append({first: (last, t, cpu)})

    def unmap(self, event: _Event) -> None:
        t, cpu, first, last = event
        domain = self._owner(first, last)
        if domain is not None:
            began, where = self._take(domain, first, last)
            self._alloc(domain, began, where, first, last)
        free = {"op": Op.FREE, "cpu": cpu, "domain": domain or 0, "pfn": first,
                "size": last - first + 1, "t": t, "t_end": t}  # fmt: skip
        if self.lazy:
            self._defer(free)
        else:
            self.rows.append(free)

    def _owner(self, first: int, last: int) -> int | None:
        """The domain in which exactly this is mapped; else one where it begins."""
        begins = [number for number, pieces in enumerate(self.mapped) if first in pieces]
        for number in begins:
            if self._end(number, first, last) == last:
                return number
        return begins[0] if begins else None

    def _end(self, domain: int, first: int, last: int) -> int:
        at = first
        while at <= last and at in self.mapped[domain]:
            at = self.mapped[domain][at][0] + 1
        return at - 1

    def _take(self, domain: int, first: int, last: int) -> tuple[int, int]:
        pieces = self.mapped[domain]
        _, began, cpu = pieces[first]
        at = first
        while at <= last and at in pieces:
            at = pieces.pop(at)[0] + 1
        return began, cpu

    def _alloc(self, domain: int, t: int, cpu: int, first: int, last: int) -> None:
        self.rows.append({"op": Op.ALLOC, "cpu": cpu, "domain": domain, "pfn": first,
                          "size": last - first + 1, "t": t, "t_end": t})  # fmt: skip

    def _defer(self, free: dict[str, int]) -> None:
        self.run_timer(free["t"])
        queue = self.queues.setdefault(free["cpu"], [])
        queue.append(free)
        self.waiting.add((free["domain"], free["pfn"]))
        if self.timer is None:
            self.timer = free["t"] + _TIMER_NS
        if len(queue) == _QUEUE:
            self._empty(free["cpu"], free["t"])

    def run_timer(self, now: int) -> None:
        """Free what waits, if its time has come."""
        if self.timer is not None and self.timer <= now:
            self._empty_all(self.timer)

    def _empty_all(self, t: int) -> None:
        for cpu in self.queues:
            self._empty(cpu, t)
        self.timer = None

    def _empty(self, cpu: int, t: int) -> None:
        self.rows += [free | {"t": t, "t_end": t} for free in self.queues[cpu]]
        self.waiting -= {(free["domain"], free["pfn"]) for free in self.queues[cpu]}
        self.queues[cpu] = []

    def end(self) -> None:
        """What was never unmapped was allocated all the same, piece by piece."""
        for domain, pieces in enumerate(self.mapped):
            for first, (last, t, cpu) in pieces.items():
                self._alloc(domain, t, cpu, first, last)


def calls_of(maps: pl.DataFrame, unmaps: pl.DataFrame, *, lazy: bool) -> pl.DataFrame:
    """Events of the calls behind maps and unmaps.

    Args:
        maps: ``t``, ``cpu``, ``pfn`` and ``last`` of each map.
        unmaps: the same of each unmap.
        lazy: there is a flush queue.

    Returns:
        A frame of the columns of :data:`iova.events.SCHEMA`, sorted by time.
    """
    work = _Work(lazy)
    for is_map, event in _in_order(maps, unmaps):
        work.run_timer(event[0])
        (work.map if is_map else work.unmap)(event)
    if work.timer is not None:
        work.run_timer(work.timer)
    work.end()
    return _frame(work.rows)


def _in_order(maps: pl.DataFrame, unmaps: pl.DataFrame) -> Iterator[tuple[bool, _Event]]:
    columns = ["t", "cpu", "pfn", "last"]
    both = pl.concat([
        unmaps.select(*columns, is_map=False),
        maps.select(*columns, is_map=True),
    ]).sort("t", maintain_order=True)  # fmt: skip
    for *event, is_map in both.iter_rows():
        yield is_map, (event[0], event[1], event[2], event[3])


def _frame(rows: list[dict[str, int]]) -> pl.DataFrame:
    ordered = sorted(rows, key=lambda row: row["t"])
    _tie(ordered)
    names = [name for name in SCHEMA if name not in ("depot", "flags", "limit", "last", "n")]
    values = {name: [row.get(name) for row in ordered] for name in names}
    frame = pl.DataFrame(values, schema={name: SCHEMA[name] for name in names})
    highest = max((row["pfn"] + row["size"] - 1 for row in ordered), default=0)
    limit = (1 << max(highest.bit_length(), 20)) - 1
    is_alloc = pl.col("op") == int(Op.ALLOC)
    return frame.with_columns(
        limit=pl.when(is_alloc).then(pl.lit(limit, pl.UInt64)),
        flags=pl.lit(0, pl.UInt8),
        last=pl.lit(None, SCHEMA["last"]),
        n=pl.lit(None, SCHEMA["n"]),
        depot=pl.lit(None, SCHEMA["depot"]),
    ).select(list(SCHEMA))


def _tie(rows: list[dict[str, int]]) -> None:
    """Give each range a slot, which its free gives back."""
    live: dict[tuple[int, int], int] = {}
    spare: list[int] = []
    slots = 0
    for row in rows:
        place = (row["domain"], row["pfn"])
        if row["op"] == Op.ALLOC:
            if not spare:
                spare.append(slots)
                slots += 1
            row["slot"] = live[place] = spare.pop()
        elif place in live:
            row["slot"] = live.pop(place)
            spare.append(row["slot"])
