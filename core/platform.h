/* SPDX-License-Identifier: MIT */
/*
 * platform - what live domains ask of the operating system: the CPU a thread runs on, a
 * clock, zeroed memory that costs nothing until it is touched, and one background thread.
 */
#ifndef IOVA_PLATFORM_H
#define IOVA_PLATFORM_H

#include "common.h"

/* CPUs the machine may have, online or not; at least 1. */
uint32_t platform_cpus(void);
/* The CPU this thread runs on, or ran on a moment ago. */
uint32_t platform_cpu(void);
/* Nanoseconds of a clock that never goes back. */
uint64_t platform_now(void);
/* Wait for another thread to get on: a hint to the CPU, then (from the 64th round) sleep. */
void platform_pause(unsigned round);

#if defined(__x86_64__) && defined(__linux__) && !defined(IOVA_EXPLORE)
/* Where a number of this thread's CPU stands, from the thread pointer. Set at load. */
extern ptrdiff_t platform_cpu_offset __attribute__((visibility("hidden")));

/*
 * The kernel's number of the CPU this thread runs on, kept up to date by the kernel (the
 * cpu_id of struct rseq, which glibc registers from 2.35 on): two loads. Above any CPU's
 * number where this thread has none: a tunable or Valgrind prevents it, or an older C
 * library.
 */
static inline uint32_t platform_cpu_quick(void)
{
	uint32_t cpu;
	__asm__ volatile("movl %%fs:(%1), %0" : "=r"(cpu) : "r"(platform_cpu_offset));
	return cpu;
}
#else
static inline uint32_t platform_cpu_quick(void)
{
	return platform_cpu();
}
#endif

/* ---------------------------------------------------------------- background thread */

/*
 * Something that has work now and then. The thread calls due(), and run() when that time
 * has come, of every member in turn; never two at a time. It starts when a member that has
 * something due calls reclaimer_wake(), and sleeps when nothing is due.
 */
struct reclaimer_member {
	struct reclaimer_member *next, *previous;
	uint64_t (*due)(struct reclaimer_member *member);
	void (*run)(struct reclaimer_member *member, uint64_t now);
	/* Called at most once, by the thread, if reclaimer_leave() said so. */
	void (*release)(struct reclaimer_member *member);
	/* Around fork(): take every lock of the member; let go of them, also in a child. */
	void (*freeze)(struct reclaimer_member *member);
	void (*thaw)(struct reclaimer_member *member, bool in_child);
	bool doomed;
};

void reclaimer_join(struct reclaimer_member *member);
/* False: it is being run; release() will be called when that returns. */
bool reclaimer_leave(struct reclaimer_member *member);
/* Something is due then, perhaps sooner than the thread sleeps. Cheap if not. */
void reclaimer_wake(uint64_t due);
/* End the thread, waiting up to timeout_ns for what it runs; it starts again on need. */
bool reclaimer_stop(uint64_t timeout_ns);

#endif
