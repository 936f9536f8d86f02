/* SPDX-License-Identifier: MIT */
/*
 * machine_inside - a walk over the inside of a machine, which finds what is at two places or at
 * none, and looks at single things.
 *
 * What holds between two calls of machine_run(): every lane is in one list, one event or one
 * activity; a CPU that waits is in one lock's list; an event that a CPU expects is there once.
 * Ranges that users hold are those of lanes, of rings, and those that rings lost. Every range
 * of a core's tree is live, cached or reserved. Nothing was counted twice or forgotten.
 */
#include "machine_support.h"

/* support.h has a function of that name, too. */
#define random_below random_index_below
#include "machine_inner.h"
#undef random_below

/* ------------------------------------------------------------ who is at which place */

static unsigned char lane_seen[MACHINE_MAX_LANES];
static unsigned char cpu_seen[MACHINE_MAX_CPUS], cpu_waits[MACHINE_MAX_CPUS];
static uint64_t domain_live[MACHINE_MAX_DOMAINS];
/* These are of tests' own machines. */
static unsigned char timer_seen[SETUP_DOMAINS], job_seen[SETUP_DOMAINS * IOVA_MAX_CLASSES];

static bool see(const struct machine *m, uint32_t work, bool holds)
{
	if (work >= m->lane_count)
		return true;
	domain_live[m->lanes[work].domain] += holds;
	return lane_seen[work]++ == 0;
}

/* In a CPU's list; a range that will never be freed was counted as leaked. */
static bool waiting_lane_holds(const struct machine *m, uint32_t lane)
{
	return m->lanes[lane].completes && m->lanes[lane].mishap != NEVER_FREED;
}

/* False: a lane is there that is somewhere else, too, or the list has no end. */
static bool see_list(const struct machine *m, const struct list *list, bool may_hold)
{
	uint32_t length = 0;
	for (uint32_t work = list->first; work != NOBODY; work = m->next[work]) {
		if (work >= m->work_count || ++length > m->work_count)
			return false;
		if (!see(m, work, may_hold && work < m->lane_count && waiting_lane_holds(m, work)))
			return false;
		if (m->next[work] == NOBODY && list->last != work)
			return false;
	}
	return true;
}

static const char *see_events(const struct machine *m)
{
	for (size_t i = 0; i < m->queue.count; i++) {
		const struct event *event = &m->queue.heap[i];
		uint32_t number = (uint32_t)event->what;
		if (event->time < m->now)
			return "an event lies in the past";
		if (i > 0 && m->queue.heap[(i - 1) / 4].time > event->time)
			return "the events are no heap";
		switch ((enum event_kind)(event->what >> 32)) {
		case EVENT_CPU:
			if (cpu_seen[number]++)
				return "a CPU has two events";
			break;
		case EVENT_DONE:
		case EVENT_GO:
		case EVENT_READY:
			if (!see(m, number, event->what >> 32 == EVENT_DONE))
				return "a lane of an event is somewhere else, too";
			break;
		case EVENT_TIMER:
			timer_seen[number]++;
			break;
		case EVENT_JOB:
			job_seen[number]++;
			break;
		case EVENT_BURST:
		case EVENT_REBIND:
			break;
		}
	}
	return NULL;
}

static const char *see_waiters(const struct machine *m, const struct sim_lock *lock)
{
	uint32_t last = NOBODY, length = 0;
	if (lock->waiters != NOBODY && !lock->held)
		return "someone waits for a lock that is free";
	for (uint32_t cpu = lock->waiters; cpu != NOBODY; cpu = m->cpus[cpu].next_waiter) {
		if (cpu >= m->config.cpus_possible || ++length > m->config.cpus_possible)
			return "a lock's list of waiters is broken";
		if (cpu_waits[cpu]++)
			return "a CPU waits at two places";
		last = cpu;
	}
	return last == NOBODY || last == lock->last_waiter ? NULL : "a list's end is not its end";
}

static const char *see_locks(const struct machine *m)
{
	for (uint32_t i = 0; i < m->config.domain_count; i++) {
		const struct sim_domain *d = &m->domains[i];
		size_t n = (size_t)(m->config.cpus_possible + 1) * m->config.classes + 1 +
			   d->ring_count;
		for (size_t l = 0; d->locks && l < n; l++) {
			const char *fault = see_waiters(m, &d->locks[l]);
			if (fault)
				return fault;
		}
	}
	return NULL;
}

/* Whether a lane that its CPU works for has a range that was not given back yet. */
static bool activity_holds(const struct machine *m, const struct activity *act)
{
	return (act->kind == ACT_ALLOC && m->lanes[act->work].pfn) || act->kind == ACT_QUEUE;
}

/* A lane's own free under the strict rule; its range has left. */
static const char *see_cpus(const struct machine *m)
{
	for (uint32_t i = 0; i < m->config.cpus_possible; i++) {
		const struct sim_cpu *cpu = &m->cpus[i];
		bool works = cpu->act.kind != ACT_NONE;
		bool waits = cpu->interrupts.first != NOBODY || cpu->tasks.first != NOBODY;
		if (!see_list(m, &cpu->interrupts, true) || !see_list(m, &cpu->tasks, true))
			return "a lane of a CPU's list is somewhere else, too";
		if (cpu->event_pending != (cpu_seen[i] == 1))
			return "a CPU and the events disagree";
		if (works && cpu_seen[i] + cpu_waits[i] + (m->interrupted == i) != 1)
			return "a CPU that works is not to be woken once";
		if (!works && (cpu_seen[i] != waits || cpu_waits[i]))
			return "a CPU with work is not woken, or one without is";
		if (works && cpu->act.work < m->lane_count &&
		    !see(m, cpu->act.work, activity_holds(m, &cpu->act)))
			return "a lane of an activity is somewhere else, too";
	}
	return NULL;
}

static const char *see_flows(const struct machine *m)
{
	for (uint32_t f = 0; f < m->config.flow_count; f++)
		if (!see_list(m, &m->flows[f].waiting, false) ||
		    !see_list(m, &m->flows[f].parked, false))
			return "a lane of a flow's list is somewhere else, too";
	for (uint32_t lane = 0; lane < m->lane_count; lane++)
		if (lane_seen[lane] != 1)
			return "a lane is nowhere";
	return NULL;
}

/* Lanes that the device has room for, or that are on their way, never exceed the room. */
static const char *check_flows(const struct machine *m)
{
	for (uint32_t f = 0; f < m->config.flow_count; f++) {
		const struct sim_flow *flow = &m->flows[f];
		if (flow->config->in_flight && flow->used > flow->config->in_flight)
			return "more is in flight than there is room for";
		if (flow->config->in_flight && flow->used != flow->outstanding)
			return "room is taken for others than those that are outstanding";
		if (flow->outstanding > flow->lanes)
			return "more lanes are outstanding than there are";
		bool quiet = flow->off || flow->rebinding;
		if (!quiet && flow->parked.first != NOBODY)
			return "a lane of a flow that is on is parked";
		if (!quiet && flow->waiting.first != NOBODY &&
		    flow->used < flow->config->in_flight)
			return "a lane waits though the device has room";
	}
	return NULL;
}

/* What a core or a ring waits for will come, and once. */
static const char *check_deadlines(const struct machine *m)
{
	for (uint32_t i = 0; i < m->config.domain_count; i++) {
		const struct sim_domain *d = &m->domains[i];
		for (uint32_t k = 0; k < m->config.classes; k++) {
			bool armed = d->ledger->core->rcache[k].job.due != IOVA_NEVER;
			bool event = job_seen[i * IOVA_MAX_CLASSES + k] == 1;
			if (event != (d->job_at[k] != IOVA_NEVER))
				return "a job and the events disagree";
			if (armed && !event && !d->job_queued[k])
				return "a job that is armed will not run";
		}
		if (timer_seen[i] != d->timer_event)
			return "a timer and the events disagree";
		if (d->timer_at != IOVA_NEVER && !d->timer_event && !d->timer_queued)
			return "a timer that was started will not run";
		for (uint32_t r = 0; r < d->ring_count; r++)
			if (ring_length(&d->rings[r]) && d->timer_at == IOVA_NEVER &&
			    !d->timer_queued)
				return "a ring holds ranges that no timer will release";
	}
	return NULL;
}

/* ----------------------------------------------------------------------- accounting */

static const char *check_core(const struct machine *m, uint32_t number, uint64_t reserved)
{
	const struct replay_domain *ledger = m->domains[number].ledger;
	uint64_t cached = 0;
	const char *fault = iova_check(ledger->core);
	if (fault)
		return fault;
	for (uint32_t k = 0; k < m->config.classes; k++) {
		const struct origins *origins = &m->domains[number].full[k];
		struct iova_counters counters = iova_read_counters(ledger->core, k);
		cached += counters.cached;
		if (m->domains[number].locks && origins->count != counters.depot)
			return "who filled the depot's magazines is not known of each";
	}
	if (iova_read_totals(ledger->core).ranges != ledger->live_ranges + cached + reserved)
		return "a range is neither live nor cached nor reserved, or two of these";
	if (ledger->core->warnings)
		return "the core was warned";
	return NULL;
}

static const char *check_domains(const struct machine *m)
{
	uint64_t live = 0, expected = 0, queued = 0;
	for (uint32_t i = 0; i < m->config.domain_count; i++) {
		const struct sim_domain *d = &m->domains[i];
		const char *fault = check_core(m, i, m->config.domains[i].reserved_count);
		if (fault)
			return fault;
		live += d->ledger->live_ranges;
		expected += domain_live[i];
		for (uint32_t r = 0; r < d->ring_count; r++)
			queued += ring_length(&d->rings[r]);
	}
	if (queued != m->totals.queued)
		return "what the rings hold was miscounted";
	uint64_t gone = m->totals.lost + m->totals.leaked;
	/* A domain's end takes what it has lost along. */
	if (live != expected + queued + gone && (m->totals.rebinds == 0 || gone == 0))
		return "a live range is neither a lane's nor a ring's nor lost nor leaked";
	return NULL;
}

static const char *check_totals(const struct machine *m)
{
	struct machine_totals totals = m->totals;
	struct replay_totals ledger = replay_read_totals(m->replay);
	struct iova_counters c = counters_of_machine(m);
	uint64_t begun = 0, tail = 0, sources = 0;
	for (uint32_t i = 0; i < m->config.cpus_possible; i++) {
		const struct sim_cpu *cpu = &m->cpus[i];
		begun += cpu->act.kind != ACT_NONE && cpu->act.kind != ACT_JOB && cpu->act.playing;
		tail += cpu->free_at > m->now ? cpu->free_at - m->now : 0;
	}
	if (totals.operations + begun != ledger.allocations + ledger.frees)
		return "calls of the core were miscounted";
	if (c.hits_loaded + c.hits_previous + c.hits_depot + c.tree_allocations !=
	    ledger.allocations - ledger.failed)
		return "an allocation came from nowhere";
	if (totals.busy > m->config.cpus_possible * m->now + tail)
		return "CPUs were busy for longer than they were there";
	for (uint32_t i = 0; i < MACHINE_SOURCES; i++)
		sources += totals.cpu[i];
	if (sources > totals.busy)
		return "the sources took more time than was spent";
	for (uint32_t i = 0; i < MACHINE_LOCKS; i++) {
		const struct machine_lock_totals *lock = &totals.lock[i];
		if (lock->wait_longest > lock->wait || lock->held_longest > lock->held ||
		    lock->waited > lock->taken || (lock->waited == 0) != (lock->wait == 0))
			return "the totals of a lock contradict each other";
	}
	return NULL;
}

/* ------------------------------------------------------------------- what tests ask */

const char *machine_fault(const struct machine *m)
{
	memset(lane_seen, 0, m->lane_count);
	memset(cpu_seen, 0, m->config.cpus_possible);
	memset(cpu_waits, 0, m->config.cpus_possible);
	memset(domain_live, 0, m->config.domain_count * sizeof(domain_live[0]));
	memset(timer_seen, 0, sizeof(timer_seen));
	memset(job_seen, 0, sizeof(job_seen));
	const char *(*const parts[])(const struct machine *) = {
		see_events,	 see_locks,	see_cpus,     see_flows,
		check_deadlines, check_flows,	check_domains, check_totals,
	};
	for (size_t i = 0; i < COUNT_OF_ARRAY(parts); i++) {
		const char *fault = parts[i](m);
		if (fault)
			return fault;
	}
	return NULL;
}

uint64_t machine_ring_length(const struct machine *m, uint32_t domain, uint32_t ring)
{
	return ring_length(&m->domains[domain].rings[ring]);
}

uint64_t machine_depot(const struct machine *m, uint32_t domain, uint32_t size_class)
{
	return m->domains[domain].ledger->core->rcache[size_class].depot.length;
}

bool machine_wants_a_table(const struct machine *m)
{
	return m->interrupted != NOBODY && m->rows_wanted > ROWS_AN_EVENT;
}

uint64_t machine_first_open_call(const struct machine *m)
{
	uint64_t first = UINT64_MAX;
	for (uint32_t i = 0; i < m->config.cpus_possible; i++) {
		const struct activity *act = &m->cpus[i].act;
		if (act->kind != ACT_NONE && act->playing && act->seq < first)
			first = act->seq;
	}
	return first;
}
