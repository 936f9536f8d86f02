/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <string.h>

#include "rcache_fast.h"
#include "replay_inner.h"

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
		[REPLAY_STOPPED] = "a policy has failed",
	};
	return (size_t)status < COUNT_OF_ARRAY(text) ? text[status] : "unknown status";
}

/* ----------------------------------------------------------------------------- time */

static void find_next_due(struct replay *r)
{
	r->next_due = IOVA_NEVER;
	for (uint32_t i = 0; i < r->config.domain_count && !r->config.recorded_reclaim; i++)
		if (r->domains[i].core && r->domains[i].core->earliest < r->next_due)
			r->next_due = r->domains[i].core->earliest;
	set_wake(r);
}

static enum replay_status run_jobs(struct replay *r, uint64_t due)
{
	r->now = (int64_t)due;
	for (uint32_t i = 0; i < r->config.domain_count && !replay_is_stopped(r); i++) {
		struct replay_domain *d = &r->domains[i];
		if (d->core && d->core->earliest <= due) {
			iova_run_due(d->core, due);
			account(r, d);
		}
	}
	find_next_due(r);
	return replay_is_stopped(r) ? REPLAY_STOPPED : REPLAY_OK;
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
		.linux_bytes = r->ranges * LINUX_RANGE_BYTES + r->magazine_bytes,
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
	for (uint32_t i = 0; at.tables && i < r->config.domain_count; i++)
		if (r->domains[i].core)
			samples_add_domain(&r->samples, &at, r->domains[i].core);
	return REPLAY_OK;
}

/* Jobs and samples up to t, in the order of time; a job before a sample of the same t. */
static enum replay_status pass_events_of_time(struct replay *r, int64_t t)
{
	for (;;) {
		bool sample = r->next_sample <= (uint64_t)t;
		if (r->next_due <= (uint64_t)t &&
		    (!sample || r->next_due <= r->next_sample)) {
			enum replay_status status = run_jobs(r, r->next_due);
			if (status != REPLAY_OK)
				return status;
			continue;
		}
		if (!sample)
			return REPLAY_OK;
		r->now = (int64_t)r->next_sample;
		enum replay_status status = take_sample(r, r->now);
		if (status != REPLAY_OK)
			return status;
		r->next_sample += (uint64_t)r->config.sample_ns;
		set_wake(r);
	}
}

static void start_clock(struct replay *r, int64_t t)
{
	r->started = true;
	r->now = r->depot_since = r->totals.t_first = t;
	r->next_sample = r->config.sample_ns > 0 ? (uint64_t)t : IOVA_NEVER;
	set_wake(r);
}

static enum replay_status wake_up(struct replay *r, int64_t t)
{
	if (!r->started)
		start_clock(r, t);
	return pass_events_of_time(r, t);
}

static inline enum replay_status advance(struct replay *r, int64_t t)
{
	if (unlikely(t < r->now)) /* before the start that is 0 */
		return REPLAY_TIME_BACK;
	if (unlikely((uint64_t)t >= r->wake)) {
		enum replay_status status = wake_up(r, t);
		if (status != REPLAY_OK)
			return status;
	}
	r->now = t;
	return REPLAY_OK;
}

enum replay_status replay_advance(struct replay *r, int64_t t)
{
	return advance(r, t);
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
		.locks = r->config.locks,
		.count_steps = r->config.count_steps,
	};
	if (d->core)
		return REPLAY_EXISTS;
	switch (iova_create(&config, &d->core)) {
	case IOVA_OK:
		if (d->core->classes != config.classes)
			return REPLAY_BAD_CONFIG; /* the design wants others than all count in */
		for (uint32_t cpu = 0; cpu < config.cpus_possible; cpu++)
			r->online[cpu] ? iova_cpu_online(d->core, cpu) :
					 iova_cpu_offline(d->core, cpu);
		r->totals.domains++;
		account(r, d);
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
		account(r, d);
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
	r->buried_ranges += d->live_ranges;
	d->live = d->live_ranges = d->outside = 0;
	account(r, d);
}

static enum replay_status reserve(struct replay *r, struct replay_domain *d, uint64_t lo,
				  uint64_t hi)
{
	uint64_t before = d->core->tree.index.pages;
	enum iova_status status = iova_reserve(d->core, lo, hi, NULL);
	d->outside += d->core->tree.index.pages - before;
	account(r, d);
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

static uint64_t alloc_raw(struct iova_domain *core, uint64_t size, uint64_t limit, bool align)
{
	struct iova_range range;
	return iova_alloc_raw(core, size, limit, align, &range) == IOVA_OK ? range.lo : 0;
}

/* The allocation of row i, whose slot is open; its pfn, 0: failed. */
static inline uint64_t alloc_in_slot(struct replay *r, struct replay_domain *d,
				     const struct replay_events *e, size_t i)
{
	uint64_t pages = e->size[i], limit = e->limit[i], pfn;
	uint32_t slot = e->slot[i];
	uint8_t flags = e->flags[i];
	bool quick = false;
	if (likely(!(flags & FLAG_RAW))) {
		pfn = alloc_fast(d->core, e->cpu[i], pages, limit, (flags & FLAG_FLUSH_RETRY) != 0,
				 &quick);
		pages = rounded_size(d->core, pages);
	} else {
		pfn = alloc_raw(d->core, pages, limit, (flags & FLAG_ALIGN) != 0);
	}
	if (likely(pfn))
		went_live(r, d, pages);
	else
		r->totals.failed++;
	if (likely(slot != NO_SLOT))
		r->slots[slot] =
			(struct slot){ pfn ? pfn : NO_PFN, pages, e->domain[i], d->epoch };
	if (likely(quick))
		account_quick_alloc(r, d, pages);
	else
		account_call(r, d);
	return pfn;
}

static inline enum replay_status alloc(struct replay *r, struct replay_domain *d,
				       const struct replay_events *e, size_t i)
{
	if (unlikely(e->size[i] == 0))
		return REPLAY_BAD_SIZE;
	if (unlikely((e->flags[i] & FLAG_ONLY_IF_PREVIOUS_FAILED) && !r->previous_failed))
		return REPLAY_OK;
	enum replay_status status = open_slot(r, e->slot[i]);
	if (unlikely(status != REPLAY_OK))
		return status;
	uint64_t pfn = alloc_in_slot(r, d, e, i);
	r->previous_failed = pfn == 0;
	if (e->result)
		e->result[i] = pfn;
	return REPLAY_OK;
}

/* The slot does not hold a range of the row's domain. */
static enum replay_status free_nothing(struct replay *r, uint32_t number)
{
	if (number < r->slot_count && slot_is_live(r, &r->slots[number]))
		return REPLAY_BAD_SLOT; /* it is another domain's */
	r->totals.skipped_frees++;
	return REPLAY_OK;
}

static inline enum replay_status free_slot(struct replay *r, struct replay_domain *d,
					   const struct replay_events *e, size_t i)
{
	uint32_t number = e->slot[i];
	r->previous_failed = false;
	if (unlikely(number >= r->slot_count))
		return free_nothing(r, number);
	struct slot *slot = &r->slots[number];
	if (unlikely(slot->pfn == NO_PFN || slot->domain != e->domain[i] ||
		     slot->epoch != d->epoch))
		return free_nothing(r, number);
	uint64_t pages = slot->pages, size = e->size[i];
	bool quick = false;
	if (likely(!(e->flags[i] & FLAG_RAW)))
		free_fast(d->core, e->cpu[i], slot->pfn, size ? size : pages, (uint64_t)e->t[i],
			  &quick);
	else
		(void)iova_free_raw(d->core, slot->pfn);
	left_live(r, d, pages);
	slot->pfn = NO_PFN;
	r->totals.frees++;
	if (likely(quick))
		account_quick_free(r, d, pages);
	else
		account_call(r, d);
	return REPLAY_OK;
}

static enum replay_status run_recorded(struct replay *r, struct replay_domain *d, uint64_t size,
				       int64_t t)
{
	if (!r->config.recorded_reclaim || size == 0)
		return REPLAY_OK;
	iova_run_class(d->core, order_of(size), (uint64_t)t);
	account(r, d);
	return replay_is_stopped(r) ? REPLAY_STOPPED : REPLAY_OK;
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
	account(r, d);
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
		return run_recorded(r, d, e->size[i], e->t[i]);
	default:
		return REPLAY_BAD_OP;
	}
	account(r, d);
	return REPLAY_OK;
}

/* Rows that only record what was seen inside the traced system. */
static inline bool is_not_for_replay(const struct replay *r, uint8_t op)
{
	return op >= OP_FIRST_INSIDE && !(op == OP_RECLAIM && r->config.recorded_reclaim);
}

static inline enum replay_status run_call(struct replay *r, const struct replay_events *e, size_t i)
{
	struct replay_domain *d = &r->domains[e->domain[i]];
	if (unlikely(r->someone_left))
		bring_back(r, e->cpu[i]);
	if (unlikely(!d->core || !d->core->caches)) {
		enum replay_status status = need_domain(r, e->domain[i], true);
		if (status != REPLAY_OK)
			return status;
	}
	return e->op[i] == OP_ALLOC ? alloc(r, d, e, i) : free_slot(r, d, e, i);
}

static inline enum replay_status run_row(struct replay *r, const struct replay_events *e, size_t i)
{
	uint8_t op = e->op[i];
	enum replay_status status = advance(r, e->t[i]);
	if (unlikely(status != REPLAY_OK))
		return status;
	if (unlikely(is_not_for_replay(r, op))) {
		r->not_calls++;
		return REPLAY_OK;
	}
	if (unlikely(e->cpu[i] >= r->config.cpus_possible))
		return REPLAY_BAD_CPU;
	if (unlikely(e->domain[i] >= r->config.domain_count))
		return REPLAY_BAD_DOMAIN;
	if (likely(op == OP_ALLOC || op == OP_FREE))
		return run_call(r, e, i);
	r->previous_failed = false;
	return run_rare(r, e, i);
}

enum replay_status replay_feed(struct replay *r, const struct replay_events *events, size_t *row)
{
	enum replay_status status = REPLAY_OK;
	size_t i = 0;
	while (i < events->count && (status = run_row(r, events, i)) == REPLAY_OK)
		i++;
	r->totals.events += i;
	*row = i;
	return status;
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
	totals.t_last = r->now;
	totals.calls = totals.events - r->not_calls;
	totals.allocations =
		totals.live_ranges + r->buried_ranges + totals.frees + totals.failed;
	totals.cached_page_ns = cached_page_ns(r);
	totals.depot_ns += (double)r->depot * (double)(r->now - r->depot_since);
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

uint32_t replay_cpu_rows(const struct replay_config *config)
{
	bool grouped = config->cpu_rows && config->cpu_rows < config->cpus_possible;
	return grouped ? config->cpu_rows : config->cpus_possible;
}

size_t replay_sample_count(const struct replay *r)
{
	return r->samples.count;
}

size_t replay_table_count(const struct replay *r)
{
	return samples_tables(&r->samples, r->samples.count);
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
