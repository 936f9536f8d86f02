"""Series and tables reduced to what a screen shows: nothing of note gets lost."""

from __future__ import annotations

import re

import numpy as np
import pytest
import vl_convert

from comparisons import compared
from iova.designs import parse_design
from iova.events import DomainInfo
from iova.lab.compare import compare
from iova.report import charts, charts_data
from iova.report.charts_axes import cpu_rows, memory_unit, ticks_for
from iova.report.charts_spec import Line, Panel, lines, look_of
from tables import alloc, filling_depot, free, trace_of


def test_long_series_are_reduced_but_keep_least_and_most() -> None:
    t, values = np.arange(50_000) / 1000, np.arange(50_000) % 7 + 1.0
    values[31_337], values[40_000] = 99, 0
    one = charts_data.reduced(t, values, 300)
    assert len(one.start) == 300
    assert one.high.max() == 99
    assert one.low.min() == 0
    assert (one.low <= one.mean).all()
    assert (one.mean <= one.high).all()
    assert one.start[0] == 0
    short = charts_data.reduced(t[:5], values[:5], 300)
    assert short.mean.tolist() == values[:5].tolist()


def test_growth_of_a_counter_is_whole_whatever_the_stretches() -> None:
    t = np.arange(1001) / 10
    counter = np.cumsum(np.arange(1001) % 13).astype(float)
    edges, (grown,) = charts_data.growth(t, [counter], 37)
    assert len(edges) == len(grown) + 1 == 38
    assert grown.sum() == counter[-1] - counter[0]


def test_equal_neighbours_in_time_are_one_cell_and_nothing_is_none() -> None:
    grid = np.array([[0, 3], [0, 3], [5, 3], [5, 0]], dtype=float)
    cells = charts_data.cells_of(np.arange(5.0), np.array([0.0, 10, 20]), grid)
    boxes = list(zip(cells.x, cells.x2, cells.y, cells.y2, cells.values[0], strict=True))
    assert boxes == [(2, 4, 0, 10, 5), (0, 3, 10, 20, 3)]


def test_what_allocations_are_served_by_adds_up() -> None:
    (served,) = [one for one in charts.charts_of(compared(samples=60)) if one.name == "served"]
    for panel in served.panels:
        assert max(panel.data["h3"]) == pytest.approx(100, rel=1e-3)


def test_a_map_leaves_out_what_is_reserved_and_what_is_never_used() -> None:
    rows = [alloc(i, i, size=1, limit=0xFFFFF, pfn=0xFFFFF - i) for i in range(300)]
    rows += [alloc(400, 300, size=1, limit=0x1FFF, pfn=0x1FFF), free(1_000_000, 300)]
    reserve = dict(alloc(0, 0), op=2, slot=None, size=None, limit=None)
    rows.insert(0, reserve | {"t": 0, "pfn": 0x40000, "last": 0x7FFFF})
    shown = compare("it", trace_of(*rows), [parse_design("linux-6.12")], samples=50, tables=True)
    tables = shown.results[0].tables
    assert tables is not None
    assert tables.allocated[-1].sum() == 301
    (space,) = [one for one in charts.charts_of(shown) if one.name == "space"]
    rows_told = space.panels[0].hover["y"]
    assert rows_told[0] == "address 0x1fff000"
    assert all(int(one.split()[1], 16) > 0x7FFFF000 for one in rows_told[1:])


def test_a_full_depot_is_told_of_designs_whose_depot_was_full() -> None:
    specs = [parse_design(name) for name in ("linux-6.1,depot=2", "linux-6.1", "unbounded")]
    shown = compare("x", trace_of(*filling_depot(6)), specs, samples=40)
    depot = charts.charts_of(shown)[0]
    assert "A flat top is a depot that is full, at 2 under linux-6.1,depot=2," in depot.caption
    roomy = charts.charts_of(compare("x", trace_of(*filling_depot(6)), specs[1:], samples=40))[0]
    assert "flat top" not in roomy.caption


def test_of_several_domains_no_length_is_told_of_what_is_added_up() -> None:
    rows = filling_depot(6)
    both = [one for row in rows for one in (row, row | {"domain": 1, "slot": row["slot"] + 2000})]
    domains = (DomainInfo(0), DomainInfo(1))
    specs = [parse_design("linux-6.1,depot=2")]
    shown = compare("x", trace_of(*both, domains=domains), specs, samples=40)
    caption = charts.charts_of(shown)[0].caption
    assert "A domain's depot was full, at 2 under" in caption


def test_sixteen_designs_can_be_told_apart() -> None:
    assert len({look_of(i) for i in range(16)}) == 16
    assert len({look_of(i).swatch() for i in range(16)}) == 16
    shown = compared(*(f"linux-6.12,threshold={i}" for i in range(9)), samples=20)
    (memory,) = (one for one in charts.charts_of(shown) if one.name == "memory")
    encoding = memory.panels[0].spec["encoding"]
    ranges = [encoding[channel]["scale"]["range"] for channel in ("color", "strokeDash")]
    assert len(set(zip(ranges[0], map(tuple, ranges[1]), strict=True))) == 9
    assert encoding["strokeDash"]["scale"]["domain"] == encoding["color"]["scale"]["domain"]
    lines = [one for one in memory.panels[0].spec["layer"] if one["mark"]["type"] == "line"]
    assert [one["encoding"]["strokeDash"] for one in lines] == [
        one["encoding"]["color"] for one in lines
    ]
    assert len({one["swatch"] for one in memory.panels[0].hover["series"]}) == 9


@pytest.mark.parametrize(
    ("cpus", "shown"),
    [
        (1, [0]),
        (2, [0, 1]),
        (8, list(range(8))),
        (10, [0, 2, 4, 6, 8]),
        (64, list(range(0, 64, 8))),
    ],
)
def test_an_axis_of_cpus_names_whole_ones_that_exist_in_their_middle(
    cpus: int, shown: list[int]
) -> None:
    axis = cpu_rows("CPU", "", range(cpus + 1)).axis()
    assert axis["values"] == [cpu + 0.5 for cpu in shown]
    for cpu in shown:
        assert axis["labelExpr"].strip("[").split(",")[cpu].startswith(f"'{cpu}'")


def test_a_group_of_cpus_is_told_by_its_first_and_last() -> None:
    rows = cpu_rows("CPU that frees", "freed on ", [0, 4, 8, 9])
    assert rows.labels == ("0-3", "4-7", "8")
    assert rows.told == ("freed on CPUs 0 to 3", "freed on CPUs 4 to 7", "freed on CPU 8")


def test_of_grouped_cpus_charts_say_what_the_number_of_a_group_is() -> None:
    rows = [alloc(i, i, cpu=i % 256) for i in range(2000)]
    rows += [free(2000 + i, i, cpu=i % 256) for i in range(2000)]
    designs = [parse_design("linux-6.12")]
    shown = compare("it", trace_of(*rows, cpus=256), designs, samples=50, tables=True)
    named = {one.name: one for one in charts.charts_of(shown)}
    fill, handovers = named["fill"], named["handovers"]
    assert fill.panels[0].hover["y"][:2] == ["CPUs 0 to 2", "CPUs 3 to 5"]
    assert fill.panels[0].hover["names"] == ["pages on the fullest of them"]
    assert "A row is 3 neighbouring CPUs, shown by the fullest." in fill.caption
    assert handovers.panels[0].hover["x"][1] == "freed on CPUs 3 to 5"
    assert handovers.panels[0].hover["y"][1] == "allocated on CPUs 3 to 5"
    assert handovers.panels[0].hover["names"] == ["frees, the sum of these CPUs'"]
    assert "A cell is the sum of 3 by 3 neighbouring CPUs." in handovers.caption


def test_of_more_cpus_than_a_table_has_rows_the_fullest_are_several() -> None:
    rows = [alloc(i, i, cpu=i % 1024) for i in range(2000)]
    designs = [parse_design("linux-6.12")]
    shown = compare("it", trace_of(*rows, cpus=1024), designs, samples=50, tables=True)
    (fill,) = (one for one in charts.charts_of(shown) if one.name == "fill")
    assert fill.panels[0].hover["names"] == ["pages on the fullest 3 of them"]


def test_of_few_cpus_nothing_is_said_of_groups_and_an_empty_place_is_explained() -> None:
    shown = charts.charts_of(compared(samples=60, tables=True))
    named = {one.name: one for one in shown}
    for name in ("fill", "handovers"):
        assert "neighbouring" not in named[name].caption
        assert "Where nothing is drawn" in named[name].caption
    assert named["fill"].panels[0].hover["y"] == [f"CPU {i}" for i in range(4)]
    assert named["fill"].panels[0].hover["names"] == ["pages"]


# --------------------------------------------------------------------------- axes, scales


def svg_of(panel: Panel, width: int = 400) -> str:
    """What Vega draws of a panel."""
    names = list(panel.data)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*panel.data.values(), strict=True)]
    spec = panel.spec | {"datasets": {"rows": rows}, "width": width, "height": 150}
    return vl_convert.vegalite_to_svg(spec)


def labels_of(svg: str, axis: str) -> list[str]:
    """The labels of its x or y axis."""
    described = svg.split(f'aria-label="{axis}-axis')[1].split('class="mark-text role-axis-title"')
    return re.findall(r"<text[^>]*>([^<]*)</text>", described[0])


def line_panel(*values: float, end: float = 10, unit: str = "pages") -> Panel:
    told = [Line("it", look_of(0), np.asarray(values, dtype=float))]
    return lines(np.linspace(0, end, len(values), endpoint=False), end, told, unit)


@pytest.mark.parametrize(
    ("most", "unit", "labels"),
    [
        (0, "requests/s", ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (4000, "nodes/s", ["0", "1k", "2k", "3k", "4k"]),
        (2_000_000, "pages", ["0", "500k", "1M", "1.5M", "2M"]),
        (2, "full magazines", ["0", "1", "2"]),
        (1500, "KiB", ["0", "500", "1,000", "1,500"]),
        (1000, "% of all CPUs' time", ["0", "200", "400", "600", "800", "1,000"]),
        (0.01, "% of all CPUs' time", ["0", "0.002", "0.004", "0.006", "0.008", "0.01"]),
    ],
)
def test_labels_are_plain_numbers_and_counts_have_prefixes(
    most: float, unit: str, labels: list[str]
) -> None:
    shown = labels_of(svg_of(line_panel(0, most, unit=unit)), "Y")
    assert shown == labels


@pytest.mark.parametrize(
    ("end", "title", "labels"),
    [
        (250, "time, s", ["0", "50", "100", "150", "200", "250"]),
        (0.02, "time, ms", ["0", "5", "10", "15", "20"]),
        (0.0004, "time, µs", ["0", "50", "100", "150", "200", "250", "300", "350", "400"]),
    ],
)
def test_time_is_told_in_a_unit_of_its_size(end: float, title: str, labels: list[str]) -> None:
    svg = svg_of(line_panel(1, 2, 3, end=end))
    assert f">{title}<" in svg
    assert labels_of(svg, "X") == labels


def test_a_narrow_axis_of_time_has_fewer_ticks() -> None:
    assert [ticks_for(width) for width in (90, 200, 400, 1200)] == [2, 3, 6, 8]


def test_memory_is_told_in_units_of_its_size() -> None:
    assert [memory_unit(most) for most in (0, 9 << 20, 10 << 20, 9 << 30, 11 << 30)] == [
        "KiB", "KiB", "MiB", "MiB", "GiB",
    ]  # fmt: skip


def test_waits_of_next_to_nothing_do_not_fill_their_axis() -> None:
    (waits,) = (one for one in charts.charts_of(compared(samples=60)) if one.name == "waits")
    for panel in waits.panels:
        ((_, top),) = panel.tops
        assert top >= 0.01


def test_panels_beside_each_other_share_a_scale_and_say_what_each_needs() -> None:
    shown = compared("linux-6.1,depot=1", "unbounded", samples=60, tables=True)
    for chart in charts.charts_of(shown):
        if chart.name == "space":
            continue
        most = max(most for panel in chart.panels for _, most in panel.tops)
        for panel in chart.panels:
            (top,) = (one["value"] for one in panel.spec["params"] if one["name"] == "top")
            assert top == pytest.approx(most), chart.name


def test_without_tables_there_are_no_heat_maps_and_without_samples_no_charts() -> None:
    names = [one.name for one in charts.charts_of(compared(samples=60))]
    assert names == ["depot", "pages", "served", "throughput", "waits", "steps", "memory"]
    assert charts.charts_of(compared()) == []
