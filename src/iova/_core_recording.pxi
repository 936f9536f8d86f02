# Part of _core.pyx: recording the calls of a live domain.

cdef struct event_buffer:
    c.mutex lock
    c.live_event *events  # NULL: nothing is kept any more
    c.live_event *spare
    size_t count
    size_t room
    uint64_t lost

#: ``struct live_event``.
LIVE_EVENT = np.dtype({
    "names": ["op", "status", "cpu", "began", "ended", "size", "limit", "pfn", "last"],
    "formats": ["i4", "i4", "u4"] + ["u8"] * 6,
    "offsets": [0, 4, 8, 16, 24, 32, 40, 48, 56],
    "itemsize": 64,
})
assert LIVE_EVENT.itemsize == sizeof(c.live_event)


cdef class Events:
    """Calls of a live domain, until they are taken; at most ``room`` of them."""

    cdef c.live_recorder recorder
    cdef event_buffer buffer

    def __cinit__(self, uint32_t room=65536):
        memset(&self.buffer, 0, sizeof(self.buffer))
        self.recorder.record = _record
        self.recorder.context = &self.buffer
        self.buffer.room = room
        self.buffer.events = <c.live_event *>c_malloc(room * sizeof(c.live_event) + 1)
        self.buffer.spare = <c.live_event *>c_malloc(room * sizeof(c.live_event) + 1)
        if self.buffer.events == NULL or self.buffer.spare == NULL:
            raise MemoryError()

    def __dealloc__(self):
        c_free(self.buffer.events)
        c_free(self.buffer.spare)

    def __len__(self):
        return self.buffer.count

    @property
    def lost(self):
        return self.buffer.lost

    def take(self):
        cdef size_t n
        cdef c.live_event *taken
        with nogil:
            c.mutex_acquire(&self.buffer.lock)
            n = self.buffer.count
            taken = self.buffer.events
            if taken != NULL:
                self.buffer.events, self.buffer.spare = self.buffer.spare, taken
            self.buffer.count = 0
            c.mutex_release(&self.buffer.lock)
        array = np.empty(n, dtype=LIVE_EVENT)
        if n:
            memcpy(address_of(array), taken, n * sizeof(c.live_event))
        return array

    def end(self):
        cdef c.live_event *events
        cdef c.live_event *spare = self.buffer.spare
        with nogil:
            c.mutex_acquire(&self.buffer.lock)
            events = self.buffer.events
            self.buffer.events = self.buffer.spare = NULL
            self.buffer.count = 0
            c.mutex_release(&self.buffer.lock)
        c_free(events)
        c_free(spare)


cdef void _record(void *context, const c.live_event *event) noexcept nogil:
    cdef event_buffer *buffer = <event_buffer *>context
    c.mutex_acquire(&buffer.lock)
    if buffer.events == NULL:
        pass  # the recording is over
    elif buffer.count < buffer.room:
        buffer.events[buffer.count] = event[0]
        buffer.count += 1
    else:
        buffer.lost += 1
    c.mutex_release(&buffer.lock)
