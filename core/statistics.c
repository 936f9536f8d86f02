/* SPDX-License-Identifier: MIT */
/* statistics - what the counters and gauges add up to, and the check of everything. */
#include "domain.h"

const char *iova_version(void)
{
	return IOVA_VERSION;
}

const char *iova_status_text(enum iova_status status)
{
	switch (status) {
	case IOVA_OK:
		return "success";
	case IOVA_NO_SPACE:
		return "no gap below the limit is large enough";
	case IOVA_NO_MEMORY:
		return "out of memory";
	case IOVA_INVALID:
		return "invalid argument";
	case IOVA_NOT_FOUND:
		return "no range holds this page frame";
	case IOVA_DOUBLE_FREE:
		return "the range is free already";
	case IOVA_NOT_ALLOCATED:
		return "no allocated range starts at this address";
	case IOVA_SIZE_MISMATCH:
		return "the allocated range is of another size";
	case IOVA_RESERVED:
		return "the place is reserved, taken or outside the windows";
	case IOVA_OVER_BUDGET:
		return "the budget of live ranges is used up";
	case IOVA_FLUSH_NEEDED:
		return "an IOTLB flush is needed first";
	case IOVA_CLOSED:
		return "the domain is closed";
	}
	return "unknown status";
}

/* ----------------------------------------------------------------------- counters */

static uint64_t entries_of(const struct magazine *magazine)
{
	return magazine ? magazine->count : 0;
}

/* Untouched caches of a live domain stay untouched. */
static bool was_used(const struct iova_domain *domain, const struct cpu_cache *cache)
{
	return !domain->live || sync_load(&cache->used);
}

static void add_cpus(const struct iova_domain *domain, uint32_t size_class,
		     struct iova_counters *sum)
{
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
		const struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
		if (!was_used(domain, cache))
			continue;
		lock(domain, IOVA_LOCK_CPU, cpu, size_class);
		sum->hits_loaded += cache->hits_loaded;
		sum->hits_previous += cache->hits_previous;
		sum->hits_depot += cache->hits_depot;
		sum->puts += cache->puts;
		sum->cached += entries_of(cache->loaded) + entries_of(cache->previous);
		unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	}
}

static void add_rcache(const struct iova_domain *domain, uint32_t size_class,
		       struct iova_counters *sum)
{
	const struct rcache *rcache = &domain->rcache[size_class];
	sum->magazines_allocated = peek(&rcache->magazines_allocated);
	sum->magazines_freed = peek(&rcache->magazines_freed);
	sum->reclaimed = peek(&rcache->reclaimed);
	sum->trimmed = peek(&rcache->trimmed);
	sum->runs = peek(&rcache->runs);
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	sum->pushed = rcache->pushed;
	sum->popped = rcache->popped;
	sum->armed = rcache->armed;
	sum->found_armed = rcache->found_armed;
	sum->depot = rcache->depot.length;
	sum->depot_peak = rcache->depot.peak;
	sum->depot_empties = rcache->depot.empties;
	sum->cached += rcache->depot.cached;
	unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
}

struct iova_counters iova_read_counters(const iova_domain *domain, uint32_t size_class)
{
	struct iova_counters sum = { 0 };
	if (size_class >= domain->classes && size_class != IOVA_BEYOND_CLASSES)
		return sum;
	const struct tree_counters *tree = &domain->tree_counters[size_class];
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	sum.tree_allocations = tree->allocations;
	sum.tree_frees = tree->frees;
	sum.tree_steps = tree->steps;
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	sum.failures = peek(&tree->failures);
	if (size_class < domain->classes) {
		if (domain->caches)
			add_cpus(domain, size_class, &sum);
		add_rcache(domain, size_class, &sum);
	}
	return sum;
}

struct iova_cpu_view iova_read_cpu(const iova_domain *domain, uint32_t cpu, uint32_t size_class)
{
	struct iova_cpu_view view = { 0 };
	if (!domain->caches || cpu >= domain->cpus_possible || size_class >= domain->classes)
		return view;
	const struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	if (!was_used(domain, cache))
		return view;
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	view.loaded = (uint32_t)entries_of(cache->loaded);
	view.previous = (uint32_t)entries_of(cache->previous);
	view.has_loaded = cache->loaded != NULL;
	view.has_previous = cache->previous != NULL;
	view.hits_loaded = cache->hits_loaded;
	view.hits_previous = cache->hits_previous;
	view.hits_depot = cache->hits_depot;
	view.puts = cache->puts;
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	return view;
}

struct iova_totals iova_read_totals(const iova_domain *domain)
{
	struct iova_totals totals = {
		.magazines = peek(&domain->magazines),
		.magazines_peak = peek(&domain->magazines_peak),
		.magazine_bytes = peek(&domain->magazine_bytes),
		.warnings = peek(&domain->warnings),
		.runs = peek(&domain->runs),
	};
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	totals.ranges = domain->tree.index.count - 1;
	totals.pages = domain->tree.index.pages;
	totals.tree_bytes = index_bytes(&domain->tree.index);
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	return totals;
}

/* ----------------------------------------------------------------------- checking */

struct cached_list {
	uint64_t *pfn;
	size_t count;
};

static void add_entries(struct cached_list *list, const struct magazine *magazine,
			uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (list->pfn)
			list->pfn[list->count] = magazine->pfn[i];
		list->count++;
	}
}

/* NULL, or a fault. */
static const char *add_magazine(struct cached_list *list, const struct magazine *magazine,
				uint64_t *bytes)
{
	if (!magazine)
		return NULL;
	if (!magazine_can_hold(magazine->capacity))
		return "a magazine has a capacity that is none";
	if (magazine->count > magazine->capacity)
		return "a magazine holds more than its capacity";
	*bytes += magazine_bytes(magazine->capacity);
	add_entries(list, magazine, magazine->count);
	return NULL;
}

static const char *add_caches(const struct iova_domain *domain, uint32_t size_class,
			      struct cached_list *list, uint64_t *magazines, uint64_t *bytes)
{
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
		const struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
		/* Held only to have the counts of a live domain up to date. */
		if (was_used(domain, cache) && domain->live) {
			lock(domain, IOVA_LOCK_CPU, cpu, size_class);
			unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
		}
		const struct magazine *two[] = { cache->loaded, cache->previous };
		for (unsigned i = 0; i < 2; i++) {
			*magazines += two[i] != NULL;
			const char *fault = add_magazine(list, two[i], bytes);
			if (fault)
				return fault;
		}
	}
	return NULL;
}

static const char *add_depot(const struct depot *depot, struct cached_list *list,
			     uint64_t *magazines, uint64_t *bytes)
{
	uint64_t length = 0, empties = 0, cached = list->count;
	const struct magazine *magazine;
	for (uintptr_t at = depot->head; (magazine = link_magazine(at)); at = magazine->link) {
		if (++length > depot->length)
			return "a depot's list is longer than its length";
		*bytes += magazine_bytes(link_capacity(at));
		add_entries(list, magazine, link_capacity(at));
	}
	if (length != depot->length)
		return "a depot's list is shorter than its length";
	if (list->count - cached != depot->cached)
		return "a depot's count of ranges is wrong";
	for (uintptr_t at = depot->empty_head; (magazine = link_magazine(at));
	     at = magazine->link) {
		if (++empties > depot->empties)
			return "a depot's list of empty magazines is longer than its length";
		*bytes += magazine_bytes(link_capacity(at));
	}
	if (empties != depot->empties)
		return "a depot's list of empty magazines is shorter than its length";
	*magazines += length + empties;
	return NULL;
}

/* All cached pfns into the list, or only counted where it has no room. NULL, or a fault. */
static const char *gather(const struct iova_domain *domain, struct cached_list *list)
{
	uint64_t magazines = 0, bytes = 0;
	const char *fault = NULL;
	for (uint32_t k = 0; k < domain->classes && !fault; k++) {
		fault = add_caches(domain, k, list, &magazines, &bytes);
		if (!fault)
			fault = add_depot(&domain->rcache[k].depot, list, &magazines, &bytes);
	}
	if (fault)
		return fault;
	if (magazines != domain->magazines)
		return "the count of magazines is wrong";
	return bytes == domain->magazine_bytes ? NULL : "the count of magazines' bytes is wrong";
}

static void sift_down(uint64_t *heap, size_t at, size_t count)
{
	for (size_t child = 2 * at + 1; child < count; at = child, child = 2 * at + 1) {
		if (child + 1 < count && heap[child + 1] > heap[child])
			child++;
		if (heap[at] >= heap[child])
			return;
		uint64_t swap = heap[at];
		heap[at] = heap[child];
		heap[child] = swap;
	}
}

/* Heap sort: no recursion and no memory beside the array. */
static void sort(uint64_t *values, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sift_down(values, i, count);
	for (size_t end = count; end-- > 1;) {
		uint64_t swap = values[0];
		values[0] = values[end];
		values[end] = swap;
		sift_down(values, 0, end);
	}
}

static const char *check_cached(const struct iova_domain *domain, const struct cached_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct iova_range range;
		if (i > 0 && list->pfn[i] == list->pfn[i - 1])
			return "a range is cached twice";
		if (!tree_find(&domain->tree, list->pfn[i], &range))
			return "a cached range is not in the tree";
		if (range.lo != list->pfn[i])
			return "a cached pfn is not the first of its range";
	}
	return NULL;
}

static const char *check_all(const struct iova_domain *domain)
{
	const char *fault = index_check(&domain->tree.index);
	if (fault || !domain->caches)
		return fault;
	struct cached_list list = { NULL, 0 };
	fault = gather(domain, &list);
	if (fault || list.count == 0)
		return fault;
	size_t bytes = list.count * sizeof(uint64_t);
	list.pfn = memory_get(&domain->memory, IOVA_MEMORY_DOMAIN, bytes);
	if (!list.pfn)
		return "no memory to check the caches";
	list.count = 0;
	fault = gather(domain, &list);
	if (!fault) {
		sort(list.pfn, list.count);
		fault = check_cached(domain, &list);
	}
	memory_put(&domain->memory, IOVA_MEMORY_DOMAIN, list.pfn, bytes);
	return fault;
}

const char *iova_check(const iova_domain *domain)
{
	/* A live domain's reclaim may have a magazine in hand, which is nowhere then. */
	struct iova_domain *held = (struct iova_domain *)(uintptr_t)domain;
	begin_drain(held);
	const char *fault = check_all(domain);
	end_drain(held);
	return fault;
}
