/* SPDX-License-Identifier: MIT */
/*
 * replay_results - what is read off a replay: counters and totals, summed over all its domains,
 * destroyed ones included; samples; a status in words.
 */
#include "replay_inner.h"

const char *replay_status_text(enum replay_status status)
{
	static const char *const text[] = {
		[REPLAY_OK] = "success",
		[REPLAY_NO_MEMORY] = "out of memory",
		[REPLAY_TIME_BACK] = "time goes back",
		[REPLAY_BAD_OP] = "unknown operation",
		[REPLAY_BAD_CPU] = "the CPU is not below the number of possible CPUs",
		[REPLAY_BAD_DOMAIN] = "the domain has not been announced",
		[REPLAY_BAD_SIZE] = "a size of 0",
		[REPLAY_BAD_SLOT] = "the slot is missing, taken or not dense",
		[REPLAY_EXISTS] = "the domain or its caches exist already",
		[REPLAY_BAD_RESERVE] = "a reservation that the granule does not allow",
		[REPLAY_SAMPLES] = "too many samples for the span of time",
		[REPLAY_BAD_CONFIG] = "a number of the configuration is out of range",
		[REPLAY_STOPPED] = "a policy has failed",
	};
	return (size_t)status < COUNT_OF_ARRAY(text) ? text[status] : "unknown status";
}

/* ------------------------------------------------------------------------- counters */

void counters_add(struct iova_counters *sum, const struct iova_counters *one)
{
	const uint64_t *from = (const uint64_t *)one;
	uint64_t *to = (uint64_t *)sum;
	uint64_t peak = sum->depot_peak > one->depot_peak ? sum->depot_peak : one->depot_peak;
	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
		to[i] += from[i];
	sum->depot_peak = peak;
}

struct iova_counters replay_read_counters(const struct replay *r, uint32_t size_class)
{
	struct iova_counters sum = { 0 };
	if (size_class > IOVA_MAX_CLASSES)
		return sum;
	sum = r->dead[size_class];
	for (uint32_t i = 0; i < r->config.domain_count; i++) {
		if (!r->domains[i].core)
			continue;
		struct iova_counters one = iova_read_counters(r->domains[i].core, size_class);
		counters_add(&sum, &one);
	}
	return sum;
}

struct replay_totals replay_read_totals(const struct replay *r)
{
	struct replay_totals totals = r->totals;
	totals.t_last = r->now;
	totals.calls = totals.events - r->not_calls;
	totals.allocations =
		totals.live_ranges + r->buried_ranges + totals.frees + totals.failed;
	totals.cached_page_ns = cached_page_ns(r);
	totals.depot_ns += (double)r->depot * (double)(r->now - r->depot_since);
	for (uint32_t i = 0; i < r->config.domain_count; i++) {
		const struct iova_domain *core = r->domains[i].core;
		if (!core)
			continue;
		totals.warnings += core->warnings;
		totals.runs += core->runs;
	}
	for (uint32_t k = 0; k < IOVA_MAX_CLASSES; k++) {
		struct iova_counters c = replay_read_counters(r, k);
		raise_peak(&totals.depot_peak, c.depot_peak);
	}
	return totals;
}

/* -------------------------------------------------------------------------- samples */

size_t replay_sample_count(const struct replay *r)
{
	return r->samples.count;
}

size_t replay_table_count(const struct replay *r)
{
	return samples_tables(&r->samples, r->samples.count);
}

const struct replay_sample *replay_samples(const struct replay *r)
{
	return r->samples.rows;
}

const uint32_t *replay_cpu_pages(const struct replay *r)
{
	return r->samples.cpu_pages;
}

const uint32_t *replay_maps(const struct replay *r)
{
	return r->samples.maps;
}
