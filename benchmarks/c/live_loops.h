/* SPDX-License-Identifier: MIT */
/*
 * live_loops - the contenders of bench_live, and the loops in which they are measured.
 *
 * A contender takes and gives back ranges of 2^order pages. The loops are the same text for
 * all of them, compiled beside the contender's own two calls, so that a library's function is
 * called once an operation and nothing but those calls differs. What a loop picks at
 * random was drawn before (struct step).
 */
#ifndef LIVE_LOOPS_H
#define LIVE_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "live_ring.h"

/* Each has ranges, and where a contender can, a domain or pool, of its own. */
enum workload {
	W1_PAIRS,     /* take one page, give it back */
	W2_RANDOM,    /* 4 096 live pages; each step replaces one at random */
	W3_SIZES,     /* 10 000 live, 1 to 32 pages */
	W4_LARGE,     /* 10 000 live of 64 pages */
	W5_HAND_OVER, /* one thread takes, another gives back */
	WORKLOADS
};

#define W2_LIVE 4096u
#define W3_LIVE 10000u
#define W4_LIVE 10000u
#define W4_ORDER 6u
#define ORDERS 7u
/* What a heap is asked for a page. */
#define HEAP_BYTES_A_PAGE 64u

/* What a step touches is fetched so many steps ahead: the workload's own memory is no figure. */
#define LOOK_AHEAD 8u

/* Give back what is in the slot, and take a range of that order in its place. */
struct step {
	uint16_t slot;
	uint8_t order;
};

struct held {
	uint64_t address;
	uint8_t order;
};

struct loops {
	void (*fill)(struct held *held, size_t count);
	void (*pairs)(size_t pairs);
	/* steps has LOOK_AHEAD more than count. */
	void (*replace)(struct held *held, const struct step *steps, size_t count);
	void (*produce)(struct ring *ring, size_t count);
	void (*consume)(struct ring *ring, size_t count);
};

struct contender {
	const char *name;
	const struct loops *loops;
	unsigned variant;     /* the contender's own business */
	unsigned workloads;   /* bits: those it takes part in */
	/* The loops work for this workload from now on. */
	void (*enter)(const struct contender *contender, enum workload workload);
	/* A thread other than the first is about to run loops, has run them. May be NULL. */
	void (*thread_begins)(void);
	void (*thread_ends)(void);
};

#define TAKES_PART(contender, workload) ((contender)->workloads >> (workload) & 1u)
#define ALL_WORKLOADS ((1u << WORKLOADS) - 1)

/* uint64_t take(unsigned order), void give(uint64_t address, unsigned order). */
#define DEFINE_LIVE_LOOPS(prefix, take, give)                                                  \
	static void prefix##_fill(struct held *held, size_t count)                             \
	{                                                                                      \
		for (size_t i = 0; i < count; i++)                                             \
			held[i].address = take(held[i].order);                                 \
	}                                                                                      \
	static void prefix##_pairs(size_t pairs)                                               \
	{                                                                                      \
		for (size_t i = 0; i < pairs; i++) {                                           \
			uint64_t address = take(0);                                            \
			OPAQUE(address);                                                       \
			give(address, 0);                                                      \
		}                                                                              \
	}                                                                                      \
	static void prefix##_replace(struct held *held, const struct step *steps,              \
				     size_t count)                                             \
	{                                                                                      \
		for (size_t i = 0; i < count; i++) {                                           \
			struct held *one = &held[steps[i].slot];                               \
			__builtin_prefetch(&held[steps[i + LOOK_AHEAD].slot], 1);              \
			give(one->address, one->order);                                        \
			one->order = steps[i].order;                                           \
			one->address = take(one->order);                                       \
		}                                                                              \
	}                                                                                      \
	static void prefix##_produce(struct ring *ring, size_t count)                          \
	{                                                                                      \
		for (size_t i = 0; i < count; i++)                                             \
			ring_put(ring, take(0));                                               \
	}                                                                                      \
	static void prefix##_consume(struct ring *ring, size_t count)                          \
	{                                                                                      \
		for (size_t i = 0; i < count; i++)                                             \
			give(ring_get(ring), 0);                                               \
	}                                                                                      \
	static const struct loops prefix##_loops = { prefix##_fill, prefix##_pairs,            \
						     prefix##_replace, prefix##_produce,       \
						     prefix##_consume }

/* Each adds its contenders at `to` and returns how many; the names of what is missing go to
   standard error. */
size_t iova_contenders(struct contender *to, const char *library, const char *library_of_locks);
size_t heap_contenders(struct contender *to);
size_t control_contenders(struct contender *to);
size_t core_contenders(struct contender *to);
#ifdef HAVE_DPDK
size_t dpdk_contenders(struct contender *to);
#endif

#endif
