/* SPDX-License-Identifier: MIT */
/* Live domains: alignment, limits, and address 0. */
#include "live_support.h"

/* ------------------------------------------------------------------------ alignment */

static void an_alignment_beyond_the_size_s_own_is_kept(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, PAGE, 64 * GIB - 1);
	static const uint64_t sizes[] = { 1, PAGE, 3 * PAGE, 32 * PAGE, 33 * PAGE, 5 * MIB };
	for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++) {
		for (uint64_t align = 1; align <= 2 * GIB; align *= 2) {
			uint64_t two[2];
			for (unsigned n = 0; n < 2; n++) {
				CHECK_EQ(iova_live_alloc(live, sizes[i], ANYWHERE, align, &two[n]),
					 IOVA_OK);
				CHECK_EQ(two[n] % align, 0);
				CHECK_EQ(two[n] % (PAGE << order_of(pages_of(live, sizes[i]))), 0);
			}
			CHECK(two[0] != two[1]);
			give(live, two[0], sizes[i]);
			give(live, two[1], sizes[i]);
		}
	}
	end_live(&memory, live);
}

static void an_alignment_of_which_no_place_is_left_is_no_space(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, PAGE, 4 * MIB - 1);
	uint64_t address;
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, MIB, &address), IOVA_OK);
	CHECK_EQ(address, MIB);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, MIB, &address), IOVA_NO_SPACE);
	/* Too coarse for any address, and for the arithmetic on it. */
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, UINT64_C(1) << 63, &address), IOVA_NO_SPACE);
	CHECK_EQ(iova_live_alloc(live, PAGE, 2 * MIB - 1, 2 * MIB, &address), IOVA_NO_SPACE);
	end_live(&memory, live);
}

static void a_cached_range_serves_no_request_of_a_coarser_alignment(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, PAGE, 4 * MIB - 1);
	uint64_t high = take(live, PAGE), address;
	CHECK_EQ(high, 4 * MIB - PAGE);
	give(live, high, PAGE);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 16 * PAGE, &address), IOVA_OK);
	CHECK_EQ(address, 4 * MIB - 16 * PAGE);
	CHECK_EQ(read_stats(live).cached, 1);
	end_live(&memory, live);
}

/* --------------------------------------------------------------------------- limits */

static void a_range_ends_at_or_below_its_limit(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	static const struct {
		uint64_t limit;
		uint64_t place; /* of two pages; 0: there is none */
	} cases[] = {
		{ 0, 0 },
		{ MIB - 1, 0 },
		{ MIB + 2 * PAGE - 2, 0 },
		{ MIB + 2 * PAGE - 1, MIB },
		{ MIB + 4 * PAGE - 2, MIB },
		{ MIB + 4 * PAGE - 1, MIB + 2 * PAGE },
		{ 2 * MIB - 2, 2 * MIB - 4 * PAGE },
		{ 2 * MIB - 1, 2 * MIB - 2 * PAGE },
		{ 2 * MIB, 2 * MIB - 2 * PAGE },
		{ UINT64_MAX, 2 * MIB - 2 * PAGE },
	};
	for (size_t i = 0; i < COUNT_OF_ARRAY(cases); i++) {
		uint64_t address = 0;
		enum iova_status status =
			iova_live_alloc(live, 2 * PAGE, cases[i].limit, 0, &address);
		CHECK_EQ(status, cases[i].place ? IOVA_OK : IOVA_NO_SPACE);
		CHECK_EQ(address, cases[i].place);
		if (status == IOVA_OK)
			give(live, address, 2 * PAGE);
		/* The next one starts with the search, not with this one's range. */
		CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	}
	end_live(&memory, live);
}

static void a_cached_range_above_the_limit_is_left_where_it_is(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	uint64_t high = take(live, PAGE), low;
	give(live, high, PAGE);
	CHECK_EQ(iova_live_alloc(live, PAGE, high + PAGE - 2, 0, &low), IOVA_OK);
	CHECK_EQ(low, high - PAGE);
	CHECK_EQ(read_stats(live).cached, 1);
	/* Exactly at it: taken. */
	CHECK_EQ(iova_live_alloc(live, PAGE, high + PAGE - 1, 0, &low), IOVA_OK);
	CHECK_EQ(low, high);
	CHECK_EQ(read_stats(live).cached, 0);
	end_live(&memory, live);
}

static void users_of_32_and_of_64_bits_share_a_domain(void)
{
	struct test_memory memory;
	iova_live *live = make_live(&memory, (struct iova_live_config){ 0 });
	struct random random = { 5 };
	uint64_t address[600], size[600];
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < COUNT_OF_ARRAY(address); i++) {
			uint64_t limit = i % 2 ? ANYWHERE : 4 * GIB - 1;
			size[i] = PAGE * (1 + random_below(&random, 40));
			CHECK_EQ(iova_live_alloc(live, size[i], limit, 0, &address[i]), IOVA_OK);
			CHECK(address[i] + (size[i] - 1) <= limit);
		}
		check_adds_up(live);
		for (unsigned i = 0; i < COUNT_OF_ARRAY(address); i++)
			give(live, address[i], size[i]);
	}
	end_live(&memory, live);
}

static void a_failure_under_a_low_limit_takes_no_room_from_later_requests(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, PAGE, 8 * GIB - 1);
	uint64_t address;
	CHECK_EQ(iova_live_alloc(live, PAGE, 2 * PAGE - 1, 0, &address), IOVA_OK);
	CHECK_EQ(iova_live_alloc(live, PAGE, 2 * PAGE - 1, 0, &address), IOVA_NO_SPACE);
	static const uint64_t sizes[] = { PAGE, 2 * PAGE, 32 * PAGE, 33 * PAGE, GIB };
	for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++) {
		CHECK_EQ(iova_live_alloc(live, sizes[i], 4 * GIB - 1, 0, &address), IOVA_OK);
		CHECK(address + sizes[i] <= 4 * GIB);
		CHECK_EQ(iova_live_alloc(live, sizes[i], ANYWHERE, 0, &address), IOVA_OK);
		/* And again a failure, of this size. */
		CHECK_EQ(iova_live_alloc(live, sizes[i], 2 * PAGE - 1, 0, &address),
			 IOVA_NO_SPACE);
	}
	end_live(&memory, live);
}

/* ----------------------------------------------------------------------- address zero */

static iova_live *make_live_at_zero(struct test_memory *memory, bool allow_zero, bool unchecked)
{
	struct iova_span window = { 0, 4 * PAGE - 1 };
	return make_live(memory, (struct iova_live_config){ .windows = &window,
							    .window_count = 1,
							    .allow_zero = allow_zero,
							    .unchecked = unchecked });
}

static void address_zero_is_not_handed_out_unless_allowed(void)
{
	struct test_memory memory;
	uint64_t address;
	iova_live *live = make_live_at_zero(&memory, false, false);
	for (unsigned i = 3; i > 0; i--)
		CHECK_EQ(take(live, PAGE), i * PAGE);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &address), IOVA_NO_SPACE);
	CHECK_EQ(iova_live_alloc_at(live, 0, PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_free(live, 0, PAGE), IOVA_RESERVED);
	CHECK_EQ(place_at(live, 0), IOVA_PLACE_RESERVED);
	CHECK_EQ(read_stats(live).free_bytes, 0);
	end_live(&memory, live);
}

static void address_zero_is_handed_out_where_allowed_and_never_cached(void)
{
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		struct test_memory memory;
		uint64_t address[4], ticket;
		iova_live *live = make_live_at_zero(&memory, true, unchecked);
		for (unsigned round = 0; round < 3; round++) {
			CHECK_EQ(iova_live_alloc_many(live, 4, PAGE, ANYWHERE, address), IOVA_OK);
			CHECK_EQ(address[3], 0);
			CHECK_EQ(place_at(live, 0), IOVA_PLACE_LIVE);
			CHECK_EQ(iova_live_free_many(live, 4, address, PAGE, NULL), IOVA_OK);
			CHECK_EQ(read_stats(live).cached, 3);
			CHECK_EQ(read_stats(live).free_bytes, PAGE);
			CHECK_EQ(place_at(live, 0), IOVA_PLACE_FREE);
		}
		CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
		/* Of four pages, of three that are rounded up, at a fixed address, and deferred. */
		CHECK_EQ(take(live, 4 * PAGE), 0);
		give(live, 0, 4 * PAGE);
		CHECK_EQ(take(live, 3 * PAGE), 0);
		give(live, 0, 3 * PAGE);
		CHECK_EQ(iova_live_alloc_at(live, 0, 2 * PAGE), IOVA_OK);
		CHECK_EQ(iova_live_defer(live, 0, 2 * PAGE, &ticket), IOVA_OK);
		CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
		CHECK_EQ(read_stats(live).cached, 0);
		CHECK_EQ(read_stats(live).free_bytes, 4 * PAGE);
		end_live(&memory, live);
	}
}

int main(void)
{
	TEST(an_alignment_beyond_the_size_s_own_is_kept);
	TEST(an_alignment_of_which_no_place_is_left_is_no_space);
	TEST(a_cached_range_serves_no_request_of_a_coarser_alignment);
	TEST(a_range_ends_at_or_below_its_limit);
	TEST(a_cached_range_above_the_limit_is_left_where_it_is);
	TEST(users_of_32_and_of_64_bits_share_a_domain);
	TEST(a_failure_under_a_low_limit_takes_no_room_from_later_requests);
	TEST(address_zero_is_not_handed_out_unless_allowed);
	TEST(address_zero_is_handed_out_where_allowed_and_never_cached);
	return 0;
}
