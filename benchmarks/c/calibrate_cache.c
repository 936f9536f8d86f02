/* SPDX-License-Identifier: MIT */
/*
 * Parts of the cached calls: a lock, a hit, a swap, an exchange with the depot, memory for a
 * magazine, the look at an entry.
 *
 * Hits are timed in stretches that stay within the loaded magazine. Swaps and exchanges are
 * rare in life, so the processor does not foresee them: here one call in eight, at random,
 * is made to need one, by hand, and its price is what these calls add to the same loop
 * without them.
 */
#include <string.h>

#include "calibrate.h"
#include "rcache_fast.h"

#define LIMIT UINT64_C(0xfffffffff)
#define STRETCH 64u
#define MARKS 65536u
#define MARK_EVERY 8u

enum { PLAIN, MARKED };

static struct iova_domain *domain;
static struct spin_lock depot_lock, tree_lock;
static uint8_t marks[2][MARKS];
static size_t mark_count;
static uint32_t cpu;
static uint64_t size = 1, limit = LIMIT;

/* -------------------------------------------------------------------------- domain */

static struct spin_lock *lock_of(enum iova_lock lock, uint32_t on, uint32_t size_class)
{
	if (lock == IOVA_LOCK_CPU)
		return &cpu_cache_of(domain, on, size_class)->lock;
	return lock == IOVA_LOCK_DEPOT ? &depot_lock : &tree_lock;
}

static void acquire(void *context, enum iova_lock lock, uint32_t on, uint32_t size_class)
{
	(void)context;
	spin_acquire(lock_of(lock, on, size_class));
}

static void release(void *context, enum iova_lock lock, uint32_t on, uint32_t size_class)
{
	(void)context;
	spin_release(lock_of(lock, on, size_class));
}

/* Memory of magazines is a price of its own: one that falls free serves the next request. */
static void *pocket;

static void *pocket_allocate(void *context, enum iova_memory_kind kind, size_t bytes,
			     size_t alignment)
{
	if (kind != IOVA_MEMORY_MAGAZINE || !pocket)
		return iova_memory_heap()->allocate(context, kind, bytes, alignment);
	void *magazine = pocket;
	pocket = NULL;
	return magazine;
}

static void pocket_release(void *context, enum iova_memory_kind kind, void *block, size_t bytes)
{
	if (kind != IOVA_MEMORY_MAGAZINE || pocket)
		iova_memory_heap()->release(context, kind, block, bytes);
	else
		pocket = block;
}

static struct cpu_cache *cache(void)
{
	return cpu_cache_of(domain, cpu, 0);
}

static void draw_marks(void)
{
	uint64_t seed = 1;
	for (size_t i = 0; i < MARKS; i++) {
		marks[MARKED][i] = random_below(&seed, MARK_EVERY) == 0;
		mark_count += marks[MARKED][i];
	}
}

/* Once for all parts: the loaded magazine is half full. */
static void prepare(size_t number)
{
	(void)number;
	static const struct iova_memory memory = { pocket_allocate, pocket_release, NULL, NULL };
	struct iova_lock_hooks hooks = { acquire, release, NULL };
	struct iova_config config = { .granule = 4096,
				      .start_pfn = 1,
				      .cpus_possible = 2,
				      .cpus_online = 2,
				      .classes = IOVA_DEFAULT_CLASSES,
				      .design = iova_design_named("linux-6.12"),
				      .memory = &memory,
				      .locks = &hooks };
	uint64_t taken[STRETCH];
	if (domain)
		return;
	must(iova_create(&config, &domain) == IOVA_OK, "no domain");
	must(iova_make_caches(domain) == IOVA_OK, "no caches");
	for (size_t i = 0; i < STRETCH; i++)
		taken[i] = iova_alloc(domain, cpu, size, limit, false);
	for (size_t i = 0; i < STRETCH; i++)
		iova_free(domain, cpu, taken[i], size, 0);
	draw_marks();
	OPAQUE(cpu);
	OPAQUE(size);
	OPAQUE(limit);
}

/* ---------------------------------------------------------------------------- hits */

static double measure_lock(size_t number, size_t operations)
{
	(void)number;
	static struct spin_lock lock;
	double began = now_ns();
	for (size_t i = 0; i < operations; i++) {
		spin_acquire(&lock);
		spin_release(&lock);
	}
	return (now_ns() - began) / (double)operations;
}

enum { ALLOCATING, FREEING };

static double measure_hits(size_t which, size_t operations)
{
	uint64_t taken[STRETCH];
	double ns[2] = { 0, 0 }, clock = clock_alone();
	size_t stretches = operations / STRETCH + 1;
	for (size_t done = 0; done < stretches; done++) {
		double began = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			taken[i] = iova_alloc(domain, cpu, size, limit, false);
		double between = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			iova_free(domain, cpu, taken[i], size, 0);
		ns[FREEING] += now_ns() - between - clock;
		ns[ALLOCATING] += between - began - clock;
	}
	return ns[which] / (double)(stretches * STRETCH);
}

/* The same in the fewest instructions: one function, its lock in line, as live domains do it. */

BEHIND_CALL static uint64_t take(uint32_t on, uint64_t pages, uint64_t up_to)
{
	unsigned order = order_of(pages);
	if (unlikely(order >= domain->classes))
		abort();
	struct cpu_cache *own = cpu_cache_of(domain, on, order);
	spin_acquire(&own->lock);
	uint64_t pfn =
		magazine_take_top(own->loaded, highest_acceptable(up_to, UINT64_C(1) << order));
	own->hits_loaded++;
	spin_release(&own->lock);
	return pfn;
}

BEHIND_CALL static void put(uint32_t on, uint64_t pfn, uint64_t pages)
{
	unsigned order = order_of(pages);
	if (unlikely(order >= domain->classes))
		abort();
	struct cpu_cache *own = cpu_cache_of(domain, on, order);
	spin_acquire(&own->lock);
	if (unlikely(!magazine_has_room(own->loaded)))
		abort();
	magazine_push(own->loaded, pfn);
	own->puts++;
	spin_release(&own->lock);
}

static double measure_quick_hits(size_t which, size_t operations)
{
	uint64_t taken[STRETCH];
	double ns[2] = { 0, 0 }, clock = clock_alone();
	size_t stretches = operations / STRETCH + 1;
	for (size_t done = 0; done < stretches; done++) {
		double began = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			taken[i] = take(cpu, size, limit);
		double between = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			put(cpu, taken[i], size);
		ns[FREEING] += now_ns() - between - clock;
		ns[ALLOCATING] += between - began - clock;
	}
	return ns[which] / (double)(stretches * STRETCH);
}

/* --------------------------------------------------------------- what is not foreseen */

static void swap_by_hand(void)
{
	struct magazine *loaded = cache()->loaded;
	cache()->loaded = cache()->previous;
	cache()->previous = loaded;
}

/* Pairs of calls; a marked one finds an empty loaded magazine, and entries in the previous. */
static void swap_where_marked(const uint8_t *marked, size_t pairs)
{
	for (size_t i = 0; i < pairs; i++) {
		if (marked[i % MARKS])
			swap_by_hand();
		uint64_t pfn = iova_alloc(domain, cpu, size, limit, false);
		iova_free(domain, cpu, pfn, size, 0);
	}
}

struct stage {
	struct magazine *usual, *usual_previous, *empty, *full;
};

/* Both magazines are empty and the depot has one; then both are full. */
static void exchange_twice(struct stage *stage)
{
	cache()->loaded = pocket;
	cache()->previous = stage->empty;
	pocket = NULL;
	uint64_t pfn = iova_alloc(domain, cpu, size, limit, false);
	iova_free(domain, cpu, pfn, size, 0);
	cache()->previous = stage->full;
	iova_free(domain, cpu, pfn, size, 0);
	/* The new one has one entry, which the usual one has too. */
	pocket = cache()->loaded;
	((struct magazine *)pocket)->count = 0;
	cache()->loaded = stage->usual;
	cache()->previous = stage->usual_previous;
}

static void exchange_where_marked(struct stage *stage, const uint8_t *marked, size_t pairs)
{
	for (size_t i = 0; i < pairs; i++) {
		if (marked[i % MARKS])
			exchange_twice(stage);
		uint64_t pfn = iova_alloc(domain, cpu, size, limit, false);
		iova_free(domain, cpu, pfn, size, 0);
	}
}

static size_t whole_passes(size_t operations)
{
	return (operations + MARKS - 1) / MARKS * MARKS;
}

/* ns that one mark adds. */
static double per_mark(const double *ns, size_t pairs)
{
	return (ns[MARKED] - ns[PLAIN]) * MARKS / ((double)pairs * (double)mark_count);
}

static double measure_swaps(size_t number, size_t operations)
{
	(void)number;
	double ns[2];
	size_t pairs = whole_passes(operations);
	for (int which = PLAIN; which <= MARKED; which++) {
		double began = now_ns();
		swap_where_marked(marks[which], pairs);
		ns[which] = now_ns() - began;
	}
	return per_mark(ns, pairs);
}

static struct magazine *filled(void)
{
	struct magazine *magazine = magazine_new(domain, 0);
	must(magazine != NULL, "no memory");
	for (uint64_t i = 0; i < IOVA_MAGAZINE_CAPACITY; i++)
		magazine_push(magazine, 1000 + i);
	return magazine;
}

/* What a mark adds: an allocation that pops, a free, a free that pushes. */
static double measure_exchanges(size_t number, size_t operations)
{
	(void)number;
	double ns[2];
	size_t pairs = whole_passes(operations);
	struct stage stage = { cache()->loaded, cache()->previous, magazine_new(domain, 0),
			       filled() };
	depot_push(&domain->rcache[0].depot, filled());
	pocket = magazine_new(domain, 0);
	must(stage.empty && pocket, "no memory");
	for (int which = PLAIN; which <= MARKED; which++) {
		double began = now_ns();
		exchange_where_marked(&stage, marks[which], pairs);
		ns[which] = now_ns() - began;
	}
	magazine_delete(domain, 0, stage.empty);
	magazine_delete(domain, 0, stage.full);
	magazine_delete(domain, 0, depot_pop(&domain->rcache[0].depot));
	return per_mark(ns, pairs);
}

/* ----------------------------------------------------------------------- magazines */

static double measure_memory(size_t which, size_t operations)
{
	const struct iova_memory *heap = iova_memory_heap();
	struct magazine *made[STRETCH];
	double ns[2] = { 0, 0 }, clock = clock_alone();
	size_t stretches = operations / STRETCH / 8 + 1;
	for (size_t done = 0; done < stretches; done++) {
		double began = now_ns();
		for (size_t i = 0; i < STRETCH; i++) {
			made[i] = memory_get(heap, IOVA_MEMORY_MAGAZINE, magazine_bytes(IOVA_MAGAZINE_CAPACITY));
			must(made[i] != NULL, "no memory");
			made[i]->count = 0;
		}
		double between = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			memory_put(heap, IOVA_MEMORY_MAGAZINE, made[i], magazine_bytes(IOVA_MAGAZINE_CAPACITY));
		ns[FREEING] += now_ns() - between - clock;
		ns[ALLOCATING] += between - began - clock;
	}
	return ns[which] / (double)(stretches * STRETCH);
}

/* Entries all above what is acceptable. */
static double measure_scan(size_t number, size_t operations)
{
	(void)number;
	struct magazine *magazine = filled();
	size_t scans = operations / IOVA_MAGAZINE_CAPACITY + 1;
	double began = now_ns();
	for (size_t i = 0; i < scans; i++) {
		uint64_t pfn, cap = 999;
		OPAQUE(cap);
		must(!magazine_take(magazine, cap, &pfn), "an entry was acceptable");
	}
	double ns = now_ns() - began;
	magazine_delete(domain, 0, magazine);
	return ns / (double)(scans * IOVA_MAGAZINE_CAPACITY);
}

struct parts parts_of_caches(void)
{
	static const struct part parts[] = {
		{ "lock", NULL, measure_lock, 0 },
		{ "alloc", prepare, measure_hits, ALLOCATING },
		{ "free", prepare, measure_hits, FREEING },
		{ "quick alloc", prepare, measure_quick_hits, ALLOCATING },
		{ "quick free", prepare, measure_quick_hits, FREEING },
		{ "swap", prepare, measure_swaps, 0 },
		{ "exchanges", prepare, measure_exchanges, 0 },
		{ "magazine new", NULL, measure_memory, ALLOCATING },
		{ "magazine free", NULL, measure_memory, FREEING },
		{ "scan", prepare, measure_scan, 0 },
	};
	return (struct parts){ parts, COUNT_OF_ARRAY(parts) };
}
