/* SPDX-License-Identifier: MIT */
/* machine_cpus - what each CPU does next, and the beginning and end of its activities. */
#include "machine_inner.h"

static void begin_activity(struct machine *m, struct sim_cpu *cpu, uint32_t work)
{
	struct activity *act = &cpu->act;
	act->work = work;
	act->phase = 0;
	act->begun = act->t = m->now;
	if (likely(work < m->lane_count)) {
		const struct lane *lane = &m->lanes[work];
		act->domain = &m->domains[lane->domain];
		act->kind = !lane->completes		    ? ACT_ALLOC :
			    lane->mishap == NEVER_FREED	    ? ACT_LEAK :
			    act->domain->config->lazy	    ? ACT_QUEUE :
							      ACT_FREE;
	} else if (work < m->first_job) {
		act->domain = &m->domains[work - m->first_timer];
		act->kind = ACT_TIMER;
	} else if (work < m->first_rebind) {
		act->domain = &m->domains[(work - m->first_job) / IOVA_MAX_CLASSES];
		act->kind = ACT_JOB;
	} else {
		act->kind = ACT_REBIND;
	}
}

static inline bool goes_on(struct machine *m, struct sim_cpu *cpu)
{
	switch (cpu->act.kind) {
	case ACT_ALLOC:
		return alloc_goes_on(m, cpu);
	case ACT_FREE:
		return free_goes_on(m, cpu);
	case ACT_QUEUE:
		return queueing_goes_on(m, cpu);
	case ACT_LEAK:
		return leak_goes_on(m, cpu);
	case ACT_TIMER:
		return timer_goes_on(m, cpu);
	case ACT_JOB:
		return job_goes_on(m, cpu);
	case ACT_REBIND:
		return rebind_goes_on(m, cpu);
	case ACT_NONE:
		break;
	}
	return true;
}

static void expect(struct machine *m, struct sim_cpu *cpu, uint64_t t)
{
	cpu->event_pending = true;
	queue_push(&m->queue, t, event_of(EVENT_CPU, cpu_number(m, cpu)));
}

static void go_on(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	if (!goes_on(m, cpu))
		return;
	act->kind = ACT_NONE;
	m->totals.busy += act->t - act->begun;
	cpu->free_at = act->t;
	if (cpu->interrupts.first != NOBODY || cpu->tasks.first != NOBODY)
		expect(m, cpu, cpu->free_at);
}

void cpu_gets(struct machine *m, uint32_t number, uint32_t work, bool interrupt)
{
	struct sim_cpu *cpu = &m->cpus[number];
	bool idle = cpu->act.kind == ACT_NONE && !cpu->event_pending;
	if (idle && cpu->free_at <= m->now) {
		begin_activity(m, cpu, work);
		go_on(m, cpu);
		return;
	}
	list_add(m, interrupt ? &cpu->interrupts : &cpu->tasks, work);
	if (idle)
		expect(m, cpu, cpu->free_at);
}

void cpu_wakes(struct machine *m, uint32_t number)
{
	struct sim_cpu *cpu = &m->cpus[number];
	cpu->event_pending = false;
	if (cpu->act.kind == ACT_NONE) {
		uint32_t work = list_take(m, &cpu->interrupts);
		if (work == NOBODY)
			work = list_take(m, &cpu->tasks);
		begin_activity(m, cpu, work);
	}
	go_on(m, cpu);
}
