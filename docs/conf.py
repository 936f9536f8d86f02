"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

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


def setup(app: object) -> None:
    """Fill in what is generated when a page is read."""
    generated.connect(app)
