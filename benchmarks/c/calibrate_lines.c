/* SPDX-License-Identifier: MIT */
/*
 * Cache lines that go from one CPU to another: threads on CPUs 0 and 1.
 *
 * A round trip: each waits for the other's number and writes the next. A magazine: one thread
 * fills it, the other takes its entries, as a CPU does that popped from the depot what another
 * one pushed; what this costs more than with a magazine of its own is the price of its lines.
 * A lock that both want: what a critical section takes longer than if one has it to itself.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "calibrate.h"
#include "magazine.h"
#include "sync.h"

#define OPERATIONS_PER_TRIP 16u
/* So many at a time: no more than a first-level cache holds. */
#define MAGAZINES 24u
#define LINES (magazine_bytes(IOVA_MAGAZINE_CAPACITY) / 64)

/* A magazine with room for its entries. */
union roomy_magazine {
	struct magazine magazine;
	uint64_t words[1 + IOVA_MAGAZINE_CAPACITY];
};

struct turn {
	_Alignas(64) uint64_t number;
};

enum { FILLING, TAKING };

struct meeting {
	struct turn turn;
	union roomy_magazine *magazines;
	size_t times;
	bool alone; /* the first thread fills and takes */
	double ns[2];
};

/* ------------------------------------------------------------------------- threads */

static pthread_t start_on(int cpu, void *(*run)(void *), struct meeting *meeting)
{
	pthread_attr_t attributes;
	pthread_t thread;
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	pthread_attr_init(&attributes);
	must(pthread_attr_setaffinity_np(&attributes, sizeof(set), &set) == 0, "no such CPU");
	must(pthread_create(&thread, &attributes, run, meeting) == 0, "no thread");
	pthread_attr_destroy(&attributes);
	return thread;
}

/* Both have this thread's priority; it sleeps meanwhile. */
static void meet(struct meeting *meeting, void *(*first)(void *), void *(*second)(void *))
{
	pthread_t on_0 = start_on(0, first, meeting), on_1 = start_on(1, second, meeting);
	pthread_join(on_0, NULL);
	pthread_join(on_1, NULL);
}

static void wait_for(struct turn *turn, uint64_t number)
{
	while (__atomic_load_n(&turn->number, __ATOMIC_ACQUIRE) != number)
		;
}

static void pass_on(struct turn *turn, uint64_t number)
{
	__atomic_store_n(&turn->number, number, __ATOMIC_RELEASE);
}

/* --------------------------------------------------------------------- round trips */

static void *go_round(void *argument)
{
	struct meeting *meeting = argument;
	wait_for(&meeting->turn, 1);
	double began = now_ns();
	for (uint64_t i = 1; i <= meeting->times; i++) {
		pass_on(&meeting->turn, 2 * i);
		wait_for(&meeting->turn, 2 * i + 1);
	}
	meeting->ns[0] = now_ns() - began;
	return NULL;
}

static void *answer(void *argument)
{
	struct meeting *meeting = argument;
	pass_on(&meeting->turn, 1);
	for (uint64_t i = 1; i <= meeting->times; i++) {
		wait_for(&meeting->turn, 2 * i);
		pass_on(&meeting->turn, 2 * i + 1);
	}
	return NULL;
}

/* Half of it: one transfer. */
static double measure_round_trips(size_t number, size_t operations)
{
	(void)number;
	struct meeting meeting = { .times = operations / OPERATIONS_PER_TRIP + 1 };
	meet(&meeting, go_round, answer);
	return meeting.ns[0] / (double)(2 * meeting.times);
}

/* ----------------------------------------------------------------------- magazines */

/* Each entry by a call with a lock of this CPU, as allocations and frees take them. */

BEHIND_CALL static void put(struct magazine *magazine, struct spin_lock *lock, uint64_t pfn)
{
	spin_acquire(lock);
	magazine_push(magazine, pfn);
	spin_release(lock);
}

BEHIND_CALL static uint64_t take(struct magazine *magazine, struct spin_lock *lock)
{
	spin_acquire(lock);
	uint64_t pfn = magazine_take_top(magazine, UINT64_MAX);
	spin_release(lock);
	return pfn;
}

static void fill(struct meeting *meeting)
{
	struct spin_lock lock = { 0 };
	double began = now_ns();
	for (size_t i = 0; i < MAGAZINES; i++)
		for (uint64_t entry = 1; entry <= IOVA_MAGAZINE_CAPACITY; entry++)
			put(&meeting->magazines[i].magazine, &lock, entry);
	meeting->ns[FILLING] += now_ns() - began;
}

static void empty(struct meeting *meeting)
{
	struct spin_lock lock = { 0 };
	double began = now_ns();
	for (size_t i = 0; i < MAGAZINES; i++)
		for (uint64_t entry = 1; entry <= IOVA_MAGAZINE_CAPACITY; entry++)
			must(take(&meeting->magazines[i].magazine, &lock) != 0, "an entry is missing");
	meeting->ns[TAKING] += now_ns() - began;
}

static void *take_turns(void *argument)
{
	struct meeting *meeting = argument;
	for (uint64_t i = 1; i <= meeting->times; i++) {
		wait_for(&meeting->turn, 2 * i - 1);
		if (meeting->alone)
			fill(meeting);
		empty(meeting);
		pass_on(&meeting->turn, 2 * i);
	}
	return NULL;
}

static void *fill_in_turns(void *argument)
{
	struct meeting *meeting = argument;
	for (uint64_t i = 1; i <= meeting->times; i++) {
		if (!meeting->alone)
			fill(meeting);
		pass_on(&meeting->turn, 2 * i - 1);
		wait_for(&meeting->turn, 2 * i);
	}
	return NULL;
}

/* What a line adds to filling, or taking from, magazines, that the other CPU had last. */
static double measure_magazines(size_t which, size_t operations)
{
	static union roomy_magazine magazines[MAGAZINES] __attribute__((aligned(1024)));
	for (size_t i = 0; i < MAGAZINES; i++)
		magazines[i].magazine.capacity = IOVA_MAGAZINE_CAPACITY;
	struct meeting alone = { .magazines = magazines, .alone = true };
	struct meeting handed = { .magazines = magazines };
	alone.times = handed.times = operations / (MAGAZINES * IOVA_MAGAZINE_CAPACITY) + 1;
	meet(&alone, take_turns, fill_in_turns);
	meet(&handed, take_turns, fill_in_turns);
	double lines = (double)(handed.times * MAGAZINES * LINES);
	return (handed.ns[which] - alone.ns[which]) / lines;
}

/* ------------------------------------------------------------------ a lock both want */

#define OPERATIONS_PER_SECTION 8u
/* Dependent multiplications inside the lock: some 100 ns. */
#define WORK 100

/* First come, first served. */
struct ticket_lock {
	_Alignas(64) uint32_t next;
	uint32_t serving;
};

static struct ticket_lock wanted;

static uint64_t work_inside(uint64_t value)
{
	for (int i = 0; i < WORK; i++) {
		value = value * UINT64_C(6364136223846793005) + 1;
		OPAQUE(value);
	}
	return value;
}

static void hold_again_and_again(size_t times)
{
	uint64_t value = 1;
	for (size_t i = 0; i < times; i++) {
		uint32_t ticket = __atomic_fetch_add(&wanted.next, 1u, __ATOMIC_ACQUIRE);
		while (__atomic_load_n(&wanted.serving, __ATOMIC_ACQUIRE) != ticket)
			;
		value = work_inside(value);
		__atomic_store_n(&wanted.serving, ticket + 1, __ATOMIC_RELEASE);
	}
	OPAQUE(value);
}

static void *hold_first(void *argument)
{
	struct meeting *meeting = argument;
	wait_for(&meeting->turn, 1);
	double began = now_ns();
	hold_again_and_again(meeting->times);
	meeting->ns[0] = now_ns() - began;
	return NULL;
}

static void *hold_second(void *argument)
{
	struct meeting *meeting = argument;
	pass_on(&meeting->turn, 1);
	if (!meeting->alone)
		hold_again_and_again(meeting->times);
	return NULL;
}

/* From letting go until the one that waits has it. Both sides' sections are in the first's time. */
static double measure_handing_over(size_t number, size_t operations)
{
	(void)number;
	size_t times = operations / OPERATIONS_PER_SECTION + 1;
	struct meeting alone = { .times = times, .alone = true }, both = { .times = times };
	meet(&alone, hold_first, hold_second);
	meet(&both, hold_first, hold_second);
	return (both.ns[0] / 2 - alone.ns[0]) / (double)times;
}

struct parts parts_of_lines(void)
{
	static const struct part parts[] = {
		{ "line, half a round trip", NULL, measure_round_trips, 0 },
		{ "line of a magazine taken from", NULL, measure_magazines, TAKING },
		{ "line of a magazine filled", NULL, measure_magazines, FILLING },
		{ "lock handed over", NULL, measure_handing_over, 0 },
	};
	bool alone = sysconf(_SC_NPROCESSORS_ONLN) < 2;
	return (struct parts){ parts, alone ? 0 : COUNT_OF_ARRAY(parts) };
}
