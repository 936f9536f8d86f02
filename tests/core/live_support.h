/* SPDX-License-Identifier: MIT */
/*
 * live_support - what the tests of live domains share: one helper that opens a domain, on
 * counted memory and a stopped clock, and one that says whether it adds up.
 *
 * A test's thread stays on the CPU it starts on, so that its ranges are all in one CPU's
 * cache. The stopped clock stands an hour ahead: nothing falls due in the background.
 */
#ifndef LIVE_SUPPORT_H
#define LIVE_SUPPORT_H

/* Include this first: the C standard alone has no CPUs to stay on. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>

#include "live.h"
#include "support.h"

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
/* No limit of the caller's own. */
#define ANYWHERE UINT64_MAX
#define HOUR (UINT64_C(3600) * 1000 * MS)

static inline void stay_on_this_cpu(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

static inline void stop_clock(iova_live *live)
{
	live->stopped_at = platform_now() + HOUR;
	live->clock_stopped = true;
}

/* Fails the test if the domain can not be opened. */
static inline iova_live *make_live(struct test_memory *memory, struct iova_live_config config)
{
	iova_live *live = NULL;
	stay_on_this_cpu();
	test_memory_init(memory);
	config.memory = &memory->table;
	CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
	stop_clock(live);
	return live;
}

/* The same with one window and all else as it is by default. */
static inline iova_live *make_live_in(struct test_memory *memory, uint64_t first, uint64_t last)
{
	struct iova_span window = { first, last };
	return make_live(memory,
			 (struct iova_live_config){ .windows = &window, .window_count = 1 });
}

static inline struct iova_live_stats read_stats(iova_live *live)
{
	struct iova_live_stats stats;
	CHECK_EQ(iova_live_read(live, &stats), IOVA_OK);
	return stats;
}

static inline uint64_t deferred_bytes(iova_live *live)
{
	return flush_queue_pages(&live->queue) << live->shift;
}

/* Bytes between the lowest and the highest address of the windows that are reserved. */
static inline uint64_t reserved_bytes(const iova_live *live)
{
	return live->reserved.inside << live->shift;
}

/*
 * Every frame is live, cached, deferred, reserved or free, and the structures inside are
 * sound. In a checked domain the ranges it lists are the ones it counts.
 */
static inline void check_adds_up(iova_live *live)
{
	struct iova_live_stats stats = read_stats(live);
	CHECK_SOUND(iova_check(live->domain));
	CHECK_EQ(stats.live_bytes + stats.cached_bytes + deferred_bytes(live) +
			 reserved_bytes(live) + stats.free_bytes,
		 (live->top - live->domain->tree.start) << live->shift);
	CHECK(stats.largest_gap_bytes <= stats.free_bytes);
	CHECK(stats.live == 0 || stats.live_bytes >= stats.live << live->shift);
	CHECK_EQ(stats.totals.warnings, 0);
	if (!live->checked)
		return;
	struct iova_span *spans = calloc(stats.live + 1, sizeof(*spans));
	CHECK(spans != NULL);
	CHECK_EQ(iova_live_ranges(live, spans, stats.live + 1), stats.live);
	uint64_t bytes = 0;
	for (uint64_t i = 0; i < stats.live; i++)
		bytes += spans[i].last - spans[i].first + 1;
	CHECK_EQ(bytes, stats.live_bytes);
	free(spans);
}

/* Check everything, destroy the domain, and check that no memory is left. */
static inline void end_live(struct test_memory *memory, iova_live *live)
{
	if (!is_closed(live)) {
		memory->paused = true;
		check_adds_up(live);
	}
	iova_live_destroy(live);
	CHECK_EQ(test_memory_held(memory), 0);
}

/* A range of size bytes anywhere; it must succeed. */
static inline uint64_t take(iova_live *live, uint64_t size)
{
	uint64_t address = 0;
	CHECK_EQ(iova_live_alloc(live, size, ANYWHERE, 0, &address), IOVA_OK);
	return address;
}

static inline void give(iova_live *live, uint64_t address, uint64_t size)
{
	CHECK_EQ(iova_live_free(live, address, size), IOVA_OK);
}

static inline enum iova_place place_at(iova_live *live, uint64_t address)
{
	struct iova_span unused;
	return iova_live_find(live, address, &unused);
}

#endif
