/* SPDX-License-Identifier: MIT */
/*
 * grown-magazines: linux-6.12 with magazines that start small and grow by a step where CPUs
 * go to the depot often. They never shrink.
 *
 * Source: Bonwick and Adams, "Magazines and Vmem", section 3.1. There a period's contention
 * for the depot's lock decides, once in 15 s; a policy here sees no lock, so it is the rate
 * of exchanges with the depot. The shorter period is ours: presets last seconds.
 */
#include "policy.h"

enum { PERIOD = RECLAIM_PARAM_COUNT, EXCHANGES, FIRST, MOST };

static const struct iova_param params[] = {
	RECLAIM_PARAMS,
	[PERIOD] = { "period_ms", "ms", "after which the size may grow by a step", 1, 86400000, 1000,
		     NULL },
	[EXCHANGES] = { "exchanges", "1/s", "for each CPU online, above which it grows", 1, 1000000,
			100, NULL },
	[FIRST] = { "first", "entries", "of a magazine at first, rounded down to 2**n - 1",
		    IOVA_MAGAZINE_LEAST, IOVA_MAGAZINE_MOST, 15, NULL },
	[MOST] = { "most", "entries", "of a magazine", IOVA_MAGAZINE_LEAST, IOVA_MAGAZINE_MOST,
		   255, NULL },
};

struct seen_class {
	uint64_t looked; /* when the period began */
	uint64_t moved;	 /* magazines into and out of the depot until then */
	bool begun;
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	reclaim_setup(design, values, config, mechanism);
	mechanism->magazine = magazine_at_most(values[FIRST]);
}

static void end_period(struct seen_class *seen, const struct iova_view *view)
{
	seen->begun = true;
	seen->looked = view->now;
	seen->moved = view->pushed + view->popped;
}

static void look(const struct iova_design *design, void *state, const uint64_t *values,
		 const struct iova_view *view, struct iova_decision *decision)
{
	struct seen_class *seen = state;
	uint64_t passed = view->now - seen->looked, period = values[PERIOD] * NS_PER_MS;
	reclaim_look(design, state, values, view, decision);
	if (!seen->begun || passed >= period) {
		/* Of one CPU, in milliseconds: a rate without a division that loses it. */
		uint64_t moved = (view->pushed + view->popped - seen->moved) * 1000;
		uint64_t most = values[EXCHANGES] * view->cpus_online * (passed / NS_PER_MS);
		if (seen->begun && moved > most && 2 * view->magazine < values[MOST])
			decision->magazine = 2 * view->magazine + 1;
		end_period(seen, view);
		passed = 0;
	}
	if (!view->depot)
		return;
	uint64_t left = period - passed;
	if (!decision->again_ns || left < decision->again_ns)
		decision->again_ns = left;
}

const struct iova_design design_grown_magazines = {
	.name = "grown-magazines",
	.summary = "linux-6.12; magazines grow where the depot is busy (Bonwick and Adams)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
	.look = look,
	.state_size = sizeof(struct seen_class),
};
