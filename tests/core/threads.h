/* SPDX-License-Identifier: MIT */
/*
 * threads - what tests with real threads share: two threads at once, a memory table that
 * both may use, and a way to bring both to the same allocation, so that a race for who
 * puts something in place happens every time and not by luck.
 */
#ifndef THREADS_H
#define THREADS_H

/* Include this first: the C standard alone has no barriers. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "support.h"

#define THREADS 2u

/* This thread's next allocation waits until all threads are at theirs. NULL: it does not. */
static _Thread_local pthread_barrier_t *meet_at_allocation;

/* test_memory behind a lock. */
struct shared_memory {
	struct iova_memory table;
	struct test_memory memory;
	pthread_mutex_t lock;
};

static inline void *shared_allocate(void *context, enum iova_memory_kind kind, size_t size,
				    size_t alignment)
{
	struct shared_memory *shared = context;
	pthread_barrier_t *meeting = meet_at_allocation;
	meet_at_allocation = NULL;
	if (meeting)
		pthread_barrier_wait(meeting);
	pthread_mutex_lock(&shared->lock);
	const struct iova_memory *table = &shared->memory.table;
	void *block = table->allocate(table->context, kind, size, alignment);
	pthread_mutex_unlock(&shared->lock);
	return block;
}

static inline void shared_release(void *context, enum iova_memory_kind kind, void *block,
				  size_t size)
{
	struct shared_memory *shared = context;
	pthread_mutex_lock(&shared->lock);
	const struct iova_memory *table = &shared->memory.table;
	table->release(table->context, kind, block, size);
	pthread_mutex_unlock(&shared->lock);
}

static inline void shared_memory_init(struct shared_memory *shared)
{
	test_memory_init(&shared->memory);
	shared->table =
		(struct iova_memory){ shared_allocate, shared_release, NULL, shared };
	CHECK_EQ(pthread_mutex_init(&shared->lock, NULL), 0);
}

/* And nothing is left in it. */
static inline void shared_memory_fini(struct shared_memory *shared)
{
	CHECK_EQ(test_memory_held(&shared->memory), 0);
	CHECK_EQ(pthread_mutex_destroy(&shared->lock), 0);
}

/* Run body(context, 0) and body(context, 1) at once, and wait for both. */
struct thread_start {
	void (*body)(void *context, unsigned number);
	void *context;
	unsigned number;
};

static inline void *thread_main(void *argument)
{
	const struct thread_start *start = argument;
	start->body(start->context, start->number);
	return NULL;
}

static inline void run_threads(void (*body)(void *context, unsigned number), void *context)
{
	pthread_t thread[THREADS];
	struct thread_start start[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		start[i] = (struct thread_start){ body, context, i };
		CHECK_EQ(pthread_create(&thread[i], NULL, thread_main, &start[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
}

#endif
