"""Prices of the simulated machine, measured on this host: ``python -m benchmarks calibrate``.

``c/calibrate_*.c`` measure parts of calls, each by its own small loop; here prices follow from
the medians of the rounds. Where the machine's formulas have one price for what depends on the
number of ranges, the price is the one with which the formula comes closest to what was measured.
"""

from __future__ import annotations

import argparse
import datetime
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.build import Program, program
from benchmarks.figures import Report, Series, table
from benchmarks.performance import machine
from iova.lab.prices import PRICE_NAMES, Prices, load_prices, write_prices

SOURCES: Final = (
    "calibrate.c",
    "calibrate_cache.c",
    "calibrate_tree.c",
    "calibrate_queue.c",
    "calibrate_lines.c",
    "calibrate_turns.c",
    "red_black.c",
)

#: Beginnings of the names of parts that only walks of Linux's tree need, which are slow to measure.
WALKS: Final = ("step", "look-up")

_LINE: Final = "line, half a round trip"
_LINE_TAKEN: Final = "line of a magazine taken from"
_LINE_FILLED: Final = "line of a magazine filled"
_HANDED_OVER: Final = "lock handed over"
_INDEX_TAKEN: Final = "index taken over"
_RECORDS_TAKEN: Final = "red-black tree taken over"
#: Parts between two CPUs; where these were apart for a while, they are told twice.
_BETWEEN_CPUS: Final = (
    _LINE,
    _LINE_TAKEN,
    _LINE_FILLED,
    _HANDED_OVER,
    _INDEX_TAKEN,
    _RECORDS_TAKEN,
)
_APART: Final = ", apart"
#: A line that takes so many times as long tells that the two CPUs were moved.
_MOVED: Final = 1.6
_LINE_FAR_FACTOR: Final = 2.75
#: What can not be measured on one node.
_PS: Final = 1000


def main(arguments: Sequence[str]) -> None:
    """Measure, print, and with ``--write FILE`` write a price file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks calibrate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="interleaved rounds (31)")
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the prices there")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("no rounds")
    parts = measure_parts(build(), options.rounds, 20_000 if options.quick else 400_000)
    print(table(_report(parts)), end="\n\n")
    prices = prices_of(medians(parts))
    print(_told(prices))
    if options.write:
        write_prices(options.write, prices, provenance(options.rounds))


# ---------------------------------------------------------------------------- measuring


def build() -> Program:
    """The program that measures parts."""
    return program("calibrate", *SOURCES, extra=("-pthread",))


def measure_parts(
    built: Program, rounds: int, operations: int, *beginnings: str
) -> dict[str, tuple[float, ...]]:
    """Nanoseconds of each part, or of those whose names begin so: one value a round."""
    values: dict[str, list[float]] = {}
    for row in built.run(rounds, operations, *beginnings):
        values.setdefault(row["pattern"], []).append(row["value"])
    return {name: tuple(found) for name, found in values.items()}


def are_moved(before_ns: float, after_ns: float) -> bool:
    """Whether CPUs between which a line takes so long were put elsewhere meanwhile.

    A hypervisor does that: at times two virtual CPUs share a third-level cache, at times not.
    """
    return max(before_ns, after_ns) > _MOVED * min(before_ns, after_ns)


def medians(parts: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Of the rounds, part by part.

    Of parts between two CPUs, of the rounds in which these were close together; under names of
    their own, of those in which they were apart, if there are any.
    """
    found = {name: statistics.median(values) for name, values in parts.items()}
    lines = parts.get(_LINE, ())
    apart = [are_moved(min(lines), ns) for ns in lines]
    for name in (name for name in _BETWEEN_CPUS if lines and name in parts):
        pairs = tuple(zip(parts[name], apart, strict=True))
        found[name] = statistics.median(ns for ns, is_apart in pairs if not is_apart)
        if any(apart):
            found[name + _APART] = statistics.median(ns for ns, is_apart in pairs if is_apart)
    return found


def _report(parts: Mapping[str, tuple[float, ...]]) -> Report:
    series = (Series(name, "median of rounds", "ns", values) for name, values in parts.items())
    return Report("calibrate: ns of parts of calls", tuple(series))


# ------------------------------------------------------------------------------- prices


@dataclass(frozen=True)
class _Found:
    """A price in ns (or a number of ranges), and how it was found."""

    value: float
    note: str
    is_guess: bool = False


def prices_of(parts: Mapping[str, float], otherwise: Prices | None = None) -> Prices:
    """The price table of what was measured.

    Args:
        parts: ns of each part. Without walks (:data:`WALKS`) or, on one CPU, lines, their
            prices are those of ``otherwise`` and count as guesses.
        otherwise: prices for what was not measured; the package's own by default.
    """
    known = otherwise or load_prices()
    found = {**_of_calls(parts), **_of_tree(parts), **_of_lines(parts)}
    missing = [name for name in PRICE_NAMES if name not in found]
    old = "not measured on this host: "
    notes = {name: one.note for name, one in found.items()}
    notes |= {name: old + known.notes.get(name, "taken over") for name in missing}
    values = {name: getattr(known, name) for name in missing}
    values |= {name: _rounded(name, one.value) for name, one in found.items()}
    return Prices(
        **values,
        provenance="measured just now",
        notes={name: notes[name] for name in PRICE_NAMES},
        guesses=tuple(name for name in PRICE_NAMES if name in missing or found[name].is_guess),
    )


def _rounded(name: str, value: float) -> int:
    """Picoseconds; a disturbed round may make a difference negative, which no price is."""
    return round(value) if name == "tree_near" else round(max(0.0, value) * _PS)


def _of_calls(parts: Mapping[str, float]) -> dict[str, _Found]:
    lock, free = parts["lock"], parts["free"]
    exchange = parts["exchanges"] - parts["alloc"] - 2 * free - 2 * lock
    queue = (parts["queue put"] - lock + parts["queue collect"]) / 2
    with_hooks = "that the loaded magazine serves, by the core with a spin lock as its hook"
    return {
        "alloc_hit": _Found(parts["alloc"], f"an allocation {with_hooks}"),
        "free_hit": _Found(free, f"a free {with_hooks}"),
        "swap": _Found(
            parts["swap"],
            "what a call costs more that swaps the magazines, one in eight at random, so that "
            "the processor does not foresee it",
        ),
        "lock": _Found(lock, _note_on_locks(parts)),
        "depot": _Found(
            exchange / 2,
            "what two calls cost more that pop and push a magazine, one in eight at random, "
            "halved; without their locks, and without memory for magazines",
        ),
        "magazine_new": _Found(parts["magazine new"], "1 KiB from the C library's heap, aligned"),
        "magazine_free": _Found(parts["magazine free"], "1 KiB back to the C library's heap"),
        "scan": _Found(parts["scan"], "a magazine none of whose 127 entries is acceptable, / 127"),
        "index_alloc": _Found(
            parts["index alloc"],
            "range_tree of 16 384 live ranges of 1 to 32 pages, aged"
            + _taken_over(parts, _INDEX_TAKEN),
        ),
        "index_free": _Found(parts["index free"], "the same tree; ranges picked at random"),
        "queue": _Found(queue, "mean of an entry's put, without the ring's lock, and its release"),
        "job": _Found(
            parts["job"] + parts["wake-up"],
            f"waking a sleeping thread on the same CPU, until it runs ({parts['wake-up']:.0f} ns), "
            f"and a job that finds nothing to do ({parts['job']:.0f} ns)",
        ),
    }


def _note_on_locks(parts: Mapping[str, float]) -> str:
    told = "a spin lock nobody else wants; interrupts are not switched off"
    if _HANDED_OVER not in parts:
        return told
    return (
        f"{told}. One that the other CPU waits for is handed over in {parts[_HANDED_OVER]:.0f} ns"
    )


def _taken_over(parts: Mapping[str, float], name: str) -> str:
    """What a CPU fetches of a tree that the other one changed last."""
    if name not in parts or not parts.get(_LINE):
        return ""
    lines = parts[name] / parts[_LINE]
    return f". A tree that another CPU changed last: {lines:.1f} lines more, beside the lock's"


def _of_lines(parts: Mapping[str, float]) -> dict[str, _Found]:
    if _LINE not in parts:
        return {}
    line, ahead = parts[_LINE], parts[_LINE_TAKEN]
    return {
        "line": _Found(line, "half a round trip between CPUs 0 and 1"),
        "line_ahead": _Found(
            ahead,
            "a magazine's lines one after the other, for who takes entries another CPU put in; "
            f"who fills a magazine another CPU had pays {parts[_LINE_FILLED]:.1f} ns each",
        ),
        **(_of_lines_apart(parts) if _LINE + _APART in parts else _guessed_lines(line, ahead)),
    }


def _of_lines_apart(parts: Mapping[str, float]) -> dict[str, _Found]:
    apart = (
        "measured while the hypervisor had put CPUs 0 and 1 further apart, which need not be as "
        "far as between sockets"
    )
    filled = parts[_LINE_FILLED + _APART]
    return {
        "line_far": _Found(parts[_LINE + _APART], apart),
        "line_ahead_far": _Found(
            parts[_LINE_TAKEN + _APART], f"{apart}; who fills a magazine paid {filled:.1f} ns"
        ),
    }


def _guessed_lines(line: float, ahead: float) -> dict[str, _Found]:
    note = (
        f"a guess, as one node has no far lines: {_LINE_FAR_FACTOR} times line, the median "
        "of what two-socket Xeons were found to take more between sockets than within one "
        "(2.1 to 2.8 times; github.com/nviennot/core-to-core-latency)"
    )
    ahead_note = "a guess: line_ahead times what line_far is of line"
    return {
        "line_far": _Found(line * _LINE_FAR_FACTOR, note, is_guess=True),
        "line_ahead_far": _Found(ahead * _LINE_FAR_FACTOR, ahead_note, is_guess=True),
    }


# --------------------------------------------------------------------- what grows with ranges


@dataclass(frozen=True)
class Curve:
    """A cost in ns by the number of ranges."""

    points: tuple[tuple[int, float], ...]

    def far(self, near: float, kept: int) -> float:
        """Cost from memory with which the formula meets the largest number of ranges."""
        ranges, cost = self.points[-1]
        beyond = max(0, ranges - kept) / ranges
        return max(near, near + (cost - near) / beyond) if beyond else near

    def near(self) -> float:
        """Cost in the CPU's cache: that of trees that certainly fit."""
        return statistics.median(cost for ranges, cost in self.points if ranges <= _SURELY_KEPT)

    def deviations(self, kept: int) -> list[float]:
        """Logarithms of formula / measured, point by point."""
        near = self.near()
        far = self.far(near, kept)
        return [math.log(mixed(near, far, kept, ranges) / cost) for ranges, cost in self.points]


#: Records of so many ranges, 64 bytes each, are in any CPU's second-level cache.
_SURELY_KEPT: Final = 4096


def mixed(near: float, far: float, kept: int, ranges: int) -> float:
    """The machine's formula: what does not fit into the cache comes from memory."""
    return near + (far - near) * max(0, ranges - kept) / ranges


def _curve(parts: Mapping[str, float], part: str) -> Curve:
    named = re.compile(rf"^{part} (\d+)$")
    found = ((named.match(name), cost) for name, cost in parts.items())
    return Curve(tuple(sorted((int(match[1]), cost) for match, cost in found if match)))


def _ranges_kept(curves: Sequence[Curve]) -> int:
    """The number in the CPU's cache with which the formula is closest to all curves."""
    sizes = [ranges for ranges, _ in curves[0].points[:-1]]
    candidates = [step * size // 4 for size in sizes for step in (4, 5, 6, 7)]

    def squares(kept: int) -> float:
        return sum(off * off for curve in curves for off in curve.deviations(kept))

    return min(candidates, key=squares)


def _of_tree(parts: Mapping[str, float]) -> dict[str, _Found]:
    records = {
        "tree_alloc": _Found(
            parts["link"],
            "memory for a record, and linking it into a red-black tree of 4 096"
            + _taken_over(parts, _RECORDS_TAKEN),
        ),
        "tree_free": _Found(parts["unlink"], "unlinking a record of the same tree and freeing it"),
    }
    steps, look_ups = _curve(parts, "step"), _curve(parts, "look-up")
    if not steps.points:
        return records
    levels = Curve(tuple((ranges, ns / ranges.bit_length()) for ranges, ns in look_ups.points))
    kept = _ranges_kept((steps, levels))
    return {**records, **_of_curve("step", steps, kept), **_of_curve("level", levels, kept)} | {
        "tree_near": _Found(
            kept, "with which the machine's formula is closest to the measured steps and levels"
        )
    }


def _of_curve(what: str, curve: Curve, kept: int) -> dict[str, _Found]:
    near = curve.near()
    worst = max(math.exp(abs(off)) for off in curve.deviations(kept))
    told = ", ".join(f"{cost:.1f} of {ranges}" for ranges, cost in curve.points[::3])
    per = {
        "step": "a walk downwards in a red-black tree whose 64-byte records lie scattered",
        "level": "look-ups of random ranges in the same trees, by levels of a balanced tree",
    }[what]
    return {
        f"tree_{what}": _Found(near, f"{per}: median of trees of up to {_SURELY_KEPT} ranges"),
        f"tree_{what}_far": _Found(
            curve.far(near, kept),
            f"{per}, of {curve.points[-1][0]} ranges. Measured, ns: {told} ranges; the machine's "
            f"formula is off by a factor of {worst:.2f} at worst",
        ),
    }


# --------------------------------------------------------------------------- provenance


def _told(prices: Prices) -> str:
    width = max(map(len, PRICE_NAMES))
    lines = []
    for name, value in prices.as_dict().items():
        told = f"{value} ranges" if name == "tree_near" else f"{value / _PS:.2f} ns"
        guess = "  (guess)" if name in prices.guesses else ""
        lines.append(f"{name:<{width}}  {told:>14}{guess}")
    return "\n".join(lines)


def provenance(rounds: int) -> dict[str, str]:
    """Whose prices they are, for the head of a price file."""
    return {
        "host": machine(),
        "cpus": _topology(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "method": f"python -m benchmarks calibrate: medians of {rounds} interleaved rounds",
    }


def _topology() -> str:
    """What the host says of its CPUs 0 and 1, between which lines were measured."""
    system = Path("/sys/devices/system")
    cores = {
        _first_line(system / "cpu" / f"cpu{cpu}" / "topology" / "thread_siblings_list")
        for cpu in (0, 1)
    }
    nodes = _first_line(system / "node" / "online")
    virtual = _first_line(Path("/proc/cpuinfo"), r"^flags\s*:.*\bhypervisor\b")
    return (
        f"CPUs 0 and 1 are {'two cores' if len(cores) > 1 else 'one core'}, NUMA nodes: {nodes}; "
        f"{'virtual: this is what the hypervisor says' if virtual else 'not virtual'}"
    )


def _first_line(path: Path, pattern: str = r"^.*") -> str:
    found = re.search(pattern, path.read_text(), re.M) if path.exists() else None
    return found[0] if found else ""
