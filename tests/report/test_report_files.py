"""The command's pictures and mails: what was written is told, what can not be is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import iova
from iova.sources.parquet import write_parquet
from rights import bound_by_permissions
from tables import filling_depot, trace_of


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small trace file."""
    path = tmp_path / "small.parquet"
    write_parquet(trace_of(*filling_depot(3)), path)
    return path


def test_every_picture_that_was_written_is_named(small: Path, tmp_path: Path) -> None:
    told = " ".join(iova("compare", small, "--png", "img", cwd=tmp_path).split())
    names = {path.name for path in (tmp_path / "img").iterdir()}
    assert len(names) == 16
    _, _, named = told.partition("pictures: 16 in img: ")
    assert names <= set(named.replace(",", "").split())


def test_a_file_is_no_folder_for_pictures(small: Path) -> None:
    told = iova("compare", small, "--png", small, status=2)
    assert "is not a folder" in told


def test_a_folder_that_may_not_be_written_to_is_refused_and_stays_empty(
    small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "img"
    folder.mkdir(mode=0o555)
    with bound_by_permissions():
        told = iova("compare", small, "--png", folder, status=2)
    assert "Permission denied" in told
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("source", ["small.parquet", "sas-256"])
def test_a_mail_of_the_command_has_72_columns(small: Path, source: str) -> None:
    settings = ("--set", "duration_s=0.001") if source == "sas-256" else ()
    designs = ("--design", "linux-6.12", "--design", "linux-6.12,threshold=1")
    told = iova("compare", source, *settings, *designs, "--text", cwd=small.parent)
    assert max(map(len, told.splitlines())) <= 72
