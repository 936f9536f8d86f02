"""Ties what was seen inside the recorded system to the calls it belongs to.

One walk over the rows of a domain that have to do with its tree. Nothing is known but CPU, time
and the order of rows; so a tree allocation belongs to the innermost allocation on its CPU that
waits for one, a removed range to the free of that range or to the magazine that is being emptied on
its CPU, and a magazine to the worker that was last seen on its CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import polars as pl

from iova.events import Flag, Op
from iova.lab.points import (
    ANYTHING,
    CACHED_CLASSES,
    DRAIN,
    FOREVER,
    INSERT,
    REMOVE,
    RESERVE,
    UNCACHED,
    Drain,
    Problem,
)

_LARGEST_CACHED: Final = 1 << (CACHED_CLASSES - 1)
#: Calls that may be nested on a CPU.
_DEEPEST: Final = 64
_MAGAZINES_OF_A_CPU: Final = 2 * CACHED_CLASSES


class TreePoint(NamedTuple):
    """A point of the tree; the fields of :class:`~iova.lab.points.TreeChain`."""

    kind: int
    cpu: int
    pfn: int | None
    entry: int
    end: int
    row: int
    last: int = 0
    size: int = 0
    limit: int = 0
    align: bool = False
    raw: bool = False
    drain: int = -1


class _Row(NamedTuple):
    """One row; times in ns."""

    row: int
    op: int
    t: int
    t_end: int | None
    cpu: int
    flags: int
    size: int | None
    limit: int | None
    pfn: int | None
    last: int | None
    n: int | None
    rounded: int | None

    def wants(self) -> int | None:
        """Pages this allocation takes from the tree: a plain one is not rounded up."""
        return self.size if self.flags & Flag.RAW else self.rounded


@dataclass
class _Worker:
    """What empties magazines on a CPU: reclaim, or the offlining of another CPU."""

    t: int
    offline_cpu: int | None = None
    drains: list[Drain] = field(default_factory=list)


class Ties:
    """What the walk finds.

    Args:
        domain: its number.
        dense: dense number of each CPU.
    """

    def __init__(self, domain: int, dense: dict[int, int]) -> None:
        self.domain = domain
        self.tree: list[TreePoint] = []
        self.drains: list[Drain] = []
        self.problems: list[Problem] = []
        self.looked_by: dict[int, int] = {}  #: row of a miss: when its tree allocation began
        self.refused: set[int] = set()  #: rows of frees that the cache could have taken
        self._dense = dense
        self._waiting: dict[int, list[_Row]] = {}  # by CPU, innermost last
        self._leaving: dict[int, int] = {}  # pfn of a free past the cache: its row
        self._reached: dict[int, int] = {}  # pfn of a cacheable free that left the cache: its row
        self._emptying: dict[int, Drain] = {}  # by CPU
        self._worker: dict[int, _Worker] = {}  # by CPU
        self._workers: list[_Worker] = []

    def read(self, rows: pl.DataFrame) -> None:
        """Walk the rows in their order, and find out which magazine each drain emptied."""
        handlers = {
            int(Op.ALLOC): self._alloc,
            int(Op.FREE): self._free,
            int(Op.RESERVE): self._reserve,
            int(Op.CPU_OFFLINE): self._cpu_offline,
            int(Op.TREE_ALLOC): self._tree_alloc,
            int(Op.TREE_FREE): self._tree_free,
            int(Op.TREE_REMOVE): self._tree_remove,
            int(Op.MAGAZINE_FREE): self._magazine_free,
            int(Op.RECLAIM): self._reclaim,
        }
        is_call = pl.col("op").is_in([int(Op.ALLOC), int(Op.FREE)])
        past_cache = (pl.col("flags") & int(Flag.REACHED_TREE | Flag.RAW)) != 0
        some = rows.filter(~is_call | past_cache | (pl.col("size_class") == UNCACHED))
        columns = [some[name].to_list() for name in _Row._fields]
        for row in map(_Row._make, zip(*columns, strict=True)):
            handler = handlers.get(row.op)
            if handler is not None:
                handler(row)
        for waiting in self._waiting.values():
            for alloc in waiting:
                self._insert_somewhere(alloc)
        self._settle_drains()

    # Into the tree

    def _reserve(self, row: _Row) -> None:
        if row.pfn is not None and row.last is not None and row.pfn <= row.last:
            self.tree.append(
                TreePoint(RESERVE, row.cpu, row.pfn, row.t, row.t, row.row, last=row.last)
            )

    def _alloc(self, row: _Row) -> None:
        if row.size and row.limit is not None:
            self._waiting_at(row).append(row)

    def _waiting_at(self, row: _Row) -> list[_Row]:
        """Allocations that wait on the CPU of ``row``, without those that returned before it."""
        waiting = self._waiting.setdefault(row.cpu, [])
        while waiting and waiting[-1].t_end is not None and waiting[-1].t_end < row.t:
            self._insert_somewhere(waiting.pop())
        return waiting

    def _insert_somewhere(self, alloc: _Row) -> None:
        """An allocation past the cache whose tree allocation was not seen."""
        if alloc.t_end is not None:
            self._insert(alloc, alloc.t, alloc.t_end, align=not alloc.flags & Flag.RAW)

    def _tree_alloc(self, row: _Row) -> None:
        waiting = self._waiting_at(row)
        for index in range(len(waiting) - 1, max(-1, len(waiting) - 1 - _DEEPEST), -1):
            alloc = waiting[index]
            ends = FOREVER if alloc.t_end is None else alloc.t_end
            if row.size == alloc.wants() and row.t <= ends:
                del waiting[index]
                end = ends if row.t_end is None else min(row.t_end, ends)
                if alloc.t_end is None:
                    alloc = alloc._replace(pfn=ANYTHING if row.t_end is None else row.pfn)
                elif row.pfn != alloc.pfn:
                    self._problem(row, f"the call's {_name(alloc.pfn)}", _name(row.pfn))
                self._insert(alloc, row.t, end, align=bool(row.flags & Flag.ALIGN))
                return
        self._problem(row, "a tree allocation inside a call", "no call that waits for one")

    def _insert(self, alloc: _Row, entry: int, end: int, *, align: bool) -> None:
        self.looked_by[alloc.row] = entry
        self.tree.append(
            TreePoint(
                INSERT,
                alloc.cpu,
                alloc.pfn,
                entry,
                end,
                alloc.row,
                size=alloc.wants() or 1,
                limit=alloc.limit or 0,
                align=align,
                raw=bool(alloc.flags & Flag.RAW),
            )
        )

    # Out of the tree

    def _free(self, row: _Row) -> None:
        if row.pfn is None:
            return
        if row.flags & Flag.RAW or row.rounded is None or row.rounded > _LARGEST_CACHED:
            self._leaving[row.pfn] = row.row
        else:
            self._reached[row.pfn] = row.row

    def _tree_free(self, row: _Row) -> None:
        if row.pfn is None:
            return
        call = self._reached.pop(row.pfn, None)
        if call is not None:
            self.refused.add(call)
            self._leaving[row.pfn] = call
        elif row.pfn not in self._leaving:
            self._problem(row, f"{_name(row.pfn)} is freed past the cache", "no call that frees it")

    def _tree_remove(self, row: _Row) -> None:
        if row.pfn is None:
            return
        call = self._leaving.pop(row.pfn, None)
        drain = self._emptying.get(row.cpu)
        if call is not None:
            self.tree.append(TreePoint(REMOVE, row.cpu, row.pfn, row.t, row.t, call))
        elif drain is not None and len(drain.pfns) < drain.entries:
            if not drain.pfns:
                drain.first_removal = row.t
            drain.last_removal = row.t
            drain.pfns.append(row.pfn)
            drain.pages = max(drain.pages, (row.last or row.pfn) - row.pfn + 1)
        else:
            self._problem(row, f"{_name(row.pfn)} leaves the tree", "nothing that frees it")

    def _reclaim(self, row: _Row) -> None:
        self._work(row.cpu, _Worker(row.t))

    def _cpu_offline(self, row: _Row) -> None:
        if row.n is not None:
            self._work(row.cpu, _Worker(row.t, self._dense[row.n]))

    def _work(self, cpu: int, worker: _Worker) -> None:
        self._worker[cpu] = worker
        self._workers.append(worker)

    def _magazine_free(self, row: _Row) -> None:
        drain = Drain(row.row, row.cpu, row.t, row.n or 0, last_removal=row.t)
        self._emptying[row.cpu] = drain
        self.drains.append(drain)
        worker = self._worker.get(row.cpu)
        if worker is None:
            return
        worker.drains.append(drain)
        drain.offline_cpu = worker.offline_cpu
        if worker.offline_cpu is None:
            drain.reclaim_t = worker.t
        if worker.offline_cpu is None or len(worker.drains) == _MAGAZINES_OF_A_CPU:
            del self._worker[row.cpu]

    def _settle_drains(self) -> None:
        for index, drain in enumerate(self.drains):
            if drain.pfns:
                drain.size_class = min((drain.pages - 1).bit_length(), UNCACHED)
                first, last = drain.first_removal, drain.last_removal
                self.tree.append(
                    TreePoint(DRAIN, drain.cpu, None, first, last, drain.row, drain=index)
                )
            if drain.pages > _LARGEST_CACHED:
                self.disagree(drain, "a magazine of small ranges", f"one of {drain.pages} pages")
            if len(drain.pfns) != drain.entries:
                self.disagree(drain, f"{drain.entries} entries", f"{len(drain.pfns)} removals")
        for worker in self._workers:
            if len(worker.drains) == _MAGAZINES_OF_A_CPU:
                # Classes in rising order; in each the loaded magazine, then the previous one.
                for index, drain in enumerate(worker.drains):
                    drain.size_class, drain.previous = index // 2, index % 2 == 1

    def disagree(self, drain: Drain, expected: str, got: str) -> None:
        """Keep a problem of a magazine that was emptied."""
        self.problems.append(Problem(drain.row, self.domain, drain.cpu, drain.t, expected, got))

    def _problem(self, row: _Row, expected: str, got: str) -> None:
        self.problems.append(Problem(row.row, self.domain, row.cpu, row.t, expected, got))


def _name(pfn: int | None) -> str:
    return "no range" if pfn is None else f"{pfn:#x}"
