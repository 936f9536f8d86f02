/* SPDX-License-Identifier: MIT */
/* Checked and deferred frees: each range is given back once, and after its flush. */
#include <string.h>

#include "live_world.h"

/* -------------------------------------------------------------------- checked frees */

static uint64_t contested; /* address that several threads want to free */

static void begin_contested(void)
{
	make_with_cached((struct shape){ .frames = 8, .threshold = 4 }, 2, 1);
	contested = disown(0);
}

static void thread_double_free(unsigned id)
{
	explore_set_cpu(id);
	result[id] = iova_live_free(live, contested, FRAME);
}

static void end_contested(void)
{
	explore_require((result[0] == IOVA_OK) + (result[1] == IOVA_OK) == 1,
			"not one of two frees of one range succeeded");
	explore_require(result[0] == IOVA_DOUBLE_FREE || result[1] == IOVA_DOUBLE_FREE,
			"a double free was not called one");
	end();
}

static const struct scenario double_free = {
	"double-free", "one range freed by two threads", false, 2,
	begin_contested, thread_double_free, end_contested, NULL, name_of,
};

static void thread_double_free_many(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0)
		result[id] = iova_live_free_many(live, 1, &contested, FRAME, NULL);
	else
		result[id] = iova_live_free(live, contested, 0);
}

static const struct scenario double_free_many = {
	"double-free-many", "one range freed by free_many and by free", false, 2,
	begin_contested, thread_double_free_many, end_contested, NULL, name_of,
};

/* A fixed range, whose size the tree knows. */
static void begin_fixed_contested(void)
{
	make((struct shape){ .frames = 8, .threshold = 4 });
	contested = 4 * FRAME;
	explore_require(iova_live_alloc_at(live, contested, FRAME) == IOVA_OK, "no room");
}

static const struct scenario double_free_fixed = {
	"double-free-fixed", "one range at a fixed address freed by two threads", false, 2,
	begin_fixed_contested, thread_double_free, end_contested, NULL, name_of,
};

static void thread_free_and_defer(unsigned id)
{
	uint64_t ticket;
	explore_set_cpu(id);
	if (id == 0)
		result[id] = iova_live_free(live, contested, FRAME);
	else
		result[id] = iova_live_defer(live, contested, FRAME, &ticket);
}

static const struct scenario free_and_defer = {
	"free-defer", "one range freed by one thread and deferred by another", false, 2,
	begin_contested, thread_free_and_defer, end_contested, NULL, name_of,
};

static void thread_two_defers(unsigned id)
{
	uint64_t ticket;
	explore_set_cpu(id);
	result[id] = iova_live_defer(live, contested, FRAME, &ticket);
}

static const struct scenario two_defers = {
	"two-defers", "one range deferred by two threads", false, 2,
	begin_contested, thread_two_defers, end_contested, NULL, name_of,
};

static const struct scenario two_defers_fixed = {
	"two-defers-fixed", "one range at a fixed address deferred by two threads", false, 2,
	begin_fixed_contested, thread_two_defers, end_contested, NULL, name_of,
};

/* ------------------------------------------------------------------- deferred frees */

#define UNKNOWN UINT64_MAX
static uint64_t ticket_of[PFNS + 1]; /* of a deferred pfn; UNKNOWN: the call runs still */
static uint64_t highest;	     /* ticket that a call has returned */
static uint64_t flushed;	     /* highest ticket whose flush is done */

static void forget_tickets(void)
{
	memset(ticket_of, 0, sizeof(ticket_of));
	highest = flushed = 0;
}

static void defer(unsigned id)
{
	uint64_t address = disown(id), ticket;
	ticket_of[address / FRAME] = UNKNOWN;
	explore_require(iova_live_defer(live, address, FRAME, &ticket) == IOVA_OK,
			"the range was not deferred");
	if (ticket_of[address / FRAME] == UNKNOWN)
		ticket_of[address / FRAME] = ticket;
	if (ticket > highest)
		highest = ticket;
}

/* An IOTLB flush that covers every defer that has returned. */
static void flush_iotlb(void)
{
	uint64_t ticket = highest;
	if (ticket == 0)
		return;
	if (ticket > flushed)
		flushed = ticket;
	explore_require(iova_live_flushed(live, ticket) == IOVA_OK, "a flush was refused");
}

/* The range that the thread got last was not handed out before its flush. */
static void require_flushed(unsigned id)
{
	uint64_t ticket = ticket_of[last_of(id)];
	explore_require(ticket <= flushed || (ticket == UNKNOWN && flushed > 0),
			"a deferred range was handed out before its flush");
	ticket_of[last_of(id)] = 0;
}

static void begin_defer(void)
{
	make_with_cached((struct shape){ .frames = 4, .threshold = 4 }, 0, 3);
	forget_tickets();
}

static void thread_defer(unsigned id)
{
	explore_set_cpu(id & 1);
	if (id < 2)
		defer(id);
	else
		flush_iotlb();
}

/* Every deferred range comes back with the flush that covers it. */
static void end_defer(void)
{
	struct iova_live_stats stats;
	flush_iotlb();
	explore_require(iova_live_read(live, &stats) == IOVA_OK && stats.deferred == 0,
			"a range was flushed and not released");
	end();
}

static const struct scenario defer_flushed = {
	"defer", "deferred frees on two CPUs against a flush", false, 3,
	begin_defer, thread_defer, end_defer, NULL, name_of,
};

/* Two threads of one CPU use one ring. */
static void thread_defer_one_cpu(unsigned id)
{
	defer(id);
	flush_iotlb();
}

static const struct scenario defer_one_cpu = {
	"defer-one-cpu", "two threads of one CPU defer and flush", false, 2,
	begin_defer, thread_defer_one_cpu, end_defer, NULL, name_of,
};

/* The space is full, so what thread 1 is handed out is what thread 0 deferred. */
static void begin_defer_alloc(void)
{
	make((struct shape){ .frames = 2, .threshold = 4 });
	take_many(2);
	hand_over(0, 2);
	forget_tickets();
}

static void thread_defer_alloc(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0) {
		defer(id);
		defer(id);
		flush_iotlb();
	} else {
		for (unsigned i = 0; i < 2; i++)
			if (try_take(id) == IOVA_OK)
				require_flushed(id);
	}
}

static const struct scenario defer_alloc = {
	"defer-alloc", "a deferred free and its flush against allocations", false, 2,
	begin_defer_alloc, thread_defer_alloc, end_defer, NULL, name_of,
};

/* One frame, deferred: when flushed() has returned, it is there to be had. */
static void begin_flushed(void)
{
	make_with_cached((struct shape){ .frames = 1, .threshold = 4 }, 0, 1);
	forget_tickets();
	defer(0);
}

static void thread_flushed(unsigned id)
{
	explore_set_cpu(id);
	flush_iotlb();
	if (id == 1)
		take(id);
}

static const struct scenario flushed_twice = {
	"flushed-twice", "a flush is reported by two threads, one of which wants the range", false,
	2, begin_flushed, thread_flushed, end_defer, NULL, name_of,
};

static bool flush_on_call(void *context)
{
	(void)context;
	/* What has a ticket when the flush begins is flushed when it ends. */
	if (live->queue.issued > flushed)
		flushed = live->queue.issued;
	return true;
}

/* A range was deferred so long ago that whoever looks calls for a flush. */
static void begin_defer_old(void)
{
	struct shape shape = { .frames = 4, .threshold = 4, .on_flush = flush_on_call };
	make_with_cached(shape, 0, 3);
	forget_tickets();
	explore_set_time(1);
	defer(0);
	explore_set_time(2 + IOVA_FLUSH_AGE_NS);
}

static void thread_defer_old(unsigned id)
{
	explore_set_cpu(id & 1);
	if (id == 0) {
		explore_reclaim();
	} else if (id == 1) {
		explore_set_cpu(0); /* the ring with the old range */
		defer(id);
	} else {
		take(id);
		require_flushed(id);
	}
}

/* What is deferred still is known to be due. */
static void end_defer_old(void)
{
	struct iova_live_stats stats;
	explore_require(iova_live_read(live, &stats) == IOVA_OK, "no statistics");
	explore_require(stats.deferred == 0 || live->flush_due != IOVA_NEVER,
			"a deferred range will not be flushed");
	end_defer();
}

static const struct scenario defer_old = {
	"defer-old", "the background's flush against that of a thread that defers", false, 3,
	begin_defer_old, thread_defer_old, end_defer_old, NULL, name_of,
};

const struct scenario *const free_scenarios[] = {
	&double_free,	   &double_free_many, &double_free_fixed, &free_and_defer,
	&two_defers,	   &two_defers_fixed, &defer_flushed,	  &defer_one_cpu,
	&defer_alloc,	   &flushed_twice,    &defer_old,	  NULL,
};
