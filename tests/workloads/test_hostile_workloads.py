"""Files that were not written by a friend: refused, quickly, in one line, whatever they hold."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_workload import SMALL, parsed, with_line

from iova.errors import InputError
from iova.workloads import DomainGroup, Flow, MachineShape, Workload, load_workload
from iova.workloads.settings import keys_of

DEEP = 1300

#: Lines that go before the tables of the small workload, and whole tables after them.
TOP = {
    "nested lists": "seed = " + "[" * DEEP + "]" * DEEP,
    "nested tables": "seed = " + "{a=" * DEEP + "1" + "}" * DEEP,
    "a path of many keys": "a." * DEEP + "a = 1",
    "a path of very many keys": "a." * 30_000 + "a = 1",
    "a list of many numbers": "seed = [" + "1,\n" * 20_000 + "]",
    "a long line": "seed = [" + "1," * 20_000 + "]",
    "a number of many digits": "seed = " + "9" * 4087,
    "a hexadecimal number of many digits": "seed = 0x" + "f" * 4087,
    "a long text": 'summary = """' + "x\n" * 30_000 + '"""',
    "a very long text": "#\n" * 300_000,
    "many keys": "\n".join(f"k{number} = 1" for number in range(5000)),
    "a zero byte": "seed = \0",
}
TABLES = {
    "a header of many keys": "[" + ".".join("a" * DEEP) + "]",
    "a long name": "[domain." + "x" * 4000 + "]",
    "many domains": "\n".join(f"[domain.{number}]" for number in range(4100)),
    "many flows": "\n".join(f"[flow.f{number}]\ndomain='disk'" for number in range(1200)),
    "control characters": '[flow."\\u001b[31m\\u0000"]\ndomain = "disk"',
    "a flow of control characters": '[domain.d]\nmode = "\\u001b[31m"',
    "an unknown key of control characters": '[domain.d]\n"\\u001b[31m" = 3',
    "an array of tables": "[[machine]]\ncpus = 3",
    "a flow that is a number": "[flow]\nx = 3",
    "a domain that is a list": "[domain]\nx = [3]",
}
HOSTILE = {
    **{name: f"{text}\n{SMALL}" for name, text in TOP.items()},
    **{name: f"{SMALL}\n{text}" for name, text in TABLES.items()},
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_in_one_short_line(text: str, tmp_path: Path) -> None:
    place = tmp_path / "hostile.toml"
    place.write_text(text)
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        load_workload(str(place))
    assert time.monotonic() - started < 5
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 500 + len(str(place))


@pytest.mark.parametrize(
    "line",
    [
        "sizes = [" + "{pages=1}," * 400 + "]",
        'complete_cpus = "' + "0-7," * 600 + '0"',
        'complete_cpus = "' + "0-7," * 1020 + '0"',
        'complete_cpus = "0-999999"',
        'complete_cpus = "' + "\\u0000" * 500 + '"',
        "submitters = 4194304",
        "think_us = {spread='lognormal', median=1e300, sigma=1}",
    ],
    ids=lambda line: line[:24],
)
def test_what_a_flow_may_ask_for_is_bounded(line: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(with_line(line, after="depth = 4"))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "bad.toml"
    place.write_bytes(b"seed = 1\nname = '\xff'\n")
    with pytest.raises(InputError, match=r"bad\.toml:2: is not UTF-8 text"):
        load_workload(str(place))
    place.write_bytes(b"#\n" * (1 << 15) + b"#")
    with pytest.raises(InputError, match="is longer than 64 KiB"):
        load_workload(str(place))
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        load_workload(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        load_workload(str(tmp_path / "folder.toml"))
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        load_workload("a\0b.toml")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["all", "lazy", "exponential", "disk", "0-3"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["spread", "mean", "pages", "weight"]), inner)
    ),
    max_leaves=6,
)

KEYS = st.sampled_from(
    [
        key
        for kind in (Workload, MachineShape, DomainGroup, Flow)
        for key in keys_of(kind)
        if key != "source"
    ]
)


def as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(one) for one in value) + "]"
    return {"None": "none", "True": "true", "False": "false"}.get(repr(value), repr(value))


@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4))
@settings(max_examples=400)
def test_any_settings_make_a_workload_or_an_input_error(
    chosen: list[tuple[str, object]],
) -> None:
    told = ""
    try:
        workload = parsed(SMALL, *(f"{key}={as_toml(value)}" for key, value in chosen))
    except InputError as error:
        told = str(error)
    else:
        assert 1 <= workload.lanes <= 1 << 22
    assert told == "" or told.isprintable()
