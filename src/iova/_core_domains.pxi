# Part of _core.pyx: domains: RawDomain and what it shows of its inside.

cdef raise_status(c.iova_status status):
    text = c.iova_status_text(status).decode()
    if status == c.IOVA_NO_MEMORY:
        raise MemoryError(text)
    raise ValueError(text)


# Destruction needs memory table and design: the collector must not take them first.
@cython.no_gc_clear
cdef class RawDomain:
    cdef c.iova_domain *domain
    cdef readonly Memory memory
    cdef readonly Design design
    cdef dict hands  # token -> (class, address) of magazines taken by reclaim_take()
    cdef uint64_t next_token

    def __cinit__(self, *, uint64_t granule=4096, uint64_t start=1, uint32_t possible=1,
                  online=None, design="linux-7.3", params=None, uint32_t classes=6, memory=None):
        cdef c.iova_config config
        self.memory = Memory() if memory is None else memory
        self.design = design if isinstance(design, Design) else Design(design, params)
        self.hands = {}
        memset(&config, 0, sizeof(config))
        config.granule = granule
        config.start_pfn = start
        config.cpus_possible = possible
        config.cpus_online = possible if online is None else online
        config.classes = classes
        config.design = self.design.design
        config.params = self.design.values if self.design.policy is None else NULL
        config.memory = &self.memory.table
        config.count_steps = True
        status = c.iova_create(&config, &self.domain)
        if status != c.IOVA_OK:
            self.domain = NULL
            raise_status(status)
        self.memory.domains.add(<size_t>self.domain)

    def __dealloc__(self):
        self.end()

    cdef void end(self) noexcept:
        """Give everything back: what reclaim_take() left in the hand, too."""
        if self.domain == NULL:
            return
        for size_class, address in self.hands.values():
            c.job_finish(<c.inner_domain *>self.domain, size_class, <c.magazine *><size_t>address)
        self.hands.clear()
        self.memory.domains.discard(<size_t>self.domain)
        c.iova_destroy(self.domain)
        self.domain = NULL

    cdef c.iova_domain *alive(self) except NULL:
        if self.domain == NULL:
            raise ValueError("the domain is destroyed")
        return self.domain

    cdef c.inner_domain *inner(self) except NULL:
        return <c.inner_domain *>self.alive()

    cdef c.inner_domain *cached(self) except NULL:
        cdef c.inner_domain *inner = self.inner()
        if inner.caches == NULL:
            raise ValueError("the range caches have not been made")
        return inner

    cdef check_cpu(self, uint32_t cpu):
        if cpu >= self.inner().cpus_possible:
            raise ValueError(f"CPU {cpu} is not below {self.inner().cpus_possible}")

    cdef check_class(self, uint32_t size_class):
        if size_class >= self.inner().classes:
            raise ValueError(f"size class {size_class} is not below {self.inner().classes}")

    def destroy(self):
        self.end()

    def make_caches(self):
        status = c.iova_make_caches(self.alive())
        if status != c.IOVA_OK:
            raise_status(status)

    def reserve(self, uint64_t lo, uint64_t hi):
        cdef c.iova_range result
        warned = c.iova_read_totals(self.alive()).warnings
        status = c.iova_reserve(self.domain, lo, hi, &result)
        if status == c.IOVA_OK:
            return (result.lo, result.hi)
        if status == c.IOVA_INVALID and c.iova_read_totals(self.domain).warnings == warned:
            raise ValueError("the reservation's end is below its start")
        return None

    def alloc(self, uint32_t cpu, uint64_t size, uint64_t limit, bint flush, uint64_t now=0):
        self.cached()
        self.check_cpu(cpu)
        if size == 0:
            raise ValueError("a size of 0")
        return c.iova_alloc(self.domain, cpu, size, limit, flush)

    def alloc_raw(self, uint64_t size, uint64_t limit, bint align):
        cdef c.iova_range result
        status = c.iova_alloc_raw(self.alive(), size, limit, align, &result)
        if status == c.IOVA_INVALID:
            raise_status(status)
        if status != c.IOVA_OK:
            return -1
        return result.lo

    def free(self, uint32_t cpu, uint64_t pfn, uint64_t size, uint64_t now):
        self.cached()
        self.check_cpu(cpu)
        if size == 0:
            raise ValueError("a size of 0")
        c.iova_free(self.domain, cpu, pfn, size, now)

    def free_raw(self, uint64_t pfn):
        c.iova_free_raw(self.alive(), pfn)

    def find(self, uint64_t pfn):
        cdef c.iova_range result
        if c.iova_find(self.alive(), pfn, &result) != c.IOVA_OK:
            return None
        return (result.lo, result.hi)

    def flush_caches(self):
        c.iova_flush_caches(self.alive())

    def cpu_offline(self, uint32_t cpu):
        self.inner()
        self.check_cpu(cpu)
        return c.iova_cpu_offline(self.domain, cpu)

    def cpu_online(self, uint32_t cpu):
        self.inner()
        self.check_cpu(cpu)
        return c.iova_cpu_online(self.domain, cpu)

    def next_deadline(self):
        cdef uint64_t due = c.iova_next_deadline(self.alive())
        return None if due == c.IOVA_NEVER else due

    def due(self, uint32_t size_class):
        cdef uint64_t due = c.iova_class_deadline(self.alive(), size_class)
        return None if due == c.IOVA_NEVER else due

    def run_due(self, uint64_t now):
        ran = c.iova_run_due(self.alive(), now)
        if self.design.error is not None:
            self.design.raise_error()
        return ran

    def run_class(self, uint32_t size_class, uint64_t now):
        self.cached()
        self.check_class(size_class)
        c.iova_run_class(self.domain, size_class, now)
        self.design.raise_error()

    # The parts of a reclaim and of a CPU's going, for replaying them apart in time.

    def reclaim_take(self, uint32_t size_class):
        cdef c.magazine *magazine
        self.cached()
        self.check_class(size_class)
        magazine = c.job_take(self.inner(), size_class, 0)
        if magazine == NULL:
            return -1
        token = self.next_token
        self.next_token += 1
        self.hands[token] = (size_class, <size_t>magazine)
        return token

    def reclaim_drain(self, token):
        size_class, address = self.hands.pop(token)
        c.job_finish(self.inner(), size_class, <c.magazine *><size_t>address)

    def cpu_drain(self, uint32_t cpu, uint32_t size_class, bint previous):
        cdef c.cpu_cache *cache
        self.check_cpu(cpu)
        self.check_class(size_class)
        cache = c.cpu_cache_of(self.cached(), cpu, size_class)
        c.magazine_drain(self.inner(), size_class, cache.previous if previous else cache.loaded)

    # ------------------------------------------------------------------- looking inside

    @property
    def d32(self):
        return self.inner().tree.d32

    @property
    def online(self):
        return self.inner().cpus_online

    @property
    def possible(self):
        return self.inner().cpus_possible

    @property
    def classes(self):
        return self.inner().classes

    @property
    def has_caches(self):
        return self.inner().caches != NULL

    @property
    def warnings(self):
        return c.iova_read_totals(self.alive()).warnings

    @property
    def reclaim_runs(self):
        return c.iova_read_totals(self.alive()).runs

    @property
    def walked(self):
        cdef uint64_t total = 0
        for k in range(c.IOVA_MAX_CLASSES + 1):
            total += c.iova_read_counters(self.alive(), k).tree_steps
        return total

    @property
    def tree_bytes(self):
        return c.iova_read_totals(self.alive()).tree_bytes

    @property
    def search_starts(self):
        cdef c.range_tree *tree = &self.inner().tree
        return (lo_of_start(tree.near), lo_of_start(tree.near32), tree.give_up)

    def counters(self, uint32_t size_class):
        return c.iova_read_counters(self.alive(), size_class)

    def cpu(self, uint32_t cpu, uint32_t size_class):
        return c.iova_read_cpu(self.alive(), cpu, size_class)

    def check(self):
        fault = c.iova_check(self.alive())
        return None if fault == NULL else fault.decode()

    def ranges(self):
        cdef uint64_t n = c.iova_read_totals(self.alive()).ranges
        cdef uint64_t[:, ::1] out
        cdef c.index_path path
        cdef c.iova_range range_
        cdef uint64_t i
        array = np.empty((n, 2), dtype=np.uint64)
        if n == 0:
            return array
        out = array
        c.index_seek(&self.inner().tree.index, 0, &path)
        for i in range(n):
            range_ = c.index_range(&path)
            out[i, 0] = range_.lo
            out[i, 1] = range_.hi
            c.index_next(&self.inner().tree.index, &path)
        return array

    def magazine(self, uint32_t cpu, uint32_t size_class, bint previous):
        cdef c.cpu_cache *cache
        cdef c.magazine *magazine
        self.check_cpu(cpu)
        self.check_class(size_class)
        cache = c.cpu_cache_of(self.cached(), cpu, size_class)
        magazine = cache.previous if previous else cache.loaded
        return None if magazine == NULL else entries_of(magazine, magazine.count)

    def depot(self, uint32_t size_class):
        cdef uintptr_t at
        self.check_class(size_class)
        at = self.cached().rcache[size_class].depot.head
        found = []
        while c.link_magazine(at) != NULL:
            found.append(entries_of(c.link_magazine(at), c.link_capacity(at)))
            at = c.link_magazine(at).link
        return found


cdef lo_of_start(c.iova_range start):
    # Two returns: in one expression C would make the -1 unsigned.
    if start.hi == ANCHOR:
        return -1
    return start.lo


cdef entries_of(const c.magazine *magazine, uint64_t count):
    cdef uint64_t[::1] out
    array = np.empty(count, dtype=np.uint64)
    if count:
        out = array
        memcpy(&out[0], magazine.pfn, count * sizeof(uint64_t))
    return array


def fnv1a64(words, uint64_t state=0xcbf29ce484222325):
    cdef const uint8_t[::1] data = np.ascontiguousarray(words, dtype="<u8").reshape(-1).view(np.uint8)
    cdef Py_ssize_t i
    for i in range(data.shape[0]):
        state = (state ^ data[i]) * <uint64_t>0x100000001b3
    return state
