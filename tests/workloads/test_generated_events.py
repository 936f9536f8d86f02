"""Traces made from workloads: the schema is kept, and a replay finds the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from comparisons import THINK_US, busy
from iova import _core
from iova.designs import DesignSpec, parse_design
from iova.errors import IovaError
from iova.events import NO_SLOT, SCHEMA, DomainInfo, Flag, Op, Trace, problem_of
from iova.lab.machine import simulate
from iova.lab.prices import Prices
from iova.lab.replay import prepare, replay
from iova.sources.parquet import read_parquet, write_parquet
from iova.sources.pieces import open_input
from iova.workloads import DomainGroup, Size, Workload
from iova.workloads import events as generated
from machines import PRICES

RESERVED = DomainGroup("disk", reserved=((0xFEE00, 0xFEEFF),))


def workload(
    duration_s: float = 0.02, domain: DomainGroup = RESERVED, **values: object
) -> Workload:
    return busy(duration_s, domain, **({"think_us": THINK_US} | values))


def trace_of(made: Workload, design: str = "linux-6.12", **options: object) -> Trace:
    spec = parse_design(design)
    return generated.generate(made, PRICES, design=spec, **options)  # type: ignore[arg-type]


def rows(trace: Trace, op: Op) -> pl.DataFrame:
    return trace.events.filter(pl.col("op") == int(op))


def test_a_generated_trace_keeps_the_schema() -> None:
    trace = trace_of(workload())
    assert dict(trace.events.schema) == SCHEMA
    assert problem_of(trace.events) is None
    assert trace.events["t"].is_sorted()
    assert trace.events["op"].head(3).to_list() == [Op.CREATE, Op.MAKE_CACHES, Op.RESERVE]
    for op, nulls in (
        (Op.ALLOC, {"last", "n", "depot"}),
        (Op.FREE, {"limit", "last", "n", "depot"}),
        (Op.RESERVE, {"t_end", "size", "limit", "slot", "n", "depot"}),
        (Op.MAKE_CACHES, {"t_end", "size", "limit", "pfn", "last", "slot", "n", "depot"}),
    ):
        frame = rows(trace, op)
        assert {name for name in SCHEMA if frame[name].null_count()} == nulls, op


def test_where_a_trace_came_from_is_written_into_it() -> None:
    trace = trace_of(workload(), seed=7)
    info = trace.info
    assert (info.source, info.kernel, info.cpus_possible, info.cpus_online) == (
        "machine", None, 4, 4
    )  # fmt: skip
    assert info.domains == (DomainInfo(0, 4096, 1, "disk", "strict"),)
    notes = " ".join(info.notes)
    for said in ("workload busy", "seed 7", "linux-6.12"):
        assert said in notes


def test_calls_that_had_not_returned_at_the_end_are_left_out_and_counted() -> None:
    # Four CPUs wait for each other's calls, which take 20 us and more.
    slow = PRICES | {"lock": 20_000_000}
    longer = generated.generate(workload(0.02), slow).events
    calls = longer.filter(pl.col("op").is_in([int(Op.ALLOC), int(Op.FREE)]))
    counts = set()
    for microseconds in range(5000, 5200, 20):
        trace = generated.generate(workload(microseconds / 1e6), slow)
        begun = calls.filter(pl.col("t") < 1000 * microseconds)
        unfinished = begun.join(trace.events, on=["t", "t_end", "cpu", "op"], how="anti")
        assert (unfinished["t_end"] > 1000 * microseconds).all()
        assert rows(trace, Op.ALLOC).height + rows(trace, Op.FREE).height == (
            begun.height - unfinished.height
        )
        told = [note for note in trace.info.notes if "had not returned" in note]
        assert [note.split()[3] for note in told] == [str(unfinished.height)][: unfinished.height]
        counts.add(unfinished.height)
    assert {0, 1} <= counts


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    one, two, other = (trace_of(workload(), seed=seed).events for seed in (1, 1, 2))
    assert one.equals(two)
    assert not one.equals(other)


def test_in_pieces_or_at_once_the_events_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trace_of(workload(0.25)).events
    assert whole.height > 2 * _core.MACHINE_MIN_ROOM
    monkeypatch.setattr(generated, "_PIECE_ROWS", _core.MACHINE_MIN_ROOM)
    told: list[tuple[int, int]] = []
    pieces = trace_of(workload(0.25), progress=lambda done, total: told.append((done, total)))
    assert pieces.events.equals(whole)
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == (250_000_000, 250_000_000)


@pytest.mark.parametrize("design", ["linux-6.1", "unbounded", "linux-6.12", "linux-7.3"])
def test_a_replay_under_the_same_design_hands_out_the_same_addresses(design: str) -> None:
    # 20 ms: no reclaim comes in between, whose place among calls of the same time is not known.
    trace = trace_of(workload(), design)
    allocs = rows(trace, Op.ALLOC)
    simulated = simulate(workload(), parse_design(design), Prices(**PRICES)).replay
    replayed = replay(prepare(trace), parse_design(design))
    assert allocs.height > 5000
    # Calls that had not ended at the end are in the totals, but no rows.
    assert replayed.allocations == pytest.approx(simulated.allocations, abs=8)
    for name in ("hits_loaded", "hits_previous", "hits_depot", "tree_allocations", "pushed"):
        assert replayed.count(name) == pytest.approx(simulated.count(name), abs=8), name
    assert replayed.totals["skipped_frees"] == 0
    assert handed_out(trace, design) == allocs["pfn"].fill_null(0).to_list()


def handed_out(trace: Trace, design: str) -> list[int]:
    """What each allocation of a trace gets in a replay."""
    source = prepare(trace)
    result = np.zeros(source.rows, dtype=np.uint64)
    core = _core.Replay(
        [parse_design(design).make() for _ in source.domains],
        [(d.granule, d.start) for d in source.domains],
        possible=source.possible,
    )
    core.feed(source.columns, result)
    return list(result[source.columns["op"] == int(Op.ALLOC)].tolist())


def test_a_second_try_follows_the_first_which_failed() -> None:
    narrow = DomainGroup("disk", reserved=((16, 0xFFFFF),))
    trace = trace_of(workload(domain=narrow, sizes=(Size(1),), limit_rule="32-always"))
    allocs = rows(trace, Op.ALLOC)
    second = allocs["flags"] & int(Flag.ONLY_IF_PREVIOUS_FAILED) != 0
    tries = trace.events.with_columns(
        before=pl.col("pfn").shift(1), op_before=pl.col("op").shift(1)
    )
    again = tries.filter(pl.col("flags") & int(Flag.ONLY_IF_PREVIOUS_FAILED) != 0)
    assert second.sum() == again.height > 100
    assert again["before"].null_count() == again.height
    assert again["op_before"].unique().to_list() == [int(Op.ALLOC)]
    assert again["limit"].min() > 0xFFFFF  # type: ignore[operator]
    assert allocs.filter(~second)["limit"].unique().to_list() == [0xFFFFF]
    assert allocs["slot"].max() < NO_SLOT  # type: ignore[operator]


def test_what_is_seen_beside_the_calls_names_no_domain() -> None:
    lazy = DomainGroup("disk", mode="lazy")
    trace = trace_of(workload(0.045, lazy, complete_cpus="all", depth=4))
    for op, given in ((Op.UNMAP, {"pfn", "last"}), (Op.FLUSH_TIMER, set())):
        frame = rows(trace, op)
        assert frame.height > 3, op
        present = {name for name in SCHEMA if frame[name].null_count() < frame.height}
        assert present == {"t", "cpu", "op", "flags"} | given, op
    alone = prepare(trace)
    assert alone.rows == trace.events.filter(pl.col("op") < int(Op.UNMAP)).height


def test_a_faulty_driver_s_frees_have_the_wrong_size() -> None:
    wrong = workload(sizes=(Size(4),), wrong_size_every=5, wrong_size_pages=2, leak_every=9)
    trace = trace_of(wrong)
    sizes = rows(trace, Op.FREE)["size"]
    assert sizes.unique().sort().to_list() == [2, 4]
    assert (sizes == 2).mean() == pytest.approx(1 / 5, rel=0.05)
    assert replay(prepare(trace), parse_design("linux-6.12")).totals["skipped_frees"] == 0


def test_frees_of_a_lazy_domain_come_in_bursts_every_10_ms_where_the_timer_fired() -> None:
    # Slow enough for rings that do not fill up in between.
    lazy = DomainGroup("disk", mode="lazy")
    trace = trace_of(workload(0.045, lazy, complete_cpus="all", depth=4))
    frees = rows(trace, Op.FREE).with_columns(burst=(pl.col("t").diff() > 5_000_000).cum_sum())
    bursts = frees.with_columns(pl.col("burst").fill_null(0)).group_by("burst", maintain_order=True)
    times = bursts.agg(pl.col("t").min(), last=pl.col("t").max(), n=pl.len(), cpus="cpu")
    assert trace.info.domains[0].mode == "lazy"
    assert times["t"].to_list() == pytest.approx([10e6, 20e6, 30e6, 40e6], rel=0.02)
    assert (times["last"] - times["t"]).max() < 1_000_000  # type: ignore[operator]
    assert times["n"].min() > 500  # type: ignore[operator]
    for cpus in times["cpus"]:
        # The first free is the timer's; others release what is theirs if they come by.
        assert (cpus == cpus[0]).mean() > 0.5


def test_a_renewed_domain_has_a_number_and_the_properties_of_its_own() -> None:
    idle = DomainGroup("idle", granule=1024, count=2)
    disk = DomainGroup("disk", start=16)
    both = dataclasses.replace(workload(rebind_ms=5.0), domains=(idle, disk))
    trace = trace_of(both)
    domains = trace.info.domains
    assert [d.domain for d in domains] == list(range(len(domains)))
    assert [d.device for d in domains[:4]] == ["idle.0", "idle.1", "disk", "disk"]
    assert {(d.granule, d.start) for d in domains[2:]} == {(4096, 16)}
    assert [d.destroyed for d in domains] == [False, False, *[True] * (len(domains) - 3), False]
    assert len(domains) >= 5
    replayed = replay(prepare(trace), parse_design("linux-6.12"))
    assert replayed.totals["domains"] == len(domains)


def test_a_generated_trace_is_the_same_from_its_file(tmp_path: Path) -> None:
    trace = trace_of(workload())
    write_parquet(trace, tmp_path / "trace.parquet")
    with open_input(str(tmp_path / "trace.parquet")) as opened:
        again = read_parquet(opened)
    assert again.events.equals(trace.events)
    assert again.info == trace.info


def test_too_many_events_are_refused_with_a_duration_that_is_possible() -> None:
    with pytest.raises(IovaError, match="more than 1000 events") as error:
        trace_of(workload(), max_rows=1000)
    duration = float(str(error.value).partition("duration_s=")[2].rstrip("."))
    assert 0 < duration < 0.02
    assert trace_of(workload(duration), max_rows=1000).events.height > 100


def test_what_a_policy_raises_is_told() -> None:
    class Failing:
        arm_delay_ns = 1_000_000

        def look(self, view: object) -> None:
            raise RuntimeError(f"no idea what {type(view).__name__} means")

    spec = DesignSpec("tests:Failing", "Failing", (), Failing)
    with pytest.raises(IovaError, match=r"Failing: look\(\) raised RuntimeError: no idea"):
        generated.generate(workload(), PRICES, design=spec)


def test_unless_told_otherwise_it_runs_under_the_default_design() -> None:
    made = generated.generate(workload(), PRICES)
    assert made.events.equals(trace_of(workload()).events)
    assert "linux-6.12" in " ".join(made.info.notes)
