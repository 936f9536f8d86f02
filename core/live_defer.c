/* SPDX-License-Identifier: MIT */
/*
 * live_defer - frees that wait for an IOTLB flush, on the flush queue.
 *
 * A deferred range has left its owner (its mark says so) before it is queued; if there is
 * no room for it, it goes back to its owner and the call fails. So there is no moment at
 * which two callers could both queue it, or one queue it and another free it.
 */
#include "live_fast.h"

/* Slots that are freed at a time. */
#define SLOTS_AT_ONCE 32u

/* ----------------------------------------------------------------------- releasing */

/* What kind of range it is: its mark knows, or the size does. */
static unsigned class_of_slot(struct iova_live *live, const struct flush_slot *slot)
{
	uint8_t *mark = map_find(&live->marks, slot->pfn);
	unsigned order = order_of(slot->size);
	unsigned seen = mark ? sync_load(mark) : (unsigned)MARK_NONE;
	if (!(seen & MARK_DEFERRED))
		return order < live->classes ? order : MARK_EXACT;
	sync_store(mark, (uint8_t)(MARK_FREE | (seen & MARK_CLASS)));
	return seen & MARK_CLASS;
}

/*
 * Free what was flushed of one ring, into the cache of the CPU this runs on. The drain
 * lock is held: whoever was told that a flush is done finds all of it free.
 */
static void release_ring(struct iova_live *live, uint32_t ring)
{
	struct flush_slot slots[SLOTS_AT_ONCE];
	uint32_t n;
	do {
		n = flush_queue_collect(&live->queue, ring, slots, SLOTS_AT_ONCE);
		for (uint32_t i = 0; i < n; i++)
			live_put_back_in_drain(live, platform_cpu_quick(), slots[i].pfn,
					       slots[i].size, class_of_slot(live, &slots[i]));
	} while (n == SLOTS_AT_ONCE);
}

static void release_flushed(struct iova_live *live, uint32_t ring)
{
	if (!flush_queue_is_ripe(&live->queue, ring))
		return;
	begin_drain(live->domain);
	release_ring(live, ring);
	end_drain(live->domain);
	live_wake(live, iova_next_deadline(live->domain));
}

static void release_all_flushed(struct iova_live *live)
{
	begin_drain(live->domain);
	for (uint32_t cpu = 0; cpu < live->cpus; cpu++)
		release_ring(live, cpu);
	end_drain(live->domain);
	live_wake(live, iova_next_deadline(live->domain));
}

/* Ask for a flush that covers all tickets given out so far. */
static bool flush_now(struct iova_live *live)
{
	uint64_t ticket = sync_load(&live->queue.issued);
	if (!live->on_flush)
		return false;
	sync_add(&live->flushes, 1u);
	if (!live->on_flush(live->context))
		return false;
	if (ticket)
		(void)flush_queue_finish(&live->queue, ticket);
	release_all_flushed(live);
	return true;
}

enum iova_status iova_live_flushed(iova_live *live, uint64_t ticket)
{
	if (is_closed(live))
		return IOVA_CLOSED;
	enum iova_status status = flush_queue_finish(&live->queue, ticket);
	if (status == IOVA_OK)
		release_all_flushed(live);
	return status;
}

/* ----------------------------------------------------------------------- deferring */

static bool is_old(uint64_t queued, uint64_t now)
{
	return queued != IOVA_NEVER && now > queued && now - queued > IOVA_FLUSH_AGE_NS;
}

/* The background thread flushes by itself what is old by then. */
static void note_flush_due(struct iova_live *live, uint64_t due)
{
	uint64_t before = sync_load(&live->flush_due);
	if (!live->on_flush)
		return;
	while (!sync_cas(&live->flush_due, &before, due < before ? due : before))
		;
	live_wake(live, due);
}

static enum iova_status queue_range(struct iova_live *live, uint32_t cpu, uint64_t pfn,
				    uint64_t pages, uint64_t *ticket)
{
	uint64_t now = live_now(live);
	release_flushed(live, cpu);
	if (is_old(flush_queue_oldest(&live->queue, cpu), now) && !flush_now(live))
		return IOVA_FLUSH_NEEDED;
	enum iova_status status =
		flush_queue_put(&live->queue, cpu, pfn, pages, now, ticket);
	/* Others may fill the ring again before this thread is back in it. */
	while (status == IOVA_FLUSH_NEEDED && flush_now(live))
		status = flush_queue_put(&live->queue, cpu, pfn, pages, now, ticket);
	if (status == IOVA_OK)
		note_flush_due(live, now + IOVA_FLUSH_AGE_NS);
	return status;
}

/* The range was not queued: it is its owner's again. */
static void give_back_to_owner(struct iova_live *live, uint64_t pfn, unsigned size_class)
{
	uint8_t *mark = map_find(&live->marks, pfn);
	if (mark && (sync_load(mark) & MARK_DEFERRED))
		sync_store(mark, (uint8_t)(MARK_LIVE | size_class));
}

enum iova_status iova_live_defer(iova_live *live, uint64_t address, uint64_t size,
				 uint64_t *ticket)
{
	uint64_t pages, pfn = address >> live->shift;
	unsigned size_class;
	if (is_closed(live))
		return IOVA_CLOSED;
	enum iova_status status =
		live_disown(live, address, size, MARK_DEFERRED, &pages, &size_class);
	if (status != IOVA_OK)
		return status;
	uint32_t cpu = platform_cpu() % live->cpus;
	status = queue_range(live, cpu, pfn, pages, ticket);
	if (status == IOVA_OK) {
		live_budget_release(live);
		record(live, (struct live_event){ .op = LIVE_OP_DEFER,
						  .cpu = cpu,
						  .began = began_now(live),
						  .pfn = pfn,
						  .size = pages });
		return IOVA_OK;
	}
	give_back_to_owner(live, pfn, size_class);
	if (status == IOVA_FLUSH_NEEDED)
		*ticket = sync_load(&live->queue.issued);
	return status;
}

/* ----------------------------------------------------------------- in the background */

static uint64_t oldest_queued(struct iova_live *live)
{
	uint64_t oldest = IOVA_NEVER;
	for (uint32_t cpu = 0; cpu < live->cpus; cpu++) {
		uint64_t queued = flush_queue_oldest(&live->queue, cpu);
		if (queued < oldest)
			oldest = queued;
	}
	return oldest;
}

void live_flush_old(struct iova_live *live, uint64_t now)
{
	if (sync_load(&live->flush_due) > now)
		return;
	/* Before the look: what is queued meanwhile lowers the new value. */
	sync_exchange(&live->flush_due, IOVA_NEVER);
	uint64_t oldest = oldest_queued(live);
	if (oldest == IOVA_NEVER)
		return;
	if (oldest + IOVA_FLUSH_AGE_NS <= now) {
		bool flushed = flush_now(live);
		oldest = oldest_queued(live);
		if (!flushed)
			oldest = now; /* try again in a while */
	}
	if (oldest != IOVA_NEVER)
		note_flush_due(live, oldest + IOVA_FLUSH_AGE_NS);
}
