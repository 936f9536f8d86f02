"""What the recorder works out of a kernel: offsets from its types, exits from its text."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iova.sources.record.btf import BtfError, types_of
from iova.sources.record.kernel_text import (
    KernelMemory,
    entry_offset,
    exit_candidates,
    read_symbols,
)
from iova.sources.record.machine import boot_births, count_cpus, groups
from iova.sources.record.probes import boot_words, layout_of, probes_of


class Btf:
    """Types, put together."""

    def __init__(self) -> None:
        self.strings = bytearray(b"\0")
        self.types = b""

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind: int, name: str, size: int, *parts: tuple[str, int, int]) -> None:
        """Structures (4) and unions (5) have parts: name, type, offset in bytes."""
        head = struct.pack("<III", self.name(name), kind << 24 | len(parts), size)
        members = (struct.pack("<III", self.name(n), t, 8 * at) for n, t, at in parts)
        self.types += head + b"".join(members)
        if kind == 1:
            self.types += b"\0\0\0\0"

    def file(self) -> bytes:
        sizes = (24, 0, len(self.types), len(self.types), len(self.strings))
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, *sizes) + self.types + bytes(self.strings)


def kernel_types() -> Btf:
    made = Btf()
    made.add(1, "int", 4)  # 1
    made.add(4, "iova_domain", 200, ("granule", 1, 40), ("start_pfn", 1, 48), ("rcaches", 1, 104))
    made.add(4, "", 64, ("iovad", 2, 0), ("fq", 1, 56))  # 3
    made.add(5, "", 64, ("", 3, 0), ("msi_iova", 1, 0))  # 4
    made.add(8, "u_t", 4)  # 5: a typedef of 4
    made.add(4, "iommu_dma_cookie", 80, ("type", 1, 0), ("", 5, 8))  # 6
    made.add(4, "iova_rcache", 120, ("lock", 1, 0), ("depot_size", 1, 4), ("iovad", 1, 24),
             ("work", 1, 32))  # fmt: skip
    made.add(4, "iova", 40, ("pfn_hi", 1, 24), ("pfn_lo", 1, 32))
    made.add(5, "", 8, ("size", 1, 0), ("next", 1, 0))  # 9
    made.add(4, "iova_magazine", 1024, ("", 9, 0), ("pfns", 1, 8))
    return made


def test_offsets_are_found_through_unnamed_parts_and_other_names() -> None:
    types = types_of(kernel_types().file())
    assert types.offset("iommu_dma_cookie", "iovad") == 8
    assert types.offset("iommu_dma_cookie", "iovad.granule") == 48
    assert types.offset("iova_magazine", "size") == 0
    assert types.size("iova_rcache") == 120
    assert types.offset("iova_rcache", "none") is types.offset("none", "size") is None


def test_probes_fetch_what_the_types_say() -> None:
    layout = layout_of(types_of(kernel_types().file()))
    probes = {probe.name: probe for probe in probes_of(layout)}
    assert "d1=+124(+104($1)):u16" in probes["alloc_fast"].fetch
    assert probes["depot_work"].fetch == ("work=$1:x64", "iovad=-8($1):x64", "depot=-28($1):u32")
    assert probes["tree_remove"].fetch[1:] == ("lo=+32($2):x64", "hi=+24($2):x64")
    assert layout.unknown == ()


def test_without_a_worker_there_is_no_probe_of_reclaim() -> None:
    made = Btf()
    made.add(1, "int", 4)
    made.add(4, "iova_rcache", 280, ("depot_size", 1, 8))
    layout = layout_of(types_of(made.file()))
    assert "depot_work" not in [probe.name for probe in probes_of(layout)]
    assert len(layout.unknown) == 2  # rcaches and ranges


def test_boot_words_name_births_alone_with_types() -> None:
    words = boot_words()
    assert words.startswith('trace_clock=mono kprobe_event="p:b_init,init_iova_domain,iovad=$arg1')
    assert words.count("p:") == 2
    assert " " not in words.partition('"')[2]


@given(file=st.binary(max_size=200))
def test_any_bytes_as_types_are_read_or_refused(file: bytes) -> None:
    with pytest.raises(BtfError):
        types_of(b"\x9f\xeb" + file[:100])


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_types_are_read_or_refused(at: int, byte: int) -> None:
    file = bytearray(kernel_types().file())
    file[at % len(file)] = byte
    with contextlib.suppress(BtfError):
        layout_of(types_of(bytes(file)))


# ------------------------------------------------------------------------------- the text


@pytest.mark.parametrize(
    ("text", "offset"),
    [("0f1f44000055", 5), ("e80000000055", 5), ("f30f1efa0f1f440000", 9), ("554889e5", None)],
)
def test_the_hook_is_found(text: str, offset: int | None) -> None:
    assert entry_offset(bytes.fromhex(text)) == offset


def test_exits_are_returns_and_jumps_out_of_all_parts() -> None:
    inside = b"\xe9" + struct.pack("<i", 3)
    outside = b"\xe9" + struct.pack("<i", 0x1000)
    to_cold = b"\xe9" + struct.pack("<i", 0x9000 - 0x1010)
    short = b"\xeb\x02"
    text = b"\x55" + inside + outside + to_cold + short + b"\xc3" + b"\x90\x90\x90"
    own = [(0x1000, 0x1000 + len(text)), (0x9000, 0x9010)]
    assert exit_candidates(text, 0x1000, own) == [6, 18]


def test_symbols_end_where_the_next_begins_and_modules_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "kallsyms"
    file.write_text(
        "ffffffff81000000 t alloc_iova\nffffffff81000100 T other\nffffffff82000000 t alloc_iova."
        "cold\nffffffff82000010 t more\nffffffff81000080 d data\nffffffffc0000000 t put\t[x]\n"
    )
    found = read_symbols({"alloc_iova", "put"}, file).ranges
    assert found == {
        "alloc_iova": (0xFFFFFFFF81000000, 0xFFFFFFFF81000100),
        "alloc_iova.cold": (0xFFFFFFFF82000000, 0xFFFFFFFF82000010),
    }


def test_hidden_symbols_are_none(tmp_path: Path) -> None:
    file = tmp_path / "kallsyms"
    file.write_text("0000000000000000 t alloc_iova\n0000000000000000 T other\n")
    assert read_symbols({"alloc_iova"}, file).ranges == {}


def test_memory_is_read_by_its_segments(tmp_path: Path) -> None:
    head = b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14)
    head += struct.pack("<HH", 56, 1) + bytes(6)
    table = struct.pack("<IIQQQQQQ", 1, 0, 120, 0x1000, 0, 4, 4, 0)
    (tmp_path / "core").write_bytes(head + table + b"abcd")
    memory = KernelMemory(tmp_path / "core")
    assert memory.read(0x1001, 0x1003) == b"bc"
    assert memory.read(0x1001, 0x1009) is memory.read(0x2000, 0x2001) is None
    memory.close()
    (tmp_path / "core").write_bytes(b"no")
    with pytest.raises(OSError, match="no 64-bit ELF"):
        KernelMemory(tmp_path / "core")


# ---------------------------------------------------------------------------- the machine


@pytest.mark.parametrize(("listed", "count"), [("0-3", 4), ("0,2-3", 3), ("", None), ("x", None)])
def test_cpus_are_counted(listed: str, count: int | None) -> None:
    assert count_cpus(listed) == count


def test_groups_tell_devices_with_drivers(tmp_path: Path) -> None:
    devices = tmp_path / "kernel/iommu_groups/0/devices"
    (devices / "0000:00:01.0" / "driver").mkdir(parents=True)
    (devices / "0000:00:02.0").mkdir()
    (devices.parent / "type").write_text("DMA-FQ\n")
    (group,) = groups(tmp_path)
    assert (group["type"], group["driven"]) == ("DMA-FQ", ["0000:00:01.0"])
    assert group["devices"] == ["0000:00:01.0", "0000:00:02.0"]


def test_births_are_picked_from_the_kernels_trace(tmp_path: Path) -> None:
    birth = b" swapper-1 [000] ..... 3.1: b_init: (init_iova_domain+0x0) iovad=0x1\n"
    (tmp_path / "trace").write_bytes(b"# tracer\n" + birth + b" x-1 [000] 3.2: other: 1\n")
    assert boot_births(tmp_path / "trace") == birth
    assert boot_births(tmp_path / "none") == b""
