/* SPDX-License-Identifier: MIT */
/*
 * unbounded: the depot is a list without a bound, and nothing shrinks it.
 *
 * Source: the first patch of the discussion of August 2023, taken alone; Bonwick and
 * Adams, "Magazines and Vmem", section 3.1.
 */
#include "policy.h"

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values, (void)config, (void)mechanism;
}

const struct iova_design design_unbounded = {
	.name = "unbounded",
	.summary = "unbounded depot that never shrinks (the discussion's first patch alone)",
	.setup = setup,
};
