/* SPDX-License-Identifier: MIT */
/* Loops of bench_live that run in threads of their own, each pinned to a CPU. */
#ifndef LIVE_THREADS_H
#define LIVE_THREADS_H

#include "live_choices.h"

/*
 * Nanoseconds from the first thread's start to the last one's end. A run in which the
 * system took the CPU from a thread tells about its neighbours: it is repeated.
 */

/* `pairs` pairs in each of the threads, which run on CPUs cpu .. cpu + threads - 1. */
double time_pairs(const struct contender *contender, int cpu, int threads, size_t pairs);
/* What a thread of a CPU replaces, made by that thread at its first run. */
struct share {
	struct choice choice;
	const struct step *steps;
	struct held *held; /* NULL: not made */
};

/* The same for passes over all steps of each thread's own share: shares[i] is that of CPU cpu + i. */
double time_replacing(const struct contender *contender, int cpu, int threads,
		      struct share *shares, size_t passes);
/* `count` ranges through a ring, from a thread on CPU 0 to one on CPU 1. */
double time_hand_over(const struct contender *contender, size_t count);
/* The calling thread stays on that CPU. */
void pin(int cpu);

#endif
