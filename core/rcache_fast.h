/* SPDX-License-Identifier: MIT */
/*
 * The paths that run once per allocation: inline, so that a replay and the live entry
 * points pay no call for them.
 */
#ifndef IOVA_RCACHE_FAST_H
#define IOVA_RCACHE_FAST_H

#include "domain.h"

/*
 * Take a range of the class whose pfn is at most cap from the CPU's cache or the depot.
 * *quick: nothing but the CPU's loaded magazine was needed.
 */
static inline bool rcache_get(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
			      uint64_t cap, uint64_t *pfn, bool *quick)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	bool taken;
	if (likely(magazine_has_entries(cache->loaded))) {
		taken = magazine_take(cache->loaded, cap, pfn);
		cache->hits_loaded += taken;
		*quick = true;
	} else {
		taken = rcache_get_slow(domain, cpu, size_class, cap, pfn);
		*quick = false;
	}
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	return taken;
}

/* Put a range of the class into the CPU's cache. */
static inline bool rcache_put(struct iova_domain *domain, uint32_t cpu, uint32_t size_class,
			      uint64_t pfn, uint64_t now, bool *quick)
{
	struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	if (likely(magazine_has_room(cache->loaded))) {
		magazine_push(cache->loaded, pfn);
		cache->puts++;
		unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
		*quick = true;
		return true;
	}
	*quick = false;
	return rcache_put_slow(domain, cpu, size_class, pfn, now); /* lets the lock go */
}

/* The size the fast calls allocate: rounded up where a cache holds such sizes. */
static inline uint64_t rounded_size(const struct iova_domain *domain, uint64_t size)
{
	if (size < UINT64_C(1) << (domain->classes - 1))
		return UINT64_C(1) << order_of(size);
	return size;
}

/* From the tree, flushing the caches once if asked to. 0: failed. */
uint64_t alloc_from_tree(struct iova_domain *domain, uint64_t size, uint64_t limit, bool flush);

/* *quick: tree, depot and magazines stand as before, only the loaded one's entries moved. */
static inline uint64_t alloc_fast(struct iova_domain *domain, uint32_t cpu, uint64_t size,
				  uint64_t limit, bool flush, bool *quick)
{
	unsigned size_class = order_of(size);
	size = rounded_size(domain, size);
	if (likely(size_class < domain->classes)) {
		uint64_t pfn;
		/* limit + 1 - size wraps where Linux's does */
		if (likely(rcache_get(domain, cpu, size_class, limit + 1 - size, &pfn, quick) &&
			   pfn))
			return pfn;
	}
	*quick = false;
	return alloc_from_tree(domain, size, limit, flush);
}

static inline void free_fast(struct iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size,
			     uint64_t now, bool *quick)
{
	unsigned size_class = order_of(size);
	if (likely(size_class < domain->classes &&
		   rcache_put(domain, cpu, size_class, pfn, now, quick)))
		return;
	*quick = false;
	(void)iova_free_raw(domain, pfn); /* an unknown pfn is ignored, as in Linux */
}

#endif
