"""``iova.h`` is all there is to see: as C, as C++, and in the shared library's symbols."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from iova import _core
from iova.sources import _scan

CORE = Path(__file__).resolve().parent.parent.parent / "core"
HEADER = CORE / "include/iova.h"
STRICT = ("-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{CORE / 'include'}")
USES_IT = """
#include "iova.h"
#include "iova.h"
const struct iova_memory *heap(void);
const struct iova_memory *heap(void) { return iova_memory_heap(); }
"""


@pytest.mark.parametrize(
    ("compiler", "language", "standard"),
    [
        ("cc", "c", "c99"),
        ("cc", "c", "c17"),
        ("c++", "c++", "c++11"),
        ("c++", "c++", "c++20"),
    ],
)
def test_the_header_compiles_without_a_warning(
    compiler: str, language: str, standard: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [compiler, "-x", language, f"-std={standard}", *STRICT, "-c", "-", "-o", tmp_path / "it.o"],
        input=USES_IT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def declared() -> set[str]:
    """Functions that the header marks as part of the library's interface."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    return set(re.findall(r"^IOVA_API[^;(]*?\b(\w+)\(", text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names that a shared library, built as the project builds it, shows."""
    library = tmp_path_factory.mktemp("library") / "libiova.so"
    subprocess.run(
        ["cc", "-std=c17", "-O0", "-shared", "-fPIC", "-fvisibility=hidden"]
        + [f"-I{CORE / 'include'}", "-o", str(library)]
        + [str(path) for path in sorted(CORE.rglob("*.c"))],
        check=True,
    )
    return names_shown_by(library)


def names_shown_by(library: Path) -> set[str]:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True
    )
    return {line.split()[-1] for line in listing.stdout.splitlines()}


def test_the_shared_library_exports_what_the_header_declares(exported: set[str]) -> None:
    assert len(declared()) > 20
    assert exported == declared()


def test_every_exported_name_has_the_library_s_prefix(exported: set[str]) -> None:
    assert all(name.startswith("iova_") for name in exported)


def test_an_extension_module_shows_nothing_but_how_to_make_it() -> None:
    """A process may have loaded the shared library, too: each keeps to its own core."""
    assert names_shown_by(Path(_core.__file__)) == {"PyInit__core"}
    assert names_shown_by(Path(_scan.__file__)) == {"PyInit__scan"}
