/* SPDX-License-Identifier: MIT */
/*
 * machine_config - whether a machine can be made of a configuration: every number lies within
 * the bounds of machine.h, and flows name CPUs and domains that are there.
 */
#include "machine_inner.h"

static bool cpus_are_valid(const struct machine_config *config, const uint16_t *cpus, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (cpus[i] >= config->cpus_online)
			return false;
	return count > 0;
}

static bool quantiles_are_valid(const uint64_t *quantiles)
{
	for (size_t i = 0; quantiles && i < MACHINE_QUANTILES; i++)
		if (quantiles[i] > MACHINE_MAX_TIME ||
		    (i > 0 && quantiles[i] < quantiles[i - 1]))
			return false;
	return true;
}

static bool sizes_are_valid(const struct machine_flow *flow)
{
	uint64_t weights = 0;
	for (uint32_t i = 0; i < flow->size_count && i < MACHINE_MAX_SIZES; i++) {
		if (flow->sizes[i].pages == 0 || flow->sizes[i].pages > MACHINE_MAX_PAGES)
			return false;
		weights += flow->sizes[i].weight;
	}
	return flow->size_count <= MACHINE_MAX_SIZES && weights > 0;
}

static bool times_are_valid(const struct machine_flow *flow)
{
	const uint64_t times[] = { flow->service, flow->submit_work, flow->complete_work,
				   flow->on,	  flow->off,	     flow->migrate,
				   flow->rebind,  flow->start };
	for (size_t i = 0; i < COUNT_OF_ARRAY(times); i++)
		if (times[i] > MACHINE_MAX_TIME)
			return false;
	return flow->off == 0 || flow->on > 0;
}

static bool faults_are_valid(const struct machine_flow *flow)
{
	return flow->wrong_every == 0 ||
	       (flow->wrong_pages > 0 && flow->wrong_pages <= MACHINE_MAX_PAGES);
}

static bool flow_is_valid(const struct machine_config *config, const struct machine_flow *flow)
{
	return flow->domains > 0 && flow->domains <= config->domain_count &&
	       flow->domain <= config->domain_count - flow->domains && flow->submitters > 0 &&
	       flow->depth > 0 &&
	       (uint64_t)flow->submitters * flow->depth <= MACHINE_MAX_LANES &&
	       cpus_are_valid(config, flow->submit_cpus, flow->submit_cpu_count) &&
	       cpus_are_valid(config, flow->complete_cpus, flow->queues) &&
	       quantiles_are_valid(flow->think) && quantiles_are_valid(flow->latency) &&
	       sizes_are_valid(flow) && times_are_valid(flow) && faults_are_valid(flow) &&
	       flow->limit_rule <= MACHINE_LIMIT_32_UNTIL_FAILURE;
}

static bool domain_is_valid(const struct machine_domain *domain)
{
	return domain->flush <= MACHINE_MAX_TIME && domain->stall <= MACHINE_MAX_TIME &&
	       domain->queue_rule <= MACHINE_QUEUE_COVERED && domain->start_pfn > 0 &&
	       domain->reserved_count <= MACHINE_MAX_RESERVED;
}

static bool prices_are_valid(const struct machine_prices *prices)
{
	const uint64_t *price = (const uint64_t *)prices;
	for (size_t i = 0; i < sizeof(*prices) / sizeof(*price); i++)
		if (price[i] > MACHINE_MAX_PRICE)
			return false;
	return prices->tree_step <= prices->tree_step_far &&
	       prices->tree_level <= prices->tree_level_far;
}

/* A driver is unbound from a domain that is its own. */
static bool rebinds_are_valid(const struct machine_config *config)
{
	for (uint32_t f = 0; f < config->flow_count; f++) {
		const struct machine_flow *a = &config->flows[f];
		for (uint32_t g = 0; a->rebind && g < config->flow_count; g++) {
			const struct machine_flow *b = &config->flows[g];
			if (f != g && a->domain < b->domain + b->domains &&
			    b->domain < a->domain + a->domains)
				return false;
		}
	}
	return true;
}

bool machine_config_is_valid(const struct machine_config *config)
{
	uint64_t lanes = 0;
	if (config->cpus_possible == 0 || config->cpus_possible > MACHINE_MAX_CPUS ||
	    config->cpus_online == 0 || config->cpus_online > config->cpus_possible ||
	    config->cpus_per_node == 0 || config->domain_count == 0 ||
	    config->domain_count > MACHINE_MAX_DOMAINS || config->flow_count == 0 ||
	    config->flow_count > MACHINE_MAX_FLOWS || config->classes == 0 ||
	    config->classes > IOVA_MAX_CLASSES || config->max_samples > MACHINE_MAX_SAMPLES ||
	    (config->sample_ns > 0 && config->max_samples == 0) ||
	    !prices_are_valid(&config->prices))
		return false;
	for (uint32_t i = 0; i < config->domain_count; i++)
		if (!domain_is_valid(&config->domains[i]))
			return false;
	for (uint32_t f = 0; f < config->flow_count; f++) {
		const struct machine_flow *flow = &config->flows[f];
		if (!flow_is_valid(config, flow))
			return false;
		lanes += (uint64_t)flow->submitters * flow->depth;
	}
	return lanes <= MACHINE_MAX_LANES && rebinds_are_valid(config);
}
