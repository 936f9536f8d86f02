# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False
"""The binding of the importer's C scanner, and nothing else; its contract is in ``_scan.pyi``."""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free


cdef extern from "stdbool.h":
    ctypedef bint bool_t "bool"


cdef extern from "rows.h":
    enum:
        ROWS_PER_BLOCK
    struct row_block:
        uint64_t *size
    struct row:
        row_block *block
        uint32_t at
    struct rows:
        row_block **blocks
        uint64_t count
    void row_set_size(row, uint64_t) nogil


cdef extern from "calls.h":
    enum:
        ORDER_UNKNOWN
    struct domain_seen:
        uint64_t iovad
        uint64_t start
        uint64_t *works
        int8_t *orders
        uint32_t granule
        uint8_t work_count
        bool_t born
        bool_t destroyed
    struct calls_counts:
        uint64_t open_entries
        uint64_t returns_without_entry
        uint64_t frees_without_alloc
        uint64_t allocs_of_live
        uint64_t tree_calls_outside
        uint64_t flush_steps
        uint64_t unnumbered_runs
    struct reclaim_run:
        uint64_t row
        uint32_t domain
        uint8_t work
    struct calls:
        rows rows
        calls_counts counts
        domain_seen *domains
        size_t domain_count
        reclaim_run *runs
        size_t run_count
        bool_t mixed_granules


cdef extern from "vocabulary.h":
    enum:
        VOCABULARY_EVENTS
    struct event:
        const char *name
        uint8_t kind
    const event *vocabulary


cdef extern from "record.h":
    enum:
        KIND_IGNORED


cdef extern from "line.h":
    enum line_layout:
        LAYOUT_FTRACE
        LAYOUT_PERF


cdef extern from "scan.h":
    struct scan_problem:
        uint64_t line
        uint64_t column
        const char *problem
        uint64_t excerpt_column
        uint16_t excerpt_len
        char *excerpt
    struct scan_unknown:
        uint64_t count
        uint8_t len
        char *name
    struct scan_counts:
        uint64_t lines
        uint64_t headers
        uint64_t loss_lines
        uint64_t *events
        uint64_t unknown
        uint64_t malformed
        uint64_t lost
        uint64_t out_of_order
        uint64_t announced
        uint64_t comments
        uint64_t header_cpus
    struct scanner:
        calls calls
        scan_counts counts
        scan_problem *problems
        size_t problem_count
        scan_unknown *unknown
        size_t unknown_count
    scanner *scan_new(uint64_t, line_layout) nogil
    void scan_free(scanner *) nogil
    bool_t scan_feed(scanner *, const char *, size_t) nogil
    bool_t scan_finish(scanner *) nogil


cdef extern from "ring.h":
    enum:
        RING_LACKS_A_FIELD
    struct ring:
        pass
    struct ring_page:
        uint64_t cpu
        uint64_t offset
        uint64_t length
    struct ring_format_field:
        const char *name
        uint64_t offset
        uint64_t size
    int ring_bind(ring *, uint64_t, const char *, const ring_format_field *, size_t)
    bool_t ring_feed(const ring *, scanner *, const uint8_t *, size_t, const ring_page *, size_t) nogil


cdef extern from "arrow.h":
    struct ArrowArrayStream:
        void (*release)(ArrowArrayStream *) noexcept nogil
    bool_t arrow_stream_of(rows *, ArrowArrayStream *) nogil


cdef void release_capsule(object capsule) noexcept:
    cdef ArrowArrayStream *stream = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if stream.release != NULL:
        stream.release(stream)
    free(stream)


cdef bind_event(ring *bound, number, name, fields):
    cdef ring_format_field *listed = <ring_format_field *>calloc(len(fields) + 1, sizeof(ring_format_field))
    cdef size_t i = 0
    cdef int outcome
    if listed == NULL:
        raise MemoryError("no memory for the formats of the events")
    names = [field[0].encode("ascii", "replace") for field in fields]
    event = name.encode("ascii", "replace")
    try:
        for _, offset, width in fields:
            listed[i] = ring_format_field(<const char *>names[i], <uint64_t>offset, <uint64_t>width)
            i += 1
        outcome = ring_bind(bound, <uint64_t>number, event, listed, i)
    finally:
        free(listed)
    if outcome == RING_LACKS_A_FIELD:
        raise ValueError(f"the format of {name} lacks a field")


cdef class Scanner:
    cdef scanner *_scanner

    def __cinit__(self, seed, perf=False):
        self._scanner = scan_new(<uint64_t>seed, LAYOUT_PERF if perf else LAYOUT_FTRACE)
        if self._scanner == NULL:
            raise MemoryError("no memory for a scanner")

    def __dealloc__(self):
        scan_free(self._scanner)

    def feed(self, const unsigned char[::1] text not None):
        cdef size_t length = <size_t>text.shape[0]
        cdef const char *first
        cdef bint fits
        if length == 0:
            return
        first = <const char *>&text[0]
        with nogil:
            fits = scan_feed(self._scanner, first, length)
        if not fits:
            raise MemoryError("no memory for the events of this trace")

    def feed_pages(self, const unsigned char[::1] file not None, formats, const uint64_t[:, ::1] pages not None):
        cdef ring *bound
        cdef const unsigned char *first = NULL
        cdef const ring_page *listed = NULL
        cdef size_t size = <size_t>file.shape[0]
        cdef size_t count = <size_t>pages.shape[0]
        cdef bint fits
        if pages.shape[1] != 3:
            raise ValueError("a page is its CPU, its offset and its length")
        if size == 0 or count == 0:
            return
        bound = <ring *>calloc(1, sizeof(ring))
        if bound == NULL:
            raise MemoryError("no memory for the formats of the events")
        try:
            for number, name, fields in formats:
                bind_event(bound, number, name, fields)
            first = &file[0]
            listed = <const ring_page *>&pages[0, 0]
            with nogil:
                fits = ring_feed(bound, self._scanner, first, size, listed, count)
        finally:
            free(bound)
        if not fits:
            raise MemoryError("no memory for the events of this recording")

    def finish(self):
        cdef bint fits
        with nogil:
            fits = scan_finish(self._scanner)
        if not fits:
            raise MemoryError("no memory for the events of this trace")

    def counts(self):
        cdef scan_counts *c = &self._scanner.counts
        return {
            "lines": c.lines,
            "headers": c.headers,
            "loss_lines": c.loss_lines,
            "unknown": c.unknown,
            "malformed": c.malformed,
            "lost": c.lost,
            "out_of_order": c.out_of_order,
            "announced": c.announced,
            "comments": c.comments,
            "header_cpus": c.header_cpus,
            "rows": self._scanner.calls.rows.count,
        }

    def pairing(self):
        cdef calls_counts *c = &self._scanner.calls.counts
        return {
            "open_entries": c.open_entries,
            "returns_without_entry": c.returns_without_entry,
            "frees_without_alloc": c.frees_without_alloc,
            "allocs_of_live": c.allocs_of_live,
            "tree_calls_outside": c.tree_calls_outside,
            "flush_steps": c.flush_steps,
            "unnumbered_runs": c.unnumbered_runs,
        }

    def events(self, *, used):
        cdef int i
        return {
            vocabulary[i].name.decode("ascii"): self._scanner.counts.events[i]
            for i in range(VOCABULARY_EVENTS)
            if self._scanner.counts.events[i] and (vocabulary[i].kind != KIND_IGNORED) == used
        }

    def unknown(self):
        cdef size_t i
        cdef scan_unknown *u
        names = {}
        for i in range(self._scanner.unknown_count):
            u = &self._scanner.unknown[i]
            names[u.name[:u.len].decode("ascii")] = u.count
        return names

    def problems(self):
        cdef size_t i
        cdef scan_problem *p
        found = []
        for i in range(self._scanner.problem_count):
            p = &self._scanner.problems[i]
            found.append((p.line, p.column, p.problem.decode("ascii"), p.excerpt_column, p.excerpt[:p.excerpt_len]))
        return found

    def mixed_granules(self):
        return bool(self._scanner.calls.mixed_granules)

    def domains(self):
        cdef size_t i
        cdef int k
        cdef domain_seen *d
        seen = []
        for i in range(self._scanner.calls.domain_count):
            d = &self._scanner.calls.domains[i]
            works = tuple((d.works[k], d.orders[k]) for k in range(d.work_count))
            seen.append((d.start, d.granule, bool(d.born), bool(d.destroyed), works))
        return seen

    def domain_addresses(self):
        cdef size_t i
        return [self._scanner.calls.domains[i].iovad for i in range(self._scanner.calls.domain_count)]

    def reclaim_runs(self):
        cdef size_t i
        return [
            (self._scanner.calls.runs[i].domain, self._scanner.calls.runs[i].work)
            for i in range(self._scanner.calls.run_count)
        ]

    def set_reclaim_sizes(self, sizes):
        cdef size_t i = 0
        cdef uint64_t at
        cdef row place
        cdef calls *c = &self._scanner.calls
        if len(sizes) != c.run_count or c.rows.count == 0:
            raise ValueError("one size, or None, for each reclaim run")
        for size in sizes:
            if size is not None:
                at = c.runs[i].row
                place.block = c.rows.blocks[at // ROWS_PER_BLOCK]
                place.at = <uint32_t>(at % ROWS_PER_BLOCK)
                row_set_size(place, <uint64_t>size)
            i += 1

    def __arrow_c_stream__(self, requested_schema=None):
        cdef ArrowArrayStream *stream = <ArrowArrayStream *>calloc(1, sizeof(ArrowArrayStream))
        if stream == NULL or not arrow_stream_of(&self._scanner.calls.rows, stream):
            free(stream)
            raise MemoryError("no memory for the stream of events")
        self._scanner.calls.run_count = 0
        return PyCapsule_New(stream, "arrow_array_stream", release_capsule)
