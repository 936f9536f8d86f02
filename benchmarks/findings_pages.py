"""The pages of ``docs/findings/`` beside ``model.md``, in the order of the index."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Final

from benchmarks.findings_claims import ClaimError
from benchmarks.findings_frame import FOLDER, Page, Runner, page_text, write_index, write_page
from iova.cli_output import progress_bars

#: Names of pages, and the modules of this package that hold them.
MODULES: Final = {
    "no-worse": "findings_no_worse",
    "threshold": "findings_threshold",
    "rate": "findings_rate",
    "arming": "findings_arming",
    "reclaim": "findings_reclaim",
    "trim": "findings_trim",
    "waste": "findings_waste",
    "magazines": "findings_magazines",
    "density": "findings_density",
    "bail": "findings_bail",
    "ageing": "findings_ageing",
    "rings": "findings_rings",
    "cost": "findings_cost",
    "adaptive": "findings_adaptive",
}


def page_named(name: str) -> Page:
    """The page of that name; its module is loaded now."""
    page: Page = importlib.import_module(f"benchmarks.{MODULES[name]}").PAGE
    return page


def make_pages(names: Iterable[str], quick: bool, write: bool) -> list[str]:
    """Run what the pages need, and print or write them, one page after the other.

    Returns:
        What is wrong: a sentence for each page that claims what its runs do not show. Such a
        page is not written.
    """
    pages = [page_named(name) for name in names]
    problems = []
    with progress_bars() as bars, Runner() as runner:
        for page in pages:
            began_s = runner.cpu_s
            results = runner.do(page.jobs(quick), bars(page.name))
            try:
                told = page.tell(results, quick)
            except ClaimError as error:
                problems.append(str(error))
                continue
            if write:
                write_page(page, told)
                name = page.path.relative_to(FOLDER.parent.parent)
                print(f"{name} ({runner.cpu_s - began_s:.0f} CPU s): {told.answer}", flush=True)
            else:
                print(page_text(page, told), flush=True)
    if write:
        write_index(page_named(name) for name in MODULES)
    return problems
