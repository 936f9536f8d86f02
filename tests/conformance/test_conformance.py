"""The core is exact on every vector, and the verifier notices when something is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance_folders import (
    VECTORS,
    copy_vector,
    read_lines,
    states_of_new_domain,
    vector_names,
    write_folder,
    write_lines,
)

from iova.lab.conformance import Difference, SequenceVerdict, verify_folder
from iova.lab.conformance_files import RCACHE_FIELDS

SHORT = "s17_start_zero"


@pytest.mark.parametrize("name", vector_names())
def test_the_core_is_exact(name: str) -> None:
    (verdict,) = verify_folder(VECTORS, only=[name])
    assert verdict.exact, str(verdict.first_difference)
    rows = read_lines(VECTORS / f"{name}.csv.zst")[1:]
    assert verdict == SequenceVerdict(
        name, len(rows), sum(",DS," in row for row in rows), exact=True, first_difference=None
    )


def test_the_manifest_and_the_files_name_the_same_sequences() -> None:
    files = sorted(path.name.removesuffix(".csv.zst") for path in VECTORS.glob("*.csv.zst"))
    assert sorted(vector_names()) == files
    assert len(files) == 26


# ---- what is altered is found -------------------------------------------------------------------


def first_difference(folder: Path, variants: str = "ABC") -> Difference:
    (verdict,) = verify_folder(folder, variants=variants)
    assert not verdict.exact
    assert verdict.first_difference is not None
    return verdict.first_difference


@pytest.mark.parametrize("variant", "ABC")
def test_an_altered_result_is_found_at_its_row(tmp_path: Path, variant: str) -> None:
    rows_path, _ = copy_vector(SHORT, tmp_path)
    lines = read_lines(rows_path)
    row = max(n for n, line in enumerate(lines) if ",AF," in line) - 1
    fields = lines[row + 1].split(",")
    expected, place = int(fields[7]), {"A": 7, "B": 8, "C": 9}[variant]
    fields[place] = str(expected + 1)
    lines[row + 1] = ",".join(fields)
    write_lines(rows_path, lines)
    difference = first_difference(tmp_path, variants=variant)
    assert difference == Difference(variant, row, "AF", "result", expected + 1, expected)
    assert str(difference) == (
        f"variant {variant}, row {row}, AF, result: expected {expected + 1}, got {expected}"
    )


def test_a_result_that_stands_for_the_one_before_is_compared_too(tmp_path: Path) -> None:
    rows_path, _ = copy_vector(SHORT, tmp_path)
    lines = read_lines(rows_path)
    fields = lines[100].split(",")
    assert fields[8:] == ["=", "="]
    fields[7:9] = [str(int(fields[7]) + 1), fields[7]]  # wrong in A, right in B and so in C
    lines[100] = ",".join(fields)
    write_lines(rows_path, lines)
    assert [v.exact for v in verify_folder(tmp_path, variants="BC")] == [True]
    assert first_difference(tmp_path).variant == "A"


def altered(value: Any) -> Any:
    """Another value of the same kind."""
    if value is None:
        return 5
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    if isinstance(value, list):
        return [*value, [0, 1, 1]]
    return value + 1


@pytest.mark.parametrize("variant", "ABC")
@pytest.mark.parametrize(
    "field",
    [
        "t", "online", "ranges", "pages", "ranges_hash", "cached", "cached32", "max32", "mags",
        "warns", "works_run",
        *(f"rcache[{k}].{f}" for k in (0, 5) for f in RCACHE_FIELDS),
    ],
)  # fmt: skip
def test_an_altered_field_of_a_snapshot_is_found(tmp_path: Path, field: str, variant: str) -> None:
    _, states_path = copy_vector(SHORT, tmp_path)
    states = [json.loads(line) for line in read_lines(states_path)]
    chosen = [state for state in states if state["var"] == variant][7]
    part, key = chosen, field
    if field.startswith("rcache"):
        part, key = chosen["rcache"][int(field[7])], field.partition(".")[2]
    if key == "due" and variant == "A":
        assert "due" not in part
        return
    before = part[key]
    part[key] = altered(before)
    write_lines(states_path, [json.dumps(state) for state in states])
    difference = first_difference(tmp_path)
    assert difference == Difference(variant, chosen["op"], "DS", field, altered(before), before)


def test_caches_that_should_not_be_there_are_found(tmp_path: Path) -> None:
    rows = ["0,0,IN,4096,1,1,1,1048576,=,=", "0,0,IR,,,,,0,=,=", "0,0,DS,,,,,0,=,="]
    write_folder(tmp_path, rows, states_of_new_domain(2, mags=12))
    difference = first_difference(tmp_path, variants="A")
    assert (difference.field, difference.expected, difference.got) == ("rcache", None, 6)


# ---- rules of the format that the vectors hardly touch ------------------------------------------

TOP = 2**20 - 1  #: the largest 32-bit limit of a 4 KiB granule
BY_HAND = [
    "0,0,IN,4096,1,1,1,1048576,=,=",
    "0,0,DS,,,,,0,=,=",
    "0,0,IR,,,,,0,=,=",
    f"1,0,AF,1,{TOP},0,,{TOP},=,=",
    f"1,0,FX,{TOP},1,,,0,=,=",  # into the cache, from which it comes back
    f"2,0,AF,1,{TOP},0,,{TOP},=,=",
    f"2,0,AC,1,{TOP},0,,s,=,=",  # the row before did not fail
    f"2,0,FF,5,,,,{TOP},=,=",
    "2,0,FF,5,,,,s,=,=",  # freed before
    "2,0,FR,5,,,,s,=,=",
    "2,0,FF,6,,,,s,=,=",  # was skipped
    f"3,0,AF,2097152,{TOP},0,,0,=,=",
    f"3,0,AC,1,{TOP},1,,{TOP},=,=",
    f"3,0,AC,1,{TOP},1,,s,=,=",  # the row before is an AC
    "3,0,FF,11,,,,s,=,=",  # that row failed
    f"3,0,FR,12,,,,{TOP},=,=",
    f"3,0,FN,{TOP},,,,-1,=,=",
    f"3,0,FX,{TOP},1,,,0,=,=",  # nobody's, but the cache believes it
    "4,0,RS,10,20,,,10:20,=,=",
    "4,0,RS,15,30,,,21:30,=,=",
    "4,0,FN,25,,,,21:30,=,=",
    "4,0,FP,25,,,,0,=,=",
    "4,0,FP,25,,,,0,=,=",
    f"4,0,RS,{2**63},{2**63},,,-1,=,=",  # a warning
    "5,0,XI,2,,,,0,=,=",
    f"5,0,AR,64,{TOP},1,,-1,=,=",  # the first of two failures
    "5,0,FR,25,,,,s,=,=",
    "5,0,XM,0,,,,0,=,=",
    "6,0,PD,,,,,0:0,=,=",
    "6,0,TK,,,,,0,=,=",
    "7,0,IN,1,1,1,1,4294967296,=,=",
    "7,0,PD,,,,,0:0,=,=",
    "7,0,IN,4096,1,1,1,1048576,=,=",
    f"7,0,AR,64,{TOP},1,,-1,=,=",  # the second failure outlived its domain
    "7,0,DS,,,,,0,=,=",
    f"8,0,AR,64,{TOP},1,,{TOP - 63},=,=",
    "8,0,PD,,,,,0:0,=,=",
]


def test_rows_written_by_hand_are_understood(tmp_path: Path) -> None:
    states = [*states_of_new_domain(1), *states_of_new_domain(34, t=7, warns=1)]
    write_folder(tmp_path, BY_HAND, sorted(states, key=lambda state: json.loads(state)["var"]))
    (verdict,) = verify_folder(tmp_path)
    assert verdict == SequenceVerdict("small", len(BY_HAND), 2, exact=True, first_difference=None)


@pytest.mark.parametrize("row", [n for n, text in enumerate(BY_HAND) if ",s,=" in text])
def test_a_row_that_must_be_skipped_is_told_from_one_that_was_done(
    tmp_path: Path, row: int
) -> None:
    rows = [text.replace(",s,=", ",0,=") if n == row else text for n, text in enumerate(BY_HAND)]
    states = [*states_of_new_domain(1), *states_of_new_domain(34, t=7, warns=1)]
    write_folder(tmp_path, rows, states)
    difference = first_difference(tmp_path)
    assert (difference.row, difference.expected, difference.got) == (row, 0, "s")


def test_magazine_failures_wait_through_teardown_and_creation(tmp_path: Path) -> None:
    """C needs no magazine to make its caches, so the failure hits the first put."""
    rows = [
        "0,0,XM,1,,,,0,=,=",
        "0,0,IN,4096,1,1,1,1048576,=,=",
        "0,0,PD,,,,,0:0,=,=",
        "0,0,IN,4096,1,1,1,1048576,=,=",
        "0,0,IR,,,,,0,=,=",
        f"0,0,AF,1,{TOP},0,,{TOP},=,=",
        f"0,0,FF,5,,,,{TOP},=,=",
        f"0,0,FN,{TOP},,,,-1,=,=",  # it could not be cached
        "0,0,PD,,,,,0:0,=,=",
    ]
    write_folder(tmp_path, rows)
    assert [v.exact for v in verify_folder(tmp_path, variants="C")] == [True]
    difference = first_difference(tmp_path, variants="A")  # there the caches cannot be made
    assert (difference.row, difference.op, difference.expected) == (4, "IR", 0)


def test_what_a_row_allocated_is_judged_for_each_variant(tmp_path: Path) -> None:
    """All 509 frames there are end in magazines; in B and C reclaim returns 127 of them."""
    count = 4 * 127 + 1
    allocs = [f"0,0,AF,1,{TOP},0,,{TOP - n},=,=" for n in range(count)]
    frees = [f"0,0,FF,{2 + n},,,,{TOP - n},=,=" for n in range(count)]
    rows = [f"0,0,IN,4096,{TOP - 508},1,1,1048576,=,=", "0,0,IR,,,,,0,=,=", *allocs, *frees]
    # The newest of three magazines in the depot holds TOP-507 to TOP-381, and is the first to go.
    rows += [f"99999,0,AR,64,{TOP},0,,-1,=,=", "99999,0,TK,,,,,0,=,="]
    rows += [f"100000,0,AR,64,{TOP},0,,-1,{TOP - 444},=", "100000,0,TK,,,,,0,1,="]
    rows += [f"100000,0,FR,{len(rows) - 2},,,,s,{TOP - 444},="]
    rows += ["900000,0,TK,,,,,0,3,="]  # one more magazine went, then the depot was short enough
    write_folder(tmp_path, rows)
    (verdict,) = verify_folder(tmp_path)
    assert verdict.exact, str(verdict.first_difference)


# ---- how it is called ---------------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_verified_by_its_files(tmp_path: Path) -> None:
    write_folder(tmp_path, BY_HAND[:1])
    (tmp_path / "manifest.json").unlink()
    assert [v.name for v in verify_folder(tmp_path)] == ["small"]


def test_a_sequence_the_manifest_does_not_list_is_verified_too(tmp_path: Path) -> None:
    write_folder(tmp_path, BY_HAND[:1])
    copy_vector(SHORT, tmp_path)
    assert [(v.name, v.exact) for v in verify_folder(tmp_path)] == [("small", True), (SHORT, True)]


def test_progress_counts_the_rows_of_all_variants(tmp_path: Path) -> None:
    copy_vector(SHORT, tmp_path)
    seen: list[int] = []
    list(verify_folder(tmp_path, variants="AC", progress=seen.append))
    assert seen == [20005, 20005]


def test_variants_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="ABC"):
        list(verify_folder(VECTORS, variants="AD"))
