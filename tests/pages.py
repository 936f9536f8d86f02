"""Pages of the documentation, and the blocks in them that a reader would type.

A comment before a block, which no reader sees, says that the tests leave it out and why,
``<!-- not run: why -->``, or that `make check` alone runs it, ``<!-- long -->``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
#: All that a reader is shown, in order.
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>[^>]+) -->\n\n)?"
    r"(?P<long>^<!-- long -->\n\n)?"
    r"^```(?P<kind>sh|console|python|toml)\n(?P<code>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, where it stands, and whether and when it is run."""

    kind: str
    code: str
    line: int
    why_not: str | None  #: what stands there of why the tests do not run it
    long: bool  #: run by `make check` alone

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, where its first line gives one."""
        named = re.match(r"# (?:file: )?([\w.-]+\.(?:py|toml))\b", self.code)
        return named[1] if named else None

    @property
    def is_program(self) -> bool:
        """Whether it is Python to run, not to keep as a file."""
        return self.kind == "python" and self.file is None


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            found["kind"],
            found["code"],
            text.count("\n", 0, found.start("code")) + 1,
            found["why"],
            bool(found["long"]),
        )
        for found in _BLOCK.finditer(text)
    ]


def links_of(page: Path) -> list[str]:
    """Targets of the page's links and pictures that lie in this project, without anchors."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in found if not re.match(r"[a-z]+:|#", target)]
