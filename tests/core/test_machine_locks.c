/* SPDX-License-Identifier: MIT */
/* Who waits for whom, and for how long: a few CPUs and one lock, worked out by hand. */
#include "machine_support.h"

static struct setup setup;
static struct machine_prices p; /* of the machine of the test */

static void begin(uint32_t cpus, uint32_t cpus_per_node, uint64_t scale)
{
	setup_init(&setup, "unbounded", cpus);
	setup.config.cpus_per_node = cpus_per_node;
	setup.config.prices = p = prime_prices(scale);
}

/* 64 pages are for the tree alone: one node is walked each time. */
static void add_tree_request(uint16_t cpu, uint64_t start)
{
	add_request(&setup, cpu, cpu, 64, start, MS_IN_PS);
}

static uint64_t tree_hold(void)
{
	return p.lock + p.tree_alloc + p.tree_step;
}

/* Two lines, and two fifths of one where a lock is handed to who waits. */
static uint64_t handed_over(uint64_t line)
{
	return 2 * line + line * 40 / 100;
}

static struct machine_lock_totals tree_lock(const struct machine *machine)
{
	return machine_read_totals(machine).lock[MACHINE_LOCK_TREE];
}

/* -------------------------------------------------------------------------- the tree */

static void the_second_waits_for_the_first_and_fetches_its_lines(void)
{
	begin(2, 2, 1);
	add_tree_request(0, 0);
	add_tree_request(1, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	struct machine_lock_totals lock = tree_lock(machine);
	CHECK_EQ(lock.taken, 2);
	CHECK_EQ(lock.waited, 1);
	CHECK_EQ(lock.wait, tree_hold());
	CHECK_EQ(lock.wait_longest, tree_hold());
	CHECK_EQ(lock.held, 2 * tree_hold() + handed_over(p.line));
	CHECK_EQ(lock.held_longest, tree_hold() + handed_over(p.line));
	uint64_t second = p.alloc_hit + 2 * tree_hold() + handed_over(p.line);
	CHECK_EQ(machine_read_totals(machine).alloc_longest, second);
	CHECK_EQ(machine_read_totals(machine).cpu[MACHINE_ALLOC],
		 second + p.alloc_hit + tree_hold());
	end_machine(&setup, machine);
}

static void lines_of_another_node_cost_more(void)
{
	begin(2, 1, 1);
	add_tree_request(0, 0);
	add_tree_request(1, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	CHECK_EQ(tree_lock(machine).held, 2 * tree_hold() + handed_over(p.line_far));
	CHECK_EQ(machine_read_totals(machine).lines, 0);
	end_machine(&setup, machine);
}

static void our_index_takes_two_lines_more(void)
{
	begin(2, 2, 1);
	setup.config.indexed = true;
	add_tree_request(0, 0);
	add_tree_request(1, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	CHECK_EQ(tree_lock(machine).held, 2 * (p.lock + p.index_alloc) + 4 * p.line +
						 p.line * 40 / 100);
	end_machine(&setup, machine);
}

static void who_comes_when_the_lock_is_free_does_not_wait(void)
{
	begin(2, 2, 1);
	add_tree_request(0, 0);
	add_tree_request(1, tree_hold()); /* asks when the first lets go */
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	CHECK_EQ(tree_lock(machine).taken, 2);
	CHECK_EQ(tree_lock(machine).waited, 0);
	CHECK_EQ(tree_lock(machine).wait, 0);
	CHECK_EQ(tree_lock(machine).held, 2 * tree_hold() + 2 * p.line);
	CHECK_EQ(machine_read_totals(machine).lines, 2);
	end_machine(&setup, machine);
}

static void who_comes_a_picosecond_earlier_waits_for_one(void)
{
	begin(2, 2, 1);
	add_tree_request(0, 0);
	add_tree_request(1, tree_hold() - 1);
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	CHECK_EQ(tree_lock(machine).waited, 1);
	CHECK_EQ(tree_lock(machine).wait, 1);
	end_machine(&setup, machine);
}

/* Rows in ns: prices are of so many ns here. */
static void check_served(size_t place, uint16_t cpu, uint64_t end_ps)
{
	const struct one_row *row = nth_row(OP_ALLOC, place);
	CHECK_EQ(row->cpu, cpu);
	CHECK_EQ(row->t_end, end_ps / NS_IN_PS);
}

static void a_lock_is_given_in_the_order_of_asking(void)
{
	static const uint16_t order[] = { 3, 1, 2, 0 };
	begin(4, 4, NS_IN_PS);
	for (uint64_t i = 0; i < 4; i++)
		add_tree_request(order[i], i * NS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, MS_IN_PS / 2, UINT64_MAX, 0);
	CHECK_EQ(rows_of(OP_ALLOC), 4);
	uint64_t end = p.alloc_hit + tree_hold(), wait = 0, longest = 0;
	check_served(0, order[0], end);
	for (uint64_t i = 1; i < 4; i++) {
		longest = end - (i * NS_IN_PS + p.alloc_hit);
		wait += longest;
		end += tree_hold() + handed_over(p.line);
		check_served(i, order[i], end);
	}
	CHECK_EQ(tree_lock(machine).waited, 3);
	CHECK_EQ(tree_lock(machine).wait, wait);
	CHECK_EQ(tree_lock(machine).wait_longest, longest);
	check_replay_of_rows(&setup, machine);
	end_machine(&setup, machine);
}

static void of_those_who_ask_at_once_the_lowest_cpu_is_first(void)
{
	static const uint16_t order[] = { 2, 0, 3, 1 };
	begin(4, 4, NS_IN_PS);
	for (uint64_t i = 0; i < 4; i++)
		add_tree_request(order[i], 0);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, MS_IN_PS / 2, UINT64_MAX, 0);
	/* The core did their calls in the order of the requests, the lock goes by CPUs. */
	for (size_t i = 0; i < 4; i++) {
		uint64_t turn = order[i];
		check_served(i, order[i], p.alloc_hit + (turn + 1) * tree_hold() +
						  turn * handed_over(p.line));
	}
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------------- the depot */

static void a_depot_has_a_lock_of_its_own(void)
{
	begin(2, 2, 1);
	add_request(&setup, 0, 0, 1, 0, MS_IN_PS);
	add_request(&setup, 1, 1, 1, 0, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	struct machine_lock_totals depot =
		machine_read_totals(machine).lock[MACHINE_LOCK_DEPOT];
	CHECK_EQ(depot.taken, 2);
	CHECK_EQ(depot.waited, 1);
	CHECK_EQ(depot.wait, p.lock);
	CHECK_EQ(depot.held, 2 * p.lock + handed_over(p.line));
	/* While the second held the depot the first had the tree, for longer. */
	CHECK_EQ(tree_lock(machine).waited, 1);
	CHECK_EQ(tree_lock(machine).wait, tree_hold() - (p.lock + handed_over(p.line)));
	CHECK_EQ(machine_read_totals(machine).lock[MACHINE_LOCK_CPU].taken, 0);
	end_machine(&setup, machine);
}

static void depots_of_two_sizes_have_two_locks(void)
{
	begin(2, 2, 1);
	add_request(&setup, 0, 0, 1, 0, MS_IN_PS);
	add_request(&setup, 1, 1, 2, 0, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	CHECK_EQ(machine_read_totals(machine).lock[MACHINE_LOCK_DEPOT].waited, 0);
	CHECK_EQ(tree_lock(machine).waited, 1);
	end_machine(&setup, machine);
}

static void domains_have_locks_of_their_own(void)
{
	begin(2, 2, 1);
	add_domain(&setup, "unbounded");
	add_tree_request(0, 0);
	add_tree_request(1, 0);
	setup.flows[1].domain = 1;
	struct machine *machine = start_machine(&setup);
	run_to(machine, US_IN_PS);
	CHECK_EQ(tree_lock(machine).taken, 2);
	CHECK_EQ(tree_lock(machine).waited, 0);
	CHECK_EQ(machine_read_totals(machine).lines, 0);
	end_machine(&setup, machine);
}

/* ------------------------------------------------------------------ another CPU's lock */

/*
 * CPU 0's allocation fails and empties everybody's magazines; CPU 1 allocates meanwhile: while
 * CPU 0 has its lock it waits.
 */
static void a_cpu_waits_for_who_empties_its_magazines(void)
{
	begin(2, 2, 1);
	add_request(&setup, 1, 1, 1, 0, US_IN_PS); /* is cached on CPU 1 then */
	struct machine_flow *failing = add_request(&setup, 0, 0, 64, MS_IN_PS, MS_IN_PS);
	failing->limit = 40;
	/*
	 * CPU 0: the call, the tree in vain (whose lines CPU 1 had), its own six classes'
	 * two magazines, and then the lock of CPU 1's smallest class.
	 */
	uint64_t asked = MS_IN_PS + p.alloc_hit + 2 * p.line + tree_hold() + 12 * p.lock;
	/* There it takes the tree twice; the cached range is the only one. */
	uint64_t let_go = asked + p.lock + (p.lock + p.tree_free + p.tree_level) + p.lock;
	add_request(&setup, 1, 1, 1, asked + 1, MS_IN_PS);
	struct machine *machine = start_machine(&setup);
	run_to(machine, MS_IN_PS + MS_IN_PS / 2);
	struct machine_lock_totals cpu = machine_read_totals(machine).lock[MACHINE_LOCK_CPU];
	CHECK_EQ(cpu.taken, 6 + 1);
	CHECK_EQ(cpu.waited, 1);
	CHECK_EQ(cpu.wait, let_go - (asked + 1 + p.alloc_hit));
	end_machine(&setup, machine);
}

int main(void)
{
	TEST(the_second_waits_for_the_first_and_fetches_its_lines);
	TEST(lines_of_another_node_cost_more);
	TEST(our_index_takes_two_lines_more);
	TEST(who_comes_when_the_lock_is_free_does_not_wait);
	TEST(who_comes_a_picosecond_earlier_waits_for_one);
	TEST(a_lock_is_given_in_the_order_of_asking);
	TEST(of_those_who_ask_at_once_the_lowest_cpu_is_first);
	TEST(a_depot_has_a_lock_of_its_own);
	TEST(depots_of_two_sizes_have_two_locks);
	TEST(domains_have_locks_of_their_own);
	TEST(a_cpu_waits_for_who_empties_its_magazines);
	return 0;
}
