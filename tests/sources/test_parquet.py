"""Parquet from elsewhere: what is accepted, and what is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from trace_text import TraceText, load_text

from iova.errors import InputError
from iova.events import Trace
from iova.sources import load
from iova.sources.parquet import METADATA_KEY, write_parquet


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return load_text(tmp_path, TraceText().init().alloc(5).free(5).alloc(6)).trace


def stored(folder: Path, frame: pl.DataFrame, info: Any = None) -> Path:
    path = folder / "made.parquet"
    text = info if isinstance(info, str) else json.dumps(info)
    frame.write_parquet(path, metadata={} if info is None else {METADATA_KEY: text})
    return path


def refused(folder: Path, frame: pl.DataFrame, info: Any = None) -> str:
    with pytest.raises(InputError) as error:
        load(stored(folder, frame, info))
    return error.value.problem


def test_a_file_without_metadata_is_a_trace_of_unknown_origin(tmp_path: Path, trace: Trace) -> None:
    loaded = load(stored(tmp_path, trace.events))
    assert loaded.trace.events.equals(trace.events)
    assert loaded.trace.info.kernel is None
    assert loaded.trace.info.notes


def test_columns_that_may_be_null_may_be_missing(tmp_path: Path, trace: Trace) -> None:
    frame = trace.events.drop("n", "depot", "last", "flags")
    found = load(stored(tmp_path, frame)).trace.events
    assert found.schema == trace.events.schema
    assert found["depot"].null_count() == found.height
    assert found["flags"].to_list() == [0] * found.height


def test_columns_of_other_whole_numbers_are_cast_and_others_left_out(
    tmp_path: Path, trace: Trace
) -> None:
    frame = trace.events.with_columns(
        pl.col("cpu").cast(pl.Int64), pl.col("depot").cast(pl.List(pl.Int32)), extra=pl.lit("x")
    )
    frame = frame.select(reversed(frame.columns))
    assert load(stored(tmp_path, frame)).trace.events.equals(trace.events)


def test_rows_are_sorted_by_time(tmp_path: Path, trace: Trace) -> None:
    found = load(stored(tmp_path, trace.events.reverse())).trace.events
    assert found["t"].is_sorted()


@pytest.mark.parametrize("name", ["t", "cpu", "op"])
def test_a_file_without_a_needed_column_is_no_trace(
    tmp_path: Path, trace: Trace, name: str
) -> None:
    assert f"no column '{name}'" in refused(tmp_path, trace.events.drop(name))
    as_text = trace.events.with_columns(pl.col(name).cast(pl.String))
    assert f"column '{name}' holds" in refused(tmp_path, as_text)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"t": pl.lit(None, pl.Int64)}, "null in t, cpu or op"),
        ({"op": pl.lit(99)}, "unknown operation"),
        ({"op": pl.lit(300)}, "out of the schema's range"),
        ({"size": pl.lit(-1)}, "out of the schema's range"),
        ({"size": pl.lit(1.5)}, "column 'size' holds Float64"),
        ({"size": pl.lit(0)}, "size of zero"),
        ({"domain": pl.lit(None, pl.UInt32)}, "lacks a value"),
        ({"t_end": pl.lit(1)}, "returns before it was called"),
        ({"last": pl.lit(0)}, "ends before it starts"),
        ({"cpu": pl.lit(8192)}, "CPU beyond 8191"),
        ({"slot": pl.lit(7)}, "no count of its ranges"),
        ({"domain": pl.lit(7)}, "no count of its ranges"),
        ({"depot": pl.lit([1, 2], pl.List(pl.UInt16))}, "out of the schema's range"),
        ({"depot": pl.lit("x")}, "column 'depot' holds String"),
    ],
)
def test_rows_that_break_the_schema_are_refused(
    tmp_path: Path, trace: Trace, change: dict[str, pl.Expr], problem: str
) -> None:
    assert problem in refused(tmp_path, trace.events.with_columns(**change))


def test_a_file_without_rows_is_refused(tmp_path: Path, trace: Trace) -> None:
    assert "no events" in refused(tmp_path, trace.events.clear())


INFO: dict[str, Any] = {"schema_version": 1}


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no JSON object"),
        ({}, "schema version None"),
        ({"schema_version": 2}, "schema version 2"),
        ({"schema_version": "1"}, "schema version '1'"),
        (INFO | {"kernel": 6}, "bad 'kernel'"),
        (INFO | {"lost_events": "5"}, "bad 'lost_events'"),
        (INFO | {"lost_events": True}, "bad 'lost_events'"),
        (INFO | {"lost_events": -5}, "fewer than no events"),
        (INFO | {"cpus_possible": 10**9}, "1000000000 CPUs"),
        (INFO | {"cpus_online": 0}, "0 CPUs"),
        (INFO | {"notes": "x"}, "bad 'notes'"),
        (INFO | {"domains": 5}, "no usable list of domains"),
        (INFO | {"domains": [5]}, "a domain that is no object"),
        (INFO | {"domains": [{}]}, "a domain without number"),
        (INFO | {"domains": [{"domain": 1.5}]}, "bad 'domain'"),
        (INFO | {"domains": [{"domain": 0, "granule": 3}]}, "bad granule or start"),
        (INFO | {"domains": [{"domain": 0, "start": -1}]}, "bad granule or start"),
        (INFO | {"domains": [{"domain": 70_000}]}, "bad granule or start"),
    ],
)
def test_metadata_that_makes_no_sense_is_refused(
    tmp_path: Path, trace: Trace, info: Any, problem: str
) -> None:
    assert problem in refused(tmp_path, trace.events, info)


def test_metadata_of_a_later_program_may_say_more(tmp_path: Path, trace: Trace) -> None:
    info = INFO | {"kernel": "6.12", "weather": "fine", "domains": [{"domain": 0, "colour": 1}]}
    found = load(stored(tmp_path, trace.events, info)).trace.info
    assert found.kernel == "6.12"
    assert found.domains[0].domain == 0


@pytest.mark.parametrize("keep", [4, 8, 100, -1, -9])
def test_a_file_cut_short_is_refused(tmp_path: Path, trace: Trace, keep: int) -> None:
    path = tmp_path / "cut.parquet"
    write_parquet(trace, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="no readable Parquet file"):
        load(path)


def test_more_rows_than_a_file_of_its_size_can_hold_are_refused(tmp_path: Path) -> None:
    rows = pl.DataFrame({"t": [1], "cpu": [0], "op": [19]}).select(
        pl.all().repeat_by(5_000_000).explode()
    )
    path = tmp_path / "rows.parquet"
    rows.write_parquet(path, compression="zstd", compression_level=19)
    with pytest.raises(InputError, match="claims 5000000 rows"):
        load(path)
