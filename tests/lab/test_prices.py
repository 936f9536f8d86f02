"""Price tables: what comes with the package, what a file may say, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from iova.errors import InputError
from iova.lab.prices import PRICE_NAMES, Prices, load_prices, prices_of, write_prices

ROOT = Path(__file__).parent.parent.parent


def text_of(**changes: object) -> str:
    """A price file in which every price is 2 ns but those given; None leaves one out."""
    values: dict[str, object] = dict.fromkeys(PRICE_NAMES, 2.0) | {"tree_near": 1000} | changes
    lines = [f"{name} = {value}" for name, value in values.items() if value is not None]
    return "[prices]\n" + "\n".join(lines) + "\n"


def problem_with(text: str) -> str:
    with pytest.raises(InputError) as caught:
        prices_of(text, "mine.toml")
    return str(caught.value)


def test_the_prices_are_those_of_the_machine_in_its_order() -> None:
    header = (ROOT / "core" / "machine.h").read_text()
    found = re.search(r"^struct machine_prices \{\n(.*?)^\};", header, re.M | re.S)
    assert found
    declarations = re.sub(r"/\*.*?\*/", "", found[1], flags=re.S)
    names = re.findall(r"\w+(?=[,;])", declarations)
    assert tuple(names) == PRICE_NAMES == tuple(load_prices().as_dict())


def test_the_package_brings_prices_that_say_whose_they_are() -> None:
    prices = load_prices()
    assert all(value > 0 for value in prices.as_dict().values())
    assert set(prices.notes) == set(PRICE_NAMES)
    assert set(prices.guesses) <= set(PRICE_NAMES)
    assert {line.partition(":")[0] for line in prices.provenance.splitlines()} >= {
        "host",
        "date",
        "method",
    }


def test_nanoseconds_become_whole_picoseconds_and_a_number_stays_one() -> None:
    prices = prices_of(text_of(lock=2.0625, line=7, tree_near=12345), "mine.toml")
    assert (prices.lock, prices.line, prices.tree_near) == (2062, 7000, 12345)


def test_a_file_need_not_say_where_its_prices_come_from() -> None:
    prices = prices_of(text_of(), "mine.toml")
    assert (prices.provenance, dict(prices.notes), prices.guesses) == ("", {}, ())


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    wild = 'quoted " and \\ back,\nnew line, \x7f, \t and µs'
    prices = dataclasses.replace(
        load_prices(), alloc_hit=1, line=10**9, notes={"lock": wild}, guesses=("scan", "job")
    )
    write_prices(path, prices, {"host": wild})
    assert load_prices(path) == dataclasses.replace(prices, provenance=f"host: {wild}")
    assert list(tmp_path.iterdir()) == [path]


def test_a_price_that_is_missing_unknown_or_no_number_is_named() -> None:
    assert problem_with(text_of(scan=None)).startswith("mine.toml: prices.scan is missing.")
    assert "prices.spin is no price. There are: alloc_hit," in problem_with(text_of(spin=1.0))
    for wrong in ("true", '"2"', "[2.0]", "1979-05-27"):
        assert "prices.lock is no number of nanoseconds." in problem_with(text_of(lock=wrong))


@pytest.mark.parametrize("wrong", ["-0.5", "1000001", "nan", "inf", "-inf", "1e400"])
def test_a_price_beyond_all_reason_is_refused(wrong: str) -> None:
    assert "prices.lock is " in problem_with(text_of(lock=wrong))


@pytest.mark.parametrize("wrong", ["2.5", "-1", "true", "1000000001"])
def test_the_number_of_ranges_is_whole_and_bounded(wrong: str) -> None:
    assert "prices.tree_near is no whole number" in problem_with(text_of(tree_near=wrong))


def test_memory_is_not_nearer_than_the_cache() -> None:
    told = problem_with(text_of(tree_step_far=1.5))
    assert told == "mine.toml: prices.tree_step_far is less than prices.tree_step."
    assert "prices.tree_level_far is less" in problem_with(text_of(tree_level=3))


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        ("[extra]\n", "extra is none of the tables"),
        ("[notes]\nspin = 'x'\n", "notes.spin is a note on no price."),
        ("[notes]\nlock = 1\n", "notes.lock is no text."),
        ("[provenance]\nhost = 1\n", "provenance.host is no text."),
        ("[provenance]\nguesses = 'lock'\n", "provenance.guesses is no list of prices."),
        ("[provenance]\nguesses = ['spin']\n", "provenance.guesses names 'spin'"),
        ("[provenance]\nguesses = [[1]]\n", "provenance.guesses names [1]"),
    ],
)
def test_other_tables_are_held_to_their_form(addition: str, problem: str) -> None:
    assert problem in problem_with(text_of() + addition)


def test_tables_that_are_none_are_refused() -> None:
    assert "prices is no table." in problem_with("prices = 1\n")
    assert "notes is no table." in problem_with("notes = 1\n" + text_of())


def test_text_that_is_no_toml_is_refused_with_its_place() -> None:
    told = problem_with("[prices]\nlock = \n")
    assert told.startswith("mine.toml:2:8: is no TOML: ")
    assert "is no TOML" in problem_with("a = " + "[" * 20_000)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"\xff\xfe", "it is not UTF-8 text"), (b"#" * 70_000, "more than 65536 bytes")],
)
def test_a_file_that_is_no_such_text_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        load_prices(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(InputError, match=r"none\.toml: cannot be read: No such file"):
        load_prices(path)


def test_prices_are_not_changed_by_accident() -> None:
    prices: Prices = load_prices()
    with pytest.raises(dataclasses.FrozenInstanceError):
        prices.lock = 1  # type: ignore[misc]
