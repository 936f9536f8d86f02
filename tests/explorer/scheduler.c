/* SPDX-License-Identifier: MIT */
/*
 * scheduler - virtual threads on one thread of the system, which take turns as a schedule
 * says. search.c goes through the schedules.
 *
 * Theory of operation. core/sync.h announces every atomic access and every access to a
 * lock word (explore_point) before it is made, and a wait (explore_block) when a lock was
 * found held. Between two announcements a virtual thread touches nothing that another may
 * touch at the same time, or else that is a data race, which ThreadSanitizer finds; so it
 * is enough to let threads take turns there. A *step* is what a thread does from one
 * announcement to the next, so each but a thread's first begins with one shared access. A
 * *schedule* is which thread made each step, written as runs: `0x12,1x3` is twelve steps
 * of thread 0, then three of thread 1.
 *
 * At the end of each step there is a *decision*: who makes the next one. To go on with the
 * same thread is free, and so is any choice where that thread waits or has ended. To leave
 * a thread that could go on is a *preemption*. Executions are sequentially consistent:
 * what weaker orders of a CPU would add is not seen.
 *
 * A waiting thread can go on once the word it waits for holds another value than when it
 * found it held. What a step did to a lock word tells who holds it, by which the order of
 * locks is checked. A thread that looks for something again and again says so
 * (explore_yield) and goes on after another has made a step; if it looks a number of times
 * only, the choice is whether it goes on to the end of its patience. All threads waiting is
 * a deadlock, too many steps a livelock.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <ucontext.h>

#include "scheduler.h"

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES (128u << 10)
#define MAX_HELD 8u

/*
 * YIELD_ONCE: it may as well go on at once. It is asked once in a row of such; where no
 * other thread makes a step there is nothing new to ask.
 */
enum yield { YIELD_NOT, YIELD_ONCE, YIELD_TO_OTHERS };

struct vthread {
	ucontext_t context;
	bool ended, waits;
	enum yield yields;
	unsigned patient_since; /* steps there were when it chose to go on; 0: it did not */
	const void *object; /* of the access at the beginning of this step, or waited for */
	uint32_t before;    /* what it held then */
	struct object_name held[MAX_HELD];
	unsigned held_count;
	uint32_t cpu;
};

struct execution execution = { .running = NOBODY };

static struct vthread threads[MAX_THREADS + 1]; /* the last: begin() and end() */
static _Alignas(64) unsigned char stacks[MAX_THREADS][STACK_BYTES];
static ucontext_t driver;
static uint64_t clock_ns;

/* ----------------------------------------------------------------------- switching */

/* What AddressSanitizer must know about a change of stacks; nothing without it. */
static void before_switch(void **own_fake_stack, unsigned to)
{
#ifdef WITH_ASAN
	static const void *driver_stack;
	static size_t driver_size;
	if (!driver_stack) {
		/* First called on the driver's stack: its bounds are those of the process. */
		pthread_attr_t attributes;
		void *start;
		pthread_getattr_np(pthread_self(), &attributes);
		pthread_attr_getstack(&attributes, &start, &driver_size);
		pthread_attr_destroy(&attributes);
		driver_stack = start;
	}
	if (to == NOBODY)
		__sanitizer_start_switch_fiber(own_fake_stack, driver_stack, driver_size);
	else
		__sanitizer_start_switch_fiber(own_fake_stack, stacks[to], STACK_BYTES);
#else
	(void)own_fake_stack;
	(void)to;
#endif
}

static void after_switch(void *own_fake_stack)
{
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(own_fake_stack, NULL, NULL);
#else
	(void)own_fake_stack;
#endif
}

/* Returns when `own` is switched to again: never, if the thread that left has ended. */
static void switch_to(ucontext_t *own, unsigned to, bool ends)
{
	void *fake_stack = NULL;
	before_switch(ends ? NULL : &fake_stack, to);
	execution.running = to;
	swapcontext(own, to == NOBODY ? &driver : &threads[to].context);
	after_switch(fake_stack);
}

/* ----------------------------------------------------------------------- deciding */

/*
 * The word there, if it can be a lock. Also of memory that the scenario has released
 * since: the address stays valid.
 */
__attribute__((no_sanitize("address"))) static uint32_t word_at(const void *object)
{
	if ((uintptr_t)object % _Alignof(uint32_t))
		return 0;
	return __atomic_load_n((const uint32_t *)object, __ATOMIC_RELAXED);
}

static bool can_go_on(unsigned id)
{
	const struct vthread *thread = &threads[id];
	if (thread->ended)
		return false;
	if (thread->yields)
		return thread->yields == YIELD_ONCE ||
		       execution.steps[execution.count - 1].picked != id;
	return !thread->waits || word_at(thread->object) != thread->before;
}

static uint8_t threads_that_can_go_on(void)
{
	unsigned options = 0, yielding = 0;
	for (unsigned i = 0; i < MAX_THREADS; i++) {
		options |= (unsigned)can_go_on(i) << i;
		yielding |= (unsigned)(threads[i].yields != YIELD_NOT) << i;
	}
	return (uint8_t)(options ? options : yielding);
}

unsigned option_after(const struct step *step, unsigned option)
{
	unsigned next = option == NOBODY ? step->current : NOBODY;
	if (next != NOBODY)
		return next;
	next = option == NOBODY || option == step->current ? 0 : option + 1;
	for (; next < MAX_THREADS; next++)
		if (next != step->current && (step->options >> next & 1))
			return next;
	return NOBODY;
}

static unsigned preemptions_after(const struct step *step)
{
	return step->preemptions + (step->current != NOBODY && step->picked != step->current);
}

/* Who makes the next step. The running thread, if any, has finished its own. */
static unsigned decide(void)
{
	uint8_t options = threads_that_can_go_on();
	unsigned self = execution.running, i = execution.count;
	bool goes_on = self != NOBODY && !threads[self].ended && !threads[self].waits &&
		       !threads[self].yields;
	if (!options)
		explore_fail("deadlock: every thread waits");
	if (i == MAX_STEPS)
		explore_fail("livelock: the execution has too many steps");
	struct step *step = &execution.steps[i];
	unsigned picked = step->picked;
	*step = (struct step){
		.options = options,
		.current = (uint8_t)(goes_on ? self : NOBODY),
		.preemptions = i ? preemptions_after(&execution.steps[i - 1]) : 0,
	};
	if (i >= execution.fixed)
		picked = option_after(step, NOBODY);
	else if (!(options >> picked & 1))
		explore_fail("the schedule does not fit: that thread can not make this step");
	step->picked = (uint8_t)picked;
	execution.count++;
	return picked;
}

/* ------------------------------------------------------------------------- locks */

static void acquired(struct vthread *thread, struct object_name lock)
{
	for (unsigned i = 0; i < thread->held_count; i++)
		if (thread->held[i].rank >= lock.rank)
			explore_fail("locks are taken against their order");
	explore_require(thread->held_count < MAX_HELD, "a thread holds too many locks");
	thread->held[thread->held_count++] = lock;
}

static void released(struct vthread *thread, struct object_name lock)
{
	for (unsigned i = 0; i < thread->held_count; i++) {
		if (thread->held[i].rank == lock.rank && thread->held[i].index == lock.index) {
			thread->held[i] = thread->held[--thread->held_count];
			return;
		}
	}
	explore_fail("a thread released a lock that it does not hold");
}

/* The step begins with an access to this. */
static void begin_step(struct vthread *thread, const void *object)
{
	struct step *step = &execution.steps[execution.count - 1];
	thread->object = step->object = object;
	thread->before = word_at(object);
	step->effect = EFFECT_ACCESS;
}

/* What the step that ends now did to the object it began with. */
static void account(struct vthread *thread)
{
	struct step *step = &execution.steps[execution.count - 1];
	if (!thread->object)
		return;
	uint32_t now = word_at(thread->object);
	struct object_name name = { 0 };
	if (execution.scenario->name_of && (thread->before == 0) != (now == 0))
		name = execution.scenario->name_of(thread->object);
	if (name.rank && now) {
		step->effect = EFFECT_ACQUIRED;
		acquired(thread, name);
	} else if (name.rank) {
		step->effect = EFFECT_RELEASED;
		released(thread, name);
	}
	thread->object = NULL;
}

static void end_step(void)
{
	unsigned self = execution.running;
	account(&threads[self]);
	if (!execution.scenario->watch)
		return;
	execution.running = NOBODY; /* what it calls is no step */
	execution.scenario->watch(self);
	execution.running = self;
}

/* ------------------------------------------------------- what virtual threads call */

/* Every step since there were so many was this thread's. */
static bool is_alone_since(unsigned id, unsigned count)
{
	unsigned i = count;
	while (count > 0 && i < execution.count && execution.steps[i].picked == id)
		i++;
	return count > 0 && i == execution.count;
}

void explore_point(const void *object)
{
	if (execution.running == NOBODY)
		return;
	unsigned self = execution.running;
	struct vthread *thread = &threads[self];
	end_step();
	unsigned next = decide();
	if (next != self)
		switch_to(&thread->context, next, false);
	begin_step(thread, object);
}

void explore_block(const void *object)
{
	explore_require(execution.running != NOBODY,
			"a lock is held before the first thread begins or after the last ended");
	struct vthread *thread = &threads[execution.running];
	end_step();
	execution.steps[execution.count - 1].effect = EFFECT_WAITS;
	thread->waits = true;
	thread->object = object;
	thread->before = word_at(object);
	switch_to(&thread->context, decide(), false);
	thread->waits = false;
	begin_step(thread, object);
}

void explore_yield(bool may_go_on)
{
	if (execution.running == NOBODY)
		return;
	unsigned self = execution.running;
	struct vthread *thread = &threads[self];
	if (may_go_on && is_alone_since(self, thread->patient_since))
		return;
	end_step();
	thread->yields = may_go_on ? YIELD_ONCE : YIELD_TO_OTHERS;
	unsigned next = decide();
	if (next != self)
		switch_to(&thread->context, next, false);
	thread->yields = YIELD_NOT;
	thread->patient_since = next == self ? execution.count : 0;
}

void explore_set_cpu(uint32_t cpu)
{
	threads[execution.running].cpu = cpu;
}

void explore_set_time(uint64_t now)
{
	clock_ns = now;
}

uint32_t explore_cpu(void)
{
	return threads[execution.running].cpu;
}

uint64_t explore_time(void)
{
	return clock_ns;
}

/* ------------------------------------------------------------------- one execution */

static bool all_have_ended(void)
{
	for (unsigned i = 0; i < MAX_THREADS; i++)
		if (!threads[i].ended)
			return false;
	return true;
}

static void thread_main(int id)
{
	struct vthread *thread = &threads[id];
	after_switch(NULL);
	execution.scenario->thread((unsigned)id);
	end_step();
	explore_require(thread->held_count == 0, "a thread ended with a lock held");
	thread->ended = true;
	switch_to(&thread->context, all_have_ended() ? NOBODY : decide(), true);
}

static void make_thread(unsigned id)
{
	struct vthread *thread = &threads[id];
	thread->ended = id >= execution.scenario->threads;
	thread->waits = false;
	thread->yields = YIELD_NOT;
	thread->patient_since = 0;
	thread->object = NULL;
	thread->held_count = 0;
	thread->cpu = 0;
	getcontext(&thread->context);
	thread->context.uc_stack.ss_sp = stacks[id];
	thread->context.uc_stack.ss_size = STACK_BYTES;
	thread->context.uc_link = NULL;
	makecontext(&thread->context, (void (*)(void))thread_main, 1, (int)id);
}

void execute(void)
{
	execution.count = 0;
	clock_ns = 0;
	memory_reset();
	explore_reset_reclaimer();
	for (unsigned i = 0; i < MAX_THREADS; i++)
		make_thread(i);
	threads[NOBODY].cpu = 0;
	execution.scenario->begin();
	switch_to(&driver, decide(), false);
	explore_require(execution.count >= execution.fixed,
			"the schedule does not fit: it has too many steps");
	execution.scenario->end();
	const char *fault = memory_fault();
	if (fault)
		explore_fail(fault);
}
