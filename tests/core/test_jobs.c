/* SPDX-License-Identifier: MIT */
/* The delayed job of each size class, in virtual time; and the protocol of a policy. */
#include "one_domain.h"

#define DELAY (100 * MS)

static uint64_t depot_of(const iova_domain *domain, uint32_t size_class)
{
	return iova_read_counters(domain, size_class).depot;
}

/* --------------------------------------------------------------------------- arming */

static void a_push_arms_the_job_100_ms_later(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 2 });
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	fill_depot(domain, 0, 1, 1, 7 * MS + 3);
	CHECK_EQ(iova_next_deadline(domain), 107 * MS + 3);
	CHECK_EQ(iova_class_deadline(domain, 0), 107 * MS + 3);
	CHECK_EQ(iova_class_deadline(domain, 1), IOVA_NEVER);
	CHECK_EQ(iova_class_deadline(domain, 6), IOVA_NEVER);
	CHECK_EQ(iova_read_counters(domain, 0).armed, 1);
	end(domain);
}

static void a_push_that_finds_the_job_armed_leaves_the_earlier_time(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 2 });
	fill_depot(domain, 0, 1, 1, 0);
	fill_depot(domain, 1, 1, 3, 50 * MS);
	CHECK_EQ(iova_next_deadline(domain), DELAY);
	struct iova_counters counters = iova_read_counters(domain, 0);
	CHECK_EQ(counters.armed, 1);
	CHECK(counters.found_armed > 0);
	CHECK_EQ(counters.armed + counters.found_armed, counters.pushed);
	end(domain);
}

static void a_take_from_the_depot_neither_arms_nor_disarms(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 2 });
	fill_depot(domain, 0, 1, 2, 0);
	CHECK(iova_alloc(domain, 1, 1, LIMIT64, false) != 0);
	CHECK_EQ(iova_next_deadline(domain), DELAY);
	CHECK_EQ(iova_run_due(domain, DELAY), 1);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	for (uint64_t i = 0; i < FULL; i++) /* the last of these exchanges */
		CHECK(iova_alloc(domain, 1, 1, LIMIT64, false) != 0);
	CHECK_EQ(depot_of(domain, 0), 0);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

static void designs_without_reclaim_never_arm(void)
{
	static const char *const designs[] = { "linux-6.1", "unbounded" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		fill_depot(domain, 0, 1, 6, 0);
		CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
		CHECK_EQ(iova_run_due(domain, IOVA_NEVER - 1), 0);
		CHECK_EQ(iova_read_counters(domain, 0).armed, 0);
		CHECK_EQ(iova_read_counters(domain, 0).found_armed, 0);
		CHECK_EQ(depot_of(domain, 0), 6);
		end(domain);
	}
}

static void a_due_time_past_the_end_of_the_clock_is_never(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	fill_depot(domain, 0, 1, 2, IOVA_NEVER - DELAY);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	CHECK_EQ(iova_run_due(domain, IOVA_NEVER - 1), 0);
	iova_run_class(domain, 0, IOVA_NEVER - DELAY - 1);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER - 1);
	CHECK_EQ(iova_run_due(domain, IOVA_NEVER - 1), 1);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

/* -------------------------------------------------------------------------- running */

static void the_job_runs_at_its_time_and_not_before(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 2 });
	fill_depot(domain, 0, 1, 4, 5);
	CHECK_EQ(iova_run_due(domain, DELAY + 4), 0);
	CHECK_EQ(depot_of(domain, 0), 4);
	CHECK_EQ(iova_run_due(domain, DELAY + 5), 1);
	CHECK_EQ(depot_of(domain, 0), 3);
	end(domain);
}

static void the_job_waits_as_long_after_a_run_as_after_a_push(void)
{
	static const char *const designs[] = { "linux-6.12", "linux-7.3" };
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d], .possible = 1 });
		fill_depot(domain, 0, 1, 5, 0);
		for (uint64_t run = 1; run <= 4; run++) {
			CHECK_EQ(iova_next_deadline(domain), run * DELAY);
			CHECK_EQ(iova_run_due(domain, run * DELAY - 1), 0);
			CHECK_EQ(iova_run_due(domain, run * DELAY), 1);
			CHECK_EQ(depot_of(domain, 0), 5 - run);
		}
		end(domain);
	}
}

static void the_depot_shrinks_to_the_number_of_CPUs_online_and_the_job_stops(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 8, .online = 3 });
	fill_depot(domain, 0, 2, 7, 0);
	CHECK_EQ(iova_run_due(domain, 60 * DELAY), 5);
	CHECK_EQ(depot_of(domain, 1), 3);
	struct iova_counters counters = iova_read_counters(domain, 1);
	CHECK_EQ(counters.reclaimed, 4);
	CHECK_EQ(counters.runs, 5); /* the last found nothing to do */
	CHECK_EQ(counters.armed, 1);
	CHECK_EQ(counters.tree_frees, 4 * FULL);
	CHECK_EQ(counters.magazines_freed, 4);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	CHECK_EQ(iova_read_totals(domain).runs, 5);
	end(domain);
}

static void a_late_run_happens_at_each_due_time_in_turn(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	fill_depot(domain, 0, 1, 9, 0);
	CHECK_EQ(iova_run_due(domain, 3 * DELAY + DELAY / 2), 3);
	CHECK_EQ(depot_of(domain, 0), 6);
	CHECK_EQ(iova_next_deadline(domain), 4 * DELAY);
	end(domain);
}

static void the_magazine_pushed_last_is_reclaimed_first(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	uint64_t *pfn = malloc((4 * FULL + 1) * sizeof(*pfn));
	struct iova_range range;
	CHECK(pfn != NULL);
	alloc_many(domain, 0, 1, 4 * FULL + 1, pfn);
	free_many(domain, 0, 1, 4 * FULL + 1, pfn, 0);
	CHECK_EQ(iova_run_due(domain, DELAY), 1);
	for (uint64_t i = 0; i < FULL; i++) {
		CHECK_EQ(iova_find(domain, pfn[3 * FULL + i], &range), IOVA_NOT_FOUND);
		CHECK_EQ(iova_find(domain, pfn[2 * FULL + i], &range), IOVA_OK);
		CHECK_EQ(iova_find(domain, pfn[FULL + i], &range), IOVA_OK);
	}
	free(pfn);
	end(domain);
}

static void CPUs_that_go_offline_lower_the_threshold_of_the_next_run(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 4 });
	fill_depot(domain, 0, 1, 4, 0);
	iova_cpu_offline(domain, 3);
	iova_cpu_offline(domain, 2);
	CHECK_EQ(iova_run_due(domain, DELAY), 1);
	CHECK_EQ(depot_of(domain, 0), 3);
	iova_cpu_online(domain, 3);
	CHECK_EQ(iova_run_due(domain, 2 * DELAY), 1);
	CHECK_EQ(depot_of(domain, 0), 3);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	/* Now nothing happens before the next push. */
	iova_cpu_offline(domain, 3);
	CHECK_EQ(iova_run_due(domain, 100 * DELAY), 0);
	CHECK_EQ(depot_of(domain, 0), 3);
	end(domain);
}

static void a_flush_leaves_the_job_armed_and_it_finds_nothing_to_do(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	fill_depot(domain, 0, 1, 3, 0);
	iova_flush_caches(domain);
	CHECK_EQ(iova_next_deadline(domain), DELAY);
	CHECK_EQ(iova_run_due(domain, DELAY), 1);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	CHECK_EQ(iova_read_counters(domain, 0).reclaimed, 0);
	CHECK_EQ(iova_read_counters(domain, 0).runs, 1);
	end(domain);
}

static void a_class_may_be_run_by_hand_armed_or_not(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	fill_depot(domain, 0, 1, 3, 0);
	iova_run_class(domain, 0, 10 * MS);
	CHECK_EQ(depot_of(domain, 0), 2);
	CHECK_EQ(iova_next_deadline(domain), 110 * MS);
	iova_run_class(domain, 0, 20 * MS);
	iova_run_class(domain, 0, 30 * MS);
	CHECK_EQ(depot_of(domain, 0), 1);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	iova_run_class(domain, 0, 40 * MS);
	CHECK_EQ(iova_read_counters(domain, 0).runs, 4);
	iova_run_class(domain, 6, 40 * MS); /* no such class */
	CHECK_EQ(iova_read_totals(domain).runs, 4);
	end(domain);
}

/* ----------------------------------------------------------------------- parameters */

static void rearm_0_reclaims_once_a_push(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .possible = 1, .params = { { "rearm", 0 } } });
	fill_depot(domain, 0, 1, 6, 0);
	CHECK_EQ(iova_run_due(domain, 50 * DELAY), 1);
	CHECK_EQ(depot_of(domain, 0), 5);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

static void batch_is_reclaimed_in_one_run_but_never_below_the_threshold(void)
{
	iova_domain *domain = domain_of(
		(struct shape){ .possible = 1, .params = { { "batch", 3 }, { "threshold", 2 } } });
	fill_depot(domain, 0, 1, 7, 0);
	CHECK_EQ(iova_run_due(domain, DELAY), 1);
	CHECK_EQ(depot_of(domain, 0), 4);
	CHECK_EQ(iova_run_due(domain, 2 * DELAY), 1);
	CHECK_EQ(depot_of(domain, 0), 2);
	CHECK_EQ(iova_run_due(domain, 3 * DELAY), 1);
	CHECK_EQ(depot_of(domain, 0), 2);
	CHECK_EQ(iova_read_counters(domain, 0).reclaimed, 5);
	end(domain);
}

static void threshold_0_empties_the_depot(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .possible = 4, .params = { { "threshold", 0 } } });
	fill_depot(domain, 0, 1, 3, 0);
	CHECK_EQ(iova_run_due(domain, 50 * DELAY), 4);
	CHECK_EQ(depot_of(domain, 0), 0);
	end(domain);
}

static void delay_ms_is_the_first_wait_and_every_other(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .possible = 1, .params = { { "delay_ms", 7 } } });
	fill_depot(domain, 0, 1, 4, MS);
	for (uint64_t run = 1; run <= 4; run++) {
		CHECK_EQ(iova_next_deadline(domain), MS + 7 * MS * run);
		CHECK_EQ(iova_run_due(domain, MS + 7 * MS * run), 1);
	}
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

static void parameters_out_of_range_are_refused(void)
{
	static const struct param_setting bad[] = {
		{ "delay_ms", 0 }, { "delay_ms", IOVA_AUTO }, { "delay_ms", 86400001 },
		{ "batch", 0 },	   { "rearm", 2 },	      { "threshold", (1u << 20) + 1 },
	};
	test_memory_init(&memory);
	for (unsigned i = 0; i < COUNT_OF_ARRAY(bad); i++) {
		uint64_t params[IOVA_MAX_PARAMS];
		struct shape shape = { .params = { bad[i] } };
		struct iova_config config = config_of(&memory, &shape, params);
		iova_domain *domain = NULL;
		CHECK_EQ(iova_create(&config, &domain), IOVA_INVALID);
		CHECK(domain == NULL);
		CHECK_EQ(test_memory_held(&memory), 0);
	}
}

static void the_design_s_own_values_hold_where_none_are_given(void)
{
	uint64_t params[IOVA_MAX_PARAMS];
	struct shape shape = { .possible = 2 };
	iova_domain *domain = NULL;
	test_memory_init(&memory);
	struct iova_config config = config_of(&memory, &shape, params);
	config.params = NULL;
	CHECK_EQ(iova_create(&config, &domain), IOVA_OK);
	CHECK_EQ(iova_make_caches(domain), IOVA_OK);
	fill_depot(domain, 0, 1, 4, 0);
	CHECK_EQ(iova_run_due(domain, 50 * DELAY), 3);
	CHECK_EQ(depot_of(domain, 0), 2);
	end(domain);
}

/* ------------------------------------------------------- a policy made for these tests */

#define LOOKS 16

/* What the next look decides, and what each saw. */
struct script {
	uint64_t release, keep, again_ns;
	uint32_t trim[4], trim_count;
	unsigned looks;
	struct iova_view seen[LOOKS];
	struct iova_cpu_view cpu[LOOKS]; /* CPU 0, as look() read it */
	uint64_t in_state[LOOKS];	 /* looks of the same class, counted in its state */
};

static void scripted_setup(const struct iova_design *design, const uint64_t *values,
			   const struct iova_config *config, struct iova_mechanism *mechanism)
{
	CHECK(design->user != NULL && config->design == design);
	mechanism->depot_max = values[0];
	mechanism->arm_delay_ns = 10 * MS;
	mechanism->magazines_at_first_use = false;
}

static void scripted_look(const struct iova_design *design, void *state, const uint64_t *values,
			  const struct iova_view *view, struct iova_decision *decision)
{
	struct script *script = design->user;
	CHECK(script->looks < LOOKS);
	CHECK(values[0] > 0);
	CHECK_EQ(decision->release, 0);
	CHECK_EQ(decision->again_ns, 0);
	CHECK_EQ(decision->trim_count, 0);
	script->in_state[script->looks] = ++*(uint64_t *)state;
	script->cpu[script->looks] = iova_read_cpu(view->domain, 0, view->size_class);
	script->seen[script->looks++] = *view;
	decision->release = script->release;
	decision->keep = script->keep;
	decision->again_ns = script->again_ns;
	decision->trim_count = script->trim_count;
	memcpy(decision->trim, script->trim, script->trim_count * sizeof(uint32_t));
}

static struct script script;

static const struct iova_param scripted_params[] = {
	{ "depot", "magazines", "most a depot holds", 0, UINT64_MAX - 1, 1000, NULL },
};

static const struct iova_design scripted = {
	.name = "scripted",
	.summary = "does what the test says",
	.params = scripted_params,
	.param_count = 1,
	.setup = scripted_setup,
	.look = scripted_look,
	.state_size = sizeof(uint64_t),
	.user = &script,
};

static iova_domain *scripted_domain(struct script wanted)
{
	script = wanted;
	return domain_of((struct shape){ .custom = &scripted });
}

static void jobs_run_earliest_first(void)
{
	iova_domain *domain = scripted_domain((struct script){ 0 });
	fill_depot(domain, 0, 8, 1, 3 * MS);
	fill_depot(domain, 0, 1, 1, 4 * MS);
	fill_depot(domain, 0, 4, 1, 5 * MS);
	CHECK_EQ(iova_next_deadline(domain), 13 * MS);
	CHECK_EQ(iova_run_due(domain, 100 * MS), 3);
	CHECK_EQ(script.seen[0].size_class, 3);
	CHECK_EQ(script.seen[0].now, 13 * MS);
	CHECK_EQ(script.seen[1].size_class, 0);
	CHECK_EQ(script.seen[1].now, 14 * MS);
	CHECK_EQ(script.seen[2].size_class, 2);
	CHECK_EQ(script.seen[2].now, 15 * MS);
	end(domain);
}

static void jobs_due_at_once_run_in_the_order_of_their_arming(void)
{
	iova_domain *domain = scripted_domain((struct script){ .again_ns = 10 * MS });
	fill_depot(domain, 0, 16, 1, 0);
	fill_depot(domain, 0, 2, 1, 0);
	fill_depot(domain, 0, 8, 1, 0);
	CHECK_EQ(iova_run_due(domain, 20 * MS), 6);
	static const uint32_t order[] = { 4, 1, 3, 4, 1, 3 };
	for (unsigned i = 0; i < COUNT_OF_ARRAY(order); i++) {
		CHECK_EQ(script.seen[i].size_class, order[i]);
		CHECK_EQ(script.seen[i].now, i < 3 ? 10 * MS : 20 * MS);
	}
	end(domain);
}

static void a_job_that_looks_again_soon_comes_before_a_later_one(void)
{
	iova_domain *domain = scripted_domain((struct script){ .again_ns = MS });
	fill_depot(domain, 0, 1, 1, 0);
	fill_depot(domain, 0, 2, 1, 2 * MS);
	CHECK_EQ(iova_run_due(domain, 12 * MS), 4);
	CHECK_EQ(script.seen[1].size_class, 0);
	CHECK_EQ(script.seen[2].size_class, 1); /* 12 ms, armed before the look at 11 ms */
	CHECK_EQ(script.seen[3].size_class, 0);
	end(domain);
}

static void a_policy_sees_the_domain_as_it_is(void)
{
	iova_domain *domain = scripted_domain((struct script){ 0 });
	iova_cpu_offline(domain, 2);
	fill_depot(domain, 0, 4, 3, 0);
	CHECK(iova_alloc(domain, 1, 4, LIMIT64, false) != 0);
	CHECK_EQ(iova_run_due(domain, 10 * MS), 1);
	const struct iova_view *view = &script.seen[0];
	CHECK_EQ(view->now, 10 * MS);
	CHECK_EQ(view->size_class, 2);
	CHECK_EQ(view->classes, 6);
	CHECK_EQ(view->cpus_online, 3);
	CHECK_EQ(view->cpus_possible, 4);
	CHECK_EQ(view->depot, 2);
	CHECK_EQ(view->pushed, 3);
	CHECK_EQ(view->popped, 1);
	CHECK_EQ(view->tree_allocated, 4 * FULL + 1);
	CHECK(view->domain == domain);
	CHECK_EQ(script.cpu[0].loaded, 1);
	CHECK_EQ(script.cpu[0].previous, FULL);
	CHECK_EQ(script.cpu[0].puts, 4 * FULL + 1);
	end(domain);
}

static void each_class_has_a_state_of_its_own_that_starts_as_zeroes(void)
{
	iova_domain *domain = scripted_domain((struct script){ 0 });
	iova_run_class(domain, 0, 0);
	iova_run_class(domain, 5, 0);
	iova_run_class(domain, 0, 0);
	CHECK_EQ(script.in_state[0], 1);
	CHECK_EQ(script.in_state[1], 1);
	CHECK_EQ(script.in_state[2], 2);
	end(domain);
}

static void depot_low_is_the_fewest_since_the_last_look(void)
{
	iova_domain *domain = scripted_domain((struct script){ 0 });
	uint64_t *pfn = malloc(2 * FULL * sizeof(*pfn));
	CHECK(pfn != NULL);
	fill_depot(domain, 0, 1, 5, 0);
	iova_run_class(domain, 0, 0); /* since creation: 0 */
	iova_run_class(domain, 0, 0); /* nothing happened: 5 */
	alloc_many(domain, 1, 1, FULL + 1, pfn);
	free_many(domain, 1, 1, FULL + 1, pfn, 0);
	iova_run_class(domain, 0, 0); /* two were taken */
	CHECK_EQ(script.seen[0].depot_low, 0);
	CHECK_EQ(script.seen[1].depot_low, 5);
	CHECK_EQ(script.seen[2].depot_low, 3);
	free(pfn);
	end(domain);
}

static void a_decision_keeps_what_it_says_and_counts_only_what_it_took(void)
{
	iova_domain *domain = scripted_domain((struct script){ .release = 10, .keep = 2 });
	fill_depot(domain, 0, 1, 5, 0);
	CHECK_EQ(iova_run_due(domain, 10 * MS), 1);
	CHECK_EQ(depot_of(domain, 0), 2);
	CHECK_EQ(iova_read_counters(domain, 0).reclaimed, 3);
	script.keep = 0;
	script.release = 1;
	iova_run_class(domain, 0, 11 * MS);
	CHECK_EQ(depot_of(domain, 0), 1);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

static void a_trimmed_CPU_gives_full_magazines_to_the_depot_and_partial_ones_to_the_tree(void)
{
	iova_domain *domain = scripted_domain((struct script){ .trim = { 0 }, .trim_count = 1 });
	fill_depot(domain, 0, 1, 1, 0); /* previous is full, loaded holds one */
	uint64_t held = iova_read_totals(domain).magazines;
	CHECK_EQ(iova_run_due(domain, 10 * MS), 1);
	struct iova_counters counters = iova_read_counters(domain, 0);
	struct iova_cpu_view cpu = iova_read_cpu(domain, 0, 0);
	CHECK_EQ(counters.depot, 2);
	CHECK_EQ(counters.trimmed, 2);
	CHECK_EQ(counters.tree_frees, 1);
	CHECK_EQ(counters.pushed, 1);	/* by CPUs */
	CHECK_EQ(counters.reclaimed, 0); /* from the depot */
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	CHECK(!cpu.has_loaded && !cpu.has_previous);
	CHECK_EQ(iova_read_totals(domain).magazines, held - 1);
	CHECK_SOUND(iova_check(domain));
	/* It takes from the depot and makes magazines again when it needs them. */
	CHECK(iova_alloc(domain, 0, 1, LIMIT64, false) != 0);
	CHECK_EQ(iova_read_cpu(domain, 0, 0).loaded, FULL - 1);
	end(domain);
}

static void a_trimmed_CPU_can_free_again(void)
{
	iova_domain *domain = scripted_domain((struct script){ .trim = { 3 }, .trim_count = 1 });
	uint64_t first = iova_alloc(domain, 0, 1, LIMIT64, false);
	iova_run_class(domain, 0, 0);
	CHECK(!iova_read_cpu(domain, 3, 0).has_loaded);
	CHECK_EQ(iova_read_counters(domain, 0).trimmed, 2); /* empty ones go too */
	iova_run_class(domain, 0, 0);
	CHECK_EQ(iova_read_counters(domain, 0).trimmed, 2);
	iova_free(domain, 3, first, 1, 0);
	CHECK_EQ(iova_read_cpu(domain, 3, 0).loaded, 1);
	CHECK_EQ(iova_alloc(domain, 3, 1, LIMIT64, false), first);
	end(domain);
}

static void a_full_magazine_that_finds_the_depot_full_goes_to_the_tree(void)
{
	script = (struct script){ .trim = { 0 }, .trim_count = 1 };
	iova_domain *domain =
		domain_of((struct shape){ .custom = &scripted, .params = { { "depot", 1 } } });
	fill_depot(domain, 0, 1, 1, 0);
	iova_run_class(domain, 0, 0);
	CHECK_EQ(depot_of(domain, 0), 1);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, FULL + 1);
	end(domain);
}

static void CPUs_that_do_not_exist_are_not_trimmed(void)
{
	iova_domain *domain = scripted_domain(
		(struct script){ .trim = { 4, UINT32_MAX, 1 }, .trim_count = 3 });
	iova_run_class(domain, 0, 0);
	CHECK_EQ(iova_read_counters(domain, 0).trimmed, 2);
	CHECK(!iova_read_cpu(domain, 1, 0).has_loaded);
	end(domain);
}

static void a_policy_without_look_lets_its_jobs_pass(void)
{
	struct iova_design silent = scripted;
	silent.look = NULL;
	iova_domain *domain = domain_of((struct shape){ .custom = &silent });
	fill_depot(domain, 0, 1, 3, 0);
	CHECK_EQ(iova_run_due(domain, 100 * MS), 1);
	CHECK_EQ(depot_of(domain, 0), 3);
	CHECK_EQ(iova_next_deadline(domain), IOVA_NEVER);
	end(domain);
}

int main(void)
{
	TEST(a_push_arms_the_job_100_ms_later);
	TEST(a_push_that_finds_the_job_armed_leaves_the_earlier_time);
	TEST(a_take_from_the_depot_neither_arms_nor_disarms);
	TEST(designs_without_reclaim_never_arm);
	TEST(the_job_runs_at_its_time_and_not_before);
	TEST(the_job_waits_as_long_after_a_run_as_after_a_push);
	TEST(the_depot_shrinks_to_the_number_of_CPUs_online_and_the_job_stops);
	TEST(a_late_run_happens_at_each_due_time_in_turn);
	TEST(the_magazine_pushed_last_is_reclaimed_first);
	TEST(CPUs_that_go_offline_lower_the_threshold_of_the_next_run);
	TEST(a_flush_leaves_the_job_armed_and_it_finds_nothing_to_do);
	TEST(a_class_may_be_run_by_hand_armed_or_not);
	TEST(rearm_0_reclaims_once_a_push);
	TEST(batch_is_reclaimed_in_one_run_but_never_below_the_threshold);
	TEST(threshold_0_empties_the_depot);
	TEST(delay_ms_is_the_first_wait_and_every_other);
	TEST(parameters_out_of_range_are_refused);
	TEST(the_design_s_own_values_hold_where_none_are_given);
	TEST(jobs_run_earliest_first);
	TEST(jobs_due_at_once_run_in_the_order_of_their_arming);
	TEST(a_job_that_looks_again_soon_comes_before_a_later_one);
	TEST(a_policy_sees_the_domain_as_it_is);
	TEST(each_class_has_a_state_of_its_own_that_starts_as_zeroes);
	TEST(depot_low_is_the_fewest_since_the_last_look);
	TEST(a_decision_keeps_what_it_says_and_counts_only_what_it_took);
	TEST(a_trimmed_CPU_gives_full_magazines_to_the_depot_and_partial_ones_to_the_tree);
	TEST(a_trimmed_CPU_can_free_again);
	TEST(a_full_magazine_that_finds_the_depot_full_goes_to_the_tree);
	TEST(CPUs_that_do_not_exist_are_not_trimmed);
	TEST(a_policy_without_look_lets_its_jobs_pass);
	TEST(a_due_time_past_the_end_of_the_clock_is_never);
	return 0;
}
