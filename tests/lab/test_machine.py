"""Workloads on the simulated machine: what a result says, and what is raised."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from comparisons import THINK_US, busy
from iova import _core
from iova.designs import Decision, DesignSpec, View, parse_design
from iova.errors import IovaError
from iova.lab import machine as lab
from iova.lab.machine import MachineResult, simulate
from iova.lab.prices import Prices
from iova.workloads import (
    DomainGroup,
    Size,
    Workload,
    load_workload,
)
from machines import PRICES, domain, flow

TABLE = Prices(**PRICES)


def workload(duration_s: float = 0.02, **values: object) -> Workload:
    return busy(duration_s, DomainGroup("disk"), **({"think_us": THINK_US} | values))


def run(design: str = "linux-6.12", **options: object) -> MachineResult:
    return simulate(workload(), parse_design(design), TABLE, **options)  # type: ignore[arg-type]


def test_a_result_has_both_sides_of_one_run() -> None:
    result = run()
    totals = result.totals
    assert (result.design, result.seed, result.cpus) == ("linux-6.12", 1, 4)
    assert result.duration_ns == 20_000_000
    assert totals["now"] == 20_000_000_000
    assert result.operations_per_s == pytest.approx(totals["operations"] / 0.02)
    assert result.requests_per_s == pytest.approx(totals["requests"] / 0.02)
    assert result.replay.allocations == result.alloc_times.sum() > 1000
    assert 0 < result.replay.cached_share < 1
    assert result.replay.span_ns == pytest.approx(20_000_000, rel=0.001)


def test_shares_of_time_are_shares() -> None:
    result = run()
    assert 0 < result.lock_wait_share < result.utilisation <= 1.001
    assert result.lock_wait_share == pytest.approx(sum(result.lock_wait_shares.values()))
    assert set(result.lock_wait_shares) == {"cpu", "depot", "tree", "ring"}
    by_source = result.cpu_seconds_per_s
    assert by_source["alloc"] > 0
    assert by_source["free"] > 0
    assert sum(by_source.values()) <= 4 * result.utilisation
    assert 0 < result.longest_tree_hold_ns < 1e6


def test_percentiles_rise_up_to_the_worst() -> None:
    result = run()
    for kind in ("alloc", "free"):
        times = [getattr(result, f"{kind}_{p}_ns") for p in ("p50", "p99", "p999", "worst")]
        assert times == sorted(times)
        assert times[0] >= 8 * 31 / 32  # a call that the loaded magazine serves
    assert result.alloc_percentile_ns(1) <= result.alloc_worst_ns


@pytest.mark.parametrize("ps", [0, 1, 15, 16, 31, 33, 1000, 12_345, 10**9, 10**12 + 7])
def test_a_bucket_is_at_most_a_sixteenth_wide(ps: int) -> None:
    starts = [lab._bucket_start_ps(bucket) for bucket in range(769)]
    assert starts == sorted(set(starts))
    bucket = int(np.searchsorted(starts, ps, side="right")) - 1
    assert starts[bucket + 1] - starts[bucket] <= max(1, ps / 16)


def test_a_percentile_is_near_what_the_calls_took() -> None:
    # Every call is served by the magazines, at a price that is known.
    alone = workload(depth=1, complete_cpus="all", sizes=(Size(1),))
    result = simulate(alone, parse_design("linux-6.12"), TABLE)
    assert result.alloc_p50_ns == pytest.approx(8, rel=1 / 32)
    assert result.free_p50_ns == pytest.approx(8, rel=1 / 32)


def test_without_calls_there_are_no_times() -> None:
    result = simulate(workload(start_ms=100.0), parse_design("linux-6.12"), TABLE)
    assert result.totals["operations"] == 0
    assert (result.alloc_p99_ns, result.free_worst_ns) == (0, 0)
    assert (result.operations_per_s, result.lock_wait_share) == (0, 0)


def test_the_series_has_the_columns_of_both_sides() -> None:
    result = run(samples=50, tables=True)
    series = result.series
    assert series is not None
    assert result.replay.series is series
    assert {"t", "cached_pages", "depot_1", "depot_32", "requests", "wait_tree_ps", "lost"} <= set(
        series.columns
    )
    assert 50 <= series.height <= 52
    assert series["operations"].is_sorted()
    tables = result.replay.tables
    assert tables is not None
    assert tables.cpu_pages.shape == (series.height, 4)
    assert tables.cached[-1].sum() == series["cached_pages"][-1]
    assert tables.handovers is not None
    assert tables.handovers.sum() == pytest.approx(result.replay.totals["frees"], abs=4)
    assert run().series is None


def test_the_seed_is_the_workload_s_unless_another_is_given() -> None:
    assert run().totals == run(seed=1).totals
    assert run(seed=2).totals != run().totals
    assert run(seed=2).seed == 2


def test_progress_ends_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "_CHUNK_OPERATIONS", 1000)
    told: list[tuple[int, int]] = []
    run(progress=lambda done, total: told.append((done, total)))
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == (20_000_000, 20_000_000)


def test_ctrl_c_between_two_chunks_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "_CHUNK_OPERATIONS", 1000)

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=interrupt)


def test_the_first_linux_design_tries_32_bits_every_time() -> None:
    # 15 page frames below 4 GiB are free: the first try fails more and more often.
    def calls(design: str, rule: str) -> int:
        narrow = dataclasses.replace(
            workload(limit_rule=rule, sizes=(Size(1),)),
            domains=(DomainGroup("disk", reserved=((16, 0xFFFFF),)),),
        )
        return simulate(narrow, parse_design(design), TABLE).replay.totals["failed"]

    assert calls("linux-6.1", "by-design") == calls("linux-6.1", "32-always") > 100
    assert calls("linux-6.12", "by-design") == calls("linux-6.12", "32-until-failure") == 1


def test_work_in_the_tree_is_cheaper_with_an_index() -> None:
    big = workload(sizes=(Size(64),))
    walked, indexed = (
        simulate(big, parse_design(f"linux-6.12,tree={tree}"), TABLE).totals["lock"]["tree"]
        for tree in ("linear", "indexed")
    )
    assert walked["held"] / walked["taken"] != indexed["held"] / indexed["taken"]


class Failing:
    """A policy that fails at its first look, or as it is told."""

    arm_delay_ns = 1_000_000

    def __init__(self, how: type[BaseException] = RuntimeError) -> None:
        self.how = how

    def look(self, view: _core.View) -> Decision:
        raise self.how(f"a policy's own mistake, at a depot of {view.depot}")


def test_what_a_policy_raises_is_told_with_its_place() -> None:
    spec = DesignSpec("tests:Failing", "Failing", (), Failing)
    with pytest.raises(IovaError, match="own mistake") as error:
        simulate(workload(), spec, TABLE)
    assert "Failing" in str(error.value)
    assert "test_machine.py:" in str(error.value)


def test_ctrl_c_inside_a_policy_ends_it() -> None:
    spec = DesignSpec("tests:Failing", "Failing", (("how", KeyboardInterrupt),), Failing)
    with pytest.raises(KeyboardInterrupt):
        simulate(workload(), spec, TABLE)


def test_each_domain_has_a_policy_of_its_own() -> None:
    made: list[object] = []
    looked: set[object] = set()

    class Counting:
        arm_delay_ns = 1_000_000

        def __init__(self) -> None:
            made.append(self)

        def look(self, view: _core.View) -> None:
            assert view.cpus_online == 4
            looked.add(self)

    spec = DesignSpec("tests:Counting", "Counting", (), Counting)
    several = dataclasses.replace(workload(), domains=(DomainGroup("disk", count=3),))
    simulate(several, spec, TABLE)
    assert len(made) == 3
    assert looked == set(made)


# -------------------------------------------------------------------- what the header says

HEADER = Path(__file__).parents[2] / "core" / "machine.h"


def fields_of(struct: str) -> set[str]:
    """Names of the fields of one of the header's structs."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    match = re.search(rf"struct {struct} {{(.*?)}};", text, flags=re.S)
    assert match
    return set(re.findall(r"(\w+)(?:\[\w+\])?\s*[,;]", match[1]))


def test_the_binding_knows_every_field_of_the_header() -> None:
    totals = run().totals
    assert set(totals) == fields_of("machine_totals")
    assert set(totals["lock"]["tree"]) == fields_of("machine_lock_totals")
    assert set(TABLE.as_dict()) == fields_of("machine_prices")
    assert set(_core.MACHINE_EVENT_COLUMNS) == fields_of("machine_events") - {"room", "count"}


@pytest.mark.parametrize(
    ("struct", "bad"),
    [
        ("machine_prices", {"prices": {"none": 1}}),
        ("machine_domain", {"domains": [{"none": 1}]}),
        ("machine_flow", {"flows": [{"none": 1}]}),
    ],
)
def test_the_binding_takes_every_field_of_the_header(struct: str, bad: dict[str, object]) -> None:
    known: dict[str, object] = {"domains": [domain()], "flows": [flow([0])], "prices": {}}
    designs = [_core.Design("linux-6.12")]
    with pytest.raises(ValueError, match="has no none; it has: ") as error:
        _core.Machine(
            designs, cpus_possible=1, cpus_online=1, cpus_per_node=1, **(known | bad)  # type: ignore[arg-type]
        )  # fmt: skip
    # Counts go with their arrays.
    counts = {"reserved_count", "submit_cpu_count", "queues", "size_count"}
    assert set(str(error.value).partition("it has: ")[2].split(", ")) == fields_of(struct) - counts


def test_small_magazines_waste_less_and_visit_the_depot_more() -> None:
    preset = load_workload("scsi-256", ["machine.cpus=32", "duration_s=0.2"])
    large, small = (
        simulate(preset, parse_design(f"linux-6.12,magazine={n}"), TABLE) for n in (127, 15)
    )
    assert small.replay.waste < large.replay.waste / 2
    assert small.replay.depot_share > large.replay.depot_share
    assert small.replay.linux_bytes_peak < large.replay.linux_bytes_peak


def test_a_decision_changes_the_magazines_of_its_class() -> None:
    seen = []

    class Grow:
        magazine, arm_by_growth, arm_delay_ns, unbound = 7, True, 1_000_000, True

        def look(self, view: View) -> Decision:
            seen.append((view.size_class, view.magazine))
            return Decision(magazine=63, again_ns=1_000_000)

    spec = DesignSpec("grow", "grow", (), Grow)
    preset = load_workload("scsi-256", ["machine.cpus=8", "duration_s=0.02"])
    simulate(preset, spec, TABLE)
    for size_class in range(6):
        of_class = [magazine for k, magazine in seen if k == size_class]
        assert of_class[0] == 7
        assert set(of_class[1:]) == {63}


def test_larger_sizes_are_cached_with_more_classes() -> None:
    preset = load_workload("mixed-sizes", ["duration_s=1"])
    narrow, wide = (
        simulate(preset, parse_design(f"linux-6.12,classes={n}"), TABLE) for n in (6, 10)
    )
    assert len(wide.replay.classes) == 10
    assert wide.replay.beyond["tree_allocations"] == 0 < narrow.replay.beyond["tree_allocations"]
    assert wide.replay.cached_share > narrow.replay.cached_share
