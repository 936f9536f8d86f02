"""Calls that are worked out of maps and unmaps."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from fake_tracefs import recording
from iova.events import Op, problem_of
from iova.sources import load
from iova.sources.record.maps import calls_of
from iova.sources.record.ring_file import Kind, parts_of

MS = 1_000_000
Event = tuple[int, int, int, int]
Row = tuple[object, ...]


def frame(*events: Event) -> pl.DataFrame:
    return pl.DataFrame(events, schema=["t", "cpu", "pfn", "last"], orient="row")


def calls(maps: list[Event], unmaps: list[Event], *, lazy: bool = False) -> list[Row]:
    none = frame((0, 0, 0, 0))[:0]
    events = calls_of(frame(*maps), frame(*unmaps) if unmaps else none, lazy=lazy)
    assert problem_of(events) is None
    return events.select("t", "cpu", "op", "domain", "pfn", "size", "slot").rows()


ALLOC, FREE = int(Op.ALLOC), int(Op.FREE)


def test_pieces_that_one_unmap_takes_are_one_range() -> None:
    found = calls([(1, 0, 8, 9), (2, 0, 10, 11)], [(5, 1, 8, 11)])
    assert found == [(1, 0, ALLOC, 0, 8, 4, 0), (5, 1, FREE, 0, 8, 4, 0)]


def test_what_is_never_unmapped_is_allocated() -> None:
    assert calls([(1, 3, 8, 9)], []) == [(1, 3, ALLOC, 0, 8, 2, 0)]


def test_ranges_that_overlap_are_of_different_domains() -> None:
    found = calls([(1, 0, 8, 8), (2, 0, 8, 9)], [(3, 0, 8, 9)])
    assert [(row[2], row[3], row[5]) for row in found] == [
        (ALLOC, 0, 1), (ALLOC, 1, 2), (FREE, 1, 2),
    ]  # fmt: skip


def test_an_unmap_of_what_was_mapped_before_is_a_free_without_slot() -> None:
    assert calls([(1, 0, 1, 1)], [(3, 0, 8, 9)])[-1] == (3, 0, FREE, 0, 8, 2, None)


def test_in_lazy_mode_frees_wait_for_the_timer() -> None:
    found = calls([(1, 0, 8, 8), (2, 0, 9, 9)], [(5, 0, 8, 8), (6 * MS, 1, 9, 9)], lazy=True)
    assert [row[0] for row in found if row[2] == FREE] == [5 + 10 * MS] * 2


def test_in_lazy_mode_a_full_queue_is_emptied_at_once() -> None:
    maps = [(n, 0, n, n) for n in range(1, 300)]
    unmaps = [(1000 + n, 0, n, n) for n in range(1, 300)]
    freed = [row[0] for row in calls(maps, unmaps, lazy=True) if row[2] == FREE]
    assert freed == [1255] * 255 + [1001 + 10 * MS] * 44  # the timer goes on


def test_in_lazy_mode_a_range_that_is_mapped_again_was_freed_before() -> None:
    found = calls([(1, 0, 8, 8), (7, 0, 8, 8)], [(5, 0, 8, 8)], lazy=True)
    assert found == [(1, 0, ALLOC, 0, 8, 1, 0), (7, 0, FREE, 0, 8, 1, 0), (7, 0, ALLOC, 0, 8, 1, 0)]


def test_a_recording_of_maps_becomes_a_trace(tmp_path: Path) -> None:
    """Here of a real one of which only unmaps are used, as if they were maps as well."""
    file = recording("6.12")
    made = [file[:8]]
    for part in parts_of(memoryview(file)):
        data = file[part.offset : part.offset + part.length]
        if part.kind == Kind.START:
            start = json.loads(data)
            unmap = start["formats"]["iommu/unmap"]
            formats = {"iommu/map": unmap, "iommu/unmap": unmap}
            data = json.dumps(start | {"level": "maps", "formats": formats}).encode()
        head = (part.kind, 4), (part.cpu, 4), (len(data), 8)
        made += [number.to_bytes(size, "little") for number, size in head] + [data]
    (tmp_path / "maps").write_bytes(b"".join(made))
    trace = load(tmp_path / "maps").trace
    operations = trace.events["op"].value_counts().rows()
    assert {op for op, _ in operations} == {ALLOC, FREE}
    assert len({count for _, count in operations}) == 1
    assert not any(domain.born for domain in trace.info.domains)
    assert any("flush queue" in note for note in trace.info.notes)
