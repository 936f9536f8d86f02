/* SPDX-License-Identifier: MIT */
/*
 * live_place - the address space of a live domain: windows and reservations, ranges at
 * fixed addresses, and what lies where.
 */
#include "live_front.h"

#include <string.h>

/* --------------------------------------------------------------------- reservations */

/* Index of the first reservation whose end is not below pfn. */
static size_t first_not_below(const struct reservations *reserved, uint64_t pfn)
{
	size_t low = 0, high = reserved->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (reserved->ranges[middle].hi < pfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool reservations_hold(const struct reservations *reserved, uint64_t pfn,
		       struct iova_range *range)
{
	size_t at = first_not_below(reserved, pfn);
	if (at == reserved->count || reserved->ranges[at].lo > pfn)
		return false;
	*range = reserved->ranges[at];
	return true;
}

static size_t bytes_of(size_t ranges)
{
	return ranges * sizeof(struct iova_range);
}

/* Room for one more. */
static bool make_room(struct iova_live *live)
{
	struct reservations *reserved = &live->reserved;
	if (reserved->count < reserved->room)
		return true;
	size_t room = reserved->room ? 2 * reserved->room : 8;
	struct iova_range *ranges =
		memory_get(&live->memory, IOVA_MEMORY_DOMAIN, bytes_of(room));
	if (!ranges)
		return false;
	if (reserved->count)
		memcpy(ranges, reserved->ranges, bytes_of(reserved->count));
	reservations_fini(live);
	reserved->ranges = ranges;
	reserved->room = room;
	return true;
}

void reservations_fini(struct iova_live *live)
{
	struct reservations *reserved = &live->reserved;
	if (reserved->ranges)
		memory_put(&live->memory, IOVA_MEMORY_DOMAIN, reserved->ranges,
			   bytes_of(reserved->room));
	reserved->ranges = NULL;
}

static enum iova_status reserve_gap(struct iova_live *live, uint64_t lo, uint64_t hi)
{
	struct reservations *reserved = &live->reserved;
	struct iova_range unused;
	if (!make_room(live))
		return IOVA_NO_MEMORY;
	enum iova_status status = tree_place(&live->domain->tree, lo, hi, &unused);
	if (status != IOVA_OK)
		return status;
	size_t at = first_not_below(reserved, lo);
	memmove(reserved->ranges + at + 1, reserved->ranges + at,
		bytes_of(reserved->count - at));
	reserved->ranges[at] = (struct iova_range){ lo, hi };
	reserved->count++;
	reserved->pages += hi - lo + 1;
	if (lo < live->top)
		reserved->inside += hi - lo + 1;
	return IOVA_OK;
}

enum iova_status reserve_gaps(struct iova_live *live, uint64_t lo, uint64_t hi)
{
	struct iova_range taken;
	while (tree_next(&live->domain->tree, lo, &taken) && taken.lo <= hi) {
		if (lo < taken.lo) {
			enum iova_status status = reserve_gap(live, lo, taken.lo - 1);
			if (status != IOVA_OK)
				return status;
		}
		if (taken.hi >= hi)
			return IOVA_OK;
		lo = taken.hi + 1;
	}
	return reserve_gap(live, lo, hi);
}

/* Whether any range in lo..hi is no reservation. The tree is locked. */
static bool holds_ranges(const struct iova_live *live, uint64_t lo, uint64_t hi)
{
	struct iova_range taken, reserved;
	while (tree_next(&live->domain->tree, lo, &taken) && taken.lo <= hi) {
		if (!reservations_hold(&live->reserved, taken.lo, &reserved))
			return true;
		if (taken.hi >= hi)
			return false;
		lo = taken.hi + 1;
	}
	return false;
}

static void record_place(const struct iova_live *live, enum live_op op, uint64_t lo, uint64_t hi)
{
	record(live, (struct live_event){
			     .op = op, .began = began_now(live), .pfn = lo, .last = hi });
}

/* Locks the tree, with nothing cached in lo..hi if that can be had. */
static void lock_with_caches_flushed(struct iova_live *live, uint64_t lo, uint64_t hi)
{
	lock_tree(live);
	if (!holds_ranges(live, lo, hi))
		return;
	unlock_tree(live);
	(void)iova_live_flush_caches(live);
	lock_tree(live);
}

enum iova_status iova_live_reserve(iova_live *live, uint64_t first, uint64_t last)
{
	uint64_t lo = first >> live->shift, hi = last >> live->shift;
	enum iova_status status = IOVA_OK;
	if (is_closed(live))
		return IOVA_CLOSED;
	if (first > last)
		return IOVA_INVALID;
	/* Nothing outside the windows is handed out anyway. */
	if (lo < live->domain->tree.start)
		lo = live->domain->tree.start;
	if (hi >= live->top)
		hi = live->top - 1;
	if (lo > hi)
		return IOVA_OK;
	lock_with_caches_flushed(live, lo, hi);
	if (holds_ranges(live, lo, hi))
		status = IOVA_RESERVED;
	else
		status = reserve_gaps(live, lo, hi);
	unlock_tree(live);
	if (status == IOVA_OK)
		record_place(live, LIVE_OP_RESERVE, lo, hi);
	return status;
}

/* ------------------------------------------------------------------ fixed addresses */

static enum iova_status place(struct iova_live *live, uint64_t lo, uint64_t hi)
{
	struct iova_domain *domain = live->domain;
	struct iova_range range;
	lock_with_caches_flushed(live, lo, hi);
	enum iova_status status = tree_place(&domain->tree, lo, hi, &range);
	if (status == IOVA_OK)
		count_up(&domain->tree_counters[counters_of(domain, hi - lo + 1)].allocations,
			 1);
	unlock_tree(live);
	return status;
}

enum iova_status iova_live_alloc_at(iova_live *live, uint64_t address, uint64_t size)
{
	uint64_t lo = address >> live->shift, pages = pages_of(live, size);
	if (is_closed(live))
		return IOVA_CLOSED;
	if (pages == 0 || lo << live->shift != address)
		return IOVA_INVALID;
	if (lo < live->domain->tree.start || lo >= live->top || pages > live->top - lo)
		return IOVA_RESERVED;
	if (!live_budget_take(live))
		return IOVA_OVER_BUDGET;
	uint8_t *mark = map_make(&live->marks, lo);
	enum iova_status status =
		mark ? place(live, lo, lo + pages - 1) : IOVA_NO_MEMORY;
	if (status != IOVA_OK) {
		live_budget_release(live);
		return status;
	}
	/* Not as cached ranges lie: it must go back to the tree. */
	sync_store(mark, (uint8_t)(MARK_LIVE | MARK_EXACT));
	sync_store(&live->has_fixed, true);
	record_place(live, LIVE_OP_PLACE, lo, lo + pages - 1);
	return IOVA_OK;
}

/* --------------------------------------------------------------------- what is where */

static struct iova_span span_of(const struct iova_live *live, struct iova_range range)
{
	return (struct iova_span){ range.lo << live->shift,
				   range.hi << live->shift | live->mask };
}

static enum iova_place place_of(struct iova_live *live, struct iova_range range)
{
	struct iova_range reserved;
	if (reservations_hold(&live->reserved, range.lo, &reserved))
		return IOVA_PLACE_RESERVED;
	uint8_t *mark = map_find(&live->marks, range.lo);
	unsigned seen = mark ? sync_load(mark) : (unsigned)MARK_NONE;
	if (seen & MARK_DEFERRED)
		return IOVA_PLACE_DEFERRED;
	return !live->checked || (seen & MARK_LIVE) ? IOVA_PLACE_LIVE : IOVA_PLACE_FREE;
}

/* All below the first window, or above the last. */
static struct iova_span span_outside(const struct iova_live *live, uint64_t pfn)
{
	if (pfn >= live->top)
		return (struct iova_span){ live->last + 1, UINT64_MAX };
	return (struct iova_span){ 0, (live->domain->tree.start << live->shift) - 1 };
}

enum iova_place iova_live_find(iova_live *live, uint64_t address, struct iova_span *span)
{
	uint64_t pfn = address >> live->shift;
	enum iova_place result = IOVA_PLACE_FREE;
	struct iova_range range;
	*span = (struct iova_span){ address, address };
	if (is_closed(live))
		return IOVA_PLACE_FREE;
	if (pfn >= live->top || pfn < live->domain->tree.start) {
		*span = span_outside(live, pfn);
		return IOVA_PLACE_RESERVED;
	}
	lock_tree(live);
	if (tree_find(&live->domain->tree, pfn, &range)) {
		result = place_of(live, range);
		if (result != IOVA_PLACE_FREE)
			*span = span_of(live, range);
	}
	unlock_tree(live);
	return result;
}

/* Ranges that are looked at in one hold of the tree's lock. */
#define RANGES_AT_ONCE 64u

/* Live ranges among the next few from *pfn, which moves on past them; false: the last ones. */
static bool list_some(struct iova_live *live, uint64_t *pfn, struct iova_span *spans, size_t room,
		      size_t *count)
{
	struct iova_range range;
	bool more = true;
	lock_tree(live);
	for (unsigned i = 0; i < RANGES_AT_ONCE && more; i++) {
		more = tree_next(&live->domain->tree, *pfn, &range);
		if (!more)
			break;
		/* It took the place of one that was looked at in an earlier hold. */
		bool overlaps = range.lo < *pfn;
		*pfn = range.hi + 1;
		if (overlaps || place_of(live, range) != IOVA_PLACE_LIVE)
			continue;
		if (*count < room)
			spans[*count] = span_of(live, range);
		++*count;
	}
	unlock_tree(live);
	return more;
}

size_t iova_live_ranges(iova_live *live, struct iova_span *spans, size_t room)
{
	size_t count = 0;
	uint64_t pfn = 0;
	while (!is_closed(live) && list_some(live, &pfn, spans, room, &count))
		;
	return count;
}

/* ------------------------------------------------------------------------ statistics */

struct iova_counters iova_live_counters(iova_live *live, uint32_t size_class)
{
	if (is_closed(live))
		return (struct iova_counters){ 0 };
	live_shut_fronts(live);
	struct iova_counters counters = iova_read_counters(live->domain, size_class);
	live_reopen_fronts(live);
	return counters;
}

static void add_cached(struct iova_live *live, struct iova_live_stats *stats, uint64_t *pages)
{
	for (uint32_t k = 0; k < live->classes; k++) {
		uint64_t cached = iova_read_counters(live->domain, k).cached;
		stats->cached += cached;
		*pages += cached << k;
	}
}

/* Gauges of a domain that others use may be read a moment apart. */
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

enum iova_status iova_live_read(iova_live *live, struct iova_live_stats *stats)
{
	uint64_t cached_pages = 0;
	*stats = (struct iova_live_stats){ 0 };
	if (is_closed(live))
		return IOVA_CLOSED;
	live_shut_fronts(live);
	add_cached(live, stats, &cached_pages);
	live_reopen_fronts(live);
	stats->deferred = flush_queue_length(&live->queue);
	uint64_t deferred_pages = flush_queue_pages(&live->queue);
	stats->flushes = sync_load(&live->flushes);
	stats->budget = live->budget;
	stats->memory_bytes = peek(&live->bytes);
	stats->totals = iova_read_totals(live->domain);
	lock_tree(live);
	uint64_t window_pages = live->top - live->domain->tree.start;
	/* Modulo 2^64: the reservation above the windows is nearly all there is. */
	stats->totals.pages -= live->reserved.pages;
	stats->totals.ranges = less(stats->totals.ranges, live->reserved.count);
	stats->free_bytes = less(window_pages, stats->totals.pages + live->reserved.inside)
			    << live->shift;
	stats->largest_gap_bytes = tree_longest_gap(&live->domain->tree) << live->shift;
	unlock_tree(live);
	stats->live = less(stats->totals.ranges, stats->cached + stats->deferred);
	stats->live_bytes = less(stats->totals.pages, cached_pages + deferred_pages)
			    << live->shift;
	stats->cached_bytes = cached_pages << live->shift;
	return IOVA_OK;
}
