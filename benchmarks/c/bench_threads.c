/* SPDX-License-Identifier: MIT */
/*
 * The workloads of live_loops.h in one thread and in two, for the check of the simulated
 * machine: unchecked domains of libiova with locks, and the core under locks as a kernel has.
 *
 * Threads stay on CPUs 0 and 1; "one" is the mean of a thread alone on either. Of two threads
 * each has live ranges of its own, in one domain. Nanoseconds an operation, over all threads.
 * For W5 the ring that ranges pass through is measured as well, with nothing in place of the
 * calls.
 *
 * usage: bench_threads LIBIOVA_WITH_LOCKS_SO ROUNDS OPERATIONS
 */
#include <string.h>

#include "bench.h"
#include "live_threads.h"

#define MAX_CONTENDERS 16
#define CPUS 2
#define LIBRARY "iova with locks, unchecked"
#define RING "the empty ring"

struct measured {
	struct contender contender;
	struct share shares[WORKLOADS][CPUS];
};

static struct measured library, core;
static struct contender ring;

/* ---------------------------------------------------------------------- measuring */

static void tell(const struct contender *contender, const char *workload, const char *threads,
		 double ns)
{
	char pattern[32];
	snprintf(pattern, sizeof(pattern), "%s, %s", workload, threads);
	report(pattern, contender->name, ns);
}

static double time_threads(struct measured *of, enum workload workload, int cpu, int threads,
			   size_t passes)
{
	if (workload == W1_PAIRS)
		return time_pairs(&of->contender, cpu, threads, passes * STEPS);
	return time_replacing(&of->contender, cpu, threads, &of->shares[workload][cpu], passes);
}

static void measure(struct measured *of, enum workload workload, const char *name,
		    size_t operations)
{
	size_t passes = (operations + 2 * STEPS - 1) / (2 * STEPS);
	double each = (double)(2 * passes * STEPS);
	of->contender.enter(&of->contender, workload);
	double first = time_threads(of, workload, 0, 1, passes);
	double both = time_threads(of, workload, 0, 2, passes);
	double second = time_threads(of, workload, 1, 1, passes);
	tell(&of->contender, name, "one", (first + second) / 2 / each);
	tell(&of->contender, name, "two", both / (2 * each));
}

static void measure_hand_over(const struct contender *contender, size_t operations)
{
	contender->enter(contender, W5_HAND_OVER);
	tell(contender, "W5", "two", time_hand_over(contender, operations / 2) / (double)operations);
}

static void measure_all(struct measured *of, size_t operations)
{
	measure(of, W1_PAIRS, "W1", operations);
	measure(of, W2_RANDOM, "W2", operations);
	measure(of, W3_SIZES, "W3", operations);
	/* Through the tree, which takes that much longer. */
	measure(of, W4_LARGE, "W4", operations / 8);
	measure_hand_over(&of->contender, operations);
}

static void draw_shares(struct measured *of)
{
	for (enum workload workload = W2_RANDOM; workload <= W4_LARGE; workload++) {
		struct choice choice = choice_of(workload);
		for (int cpu = 0; cpu < CPUS; cpu++)
			of->shares[workload][cpu] = (struct share){
				choice, draw_steps(choice, 2 + (uint64_t)cpu), NULL
			};
	}
}

static struct contender named(const struct contender *all, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i];
	must(0, "no such contender");
	return all[0];
}

static void prepare(const char *path)
{
	struct contender found[MAX_CONTENDERS];
	library.contender = named(found, iova_contenders(found, path, path), LIBRARY);
	ring = named(found, control_contenders(found), RING);
	core_contenders(&core.contender);
	draw_shares(&library);
	draw_shares(&core);
}

int main(int count, char **arguments)
{
	must(count == 4, "usage: bench_threads LIBIOVA_WITH_LOCKS_SO ROUNDS OPERATIONS");
	int rounds = atoi(arguments[2]);
	size_t operations = (size_t)atoll(arguments[3]);
	prepare(arguments[1]);
	for (int round = 0; round < rounds; round++) {
		measure_all(&library, operations);
		measure_all(&core, operations);
		measure_hand_over(&ring, operations);
	}
	return 0;
}
