"""The HTML report: self-contained, escaped, not too large."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from comparisons import compared
from iova.designs import parse_design
from iova.errors import InputError
from iova.lab.against import compare_against
from iova.lab.compare import Comparison, compare
from iova.lab.result_file import result_json, stored
from iova.report import charts, page
from tables import alloc, filling_depot, trace_of

HOSTILE = "</script><script>alert(1)</script><b onload='x'>\"&"


def comparison(name: str = "trace", *designs: str, kernel: str | None = None) -> Comparison:
    specs = [parse_design(design) for design in designs or ("linux-6.1", "linux-6.12")]
    rows = filling_depot(6)
    rows += [alloc(rows[-1]["t"] + i, i) for i in range(800)]
    return compare(name, trace_of(*rows, kernel=kernel), specs, samples=100)


def charts_of(text: str) -> dict[str, dict[str, object]]:
    found = re.search(r'<script id="charts" type="application/json">(.*?)</script>', text, re.S)
    assert found
    charts: dict[str, dict[str, object]] = json.loads(found[1])
    return charts


def test_the_page_holds_answer_table_and_charts_and_fetches_nothing() -> None:
    text = page.render_page([comparison(kernel="6.12.1")], command="iova compare trace")
    assert "the caches serve" in text
    assert set(charts_of(text)) == {"depot0", "pages0"}
    outside = text.split('<script type="module">')[0]
    assert outside.count("<tr>") == 3
    assert not re.search(r"(?:src|href)\s*=", outside)
    assert len(text.encode()) < 3_000_000


def test_text_of_a_trace_and_command_can_not_become_markup() -> None:
    text = page.render_page([comparison(HOSTILE, kernel=HOSTILE)], command=HOSTILE)
    assert "<script>alert" not in text
    assert "<b onload" not in text
    assert len(re.findall(r"</script", text)) == 3
    charts_of(text)


def test_a_place_named_in_a_value_is_not_filled() -> None:
    text = page.render_page([comparison("{{vega}}")], command="{{charts}}")
    assert len(text.encode()) < 1_500_000
    assert "<code>{{charts}}</code>" in text


def test_every_design_has_its_line_in_each_chart() -> None:
    designs = ("linux-6.1", "unbounded", "linux-6.12,threshold=1")
    charts = charts_of(page.render_page([comparison("x", *designs)], command=""))
    for chart in charts.values():
        values = chart["data"]["values"]  # type: ignore[index]
        assert {row["design"] for row in values} == set(designs)
        assert max(row["value"] for row in values) > 0


def test_long_series_are_thinned_but_keep_least_and_most() -> None:
    n = 50_000
    frame = pl.DataFrame({"design": ["a"] * n, "depot": [i % 7 for i in range(n)]}).with_columns(
        depot=pl.when(pl.int_range(pl.len()) == 31_337).then(99).otherwise(pl.col("depot"))
    )
    thinned = charts.thinned(frame, ["depot"])
    assert thinned.height <= charts.MAX_CHART_ROWS + 4
    assert thinned["depot"].max() == 99
    assert thinned["depot"].min() == 0


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
    text = page.answer(comparison("x", "linux-6.1,depot=1", "unbounded"))
    assert "most under unbounded" in text
    same = page.answer(comparison("x", "unbounded", "linux-6.1"))
    assert "under every design" in same
    assert "under unbounded" in page.answer(comparison("x", "unbounded"))


# ------------------------------------------------------------------------------- workloads


def test_a_workload_has_the_machine_s_table_and_charts() -> None:
    text = page.render_page([comparison(), compared(samples=60)], command="")
    charts = charts_of(text)
    assert set(charts) == {
        *("depot0", "pages0"),
        *("throughput1", "waits1", "depot1", "pages1"),
    }
    outside = text.split('<script type="module">')[0]
    assert outside.count("<tr>") == 9
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
    values = charts_of(page.render_page([shown], command=""))["throughput0"]["data"]["values"]  # type: ignore[index]
    rates = [row["value"] for row in values]
    row = shown.designs[0].machine
    assert row is not None
    assert sum(rates) / len(rates) == pytest.approx(row.requests_per_s, rel=0.1)


def test_lock_waits_over_time_are_those_of_the_run() -> None:
    shown = compared("linux-6.12", samples=40)
    values = charts_of(page.render_page([shown], command=""))["waits0"]["data"]["values"]  # type: ignore[index]
    shares = [row["value"] for row in values]
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
    assert re.search(r"requests a second; CPUs wait for locks in \S+ %", page.answer(compared()))
    assert "requests a second" in page.answer(compared("unbounded"))
