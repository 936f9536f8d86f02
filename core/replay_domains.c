/* SPDX-License-Identifier: MIT */
/*
 * replay_domains - a replay's domains: made and destroyed, reservations, CPUs that come and go.
 *
 * Few rows come here: those that are no call, and the first call of a domain. What a domain
 * has counted stays in the replay's sums when it is destroyed.
 */
#include "replay_inner.h"

/* ------------------------------------------------------------------ making, unmaking */

enum replay_status replay_make_domain(struct replay *r, uint32_t number, uint64_t start)
{
	struct replay_domain *d = &r->domains[number];
	struct iova_config config = {
		.granule = r->config.domains[number].granule,
		.start_pfn = start,
		.cpus_possible = r->config.cpus_possible,
		.cpus_online = r->config.cpus_online,
		.classes = r->config.classes,
		.design = r->config.designs[number],
		.params = r->config.params,
		.memory = &r->memory,
		.locks = r->config.locks,
		.count_steps = r->config.count_steps,
	};
	if (d->core)
		return REPLAY_EXISTS;
	switch (iova_create(&config, &d->core)) {
	case IOVA_OK:
		if (d->core->classes != config.classes)
			return REPLAY_BAD_CONFIG; /* the design wants others than all count in */
		for (uint32_t cpu = 0; cpu < config.cpus_possible; cpu++)
			r->online[cpu] ? iova_cpu_online(d->core, cpu) :
					 iova_cpu_offline(d->core, cpu);
		r->totals.domains++;
		account(r, d);
		return REPLAY_OK;
	case IOVA_NO_MEMORY:
		return REPLAY_NO_MEMORY;
	default:
		return REPLAY_BAD_CONFIG;
	}
}

enum replay_status replay_make_caches(struct replay *r, struct replay_domain *d)
{
	switch (iova_make_caches(d->core)) {
	case IOVA_OK:
		account(r, d);
		return REPLAY_OK;
	case IOVA_NO_MEMORY:
		return REPLAY_NO_MEMORY;
	default:
		return REPLAY_EXISTS;
	}
}

enum replay_status replay_need_domain(struct replay *r, uint32_t number, bool caches)
{
	struct replay_domain *d = &r->domains[number];
	if (likely(d->core && (d->core->caches || !caches)))
		return REPLAY_OK;
	if (!d->core) {
		enum replay_status status =
			replay_make_domain(r, number, r->config.domains[number].start_pfn);
		if (status != REPLAY_OK)
			return status;
	}
	return caches ? replay_make_caches(r, d) : REPLAY_OK;
}

void replay_bury(struct replay *r, struct replay_domain *d)
{
	if (!d->core)
		return;
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters c = iova_read_counters(d->core, k);
		c.depot = c.cached = 0;
		counters_add(&r->dead[k], &c);
	}
	r->totals.warnings += d->core->warnings;
	r->totals.runs += d->core->runs;
	iova_destroy(d->core);
	d->core = NULL;
	d->epoch++;
	r->totals.live_pages -= d->live;
	r->totals.live_ranges -= d->live_ranges;
	r->buried_ranges += d->live_ranges;
	d->live = d->live_ranges = d->outside = 0;
	account(r, d);
}

enum replay_status replay_reserve(struct replay *r, struct replay_domain *d, uint64_t lo,
				  uint64_t hi)
{
	uint64_t before = d->core->tree.index.pages;
	enum iova_status status = iova_reserve(d->core, lo, hi, NULL);
	d->outside += d->core->tree.index.pages - before;
	account(r, d);
	if (status == IOVA_NO_MEMORY)
		return REPLAY_NO_MEMORY;
	return status == IOVA_OK ? REPLAY_OK : REPLAY_BAD_RESERVE;
}

/* ----------------------------------------------------------------------------- CPUs */

enum replay_status replay_move_cpu(struct replay *r, struct replay_domain *d, uint32_t cpu,
				   bool online)
{
	if (cpu >= r->config.cpus_possible)
		return REPLAY_BAD_CPU;
	r->online[cpu] = online;
	r->someone_left |= !online;
	if (online)
		iova_cpu_online(d->core, cpu);
	else
		iova_cpu_offline(d->core, cpu);
	account(r, d);
	return REPLAY_OK;
}

void replay_bring_back(struct replay *r, uint32_t cpu)
{
	if (r->online[cpu])
		return;
	r->online[cpu] = true;
	for (uint32_t i = 0; i < r->config.domain_count; i++)
		if (r->domains[i].core)
			iova_cpu_online(r->domains[i].core, cpu);
	r->someone_left = false;
	for (uint32_t i = 0; i < r->config.cpus_possible; i++)
		r->someone_left |= !r->online[i];
}
