/* SPDX-License-Identifier: MIT */
/*
 * Closed loops: which lane is submitted when and where, what its device and its driver do.
 * Prices are primes of ns, so that the rows' times are exact.
 */
#include "machine_support.h"

static struct setup setup;
static struct machine_prices p; /* of the machine of the test */

static void begin(const char *design, uint32_t cpus)
{
	setup_init(&setup, design, cpus);
	setup.config.prices = p = prime_prices(NS_IN_PS);
}

static uint64_t ps(int64_t ns)
{
	return (uint64_t)ns * NS_IN_PS;
}

static struct machine *run_all(uint64_t until)
{
	struct machine *machine = start_machine(&setup);
	run_rows(machine, until, UINT64_MAX, 0);
	return machine;
}

/* ------------------------------------------------------------------------- the device */

static void lanes_that_wait_for_the_device_go_first_come_first_served(void)
{
	begin("unbounded", 4);
	struct machine_flow *flow = add_flow(&setup, 0, 3);
	flow->submitters = flow->submit_cpu_count = 3;
	setup.of_flow[0].submit_cpus[1] = 2;
	setup.of_flow[0].submit_cpus[2] = 1;
	flow->in_flight = 1;
	flow->complete_work = 5 * US_IN_PS;
	set_latency(&setup, flow, 20 * US_IN_PS);
	struct machine *machine = run_all(MS_IN_PS);
	static const uint16_t order[] = { 0, 2, 1 };
	CHECK(rows_of(OP_ALLOC) > 30);
	for (size_t i = 0; i < 30; i++) {
		const struct one_row *row = nth_row(OP_ALLOC, i);
		CHECK_EQ(row->cpu, order[i % 3]);
		/* Room is there when the one before has been completed. */
		if (i > 0)
			CHECK_EQ(ps(row->t), ps(nth_row(OP_FREE, i - 1)->t_end) + 5 * US_IN_PS);
	}
	check_replay_of_rows(&setup, machine);
	end_machine(&setup, machine);
}

static void no_more_are_in_flight_than_the_device_takes(void)
{
	begin("unbounded", 4);
	struct machine_flow *flow = add_flow(&setup, 0, 3);
	flow->depth = 20;
	flow->in_flight = 7;
	set_latency(&setup, flow, MS_IN_PS);
	struct machine *machine = run_all(10 * MS_IN_PS);
	uint64_t live = 0, most = 0;
	for (size_t i = 0; i < row_count; i++) {
		live += rows[i].op == OP_ALLOC;
		live -= rows[i].op == OP_FREE;
		most = live > most ? live : most;
	}
	CHECK_EQ(most, 7);
	end_machine(&setup, machine);
}

static void the_device_serves_one_request_after_the_other(void)
{
	begin("unbounded", 5);
	struct machine_flow *flow = add_request(&setup, 0, 4, 1, 0, 3 * US_IN_PS);
	flow->submitters = flow->submit_cpu_count = 4;
	for (uint16_t i = 0; i < 4; i++)
		setup.of_flow[0].submit_cpus[i] = i;
	flow->service = 10 * US_IN_PS;
	flow->submit_work = US_IN_PS;
	struct machine *machine = run_all(MS_IN_PS);
	CHECK_EQ(rows_of(OP_FREE), 4);
	uint64_t first = ps(nth_row(OP_ALLOC, 0)->t_end) + US_IN_PS + 13 * US_IN_PS;
	for (uint64_t i = 0; i < 4; i++)
		CHECK_EQ(ps(nth_row(OP_FREE, i)->t), first + i * 10 * US_IN_PS);
	end_machine(&setup, machine);
}

static void a_completion_interrupts_the_cpu_of_its_queue(void)
{
	begin("unbounded", 4);
	struct machine_flow *flow = add_request(&setup, 0, 3, 1, 0, MS_IN_PS);
	flow->submitters = flow->submit_cpu_count = 4;
	for (uint16_t i = 0; i < 4; i++)
		setup.of_flow[0].submit_cpus[i] = i;
	flow->queues = 2;
	setup.of_flow[0].complete_cpus[1] = 1;
	struct machine *machine = run_all(5 * MS_IN_PS);
	for (size_t i = 0; i < 4; i++) {
		const struct one_row *free = nth_row(OP_FREE, i);
		size_t n = 0;
		while (nth_row(OP_ALLOC, n)->slot != free->slot)
			n++;
		CHECK_EQ(free->cpu, nth_row(OP_ALLOC, n)->cpu < 2 ? 3 : 1);
	}
	end_machine(&setup, machine);
}

static void a_lane_may_go_on_where_it_completed(void)
{
	begin("unbounded", 4);
	add_flow(&setup, 1, 2)->resubmit_there = true;
	set_latency(&setup, &setup.flows[0], MS_IN_PS);
	struct machine *machine = run_all(5 * MS_IN_PS);
	CHECK_EQ(nth_row(OP_ALLOC, 0)->cpu, 1);
	CHECK_EQ(nth_row(OP_ALLOC, 1)->cpu, 2);
	CHECK_EQ(nth_row(OP_ALLOC, 2)->cpu, 2);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------------- CPUs */

static void interrupts_come_before_tasks(void)
{
	begin("unbounded", 2);
	add_request(&setup, 0, 1, 1, 0, MS_IN_PS)->submit_work = 10 * US_IN_PS;
	add_request(&setup, 0, 1, 2, US_IN_PS, MS_IN_PS); /* its task comes first */
	add_request(&setup, 1, 0, 4, 0, 5 * US_IN_PS);	  /* its interrupt comes next */
	struct machine *machine = run_all(100 * US_IN_PS);
	const struct one_row *free = nth_row(OP_FREE, 0), *alloc = nth_row(OP_ALLOC, 2);
	uint64_t busy = ps(nth_row(OP_ALLOC, 0)->t_end) + 10 * US_IN_PS;
	CHECK_EQ(free->size, 4);
	CHECK_EQ(ps(free->t), busy);
	CHECK_EQ(alloc->size, 2);
	CHECK_EQ(ps(alloc->t), busy + p.free_hit);
	end_machine(&setup, machine);
}

static void submitters_start_on_the_flows_cpus_in_turn(void)
{
	begin("unbounded", 4);
	struct machine_flow *flow = add_request(&setup, 3, 0, 1, 0, MS_IN_PS);
	flow->submitters = 5;
	flow->depth = 2;
	flow->submit_cpu_count = 2;
	setup.of_flow[0].submit_cpus[1] = 1;
	struct machine *machine = run_all(MS_IN_PS / 2);
	uint64_t on[4] = { 0 };
	for (size_t i = 0; i < 10; i++)
		on[nth_row(OP_ALLOC, i)->cpu]++;
	CHECK_EQ(on[3], 6);
	CHECK_EQ(on[1], 4);
	end_machine(&setup, machine);
}

static void a_submitter_moves_to_another_cpu_after_its_time(void)
{
	begin("unbounded", 4);
	struct machine_flow *flow = add_flow(&setup, 0, 0);
	flow->submit_cpu_count = 4;
	for (uint16_t i = 0; i < 4; i++)
		setup.of_flow[0].submit_cpus[i] = i;
	flow->migrate = MS_IN_PS;
	set_latency(&setup, flow, 10 * US_IN_PS);
	struct machine *machine = run_all(60 * MS_IN_PS);
	uint64_t moved_at = 0, moves = 0, seen = 0;
	for (size_t i = 0; i < rows_of(OP_ALLOC) && i < 3000; i++) {
		const struct one_row *row = nth_row(OP_ALLOC, i);
		seen |= UINT64_C(1) << row->cpu;
		if (i == 0 || row->cpu == nth_row(OP_ALLOC, i - 1)->cpu)
			continue;
		CHECK(moves == 0 || ps(row->t) >= moved_at + MS_IN_PS);
		moved_at = ps(row->t);
		moves++;
	}
	CHECK_EQ(seen, 15);
	CHECK(moves > 10);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------------- time */

static void a_flow_submits_while_it_is_on(void)
{
	begin("unbounded", 2);
	struct machine_flow *flow = add_flow(&setup, 0, 1);
	set_latency(&setup, flow, 7 * US_IN_PS);
	flow->start = 300 * US_IN_PS;
	flow->on = 100 * US_IN_PS;
	flow->off = 900 * US_IN_PS;
	struct machine *machine = run_all(10 * MS_IN_PS);
	uint64_t bursts = 0;
	for (size_t i = 0; i < rows_of(OP_ALLOC); i++) {
		uint64_t since = (ps(nth_row(OP_ALLOC, i)->t) - flow->start) % MS_IN_PS;
		CHECK(since <= flow->on);
		bursts += since == 0;
	}
	CHECK_EQ(bursts, 10);
	CHECK(rows_of(OP_ALLOC) > 100);
	end_machine(&setup, machine);
}

static void times_are_spread_as_their_quantiles_say(void)
{
	begin("unbounded", 2);
	struct machine_flow *flow = add_flow(&setup, 0, 1);
	set_latency(&setup, flow, 0);
	uint64_t *latency = setup.of_flow[0].latency, sum = 0;
	/* Half of them between 0 and 1 us, half between 1 and 9 us. */
	for (uint64_t i = 0; i < MACHINE_QUANTILES; i++)
		latency[i] = i <= 512 ? i * US_IN_PS / 512 :
					US_IN_PS + (i - 512) * 8 * US_IN_PS / 512;
	struct machine *machine = run_all(30 * MS_IN_PS);
	size_t n = rows_of(OP_FREE), low = 0;
	size_t alloc = 0;
	for (size_t i = 0; i < row_count; i++) {
		if (rows[i].op == OP_ALLOC)
			alloc = i;
		if (rows[i].op != OP_FREE)
			continue;
		uint64_t took = ps(rows[i].t - rows[alloc].t_end);
		CHECK(took <= 9 * US_IN_PS);
		sum += took;
		low += took < US_IN_PS;
	}
	CHECK(n > 8000);
	CHECK(low > n * 47 / 100 && low < n * 53 / 100);
	/* (0.5 + 5) / 2 us */
	CHECK(sum / n > 2650 * NS_IN_PS && sum / n < 2850 * NS_IN_PS);
	end_machine(&setup, machine);
}

static void sizes_are_asked_for_by_weight_whatever_the_seed(void)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		snprintf(check_context, sizeof(check_context), "seed %" PRIu64, seed);
		begin("unbounded", 2);
		setup.config.seed = seed;
		struct machine_flow *flow = add_flow(&setup, 0, 1);
		flow->size_count = 3;
		setup.of_flow[0].sizes[0] = (struct machine_size){ 1, 5 };
		setup.of_flow[0].sizes[1] = (struct machine_size){ 3, 0 };
		setup.of_flow[0].sizes[2] = (struct machine_size){ 7, 15 };
		set_latency(&setup, flow, US_IN_PS);
		struct machine *machine = run_all(5 * MS_IN_PS);
		size_t n = rows_of(OP_ALLOC), small = 0;
		for (size_t i = 0; i < row_count; i++) {
			if (rows[i].op != OP_ALLOC)
				continue;
			CHECK(rows[i].size == 1 || rows[i].size == 7);
			small += rows[i].size == 1;
		}
		CHECK(n > 3000);
		CHECK(small > n * 21 / 100 && small < n * 29 / 100);
		end_machine(&setup, machine);
	}
}

static void another_seed_is_another_course_and_the_same_seed_the_same(void)
{
	uint64_t operations[3];
	for (uint64_t i = 0; i < 3; i++) {
		begin("unbounded", 2);
		setup.config.seed = i < 2 ? 7 : 8;
		struct machine_flow *flow = add_flow(&setup, 0, 1);
		set_latency(&setup, flow, 0);
		for (uint64_t q = 0; q < MACHINE_QUANTILES; q++)
			setup.of_flow[0].latency[q] = q * q * 100;
		struct machine *machine = start_machine(&setup);
		run_to(machine, 50 * MS_IN_PS);
		operations[i] = machine_read_totals(machine).operations;
		end_machine(&setup, machine);
	}
	CHECK_EQ(operations[0], operations[1]);
	CHECK(operations[0] != operations[2]);
}

/* ----------------------------------------------------------------------- 32 bits first */

/* Two requests above a full 32-bit space, or an empty one. */
static struct machine *two_requests(enum machine_limit rule, bool full)
{
	static const struct iova_range low = { 1, LIMIT32 };
	begin("unbounded", 1);
	setup.domains[0].reserved = &low;
	setup.domains[0].reserved_count = full;
	struct machine_flow *flow = add_request(&setup, 0, 0, 1, 0, MS_IN_PS);
	flow->depth = 2;
	flow->limit = LIMIT64;
	flow->limit_rule = rule;
	struct machine *machine = run_all(5 * MS_IN_PS);
	check_replay_of_rows(&setup, machine);
	return machine;
}

/* The n-th allocation row: refused or not, by which limit, with which flags. */
static void check_try(size_t n, uint64_t limit, bool succeeds, uint8_t flags)
{
	const struct one_row *row = nth_row(OP_ALLOC, n);
	CHECK_EQ(row->limit, limit);
	CHECK_EQ(row->pfn != 0, succeeds);
	CHECK_EQ(row->flags, flags | FLAG_REACHED_TREE);
}

static void low_addresses_are_tried_first_every_time(void)
{
	struct machine *machine = two_requests(MACHINE_LIMIT_32_ALWAYS, true);
	CHECK_EQ(rows_of(OP_ALLOC), 4);
	for (size_t i = 0; i < 4; i += 2) {
		check_try(i, LIMIT32, false, 0);
		check_try(i + 1, LIMIT64, true,
			  FLAG_ONLY_IF_PREVIOUS_FAILED | FLAG_FLUSH_RETRY);
		CHECK_EQ(nth_row(OP_ALLOC, i)->t, nth_row(OP_ALLOC, i + 1)->t);
		CHECK_EQ(nth_row(OP_ALLOC, i)->slot, nth_row(OP_ALLOC, i + 1)->slot);
		CHECK_EQ(nth_row(OP_ALLOC, i)->seq + 1, nth_row(OP_ALLOC, i + 1)->seq);
	}
	CHECK_EQ(machine_read_totals(machine).operations, 4 + 2);
	CHECK_EQ(machine_read_totals(machine).failed, 0);
	end_machine(&setup, machine);
}

static void low_addresses_are_tried_first_until_that_failed(void)
{
	struct machine *machine = two_requests(MACHINE_LIMIT_32_UNTIL_FAILURE, true);
	CHECK_EQ(rows_of(OP_ALLOC), 3);
	check_try(0, LIMIT32, false, 0);
	check_try(1, LIMIT64, true, FLAG_ONLY_IF_PREVIOUS_FAILED | FLAG_FLUSH_RETRY);
	check_try(2, LIMIT64, true, FLAG_FLUSH_RETRY);
	end_machine(&setup, machine);
}

static void low_addresses_that_are_there_are_taken(void)
{
	struct machine *machine = two_requests(MACHINE_LIMIT_32_UNTIL_FAILURE, false);
	CHECK_EQ(rows_of(OP_ALLOC), 2);
	check_try(0, LIMIT32, true, 0);
	check_try(1, LIMIT32, true, 0);
	end_machine(&setup, machine);
}

static void the_plain_rule_takes_the_limit_at_its_word(void)
{
	struct machine *machine = two_requests(MACHINE_LIMIT_PLAIN, false);
	CHECK_EQ(rows_of(OP_ALLOC), 2);
	check_try(0, LIMIT64, true, FLAG_FLUSH_RETRY);
	CHECK(nth_row(OP_ALLOC, 0)->pfn > LIMIT32);
	end_machine(&setup, machine);
}

/* ----------------------------------------------------------------------- faulty drivers */

static void every_third_range_is_never_freed(void)
{
	begin("unbounded", 1);
	struct machine_flow *flow = add_request(&setup, 0, 0, 1, 0, MS_IN_PS);
	flow->depth = 10;
	flow->leak_every = 3;
	flow->complete_work = US_IN_PS;
	struct machine *machine = run_all(5 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).leaked, 3);
	CHECK_EQ(machine_read_totals(machine).requests, 10);
	CHECK_EQ(rows_of(OP_FREE), 7);
	CHECK_EQ(replay_read_totals(machine_replay(machine)).live_ranges, 3);
	end_machine(&setup, machine);
}

static void every_second_range_is_freed_as_of_another_size(void)
{
	begin("unbounded", 1);
	struct machine_flow *flow = add_request(&setup, 0, 0, 1, 0, MS_IN_PS);
	flow->depth = 4;
	flow->wrong_every = 2;
	flow->wrong_pages = 4;
	struct machine *machine = run_all(5 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).wrong, 2);
	for (size_t i = 0; i < 4; i++)
		CHECK_EQ(nth_row(OP_FREE, i)->size, i % 2 ? 4 : 1);
	CHECK_EQ(replay_read_counters(machine_replay(machine), 0).puts, 2);
	CHECK_EQ(replay_read_counters(machine_replay(machine), 2).puts, 2);
	/* What users hold is counted as it was allocated. */
	CHECK_EQ(replay_read_totals(machine_replay(machine)).live_pages, 0);
	machine_destroy(machine);
	CHECK_EQ(test_memory_held(&setup.memory), 0);
}

/* --------------------------------------------------------------------------- rebinding */

static void a_driver_that_is_bound_anew_finds_a_fresh_domain(void)
{
	static const struct iova_range window = { 0x80, 0x8f };
	begin("unbounded", 2);
	setup.domains[0].reserved = &window;
	setup.domains[0].reserved_count = 1;
	struct machine_flow *flow = add_flow(&setup, 0, 1);
	flow->depth = 8;
	set_latency(&setup, flow, 100 * US_IN_PS);
	flow->rebind = 5 * MS_IN_PS;
	struct machine *machine = run_all(23 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).rebinds, 4);
	CHECK_EQ(rows_of(OP_DESTROY), 4);
	CHECK_EQ(rows_of(OP_CREATE), 5);
	CHECK_EQ(rows_of(OP_RESERVE), 5);
	uint64_t live = 0, domain = 0;
	for (size_t i = 0; i < row_count; i++) {
		CHECK_EQ(rows[i].domain, domain);
		live += rows[i].op == OP_ALLOC;
		live -= rows[i].op == OP_FREE;
		if (rows[i].op == OP_DESTROY) {
			CHECK_EQ(live, 0);
			domain++;
		}
		CHECK(rows[i].slot == NO_SLOT || rows[i].slot < 8);
	}
	/* The first of each domain gets the same place. */
	CHECK_EQ(nth_row(OP_ALLOC, 0)->pfn, LIMIT32);
	check_replay_of_rows(&setup, machine);
	end_machine(&setup, machine);
}

static void ranges_in_rings_end_with_their_domain(void)
{
	begin("unbounded", 2);
	setup.domains[0].lazy = true;
	struct machine_flow *flow = add_flow(&setup, 0, 1);
	flow->depth = 8;
	set_latency(&setup, flow, 100 * US_IN_PS);
	flow->rebind = 5 * MS_IN_PS; /* sooner than the timer */
	struct machine *machine = run_all(48 * MS_IN_PS);
	CHECK(machine_read_totals(machine).rebinds >= 9);
	CHECK_EQ(rows_of(OP_FLUSH_TIMER), 0);
	/* Between two rebinds less than 50 rounds of 8 lanes; their slots are used again. */
	for (size_t i = 0; i < row_count; i++)
		CHECK(rows[i].slot == NO_SLOT || rows[i].slot < 400);
	check_replay_of_rows(&setup, machine);
	end_machine(&setup, machine);
}

/* Stores at 0, 1.5, 3 ... ms; timers at 10 and 22 ms, not at 20.5: rebound at 11.2 ms. */
static void a_timer_of_the_domain_that_is_gone_does_not_run(void)
{
	begin("unbounded", 1);
	setup.domains[0].lazy = true;
	struct machine_flow *flow = add_flow(&setup, 0, 0);
	flow->on = NS_IN_PS;
	flow->off = 1500 * US_IN_PS - NS_IN_PS;
	flow->rebind = 11200 * US_IN_PS;
	struct machine *machine = run_all(22300 * US_IN_PS);
	CHECK_EQ(rows_of(OP_FLUSH_TIMER), 2);
	CHECK_EQ(nth_row(OP_FLUSH_TIMER, 0)->t / 1000, 10000);
	CHECK_EQ(nth_row(OP_FLUSH_TIMER, 1)->t / 1000, 22000);
	end_machine(&setup, machine);
}

/* What the rebind waits for is busy: the lane that was let go before is waited for, too. */
static void a_rebind_waits_for_lanes_that_are_on_their_way(void)
{
	begin("unbounded", 3);
	add_domain(&setup, "unbounded");
	struct machine_flow *flow = add_flow(&setup, 1, 0);
	flow->submitters = flow->submit_cpu_count = 2;
	setup.of_flow[0].submit_cpus[1] = 2;
	flow->in_flight = 1;
	flow->complete_work = 300 * US_IN_PS;
	set_latency(&setup, flow, 50 * US_IN_PS);
	flow->rebind = MS_IN_PS;
	/* CPU 1, which renews the domain, has much to do. */
	struct machine_flow *other = add_flow(&setup, 1, 1);
	other->domain = 1;
	other->submit_work = 900 * US_IN_PS;
	for (uint64_t rebind = 1000; rebind < 2000; rebind += 37) {
		flow->rebind = rebind * US_IN_PS;
		row_count = 0;
		struct machine *machine = run_all(30 * MS_IN_PS);
		CHECK(machine_read_totals(machine).rebinds > 3);
		CHECK_SOUND(machine_fault(machine));
		check_replay_of_rows(&setup, machine);
		end_machine(&setup, machine);
	}
}

int main(void)
{
	TEST(lanes_that_wait_for_the_device_go_first_come_first_served);
	TEST(no_more_are_in_flight_than_the_device_takes);
	TEST(the_device_serves_one_request_after_the_other);
	TEST(a_completion_interrupts_the_cpu_of_its_queue);
	TEST(a_lane_may_go_on_where_it_completed);
	TEST(interrupts_come_before_tasks);
	TEST(submitters_start_on_the_flows_cpus_in_turn);
	TEST(a_submitter_moves_to_another_cpu_after_its_time);
	TEST(a_flow_submits_while_it_is_on);
	TEST(times_are_spread_as_their_quantiles_say);
	TEST(sizes_are_asked_for_by_weight_whatever_the_seed);
	TEST(another_seed_is_another_course_and_the_same_seed_the_same);
	TEST(low_addresses_are_tried_first_every_time);
	TEST(low_addresses_are_tried_first_until_that_failed);
	TEST(low_addresses_that_are_there_are_taken);
	TEST(the_plain_rule_takes_the_limit_at_its_word);
	TEST(every_third_range_is_never_freed);
	TEST(every_second_range_is_freed_as_of_another_size);
	TEST(a_driver_that_is_bound_anew_finds_a_fresh_domain);
	TEST(ranges_in_rings_end_with_their_domain);
	TEST(a_timer_of_the_domain_that_is_gone_does_not_run);
	TEST(a_rebind_waits_for_lanes_that_are_on_their_way);
	return 0;
}
