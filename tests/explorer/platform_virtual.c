/* SPDX-License-Identifier: MIT */
/*
 * platform_virtual - core/platform.c for virtual threads: who waits for a lock leaves the
 * scheduler to choose who goes on, the clock and the CPU are what the scenario says.
 */
#include "explorer.h"
#include "platform.h"
#include "sync.h"

const struct iova_memory *iova_memory_heap(void)
{
	return &explore_memory;
}

uint32_t platform_cpus(void)
{
	return EXPLORE_CPUS;
}

uint32_t platform_cpu(void)
{
	return explore_cpu();
}

uint64_t platform_now(void)
{
	return explore_time();
}

void platform_pause(unsigned round)
{
	/* Round 0 is a mere hint to the CPU: who gives that often has a bound to it. */
	explore_yield(round == 0);
}

/*
 * No switch point lies between the end of a wait and the taking of the word: to be woken
 * and then overtaken is the same as to be woken later.
 */
static void wait_and_take(uint32_t *word)
{
	do
		explore_block(word);
	while (__atomic_load_n(word, __ATOMIC_RELAXED) != 0);
	__atomic_store_n(word, 1u, __ATOMIC_RELAXED);
}

void spin_wait(struct spin_lock *lock)
{
	wait_and_take(&lock->held);
}

void mutex_wait(struct mutex *mutex)
{
	wait_and_take(&mutex->state);
}

/* Nobody marks a mutex as waited for, so nobody is woken by it. */
void mutex_wake(struct mutex *mutex)
{
	(void)mutex;
	explore_fail("a mutex that nobody marked was woken");
}

/* ---------------------------------------------------------------- background thread */

/*
 * A scenario's thread plays the background thread by explore_reclaim(). The registry is
 * locked while members are looked at, not while one runs, as in core/platform.c.
 */
static struct reclaimer_member *first, *in_run;
static struct mutex registry;

void explore_reset_reclaimer(void)
{
	first = in_run = NULL;
	registry.state = 0;
}

static struct reclaimer_member *member_due_by(uint64_t now)
{
	for (struct reclaimer_member *member = first; member; member = member->next)
		if (member->due(member) <= now)
			return member;
	return NULL;
}

void explore_reclaim(void)
{
	uint64_t now = platform_now();
	mutex_acquire(&registry);
	struct reclaimer_member *member = member_due_by(now);
	in_run = member;
	mutex_release(&registry);
	if (!member)
		return;
	member->run(member, now);
	mutex_acquire(&registry);
	in_run = NULL;
	bool is_doomed = member->doomed;
	mutex_release(&registry);
	if (is_doomed)
		member->release(member);
}

void reclaimer_join(struct reclaimer_member *member)
{
	mutex_acquire(&registry);
	member->doomed = false;
	member->previous = NULL;
	member->next = first;
	if (first)
		first->previous = member;
	first = member;
	mutex_release(&registry);
}

bool reclaimer_leave(struct reclaimer_member *member)
{
	mutex_acquire(&registry);
	if (member->previous)
		member->previous->next = member->next;
	else
		first = member->next;
	if (member->next)
		member->next->previous = member->previous;
	bool is_running = in_run == member;
	member->doomed = is_running;
	mutex_release(&registry);
	return !is_running;
}

void reclaimer_wake(uint64_t due)
{
	(void)due;
}

bool reclaimer_stop(uint64_t timeout_ns)
{
	(void)timeout_ns;
	return in_run == NULL;
}
