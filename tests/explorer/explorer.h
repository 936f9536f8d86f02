/* SPDX-License-Identifier: MIT */
/*
 * explorer - every schedule of a small scenario, up to a number of preemptions.
 *
 * A scenario makes a state (begin), lets a few virtual threads work on it (thread), and
 * looks at what came of it (end). It is run once for each schedule, from scratch. Whatever
 * it does must depend on nothing but the schedule.
 */
#ifndef EXPLORER_H
#define EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iova.h"

#define MAX_THREADS 4u
/* More steps than this in one execution: some thread waits for ever without blocking. */
#define MAX_STEPS 20000u

/* --------------------------------------------------------------------- scenarios */

/* What an atomic or a lock word is, for traces and for the order of locks. */
struct object_name {
	const char *name; /* NULL: nothing the scenario knows */
	unsigned index;	  /* which of that name: a CPU, a class */
	unsigned rank;	  /* of a lock: taken in rising order, never two of one; 0: no lock */
};

struct scenario {
	const char *name, *summary;
	bool broken; /* wrong on purpose, to test the explorer: run only when named */
	unsigned threads;
	void (*begin)(void);
	void (*thread)(unsigned id);
	void (*end)(void);
	/* Optional: called after each step of a thread, to check what must always hold. */
	void (*watch)(unsigned id);
	/* Optional. */
	struct object_name (*name_of)(const void *object);
};

/* Scenarios by file, each list ended by NULL. */
extern const struct scenario *const self_scenarios[];
extern const struct scenario *const cache_scenarios[];
extern const struct scenario *const queue_scenarios[];
extern const struct scenario *const free_scenarios[];
extern const struct scenario *const end_scenarios[];

/* ------------------------------------------------------------ for use by scenarios */

/* Ends the run of the explorer with the text, the schedule and a trace. */
_Noreturn void explore_fail(const char *text);

static inline void explore_require(bool condition, const char *text)
{
	if (!condition)
		explore_fail(text);
}

/* The CPU that the running virtual thread is on from now on; 0 at first. */
void explore_set_cpu(uint32_t cpu);
/* What the virtual clock shows from now on, ns; 0 when an execution begins. */
void explore_set_time(uint64_t now);
/* CPUs of the virtual machine. */
#define EXPLORE_CPUS 2u
/* What the background thread of live domains does when it wakes up: run what is due. */
void explore_reclaim(void);

/*
 * Memory of one execution: blocks never change places from one execution to the next, and
 * released ones are not used again but poisoned, so that a use after release is seen.
 */
extern const struct iova_memory explore_memory;
/* Blocks not released yet. */
size_t explore_memory_held(void);

/* ------------------------------------------------------------ between the files here */

/* Of scheduler.c, for the virtual platform. */
void explore_point(const void *object);
void explore_block(const void *object);
/*
 * Nothing to do before another thread has made a step, if one can; or, if may_go_on, none
 * may make one for as long as this one looks.
 */
void explore_yield(bool may_go_on);
uint32_t explore_cpu(void);
uint64_t explore_time(void);

/* Of platform_virtual.c, for the scheduler. */
void explore_reset_reclaimer(void);

/* Of memory.c, for the scheduler. */
void memory_reset(void);
/* NULL, or what was done to a released block. */
const char *memory_fault(void);

struct exploration {
	uint64_t executions;
	unsigned longest; /* steps of the longest execution */
	bool complete;	  /* not stopped by max_executions */
};

/* All schedules with at most that many preemptions, those with fewest first. */
struct exploration explore(const struct scenario *scenario, unsigned preemptions,
			   uint64_t max_executions);
/* The one schedule; its trace is printed. A schedule that does not fit fails. */
void explore_replay(const struct scenario *scenario, const char *schedule);

#endif
