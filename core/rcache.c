/* SPDX-License-Identifier: MIT */
/*
 * rcache - per-CPU magazines over a depot, one rcache per size class.
 *
 * Theory of operation (Bonwick and Adams, "Magazines and Vmem", 2001, section 3). Each
 * CPU has two magazines, loaded and previous. Allocations pop from loaded, frees push
 * onto it; when it can not serve, the two are swapped if previous can; only when neither
 * can is a whole magazine exchanged with the depot. So the depot is reached at most once
 * in 127 operations of a CPU, whatever their mix, with magazines of 127 entries as Linux has.
 *
 * A missing magazine (a design that makes them at first use, or one trimmed away) counts
 * as empty when taking and as full when putting.
 */
#include "rcache_fast.h"

#include <string.h>

/* ---------------------------------------------------------------------- magazines */

/* The highest number of magazines there has been at a time. */
static void note_peak(struct iova_domain *domain, uint64_t magazines)
{
	uint64_t peak = peek(&domain->magazines_peak);
	while (magazines > peak)
		if (sync_cas(&domain->magazines_peak, &peak, magazines))
			return;
}

struct magazine *magazine_new(struct iova_domain *domain, uint32_t size_class)
{
	uint32_t capacity = peek(&domain->rcache[size_class].capacity);
	struct magazine *magazine =
		memory_get(&domain->memory, IOVA_MEMORY_MAGAZINE, magazine_bytes(capacity));
	if (!magazine)
		return NULL;
	magazine->count = 0;
	magazine->capacity = capacity;
	count_shared(domain, &domain->rcache[size_class].magazines_allocated, 1);
	count_shared(domain, &domain->magazines, 1);
	count_shared(domain, &domain->magazine_bytes, magazine_bytes(capacity));
	note_peak(domain, peek(&domain->magazines));
	return magazine;
}

void magazine_delete(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine)
{
	if (!magazine)
		return;
	count_shared(domain, &domain->rcache[size_class].magazines_freed, 1);
	size_t bytes = magazine_bytes(magazine->capacity);
	count_shared(domain, &domain->magazines, (uint64_t)-1);
	count_shared(domain, &domain->magazine_bytes, -(uint64_t)bytes);
	memory_put(&domain->memory, IOVA_MEMORY_MAGAZINE, magazine, bytes);
}

/* One hold of the tree's lock. */
static void drain_at_once(struct iova_domain *domain, uint32_t size_class, const uint64_t *pfn,
		       uint64_t n)
{
	uint64_t freed = 0;
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	for (uint64_t i = 0; i < n; i++)
		freed += tree_remove(&domain->tree, pfn[i]) == IOVA_OK;
	count_up(&domain->tree_counters[size_class].frees, freed);
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	if (unlikely(freed != n))
		count_shared(domain, &domain->warnings, n - freed);
}

static void drain_all(struct iova_domain *domain, uint32_t size_class, const uint64_t *pfn,
		      uint64_t n)
{
	uint64_t batch = domain->drain_batch;
	if (!batch) {
		drain_at_once(domain, size_class, pfn, n);
		return;
	}
	for (uint64_t i = 0; i < n; i += batch)
		drain_at_once(domain, size_class, pfn + i, n - i < batch ? n - i : batch);
}

void magazine_drain(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine)
{
	if (!magazine)
		return;
	drain_all(domain, size_class, magazine->pfn, magazine->count);
	magazine->count = 0;
}

/* -------------------------------------------------------------- making and freeing */

static bool make_magazines(struct iova_domain *domain)
{
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
		for (uint32_t k = 0; k < domain->classes; k++) {
			struct cpu_cache *cache = cpu_cache_of(domain, cpu, k);
			cache->loaded = magazine_new(domain, k);
			cache->previous = cache->loaded ? magazine_new(domain, k) : NULL;
			if (!cache->previous)
				return false;
		}
	}
	return true;
}

static void delete_empties(struct iova_domain *domain, uint32_t size_class)
{
	struct magazine *magazine;
	while ((magazine = depot_pop_empty(&domain->rcache[size_class].depot)) != NULL)
		magazine_delete(domain, size_class, magazine);
}

static size_t caches_bytes(const struct iova_domain *domain)
{
	return (size_t)domain->cpus_possible * domain->classes * sizeof(struct cpu_cache);
}

enum iova_status rcache_make(struct iova_domain *domain)
{
	domain->caches = memory_get(&domain->memory, IOVA_MEMORY_CACHES, caches_bytes(domain));
	if (!domain->caches)
		return IOVA_NO_MEMORY;
	if (domain->mechanism.magazines_at_first_use || make_magazines(domain))
		return IOVA_OK;
	rcache_destroy(domain);
	return IOVA_NO_MEMORY;
}

void rcache_destroy(struct iova_domain *domain)
{
	if (!domain->caches)
		return;
	for (uint32_t k = 0; k < domain->classes; k++) {
		for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
			struct cpu_cache *cache = cpu_cache_of(domain, cpu, k);
			magazine_delete(domain, k, cache->loaded);
			magazine_delete(domain, k, cache->previous);
		}
		domain->rcache[k].job.due = IOVA_NEVER;
		struct magazine *magazine;
		while ((magazine = depot_pop(&domain->rcache[k].depot)) != NULL)
			magazine_delete(domain, k, magazine);
		delete_empties(domain, k);
	}
	domain->earliest = IOVA_NEVER;
	memory_put(&domain->memory, IOVA_MEMORY_CACHES, domain->caches, caches_bytes(domain));
	domain->caches = NULL;
}

/* ------------------------------------------------------------------------- taking */

/*
 * A full magazine for *empty, which may be NULL, and is so after the depot kept it; a magazine
 * of another capacity than those made now is not kept.
 */
static struct magazine *pop_for_cpu(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
				    struct magazine **empty)
{
	struct rcache *rcache = &domain->rcache[size_class];
	lock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	struct magazine *magazine = rcache->no_pops ? NULL : depot_pop(&rcache->depot);
	if (magazine) {
		rcache->popped++;
		if (rcache->depot.empties < domain->mechanism.empties_max && *empty &&
		    (*empty)->capacity == peek(&rcache->capacity)) {
			depot_push_empty(&rcache->depot, *empty);
			*empty = NULL;
		}
	}
	unlock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	return magazine;
}

static void swap_magazines(struct cpu_cache *cache)
{
	struct magazine *loaded = cache->loaded;
	set_loaded(cache, cache->previous);
	cache->previous = loaded;
}

uint64_t *rcache_refill(struct iova_domain *domain, uint32_t cpu, uint32_t size_class)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	if (magazine_has_entries(cache->previous)) {
		swap_magazines(cache);
		return &cache->hits_previous;
	}
	struct magazine *empty = cache->loaded;
	struct magazine *full = pop_for_cpu(domain, cpu, size_class, &empty);
	if (!full)
		return NULL;
	magazine_delete(domain, size_class, empty);
	set_loaded(cache, full);
	return &cache->hits_depot;
}

/* The CPU's lock is held; loaded has nothing. */
static bool get_from_others(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
			    uint64_t cap, uint64_t *pfn)
{
	uint64_t *hits = rcache_refill(domain, cpu, size_class);
	if (!hits)
		return false;
	bool taken = magazine_take(cpu_cache_of(domain, cpu, size_class)->loaded, cap, pfn);
	*hits += taken;
	return taken;
}

bool rcache_get(struct iova_domain *domain, uint32_t cpu, uint32_t size_class, uint64_t cap,
		uint64_t *pfn)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	bool taken;
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	if (likely(magazine_has_entries(cache->loaded))) {
		taken = magazine_take(cache->loaded, cap, pfn);
		cache->hits_loaded += taken;
	} else {
		taken = get_from_others(domain, cpu, size_class, cap, pfn);
	}
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	return taken;
}

/* ------------------------------------------------------------------------ putting */

/* Hand a full magazine to the depot; returned, if the depot has no room for it. */
static struct magazine *push_full(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
				  struct magazine *full, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	struct magazine *surplus = full;
	lock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	if (rcache->depot.length < domain->mechanism.depot_max) {
		depot_push(&rcache->depot, full);
		rcache->pushed++;
		job_arm_by_push(domain, size_class, now);
		surplus = NULL;
	}
	unlock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	return surplus;
}

/* In one hold of the depot's lock: an empty magazine of the second list, loaded for it. */
static bool swap_for_empty(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
			   uint64_t now)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	struct rcache *rcache = &domain->rcache[size_class];
	bool can_push = cache->loaded && cache->previous;
	struct magazine *empty = NULL;
	lock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	if (!can_push || rcache->depot.length < domain->mechanism.depot_max)
		empty = depot_pop_empty(&rcache->depot);
	if (empty && can_push) {
		depot_push(&rcache->depot, cache->loaded);
		rcache->pushed++;
		job_arm_by_push(domain, size_class, now);
	} else if (empty && cache->loaded) {
		cache->previous = cache->loaded;
	}
	unlock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	if (empty)
		set_loaded(cache, empty);
	return empty != NULL;
}

/* Neither magazine has room; the depot, which takes full ones, has none either. */
static bool must_bail(struct iova_domain *domain, uint32_t cpu, uint32_t size_class)
{
	const struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	if (!domain->mechanism.bail || !cache->loaded || !cache->previous)
		return false;
	lock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	bool full = domain->rcache[size_class].depot.length >= domain->mechanism.depot_max;
	unlock(domain, IOVA_LOCK_DEPOT, cpu, size_class);
	return full;
}

/*
 * Put a new, empty magazine in place of loaded. What had to leave and found no room in
 * the depot is returned.
 */
static struct magazine *load_new(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
				 struct magazine *fresh, uint64_t now)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	struct magazine *surplus = NULL;
	if (cache->loaded && !cache->previous)
		cache->previous = cache->loaded;
	else if (cache->loaded)
		surplus = push_full(domain, cpu, size_class, cache->loaded, now);
	set_loaded(cache, fresh);
	return surplus;
}

bool rcache_make_room(struct iova_domain *domain, uint32_t cpu, uint32_t size_class, uint64_t now,
		      struct magazine **surplus)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	*surplus = NULL;
	if (magazine_has_room(cache->previous)) {
		swap_magazines(cache);
		return true;
	}
	if (domain->mechanism.empties_max && swap_for_empty(domain, cpu, size_class, now))
		return true;
	if (must_bail(domain, cpu, size_class))
		return false;
	/* Before the depot is looked at, on every exchange: as Linux does. */
	struct magazine *fresh = magazine_new(domain, size_class);
	if (!fresh)
		return false;
	*surplus = load_new(domain, cpu, size_class, fresh, now);
	if (domain->mechanism.arm_by_growth)
		job_arm_by_growth(domain, size_class, now);
	return true;
}

/* The CPU's lock is held, and let go here; loaded has no room. */
static bool put_into_others(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
			    uint64_t pfn, uint64_t now)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	struct magazine *surplus;
	bool cached = rcache_make_room(domain, cpu, size_class, now, &surplus);
	if (cached) {
		magazine_push(cache->loaded, pfn);
		cache->puts++;
	}
	/* A live domain's surplus is in nobody's hand unseen: the CPU's lock covers it. */
	if (!domain->live)
		unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	if (surplus) {
		magazine_drain(domain, size_class, surplus);
		magazine_delete(domain, size_class, surplus);
	}
	if (domain->live)
		unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	return cached;
}

bool rcache_put(struct iova_domain *domain, uint32_t cpu, uint32_t size_class, uint64_t pfn,
		uint64_t now)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	if (unlikely(!magazine_has_room(cache->loaded)))
		return put_into_others(domain, cpu, size_class, pfn, now);
	magazine_push(cache->loaded, pfn);
	cache->puts++;
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	return true;
}

/* ----------------------------------------------------------------------- emptying */

/* Copy what a magazine holds, and leave it with no entries; how many. */
static uint64_t move_out(struct magazine *from, uint64_t *to)
{
	if (!from)
		return 0;
	uint64_t n = from->count;
	memcpy(to, from->pfn, n * sizeof(*to));
	from->count = 0;
	return n;
}

/* The same with the CPU's lock held only for the copying. */
static void drain_cpu_briefly(struct iova_domain *domain, uint32_t cpu, uint32_t size_class)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	uint64_t pfn[2 * IOVA_MAGAZINE_MOST];
	if (domain->live && !sync_load(&cache->used))
		return;
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	uint64_t n = move_out(cache->loaded, pfn);
	n += move_out(cache->previous, pfn + n);
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	drain_all(domain, size_class, pfn, n);
}

static void drain_cpu_in_one(struct iova_domain *domain, uint32_t cpu, uint32_t size_class)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	magazine_drain(domain, size_class, cache->loaded);
	magazine_drain(domain, size_class, cache->previous);
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
}

void rcache_drain_cpu(struct iova_domain *domain, uint32_t cpu)
{
	for (uint32_t k = 0; k < domain->classes; k++) {
		if (domain->drain_batch)
			drain_cpu_briefly(domain, cpu, k);
		else
			drain_cpu_in_one(domain, cpu, k);
	}
}

static void drain_depot_briefly(struct iova_domain *domain, uint32_t size_class)
{
	struct magazine *magazine;
	while ((magazine = job_take(domain, size_class, 0)) != NULL) {
		magazine_drain(domain, size_class, magazine);
		magazine_delete(domain, size_class, magazine);
	}
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	delete_empties(domain, size_class);
	unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
}

void rcache_stop_pops(struct iova_domain *domain, bool stop)
{
	if (!domain->live)
		return;
	for (uint32_t k = 0; k < domain->classes; k++) {
		lock(domain, IOVA_LOCK_DEPOT, 0, k);
		domain->rcache[k].no_pops = stop;
		unlock(domain, IOVA_LOCK_DEPOT, 0, k);
	}
}

static void drain_depot_in_one(struct iova_domain *domain, uint32_t size_class)
{
	struct magazine *magazine;
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	while ((magazine = depot_pop(&domain->rcache[size_class].depot)) != NULL) {
		magazine_drain(domain, size_class, magazine);
		magazine_delete(domain, size_class, magazine);
	}
	delete_empties(domain, size_class);
	unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
}

void rcache_drain_depots(struct iova_domain *domain)
{
	for (uint32_t k = 0; k < domain->classes; k++) {
		if (domain->drain_batch)
			drain_depot_briefly(domain, k);
		else
			drain_depot_in_one(domain, k);
	}
}

/* A magazine that left a CPU: to the depot if it is full and there is room, else emptied. */
static void give_back(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine)
{
	struct rcache *rcache = &domain->rcache[size_class];
	if (!magazine)
		return;
	count_up(&rcache->trimmed, 1);
	if (!magazine_has_room(magazine)) {
		bool pushed = false;
		lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
		if (rcache->depot.length < domain->mechanism.depot_max) {
			/* Not counted as pushed and not arming: the job itself does this. */
			depot_push(&rcache->depot, magazine);
			pushed = true;
		}
		unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
		if (pushed)
			return;
	}
	magazine_drain(domain, size_class, magazine);
	magazine_delete(domain, size_class, magazine);
}

void rcache_trim_cpu(struct iova_domain *domain, uint32_t size_class, uint32_t cpu)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	begin_drain(domain);
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	struct magazine *loaded = cache->loaded, *previous = cache->previous;
	set_loaded(cache, NULL);
	cache->previous = NULL;
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	give_back(domain, size_class, loaded);
	give_back(domain, size_class, previous);
	end_drain(domain);
}
