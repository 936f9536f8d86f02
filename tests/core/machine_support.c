/* SPDX-License-Identifier: MIT */
/* machine_support - machines that tests describe in a few lines, and run. */
#include "machine_support.h"

/* -------------------------------------------------------------------------- set-up */

struct machine_prices prime_prices(uint64_t scale)
{
	return (struct machine_prices){
		.alloc_hit = 11 * scale,
		.free_hit = 13 * scale,
		.swap = 17 * scale,
		.lock = 19 * scale,
		.line = 23 * scale,
		.line_far = 29 * scale,
		.line_ahead = 31 * scale,
		.line_ahead_far = 37 * scale,
		.depot = 41 * scale,
		.magazine_new = 43 * scale,
		.magazine_free = 47 * scale,
		.scan = 53 * scale,
		.tree_alloc = 59 * scale,
		.tree_free = 61 * scale,
		.tree_step = 67 * scale,
		.tree_step_far = 71 * scale,
		.tree_level = 73 * scale,
		.tree_level_far = 79 * scale,
		.tree_near = 1000,
		.index_alloc = 83 * scale,
		.index_free = 89 * scale,
		.queue = 97 * scale,
		.job = 101 * scale,
	};
}

void setup_init(struct setup *setup, const char *design, uint32_t cpus)
{
	CHECK(cpus <= SETUP_CPUS);
	memset(setup, 0, sizeof(*setup));
	test_memory_init(&setup->memory);
	setup->config = (struct machine_config){
		.cpus_possible = cpus,
		.cpus_online = cpus,
		.classes = IOVA_DEFAULT_CLASSES,
		.cpus_per_node = cpus,
		.domains = setup->domains,
		.designs = setup->designs,
		.flows = setup->flows,
		.prices = prime_prices(PS),
		.seed = 1,
	};
	setup->config.memory = &setup->memory.table;
	add_domain(setup, design);
	row_count = 0;
}

struct machine_domain *add_domain(struct setup *setup, const char *design)
{
	uint32_t number = setup->config.domain_count++;
	CHECK(number < SETUP_DOMAINS);
	setup->designs[number] = iova_design_named(design);
	CHECK(setup->designs[number] != NULL);
	setup->domains[number] = (struct machine_domain){ .granule = 4096, .start_pfn = 1 };
	return &setup->domains[number];
}

struct machine_flow *add_flow(struct setup *setup, uint16_t submit_cpu, uint16_t complete_cpu)
{
	uint32_t number = setup->config.flow_count++;
	CHECK(number < SETUP_FLOWS);
	setup->of_flow[number].submit_cpus[0] = submit_cpu;
	setup->of_flow[number].complete_cpus[0] = complete_cpu;
	setup->of_flow[number].sizes[0] = (struct machine_size){ 1, 1 };
	setup->flows[number] = (struct machine_flow){
		.domains = 1,
		.submitters = 1,
		.depth = 1,
		.submit_cpus = setup->of_flow[number].submit_cpus,
		.submit_cpu_count = 1,
		.complete_cpus = setup->of_flow[number].complete_cpus,
		.queues = 1,
		.sizes = setup->of_flow[number].sizes,
		.size_count = 1,
		.limit = LIMIT32,
	};
	return &setup->flows[number];
}

struct machine_flow *add_request(struct setup *setup, uint16_t submit_cpu, uint16_t complete_cpu,
				 uint64_t pages, uint64_t start, uint64_t latency)
{
	struct machine_flow *flow = add_flow(setup, submit_cpu, complete_cpu);
	size_t number = (size_t)(flow - setup->flows);
	setup->of_flow[number].sizes[0].pages = pages;
	flow->start = start;
	set_latency(setup, flow, latency);
	/* On for the one moment in which its lane is ready for the first time. */
	flow->on = PS;
	flow->off = FOR_EVER;
	return flow;
}

static void set_time(uint64_t *quantiles, uint64_t ps)
{
	for (size_t i = 0; i < MACHINE_QUANTILES; i++)
		quantiles[i] = ps;
}

void set_think(struct setup *setup, const struct machine_flow *flow, uint64_t ps)
{
	size_t number = (size_t)(flow - setup->flows);
	set_time(setup->of_flow[number].think, ps);
	setup->flows[number].think = setup->of_flow[number].think;
}

void set_latency(struct setup *setup, const struct machine_flow *flow, uint64_t ps)
{
	size_t number = (size_t)(flow - setup->flows);
	set_time(setup->of_flow[number].latency, ps);
	setup->flows[number].latency = setup->of_flow[number].latency;
}

/* ------------------------------------------------------------------------- running */

struct machine *start_machine(struct setup *setup)
{
	struct machine *machine = NULL;
	CHECK_EQ(machine_create(&setup->config, &machine), REPLAY_OK);
	return machine;
}

void run_to(struct machine *machine, uint64_t until)
{
	bool done = false;
	CHECK_EQ(machine_run(machine, until, UINT64_MAX, NULL, &done), REPLAY_OK);
	CHECK(done);
	CHECK_EQ(machine_read_totals(machine).now, until);
}

void end_machine(struct setup *setup, struct machine *machine)
{
	CHECK_SOUND(machine_fault(machine));
	machine_destroy(machine);
	CHECK_EQ(test_memory_held(&setup->memory), 0);
}

struct iova_counters counters_of_machine(const struct machine *machine)
{
	struct iova_counters sum = { 0 };
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters one = replay_read_counters(machine_replay(machine), k);
		const uint64_t *from = (const uint64_t *)&one;
		uint64_t *to = (uint64_t *)&sum;
		for (size_t i = 0; i < sizeof(sum) / sizeof(*to); i++)
			to[i] += from[i];
	}
	return sum;
}
