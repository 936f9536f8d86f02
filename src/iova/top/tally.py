"""What a kernel's own events say of its caches, counted as they come.

The depot's lengths are as recorded. What CPUs' magazines hold is not recorded; it follows from
what is: ranges in the tree (cut, less removed) that no caller holds (allocated, less freed) are
cached, and what of them is not in the depot is in CPUs' magazines. Of a domain whose birth was not
seen the first ranges are unknown; the estimate then counts from the least it has been.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import polars as pl

from iova.events import Flag, Op
from iova.top.look import BEYOND, MAGAZINE, UNKNOWN, Cell, Key

_CLASSES: Final = 6

#: Rows with ``domain``, ``order`` and these counts, one a domain and size class.
_COUNTS: Final = ("allocs", "frees", "tree", "reclaimed", "live", "ranges")


def tallied(events: pl.DataFrame) -> pl.DataFrame:
    """Prepare rows of a whole trace: ``order``, and what each row counts.

    ``reclaimed`` marks looks of a depot's worker after which its CPU emptied a magazine, and
    ``left`` is the depot's length after a look.
    """
    op = pl.col("op")
    is_open = pl.col("t_end").is_null()  # its return is not in these rows: it counts as served
    size = (
        pl.when(op.is_in([int(Op.TREE_ALLOC), int(Op.TREE_REMOVE)]) & pl.col("last").is_not_null())
        .then(pl.col("last") - pl.col("pfn") + 1)
        .otherwise(pl.col("size"))
    )
    served = (op == int(Op.ALLOC)) & (pl.col("pfn").is_not_null() | is_open)
    freed = op == int(Op.FREE)
    cut = (op == int(Op.TREE_ALLOC)) & (pl.col("pfn").is_not_null() | is_open)
    removed = op == int(Op.TREE_REMOVE)
    reached = (pl.col("flags") & int(Flag.REACHED_TREE)) != 0
    next_op = op.shift(-1).over("cpu", "domain")
    reclaimed = (op == int(Op.RECLAIM)) & (next_op == int(Op.MAGAZINE_FREE))
    return (
        events.with_columns(_order(size).alias("order"))
        .select(
            "t",
            "domain",
            "order",
            "depot",
            left=pl.when(op == int(Op.RECLAIM)).then(
                pl.col("n").cast(pl.Int64) - reclaimed.fill_null(False).cast(pl.Int64)
            ),
            allocs=served.cast(pl.Int64),
            frees=freed.cast(pl.Int64),
            tree=(served & reached).cast(pl.Int64),
            reclaimed=reclaimed.fill_null(False).cast(pl.Int64),
            live=served.cast(pl.Int64) - freed.cast(pl.Int64),
            ranges=cut.cast(pl.Int64) - removed.cast(pl.Int64),
        )
        .filter(
            pl.col("domain").is_not_null()
            & (
                pl.any_horizontal(pl.col(*_COUNTS) != 0)
                | pl.any_horizontal(pl.col("depot", "left").is_not_null())
            )
        )
    )


def _order(size: pl.Expr) -> pl.Expr:
    """Order of the size class: 0 for one page, 5 for 17 to 32, BEYOND, UNKNOWN for null."""
    order = pl.lit(UNKNOWN)
    for k in range(_CLASSES - 1, -1, -1):
        order = (
            pl.when(size <= 1 << k)
            .then(pl.lit(k))
            .otherwise(pl.lit(BEYOND) if k == _CLASSES - 1 else order)
        )
    return pl.when(size.is_null()).then(pl.lit(UNKNOWN)).otherwise(order).cast(pl.Int64)


class Tally:
    """Counts of :func:`tallied` rows so far.

    Args:
        names: what each domain is called.
        granules: bytes of each domain's page, where they are not 4096.
        sees_tree: the source tells what happens inside the tree.
    """

    def __init__(self, names: dict[int, str], granules: dict[int, int], *, sees_tree: bool) -> None:
        self._names = names
        self._granules = granules
        self._sees_tree = sees_tree
        self._counts: dict[tuple[int, int], dict[str, int]] = defaultdict(
            lambda: dict.fromkeys(_COUNTS, 0)
        )
        self._least: dict[tuple[int, int], int] = {}
        self._depots: dict[int, list[int]] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Count some more rows, in order."""
        counted = rows.group_by("domain", "order").agg(pl.col(*_COUNTS).sum())
        for row in counted.iter_rows(named=True):
            key = row["domain"], row["order"]
            counts = self._counts[key]
            for name in _COUNTS:
                counts[name] += row[name]
            cached = counts["ranges"] - counts["live"]
            self._least[key] = min(self._least.get(key, 0), cached)
        self._see_depots(rows)

    def _see_depots(self, rows: pl.DataFrame) -> None:
        """The lengths that were told last: all of a domain's by a call, one by its worker."""
        placed = rows.with_row_index("at")
        calls = placed.filter(pl.col("depot").is_not_null()).group_by("domain")
        told_at = {}
        for domain, depot, at in calls.agg(pl.col("depot", "at").last()).iter_rows():
            self._depots[domain], told_at[domain] = list(depot), at
        looks = placed.filter(pl.col("left").is_not_null() & (pl.col("order") < _CLASSES))
        for domain, order, left, at in (
            looks.group_by("domain", "order").agg(pl.col("left", "at").last()).iter_rows()
        ):
            if domain in self._depots and at > told_at.get(domain, -1):
                self._depots[domain][order] = left

    def forget(self, domains: set[int]) -> None:
        """Drop domains that are gone."""
        for key in [key for key in self._counts if key[0] in domains]:
            del self._counts[key]
            self._least.pop(key, None)
        for domain in domains:
            self._depots.pop(domain, None)

    def cells(self) -> dict[Key, Cell]:
        """What was counted, and what is held now."""
        return {
            self._key(domain, order): self._cell(domain, order, counts)
            for (domain, order), counts in self._counts.items()
        }

    def _key(self, domain: int, order: int) -> Key:
        size = order if order > _CLASSES else self._granules.get(domain, 4096) << order
        return Key(self._names.get(domain, str(domain)), size)

    def _cell(self, domain: int, order: int, counts: dict[str, int]) -> Cell:
        depots = self._depots.get(domain)
        cached_size = order < _CLASSES
        depot = depots[order] if depots and cached_size else None
        in_cpus = None
        if self._sees_tree and cached_size:
            cached = counts["ranges"] - counts["live"] - self._least[domain, order]
            in_cpus = max(0, cached - MAGAZINE * (depot or 0))
        return Cell(
            allocs=counts["allocs"],
            frees=counts["frees"],
            tree=counts["tree"] if self._sees_tree else None,
            reclaimed=counts["reclaimed"] if order != BEYOND else None,
            depot=depot,
            in_cpus=in_cpus,
        )
