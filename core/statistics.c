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
	}
	return "unknown status";
}

/* ----------------------------------------------------------------------- counters */

static uint64_t entries_of(const struct magazine *magazine)
{
	return magazine ? magazine->count : 0;
}

static void add_cpus(const struct iova_domain *domain, uint32_t size_class,
		     struct iova_counters *sum)
{
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
		const struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
		sum->hits_loaded += cache->hits_loaded;
		sum->hits_previous += cache->hits_previous;
		sum->hits_depot += cache->hits_depot;
		sum->puts += cache->puts;
		sum->cached += entries_of(cache->loaded) + entries_of(cache->previous);
	}
}

static void add_rcache(const struct rcache *rcache, struct iova_counters *sum)
{
	sum->magazines_allocated = rcache->magazines_allocated;
	sum->magazines_freed = rcache->magazines_freed;
	sum->pushed = rcache->pushed;
	sum->popped = rcache->popped;
	sum->reclaimed = rcache->reclaimed;
	sum->trimmed = rcache->trimmed;
	sum->armed = rcache->armed;
	sum->found_armed = rcache->found_armed;
	sum->runs = rcache->runs;
	sum->depot = rcache->depot.length;
	sum->depot_peak = rcache->depot.peak;
	sum->cached += rcache->depot.length * IOVA_MAGAZINE_CAPACITY;
}

struct iova_counters iova_read_counters(const iova_domain *domain, uint32_t size_class)
{
	struct iova_counters sum = { 0 };
	if (size_class >= domain->classes && size_class != IOVA_BEYOND_CLASSES)
		return sum;
	const struct tree_counters *tree = &domain->tree_counters[size_class];
	sum.tree_allocations = tree->allocations;
	sum.tree_frees = tree->frees;
	sum.tree_steps = tree->steps;
	sum.failures = tree->failures;
	if (size_class < domain->classes) {
		if (domain->caches)
			add_cpus(domain, size_class, &sum);
		add_rcache(&domain->rcache[size_class], &sum);
	}
	return sum;
}

struct iova_cpu_view iova_read_cpu(const iova_domain *domain, uint32_t cpu, uint32_t size_class)
{
	struct iova_cpu_view view = { 0 };
	if (!domain->caches || cpu >= domain->cpus_possible || size_class >= domain->classes)
		return view;
	const struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	view.loaded = (uint32_t)entries_of(cache->loaded);
	view.previous = (uint32_t)entries_of(cache->previous);
	view.has_loaded = cache->loaded != NULL;
	view.has_previous = cache->previous != NULL;
	view.hits_loaded = cache->hits_loaded;
	view.hits_previous = cache->hits_previous;
	view.hits_depot = cache->hits_depot;
	view.puts = cache->puts;
	return view;
}

struct iova_totals iova_read_totals(const iova_domain *domain)
{
	return (struct iova_totals){
		.ranges = domain->tree.index.count - 1,
		.pages = domain->tree.index.pages,
		.tree_bytes = index_bytes(&domain->tree.index),
		.magazines = domain->magazines,
		.magazines_peak = domain->magazines_peak,
		.warnings = domain->warnings,
		.runs = domain->runs,
	};
}

/* ----------------------------------------------------------------------- checking */

struct cached_list {
	uint64_t *pfn;
	size_t count;
};

static bool add_magazine(struct cached_list *list, const struct magazine *magazine, uint64_t count)
{
	if (count > IOVA_MAGAZINE_CAPACITY)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		if (list->pfn)
			list->pfn[list->count] = magazine->pfn[i];
		list->count++;
	}
	return true;
}

/* All cached pfns into the list, or only counted where it has no room. NULL, or a fault. */
static const char *gather(const struct iova_domain *domain, struct cached_list *list)
{
	uint64_t magazines = 0;
	for (uint32_t k = 0; k < domain->classes; k++) {
		for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++) {
			const struct cpu_cache *cache = cpu_cache_of(domain, cpu, k);
			const struct magazine *two[] = { cache->loaded, cache->previous };
			for (unsigned i = 0; i < 2; i++) {
				magazines += two[i] != NULL;
				if (!add_magazine(list, two[i], entries_of(two[i])))
					return "a magazine holds more than its capacity";
			}
		}
		uint64_t length = 0;
		for (const struct magazine *m = domain->rcache[k].depot.head; m; m = m->next) {
			if (++length > domain->rcache[k].depot.length)
				return "a depot's list is longer than its length";
			add_magazine(list, m, IOVA_MAGAZINE_CAPACITY);
		}
		if (length != domain->rcache[k].depot.length)
			return "a depot's list is shorter than its length";
		magazines += length;
	}
	return magazines == domain->magazines ? NULL : "the count of magazines is wrong";
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

const char *iova_check(const iova_domain *domain)
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
