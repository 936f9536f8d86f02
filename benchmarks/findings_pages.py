"""The pages of ``docs/findings/`` beside ``model.md``, in the order of the index."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Final

from benchmarks.findings_frame import FOLDER, Page, do_all, page_text, write_index, write_page

#: Names of pages, and the modules of this package that hold them.
MODULES: Final = {
    "threshold": "findings_threshold",
    "adaptive": "findings_adaptive",
}


def page_named(name: str) -> Page:
    """The page of that name; its module is loaded now."""
    page: Page = importlib.import_module(f"benchmarks.{MODULES[name]}").PAGE
    return page


def make_pages(names: Iterable[str], quick: bool, write: bool) -> None:
    """Run what the pages need, and print or write them."""
    pages = [page_named(name) for name in names]
    results = do_all(job for page in pages for job in page.jobs(quick))
    for page in pages:
        told = page.tell(results, quick)
        if write:
            write_page(page, told)
            print(f"{page.path.relative_to(FOLDER.parent.parent)}: {told.answer}", flush=True)
        else:
            print(page_text(page, told), flush=True)
    if write:
        write_index(page_named(name) for name in MODULES)
