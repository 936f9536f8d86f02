/* SPDX-License-Identifier: MIT */
/* Live domains: what a recorder is told of each call, in frames, and that none is left out. */
#include "live_support.h"

static struct test_memory memory;

static struct {
	struct live_event events[600];
	unsigned count;
} seen;

static void note(void *context, const struct live_event *event)
{
	CHECK(context == &seen);
	CHECK(seen.count < COUNT_OF_ARRAY(seen.events));
	seen.events[seen.count++] = *event;
}

static const struct live_recorder recorder = { note, &seen };

static iova_live *make_recorded(bool unchecked)
{
	struct iova_span window = { MIB, 2 * MIB - 1 };
	iova_live *live = make_live(&memory, (struct iova_live_config){ .windows = &window,
									.window_count = 1,
									.unchecked = unchecked });
	seen.count = 0;
	live_set_recorder(live, &recorder);
	return live;
}

/* The one event since the last look. */
static struct live_event the_event(iova_live *live, enum live_op op)
{
	CHECK_EQ(seen.count, 1);
	seen.count = 0;
	struct live_event event = seen.events[0];
	CHECK_EQ(event.op, op);
	CHECK_EQ(event.began, live->stopped_at);
	CHECK_EQ(event.ended, live->stopped_at);
	return event;
}

static void check_range(struct live_event event, uint64_t address, uint64_t frames)
{
	CHECK_EQ(event.pfn, address / PAGE);
	CHECK_EQ(event.size, frames);
	CHECK_EQ(event.status, IOVA_OK);
}

static void allocations_and_frees_are_told_with_rounded_sizes(void)
{
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		iova_live *live = make_recorded(unchecked);
		/* From the tree, and then from the cache. */
		for (unsigned i = 0; i < 3; i++) {
			uint64_t address = take(live, 3 * PAGE);
			struct live_event event = the_event(live, LIVE_OP_ALLOC);
			check_range(event, address, 4);
			CHECK_EQ(event.limit, 2 * MIB / PAGE - 1);
			CHECK_EQ(event.cpu, platform_cpu() % live->cpus);
			give(live, address, 3 * PAGE);
			check_range(the_event(live, LIVE_OP_FREE), address, 4);
		}
		uint64_t large = take(live, 33 * PAGE);
		check_range(the_event(live, LIVE_OP_ALLOC), large, 33);
		give(live, large, 33 * PAGE);
		check_range(the_event(live, LIVE_OP_FREE), large, 33);
		live_set_recorder(live, NULL);
		end_live(&memory, live);
	}
}

static void a_limit_is_told_as_the_last_frame_below_it(void)
{
	iova_live *live = make_recorded(false);
	uint64_t address;
	CHECK_EQ(iova_live_alloc(live, PAGE, MIB + 5 * PAGE + 7, 0, &address), IOVA_OK);
	struct live_event event = the_event(live, LIVE_OP_ALLOC);
	check_range(event, address, 1);
	CHECK_EQ(event.limit, MIB / PAGE + 4);
	end_live(&memory, live);
}

static void a_failure_is_told_with_its_status(void)
{
	iova_live *live = make_recorded(false);
	uint64_t address;
	CHECK_EQ(iova_live_alloc(live, 2 * MIB, ANYWHERE, 0, &address), IOVA_NO_SPACE);
	/* It has no place below the windows' end at all: nothing was searched. */
	CHECK(seen.count <= 1);
	seen.count = 0;
	(void)take(live, PAGE);
	seen.count = 0;
	CHECK_EQ(iova_live_alloc(live, MIB, ANYWHERE, 0, &address), IOVA_NO_SPACE);
	struct live_event event = the_event(live, LIVE_OP_ALLOC);
	CHECK_EQ(event.status, IOVA_NO_SPACE);
	CHECK_EQ(event.size, MIB / PAGE);
	/* What was refused is no event. */
	CHECK_EQ(iova_live_free(live, MIB, PAGE), IOVA_NOT_ALLOCATED);
	CHECK_EQ(seen.count, 0);
	end_live(&memory, live);
}

static void check_place(struct live_event event, uint64_t address, uint64_t frames)
{
	CHECK_EQ(event.pfn, address / PAGE);
	CHECK_EQ(event.last, address / PAGE + frames - 1);
}

static void what_goes_past_the_caches_is_told_as_a_place(void)
{
	iova_live *live = make_recorded(false);
	uint64_t address;
	CHECK_EQ(iova_live_alloc_at(live, MIB, 3 * PAGE), IOVA_OK);
	check_place(the_event(live, LIVE_OP_PLACE), MIB, 3);
	give(live, MIB, 3 * PAGE);
	CHECK_EQ(the_event(live, LIVE_OP_REMOVE).pfn, MIB / PAGE);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 64 * PAGE, &address), IOVA_OK);
	check_place(the_event(live, LIVE_OP_PLACE), address, 1);
	/* But it is freed like any other. */
	give(live, address, PAGE);
	check_range(the_event(live, LIVE_OP_FREE), address, 1);
	CHECK_EQ(iova_live_reserve(live, MIB, MIB + PAGE), IOVA_OK);
	check_place(the_event(live, LIVE_OP_RESERVE), MIB, 2);
	CHECK_EQ(iova_live_alloc_at(live, MIB, PAGE), IOVA_RESERVED);
	CHECK_EQ(seen.count, 0);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	(void)the_event(live, LIVE_OP_FLUSH_CACHES);
	end_live(&memory, live);
}

static void a_deferred_free_is_told_twice(void)
{
	iova_live *live = make_recorded(false);
	uint64_t address = take(live, 2 * PAGE), ticket;
	seen.count = 0;
	CHECK_EQ(iova_live_defer(live, address, 2 * PAGE, &ticket), IOVA_OK);
	check_range(the_event(live, LIVE_OP_DEFER), address, 2);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	check_range(the_event(live, LIVE_OP_FREE), address, 2);
	end_live(&memory, live);
}

static void batches_are_told_range_by_range(void)
{
	iova_live *live = make_recorded(false);
	uint64_t address[200];
	for (unsigned round = 0; round < 2; round++) {
		CHECK_EQ(iova_live_alloc_many(live, 200, PAGE, ANYWHERE, address), IOVA_OK);
		CHECK_EQ(iova_live_free_many(live, 200, address, PAGE, NULL), IOVA_OK);
		CHECK_EQ(seen.count, 400);
		for (unsigned i = 0; i < 400; i++) {
			CHECK_EQ(seen.events[i].op, i < 200 ? LIVE_OP_ALLOC : LIVE_OP_FREE);
			check_range(seen.events[i], address[i % 200], 1);
		}
		seen.count = 0;
	}
	end_live(&memory, live);
}

static void without_a_recorder_nothing_is_told(void)
{
	iova_live *live = make_recorded(false);
	live_set_recorder(live, NULL);
	give(live, take(live, PAGE), PAGE);
	CHECK_EQ(seen.count, 0);
	live_set_recorder(live, &recorder);
	give(live, take(live, PAGE), PAGE);
	CHECK_EQ(seen.count, 2);
	/* And one that goes when the domain was closed lets no call through. */
	iova_live_close(live);
	live_set_recorder(live, NULL);
	uint64_t address;
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &address), IOVA_CLOSED);
	end_live(&memory, live);
}

int main(void)
{
	TEST(allocations_and_frees_are_told_with_rounded_sizes);
	TEST(a_limit_is_told_as_the_last_frame_below_it);
	TEST(a_failure_is_told_with_its_status);
	TEST(what_goes_past_the_caches_is_told_as_a_place);
	TEST(a_deferred_free_is_told_twice);
	TEST(batches_are_told_range_by_range);
	TEST(without_a_recorder_nothing_is_told);
	return 0;
}
