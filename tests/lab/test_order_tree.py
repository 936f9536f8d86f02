"""The order in which overlapping calls reached a tree, where undoing a step costs all before it."""

from __future__ import annotations

from functools import partial

import pytest

from iova._core import RawDomain
from iova.lab.order import Budget, Interval, Order, find_order
from iova.lab.order_tree import TreeState
from iova.lab.points import INSERT, TreeChain

TOP = 0xFFFFF
COUNT = 6000


def chain_of(late: dict[int, int], *, swapped: tuple[int, int] | None = None) -> TreeChain:
    """So many allocations of a page, one below the other, of which some return late.

    Args:
        late: by allocation, after how many others it returns.
        swapped: two whose addresses are exchanged, so that no order explains them.
    """
    pfns = [TOP - k for k in range(COUNT)]
    if swapped:
        a, b = swapped
        pfns[a], pfns[b] = pfns[b], pfns[a]
    ends = [10 * k + 5 + 10 * late.get(k, 0) for k in range(COUNT)]
    chain = TreeChain()
    for row in sorted(range(COUNT), key=ends.__getitem__):
        chain.kind.append(INSERT)
        chain.cpu.append(row % 8)
        chain.pfn.append(pfns[row])
        chain.last.append(0)
        chain.size.append(1)
        chain.limit.append(TOP)
        chain.align.append(True)
        chain.raw.append(False)
        chain.entry.append(10 * row)
        chain.end.append(ends[row])
        chain.row.append(row)
        chain.drain.append(-1)
    return chain


def order_of(chain: TreeChain, budget: Budget) -> Order:
    make = partial(RawDomain, granule=4096, start=1)
    state = TreeState(chain, [], make, budget)
    try:
        return find_order(state, Interval(chain.cpu, chain.entry, chain.end), budget)
    finally:
        state.close()


@pytest.mark.parametrize("crowd", [1, 2, 3, 7])
def test_calls_that_waited_for_thousands_of_others_are_put_in_their_places(crowd: int) -> None:
    """As on a busy host, where CPUs of a guest spin for a second and then return out of order."""
    first = 3000
    late = {first + k: 2500 - 100 * k for k in range(crowd)}
    chain = chain_of(late)
    budget = Budget(repairs=4)
    order = order_of(chain, budget)
    assert order.failed == []
    assert [chain.row[point] for point in order.points] == list(range(COUNT))
    assert order.repaired == 1
    spent = Budget(repairs=4).executions - budget.executions
    assert spent < (crowd + 2) * COUNT


def test_addresses_that_no_order_explains_are_told() -> None:
    order = order_of(chain_of({3000: 2500, 3001: 2400}, swapped=(3000, 3500)), Budget(repairs=4))
    assert order.failed
