"""The C tests notice each mistake of ``mutants.py``, and nothing where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from mutants import DISCUSSED, Mutant
from mutants import MUTANTS as CORE_MUTANTS
from mutants_live import LIVE_MUTANTS
from mutants_machine import MACHINE_MUTANTS
from mutants_policies import POLICY_MUTANTS

MUTANTS = (*CORE_MUTANTS, *LIVE_MUTANTS, *MACHINE_MUTANTS, *POLICY_MUTANTS)
PROJECT = Path(__file__).resolve().parent.parent
COMPILER = "cc"
FLAGS = ("-std=c17", "-O1", "-w")
COMPILE_LIMIT_S = 120
#: No test program needs a tenth of this; a mutant that hangs counts as noticed.
RUN_LIMIT_S = 20.0
#: Exit status of a program that needs what this system has not, such as restartable sequences.
NOT_HERE = 77
#: Said by one that could test a part only.
NOT_TO_BE_HAD = "are not to be had here"
HELPERS = ("linear_tree.c", "machine_support.c", "replay_table.c", "support.c")
PROGRAMS = sorted(path.stem for path in (PROJECT / "tests/core").glob("test_*.c"))


@dataclass(frozen=True)
class Tree:
    """A copy of ``core/`` and ``tests/core/``, and where its objects go."""

    root: Path

    @classmethod
    def copied_to(cls, root: Path) -> Tree:
        for part in ("core", "tests/core"):
            shutil.copytree(PROJECT / part, root / part, ignore=shutil.ignore_patterns("*.py"))
        (root / "objects").mkdir()
        return cls(root)

    def shared_sources(self) -> list[Path]:
        """What every program is linked with."""
        helpers = [self.root / "tests/core" / name for name in HELPERS]
        return [*sorted((self.root / "core").rglob("*.c")), *helpers]

    def program_source(self, program: str) -> Path:
        return self.root / "tests/core" / f"{program}.c"

    def object_of(self, source: Path) -> Path:
        return self.root / "objects" / ("_".join(source.relative_to(self.root).parts) + ".o")

    def compile(self, sources: Sequence[Path]) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._compile_one, sources))

    def _compile_one(self, source: Path) -> None:
        includes = [f"-I{self.root / part}" for part in ("core", "core/include", "tests/core")]
        run_tool(COMPILER, *FLAGS, "-MMD", *includes, "-c", source, "-o", self.object_of(source))

    def depends_on(self, source: Path, changed: Path) -> bool:
        """Whether the object of ``source`` was made from ``changed``."""
        rule = self.object_of(source).with_suffix(".d").read_text()
        return str(changed) in rule.replace("\\\n", " ").split()


def run_tool(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S)
    assert result.returncode == 0, result.stderr


def runs_clean(program: Path) -> tuple[bool, str]:
    """Whether a test program exits with 0, and the end of what it said."""
    try:
        result = subprocess.run([program], capture_output=True, text=True, timeout=RUN_LIMIT_S)
    except subprocess.TimeoutExpired:
        return False, "it did not end"
    if result.returncode == NOT_HERE:
        pytest.skip(result.stdout.strip().splitlines()[-1])
    return result.returncode == 0, result.stdout[-2000:]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The tree without a mutant, all of it compiled."""
    tree = Tree.copied_to(tmp_path_factory.mktemp("unmutated"))
    tree.compile([*tree.shared_sources(), *map(tree.program_source, PROGRAMS)])
    return tree


def link(program: str, objects: Sequence[Path], into: Path) -> Path:
    linked = into / program
    run_tool(COMPILER, *objects, "-o", linked)
    return linked


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_mutant_the_c_tests_pass(built: Tree, program: str, tmp_path: Path) -> None:
    sources = [built.program_source(program), *built.shared_sources()]
    linked = link(program, [built.object_of(source) for source in sources], tmp_path)
    clean, said = runs_clean(linked)
    assert clean, said


def mutated(mutant: Mutant, root: Path) -> Tree:
    tree = Tree.copied_to(root)
    file = tree.root / "core" / mutant.file
    text = file.read_text()
    found = text.count(mutant.old)
    assert found == 1, f"the text to mutate stands {found} times in core/{mutant.file}"
    file.write_text(text.replace(mutant.old, mutant.new))
    return tree


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_the_c_tests_notice_that(built: Tree, mutant: Mutant, tmp_path: Path) -> None:
    tree = mutated(mutant, tmp_path / "tree")
    changed = built.root / "core" / mutant.file
    affected: list[Path] = []
    objects: list[Path] = []
    for source in [built.program_source(mutant.killer), *built.shared_sources()]:
        if built.depends_on(source, changed):
            affected.append(tree.root / source.relative_to(built.root))
            objects.append(tree.object_of(affected[-1]))
        else:
            objects.append(built.object_of(source))
    assert affected, f"nothing is made from core/{mutant.file}"
    tree.compile(affected)
    clean, said = runs_clean(link(mutant.killer, objects, tmp_path))
    if clean and NOT_TO_BE_HAD in said:
        pytest.skip(said.strip().splitlines()[-1])
    assert not clean, f"{mutant.killer} passed:\n{said}"


def test_the_mutants_of_the_discussion_are_there_and_no_two_are_alike() -> None:
    assert len(DISCUSSED) == 4
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    assert {mutant.killer for mutant in MUTANTS} <= set(PROGRAMS)
    # Every program of C tests is needed by one of them.
    assert {mutant.killer for mutant in MUTANTS} == set(PROGRAMS)
