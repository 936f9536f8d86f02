"""How long the tree's lock is held while surplus magazines are emptied."""

from __future__ import annotations

from benchmarks.build import program
from benchmarks.figures import Report, collect

WHOLE = "whole magazine"
PEERS = (WHOLE,)

_LIVE, _MAGAZINES = 200_000, 500


def measure(rounds: int, quick: bool) -> Report:
    """Reclaim magazines of scattered ranges, all in one hold each and in batches."""
    built = program("bench_holds", "bench_holds.c")
    shrink = 10 if quick else 1
    rows = built.run(rounds, _LIVE // shrink, _MAGAZINES // shrink)
    return Report("live-holds: ns of a hold of the tree's lock", collect(rows, "ns"))
