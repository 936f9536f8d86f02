# Part of _core.pyx: live domains.

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE,
                             PyBuffer_Release, PyObject_GetBuffer)
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free as c_free, malloc as c_malloc

from _thread import get_ident

cdef extern from "Python.h":
    # Of the ways to read an int the fastest; it raises nothing for a real one.
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) noexcept
    bint PyLong_CheckExact(object)
    void *PyGILState_GetThisThreadState() nogil

STATUS_NAMES = {
    c.IOVA_NO_SPACE: "NO_SPACE", c.IOVA_NO_MEMORY: "NO_MEMORY", c.IOVA_INVALID: "INVALID",
    c.IOVA_DOUBLE_FREE: "DOUBLE_FREE", c.IOVA_NOT_ALLOCATED: "NOT_ALLOCATED",
    c.IOVA_SIZE_MISMATCH: "SIZE_MISMATCH", c.IOVA_RESERVED: "RESERVED",
    c.IOVA_OVER_BUDGET: "OVER_BUDGET", c.IOVA_FLUSH_NEEDED: "FLUSH_NEEDED",
    c.IOVA_CLOSED: "CLOSED",
}
PLACES = {
    c.IOVA_PLACE_FREE: "free", c.IOVA_PLACE_LIVE: "live", c.IOVA_PLACE_DEFERRED: "deferred",
    c.IOVA_PLACE_RESERVED: "reserved",
}
LIVE_OPS = {
    "alloc": <int>c.LIVE_OP_ALLOC, "free": <int>c.LIVE_OP_FREE, "place": <int>c.LIVE_OP_PLACE,
    "remove": <int>c.LIVE_OP_REMOVE, "reserve": <int>c.LIVE_OP_RESERVE,
    "defer": <int>c.LIVE_OP_DEFER, "flush_caches": <int>c.LIVE_OP_FLUSH_CACHES,
}

cdef uint64_t EVERYWHERE = <uint64_t>-1
# From so many on a batch takes longer than letting go of the GIL and taking it back.
cdef uint64_t MANY = 16384


cdef uint64_t checked_u64(object number, str what) except? 0xffffffffffffffff:
    """A number as 64 bits; ValueError for one that has no place there."""
    if isinstance(number, bool):
        raise TypeError(f"{what} must be a whole number, not {number}")
    try:
        whole = operator.index(number)
    except TypeError:
        raise TypeError(f"{what} must be a whole number, not {type(number).__name__}") from None
    if not 0 <= whole < 2**64:
        raise ValueError(f"{what} {number} is not within 0..2**64-1")
    return whole


cdef extern from *:
    """
    /* An int of up to 60 bits, which addresses are, read in place: a call costs more. */
    #if PY_VERSION_HEX < 0x030C0000 && PYLONG_BITS_IN_DIGIT == 30 && defined(CYTHON_USE_PYLONG_INTERNALS) \
            && CYTHON_USE_PYLONG_INTERNALS
    static inline int read_digits(PyObject *number, uint64_t *value)
    {
        if (!PyLong_CheckExact(number) || (Py_SIZE(number) != 1 && Py_SIZE(number) != 2))
            return 0;
        const digit *digits = ((PyLongObject *)number)->ob_digit;
        *value = digits[0] | (Py_SIZE(number) == 2 ? (uint64_t)digits[1] << PyLong_SHIFT : 0);
        return 1;
    }
    #else
    static inline int read_digits(PyObject *number, uint64_t *value)
    {
        (void)number, (void)value;
        return 0;
    }
    #endif
    """
    bint read_digits(object number, uint64_t *value) noexcept


# The short ways cost a few nanoseconds; the last one tells what is wrong.
cdef inline uint64_t u64(object number, str what) except? 0xffffffffffffffff:
    cdef int overflow = 0
    cdef long long value
    cdef uint64_t quick
    if read_digits(number, &quick):
        return quick
    if PyLong_CheckExact(number):
        value = PyLong_AsLongLongAndOverflow(number, &overflow)
        if value >= 0 and not overflow:
            return <uint64_t>value
    return checked_u64(number, what)


# What a callback needs, apart from the domain: it may be in use when the domain goes.
@cython.no_gc_clear
cdef class FlushHook:
    cdef object call
    cdef object report  # called with how it failed in the background ...
    cdef bint is_reported  # ... once, until it succeeds again
    cdef set inside  # threads that are in the callback
    # Of each thread that is in defer(), how the callback failed there: what it raised, or the text
    # of what it returned.
    cdef dict errors

    def __cinit__(self):
        self.inside = set()
        self.errors = {}

    cdef bint enter(self, thread):
        """A thread goes into defer(); False: it was in one already, a level further out."""
        if thread in self.errors:
            return False
        self.errors[thread] = None
        return True

    cdef keep_only(self, thread):
        """After fork(): the other threads are not there."""
        self.inside &= {thread}
        self.errors = {key: error for key, error in self.errors.items() if key == thread}


cdef c.cbool _on_flush(void *context) noexcept nogil:
    # A thread of Python's has the GIL here; the background thread would have to ask for it.
    if interpreter_ends and PyGILState_GetThisThreadState() == NULL:
        return False
    with gil:
        return _call_flush_hook(<FlushHook>context)


cdef bint _call_flush_hook(FlushHook hook) noexcept:
    thread = get_ident()
    if thread in hook.inside:  # it defers a free itself: it can not be its own help
        return False
    hook.inside.add(thread)
    try:
        done = hook.call()
        flushed = done is None or bool(done)
        if flushed:
            hook.is_reported = False
        else:
            _note_failure(hook, thread, show(done))
        return flushed
    except BaseException as error:
        _note_failure(hook, thread, error)
        return False
    finally:
        hook.inside.discard(thread)


cdef _note_failure(FlushHook hook, thread, failure):
    if thread in hook.errors:
        hook.errors[thread] = failure
    elif not hook.is_reported:
        hook.is_reported = True
        _report(hook.report, failure)


cdef _report(report, error):
    try:
        report(error)
    except BaseException:
        pass  # whoever was to report it can not


# A buffer of 64-bit numbers, whoever made it.
cdef class Words:
    cdef Py_buffer buffer
    cdef uint64_t *words
    cdef size_t count

    def __dealloc__(self):
        if self.words != NULL:
            PyBuffer_Release(&self.buffer)


cdef bint is_words(const Py_buffer *buffer) noexcept:
    cdef const char *format = <const char *>buffer.format
    if buffer.itemsize != 8 or buffer.ndim != 1 or format == NULL:
        return False
    if format[0] == b"<" or format[0] == b"=":
        format += 1
    return (format[0] == b"L" or format[0] == b"Q") and format[1] == 0


cdef _whole(number):
    return None if number is None else operator.index(number)


@cython.no_gc_clear
cdef class LiveDomain:
    """See ``iova.Domain``, which is this and what need not be fast."""

    cdef c.iova_live *live  # NULL: closed, and nothing is left
    cdef readonly Design design
    cdef FlushHook hook
    cdef list events  # every Events there ever was: a call may be on its way to an old one
    cdef uint32_t busy  # calls that have let go of the GIL, or may
    cdef bint recorded
    cdef bint closed

    def __init__(self, windows, reserved, uint64_t granule, Design design, uint32_t classes,
                 uint64_t budget, bint checked, bint allow_zero, on_flush, on_error,
                 on_flush_error, uint32_t cpus=0):
        cdef c.iova_live_config config
        cdef uint64_t[:, ::1] window_words, reserved_words
        if self.live != NULL or self.closed:
            raise RuntimeError("a Domain is made once")
        memset(&config, 0, sizeof(config))
        if windows is not None:
            window_words = windows
            config.windows = <const c.iova_span *>(&window_words[0, 0] if len(windows) else NULL)
            config.window_count = len(windows)
            if not len(windows):
                raise ValueError("windows is empty: nothing could be handed out")
        if len(reserved):
            reserved_words = reserved
            config.reserved = <const c.iova_span *>&reserved_words[0, 0]
            config.reserved_count = len(reserved)
        config.granule = granule
        config.classes = classes
        config.cpus = cpus
        config.budget = budget
        config.unchecked = not checked
        config.allow_zero = allow_zero
        self.design = design
        if design.policy is not None:
            design.on_error = on_error
        config.design = design.design
        config.params = design.values if design.policy is None else NULL
        if on_flush is not None:
            self.hook = FlushHook()
            self.hook.call = on_flush
            self.hook.report = on_flush_error
            config.on_flush = _on_flush
            config.context = <void *>self.hook
        status = c.live_open(&config, False, &self.live)
        if status != c.IOVA_OK:
            self.live = NULL
            self.closed = True
            self.fail(status, None, None)

    def __dealloc__(self):
        self.end()

    cdef void end(self) noexcept:
        cdef c.iova_live *live = self.live
        self.live = NULL
        if live == NULL:
            return
        if not c.live_destroy(live):
            # The background thread is in the policy or callback: they must outlive it.
            Py_INCREF(self.design)
            Py_INCREF(self.hook)
            Py_INCREF(self.events)

    cdef leave(self):
        """A call that had let go of the GIL is back."""
        self.busy -= 1
        if self.closed and self.busy == 0:
            self.end()

    cdef fail(self, c.iova_status status, object address, object size, object limit=None,
              object align=None, object ticket=None, object index=None, object cause=None,
              object count=None, object returned=None):
        try:
            self._failed(STATUS_NAMES[status], _whole(address), _whole(size), limit=_whole(limit),
                         align=_whole(align), ticket=ticket, index=index, count=count,
                         returned=returned)
        except BaseException as failed:
            if cause is None:
                raise
            raise failed from cause
        raise AssertionError("_failed() returned")

    cdef c.iova_live *opened(self, object address, object size) except NULL:
        if self.live == NULL or self.closed:
            self.fail(c.IOVA_CLOSED, address, size)
        return self.live

    def _failed(self, status, address, size, *, limit=None, align=None, ticket=None, index=None,
                count=None, returned=None):
        """Raise what tells a failed call's caller what happened."""
        raise RuntimeError(status)

    # ---------------------------------------------------------------- once per operation

    @cython.embedsignature(True)
    def alloc(self, size, *, limit=None, align=None):
        """Take a range of ``size`` bytes; its first address.

        Its last byte lies at or below ``limit``. It starts at a multiple of ``align``, or of its
        size rounded up to a power of two granules, up to the largest size class.

        Raises:
            NoSpace: no free piece fits, with every cache of every CPU emptied.
            OverBudget: as many ranges are live as the domain may hold.
            ValueError: size 0, an align that is no power of two, or a number out of range.
            TypeError: a number is no whole one.
            MemoryError: there is no memory to keep the range.
            Closed: the domain is closed.
        """
        cdef uint64_t n = u64(size, "size")
        cdef uint64_t top = EVERYWHERE if limit is None else u64(limit, "limit")
        cdef uint64_t multiple = 0 if align is None else u64(align, "align")
        cdef uint64_t address
        cdef c.iova_status status
        if self.live == NULL:
            self.fail(c.IOVA_CLOSED, None, size)
        if c.quick_alloc_here(self.live, n, top, multiple, &address):
            return address
        status = c.live_alloc_in_full(self.live, <uint32_t>-1, n, top, multiple, &address)
        if status != c.IOVA_OK:
            self.fail(status, None, size, limit, align)
        return address

    @cython.embedsignature(True)
    def free(self, address, size=None):
        """Give a range back, which starts at ``address``; rounded sizes are compared.

        Without ``size`` the range is freed whatever its size, more slowly where it is not checked.
        A free never needs memory. After an error nothing was changed; an unchecked domain believes
        what it is told and raises none of the first three.

        Raises:
            DoubleFree: it is free already, or was deferred.
            NotAllocated: no range that was handed out starts there.
            SizeMismatch: it has another size.
            Reserved: the address is reserved, or outside the windows.
            ValueError: size 0, or a number out of range.
            TypeError: a number is no whole one.
            Closed: the domain is closed.
        """
        cdef uint64_t at = u64(address, "address")
        cdef uint64_t n = 0
        cdef c.iova_status status
        if size is not None:
            n = u64(size, "size")
            if n == 0:
                self.fail(c.IOVA_INVALID, address, size)
        if self.live == NULL:
            self.fail(c.IOVA_CLOSED, address, size)
        if c.quick_free_here(self.live, at, n):
            return
        status = c.live_free_in_full(self.live, <uint32_t>-1, at, n)
        if status != c.IOVA_OK:
            self.fail(status, address, size)

    # ------------------------------------------------------------------------- batches

    cdef Words words_of(self, object array, bint writable):
        cdef Words words = Words()
        cdef int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
        PyObject_GetBuffer(array, &words.buffer, flags)
        words.words = <uint64_t *>words.buffer.buf
        words.count = <size_t>words.buffer.len // 8
        if not is_words(&words.buffer):
            PyBuffer_Release(&words.buffer)
            words.words = NULL
            raise TypeError("addresses must be a one-dimensional array of uint64")
        return words

    @cython.embedsignature(True)
    def alloc_many(self, n, size, out=None, *, limit=None):
        """Take ``n`` ranges of ``size`` bytes: their addresses, (n,) uint64. All or none.

        They are written to ``out`` if it is given: a writeable, contiguous array of at least n
        uint64, whose first n elements are returned. What it holds after an error is undefined.

        Raises:
            TypeError: ``out`` holds no uint64 or has more than one dimension.
            ValueError: ``out`` is too short, read-only or not contiguous; else as ``alloc``.
            NoSpace, OverBudget, MemoryError, Closed: as ``alloc``.
        """
        cdef uint64_t count = u64(n, "n")
        cdef uint64_t bytes_each = u64(size, "size")
        cdef uint64_t top = EVERYWHERE if limit is None else u64(limit, "limit")
        cdef c.iova_live *live
        cdef c.iova_status status
        cdef Words words
        if bytes_each == 0:
            self.fail(c.IOVA_INVALID, None, size)
        if out is None:
            if count > 2**40:
                raise ValueError(f"n {n} is more than any domain holds")
            out = np.empty(count, dtype=np.uint64)
        words = self.words_of(out, True)
        if words.count < count:
            raise ValueError(f"out has room for {words.count} addresses, not {count}")
        live = self.opened(None, size)
        if count < MANY:
            status = c.iova_live_alloc_many(live, count, bytes_each, top, words.words)
        else:
            self.busy += 1
            with nogil:
                status = c.iova_live_alloc_many(live, count, bytes_each, top, words.words)
            self.leave()
        if status != c.IOVA_OK:
            self.fail(status, None, size, limit, None, None, None, None, count)
        return out if words.count == count else out[:count]

    @cython.embedsignature(True)
    def free_many(self, addresses, size):
        """Give back ranges that are all of ``size`` bytes: a contiguous array of uint64, or a list.

        At the first that can not be freed it stops, with an error as ``free``: those before it are
        free, it and those after it are not. The text says which it is.

        Raises:
            TypeError: an array of another type, or of more than one dimension.
            ValueError: an array that is not contiguous; else as ``free``.
        """
        cdef uint64_t bytes_each = u64(size, "size")
        cdef size_t bad = 0
        cdef c.iova_live *live
        cdef c.iova_status status
        cdef Words words
        if type(addresses) is not np.ndarray:
            addresses = self._addresses(addresses)
        words = self.words_of(addresses, False)
        if bytes_each == 0:
            self.fail(c.IOVA_INVALID, None, size)
        live = self.opened(None, size)
        if words.count < MANY:
            status = c.iova_live_free_many(live, words.count, words.words, bytes_each, &bad)
        else:
            self.busy += 1
            with nogil:
                status = c.iova_live_free_many(live, words.count, words.words, bytes_each, &bad)
            self.leave()
        if status != c.IOVA_OK:
            self.fail(status, addresses[bad], size, None, None, None, bad)

    def _addresses(self, addresses):
        return np.array([u64(address, "address") for address in addresses], dtype=np.uint64)

    # --------------------------------------------------------------------------- places

    @cython.embedsignature(True)
    def alloc_at(self, address, size):
        """Take exactly ``address`` .. ``address + size - 1``; freed like any other range.

        The size is rounded up to the granule.

        Raises:
            Reserved: part of it is reserved, outside the windows, live, or deferred.
            OverBudget, MemoryError, Closed: as ``alloc``.
            ValueError: size 0, or an address that is no multiple of the granule.
        """
        cdef uint64_t at = u64(address, "address"), n = u64(size, "size")
        status = c.iova_live_alloc_at(self.opened(address, size), at, n)
        if status != c.IOVA_OK:
            self.fail(status, address, size)

    @cython.embedsignature(True)
    def reserve(self, first, last):
        """Hand nothing out of ``first`` .. ``last`` any more, widened to whole granules.

        What is reserved or outside the windows already stays so.

        Raises:
            Reserved: something in it is live or deferred; nothing was changed.
            ValueError: first is above last.
            MemoryError: there is no memory to keep it; a part of it may be reserved.
            Closed: the domain is closed.
        """
        cdef uint64_t low = u64(first, "first"), high = u64(last, "last")
        if low > high:
            raise ValueError(f"first {low:#x} is above last {high:#x}")
        status = c.iova_live_reserve(self.opened(low, None), low, high)
        if status != c.IOVA_OK:
            self.fail(status, low, <object>high - <object>low + 1)

    def _find(self, address):
        cdef c.iova_span span
        cdef uint64_t at = u64(address, "address")
        place = c.iova_live_find(self.opened(address, None), at, &span)
        return PLACES[place], span.first, span.last

    # -------------------------------------------------------------------------- flushes

    @cython.embedsignature(True)
    def defer(self, address, size=None):
        """Free a range after the IOTLB flush that follows its unmap; a ticket, rising from 1.

        The caller has unmapped it. It is not handed out again before a flush that began after this
        call is reported: by ``on_flush``, which is called when the queue of this CPU (255 ranges)
        is full or its oldest entry is older than 10 ms, or by ``flushed``. It waits for no flush of
        others, but takes as long as an ``on_flush`` that it calls.

        Raises:
            FlushNeeded: a flush must come first, and there is no ``on_flush``, or it failed: what
                it raised is the cause, what it returned is in the text. The range is still live.
            DoubleFree, NotAllocated, SizeMismatch, Reserved, ValueError, Closed: as ``free``.
        """
        cdef uint64_t ticket = 0, at = u64(address, "address"), n = 0
        cdef c.iova_live *live
        cdef FlushHook hook = self.hook
        cdef c.iova_status status
        cdef bint outermost = False
        if size is not None:
            n = u64(size, "size")
            if n == 0:
                self.fail(c.IOVA_INVALID, address, size)
        live = self.opened(address, size)
        thread = error = None
        if hook is not None:
            thread = get_ident()
            outermost = hook.enter(thread)
        # The callback may close the domain, or let a thread run that does.
        self.busy += 1
        status = c.iova_live_defer(live, at, n, &ticket)
        if outermost:
            error = hook.errors.pop(thread)
        self.leave()
        if status == c.IOVA_OK:
            return ticket
        if isinstance(error, str):
            self.fail(status, address, size, None, None, ticket, None, None, None, error)
        if error is not None and not isinstance(error, Exception):
            raise error  # Ctrl-C, or the end of the program; the range is still live
        self.fail(status, address, size, None, None, ticket, None, error)

    @cython.embedsignature(True)
    def flushed(self, ticket):
        """Say that an IOTLB flush which began after that ticket was given out is done.

        What was deferred up to it is free now.

        Raises:
            ValueError: that ticket was not given out.
            Closed: the domain is closed.
        """
        cdef uint64_t number = u64(ticket, "ticket")
        status = c.iova_live_flushed(self.opened(None, None), number)
        if status == c.IOVA_INVALID:
            raise ValueError(f"ticket {number} was not given out by this domain")
        if status != c.IOVA_OK:
            self.fail(status, None, None)

    @cython.embedsignature(True)
    def flush_caches(self):
        """Empty every magazine of every CPU, and every depot, into the tree.

        Raises:
            Closed: the domain is closed.
        """
        cdef c.iova_live *live = self.opened(None, None)
        cdef c.iova_status status
        self.busy += 1
        with nogil:
            status = c.iova_live_flush_caches(live)
        self.leave()
        if status != c.IOVA_OK:
            self.fail(status, None, None)

    # ---------------------------------------------------------------------- what there is

    def _stats(self):
        cdef c.iova_live *live = self.opened(None, None)
        cdef c.iova_live_stats stats
        cdef c.iova_status status
        self.busy += 1
        with nogil:
            status = c.iova_live_read(live, &stats)
        self.leave()
        if status != c.IOVA_OK:
            self.fail(status, None, None)
        return stats

    def _counters(self, uint32_t size_class):
        cdef c.iova_live *live = self.opened(None, None)
        cdef c.iova_counters counters
        self.busy += 1
        with nogil:
            counters = c.iova_live_counters(live, size_class)
        self.leave()
        return counters

    @property
    def classes(self):
        return self.opened(None, None).classes

    @cython.embedsignature(True)
    def ranges(self):
        """The live ranges, (n, 2) uint64: first and last address of each, lowest first.

        A domain with ``checked=False`` can not tell a cached range from a live one.

        Raises:
            Closed: the domain is closed.
        """
        cdef c.iova_live *live = self.opened(None, None)
        cdef size_t room = 1024, count
        cdef uint64_t[:, ::1] spans
        while True:
            array = np.empty((room, 2), dtype=np.uint64)
            spans = array
            self.busy += 1
            with nogil:
                count = c.iova_live_ranges(live, <c.iova_span *>&spans[0, 0], room)
            self.leave()
            if self.closed:
                self.fail(c.IOVA_CLOSED, None, None)
            if count <= room:
                return array[:count].copy()
            room = count + count // 8

    def _check(self):
        """What is wrong inside, for tests; nobody else may use the domain meanwhile."""
        fault = c.iova_check(self.opened(None, None).domain)
        return None if fault == NULL else fault.decode()

    # ------------------------------------------------------------------------ recording

    def _set_events(self, Events events):
        """Record every call into ``events``; None: no more."""
        cdef c.iova_live *live = self.opened(None, None)
        if events is not None:
            if self.recorded:
                raise RuntimeError("the domain is being recorded already")
            if self.events is None:
                self.events = []
            self.events.append(events)
        self.recorded = events is not None
        c.live_set_recorder(live, &events.recorder if events is not None else NULL)

    def _layout(self):
        """Granule, lowest frame, CPUs, and the reserved frames, both ends included."""
        cdef c.iova_live *live = self.opened(None, None)
        cdef size_t i, count
        cdef uint64_t[:, ::1] words
        c.lock_tree(live)  # never held by one who waits for the GIL
        count = live.reserved.count
        array = np.empty((count, 2), dtype=np.uint64)
        words = array
        for i in range(count):
            words[i, 0] = live.reserved.ranges[i].lo
            words[i, 1] = live.reserved.ranges[i].hi
        c.unlock_tree(live)
        return {"granule": <object>1 << live.shift, "cpus": live.cpus, "checked": live.checked,
                "start": (<c.inner_domain *>live.domain).tree.start, "reserved": array}

    # --------------------------------------------------------------------------- the end

    @property
    def is_closed(self):
        return self.closed

    def close(self):
        if self.closed:
            return
        self.closed = True
        if self.live == NULL:
            return
        c.iova_live_close(self.live)
        if self.busy == 0:
            self.end()

    def _forked(self):
        """In a child: what other threads were about is not going on here."""
        if self.hook is not None:
            self.hook.keep_only(get_ident())
        self.recorded = False
        if self.live != NULL and not self.closed:
            c.live_set_recorder(self.live, NULL)


def end_live_domains(double timeout_s):
    """The interpreter ends: its background thread enters no policy or callback any more."""
    global interpreter_ends
    cdef bint stopped
    cdef uint64_t timeout_ns = <uint64_t>(timeout_s * 1e9)
    interpreter_ends = True
    with nogil:
        stopped = c.reclaimer_stop(timeout_ns)
    return stopped


def uses_rseq():
    return c.live_can_have_fronts()
