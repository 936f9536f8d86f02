/* SPDX-License-Identifier: MIT */
/*
 * working-set: what the depot never dipped below for a whole interval is surplus, however
 * much that is, and goes back to the tree at once.
 *
 * Source: Bonwick and Adams, "Magazines and Vmem", section 3.4: each list remembers the
 * least length of an interval; what is freed is the lesser of the last interval's and of
 * this one's so far. Their interval is 15 s; the shorter one here is ours, as presets last
 * seconds.
 */
#include "policy.h"

enum { INTERVAL };

static const struct iova_param params[] = {
	[INTERVAL] = { "interval_ms", "ms", "over which the depot's shortest length is taken", 1,
		       86400000, 1000, NULL },
};

struct seen_class {
	uint64_t low; /* least length in the last interval, without what was released */
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)config;
	mechanism->arm_delay_ns = values[INTERVAL] * NS_PER_MS;
}

static void look(const struct iova_design *design, void *state, const uint64_t *values,
		 const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	struct seen_class *seen = state;
	uint64_t surplus = view->depot_low < seen->low ? view->depot_low : seen->low;
	decision->release = surplus;
	seen->low = view->depot_low - surplus;
	if (view->depot > surplus)
		decision->again_ns = values[INTERVAL] * NS_PER_MS;
}

const struct iova_design design_working_set = {
	.name = "working-set",
	.summary = "releases what the depot never dipped below for an interval (Bonwick and Adams)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
	.look = look,
	.state_size = sizeof(struct seen_class),
};
