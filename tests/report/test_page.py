"""The HTML report: self-contained, escaped, not too large."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from page_panels import panels_of

from comparisons import compared
from iova.designs import parse_design
from iova.errors import InputError
from iova.lab.against import compare_against
from iova.lab.compare import Comparison, compare
from iova.lab.result_file import result_json, stored
from iova.report import page
from iova.report.answer import answer
from tables import alloc, filling_depot, trace_of

HOSTILE = "</script><script>alert(1)</script><b onload='x'>\"&"


def comparison(name: str = "trace", *designs: str, kernel: str | None = None) -> Comparison:
    specs = [parse_design(design) for design in designs or ("linux-6.1", "linux-6.12")]
    rows = filling_depot(6)
    rows += [alloc(rows[-1]["t"] + i, i) for i in range(800)]
    return compare(name, trace_of(*rows, kernel=kernel), specs, samples=100, tables=True)


def panel(text: str, name: str) -> dict[str, Any]:
    return next(one for one in panels_of(text) if one["id"] == name)


def outside_of_scripts(text: str) -> str:
    return text.split('<script type="module">')[0]


OF_A_TRACE = {"depot", "pages", "served", "steps", "memory", "handovers", "fill", "space"}


def test_the_page_holds_answer_table_and_charts_and_fetches_nothing() -> None:
    text = page.render_page([comparison(kernel="6.12.1")], command="iova compare trace")
    assert "the caches serve" in text
    assert set(re.findall(r'<figure id="([a-z]+)0">', text)) == OF_A_TRACE
    assert {re.sub(r"0-\d+$", "", one["id"]) for one in panels_of(text)} == OF_A_TRACE
    outside = outside_of_scripts(text)
    assert outside.count("<tr>") == 3
    assert not re.search(r"(?:src|href)\s*=", outside.replace("default-src", ""))
    assert "default-src 'none'" in outside
    assert len(text.encode()) < 3_000_000


def test_only_the_page_s_own_scripts_may_run() -> None:
    text = page.render_page([comparison()], command="")
    scripts = re.findall(r'<script type="module">(.*?)</script>', text, re.S)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in outside_of_scripts(text)
    policy = re.search(r"script-src ([^;]*);", text)
    assert policy
    assert "unsafe-inline" not in policy[1]


def test_the_page_says_what_it_rests_on() -> None:
    given = dataclasses.replace(comparison(kernel="6.12.1"), digest="ab" * 32, malformed=3)
    outside = outside_of_scripts(page.render_page([given], command="iova compare it"))
    for told in ("iova compare it", "ab" * 32, "3 malformed lines", "Vega-Lite", "6.12.1"):
        assert told in outside
    assert "A replay executes" in outside


def test_only_of_several_seeds_a_page_says_whose_charts_it_shows() -> None:
    told = "those of its first seed"
    assert told not in page.render_page([comparison()], command="")
    assert told not in page.render_page([compared(samples=20)], command="")
    assert told in page.render_page([comparison(), compared(samples=20, seeds=[1, 2])], command="")


def test_text_of_a_trace_and_command_can_not_become_markup() -> None:
    text = page.render_page([comparison(HOSTILE, kernel=HOSTILE)], command=HOSTILE)
    assert "<script>alert" not in text
    assert "<b onload" not in text
    assert len(re.findall(r"</script", text)) == 3
    panels_of(text)


def test_a_place_named_in_a_value_is_not_filled() -> None:
    text = page.render_page([comparison("{{vega}}")], command="{{charts}}")
    assert text.count("window.vegaEmbed = ") + text.count("window.vegaEmbed=") == 1
    assert "<dd>{{charts}}</dd>" in text


def test_every_design_has_its_panel_or_its_line_in_each_chart() -> None:
    designs = ("linux-6.1", "unbounded", "linux-6.12,threshold=1")
    text = page.render_page([comparison("x", *designs)], command="")
    for name in OF_A_TRACE - {"steps", "memory", "handovers"}:
        for i, design in enumerate(designs):
            one = panel(text, f"{name}0-{i}")
            assert any(any(column) for column in one["data"].values())
            assert f'data-design="{i}"><h4>{design}</h4>' in text
    for name in ("steps", "memory"):
        series = panel(text, f"{name}0-0")["hover"]["series"]
        assert [(one["design"], one["label"]) for one in series] == list(enumerate(designs))


def test_many_designs_and_sources_stay_below_three_megabytes() -> None:
    designs = [f"linux-6.12,threshold={i}" for i in range(6)]
    one = compared(*designs, samples=1200, tables=True)
    text = page.render_page([one] * 3, command="")
    assert len(text.encode()) < 3_000_000
    assert len(panels_of(text)) > 3 * 6 * 5


def test_a_page_that_can_not_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(f"no room for {target} of {self}")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match="no room"):
        page.write_page([comparison()], tmp_path / "r.html", command="")
    assert list(tmp_path.iterdir()) == []


def test_the_answer_names_what_is_best_and_what_is_tied() -> None:
    text = answer(comparison("x", "linux-6.1,depot=1", "unbounded"))
    assert "most under unbounded" in text
    same = answer(comparison("x", "unbounded", "linux-6.1"))
    assert "under every design" in same
    assert "under unbounded" in answer(comparison("x", "unbounded"))


def with_rows(shown: Comparison, **values: list[float]) -> Comparison:
    """The comparison as if its designs had other numbers, of the allocator or the machine."""
    designs = []
    for i, runs in enumerate(shown.designs):
        (run,) = runs.runs
        mine = {name: given[i] for name, given in values.items()}
        parts: dict[str, Any] = {}
        for part in ("row", "machine"):
            row = getattr(run, part)
            names = mine.keys() & {f.name for f in dataclasses.fields(row)} if row else set()
            parts[part] = dataclasses.replace(row, **{name: mine[name] for name in names})
        designs.append(dataclasses.replace(runs, runs=(dataclasses.replace(run, **parts),)))
    return dataclasses.replace(shown, designs=tuple(designs))


def test_the_answer_s_verbs_and_counts_agree_with_what_they_are_about() -> None:
    shown = compared("linux-6.1", "unbounded", "linux-6.12")
    text = answer(with_rows(shown, memory_kib_peak=[9, 7, 7], allocations=[66962, 66962, 66962]))
    assert "of 66,962 allocations" in text
    assert "unbounded and linux-6.12 need the least memory at their peak (7 KiB)" in text
    text = answer(with_rows(shown, memory_kib_peak=[9, 7, 8], allocations=[66962, 67026, 67000]))
    assert "of 66,962 to 67,026 allocations" in text
    assert "unbounded needs the least memory at its peak (7 KiB)" in text
    assert "; each needs 9 KiB at its peak." in answer(with_rows(shown, memory_kib_peak=[9, 9, 9]))


def test_the_answer_has_the_table_s_precision() -> None:
    shown = compared("linux-6.1", "unbounded")
    small = with_rows(shown, lock_wait_percent=[6.1e-9, 6.8e-9])
    assert "CPUs wait for locks in <.001 % of their time" in answer(small)
    other = with_rows(shown, lock_wait_percent=[0.0, 12.3456])
    assert "CPUs wait for locks in 0 to 12.3 % of their time" in answer(other)


def test_the_answer_says_about_where_runs_differ_in_their_allocations() -> None:
    assert "% of about " in answer(compared(seeds=[1, 2]))
    assert "about" not in answer(compared())


# ------------------------------------------------------------------------------- workloads


def test_a_workload_has_the_machine_s_table_and_charts() -> None:
    text = page.render_page([comparison(), compared(samples=60, tables=True)], command="")
    assert set(re.findall(r'<figure id="([a-z]+)1">', text)) == OF_A_TRACE | {"throughput", "waits"}
    outside = outside_of_scripts(text)
    assert outside.count("<tr>") == 12
    for head in ("req/s", "p99.9", "wait%", "free worst", "tree%"):
        assert f"<th>{head}</th>" in outside
        assert f"<dt>{head}</dt>" in outside
    assert "simulated machine executes every call" in outside
    assert "A replay executes the recorded calls" in outside


def test_a_page_says_where_a_workload_s_numbers_come_from() -> None:
    shown = compared(seeds=[3, 4], settings=["depth=64"], prices_from="prices mine.toml")
    text = page.render_page([shown], command="")
    for told in ("made up", "depth=64", "seeds 3 to 4", "prices mine.toml", "host: a test&#x27;s"):
        assert told in text
    assert "<small>±" in text
    assert "A replay executes" not in text


def test_throughput_over_time_is_that_of_the_run() -> None:
    shown = compared("linux-6.12", samples=40)
    rates = panel(page.render_page([shown], command=""), "throughput0-0")["data"]["m0"]
    row = shown.designs[0].machine
    assert row is not None
    assert sum(rates) / len(rates) == pytest.approx(row.requests_per_s, rel=0.1)


def test_lock_waits_over_time_are_those_of_the_run() -> None:
    shown = compared("linux-6.12", samples=40)
    shares = panel(page.render_page([shown], command=""), "waits0-0")["data"]["h3"]
    row = shown.designs[0].machine
    assert row is not None
    assert sum(shares) / len(shares) == pytest.approx(row.lock_wait_percent, rel=0.1)


def test_text_of_a_workload_can_not_become_markup() -> None:
    shown = compared(name=HOSTILE, settings=[HOSTILE], prices_from=HOSTILE)
    text = page.render_page([shown], command=HOSTILE)
    assert "<script>alert" not in text
    assert "<b onload" not in text
    assert len(re.findall(r"</script", text)) == 3


def test_a_page_holds_what_changed_against_an_earlier_result() -> None:
    seeds = [1, 2, 3, 4]
    earlier = stored(result_json([compared("unbounded", seeds=seeds)]), HOSTILE)
    now = compared("unbounded", seeds=seeds, flow={"depth": 16}, settings=["depth=16"])
    text = page.render_page([now], command="", against=compare_against([now], earlier))
    assert "<td>requests_per_s</td>" in text
    assert "<td>0.029 *</td>" in text
    assert "other settings: none then, depth=16 now." in text
    assert "<script>alert" not in text


def test_the_answer_of_a_workload_names_its_throughput() -> None:
    assert re.search(r"requests a second; CPUs wait for locks in \S+ %", answer(compared()))
    assert "requests a second" in answer(compared("unbounded"))
