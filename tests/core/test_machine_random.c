/* SPDX-License-Identifier: MIT */
/*
 * Machines of every kind, at random: domains, flows, prices. While they run, everything is
 * at one place and accounted for (machine_inside.c); what they wrote down is a table that a
 * replay of the same design follows range by range; and cut into pieces of any size, with
 * a table or without, they do the same.
 */
#include "machine_support.h"

static struct random_plan plan;

/* ------------------------------------------------------------------ random machines */

enum kind {
	KIND_STRICT,
	KIND_LAZY,
	KIND_SINGLE_RING,
	KIND_STALLED,
	KIND_REBIND,
	KIND_LAZY_REBIND,
	KIND_NARROW, /* little room: allocations fail */
	KIND_COARSE, /* many things happen at the same moment */
	KINDS
};

static const uint64_t kinds[] = { KIND_STRICT, KIND_LAZY,	 KIND_SINGLE_RING, KIND_STALLED,
				  KIND_REBIND, KIND_LAZY_REBIND, KIND_NARROW,	   KIND_COARSE };

static uint64_t between(struct random *random, uint64_t lo, uint64_t hi)
{
	return lo + random_below(random, hi - lo + 1);
}

static void make_prices(struct setup *setup, struct random *random, enum kind kind)
{
	uint64_t *price = (uint64_t *)&setup->config.prices;
	for (size_t i = 0; i < sizeof(setup->config.prices) / sizeof(*price); i++)
		price[i] = kind == KIND_COARSE ? 1000 * random_below(random, 3) :
						 random_bits(random, 19);
	struct machine_prices *prices = &setup->config.prices;
	prices->tree_step_far += prices->tree_step;
	prices->tree_level_far += prices->tree_level;
	prices->tree_near = random_below(random, 3000);
	setup->config.indexed = random_below(random, 4) == 0;
}

static void make_domains(struct setup *setup, struct random *random, enum kind kind,
			 const char *design)
{
	static const struct iova_range reserved[] = { { 0x80, 0x8f }, { 0xfee00, 0xfeeff } };
	while (setup->config.domain_count < 1 + random_below(random, 3))
		add_domain(setup, design);
	for (uint32_t i = 0; i < setup->config.domain_count; i++) {
		struct machine_domain *domain = &setup->domains[i];
		domain->lazy = kind == KIND_LAZY || kind == KIND_SINGLE_RING ||
			       kind == KIND_STALLED || kind == KIND_LAZY_REBIND ||
			       (kind == KIND_COARSE && i % 2 == 0);
		domain->single_ring = kind == KIND_SINGLE_RING;
		domain->flush = random_bits(random, 25);
		if (kind == KIND_STALLED) {
			domain->stall_every = (uint32_t)between(random, 1, 4);
			domain->stall = between(random, MS_IN_PS, 20 * MS_IN_PS);
			domain->queue_rule = random_below(random, 3) == 0 ?
						     MACHINE_QUEUE_COVERED :
						     MACHINE_QUEUE_LINUX;
		}
		domain->reserved = reserved;
		domain->reserved_count = (uint32_t)random_below(random, 3);
	}
}

/* A rising curve. */
static const uint64_t *make_times(uint64_t *quantiles, struct random *random, unsigned bits)
{
	uint64_t most = random_bits(random, bits);
	if (random_below(random, 4) == 0)
		return NULL;
	for (uint64_t i = 0; i < MACHINE_QUANTILES; i++)
		quantiles[i] = most * i / (MACHINE_QUANTILES - 1);
	return quantiles;
}

static void choose_cpus(uint16_t *cpus, uint32_t *count, struct random *random, uint32_t online)
{
	*count = (uint32_t)between(random, 1, online);
	for (uint32_t i = 0; i < *count; i++)
		cpus[i] = (uint16_t)random_below(random, online);
}

static void make_sizes(struct machine_flow *flow, struct machine_size *sizes,
		       struct random *random, enum kind kind)
{
	flow->sizes = sizes;
	flow->size_count = (uint32_t)between(random, 1, 4);
	for (uint32_t i = 0; i < flow->size_count; i++)
		sizes[i] = (struct machine_size){
			.pages = between(random, 1, kind == KIND_NARROW ? 8 : 40),
			.weight = (uint32_t)between(random, 1, 10),
		};
}

static void make_limits(struct machine_flow *flow, struct random *random, enum kind kind)
{
	const uint64_t limits[] = { LIMIT32, LIMIT64, UINT64_MAX >> 12, LIMIT32 / 2 };
	flow->limit = limits[random_below(random, COUNT_OF_ARRAY(limits))];
	flow->limit_rule = (enum machine_limit)random_below(random, 3);
	if (kind == KIND_NARROW)
		flow->limit = between(random, 100, 600);
}

static void make_flow(struct setup *setup, struct random *random, enum kind kind, uint32_t number)
{
	uint32_t online = setup->config.cpus_online;
	struct machine_flow *flow = add_flow(setup, 0, 0);
	choose_cpus(setup->of_flow[number].submit_cpus, &flow->submit_cpu_count, random, online);
	choose_cpus(setup->of_flow[number].complete_cpus, &flow->queues, random, online);
	flow->domain = (uint32_t)random_below(random, setup->config.domain_count);
	flow->domains = (uint32_t)between(random, 1, setup->config.domain_count - flow->domain);
	flow->submitters = (uint32_t)between(random, 1, 12);
	/* Rings are to be full while a flush is stalled. */
	bool many = kind == KIND_STALLED;
	flow->depth = (uint32_t)(many ? between(random, 100, 400) : between(random, 1, 30));
	if (!many && random_below(random, 2))
		flow->in_flight = (uint32_t)between(random, 1, 2 * flow->submitters);
	flow->resubmit_there = random_below(random, 3) == 0;
	flow->think = make_times(setup->of_flow[number].think, random, 26);
	flow->latency = make_times(setup->of_flow[number].latency, random, 28);
	flow->service = random_bits(random, 18);
	flow->submit_work = random_bits(random, 20);
	flow->complete_work = random_bits(random, 20);
	make_sizes(flow, setup->of_flow[number].sizes, random, kind);
	make_limits(flow, random, kind);
	if (!many && random_below(random, 3) == 0) {
		flow->on = US_IN_PS + random_bits(random, 30);
		flow->off = US_IN_PS + random_bits(random, 30);
	}
	flow->migrate = random_below(random, 3) == 0 ? 1 + random_bits(random, 30) : 0;
	flow->start = random_bits(random, 26);
	flow->leak_every = random_below(random, 4) == 0 ? (uint32_t)between(random, 1, 300) : 0;
}

/* A driver is unbound from domains that no other flow uses. */
static void make_rebinds(struct setup *setup, struct random *random)
{
	setup->config.flow_count = 1 + (setup->config.domain_count > 1);
	struct machine_flow *a = &setup->flows[0], *b = &setup->flows[1];
	a->domain = 0;
	a->domains = 1;
	a->rebind = MS_IN_PS / 4 + random_bits(random, 29);
	b->domain = 1;
	b->domains = setup->config.domain_count - 1;
	b->rebind = random_below(random, 2) ? MS_IN_PS / 4 + random_bits(random, 30) : 0;
}

/* Depots are short, and jobs run often. */
static void make_params(struct setup *setup, struct random *random)
{
	if (setup->designs[0]->param_count == 1) {
		setup->params[0] = random_below(random, 4);
		setup->config.params = setup->params;
	} else if (setup->designs[0]->param_count > 1) {
		const uint64_t params[] = { between(random, 1, 3), random_below(random, 3),
					    between(random, 1, 3), random_below(random, 2) };
		CHECK_EQ(setup->designs[0]->param_count, COUNT_OF_ARRAY(params));
		memcpy(setup->params, params, sizeof(params));
		setup->config.params = setup->params;
	}
}

static void make_machine(struct setup *setup, uint64_t seed, enum kind kind, const char *design)
{
	struct random random = { seed * KINDS + kind };
	setup_init(setup, design, (uint32_t)between(&random, 1, 9));
	setup->config.cpus_online = (uint32_t)between(&random, 1, setup->config.cpus_possible);
	setup->config.cpus_per_node = (uint32_t)between(&random, 1, 8);
	setup->config.seed = random_next(&random);
	make_params(setup, &random);
	make_prices(setup, &random, kind);
	make_domains(setup, &random, kind, design);
	uint32_t flows = (uint32_t)between(&random, 1, 4);
	if (kind == KIND_REBIND || kind == KIND_LAZY_REBIND)
		flows = 2;
	for (uint32_t i = 0; i < flows; i++)
		make_flow(setup, &random, kind, i);
	if (kind == KIND_REBIND || kind == KIND_LAZY_REBIND)
		make_rebinds(setup, &random);
}

/* ------------------------------------------------------------------------ invariants */

static const char *const designs[] = { "linux-6.1", "unbounded", "linux-6.12", "linux-7.3" };

/* What the machines of a test have done together: something of everything. */
static struct machine_totals seen;

static void add_up(const struct machine_totals *totals)
{
	seen.failed += totals->failed;
	seen.lost += totals->lost;
	seen.leaked += totals->leaked;
	seen.rebinds += totals->rebinds;
	seen.timer_runs += totals->timer_runs;
	seen.job_runs += totals->job_runs;
	seen.flushed_in_vain += totals->flushed_in_vain;
	seen.lines_far += totals->lines_far;
	for (uint32_t i = 0; i < MACHINE_LOCKS; i++)
		seen.lock[i].waited += totals->lock[i].waited;
}

static void sound_at_every_moment(uint64_t seed, uint64_t size, bool trace)
{
	static struct setup setup;
	const char *design = designs[seed % COUNT_OF_ARRAY(designs)];
	struct random random = { seed };
	make_machine(&setup, seed, (enum kind)size, design);
	struct machine *machine = start_machine(&setup);
	bool done = false;
	CHECK_SOUND(machine_fault(machine));
	while (!done && machine_read_totals(machine).operations < 12000) {
		uint64_t piece = between(&random, 1, 1000);
		CHECK_EQ(machine_run(machine, S_IN_PS / 4, piece, NULL, &done), REPLAY_OK);
		if (trace)
			printf("%" PRIu64 " ps, %" PRIu64 " operations\n",
			       machine_read_totals(machine).now,
			       machine_read_totals(machine).operations);
		CHECK_SOUND(machine_fault(machine));
	}
	struct machine_totals totals = machine_read_totals(machine);
	add_up(&totals);
	end_machine(&setup, machine);
}

static void everything_is_at_one_place_and_accounted_for(void)
{
	memset(&seen, 0, sizeof(seen));
	random_run(&plan, kinds, COUNT_OF_ARRAY(kinds), 28, sound_at_every_moment);
	if (plan.one)
		return;
	CHECK(seen.failed > 0);
	CHECK(seen.lost > 0);
	CHECK(seen.leaked > 0);
	CHECK(seen.rebinds > 0);
	CHECK(seen.timer_runs > 0);
	CHECK(seen.job_runs > 0);
	CHECK(seen.lines_far > 0);
	for (uint32_t i = 0; i < MACHINE_LOCKS; i++)
		CHECK(seen.lock[i].waited > 0);
}

/* ---------------------------------------------------------------------------- replay */

/* When a machine has done about so many operations, found out with another one. */
static uint64_t time_of_operations(const struct setup *setup, uint64_t operations)
{
	struct setup *other = malloc(sizeof(*other));
	struct machine *machine = NULL;
	bool done;
	CHECK(other != NULL);
	*other = *setup;
	test_memory_init(&other->memory);
	other->config.memory = &other->memory.table;
	CHECK_EQ(machine_create(&other->config, &machine), REPLAY_OK);
	CHECK_EQ(machine_run(machine, S_IN_PS / 4, operations, NULL, &done), REPLAY_OK);
	uint64_t now = machine_read_totals(machine).now;
	end_machine(other, machine);
	free(other);
	return now;
}

static void followed_by_a_replay(uint64_t seed, uint64_t size, bool trace)
{
	static struct setup setup;
	make_machine(&setup, seed, (enum kind)size, seed % 2 ? "linux-6.1" : "unbounded");
	uint64_t until = time_of_operations(&setup, 15000);
	struct machine *machine = start_machine(&setup);
	run_rows(machine, until, UINT64_MAX, 0);
	if (trace)
		printf("%zu rows\n", row_count);
	check_replay_of_rows(&setup, machine);
	end_machine(&setup, machine);
}

static void a_replay_of_the_rows_gets_the_same_ranges(void)
{
	random_run(&plan, kinds, COUNT_OF_ARRAY(kinds), 12, followed_by_a_replay);
}

/* ----------------------------------------------------------------------- in pieces */

/* All there is to compare. */
struct outcome {
	struct machine_totals totals;
	struct replay_totals ledger;
	struct iova_counters counters;
	uint64_t times[2 * MACHINE_BUCKETS];
};

static struct outcome outcome_of(struct setup *setup, struct machine *machine)
{
	struct outcome outcome;
	memset(&outcome, 0, sizeof(outcome));
	outcome.totals = machine_read_totals(machine);
	outcome.ledger = replay_read_totals(machine_replay(machine));
	outcome.counters = counters_of_machine(machine);
	memcpy(outcome.times, machine_alloc_times(machine), sizeof(outcome.times) / 2);
	memcpy(outcome.times + MACHINE_BUCKETS, machine_free_times(machine),
	       sizeof(outcome.times) / 2);
	end_machine(setup, machine);
	return outcome;
}

static struct outcome run_whole(struct setup *setup, uint64_t until)
{
	struct machine *machine = start_machine(setup);
	run_to(machine, until);
	return outcome_of(setup, machine);
}

static struct outcome run_by_operations(struct setup *setup, uint64_t until, struct random *random)
{
	struct machine *machine = start_machine(setup);
	for (bool done = false; !done;)
		CHECK_EQ(machine_run(machine, until, between(random, 1, 50), NULL, &done),
			 REPLAY_OK);
	return outcome_of(setup, machine);
}

static struct outcome run_by_time(struct setup *setup, uint64_t until, struct random *random)
{
	struct machine *machine = start_machine(setup);
	for (uint64_t t = 0; t < until; t += random_below(random, until / 50 + 1))
		run_to(machine, t);
	run_to(machine, until);
	return outcome_of(setup, machine);
}

static struct outcome run_by_rows(struct setup *setup, uint64_t until, uint64_t operations,
				  size_t left)
{
	struct machine *machine = start_machine(setup);
	row_count = 0;
	run_rows(machine, until, operations, MACHINE_MIN_ROOM - left);
	return outcome_of(setup, machine);
}

#define CHECK_SAME(a, b) CHECK(memcmp(&(a), &(b), sizeof(a)) == 0)

static void the_same_in_pieces(uint64_t seed, uint64_t size, bool trace)
{
	static struct setup setup;
	struct random random = { seed };
	make_machine(&setup, seed, (enum kind)size, designs[seed % COUNT_OF_ARRAY(designs)]);
	uint64_t until = time_of_operations(&setup, 6000);
	if (trace)
		printf("until %" PRIu64 " ps\n", until);
	struct outcome whole = run_whole(&setup, until);
	struct outcome again = run_whole(&setup, until);
	struct outcome operations = run_by_operations(&setup, until, &random);
	struct outcome times = run_by_time(&setup, until, &random);
	CHECK_SAME(again, whole);
	CHECK_SAME(operations, whole);
	CHECK_SAME(times, whole);
	struct outcome tables = run_by_rows(&setup, until, UINT64_MAX, MACHINE_MIN_ROOM);
	uint64_t rows_of_whole = row_count, last = rows[row_count - 1].pfn;
	/* Room for a few rows only, but for what wants a whole table. */
	struct outcome small = run_by_rows(&setup, until, 7, 400);
	CHECK_SAME(tables, whole);
	CHECK_SAME(small, whole);
	CHECK_EQ(row_count, rows_of_whole);
	CHECK_EQ(rows[row_count - 1].pfn, last);
}

static void cut_into_pieces_it_does_the_same(void)
{
	random_run(&plan, kinds, COUNT_OF_ARRAY(kinds), 10, the_same_in_pieces);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(everything_is_at_one_place_and_accounted_for);
	TEST(a_replay_of_the_rows_gets_the_same_ranges);
	TEST(cut_into_pieces_it_does_the_same);
	return 0;
}
