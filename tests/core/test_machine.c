/* SPDX-License-Identifier: MIT */
/*
 * What a simulated operation costs: machines so small that every time can be worked out by
 * hand, to the picosecond. Prices are different primes (machine_support.c).
 */
#include "machine_support.h"

static struct setup setup;
static struct machine_prices p; /* of the machine of the test */

static void begin(const char *design, uint32_t cpus)
{
	setup_init(&setup, design, cpus);
	p = setup.config.prices;
}

/* So many requests of `pages`, all submitted at `start` on one CPU, that return to another. */
static struct machine_flow *add_burst(uint16_t submit_cpu, uint16_t complete_cpu, uint64_t pages,
				      uint32_t requests, uint64_t start)
{
	struct machine_flow *flow =
		add_request(&setup, submit_cpu, complete_cpu, pages, start, MS_IN_PS);
	flow->depth = requests;
	return flow;
}

static uint64_t source_time(const struct machine *machine, enum machine_source source)
{
	return machine_read_totals(machine).cpu[source];
}

static uint64_t steps_of(const struct machine *machine)
{
	return counters_of_machine(machine).tree_steps;
}

/* The machine's n-th round trip ends with the completion at t, not earlier. */
static void check_nth_completion(struct machine *machine, uint64_t n, uint64_t t)
{
	run_to(machine, t - 1);
	CHECK_EQ(machine_read_totals(machine).requests, n - 1);
	run_to(machine, t);
	CHECK_EQ(machine_read_totals(machine).requests, n);
}

/* An allocation that finds nothing cached: the depot is looked at, then the tree. */
static uint64_t miss(uint64_t steps)
{
	return p.alloc_hit + p.lock + p.lock + p.tree_alloc + steps * p.tree_step;
}

/* --------------------------------------------------------------------- a closed loop */

static void one_lane_goes_round_at_the_price_of_its_calls(void)
{
	begin("unbounded", 1);
	set_latency(&setup, add_flow(&setup, 0, 0), 1000);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 1);
	/* Linux looks at the anchor, below which there is room at once. */
	CHECK_EQ(steps_of(machine), 1);
	uint64_t t = miss(1) + 1000;
	check_nth_completion(machine, 1, t);
	for (uint64_t n = 2; n < 20; n++) {
		t += p.free_hit + p.alloc_hit + 1000;
		check_nth_completion(machine, n, t);
	}
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.operations, 19 + 19);
	CHECK_EQ(totals.cpu[MACHINE_ALLOC], miss(1) + 18 * p.alloc_hit);
	CHECK_EQ(totals.cpu[MACHINE_FREE], 19 * p.free_hit);
	CHECK_EQ(totals.cpu[MACHINE_RECLAIM] + totals.cpu[MACHINE_TIMER], 0);
	CHECK_EQ(totals.busy, totals.cpu[MACHINE_ALLOC] + totals.cpu[MACHINE_FREE]);
	CHECK_EQ(totals.alloc_longest, miss(1));
	CHECK_EQ(totals.free_longest, p.free_hit);
	CHECK_EQ(totals.lines + totals.lines_far, 0);
	end_machine(&setup, machine);
}

static void work_beside_the_calls_takes_time_and_is_not_the_calls(void)
{
	begin("unbounded", 1);
	struct machine_flow *flow = add_flow(&setup, 0, 0);
	set_latency(&setup, flow, 1000);
	set_think(&setup, flow, 500);
	flow->submit_work = 7000;
	flow->complete_work = 3000;
	flow->start = 40;
	struct machine *machine = start_machine(&setup);
	uint64_t first = 40 + 500 + miss(1) + 7000 + 1000;
	check_nth_completion(machine, 1, first);
	check_nth_completion(machine, 2,
			     first + p.free_hit + 3000 + 500 + p.alloc_hit + 7000 + 1000);
	CHECK_EQ(source_time(machine, MACHINE_ALLOC), miss(1) + p.alloc_hit);
	CHECK_EQ(source_time(machine, MACHINE_FREE), 2 * p.free_hit);
	CHECK_EQ(machine_read_totals(machine).busy,
		 miss(1) + p.alloc_hit + 2 * p.free_hit + 2 * 7000 + 2 * 3000);
	end_machine(&setup, machine);
}

static void times_of_calls_are_counted_in_their_buckets(void)
{
	begin("unbounded", 1);
	setup.config.prices.free_hit = 15;
	setup.config.prices.alloc_hit = 1000;
	set_latency(&setup, add_flow(&setup, 0, 0), 1000);
	p = setup.config.prices;
	struct machine *machine = start_machine(&setup);
	run_to(machine, 100 * US_IN_PS);
	uint64_t n = machine_read_totals(machine).requests;
	/* 1000 = (16 + 15) << 5 and a rest; below 16 each has its own. */
	CHECK_EQ(machine_alloc_times(machine)[16 * 6 + 15], n);
	/* The first takes longer: 1164 = (16 + 2) << 6 and a rest. */
	CHECK_EQ(miss(1), 1164);
	CHECK_EQ(machine_alloc_times(machine)[16 * 7 + 2], 1);
	CHECK_EQ(machine_free_times(machine)[15], n);
	end_machine(&setup, machine);
}

static void a_long_call_is_counted_in_a_bucket_of_its_length(void)
{
	begin("unbounded", 1);
	setup.config.prices.lock = MACHINE_MAX_PRICE;
	add_request(&setup, 0, 0, 1, 0, 0);
	p = setup.config.prices;
	struct machine *machine = start_machine(&setup);
	run_to(machine, S_IN_PS);
	/* 2000000137 = (16 + 13) << 26 and a rest. */
	CHECK_EQ(miss(1), 2000000137);
	CHECK_EQ(machine_alloc_times(machine)[16 * 27 + 13], 1);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------ magazines */

static void full_magazines_are_swapped_then_pushed(void)
{
	begin("unbounded", 1);
	add_burst(0, 0, 1, 255, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 10 * MS_IN_PS);
	CHECK_EQ(source_time(machine, MACHINE_ALLOC),
		 255 * miss(0) + steps_of(machine) * p.tree_step);
	/* The 128th finds the loaded one full, the 255th both. */
	CHECK_EQ(source_time(machine, MACHINE_FREE),
		 255 * p.free_hit + p.swap + p.magazine_new + p.lock + p.depot);
	CHECK_EQ(machine_read_totals(machine).free_longest,
		 p.free_hit + p.magazine_new + p.lock + p.depot);
	CHECK_EQ(machine_depot(machine, 0, 0), 1);
	end_machine(&setup, machine);
}

static void empty_magazines_are_swapped_then_exchanged_for_a_full_one(void)
{
	begin("unbounded", 1);
	add_burst(0, 0, 1, 255, 0);
	add_burst(0, 0, 1, 255, 10 * MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 10 * MS_IN_PS - 1);
	uint64_t before = source_time(machine, MACHINE_ALLOC), steps = steps_of(machine);
	run_to(machine, 10 * MS_IN_PS + 100 * US_IN_PS);
	CHECK_EQ(steps_of(machine), steps);
	CHECK_EQ(source_time(machine, MACHINE_ALLOC) - before,
		 255 * p.alloc_hit + p.swap + p.lock + p.depot + p.magazine_free);
	CHECK_EQ(machine_depot(machine, 0, 0), 0);
	end_machine(&setup, machine);
}

/* CPU 0 fills a depot; CPU 1 allocates once, from a magazine that CPU 0 wrote. */
static uint64_t price_of_the_others_magazine(uint32_t cpus_per_node)
{
	begin("unbounded", 2);
	setup.config.cpus_per_node = cpus_per_node;
	add_burst(0, 0, 1, 255, 0);
	add_request(&setup, 1, 1, 1, 10 * MS_IN_PS, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 10 * MS_IN_PS - 1);
	uint64_t before = source_time(machine, MACHINE_ALLOC);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.lines + totals.lines_far, 0);
	run_to(machine, 10 * MS_IN_PS + US_IN_PS);
	totals = machine_read_totals(machine);
	CHECK_EQ(cpus_per_node == 2 ? totals.lines : totals.lines_far, 2 + 16);
	CHECK_EQ(totals.lines + totals.lines_far, 2 + 16);
	uint64_t price = source_time(machine, MACHINE_ALLOC) - before;
	CHECK_EQ(counters_of_machine(machine).hits_depot, 1);
	end_machine(&setup, machine);
	return price;
}

static void a_magazine_that_another_cpu_filled_comes_line_by_line(void)
{
	uint64_t own = prime_prices(1).alloc_hit + prime_prices(1).lock + prime_prices(1).depot +
		       prime_prices(1).magazine_free;
	CHECK_EQ(price_of_the_others_magazine(2), own + 2 * p.line + 16 * p.line_ahead);
	CHECK_EQ(price_of_the_others_magazine(1), own + 2 * p.line_far + 16 * p.line_ahead_far);
}

/* CPU 1 lets go of an empty magazine, and CPU 0 needs one later. */
static void a_magazine_that_another_cpu_gave_back_comes_line_by_line(void)
{
	begin("unbounded", 2);
	add_burst(0, 0, 1, 255, 0);
	add_burst(1, 0, 1, 127, 10 * MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 11 * MS_IN_PS);
	uint64_t before = source_time(machine, MACHINE_FREE);
	run_to(machine, 20 * MS_IN_PS);
	CHECK_EQ(machine_depot(machine, 0, 0), 1);
	CHECK_EQ(source_time(machine, MACHINE_FREE) - before,
		 127 * p.free_hit + p.magazine_new + 16 * p.line + 2 * p.line + p.lock + p.depot);
	end_machine(&setup, machine);
}

/* ----------------------------------------------------------------------------- scans */

static void entries_above_the_limit_are_passed_over_one_by_one(void)
{
	begin("unbounded", 1);
	struct machine_flow *high = add_burst(0, 0, 1, 5, 0);
	high->limit = LIMIT64;
	add_request(&setup, 0, 0, 1, 10 * MS_IN_PS, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 10 * MS_IN_PS - 1);
	uint64_t before = source_time(machine, MACHINE_ALLOC), steps = steps_of(machine);
	run_to(machine, 10 * MS_IN_PS + US_IN_PS);
	/* None of the five will do, and the tree's turn has come: the depot is not asked. */
	CHECK_EQ(source_time(machine, MACHINE_ALLOC) - before,
		 p.alloc_hit + 5 * p.scan + p.lock + p.tree_alloc +
			 (steps_of(machine) - steps) * p.tree_step);
	end_machine(&setup, machine);
}

static void a_scan_ends_at_the_first_entry_that_will_do(void)
{
	begin("unbounded", 1);
	add_burst(0, 0, 1, 2, 0);
	struct machine_flow *high = add_burst(0, 0, 1, 5, 100 * US_IN_PS);
	high->limit = LIMIT64;
	add_request(&setup, 0, 0, 1, 10 * MS_IN_PS, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 10 * MS_IN_PS - 1);
	uint64_t before = source_time(machine, MACHINE_ALLOC);
	run_to(machine, 10 * MS_IN_PS + US_IN_PS);
	CHECK_EQ(source_time(machine, MACHINE_ALLOC) - before, p.alloc_hit + 5 * p.scan);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------------ tree */

/* 64 pages are too large for the caches. */
static void begin_tree(uint32_t requests)
{
	begin("unbounded", 1);
	setup.config.prices.tree_near = 2;
	setup.config.prices.tree_step = 100;
	setup.config.prices.tree_step_far = 104;
	setup.config.prices.tree_level = 200;
	setup.config.prices.tree_level_far = 208;
	p = setup.config.prices;
	add_burst(0, 0, 64, requests, 0);
}

static void nodes_cost_more_the_more_ranges_there_are(void)
{
	begin_tree(3);
	struct machine *machine = start_machine(&setup);
	run_to(machine, MS_IN_PS / 2);
	/* With the anchor 2, 3 and 4 ranges: of those beyond two 0/2, 1/3, 2/4 are far. */
	CHECK_EQ(steps_of(machine), 1 + 1 + 1);
	CHECK_EQ(source_time(machine, MACHINE_ALLOC),
		 3 * (p.alloc_hit + p.lock + p.tree_alloc) + 100 + 101 + 102);
	run_to(machine, 10 * MS_IN_PS);
	/* 3, 2 and 1 are left: numbers of 2, 2 and 1 bits, and 1/3 of one level's price. */
	CHECK_EQ(source_time(machine, MACHINE_FREE),
		 3 * (p.free_hit + p.lock + p.tree_free) + 2 * 202 + 2 * 200 + 1 * 200);
	end_machine(&setup, machine);
}

static void our_index_has_prices_of_its_own(void)
{
	begin_tree(3);
	setup.config.indexed = true;
	struct machine *machine = start_machine(&setup);
	run_to(machine, 10 * MS_IN_PS);
	CHECK_EQ(source_time(machine, MACHINE_ALLOC), 3 * (p.alloc_hit + p.lock + p.index_alloc));
	CHECK_EQ(source_time(machine, MACHINE_FREE), 3 * (p.free_hit + p.lock + p.index_free));
	end_machine(&setup, machine);
}

static void a_failed_walk_costs_its_steps(void)
{
	begin("unbounded", 1);
	struct machine_flow *flow = add_request(&setup, 0, 0, 64, 0, MS_IN_PS);
	flow->limit = 40; /* no 64 frames there */
	struct machine *machine = start_machine(&setup);
	run_to(machine, MS_IN_PS);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.failed, 1);
	CHECK_EQ(totals.requests, 1);
	CHECK_EQ(totals.operations, 1);
	/*
	 * The tree, in vain; six classes' two magazines and their depots, in vain; the tree
	 * again, which knows by now that such a size has failed.
	 */
	CHECK_EQ(steps_of(machine), 1);
	CHECK_EQ(totals.cpu[MACHINE_ALLOC], p.alloc_hit + p.lock + p.tree_alloc + p.tree_step +
						    6 * (2 * p.lock + p.lock) + p.lock);
	end_machine(&setup, machine);
}

int main(void)
{
	TEST(one_lane_goes_round_at_the_price_of_its_calls);
	TEST(work_beside_the_calls_takes_time_and_is_not_the_calls);
	TEST(times_of_calls_are_counted_in_their_buckets);
	TEST(a_long_call_is_counted_in_a_bucket_of_its_length);
	TEST(full_magazines_are_swapped_then_pushed);
	TEST(empty_magazines_are_swapped_then_exchanged_for_a_full_one);
	TEST(a_magazine_that_another_cpu_filled_comes_line_by_line);
	TEST(a_magazine_that_another_cpu_gave_back_comes_line_by_line);
	TEST(entries_above_the_limit_are_passed_over_one_by_one);
	TEST(a_scan_ends_at_the_first_entry_that_will_do);
	TEST(nodes_cost_more_the_more_ranges_there_are);
	TEST(our_index_has_prices_of_its_own);
	TEST(a_failed_walk_costs_its_steps);
	return 0;
}
