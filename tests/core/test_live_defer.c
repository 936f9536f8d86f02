/* SPDX-License-Identifier: MIT */
/* Live domains: deferred frees, which wait for the IOTLB flush that follows their unmap. */
#include "live_support.h"

#define AGE IOVA_FLUSH_AGE_NS

static struct test_memory memory;

/* An IOMMU's part: what it was asked, and what it answers. */
static struct device {
	iova_live *live;
	uint64_t asked;
	bool refuses;
	void (*during)(iova_live *live); /* called once, while a flush is under way */
} device;

static bool flush(void *context)
{
	CHECK(context == &device);
	device.asked++;
	void (*during)(iova_live *) = device.during;
	device.during = NULL;
	if (during)
		during(device.live);
	return !device.refuses;
}

static iova_live *make(bool with_flush)
{
	struct iova_span window = { MIB, 64 * MIB - 1 };
	device = (struct device){ .live = NULL };
	device.live = make_live(&memory,
				(struct iova_live_config){ .windows = &window,
							   .window_count = 1,
							   .on_flush = with_flush ? flush : NULL,
							   .context = &device });
	return device.live;
}

static uint64_t defer(iova_live *live, uint64_t address, uint64_t size)
{
	uint64_t ticket = 0;
	CHECK_EQ(iova_live_defer(live, address, size, &ticket), IOVA_OK);
	return ticket;
}

static void take_and_defer(iova_live *live, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		(void)defer(live, take(live, PAGE), PAGE);
}

/* ------------------------------------------------------------------ held back, released */

static void a_deferred_range_is_not_handed_out_before_its_flush(void)
{
	struct iova_span window = { MIB, MIB + 8 * PAGE - 1 };
	iova_live *live =
		make_live(&memory, (struct iova_live_config){ .windows = &window, .window_count = 1 });
	uint64_t address = take(live, 8 * PAGE), other;
	uint64_t ticket = defer(live, address, 8 * PAGE);
	CHECK_EQ(read_stats(live).deferred, 1);
	CHECK_EQ(read_stats(live).live, 0);
	CHECK_EQ(read_stats(live).free_bytes, 0);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &other), IOVA_NO_SPACE);
	CHECK_EQ(iova_live_alloc_at(live, address, PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(read_stats(live).deferred, 0);
	CHECK_EQ(read_stats(live).cached, 1);
	CHECK_EQ(take(live, 8 * PAGE), address);
	end_live(&memory, live);
}

static void released_ranges_go_where_frees_would_put_them(void)
{
	static const uint64_t sizes[] = { 1, 3 * PAGE, 32 * PAGE, 33 * PAGE, MIB };
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		iova_live *live = make_live(&memory,
					    (struct iova_live_config){ .unchecked = unchecked });
		uint64_t ticket = 0, fixed = 5 * GIB + 4096 * 7;
		for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++)
			ticket = defer(live, take(live, sizes[i]), sizes[i]);
		CHECK_EQ(iova_live_alloc_at(live, fixed, PAGE), IOVA_OK);
		CHECK_EQ(defer(live, fixed, PAGE), ticket + 1);
		CHECK_EQ(iova_live_flushed(live, ticket + 1), IOVA_OK);
		CHECK_EQ(read_stats(live).cached_bytes, PAGE + 4 * PAGE + 32 * PAGE);
		CHECK_EQ(read_stats(live).totals.ranges, 3);
		end_live(&memory, live);
	}
}

static void tickets_cover_what_was_deferred_up_to_them(void)
{
	iova_live *live = make(false);
	uint64_t address[4], ticket[4];
	for (unsigned i = 0; i < 4; i++) {
		address[i] = take(live, PAGE);
		ticket[i] = defer(live, address[i], PAGE);
		CHECK(i == 0 || ticket[i] > ticket[i - 1]);
	}
	CHECK_EQ(iova_live_flushed(live, ticket[1]), IOVA_OK);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQ(place_at(live, address[i]), i < 2 ? IOVA_PLACE_FREE : IOVA_PLACE_DEFERRED);
	/* An older flush that is done later releases nothing, and is no error. */
	CHECK_EQ(iova_live_flushed(live, ticket[0]), IOVA_OK);
	CHECK_EQ(read_stats(live).deferred, 2);
	CHECK_EQ(iova_live_flushed(live, ticket[3]), IOVA_OK);
	CHECK_EQ(read_stats(live).deferred, 0);
	end_live(&memory, live);
}

static void a_ticket_that_was_never_given_is_invalid(void)
{
	iova_live *live = make(false);
	CHECK_EQ(iova_live_flushed(live, 0), IOVA_INVALID);
	CHECK_EQ(iova_live_flushed(live, 1), IOVA_INVALID);
	uint64_t ticket = defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(iova_live_flushed(live, ticket + 1), IOVA_INVALID);
	CHECK_EQ(iova_live_flushed(live, UINT64_MAX), IOVA_INVALID);
	CHECK_EQ(read_stats(live).deferred, 1);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	end_live(&memory, live);
}

/* ---------------------------------------------------------------- full, or old: FlushNeeded */

/* The range stays its owner's: live, of its size, to be deferred or freed. */
static uint64_t check_flush_is_needed(iova_live *live, uint64_t size)
{
	uint64_t address = take(live, size), ticket = 0, live_before = read_stats(live).live;
	CHECK_EQ(iova_live_defer(live, address, size, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(place_at(live, address), IOVA_PLACE_LIVE);
	CHECK_EQ(read_stats(live).live, live_before);
	CHECK_EQ(iova_live_free(live, address, 2 * size), IOVA_SIZE_MISMATCH);
	give(live, address, size);
	return ticket;
}

static void a_full_ring_asks_for_a_flush_and_the_range_stays_live(void)
{
	iova_live *live = make(false);
	take_and_defer(live, FLUSH_USABLE);
	CHECK_EQ(check_flush_is_needed(live, PAGE), FLUSH_USABLE);
	CHECK_EQ(check_flush_is_needed(live, 8 * PAGE), FLUSH_USABLE);
	uint64_t ticket = check_flush_is_needed(live, 40 * PAGE);
	CHECK_EQ(read_stats(live).deferred, FLUSH_USABLE);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(read_stats(live).deferred, 0);
	take_and_defer(live, FLUSH_USABLE);
	CHECK_EQ(read_stats(live).deferred, FLUSH_USABLE);
	end_live(&memory, live);
}

static void a_full_ring_of_an_unchecked_domain_leaves_the_range_its_owner_s(void)
{
	iova_live *live = make_live(&memory, (struct iova_live_config){ .unchecked = true });
	uint64_t ticket, address = take(live, PAGE), fixed = GIB;
	take_and_defer(live, FLUSH_USABLE);
	CHECK_EQ(iova_live_defer(live, address, PAGE, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(iova_live_alloc_at(live, fixed, PAGE), IOVA_OK);
	CHECK_EQ(iova_live_defer(live, fixed, PAGE, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(place_at(live, fixed), IOVA_PLACE_LIVE);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	give(live, address, PAGE);
	give(live, fixed, PAGE);
	CHECK_EQ(read_stats(live).live, 0);
	end_live(&memory, live);
}

static void an_old_entry_asks_for_a_flush_though_there_is_room(void)
{
	iova_live *live = make(false);
	uint64_t address = take(live, PAGE);
	uint64_t ticket = defer(live, address, PAGE);
	live->stopped_at += AGE;
	CHECK_EQ(defer(live, take(live, PAGE), PAGE), ticket + 1);
	live->stopped_at += 1;
	CHECK_EQ(check_flush_is_needed(live, PAGE), ticket + 1);
	/* Without the old one it goes on. */
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(defer(live, take(live, PAGE), PAGE), ticket + 2);
	end_live(&memory, live);
}

static void deferring_keeps_or_gives_back_the_budget_with_the_range(void)
{
	struct iova_live_config config = { .budget = FLUSH_USABLE + 1 };
	iova_live *live = make_live(&memory, config);
	uint64_t address = 0, ticket;
	take_and_defer(live, FLUSH_USABLE);
	/* All of it is there again. */
	for (uint64_t i = 0; i < config.budget; i++)
		address = take(live, PAGE);
	CHECK_EQ(iova_live_defer(live, address, PAGE, &ticket), IOVA_FLUSH_NEEDED);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &address), IOVA_OVER_BUDGET);
	end_live(&memory, live);
}

/* ------------------------------------------------------------------------- on_flush */

static void a_full_ring_calls_on_flush_and_goes_on(void)
{
	iova_live *live = make(true);
	for (unsigned i = 1; i <= 5; i++) {
		take_and_defer(live, FLUSH_USABLE);
		CHECK_EQ(device.asked, i - 1);
		CHECK_EQ(read_stats(live).deferred, FLUSH_USABLE);
		(void)defer(live, take(live, PAGE), PAGE);
		CHECK_EQ(device.asked, i);
		CHECK_EQ(read_stats(live).flushes, i);
		CHECK_EQ(read_stats(live).deferred, 1);
		CHECK_EQ(iova_live_flushed(live, live->queue.issued), IOVA_OK);
	}
	end_live(&memory, live);
}

static void an_on_flush_that_fails_leaves_the_range_live(void)
{
	iova_live *live = make(true);
	device.refuses = true;
	take_and_defer(live, FLUSH_USABLE);
	uint64_t ticket = check_flush_is_needed(live, PAGE);
	CHECK_EQ(device.asked, 1);
	CHECK_EQ(read_stats(live).deferred, FLUSH_USABLE);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(read_stats(live).deferred, 0);
	end_live(&memory, live);
}

static void an_old_entry_calls_on_flush_though_there_is_room(void)
{
	iova_live *live = make(true);
	(void)defer(live, take(live, PAGE), PAGE);
	live->stopped_at += AGE + 1;
	(void)defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(device.asked, 1);
	CHECK_EQ(read_stats(live).deferred, 1);
	end_live(&memory, live);
}

static uint64_t too_late;

static void defer_one_more(iova_live *live)
{
	too_late = take(live, PAGE);
	(void)defer(live, too_late, PAGE);
}

static void what_is_deferred_during_a_flush_waits_for_the_next_one(void)
{
	iova_live *live = make(true);
	(void)defer(live, take(live, PAGE), PAGE);
	live->stopped_at += AGE + 1;
	uint64_t address = take(live, PAGE), old = live->stopped_at;
	/* Not old while it is deferred from within on_flush: that would ask again. */
	device.during = defer_one_more;
	live->stopped_at = old - AGE;
	live_flush_old(live, old);
	CHECK_EQ(device.asked, 1);
	CHECK_EQ(place_at(live, too_late), IOVA_PLACE_DEFERRED);
	CHECK_EQ(read_stats(live).deferred, 1);
	CHECK_EQ(place_at(live, address), IOVA_PLACE_LIVE);
	end_live(&memory, live);
}

static void allocate_and_free(iova_live *live)
{
	uint64_t address = take(live, PAGE), ticket = live->queue.issued;
	give(live, address, PAGE);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(iova_live_reserve(live, MIB, MIB), IOVA_OK);
	CHECK_EQ(read_stats(live).deferred, 0);
}

static void on_flush_may_call_the_domain(void)
{
	iova_live *live = make(true);
	take_and_defer(live, FLUSH_USABLE);
	device.during = allocate_and_free;
	(void)defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(read_stats(live).deferred, 1);
	end_live(&memory, live);
}

/* ------------------------------------------------------------------ in the background */

static void what_grows_old_is_flushed_in_the_background(void)
{
	iova_live *live = make(true);
	uint64_t start = live->stopped_at;
	CHECK_EQ(live_next_due(live), IOVA_NEVER);
	(void)defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(live_next_due(live), start + AGE);
	live->stopped_at += AGE / 2;
	(void)defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(live_next_due(live), start + AGE);
	live_run_due(live, start + AGE - 1);
	CHECK_EQ(device.asked, 0);
	live_run_due(live, start + AGE);
	CHECK_EQ(device.asked, 1);
	CHECK_EQ(read_stats(live).deferred, 0);
	CHECK_EQ(live_next_due(live), IOVA_NEVER);
	end_live(&memory, live);
}

static void a_flush_that_fails_in_the_background_is_tried_again_later(void)
{
	iova_live *live = make(true);
	uint64_t start = live->stopped_at;
	device.refuses = true;
	(void)defer(live, take(live, PAGE), PAGE);
	live_run_due(live, start + AGE);
	CHECK_EQ(device.asked, 1);
	CHECK_EQ(live_next_due(live), start + 2 * AGE);
	device.refuses = false;
	live_run_due(live, start + 2 * AGE);
	CHECK_EQ(device.asked, 2);
	CHECK_EQ(read_stats(live).deferred, 0);
	end_live(&memory, live);
}

static void what_was_flushed_by_others_is_not_flushed_again(void)
{
	iova_live *live = make(true);
	uint64_t start = live->stopped_at;
	uint64_t ticket = defer(live, take(live, PAGE), PAGE);
	live->stopped_at += AGE / 2;
	(void)defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	live_run_due(live, start + AGE);
	CHECK_EQ(device.asked, 0);
	/* The second one's time comes later. */
	CHECK_EQ(live_next_due(live), start + AGE / 2 + AGE);
	CHECK_EQ(iova_live_flushed(live, ticket + 1), IOVA_OK);
	live_run_due(live, start + 2 * AGE);
	CHECK_EQ(device.asked, 0);
	CHECK_EQ(live_next_due(live), IOVA_NEVER);
	end_live(&memory, live);
}

static void without_on_flush_nothing_is_due(void)
{
	iova_live *live = make(false);
	(void)defer(live, take(live, PAGE), PAGE);
	CHECK_EQ(live_next_due(live), IOVA_NEVER);
	end_live(&memory, live);
}

static void a_closed_domain_flushes_nothing_more(void)
{
	iova_live *live = make(true);
	(void)defer(live, take(live, PAGE), PAGE);
	iova_live_close(live);
	CHECK_EQ(live_next_due(live), IOVA_NEVER);
	live_run_due(live, live->stopped_at + 2 * AGE);
	CHECK_EQ(device.asked, 0);
	end_live(&memory, live);
}

int main(void)
{
	TEST(a_deferred_range_is_not_handed_out_before_its_flush);
	TEST(released_ranges_go_where_frees_would_put_them);
	TEST(tickets_cover_what_was_deferred_up_to_them);
	TEST(a_ticket_that_was_never_given_is_invalid);
	TEST(a_full_ring_asks_for_a_flush_and_the_range_stays_live);
	TEST(a_full_ring_of_an_unchecked_domain_leaves_the_range_its_owner_s);
	TEST(an_old_entry_asks_for_a_flush_though_there_is_room);
	TEST(deferring_keeps_or_gives_back_the_budget_with_the_range);
	TEST(a_full_ring_calls_on_flush_and_goes_on);
	TEST(an_on_flush_that_fails_leaves_the_range_live);
	TEST(an_old_entry_calls_on_flush_though_there_is_room);
	TEST(what_is_deferred_during_a_flush_waits_for_the_next_one);
	TEST(on_flush_may_call_the_domain);
	TEST(what_grows_old_is_flushed_in_the_background);
	TEST(a_flush_that_fails_in_the_background_is_tried_again_later);
	TEST(what_was_flushed_by_others_is_not_flushed_again);
	TEST(without_on_flush_nothing_is_due);
	TEST(a_closed_domain_flushes_nothing_more);
	return 0;
}
