/* SPDX-License-Identifier: MIT */
/*
 * cpu-scaled: linux-6.1 with a fixed depot that is larger on larger machines; never
 * smaller than linux-6.1's.
 *
 * Source: the proposal that prompted the discussion of August 2023, after a loss of
 * throughput on 256 CPUs. How many magazines a CPU it had is not known to us: the number
 * here is the threshold of linux-6.12.
 */
#include "policy.h"

#define LEAST UINT64_C(32)

enum { PER_CPU };

static const struct iova_param params[] = {
	[PER_CPU] = { "per_cpu", "magazines", "that a depot holds for each CPU online at first", 1,
		      1024, 1, NULL },
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design;
	uint64_t depot = values[PER_CPU] * config->cpus_online;
	mechanism->depot_max = depot > LEAST ? depot : LEAST;
}

const struct iova_design design_cpu_scaled = {
	.name = "cpu-scaled",
	.summary = "fixed depot, larger with more CPUs (proposed before the discussion)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
};
