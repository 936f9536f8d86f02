"""The tables of the terminal: widths, units, headlines, legend."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from comparisons import busy, compared
from iova.designs import parse_design
from iova.lab.compare import Comparison, compare
from iova.report import table
from iova.report.workload import preset_list, workload_text
from iova.words import printable
from iova.workloads import load_workload, presets
from tables import filling_depot, trace_of


def printed(shown: Any) -> list[str]:
    """The lines of a table on a terminal of 80 columns."""
    file = io.StringIO()
    Console(file=file, width=80).print(shown)
    return file.getvalue().splitlines()


def machine_lines(comparison: Comparison) -> list[str]:
    shown = table.machine_table(comparison)
    assert shown is not None
    return printed(shown)


def replayed(*designs: str) -> Comparison:
    return compare("t", trace_of(*filling_depot(3)), [parse_design(one) for one in designs])


# ---------------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (99_999, "99999"), (100_000, "100k"), (1_460_000, "1.46M"), (7.6e9, "7.6G"),
     (999_600, "1M"), (3e15, "3.00e+15")],
)  # fmt: skip
def test_counts_are_shown_in_at_most_six_characters(number: float, text: str) -> None:
    assert table.short_count(number) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0ns"), (0.5, "0.5ns"), (85.4, "85ns"), (999.4, "999ns"), (999.6, "1.0us"),
     (1234, "1.2us"), (9949, "9.9us"), (9951, "10us"), (123_456, "123us"), (999_600, "1.0ms"),
     (31e6, "31ms"), (2.5e9, "2.5s"), (9.4e11, "940s")],
)  # fmt: skip
def test_times_are_shown_in_at_most_five_characters(ns: float, text: str) -> None:
    assert table.short_time(ns) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (850, "850 ns"), (1234, "1.23 us"), (13_800_000, "13.8 ms"), (999_960_000, "1 s"),
     (1.384e9, "1.38 s"), (17.497e9, "17.5 s"), (99.96e9, "100.0 s"), (283.559e9, "283.6 s"),
     (4321.09e9, "4,321.1 s")],
)  # fmt: skip
def test_spans_have_three_digits_and_a_fitting_unit(ns: float, text: str) -> None:
    assert table.span_text(ns) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0001, "<.001"), (0.0123, "0.012"), (0.9996, "1.00"), (3.14159, "3.14"),
     (9.996, "10.0"), (42.42, "42.4"), (99.96, "100"), (256, "256")],
)  # fmt: skip
def test_shares_are_shown_in_at_most_five_characters(value: float, text: str) -> None:
    assert table.short_share(value) == text
    assert len(text) <= 5


def test_control_characters_of_a_trace_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert printable("caf\udce9") == "caf\\udce9"


# ---------------------------------------------------------------------------------- tables


def test_the_machine_s_table_has_a_row_a_design_within_80_columns() -> None:
    lines = machine_lines(compared("linux-6.1", "unbounded", "linux-6.12", "linux-7.3"))
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].split() == ["design", *(column.head for column in table.MACHINE_COLUMNS)]
    assert [line.split()[0] for line in lines[1:]] == [
        "linux-6.1", "unbounded", "linux-6.12", "linux-7.3",
    ]  # fmt: skip
    assert all("…" not in line and len(line.split()) == 12 for line in lines)


def test_a_table_of_several_seeds_has_half_widths_below_the_means() -> None:
    comparison = compared("linux-6.12,threshold=1", seeds=[1, 2, 3])
    for lines in (machine_lines(comparison), printed(table.comparison_table(comparison))):
        assert all(len(line) <= 80 and "…" not in line for line in lines)
        assert lines[1].startswith("linux-6.12")
        assert lines[2].strip() == "threshold=1"
        assert lines[3].startswith("  ±")
        assert len(lines[3].split()) == len(lines[0].split())


def test_a_trace_has_no_machine_s_table() -> None:
    assert table.machine_table(replayed("unbounded")) is None


def test_a_name_of_a_design_can_not_steer_the_terminal() -> None:
    comparison = replayed("unbounded")
    hostile = table._table(table.COLUMNS, ["a\x1b[31m"], [(comparison.rows[0], None)])
    assert "\x1b[31m" not in "".join(printed(hostile))


# ------------------------------------------------------------------------ head and legend


def test_the_headline_of_a_workload_says_what_was_simulated() -> None:
    comparison = compared(seeds=[1, 2], settings=["depth=64"], prices_from="default prices")
    line = table.headline(comparison)
    assert line.startswith("busy: 4 CPUs, 0.02 s simulated, ")
    assert line.endswith(" operations, seeds 1 to 2, default prices, depth=64")


def test_the_headline_of_a_short_trace_says_how_short_it_is() -> None:
    assert table.headline(replayed("unbounded")).startswith("t: 1,018 calls over 1.02 ms")


def test_the_legend_explains_every_column_that_is_shown() -> None:
    of_trace = table.legend([replayed("unbounded")])
    assert "  waste   mean cached pages / peak live pages" in of_trace.splitlines()
    assert "req/s" not in of_trace
    both = table.legend([replayed("unbounded"), compared(seeds=[1, 2])])
    for column in (*table.COLUMNS, *table.MACHINE_COLUMNS):
        assert f"  {column.head:<7} {column.legend}" in both.splitlines()
    assert "±" in both
    assert "±" not in table.legend([compared()])
    assert all(len(line) <= 80 for line in both.splitlines())


# ------------------------------------------------------------------------------- workloads


def test_a_workload_s_parameters_are_listed_under_the_names_that_set_takes() -> None:
    text = workload_text(busy())
    assert "made up" in text
    for told in (
        "[machine]", "[domain.disk]", "[flow.disk]", "depth = 64", 'mode = "lazy"',
        'latency_us = {spread="uniform", low=5, high=400}', "{pages=3, weight=2}",
        "256 requests may be outstanding", "--set flow.disk.depth=8",
    ):  # fmt: skip
        assert told in text, told


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_every_preset_is_shown_within_80_columns(name: str) -> None:
    text = workload_text(load_workload(name))
    assert "\\n" not in text
    long = [line for line in text.splitlines()[1:] if len(line) > 80]
    assert not long


def test_the_list_of_presets_names_them_all() -> None:
    text = preset_list()
    assert all(f"\n{preset.name}\n" in text for preset in presets())
    assert all(len(line) <= 80 for line in text.splitlines())
