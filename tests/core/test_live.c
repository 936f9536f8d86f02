/* SPDX-License-Identifier: MIT */
/* Live domains: sizes, budgets, exhaustion, closing. test_live_limits.c has the constraints. */
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
static void check_first_use_by_a_free(const struct iova_design *design, bool in_batch)
{
	struct test_memory memory;
	iova_live *live = make_live(&memory, (struct iova_live_config){ .design = design });
	uint64_t address;
	/* Its alignment has it cut from the tree: no cache was entered. */
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 2 * PAGE, &address), IOVA_OK);
	if (in_batch)
		CHECK_EQ(iova_live_free_many(live, 1, &address, PAGE, NULL), IOVA_OK);
	else
		give(live, address, PAGE);
	CHECK_EQ(read_stats(live).cached, 1);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(read_stats(live).cached, 0);
	CHECK_EQ(read_stats(live).totals.ranges, 0);
	end_live(&memory, live);
}

static void a_range_freed_on_a_cpu_that_never_allocated_is_seen_and_flushed(void)
{
	const struct iova_design *design;
	for (uint32_t i = 0; (design = iova_design_at(i)) != NULL; i++) {
		check_first_use_by_a_free(design, false);
		check_first_use_by_a_free(design, true);
	}
}

static void the_heap_serves_a_domain_of_many_cpus_by_itself(void)
{
	/* Caches of so many are mapped, and freed as such. */
	for (uint32_t cpus = 1; cpus <= 4096; cpus *= 64) {
		struct iova_live_config config = { .cpus = cpus };
		iova_live *live;
		CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
		uint64_t address = take(live, PAGE);
		for (uint32_t cpu = 0; cpu < cpus; cpu += 100) {
			CHECK_EQ(live_free_in_full(live, cpu, address, PAGE), IOVA_OK);
			CHECK_EQ(read_stats(live).cached, 1);
			CHECK_EQ(live_alloc_in_full(live, cpu, PAGE, ANYWHERE, 0, &address),
				 IOVA_OK);
		}
		CHECK_EQ(read_stats(live).totals.ranges, 1);
		check_adds_up(live);
		iova_live_destroy(live);
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
	TEST(a_budget_holds_exactly_and_comes_back_with_each_free);
	TEST(failures_neither_use_up_a_budget_nor_give_it_back);
	TEST(no_space_comes_only_after_the_caches_of_all_cpus_were_emptied);
	TEST(an_aligned_request_empties_the_caches_too);
	TEST(a_range_freed_on_a_cpu_that_never_allocated_is_seen_and_flushed);
	TEST(the_heap_serves_a_domain_of_many_cpus_by_itself);
	TEST(every_call_on_a_closed_domain_says_so);
	return 0;
}
