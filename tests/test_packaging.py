"""What is built is what is in the tree: files missing from meson.build are the classic failure."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import iova
from iova import _core

ROOT = Path(__file__).parent.parent
INSTALLED = Path(iova.__file__).parent


def in_tree() -> set[str]:
    wanted = {".py", ".pyi", ".typed", ".html", ".css", ".js", ".parquet", ".toml", ".json"}
    source = ROOT / "src" / "iova"
    found = (path for path in source.rglob("*") if path.suffix in wanted)
    return {str(path.relative_to(source)) for path in found} | {"py.typed"}


def test_every_file_of_the_package_is_installed() -> None:
    missing = [name for name in sorted(in_tree()) if not (INSTALLED / name).exists()]
    assert not missing, f"not in src/iova/meson.build: {missing}"


def test_the_installed_package_is_the_one_under_test() -> None:
    assert INSTALLED != ROOT / "src" / "iova"


def test_the_library_and_its_header_come_with_the_package() -> None:
    assert list((INSTALLED / "lib").glob("libiova.so*"))
    assert (INSTALLED / "include" / "iova.h").read_bytes() == (
        ROOT / "core" / "include" / "iova.h"
    ).read_bytes()


def test_the_header_names_only_what_it_declares() -> None:
    header = (ROOT / "core" / "include" / "iova.h").read_text()
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    for pattern in (r"\bIOVA_[A-Z0-9_]+\b", r"\biova_\w+(?=\()"):
        assert set(re.findall(pattern, header)) <= set(re.findall(pattern, code))


def test_header_library_build_and_changelog_name_one_version() -> None:
    header = (ROOT / "core" / "include" / "iova.h").read_text()
    build = (ROOT / "meson.build").read_text()
    assert iova.__version__ == _core.VERSION
    assert f'#define IOVA_VERSION "{_core.VERSION}"' in header
    assert f"version: '{_core.VERSION}'" in build
    assert f"## {_core.VERSION}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_lock_file_pins_everything_that_is_asked_for() -> None:
    asked = (ROOT / "requirements" / "dev.in").read_text().split("\n")
    pinned = (ROOT / "requirements" / "dev.lock").read_text().lower().replace("_", "-")
    for name in (line.strip() for line in asked if line and not line.startswith("#")):
        assert re.search(rf"^{re.escape(name.lower())}==", pinned, re.M), name


def test_what_make_check_adds_is_pinned_and_not_pinned_twice() -> None:
    lines = (ROOT / "requirements" / "check.txt").read_text().splitlines()
    added = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line) for line in added)
    pinned = (ROOT / "requirements" / "dev.lock").read_text().lower().replace("_", "-")
    for name in (line.split("==")[0].lower().replace("_", "-") for line in added):
        assert not re.search(rf"^{re.escape(name)}==", pinned, re.M), name


def test_the_build_pins_the_same_tools_as_the_lock_file() -> None:
    pinned = (ROOT / "requirements" / "dev.lock").read_text().lower()
    build = re.search(r"^requires = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.M)
    assert build
    for requirement in re.findall(r'"([^"]+)"', build[1]):
        assert requirement in pinned


def test_the_package_asks_for_what_it_imports_and_for_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        asked += extra
    names = {one.split(">=")[0] for one in asked} - {"iova[lab]"}
    differing = {"vl-convert-python": "vl_convert", "dask[distributed]": "distributed"}
    modules = {differing.get(name, name.replace("-", "_")) for name in names}
    of_python = {*sys.stdlib_module_names, "__future__", "iova"}
    imported = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {one.name.split(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert imported - of_python == modules


def test_no_line_of_the_project_names_a_path_of_one_machine() -> None:
    homes = re.compile(r"/(?:root|work|home/[a-z]+)/")
    for path in [
        *ROOT.glob("*.*"),
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "core").rglob("*.[ch]"),
    ]:
        if path.is_file() and path.name != ".git":  # where a worktree's own data is
            assert not homes.search(path.read_text(errors="replace")), path


def test_no_room_knows_the_command_that_uses_it() -> None:
    for room in ("sources", "workloads", "lab", "report", "top"):
        for path in (ROOT / "src" / "iova" / room).rglob("*.py"):
            found = re.search(r"^\s*(from|import) iova(\.| import )cli", path.read_text(), re.M)
            assert not found, path
