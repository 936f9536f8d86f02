"""What ``info`` counts, on texts small enough to count by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from trace_text import DOMAIN_A, DOMAIN_B, TraceText, load_text

from iova.sources.info import CpuCount, SizeCount, TraceSummary, summarise


def summary(folder: Path, text: TraceText) -> TraceSummary:
    return summarise(load_text(folder, text).trace)


def unmap(text: TraceText, pfn: int, pages: int = 1) -> None:
    first, end = pfn << 12, (pfn + pages) << 12
    text.raw("unmap", f"IOMMU: iova={first:#018x} - {end:#018x} size={end - first}")


def test_calls_sizes_and_cpus(tmp_path: Path) -> None:
    text = TraceText().init(DOMAIN_A).init(DOMAIN_B)
    text.alloc(8, size=4, cpu=0).alloc(64, size=64, cpu=1).alloc(0, size=4, cpu=1)
    text.alloc(8, size=4, cpu=1, domain=DOMAIN_B)
    text.free(8, size=4, cpu=2).free(99, cpu=2)
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0", cpu=3)
    found = summary(tmp_path, text)
    assert (found.allocs, found.failed_allocs, found.unfinished_allocs) == (3, 1, 1)
    assert (found.frees, found.frees_on_other_cpu, found.frees_without_alloc) == (2, 1, 1)
    assert found.sizes == (SizeCount(4, 2, 0), SizeCount(64, 1, 0))
    assert found.cpus == (
        CpuCount(0, 1, 0),
        CpuCount(1, 3, 0),
        CpuCount(2, 0, 2),
        CpuCount(3, 1, 0),
    )
    assert (found.live_ranges, found.live_pages) == (2, 68)
    live = [(d.allocs, d.failed_allocs, d.live_ranges, d.live_pages) for d in found.domains]
    assert live == [(2, 1, 1, 64), (1, 0, 1, 4)]
    assert found.operations["alloc"] == 5
    assert (found.first_ns, found.last_ns) == (1_000_000_000, 1_000_014_000)


def test_an_allocation_that_reached_the_tree_is_no_hit(tmp_path: Path) -> None:
    text = TraceText().init().alloc(1)
    text.add("alloc_fast", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff flush=0")
    text.add("tree_alloc", f"iovad={DOMAIN_A:#x} size=1 limit=0xfffff align=1")
    text.add("tree_alloc_ret", "iova=0x1 lo=0x2 hi=0x2").add("alloc_fast_ret", "pfn=0x2")
    found = summary(tmp_path, text)
    assert (found.allocs, found.cache_hits) == (2, 1)
    assert found.sizes == (SizeCount(1, 2, 1),)


def test_ranges_that_were_unmapped_but_never_freed_are_told_apart(tmp_path: Path) -> None:
    text = TraceText().init().alloc(1).alloc(2).alloc(8, size=4).alloc(3)
    for pfn in (1, 2, 3):
        unmap(text, pfn)
    unmap(text, 8, 2)
    text.free(1)
    found = summary(tmp_path, text)
    assert (found.live_ranges, found.unmapped_never_freed) == (3, 2)


def test_an_unmap_counts_for_one_range_even_where_two_domains_use_its_frames(
    tmp_path: Path,
) -> None:
    text = TraceText().init(DOMAIN_A).init(DOMAIN_B)
    text.alloc(5, domain=DOMAIN_A).alloc(5, domain=DOMAIN_B)
    unmap(text, 5)
    found = summary(tmp_path, text)
    assert [d.unmapped_never_freed for d in found.domains] == [0, 1]
    assert found.unmapped_never_freed == 1


def test_a_range_that_is_used_again_after_its_unmap_is_no_loss(tmp_path: Path) -> None:
    text = TraceText().init()
    for _ in range(3):
        text.alloc(5)
        unmap(text, 5)
        text.free(5)
    text.alloc(5)
    found = summary(tmp_path, text)
    assert (found.live_ranges, found.unmapped_never_freed) == (1, 0)


def test_the_largest_numbers_do_no_harm(tmp_path: Path) -> None:
    top = (1 << 64) - 1
    text = TraceText().init().alloc(top, size=top).alloc(top - 1, size=top)
    found = summary(tmp_path, text)
    assert found.live_ranges == 2


def test_it_is_ready_for_json(tmp_path: Path) -> None:
    found = summary(tmp_path, TraceText().init().alloc(1))
    again = json.loads(json.dumps(asdict(found)))
    assert again["domains"][0]["info"]["start"] == 1
    assert again["info"]["cpus_possible"] == 1
