"""One domain's tree as the order search sees it: the allocator's own, with every step undoable.

The allocator cannot go back, so a step is taken back by building a new tree and repeating the steps
before it. That happens for repairs only, when the next step is executed, and is charged to the
search's budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iova._core import RawDomain
from iova.lab.order import Budget
from iova.lab.points import ANYTHING, FAILED, INSERT, REMOVE, RESERVE, Drain, TreeChain


class TreeState:
    """The tree of one domain.

    Args:
        chain: the points that :meth:`execute` takes, by index.
        drains: the domain's magazines that were emptied.
        make: makes an empty domain.
        budget: charged for steps that are repeated.
    """

    def __init__(
        self,
        chain: TreeChain,
        drains: list[Drain],
        make: Callable[[], RawDomain],
        budget: Budget,
    ) -> None:
        self._chain = chain
        self._drains = drains
        self._make = make
        self._budget = budget
        self._tree = make()
        self._steps: list[int] = []
        self._stale = False
        self._got: int | None = None

    shows_late: Final = False  #: nearly always the next insert tells

    def execute(self, point: int) -> bool:
        """Execute a point; whether it gave its recorded result."""
        if self._stale:
            self._rebuild()
        self._steps.append(point)
        return self._carry_out(point)

    def undo(self) -> bool:
        """Take back the last step. True: the order of any two steps in a tree may matter."""
        self._steps.pop()
        self._stale = True
        return True

    def gave(self, point: int) -> bool:
        """See :class:`iova.lab.order.State`."""
        return self._got is not None and self._chain.pfn[point] == self._got

    def close(self) -> None:
        """Free the tree's memory; nothing may follow."""
        self._tree.destroy()

    def _rebuild(self) -> None:
        self._budget.executions -= len(self._steps)
        self._tree.destroy()
        self._tree = self._make()
        for point in self._steps:
            self._carry_out(point)
        self._stale = False

    def _carry_out(self, point: int) -> bool:
        chain, tree = self._chain, self._tree
        kind, pfn = chain.kind[point], chain.pfn[point]
        self._got = None
        if kind == INSERT:
            got = tree.alloc_raw(chain.size[point], chain.limit[point], chain.align[point])
            self._got = got
            return got == pfn or (pfn == ANYTHING and got != FAILED)
        if kind == RESERVE:
            tree.reserve(pfn, chain.last[point])
            return True
        leaving = [pfn] if kind == REMOVE else self._drains[chain.drain[point]].pfns
        known = [tree.find(one) is not None for one in leaving]
        for one in leaving:
            tree.free_raw(one)
        return all(known)
