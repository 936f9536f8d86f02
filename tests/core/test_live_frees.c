/* SPDX-License-Identifier: MIT */
/* Live domains: what a checked free notices, wherever the range sits, and what it leaves alone. */
#include "live_support.h"

#define FIRST MIB
#define LAST (64 * MIB - 1)

static struct test_memory memory;

/* A free that is refused: with that status, and nothing has changed. */
static void check_refused(iova_live *live, uint64_t address, uint64_t size,
			  enum iova_status expected)
{
	struct iova_live_stats before = read_stats(live);
	uint64_t ticket = 77;
	size_t bad = 77;
	CHECK_EQ(iova_live_free(live, address, size), expected);
	CHECK_EQ(iova_live_free_many(live, 1, &address, size, &bad), expected);
	CHECK_EQ(bad, 0);
	CHECK_EQ(iova_live_defer(live, address, size, &ticket), expected);
	struct iova_live_stats after = read_stats(live);
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

/* ---------------------------------------------------------------------- double frees */

/* n ranges of two pages, freed in the order in which they were taken. */
static void take_and_give(iova_live *live, uint64_t *address, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		address[i] = take(live, 2 * PAGE);
	for (uint64_t i = 0; i < n; i++)
		give(live, address[i], 2 * PAGE);
}

static struct iova_cpu_view view_of_this_cpu(iova_live *live)
{
	return iova_read_cpu(live->domain, platform_cpu() % live->cpus, 1);
}

static void a_double_free_is_noticed_while_the_range_is_in_the_loaded_magazine(void)
{
	uint64_t address[1];
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	take_and_give(live, address, 1);
	CHECK_EQ(view_of_this_cpu(live).loaded, 1);
	check_refused(live, address[0], 2 * PAGE, IOVA_DOUBLE_FREE);
	/* Whatever size is given. */
	check_refused(live, address[0], PAGE, IOVA_DOUBLE_FREE);
	check_refused(live, address[0], 64 * PAGE, IOVA_DOUBLE_FREE);
	check_refused(live, address[0], 0, IOVA_DOUBLE_FREE);
	CHECK_EQ(take(live, 2 * PAGE), address[0]);
	give(live, address[0], 2 * PAGE);
	end_live(&memory, live);
}

static void a_double_free_is_noticed_while_the_range_is_in_the_previous_magazine(void)
{
	uint64_t address[IOVA_MAGAZINE_CAPACITY + 1];
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	take_and_give(live, address, FULL + 1);
	CHECK_EQ(view_of_this_cpu(live).previous, FULL);
	for (uint64_t i = 0; i <= FULL; i++)
		check_refused(live, address[i], 2 * PAGE, IOVA_DOUBLE_FREE);
	end_live(&memory, live);
}

static void a_double_free_is_noticed_while_the_range_is_in_the_depot(void)
{
	uint64_t address[3 * IOVA_MAGAZINE_CAPACITY];
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	take_and_give(live, address, 3 * FULL);
	CHECK_EQ(iova_live_counters(live, 1).depot, 1);
	for (uint64_t i = 0; i < 3 * FULL; i++)
		check_refused(live, address[i], 2 * PAGE, IOVA_DOUBLE_FREE);
	end_live(&memory, live);
}

static void a_double_free_is_noticed_after_the_range_went_back_to_the_tree(void)
{
	uint64_t address[IOVA_MAGAZINE_CAPACITY];
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	take_and_give(live, address, FULL);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(read_stats(live).totals.ranges, 0);
	for (uint64_t i = 0; i < FULL; i++)
		check_refused(live, address[i], 2 * PAGE, IOVA_DOUBLE_FREE);
	/* And for sizes that never were in a cache. */
	uint64_t large = take(live, 100 * PAGE);
	give(live, large, 100 * PAGE);
	check_refused(live, large, 100 * PAGE, IOVA_DOUBLE_FREE);
	CHECK_EQ(iova_live_alloc_at(live, FIRST, PAGE), IOVA_OK);
	give(live, FIRST, PAGE);
	check_refused(live, FIRST, PAGE, IOVA_DOUBLE_FREE);
	end_live(&memory, live);
}

static void a_range_that_was_handed_out_again_can_be_freed_again(void)
{
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	uint64_t first = take(live, PAGE);
	for (unsigned i = 0; i < 5; i++) {
		give(live, first, PAGE);
		check_refused(live, first, PAGE, IOVA_DOUBLE_FREE);
		if (i % 2)
			CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
		CHECK_EQ(take(live, PAGE), first);
	}
	end_live(&memory, live);
}

/* ---------------------------------------------------------------------- sizes compared */

static void rounded_sizes_are_compared(void)
{
	static const struct {
		uint64_t taken, given;
		bool same;
	} cases[] = {
		{ 3 * PAGE, 4 * PAGE, true },	    { 4 * PAGE, 3 * PAGE, true },
		{ 2 * PAGE + 1, 4 * PAGE, true },   { 1, PAGE, true },
		{ PAGE, 1, true },		    { 17 * PAGE, 32 * PAGE, true },
		{ 3 * PAGE, 2 * PAGE, false },	    { 4 * PAGE, 4 * PAGE + 1, false },
		{ PAGE, PAGE + 1, false },	    { 16 * PAGE, 17 * PAGE, false },
		{ 32 * PAGE, 33 * PAGE, false },    { 33 * PAGE, 32 * PAGE, false },
		/* Beyond the caches' sizes only granules are rounded to. */
		{ 33 * PAGE, 32 * PAGE + 1, true }, { 33 * PAGE, 34 * PAGE, false },
		{ 33 * PAGE, 64 * PAGE, false },    { 64 * PAGE, 33 * PAGE, false },
		{ PAGE, UINT64_MAX, false },	    { PAGE, UINT64_C(1) << 63, false },
		{ 40 * PAGE, UINT64_MAX, false },
	};
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	for (size_t i = 0; i < COUNT_OF_ARRAY(cases); i++) {
		uint64_t address = take(live, cases[i].taken);
		if (!cases[i].same)
			check_refused(live, address, cases[i].given, IOVA_SIZE_MISMATCH);
		give(live, address, cases[i].same ? cases[i].given : cases[i].taken);
	}
	end_live(&memory, live);
}

static void a_size_of_zero_frees_whatever_is_there(void)
{
	static const uint64_t sizes[] = { 1, 3 * PAGE, 32 * PAGE, 33 * PAGE, 5 * MIB };
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++) {
		uint64_t address = take(live, sizes[i]);
		give(live, address, 0);
		check_refused(live, address, 0, IOVA_DOUBLE_FREE);
	}
	CHECK_EQ(iova_live_alloc_at(live, FIRST, 3 * PAGE), IOVA_OK);
	give(live, FIRST, 0);
	CHECK_EQ(read_stats(live).live, 0);
	end_live(&memory, live);
}

static void a_fixed_range_is_freed_with_its_size_and_goes_to_the_tree(void)
{
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	CHECK_EQ(iova_live_alloc_at(live, FIRST + PAGE, 3 * PAGE), IOVA_OK);
	check_refused(live, FIRST + PAGE, 4 * PAGE, IOVA_SIZE_MISMATCH);
	check_refused(live, FIRST + PAGE, 2 * PAGE, IOVA_SIZE_MISMATCH);
	check_refused(live, FIRST + 2 * PAGE, 2 * PAGE, IOVA_NOT_ALLOCATED);
	give(live, FIRST + PAGE, 3 * PAGE);
	/* A page at an odd place must not get into the cache of single pages either. */
	CHECK_EQ(iova_live_alloc_at(live, FIRST, PAGE), IOVA_OK);
	give(live, FIRST, PAGE);
	CHECK_EQ(read_stats(live).cached, 0);
	end_live(&memory, live);
}

/* -------------------------------------------------------------- what is no range's start */

static void an_address_that_was_never_handed_out_is_not_allocated(void)
{
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	uint64_t address = take(live, 4 * PAGE), large = take(live, 40 * PAGE);
	check_refused(live, FIRST, PAGE, IOVA_NOT_ALLOCATED);
	check_refused(live, FIRST + 5 * MIB, 40 * PAGE, IOVA_NOT_ALLOCATED);
	/* Inside a live range, and between granules. */
	check_refused(live, address + PAGE, PAGE, IOVA_NOT_ALLOCATED);
	check_refused(live, large + 39 * PAGE, PAGE, IOVA_NOT_ALLOCATED);
	check_refused(live, address + 1, 4 * PAGE, IOVA_NOT_ALLOCATED);
	check_refused(live, address + PAGE - 1, 4 * PAGE, IOVA_NOT_ALLOCATED);
	check_refused(live, large + 1, 40 * PAGE, IOVA_NOT_ALLOCATED);
	end_live(&memory, live);
}

static void what_started_a_range_once_and_lies_inside_one_now_is_not_allocated(void)
{
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	uint64_t page = take(live, PAGE), below = take(live, PAGE);
	give(live, page, PAGE);
	give(live, below, PAGE);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(take(live, 2 * PAGE), below);
	check_refused(live, page, PAGE, IOVA_NOT_ALLOCATED);
	give(live, below, 2 * PAGE);
	check_refused(live, below, PAGE, IOVA_DOUBLE_FREE);
	end_live(&memory, live);
}

static void what_lies_outside_the_windows_or_is_reserved_says_so(void)
{
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	CHECK_EQ(iova_live_reserve(live, 8 * MIB, 9 * MIB - 1), IOVA_OK);
	check_refused(live, 0, PAGE, IOVA_RESERVED);
	check_refused(live, FIRST - PAGE, PAGE, IOVA_RESERVED);
	check_refused(live, LAST + 1, PAGE, IOVA_RESERVED);
	check_refused(live, UINT64_MAX - PAGE + 1, PAGE, IOVA_RESERVED);
	check_refused(live, UINT64_MAX, PAGE, IOVA_RESERVED);
	check_refused(live, 8 * MIB, MIB, IOVA_RESERVED);
	check_refused(live, 8 * MIB + 5 * PAGE, PAGE, IOVA_RESERVED);
	end_live(&memory, live);
}

static void a_range_that_waits_for_its_flush_is_free_already(void)
{
	uint64_t ticket;
	static const uint64_t sizes[] = { PAGE, 32 * PAGE, 33 * PAGE };
	iova_live *live = make_live_in(&memory, FIRST, LAST);
	for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++) {
		uint64_t address = take(live, sizes[i]);
		CHECK_EQ(iova_live_defer(live, address, sizes[i], &ticket), IOVA_OK);
		check_refused(live, address, sizes[i], IOVA_DOUBLE_FREE);
		CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
		check_refused(live, address, sizes[i], IOVA_DOUBLE_FREE);
	}
	end_live(&memory, live);
}

/* ----------------------------------------------------------------------- unchecked domains */

static iova_live *make_unchecked(void)
{
	struct iova_span window = { FIRST, LAST };
	return make_live(&memory, (struct iova_live_config){
					  .windows = &window, .window_count = 1, .unchecked = true });
}

static void an_unchecked_domain_believes_the_caller(void)
{
	static const uint64_t sizes[] = { 1, 3 * PAGE, 32 * PAGE, 33 * PAGE, MIB };
	iova_live *live = make_unchecked();
	for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++) {
		uint64_t address = take(live, sizes[i]);
		give(live, address, sizes[i]);
		CHECK_EQ(take(live, sizes[i]), address);
		give(live, address, sizes[i]);
	}
	CHECK_EQ(read_stats(live).live, 0);
	CHECK_EQ(read_stats(live).cached, 3);
	/* But no more than can be told at once. */
	CHECK_EQ(iova_live_free(live, FIRST + 1, PAGE), IOVA_NOT_ALLOCATED);
	CHECK_EQ(iova_live_free(live, LAST + 1, 64 * PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_free(live, FIRST, 0), IOVA_NOT_ALLOCATED);
	end_live(&memory, live);
}

static void an_unchecked_domain_keeps_fixed_ranges_out_of_its_caches(void)
{
	uint64_t pair[2] = { FIRST, FIRST + PAGE }, ticket;
	iova_live *live = make_unchecked();
	uint64_t usual = take(live, PAGE);
	CHECK_EQ(iova_live_alloc_at(live, FIRST + PAGE, 2 * PAGE), IOVA_OK);
	CHECK_EQ(iova_live_free(live, FIRST + PAGE, 3 * PAGE), IOVA_SIZE_MISMATCH);
	give(live, FIRST + PAGE, 2 * PAGE);
	CHECK_EQ(read_stats(live).cached, 0);
	/* The usual range is cached as before, also by a batch. */
	CHECK_EQ(iova_live_alloc_at(live, FIRST, PAGE), IOVA_OK);
	pair[1] = usual;
	CHECK_EQ(iova_live_free_many(live, 2, pair, PAGE, NULL), IOVA_OK);
	CHECK_EQ(read_stats(live).cached, 1);
	/* And deferred. */
	CHECK_EQ(iova_live_alloc_at(live, FIRST, PAGE), IOVA_OK);
	CHECK_EQ(iova_live_defer(live, FIRST, PAGE, &ticket), IOVA_OK);
	CHECK_EQ(place_at(live, FIRST), IOVA_PLACE_DEFERRED);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(read_stats(live).cached, 1);
	CHECK_EQ(read_stats(live).live, 0);
	end_live(&memory, live);
}

static void where_a_fixed_range_was_an_unchecked_domain_caches_again(void)
{
	struct iova_span window = { FIRST, FIRST + 2 * PAGE - 1 };
	iova_live *live =
		make_live(&memory, (struct iova_live_config){
					   .windows = &window, .window_count = 1, .unchecked = true });
	CHECK_EQ(iova_live_alloc_at(live, FIRST, 2 * PAGE), IOVA_OK);
	give(live, FIRST, 2 * PAGE);
	CHECK_EQ(take(live, 2 * PAGE), FIRST);
	give(live, FIRST, 2 * PAGE);
	CHECK_EQ(read_stats(live).cached, 1);
	end_live(&memory, live);
}

int main(void)
{
	TEST(a_double_free_is_noticed_while_the_range_is_in_the_loaded_magazine);
	TEST(a_double_free_is_noticed_while_the_range_is_in_the_previous_magazine);
	TEST(a_double_free_is_noticed_while_the_range_is_in_the_depot);
	TEST(a_double_free_is_noticed_after_the_range_went_back_to_the_tree);
	TEST(a_range_that_was_handed_out_again_can_be_freed_again);
	TEST(rounded_sizes_are_compared);
	TEST(a_size_of_zero_frees_whatever_is_there);
	TEST(a_fixed_range_is_freed_with_its_size_and_goes_to_the_tree);
	TEST(an_address_that_was_never_handed_out_is_not_allocated);
	TEST(what_started_a_range_once_and_lies_inside_one_now_is_not_allocated);
	TEST(what_lies_outside_the_windows_or_is_reserved_says_so);
	TEST(a_range_that_waits_for_its_flush_is_free_already);
	TEST(an_unchecked_domain_believes_the_caller);
	TEST(an_unchecked_domain_keeps_fixed_ranges_out_of_its_caches);
	TEST(where_a_fixed_range_was_an_unchecked_domain_caches_again);
	return 0;
}
