/* SPDX-License-Identifier: MIT */
/*
 * The live domain beside other allocators, in nanoseconds an operation; an operation is one
 * allocation or one free. The workloads are those of live_loops.h. Each contender has its turn in
 * every round of every workload.
 *
 * usage: bench_live LIBIOVA_SO LIBIOVA_WITH_LOCKS_SO ROUNDS OPERATIONS one|two
 *
 * one: W1 to W4 on CPU 0, in processor time. two: W1 in a thread on each of CPUs 0 and 1, beside the same in one
 * thread at a time (the mean of both CPUs); and W5.
 *
 * Loading jemalloc takes room in the static TLS block: run it with
 * GLIBC_TUNABLES=glibc.rtld.optional_static_tls=65536.
 */
#include <string.h>

#include "bench.h"
#include "live_choices.h"
#include "live_threads.h"

#define MAX_CONTENDERS 24

struct workload_of {
	const char *name;
	struct choice choice;
	struct step *steps;
	struct held *held[MAX_CONTENDERS];
};

static struct workload_of workloads[WORKLOADS] = {
	[W1_PAIRS] = { .name = "W1" },
	[W2_RANDOM] = { .name = "W2" },
	[W3_SIZES] = { .name = "W3" },
	[W4_LARGE] = { .name = "W4" },
	[W5_HAND_OVER] = { .name = "W5" },
};

static struct contender contenders[MAX_CONTENDERS];
static size_t contender_count;

/* -------------------------------------------------------------------- one thread */

/* Fills, and runs each loop once without the clock. */
static void prepare(enum workload which, size_t i)
{
	struct workload_of *workload = &workloads[which];
	const struct contender *contender = &contenders[i];
	contender->enter(contender, which);
	if (!workload->choice.live) {
		contender->loops->pairs(STEPS);
		return;
	}
	/* The same ranges live for every contender. */
	workload->held[i] = draw_held(workload->choice, 1);
	contender->loops->fill(workload->held[i], workload->choice.live);
	contender->loops->replace(workload->held[i], workload->steps, STEPS);
}

static void prepare_all(void)
{
	for (enum workload which = W1_PAIRS; which < WORKLOADS; which++) {
		workloads[which].choice = choice_of(which);
		if (workloads[which].choice.live)
			workloads[which].steps = draw_steps(workloads[which].choice, 2);
		for (size_t i = 0; i < contender_count; i++)
			if (TAKES_PART(&contenders[i], which))
				prepare(which, i);
	}
}

static double time_one_thread(const struct workload_of *workload, size_t i, size_t operations)
{
	const struct loops *loops = contenders[i].loops;
	size_t passes = (operations + 2 * STEPS - 1) / (2 * STEPS);
	double began = cpu_ns();
	for (size_t pass = 0; pass < passes; pass++) {
		if (workload->choice.live)
			loops->replace(workload->held[i], workload->steps, STEPS);
		else
			loops->pairs(STEPS);
	}
	return (cpu_ns() - began) / (double)(passes * 2 * STEPS);
}

static void measure_one_thread(enum workload which, size_t operations)
{
	for (size_t i = 0; i < contender_count; i++) {
		if (!TAKES_PART(&contenders[i], which))
			continue;
		contenders[i].enter(&contenders[i], which);
		report(workloads[which].name, contenders[i].name,
		       time_one_thread(&workloads[which], i, operations));
	}
}

/* -------------------------------------------------------------------- two threads */

static void measure_scaling(const struct contender *contender, size_t operations)
{
	size_t pairs = operations / 2;
	contender->enter(contender, W1_PAIRS);
	double first = time_pairs(contender, 0, 1, pairs);
	double both = time_pairs(contender, 0, 2, pairs);
	double second = time_pairs(contender, 1, 1, pairs);
	double done = (double)(2 * pairs);
	report("W1, one thread", contender->name, (first + second) / 2 / done);
	report("W1, two threads", contender->name, both / (2 * done));
}

static void measure_two_threads(size_t operations)
{
	for (size_t i = 0; i < contender_count; i++)
		if (TAKES_PART(&contenders[i], W1_PAIRS))
			measure_scaling(&contenders[i], operations);
	for (size_t i = 0; i < contender_count; i++) {
		if (!TAKES_PART(&contenders[i], W5_HAND_OVER))
			continue;
		contenders[i].enter(&contenders[i], W5_HAND_OVER);
		report("W5", contenders[i].name,
		       time_hand_over(&contenders[i], operations / 2) / (double)operations);
	}
}

/* ---------------------------------------------------------------------------- all */

static void add_contenders(const char *library, const char *library_of_locks)
{
	contender_count = iova_contenders(contenders, library, library_of_locks);
#ifdef HAVE_DPDK
	contender_count += dpdk_contenders(contenders + contender_count);
#endif
	contender_count += heap_contenders(contenders + contender_count);
	contender_count += control_contenders(contenders + contender_count);
}

int main(int count, char **arguments)
{
	must(count == 6, "usage: bench_live LIBIOVA_SO LIBIOVA_WITH_LOCKS_SO ROUNDS OPERATIONS "
			 "one|two");
	int rounds = atoi(arguments[3]);
	size_t operations = (size_t)atoll(arguments[4]);
	bool one = strcmp(arguments[5], "one") == 0;
	add_contenders(arguments[1], arguments[2]);
	pin(0);
	prepare_all();
	for (int round = 0; round < rounds; round++) {
		for (enum workload w = W1_PAIRS; one && w <= W4_LARGE; w++)
			measure_one_thread(w, operations);
		if (!one)
			measure_two_threads(operations);
	}
	return 0;
}
