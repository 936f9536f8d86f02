/* SPDX-License-Identifier: MIT */
#include "flush_queue.h"

/* ------------------------------------------------------------------ making and freeing */

void flush_queue_init(struct flush_queue *queue, uint32_t cpus, const struct iova_memory *memory)
{
	*queue = (struct flush_queue){ .cpus = cpus, .memory = memory };
}

static size_t heads_bytes(const struct flush_queue *queue)
{
	return queue->cpus * sizeof(struct flush_ring *);
}

static void ring_delete(struct flush_queue *queue, struct flush_ring *ring)
{
	memory_put(queue->memory, IOVA_MEMORY_CACHES, ring, sizeof(*ring));
}

void flush_queue_fini(struct flush_queue *queue)
{
	if (!queue->rings)
		return;
	for (uint32_t cpu = 0; cpu < queue->cpus; cpu++)
		if (queue->rings[cpu])
			ring_delete(queue, queue->rings[cpu]);
	memory_put(queue->memory, IOVA_MEMORY_CACHES, queue->rings, heads_bytes(queue));
	queue->rings = NULL;
}

static struct flush_ring *ring_of(struct flush_queue *queue, uint32_t cpu)
{
	assert_cheap(cpu < queue->cpus);
	struct flush_ring **rings = sync_load(&queue->rings);
	return rings ? sync_load(&rings[cpu]) : NULL;
}

/* Where the rings of all CPUs hang; NULL: no memory. */
static struct flush_ring **heads_make(struct flush_queue *queue)
{
	struct flush_ring **there = sync_load(&queue->rings), **rings;
	if (there)
		return there;
	rings = memory_get(queue->memory, IOVA_MEMORY_CACHES, heads_bytes(queue));
	if (!rings || sync_cas(&queue->rings, &there, rings))
		return rings;
	memory_put(queue->memory, IOVA_MEMORY_CACHES, rings, heads_bytes(queue));
	return there; /* another thread was first */
}

/* NULL: no memory. */
static struct flush_ring *ring_make(struct flush_queue *queue, uint32_t cpu)
{
	struct flush_ring **rings = heads_make(queue), *there = NULL;
	if (!rings)
		return NULL;
	struct flush_ring *ring = memory_get(queue->memory, IOVA_MEMORY_CACHES, sizeof(*ring));
	if (!ring)
		return NULL;
	ring->lock = (struct mutex){ 0 };
	ring->head = ring->tail = 0;
	ring->frozen = false;
	if (sync_cas(&rings[cpu], &there, ring))
		return ring;
	ring_delete(queue, ring); /* another thread was first */
	return there;
}

/* ------------------------------------------------------------------- a ring, lock held */

static uint32_t slot_after(uint32_t at)
{
	return (at + 1) % FLUSH_SLOTS;
}

static bool ring_is_empty(const struct flush_ring *ring)
{
	return ring->head == ring->tail;
}

static bool ring_is_full(const struct flush_ring *ring)
{
	return slot_after(ring->tail) == ring->head;
}

static uint64_t ring_length(const struct flush_ring *ring)
{
	return (ring->tail - ring->head) % FLUSH_SLOTS;
}

static void ring_push(struct flush_ring *ring, struct flush_slot slot)
{
	ring->slot[ring->tail] = slot;
	ring->tail = slot_after(ring->tail);
}

static struct flush_slot ring_pop(struct flush_ring *ring)
{
	struct flush_slot slot = ring->slot[ring->head];
	ring->head = slot_after(ring->head);
	return slot;
}

/* -------------------------------------------------------------------- putting, flushing */

enum iova_status flush_queue_put(struct flush_queue *queue, uint32_t cpu, uint64_t pfn,
				 uint64_t size, uint64_t now, uint64_t *ticket)
{
	struct flush_ring *ring = ring_of(queue, cpu);
	if (!ring)
		ring = ring_make(queue, cpu);
	if (!ring)
		return IOVA_NO_MEMORY;

	mutex_acquire(&ring->lock);
	bool full = ring_is_full(ring);
	if (full) {
		*ticket = sync_load(&queue->issued);
	} else {
		/* Under the lock, so that tickets rise along the ring. */
		*ticket = sync_add(&queue->issued, UINT64_C(1)) + 1;
		ring_push(ring, (struct flush_slot){ pfn, size, *ticket, now });
	}
	mutex_release(&ring->lock);
	return full ? IOVA_FLUSH_NEEDED : IOVA_OK;
}

enum iova_status flush_queue_finish(struct flush_queue *queue, uint64_t ticket)
{
	if (ticket == 0 || ticket > sync_load(&queue->issued))
		return IOVA_INVALID;
	uint64_t finished = sync_load(&queue->finished);
	while (finished < ticket && !sync_cas(&queue->finished, &finished, ticket))
		; /* another flush was done; it may have been a later one */
	return IOVA_OK;
}

/* The ring is locked. */
static bool head_is_flushed(const struct flush_queue *queue, const struct flush_ring *ring)
{
	return !ring_is_empty(ring) && ring->slot[ring->head].ticket <= sync_load(&queue->finished);
}

bool flush_queue_is_ripe(struct flush_queue *queue, uint32_t cpu)
{
	struct flush_ring *ring = ring_of(queue, cpu);
	if (!ring)
		return false;
	mutex_acquire(&ring->lock);
	bool ripe = head_is_flushed(queue, ring);
	mutex_release(&ring->lock);
	return ripe;
}

uint32_t flush_queue_collect(struct flush_queue *queue, uint32_t cpu, struct flush_slot *out,
			     uint32_t room)
{
	struct flush_ring *ring = ring_of(queue, cpu);
	uint32_t n = 0;
	if (!ring)
		return 0;
	mutex_acquire(&ring->lock);
	while (n < room && head_is_flushed(queue, ring))
		out[n++] = ring_pop(ring);
	mutex_release(&ring->lock);
	return n;
}

/* ------------------------------------------------------------------------------ looking */

uint64_t flush_queue_oldest(struct flush_queue *queue, uint32_t cpu)
{
	struct flush_ring *ring = ring_of(queue, cpu);
	if (!ring)
		return IOVA_NEVER;
	mutex_acquire(&ring->lock);
	uint64_t queued = ring_is_empty(ring) ? IOVA_NEVER : ring->slot[ring->head].queued;
	mutex_release(&ring->lock);
	return queued;
}

static uint64_t ring_pages(const struct flush_ring *ring)
{
	uint64_t sum = 0;
	for (uint32_t at = ring->head; at != ring->tail; at = slot_after(at))
		sum += ring->slot[at].size;
	return sum;
}

/* Each ring is measured under its lock. */
static uint64_t sum_over_rings(struct flush_queue *queue,
			       uint64_t (*measure)(const struct flush_ring *ring))
{
	uint64_t sum = 0;
	for (uint32_t cpu = 0; cpu < queue->cpus; cpu++) {
		struct flush_ring *ring = ring_of(queue, cpu);
		if (!ring)
			continue;
		mutex_acquire(&ring->lock);
		sum += measure(ring);
		mutex_release(&ring->lock);
	}
	return sum;
}

uint64_t flush_queue_length(struct flush_queue *queue)
{
	return sum_over_rings(queue, ring_length);
}

uint64_t flush_queue_pages(struct flush_queue *queue)
{
	return sum_over_rings(queue, ring_pages);
}

/* ---------------------------------------------------------------------------- fork */

void flush_queue_freeze(struct flush_queue *queue)
{
	for (uint32_t cpu = 0; cpu < queue->cpus; cpu++) {
		struct flush_ring *ring = ring_of(queue, cpu);
		if (!ring)
			continue;
		mutex_acquire(&ring->lock);
		ring->frozen = true;
	}
}

/* A ring that was made meanwhile was not frozen; in a child its maker is not there. */
void flush_queue_thaw(struct flush_queue *queue, bool in_child)
{
	for (uint32_t cpu = 0; cpu < queue->cpus; cpu++) {
		struct flush_ring *ring = ring_of(queue, cpu);
		if (!ring)
			continue;
		bool was_frozen = ring->frozen;
		ring->frozen = false;
		if (in_child)
			sync_store(&ring->lock.state, 0u);
		else if (was_frozen)
			mutex_release(&ring->lock);
	}
}
