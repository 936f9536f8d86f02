"""The examples of the documentation run, in the order in which they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import output_of

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def examples_of(path: Path) -> str:
    """The code of a page, every line where it stands there, so that tracebacks fit."""
    text = path.read_text()
    code, line = "", 1
    for block in BLOCK.finditer(text):
        begins = text.count("\n", 0, block.start(1)) + 1
        code += "\n" * (begins - line) + block[1]
        line = begins + block[1].count("\n")
    return code


@pytest.mark.timeout(120)
def test_the_examples_of_the_domain_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = examples_of(ROOT / "docs" / "domain.md")
    assert code.count("assert") >= 15
    monkeypatch.chdir(tmp_path)
    assert output_of(code + "\nprint('ran to the end')") == "ran to the end"
    assert [path.name for path in tmp_path.iterdir()] == ["nic0.parquet"]


def test_the_page_names_every_method_and_argument() -> None:
    import inspect

    import iova

    text = (ROOT / "docs" / "domain.md").read_text()
    names = [name for name in dir(iova.Domain) if not name.startswith("_")]
    missing = [n for n in names if n not in text and n not in ("classes", "is_closed", "granule")]
    assert not missing
    for name in inspect.signature(iova.Domain).parameters:
        assert re.search(rf"\b{name}=", text), name
    for name in iova.__all__:
        if name not in ("ClassStats", "DomainStats", "Range", "IovaError"):
            assert name in text, name
