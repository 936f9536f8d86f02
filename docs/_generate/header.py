"""The C reference: ``iova.h`` as pages, its comments as text beside its declarations.

The header keeps one style, which is all that is understood here: ruled banners between sections,
and declarations in paragraphs, each with at most one comment before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HEADER: Final = Path(__file__).parents[2] / "core" / "include" / "iova.h"

_BANNER: Final = re.compile(r"^/\* -{10,} ([a-z ]+) \*/$", re.M)
_COMMENT: Final = re.compile(r"/\*(.*?)\*/\n", re.S)
#: What follows a comment at the start of a line, up to the next such comment or empty line.
_END: Final = re.compile(r"\n(?=\n|/\*)|\Z")
#: What is code already, or a sign that means something in Markdown.
_CODE: Final = re.compile(r"(`[^`]*`)|([*_\[\]<>])")
_FUNCTION: Final = re.compile(r"IOVA_API ([^;]+?)\s*;")


def contents() -> str:
    """All of the header but its opening comment, which pages say in their own words."""
    text = HEADER.read_text()
    begins = text.index("#define IOVA_VERSION")
    ends = text.rindex("#ifdef __cplusplus")
    parts = _BANNER.split(text[begins:ends])
    sections = [("versions and bounds", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
    return "\n".join(
        f"## {name.capitalize()}\n\n" + "\n".join(_paragraphs(body)) for name, body in sections
    )


def _paragraphs(body: str) -> Iterator[str]:
    place = 0
    while place < len(body):
        if body[place] == "\n":
            place += 1
            continue
        comment = _COMMENT.match(body, place)
        if comment:
            place = comment.end()
        ends = _closed(body, place)
        declaration = body[place:ends].strip("\n")
        place = ends
        yield _described(_words(comment[1]) if comment else "", declaration)


def _closed(body: str, place: int) -> int:
    """Where a declaration that begins here ends: braces are closed, and a new one may begin."""
    for end in _END.finditer(body, place):
        if body.count("{", place, end.start()) == body.count("}", place, end.start()):
            return end.start() + 1
    return len(body)


def _described(text: str, declaration: str) -> str:
    signatures = [" ".join(found.split()) for found in _FUNCTION.findall(declaration)]
    if signatures and _FUNCTION.sub("", declaration).strip() == "":
        return "```{c:function} " + "\n".join(signatures) + f"\n\n{text}\n```\n"
    code = f"```c\n{declaration}\n```\n" if declaration and "IOVA_API" not in declaration else ""
    return f"{text}\n\n{code}"


def _words(comment: str) -> str:
    """A comment's text as Markdown: its words are shown as they stand."""
    lines = [re.sub(r"^\s*\* ?", "", line).strip() for line in comment.strip().splitlines()]
    text = re.sub(r"(?<![`\w])(\w+\(\)|(?:iova|IOVA)_\w+)", r"`\1`", "\n".join(lines).strip())
    return _CODE.sub(lambda found: found[1] or "\\" + found[2], text)
