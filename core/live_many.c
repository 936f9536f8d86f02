/* SPDX-License-Identifier: MIT */
/*
 * live_many - many ranges of one size at a time: as many as the loaded magazine holds, or
 * has room for, are moved under one hold of the CPU's lock, by loops that the compiler
 * makes vectors of. What comes next, an exchange of magazines or the tree, is one call of
 * the usual kind.
 */
#include "live_fast.h"

/* ----------------------------------------------------------------------- allocation */

/* From the top down, as single calls would take them. */
static void copy_out(const struct magazine *magazine, uint64_t n, unsigned shift, uint64_t *out)
{
	const uint64_t *top = magazine->pfn + magazine->count - 1;
	for (uint64_t i = 0; i < n; i++)
		out[i] = *(top - i) << shift;
}

static void mark_all_live(struct iova_live *live, const uint64_t *addresses, uint64_t n,
			  unsigned size_class)
{
	for (uint64_t i = 0; i < n; i++)
		mark_live(live, addresses[i] >> live->shift, size_class);
}

/* Up to n ranges off the loaded magazine of this CPU; how many. */
static uint64_t take_some(struct iova_live *live, uint32_t cpu, unsigned order, uint64_t n,
			  uint64_t *out)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	uint64_t taken = 0;
	if (!peek(&cache->loaded) || !cache_try(live, cache, cpu))
		return 0;
	if (magazine_has_entries(cache->loaded)) {
		taken = cache->loaded->count < n ? cache->loaded->count : n;
		copy_out(cache->loaded, taken, live->shift, out);
		cache->loaded->count -= taken;
		cache->hits_loaded += taken;
	}
	cache_release(live, cache, cpu);
	if (live->checked)
		mark_all_live(live, out, taken, order);
	return taken;
}

/* All of a magazine may be handed out: the size is cached, and no limit is below the windows. */
static bool can_take_some(const struct iova_live *live, uint32_t cpu, uint64_t size,
			  uint64_t limit)
{
	return is_quick(live, cpu, size) && limit >= live->last;
}

static void give_all_back(struct iova_live *live, const uint64_t *addresses, size_t n,
			  uint64_t size)
{
	while (n-- > 0)
		(void)iova_live_free(live, addresses[n], size);
}

enum iova_status iova_live_alloc_many(iova_live *live, size_t n, uint64_t size, uint64_t limit,
				      uint64_t *addresses)
{
	unsigned order = quick_order(live, size);
	if (n == 0 && is_closed(live))
		return IOVA_CLOSED;
	for (size_t done = 0; done < n;) {
		uint32_t cpu = platform_cpu_quick();
		if (can_take_some(live, cpu, size, limit))
			done += take_some(live, cpu, order, n - done, addresses + done);
		if (done == n)
			break;
		enum iova_status status =
			live_alloc_in_full(live, cpu, size, limit, 0, &addresses[done]);
		if (status != IOVA_OK) {
			give_all_back(live, addresses, done, size);
			return status;
		}
		done++;
	}
	return IOVA_OK;
}

/* ----------------------------------------------------------------------------- free */

/*
 * Whether all n addresses lie at or below the last of the windows, at whole granules. Free
 * of branches and comparisons, which SSE2 has not for 64 bits: a difference below zero and
 * an address in the upper half both show in the top bit.
 */
static bool all_plausible(const struct iova_live *live, const uint64_t *addresses, uint64_t n)
{
	uint64_t mask = live->mask, last = live->last, odd = 0, far = 0;
	if (unlikely((int64_t)last < 0))
		return false; /* one by one, then */
	for (uint64_t i = 0; i < n; i++) {
		odd |= addresses[i];
		far |= addresses[i] | (last - addresses[i]);
	}
	return !(odd & mask) && (int64_t)far >= 0;
}

/* How many of the first n were live ranges of the class, and are taken from their owner. */
static uint64_t disown_some(struct iova_live *live, const uint64_t *addresses, uint64_t n,
			    unsigned order)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t pfn = addresses[i] >> live->shift;
		if (addresses[i] & live->mask)
			return i;
		if (live->checked ? !quick_disown_mark(live, pfn, order) :
				    !quick_believe_mark(live, pfn))
			return i;
	}
	return n;
}

static void copy_in(struct magazine *magazine, const uint64_t *addresses, uint64_t n,
		    unsigned shift)
{
	uint64_t *top = magazine->pfn + magazine->count;
	for (uint64_t i = 0; i < n; i++)
		top[i] = addresses[i] >> shift;
	magazine->count += n;
}

/* Put up to n ranges onto the loaded magazine of this CPU; how many. */
static uint64_t put_some(struct iova_live *live, uint32_t cpu, unsigned order,
			 const uint64_t *addresses, uint64_t n)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	uint64_t put = 0;
	if (!peek(&cache->loaded) || !cache_try(live, cache, cpu))
		return 0;
	if (magazine_has_room(cache->loaded)) {
		uint64_t room = IOVA_MAGAZINE_CAPACITY - cache->loaded->count;
		put = room < n ? room : n;
		if (!live->checked && !all_plausible(live, addresses, put))
			put = 0;
		if (live->checked || sync_load(&live->has_fixed))
			put = disown_some(live, addresses, put, order);
		copy_in(cache->loaded, addresses, put, live->shift);
		cache->puts += put;
	}
	cache_release(live, cache, cpu);
	return put;
}

enum iova_status iova_live_free_many(iova_live *live, size_t n, const uint64_t *addresses,
				     uint64_t size, size_t *bad)
{
	unsigned order = quick_order(live, size);
	if (n == 0 && is_closed(live))
		return IOVA_CLOSED;
	for (size_t done = 0; done < n;) {
		uint32_t cpu = platform_cpu_quick();
		if (is_quick(live, cpu, size))
			done += put_some(live, cpu, order, addresses + done, n - done);
		if (done == n)
			break;
		enum iova_status status = live_free_in_full(live, cpu, addresses[done], size);
		if (status != IOVA_OK) {
			if (bad)
				*bad = done;
			return status;
		}
		done++;
	}
	return IOVA_OK;
}
