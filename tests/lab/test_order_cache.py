"""The order in which overlapping calls reached a depot, where it shows only much later."""

from __future__ import annotations

import pytest

from iova.lab.order import Budget, Interval, Order, find_order
from iova.lab.order_cache import CacheState
from iova.lab.points import HIT, PUT, CacheChain

CAPACITY = 3
#: Of one CPU, so many that its seventh gives a full magazine to the depot.
FILLED = 2 * CAPACITY
ANY = 1 << 40


class Calls:
    """A chain in the making; calls are put in the order of their deadlines."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.now = 0

    def add(self, kind: int, cpu: int, pfn: int, *, entry: int | None = None) -> None:
        self.now += 10
        self.rows.append((self.now, entry or self.now - 5, kind, cpu, pfn))

    def fill(self, cpu: int) -> None:
        for k in range(FILLED):
            self.add(PUT, cpu, 100 * (cpu + 1) + k)

    def chain(self) -> CacheChain:
        rows = sorted(self.rows)
        end, entry, kind, cpu, pfn = (list(column) for column in zip(*rows, strict=True))
        count = len(rows)
        return CacheChain(
            0, kind, cpu, pfn, [ANY] * count, entry, end, list(range(count)), [-1] * count
        )


def order_of(calls: Calls) -> Order:
    chain = calls.chain()
    state = CacheState(chain, [], 4, capacity=CAPACITY)
    return find_order(state, Interval(chain.cpu, chain.entry, chain.end), Budget(repairs=4))


@pytest.mark.parametrize("between", [0, 1000])
@pytest.mark.parametrize("overlap", [True, False])
def test_magazines_that_were_put_on_the_depot_at_once_may_lie_either_way(
    between: int, overlap: bool
) -> None:
    calls = Calls()
    calls.fill(0)
    calls.fill(1)
    began = calls.now
    calls.add(PUT, 1, 999)
    calls.add(PUT, 0, 998, entry=began + 1 if overlap else None)
    for _ in range(between):
        calls.add(PUT, 2, 997)
        calls.add(HIT, 2, 997)
    # What CPU 1 gave away lies on top, though its call returned first. A CPU's later magazine is
    # loaded when its earlier one goes to the depot, which is the second half of its first six.
    given_first = 100 * 2 + FILLED - 1
    calls.add(HIT, 3, given_first)
    order = order_of(calls)
    assert (order.failed == []) is overlap
    assert order.repaired == overlap
