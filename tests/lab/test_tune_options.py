"""Ranges, objectives and targets as a user writes them, and what is said where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iova.designs import parse_design
from iova.errors import IovaError
from iova.lab.tune_goals import METRICS, parse_goals
from iova.lab.tune_space import Range, parse_space


def ranges(design: str, *texts: str) -> dict[str, Range]:
    return {one.name: one for one in parse_space(parse_design(design), texts).ranges}


def test_a_design_s_own_parameters_are_tuned_within_its_bounds_switches_excepted() -> None:
    found = ranges("linux-6.12")
    assert list(found) == ["delay_ms", "threshold", "batch"]
    assert (found["threshold"].low, found["threshold"].high) == (0, 1 << 20)
    assert all(one.log for one in found.values())
    assert found["delay_ms"].unit == "ms"
    assert list(ranges("linux-6.12,delay_ms=10,batch=2")) == ["threshold"]


def test_ranges_are_read() -> None:
    found = ranges("linux-6.12", "threshold=0..64,8", "delay_ms=1..1000,log", "rearm=0..1")
    assert found["threshold"].values() == [0, 8, 16, 24, 32, 40, 48, 56, 64]
    assert found["delay_ms"].log
    assert found["rearm"].values() == [0, 1]
    assert str(found["threshold"]) == "threshold=0..64,8"


def test_a_user_s_design_may_have_real_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tuned_part.py").write_text(
        "class Part:\n"
        "    def __init__(self, share=0.5):\n        self.share = share\n"
        "    def look(self, view):\n        return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    space = parse_space(parse_design("tuned_part:Part"), ["share=0.1..0.7,0.2"])
    assert space.ranges[0].values() == [0.1, 0.3, 0.5, 0.7]
    assert space.text((0.3,)) == "tuned_part:Part,share=0.3"
    with pytest.raises(IovaError, match="no parameter to tune; name one with --param"):
        parse_space(parse_design("tuned_part:Part"), [])


def test_a_user_s_class_says_what_is_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tuned_whole.py").write_text(
        "class Half:\n"
        "    tuned = ('every_ms=50..5000,log', 'share=0.1..0.9,0.2')\n"
        "    def __init__(self, every_ms=100, share=0.5):\n        pass\n"
        "    def look(self, view):\n        return None\n"
        "class Wrong(Half):\n    tuned = 'every_ms=50..5000'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert {name: str(one) for name, one in ranges("tuned_whole:Half").items()} == {
        "every_ms": "every_ms=50..5000,log",
        "share": "share=0.1..0.9,0.2",
    }
    assert list(ranges("tuned_whole:Half,every_ms=70")) == ["share"]
    assert list(ranges("tuned_whole:Half", "share=0.1..0.5,0.1")) == ["share"]
    with pytest.raises(IovaError, match="tuned is no sequence of ranges"):
        ranges("tuned_whole:Wrong")


@pytest.mark.parametrize(
    ("design", "text", "told"),
    [
        ("linux-6.12", "threshold", "not of the form key=low..high"),
        ("linux-6.12", "threshold=5", "not of the form"),
        ("linux-6.12", "threshold=9..1", "ends before it starts"),
        ("linux-6.12", "threshold=1..2..3", "not of the form"),
        ("linux-6.12", "threshold=1..9,12", "the step must be above 0"),
        ("linux-6.12", "threshold=1..9,0", "the step must be above 0"),
        ("linux-6.12", "threshold=1..9,0.5", "the step of whole numbers is whole"),
        ("linux-6.12", "threshold=0.5..9", "takes whole numbers"),
        ("linux-6.12", "threshold=-1..9", r"within 0\.\.1048576"),
        ("linux-6.12", "threshold=0..99999999", r"within 0\.\.1048576"),
        ("linux-6.12", "depot=0..9", "linux-6.12 has no depot; its parameters: delay_ms"),
        ("linux-6.12,threshold=3", "threshold=0..9", "fixes it"),
        ("unbounded", "", "no parameter to tune"),
        ("linux-6.12", "threshold=0..9" + "9" * 5000, "not of the form|beyond 2"),
        ("linux-6.12", "threshold=1..9,lin", "not of the form"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(design: str, text: str, told: str) -> None:
    with pytest.raises(IovaError, match=told):
        parse_space(parse_design(design), [text] if text else [])


def test_a_parameter_is_tuned_once() -> None:
    with pytest.raises(IovaError, match="threshold is given twice"):
        ranges("linux-6.12", "threshold=0..9", "threshold=0..5")


@given(
    low=st.integers(0, 1000),
    width=st.integers(0, 10**6),
    step=st.integers(1, 50),
    log=st.booleans(),
    place=st.floats(0, 1),
    by=st.floats(-1, 1),
)
def test_every_step_leads_to_another_legal_value(
    low: int, width: int, step: int, log: bool, place: float, by: float
) -> None:
    one = Range("x", low, low + width, None if log or step > max(width, 1) else step, log)
    legal = range(one.low, one.high + 1, one.step or 1)  # type: ignore[arg-type]
    value = one.value_at(place)
    assert value in legal
    assert one.value_at(one.place_of(value)) == value
    assert one.count == len(legal)
    if by:
        moved = one.moved(value, by)
        assert moved is None or (moved in legal and (moved > value) == (by > 0))
        assert (moved is None) == (value == (legal[-1] if by > 0 else legal[0]))
    assert all(other in legal and other != value for other in one.neighbours(value))


def test_a_logarithmic_range_steps_by_ratios_from_zero_up() -> None:
    one = Range("x", 0, 1023, log=True)
    assert [one.value_at(i / 10) for i in range(11)] == [
        0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023,
    ]  # fmt: skip
    assert one.neighbours(31) == [15, 63]


# --------------------------------------------------------------------------------- goals


def test_targets_are_read_with_their_units() -> None:
    goals = parse_goals([], ["p99<=2us", "cache >= 99.5%"], 4096, simulated=True)
    assert [(t.metric.name, t.at_least, t.bound) for t in goals.targets] == [
        ("p99", False, 2000), ("cache", True, 99.5), ("memory", False, 4096)
    ]  # fmt: skip
    assert [metric.name for metric in goals.objectives] == ["cache", "memory"]


@pytest.mark.parametrize(
    ("objective", "target", "told"),
    [
        ("speed", None, "no metric 'speed'. Known: cache, tree"),
        ("cache,cache", None, "cache is given twice"),
        ("p99", None, "a replay of a trace has no prices"),
        (None, "hold<=5us", "a replay of a trace has no prices"),
        (None, "cache=99", "not of the form METRIC>=NUMBER"),
        (None, "cache>=nan", "not of the form"),
        (None, "cache>=1e999", "not of the form"),
        (None, "cache>=9us", "cache is in %"),
        (None, "waste<=2MB", "waste is in no unit"),
    ],
)
def test_goals_that_do_not_fit_are_refused(
    objective: str | None, target: str | None, told: str
) -> None:
    with pytest.raises(IovaError, match=told):
        parse_goals(
            [objective] if objective else [], [target] if target else [], None, simulated=False
        )


def test_every_metric_is_a_number_of_the_rows() -> None:
    from dataclasses import fields

    from iova.lab.rows import ComparisonRow, MachineRow

    rows = {f.name for f in fields(ComparisonRow)}
    machine = {f.name for f in fields(MachineRow)}
    for metric in METRICS.values():
        assert metric.field in (
            machine if metric.simulated or metric.name == "throughput" else rows
        )
