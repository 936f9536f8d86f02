/* SPDX-License-Identifier: MIT */
/* What a replay does as its clock goes on: jobs, gauges, integrals, samples, maps. */
#include "range_index.h"
#include "replay_table.h"

/* --------------------------------------------------------------- gauges and integrals */

static void gauges_and_integrals_follow_the_clock(void)
{
	struct replay *replay = begin(plain());
	add_alloc(100, 0, 0, 4);
	add_alloc(110, 0, 1, 3);
	add_free(130, 0, 0); /* 4 pages cached for 20 ns */
	add_alloc(150, 0, 0, 4);
	add_free(160, 0, 0); /* 4 pages for 10 ns */
	add_free(170, 0, 1); /* 8 pages for 30 ns */
	feed(replay);
	CHECK_EQ(replay_advance(replay, 200), REPLAY_OK);
	CHECK_EQ(replay_advance(replay, 199), REPLAY_TIME_BACK);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.cached_page_ns, 4 * 20 + 4 * 10 + 8 * 30);
	CHECK_EQ(totals.depot_ns, 0);
	CHECK_EQ(totals.live_pages, 0);
	CHECK_EQ(totals.live_pages_peak, 8);
	CHECK_EQ(totals.live_ranges_peak, 2);
	CHECK_EQ(totals.cached_pages, 8);
	CHECK_EQ(totals.cached_pages_peak, 8);
	CHECK_EQ(totals.ranges_peak, 2);
	CHECK_EQ(totals.magazines_peak, 24);
	CHECK_EQ(totals.depot_peak, 0);
	CHECK_EQ(totals.t_first, 100);
	CHECK_EQ(totals.t_last, 200);
	end(replay);
}

static void jobs_run_at_their_virtual_deadlines(void)
{
	const int64_t ms = 1000000;
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 1;
	struct replay *replay = begin(config);
	add_depot(0, 3);
	feed(replay);
	CHECK_EQ(replay_advance(replay, 100 * ms - 1), REPLAY_OK);
	CHECK_EQ(replay_read_totals(replay).runs, 0);
	CHECK_EQ(replay_advance(replay, 250 * ms), REPLAY_OK);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.runs, 2);
	CHECK_EQ(totals.depot_peak, 3);
	CHECK_EQ(totals.depot_ns, (3 * 100 + 2 * 100 + 1 * 50) * ms);
	CHECK_EQ(totals.cached_page_ns,
		 ((4 * FULL + 1) * 100 + (3 * FULL + 1) * 100 + (2 * FULL + 1) * 50) * MS);
	CHECK_EQ(totals.magazines_peak, 12 + 3);
	CHECK_EQ(replay_read_counters(replay, 0).reclaimed, 2);
	CHECK_EQ(replay_read_counters(replay, 0).depot, 1);
	end(replay);
}

static void a_job_runs_before_a_row_of_the_same_time(void)
{
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 1;
	struct replay *replay = begin(config);
	add_depot(0, 2);
	feed(replay);
	/* 2 FULL + 1 are left after the run; the one after those comes from the tree. */
	for (uint32_t slot = 0; slot < 2 * FULL + 2; slot++)
		add_alloc(100000000, 0, slot, 1);
	feed(replay);
	CHECK_EQ(replay_read_counters(replay, 0).reclaimed, 1);
	CHECK_EQ(replay_read_counters(replay, 0).tree_allocations, 3 * FULL + 2);
	end(replay);
}

static void recorded_reclaim_runs_at_its_rows_and_not_at_deadlines(void)
{
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 1;
	config.recorded_reclaim = true;
	struct replay *replay = begin(config);
	add_depot(0, 3);
	add((struct row){ 5000000000, OP_RECLAIM, .size = 1 });
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).runs, 1);
	CHECK_EQ(replay_read_counters(replay, 0).depot, 2);
	add((struct row){ 5000000001, OP_RECLAIM, .size = 0 }); /* class unknown */
	add((struct row){ 5000000001, OP_RECLAIM, .size = 2 }); /* has nothing to do */
	add((struct row){ 5000000002, OP_RECLAIM, .size = 1 });
	add((struct row){ 9000000000, OP_RECLAIM, .size = 1 });
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).runs, 4);
	CHECK_EQ(replay_read_counters(replay, 0).depot, 1);
	CHECK_EQ(replay_read_counters(replay, 0).reclaimed, 2);
	end(replay);
}

static void CPUs_come_and_go_by_their_rows(void)
{
	struct replay *replay = begin(plain());
	add_alloc(0, 1, 0, 1);
	add_free(1, 1, 0);
	add((struct row){ 2, OP_CPU_OFFLINE, .cpu = 0, .n = 1 });
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).cached_pages, 0);
	CHECK_EQ(replay_read_counters(replay, 0).tree_frees, 1);
	add((struct row){ 3, OP_CPU_ONLINE, .cpu = 0, .n = 1 });
	add_alloc(4, 0, 0, 1);
	add_free(4, 1, 0);
	add((struct row){ 5, .op = OP_FLUSH_CACHES });
	feed(replay);
	CHECK_EQ(replay_read_counters(replay, 0).tree_frees, 2);
	end(replay);
}

static void reserved_pages_are_neither_live_nor_cached(void)
{
	struct replay *replay = begin(plain());
	add((struct row){ 0, OP_RESERVE, .pfn = 1000, .last = 1999 });
	add_alloc(1, 0, 0, 8);
	add_free(2, 0, 0);
	feed(replay);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.cached_pages, 8);
	CHECK_EQ(totals.live_pages_peak, 8);
	CHECK_EQ(totals.ranges_peak, 2);
	end(replay);
}

/* --------------------------------------------------------------------------- samples */

static void samples_show_the_state_before_their_time(void)
{
	struct replay_config config = plain();
	config.sample_ns = 100;
	config.max_samples = 10;
	config.count_steps = true;
	struct replay *replay = begin(config);
	add_alloc(1000, 0, 0, 4);
	add_alloc(1100, 0, 1, 2); /* at a sample's time: after it */
	add_free(1250, 0, 0);
	add_alloc(1251, 0, 0, 4);
	feed(replay);
	CHECK_EQ(replay_advance(replay, 1300), REPLAY_OK);
	const struct replay_sample *s = replay_samples(replay);
	CHECK_EQ(replay_sample_count(replay), 4);
	for (int64_t i = 0; i < 4; i++)
		CHECK_EQ(s[i].t, 1000 + 100 * i);
	CHECK_EQ(s[0].live_pages, 0);
	CHECK_EQ(s[0].tree_allocations, 0);
	CHECK_EQ(s[0].tree_bytes, 0);
	CHECK_EQ(s[1].live_pages, 4);
	CHECK_EQ(s[1].magazines, 24);
	CHECK_EQ(s[1].tree_bytes, sizeof(struct index_leaf));
	CHECK_EQ(s[1].linux_bytes, 24 * 1024 + LINUX_RANGE_BYTES);
	CHECK_EQ(s[2].live_pages, 6);
	CHECK_EQ(s[2].tree_allocations, 2);
	CHECK_EQ(s[2].tree_steps, 2);
	CHECK_EQ(s[2].hits_loaded, 0);
	CHECK_EQ(s[3].live_pages, 6);
	CHECK_EQ(s[3].cached_pages, 0);
	CHECK_EQ(s[3].hits_loaded, 1);
	CHECK(replay_cpu_pages(replay) == NULL);
	CHECK(replay_maps(replay) == NULL);
	end(replay);
}

static void a_job_runs_before_a_sample_of_the_same_time(void)
{
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 1;
	config.sample_ns = 100000000;
	config.max_samples = 10;
	struct replay *replay = begin(config);
	add_depot(0, 3);
	feed(replay);
	CHECK_EQ(replay_advance(replay, 200000000), REPLAY_OK);
	const struct replay_sample *s = replay_samples(replay);
	CHECK_EQ(replay_sample_count(replay), 3);
	CHECK_EQ(s[1].reclaimed, 1);
	CHECK_EQ(s[1].depot[0], 2);
	CHECK_EQ(s[1].depot[1], 0);
	CHECK_EQ(s[2].reclaimed, 2);
	CHECK_EQ(s[2].tree_frees, 2 * FULL);
	CHECK_EQ(s[2].cached_pages, 2 * FULL + 1);
	end(replay);
}

static void more_samples_than_allowed_are_an_error(void)
{
	struct replay_config config = plain();
	config.sample_ns = 1;
	config.max_samples = 5;
	struct replay *replay = begin(config);
	size_t row;
	add_alloc(0, 0, 0, 1);
	add_alloc(1000000000000, 0, 1, 1);
	struct replay_events events = rows_from(0, 2);
	CHECK_EQ(replay_feed(replay, &events, &row), REPLAY_SAMPLES);
	CHECK_EQ(row, 1);
	CHECK_EQ(replay_sample_count(replay), 5);
	end(replay);
}

static void samples_stop_at_the_end_of_the_clock(void)
{
	struct replay_config config = plain();
	config.sample_ns = INT64_MAX / 2 + 1;
	config.max_samples = 5;
	struct replay *replay = begin(config);
	add_alloc(0, 0, 0, 1);
	add_alloc(INT64_MAX - 1, 0, 1, 1);
	add_alloc(INT64_MAX, 0, 2, 1);
	feed(replay);
	CHECK_EQ(replay_sample_count(replay), 2);
	end(replay);
}

static void samples_tell_the_pages_in_each_CPU_s_magazines(void)
{
	struct replay_config config = plain();
	config.sample_ns = 100;
	config.max_samples = 10;
	config.sample_cpus = true;
	struct replay *replay = begin(config);
	for (uint32_t slot = 0; slot < 3; slot++)
		add_alloc(0, 0, slot, 4);
	add_free(1, 1, 0);
	add_free(1, 1, 1);
	add_free(1, 0, 2);
	feed(replay);
	CHECK_EQ(replay_advance(replay, 100), REPLAY_OK);
	const uint32_t *pages = replay_cpu_pages(replay);
	CHECK_EQ(pages[0], 0);
	CHECK_EQ(pages[1], 0);
	CHECK_EQ(pages[2], 4);
	CHECK_EQ(pages[3], 8);
	end(replay);
}

static void tables_may_go_with_some_samples_only_and_group_CPUs(void)
{
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 5;
	config.sample_ns = 100;
	config.max_samples = 200;
	config.sample_cpus = true;
	config.table_every = 3;
	config.cpu_rows = 2; /* CPUs 0..2 and 3, 4 */
	config.map_bins = 1;
	config.map_last = LIMIT32;
	struct replay *replay = begin(config);
	for (uint16_t cpu = 0; cpu < 5; cpu++)
		add_alloc(0, cpu, cpu, 4);
	for (uint16_t cpu = 0; cpu < 5; cpu++)
		add_free(250, cpu, cpu);
	feed(replay);
	CHECK_EQ(replay_advance(replay, 13000), REPLAY_OK);
	CHECK_EQ(replay_sample_count(replay), 131);
	CHECK_EQ(replay_table_count(replay), 44); /* samples 0, 3, 6 ... 129 */
	const uint32_t *pages = replay_cpu_pages(replay), *maps = replay_maps(replay);
	CHECK_EQ(pages[0], 0);
	CHECK_EQ(maps[1], 0);
	for (uint32_t i = 1; i < 44; i++) {
		CHECK_EQ(pages[2 * i], 12);
		CHECK_EQ(pages[2 * i + 1], 8);
		CHECK_EQ(maps[2 * i], 20);
		CHECK_EQ(maps[2 * i + 1], 20);
	}
	CHECK_EQ(replay_cpu_rows(&config), 2);
	config.cpu_rows = 9;
	CHECK_EQ(replay_cpu_rows(&config), 5);
	end(replay);
}

static void maps_tell_which_pages_are_taken_and_which_of_them_cached(void)
{
	struct replay_config config = plain();
	config.sample_ns = 100;
	config.max_samples = 10;
	config.map_bins = 3; /* 10..20, 21..31, 32..42 */
	config.map_first = 10;
	config.map_last = 40;
	struct replay *replay = begin(config);
	add((struct row){ 0, OP_RESERVE, .pfn = 2, .last = 11 });
	add((struct row){ 1, OP_ALLOC, 0, 0, 8, .limit = 63 });	 /* 56..63: outside */
	add((struct row){ 1, OP_ALLOC, 0, 1, 4, .limit = 31 });	 /* 28..31 */
	add((struct row){ 1, OP_ALLOC, 0, 2, 8, .limit = 24 });	 /* 16..23: two bins */
	add((struct row){ 1, OP_RESERVE, .pfn = 39, .last = 50 }); /* 39, 40 inside */
	add_free(2, 0, 2);
	add_free(2, 0, 0);
	feed(replay);
	CHECK_EQ(table.result[2], 28);
	CHECK_EQ(table.result[3], 16);
	CHECK_EQ(replay_advance(replay, 100), REPLAY_OK);
	const uint32_t *taken = replay_maps(replay) + 6, *cached = taken + 3;
	CHECK_EQ(taken[0], 2 + 5);
	CHECK_EQ(taken[1], 3 + 4);
	CHECK_EQ(taken[2], 2);
	CHECK_EQ(cached[0], 5);
	CHECK_EQ(cached[1], 3);
	CHECK_EQ(cached[2], 0);
	end(replay);
}

static void maps_see_the_depot_too(void)
{
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 1;
	config.sample_ns = 100;
	config.max_samples = 10;
	config.map_bins = 1;
	config.map_last = LIMIT32;
	struct replay *replay = begin(config);
	add_depot(0, 2);
	feed(replay);
	CHECK_EQ(replay_advance(replay, 100), REPLAY_OK);
	const uint32_t *taken = replay_maps(replay) + 2;
	CHECK_EQ(taken[0], 3 * FULL + 1);
	CHECK_EQ(taken[1], 3 * FULL + 1);
	end(replay);
}

static void a_map_may_cover_all_of_the_address_space(void)
{
	static const struct replay_domain_config bytes[] = { { 1, 1 } };
	for (uint32_t bins = 1; bins <= 9; bins++) {
		struct replay_config config = plain();
		config.domains = bytes;
		config.sample_ns = 100;
		config.max_samples = 2;
		config.map_bins = bins;
		config.map_last = UINT64_MAX;
		struct replay *replay = begin(config);
		add((struct row){ 0, OP_ALLOC, 0, 0, 1, .limit = 5 });
		add((struct row){ 1, OP_ALLOC, 0, 1, 1, .limit = UINT64_MAX - 1 });
		feed(replay);
		CHECK_EQ(table.result[1], UINT64_MAX - 1);
		CHECK_EQ(replay_advance(replay, 100), REPLAY_OK);
		const uint32_t *taken = replay_maps(replay) + 2 * bins;
		CHECK_EQ(taken[0], bins == 1 ? 2 : 1);
		CHECK_EQ(taken[bins - 1], bins == 1 ? 2 : 1);
		end(replay);
	}
}

static void a_bin_that_covers_more_than_it_can_count_says_the_most_it_can(void)
{
	struct replay_config config = plain();
	config.sample_ns = 100;
	config.max_samples = 2;
	config.map_bins = 2;
	config.map_last = (UINT64_C(1) << 52) - 1;
	struct replay *replay = begin(config);
	add((struct row){ 0, OP_RESERVE, .pfn = 1, .last = UINT64_C(1) << 40 });
	add((struct row){ 0, OP_RESERVE, .pfn = UINT64_C(1) << 41, .last = UINT64_C(1) << 42 });
	feed(replay);
	CHECK_EQ(replay_advance(replay, 100), REPLAY_OK);
	CHECK_EQ(replay_maps(replay)[4], UINT32_MAX);
	CHECK_EQ(replay_maps(replay)[5], 0);
	end(replay);
}

int main(void)
{
	TEST(gauges_and_integrals_follow_the_clock);
	TEST(jobs_run_at_their_virtual_deadlines);
	TEST(a_job_runs_before_a_row_of_the_same_time);
	TEST(recorded_reclaim_runs_at_its_rows_and_not_at_deadlines);
	TEST(CPUs_come_and_go_by_their_rows);
	TEST(reserved_pages_are_neither_live_nor_cached);
	TEST(samples_show_the_state_before_their_time);
	TEST(a_job_runs_before_a_sample_of_the_same_time);
	TEST(more_samples_than_allowed_are_an_error);
	TEST(samples_stop_at_the_end_of_the_clock);
	TEST(samples_tell_the_pages_in_each_CPU_s_magazines);
	TEST(tables_may_go_with_some_samples_only_and_group_CPUs);
	TEST(maps_tell_which_pages_are_taken_and_which_of_them_cached);
	TEST(maps_see_the_depot_too);
	TEST(a_map_may_cover_all_of_the_address_space);
	TEST(a_bin_that_covers_more_than_it_can_count_says_the_most_it_can);
	return 0;
}
