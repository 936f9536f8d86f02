/* SPDX-License-Identifier: MIT */
/*
 * linux-6.1: the depot is an array of fixed size; a full magazine that finds no room is
 * emptied into the tree at once, on the path of the free.
 *
 * Source: Linux 4.8 to 6.6 (128, later 127 entries a magazine, 32 magazines a depot).
 */
#include "policy.h"

enum { DEPOT };

static const struct iova_param params[] = {
	[DEPOT] = { "depot", "magazines", "most full magazines a depot holds", 0, 1u << 20, 32,
		    NULL },
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)config;
	mechanism->depot_max = values[DEPOT];
}

const struct iova_design design_linux_6_1 = {
	.name = "linux-6.1",
	.summary = "fixed depot, nothing reclaimed in the background (Linux to 6.6)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
};
