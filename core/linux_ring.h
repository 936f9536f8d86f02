/* SPDX-License-Identifier: MIT */
/*
 * linux_ring - one ring of Linux's flush queue, with its rule of what is stored when.
 *
 * An entry carries the number of flushes started when it was queued. It may be released
 * once more flushes than that have finished. One slot tells full from empty; an entry that
 * is stored into a full ring moves the tail onto the head, so the ring then reads as empty and
 * everything in it is lost. flush_queue.h has our own rule, which refuses the entry instead.
 */
#ifndef IOVA_LINUX_RING_H
#define IOVA_LINUX_RING_H

#include "common.h"

#define LINUX_RING_SLOTS 256u
#define LINUX_SINGLE_RING_SLOTS 32768u
#define LINUX_RING_DELAY_NS UINT64_C(10000000)
#define LINUX_SINGLE_RING_DELAY_NS UINT64_C(1000000000)

struct ring_entry {
	uint64_t pfn, size, started; /* size as the one who frees it says */
	uint64_t pages; /* that it was allocated with */
	uint32_t slot; /* of the event table */
	uint16_t cpu;  /* that allocated it */
};

struct linux_ring {
	struct ring_entry *entries;
	uint32_t head, tail; /* next to release, next to fill */
	uint32_t slots;	     /* a power of two */
};

static inline bool ring_is_full(const struct linux_ring *ring)
{
	return ((ring->tail + 1) & (ring->slots - 1)) == ring->head;
}

static inline uint32_t ring_length(const struct linux_ring *ring)
{
	return (ring->tail - ring->head) & (ring->slots - 1);
}

/* Whether the oldest entry may be released. */
static inline bool ring_is_ripe(const struct linux_ring *ring, uint64_t finished)
{
	return ring->head != ring->tail && ring->entries[ring->head].started < finished;
}

/* The oldest entry, taken out. There is one. */
static inline struct ring_entry ring_take(struct linux_ring *ring)
{
	struct ring_entry entry = ring->entries[ring->head];
	ring->head = (ring->head + 1) & (ring->slots - 1);
	return entry;
}

/* How many entries, the new one included, were lost by storing it: none, or all slots. */
static inline uint32_t ring_store(struct linux_ring *ring, struct ring_entry entry)
{
	ring->entries[ring->tail] = entry;
	ring->tail = (ring->tail + 1) & (ring->slots - 1);
	return ring->tail == ring->head ? ring->slots : 0;
}

#endif
