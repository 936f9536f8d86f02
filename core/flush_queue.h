/* SPDX-License-Identifier: MIT */
/*
 * flush_queue - frees held back until the IOTLB flush that follows their unmap.
 *
 * Whoever unmapped a range queues it and gets a ticket. Tickets rise by one over all CPUs.
 * A flush that began after ticket t was given out covers every ticket up to t; when it is
 * done, flush_queue_finish(t) says so, and slots with tickets up to the highest finished
 * one may be released (collected, and then freed by the caller).
 *
 * One ring a CPU, made at its first use, so that CPUs share nothing but the ticket
 * counter. A full ring is never written to: the put is refused and the caller must flush
 * first. (Linux stores all the same when a flush by another CPU is started but not
 * finished; the tail then meets the head and 255 ranges are lost.)
 *
 * Rings have a lock each, taken before any lock of a domain; no function here calls out
 * with it held.
 */
#ifndef IOVA_FLUSH_QUEUE_H
#define IOVA_FLUSH_QUEUE_H

#include "common.h"
#include "sync.h"

/* As Linux's: one slot tells full from empty. */
#define FLUSH_SLOTS 256u
#define FLUSH_USABLE (FLUSH_SLOTS - 1)

struct flush_slot {
	uint64_t pfn, size; /* size in page frames, as the owner of the range gave it */
	uint64_t ticket;
	uint64_t queued; /* ns */
};

struct flush_ring {
	struct mutex lock;
	uint32_t head, tail; /* next to release, next to fill */
	bool frozen;	     /* flush_queue_freeze() has the lock */
	struct flush_slot slot[FLUSH_SLOTS];
};

struct flush_queue {
	struct flush_ring **rings; /* atomic, as its members [cpu]; NULL: none has been made */
	uint32_t cpus;
	uint64_t issued;   /* highest ticket given out; 0: none */
	uint64_t finished; /* every ticket up to this was flushed */
	const struct iova_memory *memory;
};

/* Costs no memory. The table must outlive the queue. */
void flush_queue_init(struct flush_queue *queue, uint32_t cpus, const struct iova_memory *memory);
/* Drops what is queued. No other call may be running. NULL rings (never initialised) are fine. */
void flush_queue_fini(struct flush_queue *queue);

/*
 * Queue a range on a CPU's ring. IOVA_FLUSH_NEEDED: the ring is full, and flushed slots
 * must be collected, or a flush made, first; *ticket is the highest given out then.
 * IOVA_NO_MEMORY: the ring could not be made. Both change nothing.
 */
enum iova_status flush_queue_put(struct flush_queue *queue, uint32_t cpu, uint64_t pfn,
				 uint64_t size, uint64_t now, uint64_t *ticket);
/* A flush that began after `ticket` was given out is done. IOVA_INVALID: never given out, as 0. */
enum iova_status flush_queue_finish(struct flush_queue *queue, uint64_t ticket);
/*
 * Take up to `room` flushed slots off the head of a CPU's ring; how many. They are the
 * caller's to free.
 */
uint32_t flush_queue_collect(struct flush_queue *queue, uint32_t cpu, struct flush_slot *out,
			     uint32_t room);
/* Whether flush_queue_collect() would find something. */
bool flush_queue_is_ripe(struct flush_queue *queue, uint32_t cpu);
/* When the oldest range of a CPU's ring was queued, ns; IOVA_NEVER: the ring is empty. */
uint64_t flush_queue_oldest(struct flush_queue *queue, uint32_t cpu);
/* Ranges held back now. */
uint64_t flush_queue_length(struct flush_queue *queue);
/* Frames of them together. */
uint64_t flush_queue_pages(struct flush_queue *queue);

/* Around fork(): take the locks of all rings; let go of them, in parent or child. */
void flush_queue_freeze(struct flush_queue *queue);
void flush_queue_thaw(struct flush_queue *queue, bool in_child);

#endif
