"""What is public is documented: in its own docstring, and on the page that is about it."""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import iova
import iova.designs
import iova.errors

DOCS = Path(__file__).parent.parent / "docs"


def shown_in_the_reference() -> Iterator[tuple[str, object]]:
    """What the pages of the reference take from docstrings: names with dots, and objects."""
    pages = "\n".join(page.read_text() for page in sorted((DOCS / "reference").glob("*.md")))
    for module, names in re.findall(r"automodule:: (\S+)\n +:members: (.+)", pages):
        for name in names.split(", "):
            yield f"{module}.{name}", getattr(importlib.import_module(module), name)
    for path in re.findall(r"auto(?:class|function|exception):: (iova\.\S+)", pages):
        module, _, name = path.rpartition(".")
        yield path, getattr(importlib.import_module(module), name)


def functions_of(cls: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties of a class that come from this package."""
    for name in dir(cls):
        found = inspect.getattr_static(cls, name)
        if isinstance(found, property):
            found = found.fget
        where = getattr(getattr(cls, name), "__module__", None) or cls.__module__
        if not name.startswith("_") and where.startswith("iova") and callable(found):
            yield name, found


def public() -> dict[str, object]:
    """Every public class, function and method that a reader of the reference may call."""
    found = dict(shown_in_the_reference())
    found |= {f"iova.{name}": getattr(iova, name) for name in iova.__all__}
    for path, cls in list(found.items()):
        if inspect.isclass(cls):
            found |= {f"{path}.{name}": one for name, one in functions_of(cls)}
    return {path: one for path, one in found.items() if callable(one)}


def test_all_that_is_public_has_a_docstring() -> None:
    names = public()
    assert len(names) > 150
    assert {"iova.Domain.alloc", "iova.Domain.alloc_many", "iova.Domain.close"} <= set(names)
    for path, one in names.items():
        text = one.__doc__ or ""
        # A dataclass without a docstring of its own gets its signature for one.
        assert text, path
        assert not text.startswith(f"{path.rpartition('.')[2]}("), path


def test_what_docstrings_say_is_raised_exists() -> None:
    everywhere = vars(builtins) | vars(iova.errors) | vars(iova.designs) | vars(iova)
    sections = 0
    for path, one in public().items():
        known = everywhere | vars(sys.modules.get(getattr(one, "__module__", ""), iova))
        section = re.search(r"^Raises:\n((?:    .*\n?|\n)+)", inspect.getdoc(one) or "", re.M)
        listed = re.findall(r"^ {4}(\w[\w, ]*): ", section[1], re.M) if section else []
        for name in ", ".join(listed).split(", ") if listed else ():
            error = known.get(name)
            assert inspect.isclass(error), f"{path}: {name}"
            assert issubclass(error, BaseException), f"{path}: {name}"
            sections += 1
    assert sections > 50


def test_the_page_on_domains_names_every_method_and_argument() -> None:
    text = (DOCS / "domain.md").read_text()
    names = [name for name in dir(iova.Domain) if not name.startswith("_")]
    missing = [n for n in names if n not in text and n not in ("classes", "is_closed", "granule")]
    assert not missing
    for name in inspect.signature(iova.Domain).parameters:
        assert re.search(rf"\b{name}=", text), name
    for name in iova.__all__:
        if name not in ("ClassStats", "DomainStats", "Range", "IovaError"):
            assert name in text, name
