"""A small machine that records itself: CPUs whose calls overlap and nest, and the trace of them.

The truth is the allocator of the core, whose calls happen at chosen moments; the trace shows of it
what a kernel's trace shows: entries, returns and what was seen inside, but not those moments.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Generator
from dataclasses import dataclass, field

import polars as pl

from iova._core import RawDomain
from iova.events import SCHEMA, DomainInfo, Flag, Op, Trace, TraceInfo

Run = Generator[int, None, None]
LIMIT = 0xF_FFFF
LARGEST_CACHED = 32
DEPOT_BOUND = 32


@dataclass
class Machine:
    """One domain on a few CPUs. All times are in ns; every moment is its own."""

    seed: int
    cpus: int = 4
    design: str = "linux-6.12"
    kernel: str = "6.12.0"
    sizes: tuple[int, ...] = (1, 1, 1, 1, 2, 3, 16, 48)
    gap_ns: int = 200_000  #: mean time between the calls of a CPU
    held: int = 600  #: ranges that are live at most
    nested: float = 0.0001  #: chance of interrupts with frees inside a call
    depot_bound: int | None = None
    rows: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now = 0
        self.truth = RawDomain(possible=self.cpus, design=self.design)
        self.truth.make_caches()
        self.live: list[tuple[int, int, int]] = []  # pfn, size, slot
        self.free_slots: list[int] = []
        self.slots = 0
        self.gone: set[int] = set()
        self.row(Op.CREATE, 0, pfn=1)
        self.row(Op.MAKE_CACHES, 0)
        self.row(Op.RESERVE, 0, pfn=0xFEE00, last=0xFEEFF)
        self.truth.reserve(0xFEE00, 0xFEEFF)

    def row(self, op: Op, cpu: int, **values: object) -> dict[str, object]:
        """Record an event now."""
        row: dict[str, object] = dict.fromkeys(SCHEMA)
        row |= {"t": self.now, "op": int(op), "cpu": cpu, "domain": 0, "flags": 0} | values
        self.rows.append(row)
        return row

    def trace(self) -> Trace:
        """Everything that was recorded."""
        info = TraceInfo(kernel=self.kernel, domains=(DomainInfo(0),))
        return Trace(pl.DataFrame(self.rows, schema=SCHEMA, orient="row"), info)

    def run(self, calls: int, *workers: Run) -> Trace:
        """Run ``calls`` calls spread over the CPUs, and what else there is."""
        runs = [self.caller(cpu, calls // self.cpus) for cpu in range(self.cpus)]
        due = [(cpu, cpu, run) for cpu, run in enumerate([*runs, *workers])]
        number = len(due)
        while due:
            self.now, _, run = heapq.heappop(due)
            number += 1
            wait = next(run, None)
            if wait is not None:
                # No two things at once: moments of different runs differ in the last digits.
                heapq.heappush(due, ((self.now + wait) // 64 * 64 + number % 64, number, run))
        self.truth.destroy()
        return self.trace()

    def delay(self, mean_ns: int) -> int:
        """A random time; now and then a CPU is paused for long."""
        factor = 200 if self.random.random() < 0.0005 else 1
        return 64 + int(self.random.expovariate(1 / mean_ns)) * factor

    def caller(self, cpu: int, calls: int) -> Run:
        """What one CPU does: allocate, then free, in waves."""
        rising = True
        for _ in range(calls):
            yield self.delay(self.gap_ns)
            while cpu in self.gone:
                yield self.delay(self.gap_ns)
            if len(self.live) >= self.held or not self.live:
                rising = not self.live
            if self.random.random() < (0.9 if rising else 0.1) or not self.live:
                yield from self.alloc(cpu, self.random.choice(self.sizes))
            else:
                yield from self.free(cpu)

    def interrupt(self, cpu: int) -> Run:
        """Maybe free a few ranges in the midst of a call."""
        yield self.delay(500)
        if self.random.random() < self.nested:
            for _ in range(self.random.randrange(1, 200)):
                if self.live:
                    yield from self.free(cpu)
                yield self.delay(500)

    def alloc(self, cpu: int, size: int) -> Run:
        """One fast allocation."""
        rounded = 1 << (size - 1).bit_length() if size < LARGEST_CACHED else size
        call = self.row(Op.ALLOC, cpu, size=size, limit=LIMIT)
        yield from self.interrupt(cpu)
        if rounded <= LARGEST_CACHED and self.is_cached(cpu, rounded):
            pfn = self.truth.alloc(cpu, size, LIMIT, False, 0)
        else:
            yield from self.interrupt(cpu)
            call["flags"] = int(Flag.REACHED_TREE)
            inner = self.row(Op.TREE_ALLOC, cpu, size=rounded, limit=LIMIT, flags=int(Flag.ALIGN))
            yield self.delay(500)
            pfn = max(0, self.truth.alloc_raw(rounded, LIMIT, True))
            yield self.delay(500)
            inner["t_end"] = self.now
            if pfn:
                inner |= {"pfn": pfn, "last": pfn + rounded - 1}
        yield from self.interrupt(cpu)
        call["t_end"] = self.now
        if pfn:
            slot = self.free_slots.pop() if self.free_slots else self.slots
            self.slots += slot == self.slots
            call |= {"pfn": pfn, "slot": slot}
            self.live.append((pfn, size, slot))

    def free(self, cpu: int) -> Run:
        """One fast free of some live range."""
        recent = max(0, len(self.live) - 300)
        pfn, size, slot = self.live.pop(self.random.randrange(recent, len(self.live)))
        self.free_slots.append(slot)
        call = self.row(Op.FREE, cpu, size=size, pfn=pfn, slot=slot)
        yield self.delay(300)
        if size > LARGEST_CACHED:
            call["flags"] = int(Flag.REACHED_TREE)
            self.row(Op.TREE_FREE, cpu, pfn=pfn)
            self.removed(cpu, [pfn])
        else:
            self.spill(cpu, (size - 1).bit_length())
        self.truth.free(cpu, pfn, size, 0)
        yield self.delay(300)
        call["t_end"] = self.now

    def is_cached(self, cpu: int, rounded: int) -> bool:
        """Whether an allocation on ``cpu`` would find something in the cache."""
        size_class = (rounded - 1).bit_length()
        own = (self.truth.magazine(cpu, size_class, previous) for previous in (False, True))
        return any(m is not None and len(m) for m in own) or bool(self.truth.depot(size_class))

    def removed(self, cpu: int, pfns: list[int]) -> None:
        """Record ranges that are about to leave the tree."""
        for pfn in pfns:
            found = self.truth.find(pfn)
            assert found is not None
            self.row(Op.TREE_REMOVE, cpu, pfn=found[0], last=found[1])

    def emptied(self, cpu: int, entries: list[int]) -> None:
        """Record a magazine that is about to be emptied into the tree."""
        self.row(Op.MAGAZINE_FREE, cpu, n=len(entries))
        self.removed(cpu, entries)

    def spill(self, cpu: int, size_class: int) -> None:
        """Record the magazine that a free is about to empty because the depot is full."""
        own = [self.truth.magazine(cpu, size_class, previous) for previous in (False, True)]
        full = all(m is not None and len(m) == 127 for m in own)
        if full and self.depot_bound == len(self.truth.depot(size_class)) and own[0] is not None:
            self.emptied(cpu, own[0].tolist())

    def reclaimer(self, cpu: int, times: int, size_class: int) -> Run:
        """A worker that takes one magazine off a depot now and then, and empties it."""
        for _ in range(times):
            yield self.delay(40 * self.gap_ns)
            depot = self.truth.depot(size_class)
            self.row(Op.RECLAIM, cpu, size=1 << size_class, n=len(depot))
            yield self.delay(2000)
            depot = self.truth.depot(size_class)
            if len(depot) > 1:
                entries = depot[0].tolist()
                token = self.truth.reclaim_take(size_class)
                yield self.delay(2000)
                self.emptied(cpu, entries)
                self.truth.reclaim_drain(token)

    def hotplug(self, cpu: int, gone: int) -> Run:
        """Take CPU ``gone`` away for a while; its magazines are emptied on ``cpu``."""
        yield self.delay(400 * self.gap_ns)
        self.gone.add(gone)
        yield 200 * self.gap_ns  # its last call ends
        self.row(Op.CPU_OFFLINE, cpu, n=gone)
        for size_class in range(6):
            for previous in (False, True):
                yield self.delay(2000)
                magazine = self.truth.magazine(gone, size_class, previous)
                self.emptied(cpu, [] if magazine is None else magazine.tolist())
                self.truth.cpu_drain(gone, size_class, previous)
        yield self.delay(400 * self.gap_ns)
        self.gone.remove(gone)
