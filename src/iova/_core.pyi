"""The binding: libiova as the lab needs it, with CPU and time given by the caller.

Nothing but live domains is thread-safe; who shares another object between threads locks around it.
Replays and machines say so (RuntimeError) when two threads use one at the same time.
Sizes and limits are in page frames of the domain's granule, times in nanoseconds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypedDict, type_check_only

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

MAX_CLASSES: Final[int]
BEYOND_CLASSES: Final[int]
MAGAZINE_CAPACITY: Final[int]
OPTIONS: Final[tuple[str, ...]]
AUTO: Final[int]
VERSION: Final[str]
SAMPLE_FIELDS: Final[tuple[str, ...]]
EVENT_COLUMNS: Final[dict[str, type[np.generic]]]

@disjoint_base
class Memory:
    """Counts what the core has allocated through it, and can be told to fail.

    ``fail_magazines`` and ``fail_ranges`` make the next so many magazine allocations or range
    records fail. ``fail_at = n`` makes the n-th allocation of any kind from now fail, once;
    0 switches that off.
    """

    fail_magazines: int
    fail_ranges: int
    fail_at: int
    @property
    def magazines(self) -> int:
        """Magazines that are allocated now."""
    @property
    def ranges(self) -> int:
        """Range records that are allocated now, the anchors not counted."""
    @property
    def blocks(self) -> int:
        """Blocks of any kind that are allocated now."""

@type_check_only
class CpuView(TypedDict):
    """What one CPU's cache of one class holds (entries) and has done (since creation)."""

    loaded: int
    previous: int
    has_loaded: bool
    has_previous: bool
    hits_loaded: int
    hits_previous: int
    hits_depot: int
    puts: int

@type_check_only
class Mechanism(TypedDict):
    """``struct iova_mechanism``; depot_max None: no bound."""

    depot_max: int | None
    arm_delay_ns: int
    magazines_at_first_use: bool
    arm_by_growth: bool
    bail: bool
    unbound: bool
    indexed: bool
    magazine: int
    classes: int
    tree_batch: int
    empties_max: int

@disjoint_base
class View:
    """What a policy is shown; see ``iova.designs.View``."""

    @property
    def now_ns(self) -> int: ...
    @property
    def size_class(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def cpus_online(self) -> int: ...
    @property
    def cpus_possible(self) -> int: ...
    @property
    def depot(self) -> int: ...
    @property
    def depot_low(self) -> int: ...
    @property
    def pushed(self) -> int: ...
    @property
    def popped(self) -> int: ...
    @property
    def tree_allocated(self) -> int: ...
    @property
    def tree_freed(self) -> int: ...
    @property
    def depot_cached(self) -> int: ...
    @property
    def magazine(self) -> int: ...
    def cpu(self, cpu: int) -> CpuView: ...

class DecisionError(ValueError):
    """What ``look()`` returned makes no sense; the text says what and why."""

    def __init__(self, returned: str, problem: str) -> None: ...

@disjoint_base
class Design:
    """A design for one domain: a built-in one by name, or an object with ``look(view)``.

    Raises:
        ValueError: no such design or parameter, or a value out of range.
        TypeError: the object is no policy.
    """

    error: BaseException | None
    label: str  #: as its user named it, with parameters; by default its name
    def __init__(
        self,
        design: object,
        params: Mapping[str, int] | None = None,
        *,
        tree: str | None = None,
        magazine: int | None = None,
        classes: int | None = None,
        hold: int | None = None,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    def mechanism(self, cpus_possible: int, classes: int = 6) -> Mechanism:
        """What the design makes of a domain of so many CPUs and size classes."""
    def raise_error(self) -> None:
        """Raise what a Python policy raised, once."""

def builtin_designs() -> list[dict[str, Any]]:
    """Name, summary and parameters of each design of the core."""

@disjoint_base
class RawDomain:
    """One IOVA domain of the core, single-threaded, CPU and time forced.

    Raises:
        ValueError: the granule is no power of two or above 4096, or a number is out of range.
        MemoryError: memory for the domain could not be had.
    """

    def __new__(
        cls,
        *,
        granule: int = 4096,
        start: int = 1,
        possible: int = 1,
        online: int | None = None,
        design: object = "linux-7.3",
        params: Mapping[str, int] | None = None,
        classes: int = 6,
        memory: Memory | None = None,
    ) -> RawDomain: ...
    @property
    def memory(self) -> Memory: ...
    @property
    def design(self) -> Design: ...
    def make_caches(self) -> None:
        """Make the range caches. MemoryError leaves none behind."""
    def reserve(self, lo: int, hi: int) -> tuple[int, int] | None: ...
    def alloc(self, cpu: int, size: int, limit: int, flush: bool, now: int = 0) -> int:
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
    def run_class(self, size_class: int, now: int) -> None:
        """Run one class' job, armed or not."""
    def reclaim_take(self, size_class: int) -> int:
        """Pop the newest magazine of the depot into the hand: a token, -1 = depot empty."""
    def reclaim_drain(self, token: int) -> None:
        """Empty a magazine in the hand into the tree and free it."""
    def cpu_drain(self, cpu: int, size_class: int, previous: bool) -> None:
        """Empty one of a CPU's magazines into the tree."""
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
    @property
    def walked(self) -> int:
        """Tree nodes Linux would have walked so far."""
    @property
    def tree_bytes(self) -> int:
        """Memory of the tree's nodes."""
    def counters(self, size_class: int) -> dict[str, int]:
        """``struct iova_counters``; ``BEYOND_CLASSES`` for sizes beyond the caches."""
    def cpu(self, cpu: int, size_class: int) -> CpuView: ...
    def check(self) -> str | None:
        """Walk everything; None, or the first thing that is not as it must be."""

def fnv1a64(words: npt.NDArray[np.uint64], state: int = 0xCBF29CE484222325) -> int:
    """FNV-1a, 64 bits, over little-endian 64-bit words; ``state`` continues an earlier call."""

class ReplayError(ValueError):
    """A row that can not be replayed; ``row`` counts from the first row ever fed."""

    row: int
    problem: str
    def __init__(self, row: int, problem: str) -> None: ...

@disjoint_base
class Timeline:
    """Calls executed on virtual time: what a replay and a simulated machine have in common.

    While one runs in a thread, every call in another raises a RuntimeError; so do calls of its
    own policies.
    """

    @property
    def possible(self) -> int:
        """CPUs possible."""
    @property
    def map_bins(self) -> int: ...
    @property
    def cpu_rows(self) -> int:
        """Rows of the tables of CPUs: CPU c is in row ``c * cpu_rows // possible``."""
    def counters(self, size_class: int) -> dict[str, int]:
        """``struct iova_counters``, summed over domains."""
    def cpu_pages(self) -> npt.NDArray[np.uint32] | None:
        """(tables, cpu_rows): pages in the magazines of each row's CPUs."""
    def maps(self) -> npt.NDArray[np.uint32] | None:
        """(tables, 2, bins): allocated and cached pages."""

@disjoint_base
class Replay(Timeline):
    """A replay of event columns; see ``core/replay.h``.

    Args:
        designs: one a domain; all built-in ones share the first one's parameters.
        domains: (granule in bytes, lowest page frame) of each domain.
        possible: CPUs possible.
        online: CPUs online at first; all, by default.
        classes: size classes of the caches.
        recorded_reclaim: reclaim rows run the jobs, deadlines do not.
        count_steps: count the nodes Linux would have walked.
        sample_ns: virtual time between samples; 0: none.
        max_samples: an error if more would be taken.
        table_every: CPUs' pages and maps go with every so many-th sample.
        sample_cpus: with samples, the pages in each CPU's magazines.
        cpu_rows: most rows of these; CPUs beyond are grouped with their neighbours. 0: any.
        map_bins: with samples, an occupancy map of page frames map_first..map_last.
        map_first: see map_bins.
        map_last: see map_bins.
    """

    def __new__(
        cls,
        designs: Sequence[Design],
        domains: Sequence[tuple[int, int]],
        *,
        possible: int,
        online: int | None = None,
        classes: int = 6,
        recorded_reclaim: bool = False,
        count_steps: bool = True,
        sample_ns: int = 0,
        max_samples: int = 100_000,
        table_every: int = 1,
        sample_cpus: bool = False,
        cpu_rows: int = 0,
        map_bins: int = 0,
        map_first: int = 0,
        map_last: int = 0,
    ) -> Replay: ...
    def feed(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        result: npt.NDArray[np.uint64] | None = None,
    ) -> None:
        """Execute rows; ``result`` gets the page frame each allocation was handed.

        Raises:
            ReplayError: a row can not be replayed; the rows before it are done.
        """
    def advance(self, t: int) -> None:
        """Let the clock go on to ``t`` (ns), with jobs and samples."""
    def totals(self) -> dict[str, Any]:
        """``struct replay_totals``."""
    def samples(self) -> dict[str, npt.NDArray[np.int64]]:
        """``SAMPLE_FIELDS``, each (samples,), and ``depot``, (samples, MAX_CLASSES)."""

# -------------------------------------------------------------------------------- the machine

QUANTILES: Final[int]
MACHINE_SAMPLE_FIELDS: Final[tuple[str, ...]]
MACHINE_EVENT_COLUMNS: Final[dict[str, type[np.generic]]]
MACHINE_MIN_ROOM: Final[int]

@disjoint_base
class Machine(Timeline):
    """A simulated SMP machine; see ``core/machine.h``. Times are in picoseconds.

    Args:
        designs: one a domain; all built-in ones share the first one's parameters.
        domains: fields of ``struct machine_domain`` by name; what is left out is 0. ``reserved``
            is (n, 2): the first and the last page frame.
        flows: fields of ``struct machine_flow`` by name; what is left out is 0. ``submit_cpus``
            and ``complete_cpus`` are (n,), ``sizes`` is (n, 2): pages and weight; ``think`` and
            ``latency`` are ``QUANTILES`` numbers, or None.
        prices: fields of ``struct machine_prices`` by name; what is left out is 0.
        cpus_possible: at most 4096.
        cpus_online: CPUs online.
        cpus_per_node: CPU c is of node ``c // cpus_per_node``.
        classes: size classes of the caches.
        seed: of every choice that is left to chance.
        indexed: tree work at the price of this library's index, not of Linux's walk.
        sample_ns: time between samples; 0: none.
        max_samples: an error if more would be taken.
        table_every: CPUs' pages and maps go with every so many-th sample.
        sample_cpus: with samples, the pages in each CPU's magazines.
        cpu_rows: most rows of these; CPUs beyond are grouped with their neighbours. 0: any.
        map_bins: with samples, an occupancy map of page frames map_first..map_last.
        map_first: see map_bins.
        map_last: see map_bins.

    Raises:
        ValueError: a number is out of range, an array of the wrong shape, or a field unknown.
        OverflowError: a number does not fit the field's type.
        MemoryError: memory for it could not be had.
    """

    def __new__(
        cls,
        designs: Sequence[Design],
        *,
        domains: Sequence[Mapping[str, Any]],
        flows: Sequence[Mapping[str, Any]],
        prices: Mapping[str, int],
        cpus_possible: int,
        cpus_online: int,
        cpus_per_node: int,
        classes: int = 6,
        seed: int = 1,
        indexed: bool = False,
        sample_ns: int = 0,
        max_samples: int = 100_000,
        table_every: int = 1,
        sample_cpus: bool = False,
        cpu_rows: int = 0,
        map_bins: int = 0,
        map_first: int = 0,
        map_last: int = 0,
    ) -> Machine: ...
    def run(self, until: int, operations: int) -> bool:
        """Go on to ``until`` (ps since the start) or for about so many operations.

        Whether ``until`` was reached. What a policy in Python raised is raised here.

        Raises:
            ValueError: ``until`` is not below 2**62, more samples than ``max_samples`` would be
                taken, or ``run_events`` was called before.
            MemoryError: memory ran out.
        """
    def run_events(self, until: int, rows: int) -> tuple[dict[str, npt.NDArray[Any]], bool]:
        """Go on to ``until``, or until ``rows`` rows are nearly full.

        Returns the rows, and whether ``until`` was reached. The rows are
        ``MACHINE_EVENT_COLUMNS``, each (n,), n <= rows. Sorted by ``seq`` those of all runs
        together are in the order in which the core executed them.

        Raises:
            ValueError: as ``run``; or ``rows`` is below ``MACHINE_MIN_ROOM``, or ``run`` was
                called before.
            MemoryError: memory ran out.
        """
    def totals(self) -> dict[str, Any]:
        """``struct machine_totals``.

        ``cpu`` is a dict of ``alloc``, ``free``, ``reclaim`` and ``timer``, ``lock`` one of
        ``cpu``, ``depot``, ``tree`` and ``ring``, each ``struct machine_lock_totals``.
        """
    def replay_totals(self) -> dict[str, Any]:
        """``struct replay_totals``: the allocator's side."""
    def handovers(self) -> npt.NDArray[np.uint64] | None:
        """(cpu_rows, cpu_rows): frees by allocating and freeing CPU.

        Counted with ``sample_cpus`` and ``cpu_rows``; else None.
        """
    def samples(self) -> dict[str, npt.NDArray[np.int64]]:
        """Those of a replay (``t`` in ns) and ``MACHINE_SAMPLE_FIELDS``, each (samples,)."""
    def alloc_times(self) -> npt.NDArray[np.uint64]:
        """Allocations by time: a count for each bucket that ``core/machine.h`` defines."""
    def free_times(self) -> npt.NDArray[np.uint64]:
        """Frees by time; see ``alloc_times``."""

# ------------------------------------------------------------------------------ live domains

STATUS_NAMES: Final[dict[int, str]]
PLACES: Final[dict[int, str]]
LIVE_OPS: Final[dict[str, int]]
#: ``struct live_event``: a call of a live domain; ``_core.LIVE_OPS`` names ``op``.
LIVE_EVENT: Final[np.dtype[np.void]]

@type_check_only
class Layout(TypedDict):
    """The address space of a live domain, in page frames."""

    granule: int
    cpus: int
    checked: bool
    start: int
    reserved: npt.NDArray[np.uint64]

@disjoint_base
class LiveDomain:
    """What ``iova.Domain`` is made of; see there. Any thread may use it at any time.

    ``_failed`` is called for a call that failed, and raises what is to be raised.
    """

    def __init__(
        self,
        windows: npt.NDArray[np.uint64] | None,
        reserved: npt.NDArray[np.uint64],
        granule: int,
        design: Design,
        classes: int,
        budget: int,
        checked: bool,
        allow_zero: bool,
        on_flush: Callable[[], object] | None,
        on_error: Callable[[BaseException], object],
        on_flush_error: Callable[[BaseException | str], object],
        cpus: int = 0,
    ) -> None: ...
    @property
    def design(self) -> Design: ...
    @property
    def classes(self) -> int: ...
    @property
    def is_closed(self) -> bool: ...
    def alloc(self, size: int, *, limit: int | None = None, align: int | None = None) -> int:
        """Take a range of ``size`` bytes; its first address."""
    def free(self, address: int, size: int | None = None) -> None:
        """Give a range back, which starts at ``address``; rounded sizes are compared."""
    def alloc_many(
        self,
        n: int,
        size: int,
        out: npt.NDArray[np.uint64] | None = None,
        *,
        limit: int | None = None,
    ) -> npt.NDArray[np.uint64]:
        """Take ``n`` ranges of ``size`` bytes: their addresses, (n,) uint64. All or none."""
    def free_many(self, addresses: npt.NDArray[np.uint64] | Iterable[int], size: int) -> None:
        """Give back ranges that are all of ``size`` bytes."""
    def alloc_at(self, address: int, size: int) -> None:
        """Take exactly ``address`` .. ``address + size - 1``; freed like any other range."""
    def reserve(self, first: int, last: int) -> None:
        """Hand nothing out of ``first`` .. ``last`` any more, widened to whole granules."""
    def defer(self, address: int, size: int | None = None) -> int:
        """Free a range after the IOTLB flush that follows its unmap; a ticket, rising from 1."""
    def flushed(self, ticket: int) -> None:
        """Say that an IOTLB flush which began after that ticket was given out is done."""
    def flush_caches(self) -> None:
        """Empty every magazine of every CPU, and every depot, into the tree."""
    def ranges(self) -> npt.NDArray[np.uint64]:
        """The live ranges, (n, 2) uint64: first and last address of each, lowest first."""
    def close(self) -> None: ...
    def _find(self, address: int) -> tuple[str, int, int]: ...
    def _stats(self) -> dict[str, Any]: ...
    def _counters(self, size_class: int) -> dict[str, int]: ...
    def _layout(self) -> Layout:
        """Granule, lowest frame, CPUs, and the reserved frames, both ends included."""
    def _check(self) -> str | None: ...
    def _set_events(self, events: Events | None) -> None:
        """Record every call into ``events``; None: no more."""
    def _forked(self) -> None: ...
    def _failed(
        self,
        status: str,
        address: int | None,
        size: int | None,
        *,
        limit: int | None = None,
        align: int | None = None,
        ticket: int | None = None,
        index: int | None = None,
        count: int | None = None,
        returned: str | None = None,
    ) -> NoReturn: ...

def end_live_domains(timeout_s: float) -> bool:
    """The interpreter ends: the background thread enters no policy or callback from now on.

    Whether those that were running have returned within ``timeout_s`` seconds.
    """

def uses_rseq() -> bool:
    """Whether live domains made now would use restartable sequences."""

@disjoint_base
class Events:
    """Calls of a live domain, until they are taken; at most ``room`` of them.

    Memory for twice as many is held until ``end``.
    """

    def __new__(cls, room: int = 65536) -> Events: ...
    def __len__(self) -> int: ...
    @property
    def lost(self) -> int:
        """Calls that found no room."""
    def take(self) -> npt.NDArray[np.void]:
        """The calls so far, of ``LIVE_EVENT``, in the order in which they ended.

        One thread at a time may take them.
        """
    def end(self) -> None:
        """Give the memory back; calls that come later are dropped. No take() may be running."""

@disjoint_base
class ForcedDomain(RawDomain):
    """A ``RawDomain`` that is the inside of a live domain whose CPU and clock are given."""

    @property
    def live_calls(self) -> int:
        """Calls that went through a live domain's entry points."""
    @property
    def other_calls(self) -> int:
        """Allocations and frees that a live domain can not be asked for."""
