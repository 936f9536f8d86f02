"""CPU load and memory of each design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Final

import altair as alt

from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import Job, Outcome, Page, Results, Simulated, Told, signed, table
from iova.designs import builtin_designs
from iova.workloads import presets

AGAINST: Final = "linux-6.12"
_QUICK: Final = ("board-4", "scsi-256", "burst")
#: Most and least of a design are told, if they differ from AGAINST by more, in percent.
_WORTH: Final = 1.0
#: From here on a factor is told instead of percents.
_TIMES: Final = 400.0
#: Magazines of a fixed depot.
_FULL: Final = 32
#: CPU time that two designs may differ by and be called the same, in percent.
_SAME: Final = 10.0


def _names(quick: bool) -> Sequence[str]:
    return _QUICK if quick else [one.name for one in presets()]


def _designs() -> list[str]:
    return [one.name for one in builtin_designs()]


def _run(name: str, design: str, quick: bool) -> Simulated:
    return Simulated(name, design, ("duration_s=0.3",) if quick else ())


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [_run(name, design, quick) for name in _names(quick) for design in _designs()]


def request_cpu_ns(outcome: Outcome) -> float:
    """CPU time of a request in the allocator: callers', the job's, the flush timer's."""
    sources = ("callers", "reclaim", "timer")
    spent = sum(outcome[f"{source}_cpu_s_per_s"] for source in sources)
    return 1e9 * spent / outcome["requests_per_s"]


@dataclass(frozen=True)
class Costs:
    """What a design takes more than AGAINST, by preset, in percent; below 0: less."""

    design: str
    cpu: dict[str, float]
    memory: dict[str, float]
    job_percent: dict[str, float]  #: the delayed job's share of the design's own CPU time

    @staticmethod
    def mean(percents: dict[str, float]) -> float:
        """As a factor, averaged geometrically."""
        return 100 * (geometric_mean([1 + one / 100 for one in percents.values()]) - 1)


def _costs(results: Results, design: str, names: Sequence[str], quick: bool) -> Costs:
    ours = {name: results[_run(name, design, quick)] for name in names}
    base = {name: results[_run(name, AGAINST, quick)] for name in names}

    def more(one: float, other: float) -> float:
        return 100 * (one / other - 1)

    def job(outcome: Outcome) -> float:
        all_ns = request_cpu_ns(outcome) * outcome["requests_per_s"] / 1e9
        return 100 * outcome["reclaim_cpu_s_per_s"] / all_ns

    return Costs(
        design,
        {n: more(request_cpu_ns(ours[n]), request_cpu_ns(base[n])) for n in names},
        {n: more(ours[n]["memory_kib_peak"], base[n]["memory_kib_peak"]) for n in names},
        {n: job(ours[n]) for n in names},
    )


def _extreme(of: dict[str, float], most: bool) -> str:
    """The preset of the most (or least), and how much."""
    name = (max if most else min)(of, key=lambda one: of[one])
    is_times = of[name] >= _TIMES
    told = f"{1 + of[name] / 100:,.0f} x" if is_times else f"{signed(of[name], 0)} %"
    return f"{told} (`{name}`)"


def _if_worth(of: dict[str, float], most: bool) -> str:
    return _extreme(of, most) if max(map(abs, of.values())) > _WORTH else ""


def _table(costs: Sequence[Costs]) -> str:
    rows = [
        (
            f"`{one.design}`",
            signed(one.mean(one.cpu), 1),
            _if_worth(one.cpu, False),
            _if_worth(one.cpu, True),
            f"{max(one.job_percent.values()):.2f}",
            signed(one.mean(one.memory), 1),
            _if_worth(one.memory, False),
            _if_worth(one.memory, True),
        )
        for one in costs
        if one.design != AGAINST
    ]
    head = (
        "design", "CPU, %", "least", "most", "job's share, most, %", "memory, %", "least ",
        "most ",
    )  # fmt: skip
    return table(head, rows)


def _absolute_table(results: Results, names: Sequence[str], quick: bool) -> str:
    rows = []
    for name in names:
        one = results[_run(name, AGAINST, quick)]
        rows.append((
            f"`{name}`",
            f"{request_cpu_ns(one):,.0f} ns",
            f"{1e6 * one['reclaim_cpu_s_per_s']:,.0f} us",
            f"{one['memory_kib_peak']:,.0f} KiB",
            f"{one['magazines_peak']:,.0f}",
        ))  # fmt: skip
    head = (f"`{AGAINST}`", "CPU a request", "job, in a second", "memory, peak", "magazines, peak")
    return table(head, rows)


def _picture(costs: Sequence[Costs], names: Sequence[str]) -> alt.TopLevelMixin:
    panels = {"CPU time of a request": "cpu", "memory at the peak": "memory"}
    data = [
        {"design": one.design, "preset": name, "what": title,
         "factor": 1 + getattr(one, column)[name] / 100}
        for one in costs
        for title, column in panels.items()
        for name in names
    ]  # fmt: skip
    return (
        alt.Chart(alt.Data(values=data), width=15 * len(costs), height=14 * len(names))
        .mark_rect()
        .encode(
            x=alt.X("design:N", title=None, sort=[one.design for one in costs]).axis(
                labelAngle=-60
            ),
            y=alt.Y("preset:N", title=None, sort=list(names)),
            color=alt.Color("factor:Q", title=f"x {AGAINST}")
            .scale(
                type="log", domain=[0.25, 0.5, 1, 2, 4],
                range=["#0072b2", "#7fb8d8", "#f2f2f2", "#eaae7f", "#d55e00"], clamp=True,
            )
            .legend(values=[0.25, 0.5, 1, 2, 4]),
            column=alt.Column("what:N", title=None, sort=list(panels)),
        )
    )  # fmt: skip


def _never_full(results: Results, names: Sequence[str], quick: bool) -> list[str]:
    """Presets in which no fixed depot is ever full."""
    return [name for name in names if results[_run(name, "linux-6.1", quick)]["depot_peak"] < _FULL]


def _claims(by_design: dict[str, Costs], never_full: Sequence[str]) -> dict[str, bool]:
    def cpu(design: str) -> float:
        return Costs.mean(by_design[design].cpu)

    def memory(design: str) -> float:
        return Costs.mean(by_design[design].memory)

    fixed = by_design["linux-6.1"]
    return {
        "both patches: no preset takes more CPU than with the fixed depot": min(fixed.cpu.values())
        > -3,
        "the fixed depot takes more CPU": cpu("linux-6.1") > 20,
        "both patches: memory is about the same": abs(memory("linux-6.1")) < 5,
        "first use saves memory and costs no CPU": memory("linux-7.3") < -10
        and abs(cpu("linux-7.3")) < 5,
        "the reclaim job is no load": max(by_design[AGAINST].job_percent.values()) < 5,
        "smaller magazines save memory": memory("limits") < -20 and memory("adaptive") < -20,
        "where no depot is full the depots' designs take the same CPU time": all(
            abs(by_design[design].cpu[name]) < _SAME
            for design in ("linux-6.1", "unbounded", "cpu-scaled", "bail", "two-list", "batch")
            for name in never_full
        ),
        "wide holds more memory": memory("wide") > 5,
    }


def _tell(results: Results, quick: bool) -> Told:
    names = _names(quick)
    costs = [_costs(results, design, names, quick) for design in _designs()]
    by_design = {one.design: one for one in costs}
    never_full = _never_full(results, names, quick)
    check_claims("cost", _claims(by_design, never_full), quick)

    def both(design: str) -> str:
        one = by_design[design]
        cpu, memory = (signed(one.mean(of), 0) for of in (one.cpu, one.memory))
        return f"{cpu} % CPU time and {memory} % memory"

    fixed, linux = by_design["linux-6.1"], by_design[AGAINST]
    at_first_use, ours = by_design["linux-7.3"], by_design["adaptive"]
    return Told(
        answer=(
            "against both patches the fixed depot takes"
            f" {both('linux-6.1')} (geometric mean over the presets); its worst preset takes"
            f" {max(fixed.cpu.values()) / 100 + 1:.0f} times the CPU time, and none takes more than"
            f" {-min(fixed.cpu.values()):.1f} % less. The reclaim job is at most"
            f" {max(linux.job_percent.values()):.1f} % of the allocator's time. Magazines made at"
            f" first use (`linux-7.3`) mean {both('linux-7.3')}, at most"
            f" {_extreme(at_first_use.cpu, True)} CPU time; `adaptive` means"
            f" {both('adaptive')}, at most {_extreme(ours.cpu, True)} CPU time."
        ),
        tables=[_table(costs), _absolute_table(results, names, quick)],
        picture=_picture(costs, names),
        caption=f"Every design on every preset, as a multiple of `{AGAINST}`; blue is less.",
        why=(
            "CPU time follows the trips to the tree: where a fixed depot overflows it pays twice"
            " for what it gave back, and CPUs that wait for the tree's lock burn time. On the"
            f" {len(never_full)} presets in which no fixed depot is ever full the designs that"
            f" differ in their depots alone differ by less than {_SAME:g} % of CPU time. Designs"
            " with smaller magazines go to their depots more often, and wait there where many CPUs"
            " share one."
            "\n\n"
            "Memory is two magazines for each CPU and size, used or not, and after that the"
            " ranges in the tree; depots are a small part of it. So what saves memory is making"
            " magazines at first use, or smaller ones (`limits`, `grown-magazines`, `adaptive`),"
            " and not a shorter depot. `wide` has magazines for four more sizes."
        ),
        guesses=(
            "Prices of the machine, for CPU time; memory is counted at Linux's sizes, 1 KiB a"
            " magazine of 127 and 40 bytes a range, without slab overhead. One seed. Presets that"
            " show one fault weigh as much in the means as usual loads."
        ),
        would_change=(
            "The patches' author asked for exactly this from real machines: CPU load with and"
            " without, and `iommu_iova_magazine` in `/proc/slabinfo`."
        ),
    )


PAGE: Final = Page(
    name="cost",
    question="What do the designs cost in CPU time and memory?",
    asked=(
        "The author asked testers whether CPU load or memory use changed, for better or worse (21"
        " August 2023)."
        "\n\n"
        "Run: every design with its defaults on every preset. CPU time is that of a request in the"
        " allocator: its caller's, waits for locks included, and its share of the design's delayed"
        " job and of the flush timer. Memory is the peak of magazines, ranges and depot arrays."
        f" Both in percent more (or less) than `{AGAINST}`; *least* and *most* name the preset,"
        f" where it is more than {_WORTH:g} %."
    ),
    jobs=_jobs,
    tell=_tell,
)
