"""What can be measured about a trace for ``explain``: ranges' lives, the caches' work, prices.

Facts are computed when a cause asks for them, and once. Everything comes from the event table
and from replays of it, so a preset and the trace file made of it give the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from iova import _core
from iova.designs import DesignSpec, parse_design
from iova.errors import IovaError
from iova.events import NO_SLOT, Flag, Op, Trace
from iova.lab.prices import Prices
from iova.lab.replay import Progress, ReplayInput, ReplayResult, prepare, replay

#: Rows of the time series in which ageing is looked for.
_SAMPLES: Final = 64
#: Bytes of an entry of a magazine; its head takes as much as one.
_ENTRY_BYTES: Final = 8
_LINE_BYTES: Final = 64
#: Most size classes that caches may have.
_MOST_CLASSES: Final = 10

#: A range is stuck if it has lived this many times as long as all but one in a thousand of those
#: that were freed. Of lives spread like an exponential one in 10**15 is so long.
PATIENCE: Final = 5.0
_USUAL_LIFE: Final = 0.999

#: The share of all calls that "these CPUs do" covers: a stray call makes no CPU one of them.
MOST_CALLS: Final = 0.95

#: A ring of the flush queue is emptied, or lost, as a whole.
RING: Final = 256
#: The flush queue's timer frees what was unmapped within 10 ms. What is unmapped and not free a
#: hundred times as long after will not be freed.
FLUSHED_NS: Final = 1_000_000_000

_ALLOC = pl.col("op") == int(Op.ALLOC)
_FREE = pl.col("op") == int(Op.FREE)


@dataclass(frozen=True)
class Facts:
    """A trace, the design it ran under, and what follows from both.

    Attributes:
        trace: what was recorded or generated; of one domain, where the user chose one.
        design: the design of the recorded system, or the one a workload was run under.
        prices: what each step of a call costs, in picoseconds.
        machine_classes: size classes of the caches, unless the design has a say.
        progress: told while a replay runs.
    """

    trace: Trace
    design: DesignSpec
    prices: Prices
    machine_classes: int = 6
    progress: Progress | None = None

    # --------------------------------------------------------------------------- replays

    @cached_property
    def source(self) -> ReplayInput:
        """The calls, ready to be replayed."""
        return prepare(self.trace)

    @cached_property
    def result(self) -> ReplayResult:
        """What the caches did under the trace's own design, with a time series."""
        return self.replayed(samples=_SAMPLES)

    @cached_property
    def unbounded(self) -> ReplayResult:
        """The same calls with a depot that never overflows."""
        return self.replayed(replace(parse_design("unbounded"), options=self.design.options))

    @cached_property
    def widened(self) -> ReplayResult:
        """The same calls with caches for up to 512 pages."""
        others = tuple(pair for pair in self.design.options if pair[0] != "classes")
        return self.replayed(replace(self.design, options=(*others, ("classes", _MOST_CLASSES))))

    @cached_property
    def freed_at_home(self) -> ReplayResult:
        """The same calls, each range freed on the CPU that allocated it."""
        columns = dict(self.source.columns)
        columns["cpu"] = _home_cpus(columns)
        return self.replayed(source=replace(self.source, columns=columns))

    def replayed(
        self,
        design: DesignSpec | None = None,
        *,
        source: ReplayInput | None = None,
        samples: int = 0,
    ) -> ReplayResult:
        """Replay the calls; what is not given is the trace's own."""
        return replay(
            source or self.source,
            design or self.design,
            classes=self.machine_classes,
            samples=samples,
            progress=self.progress,
        )

    # ------------------------------------------------------------------------ the design

    @cached_property
    def mechanism(self) -> _core.Mechanism:
        """What the design makes of a domain."""
        return self.design.make().mechanism(self.source.possible, self.machine_classes)

    @property
    def classes(self) -> int:
        """Size classes of the caches."""
        return self.mechanism["classes"]

    @property
    def largest_cached(self) -> int:
        """Pages of the largest range that the caches hold."""
        return 1 << (self.classes - 1)

    @property
    def largest_cached_kib(self) -> int:
        """The same in KiB."""
        return self.largest_cached * self.granule() // 1024

    @property
    def magazine_bytes(self) -> int:
        """Memory of one magazine."""
        return (self.mechanism["magazine"] + 1) * _ENTRY_BYTES

    @cached_property
    def first_magazines(self) -> int:
        """Magazines a domain is born with."""
        domain = _core.RawDomain(
            possible=self.source.possible, design=self.design.make(), classes=self.classes
        )
        domain.make_caches()
        return domain.memory.magazines

    # ---------------------------------------------------------------------------- prices

    @cached_property
    def time_ns(self) -> float:
        """Estimated CPU time that the calls spent in the allocator."""
        return self.time_of(self.result)

    def time_of(self, result: ReplayResult) -> float:
        """Estimated CPU time of all calls of a replay, in ns."""
        return sum(self.time_of_counters(c, result) for c in (*result.classes, result.beyond))

    def time_of_counters(self, counters: Mapping[str, int], result: ReplayResult) -> float:
        """Estimated CPU time of what some of a replay's counters count, in ns; no waits."""
        p = self.prices
        ranges = int(result.totals["ranges_peak"])
        step = _mixed(p.tree_step, p.tree_step_far, p.tree_near, ranges)
        level = _mixed(p.tree_level, p.tree_level_far, p.tree_near, ranges)
        hits = sum(counters[f"hits_{where}"] for where in ("loaded", "previous", "depot"))
        tree_allocations = counters["tree_allocations"] + counters["failures"]
        picoseconds = (
            hits * p.alloc_hit
            + counters["puts"] * p.free_hit
            + (counters["pushed"] + counters["popped"]) * self.exchange_ps
            + tree_allocations * (p.alloc_hit + p.lock + p.line + p.tree_alloc)
            + counters["tree_steps"] * step
            + counters["tree_frees"] * (p.lock + p.line + p.tree_free + ranges.bit_length() * level)
        )
        return picoseconds / 1000

    @property
    def exchange_ps(self) -> int:
        """Price of a magazine that goes into the depot, or comes out of it on another CPU."""
        p = self.prices
        return p.depot + p.lock + p.line + self.magazine_bytes // _LINE_BYTES * p.line_ahead

    # ----------------------------------------------------------------------- ranges' lives

    @cached_property
    def ranges(self) -> pl.DataFrame:
        """One row for each range that was allocated, in the order of the calls.

        Columns: ``row``, ``t`` (of the return), ``cpu``, ``domain``, ``size``, ``pfn`` of the
        allocation; ``freed``, and ``free_row``, ``free_t``, ``free_cpu``, ``free_size`` of the
        free, null where there is none.
        """
        uses = (
            self.trace.events.select("t", "t_end", "cpu", "op", "domain", "size", "pfn", "slot")
            .with_row_index("row")
            .filter(((_ALLOC & pl.col("pfn").is_not_null()) | _FREE) & pl.col("slot").is_not_null())
            .sort("slot", "row")
            .with_columns(freed=_next_is_its_free())
            .with_columns(
                pl.when(pl.col("freed")).then(pl.col(name).shift(-1)).alias(f"free_{name}")
                for name in ("row", "t", "cpu", "size")
            )
        )
        return (
            uses.filter(_ALLOC)
            .with_columns(t=pl.max_horizontal("t", "t_end"))
            .drop("t_end", "op", "slot")
            .sort("row")
        )

    @cached_property
    def frees(self) -> pl.DataFrame:
        """All frees in the order of the calls: ``t``, ``t_end``, ``cpu``, ``domain``, ``size``."""
        return self.trace.events.filter(_FREE).select("t", "t_end", "cpu", "domain", "size")

    @property
    def first_ns(self) -> int:
        """Time of the first call."""
        return int(self.source.columns["t"][0])

    @property
    def last_ns(self) -> int:
        """Time of the last call."""
        return int(self.source.columns["t"][-1])

    @cached_property
    def patience_ns(self) -> float:
        """A range older than this would have been freed, going by those that were."""
        lives = (self.ranges["free_t"] - self.ranges["t"]).drop_nulls()
        return PATIENCE * float(lives.quantile(_USUAL_LIFE) or 0.0) if lives.len() else 0.0

    @cached_property
    def stuck(self) -> pl.DataFrame:
        """Ranges that are not freed, though by their age they would have been.

        Columns of ``ranges``; ``unmap_t`` and ``unmap_cpu``, null if no unmap of it was seen.
        """
        gone = pl.col("domain").is_in(self.destroyed)
        left = with_unmaps(self.ranges.filter(~pl.col("freed") & ~gone), self.trace.events)
        old = pl.col("t") < self.last_ns - self.patience_ns
        flushed = (pl.col("unmap_t") < self.last_ns - FLUSHED_NS).fill_null(False)
        return left.filter(old | flushed)

    @cached_property
    def tells_of_unmaps(self) -> bool:
        """Whether the trace has what drivers unmapped, beside what was freed."""
        return bool(self.trace.events.select((pl.col("op") == int(Op.UNMAP)).any()).item())

    @cached_property
    def destroyed(self) -> list[int]:
        """Domains that end within the trace: what they hold then is gone, not lost."""
        gone = self.trace.events.filter(pl.col("op") == int(Op.DESTROY))
        return [int(domain) for domain in gone["domain"].unique().to_list()]

    # -------------------------------------------------------------------------------- CPUs

    @cached_property
    def allocating_cpus(self) -> int:
        """CPUs that do 95 % of the allocations."""
        return busy_cpus(self.trace.events.filter(_ALLOC)["cpu"])

    # ---------------------------------------------------------------------- other measures

    @cached_property
    def tells_of_tree(self) -> bool:
        """Whether the trace itself says which allocations reached the tree."""
        reached = (pl.col("flags") & int(Flag.REACHED_TREE)) != 0
        return bool(self.trace.events.select(reached.any()).item())

    def granule(self, domain: int | None = None) -> int:
        """Bytes of a page of a domain, or of the first."""
        known = {info.domain: info.granule for info in self.trace.info.domains}
        return known.get(domain or 0, 4096)


def of_domain(trace: Trace, domain: int) -> Trace:
    """The calls of one domain, and what names none.

    Raises:
        IovaError: no call is of that domain.
    """
    its_own = pl.col("domain") == domain
    if not trace.events.select(its_own.any()).item():
        known = ", ".join(str(info.domain) for info in trace.info.domains) or "none"
        raise IovaError(f"the trace has no calls of domain {domain}; its domains: {known}")
    infos = tuple(info for info in trace.info.domains if info.domain == domain)
    events = trace.events.filter(its_own | pl.col("domain").is_null())
    return Trace(events, replace(trace.info, domains=infos))


def with_unmaps(ranges: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Add the first unmap of each range that is not freed: ``unmap_t``, ``unmap_cpu``, or nulls.

    An unmap names no domain. So only those count that no free of the same pages used up, and of
    ranges of several domains at the same pages the latest are taken to be unmapped.
    """
    pages = ["pfn", "last"]
    wanted = ranges.with_columns(last=pl.col("pfn") + pl.col("size") - 1)
    unmaps = events.filter(pl.col("op") == int(Op.UNMAP)).select(
        *pages, unmap_t="t", unmap_cpu="cpu", step=1
    )
    frees = events.filter(_FREE).select(
        "pfn", last=pl.col("pfn") + pl.col("size") - 1, unmap_t="t", unmap_cpu="cpu", step=-1
    )
    is_unmap = pl.col("step") > 0
    since = (
        pl.concat([unmaps, frees], how="vertical_relaxed")
        .join(wanted.select(*pages, "row", "t"), on=pages)
        .filter(pl.col("unmap_t") >= pl.col("t"))
        .sort("unmap_t", maintain_order=True)
        .group_by("row", *pages)
        .agg(
            excess=pl.col("step").sum(),
            unmap_t=pl.col("unmap_t").filter(is_unmap).first(),
            unmap_cpu=pl.col("unmap_cpu").filter(is_unmap).first(),
        )
        .filter(pl.col("excess") >= pl.col("row").rank("ordinal", descending=True).over(pages))
    )
    return wanted.join(since.drop("excess", *pages), on="row", how="left").sort("row")


def busy_cpus(cpus: pl.Series) -> int:
    """How few CPUs do 95 % of the calls whose CPUs are given."""
    if cpus.is_empty():
        return 0
    counts = np.sort(np.bincount(cpus.to_numpy()))[::-1]
    return int(np.searchsorted(np.cumsum(counts), MOST_CALLS * len(cpus))) + 1


def _next_is_its_free() -> pl.Expr:
    same = pl.col("slot").shift(-1) == pl.col("slot")
    return ((pl.col("op").shift(-1) == int(Op.FREE)) & same).fill_null(False)


def _mixed(near: int, far: int, fits: int, ranges: int) -> float:
    """Price of a tree's node: those beyond what a CPU's cache holds come from memory."""
    if ranges <= fits:
        return near
    return near + (far - near) * (ranges - fits) / ranges


def _home_cpus(columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The CPU column with each free on the CPU of the allocation before it in its slot."""
    op, slot, cpu = columns["op"], columns["slot"], columns["cpu"]
    rows = np.flatnonzero(((op == int(Op.ALLOC)) | (op == int(Op.FREE))) & (slot != NO_SLOT))
    rows = rows[np.argsort(slot[rows], kind="stable")]
    before, after = rows[:-1], rows[1:]
    is_pair = (op[before] == int(Op.ALLOC)) & (op[after] == int(Op.FREE))
    tied = is_pair & (slot[before] == slot[after])
    home = cpu.copy()
    home[after[tied]] = cpu[before[tied]]
    return home


def whole(value: object) -> int:
    """A whole number from an aggregate of a column, 0 where it was empty."""
    return value if isinstance(value, int) else 0


def share_of(part: float, of_all: float) -> float:
    """The part, 0 where there is nothing to be part of."""
    return part / of_all if of_all else 0.0
