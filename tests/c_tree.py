"""A copy of the core and a folder of C tests, compiled: as they are, or with one mutant in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mutants import Mutant

PROJECT = Path(__file__).resolve().parent.parent
COMPILER = "cc"
COMPILE_LIMIT_S = 120


@dataclass(frozen=True)
class CTree:
    """A copy of ``core/`` and the folder ``tests``, and where its objects go."""

    root: Path
    tests: str
    flags: tuple[str, ...]

    @classmethod
    def copied_to(cls, root: Path, tests: str, flags: Sequence[str]) -> CTree:
        for part in ("core", tests):
            shutil.copytree(PROJECT / part, root / part, ignore=shutil.ignore_patterns("*.py"))
        (root / "objects").mkdir()
        return cls(root, tests, tuple(flags))

    def object_of(self, source: Path) -> Path:
        return self.root / "objects" / ("_".join(source.relative_to(self.root).parts) + ".o")

    def compile(self, sources: Sequence[Path]) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._compile_one, sources))

    def _compile_one(self, source: Path) -> None:
        includes = [f"-I{self.root / part}" for part in ("core", "core/include", self.tests)]
        _run(*self.flags, "-MMD", *includes, "-c", source, "-o", self.object_of(source))

    def objects_with(self, mutant: Mutant, sources: Sequence[Path], root: Path) -> list[Path]:
        """The objects of these sources with a mutant; what it does not touch is this tree's own."""
        mutated = CTree.copied_to(root, self.tests, self.flags)
        _mutate(mutated.root / "core" / mutant.file, mutant)
        affected: list[Path] = []
        objects: list[Path] = []
        for source in sources:
            if self._depends_on(source, self.root / "core" / mutant.file):
                affected.append(mutated.root / source.relative_to(self.root))
                objects.append(mutated.object_of(affected[-1]))
            else:
                objects.append(self.object_of(source))
        assert affected, f"nothing is made from core/{mutant.file}"
        mutated.compile(affected)
        return objects

    def _depends_on(self, source: Path, changed: Path) -> bool:
        """Whether the object of ``source`` was made from ``changed``."""
        rule = self.object_of(source).with_suffix(".d").read_text()
        return str(changed) in rule.replace("\\\n", " ").split()


def link(objects: Sequence[Path], program: Path) -> Path:
    _run(*objects, "-o", program)
    return program


def assert_no_two_are_alike(mutants: Sequence[Mutant]) -> None:
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in mutants}) == len(mutants)


def _mutate(file: Path, mutant: Mutant) -> None:
    text = file.read_text()
    found = text.count(mutant.old)
    assert found == 1, f"the text to mutate stands {found} times in core/{mutant.file}"
    file.write_text(text.replace(mutant.old, mutant.new))


def _run(*arguments: str | Path) -> None:
    command = [COMPILER, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S)
    assert result.returncode == 0, result.stderr
