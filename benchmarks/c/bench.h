/* SPDX-License-Identifier: MIT */
/*
 * What every benchmark program shares: a clock, a generator, one line of JSON a figure.
 *
 * A program runs its contenders in turn, round after round, so that a disturbance of the
 * machine falls on all of them; medians and ratios are the driver's business.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The same of the calling thread's own processor time: what others do on the CPU is not in it. */
static inline double cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* SplitMix64. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)random_next(state) * n) >> 64);
}

/* The compiler may neither know the value nor drop the work that made it. */
#define OPAQUE(x) __asm__ volatile("" : "+r"(x))

/* A function that is called as one from another library is: as it stands. */
#if defined(__clang__)
#define BEHIND_CALL __attribute__((noinline))
#else
#define BEHIND_CALL __attribute__((noipa))
#endif

static inline void report(const char *pattern, const char *contender, double value)
{
	printf("{\"pattern\": \"%s\", \"contender\": \"%s\", \"value\": %.4f}\n", pattern,
	       contender, value);
	fflush(stdout);
}

static inline void must(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "benchmark: %s\n", what);
	exit(1);
}

#endif
