"""How large should a magazine be?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean
from typing import Final

import altair as alt

from benchmarks.findings_claims import check_claims
from benchmarks.findings_cost import request_cpu_ns
from benchmarks.findings_frame import (
    Job,
    Outcome,
    Page,
    Results,
    Simulated,
    Told,
    loss,
    signed,
    table,
)

LINUX: Final = 127
SIZES: Final = (7, 15, 31, 63, 127, 255, 511, 1023)
GROWN: Final = "grown-magazines"
PRESETS: Final = (
    "board-4", "burst", "migrate", "mixed-sizes", "nic-rx", "nvme-384", "sas-256", "scsi-256",
)  # fmt: skip
_QUICK: Final = ("board-4", "burst", "scsi-256")
_SMALLER: Final = (63, 31, 7)


def _names(quick: bool) -> Sequence[str]:
    return _QUICK if quick else PRESETS


def _design(size: int) -> str:
    # Named as other pages name it, so that it is run once for all.
    return "linux-6.12" if size == LINUX else f"linux-6.12,magazine={size}"


DESIGNS: Final = (*map(_design, SIZES), GROWN)


def _run(name: str, design: str, quick: bool) -> Simulated:
    return Simulated(name, design, ("duration_s=0.3",) if quick else ())


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [_run(name, design, quick) for name in _names(quick) for design in DESIGNS]


class _Seen:
    """What the runs showed."""

    def __init__(self, results: Results, quick: bool) -> None:
        self._results, self._quick = results, quick
        self.names = _names(quick)

    def of(self, name: str, design: str) -> Outcome:
        return self._results[_run(name, design, self._quick)]

    def cpu_ns(self, name: str, design: str) -> float:
        return request_cpu_ns(self.of(name, design))

    def requests(self, name: str, design: str) -> float:
        """Percent more than with Linux's magazines."""
        rates = (self.of(name, one)["requests_per_s"] for one in (design, _design(LINUX)))
        return -loss(*rates)

    def waste_ratio(self, design: str) -> float:
        """Against Linux's magazines, over the presets."""
        base = _design(LINUX)
        return geometric_mean(
            self.of(name, design)["waste"] / self.of(name, base)["waste"] for name in self.names
        )

    def cpu_ratio(self, design: str) -> float:
        """Against Linux's magazines, over the presets."""
        base = _design(LINUX)
        return geometric_mean(self.cpu_ns(n, design) / self.cpu_ns(n, base) for n in self.names)

    def fewest_requests(self, design: str) -> float:
        """Percent more than with Linux's magazines, on the worst preset."""
        return min(self.requests(name, design) for name in self.names)

    def best(self, name: str) -> int:
        """The size with the least CPU time a request."""
        return min(SIZES, key=lambda size: self.cpu_ns(name, _design(size)))


def _caches_table(seen: _Seen) -> str:
    rows = [
        (
            f"`{name}`",
            *(
                f"{one['waste']:.2f} ({one['cached_percent']:.1f})"
                for one in (seen.of(name, design) for design in DESIGNS)
            ),
        )
        for name in seen.names
    ]
    head = ("waste (hits, %)", *(f"{size} entries" for size in SIZES), f"`{GROWN}`")
    return table(head, rows)


def _cpu_table(seen: _Seen) -> str:
    rows = [
        (
            f"`{name}`",
            *(
                f"{seen.cpu_ns(name, design):,.0f} ({signed(seen.requests(name, design), 1)})"
                for design in DESIGNS
            ),
        )
        for name in seen.names
    ]
    head = (
        "CPU a request, ns (requests, %)", *(f"{size} entries" for size in SIZES), f"`{GROWN}`",
    )  # fmt: skip
    return table(head, rows)


def _picture(seen: _Seen) -> alt.TopLevelMixin:
    panels = ("waste", "CPU time of a request")
    base = _design(LINUX)
    data = [
        {"preset": name, "entries": size, "what": what, "factor": value}
        for name in seen.names
        for size in SIZES
        for what, value in zip(
            panels,
            (
                seen.of(name, _design(size))["waste"] / seen.of(name, base)["waste"],
                seen.cpu_ns(name, _design(size)) / seen.cpu_ns(name, base),
            ),
            strict=True,
        )
    ]
    return (
        alt.Chart(alt.Data(values=data), width=225, height=200)
        .mark_line(point=True)
        .encode(
            x=alt.X("entries:Q", title="entries of a magazine")
            .scale(type="log", base=2, nice=False)
            .axis(values=list(SIZES), grid=False),
            y=alt.Y("factor:Q", title=f"x that of {LINUX} entries").scale(type="log"),
            color=alt.Color("preset:N", title=None, sort=list(seen.names)),
            column=alt.Column("what:N", title=None, sort=list(panels)),
        )
        .resolve_scale(y="independent")
    )  # fmt: skip


def _claims(seen: _Seen) -> dict[str, bool]:
    wastes = [seen.waste_ratio(_design(size)) for size in SIZES]
    return {
        "waste grows with the magazines": wastes == sorted(wastes),
        "half the size, less waste for no requests": wastes[SIZES.index(63)] < 0.7
        and seen.fewest_requests(_design(63)) > -0.3
        and seen.cpu_ratio(_design(63)) < 1,
        "the smallest cost requests": seen.fewest_requests(_design(7)) < -3,
        "larger ones take more CPU": all(seen.cpu_ratio(_design(s)) > 1 for s in (255, 511, 1023)),
        "nowhere is a size above 255 best": max(seen.best(name) for name in seen.names) <= 255,
        "many CPUs: the best is below Linux's": all(
            seen.best(name) < LINUX for name in ("nvme-384", "sas-256", "scsi-256")
        ),
        "grown magazines: less waste": seen.waste_ratio(GROWN) < 0.5,
    }


def _tell(results: Results, quick: bool) -> Told:
    seen = _Seen(results, quick)
    if not quick:
        check_claims("magazines", _claims(seen), quick)

    def smaller(design: str, name: str) -> str:
        cpu = 100 * (seen.cpu_ratio(design) - 1)
        return (
            f"{name} waste {100 * seen.waste_ratio(design):.0f} % of what those of {LINUX} do, take"
            f" {signed(cpu, 0)} % CPU time (geometric means) and on the worst preset change the"
            f" requests by {signed(seen.fewest_requests(design), 1)} %"
        )

    best = [seen.best(name) for name in seen.names]
    half, quarter, least = (_design(size) for size in _SMALLER)
    return Told(
        answer=(
            f"half of Linux's. {smaller(half, 'Magazines of 63')}; {smaller(quarter, 'of 31')};"
            f" {smaller(least, 'of 7')}. Larger ones than Linux's gain nothing anywhere but"
            " a few nanoseconds. The size with the least CPU time is"
            f" {min(best)} to {max(best)}, by the preset."
        ),
        tables=[_caches_table(seen), _cpu_table(seen)],
        picture=_picture(seen),
        caption=f"Waste and CPU time by the size of a magazine; 1 is Linux's, {LINUX} entries.",
        why=(
            "A CPU's loaded magazine is somewhere between full and empty, for every size it uses,"
            " so what lies idle grows with the magazine. A smaller one goes to the depot more"
            " often, which costs a lock and its lines: that is what is lost on few CPUs, and where"
            " many share a depot they wait for each other. On hundreds of CPUs the opposite is"
            " dearer: what lies idle everywhere had to be cut from the tree first, and the tree's"
            " lock is the one all share."
            "\n\n"
            "A magazine is 2**n - 1 entries and one word, which holds the count, or the link while"
            " it lies in the depot: its size is a power of two, so allocators waste none of it."
            f" `{GROWN}` starts with 15 entries and lets them grow where a depot is busy: its waste"
            f" is {100 * seen.waste_ratio(GROWN):.0f} % of Linux's, its requests on the worst"
            f" preset {signed(seen.fewest_requests(GROWN), 1)} %."
        ),
        guesses=(
            "The prices of a depot's lock and lines; those between nodes are guesses. Runs last"
            " seconds, so filling the magazines of hundreds of CPUs weighs more than in a machine"
            " that has run for a day: there, we infer, large magazines hit more often than here."
        ),
        would_change=(
            "Measured waits for depots on a machine of hundreds of CPUs. If these are longer than"
            " here, smaller magazines cost more."
        ),
    )


PAGE: Final = Page(
    name="magazines",
    question="How large should a magazine be?",
    asked=(
        f"Linux's magazines hold {LINUX} ranges: with one word it is 1 KiB, and a reviewer asked to"
        " say so explicitly (21 August 2023). Bonwick and Adams let the size grow with contention."
        "\n\n"
        "Run: eight presets under `linux-6.12` with magazines of other sizes,"
        f" and `{GROWN}`. CPU time is that of a request in the allocator, waits included; requests"
        f" are in percent more than with {LINUX} entries."
    ),
    jobs=_jobs,
    tell=_tell,
)
