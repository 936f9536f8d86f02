/* SPDX-License-Identifier: MIT */
/*
 * linux-6.12: the unbounded depot, and a delayed job that shrinks it again: while it
 * holds more magazines than CPUs are online, one is emptied into the tree every 100 ms.
 *
 * Source: both patches of the discussion of August 2023; Linux 6.7 to 7.2. Their author
 * calls threshold and rate chosen fairly arbitrarily.
 */
#include "policy.h"

const struct iova_param reclaim_params[RECLAIM_PARAM_COUNT] = { RECLAIM_PARAMS };

void reclaim_setup(const struct iova_design *design, const uint64_t *values,
		   const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)config;
	mechanism->arm_delay_ns = values[RECLAIM_DELAY] * NS_PER_MS;
}

void reclaim_look(const struct iova_design *design, void *state, const uint64_t *values,
		  const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	(void)state;
	uint64_t threshold = values[RECLAIM_THRESHOLD];
	if (threshold == IOVA_AUTO)
		threshold = view->cpus_online;
	if (view->depot <= threshold)
		return;
	decision->release = values[RECLAIM_BATCH];
	decision->keep = threshold;
	if (values[RECLAIM_REARM])
		decision->again_ns = values[RECLAIM_DELAY] * NS_PER_MS;
}

const struct iova_design design_linux_6_12 = {
	.name = "linux-6.12",
	.summary = "unbounded depot, one magazine reclaimed every 100 ms (Linux 6.7 to 7.2)",
	.params = reclaim_params,
	.param_count = RECLAIM_PARAM_COUNT,
	.setup = reclaim_setup,
	.look = reclaim_look,
};
