"""The running kernel: looks that cut calls in two, domains that come and go, slab caches."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from commands import iova
from iova.sources import load
from iova.sources._scan import Scanner
from iova.sources.record.errors import RecordError
from iova.top import kernel
from iova.top.kernel import _Domains
from iova.top.look import Look, Slab
from iova.top.playback import Recorded
from iova.top.slabs import read_slabs, slabs_of

TRACES = Path(__file__).parent.parent / "data" / "traces"

SLABINFO = """slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
iommu_iova_magazine    250    256   1024   16    4 : tunables    0    0    0 : slabdata     16     16      0
iommu_iova_magazine    x    256   1024   16    4 : tunables    0    0    0 : slabdata     16     16      0
bio-128               84     84    192   21    1 : tunables    0    0    0 : slabdata      4      4      0
iommu_iova           102    102     40  102    1 : tunables    0    0    0 : slabdata      1      1      0
iommu_iova 3
"""  # noqa: E501


class NoDevices:
    """No domain is tied to a device."""

    def name(self, _address: int) -> str | None:
        return None


def scanned(lines: list[bytes]) -> Scanner:
    scanner = Scanner(1)
    scanner.feed(b"".join(lines))
    scanner.finish()
    return scanner


def summed(look: Look | _Domains, name: str) -> int:
    cells = look.cells if isinstance(look, Look) else look.tally.cells()
    return sum(getattr(cell, name) or 0 for cell in cells.values())


@pytest.mark.parametrize("every", [1009, 20_011])
def test_looks_that_cut_calls_in_two_count_each_of_them_once(every: int) -> None:
    path = TRACES / "small4-6.12.txt.zst"
    packed = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    lines = packed.splitlines(keepends=True)
    domains = _Domains(NoDevices(), None)  # type: ignore[arg-type]
    for start in range(0, len(lines), every):
        domains.add(scanned(lines[start : start + every]))
    whole = Recorded("whole", load(path).trace, 1e6)
    whole.look(0.0)
    expected = whole.look(1.0)
    assert expected is not None
    for name in ("allocs", "frees", "depot"):
        assert summed(domains, name) == summed(expected, name)
    assert abs(summed(domains, "in_cpus") - summed(expected, "in_cpus")) <= 2
    assert abs(summed(domains, "tree") - summed(expected, "tree")) <= len(lines) / every


def line(t: int, event: str, fields: str) -> bytes:
    return f"  dd-7  [000] ..... {t}.000000: {event}: (x) {fields}\n".encode()


def test_a_domain_that_ends_is_dropped_and_its_address_is_of_another_then() -> None:
    domains = _Domains(NoDevices(), None)  # type: ignore[arg-type]
    call = "iovad=0x10 size=1 limit=0xfffff flush=0"
    domains.add(scanned([line(1, "alloc_fast", call), line(2, "alloc_fast_ret", "pfn=0x5")]))
    assert [key.domain for key in domains.tally.cells()] == ["#0"]
    domains.add(scanned([line(3, "put_domain", "iovad=0x10")]))
    assert domains.tally.cells() == {}
    domains.add(scanned([line(4, "alloc_fast", call), line(5, "alloc_fast_ret", "pfn=0x5")]))
    ((key, cell),) = domains.tally.cells().items()
    assert (key.domain, cell.allocs) == ("#1", 1)


def test_slab_caches_are_told_by_name_with_their_memory() -> None:
    assert slabs_of(SLABINFO, 4096) == (
        Slab("iommu_iova_magazine", 250, 16 * 4 * 4096),
        Slab("iommu_iova", 102, 4096),
    )
    assert read_slabs(Path("/proc/no-such-file")) == ()


def test_a_kernel_that_can_not_be_probed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RecordError("run this as root.")

    monkeypatch.setattr(kernel, "find_tracefs", refuse)
    assert iova("top", "--count", "1", status=2) == "iova: run this as root.\n"
    assert "is live" in iova("top", "--speed", "3", status=2)
