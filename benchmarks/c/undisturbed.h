/* SPDX-License-Identifier: MIT */
/*
 * Real-time priority for the milliseconds of a run, where the user may have it: neighbours
 * then do not take the CPU away. Not for longer, and not while another thread of the run
 * has yet to be made: nobody else gets the CPU meanwhile.
 */
#ifndef UNDISTURBED_H
#define UNDISTURBED_H

#include <pthread.h>
#include <sched.h>

static inline void begin_undisturbed(void)
{
	struct sched_param priority = { .sched_priority = 1 };
	(void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
}

static inline void end_undisturbed(void)
{
	struct sched_param none = { .sched_priority = 0 };
	(void)pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
}

#endif
