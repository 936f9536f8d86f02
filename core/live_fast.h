/* SPDX-License-Identifier: MIT */
/*
 * The paths of a live domain that run once per allocation, inline: the binding calls them
 * with no call in between.
 */
#ifndef IOVA_LIVE_FAST_H
#define IOVA_LIVE_FAST_H

#include "live.h"

/* Size class of `size` bytes; beyond all classes for 0. Bits of the number of the last frame. */
static inline unsigned quick_order(const struct iova_live *live, uint64_t size)
{
	return 63u - (unsigned)__builtin_clzll(((size - 1) >> live->shift) << 1 | 1);
}

static inline struct cpu_cache *quick_cache(const struct iova_live *live, uint32_t cpu,
					    unsigned order)
{
	return &live->caches[(size_t)cpu * live->classes + order];
}

/* The top of a CPU's loaded magazine, if it is at most cap and nobody is in the cache; else 0. */
static inline uint64_t quick_take(struct cpu_cache *cache, uint64_t cap)
{
	if (unlikely(!peek(&cache->loaded) || !spin_try(&cache->lock)))
		return 0;
	uint64_t pfn = magazine_take_top(cache->loaded, cap);
	cache->hits_loaded += pfn != 0;
	spin_release(&cache->lock);
	return pfn;
}

/* False: no room on top of the loaded magazine, or somebody is in the cache. */
static inline bool quick_put(struct cpu_cache *cache, uint64_t pfn)
{
	if (unlikely(!peek(&cache->loaded) || !spin_try(&cache->lock)))
		return false;
	bool room = magazine_has_room(cache->loaded);
	if (likely(room)) {
		magazine_push(cache->loaded, pfn);
		cache->puts++;
	}
	spin_release(&cache->lock);
	return room;
}

/* A range that a cache held has a mark already. */
static inline void mark_live(struct iova_live *live, uint64_t pfn, unsigned size_class)
{
	uint8_t *mark = map_find(&live->marks, pfn);
	assert_cheap(mark);
	sync_store(mark, (uint8_t)(MARK_LIVE | size_class));
}

/* False: the full path must see to it, and nothing has changed. */
static inline bool quick_alloc(struct iova_live *live, uint32_t cpu, uint64_t size, uint64_t limit,
			       uint64_t align, uint64_t *address)
{
	unsigned order = quick_order(live, size);
	uint64_t top = top_of(live, limit), rounded = UINT64_C(1) << (order & 63);
	if (unlikely(order >= live->classes || cpu >= sync_load(&live->quick_cpus) || align ||
		     top < rounded))
		return false;
	uint64_t pfn = quick_take(quick_cache(live, cpu, order), top - rounded);
	if (unlikely(!pfn))
		return false;
	if (live->checked)
		mark_live(live, pfn, order);
	*address = pfn << live->shift;
	return true;
}

/* Take a live range of a class away from its owner; false: it is not one, see the full path. */
static inline bool quick_disown(struct iova_live *live, uint64_t pfn, unsigned order)
{
	if (!live->checked && likely(!sync_load(&live->has_fixed)))
		return true;
	uint8_t *mark = map_find(&live->marks, pfn), owned = (uint8_t)(MARK_LIVE | order);
	if (!live->checked)
		return !mark || sync_load(mark) != (MARK_LIVE | MARK_EXACT);
	return likely(mark && sync_cas(mark, &owned, (uint8_t)MARK_FREE));
}

/* The same. */
static inline bool quick_free(struct iova_live *live, uint32_t cpu, uint64_t address,
			      uint64_t size)
{
	unsigned order = quick_order(live, size);
	uint64_t pfn = address >> live->shift;
	if (unlikely(order >= live->classes || cpu >= sync_load(&live->quick_cpus) ||
		     pfn << live->shift != address || !quick_disown(live, pfn, order)))
		return false;
	if (unlikely(!quick_put(quick_cache(live, cpu, order), pfn)))
		live_put_back(live, cpu, pfn, UINT64_C(1) << order, order);
	return true;
}

#endif
