/* SPDX-License-Identifier: MIT */
/*
 * replay_time - what happens between two rows: jobs at their due times, samples at theirs.
 *
 * Nothing does before the time `wake`: that is all a row looks at (replay.c), and it comes here
 * once it is reached. At one moment jobs come first, then the sample, then the row.
 */
#include "replay_inner.h"

/* ----------------------------------------------------------------------------- jobs */

void replay_find_next_due(struct replay *r)
{
	r->next_due = IOVA_NEVER;
	for (uint32_t i = 0; i < r->config.domain_count && !r->config.recorded_reclaim; i++)
		if (r->domains[i].core && r->domains[i].core->earliest < r->next_due)
			r->next_due = r->domains[i].core->earliest;
	set_wake(r);
}

static enum replay_status run_jobs(struct replay *r, uint64_t due)
{
	r->now = (int64_t)due;
	for (uint32_t i = 0; i < r->config.domain_count && !replay_is_stopped(r); i++) {
		struct replay_domain *d = &r->domains[i];
		if (d->core && d->core->earliest <= due) {
			iova_run_due(d->core, due);
			account(r, d);
		}
	}
	replay_find_next_due(r);
	return replay_is_stopped(r) ? REPLAY_STOPPED : REPLAY_OK;
}

/* -------------------------------------------------------------------------- samples */

static void fill_sample(const struct replay *r, int64_t t, struct replay_sample *s)
{
	*s = (struct replay_sample){
		.t = t,
		.live_pages = r->totals.live_pages,
		.cached_pages = r->totals.cached_pages,
		.magazines = r->magazines,
		.linux_bytes = r->ranges * LINUX_RANGE_BYTES + r->magazine_bytes,
	};
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters c = replay_read_counters(r, k);
		s->hits_loaded += c.hits_loaded;
		s->hits_previous += c.hits_previous;
		s->hits_depot += c.hits_depot;
		s->tree_allocations += c.tree_allocations;
		s->tree_frees += c.tree_frees;
		s->tree_steps += c.tree_steps;
		s->reclaimed += c.reclaimed;
		if (k < IOVA_MAX_CLASSES)
			s->depot[k] = c.depot;
	}
	for (uint32_t i = 0; i < r->config.domain_count; i++)
		if (r->domains[i].core)
			s->tree_bytes += index_bytes(&r->domains[i].core->tree.index);
}

static enum replay_status take_sample(struct replay *r, int64_t t)
{
	struct sample_slot at;
	enum replay_status status = samples_add(&r->samples, &at);
	if (status != REPLAY_OK)
		return status;
	fill_sample(r, t, at.sample);
	for (uint32_t i = 0; at.tables && i < r->config.domain_count; i++)
		if (r->domains[i].core)
			samples_add_domain(&r->samples, &at, r->domains[i].core);
	return REPLAY_OK;
}

/* ---------------------------------------------------------------------------- clock */

/* Jobs and samples up to t, in the order of time; a job before a sample of the same t. */
static enum replay_status pass_events_of_time(struct replay *r, int64_t t)
{
	for (;;) {
		bool sample = r->next_sample <= (uint64_t)t;
		if (r->next_due <= (uint64_t)t &&
		    (!sample || r->next_due <= r->next_sample)) {
			enum replay_status status = run_jobs(r, r->next_due);
			if (status != REPLAY_OK)
				return status;
			continue;
		}
		if (!sample)
			return REPLAY_OK;
		r->now = (int64_t)r->next_sample;
		enum replay_status status = take_sample(r, r->now);
		if (status != REPLAY_OK)
			return status;
		r->next_sample += (uint64_t)r->config.sample_ns;
		set_wake(r);
	}
}

static void start_clock(struct replay *r, int64_t t)
{
	r->started = true;
	r->now = r->depot_since = r->totals.t_first = t;
	r->next_sample = r->config.sample_ns > 0 ? (uint64_t)t : IOVA_NEVER;
	set_wake(r);
}

enum replay_status replay_wake_up(struct replay *r, int64_t t)
{
	if (!r->started)
		start_clock(r, t);
	return pass_events_of_time(r, t);
}
