"""The live domain from Python, beside a list and the allocators that PyPI has."""

from __future__ import annotations

import gc
import importlib
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

import iova
from benchmarks.figures import Report, Series, Verdict, at_least, at_most
from benchmarks.peers import install_python

UNCHECKED = "iova.Domain, unchecked"
CHECKED = "iova.Domain, checked"
LIST = "a list used as a free list"
SLICES = "a list, by slices"
TLSF = "tlsfallocator"
TINYGRAD = "tinygrad's TLSF allocator"
LOOP = "the loop alone"
PEERS = (TLSF, SLICES)

PAIRS = "pairs"
RANDOM = "4096 live, random"
BATCHES = "batches of 1024, a range"

_PAGE = 4096
_LIVE = 4096
_BATCH = 1024
#: Operations of one pass over the live ranges; whole batches too.
_UNIT = 2 * _LIVE

#: Performs so many operations, a multiple of _UNIT, of a contender under a pattern.
Work = Callable[[int], object]


@dataclass(frozen=True)
class _Contender:
    pattern: str
    name: str
    work: Work


def measure(rounds: int, quick: bool) -> Report:
    """Run all contenders in turn, round after round, pinned to one CPU."""
    notes = install_python()
    operations = (3 if quick else 50) * _UNIT
    with _undisturbed():
        contenders = _contenders()
        for one in contenders:
            one.work(2 * _UNIT)
        values: dict[tuple[str, str], list[float]] = {(c.pattern, c.name): [] for c in contenders}
        for _ in range(rounds):
            for one in contenders:
                values[one.pattern, one.name].append(_ns(one, operations))
    series = tuple(Series(*key, "ns", tuple(found)) for key, found in values.items())
    report = Report("live-python: ns an allocation or free", series)
    return Report(report.name, series, _verdicts(report), notes)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """On one CPU, and without garbage collection."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.sched_setaffinity(0, cpus)


def _ns(contender: _Contender, operations: int) -> float:
    """Processor time of this thread: what others do on the CPU is not in it."""
    began = time.thread_time_ns()
    contender.work(operations)
    return (time.thread_time_ns() - began) / operations


# -------------------------------------------------------------------------- contenders


def _contenders() -> list[_Contender]:
    victims = [random.Random(1).randrange(_LIVE) for _ in range(_LIVE)]
    found = [
        *_of_domain(CHECKED, iova.Domain(checked=True), victims),
        *_of_domain(UNCHECKED, iova.Domain(checked=False), victims),
        *_of_list(victims),
        *_of_tlsf(victims),
        *_of_tinygrad(victims),
        _Contender(PAIRS, LOOP, _loop_pairs),
        _Contender(RANDOM, LOOP, _loop_random(victims)),
    ]
    patterns = (PAIRS, RANDOM, BATCHES)
    return sorted(found, key=lambda contender: patterns.index(contender.pattern))


def _of_domain(name: str, domain: iova.Domain, victims: Sequence[int]) -> list[_Contender]:
    alloc, free = domain.alloc, domain.free
    alloc_many, free_many = domain.alloc_many, domain.free_many
    live = [alloc(_PAGE) for _ in range(_LIVE)]
    batch = np.empty(_BATCH, np.uint64)

    def pairs(operations: int) -> None:
        for _ in repeat(None, operations // 2):
            address = alloc(_PAGE)
            free(address, _PAGE)

    def replace(operations: int) -> None:
        for _ in repeat(None, operations // (2 * len(victims))):
            for i in victims:
                free(live[i], _PAGE)
                live[i] = alloc(_PAGE)

    def batches(operations: int) -> None:
        for _ in repeat(None, operations // (2 * _BATCH)):
            alloc_many(_BATCH, _PAGE, batch)
            free_many(batch, _PAGE)

    return _three(name, pairs, replace, batches)


def _of_list(victims: Sequence[int]) -> list[_Contender]:
    free_list = [_PAGE * i for i in range(2 * _LIVE)]
    pop, append = free_list.pop, free_list.append
    live = [pop() for _ in range(_LIVE)]

    def pairs(operations: int) -> None:
        for _ in repeat(None, operations // 2):
            address = pop()
            append(address)

    def replace(operations: int) -> None:
        for _ in repeat(None, operations // (2 * len(victims))):
            for i in victims:
                append(live[i])
                live[i] = pop()

    def batches(operations: int) -> None:
        for _ in repeat(None, operations // (2 * _BATCH)):
            batch = free_list[-_BATCH:]
            del free_list[-_BATCH:]
            free_list.extend(batch)

    return [
        _Contender(PAIRS, LIST, pairs),
        _Contender(RANDOM, LIST, replace),
        _Contender(BATCHES, SLICES, batches),
    ]


def _of_tlsf(victims: Sequence[int]) -> list[_Contender]:
    """It works on 32-bit offsets, so it is asked for one page frame."""
    module = _imported("TLSFAllocator")
    if module is None:
        return []
    allocator = module.OffsetAllocator(1 << 20, 4 * _LIVE)
    return _one_argument(TLSF, allocator.allocate, allocator.free, 1, victims)


def _of_tinygrad(victims: Sequence[int]) -> list[_Contender]:
    module = _imported("tinygrad.runtime.support.memory")
    if module is None:
        return []
    allocator = module.TLSFAllocator(1 << 48, block_size=_PAGE)
    return _one_argument(TINYGRAD, allocator.alloc, allocator.free, _PAGE, victims)


def _one_argument(
    name: str,
    alloc: Callable[[int], Any],
    free: Callable[[Any], object],
    size: int,
    victims: Sequence[int],
) -> list[_Contender]:
    """Of an allocator whose free takes what its alloc gave, and nothing else."""
    live = [alloc(size) for _ in range(_LIVE)]

    def pairs(operations: int) -> None:
        for _ in repeat(None, operations // 2):
            address = alloc(size)
            free(address)

    def replace(operations: int) -> None:
        for _ in repeat(None, operations // (2 * len(victims))):
            for i in victims:
                free(live[i])
                live[i] = alloc(size)

    return [_Contender(PAIRS, name, pairs), _Contender(RANDOM, name, replace)]


def _three(name: str, pairs: Work, replace: Work, batches: Work) -> list[_Contender]:
    works = {PAIRS: pairs, RANDOM: replace, BATCHES: batches}
    return [_Contender(pattern, name, work) for pattern, work in works.items()]


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def _loop_pairs(operations: int) -> None:
    for _ in repeat(None, operations // 2):
        address = _PAGE  # noqa: F841


def _loop_random(victims: Sequence[int]) -> Work:
    live = [0] * _LIVE

    def replace(operations: int) -> None:
        for _ in repeat(None, operations // (2 * len(victims))):
            for i in victims:
                address = live[i]
                live[i] = address

    return replace


# ------------------------------------------------------------------------------- goals


def _verdicts(report: Report) -> tuple[Verdict, ...]:
    unchecked, checked = report.find(PAIRS, UNCHECKED), report.find(PAIRS, CHECKED)
    found = [
        at_most(f"{PAIRS}: {UNCHECKED}, ns", unchecked.median, 25),
        at_most(f"{PAIRS}: {CHECKED}, ns", checked.median, 40),
        at_most(f"{BATCHES}: {UNCHECKED}, ns", report.find(BATCHES, UNCHECKED).median, 0.6),
        at_most(f"{BATCHES}: {CHECKED}, ns", report.find(BATCHES, CHECKED).median, 1.0),
    ]
    if any(s.contender == TLSF for s in report.series):
        for own in (unchecked, checked):
            ratio = report.find(PAIRS, TLSF).over(own)
            found.append(at_least(f"{PAIRS}: {TLSF} / {own.contender}", ratio, 5))
    return tuple(found)
