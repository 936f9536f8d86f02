/* SPDX-License-Identifier: MIT */
/* Deferred frees in the flush queue alone: tickets, flushes, rings that are full. */
#include <string.h>

#include "explorer.h"
#include "flush_queue.h"

#define CPUS 2u
#define PFNS 512u

static struct flush_queue queue;
static uint64_t ticket_of[PFNS + 1]; /* of a queued pfn; 0: not queued */
static uint64_t highest;	     /* ticket that a put has returned */
static uint64_t flushed;	     /* highest ticket whose flush is done */
static uint64_t finished_before;
static unsigned put_count, collected_count, refused;

static struct object_name name_of(const void *object)
{
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		const struct flush_ring *ring = queue.rings ? queue.rings[cpu] : NULL;
		if (queue.rings && object == &queue.rings[cpu])
			return (struct object_name){ "ring", cpu, 0 };
		if (ring && object == &ring->lock)
			return (struct object_name){ "ring lock", cpu, 1 };
	}
	if (object == &queue.issued)
		return (struct object_name){ "issued", 0, 0 };
	if (object == &queue.finished)
		return (struct object_name){ "finished", 0, 0 };
	return (struct object_name){ 0 };
}

/* ------------------------------------------------------------------- what threads do */

static void put(uint32_t cpu, uint64_t pfn)
{
	uint64_t ticket;
	enum iova_status status = flush_queue_put(&queue, cpu, pfn, 1, 0, &ticket);
	if (status == IOVA_FLUSH_NEEDED) {
		refused++;
		return;
	}
	explore_require(status == IOVA_OK, "a put failed");
	for (uint64_t other = 1; other <= PFNS; other++)
		explore_require(ticket_of[other] != ticket, "a ticket was given out twice");
	ticket_of[pfn] = ticket;
	if (ticket > highest)
		highest = ticket;
	put_count++;
}

/* A flush that covers every put that has returned by now. */
static void flush_all(void)
{
	uint64_t ticket = highest;
	if (ticket == 0)
		return;
	if (ticket > flushed)
		flushed = ticket;
	explore_require(flush_queue_finish(&queue, ticket) == IOVA_OK, "a flush was refused");
}

static void collect(uint32_t cpu)
{
	struct flush_slot slots[4];
	uint32_t n;
	while ((n = flush_queue_collect(&queue, cpu, slots, 4)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			uint64_t pfn = slots[i].pfn;
			explore_require(pfn >= 1 && pfn <= PFNS, "a slot holds what nobody put");
			explore_require(slots[i].ticket <= flushed,
					"a range was released before its flush");
			/* The put may not have returned to its caller yet. */
			explore_require(ticket_of[pfn] == 0 || ticket_of[pfn] == slots[i].ticket,
					"a range was released twice");
			ticket_of[pfn] = UINT64_MAX;
			collected_count++;
		}
	}
}

/* Whoever reports an earlier flush later takes nothing back. */
static void watch(unsigned id)
{
	(void)id;
	explore_require(queue.finished >= finished_before, "a flush was forgotten");
	finished_before = queue.finished;
}

static void begin(void)
{
	memset(ticket_of, 0, sizeof(ticket_of));
	highest = flushed = finished_before = 0;
	put_count = collected_count = refused = 0;
	flush_queue_init(&queue, CPUS, &explore_memory);
}

/* One flush more brings back whatever is left. */
static void end(void)
{
	explore_require(flush_queue_length(&queue) == put_count - collected_count,
			"the queue's length is wrong");
	flush_all();
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		collect(cpu);
	explore_require(put_count == collected_count, "a range was lost in the queue");
	flush_queue_fini(&queue);
	explore_require(explore_memory_held() == 0, "memory was leaked");
}

/* ------------------------------------------------------------------------- scenarios */

static void thread_flushes(unsigned id)
{
	if (id < 2) {
		put(id, id + 1);
	} else {
		flush_all();
		collect(0);
		collect(1);
	}
}

static const struct scenario flushes = {
	"queue-flush", "puts on two CPUs against a flush", false, 3,
	begin, thread_flushes, end, watch, name_of,
};

static void thread_one_ring(unsigned id)
{
	put(0, id + 1);
	flush_all();
	collect(0);
}

static const struct scenario one_ring = {
	"queue-one-ring", "two threads put, flush and collect on one CPU", false, 2,
	begin, thread_one_ring, end, watch, name_of,
};

static void begin_full(void)
{
	begin();
	for (uint64_t i = 1; i < FLUSH_USABLE; i++)
		put(0, i + 2);
}

/* There is one free slot: one of the two is refused, and no slot is overwritten. */
static void thread_full(unsigned id)
{
	put(0, id + 1);
}

static void end_full(void)
{
	explore_require(refused == 1, "a full ring was written to");
	end();
}

static const struct scenario full = {
	"queue-full", "two puts into the last slot of a ring", false, 2,
	begin_full, thread_full, end_full, watch, name_of,
};

const struct scenario *const queue_scenarios[] = { &flushes, &one_ring, &full, NULL };
