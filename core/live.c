/* SPDX-License-Identifier: MIT */
/* live - allocation and free of a live domain, in full; live.h tells how it works. */
#include "live_fast.h"
#include "rcache_fast.h"

/* What most calls must not pay for. */
#define APART __attribute__((noinline))

/* ------------------------------------------------------------------------ which CPU */

/* Rounds to wait for a cache that is in use: longer than a holder that runs needs. */
#define PATIENCE 32u
/* Caches of other CPUs to look at then. */
#define NEIGHBOURS 8u

static bool is_in_use(const struct iova_live *live, uint32_t cpu, uint32_t size_class)
{
	return sync_load(&cpu_cache_of(live->domain, cpu, size_class)->lock.held);
}

static uint32_t choose_from(struct iova_live *live, uint32_t cpu, uint32_t size_class)
{
	for (unsigned round = 0; round < PATIENCE; round++) {
		if (!is_in_use(live, cpu, size_class))
			return cpu;
		platform_pause(0);
	}
	for (uint32_t i = 1; i <= NEIGHBOURS && i < live->cpus; i++) {
		uint32_t other = (cpu + i) % live->cpus;
		if (!is_in_use(live, other, size_class))
			return other;
	}
	return cpu;
}

/* `cpu` as the short path saw it, which may be no CPU of the domain's. */
static uint32_t settle_cpu(struct iova_live *live, uint32_t cpu, uint32_t size_class)
{
	if (unlikely(cpu >= live->cpus)) {
		cpu = platform_cpu();
		if (cpu >= live->cpus)
			cpu %= live->cpus;
	}
	return size_class < live->classes ? choose_from(live, cpu, size_class) : cpu;
}

void live_set_quick(struct iova_live *live)
{
	bool quick = !is_closed(live) && live->budget == 0 && !sync_load(&live->recorder);
	uint64_t frames = quick ? UINT64_C(1) << (live->classes - 1) : 0;
	sync_exchange(&live->quick_frames, frames);
	sync_exchange(&live->sequence_frames, live->has_fronts ? frames : 0);
	/* Closed meanwhile: whichever of the two comes last finds it closed. */
	if (is_closed(live)) {
		sync_exchange(&live->quick_frames, UINT64_C(0));
		sync_exchange(&live->sequence_frames, UINT64_C(0));
	}
}

void live_set_recorder(struct iova_live *live, const struct live_recorder *recorder)
{
	sync_store(&live->recorder, recorder);
	live_set_quick(live);
}

/* --------------------------------------------------------------------------- budget */

bool live_budget_take(struct iova_live *live)
{
	uint64_t taken = sync_load(&live->budgeted);
	if (live->budget == 0)
		return true;
	/* Never above the budget, not for a moment: another call may be refused by it. */
	while (taken < live->budget)
		if (sync_cas(&live->budgeted, &taken, taken + 1))
			return true;
	return false;
}

void live_budget_release(struct iova_live *live)
{
	if (live->budget)
		sync_sub(&live->budgeted, 1u);
}

void live_flush_all(struct iova_live *live)
{
	live_shut_fronts(live);
	iova_flush_caches(live->domain);
	live_reopen_fronts(live);
	live_drop_kept(live);
}

/* ----------------------------------------------------------------------- allocation */

/* A request, in frames. */
struct wanted {
	uint64_t pages; /* rounded up where caches hold such sizes */
	uint64_t top;	/* one above the highest acceptable frame; at least `pages` */
	unsigned order; /* of the size */
	unsigned align; /* log2 of the alignment, in frames, if beyond the size's own; else 0 */
	/* For a recorder: */
	bool from_tree; /* no cache served it */
	bool placed;	/* not where Linux's search would have */
};

static unsigned class_of(const struct iova_live *live, const struct wanted *wanted)
{
	return wanted->order < live->classes ? wanted->order : MARK_EXACT;
}

static bool take_from_cache(struct iova_live *live, uint32_t cpu, struct wanted *wanted,
			    uint64_t *pfn)
{
	if (wanted->order >= live->classes || wanted->align)
		return false;
	/* Frame 0 is never cached. */
	return rcache_get(live->domain, cpu, wanted->order, wanted->top - wanted->pages, pfn);
}

static enum iova_status cut_aligned(struct iova_live *live, struct wanted *wanted,
				    unsigned align, struct iova_range *range)
{
	struct iova_domain *domain = live->domain;
	lock_tree(live);
	enum iova_status status = tree_alloc_aligned(&domain->tree, wanted->pages,
						     wanted->top - 1, align, range);
	if (status == IOVA_OK)
		count_up(&domain->tree_counters[counters_of(domain, wanted->pages)].allocations,
			 1);
	unlock_tree(live);
	wanted->placed = status == IOVA_OK;
	return status;
}

static enum iova_status cut_from_tree(struct iova_live *live, struct wanted *wanted,
				      struct iova_range *range)
{
	if (wanted->align)
		return cut_aligned(live, wanted, wanted->align, range);
	return alloc_counted(live->domain, wanted->pages, wanted->top - 1, true, range);
}

/*
 * Linux refuses 32-bit requests of a size that failed lately without a search; that is
 * right for its callers, who have a second limit to try. Here room that is there is found.
 */
static enum iova_status cut_in_spite_of_linux(struct iova_live *live, struct wanted *wanted,
					      struct iova_range *range)
{
	if (wanted->align || live->linux_exact || wanted->order >= 63)
		return IOVA_NO_SPACE;
	enum iova_status status = cut_aligned(live, wanted, wanted->order, range);
	if (status == IOVA_OK) {
		/* Else every such request would empty all caches first. */
		lock_tree(live);
		live->domain->tree.give_up = live->domain->tree.d32;
		unlock_tree(live);
	}
	return status;
}

static enum iova_status take_from_tree(struct iova_live *live, struct wanted *wanted,
				       uint64_t *pfn)
{
	struct iova_range range;
	wanted->from_tree = true;
	enum iova_status status = cut_from_tree(live, wanted, &range);
	if (unlikely(status != IOVA_OK)) {
		live_flush_all(live);
		status = cut_from_tree(live, wanted, &range);
	}
	if (unlikely(status == IOVA_NO_SPACE))
		status = cut_in_spite_of_linux(live, wanted, &range);
	if (unlikely(status != IOVA_OK)) {
		count_failure(live->domain, wanted->pages);
		return status;
	}
	*pfn = range.lo;
	return IOVA_OK;
}

/* IOVA_NO_MEMORY: the range went back to the tree. */
static enum iova_status mark_new(struct iova_live *live, uint64_t pfn, unsigned size_class)
{
	if (!live->checked && size_class != MARK_EXACT)
		return IOVA_OK;
	if (!live->checked && pfn != 0)
		return IOVA_OK; /* too large for the caches: its size says so */
	uint8_t *mark = map_make(&live->marks, pfn);
	if (!mark) {
		iova_free_raw(live->domain, pfn);
		return IOVA_NO_MEMORY;
	}
	sync_store(mark, (uint8_t)(MARK_LIVE | size_class));
	return IOVA_OK;
}

static enum iova_status take(struct iova_live *live, uint32_t cpu, struct wanted *wanted,
			     uint64_t *pfn)
{
	if (take_from_cache(live, cpu, wanted, pfn)) {
		if (live->checked)
			mark_live(live, *pfn, wanted->order);
		return IOVA_OK;
	}
	enum iova_status status = take_from_tree(live, wanted, pfn);
	if (status != IOVA_OK)
		return status;
	/* Frame 0 must not get into a cache, where 0 stands for nothing. */
	return mark_new(live, *pfn, *pfn ? class_of(live, wanted) : MARK_EXACT);
}

APART static enum iova_status take_recorded(struct iova_live *live, uint32_t cpu,
					    struct wanted *wanted, uint64_t *pfn)
{
	struct live_event event = { .cpu = cpu, .began = live_now(live) };
	event.status = take(live, cpu, wanted, pfn);
	event.op = wanted->placed ? LIVE_OP_PLACE : LIVE_OP_ALLOC;
	event.size = wanted->pages;
	event.limit = wanted->top - 1;
	event.pfn = *pfn;
	event.last = wanted->placed ? *pfn + wanted->pages - 1 : wanted->from_tree;
	if (!wanted->align || event.status == IOVA_OK)
		record(live, event);
	return event.status;
}

static bool read_request(const struct iova_live *live, uint64_t size, uint64_t limit,
			 uint64_t align, struct wanted *wanted)
{
	uint64_t pages = pages_of(live, size);
	if (pages == 0 || (align & (align - 1)) != 0)
		return false;
	wanted->order = order_of(pages);
	wanted->pages = rounded_size(live->domain, pages);
	wanted->top = top_of(live, limit);
	wanted->from_tree = wanted->placed = false;
	wanted->align = align >> live->shift ? order_of(align >> live->shift) : 0;
	if (wanted->align <= wanted->order)
		wanted->align = 0;
	return true;
}

enum iova_status live_alloc_in_full(struct iova_live *live, uint32_t cpu, uint64_t size,
				    uint64_t limit, uint64_t align, uint64_t *address)
{
	struct wanted wanted;
	uint64_t pfn = 0;
	if (is_closed(live))
		return IOVA_CLOSED;
	if (!read_request(live, size, limit, align, &wanted))
		return IOVA_INVALID;
	if (wanted.top < wanted.pages)
		return IOVA_NO_SPACE;
	if (!live_budget_take(live))
		return IOVA_OVER_BUDGET;
	cpu = settle_cpu(live, cpu, wanted.order);
	enum iova_status status = unlikely(sync_load(&live->recorder)) ?
					  take_recorded(live, cpu, &wanted, &pfn) :
					  take(live, cpu, &wanted, &pfn);
	if (status == IOVA_OK)
		*address = pfn << live->shift;
	else
		live_budget_release(live);
	return status;
}

/* ----------------------------------------------------------------------------- free */

/* Why a range that is not live can not be freed. */
static enum iova_status classify(struct iova_live *live, uint64_t pfn, unsigned mark)
{
	struct iova_range range;
	lock_tree(live);
	bool is_reserved = pfn >= live->top || pfn < live->domain->tree.start ||
			   reservations_hold(&live->reserved, pfn, &range);
	bool is_inside = tree_find(&live->domain->tree, pfn, &range) && range.lo != pfn;
	unlock_tree(live);
	if (is_reserved)
		return IOVA_RESERVED;
	/* A mark inside another range is one of times gone by. */
	return mark == MARK_NONE || is_inside ? IOVA_NOT_ALLOCATED : IOVA_DOUBLE_FREE;
}

static bool size_agrees(const struct iova_live *live, uint64_t stated, uint64_t pages)
{
	return stated == 0 || stated == pages || rounded_size(live->domain, stated) == pages;
}

/* A range whose size only the tree knows. */
static enum iova_status disown_exact(struct iova_live *live, uint8_t *mark, uint64_t pfn,
				     uint64_t stated, unsigned to, uint64_t *pages)
{
	struct iova_range range;
	enum iova_status status = IOVA_OK;
	uint8_t owned = MARK_LIVE | MARK_EXACT;
	lock_tree(live);
	bool found = tree_find(&live->domain->tree, pfn, &range) && range.lo == pfn;
	*pages = range.hi - range.lo + 1;
	if (found && !size_agrees(live, stated, *pages))
		status = IOVA_SIZE_MISMATCH;
	else if (!found || !sync_cas(mark, &owned, (uint8_t)(to | MARK_EXACT)))
		status = IOVA_DOUBLE_FREE;
	unlock_tree(live);
	return status;
}

static enum iova_status disown_marked(struct iova_live *live, uint8_t *mark, uint64_t pfn,
				      uint64_t stated, unsigned to, uint64_t *pages,
				      unsigned *size_class)
{
	uint8_t seen = sync_load(mark);
	do {
		if (!(seen & MARK_LIVE))
			return classify(live, pfn, seen);
		*size_class = seen & MARK_CLASS;
		if (*size_class == MARK_EXACT)
			return disown_exact(live, mark, pfn, stated, to, pages);
		*pages = UINT64_C(1) << *size_class;
		if (!size_agrees(live, stated, *pages))
			return IOVA_SIZE_MISMATCH;
	} while (!sync_cas(mark, &seen, (uint8_t)(to | *size_class)));
	return IOVA_OK;
}

/* An unchecked domain believes the caller, but must know what it can not put into a cache. */
static enum iova_status disown_unmarked(struct iova_live *live, uint64_t pfn, uint64_t stated,
					uint64_t *pages, unsigned *size_class)
{
	struct iova_range range = { pfn, pfn + stated - 1 };
	if (stated == 0 && (iova_find(live->domain, pfn, &range) != IOVA_OK || range.lo != pfn))
		return IOVA_NOT_ALLOCATED;
	*pages = rounded_size(live->domain, range.hi - range.lo + 1);
	unsigned order = order_of(*pages);
	*size_class = order < live->classes ? order : MARK_EXACT;
	return IOVA_OK;
}

enum iova_status live_disown(struct iova_live *live, uint64_t address, uint64_t size, unsigned to,
			     uint64_t *pages, unsigned *size_class)
{
	uint64_t pfn = address >> live->shift, stated = pages_of(live, size);
	if (pfn << live->shift != address || pfn >= live->top)
		return pfn >= live->top ? IOVA_RESERVED : IOVA_NOT_ALLOCATED;
	uint8_t *mark = map_find(&live->marks, pfn);
	if (mark && (live->checked || sync_load(mark) == (MARK_LIVE | MARK_EXACT)))
		return disown_marked(live, mark, pfn, stated, to, pages, size_class);
	if (live->checked)
		return classify(live, pfn, MARK_NONE);
	return disown_unmarked(live, pfn, stated, pages, size_class);
}

/* 0: it was no cached size, or the cache had no memory. */
static bool put_into_cache(struct iova_live *live, uint32_t cpu, uint64_t pfn,
			   unsigned size_class)
{
	return size_class < live->classes &&
	       rcache_put(live->domain, cpu, size_class, pfn, live_now(live));
}

static void put_back(struct iova_live *live, uint32_t cpu, uint64_t pfn, unsigned size_class)
{
	if (!put_into_cache(live, cpu, pfn, size_class))
		(void)iova_free_raw(live->domain, pfn);
}

APART static void put_back_recorded(struct iova_live *live, uint32_t cpu, uint64_t pfn,
				    uint64_t pages, unsigned size_class)
{
	struct live_event event = { .began = live_now(live), .pfn = pfn, .size = pages };
	bool is_odd = size_class >= live->classes && order_of(pages) < live->classes;
	event.op = is_odd ? LIVE_OP_REMOVE : LIVE_OP_FREE;
	event.cpu = cpu;
	put_back(live, cpu, pfn, size_class);
	record(live, event);
}

void live_put_back_in_drain(struct iova_live *live, uint32_t cpu, uint64_t pfn, uint64_t pages,
			    unsigned size_class)
{
	cpu = settle_cpu(live, cpu, size_class);
	if (unlikely(sync_load(&live->recorder)))
		put_back_recorded(live, cpu, pfn, pages, size_class);
	else
		put_back(live, cpu, pfn, size_class);
}

void live_put_back(struct iova_live *live, uint32_t cpu, uint64_t pfn, uint64_t pages,
		   unsigned size_class)
{
	live_put_back_in_drain(live, cpu, pfn, pages, size_class);
	live_wake(live, iova_next_deadline(live->domain));
}

enum iova_status live_free_in_full(struct iova_live *live, uint32_t cpu, uint64_t address,
				   uint64_t size)
{
	uint64_t pages;
	unsigned size_class;
	if (is_closed(live))
		return IOVA_CLOSED;
	enum iova_status status =
		live_disown(live, address, size, MARK_FREE, &pages, &size_class);
	if (status != IOVA_OK)
		return status;
	live_budget_release(live);
	live_put_back(live, cpu, address >> live->shift, pages, size_class);
	return IOVA_OK;
}

/* ----------------------------------------------------------------- the public calls */

/*
 * The ways that few calls take are functions of the same arguments, jumped to at the end, so
 * that nothing is saved on their behalf.
 */

APART static enum iova_status alloc_slowly(struct iova_live *live, uint64_t size, uint64_t limit,
					   uint64_t align, uint64_t *address)
{
	uint32_t cpu = platform_cpu_quick();
	if (sequences_are_missing(live) && quick_alloc(live, cpu, size, limit, align, address))
		return IOVA_OK;
	return live_alloc_in_full(live, cpu, size, limit, align, address);
}

APART static enum iova_status alloc_checked(struct iova_live *live, uint64_t size, uint64_t limit,
					    uint64_t align, uint64_t *address)
{
	if (likely(quick_alloc_checked_here(live, size, limit, align, address)))
		return IOVA_OK;
	return alloc_slowly(live, size, limit, align, address);
}

enum iova_status iova_live_alloc(iova_live *live, uint64_t size, uint64_t limit, uint64_t align,
				 uint64_t *address)
{
	if (live->checked)
		return alloc_checked(live, size, limit, align, address);
	if (unlikely(align))
		return alloc_slowly(live, size, limit, align, address);
	if (likely(quick_alloc_unchecked_here(live, size, limit, 0, address)))
		return IOVA_OK;
	return alloc_slowly(live, size, limit, 0, address);
}

APART static enum iova_status free_slowly(struct iova_live *live, uint64_t address, uint64_t size)
{
	uint32_t cpu = platform_cpu_quick();
	if (sequences_are_missing(live) && quick_free(live, cpu, address, size))
		return IOVA_OK;
	return live_free_in_full(live, cpu, address, size);
}

/* The cache had no room for a range that is nobody's any more. */
APART static enum iova_status free_owned(struct iova_live *live, uint64_t address, uint64_t size)
{
	unsigned order = quick_order(live, size);
	live_put_back(live, UINT32_MAX, address >> live->shift, UINT64_C(1) << order, order);
	return IOVA_OK;
}

APART static enum iova_status free_checked(struct iova_live *live, uint64_t address,
					   uint64_t size)
{
	uint32_t cpu = quick_cpu();
	unsigned order = quick_order(live, size);
	if (unlikely(!is_quick_here(live, cpu, size) ||
		     !quick_disown_checked(live, address, size)))
		return free_slowly(live, address, size);
	if (unlikely(!quick_put_here(live, cpu, address, size, order)))
		return free_owned(live, address, size);
	return IOVA_OK;
}

enum iova_status iova_live_free(iova_live *live, uint64_t address, uint64_t size)
{
	uint32_t cpu = quick_cpu();
	unsigned order = quick_order(live, size);
	if (live->checked)
		return free_checked(live, address, size);
	if (unlikely(!is_quick_here(live, cpu, size) || !quick_believe(live, address)))
		return free_slowly(live, address, size);
	if (unlikely(!quick_put_here(live, cpu, address, size, order)))
		return free_owned(live, address, size);
	return IOVA_OK;
}

enum iova_status iova_live_flush_caches(iova_live *live)
{
	if (is_closed(live))
		return IOVA_CLOSED;
	uint64_t began = began_now(live);
	live_flush_all(live);
	record(live, (struct live_event){ .op = LIVE_OP_FLUSH_CACHES, .began = began });
	return IOVA_OK;
}
