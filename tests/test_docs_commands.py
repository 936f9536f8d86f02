"""The commands of the pages on explaining, tuning and sweeping run as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import polars as pl
import pytest

from commands import iova
from iova import samples

DOCS = Path(__file__).parent.parent / "docs"


def commands_of(page: str) -> list[list[str]]:
    text = (DOCS / page).read_text()
    lines = "".join(re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("iova ")]


@pytest.mark.timeout(120)
def test_the_commands_on_explaining_run() -> None:
    commands = commands_of("explain.md")
    assert len(commands) == 5
    for command in commands:
        said = iova(*command)
        assert ("--json" in command) == said.startswith("{")
        assert any(word in said for word in ("wrong", "allocated", "causes"))


@pytest.mark.timeout(120)
def test_the_commands_on_tuning_run() -> None:
    commands = commands_of("tune.md")
    assert len(commands) == 4
    for command in commands:
        assert "--design" in iova(*command) or "--json" in command


@pytest.mark.timeout(120)
def test_the_commands_on_sweeping_run(tmp_path: Path) -> None:
    toml = re.search(r"^```toml\n(.*?)^```$", (DOCS / "sweep.md").read_text(), re.M | re.S)
    assert toml
    (tmp_path / "fleet.toml").write_text(toml[1])
    part = tmp_path / "fleet" / "host=a" / "day=1"
    part.mkdir(parents=True)
    shutil.copy(samples.resolve("burst8-6.12"), part / "x.parquet")
    commands = commands_of("sweep.md")
    assert len(commands) == 2
    for command in commands:
        iova(*command, cwd=tmp_path)
    table = pl.read_parquet(tmp_path / "fleet.parquet")
    assert table.height == (1 + 2 * 2) * 3
    assert table["error"].null_count() == table.height


@pytest.mark.timeout(120)
def test_the_commands_on_perfetto_run(tmp_path: Path) -> None:
    commands = commands_of("perfetto.md")
    assert len(commands) == 3
    for command in commands:
        assert "https://ui.perfetto.dev" in iova(*command, cwd=tmp_path)
        assert (tmp_path / command[2]).stat().st_size > 1_000_000
