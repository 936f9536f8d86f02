"""Every schedule of the explorer's scenarios passes, and it finds what it is there to find."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from schedule_mutants import MUTANTS, NAMED

from c_tree import CTree, assert_no_two_are_alike, link
from mutants import Mutant

FLAGS = ("-std=c17", "-O1", "-w", "-DIOVA_EXPLORE", "-DIOVA_MAGAZINE_CAPACITY=3u")
RUN_LIMIT_S = 300
#: `make check` runs three; a mutant that needs three is looked for with three.
PREEMPTIONS = 2


@dataclass(frozen=True)
class Explorer:
    """The program, made of some tree."""

    program: Path

    def explore(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, timeout=RUN_LIMIT_S
        )


def sources_of(tree: CTree) -> list[Path]:
    """All but what the explorer has in another form, or does not need."""
    core = [
        path
        for path in sorted((tree.root / "core").rglob("*.c"))
        if path.name != "platform.c" and not path.name.startswith(("machine", "replay"))
    ]
    return [*core, *sorted((tree.root / "tests/explorer").glob("*.c"))]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> CTree:
    """The core as it is, and the explorer's own files, compiled."""
    copied = CTree.copied_to(tmp_path_factory.mktemp("unmutated"), "tests/explorer", FLAGS)
    copied.compile(sources_of(copied))
    return copied


@pytest.fixture(scope="module")
def explorer(tree: CTree) -> Explorer:
    """The explorer of the core as it is."""
    objects = [tree.object_of(source) for source in sources_of(tree)]
    return Explorer(link(objects, tree.root / "explorer"))


def assert_fails_and_replays(explorer: Explorer, scenario: str, preemptions: int) -> str:
    """Returns what went wrong."""
    explored = explorer.explore(scenario, "--preemptions", str(preemptions))
    assert explored.returncode == 1, explored.stdout
    failure = re.search(rf"^FAILED {scenario}: (.*)$", explored.stdout, re.MULTILINE)
    schedule = re.search(rf"^explorer {scenario} --replay (\S+)$", explored.stdout, re.MULTILINE)
    assert failure, explored.stdout
    assert schedule, explored.stdout
    replayed = explorer.explore(scenario, "--replay", schedule[1])
    assert replayed.returncode == 1, replayed.stdout
    # Names of objects may be addresses, which differ from one process to the next.
    assert f"FAILED {scenario}: {failure[1]}\n" in replayed.stdout
    assert schedule[0] in replayed.stdout
    return failure[1]


# ------------------------------------------------------------------------ the scenarios


def test_no_schedule_of_any_scenario_fails(explorer: Explorer) -> None:
    explored = explorer.explore("--preemptions", str(PREEMPTIONS))
    assert explored.returncode == 0, explored.stdout
    listed = explorer.explore("--list").stdout
    not_broken = [line for line in listed.splitlines() if "wrong on purpose" not in line]
    assert len(explored.stdout.splitlines()) == len(not_broken)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_schedule_is_found_and_replayed_that_shows(
    tree: CTree, mutant: Mutant, tmp_path: Path
) -> None:
    objects = tree.objects_with(mutant, sources_of(tree), tmp_path / "tree")
    mutated = Explorer(link(objects, tmp_path / "explorer"))
    assert_fails_and_replays(mutated, mutant.killer, preemptions=3)


def test_the_named_mutants_are_there_and_no_two_are_alike() -> None:
    assert len(NAMED) == 5
    assert_no_two_are_alike(MUTANTS)


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
    explorer: Explorer, scenario: str, segments: tuple[int, ...], bound: int
) -> None:
    by_preemptions = Counter(interleavings(segments, None))
    expected = sum(count for cost, count in by_preemptions.items() if cost <= bound)
    explored = explorer.explore(scenario, "--preemptions", str(bound)).stdout
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
def test_it_finds_and_replays(explorer: Explorer, scenario: str, failure: str) -> None:
    assert assert_fails_and_replays(explorer, scenario, preemptions=1) == failure


def test_a_failure_is_shown_with_the_fewest_preemptions(explorer: Explorer) -> None:
    assert explorer.explore("self-lost-update", "--preemptions", "0").returncode == 0
    found = explorer.explore("self-lost-update", "--preemptions", "3").stdout
    assert found.count("(preempts)") == 1
    assert found.endswith("--replay 0x2,1x3,0x1\n")


def test_a_schedule_that_passes_is_replayed_too(explorer: Explorer) -> None:
    replayed = explorer.explore("self-lost-update", "--replay", "0x3,1x3")
    assert replayed.returncode == 0
    assert replayed.stdout.endswith("passed\n")


@pytest.mark.parametrize("schedule", ["", "0", "0x0", "9x1", "0x1,", "0x1;1x1", "0x99999999999"])
def test_a_malformed_schedule_is_refused(explorer: Explorer, schedule: str) -> None:
    replayed = explorer.explore("self-lost-update", "--replay", schedule)
    assert replayed.returncode == 2
    assert "a schedule looks like" in replayed.stderr


@pytest.mark.parametrize("schedule", ["0x4", "0x3,1x3,0x1", "3x1"])
def test_a_schedule_that_does_not_fit_is_told_from_a_failure(
    explorer: Explorer, schedule: str
) -> None:
    replayed = explorer.explore("self-lost-update", "--replay", schedule)
    assert replayed.returncode == 1
    assert "the schedule does not fit" in replayed.stdout


def test_a_run_that_is_cut_short_says_so(explorer: Explorer) -> None:
    explored = explorer.explore("self-count-3x1", "--max-executions", "5")
    assert explored.returncode == 3
    assert "NOT ALL SCHEDULES" in explored.stdout
