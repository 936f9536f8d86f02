"""What stands on any page runs as it stands there, and leads where it says.

`make test` runs what is quick; `make check` sets IOVA_DOCS_LONG and runs the rest, too.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from commands import run_here
from iova.lab.against import SIGNIFICANT
from iova.lab.confidence import least_p
from pages import DOCS, PAGES, ROOT, Block, blocks_of, links_of
from scripts import run_script

LONG = bool(os.environ.get("IOVA_DOCS_LONG"))


def run_line(line: str, folder: Path) -> str:
    """Run one command in a folder, `iova` in this process; what it printed."""
    words = shlex.split(line, comments=True)
    out = None
    if ">" in words:
        words, out = words[: words.index(">")], words[-1]
    if words[0] == "iova":
        done = run_here(*words[1:], cwd=folder)
    else:
        env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            words, cwd=folder, env=env, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    if out:
        (folder / out).write_text(done.stdout)
    return done.stdout


def shown_as(expected: str) -> re.Pattern[str]:
    """What a page shows, where a line of three dots stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", expected, flags=re.M)]
    return re.compile(r"(?:.*\n)*".join(parts) + r"\s*")


def run_together(blocks: list[Block], folder: Path) -> None:
    """Run blocks of Python that follow one another as one program, each line where it stands."""
    code = f"import os; os.chdir({str(folder)!r})"
    for block in blocks:
        code += "\n" * (block.line - 1 - code.count("\n")) + block.code
    done = run_script(code)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def run_block(block: Block, folder: Path) -> None:
    """Run a block as its reader would."""
    if block.file:
        (folder / block.file).write_text(block.code)
    elif block.kind == "console":
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.code, re.M):
            printed = run_line(command, folder)
            assert shown_as(expected).fullmatch(printed), f"{command}\nprints\n{printed}"
    else:
        for line in block.code.replace("\\\n", " ").splitlines():
            if line.strip():
                run_line(line, folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks_of(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_commands_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    # What the page's own modules leave behind in this process.
    monkeypatch.setattr(sys, "path", sys.path.copy())
    wanted = [one for one in blocks_of(page) if not one.why_not and (LONG or not one.long)]
    for program, blocks in itertools.groupby(wanted, key=lambda one: one.is_program):
        if program:
            run_together(list(blocks), tmp_path)
            continue
        for block in blocks:
            print(f"{page}:{block.line}")
            run_block(block, tmp_path)
    for block in blocks_of(page):
        sys.modules.pop((block.file or "").removesuffix(".py"), None)


def test_no_block_hides_from_the_tests() -> None:
    """A fence says what is in it, and no command stands in an indented block."""
    for page in PAGES:
        text = page.read_text()
        fences = re.findall(r"^ *(?:```|~~~).*$", text, re.M)
        assert all(re.match(r"```[a-z{]", begins) for begins in fences[::2]), page
        assert all(ends == "```" for ends in fences[1::2]), page
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        indented = r"^(?: {4}|\t)(?:\$ )?(?:iova|sudo|python|make)\b.*"
        assert not re.findall(indented, outside, re.M), page


def test_a_block_that_is_not_run_says_why() -> None:
    for page in PAGES:
        blocks = blocks_of(page)
        for block in blocks:
            if block.why_not is not None:
                assert len(block.why_not.split()) >= 4, f"{page}:{block.line}"
        marks = re.findall(r"<!-- *(not|long)\b", page.read_text())
        assert marks.count("not") == sum(block.why_not is not None for block in blocks), page
        assert marks.count("long") == sum(block.long for block in blocks), page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in links_of(page):
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_every_page_can_be_reached() -> None:
    index = (DOCS / "index.md").read_text()
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS).with_suffix(""))
        assert name == "index" or name.startswith("findings/") or f"\n{name}\n" in index, page


def test_results_that_pages_set_against_each_other_can_be_significant() -> None:
    found = 0
    for page in PAGES:
        for block in blocks_of(page):
            if "--against" in block.code and block.kind == "sh":
                runs = [int(n) for n in re.findall(r"--seeds (\d+)", block.code)]
                assert runs, f"{page}:{block.line}"
                assert least_p(runs[0], runs[-1]) <= SIGNIFICANT, f"{page}:{block.line}"
                found += 1
    assert found


def test_targets_of_make_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)`", page.read_text()):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page}: make {target}"


def test_drawings_are_what_the_script_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    import xml.etree.ElementTree as ET

    monkeypatch.syspath_prepend(str(DOCS / "_generate"))
    import drawings

    made = list(drawings.drawings())
    assert len(made) == len(list((DOCS / "explanation").glob("*.svg"))) == 4
    for drawing in made:
        text = (DOCS / "explanation" / f"{drawing.name}.svg").read_text()
        assert text == drawing.svg(), "python docs/_generate/drawings.py writes them"
        root = ET.fromstring(text)  # noqa: S314 our own
        words = [node.text or "" for node in root.iter() if node.tag.endswith(("title", "desc"))]
        assert root.get("role") == "img"
        assert all(len(word.split()) > 4 for word in words)
        assert len(words) == 2


def test_what_pages_are_made_from_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "_generate"))
    import generated

    from iova.designs import builtin_designs
    from iova.events import SCHEMA, Op

    made = {name: part() for name, part in generated.PARTS.items()}
    used = set()
    for page in PAGES:
        used |= set(re.findall(r"^<!-- generate: ([a-z-]+) -->$", page.read_text(), re.M))
    assert used == set(made)
    assert all(f"## {one.name}\n" in made["designs"] for one in builtin_designs())
    assert all(f"`{name}`" in made["columns"] for name in SCHEMA)
    assert all(f"`{op.name.lower()}`" in made["operations"] for op in Op)
    header = (ROOT / "core" / "include" / "iova.h").read_text()
    functions = re.findall(r"\b(iova_\w+)\(", re.sub(r"/\*.*?\*/", "", header, flags=re.S))
    assert len(functions) > 40
    assert all(f"{name}(" in made["header"] for name in functions)
