/* SPDX-License-Identifier: MIT */
/* What a machine may be made of: each bound is accepted and one more is refused; samples. */
#include "machine_support.h"

static struct setup setup;
static struct machine_flow *flow; /* of a valid config, the first */
static struct machine_domain *domain;
static struct machine_size many_sizes[MACHINE_MAX_SIZES + 1];
static struct machine_flow many_flows[MACHINE_MAX_FLOWS + 1];

static void begin(void)
{
	setup_init(&setup, "unbounded", 4);
	setup.config.cpus_online = 3;
	flow = add_flow(&setup, 0, 0);
	set_latency(&setup, flow, 1000);
	set_think(&setup, flow, 1000);
	domain = &setup.domains[0];
}

static enum replay_status try_config(void)
{
	struct machine *machine = NULL;
	enum replay_status status = machine_create(&setup.config, &machine);
	CHECK((machine != NULL) == (status == REPLAY_OK));
	machine_destroy(machine);
	CHECK_EQ(test_memory_held(&setup.memory), 0);
	return status;
}

/* A valid config with one change. */
#define REFUSED(change)                                        \
	do {                                                   \
		begin();                                       \
		change;                                        \
		CHECK_EQ(try_config(), REPLAY_BAD_CONFIG);     \
	} while (0)
#define ACCEPTED(change)                               \
	do {                                           \
		begin();                               \
		change;                                \
		CHECK_EQ(try_config(), REPLAY_OK);     \
	} while (0)

/* --------------------------------------------------------------------------- bounds */

static void there_are_cpus_and_some_are_online(void)
{
	REFUSED(setup.config.cpus_possible = 0);
	REFUSED(setup.config.cpus_possible = MACHINE_MAX_CPUS + 1);
	ACCEPTED(setup.config.cpus_possible = MACHINE_MAX_CPUS);
	REFUSED(setup.config.cpus_online = 0);
	REFUSED(setup.config.cpus_online = 5);
	ACCEPTED(setup.config.cpus_online = 4);
	REFUSED(setup.config.cpus_per_node = 0);
	ACCEPTED(setup.config.cpus_per_node = UINT32_MAX);
}

static void there_are_size_classes(void)
{
	REFUSED(setup.config.classes = 0);
	REFUSED(setup.config.classes = IOVA_MAX_CLASSES + 1);
	ACCEPTED(setup.config.classes = IOVA_MAX_CLASSES);
	ACCEPTED(setup.config.classes = 1);
}

static void there_are_domains_and_they_can_be_made(void)
{
	REFUSED(setup.config.domain_count = 0);
	REFUSED(setup.config.domain_count = MACHINE_MAX_DOMAINS + 1);
	REFUSED(domain->start_pfn = 0);
	REFUSED(domain->granule = 0);
	REFUSED(domain->granule = 3000);
	REFUSED(domain->flush = MACHINE_MAX_TIME + 1);
	ACCEPTED(domain->flush = MACHINE_MAX_TIME);
	REFUSED(domain->stall = MACHINE_MAX_TIME + 1);
	ACCEPTED(domain->stall = MACHINE_MAX_TIME);
	REFUSED(domain->queue_rule = (enum machine_queue_rule)2);
	REFUSED(domain->reserved_count = MACHINE_MAX_RESERVED + 1);
}

static void a_reservation_is_one_that_the_core_takes(void)
{
	static const struct iova_range upside_down = { 20, 10 };
	begin();
	domain->reserved = &upside_down;
	domain->reserved_count = 1;
	CHECK_EQ(try_config(), REPLAY_BAD_RESERVE);
}

static void the_parameters_are_the_designs(void)
{
	begin();
	setup.designs[0] = iova_design_named("linux-6.12");
	const uint64_t too_long[] = { UINT64_MAX - 1, 0, 1, 1 };
	setup.config.params = too_long;
	CHECK_EQ(try_config(), REPLAY_BAD_CONFIG);
}

static void there_are_flows_with_lanes(void)
{
	REFUSED(setup.config.flow_count = 0);
	REFUSED(setup.config.flow_count = MACHINE_MAX_FLOWS + 1);
	REFUSED(flow->submitters = 0);
	REFUSED(flow->depth = 0);
	REFUSED(flow->submitters = MACHINE_MAX_LANES + 1);
	REFUSED((flow->submitters = 1 << 16, flow->depth = 1 << 16));
	ACCEPTED((flow->submitters = 1 << 11, flow->depth = 1 << 4));
	/* 64 flows of a 32nd of the lanes each. */
	begin();
	for (size_t i = 0; i < MACHINE_MAX_FLOWS; i++) {
		many_flows[i] = *flow;
		many_flows[i].depth = MACHINE_MAX_LANES / 32;
	}
	setup.config.flows = many_flows;
	setup.config.flow_count = MACHINE_MAX_FLOWS;
	CHECK_EQ(try_config(), REPLAY_BAD_CONFIG);
	for (size_t i = 0; i < MACHINE_MAX_FLOWS; i++)
		many_flows[i].depth = 3;
	CHECK_EQ(try_config(), REPLAY_OK);
}

static void a_flow_uses_domains_that_are_there(void)
{
	REFUSED(flow->domains = 0);
	REFUSED(flow->domains = 2);
	REFUSED(flow->domain = 1);
	REFUSED(flow->domain = UINT32_MAX);
	REFUSED((add_domain(&setup, "unbounded"), flow->domain = 1, flow->domains = 2));
	ACCEPTED((add_domain(&setup, "unbounded"), flow->domains = 2));
}

static void a_flow_runs_on_cpus_that_are_online(void)
{
	uint16_t *submit = setup.of_flow[0].submit_cpus, *complete = setup.of_flow[0].complete_cpus;
	REFUSED(flow->submit_cpu_count = 0);
	REFUSED(flow->queues = 0);
	REFUSED(submit[0] = 3);
	ACCEPTED(submit[0] = 2);
	REFUSED((flow->submit_cpu_count = 2, submit[1] = 3));
	REFUSED(complete[0] = 3);
	ACCEPTED(complete[0] = 2);
	REFUSED((flow->queues = 2, complete[1] = 4));
}

static void times_have_a_bound_and_quantiles_rise(void)
{
	REFUSED(set_think(&setup, flow, MACHINE_MAX_TIME + 1));
	ACCEPTED(set_think(&setup, flow, MACHINE_MAX_TIME));
	REFUSED(set_latency(&setup, flow, MACHINE_MAX_TIME + 1));
	REFUSED(setup.of_flow[0].latency[MACHINE_QUANTILES - 1] = 999);
	REFUSED(setup.of_flow[0].think[0] = 1001);
	ACCEPTED(setup.of_flow[0].think[0] = 999);
	REFUSED(flow->service = MACHINE_MAX_TIME + 1);
	REFUSED(flow->submit_work = MACHINE_MAX_TIME + 1);
	REFUSED(flow->complete_work = MACHINE_MAX_TIME + 1);
	REFUSED(flow->on = MACHINE_MAX_TIME + 1);
	REFUSED((flow->on = 1, flow->off = MACHINE_MAX_TIME + 1));
	REFUSED((flow->on = 0, flow->off = 1));
	REFUSED(flow->migrate = MACHINE_MAX_TIME + 1);
	REFUSED(flow->rebind = MACHINE_MAX_TIME + 1);
	REFUSED(flow->start = MACHINE_MAX_TIME + 1);
	ACCEPTED((flow->start = flow->service = flow->submit_work = MACHINE_MAX_TIME,
		  flow->complete_work = flow->on = flow->off = MACHINE_MAX_TIME,
		  flow->migrate = flow->rebind = MACHINE_MAX_TIME));
}

static void sizes_have_pages_and_weight(void)
{
	struct machine_size *sizes = setup.of_flow[0].sizes;
	REFUSED(flow->size_count = 0);
	REFUSED(sizes[0].pages = 0);
	REFUSED(sizes[0].pages = MACHINE_MAX_PAGES + 1);
	ACCEPTED(sizes[0].pages = MACHINE_MAX_PAGES);
	REFUSED(sizes[0].weight = 0);
	for (size_t i = 0; i <= MACHINE_MAX_SIZES; i++)
		many_sizes[i] = (struct machine_size){ 1, UINT32_MAX };
	REFUSED((flow->sizes = many_sizes, flow->size_count = MACHINE_MAX_SIZES + 1));
	ACCEPTED((flow->sizes = many_sizes, flow->size_count = MACHINE_MAX_SIZES));
}

static void rules_and_faults_are_known_ones(void)
{
	REFUSED(flow->limit_rule = (enum machine_limit)3);
	REFUSED((flow->wrong_every = 1, flow->wrong_pages = 0));
	REFUSED((flow->wrong_every = 1, flow->wrong_pages = MACHINE_MAX_PAGES + 1));
	ACCEPTED((flow->wrong_every = 1, flow->wrong_pages = MACHINE_MAX_PAGES));
	ACCEPTED(flow->wrong_pages = MACHINE_MAX_PAGES + 1); /* is not looked at */
}

static void prices_have_a_bound_and_far_is_not_nearer_than_near(void)
{
	uint64_t *price = (uint64_t *)&setup.config.prices;
	for (size_t i = 0; i < sizeof(setup.config.prices) / sizeof(*price); i++)
		REFUSED(price[i] = MACHINE_MAX_PRICE + 1);
	begin();
	for (size_t i = 0; i < sizeof(setup.config.prices) / sizeof(*price); i++)
		price[i] = MACHINE_MAX_PRICE;
	CHECK_EQ(try_config(), REPLAY_OK);
	REFUSED(setup.config.prices.tree_step = setup.config.prices.tree_step_far + 1);
	REFUSED(setup.config.prices.tree_level = setup.config.prices.tree_level_far + 1);
	ACCEPTED(setup.config.prices.tree_step = setup.config.prices.tree_step_far);
}

static void samples_have_a_bound(void)
{
	REFUSED((setup.config.sample_ns = 1, setup.config.max_samples = 0));
	REFUSED(setup.config.max_samples = MACHINE_MAX_SAMPLES + 1);
	REFUSED(setup.config.sample_ns = -1);
	ACCEPTED((setup.config.sample_ns = 1, setup.config.max_samples = 1));
}

static void a_driver_is_unbound_from_a_domain_of_its_own(void)
{
	/* A second flow, of domains first .. first + count - 1 of three. */
#define TWO_FLOWS(first, count)                          \
	(add_domain(&setup, "unbounded"),                \
	 add_domain(&setup, "unbounded"),                \
	 flow->domain = 1, flow->rebind = MS_IN_PS,      \
	 add_flow(&setup, 0, 0)->domain = (first),       \
	 setup.flows[1].domains = (count))
	REFUSED(TWO_FLOWS(1, 1));
	REFUSED(TWO_FLOWS(0, 2));
	REFUSED(TWO_FLOWS(0, 3));
	REFUSED(TWO_FLOWS(1, 2));
	ACCEPTED(TWO_FLOWS(0, 1));
	ACCEPTED(TWO_FLOWS(2, 1));
	ACCEPTED((TWO_FLOWS(1, 1), flow->rebind = 0));
}

/* ------------------------------------------------------------------------------ time */

static void the_longest_times_do_not_make_time_run_back(void)
{
	begin();
	flow->depth = 32;
	flow->service = MACHINE_MAX_TIME;
	set_latency(&setup, flow, MACHINE_MAX_TIME);
	set_think(&setup, flow, 0);
	struct machine *machine = start_machine(&setup);
	run_to(machine, MACHINE_END - 1);
	CHECK_EQ(machine_read_totals(machine).requests, 2); /* at 2 and at 3 of the 4 */
	CHECK_SOUND(machine_fault(machine));
	end_machine(&setup, machine);
}

static void a_run_to_a_time_that_is_past_does_nothing(void)
{
	begin();
	struct machine *machine = start_machine(&setup);
	run_to(machine, MS_IN_PS);
	uint64_t operations = machine_read_totals(machine).operations;
	bool done = false;
	CHECK_EQ(machine_run(machine, 5, UINT64_MAX, NULL, &done), REPLAY_OK);
	CHECK(done);
	CHECK_EQ(machine_read_totals(machine).now, MS_IN_PS);
	CHECK_EQ(machine_read_totals(machine).operations, operations);
	end_machine(&setup, machine);
}

/* Two requests at 100 ps, and a run that ends after the first's operation. */
static void what_is_due_at_the_end_of_a_run_is_done_though_it_came_in_pieces(void)
{
	setup_init(&setup, "unbounded", 2);
	setup.config.prices = (struct machine_prices){ 0 };
	add_request(&setup, 0, 0, 1, 100, 1000);
	add_request(&setup, 1, 1, 1, 100, 1000);
	struct machine *machine = start_machine(&setup);
	bool done = false;
	CHECK_EQ(machine_run(machine, 100, 1, NULL, &done), REPLAY_OK);
	CHECK(!done);
	CHECK_EQ(machine_read_totals(machine).operations, 1);
	while (!done)
		CHECK_EQ(machine_run(machine, 100, 1, NULL, &done), REPLAY_OK);
	CHECK_EQ(machine_read_totals(machine).operations, 2);
	end_machine(&setup, machine);
}

/* ---------------------------------------------------------------------------- samples */

static void begin_sampled(void)
{
	begin();
	domain->lazy = true;
	flow->submitters = 3;
	flow->submit_cpu_count = 3;
	setup.of_flow[0].submit_cpus[1] = 1;
	setup.of_flow[0].submit_cpus[2] = 2;
	set_latency(&setup, flow, 20 * US_IN_PS);
	setup.config.sample_ns = MS;
	setup.config.max_samples = 16;
}

static void a_sample_is_the_state_before_its_time(void)
{
	begin_sampled();
	struct machine *machine = start_machine(&setup);
	run_to(machine, 15 * MS_IN_PS + 1);
	CHECK_EQ(replay_sample_count(machine_replay(machine)), 16);
	struct machine *step = start_machine(&setup);
	for (uint64_t i = 0; i < 16; i++) {
		const struct machine_sample *sample = &machine_samples(machine)[i];
		if (i > 0)
			run_to(step, i * MS_IN_PS - 1);
		struct machine_totals totals = machine_read_totals(step);
		CHECK_EQ(replay_samples(machine_replay(machine))[i].t, i * MS);
		CHECK_EQ(sample->operations, totals.operations);
		CHECK_EQ(sample->requests, totals.requests);
		CHECK_EQ(sample->queued, totals.queued);
		CHECK_EQ(sample->lost, totals.lost);
		for (uint32_t s = 0; s < MACHINE_SOURCES; s++)
			CHECK_EQ(sample->cpu[s], totals.cpu[s]);
		for (uint32_t l = 0; l < MACHINE_LOCKS; l++)
			CHECK_EQ(sample->wait[l], totals.lock[l].wait);
	}
	CHECK(machine_samples(machine)[15].queued > 0);
	CHECK(machine_samples(machine)[15].cpu[MACHINE_TIMER] > 0);
	CHECK(machine_samples(machine)[15].wait[MACHINE_LOCK_TREE] > 0);
	machine_destroy(step);
	end_machine(&setup, machine);
}

static void more_samples_than_announced_end_the_run(void)
{
	begin_sampled();
	struct machine *machine = start_machine(&setup);
	bool done;
	CHECK_EQ(machine_run(machine, 20 * MS_IN_PS, UINT64_MAX, NULL, &done), REPLAY_SAMPLES);
	CHECK_EQ(machine_run(machine, 20 * MS_IN_PS, UINT64_MAX, NULL, &done), REPLAY_SAMPLES);
	CHECK_EQ(replay_sample_count(machine_replay(machine)), 16);
	machine_destroy(machine);
	CHECK_EQ(test_memory_held(&setup.memory), 0);
}

int main(void)
{
	TEST(there_are_cpus_and_some_are_online);
	TEST(there_are_size_classes);
	TEST(there_are_domains_and_they_can_be_made);
	TEST(a_reservation_is_one_that_the_core_takes);
	TEST(the_parameters_are_the_designs);
	TEST(there_are_flows_with_lanes);
	TEST(a_flow_uses_domains_that_are_there);
	TEST(a_flow_runs_on_cpus_that_are_online);
	TEST(times_have_a_bound_and_quantiles_rise);
	TEST(sizes_have_pages_and_weight);
	TEST(rules_and_faults_are_known_ones);
	TEST(prices_have_a_bound_and_far_is_not_nearer_than_near);
	TEST(samples_have_a_bound);
	TEST(a_driver_is_unbound_from_a_domain_of_its_own);
	TEST(the_longest_times_do_not_make_time_run_back);
	TEST(a_run_to_a_time_that_is_past_does_nothing);
	TEST(what_is_due_at_the_end_of_a_run_is_done_though_it_came_in_pieces);
	TEST(a_sample_is_the_state_before_its_time);
	TEST(more_samples_than_announced_end_the_run);
	return 0;
}
