/* SPDX-License-Identifier: MIT */
/*
 * Lazy domains: what a flush queue's ring holds back and for how long, its timer, and how a
 * flush that takes too long loses 256 ranges. Worked out by hand; where rows are looked at
 * prices are primes of ns.
 */
#include "machine_support.h"

#define USABLE (LINUX_SLOTS - 1)
#define LINUX_SLOTS 256u
#define TIMER (10 * MS_IN_PS)

static struct setup setup;
static struct machine_prices p; /* of the machine of the test */

static struct machine_domain *begin(uint32_t cpus)
{
	setup_init(&setup, "unbounded", cpus);
	setup.config.prices = p = prime_prices(NS_IN_PS);
	setup.domains[0].lazy = true;
	setup.domains[0].flush = 3 * US_IN_PS;
	return &setup.domains[0];
}

/* So many requests, all submitted at `start` on one CPU, that return to another. */
static void add_burst(uint16_t submit_cpu, uint16_t complete_cpu, uint32_t requests,
		      uint64_t start, uint64_t latency)
{
	struct machine_flow *flow =
		add_request(&setup, submit_cpu, complete_cpu, 1, start, latency);
	flow->depth = requests;
}

static struct machine_lock_totals ring_lock(const struct machine *machine)
{
	return machine_read_totals(machine).lock[MACHINE_LOCK_RING];
}

static uint64_t ps(int64_t ns)
{
	return (uint64_t)ns * NS_IN_PS;
}

/* ---------------------------------------------------------------------------- putting */

static void a_range_is_put_into_the_ring_of_the_cpu_it_returns_to(void)
{
	begin(3);
	add_burst(0, 2, 4, 0, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 2 * MS_IN_PS);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 0);
	CHECK_EQ(machine_ring_length(machine, 0, 2), 4);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.queued, 4);
	CHECK_EQ(totals.queued_peak, 4);
	CHECK_EQ(totals.requests, 4);
	CHECK_EQ(totals.operations, 4); /* nothing was given back yet */
	CHECK_EQ(totals.cpu[MACHINE_FREE], 4 * (p.lock + p.queue));
	CHECK_EQ(totals.free_longest, p.lock + p.queue);
	CHECK_EQ(ring_lock(machine).taken, 4);
	CHECK_EQ(ring_lock(machine).waited, 0);
	end_machine(&setup, machine);
}

static void the_timer_runs_ten_milliseconds_after_the_first_entry(void)
{
	begin(2);
	add_burst(0, 1, 2, 0, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, 3 * MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(rows_of(OP_UNMAP), 2);
	uint64_t stored = ps(nth_row(OP_UNMAP, 0)->t) + p.lock + p.queue;
	run_rows(machine, stored + TIMER - 1, UINT64_MAX, 0);
	CHECK_EQ(rows_of(OP_FLUSH_TIMER), 0);
	CHECK_EQ(rows_of(OP_FREE), 0);
	run_rows(machine, stored + TIMER + MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(rows_of(OP_FLUSH_TIMER), 1);
	CHECK_EQ(ps(nth_row(OP_FLUSH_TIMER, 0)->t), stored + TIMER);
	CHECK_EQ(nth_row(OP_FLUSH_TIMER, 0)->cpu, 1);
	CHECK_EQ(rows_of(OP_FREE), 2);
	CHECK_EQ(machine_read_totals(machine).queued, 0);
	CHECK_EQ(machine_read_totals(machine).flushes, 1);
	end_machine(&setup, machine);
}

/* Two entries of CPU 1, three of CPU 3, one of CPU 0, which is the first. */
static void the_timer_drains_every_ring_in_rising_order_where_it_was_started(void)
{
	static const uint16_t owner[] = { 0, 1, 1, 3, 3, 3 };
	begin(4);
	add_burst(2, 0, 1, 0, MS_IN_PS);
	add_burst(2, 3, 3, MS_IN_PS / 2, MS_IN_PS);
	add_burst(2, 1, 2, MS_IN_PS / 2, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, 20 * MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(rows_of(OP_FREE), 6);
	uint64_t begun = ps(nth_row(OP_FLUSH_TIMER, 0)->t);
	uint64_t t = begun + p.job + setup.domains[0].flush;
	uint16_t ring = 0;
	for (size_t i = 0; i < 6; i++) {
		const struct one_row *row = nth_row(OP_FREE, i);
		bool first = i == 0 || owner[i] != owner[i - 1];
		/* The ring of CPU 2 is looked at and passed by. */
		if (first && owner[i] == 3)
			t += p.lock;
		if (first)
			t += p.lock + (owner[i] ? p.line : 0);
		/* Two entries a line; the timer's own are at hand. */
		bool even = first || (owner[i] == 3 && i == 5);
		t += p.queue + (even && owner[i] ? p.line_ahead : 0);
		CHECK_EQ(row->cpu, 0);
		CHECK_EQ(ps(row->t), t);
		t += p.free_hit;
		CHECK_EQ(ps(row->t_end), t);
		ring = owner[i];
	}
	CHECK_EQ(ring, 3);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.timer_runs, 1);
	CHECK_EQ(totals.timer_longest, t - begun);
	CHECK_EQ(totals.cpu[MACHINE_TIMER], t - begun);
	check_replay_of_rows(&setup, machine);
	end_machine(&setup, machine);
}

static void the_timer_is_started_anew_by_what_comes_after_it_began(void)
{
	begin(2);
	add_burst(0, 0, 1, 0, MS_IN_PS);
	add_burst(0, 1, 1, MS_IN_PS / 4, TIMER + MS_IN_PS); /* after the first run */
	struct machine *machine = start_machine(&setup);
	run_rows(machine, 40 * MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(rows_of(OP_FLUSH_TIMER), 2);
	CHECK_EQ(nth_row(OP_FLUSH_TIMER, 0)->cpu, 0);
	CHECK_EQ(nth_row(OP_FLUSH_TIMER, 1)->cpu, 1);
	/* CPU 0 had the ring's line from its look at it. */
	CHECK_EQ(ps(nth_row(OP_FLUSH_TIMER, 1)->t),
		 ps(nth_row(OP_UNMAP, 1)->t) + p.lock + p.line + p.queue + TIMER);
	CHECK_EQ(machine_read_totals(machine).queued, 0);
	end_machine(&setup, machine);
}

static void what_is_stored_during_the_timers_flush_waits_for_the_next(void)
{
	struct machine_domain *domain = begin(2);
	domain->flush = 2 * MS_IN_PS;
	add_burst(0, 0, 1, 0, MS_IN_PS);
	add_burst(0, 1, 1, 0, TIMER + 2 * MS_IN_PS); /* in the middle of the flush */
	struct machine *machine = start_machine(&setup);
	run_to(machine, TIMER + 4 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).flushes, 1);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 0);
	CHECK_EQ(machine_ring_length(machine, 0, 1), 1);
	run_to(machine, 2 * TIMER + 6 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).timer_runs, 2);
	CHECK_EQ(machine_ring_length(machine, 0, 1), 0);
	end_machine(&setup, machine);
}

/* CPU 1's ring is long; a range returns to CPU 1 while CPU 0 drains it. */
static void who_puts_while_the_timer_holds_the_ring_waits(void)
{
	begin(2);
	add_burst(0, 0, 1, 0, MS_IN_PS);
	add_burst(0, 1, 100, MS_IN_PS / 2, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, 20 * MS_IN_PS, UINT64_MAX, 0);
	uint64_t in_the_middle = ps(nth_row(OP_FREE, 50)->t);
	uint64_t last = ps(nth_row(OP_FREE, 100)->t_end);
	CHECK_EQ(ring_lock(machine).waited, 0);
	end_machine(&setup, machine);

	begin(2);
	add_burst(0, 0, 1, 0, MS_IN_PS);
	add_burst(0, 1, 100, MS_IN_PS / 2, MS_IN_PS);
	/* The price of its allocation is the first one's: nothing cached, nobody there. */
	uint64_t miss = p.alloc_hit + 2 * p.lock + p.tree_alloc + p.tree_step;
	add_burst(0, 1, 1, MS_IN_PS / 4, in_the_middle - MS_IN_PS / 4 - miss);
	machine = start_machine(&setup);
	run_rows(machine, 20 * MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(ring_lock(machine).waited, 1);
	/* The last unmap; the ring goes over to it when the last free has ended. */
	const struct one_row *unmap = nth_row(OP_UNMAP, rows_of(OP_UNMAP) - 1);
	CHECK_EQ(ps(unmap->t), in_the_middle);
	CHECK_EQ(ring_lock(machine).wait, last - in_the_middle);
	CHECK_EQ(machine_read_totals(machine).free_longest,
		 last - in_the_middle + p.line + p.line * 40 / 100 + p.lock + p.queue);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------- full rings */

static void a_full_ring_is_flushed_and_released_by_who_stores(void)
{
	begin(1);
	add_burst(0, 0, USABLE, 0, MS_IN_PS);
	add_burst(0, 0, 1, MS_IN_PS / 2, 2 * MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 2 * MS_IN_PS);
	CHECK_EQ(machine_ring_length(machine, 0, 0), USABLE);
	CHECK_EQ(machine_read_totals(machine).flushes, 0);
	run_to(machine, 5 * MS_IN_PS);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.flushes, 1);
	CHECK_EQ(totals.flushed_in_vain, 0);
	CHECK_EQ(totals.lost, 0);
	CHECK_EQ(totals.timer_runs, 0);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 1);
	CHECK_EQ(counters_of_machine(machine).puts, USABLE);
	/* 255 frees: a swap and a push; the ring's lines are its own. */
	uint64_t frees = USABLE * (p.queue + p.free_hit) + p.swap + p.magazine_new + p.lock +
			 p.depot;
	CHECK_EQ(totals.free_longest, p.lock + setup.domains[0].flush + frees + p.queue);
	end_machine(&setup, machine);
}

static void what_was_flushed_meanwhile_is_released_by_the_next_who_stores(void)
{
	begin(2);
	add_burst(1, 1, USABLE, 0, MS_IN_PS);		 /* CPU 1 fills its ring ... */
	add_burst(0, 0, 5, 0, MS_IN_PS + MS_IN_PS / 2); /* ... CPU 0 has 5 in its own ... */
	add_burst(1, 1, 1, MS_IN_PS / 2, 2 * MS_IN_PS); /* ... CPU 1 flushes ... */
	add_burst(0, 0, 1, MS_IN_PS / 2, 3 * MS_IN_PS); /* ... and CPU 0 stores. */
	struct machine *machine = start_machine(&setup);
	run_to(machine, 3 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).flushes, 1);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 5);
	run_to(machine, 5 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).flushes, 1);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 1);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------------ losses */

/*
 * CPU 0 fills its ring and flushes, which is stalled. Meanwhile CPU 1 fills its own, whose
 * entries so know that this flush had started; CPU 1's own flush begins later and ends earlier.
 */
static struct machine *with_a_stalled_flush(enum machine_queue_rule rule)
{
	struct machine_domain *domain = begin(2);
	uint64_t start = 12 * MS_IN_PS;
	domain->queue_rule = rule;
	domain->stall_every = 2;
	domain->stall = 5 * MS_IN_PS;
	add_burst(0, 0, 1, 0, 0); /* flush 1 is the timer's, 10 ms later */
	add_burst(0, 0, USABLE, start, MS_IN_PS);
	add_burst(0, 0, 1, start + MS_IN_PS / 2, MS_IN_PS + MS_IN_PS / 2); /* flush 2 */
	add_burst(1, 1, USABLE, start, 3 * MS_IN_PS);
	add_burst(1, 1, 1, start + MS_IN_PS / 2, 3 * MS_IN_PS + MS_IN_PS / 2); /* flush 3 */
	struct machine *machine = start_machine(&setup);
	run_to(machine, start + 4 * MS_IN_PS - US_IN_PS);
	CHECK_EQ(machine_read_totals(machine).flushes, 1);
	CHECK_EQ(machine_ring_length(machine, 0, 0), USABLE);
	CHECK_EQ(machine_ring_length(machine, 0, 1), USABLE);
	run_to(machine, start + 6 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).flushes, 2);
	CHECK_EQ(machine_ring_length(machine, 0, 0), USABLE);
	return machine;
}

static void by_linux_rule_a_stalled_flush_elsewhere_loses_a_ring_of_256(void)
{
	struct machine *machine = with_a_stalled_flush(MACHINE_QUEUE_LINUX);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.flushed_in_vain, 1);
	CHECK_EQ(totals.lost, 256);
	CHECK_EQ(machine_ring_length(machine, 0, 1), 0);
	run_to(machine, 60 * MS_IN_PS);
	/* They never come back: users hold them for ever. */
	CHECK_EQ(machine_read_totals(machine).lost, 256);
	CHECK_EQ(machine_read_totals(machine).queued, 0);
	CHECK_EQ(replay_read_totals(machine_replay(machine)).live_ranges, 256);
	end_machine(&setup, machine);
}

static void by_the_covered_rule_the_same_flush_loses_nothing(void)
{
	struct machine *machine = with_a_stalled_flush(MACHINE_QUEUE_COVERED);
	struct machine_totals totals = machine_read_totals(machine);
	CHECK_EQ(totals.flushed_in_vain, 0);
	CHECK_EQ(totals.lost, 0);
	CHECK_EQ(machine_ring_length(machine, 0, 1), 1);
	run_to(machine, 60 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).queued, 0);
	CHECK_EQ(replay_read_totals(machine_replay(machine)).live_ranges, 0);
	end_machine(&setup, machine);
}

static void a_stalled_flush_takes_so_much_longer(void)
{
	struct machine_domain *domain = begin(1);
	domain->stall_every = 1;
	domain->stall = 5 * MS_IN_PS;
	add_burst(0, 0, 1, 0, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, 40 * MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).timer_longest,
		 p.job + 3 * US_IN_PS + 5 * MS_IN_PS + p.lock + p.queue + p.free_hit);
	end_machine(&setup, machine);
}

/* -------------------------------------------------------------------------- single ring */

static void a_single_ring_is_shared_and_waits_a_second(void)
{
	struct machine_domain *domain = begin(4);
	domain->single_ring = true;
	add_burst(0, 3, 1, 0, MS_IN_PS);
	add_burst(0, 1, 300, MS_IN_PS, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, 900 * MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 301);
	run_rows(machine, 1100 * MS_IN_PS, UINT64_MAX, 0);
	CHECK_EQ(machine_read_totals(machine).timer_runs, 1);
	CHECK_EQ(machine_ring_length(machine, 0, 0), 0);
	CHECK_EQ(nth_row(OP_FLUSH_TIMER, 0)->cpu, 3);
	CHECK_EQ(ps(nth_row(OP_FLUSH_TIMER, 0)->t),
		 ps(nth_row(OP_UNMAP, 0)->t) + p.lock + p.queue + S_IN_PS);
	for (size_t i = 0; i < 301; i++)
		CHECK_EQ(nth_row(OP_FREE, i)->cpu, 3);
	end_machine(&setup, machine);
}

/* While the timer drains the single ring three CPUs come to store: a list, in order. */
static void those_who_wait_for_a_ring_get_it_in_the_order_of_asking(void)
{
	static const uint16_t order[] = { 2, 1, 3 };
	uint64_t due = 0, drained = 0, miss = 0;
	for (int run = 0; run < 2; run++) {
		struct machine_domain *domain = begin(4);
		domain->single_ring = true;
		miss = p.alloc_hit + 2 * p.lock + p.tree_alloc + p.tree_step;
		add_burst(0, 0, 200, 0, MS_IN_PS);
		/* Before that: a range for each of the three, whose time is known at last. */
		for (uint64_t i = 0; run && i < 3; i++) {
			uint64_t start = MS_IN_PS / 4 + i * MS_IN_PS / 8;
			uint64_t at = due + 10 * US_IN_PS + i * NS_IN_PS;
			add_burst(0, order[i], 1, start, at - start - miss);
		}
		struct machine *machine = start_machine(&setup);
		run_rows(machine, 1100 * MS_IN_PS, UINT64_MAX, 0);
		CHECK_EQ(rows_of(OP_FREE), 200);
		due = ps(nth_row(OP_FLUSH_TIMER, 0)->t);
		uint64_t end = ps(nth_row(OP_FREE, 199)->t_end);
		CHECK(run == 0 || end == drained);
		drained = end;
		CHECK_EQ(ring_lock(machine).waited, run ? 3 : 0);
		if (run) {
			uint64_t handed = p.line + p.line * 40 / 100, wait = 0, longest = 0;
			for (uint64_t i = 0; i < 3; i++) {
				longest = end - (due + 10 * US_IN_PS + i * NS_IN_PS);
				wait += longest;
				end += handed + p.lock + p.queue;
			}
			CHECK_EQ(ring_lock(machine).wait, wait);
			CHECK_EQ(ring_lock(machine).wait_longest, longest);
			CHECK_EQ(machine_ring_length(machine, 0, 0), 3);
		}
		end_machine(&setup, machine);
	}
}

int main(void)
{
	TEST(a_range_is_put_into_the_ring_of_the_cpu_it_returns_to);
	TEST(the_timer_runs_ten_milliseconds_after_the_first_entry);
	TEST(the_timer_drains_every_ring_in_rising_order_where_it_was_started);
	TEST(the_timer_is_started_anew_by_what_comes_after_it_began);
	TEST(what_is_stored_during_the_timers_flush_waits_for_the_next);
	TEST(who_puts_while_the_timer_holds_the_ring_waits);
	TEST(a_full_ring_is_flushed_and_released_by_who_stores);
	TEST(what_was_flushed_meanwhile_is_released_by_the_next_who_stores);
	TEST(by_linux_rule_a_stalled_flush_elsewhere_loses_a_ring_of_256);
	TEST(by_the_covered_rule_the_same_flush_loses_nothing);
	TEST(a_stalled_flush_takes_so_much_longer);
	TEST(a_single_ring_is_shared_and_waits_a_second);
	TEST(those_who_wait_for_a_ring_get_it_in_the_order_of_asking);
	return 0;
}
