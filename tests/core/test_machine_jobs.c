/* SPDX-License-Identifier: MIT */
/*
 * Reclaim in the simulated machine: when a design's job runs, on which CPU, and what it
 * costs. Prices are primes of ns.
 */
#include "machine_support.h"

#define DELAY MS_IN_PS

static struct setup setup;
static struct machine_prices p; /* of the machine of the test */

static void begin(uint32_t cpus)
{
	setup_init(&setup, "linux-6.12", cpus);
	setup.config.prices = p = prime_prices(NS_IN_PS);
	const uint64_t params[] = { 1, 0, 1, 1 }; /* 1 ms, any depot, one magazine, again */
	memcpy(setup.params, params, sizeof(params));
	setup.config.params = setup.params;
}

/* So many requests, submitted on CPU 0 at `start`, that return to a CPU. */
static void add_burst(uint16_t complete_cpu, uint32_t requests, uint64_t start)
{
	add_request(&setup, 0, complete_cpu, 1, start, MS_IN_PS)->depth = requests;
}

/* 255 frees on a CPU: the last pushes a magazine. Its time, for the machine that was run. */
static uint64_t time_of_push(void)
{
	return (uint64_t)nth_row(OP_FREE, 254)->t * NS_IN_PS;
}

/* One magazine taken from a depot and emptied; so many ranges are left in the tree. */
static uint64_t tree_hold(unsigned bits_of_rest)
{
	return p.lock + 127 * (p.tree_free + bits_of_rest * p.tree_level);
}

static uint64_t run_price(unsigned bits_of_rest)
{
	return p.job + p.lock + p.lock + p.depot + tree_hold(bits_of_rest) + p.magazine_free;
}

/* --------------------------------------------------------------------------- its time */

static void the_job_runs_its_delay_after_the_push_and_again_while_it_reclaims(void)
{
	begin(1);
	add_burst(0, 255, 0);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, MS_IN_PS + MS_IN_PS / 2, UINT64_MAX, 0);
	uint64_t due = time_of_push() + DELAY;
	run_rows(machine, due - 1, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).job_runs, 0);
	CHECK_EQ(machine_depot(machine, 0, 0), 1);
	run_rows(machine, due + DELAY - 1, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).job_runs, 1);
	CHECK_EQ(machine_depot(machine, 0, 0), 0);
	run_rows(machine, due + 10 * DELAY, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).job_runs, 2);
	/* The second found nothing, and rests. */
	CHECK_EQ(machine_read_totals(machine).cpu[MACHINE_RECLAIM],
		 run_price(8) + p.job + p.lock);
	CHECK_EQ(counters_of_machine(machine).reclaimed, 1);
	end_machine(&setup, machine);
}

static void a_magazine_is_erased_in_one_hold_of_the_tree_lock(void)
{
	begin(1);
	add_burst(0, 255, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 3 * MS_IN_PS);
	/* 128 ranges and the anchor are left: a number of 8 bits. */
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.lock[MACHINE_LOCK_TREE].held_longest, tree_hold(8));
	CHECK_EQ(totals.lock[MACHINE_LOCK_TREE].taken, 255 + 1);
	CHECK_EQ(totals.job_longest, run_price(8));
	end_machine(&setup, machine);
}

/* --------------------------------------------------------------------------- its CPU */

/* A request on `probe` that comes when the job has just begun: how long it has to wait. */
static uint64_t delay_of_a_probe(uint16_t arms_on, uint16_t probe)
{
	uint64_t due = 0, begun = 0;
	for (int run = 0; run < 2; run++) {
		begin(3);
		add_burst(arms_on, 255, 0);
		if (run)
			add_request(&setup, probe, 0, 4, due + NS_IN_PS, 10 * MS_IN_PS);
		struct machine *machine = start_machine(&setup);
		run_rows(machine, 5 * MS_IN_PS, UINT64_MAX, 0);
		due = run ? due : time_of_push() + DELAY;
		begun = (uint64_t)nth_row(OP_ALLOC, run ? 255 : 0)->t * NS_IN_PS;
		end_machine(&setup, machine);
	}
	return begun - (due + NS_IN_PS);
}

static void the_job_runs_on_the_cpu_that_armed_it(void)
{
	CHECK_EQ(delay_of_a_probe(0, 0), run_price(8) - NS_IN_PS);
	CHECK_EQ(delay_of_a_probe(0, 1), 0);
	/* CPU 0 made the ranges: the tree's lines come from there. */
	CHECK_EQ(delay_of_a_probe(1, 1), run_price(8) + 2 * p.line - NS_IN_PS);
	CHECK_EQ(delay_of_a_probe(1, 0), 0);
}

static void the_magazine_that_was_pushed_last_comes_from_who_pushed_it(void)
{
	begin(2);
	add_burst(0, 255, 0);
	add_burst(1, 255, 100 * US_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 2 * MS_IN_PS + MS_IN_PS / 4);
	CHECK_EQ(machine_read_totals(machine).job_runs, 1);
	/* CPU 0 armed it; CPU 1 pushed later. 383 ranges and the anchor are left. */
	CHECK_EQ(machine_read_totals(machine).job_longest,
		 run_price(9) + 2 * p.line + 16 * p.line_ahead);
	end_machine(&setup, machine);
}

static void a_job_waits_for_its_cpu_to_finish(void)
{
	begin(1);
	add_burst(0, 255, 0);
	add_request(&setup, 0, 0, 1, 1900 * US_IN_PS, MS_IN_PS)->submit_work = MS_IN_PS;
	struct machine *machine = start_machine(&setup);
	run_to(machine, 2890 * US_IN_PS);
	CHECK_EQ(machine_read_totals(machine).job_runs, 0);
	run_to(machine, 2910 * US_IN_PS);
	CHECK_EQ(machine_read_totals(machine).job_runs, 1);
	end_machine(&setup, machine);
}

/* --------------------------------------------------------------------------- rebinding */

/*
 * 255 lanes: those of the first domain return to CPU 1, which arms its job for 2.1 ms; the
 * domain is renewed at 1.6 ms; in the new one they return to CPU 0, at about 2.1 ms.
 */
static void a_job_of_a_domain_that_is_gone_is_forgotten_and_the_new_one_has_its_own_cpu(void)
{
	begin(2);
	struct machine_flow *flow = add_flow(&setup, 0, 1);
	flow->depth = 255;
	flow->queues = 2;
	setup.of_flow[0].complete_cpus[1] = 0;
	flow->resubmit_there = true;
	set_think(&setup, flow, MS_IN_PS);
	set_latency(&setup, flow, 20 * US_IN_PS);
	flow->rebind = 1600 * US_IN_PS;
	flow->on = 2200 * US_IN_PS;
	flow->off = FOR_EVER;
	struct machine *machine = start_machine(&setup);
	run_rows(machine, 3000 * US_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).rebinds, 1);
	CHECK_EQ(machine_read_totals(machine).job_runs, 0);
	CHECK_EQ(nth_row(OP_FREE, 254)->cpu, 1);
	const struct one_row *push = nth_row(OP_FREE, 255 + 254);
	CHECK_EQ(push->cpu, 0);
	uint64_t due = (uint64_t)push->t * NS_IN_PS + DELAY;
	run_rows(machine, due - 1, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).job_runs, 0);
	run_rows(machine, due + 95 * US_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).job_runs, 1);
	CHECK_EQ(machine_read_totals(machine).rebinds, 1);
	/* On CPU 0, which has the magazine's lines; CPU 1 had the tree's. */
	CHECK_EQ(machine_read_totals(machine).job_longest, run_price(8) + 2 * p.line);
	end_machine(&setup, machine);
}

int main(void)
{
	TEST(the_job_runs_its_delay_after_the_push_and_again_while_it_reclaims);
	TEST(a_magazine_is_erased_in_one_hold_of_the_tree_lock);
	TEST(the_job_runs_on_the_cpu_that_armed_it);
	TEST(the_magazine_that_was_pushed_last_comes_from_who_pushed_it);
	TEST(a_job_waits_for_its_cpu_to_finish);
	TEST(a_job_of_a_domain_that_is_gone_is_forgotten_and_the_new_one_has_its_own_cpu);
	return 0;
}
