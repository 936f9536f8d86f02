"""The plain text for a mail, and the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from comparisons import compared
from iova.designs import parse_design
from iova.errors import InputError
from iova.events import DomainInfo
from iova.lab.compare import compare
from iova.report import pictures
from iova.report.charts import charts_of
from iova.report.charts_spec import Chart
from iova.report.mail import mail_text
from iova.report.pictures import write_pictures
from iova.report.table import COLUMNS, MACHINE_COLUMNS
from tables import alloc, filling_depot, trace_of


def test_a_mail_has_72_columns_and_all_numbers() -> None:
    designs = ("linux-6.1", "unbounded", "linux-6.12,threshold=1", "linux-7.3", "trim")
    shown = compared(*designs, samples=60, settings=["depth=64"])
    text = mail_text([shown], "iova compare busy --text")
    assert max(map(len, text.splitlines())) <= 72
    assert text.isascii()
    for told in ("[5] trim", "requests completed a second", "seed 1", "command: iova compare busy"):
        assert told in text
    peak = f"{shown.rows[4].cached_percent:.2f}"
    assert any(line.split()[-1] == peak for line in text.splitlines() if "served from" in line)


def test_strips_show_the_depot_as_it_grows_and_reaches_its_most() -> None:
    rows = filling_depot(6)
    rows.append(alloc(rows[-1]["t"] + 50_000, 0))
    shown = compare("x", trace_of(*rows), [parse_design("unbounded")], samples=200)
    text = mail_text([shown], "")
    head, strip = text.split("of all sizes and domains over ")[1].splitlines()[:2]
    assert head.endswith("@ is 6:")
    bar = strip.split("|")[1]
    assert len(bar) == 54
    assert (bar[0], bar[-1]) == (" ", "@")


def test_table_chart_and_strip_say_which_depots_they_count() -> None:
    """The table has the longest depot; what is drawn adds up, and so reaches higher."""
    one = filling_depot(4)
    other = [dict(row, domain=1, slot=row["slot"] + len(one) // 2, t=row["t"] + 1) for row in one]
    rows = sorted([*one, *other], key=lambda row: row["t"])
    rows.append(alloc(rows[-1]["t"] + 50_000, 0))
    trace = trace_of(*rows, domains=(DomainInfo(0), DomainInfo(1)))
    shown = compare("x", trace, [parse_design("unbounded")], samples=200)
    text = " ".join(mail_text([shown], "").split())
    assert shown.rows[0].depot_peak == 4
    assert "depot full magazines in the 4 longest depot, of one size in one domain" in text
    assert "magazines in depots of all sizes and domains over 1.32 ms, @ is 8:" in text
    (chart,) = (one for one in charts_of(shown, 1.0) if one.name == "depot")
    assert "of all domains together" in chart.caption


def test_a_mail_has_confidence_units_and_whole_legends() -> None:
    shown = compared("linux-6.1", "linux-7.3", seeds=[1, 2, 3])
    lines = mail_text([shown], "").splitlines()
    assert max(map(len, lines)) <= 72
    for columns, kind in ((COLUMNS, "row"), (MACHINE_COLUMNS, "machine")):
        for column in columns:
            (at,) = (i for i, line in enumerate(lines) if line.startswith(f"  {column.head} "))
            block = lines[at : at + 4]
            means = [column.show(getattr(runs, kind)) for runs in shown.designs]
            halves = [column.show(getattr(runs, f"{kind}_half_width")) for runs in shown.designs]
            assert block[0][36:].split() == means
            assert block[1][36:].split() == [f"+-{half}" for half in halves]
            meaning = " ".join(" ".join(line[9:36].split()) for line in block)
            assert meaning.startswith(column.legend)
    assert {"  cache%", "  KiB   ", "  wait% "} <= {line[:8] for line in lines}
    assert "  +-    half of the 95 % confidence interval of the mean above" in lines
    assert "+-" not in mail_text([compared("linux-6.1")], "")


def test_only_a_mail_about_a_workload_of_several_seeds_says_whose_charts_it_has() -> None:
    replayed = compare("x", trace_of(*filling_depot(2)), [parse_design("unbounded")])
    assert "its first seed" not in " ".join(mail_text([replayed], "").split())
    several = compared(seeds=[1, 2])
    assert "its first seed" not in " ".join(mail_text([replayed, compared()], "").split())
    assert "its first seed" in " ".join(mail_text([replayed, several], "").split())


def test_names_in_a_mail_do_not_steer_a_terminal() -> None:
    rows = trace_of(*filling_depot(2))
    text = mail_text([compare("\x1b[31m\u202e", rows, [parse_design("unbounded")])], "a\nb")
    assert "\x1b" not in text
    assert "\\x1b[31m" in text


def test_pictures_are_written_whole_under_harmless_names(tmp_path: Path) -> None:
    specs = [parse_design(name) for name in ("linux-6.1", "linux-6.12")]
    shown = compare("../x y/<b>", trace_of(*filling_depot(3)), specs, samples=40, tables=True)
    written = write_pictures([shown, shown], tmp_path / "new" / "img")
    assert {path.parent for path in written} == {tmp_path / "new" / "img"}
    assert sorted(path.name for path in written) == sorted(
        p.name for p in (tmp_path / "new" / "img").iterdir()
    )
    names = {path.name for path in written}
    assert {"b-depot.png", "b-depot.svg", "b~2-space.svg"} <= names
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<svg")
        assert len(content) > 3000


def test_a_long_design_s_name_does_not_reach_into_its_neighbour_s() -> None:
    long = "linux-6.12,threshold=1000000,delay_ms=10000,magazine=127"
    specs = [parse_design(name) for name in (long, "linux-6.1", "unbounded", "linux-7.3")]
    shown = compare("x", trace_of(*filling_depot(3)), specs, samples=40)
    svg = pictures.drawn(charts_of(shown)[0], shown)["svg"].decode()
    assert f">{long}<" not in svg
    assert re.search(r">linux-6.12,threshold=[^<]*…<", svg)
    assert ">linux-6.1<" in svg


def test_who_is_stopped_while_pictures_are_drawn_finds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [parse_design("linux-6.1")]
    shown = compare("x", trace_of(*filling_depot(3)), specs, samples=40, tables=True)
    charts: list[str] = []

    def stopped_at_the_second(chart: Chart, _: object) -> dict[str, bytes]:
        charts.append(chart.name)
        if len(charts) == 2:
            raise KeyboardInterrupt
        return {"png": b"drawn"}

    monkeypatch.setattr(pictures, "drawn", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        write_pictures([shown], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        write_pictures([], tmp_path / "file" / "img")
