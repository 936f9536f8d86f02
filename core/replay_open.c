/* SPDX-License-Identifier: MIT */
/* replay_open - a replay is made of its configuration, and destroyed. */
#include "replay_inner.h"

#include <string.h>

static bool config_is_possible(const struct replay_config *config)
{
	return config->domain_count > 0 && config->sample_ns >= 0 && config->cpus_possible > 0 &&
	       config->cpus_possible <= IOVA_MAX_CPUS && config->cpus_online > 0 &&
	       config->cpus_online <= config->cpus_possible;
}

enum replay_status replay_create(const struct replay_config *config, struct replay **result)
{
	const struct iova_memory *memory = config->memory ? config->memory : iova_memory_heap();
	if (!config_is_possible(config))
		return REPLAY_BAD_CONFIG;
	struct replay *r = memory_get(memory, IOVA_MEMORY_REPLAY, sizeof(*r));
	if (!r)
		return REPLAY_NO_MEMORY;
	memset(r, 0, sizeof(*r));
	r->config = *config;
	r->memory = *memory;
	r->next_due = IOVA_NEVER;
	samples_init(&r->samples, &r->config, &r->memory);
	size_t domains = config->domain_count * sizeof(*r->domains);
	size_t cpus = config->cpus_possible * sizeof(*r->online);
	r->domains = memory_get(memory, IOVA_MEMORY_REPLAY, domains);
	r->online = memory_get(memory, IOVA_MEMORY_REPLAY, cpus);
	if (!r->domains || !r->online) {
		replay_destroy(r);
		return REPLAY_NO_MEMORY;
	}
	memset(r->domains, 0, domains);
	for (uint32_t cpu = 0; cpu < config->cpus_possible; cpu++)
		r->online[cpu] = cpu < config->cpus_online;
	*result = r;
	return REPLAY_OK;
}

static void put_table(const struct iova_memory *memory, void *table, size_t bytes)
{
	if (table)
		memory_put(memory, IOVA_MEMORY_REPLAY, table, bytes);
}

void replay_destroy(struct replay *r)
{
	if (!r)
		return;
	struct iova_memory memory = r->memory;
	uint32_t domains = r->config.domain_count;
	for (uint32_t i = 0; r->domains && r->online && i < domains; i++)
		iova_destroy(r->domains[i].core);
	samples_fini(&r->samples);
	put_table(&memory, r->slots, r->slot_capacity * sizeof(*r->slots));
	put_table(&memory, r->domains, domains * sizeof(*r->domains));
	put_table(&memory, r->online, r->config.cpus_possible * sizeof(*r->online));
	memory_put(&memory, IOVA_MEMORY_REPLAY, r, sizeof(*r));
}
