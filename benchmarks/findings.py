"""``python -m benchmarks findings``: ``docs/findings/``, regenerated.

Named are pages, each a file of its own with a picture (``findings_pages.py``), and published cases,
each a section of ``model.md`` between two comments: ``model/CASE``, or ``model`` for all of them.
They are run and printed, and with ``--write`` written. Everything in them comes from the runs,
which are the same on every host: prices are the package's own, seeds are fixed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from benchmarks import findings_drain, findings_sizes
from benchmarks.build import ROOT
from benchmarks.findings_cases import Run, Seen, see_all
from benchmarks.findings_frame import table
from benchmarks.findings_pages import MODULES, make_pages
from benchmarks.performance import replace_section

DOCUMENT: Final = ROOT / "docs" / "findings" / "model.md"
_MODEL: Final = "model"

FIXED: Final = "linux-6.1"
DESIGNS: Final = (FIXED, "unbounded", "linux-6.12")
SEEDS: Final = (1, 2, 3)


def main(arguments: Sequence[str]) -> None:
    """Run the cases and pages that were named, or all."""
    known = [_MODEL, *(f"{_MODEL}/{case}" for case in CASES), *MODULES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks findings", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known) + "; all")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    parser.add_argument("--write", action="store_true", help="write them into docs/findings/")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no such page or case: {', '.join(unknown)}; there are: {', '.join(known)}")
    if options.quick and options.write:
        parser.error("--quick is not written")
    wanted = options.names or [_MODEL, *MODULES]
    _make_sections([case for case in CASES if {_MODEL, f"{_MODEL}/{case}"} & set(wanted)], options)
    pages = [name for name in MODULES if name in wanted]
    problems = make_pages(pages, options.quick, options.write) if pages else []
    if problems:
        sys.exit("\n".join(problems))


def _make_sections(cases: Sequence[str], options: argparse.Namespace) -> None:
    for case in cases:
        section = CASES[case](options.quick)
        print(section, end="\n\n", flush=True)
        if options.write:
            replace_section(DOCUMENT, case, section)


def _shorter(quick: bool, duration_s: float) -> str:
    return f"duration_s={duration_s / 20 if quick else duration_s}"


def _k(rate: float) -> str:
    return f"{rate / 1000:,.0f} K"


def _loss(one: float, other: float) -> float:
    """How much less, in percent."""
    return 100 * (1 - one / other)


# --------------------------------------------------------------- few CPUs free, all allocate

#: What is added to the preset ``sas-256``, and what the row is called.
_FEW: Final[Mapping[str, tuple[str, ...]]] = {
    "32 bits first, lazy": (),
    "... device of 2 000 K/s": ("device_miops=2",),
    "... one size, 4 KiB": ("sizes=1",),
    "... strict": ("domain.*.mode=strict",),
    "32 bits until a failure, lazy": ("limit_rule=32-until-failure",),
}
_FEW_S: Final = 3.0


def _few_runs(quick: bool) -> dict[tuple[str, str], list[Run]]:
    return {
        (name, design): [
            Run("sas-256", design, (_shorter(quick, _FEW_S), *extra), seed) for seed in SEEDS
        ]
        for name, extra in _FEW.items()
        for design in DESIGNS
    }


def few_cpus_free(quick: bool) -> str:
    """Aug 2023: 256 CPUs allocate, 16 free: -20 % at 99 % hits, none on the unbounded depot."""
    runs = _few_runs(quick)
    seen = see_all([run for alike in runs.values() for run in alike])
    rows, losses = [], {}
    for name in _FEW:
        best = statistics.mean(seen[run].late_per_s for run in runs[name, "unbounded"])
        for design in DESIGNS:
            alike = [seen[run] for run in runs[name, design]]
            late = [one.late_per_s for one in alike]
            losses[name, design] = _loss(statistics.mean(late), best)
            rows.append((
                f"{name}: `{design}`",
                _k(statistics.mean(one.early_per_s for one in alike)),
                _k(statistics.mean(late)),
                f"{_k(min(late))} to {_k(max(late))}",
                f"{statistics.mean(one.late_cached_percent for one in alike):.2f}",
                f"{abs(losses[name, design]):.0f} %",
            ))  # fmt: skip
    head = ("sas-256", "early", "late", "over seeds", "cached %, late", "lost")
    first, capped, *_ = _FEW
    told = (
        f"Published: 1 980 K to about 1 590 K, 20 % lost at about 99 % hits; none with the "
        f"unbounded depot. "
        f"Simulated, late in the run: the fixed depot loses {losses[first, FIXED]:.0f} % where "
        f"the completing "
        f"CPUs are what is short and {losses[capped, FIXED]:.0f} % behind a device of 2 000 K "
        f"requests a "
        f"second; `linux-6.12` loses {abs(losses[first, 'linux-6.12']):.0f} %. "
        f"When the loss begins depends on the seed; it does not end."
    )
    return told + "\n\n" + table(head, rows)


# ------------------------------------------------------------------------------ how much moves

#: Guesses of ``sas-256``: halved and doubled, as settings.
_GUESSES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "requests in flight (4 096)": (("in_flight=2048",), ("depth=32", "in_flight=8192")),
    "latency (100 us)": (
        ('latency_us={spread="lognormal", median=50, sigma=0.5}',),
        ('latency_us={spread="lognormal", median=200, sigma=0.5}',),
    ),
    "CPU work of a completion (5 us)": (("complete_work_us=2.5",), ("complete_work_us=10",)),
    "CPU work of a submission (5 us)": (("submit_work_us=2.5",), ("submit_work_us=10",)),
    "IOTLB flush (2 us)": (("flush_us=1",), ("flush_us=4",)),
    "CPUs a node (64)": (("cpus_per_node=32",), ("cpus_per_node=128",)),
}
_GUESSED_PRICES: Final = {
    "a line from another node (133.956 ns)": ("line_far", "line_ahead_far"),
    "a tree node from memory (162.459 ns)": ("tree_step_far", "tree_level_far"),
}


def _variants(quick: bool) -> dict[tuple[str, int], Run]:
    """By guess, and whether it is halved (0) or doubled (1), under the fixed depot."""
    base = _shorter(quick, _FEW_S)
    found = {}
    for name, pair in _GUESSES.items():
        for i, settings in enumerate(pair):
            found[name, i] = Run("sas-256", FIXED, (base, *settings))
    for name, prices in _GUESSED_PRICES.items():
        for i, factor in enumerate((0.5, 2.0)):
            found[name, i] = Run(
                "sas-256", FIXED, (base,), dearer=tuple((price, factor) for price in prices)
            )
    return found


def how_much_moves(quick: bool) -> str:
    """The loss of the case before when each guess is halved, and doubled."""
    variants = _variants(quick)
    base = Run("sas-256", FIXED, (_shorter(quick, _FEW_S),))
    runs = [base, *variants.values()]
    against = {run: _under(run, "unbounded") for run in runs}
    seen = see_all([*runs, *against.values()])

    def lost(run: Run) -> str:
        late, best = seen[run].late_per_s, seen[against[run]].late_per_s
        return f"{_loss(late, best):.0f} % of {_k(best)}"

    names = [*_GUESSES, *_GUESSED_PRICES]
    rows = [(name, lost(variants[name, 0]), lost(variants[name, 1])) for name in names]
    told = f"As it stands, with one seed: {lost(base)} lost. With one guess changed:"
    return told + "\n\n" + table(("guess", "halved", "doubled"), rows)


def _under(run: Run, design: str) -> Run:
    return Run(run.preset, design, run.settings, run.seed, run.dearer)


# ------------------------------------------------------------------------------------ ageing


def ageing(quick: bool) -> str:
    """Sep 2020 to Jan 2021: to a third or less after hours, in lazy mode only."""
    modes = {"lazy": DESIGNS, "strict": (FIXED,)}
    runs = {
        (mode, design, seed): Run(
            "ageing", design, (_shorter(quick, 5.0), f"domain.*.mode={mode}"), seed
        )
        for mode, designs in modes.items()
        for design in designs
        for seed in SEEDS
    }
    seen = see_all(list(runs.values()))
    rows = [_aged(f"{mode}, `{design}`, seed {seed}", seen[run])
            for (mode, design, seed), run in runs.items()]  # fmt: skip
    left = [100 * seen[runs["lazy", FIXED, s]].late_per_s / seen[runs["lazy", FIXED, s]].early_per_s
            for s in SEEDS]  # fmt: skip
    kept = min(
        one.late_per_s / one.early_per_s
        for (mode, design, _), run in runs.items()
        for one in (seen[run],)
        if (mode, design) != ("lazy", FIXED)
    )
    head = (
        "ageing",
        "early",
        "late",
        "cached pages",
        "late ",
        "in depots",
        "late  ",
        "longest hold",
    )
    told = (
        "Published: about 1 700 K to 330..690 K (19 to 41 % are left), in lazy mode only; the "
        "depots went from "
        "3 866 to 24 476 ranges, which is six depots of 32 full magazines (6 x 32 x 127 = 24 "
        "384). Simulated, "
        f"fixed depot, lazy: {', '.join(f'{share:.0f} %' for share in left)} are left late in the "
        f"three "
        f"runs; in every other run at least {100 * kept:.0f} %."
    )
    return told + "\n\n" + table(head, rows)


def _aged(name: str, one: Seen) -> tuple[str, ...]:
    return (
        name,
        _k(one.early_per_s),
        _k(one.late_per_s),
        _k(one.early_cached_pages),
        _k(one.late_cached_pages),
        f"{one.early_depots:.0f}",
        f"{one.late_depots:.0f}",
        f"{one.longest_hold_ms:.1f} ms",
    )


def rare_sizes(quick: bool) -> str:
    """The same with larger requests rare: what is cached grows while throughput falls."""
    seconds, parts = (0.6, 2) if quick else (12.0, 6)
    grown = {d: list(findings_sizes.grow(d, seconds, parts)) for d in (FIXED, "unbounded")}
    rows = [
        (f"{fixed.until_s:g} s", f"{fixed.cached_ranges:,}", _k(fixed.requests_per_s),
         f"{fixed.cached_percent:.2f}", f"{free.cached_ranges:,}", _k(free.requests_per_s),
         f"{free.cached_percent:.2f}")
        for fixed, free in zip(*grown.values(), strict=True)
    ]  # fmt: skip
    first, last = grown[FIXED][0], grown[FIXED][-1]
    told = (
        f"Published: cached ranges 44 K to 87 K (2.0 x) in 16 hours. Simulated with 1 request of "
        f"each larger size among {findings_sizes.RARITY:,} of 4 KiB, fixed depot: "
        f"{first.cached_ranges:,} to {last.cached_ranges:,} "
        f"({last.cached_ranges / first.cached_ranges:.1f} x), and "
        f"{100 * last.requests_per_s / first.requests_per_s:.0f} % of the throughput are left, at "
        f"{last.cached_percent:.1f} % hits."
    )
    cells = ("cached ranges", "requests/s", "hits, %")
    head = ("ageing", *(f"`{design}`: {cell}" for design in grown for cell in cells))
    return told + "\n\n" + table(head, rows)


# -------------------------------------------------------------------------------- memory


def idle_domains(quick: bool) -> str:
    """Feb 2024: 244 412 magazines on 128 CPUs."""
    designs = ("linux-6.12", "linux-7.3")
    runs = {d: Run("idle-domains", d, (_shorter(quick, 1.0),)) for d in designs}
    seen = see_all(list(runs.values()))
    rows = [(f"`{d}`", f"{seen[run].magazines_peak:,}") for d, run in runs.items()]
    most = seen[runs["linux-6.12"]].magazines_peak
    told = (
        f"Published: 244 412 magazines, 242 MB. Simulated: {most:,} under `linux-6.12`, "
        f"{100 * (most / 244_412 - 1):+.2f} %: 159 domains x 128 CPUs x 6 classes x 2 are 244 "
        f"224. Made at "
        f"first use they are {seen[runs['linux-7.3']].magazines_peak:,}."
    )
    return told + "\n\n" + table(("idle-domains", "magazines, peak"), rows)


def drain(quick: bool) -> str:
    """10 000 surplus magazines take 17 minutes."""
    surplus = 500 if quick else 10_000
    rows = [
        (f"{surplus:,} surplus magazines in {'one class' if classes == 1 else 'six classes'}",
         f"{findings_drain.seconds_to_drain(surplus, classes) / 60:.1f} min")
        for classes in (1, 6)
    ]  # fmt: skip
    return "Published: 10 000 take 17 minutes. Replayed under `linux-6.12`:\n\n" + table(
        ("16 CPUs online", "until the depots are at the threshold"), rows
    )


def waste(quick: bool) -> str:
    """The reviewer's 17 times, as a bound and as it comes."""
    runs = {d: Run("scsi-256", d, (_shorter(quick, 4.0),)) for d in DESIGNS}
    seen = see_all(list(runs.values()))
    needed = 4096 * 6
    bounds = {FIXED: (256 * 2 + 32) * 6 * 127, "linux-6.12": (256 * 2 + 256) * 6 * 127}

    def row(design: str) -> tuple[str, ...]:
        one, bound = seen[runs[design]], bounds.get(design)
        return (
            f"`{design}`",
            f"{bound:,} ({bound / needed:.1f} x)" if bound else "none",
            f"{one.cached_ranges:,} ({one.cached_ranges / needed:.1f} x)",
            f"{one.cached_ranges / one.live_ranges_peak:.0f} x",
            f"{one.depot_peak}",
        )

    reached = [seen[run].cached_ranges / needed for run in runs.values()]
    told = (
        "Published: 4 096 in flight x 6 classes, about 24 K ranges, would do; 17 times as many "
        "can be cached, 24 "
        f"times at the merged threshold. Simulated: {max(reached):.1f} times are "
        "reached, whatever the depot: it is the CPUs' own magazines that hold them, half full on "
        "the average."
    )
    head = (
        "scsi-256",
        "bound, ranges",
        "cached at the end",
        "/ most live at once",
        "longest depot",
    )
    return told + "\n\n" + table(head, [row(design) for design in DESIGNS])


# ------------------------------------------------------------------------------- sizes


_SMALL: Final = "{pages=1, weight=70}, {pages=4, weight=10}, {pages=8, weight=10}"
_MIXED: Final = f"sizes=[{_SMALL}, {{pages=32, weight=10}}, {{pages=256, weight=17}}]"
_CLAMPED: Final = f"sizes=[{_SMALL}, {{pages=32, weight=27}}]"
_BUSY: Final = ("think_us=0", "depth=32")
_ONCE: Final = "limit_rule=32-until-failure"
#: Seconds and settings.
_TOO_LARGE: Final[Mapping[str, tuple[float, *tuple[str, ...]]]] = {
    "all of 1 MiB": (0.5, "sizes=256"),
    "... clamped to 128 KiB": (0.5, "sizes=32"),
    "1 in 7 of 1 MiB, 32 requests a CPU": (2.0, _MIXED, *_BUSY),
    "... clamped": (2.0, _CLAMPED, *_BUSY),
    "1 in 7, 32 a CPU, 32 bits until a failure": (2.0, _MIXED, *_BUSY, _ONCE),
    "... clamped, 32 bits until a failure": (2.0, _CLAMPED, *_BUSY, _ONCE),
}


def too_large(quick: bool) -> str:
    """May 2023: NVMe on 448 CPUs with transfers too large to cache."""
    base = ("cpus=448", "cpus_per_node=56", "limit_rule=32-always")
    runs = {
        name: Run("nvme-384", FIXED, (*base, _shorter(quick, seconds), *settings))
        for name, (seconds, *settings) in _TOO_LARGE.items()
    }
    seen = see_all(list(runs.values()))
    rows = [
        (name, _k(seen[run].requests_per_s), f"{seen[run].wait_percent:.1f} %",
         f"{seen[run].longest_wait_ms:.1f} ms", f"{seen[run].longest_timer_ms:.2f} ms")
        for name, run in runs.items()
    ]  # fmt: skip
    large, clamped, *_, loaded, cured = (seen[run] for run in runs.values())
    told = (
        "Published: a lock wait of 85.6 ms and a timer run of 31 s; clamping transfers to 128 "
        "KiB cured it. "
        f"Simulated: a wait of {large.longest_wait_ms:.1f} ms and a timer run of "
        f"{large.longest_timer_ms:.1f} ms, clamped {clamped.longest_wait_ms:.1f} ms and "
        f"{clamped.longest_timer_ms:.2f} ms; with more in flight and one request in seven of "
        f"1 MiB a wait of {loaded.longest_wait_ms:.0f} ms and a timer run of "
        f"{loaded.longest_timer_ms:.0f} ms, clamped {cured.longest_wait_ms:.0f} ms and "
        f"{cured.longest_timer_ms:.0f} ms, if 32 bits are given up after a failure."
    )
    head = ("448 CPUs, NVMe", "requests/s", "CPUs wait", "longest wait, tree", "longest timer run")
    return told + "\n\n" + table(head, rows)


# ------------------------------------------------------------------------------ lost rings


def lost_rings(quick: bool) -> str:
    """Rings of 256 that vanish: burst8-6.12 lost 3 328 of 227 458."""
    rules = {"Linux's rule": "linux", "covered": "covered"}
    runs = {
        name: Run("stalled-flush", "linux-6.12", (_shorter(quick, 5.0), f"queue_rule={rule}"))
        for name, rule in rules.items()
    }
    seen = see_all(list(runs.values()))
    rows = [
        (name, f"{seen[run].lost:,}", f"{seen[run].lost / 256:g}", f"{seen[run].flushed_in_vain}",
         f"{100 * seen[run].lost / (seen[run].lost + seen[run].frees):.2f} %")
        for name, run in runs.items()
    ]  # fmt: skip
    told = (
        "Recorded on a real 6.12 kernel of 8 virtual CPUs: 3 328 of 227 458 ranges, 13 rings of "
        "256, 1.46 %. "
        "Simulated with a flush that is stalled now and then (how often is a guess, so the share "
        "is not "
        "to be compared, only that they go by whole rings):"
    )
    head = ("stalled-flush", "lost", "rings of 256", "flushes in vain", "of all ranges")
    return told + "\n\n" + table(head, rows)


CASES: Final[Mapping[str, Callable[[bool], str]]] = {
    "few-cpus-free": few_cpus_free,
    "how-much-moves": how_much_moves,
    "ageing": ageing,
    "rare-sizes": rare_sizes,
    "idle-domains": idle_domains,
    "drain": drain,
    "waste": waste,
    "too-large": too_large,
    "lost-rings": lost_rings,
}


def sections(text: str) -> Iterator[str]:
    """Names of the sections that a page has a place for."""
    for line in text.splitlines():
        if line.startswith("<!-- begin: "):
            yield line.removeprefix("<!-- begin: ").removesuffix(" -->")
