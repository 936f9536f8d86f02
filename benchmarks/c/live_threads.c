/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "live_threads.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "bench.h"
#include "undisturbed.h"

#define MAX_THREADS 2
/* Fills the thread's own caches, before the clock starts. */
#define WARM_UP_PAIRS 20000u
/* A run in which the system took a CPU away from a thread is repeated, so often at most. */
#define ATTEMPTS 20

enum part { PAIRS, REPLACE, PRODUCE, CONSUME };

struct meeting {
	int expected, arrived;
};

struct worker {
	const struct contender *contender;
	struct meeting *gathering, *start;
	struct ring *ring;
	struct share *share;
	enum part part;
	int cpu;
	size_t count;
	double began, ended;
	long preempted; /* times that the system took the CPU away */
	pthread_t thread;
};

void pin(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	must(sched_setaffinity(0, sizeof(set), &set) == 0, "a CPU is not to be had");
}

/* Of this thread. One that sleeps of itself, waiting for a lock, is not counted. */
static long preemptions(void)
{
	struct rusage usage;
	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static void meet(struct meeting *meeting, bool yielding)
{
	__atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&meeting->arrived, __ATOMIC_ACQUIRE) < meeting->expected) {
		if (yielding)
			sched_yield();
		else
			ring_pause();
	}
}

static void start_together(const struct worker *worker)
{
	meet(worker->gathering, true);
	begin_undisturbed();
	meet(worker->start, false);
}

static void replace_all(const struct worker *worker, size_t passes)
{
	const struct share *share = worker->share;
	for (size_t pass = 0; pass < passes; pass++)
		worker->contender->loops->replace(share->held, share->steps, STEPS);
}

static void warm_up(const struct worker *worker)
{
	struct share *share = worker->share;
	if (!share) {
		worker->contender->loops->pairs(WARM_UP_PAIRS);
		return;
	}
	if (!share->held) {
		share->held = draw_held(share->choice, (uint64_t)worker->cpu);
		worker->contender->loops->fill(share->held, share->choice.live);
	}
	replace_all(worker, 1);
}

static void do_part(const struct worker *worker)
{
	const struct loops *loops = worker->contender->loops;
	switch (worker->part) {
	case PAIRS:
		loops->pairs(worker->count);
		break;
	case REPLACE:
		replace_all(worker, worker->count);
		break;
	case PRODUCE:
		loops->produce(worker->ring, worker->count);
		break;
	case CONSUME:
		loops->consume(worker->ring, worker->count);
		break;
	}
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	const struct contender *contender = worker->contender;
	pin(worker->cpu);
	if (contender->thread_begins)
		contender->thread_begins();
	warm_up(worker);
	start_together(worker);
	long before = preemptions();
	worker->began = now_ns();
	do_part(worker);
	worker->ended = now_ns();
	worker->preempted = preemptions() - before;
	end_undisturbed();
	if (contender->thread_ends)
		contender->thread_ends();
	return NULL;
}

static double run_once(struct worker *workers, int threads, bool *undisturbed)
{
	struct meeting gathering = { .expected = threads }, start = { .expected = threads };
	double began = 0, ended = 0;
	*undisturbed = true;
	for (int i = 0; i < threads; i++) {
		workers[i].gathering = &gathering;
		workers[i].start = &start;
		must(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0,
		     "no thread");
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		if (i == 0 || workers[i].began < began)
			began = workers[i].began;
		if (workers[i].ended > ended)
			ended = workers[i].ended;
		*undisturbed &= workers[i].preempted == 0;
	}
	return ended - began;
}

static double run(struct worker *workers, int threads)
{
	bool undisturbed = false;
	double ns = 0;
	for (int attempt = 0; attempt < ATTEMPTS && !undisturbed; attempt++) {
		if (workers[0].ring)
			*workers[0].ring = (struct ring){ .put = 0 };
		ns = run_once(workers, threads, &undisturbed);
	}
	return ns;
}

double time_pairs(const struct contender *contender, int cpu, int threads, size_t pairs)
{
	struct worker workers[MAX_THREADS];
	for (int i = 0; i < threads; i++)
		workers[i] = (struct worker){ .contender = contender,
					      .part = PAIRS,
					      .cpu = cpu + i,
					      .count = pairs };
	return run(workers, threads);
}

double time_replacing(const struct contender *contender, int cpu, int threads,
		      struct share *shares, size_t passes)
{
	struct worker workers[MAX_THREADS];
	for (int i = 0; i < threads; i++)
		workers[i] = (struct worker){ .contender = contender,
					      .part = REPLACE,
					      .share = &shares[i],
					      .cpu = cpu + i,
					      .count = passes };
	return run(workers, threads);
}

double time_hand_over(const struct contender *contender, size_t count)
{
	static struct ring ring;
	struct worker workers[MAX_THREADS] = {
		{ .contender = contender, .part = PRODUCE, .cpu = 0 },
		{ .contender = contender, .part = CONSUME, .cpu = 1 },
	};
	for (int i = 0; i < MAX_THREADS; i++) {
		workers[i].ring = &ring;
		workers[i].count = count;
	}
	return run(workers, MAX_THREADS);
}
