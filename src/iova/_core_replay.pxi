# Part of _core.pyx: replay: event columns in, counters and samples out.

SAMPLE_FIELDS = (
    "t", "live_pages", "cached_pages", "hits_loaded", "hits_previous", "hits_depot",
    "tree_allocations", "tree_frees", "tree_steps", "reclaimed", "magazines", "tree_bytes",
    "linux_bytes",
)


#: Columns a replay reads, with the types of the event schema.
EVENT_COLUMNS = {
    "t": np.int64, "cpu": np.uint16, "op": np.uint8, "domain": np.uint32, "flags": np.uint8,
    "size": np.uint64, "limit": np.uint64, "pfn": np.uint64, "last": np.uint64,
    "slot": np.uint32, "n": np.uint32,
}


cdef void *address_of(array):
    return <void *><size_t>array.ctypes.data


class ReplayError(ValueError):
    """A row that can not be replayed; ``row`` counts from the first row ever fed."""

    def __init__(self, row, problem):
        super().__init__(f"row {row}: {problem}")
        self.row = row
        self.problem = problem


@cython.no_gc_clear  # the designs must outlive what runs under them
cdef class Timeline:
    """Calls executed on virtual time: what a replay and a simulated machine have in common."""

    cdef const c.replay *shown  # NULL: never made
    cdef list designs
    cdef object keep  # arrays the C side points into
    cdef bint busy  # a call runs, perhaps without the GIL
    cdef bint sample_cpus
    cdef readonly uint32_t possible
    cdef readonly uint32_t cpu_rows
    cdef readonly uint32_t map_bins
    cdef Halt halt

    cdef int check_idle(self) except -1:
        if self.shown == NULL:
            raise TypeError("a Timeline is made as a Replay or as a Machine")
        if self.busy:
            raise RuntimeError("it is running: in another thread, or in whose policy this is")
        return 0

    cdef int enter(self) except -1:
        self.check_idle()
        self.busy = True
        return 0

    cdef int begin(self) except -1:
        """Enter; the first policy that fails ends the call, whichever domain is its own."""
        cdef Design design
        self.enter()
        self.halt.wanted = False
        for design in self.designs:
            design.halt = self.halt
        return 0

    cdef raise_policies(self):
        cdef Design design
        for design in self.designs:
            if design.error is not None:
                design.raise_error()

    def counters(self, uint32_t size_class):
        self.check_idle()
        return c.replay_read_counters(self.shown, size_class)

    def cpu_pages(self):
        if not self.sample_cpus:
            return None
        return self.tabled(c.replay_cpu_pages(self.shown), 4 * self.cpu_rows,
                           np.uint32).reshape(-1, self.cpu_rows)

    def maps(self):
        if not self.map_bins:
            return None
        return self.tabled(c.replay_maps(self.shown), 8 * self.map_bins,
                           np.uint32).reshape(-1, 2, self.map_bins)

    cdef replay_samples(self):
        words = sizeof(c.replay_sample) // 8
        table = self.sampled(c.replay_samples(self.shown), sizeof(c.replay_sample),
                             np.int64).reshape(-1, words)
        out = {name: table[:, i] for i, name in enumerate(SAMPLE_FIELDS)}
        out["depot"] = table[:, len(SAMPLE_FIELDS):]
        return out

    cdef sampled(self, const void *source, size_t sample_size, dtype):
        """A copy of what was kept with each sample."""
        return self.copied(source, c.replay_sample_count(self.shown) * sample_size, dtype)

    cdef tabled(self, const void *source, size_t table_size, dtype):
        """A copy of the tables that were kept with some samples."""
        return self.copied(source, c.replay_table_count(self.shown) * table_size, dtype)

    cdef copied(self, const void *source, size_t size, dtype):
        self.enter()  # the copy's memory may be had by a collection, which runs what it likes
        try:
            return copy_words(source, size, dtype)
        finally:
            self.busy = False


@cython.no_gc_clear
cdef class Replay(Timeline):
    cdef c.replay *replay
    cdef uint64_t fed

    def __cinit__(self, designs, domains, *, uint32_t possible, online=None, uint32_t classes=6,
                  bint recorded_reclaim=False, bint count_steps=True, int64_t sample_ns=0,
                  size_t max_samples=100_000, uint32_t table_every=1, bint sample_cpus=False,
                  uint32_t cpu_rows=0, uint32_t map_bins=0,
                  uint64_t map_first=0, uint64_t map_last=0):
        cdef c.replay_config config
        cdef Design design
        cdef uint64_t[:, ::1] starts
        cdef uint64_t[::1] pointers
        self.designs = list(designs)
        if not self.designs or len(self.designs) != len(domains):
            raise ValueError("one design a domain is wanted, and at least one domain")
        self.possible = possible
        self.map_bins = map_bins
        self.sample_cpus = sample_cpus
        starts_array = np.array([(g, s) for g, s in domains], dtype=np.uint64)
        pointer_array = np.zeros(len(self.designs), dtype=np.uint64)
        self.keep = (starts_array, pointer_array)
        starts = starts_array
        pointers = pointer_array
        for i, one in enumerate(self.designs):
            design = one
            pointers[i] = <size_t>design.design
        design = self.designs[0]
        memset(&config, 0, sizeof(config))
        config.cpus_possible = possible
        config.cpus_online = possible if online is None else online
        config.classes = classes
        config.params = design.values if design.policy is None else NULL
        config.domain_count = <uint32_t>len(self.designs)
        config.domains = <const c.replay_domain_config *>&starts[0, 0]
        config.designs = <const c.iova_design *const *>&pointers[0]
        config.recorded_reclaim = recorded_reclaim
        config.count_steps = count_steps
        config.sample_ns = sample_ns
        config.max_samples = max_samples
        config.table_every = table_every
        config.sample_cpus = sample_cpus
        config.cpu_rows = cpu_rows
        config.map_bins = map_bins
        config.map_first = map_first
        config.map_last = map_last
        self.halt = Halt()
        config.stop = &self.halt.wanted
        self.cpu_rows = c.replay_cpu_rows(&config)
        status = c.replay_create(&config, &self.replay)
        if status != c.REPLAY_OK:
            self.replay = NULL
            self.raise_replay(status, 0)
        self.shown = self.replay

    def __dealloc__(self):
        c.replay_destroy(self.replay)

    cdef raise_replay(self, c.replay_status status, uint64_t row):
        if status == c.REPLAY_NO_MEMORY:
            raise MemoryError("no memory for the replay")
        raise ReplayError(self.fed + row, c.replay_status_text(status).decode())

    def feed(self, columns, result=None):
        cdef c.replay_events events
        cdef size_t row = 0
        cdef c.replay_status status
        arrays = {name: np.ascontiguousarray(columns[name], dtype=dtype)
                  for name, dtype in EVENT_COLUMNS.items()}
        count = len(arrays["t"])
        if any(array.shape != (count,) for array in arrays.values()):
            raise ValueError("the columns differ in length")
        if result is not None and (result.dtype != np.uint64 or result.shape != (count,)
                                   or not result.flags.c_contiguous or not result.flags.writeable):
            raise ValueError("the result must be writeable, uint64 and as long as the columns")
        memset(&events, 0, sizeof(events))
        events.count = count
        events.t = <const int64_t *>address_of(arrays["t"])
        events.cpu = <const uint16_t *>address_of(arrays["cpu"])
        events.op = <const uint8_t *>address_of(arrays["op"])
        events.domain = <const uint32_t *>address_of(arrays["domain"])
        events.flags = <const uint8_t *>address_of(arrays["flags"])
        events.size = <const uint64_t *>address_of(arrays["size"])
        events.limit = <const uint64_t *>address_of(arrays["limit"])
        events.pfn = <const uint64_t *>address_of(arrays["pfn"])
        events.last = <const uint64_t *>address_of(arrays["last"])
        events.slot = <const uint32_t *>address_of(arrays["slot"])
        events.n = <const uint32_t *>address_of(arrays["n"])
        if result is not None:
            events.result = <uint64_t *>address_of(result)
        self.begin()
        with nogil:
            status = c.replay_feed(self.replay, &events, &row)
        self.busy = False
        self.raise_policies()
        if status != c.REPLAY_OK:
            self.raise_replay(status, row)
        self.fed += row

    def advance(self, int64_t t):
        cdef c.replay_status status
        self.begin()
        with nogil:
            status = c.replay_advance(self.replay, t)
        self.busy = False
        self.raise_policies()
        if status != c.REPLAY_OK:
            self.raise_replay(status, 0)

    def totals(self):
        self.check_idle()
        return c.replay_read_totals(self.replay)

    def samples(self):
        return self.replay_samples()


cdef copy_words(const void *source, size_t size, dtype):
    cdef uint8_t[::1] out
    array = np.empty(size, dtype=np.uint8)
    if size:
        out = array
        memcpy(&out[0], source, size)
    return array.view(dtype)
