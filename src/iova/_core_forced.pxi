# Part of _core.pyx: a live domain whose CPU and clock are forced, for conformance.

@cython.no_gc_clear
cdef class ForcedDomain(RawDomain):
    """A ``RawDomain`` that is the inside of a live domain whose CPU and clock are given.

    Calls that a live domain can be asked for go through its entry points, short path and
    all; the others (Linux's calls past the caches, frame 0, sizes and limits that are no
    numbers of bytes) through the functions beneath, with the live domain's locks.
    """

    cdef c.iova_live *live
    cdef readonly uint64_t live_calls
    cdef readonly uint64_t other_calls

    def __cinit__(self, *, uint64_t granule=4096, uint64_t start=1, uint32_t possible=1,
                  online=None, design="linux-7.3", params=None, uint32_t classes=6, memory=None):
        cdef c.iova_live_config config
        cdef c.iova_span window
        # RawDomain has made a domain of its own: the live one takes its place.
        self.end()
        memset(&config, 0, sizeof(config))
        window.first = start * granule
        window.last = <uint64_t>-1
        config.windows = &window
        config.window_count = 1
        config.granule = granule
        config.design = self.design.design
        config.params = self.design.values if self.design.policy is None else NULL
        config.classes = classes
        config.cpus = possible
        config.unchecked = True
        config.allow_zero = start == 0
        config.memory = &self.memory.table
        status = c.live_open(&config, True, &self.live)
        if status != c.IOVA_OK:
            self.live = NULL
            raise_status(status)
        self.domain = self.live.domain
        self.live.clock_stopped = True
        self.memory.domains.add(<size_t>self.domain)
        for cpu in range(possible if online is None else online, possible):
            c.iova_cpu_offline(self.domain, cpu)

    cdef void end(self) noexcept:
        if self.live == NULL:
            RawDomain.end(self)
            return
        for size_class, address in self.hands.values():
            c.job_finish(<c.inner_domain *>self.domain, size_class, <c.magazine *><size_t>address)
        self.hands.clear()
        self.memory.domains.discard(<size_t>self.domain)
        self.domain = NULL
        c.live_destroy(self.live)
        self.live = NULL

    def make_caches(self):
        pass  # a live domain has them from the start

    def alloc(self, uint32_t cpu, uint64_t size, uint64_t limit, bint flush, uint64_t now=0):
        cdef uint64_t top = limit + 1, address = 0, rounded = size
        cdef unsigned shift
        self.cached()
        self.check_cpu(cpu)
        shift = self.live.shift
        if size <= <uint64_t>1 << (self.live.classes - 1):
            while rounded & (rounded - 1):
                rounded += rounded & -rounded
        if (not flush or self.inner().tree.start == 0 or top > self.live.top or top < rounded
                or size == 0 or size > self.live.top):
            self.other_calls += 1
            return RawDomain.alloc(self, cpu, size, limit, flush, now)
        self.live_calls += 1
        if not c.quick_alloc(self.live, cpu, size << shift, (top << shift) - 1, 0, &address):
            c.live_alloc_in_full(self.live, cpu, size << shift, (top << shift) - 1, 0, &address)
        return address >> shift

    def free(self, uint32_t cpu, uint64_t pfn, uint64_t size, uint64_t now):
        cdef unsigned shift
        self.cached()
        self.check_cpu(cpu)
        shift = self.live.shift
        self.live.stopped_at = now
        if self.inner().tree.start == 0 or pfn >= self.live.top or size == 0 or size > self.live.top:
            self.other_calls += 1
            RawDomain.free(self, cpu, pfn, size, now)
            return
        self.live_calls += 1
        if not c.quick_free(self.live, cpu, pfn << shift, size << shift):
            c.live_free_in_full(self.live, cpu, pfn << shift, size << shift)
