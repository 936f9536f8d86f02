"""Density: how many pages of IOMMU page tables do caches keep alive?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean
from typing import Final

import altair as alt

from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import Job, Page, Results, Told, table
from benchmarks.findings_tables import Mapped, Tables

FEW: Final = "linux-6.12,magazine=3,threshold=0"
SMALLER: Final = "linux-6.12,magazine=31"
LINUX: Final = "linux-6.12"
OURS: Final = "adaptive"
DESIGNS: Final = (FEW, SMALLER, "linux-6.1", LINUX, "trim", "grown-magazines", "limits", OURS)
_LABELS: Final = {FEW: "hardly any cache", SMALLER: "magazines of 31"}
#: Presets of one domain, all of whose ranges are of one page table.
PRESETS: Final = ("burst", "migrate", "mixed-sizes", "nic-rx", "nvme-384", "scsi-256")
_QUICK: Final = ("burst", "mixed-sizes", "scsi-256")
_SECONDS: Final = 1.0
_MIB: Final = 256  # tables of 4 KiB


def _names(quick: bool) -> Sequence[str]:
    return _QUICK if quick else PRESETS


def _run(name: str, design: str, quick: bool) -> Mapped:
    return Mapped(name, design, (f"duration_s={0.05 if quick else _SECONDS}",))


def _label(design: str) -> str:
    return _LABELS.get(design, design)


def _jobs(quick: bool) -> Sequence[Job[object]]:
    return [_run(name, design, quick) for name in _names(quick) for design in DESIGNS]


class _Seen:
    """What the runs showed."""

    def __init__(self, results: Results, quick: bool) -> None:
        self._results, self._quick = results, quick
        self.names = _names(quick)

    def of(self, name: str, design: str) -> Tables:
        return self._results[_run(name, design, self._quick)]

    def times(self, design: str) -> float:
        """Tables in use, against LINUX, over the presets."""
        return geometric_mean(
            self.of(name, design).mapped / self.of(name, LINUX).mapped for name in self.names
        )


def _mapped_table(seen: _Seen) -> str:
    rows = []
    for name in seen.names:
        runs = [seen.of(name, design) for design in DESIGNS]
        cells = (f"{one.mapped:,.0f} ({one.cached_percent:.1f})" for one in runs)
        rows.append((f"`{name}`", f"{seen.of(name, LINUX).needed:,.0f}", *cells))
    head = ("tables in use, mean (hits, %)", "would do", *map(_label, DESIGNS))
    return table(head, rows)


def _kept_table(seen: _Seen) -> str:
    def told(one: Tables) -> str:
        taken = "" if one.taken is None else f"{one.taken:,.0f}"
        return f"{one.mapped_peak:,.0f}; {taken}; {one.touched:,.0f}"

    rows = [(f"`{n}`", *(told(seen.of(n, design)) for design in DESIGNS)) for n in seen.names]
    head = ("in use, peak; live or cached; ever touched", *map(_label, DESIGNS))
    return table(head, rows)


def _picture(seen: _Seen) -> alt.TopLevelMixin:
    data = [
        {"preset": name, "design": _label(design), "what": what, "tables": value}
        for name in seen.names
        for design in DESIGNS
        for what, value in (
            ("in use, mean", seen.of(name, design).mapped),
            ("ever touched", seen.of(name, design).touched),
        )
    ] + [
        {"preset": name, "design": "would do", "what": "in use, mean",
         "tables": seen.of(name, LINUX).needed}
        for name in seen.names
    ]  # fmt: skip
    return (
        alt.Chart(alt.Data(values=data), width=150, height=130)
        .mark_point(filled=True, size=50)
        .encode(
            x=alt.X("tables:Q", title="tables").scale(type="log").axis(format="~s", tickCount=4),
            y=alt.Y("design:N", title=None, sort=["would do", *map(_label, DESIGNS)]).axis(
                grid=True
            ),
            color=alt.Color("what:N", title=None, sort=["in use, mean", "ever touched"]).legend(
                orient="top"
            ),
            facet=alt.Facet("preset:N", title=None, columns=3, sort=list(seen.names)),
        )
    )


def _claims(seen: _Seen) -> dict[str, bool]:
    def ratio(name: str, one: str, other: str) -> float:
        return seen.of(name, one).mapped / seen.of(name, other).mapped

    return {
        "caching spreads what is mapped": all(ratio(n, LINUX, FEW) > 1.5 for n in PRESETS),
        "smaller magazines are denser": all(ratio(n, SMALLER, LINUX) < 0.8 for n in PRESETS),
        "the depot's design makes no difference": all(
            0.85 < ratio(n, design, LINUX) < 1.15
            for n in PRESETS
            for design in ("linux-6.1", "trim")
        ),
        "adaptive is denser": all(ratio(name, OURS, LINUX) < 0.8 for name in PRESETS),
        "hundreds of CPUs: tens of times what would do": all(
            seen.of(n, LINUX).mapped > 30 * seen.of(n, LINUX).needed
            for n in ("nvme-384", "scsi-256")
        ),
    }


def _tell(results: Results, quick: bool) -> Told:
    seen = _Seen(results, quick)
    if not quick:
        check_claims("density", _claims(seen), quick)
    spread = [seen.of(n, LINUX).mapped / seen.of(n, LINUX).needed for n in seen.names]
    few, scsi = (seen.of("scsi-256", design) for design in (FEW, LINUX))
    kept = {
        design: [seen.of(name, design).touched for name in seen.names] for design in (LINUX, OURS)
    }
    most = max(kept[LINUX])
    return Told(
        answer=(
            f"{min(spread):.0f} to {max(spread):.0f} times as many as would do, under"
            f" `{LINUX}`. It is the magazines that spread what is mapped, not the depot: with"
            " magazines of 31 tables in use are"
            f" {100 * seen.times(SMALLER):.0f} % of that (geometric mean), with `{OURS}`"
            f" {100 * seen.times(OURS):.0f} %, with hardly any cache"
            f" {100 * seen.times(FEW):.0f} %. Most are in use in `scsi-256`: {scsi.needed:.0f}"
            f" tables would do, {scsi.mapped:,.0f} are in use, {few.mapped:,.0f} with hardly any"
            " cache."
        ),
        tables=[_mapped_table(seen), _kept_table(seen)],
        picture=_picture(seen),
        caption="Pages of page tables, 4 KiB each, by design.",
        why=(
            "A tree without caches hands out the highest gap, so what is live lies close together."
            " A cache hands out what was freed last on this CPU, wherever that lies; and what is"
            " cached elsewhere is taken in the tree, so new ranges come from below it. The space in"
            " use is that of live and cached ranges together (*live or cached*), and live ones are"
            " strewn over it: nearly every table of it holds one of them, where CPUs are many."
            "\n\n"
            "How many stay allocated depends on the IOMMU's driver. One that frees a table when"
            " nothing is mapped in it any more keeps those *in use*; one that frees a table only"
            " when a single unmapping covers all of it keeps every one *ever touched*, which is"
            f" {most:,.0f} or {most / _MIB:.1f} MiB at the most here. Denser tables also mean more"
            " hits in the IOMMU's own cache of them; that is not measured here."
        ),
        guesses=(
            f"The presets, of which {_SECONDS:g} s is simulated; means are those of its second"
            " half. Tables are counted for 4 KiB pages, one level: larger mappings and the levels"
            " above need fewer. Where ranges lie above 4 GiB those that are only cached are not"
            " counted."
        ),
        would_change=(
            "A count of an IOMMU's page-table pages (`SecPageTables` in `/proc/meminfo`, where the"
            " kernel has it) on such a machine, before and after its caches are flushed."
        ),
    )


PAGE: Final = Page(
    name="density",
    question="How many pages of IOMMU page tables do caches keep alive?",
    asked=(
        "The tree was kept beneath the caches in 2016 because densely packed addresses keep the"
        " IOMMU's page tables small. What do caches leave of that?"
        "\n\n"
        "Run: presets of one domain, each range followed from its allocation to its unmapping. A"
        " page of a page table maps 512 pages, 2 MiB; it is *in use* while a live range lies in it."
        f" *Would do*: live pages / 512. *Hardly any cache* is `{FEW}`."
    ),
    jobs=_jobs,
    tell=_tell,
)
