/* SPDX-License-Identifier: MIT */
/*
 * machine_flows - closed loops: lanes that think, wait, are submitted, served, completed.
 *
 * A lane is at one place at a time: in one list (parked, waiting for the device, or on a
 * CPU), in one event, or in one CPU's activity. It is outstanding from the moment it is
 * certain to be submitted.
 *
 * Room in the device that nobody waits for is free as soon as the completion begins, not
 * when it ends: a lane that becomes ready in between goes a little early.
 */
#include "machine_inner.h"

/* Until something that runs on a domain is looked for again: 100 us. */
#define REBIND_PAUSE (100000 * PS_PER_NS)

static struct sim_flow *flow_of(struct machine *m, uint32_t lane)
{
	return &m->flows[m->lanes[lane].flow];
}

static void push(struct machine *m, enum event_kind kind, uint32_t number, uint64_t t)
{
	queue_push(&m->queue, t, event_of(kind, number));
}

/* ------------------------------------------------------------------------ submitting */

static struct submitter *submitter_of(const struct machine *m, struct sim_flow *flow,
				      uint32_t lane)
{
	(void)m;
	return &flow->submitters[(lane - flow->first_lane) / flow->config->depth];
}

/* Once in a while a submitter is moved to another of the flow's CPUs. */
static uint32_t cpu_of_submitter(struct machine *m, struct sim_flow *flow, uint32_t lane)
{
	const struct machine_flow *config = flow->config;
	struct submitter *submitter = submitter_of(m, flow, lane);
	if (config->migrate && m->now >= submitter->moves_at) {
		uint32_t i = random_below(&flow->random, config->submit_cpu_count);
		submitter->cpu = config->submit_cpus[i];
		submitter->moves_at = m->now + config->migrate;
	}
	return submitter->cpu;
}

void lane_goes(struct machine *m, uint32_t number)
{
	struct lane *lane = &m->lanes[number];
	struct sim_flow *flow = flow_of(m, number);
	if (!flow->config->resubmit_there)
		lane->cpu = (uint16_t)cpu_of_submitter(m, flow, number);
	lane->completes = false;
	cpu_gets(m, lane->cpu, number, false);
}

void lane_is_ready(struct machine *m, uint32_t number)
{
	struct sim_flow *flow = flow_of(m, number);
	if (unlikely(flow->off || flow->rebinding)) {
		list_add(m, &flow->parked, number);
		return;
	}
	if (flow->config->in_flight) {
		if (flow->used >= flow->config->in_flight) {
			list_add(m, &flow->waiting, number);
			return;
		}
		flow->used++;
	}
	flow->outstanding++;
	lane_goes(m, number);
}

/* -------------------------------------------------------------------------- serving */

void device_takes(struct machine *m, uint32_t lane, uint64_t t)
{
	struct sim_flow *flow = flow_of(m, lane);
	if (flow->config->service) {
		uint64_t from = t > flow->device_free_at ? t : flow->device_free_at;
		t = flow->device_free_at = from + flow->config->service;
		if (t > MACHINE_END)
			t = flow->device_free_at = MACHINE_END;
	}
	push(m, EVENT_DONE, lane, t + random_time(&flow->random, flow->config->latency));
}

static enum mishap next_mishap(struct sim_flow *flow)
{
	const struct machine_flow *config = flow->config;
	uint64_t number = ++flow->completions;
	if (config->leak_every && number % config->leak_every == 0)
		return NEVER_FREED;
	if (config->wrong_every && number % config->wrong_every == 0)
		return WRONG_SIZE;
	return NO_MISHAP;
}

void lane_is_done(struct machine *m, uint32_t number)
{
	struct lane *lane = &m->lanes[number];
	struct sim_flow *flow = flow_of(m, number);
	lane->mishap = (uint8_t)next_mishap(flow);
	m->totals.leaked += lane->mishap == NEVER_FREED;
	m->totals.wrong += lane->mishap == WRONG_SIZE;
	lane->cpu = flow->complete_cpu[lane->cpu];
	lane->completes = true;
	cpu_gets(m, lane->cpu, number, true);
}

static void leave_room(struct machine *m, struct sim_flow *flow, uint64_t t)
{
	if (!flow->config->in_flight)
		return;
	uint32_t next = flow->off || flow->rebinding ? NOBODY : list_take(m, &flow->waiting);
	if (next == NOBODY) {
		flow->used--;
		return;
	}
	flow->outstanding++;
	push(m, EVENT_GO, next, t);
}

void end_request(struct machine *m, uint32_t number, uint64_t t)
{
	struct sim_flow *flow = flow_of(m, number);
	m->totals.requests++;
	flow->outstanding--;
	leave_room(m, flow, t);
	push(m, EVENT_READY, number, t + random_time(&flow->random, flow->config->think));
	if (unlikely(flow->rebinding && flow->outstanding == 0))
		push(m, EVENT_REBIND, flow->number, t);
}

/* ------------------------------------------------------------------------ on and off */

static void release(struct machine *m, struct list *list, uint64_t t)
{
	uint32_t lane;
	while ((lane = list_take(m, list)) != NOBODY)
		push(m, EVENT_READY, lane, t);
}

static void resume(struct machine *m, struct sim_flow *flow, uint64_t t)
{
	release(m, &flow->waiting, t);
	release(m, &flow->parked, t);
}

void flow_turns(struct machine *m, uint32_t number)
{
	struct sim_flow *flow = &m->flows[number];
	flow->off = !flow->off;
	push(m, EVENT_BURST, number, m->now + (flow->off ? flow->config->off : flow->config->on));
	if (!flow->off && !flow->rebinding)
		resume(m, flow, m->now);
}

/* ------------------------------------------------------------------------- rebinding */

/* Something of the flow's domains still waits for a CPU, or runs there. */
static bool domains_are_busy(const struct machine *m, const struct sim_flow *flow)
{
	for (uint32_t i = 0; i < flow->config->domains; i++) {
		const struct sim_domain *d = &m->domains[flow->config->domain + i];
		bool busy = d->timer_queued;
		for (uint32_t k = 0; k < m->config.classes; k++)
			busy |= d->job_queued[k];
		if (busy)
			return true;
	}
	return false;
}

void flow_rebinds(struct machine *m, uint32_t number)
{
	struct sim_flow *flow = &m->flows[number];
	flow->rebinding = true;
	if (flow->outstanding > 0)
		return; /* the last request's end comes here again */
	if (domains_are_busy(m, flow)) {
		push(m, EVENT_REBIND, number, m->now + REBIND_PAUSE);
		return;
	}
	cpu_gets(m, flow->config->submit_cpus[0], m->first_rebind + number, false);
}

/* A row of the event table that only the ledger reads. */
static void ledger_row(struct machine *m, uint32_t domain, enum replay_op op)
{
	int64_t t = m->replay->now;
	uint16_t cpu = 0;
	uint8_t code = (uint8_t)op, flags = 0;
	uint64_t start = m->config.domains[domain].start_pfn, none = 0;
	uint32_t slot = NO_SLOT, n = 0;
	struct replay_events row = {
		.count = 1, .t = &t, .cpu = &cpu, .op = &code, .flags = &flags,
		.domain = &domain, .size = &none, .limit = &none, .pfn = &start, .last = &none,
		.slot = &slot, .n = &n,
	};
	size_t done;
	enum replay_status status = replay_feed(m->replay, &row, &done);
	if (status != REPLAY_OK)
		m->status = status;
}

static void reserve_ranges(struct machine *m, uint32_t domain)
{
	const struct machine_domain *config = &m->config.domains[domain];
	struct replay_domain *ledger = m->domains[domain].ledger;
	for (uint32_t i = 0; i < config->reserved_count && m->status == REPLAY_OK; i++) {
		struct iova_range range = config->reserved[i];
		uint64_t before = ledger->core->tree.index.pages;
		enum iova_status status = iova_reserve(ledger->core, range.lo, range.hi, NULL);
		if (status != IOVA_OK)
			m->status = status == IOVA_NO_MEMORY ? REPLAY_NO_MEMORY :
							       REPLAY_BAD_RESERVE;
		ledger->outside += ledger->core->tree.index.pages - before;
	}
	if (m->status == REPLAY_OK)
		account(m->replay, ledger);
}

void bear_domain(struct machine *m, uint32_t domain)
{
	struct sim_domain *d = &m->domains[domain];
	ledger_row(m, domain, OP_CREATE);
	if (m->status == REPLAY_OK)
		ledger_row(m, domain, OP_MAKE_CACHES);
	if (m->status == REPLAY_OK)
		reserve_ranges(m, domain);
	d->armings = 0;
	d->event_number = m->event_domains++;
	for (uint32_t k = 0; k < m->config.classes; k++) {
		d->full[k].count = d->empty[k].count = 0;
		d->job_due[k] = IOVA_NEVER;
	}
}

static void renew_domain(struct machine *m, struct sim_cpu *cpu, uint32_t domain)
{
	const struct machine_prices *prices = &m->config.prices;
	struct sim_domain *d = &m->domains[domain];
	cpu->act.t += m->replay->domains[domain].magazines * prices->magazine_free +
		      m->replay->domains[domain].ranges * prices->tree_free;
	drop_rings(m, d);
	if (m->events)
		write_end(m, d, cpu_number(m, cpu));
	ledger_row(m, domain, OP_DESTROY);
	if (m->status == REPLAY_OK)
		bear_domain(m, domain);
	if (m->status != REPLAY_OK)
		return;
	if (m->events)
		write_birth(m, d, cpu_number(m, cpu));
	cpu->act.t += m->replay->domains[domain].magazines * prices->magazine_new;
}

bool rebind_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	uint32_t number = cpu->act.work - m->first_rebind;
	struct sim_flow *flow = &m->flows[number];
	if (domains_are_busy(m, flow)) {
		/* A timer or job became due while the CPU had other work. */
		push(m, EVENT_REBIND, number, cpu->act.t + REBIND_PAUSE);
		return true;
	}
	if (rows_left(m) < MACHINE_MIN_ROOM - 1) {
		wait_for_room(m, cpu, MACHINE_MIN_ROOM - 1);
		return false;
	}
	for (uint32_t i = 0; i < flow->config->domains && m->status == REPLAY_OK; i++)
		renew_domain(m, cpu, flow->config->domain + i);
	flow->rebinding = false;
	m->totals.rebinds++;
	push(m, EVENT_REBIND, number, cpu->act.t + flow->config->rebind);
	if (!flow->off)
		resume(m, flow, cpu->act.t);
	return true;
}

/* ------------------------------------------------------------------------- beginning */

void begin_flows(struct machine *m)
{
	for (uint32_t f = 0; f < m->config.flow_count; f++) {
		struct sim_flow *flow = &m->flows[f];
		uint64_t start = flow->config->start;
		for (uint32_t i = 0; i < flow->lanes; i++)
			push(m, EVENT_READY, flow->first_lane + i,
			     start + random_time(&flow->random, flow->config->think));
		if (flow->config->off)
			push(m, EVENT_BURST, f, start + flow->config->on);
		if (flow->config->rebind)
			push(m, EVENT_REBIND, f, start + flow->config->rebind);
	}
}
