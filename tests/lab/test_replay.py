"""Replays: what a design does with given calls, on virtual time."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from iova import _core
from iova.designs import Decision, DesignError, DesignSpec, parse_design
from iova.errors import IovaError
from iova.events import DomainInfo, Flag, Op, Trace
from iova.lab import replay as lab
from iova.lab.tables import handovers_of
from tables import alloc, filling_depot, free, row, trace_of

SECOND = 1_000_000_000


def run(trace: Trace, design: str = "linux-6.12", **options: object) -> lab.ReplayResult:
    return lab.replay(lab.prepare(trace), parse_design(design), **options)  # type: ignore[arg-type]


def test_a_freed_range_is_served_from_the_loaded_magazine() -> None:
    result = run(trace_of(alloc(1, 0), free(2, 0), alloc(3, 0)))
    assert (result.allocations, result.hits, result.count("tree_allocations")) == (2, 1, 1)
    assert result.cached_share == 0.5


def test_waste_is_the_time_average_of_cached_pages_over_peak_live_pages() -> None:
    # 4 pages live for 10 ns, then cached for 30 ns, then live again.
    result = run(trace_of(alloc(0, 0, 4), free(10, 0, 4), alloc(40, 0, 4), free(50, 0, 4)))
    assert result.totals["live_pages_peak"] == 4
    assert result.cached_pages_mean == 4 * 30 / 50
    assert result.waste == 30 / 50


def test_the_depot_shrinks_by_one_magazine_every_100_ms_down_to_the_cpus_online() -> None:
    rows = filling_depot(6)
    pushed_last = rows[-1]["t"]
    rows.append(row(pushed_last + 10 * SECOND, Op.FLUSH_CACHES))
    for cpus, left in ((2, 2), (4, 4), (8, 6)):
        result = run(trace_of(*rows, cpus=cpus))
        assert result.classes[0]["reclaimed"] == 6 - left
        assert result.totals["depot_peak"] == 6


def test_nothing_is_reclaimed_when_the_depot_is_not_to_shrink() -> None:
    rows = [*filling_depot(6), row(10 * SECOND, Op.FLUSH_CACHES)]
    assert run(trace_of(*rows), "unbounded").classes[0]["reclaimed"] == 0
    assert run(trace_of(*rows), "linux-6.12,rearm=0").classes[0]["reclaimed"] == 1


def test_a_fixed_depot_empties_surplus_magazines_into_the_tree() -> None:
    result = run(trace_of(*filling_depot(6)), "linux-6.1,depot=4")
    assert result.totals["depot_peak"] == 4
    assert result.classes[0]["tree_frees"] == 2 * 127
    assert result.fixed_depot_bytes == 4 * 8 * 6


def test_recorded_reclaim_runs_at_its_rows_and_not_at_deadlines() -> None:
    rows = [
        *filling_depot(6),
        row(10 * SECOND, Op.RECLAIM, size=1),
        row(11 * SECOND, Op.FLUSH_CACHES),
    ]
    assert run(trace_of(*rows), recorded_reclaim=True).classes[0]["reclaimed"] == 1
    assert run(trace_of(*rows)).classes[0]["reclaimed"] == 4


def test_a_cpu_that_makes_a_call_after_it_went_is_back() -> None:
    # Four magazines in the depot; 1 CPU online would leave 1 of them, 4 leave 4.
    rows = filling_depot(6)
    last = rows[-1]["t"]
    gone = [row(last + 1, Op.CPU_OFFLINE, n=cpu) for cpu in (1, 2, 3)]
    back = [alloc(last + 2, 0, cpu=cpu, size=64) for cpu in (1, 2)]
    back[1]["slot"] = 1
    end = row(last + 10 * SECOND, Op.FLUSH_CACHES)
    assert run(trace_of(*rows, *gone, end, cpus=4)).classes[0]["reclaimed"] == 6 - 1
    assert run(trace_of(*rows, *gone, *back, end, cpus=4)).classes[0]["reclaimed"] == 6 - 3


def test_a_domain_made_later_knows_which_cpus_went() -> None:
    late = [r | {"domain": 1} for r in filling_depot(6)]
    start, end = [row(0, Op.CREATE, pfn=1), row(0, Op.CPU_OFFLINE, n=1)], 10 * SECOND
    flush = row(end, Op.FLUSH_CACHES, domain=1)
    domains = (DomainInfo(0), DomainInfo(1))
    result = run(trace_of(*start, *late, flush, domains=domains))
    assert result.classes[0]["reclaimed"] == 6 - 1


def test_a_cpu_that_can_not_be_is_refused() -> None:
    trace = trace_of(alloc(1, 0), row(2, Op.CPU_OFFLINE, n=1), cpus=2)
    source = lab.prepare(trace)
    source.columns["n"] = np.array([0, 2], dtype=np.uint32)
    with pytest.raises(IovaError, match="not below the number of possible CPUs"):
        lab.replay(source, parse_design("unbounded"))


def test_a_free_without_its_allocation_is_skipped_and_counted() -> None:
    result = run(trace_of(alloc(1, 0), row(2, Op.FREE, size=1), free(3, 0)))
    assert (result.totals["frees"], result.totals["skipped_frees"]) == (1, 1)


def test_a_free_whose_allocation_failed_under_this_design_is_skipped_and_counted() -> None:
    full = [alloc(i, i, limit=8) for i in range(9)]
    result = run(trace_of(*full, free(100, 8), free(101, 0)))
    assert result.totals["failed"] == 1
    assert (result.totals["frees"], result.totals["skipped_frees"]) == (1, 1)


def test_the_second_try_is_made_only_if_the_first_one_failed() -> None:
    retry = int(Flag.ONLY_IF_PREVIOUS_FAILED)
    for first_limit, calls in ((0, 2), (0xFF, 1)):
        trace = trace_of(
            alloc(1, 0, limit=first_limit),
            alloc(1, 0, flags=retry, limit=2**48 - 1),
            free(2, 0),
        )
        result = run(trace)
        assert (result.allocations, result.totals["frees"]) == (calls, 1)


def test_memory_is_bounded_by_the_live_set_not_by_the_length() -> None:
    pairs = [r for i in range(3000) for r in (alloc(2 * i, 0), free(2 * i + 1, 0))]
    result = run(trace_of(*pairs))
    assert result.totals["live_ranges_peak"] == 1
    assert result.totals["ranges_peak"] == 1


def test_a_destroyed_domain_takes_its_live_ranges_with_it_and_frees_their_slots() -> None:
    rows = [
        alloc(1, 0),
        alloc(2, 1),
        row(3, Op.DESTROY),
        alloc(4, 0, domain=1),
        free(5, 0, domain=1),
    ]
    result = run(trace_of(*rows, domains=(DomainInfo(0), DomainInfo(1))))
    assert result.totals["live_pages"] == 0
    assert (result.totals["domains"], result.totals["frees"]) == (2, 1)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([alloc(1, 0), alloc(2, 0)], "slot"),
        ([alloc(1, 0, size=0)], "size of 0"),
        ([alloc(5, 0), alloc(4, 1)], "time goes back"),
        ([row(1, Op.CREATE, pfn=1), row(2, Op.CREATE, pfn=1)], "exist"),
        ([row(1, Op.RESERVE, pfn=9, last=2)], "reservation"),
        ([row(1, 12)], "unknown operation"),  # type: ignore[arg-type]
    ],
)
def test_a_row_that_can_not_be_replayed_is_named(
    rows: list[dict[str, object]], problem: str
) -> None:
    with pytest.raises(IovaError, match=problem) as error:
        run(trace_of(*rows))
    assert f"call {len(rows) - 1} of the trace" in str(error.value)


def test_one_domain_can_be_replayed_alone() -> None:
    rows = [
        alloc(1, 0),
        alloc(2, 1, domain=1),
        free(3, 0),
        alloc(4, 0, domain=1),
        free(5, 1, domain=1),
    ]
    trace = trace_of(*rows, domains=(DomainInfo(0), DomainInfo(1)))
    source = lab.prepare(trace, domain=1)
    assert source.rows == 3
    assert lab.replay(source, parse_design("unbounded")).allocations == 2
    with pytest.raises(IovaError, match="its domains: 0, 1"):
        lab.prepare(trace, domain=7)


def test_slots_with_gaps_between_their_numbers_are_numbered_anew() -> None:
    result = run(trace_of(alloc(1, 7), alloc(2, 3), free(3, 7), free(4, 3)))
    assert (result.totals["frees"], result.totals["live_ranges"]) == (2, 0)


def test_a_trace_without_calls_is_refused() -> None:
    with pytest.raises(IovaError, match="no calls"):
        lab.prepare(trace_of(row(1, Op.FLUSH_TIMER)))


def test_the_time_series_ends_where_the_counters_do() -> None:
    rows = [*filling_depot(6), row(SECOND, Op.FLUSH_CACHES)]
    result = run(trace_of(*rows), samples=50, tables=True)
    assert result.series is not None
    assert result.tables is not None
    assert 50 <= result.series.height <= 52
    assert result.series["t"].is_sorted()
    assert result.series["depot_1"].max() == 6
    assert result.series["reclaimed"].max() == result.classes[0]["reclaimed"]
    before_flush = result.series.height - 2
    cached = result.series["cached_pages"][before_flush]
    depot = 127 * result.series["depot_1"][before_flush]
    assert result.tables.t.tolist() == result.series["t"].to_list()
    assert result.tables.cpu_pages[before_flush].sum() + depot == cached
    assert result.tables.cached[before_flush].sum() == cached
    assert result.tables.allocated[before_flush].sum() == cached
    assert result.tables.map_first > 0
    assert run(trace_of(*rows), samples=50).tables is None
    assert run(trace_of(*rows), tables=True).tables is None


def test_tables_go_with_a_few_of_many_samples() -> None:
    result = run(trace_of(*filling_depot(6)), samples=1500, tables=True)
    assert result.series is not None
    assert result.tables is not None
    assert result.series.height > 1500
    assert len(result.tables.t) == len(result.tables.cpu_pages) == len(result.tables.cached) <= 302
    assert result.tables.t.tolist() == result.series["t"].gather_every(5).to_list()


def test_equal_input_and_design_give_equal_results() -> None:
    trace = trace_of(*filling_depot(6), row(SECOND, Op.FLUSH_CACHES))
    one, two = (run(trace, samples=20) for _ in "ab")
    assert one.series is not None
    assert two.series is not None
    assert one.series.equals(two.series)
    assert one.totals == two.totals
    assert one.classes == two.classes


def test_feeding_in_pieces_gives_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = trace_of(*filling_depot(6), row(SECOND, Op.FLUSH_CACHES))
    whole = run(trace)
    monkeypatch.setattr(lab, "CHUNK_ROWS", 100)
    told: list[int] = []
    pieces = run(trace, progress=lambda done, _total: told.append(done))
    assert pieces.totals == whole.totals
    assert told == sorted(told)
    assert told[-1] == trace.events.height


def test_the_returned_page_frames_are_the_core_s() -> None:
    trace = trace_of(alloc(1, 0), alloc(2, 1, size=4), free(3, 0), alloc(4, 0))
    source = lab.prepare(trace)
    core = _core.Replay([parse_design("linux-6.12").make()], [(4096, 1)], possible=2)
    handed = np.zeros(source.rows, dtype=np.uint64)
    core.feed(source.columns, handed)
    assert handed.tolist() == [0xFFFFF, 0xFFFF8, 0, 0xFFFFF]


def test_columns_that_do_not_belong_together_are_refused() -> None:
    source = lab.prepare(trace_of(alloc(1, 0)))
    core = _core.Replay([parse_design("linux-6.12").make()], [(4096, 1)], possible=2)
    with pytest.raises(ValueError, match="length"):
        core.feed(source.columns | {"slot": np.zeros(2, dtype=np.uint32)})
    with pytest.raises(ValueError, match="result"):
        core.feed(source.columns, np.zeros(1, dtype=np.int64))  # type: ignore[arg-type]


# --------------------------------------------------------------------- policies in Python


class HalfAtOnce:
    """Gives back half of the depot, one second after a push."""

    arm_delay_ns = SECOND

    def __init__(self, fail: bool = False) -> None:
        self.fail = fail
        self.seen: list[int] = []

    def look(self, view: _core.View) -> object:
        if self.fail:
            raise RuntimeError("a policy's own mistake")
        self.seen.append(view.depot)
        return Decision(release=view.depot // 2, trim=[1])


def policy(**params: object) -> DesignSpec:
    return DesignSpec("tests:HalfAtOnce", "HalfAtOnce", tuple(params.items()), HalfAtOnce)


def test_a_python_policy_decides_what_is_reclaimed_and_trimmed() -> None:
    rows = filling_depot(6)
    last = rows[-1]["t"]
    # A range that CPU 1 holds in its magazine when the policy looks, a second later.
    rows += [alloc(last, 0, cpu=1), free(last, 0, cpu=1), row(3 * SECOND, Op.FLUSH_CACHES)]
    result = lab.replay(lab.prepare(trace_of(*rows)), policy())
    counters = result.classes[0]
    assert (counters["runs"], counters["trimmed"]) == (1, 1)
    # CPU 1 fetched one magazine from the depot, which held 5 when the policy looked.
    assert counters["reclaimed"] == 5 // 2


def test_what_a_python_policy_raises_is_told_with_its_place() -> None:
    rows = [*filling_depot(6), row(3 * SECOND, Op.FLUSH_CACHES)]
    with pytest.raises(DesignError, match="own mistake") as error:
        lab.replay(lab.prepare(trace_of(*rows)), policy(fail=True))
    assert "HalfAtOnce" in str(error.value)
    assert "test_replay.py:" in str(error.value)


def test_ctrl_c_in_a_policy_ends_the_replay_before_any_other_look() -> None:
    looks = []

    class Stopped:
        arm_delay_ns = SECOND

        def look(self, view: _core.View) -> None:
            looks.append(view.now_ns)
            raise KeyboardInterrupt

    # Three domains, whose jobs are due at the same time, and each has a policy of its own.
    rows = [one | {"domain": number} for one in filling_depot(2) for number in range(3)]
    for one in rows:
        one["slot"] = None if one["slot"] is None else 3 * one["slot"] + one["domain"]
    rows.append(row(5 * SECOND, Op.FLUSH_CACHES))
    with pytest.raises(KeyboardInterrupt):
        lab.replay(lab.prepare(trace_of(*rows)), DesignSpec("x", "Stopped", (), Stopped))
    assert len(looks) == 1


def test_a_row_that_can_not_be_replayed_is_not_blamed_on_the_policy() -> None:
    with pytest.raises(IovaError, match="call 1 of the trace") as error:
        lab.replay(lab.prepare(trace_of(alloc(1, 0), alloc(2, 0))), policy())
    assert "look()" not in str(error.value)


@pytest.mark.parametrize(
    ("decided", "problem"),
    [
        (Decision(release=-1), "release=-1, which is not within 0..18446744073709551615"),
        (Decision(keep=10**30), "keep=1" + 30 * "0" + ", which is not within 0..184467"),
        (Decision(again_ns=1e9), "again_ns=1000000000.0, which is no whole number"),  # type: ignore[arg-type]
        (Decision(release=float("nan")), "release=nan, which is no whole"),  # type: ignore[arg-type]
        (Decision(release=-(10**9999)), "release="),
        (Decision(magazine=126), "magazine=126, which is not 2**n - 1 entries within 3..1023"),
        (Decision(magazine="x"), "magazine='x', which is no whole number"),  # type: ignore[arg-type]
        (Decision(trim=[2]), "trim=[2], which has 2: no CPU of 0..1"),
        (Decision(trim=["a"]), "trim=['a'], which has 'a': no CPU of 0..1"),  # type: ignore[list-item]
        (Decision(trim=5), "trim=5, which is no sequence of CPUs"),  # type: ignore[arg-type]
        (Decision(trim=range(10**9)), "trim=range(0, 1000000000), which has more CPUs than the 2"),
        (5, "5, which is no Decision"),
        ("release", "'release', which is no Decision"),
        (Decision, "<class 'iova.designs.Decision'>, which is no Decision"),
        (iter(()), "<tuple_iterator object at "),
    ],
)
def test_a_decision_that_makes_no_sense_is_an_error(decided: object, problem: str) -> None:
    class Wrong:
        def look(self, view: _core.View) -> object:
            assert view.depot
            return decided

    rows = [*filling_depot(1), row(SECOND, Op.FLUSH_CACHES)]
    with pytest.raises(DesignError, match=re.escape(f"Wrong: look() returned {problem}")) as error:
        lab.replay(lab.prepare(trace_of(*rows)), DesignSpec("x:Wrong", "Wrong", (), Wrong))
    assert "raised" not in str(error.value)
    assert ".pxi" not in str(error.value)


@pytest.mark.filterwarnings("error")
def test_a_look_that_is_a_coroutine_is_never_awaited_and_said_to_be_one() -> None:
    class Wrong:
        async def look(self, view: _core.View) -> None: ...

    rows = [*filling_depot(1), row(SECOND, Op.FLUSH_CACHES)]
    with pytest.raises(DesignError, match=r"look\(\) returned <coroutine object .*, which is no"):
        lab.replay(lab.prepare(trace_of(*rows)), DesignSpec("x:Wrong", "Wrong", (), Wrong))


def test_a_policy_that_always_wants_to_look_again_looks_once_a_millisecond() -> None:
    class Restless:
        arm_delay_ns = 1

        def look(self, view: _core.View) -> object:
            assert view.depot == 1
            return Decision(again_ns=1)

    spec = DesignSpec("x", "Restless", (), Restless)
    rows = [*filling_depot(1), row(SECOND, Op.FLUSH_CACHES)]
    result = lab.replay(lab.prepare(trace_of(*rows)), spec)
    assert 990 <= result.classes[0]["runs"] <= 1000


def test_a_view_is_not_valid_after_the_look() -> None:
    kept: list[_core.View] = []

    class Keeper:
        arm_delay_ns = 1

        def look(self, view: _core.View) -> None:
            assert view.cpu(0)["puts"] > 0
            with pytest.raises(ValueError, match="possible"):
                view.cpu(99)
            kept.append(view)

    spec = DesignSpec("x", "Keeper", (), Keeper)
    lab.replay(lab.prepare(trace_of(*filling_depot(1), row(SECOND, Op.FLUSH_CACHES))), spec)
    with pytest.raises(RuntimeError, match="only during"):
        _ = kept[0].depot


def test_results_can_be_turned_into_plain_data() -> None:
    result = run(trace_of(alloc(1, 0), free(2, 0)))
    assert asdict(result)["totals"]["calls"] == 2
    assert isinstance(pl.DataFrame([result.classes[0]]), pl.DataFrame)


def test_handovers_tell_which_cpu_freed_what_which_allocated() -> None:
    rows = [
        alloc(1, 0, cpu=0),
        alloc(2, 1, cpu=3),
        free(3, 0, cpu=1),
        alloc(4, 0, cpu=2),
        free(5, 0, cpu=3),
        free(6, 1, cpu=3),
        free(7, 2, cpu=1),
    ]
    source = lab.prepare(trace_of(*rows, cpus=4))
    each = handovers_of(source.columns, 4, 4)
    assert {(int(a), int(b)): int(each[a, b]) for a, b in zip(*each.nonzero(), strict=True)} == {
        (0, 1): 1,
        (2, 3): 1,
        (3, 3): 1,
    }
    assert handovers_of(source.columns, 4, 2).tolist() == [[1, 0], [0, 2]]
