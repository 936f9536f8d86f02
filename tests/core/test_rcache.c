/* SPDX-License-Identifier: MIT */
/* What the per-CPU magazines and the depot hand out, in which order, and what they count. */
#include "depot.h"
#include "support.h"

static struct test_memory memory;

static iova_domain *domain_of(struct shape shape)
{
	test_memory_init(&memory);
	return make_domain(&memory, shape);
}

static void end(iova_domain *domain)
{
	end_domain(&memory, domain);
}

static void check_cpu(const iova_domain *domain, uint32_t cpu, uint64_t loaded, uint64_t previous)
{
	struct iova_cpu_view view = iova_read_cpu(domain, cpu, 0);
	CHECK_EQ(view.loaded, loaded);
	CHECK_EQ(view.previous, previous);
}

static uint64_t take(iova_domain *domain, uint32_t cpu)
{
	return iova_alloc(domain, cpu, 1, LIMIT64, false);
}

/* Room for a few magazines' worth of pfns. */
static uint64_t pfn[40 * IOVA_MAGAZINE_CAPACITY];

/* ------------------------------------------------------------------------- magazines */

/* Where magazines of any capacity lie: a block for each, and more than the largest needs. */
static _Alignas(64) uint64_t blocks[4][64];

static struct magazine *magazine_in(unsigned block, uint32_t capacity)
{
	struct magazine *magazine = (struct magazine *)(void *)blocks[block];
	CHECK(magazine_bytes(capacity) <= sizeof(blocks[block]));
	magazine->count = 0;
	magazine->capacity = capacity;
	return magazine;
}

static void a_magazine_is_a_power_of_two_with_its_link_in_the_place_of_its_count(void)
{
	struct magazine *magazine = magazine_in(0, 7);
	CHECK((void *)&magazine->link == (void *)&magazine->count);
	CHECK_EQ(sizeof(magazine->link), sizeof(magazine->count) + sizeof(magazine->capacity));
	CHECK_EQ(magazine_bytes(7), 64);
	CHECK_EQ(magazine_bytes(127), 1024);
	for (uint64_t capacity = 0; capacity < 2048; capacity++)
		CHECK(magazine_can_hold(capacity) ==
		      (capacity == 3 || capacity == 7 || capacity == 15 || capacity == 31 ||
		       capacity == 63 || capacity == 127 || capacity == 255 ||
		       capacity == 511 || capacity == 1023));
	CHECK(magazine_can_hold(FULL));
}

static void a_magazine_has_room_until_it_is_full(void)
{
	struct magazine *magazine = magazine_in(0, 15);
	CHECK(!magazine_has_entries(magazine));
	for (uint64_t i = 0; i < 15; i++) {
		CHECK(magazine_has_room(magazine));
		magazine_push(magazine, i);
	}
	CHECK(!magazine_has_room(magazine));
	CHECK(magazine_has_entries(magazine));
	CHECK(!magazine_has_room(NULL));
	CHECK(!magazine_has_entries(NULL));
}

static void a_popped_magazine_has_its_count_and_capacity_again(void)
{
	static const uint32_t capacities[] = { 31, 7, 63, 15 };
	struct depot depot = { 0 };
	for (unsigned i = 0; i < 4; i++) {
		struct magazine *magazine = magazine_in(i, capacities[i]);
		magazine->count = capacities[i];
		depot_push(&depot, magazine);
	}
	CHECK_EQ(depot.length, 4);
	CHECK_EQ(depot.cached, 31 + 7 + 63 + 15);
	for (unsigned i = 4; i-- > 0;) {
		struct magazine *magazine = depot_pop(&depot);
		CHECK(magazine == (void *)blocks[i]);
		CHECK_EQ(magazine->count, capacities[i]);
		CHECK_EQ(magazine->capacity, capacities[i]);
	}
	CHECK(depot_pop(&depot) == NULL);
	CHECK_EQ(depot.length, 0);
	CHECK_EQ(depot.cached, 0);
	CHECK_EQ(depot.peak, 4);
}

static void empty_magazines_lie_on_a_list_of_their_own(void)
{
	struct depot depot = { 0 };
	depot_push_empty(&depot, magazine_in(0, 7));
	depot_push_empty(&depot, magazine_in(1, 31));
	CHECK_EQ(depot.length, 0);
	CHECK(depot_pop(&depot) == NULL);
	CHECK_EQ(depot.empties, 2);
	struct magazine *magazine = depot_pop_empty(&depot);
	CHECK(magazine == (void *)blocks[1]);
	CHECK_EQ(magazine->count, 0);
	CHECK_EQ(magazine->capacity, 31);
	CHECK(depot_pop_empty(&depot) == (void *)blocks[0]);
	CHECK(depot_pop_empty(&depot) == NULL);
	CHECK_EQ(depot.empties, 0);
}

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

/* --------------------------------------------------------------------- size classes */

static void sizes_are_rounded_up_where_a_cache_holds_them(void)
{
	struct iova_range range;
	for (uint32_t classes = 1; classes <= IOVA_MAX_CLASSES; classes++) {
		iova_domain *domain =
			domain_of((struct shape){ .design = "linux-6.1", .classes = classes });
		uint64_t largest = UINT64_C(1) << (classes - 1);
		for (uint64_t size = 1; size <= largest + 2; size++) {
			uint64_t first = iova_alloc(domain, 0, size, LIMIT32, false);
			uint64_t rounded = UINT64_C(1) << order_of(size);
			CHECK_EQ(iova_find(domain, first, &range), IOVA_OK);
			CHECK_EQ(first % rounded, 0);
			CHECK_EQ(range.hi - range.lo + 1, size <= largest ? rounded : size);
			iova_free(domain, 0, first, size, 0);
			CHECK_EQ(iova_find(domain, first, &range) == IOVA_OK, size <= largest);
			if (size <= largest)
				CHECK_EQ(iova_alloc(domain, 0, rounded, LIMIT32, false), first);
		}
		end(domain);
	}
}

static void ranges_beyond_the_classes_are_counted_apart(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1", .count_steps = true });
	uint64_t first = iova_alloc(domain, 0, 33, LIMIT32, false);
	iova_free(domain, 0, first, 33, 0);
	CHECK_EQ(iova_alloc(domain, 0, 33, 10, false), 0);
	struct iova_counters beyond = iova_read_counters(domain, IOVA_BEYOND_CLASSES);
	CHECK_EQ(beyond.tree_allocations, 1);
	CHECK_EQ(beyond.tree_frees, 1);
	CHECK_EQ(beyond.failures, 1);
	CHECK_EQ(beyond.tree_steps, 2);
	CHECK_EQ(beyond.puts, 0);
	CHECK_EQ(iova_read_counters(domain, 6).tree_allocations, 0);
	end(domain);
}

static void a_free_is_believed_and_the_class_follows_the_size_it_states(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	struct iova_range range;
	CHECK_EQ(iova_alloc_raw(domain, 3, LIMIT32, true, &range), IOVA_OK);
	iova_free(domain, 0, range.lo, 3, 0);
	CHECK_EQ(iova_alloc(domain, 0, 4, LIMIT32, false), range.lo);
	iova_free(domain, 0, 12345, 1, 0); /* nobody has it */
	CHECK_EQ(take(domain, 0), 12345);
	iova_free(domain, 0, 12345, 64, 0); /* too large for a cache, and unknown: ignored */
	CHECK_EQ(iova_read_totals(domain).warnings, 0);
	end(domain);
}

static void an_unknown_pfn_is_noticed_when_its_magazine_is_emptied(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, 1, pfn);
	iova_free(domain, 0, 12345, 1, 0);
	iova_free(domain, 0, pfn[0], 1, 0);
	CHECK_TEXT(iova_check(domain), "a cached range is not in the tree");
	iova_flush_caches(domain);
	CHECK_EQ(iova_read_totals(domain).warnings, 1);
	CHECK_EQ(iova_read_totals(domain).ranges, 0);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, 1);
	end(domain);
}

/* -------------------------------------------------------------- flushing and hotplug */

static void a_failing_allocation_flushes_every_cache_only_if_asked_to(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12", .possible = 3 });
	alloc_many(domain, 0, 1, 3 * FULL, pfn);
	uint64_t lowest = pfn[3 * FULL - 1];
	CHECK_EQ(iova_reserve(domain, 1, lowest - 1, NULL), IOVA_OK);
	free_many(domain, 0, 1, FULL, pfn, 0);
	free_many(domain, 1, 1, 2 * FULL, pfn + FULL, 0);
	CHECK_EQ(iova_alloc(domain, 2, 64, LIMIT64, false), 0);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 3 * FULL);
	CHECK(iova_alloc(domain, 2, 64, LIMIT64, true) != 0);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 0);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, 3 * FULL);
	CHECK_EQ(iova_read_counters(domain, IOVA_BEYOND_CLASSES).failures, 1);
	end(domain);
}

static void a_refused_record_also_causes_the_flush(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12" });
	alloc_many(domain, 0, 1, 10, pfn);
	free_many(domain, 0, 1, 10, pfn, 0);
	memory.refuse_records = 1;
	CHECK(iova_alloc(domain, 0, 64, LIMIT64, true) != 0);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 0);
	end(domain);
}

static void flushing_empties_online_CPUs_and_all_depots_and_keeps_the_magazines(void)
{
	static const char *const designs[] = { "linux-6.1", "linux-6.12", "linux-7.3" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain =
			domain_of((struct shape){ .design = designs[d], .possible = 3, .online = 2 });
		for (unsigned k = 0; k < IOVA_DEFAULT_CLASSES; k++)
			fill_depot(domain, 0, UINT64_C(1) << k, 2, 0);
		alloc_many(domain, 0, 1, 1, pfn);
		alloc_many(domain, 1, 1, 2, pfn + 1);
		free_many(domain, 1, 1, 1, pfn, 0);
		free_many(domain, 2, 1, 2, pfn + 1, 0);
		iova_flush_caches(domain);
		check_cpu(domain, 0, 0, 0);
		check_cpu(domain, 1, 0, 0);
		check_cpu(domain, 2, 2, 0); /* not online */
		CHECK(iova_read_cpu(domain, 0, 0).has_loaded);
		CHECK(iova_read_cpu(domain, 0, 0).has_previous);
		for (unsigned k = 0; k < IOVA_DEFAULT_CLASSES; k++) {
			CHECK_EQ(iova_read_counters(domain, k).depot, 0);
			CHECK_EQ(iova_read_counters(domain, k).cached, k ? 0 : 2);
		}
		CHECK_EQ(iova_read_totals(domain).ranges, 2);
		end(domain);
	}
}

static void a_CPU_that_goes_offline_gives_its_ranges_back_and_the_depot_keeps_its_own(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12", .possible = 3 });
	fill_depot(domain, 1, 1, 2, 0);
	uint64_t magazines = iova_read_totals(domain).magazines;
	CHECK_EQ(iova_cpu_offline(domain, 1), 2);
	check_cpu(domain, 1, 0, 0);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 2);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, FULL + 1);
	CHECK_EQ(iova_read_totals(domain).magazines, magazines);
	CHECK_EQ(iova_cpu_offline(domain, 1), 2); /* it is off already */
	CHECK_EQ(iova_cpu_offline(domain, 3), 2); /* there is no such CPU */
	CHECK_EQ(iova_cpu_online(domain, 1), 3);
	CHECK_EQ(iova_cpu_online(domain, 1), 3);
	CHECK_EQ(iova_cpu_online(domain, 3), 3);
	end(domain);
}

/* ------------------------------------------------------------------------- the check */

static void the_check_names_a_range_that_is_cached_twice(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	alloc_many(domain, 0, 1, 1, pfn);
	iova_free(domain, 0, pfn[0], 1, 0);
	iova_free(domain, 1, pfn[0], 1, 0);
	CHECK_TEXT(iova_check(domain), "a range is cached twice");
	CHECK_EQ(take(domain, 1), pfn[0]);
	end(domain);
}

static void the_check_names_a_cached_pfn_inside_a_range(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.1" });
	uint64_t first = iova_alloc(domain, 0, 8, LIMIT32, false);
	iova_free(domain, 0, first + 1, 1, 0);
	CHECK_TEXT(iova_check(domain), "a cached pfn is not the first of its range");
	CHECK_EQ(take(domain, 0), first + 1);
	end(domain);
}

int main(void)
{
	TEST(a_magazine_is_a_power_of_two_with_its_link_in_the_place_of_its_count);
	TEST(a_magazine_has_room_until_it_is_full);
	TEST(a_popped_magazine_has_its_count_and_capacity_again);
	TEST(empty_magazines_lie_on_a_list_of_their_own);
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
	TEST(sizes_are_rounded_up_where_a_cache_holds_them);
	TEST(ranges_beyond_the_classes_are_counted_apart);
	TEST(a_free_is_believed_and_the_class_follows_the_size_it_states);
	TEST(an_unknown_pfn_is_noticed_when_its_magazine_is_emptied);
	TEST(a_failing_allocation_flushes_every_cache_only_if_asked_to);
	TEST(a_refused_record_also_causes_the_flush);
	TEST(flushing_empties_online_CPUs_and_all_depots_and_keeps_the_magazines);
	TEST(a_CPU_that_goes_offline_gives_its_ranges_back_and_the_depot_keeps_its_own);
	TEST(the_check_names_a_range_that_is_cached_twice);
	TEST(the_check_names_a_cached_pfn_inside_a_range);
	return 0;
}
