/* SPDX-License-Identifier: MIT */
/* What the per-CPU magazines and the depot hand out, in which order, and what they count. */
#include "one_domain.h"

/* Room for a few magazines' worth of pfns. */
static uint64_t pfn[40 * IOVA_MAGAZINE_CAPACITY];

/* ---------------------------------------------------------------------------- taking */

static void the_range_freed_last_is_handed_out_first(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, 5, pfn);
	free_many(domain, 0, 1, 5, pfn, 0);
	for (unsigned i = 5; i-- > 0;)
		CHECK_EQ(take(domain, 0), pfn[i]);
	struct iova_counters counters = iova_read_counters(domain, 0);
	CHECK_EQ(counters.hits_loaded, 5);
	CHECK_EQ(counters.puts, 5);
	CHECK_EQ(counters.tree_allocations, 5);
	CHECK_EQ(counters.tree_frees, 0);
	CHECK_EQ(counters.cached, 0);
	end(domain);
}

static void another_CPU_does_not_see_what_one_cached(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, 1, pfn);
	free_many(domain, 0, 1, 1, pfn, 0);
	CHECK(take(domain, 1) != pfn[0]);
	CHECK_EQ(take(domain, 0), pfn[0]);
	end(domain);
}

static void the_two_magazines_are_swapped_when_loaded_is_empty(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, FULL + 1, pfn);
	free_many(domain, 0, 1, FULL + 1, pfn, 0);
	check_cpu(domain, 0, 1, FULL);
	CHECK_EQ(take(domain, 0), pfn[FULL]);
	check_cpu(domain, 0, 0, FULL);
	CHECK_EQ(take(domain, 0), pfn[FULL - 1]);
	check_cpu(domain, 0, FULL - 1, 0);
	CHECK_EQ(take(domain, 0), pfn[FULL - 2]);
	struct iova_cpu_view view = iova_read_cpu(domain, 0, 0);
	CHECK_EQ(view.hits_loaded, 2);
	CHECK_EQ(view.hits_previous, 1);
	CHECK_EQ(view.hits_depot, 0);
	CHECK_EQ(view.puts, FULL + 1);
	end(domain);
}

static void loaded_is_used_before_previous(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, FULL + 3, pfn);
	free_many(domain, 0, 1, FULL + 3, pfn, 0);
	check_cpu(domain, 0, 3, FULL);
	CHECK_EQ(take(domain, 0), pfn[FULL + 2]);
	check_cpu(domain, 0, 2, FULL);
	end(domain);
}

static void the_depot_is_last_in_first_out_and_its_magazines_are_stacks(void)
{
	static const char *const designs[] = { "linux-6.1", "unbounded", "linux-6.12",
					       "linux-7.3" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		uint64_t n = 6 * FULL + 1;
		alloc_many(domain, 0, 1, n, pfn);
		free_many(domain, 0, 1, n, pfn, 0);
		CHECK_EQ(iova_read_counters(domain, 0).depot, 5);
		/* CPU 0 keeps the first magazine as previous, the last entry in loaded. */
		for (uint64_t i = n - 1; i-- > FULL;)
			CHECK_EQ(take(domain, 1), pfn[i]);
		struct iova_counters counters = iova_read_counters(domain, 0);
		CHECK_EQ(counters.depot, 0);
		CHECK_EQ(counters.depot_peak, 5);
		CHECK_EQ(counters.pushed, 5);
		CHECK_EQ(counters.popped, 5);
		CHECK_EQ(counters.hits_depot, 5);
		CHECK_EQ(counters.hits_loaded, 5 * (FULL - 1));
		end(domain);
	}
}

static void taking_from_the_depot_frees_the_empty_loaded_magazine_and_leaves_previous(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12" });
	fill_depot(domain, 0, 1, 2, 0);
	uint64_t magazines = iova_read_totals(domain).magazines;
	CHECK(take(domain, 1) != 0);
	CHECK_EQ(iova_read_totals(domain).magazines, magazines - 1);
	CHECK_EQ(iova_read_counters(domain, 0).magazines_freed, 1);
	check_cpu(domain, 1, FULL - 1, 0);
	CHECK(iova_read_cpu(domain, 1, 0).has_previous);
	end(domain);
}

/* ------------------------------------------------------------- the limit in a magazine */

static void the_topmost_entry_below_the_limit_is_taken_and_the_top_fills_its_place(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	cache_pfn(domain, 0, 5);
	cache_pfn(domain, 0, 20);
	cache_pfn(domain, 0, 90);
	cache_pfn(domain, 0, 70);
	cache_pfn(domain, 0, 80);
	CHECK_EQ(iova_alloc(domain, 0, 1, 30, false), 20); /* leaves 5, 80, 90, 70 */
	CHECK_EQ(iova_alloc(domain, 0, 1, 5, false), 5);   /* leaves 70, 80, 90 */
	CHECK_EQ(iova_alloc(domain, 0, 1, 75, false), 70); /* leaves 90, 80 */
	CHECK_EQ(take(domain, 0), 80);
	CHECK_EQ(take(domain, 0), 90);
	end(domain);
}

static void an_entry_that_ends_at_the_limit_is_taken_and_one_that_ends_above_is_not(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	CHECK_EQ(iova_reserve(domain, 64, 67, NULL), IOVA_OK);
	iova_free(domain, 0, 64, 4, 0);
	CHECK_EQ(iova_alloc(domain, 0, 4, 66, false), 60);
	CHECK_EQ(iova_read_cpu(domain, 0, 2).loaded, 1);
	CHECK_EQ(iova_alloc(domain, 0, 4, 67, false), 64);
	CHECK_EQ(iova_read_cpu(domain, 0, 2).hits_loaded, 1);
	end(domain);
}

static void when_no_entry_suits_neither_previous_nor_the_depot_is_tried(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12" });
	fill_depot(domain, 0, 1, 1, 0); /* all far above 50 */
	cache_pfn(domain, 1, 20);
	for (uint64_t i = 0; i < FULL; i++)
		cache_pfn(domain, 1, 1000 + i);
	/* loaded: one entry above 50; previous: 20 and others; the depot: all above. */
	check_cpu(domain, 1, 1, FULL);
	CHECK_EQ(iova_alloc(domain, 1, 1, 50, false), 50);
	check_cpu(domain, 1, 1, FULL);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 1);
	end(domain);
}

static void a_swap_stays_when_no_entry_suits(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12" });
	for (uint64_t i = 0; i <= FULL; i++)
		cache_pfn(domain, 0, 1000 + i);
	CHECK_EQ(take(domain, 0), 1000 + FULL);
	check_cpu(domain, 0, 0, FULL);
	CHECK_EQ(iova_alloc(domain, 0, 1, 50, false), 50);
	check_cpu(domain, 0, FULL, 0);
	CHECK_EQ(iova_read_cpu(domain, 0, 0).hits_previous, 0);
	end(domain);
}

static void an_exchange_stays_when_no_entry_suits(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12" });
	fill_depot(domain, 0, 1, 1, 0);
	CHECK_EQ(iova_alloc(domain, 1, 1, 50, false), 50);
	check_cpu(domain, 1, FULL, 0);
	struct iova_counters counters = iova_read_counters(domain, 0);
	CHECK_EQ(counters.popped, 1);
	CHECK_EQ(counters.hits_depot, 0);
	end(domain);
}

static void a_limit_below_the_size_wraps_and_takes_any_entry(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	uint64_t first = iova_alloc(domain, 0, 8, LIMIT32, false);
	iova_free(domain, 0, first, 8, 0);
	CHECK_EQ(iova_alloc(domain, 0, 8, 3, false), first);
	iova_free(domain, 0, first, 8, 0);
	CHECK_EQ(iova_alloc(domain, 0, 8, UINT64_MAX, false), first);
	end(domain);
}

static void a_cached_frame_0_is_taken_out_and_lost(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1", .start_at_zero = true });
	struct iova_range range;
	cache_pfn(domain, 0, 0);
	CHECK_EQ(iova_alloc(domain, 0, 1, 9, false), 9);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 0);
	CHECK_EQ(iova_find(domain, 0, &range), IOVA_OK);
	end(domain);
}

/* --------------------------------------------------------------------------- putting */

static void the_fixed_depot_takes_32_magazines_and_empties_the_next_into_the_tree(void)
{
	for (uint64_t magazines = 32; magazines <= 34; magazines++) {
		iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
		fill_depot(domain, 0, 1, magazines, 0);
		struct iova_counters counters = iova_read_counters(domain, 0);
		CHECK_EQ(counters.depot, 32);
		CHECK_EQ(counters.depot_peak, 32);
		CHECK_EQ(counters.pushed, 32);
		CHECK_EQ(counters.puts, (magazines + 1) * FULL + 1);
		CHECK_EQ(counters.tree_frees, (magazines - 32) * FULL);
		CHECK_EQ(counters.magazines_freed, magazines - 32);
		CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
		end(domain);
	}
}

static void a_surplus_magazine_is_loaded_the_older_one_stays_previous(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .design = "linux-6.1", .params = { { "depot", 0 } } });
	struct iova_range range;
	alloc_many(domain, 0, 1, 2 * FULL + 1, pfn);
	free_many(domain, 0, 1, 2 * FULL + 1, pfn, 0);
	check_cpu(domain, 0, 1, FULL);
	/* The second magazine went, the first is previous. */
	CHECK_EQ(iova_find(domain, pfn[0], &range), IOVA_OK);
	CHECK_EQ(iova_find(domain, pfn[FULL], &range), IOVA_NOT_FOUND);
	CHECK_EQ(iova_find(domain, pfn[2 * FULL - 1], &range), IOVA_NOT_FOUND);
	CHECK_EQ(iova_find(domain, pfn[2 * FULL], &range), IOVA_OK);
	struct iova_counters counters = iova_read_counters(domain, 0);
	CHECK_EQ(counters.pushed, 0);
	CHECK_EQ(counters.tree_frees, FULL);
	CHECK_EQ(counters.magazines_freed, 1);
	end(domain);
}

static void the_depot_parameter_bounds_the_fixed_depot(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .design = "linux-6.1", .params = { { "depot", 2 } } });
	fill_depot(domain, 0, 4, 5, 0);
	struct iova_counters counters = iova_read_counters(domain, 2);
	CHECK_EQ(counters.depot, 2);
	CHECK_EQ(counters.pushed, 2);
	CHECK_EQ(counters.tree_frees, 3 * FULL);
	CHECK_EQ(counters.puts, 6 * FULL + 1);
	end(domain);
}

static void the_list_takes_any_number_of_magazines(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "unbounded", .possible = 1 });
	fill_depot(domain, 0, 1, 100, 0);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 100);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, 0);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

static void a_put_swaps_to_previous_while_it_has_room(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, 2 * FULL, pfn);
	free_many(domain, 0, 1, FULL, pfn, 0);
	check_cpu(domain, 0, FULL, 0);
	free_many(domain, 0, 1, 1, pfn + FULL, 0);
	check_cpu(domain, 0, 1, FULL);
	free_many(domain, 0, 1, FULL - 1, pfn + FULL + 1, 0);
	check_cpu(domain, 0, FULL, FULL);
	CHECK_EQ(iova_read_counters(domain, 0).pushed, 0);
	end(domain);
}

static void without_memory_for_a_magazine_a_free_goes_to_the_tree(void)
{
	static const char *const designs[] = { "linux-6.1", "linux-6.12" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		struct iova_range range;
		alloc_many(domain, 0, 1, 2 * FULL + 2, pfn);
		free_many(domain, 0, 1, 2 * FULL, pfn, 0);
		memory.refuse_next[IOVA_MEMORY_MAGAZINE] = 1;
		iova_free(domain, 0, pfn[2 * FULL], 1, 0);
		CHECK_EQ(iova_find(domain, pfn[2 * FULL], &range), IOVA_NOT_FOUND);
		check_cpu(domain, 0, FULL, FULL);
		CHECK_EQ(iova_read_counters(domain, 0).depot, 0);
		CHECK_EQ(iova_read_counters(domain, 0).puts, 2 * FULL);
		CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
		iova_free(domain, 0, pfn[2 * FULL + 1], 1, 0);
		check_cpu(domain, 0, 1, FULL);
		CHECK_EQ(iova_read_counters(domain, 0).depot, 1);
		end(domain);
	}
}

/* --------------------------------------------------------------- magazines at creation */

static void caches_have_two_magazines_per_possible_CPU_and_class(void)
{
	static const char *const designs[] = { "linux-6.1", "unbounded", "linux-6.12" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain = domain_of(
			(struct shape){ .design = designs[d], .possible = 7, .online = 2 });
		CHECK_EQ(iova_read_totals(domain).magazines, 7 * 12);
		CHECK_EQ(memory.blocks[IOVA_MEMORY_MAGAZINE], 7 * 12);
		end(domain);
	}
}

static void magazines_at_first_use_are_made_by_the_first_put_and_the_one_that_finds_it_full(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-7.3" });
	CHECK_EQ(iova_read_totals(domain).magazines, 0);
	alloc_many(domain, 0, 1, 2 * FULL + 1, pfn);
	CHECK_EQ(iova_read_totals(domain).magazines, 0);
	free_many(domain, 0, 1, 1, pfn, 0);
	CHECK_EQ(iova_read_totals(domain).magazines, 1);
	CHECK(iova_read_cpu(domain, 0, 0).has_loaded);
	CHECK(!iova_read_cpu(domain, 0, 0).has_previous);
	free_many(domain, 0, 1, FULL - 1, pfn + 1, 0);
	CHECK_EQ(iova_read_totals(domain).magazines, 1);
	free_many(domain, 0, 1, 1, pfn + FULL, 0);
	CHECK_EQ(iova_read_totals(domain).magazines, 2);
	check_cpu(domain, 0, 1, FULL);
	CHECK_EQ(iova_read_counters(domain, 0).pushed, 0);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	free_many(domain, 0, 1, FULL, pfn + FULL + 1, 0);
	CHECK_EQ(iova_read_totals(domain).magazines, 3);
	CHECK_EQ(iova_read_counters(domain, 0).pushed, 1);
	end(domain);
}

static void taking_from_the_depot_into_a_missing_magazine_frees_nothing(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-7.3" });
	fill_depot(domain, 0, 1, 1, 0);
	CHECK(take(domain, 1) != 0);
	CHECK_EQ(iova_read_totals(domain).magazines, 3);
	CHECK_EQ(iova_read_counters(domain, 0).magazines_freed, 0);
	CHECK(!iova_read_cpu(domain, 1, 0).has_previous);
	check_cpu(domain, 1, FULL - 1, 0);
	end(domain);
}

static void without_memory_for_a_first_magazine_a_free_goes_to_the_tree(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-7.3" });
	struct iova_range range;
	alloc_many(domain, 0, 1, 2, pfn);
	memory.refuse_next[IOVA_MEMORY_MAGAZINE] = 1;
	iova_free(domain, 0, pfn[0], 1, 0);
	CHECK_EQ(iova_find(domain, pfn[0], &range), IOVA_NOT_FOUND);
	CHECK(!iova_read_cpu(domain, 0, 0).has_loaded);
	iova_free(domain, 0, pfn[1], 1, 0);
	check_cpu(domain, 0, 1, 0);
	end(domain);
}

int main(void)
{
	TEST(the_range_freed_last_is_handed_out_first);
	TEST(another_CPU_does_not_see_what_one_cached);
	TEST(the_two_magazines_are_swapped_when_loaded_is_empty);
	TEST(loaded_is_used_before_previous);
	TEST(the_depot_is_last_in_first_out_and_its_magazines_are_stacks);
	TEST(taking_from_the_depot_frees_the_empty_loaded_magazine_and_leaves_previous);
	TEST(the_topmost_entry_below_the_limit_is_taken_and_the_top_fills_its_place);
	TEST(an_entry_that_ends_at_the_limit_is_taken_and_one_that_ends_above_is_not);
	TEST(when_no_entry_suits_neither_previous_nor_the_depot_is_tried);
	TEST(a_swap_stays_when_no_entry_suits);
	TEST(an_exchange_stays_when_no_entry_suits);
	TEST(a_limit_below_the_size_wraps_and_takes_any_entry);
	TEST(a_cached_frame_0_is_taken_out_and_lost);
	TEST(the_fixed_depot_takes_32_magazines_and_empties_the_next_into_the_tree);
	TEST(a_surplus_magazine_is_loaded_the_older_one_stays_previous);
	TEST(the_depot_parameter_bounds_the_fixed_depot);
	TEST(the_list_takes_any_number_of_magazines);
	TEST(a_put_swaps_to_previous_while_it_has_room);
	TEST(without_memory_for_a_magazine_a_free_goes_to_the_tree);
	TEST(caches_have_two_magazines_per_possible_CPU_and_class);
	TEST(magazines_at_first_use_are_made_by_the_first_put_and_the_one_that_finds_it_full);
	TEST(taking_from_the_depot_into_a_missing_magazine_frees_nothing);
	TEST(without_memory_for_a_first_magazine_a_free_goes_to_the_tree);
	return 0;
}
