"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "_generate"))

import generated

import iova._core

VERSION = iova._core.VERSION

project = "iova"
author = "the iova authors"
project_copyright = "MIT licence"
release = version = VERSION
today = VERSION  # of the man page, instead of the day on which it was built

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_generate"]
nitpicky = True
#: Types of other projects: their documentation is not read, so that building needs no network.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!iova\.).*"),
    (r"py:.*", r"iova\._core\..*"),
    # Types of signatures that the reference leaves out: passed on, never made by hand.
    (r"py:class", r"iova\..*"),
    (r"py:(mod|func)", r"iova\.(recording_rows|lab\..*|workloads\.lower)"),
    (r"c:identifier", r"u?int\d+_t|size_t|iova_.*"),
]
default_role = "code"
smartquotes_action = "qe"  # not dashes: options have two

# ------------------------------------------------------------------------------ Markdown

myst_enable_extensions = ["deflist", "fieldlist", "attrs_block"]
myst_heading_anchors = 4

# ---------------------------------------------------------------------------- docstrings

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# ------------------------------------------------------------------------------ HTML, man

html_theme = "furo"
html_title = f"iova {VERSION}"
html_static_path = ["_static"]
html_css_files = ["iova.css"]
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}

man_pages = [
    ("reference/cli", "iova", "the Linux IOVA allocator as a lab", ["the iova authors"], 1)
]
man_show_urls = False


#: Stands for a colon while Napoleon looks.
_HELD = "\ue000"


def _hold_colons(
    _app: Any, what: str, _name: str, _it: Any, _options: Any, said: list[str]
) -> None:
    """Napoleon takes what stands before a colon for a type: ours is ``None: what it means``."""
    if what in ("attribute", "data", "property") and said:
        said[0] = said[0].replace(":", _HELD)


def _let_go(_app: Any, _what: str, _name: str, _it: Any, _options: Any, said: list[str]) -> None:
    said[:] = [line.replace(_HELD, ":") for line in said]


def setup(app: Any) -> None:
    """Fill in what is generated when a page is read."""
    generated.connect(app)
    napoleon = 500  # the order in which it is asked
    app.connect("autodoc-process-docstring", _hold_colons, priority=napoleon - 1)
    app.connect("autodoc-process-docstring", _let_go, priority=napoleon + 1)
