/* SPDX-License-Identifier: MIT */
/*
 * ring - a queue of one producer and one consumer: Lamport's, with each side's last sight
 * of the other's index kept on its own cache line, so that the other's line is fetched only
 * when the ring looks full or empty.
 */
#ifndef LIVE_RING_H
#define LIVE_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_SLOTS 1024u

struct ring {
	_Alignas(64) size_t put; /* written by the producer */
	size_t got_seen;
	_Alignas(64) size_t got; /* written by the consumer */
	size_t put_seen;
	_Alignas(64) uint64_t slots[RING_SLOTS];
};

static inline void ring_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

/* Waits while the ring is full. */
static inline void ring_put(struct ring *ring, uint64_t value)
{
	size_t put = ring->put;
	while (put - ring->got_seen == RING_SLOTS) {
		ring->got_seen = __atomic_load_n(&ring->got, __ATOMIC_ACQUIRE);
		if (put - ring->got_seen == RING_SLOTS)
			ring_pause();
	}
	ring->slots[put % RING_SLOTS] = value;
	__atomic_store_n(&ring->put, put + 1, __ATOMIC_RELEASE);
}

/* Waits while the ring is empty. */
static inline uint64_t ring_get(struct ring *ring)
{
	size_t got = ring->got;
	while (got == ring->put_seen) {
		ring->put_seen = __atomic_load_n(&ring->put, __ATOMIC_ACQUIRE);
		if (got == ring->put_seen)
			ring_pause();
	}
	uint64_t value = ring->slots[got % RING_SLOTS];
	__atomic_store_n(&ring->got, got + 1, __ATOMIC_RELEASE);
	return value;
}

#endif
