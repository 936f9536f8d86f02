/* SPDX-License-Identifier: MIT */
#include "machine_support.h"

/* support.h has a function of that name, too. */
#define random_below random_index_below
#include "machine_inner.h"
#undef random_below

/* -------------------------------------------------------------------------- set-up */

struct machine_prices prime_prices(uint64_t scale)
{
	return (struct machine_prices){
		.alloc_hit = 11 * scale,
		.free_hit = 13 * scale,
		.swap = 17 * scale,
		.lock = 19 * scale,
		.line = 23 * scale,
		.line_far = 29 * scale,
		.line_ahead = 31 * scale,
		.line_ahead_far = 37 * scale,
		.depot = 41 * scale,
		.magazine_new = 43 * scale,
		.magazine_free = 47 * scale,
		.scan = 53 * scale,
		.tree_alloc = 59 * scale,
		.tree_free = 61 * scale,
		.tree_step = 67 * scale,
		.tree_step_far = 71 * scale,
		.tree_level = 73 * scale,
		.tree_level_far = 79 * scale,
		.tree_near = 1000,
		.index_alloc = 83 * scale,
		.index_free = 89 * scale,
		.queue = 97 * scale,
		.job = 101 * scale,
	};
}

void setup_init(struct setup *setup, const char *design, uint32_t cpus)
{
	CHECK(cpus <= SETUP_CPUS);
	memset(setup, 0, sizeof(*setup));
	test_memory_init(&setup->memory);
	setup->config = (struct machine_config){
		.cpus_possible = cpus,
		.cpus_online = cpus,
		.classes = IOVA_DEFAULT_CLASSES,
		.cpus_per_node = cpus,
		.domains = setup->domains,
		.designs = setup->designs,
		.flows = setup->flows,
		.prices = prime_prices(PS),
		.seed = 1,
	};
	setup->config.memory = &setup->memory.table;
	add_domain(setup, design);
	row_count = 0;
}

struct machine_domain *add_domain(struct setup *setup, const char *design)
{
	uint32_t number = setup->config.domain_count++;
	CHECK(number < SETUP_DOMAINS);
	setup->designs[number] = iova_design_named(design);
	CHECK(setup->designs[number] != NULL);
	setup->domains[number] = (struct machine_domain){ .granule = 4096, .start_pfn = 1 };
	return &setup->domains[number];
}

struct machine_flow *add_flow(struct setup *setup, uint16_t submit_cpu, uint16_t complete_cpu)
{
	uint32_t number = setup->config.flow_count++;
	CHECK(number < SETUP_FLOWS);
	setup->of_flow[number].submit_cpus[0] = submit_cpu;
	setup->of_flow[number].complete_cpus[0] = complete_cpu;
	setup->of_flow[number].sizes[0] = (struct machine_size){ 1, 1 };
	setup->flows[number] = (struct machine_flow){
		.domains = 1,
		.submitters = 1,
		.depth = 1,
		.submit_cpus = setup->of_flow[number].submit_cpus,
		.submit_cpu_count = 1,
		.complete_cpus = setup->of_flow[number].complete_cpus,
		.queues = 1,
		.sizes = setup->of_flow[number].sizes,
		.size_count = 1,
		.limit = LIMIT32,
	};
	return &setup->flows[number];
}

struct machine_flow *add_request(struct setup *setup, uint16_t submit_cpu, uint16_t complete_cpu,
				 uint64_t pages, uint64_t start, uint64_t latency)
{
	struct machine_flow *flow = add_flow(setup, submit_cpu, complete_cpu);
	size_t number = (size_t)(flow - setup->flows);
	setup->of_flow[number].sizes[0].pages = pages;
	flow->start = start;
	set_latency(setup, flow, latency);
	/* On for the one moment in which its lane is ready for the first time. */
	flow->on = PS;
	flow->off = FOR_EVER;
	return flow;
}

static void set_time(uint64_t *quantiles, uint64_t ps)
{
	for (size_t i = 0; i < MACHINE_QUANTILES; i++)
		quantiles[i] = ps;
}

void set_think(struct setup *setup, const struct machine_flow *flow, uint64_t ps)
{
	size_t number = (size_t)(flow - setup->flows);
	set_time(setup->of_flow[number].think, ps);
	setup->flows[number].think = setup->of_flow[number].think;
}

void set_latency(struct setup *setup, const struct machine_flow *flow, uint64_t ps)
{
	size_t number = (size_t)(flow - setup->flows);
	set_time(setup->of_flow[number].latency, ps);
	setup->flows[number].latency = setup->of_flow[number].latency;
}

/* ------------------------------------------------------------------------- running */

struct machine *start_machine(struct setup *setup)
{
	struct machine *machine = NULL;
	CHECK_EQ(machine_create(&setup->config, &machine), REPLAY_OK);
	return machine;
}

void run_to(struct machine *machine, uint64_t until)
{
	bool done = false;
	CHECK_EQ(machine_run(machine, until, UINT64_MAX, NULL, &done), REPLAY_OK);
	CHECK(done);
	CHECK_EQ(machine_read_totals(machine).now, until);
}

void end_machine(struct setup *setup, struct machine *machine)
{
	CHECK_SOUND(machine_fault(machine));
	machine_destroy(machine);
	CHECK_EQ(test_memory_held(&setup->memory), 0);
}

struct iova_counters counters_of_machine(const struct machine *machine)
{
	struct iova_counters sum = { 0 };
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters one = replay_read_counters(machine_replay(machine), k);
		const uint64_t *from = (const uint64_t *)&one;
		uint64_t *to = (uint64_t *)&sum;
		for (size_t i = 0; i < sizeof(sum) / sizeof(*to); i++)
			to[i] += from[i];
	}
	return sum;
}

/* ---------------------------------------------------------------------------- rows */

struct one_row rows[MAX_ROWS];
size_t row_count;

/* What machine_run() writes, as large as it may ask for. */
static struct columns {
	uint64_t seq[MACHINE_MIN_ROOM], size[MACHINE_MIN_ROOM], limit[MACHINE_MIN_ROOM],
		pfn[MACHINE_MIN_ROOM], last[MACHINE_MIN_ROOM];
	int64_t t[MACHINE_MIN_ROOM], t_end[MACHINE_MIN_ROOM];
	uint32_t domain[MACHINE_MIN_ROOM], slot[MACHINE_MIN_ROOM], n[MACHINE_MIN_ROOM];
	uint16_t cpu[MACHINE_MIN_ROOM];
	uint8_t op[MACHINE_MIN_ROOM], flags[MACHINE_MIN_ROOM];
} columns;

static struct machine_events table_of(size_t count)
{
	return (struct machine_events){
		.room = MACHINE_MIN_ROOM,
		.count = count,
		.seq = columns.seq,
		.t = columns.t,
		.t_end = columns.t_end,
		.cpu = columns.cpu,
		.op = columns.op,
		.flags = columns.flags,
		.domain = columns.domain,
		.slot = columns.slot,
		.size = columns.size,
		.limit = columns.limit,
		.pfn = columns.pfn,
		.last = columns.last,
	};
}

static void keep_rows(const struct machine_events *table, size_t first)
{
	for (size_t i = first; i < table->count; i++) {
		CHECK(row_count < MAX_ROWS);
		rows[row_count++] = (struct one_row){
			.seq = table->seq[i],
			.size = table->size[i],
			.limit = table->limit[i],
			.pfn = table->pfn[i],
			.last = table->last[i],
			.t = table->t[i],
			.t_end = table->t_end[i],
			.domain = table->domain[i],
			.slot = table->slot[i],
			.cpu = table->cpu[i],
			.op = table->op[i],
			.flags = table->flags[i],
		};
	}
}

static int by_seq(const void *a, const void *b)
{
	const struct one_row *left = a, *right = b;
	return (left->seq > right->seq) - (left->seq < right->seq);
}

void run_rows(struct machine *machine, uint64_t until, uint64_t operations, size_t filled)
{
	bool done = false;
	size_t calls = 0;
	while (!done) {
		/* All domains' births want a whole table, and so does a rebind. */
		bool whole = calls == 0 || machine_wants_a_table(machine);
		struct machine_events table = table_of(whole ? 0 : filled);
		size_t first = table.count;
		CHECK_EQ(machine_run(machine, until, operations, &table, &done), REPLAY_OK);
		keep_rows(&table, first);
		CHECK(++calls < 10000000);
	}
	qsort(rows, row_count, sizeof(rows[0]), by_seq);
}

const struct one_row *nth_row(enum replay_op op, size_t n)
{
	for (size_t i = 0; i < row_count; i++)
		if (rows[i].op == op && n-- == 0)
			return &rows[i];
	check_true(false, "there is such a row", __FILE__, __LINE__);
	return NULL;
}

size_t rows_of(enum replay_op op)
{
	size_t n = 0;
	for (size_t i = 0; i < row_count; i++)
		n += rows[i].op == op;
	return n;
}

static void check_order_of_rows(void)
{
	for (size_t i = 1; i < row_count; i++) {
		CHECK(rows[i - 1].seq < rows[i].seq);
		CHECK(rows[i - 1].t <= rows[i].t);
		CHECK(rows[i].t <= rows[i].t_end);
	}
}

static uint32_t domains_of_rows(void)
{
	uint32_t most = 0;
	for (size_t i = 0; i < row_count; i++)
		if (rows[i].domain != MACHINE_NO_DOMAIN && rows[i].domain > most)
			most = rows[i].domain;
	return most + 1;
}

static struct replay_events columns_of_rows(size_t first, size_t count, uint64_t *result)
{
	for (size_t i = 0; i < count; i++) {
		const struct one_row *row = &rows[first + i];
		columns.t[i] = row->t;
		columns.cpu[i] = row->cpu;
		columns.op[i] = row->op;
		columns.flags[i] = row->flags;
		columns.domain[i] = row->domain;
		columns.slot[i] = row->slot;
		columns.size[i] = row->size;
		columns.limit[i] = row->limit;
		columns.pfn[i] = row->pfn;
		columns.last[i] = row->last;
	}
	return (struct replay_events){
		.count = count,
		.t = columns.t,
		.cpu = columns.cpu,
		.op = columns.op,
		.flags = columns.flags,
		.domain = columns.domain,
		.size = columns.size,
		.limit = columns.limit,
		.pfn = columns.pfn,
		.last = columns.last,
		.slot = columns.slot,
		.n = columns.n,
		.result = result,
	};
}

static void check_same_ranges(size_t first, size_t count, const uint64_t *result)
{
	for (size_t i = 0; i < count; i++)
		if (rows[first + i].op == OP_ALLOC)
			CHECK_EQ(result[i], rows[first + i].pfn);
}

/* Rows before the first call that the core has executed and that has not ended. */
static size_t rows_without_gaps(const struct machine *m)
{
	uint64_t first = UINT64_MAX;
	size_t n = 0;
	for (uint32_t i = 0; i < m->config.cpus_possible; i++) {
		const struct activity *act = &m->cpus[i].act;
		if (act->kind != ACT_NONE && act->playing && act->seq < first)
			first = act->seq;
	}
	while (n < row_count && rows[n].seq < first)
		n++;
	return n;
}

void check_replay_of_rows(const struct setup *setup, const struct machine *machine)
{
	enum { AT_A_TIME = 1024, MOST_DOMAINS = 8192 };
	static struct replay_domain_config domains[MOST_DOMAINS];
	static const struct iova_design *designs[MOST_DOMAINS];
	uint64_t result[AT_A_TIME];
	size_t rows_to_feed = rows_without_gaps(machine);
	check_order_of_rows();
	struct replay_config config = {
		.cpus_possible = setup->config.cpus_possible,
		.cpus_online = setup->config.cpus_online,
		.classes = setup->config.classes,
		.params = setup->config.params,
		.domain_count = domains_of_rows(),
		.domains = domains,
		.designs = designs,
	};
	CHECK(config.domain_count <= MOST_DOMAINS);
	for (uint32_t i = 0; i < config.domain_count; i++) {
		domains[i] = (struct replay_domain_config){ setup->domains[0].granule, 1 };
		designs[i] = setup->designs[0];
	}
	struct replay *replay = NULL;
	CHECK_EQ(replay_create(&config, &replay), REPLAY_OK);
	for (size_t first = 0; first < rows_to_feed; first += AT_A_TIME) {
		size_t left = rows_to_feed - first, done;
		size_t count = left < AT_A_TIME ? left : AT_A_TIME;
		struct replay_events events = columns_of_rows(first, count, result);
		CHECK_TEXT(replay_status_text(replay_feed(replay, &events, &done)),
			   replay_status_text(REPLAY_OK));
		check_same_ranges(first, count, result);
	}
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.skipped_frees, 0);
	CHECK_EQ(totals.warnings, 0);
	replay_destroy(replay);
}

/* ------------------------------------------------------- inside: who is at which place */

/*
 * What machine_fault() looks at. Every lane is in one list, one event or one activity; a CPU
 * that waits is in one lock's list; an event that a CPU expects is there once. Ranges that
 * users hold are those of lanes, of rings, and those that rings lost. Every range of a core's
 * tree is live, cached or reserved. Nothing was counted twice or forgotten.
 */
static unsigned char lane_seen[MACHINE_MAX_LANES];
static unsigned char cpu_seen[MACHINE_MAX_CPUS], cpu_waits[MACHINE_MAX_CPUS];
static uint64_t domain_live[MACHINE_MAX_DOMAINS];
/* These are of tests' own machines. */
static unsigned char timer_seen[SETUP_DOMAINS], job_seen[SETUP_DOMAINS * IOVA_MAX_CLASSES];

static bool see(const struct machine *m, uint32_t work, bool holds)
{
	if (work >= m->lane_count)
		return true;
	domain_live[m->lanes[work].domain] += holds;
	return lane_seen[work]++ == 0;
}

/* In a CPU's list; a range that will never be freed was counted as leaked. */
static bool waiting_lane_holds(const struct machine *m, uint32_t lane)
{
	return m->lanes[lane].completes && m->lanes[lane].mishap != NEVER_FREED;
}

/* False: a lane is there that is somewhere else, too, or the list has no end. */
static bool see_list(const struct machine *m, const struct list *list, bool may_hold)
{
	uint32_t length = 0;
	for (uint32_t work = list->first; work != NOBODY; work = m->next[work]) {
		if (work >= m->work_count || ++length > m->work_count)
			return false;
		if (!see(m, work, may_hold && work < m->lane_count && waiting_lane_holds(m, work)))
			return false;
		if (m->next[work] == NOBODY && list->last != work)
			return false;
	}
	return true;
}

static const char *see_events(const struct machine *m)
{
	for (size_t i = 0; i < m->queue.count; i++) {
		const struct event *event = &m->queue.heap[i];
		uint32_t number = (uint32_t)event->what;
		if (event->time < m->now)
			return "an event lies in the past";
		if (i > 0 && m->queue.heap[(i - 1) / 4].time > event->time)
			return "the events are no heap";
		switch ((enum event_kind)(event->what >> 32)) {
		case EVENT_CPU:
			if (cpu_seen[number]++)
				return "a CPU has two events";
			break;
		case EVENT_DONE:
		case EVENT_GO:
		case EVENT_READY:
			if (!see(m, number, event->what >> 32 == EVENT_DONE))
				return "a lane of an event is somewhere else, too";
			break;
		case EVENT_TIMER:
			timer_seen[number]++;
			break;
		case EVENT_JOB:
			job_seen[number]++;
			break;
		case EVENT_BURST:
		case EVENT_REBIND:
			break;
		}
	}
	return NULL;
}

static const char *see_waiters(const struct machine *m, const struct sim_lock *lock)
{
	uint32_t last = NOBODY, length = 0;
	if (lock->waiters != NOBODY && !lock->held)
		return "someone waits for a lock that is free";
	for (uint32_t cpu = lock->waiters; cpu != NOBODY; cpu = m->cpus[cpu].next_waiter) {
		if (cpu >= m->config.cpus_possible || ++length > m->config.cpus_possible)
			return "a lock's list of waiters is broken";
		if (cpu_waits[cpu]++)
			return "a CPU waits at two places";
		last = cpu;
	}
	return last == NOBODY || last == lock->last_waiter ? NULL : "a list's end is not its end";
}

static const char *see_locks(const struct machine *m)
{
	for (uint32_t i = 0; i < m->config.domain_count; i++) {
		const struct sim_domain *d = &m->domains[i];
		size_t n = (size_t)(m->config.cpus_possible + 1) * m->config.classes + 1 +
			   d->ring_count;
		for (size_t l = 0; d->locks && l < n; l++) {
			const char *fault = see_waiters(m, &d->locks[l]);
			if (fault)
				return fault;
		}
	}
	return NULL;
}

/* Whether a lane that its CPU works for has a range that was not given back yet. */
static bool activity_holds(const struct machine *m, const struct activity *act)
{
	return (act->kind == ACT_ALLOC && m->lanes[act->work].pfn) || act->kind == ACT_QUEUE;
}

/* A lane's own free under the strict rule; its range has left. */
static const char *see_cpus(const struct machine *m)
{
	for (uint32_t i = 0; i < m->config.cpus_possible; i++) {
		const struct sim_cpu *cpu = &m->cpus[i];
		bool works = cpu->act.kind != ACT_NONE;
		bool waits = cpu->interrupts.first != NOBODY || cpu->tasks.first != NOBODY;
		if (!see_list(m, &cpu->interrupts, true) || !see_list(m, &cpu->tasks, true))
			return "a lane of a CPU's list is somewhere else, too";
		if (cpu->event_pending != (cpu_seen[i] == 1))
			return "a CPU and the events disagree";
		if (works && cpu_seen[i] + cpu_waits[i] + (m->interrupted == i) != 1)
			return "a CPU that works is not to be woken once";
		if (!works && (cpu_seen[i] != waits || cpu_waits[i]))
			return "a CPU with work is not woken, or one without is";
		if (works && cpu->act.work < m->lane_count &&
		    !see(m, cpu->act.work, activity_holds(m, &cpu->act)))
			return "a lane of an activity is somewhere else, too";
	}
	return NULL;
}

static const char *see_flows(const struct machine *m)
{
	for (uint32_t f = 0; f < m->config.flow_count; f++)
		if (!see_list(m, &m->flows[f].waiting, false) ||
		    !see_list(m, &m->flows[f].parked, false))
			return "a lane of a flow's list is somewhere else, too";
	for (uint32_t lane = 0; lane < m->lane_count; lane++)
		if (lane_seen[lane] != 1)
			return "a lane is nowhere";
	return NULL;
}

/* Lanes that the device has room for, or that are on their way, never exceed the room. */
static const char *check_flows(const struct machine *m)
{
	for (uint32_t f = 0; f < m->config.flow_count; f++) {
		const struct sim_flow *flow = &m->flows[f];
		if (flow->config->in_flight && flow->used > flow->config->in_flight)
			return "more is in flight than there is room for";
		if (flow->config->in_flight && flow->used != flow->outstanding)
			return "room is taken for others than those that are outstanding";
		if (flow->outstanding > flow->lanes)
			return "more lanes are outstanding than there are";
		bool quiet = flow->off || flow->rebinding;
		if (!quiet && flow->parked.first != NOBODY)
			return "a lane of a flow that is on is parked";
		if (!quiet && flow->waiting.first != NOBODY &&
		    flow->used < flow->config->in_flight)
			return "a lane waits though the device has room";
	}
	return NULL;
}

/* What a core or a ring waits for will come, and once. */
static const char *check_deadlines(const struct machine *m)
{
	for (uint32_t i = 0; i < m->config.domain_count; i++) {
		const struct sim_domain *d = &m->domains[i];
		for (uint32_t k = 0; k < m->config.classes; k++) {
			bool armed = d->ledger->core->rcache[k].job.due != IOVA_NEVER;
			bool event = job_seen[i * IOVA_MAX_CLASSES + k] == 1;
			if (event != (d->job_at[k] != IOVA_NEVER))
				return "a job and the events disagree";
			if (armed && !event && !d->job_queued[k])
				return "a job that is armed will not run";
		}
		if (timer_seen[i] != d->timer_event)
			return "a timer and the events disagree";
		if (d->timer_at != IOVA_NEVER && !d->timer_event && !d->timer_queued)
			return "a timer that was started will not run";
		for (uint32_t r = 0; r < d->ring_count; r++)
			if (ring_length(&d->rings[r]) && d->timer_at == IOVA_NEVER &&
			    !d->timer_queued)
				return "a ring holds ranges that no timer will release";
	}
	return NULL;
}

/* ----------------------------------------------------------------- inside: accounting */

static const char *check_core(const struct machine *m, uint32_t number, uint64_t reserved)
{
	const struct replay_domain *ledger = m->domains[number].ledger;
	uint64_t cached = 0;
	const char *fault = iova_check(ledger->core);
	if (fault)
		return fault;
	for (uint32_t k = 0; k < m->config.classes; k++) {
		const struct origins *origins = &m->domains[number].full[k];
		struct iova_counters counters = iova_read_counters(ledger->core, k);
		cached += counters.cached;
		if (m->domains[number].locks && origins->count != counters.depot)
			return "who filled the depot's magazines is not known of each";
	}
	if (iova_read_totals(ledger->core).ranges != ledger->live_ranges + cached + reserved)
		return "a range is neither live nor cached nor reserved, or two of these";
	if (ledger->core->warnings)
		return "the core was warned";
	return NULL;
}

static const char *check_domains(const struct machine *m)
{
	uint64_t live = 0, expected = 0, queued = 0;
	for (uint32_t i = 0; i < m->config.domain_count; i++) {
		const struct sim_domain *d = &m->domains[i];
		const char *fault = check_core(m, i, m->config.domains[i].reserved_count);
		if (fault)
			return fault;
		live += d->ledger->live_ranges;
		expected += domain_live[i];
		for (uint32_t r = 0; r < d->ring_count; r++)
			queued += ring_length(&d->rings[r]);
	}
	if (queued != m->totals.queued)
		return "what the rings hold was miscounted";
	uint64_t gone = m->totals.lost + m->totals.leaked;
	/* A domain's end takes what it has lost along. */
	if (live != expected + queued + gone && (m->totals.rebinds == 0 || gone == 0))
		return "a live range is neither a lane's nor a ring's nor lost nor leaked";
	return NULL;
}

static const char *check_totals(const struct machine *m)
{
	struct machine_totals totals = m->totals;
	struct replay_totals ledger = replay_read_totals(m->replay);
	struct iova_counters c = counters_of_machine(m);
	uint64_t begun = 0, tail = 0, sources = 0;
	for (uint32_t i = 0; i < m->config.cpus_possible; i++) {
		const struct sim_cpu *cpu = &m->cpus[i];
		begun += cpu->act.kind != ACT_NONE && cpu->act.kind != ACT_JOB && cpu->act.playing;
		tail += cpu->free_at > m->now ? cpu->free_at - m->now : 0;
	}
	if (totals.operations + begun != ledger.allocations + ledger.frees)
		return "calls of the core were miscounted";
	if (c.hits_loaded + c.hits_previous + c.hits_depot + c.tree_allocations !=
	    ledger.allocations - ledger.failed)
		return "an allocation came from nowhere";
	if (totals.busy > m->config.cpus_possible * m->now + tail)
		return "CPUs were busy for longer than they were there";
	for (uint32_t i = 0; i < MACHINE_SOURCES; i++)
		sources += totals.cpu[i];
	if (sources > totals.busy)
		return "the sources took more time than was spent";
	for (uint32_t i = 0; i < MACHINE_LOCKS; i++) {
		const struct machine_lock_totals *lock = &totals.lock[i];
		if (lock->wait_longest > lock->wait || lock->held_longest > lock->held ||
		    lock->waited > lock->taken || (lock->waited == 0) != (lock->wait == 0))
			return "the totals of a lock contradict each other";
	}
	return NULL;
}

const char *machine_fault(const struct machine *m)
{
	memset(lane_seen, 0, m->lane_count);
	memset(cpu_seen, 0, m->config.cpus_possible);
	memset(cpu_waits, 0, m->config.cpus_possible);
	memset(domain_live, 0, m->config.domain_count * sizeof(domain_live[0]));
	memset(timer_seen, 0, sizeof(timer_seen));
	memset(job_seen, 0, sizeof(job_seen));
	const char *(*const parts[])(const struct machine *) = {
		see_events,	 see_locks,	see_cpus,     see_flows,
		check_deadlines, check_flows,	check_domains, check_totals,
	};
	for (size_t i = 0; i < COUNT_OF_ARRAY(parts); i++) {
		const char *fault = parts[i](m);
		if (fault)
			return fault;
	}
	return NULL;
}

uint64_t machine_ring_length(const struct machine *m, uint32_t domain, uint32_t ring)
{
	return ring_length(&m->domains[domain].rings[ring]);
}

uint64_t machine_depot(const struct machine *m, uint32_t domain, uint32_t size_class)
{
	return m->domains[domain].ledger->core->rcache[size_class].depot.length;
}

bool machine_wants_a_table(const struct machine *m)
{
	return m->interrupted != NOBODY && m->rows_wanted > ROWS_AN_EVENT;
}
