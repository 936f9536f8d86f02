/* SPDX-License-Identifier: MIT */
/* Live domains: allocation, limits, alignment, budgets, exhaustion, closing. */
#include "live_support.h"

/* ----------------------------------------------------------------- sizes, granules */

static void check_sizes_with(uint64_t granule, bool unchecked)
{
	struct test_memory memory;
	struct iova_span window = { granule, 4096 * granule - 1 };
	iova_live *live = make_live(&memory, (struct iova_live_config){ .windows = &window,
									.window_count = 1,
									.granule = granule,
									.unchecked = unchecked });
	for (uint64_t pages = 1; pages <= 70; pages++) {
		uint64_t rounded = pages > 32 ? pages : UINT64_C(1) << order_of(pages);
		/* The same range for any size that needs so many granules. */
		uint64_t longest = take(live, pages * granule);
		CHECK_EQ(longest % (granule << order_of(pages)), 0);
		CHECK_EQ(read_stats(live).live_bytes, rounded * granule);
		give(live, longest, (pages - 1) * granule + 1);
		uint64_t shortest = take(live, (pages - 1) * granule + 1);
		CHECK_EQ(shortest, longest);
		give(live, shortest, pages * granule);
	}
	end_live(&memory, live);
}

static void sizes_are_rounded_up_and_ranges_lie_at_a_multiple_of_theirs(void)
{
	for (uint64_t granule = 512; granule <= IOVA_MAX_GRANULE; granule *= 2) {
		check_sizes_with(granule, false);
		check_sizes_with(granule, true);
	}
}

static void a_size_that_can_not_be_is_refused(void)
{
	static const uint64_t granules[] = { 1, 4096, IOVA_MAX_GRANULE };
	for (size_t i = 0; i < COUNT_OF_ARRAY(granules); i++) {
		struct test_memory memory;
		struct iova_span window = { MIB, 2 * MIB - 1 };
		iova_live *live = make_live(&memory,
					    (struct iova_live_config){ .windows = &window,
								       .window_count = 1,
								       .granule = granules[i] });
		uint64_t address = 77;
		/* Also where a cache has what the short path takes for it. */
		give(live, take(live, 1), 1);
		CHECK_EQ(iova_live_alloc(live, 0, ANYWHERE, 0, &address), IOVA_INVALID);
		CHECK_EQ(iova_live_alloc(live, 1, ANYWHERE, 3, &address), IOVA_INVALID);
		CHECK_EQ(iova_live_alloc(live, MIB + 1, ANYWHERE, 0, &address), IOVA_NO_SPACE);
		CHECK_EQ(iova_live_alloc(live, UINT64_MAX, ANYWHERE, 0, &address), IOVA_NO_SPACE);
		CHECK_EQ(iova_live_alloc(live, UINT64_C(1) << 63, ANYWHERE, 0, &address),
			 IOVA_NO_SPACE);
		CHECK_EQ(address, 77);
		CHECK_EQ(take(live, MIB), MIB);
		end_live(&memory, live);
	}
}

static void a_domain_may_have_from_one_to_ten_classes(void)
{
	for (uint32_t classes = 1; classes <= IOVA_MAX_CLASSES; classes++) {
		struct test_memory memory;
		iova_live *live = make_live(&memory,
					    (struct iova_live_config){ .classes = classes });
		uint64_t largest = PAGE << (classes - 1);
		give(live, take(live, largest), largest);
		CHECK_EQ(read_stats(live).cached_bytes, largest);
		give(live, take(live, largest + 1), largest + 1);
		CHECK_EQ(read_stats(live).cached_bytes, largest);
		CHECK_EQ(iova_live_counters(live, IOVA_BEYOND_CLASSES).tree_frees, 1);
		CHECK_EQ(iova_live_counters(live, classes - 1).puts, 1);
		end_live(&memory, live);
	}
}

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

/* --------------------------------------------------------------------------- budget */

static iova_live *make_live_with_budget(struct test_memory *memory, uint64_t budget)
{
	struct iova_span window = { MIB, 2 * MIB - 1 };
	return make_live(memory, (struct iova_live_config){
					 .windows = &window, .window_count = 1, .budget = budget });
}

static void check_budget_is_used_up(iova_live *live, uint64_t budget)
{
	uint64_t address;
	CHECK_EQ(read_stats(live).live, budget);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &address), IOVA_OVER_BUDGET);
	CHECK_EQ(iova_live_alloc_at(live, MIB, PAGE), IOVA_OVER_BUDGET);
}

static void a_budget_holds_exactly_and_comes_back_with_each_free(void)
{
	struct test_memory memory;
	iova_live *live = make_live_with_budget(&memory, 3);
	uint64_t address[3], ticket;
	for (unsigned i = 0; i < 3; i++)
		address[i] = take(live, PAGE);
	check_budget_is_used_up(live, 3);
	CHECK_EQ(read_stats(live).budget, 3);
	give(live, address[0], PAGE);
	address[0] = take(live, 64 * PAGE);
	check_budget_is_used_up(live, 3);
	give(live, address[0], 64 * PAGE);
	CHECK_EQ(iova_live_alloc_at(live, MIB, PAGE), IOVA_OK);
	check_budget_is_used_up(live, 3);
	/* A deferred range is mapped no more. */
	CHECK_EQ(iova_live_defer(live, MIB, PAGE, &ticket), IOVA_OK);
	address[0] = take(live, PAGE);
	check_budget_is_used_up(live, 3);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	check_budget_is_used_up(live, 3);
	end_live(&memory, live);
}

static void failures_neither_use_up_a_budget_nor_give_it_back(void)
{
	struct test_memory memory;
	iova_live *live = make_live_with_budget(&memory, 2);
	uint64_t address = take(live, PAGE), unused, many[3];
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(iova_live_alloc(live, 2 * MIB, ANYWHERE, 0, &unused), IOVA_NO_SPACE);
		CHECK_EQ(iova_live_alloc(live, 0, ANYWHERE, 0, &unused), IOVA_INVALID);
		CHECK_EQ(iova_live_alloc(live, PAGE, 0, 0, &unused), IOVA_NO_SPACE);
		CHECK_EQ(iova_live_alloc_at(live, address, PAGE), IOVA_RESERVED);
		CHECK_EQ(iova_live_alloc_at(live, 0, PAGE), IOVA_RESERVED);
		CHECK_EQ(iova_live_alloc_at(live, MIB + 1, PAGE), IOVA_INVALID);
		CHECK_EQ(iova_live_alloc_many(live, 3, PAGE, ANYWHERE, many), IOVA_OVER_BUDGET);
		CHECK_EQ(iova_live_free(live, MIB + 8 * PAGE, PAGE), IOVA_NOT_ALLOCATED);
		CHECK_EQ(iova_live_free(live, address, 2 * PAGE), IOVA_SIZE_MISMATCH);
		CHECK_EQ(iova_live_defer(live, address, 2 * PAGE, &unused), IOVA_SIZE_MISMATCH);
		CHECK_EQ(read_stats(live).live, 1);
	}
	(void)take(live, PAGE);
	check_budget_is_used_up(live, 2);
	end_live(&memory, live);
}

/* ----------------------------------------------------------------------- exhaustion */

/* All ranges of a window of one page each, freed on CPUs of which few ran this. */
static void fill_and_free_everywhere(iova_live *live, uint64_t *address, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		address[i] = take(live, PAGE);
	for (uint64_t i = 0; i < pages; i++)
		CHECK_EQ(live_free_in_full(live, (uint32_t)(i % live->cpus), address[i], PAGE),
			 IOVA_OK);
	CHECK_EQ(read_stats(live).cached, pages);
}

static void check_all_is_found_again(const char *design)
{
	struct test_memory memory;
	enum { PAGES = 4096 };
	static uint64_t address[PAGES];
	struct iova_span window = { 16 * MIB, 16 * MIB + PAGES * PAGE - 1 };
	iova_live *live =
		make_live(&memory, (struct iova_live_config){ .windows = &window,
							      .window_count = 1,
							      .design = iova_design_named(design),
							      .cpus = 5 });
	fill_and_free_everywhere(live, address, PAGES);
	CHECK(iova_live_counters(live, 0).depot > 0);
	/* Two pages at a time: no cache has them until all were emptied. */
	for (uint64_t i = 0; i < PAGES / 2; i++)
		address[i] = take(live, 2 * PAGE);
	CHECK_EQ(iova_live_alloc(live, 1, ANYWHERE, 0, &address[0]), IOVA_NO_SPACE);
	CHECK_EQ(read_stats(live).live_bytes, PAGES * PAGE);
	CHECK_EQ(read_stats(live).cached, 0);
	end_live(&memory, live);
}

static void no_space_comes_only_after_the_caches_of_all_cpus_were_emptied(void)
{
	const struct iova_design *design;
	for (uint32_t i = 0; (design = iova_design_at(i)) != NULL; i++)
		check_all_is_found_again(design->name);
}

static void an_aligned_request_empties_the_caches_too(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, MIB, MIB + 2 * PAGE - 1);
	uint64_t one = take(live, PAGE), two = take(live, PAGE), address;
	give(live, one, PAGE);
	give(live, two, PAGE);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, MIB, &address), IOVA_OK);
	CHECK_EQ(address, MIB);
	CHECK_EQ(read_stats(live).cached, 0);
	end_live(&memory, live);
}

/* Designs that give each CPU its magazines at once may be entered by a free first. */
static void a_range_freed_on_a_cpu_that_never_allocated_is_seen_and_flushed(void)
{
	const struct iova_design *design;
	for (uint32_t i = 0; (design = iova_design_at(i)) != NULL; i++) {
		struct test_memory memory;
		iova_live *live = make_live(&memory,
					    (struct iova_live_config){ .design = design });
		/* At a fixed address, and then as if it came from a cache: no cache was used. */
		uint64_t address;
		CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 2 * PAGE, &address), IOVA_OK);
		give(live, address, PAGE);
		CHECK_EQ(read_stats(live).cached, 1);
		CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
		CHECK_EQ(read_stats(live).cached, 0);
		CHECK_EQ(read_stats(live).totals.ranges, 0);
		end_live(&memory, live);
	}
}

/* -------------------------------------------------------------------------- closing */

static void every_call_on_a_closed_domain_says_so(void)
{
	struct test_memory memory;
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	uint64_t address = take(live, PAGE), kept = take(live, PAGE), ticket;
	struct iova_live_stats stats;
	struct iova_span span;
	size_t bad;
	CHECK_EQ(iova_live_defer(live, kept, PAGE, &ticket), IOVA_OK);
	give(live, take(live, PAGE), PAGE);
	iova_live_close(live);
	iova_live_close(live);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &kept), IOVA_CLOSED);
	CHECK_EQ(iova_live_alloc(live, 0, ANYWHERE, 0, &kept), IOVA_CLOSED);
	CHECK_EQ(iova_live_alloc_many(live, 1, PAGE, ANYWHERE, &kept), IOVA_CLOSED);
	CHECK_EQ(iova_live_alloc_many(live, 0, PAGE, ANYWHERE, &kept), IOVA_CLOSED);
	CHECK_EQ(iova_live_alloc_at(live, MIB, PAGE), IOVA_CLOSED);
	CHECK_EQ(iova_live_free(live, address, PAGE), IOVA_CLOSED);
	CHECK_EQ(iova_live_free_many(live, 1, &address, PAGE, &bad), IOVA_CLOSED);
	CHECK_EQ(bad, 0);
	CHECK_EQ(iova_live_free_many(live, 0, &address, PAGE, NULL), IOVA_CLOSED);
	CHECK_EQ(iova_live_reserve(live, MIB, MIB), IOVA_CLOSED);
	CHECK_EQ(iova_live_defer(live, address, PAGE, &ticket), IOVA_CLOSED);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_CLOSED);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_CLOSED);
	CHECK_EQ(iova_live_read(live, &stats), IOVA_CLOSED);
	CHECK_EQ(stats.live, 0);
	CHECK_EQ(iova_live_find(live, address, &span), IOVA_PLACE_FREE);
	CHECK_EQ(iova_live_ranges(live, &span, 1), 0);
	CHECK_EQ(iova_live_counters(live, 0).puts, 0);
	end_live(&memory, live);
	iova_live_destroy(NULL);
}

int main(void)
{
	TEST(sizes_are_rounded_up_and_ranges_lie_at_a_multiple_of_theirs);
	TEST(a_size_that_can_not_be_is_refused);
	TEST(a_domain_may_have_from_one_to_ten_classes);
	TEST(an_alignment_beyond_the_size_s_own_is_kept);
	TEST(an_alignment_of_which_no_place_is_left_is_no_space);
	TEST(a_cached_range_serves_no_request_of_a_coarser_alignment);
	TEST(a_range_ends_at_or_below_its_limit);
	TEST(a_cached_range_above_the_limit_is_left_where_it_is);
	TEST(users_of_32_and_of_64_bits_share_a_domain);
	TEST(a_failure_under_a_low_limit_takes_no_room_from_later_requests);
	TEST(address_zero_is_not_handed_out_unless_allowed);
	TEST(address_zero_is_handed_out_where_allowed_and_never_cached);
	TEST(a_budget_holds_exactly_and_comes_back_with_each_free);
	TEST(failures_neither_use_up_a_budget_nor_give_it_back);
	TEST(no_space_comes_only_after_the_caches_of_all_cpus_were_emptied);
	TEST(an_aligned_request_empties_the_caches_too);
	TEST(a_range_freed_on_a_cpu_that_never_allocated_is_seen_and_flushed);
	TEST(every_call_on_a_closed_domain_says_so);
	return 0;
}
