"""Rates as lines: for a pipe, a log, or a machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Final

from iova.report.schemas import json_result
from iova.report.table import short_count
from iova.top.look import Look, Slab, Watched
from iova.top.rates import Rates, rates_between, size_text
from iova.words import printable

#: Between two waits, so that Ctrl-C is seen at once.
_NOTHING: Final = "-"


def watch(source: Watched, *, interval_s: float, count: int | None) -> Iterator[Rates]:
    """Look now and then, and yield what happened in between, until the source ends.

    Args:
        source: what to look at.
        interval_s: seconds between two looks.
        count: end after so many; None: go on.
    """
    before = source.look(0.0)
    last = time.monotonic()
    while before is not None and (count is None or count > 0):
        time.sleep(max(0.0, last + interval_s - time.monotonic()))
        now = time.monotonic()
        after: Look | None = source.look(interval_s if source.speed else now - last)
        last = now
        if after is None:
            return
        yield rates_between(before, after)
        before = after
        count = None if count is None else count - 1


def print_line(rates: Rates) -> None:
    """One line of everything together."""
    print(line_of(rates), flush=True)


def print_json_line(rates: Rates) -> None:
    """One JSON object in a line: the total and every row."""
    json.dump(json_result("top", rates.to_json()), sys.stdout, allow_nan=False)
    print(flush=True)


def line_of(rates: Rates) -> str:
    """Everything together, in one line: 80 columns, or more to tell slabs and losses."""
    total = rates.total
    parts = [
        f"{rates.t_s:6.1f}s",
        f"alloc/s {short_count(total.allocs_s):>5}",
        f"free/s {short_count(total.frees_s):>5}",
        f"tree% {percent(total.tree_percent):>5}",
        f"depot {whole(total.depot):>4}",
        f"cpus {whole(total.in_cpus):>5}",
        f"recl/s {rate(total.reclaimed_s)}",
    ]
    parts += [slab_text(slab) for slab in rates.slabs]
    if rates.lost:
        parts.append(f"LOST {rates.lost}")
    return " ".join(parts)


def slab_text(slab: Slab) -> str:
    """A slab cache: its objects and memory."""
    return f"{slab.name} {short_count(slab.objects)}/{slab.bytes >> 10}K"


def rate(value: float | None) -> str:
    """Something a second."""
    if value is None:
        return _NOTHING
    return f"{value:.1f}" if 0 < value < 99.95 else short_count(value)


def percent(value: float | None) -> str:
    """A share."""
    return _NOTHING if value is None else f"{value:.1f}"


def whole(value: int | None) -> str:
    """A count."""
    return _NOTHING if value is None else short_count(value)


def row_texts(rates: Rates) -> list[tuple[str, ...]]:
    """The cells of each row, as the screen shows them."""
    return [
        (
            printable(row.domain),
            size_text(row.size),
            rate(row.allocs_s),
            rate(row.frees_s),
            percent(row.tree_percent),
            whole(row.depot),
            whole(row.in_cpus),
            percent(row.fill_percent),
            rate(row.reclaimed_s),
        )
        for row in rates.rows
    ]
