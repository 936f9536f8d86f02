/* SPDX-License-Identifier: MIT */
/*
 * machine_support - what the tests of the simulated machine share: a machine that is
 * described in a few lines, the rows of its event table in the order of the core, and a walk
 * over its inside that finds what is at two places or at none.
 */
#ifndef MACHINE_SUPPORT_H
#define MACHINE_SUPPORT_H

#include "machine.h"
#include "support.h"

#define SETUP_DOMAINS 8u
#define SETUP_FLOWS 8u
#define SETUP_CPUS 16u

#define PS UINT64_C(1)
#define NS_IN_PS UINT64_C(1000)
#define US_IN_PS UINT64_C(1000000)
#define MS_IN_PS UINT64_C(1000000000)
#define S_IN_PS UINT64_C(1000000000000)
/* No lane gets that far in any test: after its request it is quiet for ever. */
#define FOR_EVER (UINT64_C(1) << 50)

/* Different primes, so that a sum tells what is in it. In ps, times `scale`. */
struct machine_prices prime_prices(uint64_t scale);

/* A config with the arrays it points to. */
struct setup {
	struct machine_config config;
	struct machine_domain domains[SETUP_DOMAINS];
	const struct iova_design *designs[SETUP_DOMAINS];
	struct machine_flow flows[SETUP_FLOWS];
	struct {
		uint16_t submit_cpus[SETUP_CPUS], complete_cpus[SETUP_CPUS];
		uint64_t think[MACHINE_QUANTILES], latency[MACHINE_QUANTILES];
		struct machine_size sizes[4];
	} of_flow[SETUP_FLOWS];
	uint64_t params[IOVA_MAX_PARAMS]; /* of config.params, if a test sets that */
	struct test_memory memory;
};

/*
 * One domain of the design, strict; no flow yet; `cpus` CPUs of one node, prices prime in ps,
 * 6 classes, seed 1.
 */
void setup_init(struct setup *setup, const char *design, uint32_t cpus);
/* One more domain of that design, like the first. */
struct machine_domain *add_domain(struct setup *setup, const char *design);
/*
 * One more flow: one lane, submitted on a CPU and completed there, of one page below 4 GiB,
 * without thinking and in no time, in domain 0.
 */
struct machine_flow *add_flow(struct setup *setup, uint16_t submit_cpu, uint16_t complete_cpu);
/*
 * ... which makes one request of `pages` at `start`, whose range it gives back `latency` after
 * it got it, and then is quiet.
 */
struct machine_flow *add_request(struct setup *setup, uint16_t submit_cpu, uint16_t complete_cpu,
				 uint64_t pages, uint64_t start, uint64_t latency);
/* The flow's time is always the same. */
void set_think(struct setup *setup, const struct machine_flow *flow, uint64_t ps);
void set_latency(struct setup *setup, const struct machine_flow *flow, uint64_t ps);

/* Fails the test if it can not be made. Memory is counted from here on. */
struct machine *start_machine(struct setup *setup);
/* Run without a table, until then. */
void run_to(struct machine *machine, uint64_t until);
/* Check that it is sound, destroy it, and check that no memory is left. */
void end_machine(struct setup *setup, struct machine *machine);

/* Sum over the classes, those beyond the caches included. */
struct iova_counters counters_of_machine(const struct machine *machine);

/* --------------------------------------------------------------------- machine_table.c: rows */

struct one_row {
	uint64_t seq, size, limit, pfn, last;
	int64_t t, t_end;
	uint32_t domain, slot;
	uint16_t cpu;
	uint8_t op, flags;
};

#define MAX_ROWS (UINT32_C(1) << 19)

/* All rows there were, by seq; one table for the program. */
extern struct one_row rows[MAX_ROWS];
extern size_t row_count;

/*
 * Run with a table, until then, that many operations at a time, in which so many rows are
 * taken already; the rows are added to what is there, and sorted.
 */
void run_rows(struct machine *machine, uint64_t until, uint64_t operations, size_t filled);
/* The n-th row (from 0) of that operation. */
const struct one_row *nth_row(enum replay_op op, size_t n);
/* How many there are. */
size_t rows_of(enum replay_op op);
/*
 * Feed the rows of the machine to a replay of the same design: the table is valid, and every
 * allocation gets the very same range. Only for designs without jobs.
 */
void check_replay_of_rows(const struct setup *setup, const struct machine *machine);

/* ------------------------------------------------------------------ machine_inside.c: inside */

/* NULL, or what is wrong: see machine_inside.c. Memory may not be refused meanwhile. */
const char *machine_fault(const struct machine *machine);
/* It will not go on before it gets a table with nothing in it. */
bool machine_wants_a_table(const struct machine *machine);
/* seq of the first call that the core has executed and that has not ended; UINT64_MAX: none. */
uint64_t machine_first_open_call(const struct machine *machine);
uint64_t machine_ring_length(const struct machine *machine, uint32_t domain, uint32_t ring);
/* Full magazines of a class. */
uint64_t machine_depot(const struct machine *machine, uint32_t domain, uint32_t size_class);

#endif
