"""A comparison as plain text for the body of a mail: 72 columns, ASCII, quoted without harm."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final

import numpy as np

from iova.lab.compare import Comparison
from iova.lab.rows import Row
from iova.report.answer import answer
from iova.report.charts_data import Floats, reduced, seconds
from iova.report.page_facts import facts_of
from iova.report.table import (
    COLUMNS,
    MACHINE_COLUMNS,
    PLUS_MINUS_LEGEND,
    Column,
    headline,
    span_text,
)
from iova.words import printable

WIDTH: Final = 72
_HEAD: Final = 8  #: of a line of numbers: the column of the table
_LABEL: Final = 36  #: the head and what it means
_NUMBER: Final = 9
_STRIP: Final = 54
_PLUS_MINUS: Final = "+-"  #: a mail is ASCII
#: From nothing to the most of all designs.
_LEVELS: Final = " .:-=+*#%@"


def mail_text(comparisons: Sequence[Comparison], command: str) -> str:
    """Answer, numbers, the depot and the caches over time, and what the report rests on."""
    blocks = ["\n".join(_answer(one)) for one in comparisons]
    for one in comparisons:
        blocks += list(_blocks(one))
    facts = facts_of(comparisons, command)
    blocks.append("\n".join(_filled(f"{head}: {told}", "  ") for head, told in facts))
    text = "\n\n".join(blocks)
    return text.encode("ascii", "backslashreplace").decode()


def _answer(one: Comparison) -> Iterator[str]:
    yield _filled(answer(one))
    yield from (_filled(f"! {warning}", "", "  ") for warning in one.warnings)


def _blocks(one: Comparison) -> Iterator[str]:
    yield _filled(headline(one))
    key = [f"  [{i}] {printable(runs.design)}" for i, runs in enumerate(one.designs, 1)]
    yield "\n".join(_filled(line, "", "      ") for line in key)
    yield _numbers(COLUMNS, [(runs.row, runs.row_half_width) for runs in one.designs])
    machines = [(runs.machine, runs.machine_half_width) for runs in one.designs]
    rows = [(row, half) for row, half in machines if row is not None]
    if rows:
        yield _numbers(MACHINE_COLUMNS, rows)
    if any(len(runs.runs) > 1 for runs in one.designs):
        yield _filled(f"{_PLUS_MINUS.ljust(_HEAD - 2)}{PLUS_MINUS_LEGEND}", "  ", " " * _HEAD)
    yield from _strips(one)


def _numbers(columns: Sequence[Column[Row]], rows: Sequence[tuple[Row, Row | None]]) -> str:
    """A line a number, a column a design; so many designs beside each other as there is room.

    Below a mean is half of its confidence interval, where there is one.
    """
    beside = (WIDTH - _LABEL) // _NUMBER
    blocks = []
    for first in range(0, len(rows), beside):
        some = rows[first : first + beside]
        heads = "".join(f"[{first + i + 1}]".rjust(_NUMBER) for i in range(len(some)))
        lines = [" " * _LABEL + heads]
        for column in columns:
            lines += _lines(column, some)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _lines(column: Column[Row], rows: Sequence[tuple[Row, Row | None]]) -> Iterator[str]:
    """What a number means, on as many lines as that needs; the numbers stand on the first."""
    means = "".join(column.show(row).rjust(_NUMBER) for row, _ in rows)
    halves = "".join(
        ("" if half is None else _PLUS_MINUS + column.show(half)).rjust(_NUMBER) for _, half in rows
    )
    label = textwrap.wrap(column.legend, _LABEL - _HEAD - 1, break_on_hyphens=False)
    for words, values in zip_longest(label, [means, halves], fillvalue=""):
        head = f"  {column.head}" if values is means else ""
        line = (head.ljust(_HEAD) + " " + words).ljust(_LABEL) + values
        if line.strip():
            yield line.rstrip()


# ------------------------------------------------------------------------- pictures of text


def _strips(one: Comparison) -> Iterator[str]:
    frames = [result.series for result in (one.machines or one.results)]
    for what, names in (
        ("magazines in depots of all sizes and domains", "depot_"),
        ("pages in magazines", "cached_p"),
    ):
        strips = []
        for frame in frames:
            if frame is None or frame.height < 2:
                return
            chosen = [name for name in frame.columns if name.startswith(names)]
            values = np.sum([frame[name].to_numpy() for name in chosen], axis=0)
            strips.append(_spread(seconds(frame), values.astype(np.float64)))
        most = max(float(strip.max()) for strip in strips)
        if not most:
            continue
        lines = [_filled(f"{what} over {span_text(one.span_ns)}, @ is {most:,.0f}:")]
        lines += [
            f"  [{i}]".ljust(7) + "|" + _drawn(strip, most) + "|"
            for i, strip in enumerate(strips, 1)
        ]
        yield "\n".join(lines)


def _spread(t_s: Floats, values: Floats) -> Floats:
    """The most of each of the strip's stretches of time; a stretch without a sample: as before."""
    one = reduced(t_s, values, _STRIP)
    edges = np.linspace(0, float(t_s[-1]), _STRIP, endpoint=False)
    at = np.maximum(np.searchsorted(one.start, edges, side="right") - 1, 0)
    return one.high[at]


def _drawn(strip: Floats, most: float) -> str:
    steps = np.ceil(strip / most * (len(_LEVELS) - 1)).astype(int)
    return "".join(_LEVELS[step] for step in steps)


def _filled(text: str, first: str = "", rest: str | None = None) -> str:
    indent = first + "  " if rest is None and first else rest or ""
    return textwrap.fill(
        printable(text), WIDTH, initial_indent=first, subsequent_indent=indent,
        break_on_hyphens=False,
    )  # fmt: skip
