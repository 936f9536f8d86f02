/* SPDX-License-Identifier: MIT */
/*
 * Where locks are taken and let go. A path's locks are written as letters in order: C and
 * c for a CPU's lock taken and let go, D and d for a depot's, T and t for the tree's.
 */
#include "support.h"

struct held {
	enum iova_lock lock;
	uint32_t cpu, size_class;
};

static struct {
	char letters[4096];
	size_t count;
	struct held held[3];
	unsigned depth;
	/* Which lock of a kind was taken last. */
	struct held last[3];
} record;

static void note(char letter)
{
	if (record.count + 1 < sizeof(record.letters))
		record.letters[record.count++] = letter;
	record.letters[record.count] = '\0';
}

static void acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	CHECK(context == &record);
	CHECK(record.depth < 3);
	/* In the order CPU, depot, tree, and never two of a kind. */
	if (record.depth > 0)
		CHECK(record.held[record.depth - 1].lock < lock);
	record.held[record.depth++] = record.last[lock] = (struct held){ lock, cpu, size_class };
	note("CDT"[lock]);
}

static void release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	CHECK(context == &record);
	CHECK(record.depth > 0);
	const struct held *innermost = &record.held[--record.depth];
	CHECK_EQ(innermost->lock, lock);
	CHECK_EQ(innermost->cpu, cpu);
	CHECK_EQ(innermost->size_class, size_class);
	note("cdt"[lock]);
}

static const struct iova_lock_hooks hooks = { acquire, release, &record };

static struct test_memory memory;
static uint64_t pfn[8 * IOVA_MAGAZINE_CAPACITY];

static iova_domain *domain_of(struct shape shape)
{
	test_memory_init(&memory);
	memset(&record, 0, sizeof(record));
	shape.locks = &hooks;
	return make_domain(&memory, shape);
}

static void begin(void)
{
	record.count = 0;
	record.letters[0] = '\0';
}

/* The letters since begin(); all locks are let go. */
#define CHECK_LOCKS(expected)                           \
	do {                                            \
		CHECK_EQ(record.depth, 0);              \
		CHECK_TEXT(record.letters, (expected)); \
	} while (0)

static void end(iova_domain *domain)
{
	end_domain(&memory, domain);
	CHECK_EQ(record.depth, 0);
}

/* --------------------------------------------------------------------- the fast paths */

static void a_cached_call_takes_its_CPU_s_lock_and_no_other(void)
{
	iova_domain *domain = domain_of((struct shape){ 0 });
	alloc_many(domain, 2, 8, 1, pfn);
	begin();
	iova_free(domain, 2, pfn[0], 8, 0);
	CHECK_LOCKS("Cc");
	CHECK_EQ(record.last[IOVA_LOCK_CPU].cpu, 2);
	CHECK_EQ(record.last[IOVA_LOCK_CPU].size_class, 3);
	begin();
	iova_alloc(domain, 2, 8, LIMIT64, false);
	CHECK_LOCKS("Cc");
	end(domain);
}

static void an_allocation_asks_the_depot_under_the_CPU_s_lock_and_the_tree_under_none(void)
{
	iova_domain *domain = domain_of((struct shape){ 0 });
	begin();
	iova_alloc(domain, 1, 16, LIMIT64, false);
	CHECK_LOCKS("CDdcTt");
	CHECK_EQ(record.last[IOVA_LOCK_DEPOT].size_class, 4);
	CHECK_EQ(record.last[IOVA_LOCK_TREE].cpu, 0);
	CHECK_EQ(record.last[IOVA_LOCK_TREE].size_class, 0);
	begin();
	iova_alloc(domain, 1, 64, LIMIT64, false);
	CHECK_LOCKS("Tt");
	end(domain);
}

static void an_exchange_with_the_depot_happens_under_both_locks(void)
{
	iova_domain *domain = domain_of((struct shape){ 0 });
	alloc_many(domain, 0, 1, 2 * FULL + 1, pfn);
	free_many(domain, 0, 1, 2 * FULL, pfn, 0);
	begin();
	iova_free(domain, 0, pfn[2 * FULL], 1, 0);
	CHECK_LOCKS("CDdc");
	begin();
	iova_alloc(domain, 3, 1, LIMIT64, false);
	CHECK_LOCKS("CDdc");
	end(domain);
}

static void a_swap_asks_no_depot(void)
{
	iova_domain *domain = domain_of((struct shape){ 0 });
	alloc_many(domain, 0, 1, FULL + 1, pfn);
	free_many(domain, 0, 1, FULL, pfn, 0);
	begin();
	iova_free(domain, 0, pfn[FULL], 1, 0);
	CHECK_LOCKS("Cc");
	iova_alloc(domain, 0, 1, LIMIT64, false);
	begin();
	iova_alloc(domain, 0, 1, LIMIT64, false);
	CHECK_LOCKS("Cc");
	end(domain);
}

static void a_surplus_magazine_is_emptied_after_the_CPU_s_lock_was_let_go(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .design = "linux-6.1", .params = { { "depot", 0 } } });
	alloc_many(domain, 0, 1, 2 * FULL + 1, pfn);
	free_many(domain, 0, 1, 2 * FULL, pfn, 0);
	begin();
	iova_free(domain, 0, pfn[2 * FULL], 1, 0);
	CHECK_LOCKS("CDdcTt");
	end(domain);
}

static void a_free_without_memory_goes_to_the_tree_after_the_CPU_s_lock_was_let_go(void)
{
	iova_domain *domain = domain_of((struct shape){ 0 });
	alloc_many(domain, 0, 1, 2 * FULL + 1, pfn);
	free_many(domain, 0, 1, 2 * FULL, pfn, 0);
	memory.refuse_next[IOVA_MEMORY_MAGAZINE] = 1;
	begin();
	iova_free(domain, 0, pfn[2 * FULL], 1, 0);
	CHECK_LOCKS("CcTt");
	end(domain);
}

static void a_first_magazine_asks_no_depot(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-7.3" });
	alloc_many(domain, 0, 1, FULL + 1, pfn);
	begin();
	iova_free(domain, 0, pfn[0], 1, 0);
	CHECK_LOCKS("Cc");
	free_many(domain, 0, 1, FULL - 1, pfn + 1, 0);
	begin();
	iova_free(domain, 0, pfn[FULL], 1, 0);
	CHECK_LOCKS("Cc");
	end(domain);
}

/* ------------------------------------------------------------------------- the others */

static void calls_on_the_tree_take_its_lock_once(void)
{
	iova_domain *domain = domain_of((struct shape){ 0 });
	struct iova_range range;
	begin();
	CHECK_EQ(iova_reserve(domain, 5, 6, NULL), IOVA_OK);
	CHECK_LOCKS("Tt");
	begin();
	CHECK_EQ(iova_alloc_raw(domain, 3, LIMIT32, true, &range), IOVA_OK);
	CHECK_LOCKS("Tt");
	begin();
	CHECK_EQ(iova_alloc_raw(domain, D32, LIMIT32, true, &range), IOVA_NO_SPACE);
	CHECK_LOCKS("Tt");
	begin();
	CHECK_EQ(iova_find(domain, range.lo, &range), IOVA_OK);
	CHECK_LOCKS("Tt");
	begin();
	CHECK_EQ(iova_free_raw(domain, range.lo), IOVA_OK);
	CHECK_LOCKS("Tt");
	begin();
	CHECK_EQ(iova_free_raw(domain, range.lo), IOVA_NOT_FOUND);
	CHECK_LOCKS("Tt");
	end(domain);
}

static void reclaim_empties_its_magazine_after_it_let_the_depot_go(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	fill_depot(domain, 0, 4, 2, 0);
	begin();
	CHECK_EQ(iova_run_due(domain, 100 * MS), 1);
	CHECK_LOCKS("DdDdTt"); /* look, take, empty */
	CHECK_EQ(record.last[IOVA_LOCK_DEPOT].size_class, 2);
	begin();
	CHECK_EQ(iova_run_due(domain, 200 * MS), 1);
	CHECK_LOCKS("Dd"); /* nothing to do */
	end(domain);
}

static void a_flush_empties_CPUs_under_their_locks_and_depots_under_theirs(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 2, .classes = 1 });
	fill_depot(domain, 0, 1, 2, 0);
	begin();
	iova_flush_caches(domain);
	/* Two CPUs with two magazines each, then the depot's two. */
	CHECK_LOCKS("CTtTtcCTtTtcDTtTtd");
	end(domain);
}

static void a_CPU_that_goes_offline_is_emptied_under_its_locks(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 3, .classes = 2 });
	fill_depot(domain, 1, 1, 1, 0);
	fill_depot(domain, 1, 2, 1, 0);
	begin();
	CHECK_EQ(iova_cpu_offline(domain, 1), 2);
	CHECK_LOCKS("CTtTtcCTtTtc");
	CHECK_EQ(record.last[IOVA_LOCK_CPU].cpu, 1);
	CHECK_EQ(record.last[IOVA_LOCK_CPU].size_class, 1);
	end(domain);
}

static void a_flush_and_retry_searches_flushes_and_searches_again(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .possible = 1, .classes = 1, .design = "unbounded" });
	fill_depot(domain, 0, 1, 1, 0);
	memory.refuse_records = 1;
	begin();
	CHECK(iova_alloc(domain, 0, 2, LIMIT64, true) != 0);
	CHECK_LOCKS("TtCTtTtcDTtdTt");
	end(domain);
}

/* ---------------------------------------------------------------------------- trimming */

static void setup_trim(const struct iova_design *design, const uint64_t *values,
		       const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values, (void)config;
	*mechanism = (struct iova_mechanism){ .depot_max = UINT64_MAX, .arm_delay_ns = MS };
}

static void look_trim(const struct iova_design *design, void *state, const uint64_t *values,
		      const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	(void)state;
	(void)values;
	CHECK_EQ(record.depth, 0); /* a policy is asked with no lock held */
	CHECK_EQ(view->cpus_possible, 2);
	decision->trim[decision->trim_count++] = 0;
}

static const struct iova_design trim_cpu_0 = {
	.name = "trim-cpu-0",
	.summary = "gives CPU 0's magazines back",
	.setup = setup_trim,
	.look = look_trim,
};

static void trimming_gives_back_after_it_let_the_CPU_go(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 2, .custom = &trim_cpu_0 });
	fill_depot(domain, 0, 1, 1, 0);
	begin();
	CHECK_EQ(iova_run_due(domain, MS), 1);
	/* Look, detach both, the partial one to the tree, the full one to the depot. */
	CHECK_LOCKS("DdCcTtDd");
	end(domain);
}

/* --------------------------------------------------------------------------- at random */

static void every_lock_is_let_go_after_each_of_many_random_calls(void)
{
	static const char *const designs[] = { "linux-6.1", "linux-6.12", "linux-7.3" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		struct random random = { 11 + d };
		uint64_t live = 0;
		for (uint64_t i = 0; i < 20000; i++) {
			uint32_t cpu = (uint32_t)random_below(&random, 4);
			bool grow = (i / 1000) % 2 == 0;
			if (live < COUNT_OF_ARRAY(pfn) && (grow || live == 0))
				alloc_many(domain, cpu, 1, 1, &pfn[live++]);
			else
				iova_free(domain, cpu, pfn[--live], 1, i * MS);
			if (i % 5000 == 4999)
				iova_flush_caches(domain);
			if (i % 700 == 0)
				iova_run_due(domain, i * MS);
			CHECK_EQ(record.depth, 0);
		}
		end(domain);
	}
}

int main(void)
{
	TEST(a_cached_call_takes_its_CPU_s_lock_and_no_other);
	TEST(an_allocation_asks_the_depot_under_the_CPU_s_lock_and_the_tree_under_none);
	TEST(an_exchange_with_the_depot_happens_under_both_locks);
	TEST(a_swap_asks_no_depot);
	TEST(a_surplus_magazine_is_emptied_after_the_CPU_s_lock_was_let_go);
	TEST(a_free_without_memory_goes_to_the_tree_after_the_CPU_s_lock_was_let_go);
	TEST(a_first_magazine_asks_no_depot);
	TEST(calls_on_the_tree_take_its_lock_once);
	TEST(reclaim_empties_its_magazine_after_it_let_the_depot_go);
	TEST(trimming_gives_back_after_it_let_the_CPU_go);
	TEST(a_flush_empties_CPUs_under_their_locks_and_depots_under_theirs);
	TEST(a_CPU_that_goes_offline_is_emptied_under_its_locks);
	TEST(a_flush_and_retry_searches_flushes_and_searches_again);
	TEST(every_lock_is_let_go_after_each_of_many_random_calls);
	return 0;
}
