"""Traces of a small simulated machine: what is true is found, what is not is noticed."""

from __future__ import annotations

import dataclasses
import random

import polars as pl
import pytest
from recorded_runs import DEPOT_BOUND, Machine

from iova._core import RawDomain
from iova.errors import InputError
from iova.events import DomainInfo, Flag, Op, Trace, TraceInfo
from iova.lab.chains import prepared
from iova.lab.merge import ALLOC as ALLOC_STEP
from iova.lab.merge import Steps
from iova.lab.replay_steps import Replay, calls_of
from iova.lab.verify_trace import CALLS_PER_REPAIR, design_of, verify_trace

ALLOC, FREE = int(Op.ALLOC), int(Op.FREE)


def busy_trace(seed: int, calls: int = 12_000) -> Trace:
    """A 6.12 machine with reclaim, a CPU that goes and comes back, large and odd sizes."""
    machine = Machine(seed, held=1500, sizes=(1, 1, 1, 1, 1, 1, 2, 3, 16, 48))
    workers = (machine.reclaimer(1, 60, 0), machine.hotplug(0, 3))
    return machine.run(calls, *workers)


@pytest.fixture(scope="module")
def busy() -> Trace:
    return busy_trace(3)


def with_columns(trace: Trace, **columns: list[object]) -> Trace:
    """The same trace with some columns replaced."""
    schema = trace.events.schema
    changed = [pl.Series(name, values, dtype=schema[name]) for name, values in columns.items()]
    return dataclasses.replace(trace, events=trace.events.with_columns(changed))


@pytest.mark.parametrize("seed", [0, 2, 3, 10])
def test_every_address_of_a_run_is_found(seed: int) -> None:
    trace = busy_trace(seed)
    verdict = verify_trace(trace)
    allocs = trace.events.filter(pl.col("op") == ALLOC).height
    assert verdict.line().startswith(f"exact {allocs} of {allocs}; by timestamps alone ")
    assert verdict.explained
    assert verdict.first is None
    assert verdict.by_timestamps < allocs  # or the search has nothing to do
    assert 0 < verdict.repaired <= max(10, verdict.calls // CALLS_PER_REPAIR)
    assert verdict.longest_window > 0
    emptied = trace.events.filter(pl.col("op") == int(Op.MAGAZINE_FREE))["n"]
    assert emptied.len() > 12  # an offline CPU's twelve magazines, and reclaimed ones
    assert (emptied == 127).any()


def test_crowded_cpus_are_untangled() -> None:
    machine = Machine(1, cpus=8, held=700, nested=0.0)
    verdict = verify_trace(machine.run(20_000))
    assert verdict.explained
    assert verdict.repaired > 5


def test_a_full_depot_of_linux_6_1_spills_into_the_tree() -> None:
    machine = Machine(
        0,
        design="linux-6.1",
        kernel="6.1.0-56-amd64",
        sizes=(1,),
        held=7000,
        depot_bound=DEPOT_BOUND,
    )
    trace = machine.run(26_000)
    spilled = trace.events.filter(pl.col("op") == int(Op.MAGAZINE_FREE)).height
    assert spilled > 3
    verdict = verify_trace(trace)
    assert (verdict.design, verdict.unexplained) == ("linux-6.1", 0)
    # Without the bound nothing would have spilled.
    assert verify_trace(trace, design="unbounded").unexplained >= spilled


def test_failed_allocations_are_predicted_too() -> None:
    machine = Machine(0, sizes=(8192, 1), held=4000, nested=0.0)
    trace = machine.run(4000)
    failed = trace.events.filter((pl.col("op") == ALLOC) & pl.col("pfn").is_null()).height
    assert failed > 10
    verdict = verify_trace(trace)
    assert verdict.explained
    assert verdict.total == trace.events.filter(pl.col("op") == ALLOC).height


def test_the_verdict_is_the_same_every_time(busy: Trace) -> None:
    assert verify_trace(busy) == verify_trace(busy)


@pytest.mark.parametrize("seed", range(6))
def test_one_altered_page_frame_is_noticed(busy: Trace, seed: int) -> None:
    """Also if the free of the range is altered with it, so that the rows agree."""
    events = busy.events
    rows = events.with_row_index("row").filter(
        (pl.col("op") == ALLOC) & pl.col("slot").is_not_null()
    )["row"]
    row = random.Random(seed).choice(rows.to_list())
    true, slot = events["pfn"][row], events["slot"][row]
    pfns = events["pfn"].to_list()
    pfns[row] = true - 0x40000
    alone = verify_trace(with_columns(busy, pfn=pfns))
    assert alone.unexplained > 0
    for later in range(row, events.height):
        same = events["slot"][later] == slot and pfns[later] == true
        if same and events["op"][later] == FREE:
            pfns[later] = pfns[row]
            break
    both = verify_trace(with_columns(busy, pfn=pfns))
    assert both.unexplained > 0
    assert both.first is not None


@pytest.mark.parametrize("seed", range(6))
def test_two_calls_that_do_not_overlap_cannot_be_swapped(busy: Trace, seed: int) -> None:
    """Two hits on one CPU, one after the other: each gets the other's range, as its free says."""
    events = busy.events.with_row_index("row")
    hits = events.filter(
        (pl.col("op") == ALLOC) & (pl.col("flags") == 0) & (pl.col("size") == 1)
    ).filter(pl.col("cpu") == seed % 4)
    chosen = random.Random(seed).randrange(hits.height - 1)
    first, second = hits["row"][chosen], hits["row"][chosen + 1]
    assert events["t_end"][first] < events["t"][second]
    columns = {}
    for name in ("pfn", "slot"):
        values = events[name].to_list()
        values[first], values[second] = values[second], values[first]
        columns[name] = values
    verdict = verify_trace(with_columns(busy, **columns))
    assert verdict.unexplained > 0


def test_reclaim_is_not_explained_by_linux_6_1(busy: Trace) -> None:
    verdict = verify_trace(busy, design="linux-6.1")
    taken = busy.events.filter((pl.col("op") == int(Op.MAGAZINE_FREE)) & (pl.col("n") == 127))
    assert taken.height > 0
    assert verdict.unexplained > 0
    assert verify_trace(busy, design="linux-7.3").explained


def test_an_entry_of_a_reclaimed_magazine_is_compared(busy: Trace) -> None:
    """Two removals of one magazine in the other order leave the same tree, and are noticed."""
    events = busy.events.with_row_index("row")
    start = events.filter((pl.col("op") == int(Op.MAGAZINE_FREE)) & (pl.col("n") == 127))["row"][0]
    first, second = start + 1, start + 2
    columns = {}
    for name in ("pfn", "last"):
        values = events[name].to_list()
        values[first], values[second] = values[second], values[first]
        columns[name] = values
    verdict = verify_trace(with_columns(busy, **columns))
    assert verdict.exact == verdict.total
    assert verdict.unexplained == 1
    assert verdict.first is not None
    assert verdict.first.row == start
    assert "entry 0 of a magazine" in verdict.first.expected


def test_a_trace_that_ends_in_the_midst_of_calls_is_explained(busy: Trace) -> None:
    end = busy.events["t"][busy.events.height * 2 // 3]
    cut = busy.events.filter(pl.col("t") <= end)
    open_call = pl.col("t_end") > end
    gone = {name: pl.when(~open_call).then(pl.col(name)) for name in ("t_end", "last")}
    is_free = pl.col("op") == FREE
    kept = {name: pl.when(~open_call | is_free).then(pl.col(name)) for name in ("pfn", "slot")}
    has_end = cut.filter(pl.col("t_end").is_not_null())
    cut = cut.with_columns(
        **{
            name: pl.when(pl.col("t_end").is_null()).then(pl.col(name)).otherwise(value)
            for name, value in (gone | kept).items()
        }
    )
    assert has_end.height > cut["t_end"].is_not_null().sum()
    verdict = verify_trace(dataclasses.replace(busy, events=cut))
    assert verdict.explained
    assert verdict.exact == verdict.total > 0


def test_calls_of_a_domain_that_was_there_before_are_not_judged(busy: Trace) -> None:
    info = dataclasses.replace(busy.info, domains=(DomainInfo(0, born=False),))
    verdict = verify_trace(Trace(busy.events, info))
    assert verdict.state_before == verdict.total > 0
    assert (verdict.exact, verdict.unexplained) == (0, 0)


def test_more_repairs_than_one_call_in_a_thousand_are_refused() -> None:
    machine = Machine(3, nested=0.02, gap_ns=60_000)
    verdict = verify_trace(machine.run(6000))
    assert verdict.repaired <= max(10, verdict.calls // CALLS_PER_REPAIR)
    assert verdict.unexplained > 0


def test_a_hostile_trace_ends_in_a_verdict() -> None:
    """Numbers out of all proportion, calls that end before they begin, rows that fit nothing."""
    chooser = random.Random(5)
    machine = Machine(0)
    for number in range(3000):
        machine.now += chooser.randrange(3)
        values: dict[str, object] = {
            "t_end": chooser.choice((None, 0, machine.now + 10, (1 << 62))),
            "size": chooser.choice((None, 0, 1, 3, 40, (1 << 64) - 1)),
            "limit": chooser.choice((None, 0, 5, 0xFFFFF, (1 << 64) - 1)),
            "pfn": chooser.choice((None, 0, 1, 0xFFFFF, (1 << 64) - 1)),
            "last": chooser.choice((None, 0, 0xFFFFF, (1 << 64) - 1)),
            "slot": chooser.choice((None, 0, 1, 2, 0xFFFFFFFF)),
            "n": chooser.choice((None, 0, 127, 0xFFFFFFFF)),
            "flags": chooser.choice((0, int(Flag.REACHED_TREE), int(Flag.RAW), 255)),
        }
        machine.row(
            chooser.choice(list(Op)), chooser.randrange(65536 if number % 99 == 0 else 3), **values
        )
    verdict = verify_trace(machine.trace(), design="linux-6.12")
    assert verdict.unexplained > 0


def test_progress_reaches_its_total(busy: Trace) -> None:
    told: list[tuple[int, int, str]] = []
    verify_trace(busy, progress=lambda done, total, what: told.append((done, total, what)))
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][0] == told[-1][1]
    assert {what for _, _, what in told} == {"ordering", "replaying"}


@pytest.mark.parametrize(
    ("kernel", "design"),
    [
        ("5.15.0-91-generic", "linux-6.1"),
        ("6.1.0-56-amd64 (6.1.192)", "linux-6.1"),
        ("6.6.30", "linux-6.1"),
        ("6.7-rc1", "linux-6.12"),
        ("6.12.117+deb12-amd64", "linux-6.12"),
        ("7.2.1", "linux-6.12"),
        ("7.3.0", "linux-7.3"),
        ("10.0", "linux-7.3"),
    ],
)
def test_the_design_follows_from_the_kernel(kernel: str, design: str) -> None:
    assert design_of(kernel, "x.txt") == design


def test_without_a_kernel_the_user_must_name_a_design(busy: Trace) -> None:
    unknown = Trace(busy.events, dataclasses.replace(busy.info, kernel=None))
    with pytest.raises(InputError, match=r"x\.txt: .*which kernel.*--design"):
        verify_trace(unknown, source="x.txt")
    odd = Trace(busy.events, TraceInfo(kernel="custom"))
    with pytest.raises(InputError, match="cannot read the kernel release 'custom'"):
        verify_trace(odd, source="x.txt")
    assert verify_trace(unknown, design="linux-6.12").explained
    with pytest.raises(InputError, match="cannot be predicted with the design 'trim'"):
        verify_trace(busy, design="trim")


def test_a_step_outside_its_call_is_noticed() -> None:
    """The last check knows only the event table, not how the order was found."""
    machine = Machine(0)
    for _ in machine.alloc(0, 1):
        machine.now += 1000
    events = machine.trace().events
    row = events.with_row_index("row").filter(pl.col("op") == ALLOC)["row"][0]
    t, t_end = events["t"][row], events["t_end"][row]
    calls = calls_of(events, prepared(events))
    for at, inside in ((t - 1, False), (t, True), (t_end, True), (t_end + 1, False)):
        allocator = RawDomain(possible=1, design="linux-6.12")
        allocator.make_caches()
        allocator.reserve(0xFEE00, 0xFEEFF)
        replay = Replay(0, allocator, calls, [], reclaims=True)
        replay.run(Steps([ALLOC_STEP], [at], [row], [0], [-1]))
        allocator.destroy()
        assert replay.got[row] == events["pfn"][row]
        assert (not replay.problems) == inside
    machine.truth.destroy()


def test_impossible_domains_are_refused(busy: Trace) -> None:
    info = dataclasses.replace(busy.info, domains=(DomainInfo(0, granule=3000),))
    with pytest.raises(InputError, match=r"granule of 3000 bytes.*power of two"):
        verify_trace(Trace(busy.events, info))
    many = busy.events.head(20_000).with_row_index("row")
    spread = many.with_columns(cpu=pl.col("row").cast(pl.UInt16)).drop("row")
    with pytest.raises(InputError, match=r"CPUs.*At most 8192"):
        verify_trace(dataclasses.replace(busy, events=spread))
