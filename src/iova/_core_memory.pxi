# Part of _core.pyx: memory: what the core allocates, counted, and failing when told to.

cdef class Memory:
    cdef c.iova_memory table
    cdef uint64_t blocks_by_kind[8]
    cdef public uint64_t fail_magazines
    cdef public uint64_t fail_ranges
    cdef public uint64_t fail_at
    cdef set domains  # addresses of the domains that allocate here, for `ranges`

    def __cinit__(self):
        self.table.allocate = _allocate
        self.table.release = _release
        self.table.admit_range = _admit_range
        self.table.context = <void *>self
        memset(self.blocks_by_kind, 0, sizeof(self.blocks_by_kind))
        self.domains = set()

    @property
    def magazines(self):
        return self.blocks_by_kind[<int>c.IOVA_MEMORY_MAGAZINE]

    @property
    def ranges(self):
        cdef uint64_t total = 0
        cdef size_t address
        for address in self.domains:
            total += c.iova_read_totals(<c.iova_domain *>address).ranges
        # Nodes without a domain would be a leak of the records in them.
        if not self.domains:
            total = self.blocks_by_kind[<int>c.IOVA_MEMORY_TREE]
        return total

    @property
    def blocks(self):
        cdef uint64_t total = 0
        for count in self.blocks_by_kind:
            total += count
        return total

    cdef bint injected(self) noexcept nogil:
        """Whether fail_at has come down to this allocation."""
        if self.fail_at == 0:
            return False
        self.fail_at -= 1
        return self.fail_at == 0


cdef void *_allocate(void *context, c.iova_memory_kind kind, size_t size,
                     size_t alignment) noexcept with gil:
    cdef Memory memory = <Memory>context
    cdef void *block
    if memory.injected():
        return NULL
    if kind == c.IOVA_MEMORY_MAGAZINE and memory.fail_magazines > 0:
        memory.fail_magazines -= 1
        return NULL
    block = heap.allocate(heap.context, kind, size, alignment)
    if block != NULL:
        memory.blocks_by_kind[<int>kind] += 1
    return block


cdef void _release(void *context, c.iova_memory_kind kind, void *block,
                   size_t size) noexcept with gil:
    (<Memory>context).blocks_by_kind[<int>kind] -= 1
    heap.release(heap.context, kind, block, size)


cdef c.cbool _admit_range(void *context) noexcept with gil:
    cdef Memory memory = <Memory>context
    if memory.injected():
        return False
    if memory.fail_ranges > 0:
        memory.fail_ranges -= 1
        return False
    return True
