"""What a page of ``docs/findings/`` is made of, and how it is written.

A page answers one question. Its module holds a :class:`Page`: jobs, which say what is to be run,
and ``tell``, which makes the answer, tables and a picture of what these showed. A job that several
pages want is done once.
"""

from __future__ import annotations

import signal
import textwrap
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path
from statistics import mean
from typing import Any, Final, Protocol, TypeVar

import altair as alt

from benchmarks.build import ROOT
from benchmarks.performance import replace_section
from iova import samples
from iova.designs import parse_design
from iova.files import appearing_whole
from iova.lab.machine import simulate
from iova.lab.prices import load_prices
from iova.lab.replay import prepare, replay
from iova.lab.rows import machine_row_of, metrics_of, row_of
from iova.lab.spread import spread
from iova.sources import load
from iova.workloads import load_workload

FOLDER: Final = ROOT / "docs" / "findings"
#: Width of the prose, in characters.
WIDTH: Final = 115
#: Recorded traces by name, as :class:`Replayed` takes them.
TRACES: Final = {
    "burst8-6.12": "burst8-6.12",
    "small4-6.1": str(ROOT / "tests/data/traces/small4-6.1.txt.zst"),
    "small4-6.12": str(ROOT / "tests/data/traces/small4-6.12.txt.zst"),
}

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


# ----------------------------------------------------------------------------------- jobs


class Job(Hashable, Protocol[T_co]):
    """What is run once, in some process: a frozen dataclass with this method will do."""

    def do(self) -> T_co:
        """Run it."""


@dataclass(frozen=True)
class Outcome:
    """What a run showed: its metrics by the names that ``iova compare --json`` gives them."""

    metrics: Mapping[str, float]
    #: Columns of the time series that were asked for, and ``t`` in ns; empty without samples.
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.metrics[name]


@dataclass(frozen=True)
class Simulated:
    """A preset with settings and a seed, under a design, on the simulated machine."""

    preset: str
    design: str
    settings: tuple[str, ...] = ()
    seed: int = 1
    samples: int = 0  #: about so many in the time series
    columns: tuple[str, ...] = ()  #: of the time series

    def do(self) -> Outcome:
        """Simulate it."""
        result = simulate(
            load_workload(self.preset, self.settings),
            parse_design(self.design),
            load_prices(),
            seed=self.seed,
            samples=self.samples,
        )
        metrics = metrics_of(row_of(result.replay)) | metrics_of(machine_row_of(result))
        return Outcome(metrics | _memory_in_use(result.replay), self._kept(result.series))

    def _kept(self, series: Any) -> dict[str, tuple[float, ...]]:
        if series is None:
            return {}
        return {name: tuple(series[name].to_list()) for name in ("t", *self.columns)}


@dataclass(frozen=True)
class Replayed:
    """A bundled trace, replayed under a design; dealt over more CPUs, if that is asked for."""

    sample: str
    design: str
    cpus: int | None = None

    def do(self) -> Outcome:
        """Replay it."""
        trace = load(samples.resolve(self.sample)).trace
        source = prepare(spread(trace, self.cpus).trace if self.cpus else trace)
        result = replay(source, parse_design(self.design))
        return Outcome(metrics_of(row_of(result)) | _memory_in_use(result))


def _memory_in_use(result: Any) -> dict[str, float]:
    """What is left in the caches at the end."""
    return {
        "cached_ranges_end": result.count("cached"),
        "cached_pages_end": result.totals["cached_pages"],
        "live_ranges_peak": result.totals["live_ranges_peak"],
    }


class Results:
    """What the jobs gave."""

    def __init__(self, by_job: Mapping[Job[Any], Any]) -> None:
        self._by_job = by_job

    def __getitem__(self, job: Job[T]) -> T:
        found: T = self._by_job[job]
        return found

    def mean(self, jobs: Iterable[Job[Outcome]], name: str) -> float:
        """One metric, averaged over runs."""
        return mean(self[job][name] for job in jobs)

    def range(self, jobs: Iterable[Job[Outcome]], name: str) -> tuple[float, float]:
        """The least and the greatest of a metric over runs."""
        values = [self[job][name] for job in jobs]
        return min(values), max(values)


class Runner:
    """Does jobs on two processes, each job once however often it is wanted.

    Used as a context manager. An error or Ctrl-C ends the jobs that are running, too.
    """

    def __init__(self) -> None:
        self._done: dict[Job[Any], Any] = {}
        self.cpu_s = 0.0  #: that all jobs took

    def __enter__(self) -> Runner:
        # A fork of a process in which Polars has threads may wait for them for ever.
        self._pool = ProcessPoolExecutor(2, get_context("spawn"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *of: object) -> None:
        if kind is not None:
            for process in active_children():
                process.terminate()
        self._pool.shutdown(cancel_futures=True)

    def do(
        self, jobs: Iterable[Job[Any]], tell: Callable[[int, int], None] | None = None
    ) -> Results:
        """What these jobs give; those that were not done before are done now.

        Args:
            jobs: what is wanted.
            tell: ``tell(jobs done, jobs to do)``, after each.
        """
        wanted = list(dict.fromkeys(jobs))
        missing = [job for job in wanted if job not in self._done]
        with _ctrl_c_left_to_the_parent():
            done = self._pool.map(_timed, missing)
        for count, (job, (value, cpu_s)) in enumerate(zip(missing, done, strict=True), 1):
            self._done[job] = value
            self.cpu_s += cpu_s
            if tell:
                tell(count, len(missing))
        return Results({job: self._done[job] for job in wanted})


def do_all(jobs: Iterable[Job[Any]]) -> Results:
    """Every job once, on two processes."""
    with Runner() as runner:
        return runner.do(jobs)


@contextmanager
def _ctrl_c_left_to_the_parent() -> Iterator[None]:
    """Processes that begin meanwhile ignore it: they would each print where they were."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _timed(job: Job[T]) -> tuple[T, float]:
    began = time.process_time()
    value = job.do()
    return value, time.process_time() - began


# ----------------------------------------------------------------------------------- pages


@dataclass(frozen=True)
class Told:
    """What a page says. No number in it but from the jobs, or cited."""

    answer: str  #: a sentence or two
    tables: Sequence[str]  #: Markdown, from :func:`table`
    picture: alt.TopLevelMixin
    caption: str  #: what the picture shows
    why: str  #: paragraphs
    guesses: str  #: which of the numbers behind it nobody has published
    would_change: str  #: what measurement or fact would overturn it


@dataclass(frozen=True)
class Page:
    """One question."""

    name: str  #: of the file
    question: str  #: its title
    asked: str  #: where the question comes from, and what was run
    jobs: Callable[[bool], Sequence[Job[Any]]]  #: of (short runs, to see that it works)
    tell: Callable[[Results, bool], Told]

    @property
    def path(self) -> Path:
        """The page's file."""
        return FOLDER / f"{self.name}.md"

    @property
    def picture(self) -> Path:
        """Its picture's file."""
        return FOLDER / f"{self.name}.svg"


def page_text(page: Page, told: Told) -> str:
    """A page as Markdown."""
    command = f"python -m benchmarks findings {page.name} --write"
    parts = [
        f"# {page.question}",
        f"**In short:** {told.answer}",
        page.asked,
        f"![{told.caption}]({page.picture.name})",
        told.caption,
        *told.tables,
        f"**Why.** {told.why}",
        f"**What is a guess.** {told.guesses}",
        f"**What would change it.** {told.would_change}",
        f"Written by `{command}`; the numbers are the same on every host.",
    ]
    return "\n\n".join(paragraphs(part) for part in parts) + "\n"


def paragraphs(text: str) -> str:
    """Text with lines of a common width; tables, titles and pictures stay as they are."""
    return "\n\n".join(
        part
        if part.startswith(("|", "#", "!["))
        else textwrap.fill(
            " ".join(part.split()), WIDTH, break_long_words=False, break_on_hyphens=False
        )
        for part in text.strip().split("\n\n")
    )


def write_page(page: Page, told: Told) -> None:
    """Write a page and its picture."""
    for path, text in ((page.path, page_text(page, told)), (page.picture, svg(told.picture))):
        with appearing_whole(path) as unfinished:
            unfinished.write_text(text)


def write_index(pages: Iterable[Page]) -> None:
    """The list of all pages, in the folder's README."""
    rows = [f"| [{page.path.name}]({page.path.name}) | {page.question} |" for page in pages]
    replace_section(
        FOLDER / "README.md", "pages", "\n".join(["| page | question |", "|---|---|", *rows])
    )


# ---------------------------------------------------------------------------------- tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def k(number: float) -> str:
    """Thousands, as the other pages write them."""
    return f"{number / 1000:,.0f} K"


def signed(value: float | None, digits: int) -> str:
    """A change; empty if there is none to tell, and no zero has a minus."""
    return "" if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"


def rounded(value: float, digits: int) -> str:
    """A number of which no zero has a minus."""
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def loss(one: float, other: float) -> float:
    """How much less the one is, in percent of the other."""
    return 100 * (1 - one / other)


def shorter(quick: bool, duration_s: float) -> str:
    """The setting of a duration; a twentieth of it where runs are short."""
    return f"duration_s={duration_s / 20 if quick else duration_s}"


# -------------------------------------------------------------------------------- pictures

#: Told apart by those who see no red or no green, too (Okabe and Ito).
COLOURS: Final = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
)  # fmt: skip


def svg(chart: alt.TopLevelMixin) -> str:
    """A chart as SVG: light background, labels that can be read at the page's width."""
    import vl_convert  # takes as long to load as all the rest

    spec = chart.to_dict()
    spec["background"] = "white"
    spec["padding"] = 8
    spec["config"] = spec.get("config", {}) | _CONFIG
    drawn: str = vl_convert.vegalite_to_svg(spec)
    return drawn.rstrip() + "\n"


_FONT: Final = "Helvetica, Arial, sans-serif"
_CONFIG: Final[Mapping[str, Any]] = {
    "font": _FONT,
    "aria": False,
    "view": {"stroke": None},
    "range": {"category": list(COLOURS)},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
             "gridColor": "#e5e5e5", "labelLimit": 260},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
               "labelLimit": 300},
    "header": {"labelFontSize": 12, "titleFontSize": 12},
    "title": {"fontSize": 13, "fontWeight": "normal", "anchor": "start"},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "size": 50},
}  # fmt: skip
