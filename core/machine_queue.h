/* SPDX-License-Identifier: MIT */
/*
 * machine_queue - what will happen, earliest first.
 *
 * A heap of four children a node: half the levels of a binary one, and the four lie in one
 * cache line. Ties are broken by what happens, so that the order depends on nothing else.
 */
#ifndef IOVA_MACHINE_QUEUE_H
#define IOVA_MACHINE_QUEUE_H

#include "common.h"

struct event {
	uint64_t time; /* ps */
	uint64_t what; /* kind in the upper half, number in the lower */
};

struct event_queue {
	struct event *heap; /* from index 0; children of i at 4 i + 1 .. 4 i + 4 */
	size_t count, capacity;
};

static inline bool event_is_before(struct event a, struct event b)
{
	return a.time < b.time || (a.time == b.time && a.what < b.what);
}

/* There is room: the machine makes it for all that can be pending at a time. */
static inline void queue_push(struct event_queue *queue, uint64_t time, uint64_t what)
{
	struct event new = { time, what };
	size_t i = queue->count++;
	assert_cheap(queue->count <= queue->capacity);
	while (i > 0) {
		size_t parent = (i - 1) / 4;
		if (!event_is_before(new, queue->heap[parent]))
			break;
		queue->heap[i] = queue->heap[parent];
		i = parent;
	}
	queue->heap[i] = new;
}

static inline size_t queue_least_child(const struct event_queue *queue, size_t first)
{
	const struct event *heap = queue->heap;
	size_t least = first;
	size_t end = first + 4 < queue->count ? first + 4 : queue->count;
	for (size_t child = first + 1; child < end; child++)
		if (event_is_before(heap[child], heap[least]))
			least = child;
	return least;
}

/* The earliest. There is one. */
static inline struct event queue_pop(struct event_queue *queue)
{
	struct event *heap = queue->heap;
	struct event top = heap[0], last = heap[--queue->count];
	size_t i = 0;
	for (size_t child; (child = 4 * i + 1) < queue->count; i = child) {
		child = queue_least_child(queue, child);
		if (!event_is_before(heap[child], last))
			break;
		heap[i] = heap[child];
	}
	heap[i] = last;
	return top;
}

/* When the next one is; UINT64_MAX: there is none. */
static inline uint64_t queue_next(const struct event_queue *queue)
{
	return queue->count ? queue->heap[0].time : UINT64_MAX;
}

#endif
