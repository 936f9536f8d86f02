/* SPDX-License-Identifier: MIT */
/*
 * limits: what can be cached follows from the device's in-flight limit. The magazines of
 * all CPUs together hold about that many ranges of a class, and so does its depot.
 *
 * Source: J. Garry's concern in the discussion of August 2023: what can be cached grows with
 * the CPUs, while many devices have a fixed limit, 4 096 for the SCSI controller he names.
 */
#include "policy.h"

#define MOST_ENTRIES 127u

enum { IN_FLIGHT };

static const struct iova_param params[] = {
	[IN_FLIGHT] = { "in_flight", "requests", "the device's limit", 1, 1u << 24, 4096, NULL },
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design;
	/* Two magazines for each CPU. */
	uint64_t in_flight = values[IN_FLIGHT], share = in_flight / 2 / config->cpus_possible;
	uint32_t entries = magazine_at_most(share < MOST_ENTRIES ? share : MOST_ENTRIES);
	mechanism->magazine = entries;
	mechanism->depot_max = (in_flight + entries - 1) / entries;
	mechanism->magazines_at_first_use = true;
}

const struct iova_design design_limits = {
	.name = "limits",
	.summary = "magazines and a fixed depot sized by the device's in-flight limit",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
};
