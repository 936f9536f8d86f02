/* SPDX-License-Identifier: MIT */
/*
 * trim: linux-6.12, and a CPU that made no call of a size class for some time gives its
 * magazines of that class back: a full one to the depot, a partial one to the tree.
 *
 * Source: Zhen Lei's proposal of August 2019, asked for again in the discussion of August
 * 2023. His counts the hits of a period, cuts the loaded magazine to that number and frees
 * an unused previous one; so it also takes from CPUs that are merely less busy. This one
 * takes from idle CPUs only, and everything.
 */
#include "policy.h"

enum { IDLE = RECLAIM_PARAM_COUNT };

static const struct iova_param params[] = {
	RECLAIM_PARAMS,
	[IDLE] = { "idle_ms", "ms", "without a call, after which a CPU gives back", 1, 86400000,
		   1000, NULL },
};

struct seen_class {
	uint64_t scanned; /* when the CPUs were last asked; 0: never */
	uint32_t holding; /* CPUs with magazines, then */
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	reclaim_setup(design, values, config, mechanism);
	/* Else a class whose ranges never reach the depot would never be looked at. */
	mechanism->arm_by_growth = true;
	mechanism->magazines_at_first_use = true;
}

static void scan_cpus(struct seen_class *seen, const struct iova_view *view, uint64_t idle_ns,
		      struct iova_decision *decision)
{
	struct seen_cpu *cpus = view->cpu_state;
	seen->scanned = view->now;
	seen->holding = 0;
	for (uint32_t cpu = 0; cpu < view->cpus_possible; cpu++) {
		struct iova_cpu_view cache = iova_read_cpu(view->domain, cpu, view->size_class);
		cpu_has_called(&cpus[cpu], &cache, view->now);
		if (!cache.has_loaded && !cache.has_previous)
			continue;
		if (view->now - cpus[cpu].since >= idle_ns)
			decision->trim[decision->trim_count++] = cpu;
		else
			seen->holding++;
	}
}

static void look(const struct iova_design *design, void *state, const uint64_t *values,
		 const struct iova_view *view, struct iova_decision *decision)
{
	struct seen_class *seen = state;
	uint64_t idle_ns = values[IDLE] * NS_PER_MS, half = idle_ns / 2;
	if (!seen->scanned || view->now - seen->scanned >= half)
		scan_cpus(seen, view, idle_ns, decision);
	reclaim_look(design, state, values, view, decision);
	if (!seen->holding && !decision->trim_count)
		return;
	uint64_t left = seen->scanned + half - view->now;
	if (!decision->again_ns || left < decision->again_ns)
		decision->again_ns = left ? left : 1;
}

const struct iova_design design_trim = {
	.name = "trim",
	.summary = "linux-6.12, and idle CPUs give their magazines back (after Zhen Lei)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
	.look = look,
	.state_size = sizeof(struct seen_class),
	.cpu_state_size = sizeof(struct seen_cpu),
};
