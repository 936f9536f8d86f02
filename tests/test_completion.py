"""What the shell offers at the Tab key, asked as the scripts of the three shells ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import run_here
from iova import cli_completion
from iova.designs import OPTIONS, builtin_designs


def offered(shell: str, *words: str, cwd: Path) -> list[str]:
    """What is offered for the last of the words."""
    line = " ".join(words)
    asked = {
        "bash": {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [sys.executable, "-m", "iova"],
        env=os.environ | asked | {"_IOVA_COMPLETE": f"complete_{shell}"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", ("iova", "co"), "convert"),
        ("bash", ("iova", "compare", "nvme"), "nvme-384"),
        ("zsh", ("iova", "explain", "burst8"), "burst8-6.12"),
        ("fish", ("iova", "compare", "x", "--design", "work"), "working-set"),
        ("fish", ("iova", "info", "my"), "my.trace"),
    ],
)
def test_each_shell_is_offered_verbs_sources_and_designs(
    shell: str, words: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "my.trace").touch()
    assert any(expected in line for line in offered(shell, *words, cwd=tmp_path))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_that_is_installed_is_shown(shell: str) -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # else it is the caller's
    shown = subprocess.run(
        [sys.executable, "-m", "iova", "--show-completion", shell],
        env=os.environ | named,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "_IOVA_COMPLETE=complete_" + shell in shown.stdout


def test_designs_are_offered_by_name() -> None:
    assert cli_completion.designs("") == [one.name for one in builtin_designs()]
    assert cli_completion.designs("linux-6") == ["linux-6.1", "linux-6.12"]
    assert cli_completion.designs("no-such") == []


def test_parameters_of_a_design_are_offered_but_those_given() -> None:
    first = cli_completion.designs("linux-6.12,")
    assert "linux-6.12,threshold=" in first
    assert {f"linux-6.12,{key}=" for key in OPTIONS} <= set(first)
    assert cli_completion.designs("linux-6.12,threshold=4,th") == []
    assert cli_completion.designs("linux-6.12,threshold=4,de") == [
        "linux-6.12,threshold=4,delay_ms="
    ]
    assert cli_completion.designs("linux-6.12,nonsense=4,de") == []


def test_files_are_offered_as_they_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "a.parquet").touch()
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    assert "traces/" in cli_completion.sources("")
    assert ".hidden" not in cli_completion.sources("")
    assert cli_completion.sources(".h") == [".hidden"]
    assert cli_completion.sources("traces/") == ["traces/a.parquet"]
    assert cli_completion.paths("./tr") == ["./traces/"]
    assert cli_completion.sources("no/such/folder/") == []
    assert cli_completion.sources("\0") == []


def test_a_huge_folder_offers_no_more_than_can_be_shown(tmp_path: Path) -> None:
    for number in range(cli_completion.MOST_FILES + 10):
        (tmp_path / f"{number}.txt").touch()
    assert len(cli_completion.paths(f"{tmp_path}/")) == cli_completion.MOST_FILES


def test_the_lists_offered_are_those_there_are() -> None:
    said = run_here("list", "nonsense").stderr
    assert said.rstrip(".\n").endswith(", ".join(cli_completion.LISTS))
    assert cli_completion.lists("pre") == ["presets"]
