"""What an import found, line by line: counts, what was left out, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: Told ``(done, total)`` in bytes of the input; ``total`` is None where it is not known.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Malformed:
    """A line that could not be used."""

    line: int  #: 1-based
    column: int | None  #: 1-based byte, where the problem is at one place
    problem: str  #: what is wrong with it, in words
    excerpt: str  #: part of the line, with what is not printable as escapes


@dataclass(frozen=True)
class Pairing:
    """Calls that are cut off or tied to nothing. None of this makes a trace unusable."""

    open_entries: int = 0  #: calls whose return is not in the trace
    returns_without_entry: int = 0  #: whose call began before the trace
    frees_without_alloc: int = 0  #: of ranges whose allocation is not in the trace
    allocs_of_live: int = 0  #: allocations that returned a live range: its free is missing
    tree_calls_outside: int = 0  #: ``tree_alloc`` outside of any ``alloc_fast``
    flush_steps: int = 0  #: ``free_cpu_cached`` inside an allocation: no CPU went offline
    unnumbered_runs: int = 0  #: runs of depot workers beyond six a domain


@dataclass(frozen=True)
class ImportReport:
    """What became of each line of a text; for Parquet only ``rows`` and the losses count."""

    source: str  #: the file's name
    rows: int  #: events of the trace that was made
    lines: int = 0  #: of the text
    headers: int = 0  #: comments, blank lines, what the recorder says of its buffers
    events: dict[str, int] = field(default_factory=dict)  #: by the event's name in the trace
    ignored: dict[str, int] = field(default_factory=dict)  #: known events that make no rows
    unknown: dict[str, int] = field(default_factory=dict)  #: a bounded number of names
    unknown_count: int = 0  #: lines of unknown events, of all names
    malformed: tuple[Malformed, ...] = ()  #: the first few, by line
    malformed_count: int = 0  #: all of them
    incomplete: tuple[str, ...] = ()  #: what shows that a part of the input is missing, in words
    lost: int = 0  #: events that were lost while recording
    out_of_order: int = 0  #: lines that went back in time and were put in order
    pairing: Pairing = field(default_factory=Pairing)  #: of entries and returns
    notes: tuple[str, ...] = ()  #: what could not be known, in words

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing, and nothing was left out as malformed."""
        return self.malformed_count == 0 and not self.incomplete
