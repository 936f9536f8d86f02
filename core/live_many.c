/* SPDX-License-Identifier: MIT */
/*
 * live_many - many ranges of one size at a time: under one hold of the CPU's lock whole
 * magazines are emptied or filled, by loops that the compiler makes vectors of, and
 * exchanged as single calls would exchange them. What neither CPU nor depot can serve is one
 * call of the usual kind.
 */
#include "live_fast.h"
#include "rcache_fast.h"

/* Ranges that are moved in one hold of the CPU's lock: some microseconds' worth. */
#define MOST_IN_A_HOLD UINT64_C(1024)

static uint64_t at_most(uint64_t n, uint64_t most)
{
	return n < most ? n : most;
}

/* -------------------------------------------------------------------------- marks */

/* The leaf of the marks that was looked at last: neighbours are asked for in a row. */
struct near_marks {
	uint64_t piece; /* pfn / MAP_FANOUT */
	uint8_t *leaf;
};

static uint8_t *find_mark(struct iova_live *live, struct near_marks *near, uint64_t pfn)
{
	if (likely(near->leaf && pfn >> MAP_BITS == near->piece))
		return near->leaf + map_place(pfn);
	uint8_t *mark = map_find(&live->marks, pfn);
	if (mark) {
		near->piece = pfn >> MAP_BITS;
		near->leaf = mark - map_place(pfn);
	}
	return mark;
}

static void mark_all_live(struct iova_live *live, const uint64_t *addresses, uint64_t n,
			  unsigned size_class)
{
	struct near_marks near = { 0, NULL };
	for (uint64_t i = 0; i < n; i++) {
		uint8_t *mark = find_mark(live, &near, addresses[i] >> live->shift);
		assert_cheap(mark);
		sync_store(mark, (uint8_t)(MARK_LIVE | size_class));
	}
}

/* ----------------------------------------------------------------------- allocation */

/* From the top down, as single calls would take them. */
static void take_off(struct magazine *magazine, uint64_t n, unsigned shift, uint64_t *out)
{
	const uint64_t *top = magazine->pfn + magazine->count - 1;
	for (uint64_t i = 0; i < n; i++)
		out[i] = *(top - i) << shift;
	magazine->count -= (uint32_t)n;
}

/* The cache is held. */
static uint64_t take_from_magazines(struct iova_live *live, uint32_t cpu, unsigned order,
				    uint64_t n, uint64_t *out)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	uint64_t taken = 0;
	while (taken < n) {
		uint64_t *first_hit = &cache->hits_loaded;
		if (!magazine_has_entries(cache->loaded))
			first_hit = rcache_refill(live->domain, cpu, order);
		if (!first_hit)
			break;
		uint64_t here = at_most(cache->loaded->count, n - taken);
		take_off(cache->loaded, here, live->shift, out + taken);
		*first_hit += 1;
		cache->hits_loaded += here - 1;
		taken += here;
	}
	return taken;
}

/* Up to n ranges off magazines that this CPU has or can get; how many. */
static uint64_t take_some(struct iova_live *live, uint32_t cpu, unsigned order, uint64_t n,
			  uint64_t *out)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	if (!peek(&cache->loaded) || !cache_try(live, cache, cpu))
		return 0;
	uint64_t taken = take_from_magazines(live, cpu, order, at_most(n, MOST_IN_A_HOLD), out);
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

/* Frames of the windows in no range at all. */
static uint64_t frames_left(struct iova_live *live)
{
	lock_tree(live);
	/* Modulo 2^64, as the reservation above the windows is. */
	uint64_t taken = live->domain->tree.index.pages - live->reserved.pages +
			 live->reserved.inside;
	uint64_t left = live->top - live->domain->tree.start - taken;
	unlock_tree(live);
	return left;
}

/*
 * Whether there can not be room for so many: a large request that must fail would empty
 * all caches and hold all there is before it did, to the cost of others.
 */
static bool is_hopeless(struct iova_live *live, size_t n, uint64_t size)
{
	uint64_t each = rounded_size(live->domain, pages_of(live, size));
	struct iova_live_stats stats;
	if (n <= MOST_IN_A_HOLD || each == 0 || frames_left(live) / each >= n)
		return false;
	return iova_live_read(live, &stats) == IOVA_OK &&
	       ((stats.free_bytes + stats.cached_bytes) >> live->shift) / each < n;
}

enum iova_status iova_live_alloc_many(iova_live *live, size_t n, uint64_t size, uint64_t limit,
				      uint64_t *addresses)
{
	unsigned order = quick_order(live, size);
	if (n == 0 && is_closed(live))
		return IOVA_CLOSED;
	if (unlikely(is_hopeless(live, n, size)))
		return IOVA_NO_SPACE;
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
	struct near_marks near = { 0, NULL };
	for (uint64_t i = 0; i < n; i++) {
		uint8_t owned = (uint8_t)(MARK_LIVE | order);
		if (addresses[i] & live->mask)
			return i;
		uint8_t *mark = find_mark(live, &near, addresses[i] >> live->shift);
		if (!mark || !sync_cas(mark, &owned, (uint8_t)MARK_FREE))
			return i;
	}
	return n;
}

/* The same for a domain that believes its callers: whether they can go to a cache. */
static uint64_t believe_some(struct iova_live *live, const uint64_t *addresses, uint64_t n)
{
	if (!all_plausible(live, addresses, n))
		return 0;
	if (likely(!sync_load(&live->has_fixed)))
		return n;
	for (uint64_t i = 0; i < n; i++)
		if (!quick_believe_mark(live, addresses[i] >> live->shift))
			return i;
	return n;
}

static void put_on(struct magazine *magazine, const uint64_t *addresses, uint64_t n,
		   unsigned shift)
{
	uint64_t *top = magazine->pfn + magazine->count;
	for (uint64_t i = 0; i < n; i++)
		top[i] = addresses[i] >> shift;
	magazine->count += (uint32_t)n;
}

/* Whether it looks as if the range could be freed: no magazines are exchanged for one that can not. */
static bool looks_live(struct iova_live *live, uint64_t address, unsigned order)
{
	if (!live->checked)
		return all_plausible(live, &address, 1);
	uint8_t *mark = map_find(&live->marks, address >> live->shift);
	return mark && sync_load(mark) == (MARK_LIVE | order) && !(address & live->mask);
}

/* Room in the loaded magazine, made if need be; 0: there can be none. The cache is held. */
static uint64_t room_for_more(struct iova_live *live, uint32_t cpu, unsigned order,
			      uint64_t address)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	struct magazine *surplus = NULL;
	if (!magazine_has_room(cache->loaded) &&
	    (!looks_live(live, address, order) ||
	     !rcache_make_room(live->domain, cpu, order, live_now(live), &surplus)))
		return 0;
	magazine_drain(live->domain, order, surplus);
	magazine_delete(live->domain, order, surplus);
	return cache->loaded->capacity - cache->loaded->count;
}

/* The cache is held. */
static uint64_t put_into_magazines(struct iova_live *live, uint32_t cpu, unsigned order,
				   const uint64_t *addresses, uint64_t n)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	uint64_t put = 0, room;
	while (put < n && (room = room_for_more(live, cpu, order, addresses[put])) > 0) {
		uint64_t wanted = at_most(room, n - put);
		uint64_t ours = live->checked ?
					disown_some(live, addresses + put, wanted, order) :
					believe_some(live, addresses + put, wanted);
		put_on(cache->loaded, addresses + put, ours, live->shift);
		put += ours;
		if (ours < wanted)
			break;
	}
	cache->puts += put;
	return put;
}

/* Put up to n ranges into magazines of this CPU; how many. */
static uint64_t put_some(struct iova_live *live, uint32_t cpu, unsigned order,
			 const uint64_t *addresses, uint64_t n)
{
	struct cpu_cache *cache = quick_cache(live, cpu, order);
	if (!peek(&cache->loaded) || !cache_try(live, cache, cpu))
		return 0;
	uint64_t put =
		put_into_magazines(live, cpu, order, addresses, at_most(n, MOST_IN_A_HOLD));
	cache_release(live, cache, cpu);
	live_wake(live, iova_next_deadline(live->domain));
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
