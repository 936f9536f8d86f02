/* SPDX-License-Identifier: MIT */
/*
 * replay - the loop over rows; replay.h tells what it does with them.
 *
 * Nearly all rows are calls. What a call needs is in this file or inline in the headers below,
 * so that the compiler makes one loop of it; what is rare is called from there.
 */
#include <string.h>

#include "rcache_fast.h"
#include "replay_inner.h"

/* ----------------------------------------------------------------------------- time */

static inline enum replay_status advance(struct replay *r, int64_t t)
{
	if (unlikely(t < r->now)) /* before the start that is 0 */
		return REPLAY_TIME_BACK;
	if (unlikely((uint64_t)t >= r->wake)) {
		enum replay_status status = replay_wake_up(r, t);
		if (status != REPLAY_OK)
			return status;
	}
	r->now = t;
	return REPLAY_OK;
}

enum replay_status replay_advance(struct replay *r, int64_t t)
{
	return advance(r, t);
}

/* ---------------------------------------------------------------------------- calls */

static enum replay_status grow_slots(struct replay *r)
{
	size_t capacity = r->slot_capacity ? 2 * r->slot_capacity : 1024;
	struct slot *slots =
		memory_get(&r->memory, IOVA_MEMORY_REPLAY, capacity * sizeof(*slots));
	if (!slots)
		return REPLAY_NO_MEMORY;
	if (r->slots) {
		memcpy(slots, r->slots, r->slot_count * sizeof(*slots));
		memory_put(&r->memory, IOVA_MEMORY_REPLAY, r->slots,
			   r->slot_capacity * sizeof(*slots));
	}
	r->slots = slots;
	r->slot_capacity = capacity;
	return REPLAY_OK;
}

static inline bool slot_is_live(const struct replay *r, const struct slot *slot)
{
	return slot->pfn != NO_PFN && slot->epoch == r->domains[slot->domain].epoch;
}

/* The slot an allocation names: dense, so a new one is the next one. */
static inline enum replay_status open_slot(struct replay *r, uint32_t number)
{
	if (likely(number < r->slot_count))
		return slot_is_live(r, &r->slots[number]) ? REPLAY_BAD_SLOT : REPLAY_OK;
	if (number == NO_SLOT)
		return REPLAY_OK;
	if (number != r->slot_count)
		return REPLAY_BAD_SLOT;
	if (r->slot_count == r->slot_capacity) {
		enum replay_status status = grow_slots(r);
		if (status != REPLAY_OK)
			return status;
	}
	r->slots[r->slot_count++] = (struct slot){ .pfn = NO_PFN };
	return REPLAY_OK;
}

static uint64_t alloc_raw(struct iova_domain *core, uint64_t size, uint64_t limit, bool align)
{
	struct iova_range range;
	return iova_alloc_raw(core, size, limit, align, &range) == IOVA_OK ? range.lo : 0;
}

/* The allocation of row i, whose slot is open; its pfn, 0: failed. */
static inline uint64_t alloc_in_slot(struct replay *r, struct replay_domain *d,
				     const struct replay_events *e, size_t i)
{
	uint64_t pages = e->size[i], limit = e->limit[i], pfn;
	uint32_t slot = e->slot[i];
	uint8_t flags = e->flags[i];
	bool quick = false;
	if (likely(!(flags & FLAG_RAW))) {
		pfn = alloc_fast(d->core, e->cpu[i], pages, limit, (flags & FLAG_FLUSH_RETRY) != 0,
				 &quick);
		pages = rounded_size(d->core, pages);
	} else {
		pfn = alloc_raw(d->core, pages, limit, (flags & FLAG_ALIGN) != 0);
	}
	if (likely(pfn))
		went_live(r, d, pages);
	else
		r->totals.failed++;
	if (likely(slot != NO_SLOT))
		r->slots[slot] =
			(struct slot){ pfn ? pfn : NO_PFN, pages, e->domain[i], d->epoch };
	if (likely(quick))
		account_quick_alloc(r, d, pages);
	else
		account_call(r, d);
	return pfn;
}

static inline enum replay_status alloc(struct replay *r, struct replay_domain *d,
				       const struct replay_events *e, size_t i)
{
	if (unlikely(e->size[i] == 0))
		return REPLAY_BAD_SIZE;
	if (unlikely((e->flags[i] & FLAG_ONLY_IF_PREVIOUS_FAILED) && !r->previous_failed))
		return REPLAY_OK;
	enum replay_status status = open_slot(r, e->slot[i]);
	if (unlikely(status != REPLAY_OK))
		return status;
	uint64_t pfn = alloc_in_slot(r, d, e, i);
	r->previous_failed = pfn == 0;
	if (e->result)
		e->result[i] = pfn;
	return REPLAY_OK;
}

/* The slot does not hold a range of the row's domain. */
static enum replay_status free_nothing(struct replay *r, uint32_t number)
{
	if (number < r->slot_count && slot_is_live(r, &r->slots[number]))
		return REPLAY_BAD_SLOT; /* it is another domain's */
	r->totals.skipped_frees++;
	return REPLAY_OK;
}

static inline enum replay_status free_slot(struct replay *r, struct replay_domain *d,
					   const struct replay_events *e, size_t i)
{
	uint32_t number = e->slot[i];
	r->previous_failed = false;
	if (unlikely(number >= r->slot_count))
		return free_nothing(r, number);
	struct slot *slot = &r->slots[number];
	if (unlikely(slot->pfn == NO_PFN || slot->domain != e->domain[i] ||
		     slot->epoch != d->epoch))
		return free_nothing(r, number);
	uint64_t pages = slot->pages, size = e->size[i];
	bool quick = false;
	if (likely(!(e->flags[i] & FLAG_RAW)))
		free_fast(d->core, e->cpu[i], slot->pfn, size ? size : pages, (uint64_t)e->t[i],
			  &quick);
	else
		(void)iova_free_raw(d->core, slot->pfn);
	left_live(r, d, pages);
	slot->pfn = NO_PFN;
	r->totals.frees++;
	if (likely(quick))
		account_quick_free(r, d, pages);
	else
		account_call(r, d);
	return REPLAY_OK;
}

/* ----------------------------------------------------------------------------- rows */

static enum replay_status run_recorded(struct replay *r, struct replay_domain *d, uint64_t size,
				       int64_t t)
{
	if (!r->config.recorded_reclaim || size == 0)
		return REPLAY_OK;
	iova_run_class(d->core, order_of(size), (uint64_t)t);
	account(r, d);
	return replay_is_stopped(r) ? REPLAY_STOPPED : REPLAY_OK;
}

static enum replay_status run_rare(struct replay *r, const struct replay_events *e, size_t i)
{
	uint32_t number = e->domain[i];
	struct replay_domain *d = &r->domains[number];
	enum replay_status status;
	if (e->op[i] == OP_CREATE)
		return replay_make_domain(r, number, e->pfn[i]);
	if (e->op[i] == OP_DESTROY) {
		replay_bury(r, d);
		replay_find_next_due(r);
		return REPLAY_OK;
	}
	status = replay_need_domain(r, number,
				    e->op[i] != OP_MAKE_CACHES && e->op[i] != OP_RESERVE);
	if (status != REPLAY_OK)
		return status;
	switch (e->op[i]) {
	case OP_MAKE_CACHES:
		return replay_make_caches(r, d);
	case OP_RESERVE:
		return replay_reserve(r, d, e->pfn[i], e->last[i]);
	case OP_FLUSH_CACHES:
		iova_flush_caches(d->core);
		break;
	case OP_CPU_OFFLINE:
		return replay_move_cpu(r, d, e->n[i], false);
	case OP_CPU_ONLINE:
		return replay_move_cpu(r, d, e->n[i], true);
	case OP_RECLAIM:
		return run_recorded(r, d, e->size[i], e->t[i]);
	default:
		return REPLAY_BAD_OP;
	}
	account(r, d);
	return REPLAY_OK;
}

/* Rows that only record what was seen inside the traced system. */
static inline bool is_not_for_replay(const struct replay *r, uint8_t op)
{
	return op >= OP_FIRST_INSIDE && !(op == OP_RECLAIM && r->config.recorded_reclaim);
}

static inline enum replay_status run_call(struct replay *r, const struct replay_events *e, size_t i)
{
	struct replay_domain *d = &r->domains[e->domain[i]];
	if (unlikely(r->someone_left))
		replay_bring_back(r, e->cpu[i]);
	if (unlikely(!d->core || !d->core->caches)) {
		enum replay_status status = replay_need_domain(r, e->domain[i], true);
		if (status != REPLAY_OK)
			return status;
	}
	return e->op[i] == OP_ALLOC ? alloc(r, d, e, i) : free_slot(r, d, e, i);
}

static inline enum replay_status run_row(struct replay *r, const struct replay_events *e, size_t i)
{
	uint8_t op = e->op[i];
	enum replay_status status = advance(r, e->t[i]);
	if (unlikely(status != REPLAY_OK))
		return status;
	if (unlikely(is_not_for_replay(r, op))) {
		r->not_calls++;
		return REPLAY_OK;
	}
	if (unlikely(e->cpu[i] >= r->config.cpus_possible))
		return REPLAY_BAD_CPU;
	if (unlikely(e->domain[i] >= r->config.domain_count))
		return REPLAY_BAD_DOMAIN;
	if (likely(op == OP_ALLOC || op == OP_FREE))
		return run_call(r, e, i);
	r->previous_failed = false;
	return run_rare(r, e, i);
}

enum replay_status replay_feed(struct replay *r, const struct replay_events *events, size_t *row)
{
	enum replay_status status = REPLAY_OK;
	size_t i = 0;
	while (i < events->count && (status = run_row(r, events, i)) == REPLAY_OK)
		i++;
	r->totals.events += i;
	*row = i;
	return status;
}
