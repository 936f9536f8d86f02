/* SPDX-License-Identifier: MIT */
/*
 * machine_flush - Linux's flush queue: frees held back until an IOTLB flush.
 *
 * A lazy domain's free goes into the ring of the CPU it runs on. Whoever stores first
 * releases what was flushed meanwhile, and flushes itself where the ring is full. A timer
 * flushes 10 ms after the first entry and then releases every CPU's ring, one after the
 * other, on the CPU on which it was started: so that CPU's magazines take them all.
 *
 * Two counters tell what was flushed: an entry keeps the number of flushes started when it
 * was stored, and may go when more than that have finished. While one CPU's flush takes
 * long, others that start and finish theirs do not raise the count far enough: their rings stay
 * full, store all the same, and lose everything (linux_ring.h). The rule "covered" counts
 * the number of the latest flush that has finished instead: it began after everything that
 * carries a lower number was stored.
 */
#include "machine_inner.h"

/* Two entries of four words a line. */
static uint64_t price_of_entry(struct machine *m, const struct sim_cpu *cpu, uint32_t ring_owner,
			       const struct linux_ring *ring)
{
	uint64_t price = m->config.prices.queue;
	if (ring->head % 2 == 0)
		price += price_of_lines_ahead(m, cpu, ring_owner, 1);
	return price;
}

/* ------------------------------------------------------------------------- flushing */

static void begin_flush(struct machine *m, struct sim_cpu *cpu)
{
	const struct machine_domain *config = cpu->act.domain->config;
	uint64_t number = ++cpu->act.domain->started;
	cpu->act.flush_number = number;
	bool stalled = config->stall_every && number % config->stall_every == 0;
	suspend_until(m, cpu, cpu->act.t + config->flush + (stalled ? config->stall : 0));
}

static void end_flush(struct machine *m, struct sim_cpu *cpu)
{
	struct sim_domain *d = cpu->act.domain;
	m->totals.flushes++;
	if (d->config->queue_rule == MACHINE_QUEUE_LINUX)
		d->finished++;
	else if (cpu->act.flush_number > d->finished)
		d->finished = cpu->act.flush_number;
}

/* ------------------------------------------------------------------------ releasing */

/*
 * Release what may be released of a ring whose lock is held. True: nothing is left that
 * may; false: suspended, call it again.
 */
static bool release_ripe(struct machine *m, struct sim_cpu *cpu, struct linux_ring *ring,
			 uint32_t stored_by)
{
	struct activity *act = &cpu->act;
	for (;;) {
		if (act->playing) {
			if (!play(m, cpu))
				return false;
			gave_back(m, cpu);
		}
		if (m->status != REPLAY_OK || !ring_is_ripe(ring, act->domain->finished))
			return true;
		/* A range given back is for others to be taken: in the order of time. */
		if (!act->priced) {
			act->t += price_of_entry(m, cpu, stored_by, ring);
			act->priced = true;
		}
		if (others_are_first(m, cpu)) {
			suspend_until(m, cpu, act->t);
			return false;
		}
		if (rows_left(m) < ROWS_AN_EVENT) {
			wait_for_room(m, cpu, ROWS_AN_EVENT);
			return false;
		}
		act->priced = false;
		act->range = ring_take(ring);
		m->totals.queued--;
		give_back(m, cpu);
		if (!act->playing)
			gave_back(m, cpu);
	}
}

/* ------------------------------------------------------------------------- queueing */

/* One event is pending for a timer, at most; one that finds it stopped does nothing. */
static void expect_timer(struct machine *m, struct sim_domain *d, uint64_t at)
{
	if (d->timer_event)
		return;
	d->timer_event = true;
	queue_push(&m->queue, at, event_of(EVENT_TIMER, (uint32_t)(d - m->domains)));
}

static void start_timer(struct machine *m, struct sim_cpu *cpu)
{
	struct sim_domain *d = cpu->act.domain;
	uint64_t delay =
		d->config->single_ring ? LINUX_SINGLE_RING_DELAY_NS : LINUX_RING_DELAY_NS;
	if (likely(d->timer_at != IOVA_NEVER))
		return;
	d->timer_at = cpu->act.t + delay * PS_PER_NS;
	/* While it runs somewhere, that is where it will run next. */
	if (!d->timer_queued)
		d->timer_cpu = cpu_number(m, cpu);
	expect_timer(m, d, d->timer_at);
}

static void store(struct machine *m, struct sim_cpu *cpu, struct linux_ring *ring,
		  struct sim_lock *lock)
{
	struct sim_domain *d = cpu->act.domain;
	struct ring_entry range = range_of_lane(m, &m->lanes[cpu->act.work]);
	bool in_vain = ring_is_full(ring);
	range.started = d->started;
	uint32_t lost = ring_store(ring, range);
	cpu->act.t += m->config.prices.queue;
	lock->owner = cpu_number(m, cpu);
	m->totals.queued++;
	raise_longest(&m->totals.queued_peak, m->totals.queued);
	m->totals.flushed_in_vain += in_vain;
	m->totals.lost += lost;
	m->totals.queued -= lost;
	start_timer(m, cpu);
}

static void end_queueing(struct machine *m, struct sim_cpu *cpu)
{
	const struct lane *lane = &m->lanes[cpu->act.work];
	count_free(m, cpu);
	cpu->act.t += m->flows[lane->flow].config->complete_work;
	end_request(m, cpu->act.work, cpu->act.t);
}

/* Take the lock of a ring at which nobody is, and let go of it: a hold of its own price. */
static void look_at_ring(struct machine *m, struct sim_cpu *cpu, const struct sim_lock *lock)
{
	struct machine_lock_totals *totals = &m->totals.lock[MACHINE_LOCK_RING];
	uint64_t took = m->config.prices.lock + price_of_lines(m, cpu, lock->owner, 1);
	cpu->act.t += took;
	totals->taken++;
	totals->held += took;
	raise_longest(&totals->held_longest, took);
}

enum { QUEUE_BEGIN, QUEUE_LOCK, QUEUE_RELEASE, QUEUE_FLUSHED, QUEUE_RELEASE_AGAIN };

/* Nothing to release, room to store, and nobody at the ring. */
static bool store_is_all(const struct sim_cpu *cpu, const struct linux_ring *ring,
			 const struct sim_lock *lock)
{
	return !lock->held && lock->free_at <= cpu->act.t && !ring_is_full(ring) &&
	       !ring_is_ripe(ring, cpu->act.domain->finished);
}

bool queueing_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	struct sim_domain *d = act->domain;
	uint32_t number = d->ring_count == 1 ? 0 : cpu_number(m, cpu);
	struct linux_ring *ring = &d->rings[number];
	struct sim_lock *lock = lock_of_ring(m, d, number);

	switch (act->phase) {
	case QUEUE_BEGIN:
		if (m->events)
			write_unmap(m, cpu, &m->lanes[act->work]);
		if (likely(store_is_all(cpu, ring, lock))) {
			look_at_ring(m, cpu, lock);
			store(m, cpu, ring, lock);
			lock->free_at = act->t;
			end_queueing(m, cpu);
			return true;
		}
		act->ring_owner = lock->owner;
		act->phase = QUEUE_LOCK;
		/* fall through */
	case QUEUE_LOCK:
		if (!lock_and_keep(m, cpu, lock, 1))
			return false;
		act->t += m->config.prices.lock;
		act->phase = QUEUE_RELEASE;
		/* fall through */
	case QUEUE_RELEASE:
		if (!release_ripe(m, cpu, ring, act->ring_owner))
			return false;
		if (ring_is_full(ring)) {
			act->phase = QUEUE_FLUSHED;
			begin_flush(m, cpu);
			return false;
		}
		break;
	case QUEUE_FLUSHED:
		end_flush(m, cpu);
		act->phase = QUEUE_RELEASE_AGAIN;
		/* fall through */
	case QUEUE_RELEASE_AGAIN:
		if (!release_ripe(m, cpu, ring, act->ring_owner))
			return false;
		break;
	default:
		break;
	}
	store(m, cpu, ring, lock);
	let_go(m, cpu, lock);
	end_queueing(m, cpu);
	return true;
}

/* ---------------------------------------------------------------------------- timer */

enum { TIMER_BEGIN, TIMER_FLUSHED, TIMER_LOCK, TIMER_RELEASE };

/* An empty ring, and nobody at it: its lock is looked at and no more. True: it was so. */
static bool pass_empty_ring(struct machine *m, struct sim_cpu *cpu, const struct linux_ring *ring,
			    struct sim_lock *lock)
{
	if (lock->held || lock->free_at > cpu->act.t ||
	    ring_is_ripe(ring, cpu->act.domain->finished))
		return false;
	look_at_ring(m, cpu, lock);
	lock->owner = cpu_number(m, cpu);
	return true;
}

static bool drain_rings(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	struct sim_domain *d = act->domain;
	for (; act->ring < d->ring_count; act->ring++) {
		struct linux_ring *ring = &d->rings[act->ring];
		struct sim_lock *lock = lock_of_ring(m, d, act->ring);
		if (act->phase == TIMER_LOCK) {
			if (!act->granted && pass_empty_ring(m, cpu, ring, lock))
				continue;
			act->ring_owner = act->granted ? act->ring_owner : lock->owner;
			if (!lock_and_keep(m, cpu, lock, 1))
				return false;
			act->t += m->config.prices.lock;
			act->phase = TIMER_RELEASE;
		}
		if (!release_ripe(m, cpu, ring, act->ring_owner))
			return false;
		let_go(m, cpu, lock);
		act->phase = TIMER_LOCK;
	}
	return true;
}

bool timer_goes_on(struct machine *m, struct sim_cpu *cpu)
{
	struct activity *act = &cpu->act;
	struct sim_domain *d = act->domain;
	if (act->phase == TIMER_BEGIN) {
		d->timer_at = IOVA_NEVER;
		if (m->events)
			write_timer(m, cpu);
		act->t += m->config.prices.job;
		act->phase = TIMER_FLUSHED;
		begin_flush(m, cpu);
		return false;
	}
	if (act->phase == TIMER_FLUSHED) {
		end_flush(m, cpu);
		act->ring = 0;
		act->phase = TIMER_LOCK;
	}
	if (!drain_rings(m, cpu))
		return false;
	d->timer_queued = false;
	if (d->timer_at != IOVA_NEVER)
		expect_timer(m, d, d->timer_at > act->t ? d->timer_at : act->t);
	uint64_t took = act->t - act->begun;
	m->totals.timer_runs++;
	m->totals.cpu[MACHINE_TIMER] += took;
	raise_longest(&m->totals.timer_longest, took);
	return true;
}

void timer_is_due(struct machine *m, uint32_t domain)
{
	struct sim_domain *d = &m->domains[domain];
	d->timer_event = false;
	if (d->timer_at == IOVA_NEVER || d->timer_queued)
		return; /* stopped; or its end will see to it */
	if (d->timer_at > m->now) {
		expect_timer(m, d, d->timer_at);
		return;
	}
	d->timer_queued = true;
	cpu_gets(m, d->timer_cpu, m->first_timer + domain, true);
}

void drop_rings(struct machine *m, struct sim_domain *d)
{
	for (uint32_t i = 0; i < d->ring_count; i++) {
		struct linux_ring *ring = &d->rings[i];
		m->totals.queued -= ring_length(ring);
		while (ring_length(ring)) /* their slots end with the domain */
			put_slot(m, ring_take(ring).slot);
	}
	d->timer_at = IOVA_NEVER;
}
