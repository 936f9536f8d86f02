"""``iova verify`` for a trace recorded from a kernel: does the allocator give out what it did?

The order in which overlapping calls took effect is not in a trace. It is chosen so that the
recorded addresses come out, if there is such an order at all (:mod:`iova.lab.order`), separately
for each cache and each domain's tree. Then the calls are carried out from the start in that order,
on the allocator itself, and what it hands out is compared with the recorded addresses. Only that
counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import polars as pl

from iova._core import RawDomain
from iova.errors import InputError
from iova.events import DOMAIN_SOURCE, Op, Trace
from iova.lab.chains import prepared, tie_domain
from iova.lab.merge import CacheOrder, merge
from iova.lab.order import Budget, Interval, Order, find_order
from iova.lab.order_cache import CacheState
from iova.lab.order_tree import TreeState
from iova.lab.points import CacheChain, DomainPoints, Problem, TreeChain
from iova.lab.replay_steps import Replay, calls_of, name_of
from iova.lab.timestamps import right_at_deadlines
from iova.workloads.events import MACHINE_SOURCE

Progress = Callable[[int, int, str], None]

#: Repairs of the order that are allowed: one call in a thousand, or this many in a short trace.
FEWEST_REPAIRS: Final = 10
CALLS_PER_REPAIR: Final = 1000
#: Different CPUs in one domain, which bound the memory of its caches.
MOST_CPUS: Final = 8192


@dataclass(frozen=True)
class _Rules:
    """What a design changes in a recorded order."""

    depot_bound: int | None
    reclaims: bool


_DESIGNS: Final = {
    "linux-6.1": _Rules(depot_bound=32, reclaims=False),
    "unbounded": _Rules(depot_bound=None, reclaims=False),
    "linux-6.12": _Rules(depot_bound=None, reclaims=True),
    "linux-7.3": _Rules(depot_bound=None, reclaims=True),
}


@dataclass(frozen=True)
class TraceVerdict:
    """How many recorded addresses the allocator gives out too."""

    design: str  #: under which it was predicted
    total: int  #: allocations whose result was recorded
    exact: int  #: that got their recorded result in the replay
    by_timestamps: int  #: that get it if every point is at its deadline, with no search
    repaired: int  #: places at which the order of the deadlines had to be changed
    longest_window: int  #: points that one such change moved, at most
    state_before: int  #: allocations of domains whose beginning is not in the trace
    unexplained: int  #: other results, and magazines or rows that contradict the replay
    calls: int  #: allocations and frees
    first: Problem | None = None  #: the earliest that is unexplained

    @property
    def explained(self) -> bool:
        """Whether the trace is as the design has it."""
        return self.unexplained == 0

    def line(self) -> str:
        """The verdict in one line."""
        return (
            f"exact {self.exact} of {self.total}; by timestamps alone {self.by_timestamps}; "
            f"repaired {self.repaired} (longest window {self.longest_window}); "
            f"state before the trace {self.state_before}; unexplained {self.unexplained}"
        )


def design_of(kernel: str | None, source: str) -> str:
    """Name the design of a kernel release such as ``6.12.117+deb12-amd64``.

    Raises:
        InputError: the release is unknown or cannot be read.
    """
    match = re.match(r"(\d{1,4})\.(\d{1,4})", kernel or "")
    if match is None:
        problem = (
            "the trace does not say which kernel it is from"
            if not kernel
            else (f"cannot read the kernel release {kernel[:80]!r}")
        )
        raise InputError(source, problem + ".", hint="Give the design with --design.")
    version = (int(match[1]), int(match[2]))
    if version < (6, 7):
        return "linux-6.1"
    return "linux-6.12" if version < (7, 3) else "linux-7.3"


def verify_trace(
    trace: Trace, *, design: str | None = None, source: str = "-", progress: Progress | None = None
) -> TraceVerdict:
    """Predict every address of a recorded trace.

    Args:
        trace: events of a kernel, with what was seen inside the calls.
        design: the design to replay under; None: that of the recorded kernel.
        source: the trace's name in errors.
        progress: told ``(done, total, what)`` now and then; ``total`` is in events.

    Raises:
        InputError: it is no kernel's trace, the design is not known or cannot be verified, or a
            domain is out of bounds.
    """
    if trace.info.source == DOMAIN_SOURCE:
        raise InputError(
            source,
            "this is what a live domain recorded, which says nothing of its inside.",
            hint="Replay it with `iova compare`.",
        )
    if trace.info.source == MACHINE_SOURCE:
        raise InputError(
            source,
            "this was generated from a workload, not recorded: its addresses are this allocator's"
            " own.",
            hint="Replay it with `iova compare`.",
        )
    name = design_of(trace.info.kernel, source) if design is None else design
    if name not in _DESIGNS:
        raise InputError(
            source,
            f"addresses of a kernel cannot be predicted with the design {name!r}.",
            hint="Give one of these with --design: " + ", ".join(_DESIGNS) + ".",
        )
    return _Verification(trace, name, source, progress).verdict()


#: Passes over a domain's rows: tying, deadlines, order, replay.
_STAGES: Final = 4


class _Verification:
    """One run over a trace, domain by domain."""

    def __init__(self, trace: Trace, design: str, source: str, progress: Progress | None) -> None:
        self._design = design
        self._rules = _DESIGNS[design]
        self._source = source
        self._progress = progress
        self._done = 0
        self._known = {info.domain: info for info in trace.info.domains}
        self._rows = prepared(trace.events)
        self._calls = calls_of(trace.events, self._rows)
        is_call = pl.col("op").is_in([int(Op.ALLOC), int(Op.FREE)])
        self._number_of_calls = self._rows.filter(is_call).height
        self._budget = Budget(max(FEWEST_REPAIRS, self._number_of_calls // CALLS_PER_REPAIR))
        self._total = self._exact = self._by_timestamps = self._state_before = 0
        self._repaired = self._longest_window = 0
        self._problems: list[Problem] = []

    def verdict(self) -> TraceVerdict:
        for rows in self._rows.partition_by("domain", maintain_order=True):
            returned = (pl.col("op") == int(Op.ALLOC)) & pl.col("t_end").is_not_null()
            allocs = rows.filter(returned)["row"].to_list()
            self._total += len(allocs)
            info = self._known.get(int(rows["domain"].item(0)))
            if (
                info is None
                or not info.born
                or rows.filter(pl.col("op") == int(Op.CREATE)).is_empty()
            ):
                self._state_before += len(allocs)
                self._advance(rows.height * _STAGES, "skipping")
            else:
                self._verify(rows, info.granule, allocs)
        return TraceVerdict(
            design=self._design,
            total=self._total,
            exact=self._exact,
            by_timestamps=self._by_timestamps,
            repaired=self._repaired,
            longest_window=self._longest_window,
            state_before=self._state_before,
            unexplained=len(self._problems),
            calls=self._number_of_calls,
            first=min(self._problems, key=lambda problem: problem.row, default=None),
        )

    def _verify(self, rows: pl.DataFrame, granule: int, allocs: list[int]) -> None:
        points = tie_domain(rows)
        self._check_bounds(points, granule)
        make = partial(RawDomain, granule=granule, start=points.start)
        self._problems += points.problems
        self._advance(rows.height, "ordering")
        fresh = [self._cache(points, chain) for chain in points.caches]
        plain = make()
        self._by_timestamps += right_at_deadlines(points, fresh, plain)
        plain.destroy()
        self._advance(rows.height, "ordering")
        caches = [self._order_of_cache(points, chain) for chain in points.caches]
        state = TreeState(points.tree, points.drains, make, self._budget)
        tree = self._found(find_order(state, _interval(points.tree), self._budget))
        state.close()
        steps = merge(points, caches, tree.points, self._calls.alloc_of)
        self._advance(rows.height, "replaying")
        allocator = make(possible=max(1, len(points.cpus)), design=self._design)
        allocator.make_caches()
        replay = Replay(
            points.domain, allocator, self._calls, points.drains, reclaims=self._rules.reclaims
        )
        replay.run(steps)
        allocator.destroy()
        self._problems += replay.problems
        self._compare(points.domain, allocs, replay.got)
        self._advance(rows.height, "replaying")

    def _check_bounds(self, points: DomainPoints, granule: int) -> None:
        if len(points.cpus) > MOST_CPUS:
            raise InputError(
                self._source,
                f"domain {points.domain} is used on {len(points.cpus)} CPUs.",
                hint=f"At most {MOST_CPUS} can be verified.",
            )
        if not 1 <= granule <= 4096 or granule & (granule - 1):
            raise InputError(
                self._source,
                f"domain {points.domain} has a granule of {granule} bytes.",
                hint="It must be a power of two up to 4096.",
            )

    def _cache(self, points: DomainPoints, chain: CacheChain) -> CacheState:
        return CacheState(
            chain,
            points.drains,
            len(points.cpus),
            depot_bound=self._rules.depot_bound,
            reclaims=self._rules.reclaims,
        )

    def _order_of_cache(self, points: DomainPoints, chain: CacheChain) -> CacheOrder:
        state = self._cache(points, chain)
        order = self._found(find_order(state, _interval(chain), self._budget))
        return CacheOrder(chain, order.points, state.pushes())

    def _found(self, order: Order) -> Order:
        self._repaired += order.repaired
        self._longest_window = max(self._longest_window, order.longest_window)
        return order

    def _compare(self, domain: int, allocs: list[int], got: dict[int, int]) -> None:
        calls = self._calls
        for row in allocs:
            pfn = got.get(row)
            if pfn == calls.pfn[row]:
                self._exact += 1
            else:
                text = "no place in the order" if pfn is None else name_of(pfn)
                where = (calls.cpu[row], calls.t[row])
                self._problems.append(Problem(row, domain, *where, name_of(calls.pfn[row]), text))

    def _advance(self, rows: int, what: str) -> None:
        self._done += rows
        if self._progress is not None:
            self._progress(self._done, self._rows.height * _STAGES, what)


def _interval(chain: CacheChain | TreeChain) -> Interval:
    return Interval(chain.cpu, chain.entry, chain.end)
