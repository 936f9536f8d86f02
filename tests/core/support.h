/* SPDX-License-Identifier: MIT */
/*
 * support - what the tests of the core share: a memory table that counts, poisons and
 * refuses, the one helper that makes a domain, and random numbers from a seed.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "check.h"
#include "iova.h"
#include "magazine.h"

/* Entries of a full magazine. */
#define FULL ((uint64_t)IOVA_MAGAZINE_CAPACITY)
#define MS UINT64_C(1000000) /* ns */
#define D32 (UINT64_C(1) << 20) /* first pfn at or above 4 GiB, granule 4096 */
#define LIMIT32 (D32 - 1)
#define LIMIT64 ((UINT64_C(1) << 40) - 1)

/* ------------------------------------------------------------------------- memory */

/*
 * New blocks are full of 0xA5 (but for caches, which are zeroed) and released ones of 0x5A, so nothing can rely on zeroes or
 * on what was there. A release with another size or kind, or a write past the end, fails
 * the test. Questions are allocations and range records asked for, numbered from 1.
 */
struct test_memory {
	struct iova_memory table;
	uint64_t blocks[IOVA_MEMORY_KINDS]; /* held now */
	uint64_t questions, refusals;
	uint64_t refuse_at; /* this question is refused; 0: none */
	uint64_t refuse_next[IOVA_MEMORY_KINDS]; /* so many of a kind are refused next */
	uint64_t refuse_records;	 /* so many range records are refused next */
	bool paused;			 /* nothing is numbered or refused */
	bool kind_is_exempt[IOVA_MEMORY_KINDS]; /* neither are these */
};

void test_memory_init(struct test_memory *memory);
/* Blocks held, of all kinds. */
uint64_t test_memory_held(const struct test_memory *memory);

/* ------------------------------------------------------------------------- domains */

struct param_setting {
	const char *name;
	uint64_t value;
};

/* Zero stands for: linux-6.12, 4 CPUs, all of them online, 6 classes, granule 4096. */
struct shape {
	const char *design;
	const struct iova_design *custom; /* instead of a named one */
	struct param_setting params[4];
	uint32_t possible, online, classes;
	uint64_t granule;
	uint64_t start; /* 0 stands for 1 */
	bool start_at_zero;
	bool count_steps;
	bool without_caches;
	const struct iova_lock_hooks *locks;
};

struct iova_config config_of(struct test_memory *memory, const struct shape *shape,
			     uint64_t params[IOVA_MAX_PARAMS]);
/* Fails the test if the domain can not be made. */
iova_domain *make_domain(struct test_memory *memory, struct shape shape);
/* Check everything, destroy the domain, and check that no memory is left. */
void end_domain(struct test_memory *memory, iova_domain *domain);

/* n ranges of `size` frames from the CPU's cache or the tree; each must succeed. */
void alloc_many(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t n, uint64_t *pfn);
void free_many(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t n, const uint64_t *pfn,
	       uint64_t now);
/*
 * Fill the empty cache of a CPU until its depot has got so many magazines: previous is
 * full then, and loaded holds one entry.
 */
void fill_depot(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t magazines,
		uint64_t now);
/* Put pfn, a range of one frame that is made for this, into the CPU's cache. */
void cache_pfn(iova_domain *domain, uint32_t cpu, uint64_t pfn);

/* -------------------------------------------------------------------------- random */

/* splitmix64 */
struct random {
	uint64_t state;
};

uint64_t random_next(struct random *random);
/* 0 .. n-1, n >= 1; the bias does not matter here. */
uint64_t random_below(struct random *random, uint64_t n);
/* A number of a random number of bits, 0 .. bits. */
uint64_t random_bits(struct random *random, unsigned bits);

/* What to run: every seed of every size, or the one given by --seed S --size N, traced. */
struct random_plan {
	bool one;
	uint64_t seed, size;
};

struct random_plan random_plan_from(int argc, char **argv);
/*
 * Run test(seed, size, trace) for seeds 1..seeds at each size, silently, or the plan's
 * one case with a trace.
 */
void random_run(const struct random_plan *plan, const uint64_t *sizes, size_t size_count,
		uint64_t seeds, void (*test)(uint64_t seed, uint64_t size, bool trace));

#endif
