"""Every schedule of the explorer's scenarios passes, and it finds what it is there to find."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from schedule_mutants import MUTANTS, NAMED

from mutants import Mutant

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPILER = "cc"
FLAGS = ("-std=c17", "-O1", "-w", "-DIOVA_EXPLORE", "-DIOVA_MAGAZINE_CAPACITY=3u")
COMPILE_LIMIT_S = 120
RUN_LIMIT_S = 300
#: `make check` runs three; a mutant that needs three is looked for with three.
PREEMPTIONS = 2


@dataclass(frozen=True)
class Tree:
    """A copy of ``core/`` and ``tests/explorer/``, its objects, and the explorer made of them."""

    root: Path

    @classmethod
    def copied_to(cls, root: Path) -> Tree:
        for part in ("core", "tests/explorer"):
            shutil.copytree(PROJECT / part, root / part, ignore=shutil.ignore_patterns("*.py"))
        (root / "objects").mkdir()
        return cls(root)

    @property
    def program(self) -> Path:
        return self.root / "explorer"

    def sources(self) -> list[Path]:
        """All but what the explorer has in another form, or does not need."""
        core = [
            path
            for path in sorted((self.root / "core").rglob("*.c"))
            if path.name != "platform.c" and not path.name.startswith(("machine", "replay"))
        ]
        return [*core, *sorted((self.root / "tests/explorer").glob("*.c"))]

    def object_of(self, source: Path) -> Path:
        return self.root / "objects" / ("_".join(source.relative_to(self.root).parts) + ".o")

    def compile(self, sources: Sequence[Path]) -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(self._compile_one, sources))

    def _compile_one(self, source: Path) -> None:
        includes = [f"-I{self.root / part}" for part in ("core", "core/include", "tests/explorer")]
        run_tool(COMPILER, *FLAGS, "-MMD", *includes, "-c", source, "-o", self.object_of(source))

    def depends_on(self, source: Path, changed: Path) -> bool:
        """Whether the object of ``source`` was made from ``changed``."""
        rule = self.object_of(source).with_suffix(".d").read_text()
        return str(changed) in rule.replace("\\\n", " ").split()

    def link(self, objects: Sequence[Path]) -> None:
        run_tool(COMPILER, *objects, "-o", self.program)

    def explore(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, timeout=RUN_LIMIT_S
        )


def run_tool(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The explorer of the core as it is."""
    tree = Tree.copied_to(tmp_path_factory.mktemp("unmutated"))
    tree.compile(tree.sources())
    tree.link([tree.object_of(source) for source in tree.sources()])
    return tree


def assert_fails_and_replays(tree: Tree, scenario: str, preemptions: int) -> str:
    """Returns what went wrong."""
    explored = tree.explore(scenario, "--preemptions", str(preemptions))
    assert explored.returncode == 1, explored.stdout
    failure = re.search(rf"^FAILED {scenario}: (.*)$", explored.stdout, re.MULTILINE)
    schedule = re.search(rf"^explorer {scenario} --replay (\S+)$", explored.stdout, re.MULTILINE)
    assert failure, explored.stdout
    assert schedule, explored.stdout
    replayed = tree.explore(scenario, "--replay", schedule[1])
    assert replayed.returncode == 1, replayed.stdout
    # Names of objects may be addresses, which differ from one process to the next.
    assert f"FAILED {scenario}: {failure[1]}\n" in replayed.stdout
    assert schedule[0] in replayed.stdout
    return failure[1]


# ------------------------------------------------------------------------ the scenarios


def test_no_schedule_of_any_scenario_fails(built: Tree) -> None:
    explored = built.explore("--preemptions", str(PREEMPTIONS))
    assert explored.returncode == 0, explored.stdout
    listed = built.explore("--list").stdout
    not_broken = [line for line in listed.splitlines() if "wrong on purpose" not in line]
    assert len(explored.stdout.splitlines()) == len(not_broken)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_schedule_is_found_and_replayed_that_shows(
    built: Tree, mutant: Mutant, tmp_path: Path
) -> None:
    tree = Tree.copied_to(tmp_path / "tree")
    file = tree.root / "core" / mutant.file
    text = file.read_text()
    found = text.count(mutant.old)
    assert found == 1, f"the text to mutate stands {found} times in core/{mutant.file}"
    file.write_text(text.replace(mutant.old, mutant.new))
    affected: list[Path] = []
    objects: list[Path] = []
    for source in built.sources():
        if built.depends_on(source, built.root / "core" / mutant.file):
            affected.append(tree.root / source.relative_to(built.root))
            objects.append(tree.object_of(affected[-1]))
        else:
            objects.append(built.object_of(source))
    assert affected, f"nothing is made from core/{mutant.file}"
    tree.compile(affected)
    tree.link(objects)
    assert_fails_and_replays(tree, mutant.killer, preemptions=3)


def test_the_named_mutants_are_there_and_no_two_are_alike() -> None:
    assert len(NAMED) == 5
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


# ------------------------------------------------------------------------- the explorer


def interleavings(segments: tuple[int, ...], last: int | None) -> Iterator[int]:
    """Preemptions of each order in which threads of so many segments can take turns."""
    if not any(segments):
        yield 0
    for thread, left in enumerate(segments):
        if left == 0:
            continue
        costs = last is not None and last != thread and segments[last] > 0
        rest = (*segments[:thread], left - 1, *segments[thread + 1 :])
        for preemptions in interleavings(rest, thread):
            yield preemptions + costs


@pytest.mark.parametrize(
    ("scenario", "segments"),
    [
        ("self-count-2x1", (2, 2)),
        ("self-count-3x1", (2, 2, 2)),
        ("self-count-2x2", (3, 3)),
    ],
)
@pytest.mark.parametrize("bound", range(5))
def test_it_runs_each_schedule_within_the_bound_once(
    built: Tree, scenario: str, segments: tuple[int, ...], bound: int
) -> None:
    by_preemptions = Counter(interleavings(segments, None))
    expected = sum(count for cost, count in by_preemptions.items() if cost <= bound)
    explored = built.explore(scenario, "--preemptions", str(bound)).stdout
    assert re.search(rf"^{scenario} +{expected} executions", explored), (expected, explored)


@pytest.mark.parametrize(
    ("scenario", "failure"),
    [
        ("self-lost-update", "an update was lost"),
        ("self-deadlock", "deadlock: every thread waits"),
        ("self-lock-order", "locks are taken against their order"),
        ("self-kept-lock", "a thread ended with a lock held"),
        ("self-livelock", "livelock: the execution has too many steps"),
        ("self-stale-write", "memory was written after it was released"),
        ("self-crash", "Segmentation fault"),
        ("self-patience", "it gave up"),
    ],
)
def test_it_finds_and_replays(built: Tree, scenario: str, failure: str) -> None:
    assert assert_fails_and_replays(built, scenario, preemptions=1) == failure


def test_a_failure_is_shown_with_the_fewest_preemptions(built: Tree) -> None:
    assert built.explore("self-lost-update", "--preemptions", "0").returncode == 0
    found = built.explore("self-lost-update", "--preemptions", "3").stdout
    assert found.count("(preempts)") == 1
    assert found.endswith("--replay 0x2,1x3,0x1\n")


def test_a_schedule_that_passes_is_replayed_too(built: Tree) -> None:
    replayed = built.explore("self-lost-update", "--replay", "0x3,1x3")
    assert replayed.returncode == 0
    assert replayed.stdout.endswith("passed\n")


@pytest.mark.parametrize("schedule", ["", "0", "0x0", "9x1", "0x1,", "0x1;1x1", "0x99999999999"])
def test_a_malformed_schedule_is_refused(built: Tree, schedule: str) -> None:
    replayed = built.explore("self-lost-update", "--replay", schedule)
    assert replayed.returncode == 2
    assert "a schedule looks like" in replayed.stderr


@pytest.mark.parametrize("schedule", ["0x4", "0x3,1x3,0x1", "3x1"])
def test_a_schedule_that_does_not_fit_is_told_from_a_failure(built: Tree, schedule: str) -> None:
    replayed = built.explore("self-lost-update", "--replay", schedule)
    assert replayed.returncode == 1
    assert "the schedule does not fit" in replayed.stdout


def test_a_run_that_is_cut_short_says_so(built: Tree) -> None:
    explored = built.explore("self-count-3x1", "--max-executions", "5")
    assert explored.returncode == 3
    assert "NOT ALL SCHEDULES" in explored.stdout
