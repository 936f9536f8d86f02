/* SPDX-License-Identifier: MIT */
/* The designs that Linux never had: what each does that linux-6.12 does not. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

static struct test_memory memory;
static uint64_t pfn[8192];

static iova_domain *domain_of(const char *design, uint32_t cpus, struct param_setting param)
{
	test_memory_init(&memory);
	struct shape shape = { .design = design, .possible = cpus, .online = cpus };
	if (param.name)
		shape.params[0] = param;
	return make_domain(&memory, shape);
}

#define AS_IT_IS ((struct param_setting){ NULL, 0 })
#define WITH(name, value) ((struct param_setting){ name, value })

static struct iova_counters of(iova_domain *domain, uint32_t size_class)
{
	return iova_read_counters(domain, size_class);
}

static void use(iova_domain *domain, uint32_t cpu, uint64_t n, uint64_t now)
{
	alloc_many(domain, cpu, 1, n, pfn);
	free_many(domain, cpu, 1, n, pfn, now);
}

/* -------------------------------------------------------------------- fixed depots */

static void cpu_scaled_holds_as_many_magazines_as_there_are_cpus(void)
{
	iova_domain *domain = domain_of("cpu-scaled", 40, AS_IT_IS);
	use(domain, 0, 45 * FULL, 0);
	CHECK_EQ(of(domain, 0).depot, 40);
	CHECK_EQ(of(domain, 0).tree_frees, 3 * FULL);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end_domain(&memory, domain);
	domain = domain_of("cpu-scaled", 20, WITH("per_cpu", 2));
	use(domain, 0, 45 * FULL, 0);
	CHECK_EQ(of(domain, 0).depot, 40);
	end_domain(&memory, domain);
}

static void cpu_scaled_is_never_below_the_old_depot(void)
{
	iova_domain *domain = domain_of("cpu-scaled", 4, AS_IT_IS);
	use(domain, 0, 40 * FULL, 0);
	CHECK_EQ(of(domain, 0).depot, 32);
	end_domain(&memory, domain);
}

static void bail_sends_one_range_to_the_tree_where_linux_empties_a_magazine(void)
{
	static const struct {
		const char *design;
		uint64_t to_tree;
	} both[] = { { "bail", 1 }, { "linux-6.1", FULL } };
	for (unsigned i = 0; i < 2; i++) {
		iova_domain *domain = domain_of(both[i].design, 2, WITH("depot", 3));
		use(domain, 0, 5 * FULL + 1, 0);
		CHECK_EQ(of(domain, 0).depot, 3);
		CHECK_EQ(of(domain, 0).tree_frees, both[i].to_tree);
		end_domain(&memory, domain);
	}
}

static void limits_lets_cpus_and_depot_each_hold_what_is_in_flight(void)
{
	static const struct {
		uint64_t in_flight;
		uint32_t cpus;
		uint64_t entries, depot;
	} cases[] = {
		{ 4096, 64, 31, 133 }, /* 32 a magazine would do */
		{ 4096, 4, 127, 33 },  /* never above Linux's */
		{ 100, 64, 3, 34 },    /* nor below the least */
		{ 56, 4, 7, 8 },
	};
	for (unsigned i = 0; i < COUNT_OF_ARRAY(cases); i++) {
		iova_domain *domain = domain_of("limits", cases[i].cpus,
						WITH("in_flight", cases[i].in_flight));
		use(domain, 0, 6000, 0);
		CHECK_EQ(iova_read_cpu(domain, 0, 0).previous, cases[i].entries);
		CHECK_EQ(of(domain, 0).depot, cases[i].depot);
		end_domain(&memory, domain);
	}
}

/* ------------------------------------------------------------------ linux-6.12 and more */

static void two_list_keeps_empty_magazines_up_to_its_bound(void)
{
	static const uint64_t bounds[] = { 0, 2, 5 };
	for (unsigned i = 0; i < COUNT_OF_ARRAY(bounds); i++) {
		iova_domain *domain = domain_of("two-list", 4, WITH("empties", bounds[i]));
		use(domain, 0, 10 * FULL, 0);
		alloc_many(domain, 1, 1, 8 * FULL, pfn);
		CHECK_EQ(of(domain, 0).depot_empties, bounds[i]);
		end_domain(&memory, domain);
	}
	iova_domain *domain = domain_of("two-list", 3, AS_IT_IS);
	use(domain, 0, 10 * FULL, 0);
	alloc_many(domain, 1, 1, 8 * FULL, pfn);
	CHECK_EQ(of(domain, 0).depot_empties, 3);
	end_domain(&memory, domain);
}

static void trim_takes_from_a_cpu_that_made_no_call_for_the_idle_time(void)
{
	iova_domain *domain = domain_of("trim", 2, WITH("idle_ms", 400));
	use(domain, 0, FULL + 5, 0); /* one full, one partial */
	for (uint64_t now = 0; now <= 1000 * MS; now += 50 * MS) {
		use(domain, 1, 3, now);
		iova_run_due(domain, now + 49 * MS);
	}
	CHECK(!iova_read_cpu(domain, 0, 0).has_loaded && !iova_read_cpu(domain, 0, 0).has_previous);
	CHECK_EQ(of(domain, 0).trimmed, 2);
	CHECK_EQ(of(domain, 0).depot, 1);      /* the full one */
	CHECK_EQ(of(domain, 0).tree_frees, 5); /* the partial one */
	CHECK_EQ(iova_read_cpu(domain, 1, 0).loaded, 3);
	end_domain(&memory, domain);
}

static void trim_looks_no_more_once_no_cpu_holds_a_magazine(void)
{
	iova_domain *domain = domain_of("trim", 2, WITH("idle_ms", 400));
	use(domain, 0, 5, 0);
	CHECK(iova_next_deadline(domain) == 100 * MS);
	iova_run_due(domain, 399 * MS);
	CHECK_EQ(of(domain, 0).cached, 5);
	iova_run_due(domain, 2000 * MS);
	CHECK_EQ(of(domain, 0).cached, 0);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end_domain(&memory, domain);
}

static void trim_reclaims_from_the_depot_as_linux_does(void)
{
	iova_domain *domain = domain_of("trim", 2, WITH("threshold", 1));
	use(domain, 0, 6 * FULL, 0);
	CHECK_EQ(of(domain, 0).depot, 4);
	iova_run_due(domain, 100 * MS);
	CHECK_EQ(of(domain, 0).depot, 3);
	iova_run_due(domain, 300 * MS);
	CHECK_EQ(of(domain, 0).depot, 1);
	iova_run_due(domain, 900 * MS);
	CHECK_EQ(of(domain, 0).depot, 1);
	end_domain(&memory, domain);
}

static void working_set_releases_the_least_of_two_intervals(void)
{
	iova_domain *domain = domain_of("working-set", 2, WITH("interval_ms", 10));
	use(domain, 0, 12 * FULL, 0); /* ten in the depot, which was empty in this interval */
	iova_run_due(domain, 10 * MS);
	CHECK_EQ(of(domain, 0).depot, 10);
	use(domain, 1, 6 * FULL, 11 * MS); /* down to 4 and back */
	iova_run_due(domain, 20 * MS);
	CHECK_EQ(of(domain, 0).reclaimed, 0); /* the interval before went down to 0 */
	uint64_t before = of(domain, 0).depot;
	use(domain, 1, 4 * FULL, 21 * MS);
	iova_run_due(domain, 30 * MS);
	CHECK_EQ(of(domain, 0).reclaimed, 4);
	CHECK_EQ(of(domain, 0).depot, before - 4);
	/* Of the least of that interval, 6, four are gone already. */
	iova_run_due(domain, 40 * MS);
	CHECK_EQ(of(domain, 0).reclaimed, 4 + 2);
	/* Nobody comes any more: all of it goes, then nothing is looked at. */
	iova_run_due(domain, 70 * MS);
	CHECK_EQ(of(domain, 0).depot, 0);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end_domain(&memory, domain);
}

/* Magazines that CPU 1 takes and CPU 0 puts, in one period. */
static void exchange(iova_domain *domain, uint64_t ranges, uint64_t now)
{
	alloc_many(domain, 1, 1, ranges, pfn);
	free_many(domain, 0, 1, ranges, pfn, now);
}

static uint64_t entries_after_periods(uint64_t ranges, uint64_t periods, uint64_t most)
{
	test_memory_init(&memory);
	/* 40 exchanges a second of one CPU are 80 of both. */
	struct shape shape = { .design = "grown-magazines", .possible = 2, .online = 2,
			       .params = { { "exchanges", 40 }, { "first", 16 }, { "most", most } } };
	iova_domain *domain = make_domain(&memory, shape);
	for (uint64_t now = 0; now < periods * 1000 * MS; now += 100 * MS) {
		exchange(domain, ranges, now);
		iova_run_due(domain, now + 99 * MS);
	}
	use(domain, 0, 4000, periods * 1000 * MS);
	uint64_t entries = iova_read_cpu(domain, 0, 0).previous;
	end_domain(&memory, domain);
	return entries;
}

static void grown_magazines_grow_by_a_step_in_a_period_of_many_exchanges(void)
{
	CHECK_EQ(entries_after_periods(15 * 3, 4, 255), 15); /* some 60 a second */
	CHECK_EQ(entries_after_periods(15 * 5, 3, 255), 31);
	CHECK_EQ(entries_after_periods(2000, 3, 255), 63);
	CHECK_EQ(entries_after_periods(2000, 8, 255), 255);
	CHECK_EQ(entries_after_periods(2000, 8, 100), 63);
}

static void wide_caches_up_to_512_frames(void)
{
	iova_domain *domain = domain_of("wide", 2, AS_IT_IS);
	for (unsigned k = 5; k < 10; k++) {
		alloc_many(domain, 0, UINT64_C(1) << k, 1, pfn);
		free_many(domain, 0, UINT64_C(1) << k, 1, pfn, 0);
		CHECK_EQ(of(domain, k).cached, 1);
	}
	end_domain(&memory, domain);
}

/* ---------------------------------------------------------------------- lock holds */

static uint64_t tree_holds;

static void acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	(void)context, (void)cpu, (void)size_class;
	tree_holds += lock == IOVA_LOCK_TREE;
}

static void release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	(void)context, (void)lock, (void)cpu, (void)size_class;
}

static const struct iova_lock_hooks hooks = { acquire, release, NULL };

static uint64_t holds_of_a_reclaim(const char *design)
{
	test_memory_init(&memory);
	struct shape shape = { .design = design, .possible = 2, .online = 2, .locks = &hooks,
			       .params = { { "threshold", 0 } } };
	iova_domain *domain = make_domain(&memory, shape);
	use(domain, 0, 4 * FULL, 0);
	tree_holds = 0;
	iova_run_due(domain, 100 * MS);
	CHECK_EQ(of(domain, 0).reclaimed, 1);
	uint64_t holds = tree_holds;
	end_domain(&memory, domain);
	return holds;
}

static void batch_empties_a_magazine_in_holds_of_sixteen(void)
{
	uint64_t in_one = holds_of_a_reclaim("linux-6.12");
	CHECK_EQ(holds_of_a_reclaim("batch"), in_one - 1 + (FULL + 15) / 16);
}

/* ------------------------------------------------------------------------ adaptive */

static void adaptive_empties_idle_caches_and_then_sleeps(void)
{
	iova_domain *domain = domain_of("adaptive", 2, WITH("patience_ms", 1000));
	use(domain, 0, 100, 0);
	CHECK_EQ(iova_next_deadline(domain), 5 * MS);
	iova_run_due(domain, 900 * MS);
	CHECK_EQ(of(domain, 0).cached, 100);
	iova_run_due(domain, 5000 * MS);
	CHECK_EQ(of(domain, 0).cached, 0);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end_domain(&memory, domain);
}

static void adaptive_sizes_magazines_by_exchanges_against_pages(void)
{
	iova_domain *domain = domain_of("adaptive", 2, AS_IT_IS);
	for (uint64_t now = 0; now < 3000 * MS; now += 10 * MS) {
		exchange(domain, 500, now);
		iova_run_due(domain, now + 9 * MS);
	}
	use(domain, 0, 4000, 3000 * MS);
	uint64_t busy = iova_read_cpu(domain, 0, 0).previous;
	CHECK_EQ(busy, 127); /* 500 calls in 10 ms would pay for more */
	for (uint64_t now = 3000 * MS; now < 20000 * MS; now += 10 * MS) {
		exchange(domain, 1, now);
		iova_run_due(domain, now + 9 * MS);
	}
	use(domain, 0, 4000, 20000 * MS);
	/* But for the few old ones that CPUs still hold, they have 31 entries at most. */
	struct iova_totals totals = iova_read_totals(domain);
	CHECK(totals.magazine_bytes <= totals.magazines * magazine_bytes(31) + 4 * magazine_bytes(127));
	end_domain(&memory, domain);
}

static void adaptive_holds_the_tree_for_one_range_at_a_time(void)
{
	test_memory_init(&memory);
	struct shape shape = { .design = "adaptive", .possible = 1, .online = 1, .locks = &hooks };
	iova_domain *domain = make_domain(&memory, shape);
	use(domain, 0, 100, 0);
	tree_holds = 0;
	iova_run_due(domain, 60000 * MS);
	CHECK_EQ(tree_holds, 100);
	CHECK_EQ(of(domain, 0).cached, 0);
	end_domain(&memory, domain);
}

/* ----------------------------------------------------------------- histories of all */

enum { CPUS = 3, HELD = 600 };

static void step(iova_domain *domain, struct random *random, uint64_t *held, uint64_t *size,
		 uint64_t *count, uint64_t now)
{
	uint32_t cpu = (uint32_t)random_below(random, CPUS);
	uint64_t what = random_below(random, 100);
	if (what == 0)
		iova_flush_caches(domain);
	else if (what == 1)
		iova_cpu_offline(domain, cpu);
	else if (what < 6)
		iova_cpu_online(domain, cpu);
	else if (what < 50 && *count < HELD) {
		size[*count] = 1 + random_bits(random, 6);
		held[*count] = iova_alloc(domain, cpu, size[*count], LIMIT32, true);
		CHECK(held[*count] != 0 || memory.refusals > 0);
		*count += held[*count] != 0;
	} else if (*count > 0) {
		uint64_t i = random_below(random, *count);
		iova_free(domain, cpu, held[i], size[i], now);
		--*count;
		held[i] = held[*count];
		size[i] = size[*count];
	}
}

static void run_history(const struct iova_design *design, uint64_t seed, uint64_t steps,
			uint64_t refuse_at)
{
	uint64_t held[HELD], size[HELD], count = 0, now = 0;
	struct random random = { seed };
	test_memory_init(&memory);
	struct shape shape = { .custom = design, .possible = CPUS, .online = CPUS };
	uint64_t params[IOVA_MAX_PARAMS];
	struct iova_config config = config_of(&memory, &shape, params);
	iova_domain *domain = NULL;
	memory.refuse_at = refuse_at;
	enum iova_status made = iova_create(&config, &domain);
	if (made == IOVA_OK)
		made = iova_make_caches(domain);
	if (made == IOVA_OK) {
		for (uint64_t i = 0; i < steps; i++) {
			now += random_bits(&random, 27); /* up to 134 ms */
			iova_run_due(domain, now);
			step(domain, &random, held, size, &count, now);
		}
	} else {
		CHECK_EQ(made, IOVA_NO_MEMORY);
		CHECK(refuse_at != 0);
	}
	memory.paused = true;
	if (domain && made == IOVA_OK)
		CHECK_SOUND(iova_check(domain));
	iova_destroy(domain);
	CHECK_EQ(test_memory_held(&memory), 0);
}

static void every_design_is_sound_whatever_comes(void)
{
	const struct iova_design *design;
	for (uint32_t d = 0; (design = iova_design_at(d)) != NULL; d++)
		for (uint64_t seed = 1; seed <= 12; seed++)
			run_history(design, seed, 4000, 0);
}

static void every_design_bears_each_refusal_of_memory(void)
{
	const struct iova_design *design;
	for (uint32_t d = 0; (design = iova_design_at(d)) != NULL; d++)
		for (uint64_t at = 1; at <= 150; at++)
			run_history(design, at, 300, at);
}

int main(void)
{
	TEST(cpu_scaled_holds_as_many_magazines_as_there_are_cpus);
	TEST(cpu_scaled_is_never_below_the_old_depot);
	TEST(bail_sends_one_range_to_the_tree_where_linux_empties_a_magazine);
	TEST(limits_lets_cpus_and_depot_each_hold_what_is_in_flight);
	TEST(two_list_keeps_empty_magazines_up_to_its_bound);
	TEST(trim_takes_from_a_cpu_that_made_no_call_for_the_idle_time);
	TEST(trim_looks_no_more_once_no_cpu_holds_a_magazine);
	TEST(trim_reclaims_from_the_depot_as_linux_does);
	TEST(working_set_releases_the_least_of_two_intervals);
	TEST(grown_magazines_grow_by_a_step_in_a_period_of_many_exchanges);
	TEST(wide_caches_up_to_512_frames);
	TEST(batch_empties_a_magazine_in_holds_of_sixteen);
	TEST(adaptive_empties_idle_caches_and_then_sleeps);
	TEST(adaptive_sizes_magazines_by_exchanges_against_pages);
	TEST(adaptive_holds_the_tree_for_one_range_at_a_time);
	TEST(every_design_is_sound_whatever_comes);
	TEST(every_design_bears_each_refusal_of_memory);
	return 0;
}
