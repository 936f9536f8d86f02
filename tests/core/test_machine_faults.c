/* SPDX-License-Identifier: MIT */
/*
 * A machine that does a bit of everything, made and run once for each time it asks for
 * memory, with that refused: it says so or makes up for it, and nothing leaks.
 */
#include "machine_support.h"

#define UNTIL (30 * MS_IN_PS)

static struct setup setup;
static bool stopped; /* the last run, for want of memory */

/* Strict lanes enough to fill a depot far and slots, a lazy domain, one that is renewed. */
static void make_setup(const char *design, uint32_t lanes)
{
	static const struct iova_range window = { 0x1000, 0x10ff };
	setup_init(&setup, design, 2);
	setup.config.sample_ns = MS;
	setup.config.max_samples = 40;
	add_domain(&setup, design)->lazy = true;
	add_domain(&setup, design);
	setup.domains[1].flush = US_IN_PS;
	setup.domains[2].reserved = &window;
	setup.domains[2].reserved_count = 1;
	struct machine_flow *many = add_request(&setup, 0, 0, 1, 0, 10 * MS_IN_PS);
	many->depth = lanes;
	struct machine_flow *lazy = add_flow(&setup, 1, 0);
	lazy->domain = 1;
	lazy->depth = 4;
	set_latency(&setup, lazy, MS_IN_PS);
	struct machine_flow *rebound = add_flow(&setup, 1, 1);
	rebound->domain = 2;
	rebound->rebind = 7 * MS_IN_PS;
	set_latency(&setup, rebound, MS_IN_PS);
	/* It fails and empties all caches: the longest tape. */
	struct machine_flow *failing = add_request(&setup, 1, 1, 64, 25 * MS_IN_PS, MS_IN_PS);
	failing->limit = 40;
}

/* Questions for memory that were asked in all. */
static uint64_t run_with_refusal(uint64_t refuse_at)
{
	struct machine *machine = NULL;
	setup.memory.questions = setup.memory.refusals = 0;
	setup.memory.refuse_at = refuse_at;
	enum replay_status status = machine_create(&setup.config, &machine);
	CHECK(status == REPLAY_OK || status == REPLAY_NO_MEMORY);
	CHECK(status == REPLAY_OK || setup.memory.refusals == 1);
	bool done = status != REPLAY_OK;
	while (!done && status == REPLAY_OK)
		status = machine_run(machine, UNTIL, 5000, NULL, &done);
	CHECK(status == REPLAY_OK || (status == REPLAY_NO_MEMORY && setup.memory.refusals == 1));
	uint64_t questions = setup.memory.questions;
	stopped = status != REPLAY_OK;
	if (status == REPLAY_OK) {
		setup.memory.refuse_at = 0;
		CHECK_SOUND(machine_fault(machine));
		CHECK(machine_read_totals(machine).rebinds > 2);
	} else if (machine) {
		/* It does not go on. */
		CHECK_EQ(machine_run(machine, UNTIL, 5000, NULL, &done), REPLAY_NO_MEMORY);
	}
	machine_destroy(machine);
	CHECK_EQ(test_memory_held(&setup.memory), 0);
	return questions;
}

static void refuse_each(const char *design, uint32_t lanes, uint64_t step)
{
	make_setup(design, lanes);
	uint64_t questions = run_with_refusal(0);
	CHECK_EQ(setup.memory.refusals, 0);
	CHECK(questions > 50);
	for (uint64_t i = 1; i <= questions; i += step) {
		snprintf(check_context, sizeof(check_context), "question %" PRIu64 " of %" PRIu64,
			 i, questions);
		run_with_refusal(i);
	}
	check_context[0] = '\0';
}

static void any_question_for_memory_may_be_refused(void)
{
	refuse_each("linux-6.1", 300, 1);
	refuse_each("linux-7.3", 300, 1);
	refuse_each("linux-6.12", 1100, 1);
}

/* More than 64 magazines in a depot, more than 1024 slots free. */
static void tables_that_grow_twice_may_be_refused_too(void)
{
	refuse_each("unbounded", 66 * 127, 7);
}

/* What the core can do without is always there: all that is refused is the machine's own. */
static void without_room_for_its_own_tables_a_machine_stops(void)
{
	make_setup("linux-6.12", 1100);
	setup.memory.table.admit_range = NULL;
	for (unsigned kind = 0; kind < IOVA_MEMORY_KINDS; kind++)
		setup.memory.kind_is_exempt[kind] = kind != IOVA_MEMORY_REPLAY;
	uint64_t questions = run_with_refusal(0);
	CHECK_EQ(setup.memory.refusals, 0);
	CHECK(questions > 30);
	for (uint64_t i = 1; i <= questions; i++) {
		snprintf(check_context, sizeof(check_context), "question %" PRIu64 " of %" PRIu64,
			 i, questions);
		run_with_refusal(i);
		CHECK(stopped);
	}
	check_context[0] = '\0';
}

int main(void)
{
	TEST(any_question_for_memory_may_be_refused);
	TEST(tables_that_grow_twice_may_be_refused_too);
	TEST(without_room_for_its_own_tables_a_machine_stops);
	return 0;
}
