"""The importer's scanner: text of ftrace or perf in, in pieces of any size, rows of events out.

Addresses of kernel objects appear in :meth:`Scanner.domains`, :meth:`Scanner.domain_addresses`
and in excerpts alone, never in rows.
"""

from collections.abc import Sequence
from typing import Any

from typing_extensions import disjoint_base

@disjoint_base
class Scanner:
    """Scans one trace. Feed it the text, finish it, ask; take the rows last.

    ``seed`` guards the hash tables against made-up collisions; nothing depends on it. ``perf``:
    the text is of ``perf script``, not of tracefs or ``trace-cmd report``.
    """

    def __new__(cls, seed: int, perf: bool = False) -> Scanner: ...
    def feed(self, text: bytes | bytearray | memoryview) -> None:
        """Take the next piece of the text; releases the GIL. Raises MemoryError."""
    def feed_pages(
        self,
        file: bytes | bytearray | memoryview,
        formats: Sequence[tuple[int, str, Sequence[tuple[str, int, int]]]],
        pages: Any,
    ) -> None:
        """Take ring buffer pages that lie in ``file``; releases the GIL. Raises MemoryError.

        ``formats``: for each event its number, its name, and its fields: name, offset and size in
        bytes. ``pages``: an array (pages, 3) of uint64, C-contiguous: CPU, offset and length in
        bytes; sorted by CPU, each CPU's in the order in which they were read.

        Raises:
            ValueError: an event lacks a field that its rows need.
        """
    def finish(self) -> None:
        """Take the end of the text. Raises MemoryError."""
    def counts(self) -> dict[str, int]:
        """Lines by what they were, and rows: see ``scan_counts`` in ``scan.h``."""
    def pairing(self) -> dict[str, int]:
        """What could not be paired: see ``calls_counts`` in ``calls.h``."""
    def events(self, *, used: bool) -> dict[str, int]:
        """Lines by event name: those that make rows, or those known but not used."""
    def unknown(self) -> dict[str, int]:
        """Lines of unknown events by name; at most 64 names are kept."""
    def problems(self) -> list[tuple[int, int, str, int, bytes]]:
        """Malformed lines: line, column (0: none), problem, column of the excerpt, excerpt.

        At most 20 are kept. An excerpt of column 0 is no quotation.
        """
    def mixed_granules(self) -> bool:
        """Whether domains of the trace differ in their granule."""
    def domains(self) -> list[tuple[int, int, bool, bool, tuple[tuple[int, int], ...]]]:
        """For each domain: start, granule, born, destroyed, and works with their size class.

        A work is (address, order); a negative order is unknown (-1) or contradicted (-2).
        """
    def domain_addresses(self) -> list[int]:
        """For each domain, its address in the kernel: to tie it to a device, not for rows."""
    def reclaim_runs(self) -> list[tuple[int, int]]:
        """For each reclaim row: domain, and index among the domain's works."""
    def set_reclaim_sizes(self, sizes: Sequence[int | None]) -> None:
        """Set the pages of the size class of each of :meth:`reclaim_runs`, where known.

        Raises:
            ValueError: there are more or fewer sizes than runs.
        """
    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Move the rows out as an Arrow stream; afterwards there are none."""
