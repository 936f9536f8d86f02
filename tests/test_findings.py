"""The findings' page is what its command writes, and the command works."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from iova.events import Op
from iova.lab.prices import load_prices
from iova.workloads import load_workload, presets
from iova.workloads.events import generate

ROOT = Path(__file__).parent.parent


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.findings")


def test_the_page_has_a_filled_place_for_every_case(findings: ModuleType) -> None:
    text = findings.DOCUMENT.read_text()
    for name in (*findings.CASES, "model-threads"):
        section = text.split(f"<!-- begin: {name} -->")[1].split(f"<!-- end: {name} -->")[0]
        assert "|---|---:|" in section, name


def test_159_idle_domains_cost_what_was_reported(findings: ModuleType) -> None:
    told = findings.idle_domains(True)
    assert "244,224 under `linux-6.12`, -0.08 %" in told
    assert "| `linux-7.3` | 128 |" in told


@pytest.mark.usefixtures("findings")
def test_surplus_magazines_go_one_a_class_in_100_ms() -> None:
    drain = sys.modules["benchmarks.findings_drain"]
    assert drain.seconds_to_drain(100, 1) == pytest.approx(10, abs=0.3)
    assert drain.seconds_to_drain(600, 6) == pytest.approx(10, abs=0.3)


def test_rings_are_lost_whole_and_only_by_linux_s_rule(findings: ModuleType) -> None:
    rows = [line for line in findings.lost_rings(True).splitlines() if line.startswith("| ")]
    by_linux, by_covered = (row.split("|") for row in rows[1:])
    assert int(by_linux[2].replace(",", "")) == 256 * int(by_linux[3]) > 0
    assert by_covered[2].strip() == "0"


@pytest.mark.usefixtures("findings")
@pytest.mark.parametrize("mode", ["lazy", "strict"])
def test_tables_in_use_are_those_of_a_walk_event_by_event(mode: str) -> None:
    tables = importlib.import_module("benchmarks.findings_tables")
    settings = ("duration_s=0.02", "cpus=4", "off_ms=5", "on_ms=1", f"domain.disk.mode={mode}")
    found = tables.Mapped("burst", "linux-6.12", settings).do()
    trace = generate(load_workload("burst", settings), load_prices().as_dict())
    by_walk = walk_tables(trace.events, lazy=mode == "lazy", end_ns=20_000_000)
    for name, value in by_walk.items():
        assert getattr(found, name) == pytest.approx(value), name
    assert found.needed <= found.mapped <= found.mapped_peak <= found.touched
    assert found.taken is not None
    assert found.taken <= found.touched


def walk_tables(events: pl.DataFrame, *, lazy: bool, end_ns: int) -> dict[str, float]:
    """What ``findings_tables`` counts with arrays, one event after the other."""
    gone = Op.UNMAP if lazy else Op.FREE
    chosen = events.filter(pl.col("op").is_in([int(Op.ALLOC), int(gone)]))
    changes = sorted(
        (t_end if op == Op.ALLOC else t, op == Op.ALLOC, pfn, size)
        for op, t, t_end, pfn, size in chosen.select("op", "t", "t_end", "pfn", "size").iter_rows()
    )
    live: dict[int, int] = {}
    in_table = Counter[int]()
    touched: set[int] = set()
    half, last, peak, area, pages = end_ns // 2, 0, 0, 0.0, 0.0
    for t, is_alloc, pfn, size in [*changes, (end_ns, True, None, 0)]:
        until, since = min(max(t, half), end_ns), min(max(last, half), end_ns)
        area += (until - since) * sum(count > 0 for count in in_table.values())
        pages += (until - since) * sum(live.values())
        last = t
        if pfn is None:
            break
        if is_alloc:
            live[pfn] = size
            touched.add(pfn // 512)
        else:
            del live[pfn]
        in_table[pfn // 512] += 1 if is_alloc else -1
        peak = max(peak, sum(count > 0 for count in in_table.values()))
    return {
        "mapped": area / half,
        "needed": pages / half / 512,
        "mapped_peak": peak,
        "touched": len(touched),
    }


# ----------------------------------------------------------------------------------- pages


def skeleton(text: str) -> str:
    """A page without its numbers, the presets that it found, and where its lines end."""
    names = "|".join(one.name for one in presets())
    text = re.sub(f"`({names})`", "#", text)
    return " ".join(re.sub(r"[-+]?[\d,.]*\d", "#", text).split())


def is_svg(text: str) -> bool:
    return text.startswith("<svg ") and text.endswith("</svg>\n") and "<path" in text


@pytest.mark.usefixtures("findings")
def test_every_page_is_what_its_command_writes_with_other_numbers() -> None:
    pages = importlib.import_module("benchmarks.findings_pages")
    frame = importlib.import_module("benchmarks.findings_frame")
    assert pages.MODULES
    with frame.Runner() as runner:
        for name in pages.MODULES:
            page = pages.page_named(name)
            told = page.tell(runner.do(page.jobs(True)), True)
            # A short run has fewer rows; the prose is the same.
            short, written = (
                [skeleton(part) for part in text.split("\n\n") if not part.startswith("|")]
                for text in (frame.page_text(page, told), page.path.read_text())
            )
            assert short == written, name
            assert is_svg(frame.svg(told.picture))


@pytest.mark.usefixtures("findings")
def test_every_page_is_in_the_index_and_has_a_picture_of_its_own() -> None:
    pages = importlib.import_module("benchmarks.findings_pages")
    index = (ROOT / "docs/findings/README.md").read_text()
    for name in pages.MODULES:
        page = pages.page_named(name)
        assert f"| [{name}.md]({name}.md) | {page.question} |" in index
        assert f"]({name}.svg)" in page.path.read_text()
        assert is_svg(page.picture.read_text())


def test_a_page_whose_claims_do_not_hold_is_not_written(
    findings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = importlib.import_module("benchmarks.findings_pages")
    claims = importlib.import_module("benchmarks.findings_claims")

    def tell(_results: object, quick: bool) -> None:
        claims.check_claims("threshold", {"2 < 1": 2 < 1}, quick)

    page = dataclasses.replace(pages.page_named("threshold"), jobs=lambda _: [], tell=tell)
    monkeypatch.setattr(pages, "MODULES", {"threshold": ""})
    monkeypatch.setattr(pages, "page_named", lambda _: page)
    monkeypatch.setattr(pages, "write_page", lambda *_: pytest.fail("written"))
    monkeypatch.setattr(pages, "write_index", lambda _: None)
    monkeypatch.setattr(findings, "MODULES", pages.MODULES)
    with pytest.raises(SystemExit, match=r"threshold\.md says what the runs do not show: 2 < 1\."):
        findings.main(["threshold", "--write"])


def test_an_unknown_page_is_an_error_that_names_those_there_are(
    findings: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        findings.main(["nope"])
    assert "no such page or case: nope; there are: model, model/few" in capsys.readouterr().err
