# Part of _core.pyx: the simulated machine.

#: Numbers of a quantile table: at 0, 1/1024, ... 1.
QUANTILES = c.MACHINE_QUANTILES

MACHINE_SAMPLE_FIELDS = (
    "operations", "requests",
    "cpu_alloc_ps", "cpu_free_ps", "cpu_reclaim_ps", "cpu_timer_ps",
    "wait_cpu_ps", "wait_depot_ps", "wait_tree_ps", "wait_ring_ps",
    "queued", "lost",
)

#: Columns the machine writes, with the types of the event schema; ``seq`` gives their order.
MACHINE_EVENT_COLUMNS = {
    "seq": np.uint64, "t": np.int64, "t_end": np.int64, "cpu": np.uint16, "op": np.uint8,
    "flags": np.uint8, "domain": np.uint32, "slot": np.uint32, "size": np.uint64,
    "limit": np.uint64, "pfn": np.uint64, "last": np.uint64,
}

#: Rows that a run with events wants room for at least.
MACHINE_MIN_ROOM = c.MACHINE_MIN_ROOM

_DOMAIN_KEYS = frozenset((
    "granule", "start_pfn", "reserved", "lazy", "single_ring", "queue_rule", "flush",
    "stall_every", "stall",
))
_FLOW_KEYS = frozenset((
    "domain", "domains", "submitters", "depth", "submit_cpus", "complete_cpus", "in_flight",
    "resubmit_there", "think", "latency", "service", "submit_work", "complete_work", "sizes",
    "limit", "limit_rule", "on", "off", "migrate", "rebind", "start",
    "leak_every", "wrong_every", "wrong_pages",
))
_SIZE = np.dtype([("pages", np.uint64), ("weight", np.uint32)], align=True)


def _check_keys(what, given, known):
    unknown = sorted(map(str, set(given) - known))
    if unknown:
        raise ValueError(f"{what} has no {', '.join(unknown)}; it has: {', '.join(sorted(known))}")


# Arrays are copied: the C side must not see what their owner changes later.
def _whole_numbers(what, values, dtype, width=1):
    """A copy of an array of whole numbers, (n,) or of so many columns (n, width)."""
    array = np.atleast_1d(() if values is None else values)
    shape = (len(array),) if width == 1 else (len(array), width)
    if array.size == 0:
        return np.zeros(shape, dtype=dtype)
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise ValueError(f"{what}: whole numbers of shape {shape} are wanted, "
                         f"not {array.dtype} of {array.shape}")
    highest = np.iinfo(dtype).max
    if int(array.min()) < 0 or int(array.max()) > highest:
        raise ValueError(f"{what}: a number is not within 0..{highest}")
    return np.array(array, dtype=dtype, order="C")


def _wanted(what, values, dtype, width=1):
    array = _whole_numbers(what, values, dtype, width)
    if not len(array):
        raise ValueError(f"{what}: at least one is wanted")
    return array


def _quantile_table(what, values):
    if values is None:
        return None
    table = _whole_numbers(what, values, np.uint64)
    if len(table) != QUANTILES:
        raise ValueError(f"{what}: {QUANTILES} quantiles are wanted, not {len(table)}")
    if (table[1:] < table[:QUANTILES - 1]).any():
        raise ValueError(f"{what}: quantiles do not fall")
    return table


def _size_table(what, values):
    given = _wanted(what, values, np.uint64, 2)
    if int(given[:, 1].max()) > 0xFFFF_FFFF:
        raise ValueError(f"{what}: a weight is not within 0..4294967295")
    table = np.zeros(len(given), dtype=_SIZE)
    table["pages"] = given[:, 0]
    table["weight"] = given[:, 1]
    return table


cdef fill_prices(c.machine_prices *prices, given):
    cdef dict merged
    memset(prices, 0, sizeof(prices[0]))
    merged = prices[0]
    _check_keys("the price table", given, merged.keys())
    prices[0] = {**merged, **given}


@cython.no_gc_clear
cdef class Machine(Timeline):
    cdef c.machine *machine
    cdef bint has_run
    cdef bint gives_events  # in every run or in none

    def __cinit__(self, designs, *, domains, flows, prices, uint32_t cpus_possible,
                  uint32_t cpus_online, uint32_t cpus_per_node, uint32_t classes=6,
                  uint64_t seed=1, bint indexed=False, int64_t sample_ns=0,
                  size_t max_samples=100_000, uint32_t table_every=1, bint sample_cpus=False,
                  uint32_t cpu_rows=0, uint32_t map_bins=0,
                  uint64_t map_first=0, uint64_t map_last=0):
        cdef c.machine_config config
        cdef Design design
        cdef uint64_t[::1] pointers
        self.designs = list(designs)
        if not self.designs or len(self.designs) != len(domains):
            raise ValueError("one design a domain is wanted, and at least one domain")
        if not flows:
            raise ValueError("at least one flow is wanted")
        self.possible = cpus_possible
        self.cpu_rows = min(cpu_rows or cpus_possible, cpus_possible)
        self.map_bins = map_bins
        self.sample_cpus = sample_cpus
        pointer_array = np.zeros(len(self.designs), dtype=np.uint64)
        pointers = pointer_array
        for i, one in enumerate(self.designs):
            design = one
            pointers[i] = <size_t>design.design
        design = self.designs[0]
        self.keep = [pointer_array]
        memset(&config, 0, sizeof(config))
        config.cpus_possible = cpus_possible
        config.cpus_online = cpus_online
        config.cpus_per_node = cpus_per_node
        config.classes = classes
        config.params = design.values if design.policy is None else NULL
        config.domain_count = <uint32_t>len(self.designs)
        config.flow_count = <uint32_t>len(flows)
        config.domains = self.lower_domains(domains)
        config.designs = <const c.iova_design *const *>&pointers[0]
        config.flows = self.lower_flows(flows)
        fill_prices(&config.prices, prices)
        config.indexed = indexed
        config.seed = seed
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
        status = c.machine_create(&config, &self.machine)
        if status != c.REPLAY_OK:
            self.machine = NULL
            self.raise_status(status)
        self.shown = c.machine_replay(self.machine)

    def __dealloc__(self):
        if self.machine != NULL:
            c.machine_destroy(self.machine)

    # What an array's address is handed to C lives as long as this.
    cdef void *kept(self, array):
        self.keep.append(array)
        return address_of(array)

    cdef const c.machine_domain *lower_domains(self, domains) except NULL:
        cdef c.machine_domain *out
        block = np.zeros(len(domains) * sizeof(c.machine_domain), dtype=np.uint8)
        out = <c.machine_domain *>self.kept(block)
        for i, domain in enumerate(domains):
            _check_keys(f"domain {i}", domain, _DOMAIN_KEYS)
            self.lower_domain(f"domain {i}", domain, &out[<size_t>i])
        return out

    cdef lower_domain(self, what, domain, c.machine_domain *out):
        get = domain.get
        reserved = _whole_numbers(f"{what}: reserved", get("reserved"), np.uint64, 2)
        out.granule = get("granule", 0)
        out.start_pfn = get("start_pfn", 0)
        out.reserved = <const c.iova_range *>self.kept(reserved)
        out.reserved_count = len(reserved)
        out.lazy = get("lazy", False)
        out.single_ring = get("single_ring", False)
        out.queue_rule = <c.machine_queue_rule><unsigned int>get("queue_rule", 0)
        out.flush = get("flush", 0)
        out.stall_every = get("stall_every", 0)
        out.stall = get("stall", 0)

    cdef const c.machine_flow *lower_flows(self, flows) except NULL:
        cdef c.machine_flow *out
        block = np.zeros(len(flows) * sizeof(c.machine_flow), dtype=np.uint8)
        out = <c.machine_flow *>self.kept(block)
        for i, flow in enumerate(flows):
            _check_keys(f"flow {i}", flow, _FLOW_KEYS)
            self.lower_flow(f"flow {i}", flow, &out[<size_t>i])
        return out

    cdef lower_flow(self, what, flow, c.machine_flow *out):
        get = flow.get
        submit_cpus = _wanted(f"{what}: submit_cpus", get("submit_cpus"), np.uint16)
        complete_cpus = _wanted(f"{what}: complete_cpus", get("complete_cpus"), np.uint16)
        sizes = _size_table(f"{what}: sizes", get("sizes"))
        out.domain = get("domain", 0)
        out.domains = get("domains", 0)
        out.submitters = get("submitters", 0)
        out.depth = get("depth", 0)
        out.submit_cpus = <const uint16_t *>self.kept(submit_cpus)
        out.submit_cpu_count = len(submit_cpus)
        out.complete_cpus = <const uint16_t *>self.kept(complete_cpus)
        out.queues = len(complete_cpus)
        out.in_flight = get("in_flight", 0)
        out.resubmit_there = get("resubmit_there", False)
        out.think = self.lower_quantiles(f"{what}: think", get("think"))
        out.latency = self.lower_quantiles(f"{what}: latency", get("latency"))
        out.service = get("service", 0)
        out.submit_work = get("submit_work", 0)
        out.complete_work = get("complete_work", 0)
        out.sizes = <const c.machine_size *>self.kept(sizes)
        out.size_count = len(sizes)
        out.limit = get("limit", 0)
        out.limit_rule = <c.machine_limit><unsigned int>get("limit_rule", 0)
        out.on = get("on", 0)
        out.off = get("off", 0)
        out.migrate = get("migrate", 0)
        out.rebind = get("rebind", 0)
        out.start = get("start", 0)
        out.leak_every = get("leak_every", 0)
        out.wrong_every = get("wrong_every", 0)
        out.wrong_pages = get("wrong_pages", 0)

    cdef const uint64_t *lower_quantiles(self, what, values) except? NULL:
        table = _quantile_table(what, values)
        return NULL if table is None else <const uint64_t *>self.kept(table)

    cdef raise_status(self, c.replay_status status):
        if status == c.REPLAY_NO_MEMORY:
            raise MemoryError("no memory for the simulated machine")
        raise ValueError(f"the simulated machine: {c.replay_status_text(status).decode()}")

    cdef bint go_on(self, uint64_t until, uint64_t operations,
                    c.machine_events *events) except? -1:
        cdef c.cbool done = False
        cdef c.replay_status status
        self.check_idle()
        if until >= c.MACHINE_END:
            raise ValueError(f"until={until} ps is not below {c.MACHINE_END}")
        if self.has_run and self.gives_events != (events != NULL):
            raise ValueError("a machine gives its events in every run or in none")
        self.has_run = True
        self.gives_events = events != NULL
        self.begin()
        with nogil:
            status = c.machine_run(self.machine, until, operations, events, &done)
        self.busy = False
        self.raise_policies()
        if status != c.REPLAY_OK:
            self.raise_status(status)
        return done

    def run(self, uint64_t until, uint64_t operations):
        return self.go_on(until, operations, NULL)

    def run_events(self, uint64_t until, size_t rows):
        cdef c.machine_events events
        if rows < c.MACHINE_MIN_ROOM:
            raise ValueError(f"room for {c.MACHINE_MIN_ROOM} rows is wanted at least")
        columns = {name: np.zeros(rows, dtype=dtype)
                   for name, dtype in MACHINE_EVENT_COLUMNS.items()}
        memset(&events, 0, sizeof(events))
        events.room = rows
        events.seq = <uint64_t *>address_of(columns["seq"])
        events.t = <int64_t *>address_of(columns["t"])
        events.t_end = <int64_t *>address_of(columns["t_end"])
        events.cpu = <uint16_t *>address_of(columns["cpu"])
        events.op = <uint8_t *>address_of(columns["op"])
        events.flags = <uint8_t *>address_of(columns["flags"])
        events.domain = <uint32_t *>address_of(columns["domain"])
        events.slot = <uint32_t *>address_of(columns["slot"])
        events.size = <uint64_t *>address_of(columns["size"])
        events.limit = <uint64_t *>address_of(columns["limit"])
        events.pfn = <uint64_t *>address_of(columns["pfn"])
        events.last = <uint64_t *>address_of(columns["last"])
        done = self.go_on(until, <uint64_t>1 << 62, &events)
        return {name: column[:events.count] for name, column in columns.items()}, done

    def totals(self):
        cdef dict totals
        self.check_idle()
        totals = c.machine_read_totals(self.machine)
        cpu, lock = totals["cpu"], totals["lock"]
        totals["cpu"] = {
            "alloc": cpu[<int>c.MACHINE_ALLOC], "free": cpu[<int>c.MACHINE_FREE],
            "reclaim": cpu[<int>c.MACHINE_RECLAIM], "timer": cpu[<int>c.MACHINE_TIMER],
        }
        totals["lock"] = {
            "cpu": lock[<int>c.MACHINE_LOCK_CPU], "depot": lock[<int>c.MACHINE_LOCK_DEPOT],
            "tree": lock[<int>c.MACHINE_LOCK_TREE], "ring": lock[<int>c.MACHINE_LOCK_RING],
        }
        return totals

    def replay_totals(self):
        self.check_idle()
        return c.replay_read_totals(self.shown)

    def samples(self):
        out = self.replay_samples()
        table = self.sampled(c.machine_samples(self.machine), sizeof(c.machine_sample),
                             np.int64).reshape(-1, len(MACHINE_SAMPLE_FIELDS))
        return out | {name: table[:, i] for i, name in enumerate(MACHINE_SAMPLE_FIELDS)}

    def handovers(self):
        cdef const uint64_t *counted = c.machine_handovers(self.machine)
        if counted == NULL:
            return None
        size = 8 * <size_t>self.cpu_rows * self.cpu_rows
        return self.copied(counted, size, np.uint64).reshape(self.cpu_rows, self.cpu_rows)

    def alloc_times(self):
        return self.times(c.machine_alloc_times(self.machine))

    def free_times(self):
        return self.times(c.machine_free_times(self.machine))

    cdef times(self, const uint64_t *histogram):
        self.check_idle()
        return copy_words(histogram, c.MACHINE_BUCKETS * sizeof(uint64_t), np.uint64)
