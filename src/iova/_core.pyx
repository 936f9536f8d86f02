# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False
"""The binding: libiova as the lab needs it, with CPU and time given by the caller.

Documented in ``_core.pyi``.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

cimport iova._libiova as c

MAX_CLASSES = c.IOVA_MAX_CLASSES
BEYOND_CLASSES = c.IOVA_BEYOND_CLASSES
MAGAZINE_CAPACITY = c.IOVA_MAGAZINE_CAPACITY
AUTO = c.IOVA_AUTO
VERSION = c.iova_version().decode()

cdef uint64_t ANCHOR = <uint64_t>-1
cdef const c.iova_memory *heap = c.iova_memory_heap()


# ------------------------------------------------------------------------------ memory


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


# ----------------------------------------------------------------------------- designs


cdef class View:
    cdef const c.iova_view *view

    cdef const c.iova_view *get(self) except NULL:
        if self.view == NULL:
            raise RuntimeError("a View is valid only during the call of look() it was given to")
        return self.view

    @property
    def now_ns(self):
        return self.get().now

    @property
    def size_class(self):
        return self.get().size_class

    @property
    def classes(self):
        return self.get().classes

    @property
    def cpus_online(self):
        return self.get().cpus_online

    @property
    def cpus_possible(self):
        return self.get().cpus_possible

    @property
    def depot(self):
        return self.get().depot

    @property
    def depot_low(self):
        return self.get().depot_low

    @property
    def pushed(self):
        return self.get().pushed

    @property
    def popped(self):
        return self.get().popped

    @property
    def tree_allocated(self):
        return self.get().tree_allocated

    def cpu(self, uint32_t cpu):
        cdef const c.iova_view *view = self.get()
        if cpu >= view.cpus_possible:
            raise ValueError(f"CPU {cpu} is not below the {view.cpus_possible} possible ones")
        return c.iova_read_cpu(view.domain, cpu, view.size_class)


cdef class Design:
    """A design the core can run: a built-in one, or one made of a Python policy."""

    cdef const c.iova_design *design
    cdef c.iova_design own  # where `design` points for a Python policy
    cdef uint64_t values[8]
    cdef readonly str name
    cdef object policy
    cdef bytes name_bytes
    cdef public object error  # the first exception of the policy

    def __init__(self, design, params=None):
        if isinstance(design, str):
            self.use_builtin(design, params or {})
        else:
            self.use_policy(design, params)

    cdef use_builtin(self, str name, params):
        self.design = c.iova_design_named(name.encode())
        if self.design == NULL:
            raise ValueError(f"there is no design {name!r}; built in: "
                             + ", ".join(d["name"] for d in builtin_designs()))
        self.name = name
        names = [self.design.params[i].name.decode() for i in range(self.design.param_count)]
        for i in range(self.design.param_count):
            self.values[i] = self.design.params[i].initial
        for key, value in params.items():
            if key not in names:
                raise ValueError(f"design {name} has no parameter {key!r}; it has: "
                                 + (", ".join(names) or "none"))
            self.set_value(names.index(key), value)

    cdef set_value(self, int i, value):
        cdef const c.iova_param *param = &self.design.params[i]
        if not isinstance(value, int):
            raise ValueError(f"{self.name}: {param.name.decode()}={value} is not a whole number")
        automatic = param.automatic != NULL and value == AUTO
        if not automatic and not param.minimum <= value <= param.maximum:
            raise ValueError(f"{self.name}: {param.name.decode()}={value} is not within "
                             f"{param.minimum}..{param.maximum}")
        self.values[i] = value

    cdef use_policy(self, policy, params):
        if params:
            raise ValueError("parameters of a Python policy go to its constructor")
        if not callable(getattr(policy, "look", None)):
            raise TypeError(f"{policy!r} is no policy: it has no method look(view)")
        self.policy = policy
        self.name = str(getattr(policy, "name", type(policy).__name__))
        self.name_bytes = self.name.encode()
        self.own.name = self.name_bytes
        self.own.summary = b"a policy in Python"
        self.own.setup = _python_setup
        self.own.look = _python_look
        self.own.user = <void *>self
        self.design = &self.own
        depot_max = getattr(policy, "depot_max", None)
        delay_ns = getattr(policy, "arm_delay_ns", 100_000_000)
        if depot_max is not None and not 0 <= depot_max < 2**64:
            raise ValueError(f"{self.name}: depot_max={depot_max} is no count of magazines")
        if not 1 <= delay_ns < 2**63:
            raise ValueError(f"{self.name}: arm_delay_ns={delay_ns} is not a positive time")
        self.values[0] = ANCHOR if depot_max is None else depot_max
        self.values[1] = delay_ns
        self.values[2] = bool(getattr(policy, "magazines_at_first_use", True))

    @property
    def depot_max(self):
        cdef c.iova_mechanism mechanism
        self.design.setup(self.design, self.values, &mechanism)
        return None if mechanism.depot_max == ANCHOR else mechanism.depot_max

    def raise_error(self):
        """Raise what the policy raised, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


cdef void _python_setup(const c.iova_design *design, const uint64_t *values,
                        c.iova_mechanism *mechanism) noexcept with gil:
    handle = <Design>design.user
    mechanism.depot_max = handle.values[0]
    mechanism.arm_delay_ns = handle.values[1]
    mechanism.magazines_at_first_use = handle.values[2] != 0


cdef void _python_look(const c.iova_design *design, void *state, const uint64_t *values,
                       const c.iova_view *view, c.iova_decision *decision) noexcept with gil:
    _look(<Design>design.user, view, decision)


cdef void _look(Design handle, const c.iova_view *view, c.iova_decision *decision) noexcept:
    cdef View shown = View.__new__(View)
    cdef uint32_t count = 0
    if handle.error is not None:  # it has failed, or Ctrl-C came: decide nothing any more
        return
    shown.view = view
    try:
        decided = handle.policy.look(shown)
        if decided is not None:
            decision.release = decided.release
            decision.keep = decided.keep
            decision.again_ns = decided.again_ns
            for cpu in decided.trim:
                if count == view.cpus_possible:
                    raise ValueError("more CPUs to trim than there are")
                decision.trim[count] = cpu
                count += 1
            decision.trim_count = count
    except BaseException as error:  # kept, and raised by whoever ran the job
        decision.release = decision.again_ns = decision.trim_count = 0
        handle.error = error
    finally:
        shown.view = NULL


def builtin_designs():
    cdef const c.iova_design *design
    cdef const c.iova_param *p
    cdef uint32_t index = 0
    found = []
    while True:
        design = c.iova_design_at(index)
        if design == NULL:
            return found
        index += 1
        params = []
        for i in range(design.param_count):
            p = &design.params[i]
            params.append({
                "name": p.name.decode(), "unit": p.unit.decode(), "help": p.help.decode(),
                "minimum": p.minimum, "maximum": p.maximum, "initial": p.initial,
                "automatic": p.automatic.decode() if p.automatic != NULL else None,
            })
        found.append({"name": design.name.decode(), "summary": design.summary.decode(),
                      "params": params})


# ----------------------------------------------------------------------------- domains


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
        cdef c.magazine *magazine
        self.check_class(size_class)
        magazine = self.cached().rcache[size_class].depot.head
        found = []
        while magazine != NULL:
            found.append(entries_of(magazine, c.IOVA_MAGAZINE_CAPACITY))
            magazine = magazine.next
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


# ------------------------------------------------------------------------------ replay


SAMPLE_FIELDS = (
    "t", "live_pages", "cached_pages", "hits_loaded", "hits_previous", "hits_depot",
    "tree_allocations", "tree_frees", "tree_steps", "reclaimed", "magazines", "tree_bytes",
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


@cython.no_gc_clear  # the designs must outlive the replay
cdef class Replay:
    cdef c.replay *replay
    cdef list designs
    cdef uint64_t fed
    cdef readonly uint32_t possible
    cdef readonly uint32_t map_bins
    cdef bint sample_cpus
    cdef object keep  # arrays the C side points into

    def __cinit__(self, designs, domains, *, uint32_t possible, online=None, uint32_t classes=6,
                  bint recorded_reclaim=False, bint count_steps=True, int64_t sample_ns=0,
                  size_t max_samples=100_000, bint sample_cpus=False, uint32_t map_bins=0,
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
        config.sample_cpus = sample_cpus
        config.map_bins = map_bins
        config.map_first = map_first
        config.map_last = map_last
        status = c.replay_create(&config, &self.replay)
        if status != c.REPLAY_OK:
            self.replay = NULL
            self.raise_replay(status, 0)

    def __dealloc__(self):
        c.replay_destroy(self.replay)

    cdef raise_replay(self, c.replay_status status, uint64_t row):
        if status == c.REPLAY_NO_MEMORY:
            raise MemoryError("no memory for the replay")
        raise ReplayError(self.fed + row, c.replay_status_text(status).decode())

    cdef raise_policies(self):
        cdef Design design
        for design in self.designs:
            if design.error is not None:
                design.raise_error()

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
                                   or not result.flags.c_contiguous):
            raise ValueError("the result must be uint64 and as long as the columns")
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
        with nogil:
            status = c.replay_feed(self.replay, &events, &row)
        self.raise_policies()
        if status != c.REPLAY_OK:
            self.raise_replay(status, row)
        self.fed += row

    def advance(self, int64_t t):
        cdef c.replay_status status
        with nogil:
            status = c.replay_advance(self.replay, t)
        self.raise_policies()
        if status != c.REPLAY_OK:
            self.raise_replay(status, 0)

    def totals(self):
        return c.replay_read_totals(self.replay)

    def counters(self, uint32_t size_class):
        return c.replay_read_counters(self.replay, size_class)

    def samples(self):
        cdef size_t count = c.replay_sample_count(self.replay)
        fields = len(SAMPLE_FIELDS)
        table = copy_words(c.replay_samples(self.replay), count * sizeof(c.replay_sample),
                           np.int64).reshape(count, sizeof(c.replay_sample) // 8)
        out = {name: table[:, i] for i, name in enumerate(SAMPLE_FIELDS)}
        out["depot"] = table[:, fields:]
        return out

    def cpu_pages(self):
        cdef size_t count = c.replay_sample_count(self.replay)
        if not self.sample_cpus:
            return None
        return copy_words(c.replay_cpu_pages(self.replay), count * self.possible * 4,
                          np.uint32).reshape(count, self.possible)

    def maps(self):
        cdef size_t count = c.replay_sample_count(self.replay)
        if not self.map_bins:
            return None
        return copy_words(c.replay_maps(self.replay), count * 2 * self.map_bins * 4,
                          np.uint32).reshape(count, 2, self.map_bins)


cdef copy_words(const void *source, size_t size, dtype):
    cdef uint8_t[::1] out
    array = np.empty(size, dtype=np.uint8)
    if size:
        out = array
        memcpy(&out[0], source, size)
    return array.view(dtype)
