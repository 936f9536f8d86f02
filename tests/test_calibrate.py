"""The measurement of prices: a small run of all of it, and which prices follow from what."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from iova.lab.prices import PRICE_NAMES, load_prices

ROOT = Path(__file__).parent.parent
SIZES = [2**log2 for log2 in range(8, 22)]


@pytest.fixture
def calibrate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.calibrate")


def figures(**changes: float) -> dict[str, float]:
    """Made-up figures of every part: a step costs 5 ns in the cache of 60 000 ranges, else 105."""
    parts = {
        "lock": 2.0,
        "alloc": 9.0,
        "free": 7.0,
        "swap": 11.0,
        "exchanges": 57.0,
        "magazine new": 40.0,
        "magazine free": 13.0,
        "scan": 0.75,
        "link": 29.0,
        "unlink": 35.0,
        "index alloc": 130.0,
        "index free": 80.0,
        "queue put": 6.0,
        "queue collect": 1.0,
        "job": 11.0,
        "wake-up": 2500.0,
        "line, half a round trip": 40.0,
        "line of a magazine taken from": 6.0,
        "line of a magazine filled": 33.0,
        "lock handed over": 60.0,
        "index taken over": 84.0,
        "red-black tree taken over": 52.0,
    }
    for ranges in SIZES:
        beyond = max(0, ranges - 57344) / ranges
        parts[f"step {ranges}"] = 5 + 100 * beyond
        parts[f"look-up {ranges}"] = (4 + 60 * beyond) * ranges.bit_length()
    return parts | changes


def test_a_small_run_writes_prices_that_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "here.toml"
    command = [sys.executable, "-m", "benchmarks", "calibrate", "--quick", "--rounds", "3"]
    subprocess.run(
        [*command, "--write", str(path)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    prices = load_prices(path)
    assert all(value > 0 for name, value in prices.as_dict().items() if name not in DIFFERENCES)
    assert prices.tree_step < prices.tree_step_far
    assert set(prices.guesses) <= {"line_far", "line_ahead_far"} or (os.cpu_count() or 1) < 2
    assert "3 interleaved rounds" in prices.provenance


#: What is measured as a difference, which a disturbed small run may make 0.
DIFFERENCES = ("swap", "depot", "line_ahead", "line_ahead_far")


def test_a_call_s_price_is_without_what_has_a_price_of_its_own(calibrate: ModuleType) -> None:
    prices = calibrate.prices_of(figures())
    assert (prices.alloc_hit, prices.free_hit, prices.lock) == (9000, 7000, 2000)
    # Of what the two exchanges add, three calls and two locks are no part.
    assert prices.depot == (57 - 9 - 2 * 7 - 2 * 2) * 1000 / 2
    assert prices.queue == (6 - 2 + 1) * 1000 / 2
    assert prices.job == 2_511_000


def test_a_difference_that_came_out_negative_is_nothing(calibrate: ModuleType) -> None:
    assert calibrate.prices_of(figures(swap=-1.0)).swap == 0


def test_the_formula_s_own_curve_gives_back_its_prices(calibrate: ModuleType) -> None:
    prices = calibrate.prices_of(figures())
    assert prices.tree_near == 57344
    assert prices.tree_step == 5000
    assert prices.tree_step_far == pytest.approx(105_000, abs=2)
    assert prices.tree_level == 4000
    assert prices.tree_level_far == pytest.approx(64_000, abs=2)
    assert "off by a factor of 1.00 at worst" in prices.notes["tree_step_far"]


def test_memory_is_never_cheaper_than_the_cache(calibrate: ModuleType) -> None:
    flat = {f"step {ranges}": 5.0 for ranges in SIZES[:-1]} | {f"step {SIZES[-1]}": 4.0}
    prices = calibrate.prices_of(figures(**flat))
    assert prices.tree_step_far == prices.tree_step == 5000


def test_lines_between_nodes_are_a_guess_that_says_so(calibrate: ModuleType) -> None:
    prices = calibrate.prices_of(figures())
    assert prices.line_far == 2.75 * prices.line
    assert prices.guesses == ("line_far", "line_ahead_far")
    assert prices.notes["line_far"].startswith("a guess")


def test_rounds_in_which_the_cpus_were_apart_tell_of_far_lines(calibrate: ModuleType) -> None:
    between = {
        "line, half a round trip": (41.0, 160.0, 40.0, 164.0, 42.0),
        "line of a magazine taken from": (6.0, 40.0, 5.0, 44.0, 7.0),
        "line of a magazine filled": (33.0, 130.0, 33.0, 130.0, 33.0),
        "lock handed over": (59.0, 210.0, 60.0, 220.0, 61.0),
        "index taken over": (80.0, 330.0, 82.0, 330.0, 84.0),
        "red-black tree taken over": (51.0, 240.0, 53.0, 240.0, 52.0),
    }
    parts = calibrate.medians({name: (ns,) for name, ns in figures().items()} | between)
    prices = calibrate.prices_of(parts)
    assert (prices.line, prices.line_ahead) == (41_000, 6_000)
    assert (prices.line_far, prices.line_ahead_far) == (162_000, 42_000)
    assert prices.guesses == ()
    assert "handed over in 60 ns" in prices.notes["lock"]
    assert "last: 2.0 lines more" in prices.notes["index_alloc"]
    assert "last: 1.3 lines more" in prices.notes["tree_alloc"]


def test_rounds_all_alike_say_nothing_of_far_lines(calibrate: ModuleType) -> None:
    parts = calibrate.medians({name: (ns, ns * 1.5, ns) for name, ns in figures().items()})
    assert set(parts) == set(figures())


def test_what_was_not_measured_is_taken_over_and_counts_as_guessed(calibrate: ModuleType) -> None:
    parts = {
        name: ns
        for name, ns in figures().items()
        if not name.startswith(("line", "lock handed", "index taken", "red-black", "step", "look"))
    }
    prices, known = calibrate.prices_of(parts), load_prices()
    taken_over = [name for name in PRICE_NAMES if name in prices.guesses]
    assert taken_over == [
        "line",
        "line_far",
        "line_ahead",
        "line_ahead_far",
        "tree_step",
        "tree_step_far",
        "tree_level",
        "tree_level_far",
        "tree_near",
    ]
    for name in taken_over:
        assert getattr(prices, name) == getattr(known, name)
        assert prices.notes[name].startswith("not measured on this host: ")
