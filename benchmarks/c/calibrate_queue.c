/* SPDX-License-Identifier: MIT */
/* Parts of deferred frees and of background work: a flush queue's entry, a job, a wake-up. */
#include <pthread.h>
#include <semaphore.h>

#include "calibrate.h"
#include "domain.h"
#include "flush_queue.h"

#define OPERATIONS_PER_WAKE_UP 256u

static struct flush_queue queue;

static void prepare_queue(size_t number)
{
	(void)number;
	if (!queue.memory)
		flush_queue_init(&queue, 1, iova_memory_heap());
}

enum { PUTTING, COLLECTING };

static double measure_queue(size_t which, size_t operations)
{
	static struct flush_slot slots[FLUSH_USABLE];
	double ns[2] = { 0, 0 }, clock = clock_alone();
	size_t fillings = operations / FLUSH_USABLE / 4 + 1;
	for (size_t done = 0; done < fillings; done++) {
		uint64_t ticket = 0;
		double began = now_ns();
		for (uint64_t i = 1; i <= FLUSH_USABLE; i++)
			must(flush_queue_put(&queue, 0, i, 1, done, &ticket) == IOVA_OK, "no room");
		double between = now_ns();
		must(flush_queue_finish(&queue, ticket) == IOVA_OK, "no such flush");
		must(flush_queue_collect(&queue, 0, slots, FLUSH_USABLE) == FLUSH_USABLE,
		     "slots are missing");
		ns[COLLECTING] += now_ns() - between - clock;
		ns[PUTTING] += between - began - clock;
	}
	return ns[which] / (double)(fillings * FLUSH_USABLE);
}

/* -------------------------------------------------------------------------------- jobs */

static struct iova_domain *domain;

static void prepare_job(size_t number)
{
	(void)number;
	struct iova_config config = { .granule = 4096,
				      .start_pfn = 1,
				      .cpus_possible = 2,
				      .cpus_online = 2,
				      .classes = IOVA_DEFAULT_CLASSES,
				      .design = iova_design_named("linux-6.12") };
	must(iova_create(&config, &domain) == IOVA_OK, "no domain");
	must(iova_make_caches(domain) == IOVA_OK, "no caches");
}

/* A job that finds nothing to do. */
static double measure_job(size_t number, size_t operations)
{
	(void)number;
	size_t runs = operations / 16 + 1;
	double began = now_ns();
	for (size_t i = 0; i < runs; i++)
		iova_run_class(domain, 0, i);
	return (now_ns() - began) / (double)runs;
}

static sem_t for_worker, for_owner;

static void *wake_owner(void *argument)
{
	const size_t *times = argument;
	for (size_t i = 0; i < *times; i++) {
		sem_wait(&for_worker);
		sem_post(&for_owner);
	}
	return NULL;
}

/* Two threads on one CPU wake each other: the one that wakes goes to sleep itself. */
static double measure_wake_up(size_t number, size_t operations)
{
	(void)number;
	pthread_t worker;
	size_t times = operations / OPERATIONS_PER_WAKE_UP + 1;
	must(sem_init(&for_worker, 0, 0) == 0 && sem_init(&for_owner, 0, 0) == 0, "no semaphore");
	must(pthread_create(&worker, NULL, wake_owner, &times) == 0, "no thread");
	double began = now_ns();
	for (size_t i = 0; i < times; i++) {
		sem_post(&for_worker);
		sem_wait(&for_owner);
	}
	double ns = now_ns() - began;
	pthread_join(worker, NULL);
	return ns / (double)(2 * times);
}

struct parts parts_of_queues(void)
{
	static const struct part parts[] = {
		{ "queue put", prepare_queue, measure_queue, PUTTING },
		{ "queue collect", prepare_queue, measure_queue, COLLECTING },
		{ "job", prepare_job, measure_job, 0 },
		{ "wake-up", NULL, measure_wake_up, 0 },
	};
	return (struct parts){ parts, COUNT_OF_ARRAY(parts) };
}
