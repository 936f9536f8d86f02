"""The ``.json`` beside a trace, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trace_text import DATA, TraceText, load_text

from iova.errors import InputError
from iova.sources.sidecar import MAX_BYTES, Sidecar, path_beside, read_beside

TRACE = TraceText().init().alloc(5)


def beside(folder: Path, content: Any) -> Sidecar:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "trace.json").write_text(text)
    return read_beside(str(folder / "trace.txt"))


@pytest.mark.parametrize("name", ["trace.txt", "trace.txt.zst", "trace", "trace.zst", "trace.log"])
def test_it_is_found_by_the_name_of_the_trace(tmp_path: Path, name: str) -> None:
    (tmp_path / "trace.json").write_text("{}")
    assert path_beside(str(tmp_path / name)) == tmp_path / "trace.json"


def test_a_version_in_the_name_is_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "small-6.json").write_text("{}")
    assert path_beside(str(tmp_path / "small-6.12.txt")) is None


def test_the_real_one() -> None:
    found = read_beside(str(DATA / "small4-6.12.txt.zst"))
    assert (found.kernel, found.clock, found.cpus, found.lost, found.mode, found.stride) == (
        "6.12.117+deb12-amd64", "mono", 4, 0, "lazy", 120,
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "[" * 100_000, '"text"', "NaN", "\x00", "1" * 10_000],
)
def test_what_is_no_json_object_is_noted_and_not_used(tmp_path: Path, content: str) -> None:
    found = beside(tmp_path, content)
    assert len(found.notes) == 1
    assert Sidecar(notes=found.notes) == found


def test_values_of_the_wrong_kind_count_as_missing(tmp_path: Path) -> None:
    wrong = {
        "kernel": ["6.1"], "ncpus": "4", "cmdline": 5, "trace_clock": {}, "per_cpu_stats": "x",
        "iommu_groups": [1, None], "dynamic_events": {"a": 1},
    }  # fmt: skip
    assert beside(tmp_path, wrong) == Sidecar()
    for cpus in (True, 0, -1, 8193, 1e300, 4.0):
        assert beside(tmp_path, {"ncpus": cpus}).cpus is None


def test_text_is_bounded_and_printable(tmp_path: Path) -> None:
    found = beside(tmp_path, {"kernel": "\x1b[31m6.1\n more", "cmdline": "x" * 100_000})
    assert found.kernel == "[31m6.1"
    assert len(found.cmdline or "") == 4096


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    found = beside(tmp_path, '{"kernel": "6.1", "x": "' + "y" * MAX_BYTES + '"}')
    assert found.kernel is None
    assert "larger than" in found.notes[0]


def test_losses_of_the_ring_buffers_are_losses_of_the_trace(tmp_path: Path) -> None:
    stats = ["cpu0 entries: 5 overrun: 3 commit overrun: 1 bytes: 7 dropped events: 2 read"]
    beside(tmp_path, {"per_cpu_stats": stats})
    with pytest.raises(InputError, match="at least 6 events were lost"):
        load_text(tmp_path, TRACE)
    assert load_text(tmp_path, TRACE, allow_lost=True).trace.info.lost_events == 6


@pytest.mark.parametrize(
    ("types", "cmdline", "mode"),
    [
        (["DMA-FQ", "DMA-FQ"], "iommu.strict=0", "lazy"),
        (["DMA", "DMA"], "a iommu.strict=1 b", "strict"),
        (["DMA"], "", "strict"),
        (["DMA", "DMA-FQ"], "iommu.strict=0", None),
        (["DMA-FQ"], "iommu.strict=1", None),
        (["identity"], "", None),
        ([], "iommu.strict=1", None),
    ],
)
def test_the_mode_is_known_only_if_all_agree(
    tmp_path: Path, types: list[str], cmdline: str, mode: str | None
) -> None:
    groups = [f"{i} {kind} 0000:00:0{i}.0 resv: 0x0 0x1 msi;" for i, kind in enumerate(types)]
    assert beside(tmp_path, {"iommu_groups": groups, "cmdline": cmdline}).mode == mode


def test_a_domain_that_was_replaced_leaves_the_mode_open(tmp_path: Path) -> None:
    beside(tmp_path, {"iommu_groups": ["0 DMA 0000:00:00.0"]})
    assert load_text(tmp_path, TRACE).trace.info.domains[0].mode == "strict"
    replaced = TraceText().init().add("put_domain", "iovad=0xff1cfbdac1d8c408").init()
    modes = [domain.mode for domain in load_text(tmp_path, replaced).trace.info.domains]
    assert modes == [None, None]
