/* SPDX-License-Identifier: MIT */
/*
 * The paths of a live domain that run once per allocation, inline: the binding calls them
 * with no call in between.
 */
#ifndef IOVA_LIVE_FAST_H
#define IOVA_LIVE_FAST_H

#include "live_front.h"

/* Size class of `size` bytes, size >= 1: bits of the number of its last frame. */
static inline unsigned quick_order(const struct iova_live *live, uint64_t size)
{
	return 63u - (unsigned)__builtin_clzll((size - 1) >> live->shift << 1 | 1);
}

/* Whether a size may take the short path on that CPU. No size of 0 may. */
static inline bool is_quick(const struct iova_live *live, uint32_t cpu, uint64_t size)
{
	return likely((size - 1) >> live->shift < sync_load(&live->quick_frames) &&
		      cpu < live->cpus);
}

static inline struct cpu_cache *quick_cache(const struct iova_live *live, uint32_t cpu,
					    unsigned order)
{
	char *first = (char *)live->caches + cpu * live->stride;
	return (struct cpu_cache *)(void *)first + order;
}

/* The top of a CPU's loaded magazine, if it is at most cap and nobody is in the cache; else 0. */
static inline uint64_t quick_take(struct iova_live *live, uint32_t cpu, unsigned order,
				  uint64_t cap)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	if (unlikely(!peek(&cache->loaded) || !cache_try(live, cache, cpu)))
		return 0;
	uint64_t pfn = magazine_take_top(cache->loaded, cap);
	cache->hits_loaded += pfn != 0;
	cache_release(live, cache, cpu);
	return pfn;
}

/* False: no room on top of the loaded magazine, or somebody is in the cache. */
static inline bool quick_put(struct iova_live *live, uint32_t cpu, unsigned order, uint64_t pfn)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	if (unlikely(!peek(&cache->loaded) || !cache_try(live, cache, cpu)))
		return false;
	bool room = magazine_has_room(cache->loaded);
	if (likely(room)) {
		magazine_push(cache->loaded, pfn);
		cache->puts++;
	}
	cache_release(live, cache, cpu);
	return room;
}

/* ----------------------------------------------------------------------- allocation */

/* A range that a cache held has a mark already. */
static inline void mark_live(struct iova_live *live, uint64_t pfn, unsigned size_class)
{
	uint8_t *mark = map_find(&live->marks, pfn);
	assert_cheap(mark);
	sync_store(mark, (uint8_t)(MARK_LIVE | size_class));
}

/* Highest acceptable frame of a cached range; UINT64_MAX: any; false: there is none. */
static inline bool quick_cap(const struct iova_live *live, uint64_t limit, unsigned order,
			     uint64_t *cap)
{
	*cap = UINT64_MAX;
	if (likely(limit >= live->last))
		return true;
	uint64_t top = top_of(live, limit), pages = UINT64_C(1) << order;
	*cap = top - pages;
	return top >= pages;
}

/* False: the full path must see to it, and nothing has changed. */
static inline bool quick_alloc_unchecked(struct iova_live *live, uint32_t cpu, uint64_t size,
					 uint64_t limit, uint64_t align, uint64_t *address)
{
	uint64_t cap;
	if (unlikely(!is_quick(live, cpu, size) || align))
		return false;
	unsigned order = quick_order(live, size);
	if (unlikely(!quick_cap(live, limit, order, &cap)))
		return false;
	uint64_t pfn = quick_take(live, cpu, order, cap);
	if (unlikely(!pfn))
		return false;
	*address = pfn << live->shift;
	return true;
}

static inline bool quick_alloc_checked(struct iova_live *live, uint32_t cpu, uint64_t size,
				       uint64_t limit, uint64_t align, uint64_t *address)
{
	uint64_t taken;
	if (unlikely(!quick_alloc_unchecked(live, cpu, size, limit, align, &taken)))
		return false;
	mark_live(live, taken >> live->shift, quick_order(live, size));
	*address = taken;
	return true;
}

static inline bool quick_alloc(struct iova_live *live, uint32_t cpu, uint64_t size, uint64_t limit,
			       uint64_t align, uint64_t *address)
{
	if (live->checked)
		return quick_alloc_checked(live, cpu, size, limit, align, address);
	return quick_alloc_unchecked(live, cpu, size, limit, align, address);
}

/* ----------------------------------------------------------------------------- free */

/* Whether the range at pfn is of that class, and not one that caches can not hold. */
static inline bool quick_believe_mark(struct iova_live *live, uint64_t pfn)
{
	uint8_t *mark = map_find(&live->marks, pfn);
	return !mark || sync_load(mark) != (MARK_LIVE | MARK_EXACT);
}

/* An unchecked domain: whether the range can go to a cache. */
static inline bool quick_believe(struct iova_live *live, uint64_t address)
{
	return likely(!(address & live->mask) &&
		      (likely(!sync_load(&live->has_fixed)) ||
		       quick_believe_mark(live, address >> live->shift)));
}

/* Take a live range of a class away from its owner; false: it is not one. */
static inline bool quick_disown_mark(struct iova_live *live, uint64_t pfn, unsigned order)
{
	uint8_t *mark = map_find(&live->marks, pfn), owned = (uint8_t)(MARK_LIVE | order);
	return likely(mark && sync_cas(mark, &owned, (uint8_t)MARK_FREE));
}

/* A checked domain: take the range away from its owner; false: see the full path. */
static inline bool quick_disown_checked(struct iova_live *live, uint64_t address, uint64_t size)
{
	return likely(!(address & live->mask) &&
		      quick_disown_mark(live, address >> live->shift, quick_order(live, size)));
}

/* The one or the other. */
static inline bool quick_disown(struct iova_live *live, uint64_t address, uint64_t size)
{
	return live->checked ? quick_disown_checked(live, address, size) :
			       quick_believe(live, address);
}

/* Put a range that has left its owner into the CPU's cache; false: no room. */
static inline bool quick_put_on(struct iova_live *live, uint32_t cpu, uint64_t address,
				uint64_t size)
{
	return quick_put(live, cpu, quick_order(live, size), address >> live->shift);
}

/* False: the full path must see to it, and nothing has changed. */
static inline bool quick_free(struct iova_live *live, uint32_t cpu, uint64_t address,
			      uint64_t size)
{
	if (unlikely(!is_quick(live, cpu, size) || !quick_disown(live, address, size)))
		return false;
	if (unlikely(!quick_put_on(live, cpu, address, size))) {
		unsigned order = quick_order(live, size);
		live_put_back(live, cpu, address >> live->shift, UINT64_C(1) << order, order);
	}
	return true;
}

/* ------------------------------------------------------------------ on the CPU we are on */

/*
 * By a sequence, which asks for the CPU itself, where sequences are built in and the domain
 * has fronts; without fronts these refuse, and the functions above serve.
 */

static inline bool sequences_are_missing(const struct iova_live *live)
{
	return IOVA_HAS_RSEQ && !live->has_fronts;
}

/* What the functions below take for this CPU's number. */
static inline uint32_t quick_cpu(void)
{
	return IOVA_HAS_RSEQ ? 0 : platform_cpu_quick();
}

static inline bool is_quick_here(const struct iova_live *live, uint32_t cpu, uint64_t size)
{
#if IOVA_HAS_RSEQ
	(void)cpu;
	return likely((size - 1) >> live->shift < peek(&live->sequence_frames));
#else
	return is_quick(live, cpu, size);
#endif
}

static inline bool quick_alloc_unchecked_here(struct iova_live *live, uint64_t size,
					      uint64_t limit, uint64_t align, uint64_t *address)
{
#if IOVA_HAS_RSEQ
	uint64_t cap, pfn;
	if (unlikely(!is_quick_here(live, 0, size) || align))
		return false;
	unsigned order = quick_order(live, size);
	if (unlikely(!quick_cap(live, limit, order, &cap) ||
		     !rseq_take(&live->site, live->caches + order, cap, &pfn)))
		return false;
	*address = pfn << live->shift;
	return true;
#else
	return quick_alloc_unchecked(live, platform_cpu_quick(), size, limit, align, address);
#endif
}

static inline bool quick_alloc_checked_here(struct iova_live *live, uint64_t size, uint64_t limit,
					    uint64_t align, uint64_t *address)
{
	uint64_t taken;
	if (unlikely(!quick_alloc_unchecked_here(live, size, limit, align, &taken)))
		return false;
	mark_live(live, taken >> live->shift, quick_order(live, size));
	*address = taken;
	return true;
}

/* order is that of size; is_quick_here() was asked. */
static inline bool quick_put_here(struct iova_live *live, uint32_t cpu, uint64_t address,
				  uint64_t size, unsigned order)
{
#if IOVA_HAS_RSEQ
	(void)cpu, (void)size;
	return rseq_put(&live->site, live->caches + order, address >> live->shift);
#else
	(void)order;
	return quick_put_on(live, cpu, address, size);
#endif
}

/* quick_alloc() and quick_free() without a CPU of the caller's choice. */
static inline bool quick_alloc_here(struct iova_live *live, uint64_t size, uint64_t limit,
				    uint64_t align, uint64_t *address)
{
	if (unlikely(sequences_are_missing(live)))
		return quick_alloc(live, platform_cpu_quick(), size, limit, align, address);
	if (live->checked)
		return quick_alloc_checked_here(live, size, limit, align, address);
	return quick_alloc_unchecked_here(live, size, limit, align, address);
}

static inline bool quick_free_here(struct iova_live *live, uint64_t address, uint64_t size)
{
	uint32_t cpu = quick_cpu();
	unsigned order = quick_order(live, size);
	if (unlikely(sequences_are_missing(live)))
		return quick_free(live, platform_cpu_quick(), address, size);
	if (unlikely(!is_quick_here(live, cpu, size) || !quick_disown(live, address, size)))
		return false;
	if (unlikely(!quick_put_here(live, cpu, address, size, order)))
		live_put_back(live, cpu_of_caller(live), address >> live->shift,
			      UINT64_C(1) << order, order);
	return true;
}

#endif
