"""Cases of ``model.md`` about throughput: few CPUs that free, ageing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Final

from benchmarks import findings_sizes
from benchmarks.findings_cases import Run, Seen, see_all
from benchmarks.findings_claims import check_claims
from benchmarks.findings_frame import k, loss, shorter, table

PAGE: Final = "model"
FIXED: Final = "linux-6.1"
DESIGNS: Final = (FIXED, "unbounded", "linux-6.12")
SEEDS: Final = (1, 2, 3)

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
            Run("sas-256", design, (shorter(quick, _FEW_S), *extra), seed) for seed in SEEDS
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
            losses[name, design] = loss(statistics.mean(late), best)
            rows.append((
                f"{name}: `{design}`",
                k(statistics.mean(one.early_per_s for one in alike)),
                k(statistics.mean(late)),
                f"{k(min(late))} to {k(max(late))}",
                f"{statistics.mean(one.late_cached_percent for one in alike):.2f}",
                f"{abs(losses[name, design]):.0f} %",
            ))  # fmt: skip
    head = ("sas-256", "early", "late", "over seeds", "cached %, late", "lost")
    first, capped, *_, last = _FEW
    fixed = {name: losses[name, FIXED] for name in _FEW}
    claims = {
        "the fixed depot loses where completing CPUs are short": fixed[first] > 10,
        "less behind a slower device": 0.5 < fixed[capped] < fixed[first] / 2,
        "none in strict mode, with one size, or with 32 bits until a failure": all(
            abs(fixed[name]) < 1 for name in _FEW if name not in (first, capped)
        ),
        "both patches lose none": all(abs(losses[name, "linux-6.12"]) < 1 for name in _FEW),
        "hits are 95 % or more": min(
            statistics.mean(seen[run].late_cached_percent for run in runs[name, FIXED])
            for name in (first, capped, last)
        )
        > 95,
    }
    check_claims(PAGE, claims, quick)
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
    base = shorter(quick, _FEW_S)
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
    base = Run("sas-256", FIXED, (shorter(quick, _FEW_S),))
    runs = [base, *variants.values()]
    against = {run: _under(run, "unbounded") for run in runs}
    seen = see_all([*runs, *against.values()])

    def lost(run: Run) -> str:
        late, best = seen[run].late_per_s, seen[against[run]].late_per_s
        return f"{loss(late, best):.0f} % of {k(best)}"

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
            "ageing", design, (shorter(quick, 5.0), f"domain.*.mode={mode}"), seed
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
    claims = {
        "a run ages to what was reported": min(left) < 41,
        "when it comes depends on the seed": max(left) > min(left) + 20,
        "nothing ages in strict mode or without a bound": kept > 0.98,
        "caches fill at once": all(
            one.early_cached_pages > 0.8 * one.late_cached_pages for one in seen.values()
        ),
    }
    check_claims(PAGE, claims, quick)
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
        k(one.early_per_s),
        k(one.late_per_s),
        k(one.early_cached_pages),
        k(one.late_cached_pages),
        f"{one.early_depots:.0f}",
        f"{one.late_depots:.0f}",
        f"{one.longest_hold_ms:.1f} ms",
    )


def rare_sizes(quick: bool) -> str:
    """The same with larger requests rare: what is cached grows while throughput falls."""
    seconds, parts = (0.6, 2) if quick else (12.0, 6)
    grown = {d: list(findings_sizes.grow(d, seconds, parts)) for d in (FIXED, "unbounded")}
    rows = [
        (f"{fixed.until_s:g} s", f"{fixed.cached_ranges:,}", k(fixed.requests_per_s),
         f"{fixed.cached_percent:.2f}", f"{free.cached_ranges:,}", k(free.requests_per_s),
         f"{free.cached_percent:.2f}")
        for fixed, free in zip(*grown.values(), strict=True)
    ]  # fmt: skip
    first, last = grown[FIXED][0], grown[FIXED][-1]
    free_first, free_last = grown["unbounded"][0], grown["unbounded"][-1]
    claims = {
        "what is cached doubles": last.cached_ranges > 1.8 * first.cached_ranges,
        "and throughput falls": last.requests_per_s < 0.8 * first.requests_per_s,
        "at close to 99 % hits": last.cached_percent > 98,
        "without a bound as much is cached": free_last.cached_ranges > last.cached_ranges,
        "and nothing lost": free_last.requests_per_s > 0.98 * free_first.requests_per_s,
    }
    check_claims(PAGE, claims, quick)
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
