"""Which size class a depot worker belongs to, from where it lies in memory.

A domain's rcaches stand in one array, and each holds its worker: so a domain has at most six
workers, at a fixed stride, in the order of their size classes. A run that empties a magazine tells
its worker's class by the size of what it removes. From there the others follow, once the stride is
known:

- from two workers of known class in one domain;
- else from the distances alone: they are multiples of the stride, five at most, so where some
  domain's workers span three times the greatest common divisor of all distances or more, no smaller
  stride is possible;
- else from the recorder, which fetched the depot lengths at that stride.

The arrays are of one size and come from the kernel's slabs of a power of two, so that all of them
start at the same offset from a multiple of it. A domain of which no class is known gets its classes
from that, if every worker of the trace fits.

What cannot be known stays None.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from iova.events import DEPOT_CLASSES

#: The workers of one domain: (address, order); a negative order is not known.
Works = Sequence[tuple[int, int]]

_LAST = DEPOT_CLASSES - 1


@dataclass(frozen=True)
class WorkClasses:
    """The order (log2 of pages) of each domain's workers, None where it is not known."""

    orders: tuple[tuple[int | None, ...], ...]
    by_alignment: int = 0  #: workers whose class was inferred from the alignment of their array


def classes_of_works(domains: Sequence[Works], stride_hint: int | None = None) -> WorkClasses:
    """Work out the size class of every depot worker of a trace.

    Args:
        domains: for each domain, its workers.
        stride_hint: bytes between rcaches as the recorder knew it.
    """
    stride = _stride_of(domains) or stride_hint
    bases = [_base_of(works, stride) for works in domains]
    aligned = _bases_by_alignment(domains, bases, stride)
    orders = tuple(
        tuple(_order(work, base, stride) for work in works)
        for works, base in zip(domains, aligned, strict=True)
    )
    inferred = sum(
        len(works)
        for works, before, after in zip(domains, bases, aligned, strict=True)
        if before is None and after is not None
    )
    return WorkClasses(orders, inferred)


def _order(work: tuple[int, int], base: int | None, stride: int | None) -> int | None:
    address, order = work
    if order >= 0:
        return order
    if order < -1 or base is None:
        return None
    if address == base:
        return 0
    return _steps(address - base, stride)


def _steps(distance: int, stride: int | None) -> int | None:
    """The distance in strides, if it is a whole number of at most five."""
    if stride is None or distance % stride or not 0 <= distance <= _LAST * stride:
        return None
    return distance // stride


def _stride_of(domains: Sequence[Works]) -> int | None:
    return _stride_of_known(domains) or _stride_of_distances(domains)


def _stride_of_known(domains: Sequence[Works]) -> int | None:
    found = set()
    for works in domains:
        known = [work for work in works if work[1] >= 0]
        for (a, a_order), (b, b_order) in itertools.combinations(known, 2):
            if a_order == b_order:
                return None
            found.add((b - a) / (b_order - a_order))
    stride = found.pop() if len(found) == 1 else 0.0
    return int(stride) if stride > 0 and stride.is_integer() else None


def _stride_of_distances(domains: Sequence[Works]) -> int | None:
    spans = []
    divisor = 0
    for works in domains:
        addresses = sorted(address for address, _ in works)
        spans.append(addresses[-1] - addresses[0] if addresses else 0)
        for address in addresses[1:]:
            divisor = math.gcd(divisor, address - addresses[0])
    if divisor == 0 or max(spans) > _LAST * divisor:
        return None
    return divisor if max(spans) >= 3 * divisor else None


def _base_of(works: Works, stride: int | None) -> int | None:
    """Where the domain's class 0 has its worker, if one class or both ends are known."""
    if any(order < -1 for _, order in works):
        return None
    bases = {
        address - order * (stride or 0)
        for address, order in works
        if order == 0 or (order > 0 and stride)
    }
    if len(bases) > 1:
        return None
    addresses = [address for address, _ in works]
    if not bases and stride and addresses and max(addresses) - min(addresses) == _LAST * stride:
        bases.add(min(addresses))
    base = bases.pop() if bases else None
    if base is not None and stride and any(_steps(a - base, stride) is None for a in addresses):
        return None
    return base


def _bases_by_alignment(
    domains: Sequence[Works], bases: Sequence[int | None], stride: int | None
) -> list[int | None]:
    """Fill in the bases that are not known, if all that are known share their offset."""
    if stride is None:
        return list(bases)
    slab = 1 << (DEPOT_CLASSES * stride - 1).bit_length()
    offsets = {base % slab for base in bases if base is not None}
    if len(offsets) != 1:
        return list(bases)
    offset = offsets.pop()
    filled = []
    for works, base in zip(domains, bases, strict=True):
        if base is not None or not works:
            filled.append(base)
            continue
        candidates = {address - (address - offset) % slab for address, _ in works}
        candidate = candidates.pop()
        if candidates or any(_steps(a - candidate, stride) is None for a, _ in works):
            return list(bases)
        filled.append(candidate)
    return filled
