/* SPDX-License-Identifier: MIT */
/*
 * two-list: linux-6.12 with a second list in each depot, of empty magazines. A CPU whose
 * magazines are both full takes an empty one from it, and leaves one there when it takes a
 * full one; so magazines are seldom made and freed.
 *
 * Source: Bonwick and Adams, "Magazines and Vmem", section 3.1. Theirs has no bound.
 */
#include "policy.h"

enum { EMPTIES = RECLAIM_PARAM_COUNT };

static const struct iova_param params[] = {
	RECLAIM_PARAMS,
	[EMPTIES] = { "empties", "magazines", "most empty ones that a depot keeps", 0, 1u << 20,
		      IOVA_AUTO, "CPUs online at first" },
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	reclaim_setup(design, values, config, mechanism);
	bool automatic = values[EMPTIES] == IOVA_AUTO;
	mechanism->empties_max = automatic ? config->cpus_online : values[EMPTIES];
}

const struct iova_design design_two_list = {
	.name = "two-list",
	.summary = "linux-6.12, and the depot keeps empty magazines too (Bonwick and Adams)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
	.look = reclaim_look,
};
