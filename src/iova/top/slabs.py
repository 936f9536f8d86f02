"""Slab caches of the running kernel that hold the allocator's ranges and magazines."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

from iova.top.look import Slab

_SLABINFO: Final = Path("/proc/slabinfo")
_WANTED: Final = ("iommu_iova", "iommu_iova_magazine")


def read_slabs(path: Path = _SLABINFO) -> tuple[Slab, ...]:
    """The allocator's slab caches; none where they can not be read.

    A kernel that merges caches of like objects has ``iommu_iova`` under another name.
    """
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ()
    return slabs_of(text, resource.getpagesize())


def slabs_of(text: str, page_bytes: int) -> tuple[Slab, ...]:
    """What the text of ``slabinfo`` (version 2) says of them."""
    found = []
    for line in text.splitlines():
        before, _, slabdata = line.partition(" : slabdata ")
        words, slabs = before.split(), slabdata.split()
        if len(words) < 6 or words[0] not in _WANTED or len(slabs) < 2:
            continue
        numbers = (words[1], words[5], slabs[1])
        if all(number.isdecimal() for number in numbers):
            objects, pages, count = map(int, numbers)
            found.append(Slab(words[0], objects, pages * count * page_bytes))
    return tuple(found)
