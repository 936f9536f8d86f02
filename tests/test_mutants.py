"""The C tests notice each mistake of ``mutants.py``, and nothing where there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from c_tree import PROJECT, CTree, assert_no_two_are_alike, link
from mutants import DISCUSSED, Mutant
from mutants import MUTANTS as CORE_MUTANTS
from mutants_live import LIVE_MUTANTS
from mutants_machine import MACHINE_MUTANTS
from mutants_policies import POLICY_MUTANTS

MUTANTS = (*CORE_MUTANTS, *LIVE_MUTANTS, *MACHINE_MUTANTS, *POLICY_MUTANTS)
FLAGS = ("-std=c17", "-O1", "-w")
#: No test program needs a tenth of this; a mutant that hangs counts as noticed.
RUN_LIMIT_S = 20.0
#: Exit status of a program that needs what this system has not, such as restartable sequences.
NOT_HERE = 77
#: Said by one that could test a part only.
NOT_TO_BE_HAD = "are not to be had here"
HELPERS = (
    "linear_tree.c",
    "machine_inside.c",
    "machine_support.c",
    "machine_table.c",
    "replay_table.c",
    "support.c",
    "tree_pair.c",
)
PROGRAMS = sorted(path.stem for path in (PROJECT / "tests/core").glob("test_*.c"))


def shared_sources(tree: CTree) -> list[Path]:
    """What every program is linked with."""
    helpers = [tree.root / "tests/core" / name for name in HELPERS]
    return [*sorted((tree.root / "core").rglob("*.c")), *helpers]


def sources_of(tree: CTree, program: str) -> list[Path]:
    return [tree.root / f"tests/core/{program}.c", *shared_sources(tree)]


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
def built(tmp_path_factory: pytest.TempPathFactory) -> CTree:
    """The tree without a mutant, all of it compiled."""
    tree = CTree.copied_to(tmp_path_factory.mktemp("unmutated"), "tests/core", FLAGS)
    programs = [tree.root / f"tests/core/{program}.c" for program in PROGRAMS]
    tree.compile([*shared_sources(tree), *programs])
    return tree


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_a_mutant_the_c_tests_pass(built: CTree, program: str, tmp_path: Path) -> None:
    objects = [built.object_of(source) for source in sources_of(built, program)]
    clean, said = runs_clean(link(objects, tmp_path / program))
    assert clean, said


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_the_c_tests_notice_that(built: CTree, mutant: Mutant, tmp_path: Path) -> None:
    objects = built.objects_with(mutant, sources_of(built, mutant.killer), tmp_path / "tree")
    clean, said = runs_clean(link(objects, tmp_path / mutant.killer))
    if clean and NOT_TO_BE_HAD in said:
        pytest.skip(said.strip().splitlines()[-1])
    assert not clean, f"{mutant.killer} passed:\n{said}"


def test_the_mutants_of_the_discussion_are_there_and_no_two_are_alike() -> None:
    assert len(DISCUSSED) == 4
    assert_no_two_are_alike(MUTANTS)
    # Every program of C tests is needed by one of them.
    assert {mutant.killer for mutant in MUTANTS} == set(PROGRAMS)
