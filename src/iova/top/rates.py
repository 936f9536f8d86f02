"""From two looks to what happened between them, a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from iova.top.look import BEYOND, MAGAZINE, UNKNOWN, Cell, Look, Slab


@dataclass(frozen=True)
class Row:
    """A domain and size class between two looks. None: not known, or nothing to divide by."""

    domain: str
    size: int  #: bytes; see :class:`iova.top.look.Key`
    allocs_s: float
    frees_s: float
    tree_percent: float | None  #: of the allocations between the looks
    depot: int | None  #: full magazines
    in_cpus: int | None  #: ranges in CPUs' magazines
    fill_percent: float | None  #: of what two magazines for each CPU could hold
    reclaimed_s: float | None


@dataclass(frozen=True)
class Rates:
    """All rows, and the same for all together."""

    t_s: float
    rows: tuple[Row, ...]
    total: Row
    slabs: tuple[Slab, ...]
    memory_bytes: int | None
    lost: int

    def to_json(self) -> dict[str, Any]:
        """A line for machines."""
        return {
            "t_s": round(self.t_s, 6),
            "total": _row_json(self.total),
            "rows": [
                {"domain": row.domain, "size_bytes": _size_json(row.size)} | _row_json(row)
                for row in self.rows
            ],
            "slabs": {slab.name: [slab.objects, slab.bytes] for slab in self.slabs},
            "memory_bytes": self.memory_bytes,
            "lost": self.lost,
        }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "allocs_s": round(row.allocs_s, 3),
        "frees_s": round(row.frees_s, 3),
        "tree_percent": _rounded(row.tree_percent),
        "depot_magazines": row.depot,
        "cpu_ranges": row.in_cpus,
        "cpu_fill_percent": _rounded(row.fill_percent),
        "reclaimed_s": _rounded(row.reclaimed_s),
    }


def _size_json(size: int) -> int | str:
    return {BEYOND: "uncached", UNKNOWN: "unknown"}.get(size, size)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def size_text(size: int) -> str:
    """A size class in words."""
    if size == BEYOND:
        return "larger"
    if size == UNKNOWN:
        return "all"
    return f"{size >> 20}M" if size >= 1 << 20 else f"{size >> 10}K"


def rates_between(before: Look, after: Look) -> Rates:
    """What happened from one look to the next.

    A cell that is new began at zero; one whose counters went back was replaced by another of its
    name and began at zero as well.
    """
    seconds = max(after.t_s - before.t_s, 1e-9)
    changes = [
        (key.domain, key.size, *_change(before.cells.get(key, Cell()), cell))
        for key, cell in sorted(after.cells.items())
    ]
    rows = tuple(
        _row(domain, size, [change], [cell], after, seconds)
        for domain, size, change, cell in changes
    )
    domains = {domain for domain, *_ in changes}
    total = _row(
        f"{len(domains)} domains" if len(domains) != 1 else "1 domain",
        UNKNOWN,
        [change for *_, change, _ in changes],
        [cell for *_, cell in changes],
        after,
        seconds,
    )
    return Rates(after.t_s, rows, total, after.slabs, after.memory_bytes, after.lost)


def _change(before: Cell, after: Cell) -> tuple[Cell, Cell]:
    if after.allocs < before.allocs or after.frees < before.frees:
        before = Cell()
    return Cell(
        after.allocs - before.allocs,
        after.frees - before.frees,
        _difference(before.tree, after.tree),
        _difference(before.reclaimed, after.reclaimed),
    ), after


def _difference(before: int | None, after: int | None) -> int | None:
    return None if after is None else max(0, after - (before or 0))


def _row(
    domain: str,
    size: int,
    changes: list[Cell],
    cells: list[Cell],
    look: Look,
    seconds: float,
) -> Row:
    allocs = sum(change.allocs for change in changes)
    tree = _sum(change.tree for change in changes)
    reclaimed = _sum(change.reclaimed for change in changes)
    in_cpus = _sum(cell.in_cpus for cell in cells)
    caches = sum(cell.in_cpus is not None for cell in cells)
    room = caches * 2 * MAGAZINE * (look.cpus or 0)
    return Row(
        domain=domain,
        size=size,
        allocs_s=allocs / seconds,
        frees_s=sum(change.frees for change in changes) / seconds,
        tree_percent=None if tree is None or not allocs else min(100.0, 100 * tree / allocs),
        depot=_sum(cell.depot for cell in cells),
        in_cpus=in_cpus,
        fill_percent=None if in_cpus is None or not room else 100 * in_cpus / room,
        reclaimed_s=None if reclaimed is None else reclaimed / seconds,
    )


def _sum(values: Iterable[int | None]) -> int | None:
    """The sum of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
