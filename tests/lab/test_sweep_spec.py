"""What a sweep's TOML stands for, and what is said where it is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from iova.errors import InputError
from iova.lab.sweep_spec import Cell, read_spec
from sweeps import make_folder

DESIGN = '[[design]]\ndesign = "linux-6.12"\n'
SOURCE = '[[source]]\nsource = "fleet/a.parquet"\n'


def cells(folder: Path, text: str) -> tuple[Cell, ...]:
    path = make_folder(folder, text)
    return read_spec(path).cells


def test_every_combination_is_a_cell_once(tmp_path: Path) -> None:
    found = cells(
        tmp_path,
        """
        seeds = 3
        cpus = 64
        [[source]]
        source = "scsi-256"
        set = ["duration_s=0.1"]
        vary.depth = [1, 2]
        [[source]]
        source = "scsi-256"
        cpus = [32, 128]
        seeds = [7]
        [[source]]
        source = "burst8-6.12"
        [[design]]
        design = "linux-6.12"
        vary.threshold = [1, 2]
        vary.batch = [3, 4, 5]
        [[design]]
        design = "linux-6.12,threshold=1,batch=3"
        """,
    )
    assert len(found) == 6 * (2 * 3 + 2 + 1)
    assert [cell.cpus for cell in found if cell.seed == 7] == [32] * 6 + [128] * 6
    spread = [cell for cell in found if cell.source.name == "burst8-6.12"]
    assert [(c.source.cpus, c.cpus, c.seed) for c in spread] == [(64, 64, None)] * 6
    settings = {cell.source.settings for cell in found if cell.seed == 1}
    assert settings == {("duration_s=0.1", f"depth={n}", "machine.cpus=64") for n in (1, 2)}
    assert spread[1].design == "linux-6.12,threshold=1,batch=4"
    assert spread[1].params == (("threshold", 1), ("batch", 4))


def test_patterns_stand_for_files_in_folders_below_the_spec(tmp_path: Path) -> None:
    part = tmp_path / "host=h1" / "day=2"
    part.mkdir(parents=True)
    (part / "x.parquet").touch()
    text = f'[[source]]\nsource = "host=*/**/*.parquet"\n{DESIGN}'
    (cell,) = cells(tmp_path, text)
    assert cell.source.name == "host=h1/day=2/x.parquet"
    assert cell.source.path == str(part / "x.parquet")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "source is missing. Write a table"),
        (SOURCE, "design is missing"),
        (f"sources = 1\n{SOURCE}{DESIGN}", "sources is not known. Did you mean source"),
        (f"seeds = 0\n{SOURCE}{DESIGN}", "seeds must be whole numbers from 1"),
        (f'seeds = "x"\n{SOURCE}{DESIGN}', "seeds must be a whole number from 1 to 10000, or a"),
        (f"seeds = [1.5]\n{SOURCE}{DESIGN}", "seeds must be whole numbers from 0"),
        (f"seeds = [-1]\n{SOURCE}{DESIGN}", "seeds must be whole numbers from 0"),
        (f"cpus = [true]\n{SOURCE}{DESIGN}", "cpus must be whole numbers from 1 to 4096"),
        (f"cpus = []\n{SOURCE}{DESIGN}", "cpus must be a list of 1"),
        (f"allow_lost = 1\n{SOURCE}{DESIGN}", "allow_lost must be true or false"),
        (f"prices = 3\n{SOURCE}{DESIGN}", "prices must be text"),
        (f"[[source]]\nset = []\n{DESIGN}", r"source\[0\].source is missing"),
        (f"[[source]]\nsource = 5\n{DESIGN}", r"source\[0\].source must be text"),
        (f'[[source]]\nsource = "nix/*"\n{DESIGN}', "matches no file"),
        (f"{SOURCE}seeds = [1]\n{DESIGN}", r"source\[0\].seeds is for workloads"),
        (f'{SOURCE}set = ["a=1"]\n{DESIGN}', r"source\[0\].set is for workloads"),
        (f'[[source]]\nsource = "scsi-256"\nset = ["nonsense=1"]\n{DESIGN}',
         r"source\[0\] can not be simulated: --set nonsense=1"),
        (f'[[source]]\nsource = "scsi-256"\nvary.depth = 4\n{DESIGN}',
         r"source\[0\].vary.depth must be a list"),
        (f'[[source]]\nsource = "scsi-265"\n{DESIGN}',
         r"source\[0\].source 'scsi-265' is no file, .* Did you mean scsi-256"),
        (f'[[source]]\nsource = "nothing.toml"\n{DESIGN}', "cannot be read"),
        (f'{SOURCE}[[design]]\ndesign = "linux-9"\n', r"design\[0\] is no design"),
        (f"{SOURCE}{DESIGN}vary.threshold = [-4]\n", r"design\[0\] is no design"),
        (f"{SOURCE}[[design]]\nvary.x = [1]\n", r"design\[0\].design is missing"),
        (f"{SOURCE}{DESIGN}threshold = 4\n", r"design\[0\].threshold is not known"),
        ("[source", "is no TOML"),
        (f"seeds = {'9' * 5000}\n{SOURCE}{DESIGN}", "is no TOML|must be whole numbers"),
        (f"{SOURCE}{DESIGN}vary.threshold = {list(range(2000))}\nvary.batch = {[*range(1, 2000)]}",
         "stands for at least 3998000 cells; 1000000 are the most"),
        (f"{SOURCE}{DESIGN}vary{'.a' * 5000} = [1]\n", "nested too deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as raised:
        cells(tmp_path, text)
    assert str(raised.value).startswith(str(tmp_path / "sweep.toml"))


def test_a_spec_stands_for_a_bounded_number_of_cells(tmp_path: Path) -> None:
    many = f"seeds = 10000\n[[source]]\nsource = 'busy.toml'\n{DESIGN}vary.threshold = "
    with pytest.raises(InputError, match="stands for 2000000 cells; 1000000 are the most"):
        cells(tmp_path, f"{many}{list(range(200))}\n")


def test_a_huge_grid_is_refused_with_its_count_before_anything_is_expanded(tmp_path: Path) -> None:
    ten = list(range(10))
    keys = "".join(f"vary.k{i} = {ten}\n" for i in range(8))
    began = time.monotonic()
    with pytest.raises(InputError, match="stands for at least 100000000 cells; 1000000 are"):
        cells(tmp_path / "a", f'[[source]]\nsource = "scsi-256"\n{keys}{DESIGN}')
    keys = "".join(f"vary.k{i} = {ten}\n" for i in range(5000))
    with pytest.raises(InputError, match="stands for at least more than 1000000000000000 cells"):
        cells(tmp_path / "b", f'[[source]]\nsource = "scsi-256"\n{keys}{DESIGN}')
    many = f"{DESIGN}vary.threshold = {[*range(1000)]}\nvary.batch = {[*range(1, 1000)]}\n" * 9
    with pytest.raises(InputError, match="stands for at least 8991000 cells"):
        cells(tmp_path / "c", SOURCE + many)
    assert time.monotonic() - began < 5


def test_a_spec_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_spec(tmp_path / "none.toml")
    (tmp_path / "big.toml").write_text("#" * (1 << 20) + "\n#")
    with pytest.raises(InputError, match="longer than 1 MiB"):
        read_spec(tmp_path / "big.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(InputError, match="is no TOML"):
        read_spec(tmp_path / "latin.toml")
