/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <string.h>

#include "rcache_fast.h"
#include "replay_samples.h"

/* A slot's allocation failed, or there is none. */
#define NO_PFN UINT64_MAX

struct slot {
	uint64_t pfn;
	uint64_t pages; /* that the range has in the tree */
	uint32_t domain;
	uint32_t epoch; /* of the domain: a range dies with it */
};

struct replay_domain {
	struct iova_domain *core; /* NULL: not created, or destroyed */
	uint32_t epoch;		  /* times it was destroyed */
	uint64_t live, live_ranges; /* pages and ranges users hold */
	uint64_t outside;	  /* pages of the tree that are neither live nor cached */
	uint64_t cached;	  /* tree pages - live - outside, as last accounted */
	uint64_t depot[IOVA_MAX_CLASSES]; /* full magazines, as last accounted */
	uint64_t ranges;	  /* as last accounted */
	uint64_t magazines;	  /* as last accounted */
};

struct replay {
	struct replay_config config;
	struct iova_memory memory;
	struct replay_domain *domains;
	struct slot *slots;
	size_t slot_count, slot_capacity;
	bool previous_failed; /* the row before is an allocation that failed */
	bool *online;	      /* by CPU: a domain that is made later starts with these */
	bool someone_left;    /* a CPU went offline and has not been seen since */
	bool started;
	int64_t now;
	uint64_t next_sample; /* may pass the end of the clock */
	uint64_t next_due; /* earliest deadline of any domain */
	uint64_t ranges, magazines, depot; /* of all domains */
	struct replay_totals totals;
	struct iova_counters dead[IOVA_MAX_CLASSES + 1]; /* of destroyed domains */
	struct sample_store samples;
};

const char *replay_status_text(enum replay_status status)
{
	static const char *const text[] = {
		[REPLAY_OK] = "success",
		[REPLAY_NO_MEMORY] = "out of memory",
		[REPLAY_TIME_BACK] = "time goes back",
		[REPLAY_BAD_OP] = "unknown operation",
		[REPLAY_BAD_CPU] = "the CPU is not below the number of possible CPUs",
		[REPLAY_BAD_DOMAIN] = "the domain has not been announced",
		[REPLAY_BAD_SIZE] = "a size of 0",
		[REPLAY_BAD_SLOT] = "the slot is missing, taken or not dense",
		[REPLAY_EXISTS] = "the domain or its caches exist already",
		[REPLAY_BAD_RESERVE] = "a reservation that the granule does not allow",
		[REPLAY_SAMPLES] = "too many samples for the span of time",
		[REPLAY_BAD_CONFIG] = "a number of the configuration is out of range",
	};
	return (size_t)status < COUNT_OF_ARRAY(text) ? text[status] : "unknown status";
}

/* ------------------------------------------------------------------------ accounting */

/* Time goes on to t while nothing changes: integrals grow. */
static inline void pass_time(struct replay *r, int64_t t)
{
	if (likely(r->started)) {
		double dt = (double)(t - r->now);
		r->totals.cached_page_ns += (double)r->totals.cached_pages * dt;
		r->totals.depot_ns += (double)r->depot * dt;
	}
	r->now = t;
}

static inline void raise_peak(uint64_t *peak, uint64_t value)
{
	if (value > *peak)
		*peak = value;
}

/* After something happened in a domain: what is cached, and the peaks of all domains. */
static inline void account(struct replay *r, struct replay_domain *d)
{
	uint64_t used = d->live + d->outside, pages = d->core ? d->core->tree.index.pages : 0;
	uint64_t cached = pages > used ? pages - used : 0;
	r->totals.cached_pages += cached - d->cached;
	d->cached = cached;
	raise_peak(&r->totals.cached_pages_peak, r->totals.cached_pages);
}

/* The same for what only the slow paths change. */
static void account_slow(struct replay *r, struct replay_domain *d)
{
	uint64_t ranges = d->core ? d->core->tree.index.count - 1 : 0;
	uint64_t magazines = d->core ? d->core->magazines : 0;
	r->ranges += ranges - d->ranges;
	r->magazines += magazines - d->magazines;
	d->ranges = ranges;
	d->magazines = magazines;
	for (uint32_t k = 0; k < r->config.classes; k++) {
		uint64_t depot = d->core ? d->core->rcache[k].depot.length : 0;
		r->depot += depot - d->depot[k];
		d->depot[k] = depot;
	}
	raise_peak(&r->totals.ranges_peak, r->ranges);
	raise_peak(&r->totals.magazines_peak, r->magazines);
	raise_peak(&r->totals.linux_bytes_peak,
		   r->ranges * LINUX_RANGE_BYTES + r->magazines * LINUX_MAGAZINE_BYTES);
	account(r, d);
}

/* Whether a call on ranges of this class changed what account_slow() reads. */
static inline bool slow_part_moved(const struct replay_domain *d, unsigned size_class)
{
	const struct iova_domain *core = d->core;
	return core->tree.index.count - 1 != d->ranges || core->magazines != d->magazines ||
	       (size_class < core->classes &&
		core->rcache[size_class].depot.length != d->depot[size_class]);
}

static inline void account_call(struct replay *r, struct replay_domain *d, uint64_t size)
{
	if (unlikely(slow_part_moved(d, order_of(size))))
		account_slow(r, d);
	else
		account(r, d);
	if (unlikely(d->core->earliest < r->next_due) && !r->config.recorded_reclaim)
		r->next_due = d->core->earliest;
}

static void went_live(struct replay *r, struct replay_domain *d, uint64_t pages)
{
	d->live += pages;
	d->live_ranges++;
	r->totals.live_pages += pages;
	raise_peak(&r->totals.live_pages_peak, r->totals.live_pages);
	raise_peak(&r->totals.live_ranges_peak, ++r->totals.live_ranges);
}

static void left_live(struct replay *r, struct replay_domain *d, uint64_t pages)
{
	d->live -= pages;
	d->live_ranges--;
	r->totals.live_pages -= pages;
	r->totals.live_ranges--;
}

/* ----------------------------------------------------------------------------- time */

static void find_next_due(struct replay *r)
{
	r->next_due = IOVA_NEVER;
	if (r->config.recorded_reclaim)
		return;
	for (uint32_t i = 0; i < r->config.domain_count; i++)
		if (r->domains[i].core && r->domains[i].core->earliest < r->next_due)
			r->next_due = r->domains[i].core->earliest;
}

static void run_jobs(struct replay *r, uint64_t due)
{
	pass_time(r, (int64_t)due);
	for (uint32_t i = 0; i < r->config.domain_count; i++) {
		struct replay_domain *d = &r->domains[i];
		if (d->core && d->core->earliest <= due) {
			iova_run_due(d->core, due);
			account_slow(r, d);
		}
	}
	find_next_due(r);
}

static void add_counters(struct iova_counters *sum, const struct iova_counters *one)
{
	const uint64_t *from = (const uint64_t *)one;
	uint64_t *to = (uint64_t *)sum;
	uint64_t peak = sum->depot_peak > one->depot_peak ? sum->depot_peak : one->depot_peak;
	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
		to[i] += from[i];
	sum->depot_peak = peak;
}

struct iova_counters replay_read_counters(const struct replay *r, uint32_t size_class)
{
	struct iova_counters sum = { 0 };
	if (size_class > IOVA_MAX_CLASSES)
		return sum;
	sum = r->dead[size_class];
	for (uint32_t i = 0; i < r->config.domain_count; i++) {
		if (!r->domains[i].core)
			continue;
		struct iova_counters one = iova_read_counters(r->domains[i].core, size_class);
		add_counters(&sum, &one);
	}
	return sum;
}

static void fill_sample(const struct replay *r, int64_t t, struct replay_sample *s)
{
	*s = (struct replay_sample){
		.t = t,
		.live_pages = r->totals.live_pages,
		.cached_pages = r->totals.cached_pages,
		.magazines = r->magazines,
	};
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters c = replay_read_counters(r, k);
		s->hits_loaded += c.hits_loaded;
		s->hits_previous += c.hits_previous;
		s->hits_depot += c.hits_depot;
		s->tree_allocations += c.tree_allocations;
		s->tree_frees += c.tree_frees;
		s->tree_steps += c.tree_steps;
		s->reclaimed += c.reclaimed;
		if (k < IOVA_MAX_CLASSES)
			s->depot[k] = c.depot;
	}
	for (uint32_t i = 0; i < r->config.domain_count; i++)
		if (r->domains[i].core)
			s->tree_bytes += index_bytes(&r->domains[i].core->tree.index);
}

static enum replay_status take_sample(struct replay *r, int64_t t)
{
	struct sample_slot at;
	enum replay_status status = samples_add(&r->samples, &at);
	if (status != REPLAY_OK)
		return status;
	fill_sample(r, t, at.sample);
	for (uint32_t i = 0; i < r->config.domain_count; i++)
		if (r->domains[i].core)
			samples_add_domain(&r->samples, &at, r->domains[i].core);
	return REPLAY_OK;
}

/* Jobs and samples up to t, in the order of time; a job before a sample of the same t. */
static enum replay_status pass_events_of_time(struct replay *r, int64_t t)
{
	for (;;) {
		bool sample = r->config.sample_ns > 0 && r->next_sample <= (uint64_t)t;
		if (r->next_due <= (uint64_t)t &&
		    (!sample || r->next_due <= r->next_sample)) {
			run_jobs(r, r->next_due);
			continue;
		}
		if (!sample)
			return REPLAY_OK;
		pass_time(r, (int64_t)r->next_sample);
		enum replay_status status = take_sample(r, r->now);
		if (status != REPLAY_OK)
			return status;
		r->next_sample += (uint64_t)r->config.sample_ns;
	}
}

static void start_clock(struct replay *r, int64_t t)
{
	r->started = true;
	r->now = r->totals.t_first = t;
	r->next_sample = (uint64_t)t;
}

enum replay_status replay_advance(struct replay *r, int64_t t)
{
	if (unlikely(t < r->now)) /* before the start that is 0 */
		return REPLAY_TIME_BACK;
	if (unlikely(!r->started))
		start_clock(r, t);
	if (unlikely(r->next_due <= (uint64_t)t ||
		     (r->config.sample_ns > 0 && r->next_sample <= (uint64_t)t))) {
		enum replay_status status = pass_events_of_time(r, t);
		if (status != REPLAY_OK)
			return status;
	}
	pass_time(r, t);
	r->totals.t_last = t;
	return REPLAY_OK;
}

/* -------------------------------------------------------------------------- domains */

static enum replay_status create(struct replay *r, uint32_t number, uint64_t start)
{
	struct replay_domain *d = &r->domains[number];
	struct iova_config config = {
		.granule = r->config.domains[number].granule,
		.start_pfn = start,
		.cpus_possible = r->config.cpus_possible,
		.cpus_online = r->config.cpus_online,
		.classes = r->config.classes,
		.design = r->config.designs[number],
		.params = r->config.params,
		.memory = &r->memory,
		.count_steps = r->config.count_steps,
	};
	if (d->core)
		return REPLAY_EXISTS;
	switch (iova_create(&config, &d->core)) {
	case IOVA_OK:
		for (uint32_t cpu = 0; cpu < config.cpus_possible; cpu++)
			r->online[cpu] ? iova_cpu_online(d->core, cpu) :
					 iova_cpu_offline(d->core, cpu);
		r->totals.domains++;
		account_slow(r, d);
		return REPLAY_OK;
	case IOVA_NO_MEMORY:
		return REPLAY_NO_MEMORY;
	default:
		return REPLAY_BAD_CONFIG;
	}
}

static enum replay_status make_caches(struct replay *r, struct replay_domain *d)
{
	switch (iova_make_caches(d->core)) {
	case IOVA_OK:
		account_slow(r, d);
		return REPLAY_OK;
	case IOVA_NO_MEMORY:
		return REPLAY_NO_MEMORY;
	default:
		return REPLAY_EXISTS;
	}
}

/* The domain a row names, made if it is not there yet. */
static enum replay_status need_domain(struct replay *r, uint32_t number, bool caches)
{
	struct replay_domain *d = &r->domains[number];
	if (likely(d->core && (d->core->caches || !caches)))
		return REPLAY_OK;
	if (!d->core) {
		enum replay_status status =
			create(r, number, r->config.domains[number].start_pfn);
		if (status != REPLAY_OK)
			return status;
	}
	return caches ? make_caches(r, d) : REPLAY_OK;
}

static void bury(struct replay *r, struct replay_domain *d)
{
	if (!d->core)
		return;
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters c = iova_read_counters(d->core, k);
		c.depot = c.cached = 0;
		add_counters(&r->dead[k], &c);
	}
	r->totals.warnings += d->core->warnings;
	r->totals.runs += d->core->runs;
	iova_destroy(d->core);
	d->core = NULL;
	d->epoch++;
	r->totals.live_pages -= d->live;
	r->totals.live_ranges -= d->live_ranges;
	d->live = d->live_ranges = d->outside = 0;
	account_slow(r, d);
}

static enum replay_status reserve(struct replay *r, struct replay_domain *d, uint64_t lo,
				  uint64_t hi)
{
	uint64_t before = d->core->tree.index.pages;
	enum iova_status status = iova_reserve(d->core, lo, hi, NULL);
	d->outside += d->core->tree.index.pages - before;
	account_slow(r, d);
	if (status == IOVA_NO_MEMORY)
		return REPLAY_NO_MEMORY;
	return status == IOVA_OK ? REPLAY_OK : REPLAY_BAD_RESERVE;
}

/* --------------------------------------------------------------------------- calls */

static enum replay_status grow_slots(struct replay *r)
{
	size_t capacity = r->slot_capacity ? 2 * r->slot_capacity : 1024;
	struct slot *slots =
		memory_get(&r->memory, IOVA_MEMORY_REPLAY, capacity * sizeof(*slots));
	if (!slots)
		return REPLAY_NO_MEMORY;
	if (r->slots) {
		memcpy(slots, r->slots, r->slot_count * sizeof(*slots));
		memory_put(&r->memory, IOVA_MEMORY_REPLAY, r->slots,
			   r->slot_capacity * sizeof(*slots));
	}
	r->slots = slots;
	r->slot_capacity = capacity;
	return REPLAY_OK;
}

static inline bool slot_is_live(const struct replay *r, const struct slot *slot)
{
	return slot->pfn != NO_PFN && slot->epoch == r->domains[slot->domain].epoch;
}

/* The slot an allocation names: dense, so a new one is the next one. */
static inline enum replay_status open_slot(struct replay *r, uint32_t number)
{
	if (likely(number < r->slot_count))
		return slot_is_live(r, &r->slots[number]) ? REPLAY_BAD_SLOT : REPLAY_OK;
	if (number == NO_SLOT)
		return REPLAY_OK;
	if (number != r->slot_count)
		return REPLAY_BAD_SLOT;
	if (r->slot_count == r->slot_capacity) {
		enum replay_status status = grow_slots(r);
		if (status != REPLAY_OK)
			return status;
	}
	r->slots[r->slot_count++] = (struct slot){ .pfn = NO_PFN };
	return REPLAY_OK;
}

static inline uint64_t call_alloc(struct iova_domain *core, const struct replay_events *e, size_t i)
{
	uint8_t flags = e->flags[i];
	if (likely(!(flags & FLAG_RAW)))
		return alloc_fast(core, e->cpu[i], e->size[i], e->limit[i],
				  (flags & FLAG_FLUSH_RETRY) != 0);
	struct iova_range range;
	if (iova_alloc_raw(core, e->size[i], e->limit[i], (flags & FLAG_ALIGN) != 0, &range) !=
	    IOVA_OK)
		return 0;
	return range.lo;
}

static inline uint64_t pages_of(const struct iova_domain *core, uint64_t size, uint8_t flags)
{
	return flags & FLAG_RAW ? size : rounded_size(core, size);
}

/* The allocation of row i, in a slot that is open. */
static void alloc_in_slot(struct replay *r, struct replay_domain *d, const struct replay_events *e,
			  size_t i)
{
	uint64_t pfn = call_alloc(d->core, e, i);
	uint64_t pages = pages_of(d->core, e->size[i], e->flags[i]);
	struct slot slot = { NO_PFN, pages, e->domain[i], d->epoch };
	r->totals.allocations++;
	if (pfn) {
		slot.pfn = pfn;
		went_live(r, d, pages);
	} else {
		r->totals.failed++;
	}
	if (e->slot[i] != NO_SLOT)
		r->slots[e->slot[i]] = slot;
	if (e->result)
		e->result[i] = pfn;
	r->previous_failed = pfn == 0;
	account_call(r, d, e->size[i]);
}

static enum replay_status alloc(struct replay *r, struct replay_domain *d,
				const struct replay_events *e, size_t i)
{
	if (unlikely(e->size[i] == 0))
		return REPLAY_BAD_SIZE;
	bool wanted = !(e->flags[i] & FLAG_ONLY_IF_PREVIOUS_FAILED) || r->previous_failed;
	r->previous_failed = false;
	if (unlikely(!wanted))
		return REPLAY_OK;
	enum replay_status status = open_slot(r, e->slot[i]);
	if (likely(status == REPLAY_OK))
		alloc_in_slot(r, d, e, i);
	return status;
}

static enum replay_status free_slot(struct replay *r, struct replay_domain *d,
				    const struct replay_events *e, size_t i)
{
	uint32_t number = e->slot[i];
	if (unlikely(number >= r->slot_count || !slot_is_live(r, &r->slots[number]))) {
		r->totals.skipped_frees++;
		return REPLAY_OK;
	}
	struct slot *slot = &r->slots[number];
	if (unlikely(slot->domain != e->domain[i]))
		return REPLAY_BAD_SLOT;
	uint64_t size = e->size[i] ? e->size[i] : slot->pages;
	if (likely(!(e->flags[i] & FLAG_RAW)))
		free_fast(d->core, e->cpu[i], slot->pfn, size, (uint64_t)e->t[i]);
	else
		(void)iova_free_raw(d->core, slot->pfn);
	left_live(r, d, slot->pages);
	slot->pfn = NO_PFN;
	r->totals.frees++;
	account_call(r, d, size);
	return REPLAY_OK;
}

static void run_recorded(struct replay *r, struct replay_domain *d, uint64_t size, int64_t t)
{
	if (!r->config.recorded_reclaim || size == 0)
		return;
	iova_run_class(d->core, order_of(size), (uint64_t)t);
	account_slow(r, d);
}

static enum replay_status move_cpu(struct replay *r, struct replay_domain *d, uint32_t cpu,
				   bool online)
{
	if (cpu >= r->config.cpus_possible)
		return REPLAY_BAD_CPU;
	r->online[cpu] = online;
	r->someone_left |= !online;
	if (online)
		iova_cpu_online(d->core, cpu);
	else
		iova_cpu_offline(d->core, cpu);
	account_slow(r, d);
	return REPLAY_OK;
}

/* A call on a CPU that had gone shows that it is back: kernels record only the going. */
static void bring_back(struct replay *r, uint32_t cpu)
{
	if (r->online[cpu])
		return;
	r->online[cpu] = true;
	for (uint32_t i = 0; i < r->config.domain_count; i++)
		if (r->domains[i].core)
			iova_cpu_online(r->domains[i].core, cpu);
	r->someone_left = false;
	for (uint32_t i = 0; i < r->config.cpus_possible; i++)
		r->someone_left |= !r->online[i];
}

static enum replay_status run_rare(struct replay *r, const struct replay_events *e, size_t i)
{
	uint32_t number = e->domain[i];
	struct replay_domain *d = &r->domains[number];
	enum replay_status status;
	if (e->op[i] == OP_CREATE)
		return create(r, number, e->pfn[i]);
	if (e->op[i] == OP_DESTROY) {
		bury(r, d);
		find_next_due(r);
		return REPLAY_OK;
	}
	status = need_domain(r, number, e->op[i] != OP_MAKE_CACHES && e->op[i] != OP_RESERVE);
	if (status != REPLAY_OK)
		return status;
	switch (e->op[i]) {
	case OP_MAKE_CACHES:
		return make_caches(r, d);
	case OP_RESERVE:
		return reserve(r, d, e->pfn[i], e->last[i]);
	case OP_FLUSH_CACHES:
		iova_flush_caches(d->core);
		break;
	case OP_CPU_OFFLINE:
		return move_cpu(r, d, e->n[i], false);
	case OP_CPU_ONLINE:
		return move_cpu(r, d, e->n[i], true);
	case OP_RECLAIM:
		run_recorded(r, d, e->size[i], e->t[i]);
		break;
	default:
		return REPLAY_BAD_OP;
	}
	account_slow(r, d);
	return REPLAY_OK;
}

/* Rows that only record what was seen inside the traced system. */
static inline bool is_not_for_replay(const struct replay *r, uint8_t op)
{
	return op >= OP_FIRST_INSIDE && !(op == OP_RECLAIM && r->config.recorded_reclaim);
}

static inline enum replay_status run_row(struct replay *r, const struct replay_events *e, size_t i)
{
	uint8_t op = e->op[i];
	uint32_t number = e->domain[i];
	enum replay_status status = replay_advance(r, e->t[i]);
	if (unlikely(status != REPLAY_OK))
		return status;
	if (is_not_for_replay(r, op))
		return REPLAY_OK;
	if (unlikely(e->cpu[i] >= r->config.cpus_possible))
		return REPLAY_BAD_CPU;
	if (unlikely(number >= r->config.domain_count))
		return REPLAY_BAD_DOMAIN;
	r->totals.calls++;
	if (likely(op == OP_ALLOC || op == OP_FREE)) {
		if (unlikely(r->someone_left))
			bring_back(r, e->cpu[i]);
		status = need_domain(r, number, true);
		if (unlikely(status != REPLAY_OK))
			return status;
		if (op == OP_ALLOC)
			return alloc(r, &r->domains[number], e, i);
		status = free_slot(r, &r->domains[number], e, i);
	} else {
		status = run_rare(r, e, i);
	}
	r->previous_failed = false;
	return status;
}

enum replay_status replay_feed(struct replay *r, const struct replay_events *events, size_t *row)
{
	for (size_t i = 0; i < events->count; i++) {
		enum replay_status status = run_row(r, events, i);
		if (unlikely(status != REPLAY_OK)) {
			*row = i;
			return status;
		}
		r->totals.events++;
	}
	*row = events->count;
	return REPLAY_OK;
}

/* ------------------------------------------------------------------ life and results */

static bool config_is_possible(const struct replay_config *config)
{
	return config->domain_count > 0 && config->sample_ns >= 0 && config->cpus_possible > 0 &&
	       config->cpus_possible <= IOVA_MAX_CPUS && config->cpus_online > 0 &&
	       config->cpus_online <= config->cpus_possible;
}

enum replay_status replay_create(const struct replay_config *config, struct replay **result)
{
	const struct iova_memory *memory = config->memory ? config->memory : iova_memory_heap();
	if (!config_is_possible(config))
		return REPLAY_BAD_CONFIG;
	struct replay *r = memory_get(memory, IOVA_MEMORY_REPLAY, sizeof(*r));
	if (!r)
		return REPLAY_NO_MEMORY;
	memset(r, 0, sizeof(*r));
	r->config = *config;
	r->memory = *memory;
	r->next_due = IOVA_NEVER;
	samples_init(&r->samples, &r->config, &r->memory);
	size_t domains = config->domain_count * sizeof(*r->domains);
	size_t cpus = config->cpus_possible * sizeof(*r->online);
	r->domains = memory_get(memory, IOVA_MEMORY_REPLAY, domains);
	r->online = memory_get(memory, IOVA_MEMORY_REPLAY, cpus);
	if (!r->domains || !r->online) {
		replay_destroy(r);
		return REPLAY_NO_MEMORY;
	}
	memset(r->domains, 0, domains);
	for (uint32_t cpu = 0; cpu < config->cpus_possible; cpu++)
		r->online[cpu] = cpu < config->cpus_online;
	*result = r;
	return REPLAY_OK;
}

static void put_table(const struct iova_memory *memory, void *table, size_t bytes)
{
	if (table)
		memory_put(memory, IOVA_MEMORY_REPLAY, table, bytes);
}

void replay_destroy(struct replay *r)
{
	if (!r)
		return;
	struct iova_memory memory = r->memory;
	uint32_t domains = r->config.domain_count;
	for (uint32_t i = 0; r->domains && r->online && i < domains; i++)
		iova_destroy(r->domains[i].core);
	samples_fini(&r->samples);
	put_table(&memory, r->slots, r->slot_capacity * sizeof(*r->slots));
	put_table(&memory, r->domains, domains * sizeof(*r->domains));
	put_table(&memory, r->online, r->config.cpus_possible * sizeof(*r->online));
	memory_put(&memory, IOVA_MEMORY_REPLAY, r, sizeof(*r));
}

struct replay_totals replay_read_totals(const struct replay *r)
{
	struct replay_totals totals = r->totals;
	for (uint32_t i = 0; i < r->config.domain_count; i++) {
		const struct iova_domain *core = r->domains[i].core;
		if (!core)
			continue;
		totals.warnings += core->warnings;
		totals.runs += core->runs;
	}
	for (uint32_t k = 0; k < IOVA_MAX_CLASSES; k++) {
		struct iova_counters c = replay_read_counters(r, k);
		raise_peak(&totals.depot_peak, c.depot_peak);
	}
	return totals;
}

size_t replay_sample_count(const struct replay *r)
{
	return r->samples.count;
}

const struct replay_sample *replay_samples(const struct replay *r)
{
	return r->samples.rows;
}

const uint32_t *replay_cpu_pages(const struct replay *r)
{
	return r->samples.cpu_pages;
}

const uint32_t *replay_maps(const struct replay *r)
{
	return r->samples.maps;
}
