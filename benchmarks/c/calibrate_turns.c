/* SPDX-License-Identifier: MIT */
/*
 * What an operation on a tree takes over from the CPU that had the tree before: two threads
 * make one operation each in turn, beside one that makes them all. The lines of the lock that
 * would be around it are not in it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "calibrate.h"
#include "range_tree.h"
#include "red_black.h"

#define OPERATIONS_PER_TURN 32u
#define RANGES 16384u
#define PAGES 64u
#define SPACING (PAGES + 1u)
#define LIMIT UINT64_C(0xfffffffff)
#define D32 (UINT64_C(1) << 20)

static struct range_tree ours;
static uint64_t live[RANGES];
static struct red_black linux_like;
static struct record *records[RANGES];
/* Operations take a range out and put one back in turn: whether one is out, and which. */
static uint64_t chosen, seed;
static bool is_out;

static void (*operate)(void);
static _Alignas(64) uint64_t turn;
static bool both;
static size_t turns;
static double ns_of[2];

/* ----------------------------------------------------------------------- operations */

static void change_ours(void)
{
	struct iova_range range;
	if (!is_out) {
		chosen = random_below(&seed, RANGES);
		must(tree_take_out(&ours, live[chosen], &range) == IOVA_OK, "a range is missing");
	} else {
		must(tree_alloc(&ours, PAGES, LIMIT, true, &range) == IOVA_OK, "no room");
		live[chosen] = range.lo;
	}
	is_out = !is_out;
}

static void change_linux_like(void)
{
	if (!is_out) {
		chosen = random_below(&seed, RANGES - 1);
		struct record *found = red_black_find(&linux_like, (chosen + 1) * SPACING);
		must(found == records[chosen], "a record is missing");
		red_black_unlink(&linux_like, found);
	} else {
		red_black_link(&linux_like, records[chosen], records[chosen + 1], false);
	}
	is_out = !is_out;
}

/* ---------------------------------------------------------------------------- turns */

static void *take_turns(void *argument)
{
	uint64_t self = (uint64_t)(argument != NULL);
	ns_of[self] = 0;
	for (size_t i = 0; i < turns; i++) {
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 2 * i + self)
			;
		/* Who makes them all makes the other's as well. */
		if (!both && self == 0)
			operate();
		if (both || self == 0) {
			double began = now_ns();
			operate();
			ns_of[self] += now_ns() - began;
		}
		__atomic_store_n(&turn, 2 * i + 1 + self, __ATOMIC_RELEASE);
	}
	return NULL;
}

static pthread_t start_on(int cpu, void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	pthread_attr_init(&attributes);
	must(pthread_attr_setaffinity_np(&attributes, sizeof(set), &set) == 0, "no such CPU");
	must(pthread_create(&thread, &attributes, take_turns, argument) == 0, "no thread");
	pthread_attr_destroy(&attributes);
	return thread;
}

/* ns a timed operation. */
static double run(bool both_operate)
{
	turn = 0;
	both = both_operate;
	pthread_t first = start_on(0, NULL), second = start_on(1, &turn);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	return (ns_of[0] + ns_of[1]) / (double)(both_operate ? 2 * turns : turns);
}

static double measure_turns(void (*operation)(void), size_t operations)
{
	operate = operation;
	turns = operations / OPERATIONS_PER_TURN + 1;
	double alone = 0;
	for (int pass = 0; pass < 2; pass++) {
		alone += run(false) / 2;
		operate(); /* of the two kinds the other is timed next */
	}
	return run(true) - alone;
}

static double measure_ours(size_t number, size_t operations)
{
	(void)number;
	return measure_turns(change_ours, operations);
}

static double measure_linux_like(size_t number, size_t operations)
{
	(void)number;
	return measure_turns(change_linux_like, operations);
}

/* ------------------------------------------------------------------------------ trees */

static void prepare_ours(size_t number)
{
	struct iova_range range;
	(void)number;
	must(tree_init(&ours, iova_memory_heap(), 1, D32, false) == IOVA_OK, "no tree");
	for (size_t i = 0; i < RANGES; i++) {
		must(tree_alloc(&ours, PAGES, LIMIT, true, &range) == IOVA_OK, "no room");
		live[i] = range.lo;
	}
	for (size_t i = 0; i < 4 * RANGES; i++)
		change_ours();
}

static void prepare_linux_like(size_t number)
{
	(void)number;
	for (uint64_t i = 0; i < RANGES; i++) {
		records[i] = malloc(sizeof(*records[i]));
		must(records[i] != NULL, "no memory");
		records[i]->lo = (i + 1) * SPACING;
		records[i]->hi = records[i]->lo + PAGES - 1;
		red_black_link(&linux_like, records[i], i ? records[i - 1] : NULL, true);
	}
}

struct parts parts_of_turns(void)
{
	static const struct part parts[] = {
		{ "index taken over", prepare_ours, measure_ours, 0 },
		{ "red-black tree taken over", prepare_linux_like, measure_linux_like, 0 },
	};
	bool alone = sysconf(_SC_NPROCESSORS_ONLN) < 2;
	return (struct parts){ parts, alone ? 0 : COUNT_OF_ARRAY(parts) };
}
