/* SPDX-License-Identifier: MIT */
/* machine - the loop over events, and results. See machine.h. */
#include "machine_inner.h"

/* ----------------------------------------------------------------------------- time */

void machine_take_samples(struct machine *m)
{
	size_t count = replay_sample_count(m->replay);
	struct machine_sample now = {
		.operations = m->totals.operations,
		.requests = m->totals.requests,
		.queued = m->totals.queued,
		.lost = m->totals.lost,
	};
	for (uint32_t i = 0; i < MACHINE_SOURCES; i++)
		now.cpu[i] = m->totals.cpu[i];
	for (uint32_t i = 0; i < MACHINE_LOCKS; i++)
		now.wait[i] = m->totals.lock[i].wait;
	while (m->sample_count < count && m->sample_count < m->config.max_samples)
		m->samples[m->sample_count++] = now;
}

/* The ledger's clock comes to the machine's; samples that are due are taken. */
static void pass_time(struct machine *m, uint64_t ps)
{
	int64_t t = (int64_t)(ps / PS_PER_NS);
	if (t < m->replay->now)
		return;
	if (likely((uint64_t)t < m->replay->wake)) {
		m->replay->now = t;
		return;
	}
	enum replay_status status = replay_advance(m->replay, t);
	if (status != REPLAY_OK)
		m->status = status;
	machine_take_samples(m);
}

static inline void happen(struct machine *m, struct event event)
{
	uint32_t number = (uint32_t)event.what;
	switch ((enum event_kind)(event.what >> 32)) {
	case EVENT_CPU:
		cpu_wakes(m, number);
		break;
	case EVENT_DONE:
		lane_is_done(m, number);
		break;
	case EVENT_GO:
		lane_goes(m, number);
		break;
	case EVENT_READY:
		lane_is_ready(m, number);
		break;
	case EVENT_TIMER:
		timer_is_due(m, number);
		break;
	case EVENT_JOB:
		job_is_due(m, number);
		break;
	case EVENT_BURST:
		flow_turns(m, number);
		break;
	case EVENT_REBIND:
		flow_rebinds(m, number);
		break;
	}
}

static void write_births(struct machine *m)
{
	if (!m->events || m->births_written)
		return;
	for (uint32_t i = 0; i < m->config.domain_count; i++)
		write_birth(m, &m->domains[i], 0);
	m->births_written = true;
}

/* For the rows of what happens next. What waited for room goes on at once. */
static bool has_room(struct machine *m)
{
	uint32_t waiting = m->interrupted;
	if (rows_left(m) < m->rows_wanted)
		return false;
	if (unlikely(waiting != NOBODY)) {
		m->interrupted = NOBODY;
		m->rows_wanted = ROWS_AN_EVENT;
		cpu_wakes(m, waiting);
		return has_room(m);
	}
	return true;
}

enum replay_status machine_run(struct machine *m, uint64_t until, uint64_t operations,
			       struct machine_events *events, bool *done)
{
	uint64_t enough = m->totals.operations + operations;
	if (enough < operations)
		enough = UINT64_MAX;
	m->events = events;
	write_births(m);
	*done = until < m->now;
	if (*done || !has_room(m))
		return m->status;
	while (m->status == REPLAY_OK && m->totals.operations < enough && has_room(m)) {
		if (queue_next(&m->queue) > until) {
			m->now = until;
			pass_time(m, until);
			*done = true;
			break;
		}
		struct event event = queue_pop(&m->queue);
		m->now = event.time;
		pass_time(m, event.time);
		happen(m, event);
	}
	return m->status;
}

/* ------------------------------------------------------------------------- results */

struct machine_totals machine_read_totals(const struct machine *m)
{
	struct machine_totals totals = m->totals;
	totals.now = m->now;
	return totals;
}

const struct replay *machine_replay(const struct machine *m)
{
	return m->replay;
}

const struct machine_sample *machine_samples(const struct machine *m)
{
	return m->samples;
}

const uint64_t *machine_handovers(const struct machine *m)
{
	return m->handovers;
}

const uint64_t *machine_alloc_times(const struct machine *m)
{
	return m->alloc_times;
}

const uint64_t *machine_free_times(const struct machine *m)
{
	return m->free_times;
}
