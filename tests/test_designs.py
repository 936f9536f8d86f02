"""Designs: their names, parameters, and classes of the user's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iova import _core
from iova.designs import AUTO, LINUX_DESIGNS, DesignError, Policy, builtin_designs, parse_design

MODULE = """
from iova.designs import Decision

class Mine:
    depot_max = 3
    def __init__(self, share=0.5):
        self.share = share
    def look(self, view):
        return Decision(release=int(view.depot * self.share))

class Wrong:
    pass

class Raising:
    def __init__(self):
        1 / 0

thing = 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_designs_under_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "my_designs_under_test"


def test_the_designs_linux_has_had_are_built_in_in_their_order() -> None:
    assert tuple(d.name for d in builtin_designs())[:4] == LINUX_DESIGNS


def test_each_parameter_has_unit_help_and_a_default_in_range() -> None:
    for design in builtin_designs():
        assert design.summary
        for p in design.parameters:
            assert p.unit
            assert p.help
            assert p.initial is None or p.minimum <= p.initial <= p.maximum
            assert (p.initial is None) <= (p.automatic is not None)


def test_parameters_are_set_and_auto_leaves_the_choice_to_the_design() -> None:
    spec = parse_design("linux-6.12,threshold=auto,delay_ms=10")
    assert dict(spec.params) == {"threshold": AUTO, "delay_ms": 10}
    assert spec.label == "linux-6.12,threshold=auto,delay_ms=10"
    assert parse_design("linux-6.1,depot=7").make().mechanism(4)["depot_max"] == 7
    assert parse_design("linux-6.12").make().mechanism(4)["depot_max"] is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("linux-9.9", "no design 'linux-9.9'. Did you mean"),
        ("linux-6.12,treshold=1", "no parameter 'treshold'. Did you mean threshold?"),
        ("unbounded,depot=1", "Known: tree, magazine, classes, hold"),
        ("linux-6.12,magazine=126", "magazine=126 is not 2**n - 1 entries within 3..1023"),
        ("linux-6.12,magazine=2047", "magazine=2047 is not 2**n - 1"),
        ("linux-6.12,magazine=x", "magazine=x is not"),
        ("linux-6.12,tree=fast", "tree=fast is neither linear nor indexed"),
        ("linux-6.12,classes=11", "classes=11 is not within 1..10"),
        ("linux-6.12,hold=0", "hold=0 is not within 1..1023 ranges"),
        ("linux-6.12,threshold", "not of the form key=value"),
        ("linux-6.12,=1", "not of the form key=value"),
        ("linux-6.12,delay_ms=0", "not within 1..86400000"),
        ("linux-6.12,delay_ms=auto", "not within"),
        ("linux-6.12,batch=many", "many"),
        ("linux-6.12,batch=-1", "not within"),
        ("linux-6.12,batch=1.5", "batch=1.5"),
        ("no.such.module:Thing", "can not load no.such.module:Thing"),
        (":Thing", "can not load"),
        ("", "no design ''"),
    ],
)
def test_a_design_that_can_not_be_made_says_why(text: str, problem: str) -> None:
    with pytest.raises(DesignError, match=re.escape(problem)):
        parse_design(text)


def test_options_go_with_any_design_and_leave_its_parameters_alone(module: str) -> None:
    text = ",magazine=31,classes=8,hold=5,tree=indexed"
    for name in ("linux-6.1,depot=7", "linux-6.12", "linux-7.3", f"{module}:Mine"):
        plain = parse_design(name).make().mechanism(4)
        changed = parse_design(name + text).make().mechanism(4)
        options = {"magazine": 31, "classes": 8, "tree_batch": 5, "indexed": True}
        assert changed == {**plain, **options}
        assert (plain["magazine"], plain["classes"], plain["tree_batch"]) == (127, 6, 0)
        assert not plain["indexed"]
    assert parse_design("linux-6.12" + text).label == "linux-6.12" + text


def test_a_policy_s_attributes_are_its_options_and_the_user_has_the_last_word() -> None:
    class Small:
        magazine, classes, tree, hold, empties_max, bail, arm_by_growth, unbound = (
            15, 7, "indexed", 9, 4, True, True, True,
        )  # fmt: skip

        def look(self, view: object) -> None: ...

    own = _core.Design(Small()).mechanism(4)
    assert (own["magazine"], own["classes"], own["tree_batch"], own["indexed"]) == (15, 7, 9, True)
    assert (own["empties_max"], own["bail"], own["arm_by_growth"]) == (4, True, True)
    assert own["unbound"]
    changed = _core.Design(Small(), magazine=63, tree="linear").mechanism(4)
    assert changed == {**own, "magazine": 63, "indexed": False}


def test_a_class_of_the_user_s_is_found_where_the_command_is_run(module: str) -> None:
    spec = parse_design(f"{module}:Mine,share=0.25")
    assert spec.name == "Mine"
    assert dict(spec.params) == {"share": 0.25}
    assert spec.label == f"{module}:Mine,share=0.25"
    assert parse_design(f"{module}:Mine").label == f"{module}:Mine"
    made = spec.make()
    assert (made.name, made.mechanism(4)["depot_max"]) == ("Mine", 3)


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        (":Absent", "Absent"),
        (":thing", "not a class"),
        (":Wrong", "no method look"),
        (":Mine,x=1", "x"),
    ],
)
def test_a_class_that_is_no_policy_is_refused(module: str, rest: str, problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        parse_design(module + rest)


@pytest.mark.parametrize("content", ["class (", "raise RuntimeError('no')", "raise SystemExit(3)"])
def test_a_module_that_can_not_be_loaded_is_told(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_design_under_test.py").write_text(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DesignError, match="can not load"):
        parse_design("broken_design_under_test:Any")


@pytest.mark.parametrize("file", ["{}.py", "./{}", "./{}.py", "some/where/{}.py"])
def test_where_a_file_is_named_the_module_to_write_is_told(module: str, file: str) -> None:
    with pytest.raises(DesignError, match=f"write {module}:Mine, where the file lies"):
        parse_design(f"{file.format(module)}:Mine")


def test_a_constructor_that_raises_is_told(module: str) -> None:
    with pytest.raises(DesignError, match="ZeroDivisionError"):
        parse_design(f"{module}:Raising")


@pytest.mark.parametrize("name", ["depot_max", "arm_delay_ns", "empties_max", "tree", "hold"])
def test_an_attribute_of_megabytes_makes_no_error_of_megabytes(name: str) -> None:
    for value in ("200ms" * 1_000_000, [7] * 1_000_000):
        kind = type("Bad", (), {"look": print, name: value})
        with pytest.raises(ValueError, match=name) as told:
            _core.Design(kind())
        assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    "content",
    [
        "raise ValueError('x' * 5_000_000)",
        "class Long:\n    def __init__(self):\n        raise ValueError('x' * 5_000_000)",
    ],
    ids=["of its module", "of its constructor"],
)
def test_what_a_user_s_code_raises_is_told_at_a_length_that_can_be_read(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "long_design_of_its_module" if content.startswith("raise") else "long_design"
    (tmp_path / f"{module}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DesignError, match="xxx") as told:
        parse_design(f"{module}:Long")
    assert len(str(told.value)) < 600


def test_a_policy_is_recognised_by_its_hook() -> None:
    class Idle:
        def look(self, view: object) -> None: ...

    assert isinstance(Idle(), Policy)
    with pytest.raises(TypeError, match="no method look"):
        _core.Design(object())


@pytest.mark.parametrize(
    "attributes",
    [
        {"depot_max": -1},
        {"arm_delay_ns": 0},
        {"arm_delay_ns": 2**63},
        {"depot_max": "x"},
        {"arm_delay_ns": None},
        {"magazine": 128},
        {"classes": 0},
        {"tree": "none"},
        {"hold": 0},
        {"empties_max": -1},
    ],
)
def test_a_policy_s_attributes_are_checked(attributes: dict[str, object]) -> None:
    kind = type("Bad", (), {"look": print, **attributes})
    with pytest.raises(ValueError, match=next(iter(attributes))):
        _core.Design(kind())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("linux-6.12\0junk", "zero characters"),
        ("linux-6.12,threshold=1,threshold=2", "threshold is given twice"),
    ],
)
def test_nothing_of_a_design_is_silently_ignored(text: str, problem: str) -> None:
    with pytest.raises(DesignError, match=problem):
        parse_design(text)
