/* SPDX-License-Identifier: MIT */
/*
 * machine_calls - operations on the core: executed when they start, then priced.
 *
 * What the loaded magazine of the CPU serves touches nothing that others touch. It is done
 * with the core's own inline functions and costs one fixed price; everything else is
 * recorded and played.
 */
#include "machine_inner.h"

#include "rcache_fast.h"

static uint64_t now_ns(const struct sim_cpu *cpu)
{
	return cpu->act.t / PS_PER_NS;
}

/* The ledger's clock follows the calls, but never runs back. */
static void set_ledger_clock(struct machine *m, const struct sim_cpu *cpu)
{
	int64_t now = (int64_t)now_ns(cpu);
	if (now > m->replay->now && (uint64_t)now < m->replay->wake)
		m->replay->now = now;
}

static void begin_call(struct machine *m, struct sim_cpu *cpu)
{
	cpu->act.call_begun = cpu->act.t;
	cpu->act.seq = m->seq++;
	set_ledger_clock(m, cpu);
}

/* ---------------------------------------------------------------------------- jobs */

void note_jobs(struct machine *m, struct sim_domain *d, uint32_t cpu)
{
	const struct iova_domain *core = d->ledger->core;
	if (likely(core->armings == d->armings))
		return;
	d->armings = core->armings;
	for (uint32_t k = 0; k < core->classes; k++) {
		uint64_t due = core->rcache[k].job.due;
		uint64_t at = due < MACHINE_END / PS_PER_NS ? due * PS_PER_NS : MACHINE_END;
		if (due == IOVA_NEVER || d->job_queued[k] || d->job_due[k] == at)
			continue;
		d->job_due[k] = at;
		d->job_cpu[k] = cpu;
		/* An event that was meant for a domain that is gone looks again. */
		if (d->job_at[k] != IOVA_NEVER)
			continue;
		d->job_at[k] = at > m->now ? at : m->now;
		uint32_t number = (uint32_t)(d - m->domains) * IOVA_MAX_CLASSES + k;
		queue_push(&m->queue, d->job_at[k], event_of(EVENT_JOB, number));
	}
}

/* The next CPU, from this one on, that does nothing; if all are busy, this one. */
static uint32_t idle_cpu(const struct machine *m, uint32_t from)
{
	for (uint32_t i = 0; i < m->config.cpus_online; i++) {
		uint32_t number = (from + i) % m->config.cpus_online;
		const struct sim_cpu *cpu = &m->cpus[number];
		if (cpu->act.kind == ACT_NONE && !cpu->event_pending && cpu->free_at <= m->now)
			return number;
	}
	return from;
}

void job_is_due(struct machine *m, uint32_t number)
{
	uint32_t k = number % IOVA_MAX_CLASSES;
	struct sim_domain *d = &m->domains[number / IOVA_MAX_CLASSES];
	d->job_at[k] = IOVA_NEVER;
	if (d->job_due[k] == IOVA_NEVER)
		return; /* the domain was renewed since */
	if (d->job_due[k] > m->now) {
		d->job_at[k] = d->job_due[k];
		queue_push(&m->queue, d->job_at[k], event_of(EVENT_JOB, number));
		return;
	}
	d->job_due[k] = IOVA_NEVER;
	d->job_queued[k] = true;
	if (d->ledger->core && d->ledger->core->mechanism.unbound)
		d->job_cpu[k] = idle_cpu(m, d->job_cpu[k]);
	cpu_gets(m, d->job_cpu[k], m->first_job + number, false);
}

static void run_job(struct machine *m, struct sim_cpu *cpu, uint32_t size_class)
{
	struct sim_domain *d = cpu->act.domain;
	struct iova_domain *core = d->ledger->core;
	record_begin(m, cpu, d, size_class);
	m->record.work = m->config.prices.job;
	if (core->rcache[size_class].job.due <= now_ns(cpu))
		iova_run_class(core, size_class, now_ns(cpu));
	if (replay_is_stopped(m->replay))
		m->status = REPLAY_STOPPED;
	record_end(m);
	account(m->replay, d->ledger);
}

bool job_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	uint32_t size_class = (act->work - m->first_job) % IOVA_MAX_CLASSES;
	if (!act->playing) {
		set_ledger_clock(m, cpu);
		run_job(m, cpu, size_class);
		act->playing = true;
	}
	if (!play(m, cpu))
		return false;
	act->playing = false;
	act->domain->job_queued[size_class] = false;
	act->domain->armings = 0;
	note_jobs(m, act->domain, cpu_number(m, cpu));
	m->totals.job_runs++;
	m->totals.cpu[MACHINE_RECLAIM] += act->t - act->begun;
	raise_longest(&m->totals.job_longest, act->t - act->begun);
	return true;
}

/* `previous` was the CPU's previous magazine before the call. */
static void price_swap(struct machine *m, const struct cpu_cache *cache,
		       const struct magazine *previous)
{
	if (previous && cache->loaded == previous)
		m->record.work += m->config.prices.swap;
}

/* ---------------------------------------------------------------------- allocations */

static void account_alloc(struct machine *m, struct sim_domain *d, uint64_t pfn, uint64_t pages,
			  bool quick)
{
	if (likely(pfn))
		went_live(m->replay, d->ledger, pages);
	else
		m->replay->totals.failed++;
	m->replay->totals.events++;
	if (likely(quick))
		account_quick_alloc(m->replay, d->ledger, pages);
	else
		account_call(m->replay, d->ledger);
}

/* Entries of the magazine an allocation will look into that it has to pass over. */
static uint64_t entries_passed(const struct iova_domain *core, uint32_t cpu, uint32_t size_class,
			       uint64_t cap)
{
	const struct cpu_cache *cache = cpu_cache_of(core, cpu, size_class);
	uintptr_t head = core->rcache[size_class].depot.head;
	const struct magazine *in = magazine_has_entries(cache->loaded)	  ? cache->loaded :
				    magazine_has_entries(cache->previous) ? cache->previous :
									    NULL;
	uint64_t count = in ? in->count : link_capacity(head), passed = 0;
	if (!in)
		in = link_magazine(head);
	while (in && passed < count && in->pfn[count - 1 - passed] > cap)
		passed++;
	return passed;
}

static uint64_t try_core(struct machine *m, struct sim_cpu *cpu, const struct size_choice *size)
{
	struct iova_domain *core = cpu->act.domain->ledger->core;
	uint32_t number = cpu_number(m, cpu);
	bool cached = size->size_class < core->classes;
	const struct magazine *previous = NULL;
	m->record.work += m->config.prices.alloc_hit;
	if (cached) {
		uint64_t cap = highest_acceptable(cpu->act.limit, size->rounded);
		m->record.work += m->config.prices.scan *
				  entries_passed(core, number, size->size_class, cap);
		previous = cpu_cache_of(core, number, size->size_class)->previous;
	}
	uint64_t pfn = alloc_in_full(core, number, size->pages, cpu->act.limit, cpu->act.flush);
	if (cached)
		price_swap(m, cpu_cache_of(core, number, size->size_class), previous);
	return pfn;
}

/* The limit the device's driver layer tries first: 32 bits, or the device's own at once. */
static uint64_t first_limit(const struct sim_flow *flow, const struct iova_domain *core)
{
	uint64_t limit = flow->config->limit, limit32 = core->tree.d32 - 1;
	if (flow->config->limit_rule == MACHINE_LIMIT_PLAIN || flow->no_32_bit)
		return limit;
	return limit < limit32 ? limit : limit32;
}

static uint64_t alloc_recorded(struct machine *m, struct sim_cpu *cpu, struct sim_flow *flow,
			       const struct size_choice *size)
{
	struct sim_domain *d = cpu->act.domain;
	uint64_t limit = flow->config->limit;
	record_begin(m, cpu, d, size->size_class);
	uint64_t cut = d->ledger->core->tree_counters[m->record.counters].allocations;
	uint64_t pfn = try_core(m, cpu, size);
	if (!pfn && cpu->act.limit != limit) {
		cpu->act.refused_limit = cpu->act.limit;
		cpu->act.limit = limit;
		cpu->act.flush = true;
		m->seq++;
		flow->no_32_bit = flow->config->limit_rule == MACHINE_LIMIT_32_UNTIL_FAILURE;
		m->replay->totals.failed++;
		m->replay->totals.events++;
		m->totals.operations++;
		pfn = try_core(m, cpu, size);
	}
	cpu->act.reached_tree =
		!pfn || d->ledger->core->tree_counters[m->record.counters].allocations > cut;
	record_end(m);
	return pfn;
}

/* From the top of the loaded magazine; 0: not to be had there. */
static inline uint64_t alloc_quick(struct machine *m, struct sim_cpu *cpu,
				   const struct size_choice *size)
{
	struct sim_domain *d = cpu->act.domain;
	struct iova_domain *core = d->ledger->core;
	if (unlikely(size->size_class >= core->classes || d->foreign_holds))
		return 0;
	struct cpu_cache *cache = cpu_cache_of(core, cpu_number(m, cpu), size->size_class);
	uint64_t cap = highest_acceptable(cpu->act.limit, size->rounded);
	uint64_t pfn = magazine_take_top(cache->loaded, cap);
	if (likely(pfn)) {
		cache->hits_loaded++;
		cpu->act.t += m->config.prices.alloc_hit;
	}
	return pfn;
}

static const struct size_choice *choose_size(struct sim_flow *flow, struct lane *lane)
{
	uint32_t i = 0;
	if (flow->config->size_count > 1) {
		uint64_t random = next_random(&flow->random);
		while (flow->sizes[i].up_to < random)
			i++;
	}
	lane->size = (uint8_t)i;
	return &flow->sizes[i];
}

static void begin_alloc(struct machine *m, struct sim_cpu *cpu, struct lane *lane,
			struct sim_flow *flow)
{
	struct activity *act = &cpu->act;
	const struct size_choice *size = choose_size(flow, lane);
	begin_call(m, cpu);
	act->refused_limit = 0;
	act->reached_tree = false;
	act->limit = first_limit(flow, act->domain->ledger->core);
	act->flush = act->limit == flow->config->limit;
	uint64_t pfn = alloc_quick(m, cpu, size);
	act->playing = pfn == 0;
	if (unlikely(act->playing))
		pfn = alloc_recorded(m, cpu, flow, size);
	account_alloc(m, act->domain, pfn, size->rounded, !act->playing);
	act->range = (struct ring_entry){
		.pfn = pfn,
		.size = size->pages,
		.slot = pfn ? take_slot(m) : NO_SLOT,
		.cpu = (uint16_t)cpu_number(m, cpu),
	};
	lane->pfn = pfn;
	lane->alloc_cpu = act->range.cpu;
	lane->slot = act->range.slot;
	if (act->playing)
		note_jobs(m, act->domain, cpu_number(m, cpu));
}

bool alloc_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	struct lane *lane = &m->lanes[act->work];
	struct sim_flow *flow = &m->flows[lane->flow];
	if (act->phase == 0) {
		begin_alloc(m, cpu, lane, flow);
		act->phase = 1;
	}
	if (act->playing && !play(m, cpu))
		return false;
	act->playing = false;
	uint64_t took = act->t - act->begun;
	m->totals.operations++;
	m->totals.cpu[MACHINE_ALLOC] += took;
	raise_longest(&m->totals.alloc_longest, took);
	m->alloc_times[bucket_of(took)]++;
	if (m->events)
		write_call(m, cpu, OP_ALLOC);
	act->t += flow->config->submit_work;
	if (likely(lane->pfn)) {
		device_takes(m, act->work, act->t);
		return true;
	}
	m->totals.failed++;
	end_request(m, act->work, act->t);
	return true;
}

/* ---------------------------------------------------------------------------- frees */

/* Whether giving a range back does more than push it onto the loaded magazine. */
static bool free_is_slow(const struct machine *m, const struct sim_cpu *cpu, uint64_t size)
{
	const struct sim_domain *d = cpu->act.domain;
	const struct iova_domain *core = d->ledger->core;
	unsigned size_class = order_of(size);
	return size_class >= core->classes || d->foreign_holds ||
	       !magazine_has_room(cpu_cache_of(core, cpu_number(m, cpu), size_class)->loaded);
}

static void free_recorded(struct machine *m, struct sim_cpu *cpu)
{
	const struct ring_entry *range = &cpu->act.range;
	struct sim_domain *d = cpu->act.domain;
	struct iova_domain *core = d->ledger->core;
	uint32_t size_class = order_of(range->size), number = cpu_number(m, cpu);
	const struct cpu_cache *cache =
		size_class < core->classes ? cpu_cache_of(core, number, size_class) : NULL;
	const struct magazine *previous = cache ? cache->previous : NULL;
	record_begin(m, cpu, d, size_class);
	m->record.work = m->config.prices.free_hit;
	free_in_full(core, number, range->pfn, range->size, now_ns(cpu));
	if (cache)
		price_swap(m, cache, previous);
	record_end(m);
}

static void count_handover(struct machine *m, uint32_t from, uint32_t to)
{
	uint32_t rows = m->cpu_rows, possible = m->config.cpus_possible;
	m->handovers[(size_t)replay_cpu_row(from, rows, possible) * rows +
		     replay_cpu_row(to, rows, possible)]++;
}

void give_back(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	struct replay_domain *ledger = act->domain->ledger;
	uint64_t size = act->range.size, pages = act->range.pages;
	begin_call(m, cpu);
	left_live(m->replay, ledger, pages);
	m->replay->totals.frees++;
	m->replay->totals.events++;
	if (m->handovers)
		count_handover(m, act->range.cpu, cpu_number(m, cpu));
	act->playing = free_is_slow(m, cpu, size);
	if (unlikely(act->playing)) {
		free_recorded(m, cpu);
		account_call(m->replay, ledger);
		note_jobs(m, act->domain, cpu_number(m, cpu));
		return;
	}
	struct cpu_cache *cache =
		cpu_cache_of(ledger->core, cpu_number(m, cpu), order_of(size));
	magazine_push(cache->loaded, act->range.pfn);
	cache->puts++;
	act->t += m->config.prices.free_hit;
	account_quick_free(m->replay, ledger, pages);
}

void gave_back(struct machine *m, struct sim_cpu *cpu)
{
	cpu->act.playing = false;
	m->totals.operations++;
	if (m->events)
		write_call(m, cpu, OP_FREE);
	put_slot(m, cpu->act.range.slot);
}

void count_free(struct machine *m, const struct sim_cpu *cpu)
{
	uint64_t took = cpu->act.t - cpu->act.begun;
	m->totals.cpu[MACHINE_FREE] += took;
	raise_longest(&m->totals.free_longest, took);
	m->free_times[bucket_of(took)]++;
}

struct ring_entry range_of_lane(const struct machine *m, const struct lane *lane)
{
	const struct sim_flow *flow = &m->flows[lane->flow];
	const struct size_choice *size = &flow->sizes[lane->size];
	return (struct ring_entry){
		.pfn = lane->pfn,
		.size = lane->mishap == WRONG_SIZE ? flow->config->wrong_pages : size->pages,
		.pages = size->rounded,
		.slot = lane->slot,
		.cpu = lane->alloc_cpu,
	};
}

bool leak_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	const struct lane *lane = &m->lanes[cpu->act.work];
	cpu->act.t += m->flows[lane->flow].config->complete_work;
	end_request(m, cpu->act.work, cpu->act.t);
	return true;
}

bool free_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	const struct lane *lane = &m->lanes[act->work];
	const struct sim_flow *flow = &m->flows[lane->flow];
	if (act->phase == 0) {
		act->range = range_of_lane(m, lane);
		give_back(m, cpu);
		act->phase = 1;
	}
	if (act->playing && !play(m, cpu))
		return false;
	gave_back(m, cpu);
	count_free(m, cpu);
	act->t += flow->config->complete_work;
	end_request(m, act->work, act->t);
	return true;
}
