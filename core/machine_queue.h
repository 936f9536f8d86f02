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
	uint64_t what; /* kind in the upper half, number in the lower */
	uint64_t time; /* ps */
};

struct event_queue {
	struct event *heap; /* from index 0; children of i at 4 i + 1 .. 4 i + 4 */
	size_t count, capacity;
};

/* Events before the first so that brothers share a cache line, if the table is aligned to it. */
#define QUEUE_OFFSET 3u

__extension__ typedef unsigned __int128 event_key;

/* One number that orders events: it is compared without a branch. */
static inline event_key key_of(struct event event)
{
	return (event_key)event.time << 64 | event.what;
}

/* There is room: the machine makes it for all that can be pending at a time. */
static inline void queue_push(struct event_queue *queue, uint64_t time, uint64_t what)
{
	struct event new = { what, time };
	size_t i = queue->count++;
	assert_cheap(queue->count <= queue->capacity);
	while (i > 0) {
		size_t parent = (i - 1) / 4;
		if (key_of(queue->heap[parent]) <= key_of(new))
			break;
		queue->heap[i] = queue->heap[parent];
		i = parent;
	}
	queue->heap[i] = new;
}

static inline size_t lesser(const struct event *heap, size_t a, size_t b)
{
	return key_of(heap[b]) < key_of(heap[a]) ? b : a;
}

static inline size_t least_child(const struct event_queue *queue, size_t first)
{
	const struct event *heap = queue->heap;
	if (likely(first + 4 <= queue->count))
		return lesser(heap, lesser(heap, first, first + 1),
			      lesser(heap, first + 2, first + 3));
	size_t least = first;
	for (size_t child = first + 1; child < queue->count; child++)
		least = lesser(heap, least, child);
	return least;
}

/* The earliest. There is one. */
static inline struct event queue_pop(struct event_queue *queue)
{
	struct event *heap = queue->heap;
	struct event top = heap[0], last = heap[--queue->count];
	size_t i = 0, child;
	/* Down to a leaf and up again: what was last seldom belongs higher. */
	for (; (child = 4 * i + 1) < queue->count; i = child) {
		child = least_child(queue, child);
		heap[i] = heap[child];
	}
	while (i > 0 && key_of(last) < key_of(heap[(i - 1) / 4])) {
		heap[i] = heap[(i - 1) / 4];
		i = (i - 1) / 4;
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
