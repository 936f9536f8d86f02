/* SPDX-License-Identifier: MIT */
/*
 * linux-7.3: linux-6.12 with per-CPU magazines made when a CPU first needs them, so that
 * an idle domain costs next to nothing.
 *
 * Source: Linux from 7.3 on.
 */
#include "policy.h"

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	reclaim_setup(design, values, config, mechanism);
	mechanism->magazines_at_first_use = true;
}

const struct iova_design design_linux_7_3 = {
	.name = "linux-7.3",
	.summary = "linux-6.12 with magazines made at first use (Linux from 7.3)",
	.params = reclaim_params,
	.param_count = RECLAIM_PARAM_COUNT,
	.setup = setup,
	.look = reclaim_look,
};
