"""Text to Parquet and back: nothing changes, and nothing is left behind when it fails."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import polars as pl
import pytest
import zstandard
from trace_text import DATA, TRACES, TraceText, load_text

from iova.errors import InputError
from iova.sources import load, parquet
from iova.sources.convert import convert

SMALL = TraceText().init().alloc(5).free(5)


class Bytes(io.BytesIO):
    """Standard input, as far as it is needed."""

    @property
    def buffer(self) -> io.BytesIO:
        return self


@pytest.mark.parametrize("name", TRACES)
def test_parquet_holds_the_same_trace(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out.parquet"
    report = convert(DATA / f"{name}.txt.zst", out)
    text, packed = load(DATA / f"{name}.txt.zst"), load(out)
    assert report == text.report
    assert packed.trace.events.equals(text.trace.events)
    assert packed.trace.events.schema == text.trace.events.schema
    assert packed.trace.info == text.trace.info
    assert packed.report.rows == text.report.rows


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for out in ("a", "b"):
        convert(DATA / "small4-6.12.txt.zst", tmp_path / out)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    convert(tmp_path / "a", tmp_path / "c")
    convert(tmp_path / "a", tmp_path / "d")
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()
    assert load(tmp_path / "c").trace.events.equals(load(tmp_path / "a").trace.events)


def test_no_address_of_the_kernel_is_in_the_file(tmp_path: Path) -> None:
    convert(DATA / "small4-6.12.txt.zst", tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out")
    assert max(frame.select(pl.selectors.integer().max()).row(0)) < 1 << 48
    text = pl.read_parquet_metadata(tmp_path / "out")[parquet.METADATA_KEY]
    assert "ff2eb1d4" not in text


@pytest.mark.parametrize("packed", ["text", "zstd", "parquet"])
def test_standard_input_is_told_apart_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    expected = load_text(tmp_path, SMALL).trace.events
    content = SMALL.text()
    if packed == "zstd":
        content = zstandard.compress(content)
    elif packed == "parquet":
        convert(tmp_path / "trace.txt", tmp_path / "p")
        content = (tmp_path / "p").read_bytes()
    monkeypatch.setattr(sys, "stdin", Bytes(content))
    assert load("-").trace.events.equals(expected)
    monkeypatch.setattr(sys, "stdin", Bytes(content))
    convert("-", tmp_path / "out")
    assert load(tmp_path / "out").trace.events.equals(expected)


def test_the_good_rest_is_written_when_lines_are_malformed(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(SMALL.text() + b"what?\n")
    report = convert(tmp_path / "in.txt", tmp_path / "out")
    assert report.malformed_count == 1
    assert not report.is_whole
    packed = load(tmp_path / "out")
    assert packed.trace.events.equals(load_text(tmp_path, SMALL).trace.events)
    assert packed.report.malformed_count == packed.trace.info.malformed_lines == 1


@pytest.mark.parametrize("content", [b"", b"hello\n", b"CPU:1 [LOST 5 EVENTS]\n" + SMALL.text()])
def test_a_failure_leaves_no_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.txt").write_bytes(content)
    with pytest.raises(InputError):
        convert(tmp_path / "in.txt", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_an_interrupt_leaves_no_file_and_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_bytes(SMALL.text())
    (tmp_path / "out").write_bytes(b"old")

    def interrupted(path: Path, _content: object) -> int:
        with path.open("wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "in.txt", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out"]
    assert (tmp_path / "out").read_bytes() == b"old"


def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(SMALL.text())
    with pytest.raises(InputError, match="cannot be written"):
        convert(tmp_path / "in.txt", tmp_path / "missing" / "out")
    with pytest.raises(InputError, match="is the input as well"):
        convert(tmp_path / "in.txt", tmp_path / "in.txt")


def test_a_loss_that_was_allowed_is_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"CPU:1 [LOST 5 EVENTS]\n" + SMALL.text())
    report = convert(tmp_path / "in.txt", tmp_path / "out", allow_lost=True)
    assert report.lost == 5
    with pytest.raises(InputError, match="--allow-lost"):
        load(tmp_path / "out")
    info = load(tmp_path / "out", allow_lost=True).trace.info
    assert (info.lost_events, info.allowed_loss) == (5, True)


def test_progress_ends_at_the_size_of_the_input(tmp_path: Path) -> None:
    source = DATA / "small4-6.12.txt.zst"
    told: list[tuple[int, int | None]] = []
    convert(source, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (source.stat().st_size, source.stat().st_size)
