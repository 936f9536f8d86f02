"""A result beside an earlier one: what changed, whether by chance, and hostile files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comparisons import compared
from iova.designs import parse_design
from iova.errors import InputError
from iova.lab import result_file
from iova.lab.against import Against, Change, DesignChange, compare_against
from iova.lab.compare import Comparison, compare
from iova.lab.confidence import permutation_p
from iova.lab.result_file import read_result, result_json
from iova.report import changes
from tables import filling_depot, trace_of


def stored(tmp_path: Path, *comparisons: Comparison, name: str = "earlier.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(result_json(comparisons)))
    return path


def against(tmp_path: Path, earlier: Comparison, now: Comparison) -> Against:
    return compare_against([now], read_result(stored(tmp_path, earlier)))


def change_of(one: DesignChange, metric: str) -> Change:
    return next(change for change in one.changes if change.metric == metric)


# --------------------------------------------------------------------------- what changed


def test_a_change_has_both_means_percent_and_p(tmp_path: Path) -> None:
    seeds = [1, 2, 3, 4]
    earlier = compared("linux-6.12", seeds=seeds)
    now = compared("linux-6.12", seeds=seeds, flow={"depth": 16})
    (one,) = against(tmp_path, earlier, now).designs
    assert (one.source, one.design, one.earlier_runs, one.runs) == ("busy", "linux-6.12", 4, 4)
    rates = [
        [run.metrics()["requests_per_s"] for run in comparison.designs[0].runs]
        for comparison in (earlier, now)
    ]
    change = change_of(one, "requests_per_s")
    means = [float(np.mean(side)) for side in rates]
    assert [change.earlier, change.now] == pytest.approx(means)
    assert change.percent == pytest.approx(100 * (means[1] - means[0]) / means[0])
    table = [np.array(side)[:, np.newaxis] for side in rates]
    assert change.p == pytest.approx(permutation_p(table[0], table[1])[0])
    assert change.p == pytest.approx(2 / 70)
    assert change.is_significant
    assert one.basis() == "4 runs then, 4 now"


def test_the_same_runs_have_changed_in_nothing(tmp_path: Path) -> None:
    report = against(tmp_path, compared(seeds=[1, 2]), compared(seeds=[1, 2]))
    assert [one.design for one in report.designs] == ["linux-6.1", "linux-6.12"]
    for one in report.designs:
        assert len(one.changes) > 40
        assert not any(change.is_one or change.is_significant for change in one.changes)
        assert {change.p for change in one.changes} == {1.0}
    assert report.notes == ()


def test_one_run_each_has_no_significance(tmp_path: Path) -> None:
    (one,) = against(tmp_path, compared("unbounded"), compared("unbounded", seeds=[9])).designs
    assert {change.p for change in one.changes} == {None}
    assert any(change.is_one for change in one.changes)
    assert one.basis() == "one run each: no significance"


def test_too_few_runs_say_so(tmp_path: Path) -> None:
    seeds = [1, 2, 3]
    report = against(tmp_path, compared(seeds=seeds), compared(seeds=[7, 8, 9]))
    assert "too few to be significant (p is at least 0.1)" in report.designs[0].basis()


def test_any_change_of_a_replay_is_a_change(tmp_path: Path) -> None:
    designs = [parse_design("linux-6.12")]
    earlier, now = (compare("t", trace_of(*filling_depot(n)), designs) for n in (3, 5))
    (one,) = against(tmp_path, earlier, now).designs
    assert one.is_replay
    assert one.basis() == "a replay: any change is a change"
    assert change_of(one, "depot_peak").percent == pytest.approx(100 * 2 / 3)
    assert change_of(one, "failed").percent is None


def test_only_what_both_have_is_compared_and_the_rest_is_named(tmp_path: Path) -> None:
    report = against(
        tmp_path, compared("linux-6.1", "unbounded"), compared("unbounded", "linux-7.3")
    )
    assert [one.design for one in report.designs] == ["unbounded"]
    assert report.notes == (
        "Only there: busy under linux-6.1.",
        "Only here: busy under linux-7.3.",
    )


def test_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no source and design in common.*busy under linux-6\.1"):
        against(tmp_path, compared("linux-6.1"), compared("linux-6.1", name="other"))


def test_other_circumstances_are_told(tmp_path: Path) -> None:
    path = stored(tmp_path, compared("unbounded", settings=["depth=64"]))
    raw = json.loads(path.read_text())
    raw["version"] = "0.0.1"
    raw["comparisons"][0]["simulation"]["prices"]["picoseconds"]["lock"] += 1
    path.write_text(json.dumps(raw))
    notes = compare_against([compared("unbounded", settings=["depth=8"])], read_result(path)).notes
    assert notes[0].startswith("It was made by iova 0.0.1, this is ")
    assert notes[1:] == (
        "busy: other settings: depth=64 then, depth=8 now.",
        "busy: other prices.",
    )


def test_more_domains_or_cpus_of_a_trace_are_told(tmp_path: Path) -> None:
    trace, designs = trace_of(*filling_depot(3)), [parse_design("unbounded")]
    narrow, wide = (compare("t", trace, designs, domain=0, cpus=cpus) for cpus in (None, 4))
    assert against(tmp_path, narrow, wide).notes == ("t: other CPUs: none then, 4 now.",)


def test_the_json_can_be_written(tmp_path: Path) -> None:
    report = against(tmp_path, compared(seeds=[1, 2]), compared(seeds=[1, 2, 3]))
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert found["designs"][0]["metrics"]["requests_per_s"]["p"] > 0
    assert (found["designs"][0]["earlier_runs"], found["designs"][0]["runs"]) == (2, 3)


# ------------------------------------------------------------------------------- the text


def test_the_text_shows_what_changed_within_80_columns(tmp_path: Path) -> None:
    seeds = [1, 2, 3, 4]
    text = changes.changes_text(
        against(tmp_path, compared(seeds=seeds), compared(seeds=seeds, flow={"depth": 16}))
    )
    head, *lines = text.splitlines()
    assert head.startswith("against ")
    assert all(len(line) <= 80 for line in lines)
    assert sum(line.startswith("  requests_per_s") for line in lines) == 2
    assert any(line.endswith("0.029 *") for line in lines)
    assert "permutation test" in text


def test_the_text_says_when_nothing_changed(tmp_path: Path) -> None:
    text = changes.changes_text(against(tmp_path, compared(), compared()))
    assert text.count("nothing of the tables has changed") == 2
    assert "permutation" not in text


def test_a_hostile_name_does_not_reach_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b[31mred"
    report = against(tmp_path, compared(name=hostile), compared(name=hostile))
    assert "\x1b" not in changes.changes_text(report)


@pytest.mark.parametrize(
    ("earlier", "now", "shown"),
    [(100.0, 94.25, "-5.8 %"), (100.0, 100.001, "~0.0 %"), (0.0, 3.0, "new"), (1.0, 50, "+4900 %")],
)  # fmt: skip
def test_percent_is_signed_and_short(earlier: float, now: float, shown: str) -> None:
    percent = 100 * (now - earlier) / earlier if earlier else None
    assert changes.percent_text(Change("x", earlier, now, percent, None)) == shown


# ---------------------------------------------------------------------------- hostile files


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    return result_json([compared("unbounded", seeds=[1, 2])])


def at(found: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same JSON with one value replaced."""
    changed = copy.deepcopy(found)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


DESIGN = ("comparisons", 0, "designs", 0)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("format",), "another", "is no result of `iova compare --json`"),
        (("schema_version",), 99, "schema_version is 99; this program reads 1"),
        (("schema_version",), True, "schema_version is True"),
        (("version",), None, "version is no text"),
        (("comparisons",), {}, "comparisons is no list"),
        (("comparisons", 0), 3, r"comparisons\[0\] is no object"),
        (("comparisons", 0, "source"), ["x"], r"comparisons\[0\].source is no text"),
        ((*DESIGN, "runs"), [], "holds 0 runs, not 1 to 200"),
        ((*DESIGN, "runs"), [{}] * 201, "holds 201 runs"),
        ((*DESIGN, "design"), 1, r"designs\[0\].design is no text"),
        ((*DESIGN, "runs", 1, "waste"), "1", r"runs\[1\].waste is no number"),
        ((*DESIGN, "runs", 1, "waste"), True, r"runs\[1\].waste is no number"),
        ((*DESIGN, "runs", 1, "waste"), [1], r"runs\[1\].waste is no number"),
        ((*DESIGN, "runs", 1, "waste"), float("nan"), r"runs\[1\].waste is no number"),
        ((*DESIGN, "runs", 1, "waste"), float("-inf"), r"runs\[1\].waste is no number"),
        ((*DESIGN, "runs", 1, "waste"), 10**400, r"runs\[1\].waste is no number"),
        ((*DESIGN, "runs", 1, "seed"), "x", r"runs\[1\].seed is no whole number"),
    ],
)
def test_a_value_that_can_not_be_is_named(
    tmp_path: Path, good: dict[str, Any], path: tuple[Any, ...], value: Any, told: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(at(good, path, value)))
    with pytest.raises(InputError, match=told) as raised:
        read_result(file)
    assert str(raised.value).startswith(str(file))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'[{"source": "x"}]', b"null", b"1" * 5000, b"PAR1"],
)
def test_what_is_no_result_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"is no (JSON|result)"):
        read_result(file)


def test_a_file_that_is_too_long_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored(tmp_path, compared("unbounded"))
    monkeypatch.setattr(result_file, "MOST_BYTES", 1 << 10)
    with pytest.raises(InputError, match="is no result: it has more than"):
        read_result(file)


def test_what_can_not_be_opened_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", f"{tmp_path}/zero\0"):
        with pytest.raises(InputError, match="cannot be read"):
            read_result(path)


def test_metrics_of_another_version_are_left_out(tmp_path: Path, good: dict[str, Any]) -> None:
    file = tmp_path / "other.json"
    changed = at(good, (*DESIGN, "runs", 0, "of_tomorrow"), 5)
    del changed["comparisons"][0]["designs"][0]["runs"][1]["waste"]
    file.write_text(json.dumps(changed))
    (one,) = compare_against([compared("unbounded", seeds=[1, 2])], read_result(file)).designs
    metrics = {change.metric for change in one.changes}
    assert "requests_per_s" in metrics
    assert not metrics & {"of_tomorrow", "waste"}
