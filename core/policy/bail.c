/* SPDX-License-Identifier: MIT */
/*
 * bail: linux-6.1, but where both magazines and the depot are full, the range that is
 * freed goes to the tree and no magazine moves. linux-6.1 empties a magazine of 127 there.
 *
 * Source: J. Garry's question in the discussion of August 2023, why a full magazine was
 * freed and a new one made instead of refusing the insert.
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
	mechanism->bail = true;
}

const struct iova_design design_bail = {
	.name = "bail",
	.summary = "fixed depot; what finds it full goes to the tree alone (a reviewer's question)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
};
