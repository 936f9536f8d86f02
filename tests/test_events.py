"""The schema itself, and the checks every reader makes."""

from __future__ import annotations

import polars as pl
import pytest

from iova.errors import InputError
from iova.events import FIRST_INSIDE_OP, SCHEMA, Flag, Op, normalised, problem_of


def frame(**columns: list[object]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    full: dict[str, list[object]] = {"t": [*range(rows)], "cpu": [0] * rows}
    return normalised(pl.DataFrame(full | columns), "made.parquet")


def test_calls_have_codes_below_sixteen() -> None:
    calls = {op.name for op in Op if op < FIRST_INSIDE_OP}
    assert calls == {
        "CREATE", "MAKE_CACHES", "RESERVE", "ALLOC", "FREE", "FLUSH_CACHES", "CPU_OFFLINE",
        "CPU_ONLINE", "DESTROY",
    }  # fmt: skip


def test_flags_fit_their_column() -> None:
    assert max(Flag) < 1 << 8
    assert SCHEMA["flags"] == pl.UInt8


def test_a_frame_gets_every_column_in_order() -> None:
    made = frame(op=[int(Op.FLUSH_TIMER)])
    assert dict(made.schema) == SCHEMA
    assert made["flags"].to_list() == [0]
    assert made["domain"].to_list() == [None]


def test_rows_of_equal_time_keep_their_order_when_sorted() -> None:
    made = frame(t=[5, 3, 5, 3], op=[22] * 4, cpu=[1, 2, 3, 4])
    assert made["cpu"].to_list() == [2, 4, 1, 3]


@pytest.mark.parametrize(
    ("op", "needed"),
    [
        (Op.CREATE, {"domain": 0, "pfn": 1}),
        (Op.RESERVE, {"domain": 0, "pfn": 1, "last": 2}),
        (Op.ALLOC, {"domain": 0, "size": 1, "limit": 5}),
        (Op.CPU_OFFLINE, {"domain": 0, "n": 1}),
        (Op.CPU_ONLINE, {"domain": 0, "n": 1}),
        (Op.DESTROY, {"domain": 0}),
        (Op.TREE_REMOVE, {"domain": 0, "pfn": 1, "last": 1}),
        (Op.RECLAIM, {"domain": 0, "n": 1}),
        (Op.UNMAP, {"pfn": 1, "last": 1}),
        (Op.FLUSH_TIMER, {}),
    ],
)
def test_an_operation_needs_what_the_schema_says(op: Op, needed: dict[str, int]) -> None:
    whole: dict[str, list[object]] = {name: [value] for name, value in needed.items()}
    assert problem_of(frame(op=[int(op)], **whole)) is None
    for name in needed:
        part = {other: value for other, value in whole.items() if other != name}
        assert problem_of(frame(op=[int(op)], **part)) == (
            "row 0 lacks a value that its operation needs."
        )


def test_a_free_names_its_range_by_page_frame_or_by_slot() -> None:
    free: dict[str, list[object]] = {"op": [int(Op.FREE)], "domain": [0], "size": [1]}
    assert problem_of(frame(**free)) == "row 0 frees neither a page frame nor a slot."
    assert problem_of(frame(**free, pfn=[5])) is None
    assert problem_of(frame(**free, slot=[0])) is None
    del free["size"]
    assert problem_of(frame(**free, pfn=[5])) == "row 0 lacks a value that its operation needs."


def test_the_first_bad_row_is_named() -> None:
    rows = frame(op=[22, 22, 77, 77])
    assert problem_of(rows) == "row 2 has an unknown operation."


def test_a_slot_must_be_a_count_of_the_ranges() -> None:
    rows = frame(op=[3, 3], domain=[0, 0], size=[1, 1], limit=[9, 9], slot=[0, 2])
    assert problem_of(rows) is not None
    assert problem_of(rows.with_columns(slot=pl.Series([0, 1], dtype=pl.UInt32))) is None


def test_errors_name_the_source() -> None:
    with pytest.raises(InputError, match=r"made\.parquet: has no column 'op'"):
        normalised(pl.DataFrame({"t": [1], "cpu": [0]}), "made.parquet")
