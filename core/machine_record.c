/* SPDX-License-Identifier: MIT */
/*
 * machine_record - what an operation on the core did, priced, as a tape of steps.
 *
 * The core's hooks are called where it takes and lets go of locks and where it asks for
 * memory. What changed in between is read off the core itself: ranges that came and went,
 * nodes Linux would have walked, magazines that moved.
 *
 * A CPU's own lock is left out, as its price is part of a call's: nobody else wants it, but
 * for the rare visits from other CPUs, during which it is taken like any other.
 */
#include "machine_inner.h"

/* The lock with what lies beside it, and the magazine on top, which is linked or unlinked. */
#define DEPOT_LINES 2u
/*
 * The lock with the search starts beside it, and the range at which the search starts; our
 * index has one more node, and a domain's counters. Measured with two CPUs taking turns.
 */
#define TREE_LINES 2u
#define INDEX_LINES 4u

/* -------------------------------------------------------------------------- prices */

/* A price that grows from `near` to `far` as ranges outgrow the cache. */
static uint64_t mixed(const struct machine_prices *prices, uint64_t near, uint64_t far,
		      uint64_t ranges)
{
	if (ranges <= prices->tree_near)
		return near;
	uint64_t beyond = ranges - prices->tree_near;
	return near + (uint64_t)((page_time)(far - near) * beyond / ranges);
}

static uint64_t price_of_insertion(const struct machine *m, uint64_t ranges, uint64_t steps)
{
	const struct machine_prices *p = &m->config.prices;
	if (m->config.indexed)
		return p->index_alloc;
	return p->tree_alloc + steps * mixed(p, p->tree_step, p->tree_step_far, ranges);
}

static uint64_t price_of_removal(const struct machine *m, uint64_t ranges)
{
	const struct machine_prices *p = &m->config.prices;
	if (m->config.indexed)
		return p->index_free;
	uint64_t levels = 64u - (uint32_t)__builtin_clzll(ranges | 1);
	return p->tree_free + levels * mixed(p, p->tree_level, p->tree_level_far, ranges);
}

/* What was done in the tree since its lock was taken. */
static void price_tree(struct machine *m)
{
	uint64_t ranges = m->record.core->tree.index.count;
	uint64_t steps = m->record.core->tree_counters[m->record.counters].steps;
	if (ranges < m->record.ranges)
		m->record.work += (m->record.ranges - ranges) * price_of_removal(m, ranges);
	else if (ranges > m->record.ranges || steps > m->record.steps)
		m->record.work += price_of_insertion(m, ranges, steps - m->record.steps);
	m->record.ranges = ranges;
	m->record.steps = steps;
}

/* -------------------------------------------------------------------------- depots */

/* What another CPU wrote comes line by line. */
static uint32_t lines_of_magazine(size_t bytes)
{
	return (uint32_t)((bytes + 63) / 64);
}

static void remember_origin(struct machine *m, struct origins *origins, uintptr_t link)
{
	if (origins->count == origins->capacity) {
		uint32_t capacity = origins->capacity ? 2 * origins->capacity : 64;
		struct origin *grown =
			memory_get(&m->memory, IOVA_MEMORY_REPLAY, capacity * sizeof(*grown));
		if (!grown) {
			m->status = REPLAY_NO_MEMORY;
			return;
		}
		for (uint32_t i = 0; i < origins->count; i++)
			grown[i] = origins->of[i];
		if (origins->of)
			memory_put(&m->memory, IOVA_MEMORY_REPLAY, origins->of,
				   origins->capacity * sizeof(*grown));
		origins->of = grown;
		origins->capacity = capacity;
	}
	origins->of[origins->count++] = (struct origin){
		.cpu = (uint16_t)m->record.cpu,
		.lines = (uint16_t)lines_of_magazine(magazine_bytes(link_capacity(link))),
	};
}

/*
 * A list is longer or shorter than it was when the depot's lock was taken. A magazine that
 * was taken comes line by line from the CPU that had it: ahead of use where it is read from
 * one end to the other, not ahead where it is written.
 */
static void price_list(struct machine *m, struct origins *origins, uint64_t length, uintptr_t head,
		       bool is_read)
{
	const struct sim_cpu *cpu = &m->cpus[m->record.cpu];
	while (origins->count < length && m->status == REPLAY_OK) {
		remember_origin(m, origins, head);
		m->record.work += m->config.prices.depot;
	}
	while (origins->count > length) {
		const struct origin *from = &origins->of[--origins->count];
		m->record.work += m->config.prices.depot;
		m->record.work += is_read ?
					  price_of_lines_ahead(m, cpu, from->cpu, from->lines) :
					  price_of_lines(m, cpu, from->cpu, from->lines);
	}
}

static void price_depot(struct machine *m, uint32_t size_class)
{
	const struct depot *depot = &m->record.core->rcache[size_class].depot;
	struct sim_domain *d = m->record.domain;
	price_list(m, &d->full[size_class], depot->length, depot->head, true);
	price_list(m, &d->empty[size_class], depot->empties, depot->empty_head, false);
}

/* --------------------------------------------------------------------------- steps */

static struct step *new_step(struct machine *m)
{
	struct tape *tape = m->record.tape;
	if (tape->count == tape->capacity) {
		uint32_t capacity = tape->capacity ? 2 * tape->capacity : 8;
		struct step *grown =
			memory_get(&m->memory, IOVA_MEMORY_REPLAY, capacity * sizeof(*grown));
		if (!grown) {
			m->status = REPLAY_NO_MEMORY;
			return NULL;
		}
		for (uint32_t i = 0; i < tape->count; i++)
			grown[i] = tape->steps[i];
		if (tape->steps)
			memory_put(&m->memory, IOVA_MEMORY_REPLAY, tape->steps,
				   tape->capacity * sizeof(*grown));
		tape->steps = grown;
		tape->capacity = capacity;
	}
	return &tape->steps[tape->count++];
}

static uint64_t take_work(struct machine *m)
{
	uint64_t work = m->record.work;
	m->record.work = 0;
	return work;
}

/* NULL: the own CPU's, which nobody else wants. */
static struct sim_lock *lock_named(const struct machine *m, enum iova_lock lock, uint32_t cpu,
				   uint32_t size_class)
{
	const struct sim_domain *d = m->record.domain;
	switch (lock) {
	case IOVA_LOCK_CPU:
		if (cpu == m->record.cpu && d->foreign_holds == 0)
			return NULL;
		return lock_of_cpu(m, d, cpu, size_class);
	case IOVA_LOCK_DEPOT:
		return lock_of_depot(m, d, size_class);
	case IOVA_LOCK_TREE:
		return lock_of_tree(m, d);
	}
	return NULL;
}

static uint32_t lines_of(const struct machine *m, enum iova_lock lock)
{
	switch (lock) {
	case IOVA_LOCK_DEPOT:
		return DEPOT_LINES;
	case IOVA_LOCK_TREE:
		return m->config.indexed ? INDEX_LINES : TREE_LINES;
	case IOVA_LOCK_CPU:
		break;
	}
	return 1;
}

void record_acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct machine *m = context;
	if (!m->record.core)
		return;
	struct sim_lock *named = lock_named(m, lock, cpu, size_class);
	if (!named)
		return;
	struct step *step = new_step(m);
	if (!step)
		return;
	*step = (struct step){
		.work = take_work(m),
		.lock = named,
		.lines = lines_of(m, lock),
		.kind = STEP_ACQUIRE,
	};
	m->record.work = m->config.prices.lock;
}

void record_release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct machine *m = context;
	if (!m->record.core)
		return;
	struct sim_lock *named = lock_named(m, lock, cpu, size_class);
	if (!named)
		return;
	if (lock == IOVA_LOCK_TREE)
		price_tree(m);
	else if (lock == IOVA_LOCK_DEPOT)
		price_depot(m, size_class);
	struct tape *tape = m->record.tape;
	struct step *last = tape->count ? &tape->steps[tape->count - 1] : NULL;
	if (last && last->kind == STEP_ACQUIRE && last->lock == named) {
		last->kind = STEP_HOLD;
		last->hold = take_work(m);
		return;
	}
	struct step *step = new_step(m);
	if (step)
		*step = (struct step){
			.work = take_work(m), .lock = named, .kind = STEP_RELEASE
		};
}

/* -------------------------------------------------------------------------- memory */

void *record_allocate(void *context, enum iova_memory_kind kind, size_t size, size_t alignment)
{
	struct machine *m = context;
	const struct iova_memory *heap = &m->memory;
	if (kind != IOVA_MEMORY_MAGAZINE)
		return heap->allocate(heap->context, kind, size, alignment);
	if (m->record.core)
		m->record.work += m->config.prices.magazine_new;
	struct spare **spares = &m->spare[order_of(size / sizeof(uint64_t))], *spare = *spares;
	if (!spare)
		return heap->allocate(heap->context, kind, size, alignment);
	*spares = spare->next;
	/* Who fills it writes line by line what another CPU read last: nothing is fetched ahead. */
	if (m->record.core)
		m->record.work += price_of_lines(m, &m->cpus[m->record.cpu],
						 (uint32_t)spare->owner, lines_of_magazine(size));
	return spare;
}

void record_release_memory(void *context, enum iova_memory_kind kind, void *block, size_t size)
{
	struct machine *m = context;
	const struct iova_memory *heap = &m->memory;
	if (kind != IOVA_MEMORY_MAGAZINE) {
		heap->release(heap->context, kind, block, size);
		return;
	}
	if (m->record.core)
		m->record.work += m->config.prices.magazine_free;
	struct spare **spares = &m->spare[order_of(size / sizeof(uint64_t))], *spare = block;
	spare->owner = m->record.core ? m->record.cpu : NOBODY;
	spare->next = *spares;
	*spares = spare;
}

/* ------------------------------------------------------------------------ recording */

void record_begin(struct machine *m, struct sim_cpu *cpu, struct sim_domain *d,
		  uint32_t size_class)
{
	struct iova_domain *core = d->ledger->core;
	cpu->act.tape.count = cpu->act.tape.next = 0;
	m->record.tape = &cpu->act.tape;
	m->record.domain = d;
	m->record.core = core;
	m->record.cpu = cpu_number(m, cpu);
	m->record.counters = size_class < core->classes ? size_class : IOVA_BEYOND_CLASSES;
	m->record.work = 0;
	m->record.ranges = core->tree.index.count;
	m->record.steps = core->tree_counters[m->record.counters].steps;
}

void record_end(struct machine *m)
{
	m->record.tape->rest = take_work(m);
	m->record.core = NULL;
}
