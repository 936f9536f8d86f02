/* SPDX-License-Identifier: MIT */
/*
 * The paths that run once per allocation: inline, so that a replay and the entry points
 * without locks pay no call for them.
 */
#ifndef IOVA_RCACHE_FAST_H
#define IOVA_RCACHE_FAST_H

#include "domain.h"

/* The size the fast calls allocate: rounded up where a cache holds such sizes. */
static inline uint64_t rounded_size(const struct iova_domain *domain, uint64_t size)
{
	unsigned size_class = order_of(size);
	return size_class < domain->classes ? UINT64_C(1) << size_class : size;
}

/* Highest pfn at which a cached range of that size is acceptable; wraps where Linux's does. */
static inline uint64_t highest_acceptable(uint64_t limit, uint64_t size)
{
	return limit + 1 - size;
}

/* The cached calls in full: with locks, with the other magazine, the depot and the tree. */
uint64_t alloc_in_full(struct iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t limit,
		       bool flush);
void free_in_full(struct iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size,
		  uint64_t now);

/*
 * The same, inlined as far as the top of the CPU's loaded magazine serves. What it can not
 * serve is left as it is to the full call, at the end, so that nothing has to be kept over
 * it. *quick: it could, so magazines, depots and tree stand as they did.
 */
static inline uint64_t alloc_fast(struct iova_domain *domain, uint32_t cpu, uint64_t size,
				  uint64_t limit, bool flush, bool *quick)
{
	unsigned size_class = order_of(size);
	if (likely(size_class < domain->classes && !domain->has_locks)) {
		struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
		uint64_t cap = highest_acceptable(limit, UINT64_C(1) << size_class);
		uint64_t pfn = magazine_take_top(cache->loaded, cap);
		if (likely(pfn)) {
			cache->hits_loaded++;
			*quick = true;
			return pfn;
		}
	}
	*quick = false;
	return alloc_in_full(domain, cpu, size, limit, flush);
}

static inline void free_fast(struct iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size,
			     uint64_t now, bool *quick)
{
	unsigned size_class = order_of(size);
	if (likely(size_class < domain->classes && !domain->has_locks)) {
		struct cpu_cache *cache = cpu_cache_of(domain, cpu, size_class);
		if (likely(magazine_has_room(cache->loaded))) {
			magazine_push(cache->loaded, pfn);
			cache->puts++;
			*quick = true;
			return;
		}
	}
	*quick = false;
	free_in_full(domain, cpu, pfn, size, now);
}

#endif
