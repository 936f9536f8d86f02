/* SPDX-License-Identifier: MIT */
/*
 * machine_locks - tapes played in time, and waiting.
 *
 * Locks are asked for in the order of time, because whoever asks first lets everything
 * happen that is due earlier elsewhere. A hold with nothing else inside has a known end, so
 * who comes next needs no list: it begins where the last one ends. A hold in which other
 * locks are taken, or other tapes played, ends when it ends; who wants the lock meanwhile
 * waits in its list.
 */
#include "machine_inner.h"

/*
 * Of a line's transfer, on top of it. Measured (benchmarks/calibrate.py): a contended ticket
 * lock has its next holder after 59 ns where a line takes 43.
 */
#define HANDOVER_PERCENT 40u

void suspend_until(struct machine *m, struct sim_cpu *cpu, uint64_t t)
{
	assert_cheap(t >= m->now && !cpu->event_pending);
	cpu->act.t = t;
	cpu->event_pending = true;
	queue_push(&m->queue, t, event_of(EVENT_CPU, cpu_number(m, cpu)));
}

/* Count lines that move from their owner's cache; the price of one is chosen by the distance. */
static uint64_t move_lines(struct machine *m, const struct sim_cpu *cpu, uint32_t owner,
			   uint32_t lines, uint64_t near, uint64_t far)
{
	if (owner == NOBODY || owner == cpu_number(m, cpu))
		return 0;
	if (m->cpus[owner].node == cpu->node) {
		m->totals.lines += lines;
		return lines * near;
	}
	m->totals.lines_far += lines;
	return lines * far;
}

uint64_t price_of_lines(struct machine *m, const struct sim_cpu *cpu, uint32_t owner,
			uint32_t lines)
{
	const struct machine_prices *prices = &m->config.prices;
	return move_lines(m, cpu, owner, lines, prices->line, prices->line_far);
}

uint64_t price_of_lines_ahead(struct machine *m, const struct sim_cpu *cpu, uint32_t owner,
			      uint32_t lines)
{
	const struct machine_prices *prices = &m->config.prices;
	return move_lines(m, cpu, owner, lines, prices->line_ahead, prices->line_ahead_far);
}

static struct machine_lock_totals *totals_of(struct machine *m, const struct sim_lock *lock)
{
	return &m->totals.lock[lock->kind];
}

static void count_wait(struct machine *m, const struct sim_lock *lock, uint64_t wait)
{
	struct machine_lock_totals *totals = totals_of(m, lock);
	totals->taken++;
	if (wait == 0)
		return;
	totals->waited++;
	totals->wait += wait;
	raise_longest(&totals->wait_longest, wait);
}

static void count_hold(struct machine *m, const struct sim_lock *lock, uint64_t hold)
{
	struct machine_lock_totals *totals = totals_of(m, lock);
	totals->held += hold;
	raise_longest(&totals->held_longest, hold);
}

/* ------------------------------------------------------------------------- waiting */

/* A CPU lock that is not the CPU's own: its owner is to take notice. */
static bool is_foreign(const struct machine *m, const struct sim_lock *lock,
		       const struct sim_cpu *cpu)
{
	const struct sim_lock *first = cpu->act.domain->locks;
	return lock->kind == MACHINE_LOCK_CPU &&
	       (uint64_t)(lock - first) / m->config.classes != cpu_number(m, cpu);
}

static void wait_in_list(struct machine *m, struct sim_cpu *cpu, struct sim_lock *lock)
{
	uint32_t number = cpu_number(m, cpu);
	cpu->next_waiter = NOBODY;
	if (lock->waiters == NOBODY)
		lock->waiters = number;
	else
		m->cpus[lock->last_waiter].next_waiter = number;
	lock->last_waiter = number;
}

/* The lock is let go at t: it stays held for the first that waits, who is told then. */
static void pass_on(struct machine *m, struct sim_lock *lock, uint64_t t)
{
	lock->held = lock->waiters != NOBODY;
	lock->free_at = t;
	if (!lock->held)
		return;
	struct sim_cpu *next = &m->cpus[lock->waiters];
	next->act.granted = true;
	next->event_pending = true;
	queue_push(&m->queue, t, event_of(EVENT_CPU, lock->waiters));
	lock->waiters = next->next_waiter;
}

/*
 * Take the lock at act.t, or as soon as it is free: act.t is when it has been taken, with
 * the lines it protects. False: it is not known when; the CPU waits in the lock's list.
 */
static bool take(struct machine *m, struct sim_cpu *cpu, struct sim_lock *lock, uint32_t lines)
{
	uint64_t from = cpu->act.t > lock->free_at ? cpu->act.t : lock->free_at;
	if (!cpu->act.granted && lock->held) {
		wait_in_list(m, cpu, lock);
		return false;
	}
	cpu->act.granted = false;
	count_wait(m, lock, from - cpu->act.t);
	/* Handing over to who waits takes longer than fetching a lock that is free. */
	uint64_t extra = from > cpu->act.t ? price_of_lines(m, cpu, lock->owner, 1) : 0;
	cpu->act.t = from + extra * HANDOVER_PERCENT / 100;
	cpu->act.t += price_of_lines(m, cpu, lock->owner, lines);
	lock->since = from;
	lock->owner = cpu_number(m, cpu);
	return true;
}

bool lock_and_keep(struct machine *m, struct sim_cpu *cpu, struct sim_lock *lock, uint32_t lines)
{
	if (!cpu->act.granted && others_are_first(m, cpu)) {
		suspend_until(m, cpu, cpu->act.t);
		return false;
	}
	if (!take(m, cpu, lock, lines))
		return false;
	lock->held = true;
	if (is_foreign(m, lock, cpu))
		cpu->act.domain->foreign_holds++;
	return true;
}

void let_go(struct machine *m, struct sim_cpu *cpu, struct sim_lock *lock)
{
	count_hold(m, lock, cpu->act.t - lock->since);
	if (is_foreign(m, lock, cpu))
		cpu->act.domain->foreign_holds--;
	pass_on(m, lock, cpu->act.t);
}

/* ------------------------------------------------------------------------- playing */

static bool hold(struct machine *m, struct sim_cpu *cpu, const struct step *step)
{
	if (!take(m, cpu, step->lock, step->lines))
		return false;
	cpu->act.t += step->hold;
	count_hold(m, step->lock, cpu->act.t - step->lock->since);
	pass_on(m, step->lock, cpu->act.t);
	return true;
}

/* False: suspended before the step, or in it. */
static bool play_step(struct machine *m, struct sim_cpu *cpu, struct step *step)
{
	cpu->act.t += step->work;
	step->work = 0;
	if (!cpu->act.granted && others_are_first(m, cpu)) {
		suspend_until(m, cpu, cpu->act.t);
		return false;
	}
	switch (step->kind) {
	case STEP_HOLD:
		return hold(m, cpu, step);
	case STEP_ACQUIRE:
		return lock_and_keep(m, cpu, step->lock, step->lines);
	case STEP_RELEASE:
		let_go(m, cpu, step->lock);
		return true;
	}
	return true;
}

bool play(struct machine *m, struct sim_cpu *cpu)
{
	struct tape *tape = &cpu->act.tape;
	for (; tape->next < tape->count; tape->next++)
		if (!play_step(m, cpu, &tape->steps[tape->next]))
			return false;
	cpu->act.t += tape->rest;
	tape->rest = 0;
	return true;
}
