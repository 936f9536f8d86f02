"""Each cause is named where it is, and only there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from explain_confusion import CASES, Case, explained, table, trace_of_case

from iova import samples
from iova.designs import parse_design
from iova.errors import IovaError
from iova.events import DomainInfo, Op, Trace
from iova.lab import explain_ageing
from iova.lab.explain import CAUSES, Explanation, Harm, explain, recorded_design
from iova.lab.explain_facts import Facts, busy_cpus
from iova.lab.prices import load_prices
from iova.sources import load
from iova.sources.parquet import write_parquet
from iova.workloads import load_workload
from iova.workloads.events import generate
from tables import alloc, free, row, trace_of

TRACES = Path(__file__).parent.parent / "data" / "traces"
LINUX_6_12 = parse_design("linux-6.12")


def of_rows(*rows: dict[str, Any], **info: Any) -> Explanation:
    return explain("table", trace_of(*rows, **info), design=LINUX_6_12)


def evidence(explanation: Explanation, cause: str) -> dict[str, float]:
    (finding,) = [one for one in explanation.findings if one.cause == cause]
    return {one.label: one.value for one in finding.evidence}


# ------------------------------------------------------------------------ the confusion table


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.command.removeprefix("iova explain "))
def test_the_planted_cause_is_named_and_no_other(case: Case) -> None:
    assert explained(case).causes == ((case.cause,) if case.cause else ())


def test_the_page_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text()
    assert table() in page


def test_every_cause_is_planted_somewhere() -> None:
    assert {case.cause for case in CASES} == {*CAUSES, ""}


@pytest.mark.parametrize("case", [one for one in CASES if one.cause], ids=lambda case: case.cause)
def test_a_finding_says_what_to_do_with_numbers_as_evidence(case: Case) -> None:
    (finding,) = explained(case).findings
    assert finding.cost > 0
    assert len(finding.evidence) >= 4
    assert len({one.label for one in finding.evidence}) == len(finding.evidence)
    for words in (finding.verdict, finding.remedy, finding.settle, finding.certainty):
        assert len(words) > 20


@pytest.mark.parametrize(
    "case",
    [
        Case("fixed-depot", "small-depot", "linux-6.1", ("duration_s=0.3",)),
        Case("lost-rings", "stalled-flush", settings=("duration_s=0.4",)),
    ],
    ids=lambda case: case.preset,
)
def test_a_trace_file_made_of_a_preset_gives_the_same_answer(case: Case, tmp_path: Path) -> None:
    trace = trace_of_case(case)
    directly = explain("it", trace, design=parse_design(case.design))
    assert directly.causes == (case.cause,)
    write_parquet(trace, tmp_path / "made.parquet")
    from_file = explain("it", load(tmp_path / "made.parquet").trace)
    assert from_file.to_json() == directly.to_json()


# ----------------------------------------------------------------------------- real traces


def test_the_bundled_trace_lost_thirteen_rings_and_has_sizes_beyond_the_caches() -> None:
    found = explain("burst8-6.12", load(samples.resolve("burst8-6.12")).trace)
    assert found.design == "linux-6.12"
    assert found.causes == ("lost-rings", "sizes-beyond")
    rings = evidence(found, "lost-rings")
    assert rings["ranges unmapped but never freed"] == 13 * 256
    assert rings["CPUs that unmapped them"] == rings["of these in whole rings"] == 4
    assert evidence(found, "sizes-beyond")["largest"] == 96


@pytest.mark.parametrize(("version", "too_short"), [("6.1", True), ("6.12", False)])
def test_nothing_is_wrong_with_the_small_traces(version: str, too_short: bool) -> None:
    found = explain("small", load(TRACES / f"small4-{version}.txt.zst").trace)
    assert found.design == f"linux-{version}"
    assert found.findings == ()
    assert ["Record for longer" in limit for limit in found.limits] == [True] * too_short


def test_a_trace_that_does_not_name_its_kernel_needs_a_design() -> None:
    trace = trace_of(alloc(0, 0), free(1, 0))
    with pytest.raises(IovaError, match="--design"):
        explain("table", trace)
    kernel = replace(trace.info, kernel="6.1.0-13-amd64")
    assert recorded_design("table", Trace(trace.events, kernel)).name == "linux-6.1"


def test_a_generated_trace_is_explained_under_the_design_with_its_parameters() -> None:
    spec = parse_design("linux-6.12,threshold=7")
    workload = load_workload("board-4", ["duration_s=0.01"])
    trace = generate(workload, load_prices().as_dict(), design=spec)
    assert recorded_design("it", trace) == spec


# ------------------------------------------------------------------------------ wrong sizes


def one_life(size: int, free_size: int) -> Explanation:
    return of_rows(
        alloc(0, 0, size=size, pfn=0x1000, t_end=1), free(2, 0, size=free_size, pfn=0x1000)
    )


def test_a_single_free_of_another_class_is_told() -> None:
    told = one_life(16, 8)
    assert told.causes == ("wrong-size",)
    assert evidence(told, "wrong-size")["freed as smaller: the rest stays mapped"] == 1
    larger = evidence(one_life(4, 8), "wrong-size")
    assert larger["freed as larger: handed out over its neighbour"] == 1


@pytest.mark.parametrize(("size", "free_size"), [(5, 8), (33, 64), (32, 32)])
def test_sizes_that_the_caches_round_to_the_same_are_no_mistake(size: int, free_size: int) -> None:
    assert "wrong-size" not in one_life(size, free_size).causes


def test_the_most_severe_cause_comes_first() -> None:
    rows = [
        alloc(10 * i, i % 40, size=256, pfn=0x1000 * (i % 40 + 1), t_end=10 * i + 1)
        if i % 80 < 40
        else free(10 * i, i % 40, size=256, pfn=0x1000 * (i % 40 + 1))
        for i in range(800)
    ]
    sound = of_rows(*rows)
    assert sound.causes == ("sizes-beyond",)
    rows[-1] |= {"size": 8}
    found = of_rows(*rows)
    assert found.causes == ("wrong-size", "sizes-beyond")
    assert [one.harm for one in found.findings] == [Harm.CORRUPTS, Harm.SLOWS]


# -------------------------------------------------------------------------- rings and leaks


def short_lives(first: int, count: int, *, base: int = 0x8000) -> list[dict[str, Any]]:
    """Ranges that live 100 ns each, one after the other, in one slot."""
    return [
        one
        for i in range(first, first + count)
        for one in (
            alloc(1000 * i, 0, pfn=base, t_end=1000 * i + 10),
            row(1000 * i + 100, Op.UNMAP, pfn=base, last=base, domain=None),
            free(1000 * i + 110, 0, pfn=base),
        )
    ]


def lost(count: int, *, unmapped: bool = True) -> list[dict[str, Any]]:
    """Ranges that are not freed, allocated at once."""
    rows = [alloc(i, i, pfn=0x100 + i, t_end=i + 1) for i in range(1, count + 1)]
    pages = [0x100 + i for i in range(1, count + 1)] if unmapped else []
    return rows + [row(900, Op.UNMAP, cpu=1, pfn=p, last=p, domain=None) for p in pages]


@pytest.mark.parametrize("count", [255, 256, 512])
def test_rings_are_lost_as_a_whole(count: int) -> None:
    found = of_rows(alloc(0, 0, pfn=0x8000, t_end=1), free(0, 0, pfn=0x8000),
                    *lost(count), *short_lives(1, 100))  # fmt: skip
    assert found.causes == (("lost-rings",) if count >= 256 else ())
    if found.findings:
        assert f"{count // 256} whole rings" in found.findings[0].verdict
        assert evidence(found, "lost-rings")["of these in whole rings"] == 1


def test_ranges_that_are_no_whole_rings_are_told_without_the_inference() -> None:
    found = of_rows(alloc(0, 0, pfn=0x8000, t_end=1), free(0, 0, pfn=0x8000),
                    *lost(300), *short_lives(1, 100))  # fmt: skip
    assert found.causes == ("lost-rings",)
    assert "they are no multiple of 256" in found.findings[0].certainty


def test_unmaps_of_another_domain_at_the_same_pages_are_not_taken_for_these() -> None:
    """Ranges that are kept, while another domain uses the same page frames and frees them."""
    kept = lost(256, unmapped=False)
    other = [
        one
        for i in range(1, 257)
        for one in (
            alloc(2000 + i, 0, pfn=0x100 + i, t_end=2000 + i, domain=1),
            row(2000 + i, Op.UNMAP, pfn=0x100 + i, last=0x100 + i, domain=None),
            free(2000 + i, 0, pfn=0x100 + i, domain=1),
        )
    ]
    found = of_rows(alloc(0, 0, pfn=1, t_end=0), free(0, 0, pfn=1), *kept, *other,
                    *short_lives(5, 100), domains=(DomainInfo(0), DomainInfo(1)))  # fmt: skip
    assert found.causes == ()


def test_buffers_made_at_the_start_and_kept_are_no_leak() -> None:
    begin = [alloc(0, 0, pfn=0x8000, t_end=1), free(0, 0, pfn=0x8000)]
    kept = of_rows(*begin, *lost(400, unmapped=False), *short_lives(1, 400))
    assert kept.causes == ()
    rising: list[dict[str, Any]] = []
    for i in range(1, 401):
        rising += short_lives(i, 1)
        rising.append(alloc(1000 * i + 500, i, pfn=0x100 + i, t_end=1000 * i + 501))
    leak = of_rows(*begin, *rising)
    assert leak.causes == ("never-unmaps",)
    quarters = [v for k, v in evidence(leak, "never-unmaps").items() if "quarter" in k]
    assert len(quarters) == 4
    assert max(quarters) - min(quarters) <= 2


def test_what_a_destroyed_domain_held_is_not_lost() -> None:
    rows = [*lost(256), *short_lives(1, 100), row(200_000, Op.DESTROY)]
    begin = [alloc(0, 0, pfn=0x8000, t_end=1), free(0, 0, pfn=0x8000)]
    assert of_rows(*begin, *rows[:-1]).causes == ("lost-rings",)
    assert of_rows(*begin, *rows).causes == ()


# ---------------------------------------------------------------------------------- the rest


def test_one_domain_is_looked_at_alone() -> None:
    rows = [
        alloc(0, 0, size=16, pfn=0x1000, t_end=1),
        alloc(1, 1, size=16, pfn=0x1000, t_end=2, domain=1),
        free(2, 0, size=8, pfn=0x1000),
        free(3, 1, size=16, pfn=0x1000, domain=1),
    ]
    trace = trace_of(*rows, domains=(DomainInfo(0), DomainInfo(1)))
    found = [explain("t", trace, design=LINUX_6_12, domain=n).causes for n in (0, 1)]
    assert found == [("wrong-size",), ()]
    with pytest.raises(IovaError, match="its domains: 0, 1"):
        explain("t", trace, design=LINUX_6_12, domain=7)


def test_a_stray_call_makes_no_cpu_busy() -> None:
    assert busy_cpus(pl.Series([3] * 500 + [5] * 499 + [7], dtype=pl.UInt16)) == 2
    assert busy_cpus(pl.Series([], dtype=pl.UInt16)) == 0


def test_freed_at_home_moves_frees_and_nothing_else() -> None:
    rows = [alloc(i, i, cpu=i % 2, pfn=i + 1, t_end=i) for i in range(4)]
    rows += [free(10 + i, i, cpu=1, pfn=i + 1) for i in range(4)]
    facts = Facts(trace_of(*rows), LINUX_6_12, load_prices())
    counters = [facts.result.classes[0], facts.freed_at_home.classes[0]]
    assert [one["puts"] for one in counters] == [4, 4]
    assert facts.freed_at_home.totals["live_pages_peak"] == 4
    assert facts.source.columns["cpu"].tolist() == [0, 1, 0, 1, 1, 1, 1, 1]


def test_lost_events_and_domains_born_earlier_are_told_as_limits() -> None:
    found = of_rows(alloc(0, 0), free(1, 0), lost_events=3, domains=(DomainInfo(0, born=False),))
    assert "3 events were lost" in found.limits[0]
    assert "Domain 0 began before the trace" in found.limits[1]


def test_progress_names_every_cause() -> None:
    told: list[str] = []
    trace = trace_of(alloc(0, 0), free(1, 0))
    explain("t", trace, design=LINUX_6_12, progress=lambda what, _done, _total: told.append(what))
    assert [what for what in told if what != "replaying"] == [f"looking for {c}" for c in CAUSES]
    assert "replaying" in told


@pytest.mark.parametrize(("second", "last", "named"), [(0.03, 3.97, False), (3.0, 40.0, True)])
def test_work_in_the_tree_below_that_of_a_hit_is_no_ageing(
    second: float, last: float, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = {1: second, 2: last, 3: last}
    monkeypatch.setattr(explain_ageing, "_load_is_the_same", lambda _facts: True)
    monkeypatch.setattr(
        explain_ageing,
        "_quarter",
        lambda _facts, _series, q: explain_ageing._Quarter(1000, work[q], 100.0 * q, 50.0, 0),
    )
    trace = trace_of(*(one for i in range(40) for one in (alloc(i * 10, 0), free(i * 10 + 5, 0))))
    found = explain_ageing.ageing(Facts(trace, LINUX_6_12, load_prices()))
    assert (found is not None) is named
