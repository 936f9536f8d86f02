"""The binding: libiova as the lab needs it, with CPU and time given by the caller.

Nothing here is thread-safe; a caller that shares an object between threads locks around it.
Sizes and limits are in page frames of the domain's granule, times in nanoseconds.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

class Memory:
    """Counts what the core has allocated through it, and can be told to fail.

    ``fail_magazines`` and ``fail_ranges`` make the next so many magazine allocations or range
    records fail. ``fail_at = n`` makes the n-th allocation of any kind from now fail, once;
    0 switches that off.
    """

    fail_magazines: int
    fail_ranges: int
    fail_at: int
    def __init__(self) -> None: ...
    @property
    def magazines(self) -> int:
        """Magazines that are allocated now."""
    @property
    def ranges(self) -> int:
        """Range records that are allocated now, the anchors not counted."""
    @property
    def blocks(self) -> int:
        """Blocks of any kind that are allocated now."""

class RawDomain:
    """One IOVA domain of the core, single-threaded, CPU and time forced.

    Raises:
        ValueError: the granule is no power of two or above 4096, or a number is out of range.
        MemoryError: memory for the domain could not be had.
    """

    def __init__(
        self,
        *,
        granule: int = 4096,
        start: int = 1,
        possible: int = 1,
        online: int | None = None,
        design: object = "linux-7.3",
        params: Mapping[str, int] | None = None,
        classes: int = 6,
        memory: Memory | None = None,
    ) -> None: ...
    def make_caches(self) -> None:
        """Make the range caches. MemoryError leaves none behind."""
    def reserve(self, lo: int, hi: int) -> tuple[int, int] | None: ...
    def alloc(self, cpu: int, size: int, limit: int, flush: bool, now: int) -> int:
        """Fast allocation: first page frame, or 0 = failed."""
    def alloc_raw(self, size: int, limit: int, align: bool) -> int:
        """Raw allocation: first page frame, or -1 = failed."""
    def free(self, cpu: int, pfn: int, size: int, now: int) -> None:
        """Fast free; pfn and size are believed."""
    def free_raw(self, pfn: int) -> None: ...
    def find(self, pfn: int) -> tuple[int, int] | None: ...
    def flush_caches(self) -> None: ...
    def cpu_offline(self, cpu: int) -> int:
        """Take a CPU out of the online set, empty its caches; CPUs online afterwards."""
    def cpu_online(self, cpu: int) -> int: ...
    def next_deadline(self) -> int | None: ...
    def run_due(self, now: int) -> int:
        """Run the jobs due at or before ``now``; how many ran."""
    def due(self, size_class: int) -> int | None: ...
    def destroy(self) -> None: ...
    @property
    def d32(self) -> int:
        """First page frame at or above 4 GiB."""
    @property
    def online(self) -> int: ...
    @property
    def possible(self) -> int: ...
    @property
    def warnings(self) -> int:
        """Warnings raised by this domain."""
    @property
    def reclaim_runs(self) -> int: ...
    @property
    def has_caches(self) -> bool: ...
    @property
    def classes(self) -> int: ...
    @property
    def search_starts(self) -> tuple[int, int, int]:
        """(lo of ``near``, lo of ``near32``, give-up size); the anchor's lo is -1."""
    def ranges(self) -> npt.NDArray[np.uint64]:
        """(n, 2): lo and hi of each range, rising, without the anchor."""
    def magazine(self, cpu: int, size_class: int, previous: bool) -> npt.NDArray[np.uint64] | None:
        """Entries bottom to top, or None where there is no magazine."""
    def depot(self, size_class: int) -> list[npt.NDArray[np.uint64]]:
        """The depot's magazines, most recently pushed first."""

def fnv1a64(words: npt.NDArray[np.uint64], state: int = ...) -> int:
    """FNV-1a, 64 bits, over little-endian 64-bit words; ``state`` continues an earlier call."""
