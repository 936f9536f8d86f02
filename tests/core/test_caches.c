/* SPDX-License-Identifier: MIT */
/* A domain's caches as a whole: the sizes they hold, flushing, hotplug, and the check. */
#include "one_domain.h"

/* Room for a few magazines' worth of pfns. */
static uint64_t pfn[40 * IOVA_MAGAZINE_CAPACITY];

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
