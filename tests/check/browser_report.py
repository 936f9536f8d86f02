"""The HTML report in a real browser: it draws, switches, zooms, and neither runs nor fetches.

Screenshots of what was looked at stay in ``build/screenshots``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from comparisons import compared
from iova import samples
from iova.designs import parse_design
from iova.lab.compare import compare
from iova.report import page as report
from iova.sources import load
from tables import filling_depot, trace_of

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
HOSTILE = "</script><script>window.ran=1</script><!--<img src=x onerror='window.ran=1'>\"'`&"
DRAWN_MS = 120_000
TOO_WIDE_TABLES = """[...document.querySelectorAll(".scroll")]
    .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as p:
        yield p.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the bundled trace and of a workload, three designs each."""
    names = ("linux-6.1", "linux-6.12", "linux-6.12,threshold=0")
    specs = [parse_design(name) for name in names]
    trace = load(samples.resolve("burst8-6.12")).trace
    shown = [
        compare("burst8-6.12", trace, specs, samples=800, tables=True),
        compared(*names, samples=400, tables=True),
    ]
    return written(tmp_path_factory.mktemp("report") / "both.html", shown)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of eight designs, one of which has a long name, on a machine of 256 CPUs."""
    names = ["linux-6.1", *(f"linux-6.12,threshold={i}" for i in range(1, 6)), "linux-7.3"]
    names.append("linux-6.12,threshold=6,delay_ms=99,magazine=127")
    rows = filling_depot(12, gap_ns=1_000_000)
    rows += [dict(row, cpu=row["t"] // 1000 % 256) for row in filling_depot(1)]
    shown = compare("many", trace_of(*_one_after_the_other(rows), cpus=256),
                    [parse_design(name) for name in names], samples=200, tables=True)  # fmt: skip
    return written(tmp_path_factory.mktemp("report") / "many.html", [shown])


def _one_after_the_other(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two traces as one, the slots of the second numbered on."""
    starts = [i for i, row in enumerate(rows) if row["t"] == 0]
    first = rows[: starts[1]]
    span, slots = first[-1]["t"] + 1000, max(row["slot"] for row in first) + 1
    return first + [
        row | {"t": row["t"] + span, "slot": row["slot"] + slots} for row in rows[starts[1] :]
    ]


def written(path: Path, shown: Any) -> Path:
    report.write_page(shown, path, command="iova compare it")
    return path


class Opened:
    """A report in a page, and what it complained about or asked for."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        size = options.pop("viewport", {"width": 1280, "height": 900})
        self.context = browser.new_context(viewport=size, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(DRAWN_MS)
        self.told: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("dialog", lambda dialog: self.told.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn]", state="attached", timeout=DRAWN_MS)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def look(self, name: str, *, whole: bool = True) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def marks(self) -> dict[str, int]:
        """Of each chart: elements of its picture, or pixels of it that are painted."""
        counted: dict[str, int] = self.value(
            """() => Object.fromEntries([...document.querySelectorAll(".chart")].map((place) => {
                 const canvas = place.querySelector("canvas");
                 if (!canvas) return [place.id,
                   [...place.querySelectorAll(".role-mark path")].filter((p) =>
                     (p.getAttribute("d") ?? "").length > 20).length];
                 const data = canvas.getContext("2d")
                   .getImageData(0, 0, canvas.width, canvas.height).data;
                 let painted = 0;
                 for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
                 return [place.id, painted];
               }))"""
        )
        return counted

    def axis(self, chart: str) -> list[str]:
        """The labels of a chart's time axis."""
        found: list[str] = self.value(
            f"""[...document.querySelectorAll('#{chart} .role-axis-label text')]
                .map((one) => one.textContent)"""
        )
        return sorted(found)


def test_every_chart_has_marks_and_nothing_is_complained_about_or_fetched(
    browser: Browser, both: Path
) -> None:
    with Opened(browser, both) as it:
        marks = it.marks()
        it.look("light")
        assert len(marks) == (5 * 3 + 3) + (7 * 3 + 3)
        assert [name for name, count in marks.items() if count == 0] == []
        heat = [name for name in marks if name.startswith(("fill", "space", "handovers"))]
        assert all(marks[name] > 5000 for name in heat), marks
        assert it.told == []
        assert it.asked == [both.as_uri()]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "has_touch": True}),
    ],
)
def test_it_fits_a_dark_screen_and_a_phone(
    browser: Browser, both: Path, name: str, options: dict[str, Any]
) -> None:
    with Opened(browser, both, **options) as it:
        it.look(name)
        assert it.value("document.documentElement.scrollWidth <= innerWidth")
        assert it.told == []
        assert all(it.marks().values())
        paper = it.value("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(13, 17, 23)" if name == "dark" else "rgb(255, 255, 255)")


def test_no_table_is_wider_than_a_screen(browser: Browser, both: Path) -> None:
    with Opened(browser, both, viewport={"width": 1200, "height": 900}) as it:
        assert it.value(TOO_WIDE_TABLES) == []


def test_it_prints_in_ink_on_white_whatever_the_screen(browser: Browser, both: Path) -> None:
    with Opened(browser, both, color_scheme="dark") as it:
        pdf = it.page.pdf(path=SHOTS / "print.pdf", format="A4")
        assert pdf.startswith(b"%PDF")
        it.page.emulate_media(media="print")
        assert it.value("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert it.told == []


def test_on_paper_charts_and_tables_fit_and_nothing_asks_to_be_clicked(
    browser: Browser, both: Path
) -> None:
    # What is left of A4 between the margins.
    with Opened(browser, both, color_scheme="dark", viewport={"width": 703, "height": 1000}) as it:
        it.page.emulate_media(media="print", color_scheme="light")
        it.value("window.dispatchEvent(new Event('beforeprint'))")
        it.page.wait_for_timeout(2000)
        it.look("paper")
        assert it.value(TOO_WIDE_TABLES) == []
        assert it.value("document.documentElement.scrollWidth <= innerWidth")
        for control in ("input", "button", "output", ".hint"):
            assert not any(one.is_visible() for one in it.page.locator(control).all()), control
        assert it.page.locator("details dl").is_visible()
        # Drawn for this width, not for the screen's and then scaled, or texts would be tiny.
        scales = it.value(
            """[...document.querySelectorAll(".chart svg")].map((one) =>
                 one.getBoundingClientRect().width / Number(one.getAttribute("width")))"""
        )
        assert scales
        assert all(0.95 < scale < 1.05 for scale in scales)
        inks = it.value(
            """[...new Set([...document.querySelectorAll(".role-axis-label text")].map((one) =>
                 one.getAttribute("fill")))]"""
        )
        assert inks == ["#3d444d"]
        it.value("window.dispatchEvent(new Event('afterprint'))")
        assert not it.page.locator("details dl").is_visible()
        assert it.told == []


def test_switching_a_design_off_hides_its_panels_and_its_lines(
    browser: Browser, both: Path
) -> None:
    with Opened(browser, both) as it:
        lines = "document.querySelectorAll('#memory0-0 .mark-line path[d^=M]').length"
        before = it.value(lines)
        it.page.locator("[data-switch='1']").first.click()
        assert not it.page.locator("#depot0-1").is_visible()
        assert not it.page.locator("#depot1-1").is_visible()
        assert it.page.locator("#depot0-0").is_visible()
        assert not it.page.locator("[data-switch='1']").last.is_checked()
        assert it.value(lines) == before - 1
        it.page.locator("[data-switch='1']").last.click()
        assert it.page.locator("#depot0-1").is_visible()
        assert it.value(lines) == before


def test_panels_of_many_designs_stand_in_line_whatever_their_names(
    browser: Browser, many: Path
) -> None:
    with Opened(browser, many, viewport={"width": 1100, "height": 900}) as it:
        it.look("many")
        rows: dict[float, set[float]] = {}
        titles: list[float] = []
        for i in range(8):
            panel = it.page.locator("#depot0 .panel").nth(i)
            box, chart = panel.bounding_box(), panel.locator(".chart").bounding_box()
            title = panel.locator("h4").bounding_box()
            assert box
            assert chart
            assert title
            rows.setdefault(box["y"], set()).add(chart["y"])
            titles.append(title["height"])
        assert max(titles) > min(titles), "no title has a second line"
        assert len(rows) < 8
        assert all(len(charts) == 1 for charts in rows.values())


def test_the_eighth_line_is_not_the_first_s(browser: Browser, many: Path) -> None:
    with Opened(browser, many) as it:
        looks = it.value(
            """[...document.querySelectorAll('#memory0-0 .mark-line path[d^=M]')].map((one) =>
                 one.getAttribute("stroke") + one.getAttribute("stroke-dasharray"))"""
        )
        assert len(set(looks)) == len(looks) == 8
        swatches = it.value(
            "[...document.querySelectorAll('.bar .dot')].map((one) => one.getAttribute('style'))"
        )
        assert len(set(swatches)) == 8


def test_a_shared_scale_is_that_of_the_designs_that_are_on(browser: Browser, many: Path) -> None:
    labels = """[...document.querySelectorAll('#depot0-1 .role-axis-label text')]
        .map((one) => one.textContent)"""
    with Opened(browser, many) as it:
        before = it.value(labels)
        for i in (0, 6):
            it.page.locator(f"[data-switch='{i}']").click()
        it.page.wait_for_timeout(200)
        assert it.value(labels) != before
        for i in (0, 6):
            it.page.locator(f"[data-switch='{i}']").click()
        it.page.wait_for_timeout(200)
        assert it.value(labels) == before


def test_without_a_design_there_are_no_empty_charts_but_a_hint(
    browser: Browser, many: Path
) -> None:
    with Opened(browser, many) as it:
        hint = it.page.get_by_text("All designs are switched off")
        assert not hint.is_visible()
        for i in range(8):
            it.page.locator(f"[data-switch='{i}']").click()
        assert hint.is_visible()
        shown = [one.get_attribute("id") for one in it.page.locator("figure:visible").all()]
        assert shown == ["handovers0"]  # of the trace, whatever the design
        it.look("none")
        it.page.locator("[data-switch='3']").click()
        assert not hint.is_visible()
        assert it.page.locator("#depot0-3 svg").is_visible()
        assert it.page.locator("figure:visible").count() == 8
        assert it.told == []


def test_on_many_cpus_the_group_below_the_pointer_is_told(browser: Browser, many: Path) -> None:
    with Opened(browser, many) as it:
        tip = it.page.locator("#tip")
        for chart, told in (
            ("fill0-0", r" s, CPUs \d+ to \d+.*pages on the fullest of them"),
            ("handovers0-0", r"freed on CPUs \d+ to \d+, allocated on CPUs \d+ to \d+.*the sum"),
        ):
            place = it.page.locator(f"#{chart}")
            place.scroll_into_view_if_needed()
            box = place.bounding_box()
            assert box
            it.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
            expect(tip).to_have_text(re.compile(told, re.S))


def test_on_a_phone_a_table_shows_that_it_scrolls_and_keeps_its_designs_in_sight(
    browser: Browser, both: Path
) -> None:
    with Opened(browser, both, viewport={"width": 390, "height": 844}) as it:
        table = it.page.locator(".scroll").first
        assert table.evaluate("(one) => one.scrollWidth > one.clientWidth")
        shades = table.evaluate("(one) => getComputedStyle(one).backgroundImage")
        assert shades.count("linear-gradient") == 4
        cell = table.locator("tbody td").first
        before = cell.bounding_box()
        table.evaluate("(one) => { one.scrollLeft = 200; }")
        assert cell.bounding_box() == before
        assert before
        assert 100 < before["width"] < 180


def test_a_zoom_in_one_chart_is_one_in_all_of_its_source(browser: Browser, both: Path) -> None:
    with Opened(browser, both) as it:
        before = {name: it.axis(name) for name in ("depot0-2", "steps0-0", "depot1-0")}
        it.page.locator("#pages0-0").scroll_into_view_if_needed()
        box = it.page.locator("#pages0-0").bounding_box()
        assert box
        x, y = box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.4
        it.page.mouse.move(x, y)
        it.page.mouse.down()
        it.page.mouse.move(x + box["width"] * 0.2, y, steps=4)
        it.page.mouse.up()
        assert it.axis("depot0-2") != before["depot0-2"]
        assert it.axis("steps0-0") != before["steps0-0"]
        assert it.axis("depot1-0") == before["depot1-0"]
        bar = it.page.locator(".bar[data-source='0']")
        assert bar.locator("output").inner_text() != "0 s to 283.6 s"
        it.look("zoomed", whole=False)
        bar.locator("button").click()
        assert it.axis("depot0-2") == before["depot0-2"]
        bar.locator(".from").fill("500")
        assert it.axis("steps0-0") != before["steps0-0"]
        assert it.told == []


def test_pointing_at_a_chart_tells_values_of_all_designs(browser: Browser, both: Path) -> None:
    with Opened(browser, both) as it:
        tip = it.page.locator("#tip")
        for chart, told in (("memory0-0", "threshold=0"), ("fill0-0", "pages"), ("space0-1", "0x")):
            place = it.page.locator(f"#{chart}")
            place.scroll_into_view_if_needed()
            box = place.bounding_box()
            assert box
            it.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 40)
            expect(tip).to_contain_text(told)
            expect(tip).to_be_visible()
        it.page.mouse.move(5, 5)
        expect(tip).to_be_hidden()
        assert it.told == []


def test_what_is_told_follows_the_page_below_a_pointer_that_rests(
    browser: Browser, both: Path
) -> None:
    with Opened(browser, both) as it:
        tip = it.page.locator("#tip")
        it.page.locator("#memory0-0").scroll_into_view_if_needed()
        box = it.page.locator("#memory0-0").bounding_box()
        assert box
        it.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60)
        expect(tip).to_contain_text("threshold=0")
        it.value("scrollBy({ top: -20, behavior: 'instant' })")
        # What scrolling does is done by then.
        it.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
        expect(tip).to_contain_text("threshold=0")
        it.value("scrollTo({ top: 0, behavior: 'instant' })")
        expect(tip).to_be_hidden()


def test_a_hostile_name_does_not_run(browser: Browser, tmp_path: Path) -> None:
    specs = [parse_design(name) for name in ("linux-6.1", "linux-6.12")]
    trace = trace_of(*filling_depot(6), kernel=HOSTILE)
    shown = compare(HOSTILE, trace, specs, samples=100, tables=True)
    # A design may be named after a file of the user's: its label is text like any other.
    for result in shown.results:
        object.__setattr__(result, "design", HOSTILE + result.design)
    for runs in shown.designs:
        object.__setattr__(runs, "design", HOSTILE + runs.design)
    path = tmp_path / "hostile.html"
    report.write_page([shown], path, command=HOSTILE)
    with Opened(browser, path) as it:
        box = it.page.locator("#memory0-0").bounding_box()
        assert box
        it.page.locator("#memory0-0").hover()
        expect(it.page.locator("#tip")).to_contain_text(HOSTILE)
        assert it.value("window.ran") is None
        assert it.page.locator("img").count() == 0
        assert it.told == []
        assert it.asked == [path.as_uri()]
        assert HOSTILE in it.page.locator("h1").inner_text()


def test_a_script_that_got_in_would_not_run(browser: Browser, both: Path, tmp_path: Path) -> None:
    text = both.read_text(encoding="utf-8")
    path = tmp_path / "broken.html"
    path.write_text(text.replace("<h1>", "<script>window.ran=1</script><h1>", 1), encoding="utf-8")
    with Opened(browser, path) as it:
        assert it.value("window.ran") is None
        assert any("Content Security Policy" in told for told in it.told)
