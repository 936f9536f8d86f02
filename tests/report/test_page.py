"""The HTML report: self-contained, escaped, not too large."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from iova.designs import parse_design
from iova.errors import InputError
from iova.lab.compare import Comparison, compare
from iova.report import page, table
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
    thinned = page._thinned(frame, ["depot"])
    assert thinned.height <= page.MAX_CHART_ROWS + 4
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


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (99_999, "99999"), (100_000, "100k"), (1_460_000, "1.46M"), (7.6e9, "7.6G"),
     (999_600, "1M"), (3e15, "3.00e+15")],
)  # fmt: skip
def test_counts_are_shown_in_at_most_six_characters(number: float, text: str) -> None:
    assert table.short_count(number) == text


def test_control_characters_of_a_trace_do_not_reach_the_terminal() -> None:
    assert table.printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
