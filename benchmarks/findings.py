"""``python -m benchmarks findings``: ``docs/findings/``, regenerated.

Named are pages, each a file of its own with a picture (``findings_pages.py``), and published cases,
each a section of ``model.md`` between two comments: ``model/CASE``, or ``model`` for all of them.
They are run and printed, and with ``--write`` written. Everything in them comes from the runs,
which are the same on every host: prices are the package's own, seeds are fixed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.build import ROOT
from benchmarks.findings_claims import ClaimError
from benchmarks.findings_model import ageing, few_cpus_free, how_much_moves, rare_sizes
from benchmarks.findings_model_counts import drain, idle_domains, lost_rings, too_large, waste
from benchmarks.findings_pages import MODULES, make_pages
from benchmarks.performance import replace_section

DOCUMENT: Final = ROOT / "docs" / "findings" / "model.md"
_MODEL: Final = "model"


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
    cases = [case for case in CASES if {_MODEL, f"{_MODEL}/{case}"} & set(wanted)]
    pages = [name for name in MODULES if name in wanted]
    try:
        problems = _make_sections(cases, options)
        problems += make_pages(pages, options.quick, options.write) if pages else []
    except KeyboardInterrupt:
        sys.exit("interrupted: what was written is whole, the rest is as it was")
    if problems:
        sys.exit("\n".join(problems))


def _make_sections(cases: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Run the cases one after the other; what is wrong: a sentence for each that is not written."""
    problems = []
    for case in cases:
        try:
            section = CASES[case](options.quick)
        except ClaimError as error:
            problems.append(str(error))
            continue
        print(section, end="\n\n", flush=True)
        if options.write:
            replace_section(DOCUMENT, case, section)
    return problems


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
