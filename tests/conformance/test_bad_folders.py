"""A conformance folder that cannot be used is an error that names file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conformance_folders import HEADER, states_of_new_domain, write_folder, write_lines

from iova.errors import InputError
from iova.lab import conformance_files
from iova.lab.conformance import verify_folder

CSV, STATES, MANIFEST = "small.csv.zst", "small.states.jsonl.zst", "manifest.json"
ROWS = ["0,0,IN,4096,1,2,1,1048576,=,=", "0,0,IR,,,,,0,=,=", "5,0,AF,1,99,0,,99,=,="]
DUMP = "5,0,DS,,,,,0,=,="


def error_of(folder: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        list(verify_folder(folder))
    return caught.value


def expect(error: InputError, path: Path, line: int | None, problem: str) -> None:
    assert (error.source, error.line) == (str(path), line)
    assert re.search(problem, str(error)), str(error)


# ---- the folder and its manifest ----------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    expect(error_of(tmp_path / "no"), tmp_path / "no", None, "not a folder")


def test_a_folder_with_nothing_to_verify(tmp_path: Path) -> None:
    expect(error_of(tmp_path), tmp_path, None, "neither manifest.json nor any")


def test_a_sequence_that_is_not_there(tmp_path: Path) -> None:
    write_folder(tmp_path, ROWS)
    with pytest.raises(InputError, match=r"no sequence s99\. It has small"):
        list(verify_folder(tmp_path, only=["s99"]))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ('{"format_version": 1,\n"sequences": [}', 2, "not valid JSON"),
        ("\xff", None, "cannot be read"),
        ("[" * 100_000, None, "cannot be read"),
        ("[]", None, 'no list "sequences"'),
        ('{"format_version": 1, "sequences": {}}', None, 'no list "sequences"'),
        ('{"format_version": 2, "sequences": []}', None, "only 1 can be read"),
        ('{"sequences": []}', None, "only 1 can be read"),
        ('{"format_version": 1, "sequences": [7]}', None, r"sequences\[0\]: name"),
        ('{"format_version": 1, "sequences": [{"name": "../x"}]}', None, "plain file names"),
        (
            '{"format_version": 1, "sequences": [{"name": "x", "files": {"ops": "/etc/x"}}]}',
            None,
            "plain file names",
        ),
        (
            '{"format_version": 1,'
            ' "sequences": [{"name": "x", "sha256_uncompressed": {"ops": 1}}]}',
            None,
            "sha256",
        ),
        ('{"format_version": 1, "sequences": [{"name": "x", "rows": "9"}]}', None, "rows"),
        ('{"format_version": 1, "sequences": []}', None, "neither"),
    ],
)
def test_a_manifest_that_is_wrong(
    tmp_path: Path, text: str, line: int | None, problem: str
) -> None:
    (tmp_path / MANIFEST).write_bytes(text.encode("latin-1"))
    where = tmp_path if problem == "neither" else tmp_path / MANIFEST
    expect(error_of(tmp_path), where, line, problem)


def test_a_manifest_that_counts_other_rows(tmp_path: Path) -> None:
    write_folder(tmp_path, ROWS)
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"rows": 3', '"rows": 4'))
    expect(error_of(tmp_path), tmp_path / CSV, None, "has 3 rows; the manifest says 4")


# ---- files --------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def replace_with_text(path: Path) -> None:
    path.write_text("no Zstandard")


def add_a_frame_that_is_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)
    cut(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def change_content(path: Path) -> None:
    write_lines(path, [HEADER])


@pytest.mark.parametrize("name", [CSV, STATES])
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (Path.unlink, "No such file"),
        (cut, "ends before"),
        (add_a_frame_that_is_cut, "ends before"),
        (empty, "ends before"),
        (replace_with_text, "not valid Zstandard"),
        (change_content, "another SHA-256"),
    ],
)
def test_a_damaged_file(
    tmp_path: Path, name: str, damage: Callable[[Path], None], problem: str
) -> None:
    write_folder(tmp_path, [*ROWS, DUMP], states_of_new_domain(3))
    damage(tmp_path / name)
    expect(error_of(tmp_path), tmp_path / name, None, problem)


def test_a_file_of_two_frames_is_read_to_its_end(tmp_path: Path) -> None:
    write_folder(tmp_path, ROWS)
    write_lines(tmp_path / "1", [HEADER])
    write_lines(tmp_path / "2", ROWS)
    frames = [(tmp_path / name).read_bytes() for name in "12"]
    (tmp_path / CSV).write_bytes(b"".join(frames))
    assert [v.rows for v in verify_folder(tmp_path)] == [3]


def test_a_file_that_grows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, ROWS)
    write_lines(tmp_path / CSV, ["0" * 3_000_000])
    monkeypatch.setattr(conformance_files, "MAX_FILE_BYTES", 2 << 20)
    expect(error_of(tmp_path), tmp_path / CSV, None, "more than 2 MiB")


def test_a_header_with_other_columns(tmp_path: Path) -> None:
    write_folder(tmp_path, ROWS)
    (tmp_path / MANIFEST).unlink()
    write_lines(tmp_path / CSV, [HEADER.replace("op", "operation"), *ROWS])
    expect(error_of(tmp_path), tmp_path / CSV, 1, "the header must be t_us,cpu,op,a")


# ---- rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("5,0,AF,1,99,0,,98,=", "want 10 plain fields"),
        ("5,0,AF,1,99,0,,98,=,=,=", "want 10 plain fields"),
        ("", "want 10 plain fields"),
        ("5,0,AF,1,99,0,,98,=,=\r", "want 10 plain fields"),
        ("5,0,A\u00c4,1,99,0,,98,=,=", "want 10 plain fields"),
        ("5,0,,1,99,0,,98,=,=", "no operation ''"),
        ("5,0,QQ,1,99,0,,98,=,=", "no operation 'QQ'"),
        (",0,AF,1,99,0,,98,=,=", "AF needs a number from 0 to .* in t_us or cpu"),
        ("5,x,AF,1,99,0,,98,=,=", "AF needs .* in t_us or cpu"),
        ("5,0,AF,-1,99,0,,98,=,=", "AF needs .* in a"),
        ("5,0,AF,1,18446744073709551616,0,,98,=,=", "AF needs .* in b"),
        ("5,0,AF,1,99,,,98,=,=", "AF needs .* in c"),
        ("5,0,FX,98,,,,0,=,=", "FX needs .* in b"),
        ("4,0,TK,,,,,0,=,=", "time goes back"),
        ("9999999999999999999,0,TK,,,,,0,=,=", "t_us is too large"),
        ("5,0,AF,0,99,0,,98,=,=", "size of 0"),
        ("5,0,AR,0,99,0,,98,=,=", "size of 0"),
        ("5,0,FX,98,0,,,0,=,=", "size of 0"),
        ("5,0,AC,1,99,2,,98,=,=", "flag in c must be 0 or 1"),
        ("5,0,FF,3,,,,98,=,=", "row 3 is no allocation before"),
        ("5,0,FR,99,,,,98,=,=", "row 99 is no allocation before"),
        ("5,0,FR,1,,,,98,=,=", "row 1 is no allocation before"),
        ("5,2,AF,1,99,0,,98,=,=", "no CPU 2"),
        ("5,0,CD,2,,,,0,=,=", "no CPU 2"),
        ("5,0,CU,7,,,,0,=,=", "no CPU 7"),
        ("5,0,IN,4096,1,1,1,1048576,=,=", "was not torn down"),
        ("5,0,IR,,,,,0,=,=", "there already"),
        ("5,0,AF,1,99,0,,,=,=", "rA: 'None' is no result"),
        ("5,0,AF,1,99,0,,98,-2,=", "rB: '-2' is no result"),
        ("5,0,AF,1,99,0,,98,=,1:", "rC: '1:' is no result"),
        ("5,0,AF,1,99,0,,=,=,=", "rA: '=' is no result"),
    ],
)
def test_a_row_that_has_no_meaning(tmp_path: Path, row: str, problem: str) -> None:
    write_folder(tmp_path, [*ROWS, row, "6,0,PD,,,,,0:0,=,="])
    expect(error_of(tmp_path), tmp_path / CSV, 5, problem)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["0,0,IN,3,1,1,1,0,=,="], "granule"),
        (["0,0,IN,0,1,1,1,0,=,="], "granule"),
        (["0,0,IN,8192,1,1,1,0,=,="], "granule"),
        (["0,0,IN,4096,1,1,0,0,=,="], "online CPUs"),
        (["0,0,IN,4096,1,1,2,0,=,="], "online CPUs"),
        (["0,0,IN,4096,1,1000000000000,2,0,=,="], "online CPUs"),
        (["0,0,IR,,,,,0,=,="], "there is no domain"),
        (["0,0,PD,,,,,0:0,=,="], "there is no domain"),
        (["0,0,DS,,,,,0,=,="], "there is no domain"),
        (["0,0,TK,,,,,0,=,=", "0,0,AR,1,9,0,,9,=,="], "there is no domain"),
        ([ROWS[0], "0,0,AF,1,99,0,,99,=,="], "AF has no meaning before IR"),
        ([ROWS[0], "0,0,FX,1,99,,,0,=,="], "FX has no meaning before IR"),
        ([*ROWS, "9,0,PD,,,,,0:0,=,=", ROWS[0].replace("0", "9", 1), ROWS[2]], "time goes back"),
        ([*ROWS, "9,0,PD,,,,,0:0,=,=", "9,0,FN,7,,,,-1,=,="], "there is no domain"),
    ],
)
def test_rows_in_an_order_that_has_no_meaning(
    tmp_path: Path, rows: list[str], problem: str
) -> None:
    write_folder(tmp_path, rows)
    expect(error_of(tmp_path), tmp_path / CSV, len(rows) + 1, problem)


# ---- snapshots ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not valid JSON"),
        ("9" * 5000, "cannot be read"),
        ("[]", "want an object with the fields op, t, var"),
        ("{}", "want an object"),
        (states_of_new_domain(3, extra=1)[1], "want an object"),
        (states_of_new_domain(3, var="D")[0], "var must be one of A, B, C"),
        (states_of_new_domain(3, var=["A"])[0], "var must be one of"),
        (states_of_new_domain(2)[1], "snapshot 0 of B is of row 2, expected row 3"),
        (states_of_new_domain(3)[0], "snapshot 1 of A is of row 3, expected no further DS row"),
        (states_of_new_domain(3, rcache=7)[1], "rcache must be null or 6 objects"),
        (states_of_new_domain(3, rcache=[{}] * 6)[1], "rcache must be null or 6 objects"),
        (states_of_new_domain(3, rcache=[])[1], "rcache must be null or 6 objects"),
    ],
)
def test_a_snapshot_that_has_no_meaning(tmp_path: Path, line: str, problem: str) -> None:
    states = states_of_new_domain(3)
    write_folder(tmp_path, [*ROWS, DUMP], [states[0], line, states[2]])
    expect(error_of(tmp_path), tmp_path / STATES, 2, problem)


def test_snapshots_that_are_missing(tmp_path: Path) -> None:
    write_folder(tmp_path, [*ROWS, DUMP], states_of_new_domain(3)[:2])
    expect(error_of(tmp_path), tmp_path / STATES, None, "0 snapshots of C for 1 DS rows")
