/* SPDX-License-Identifier: MIT */
/*
 * live - the inside of a live domain: a domain (domain.h) with locks, a clock, marks that
 * tell live ranges from free ones, and deferred frees.
 *
 * Theory of operation
 *
 * An allocation or free of a cached size runs on the cache of the CPU it happens on, under
 * that cache's own lock, or by a restartable sequence while nobody holds it (rseq.h), and
 * touches nothing that another CPU writes: live_fast.h. What
 * the top of the loaded magazine can not serve, and every request that is out of the
 * ordinary (a budget, an alignment of its own, a fixed address, a recorder), takes the full
 * path in live.c. Closing a domain, recording and budgets switch the short path off by a
 * longest size of zero frames, so that they cost it nothing.
 *
 * Locks, in the order in which they are taken:
 *   drain    ranges are in somebody's hand between the caches and the tree
 *   first    a CPU uses its cache for the first time (fork waits for these)
 *   CPU, depot, tree   as in domain.h
 *   ring     of the flush queue, see flush_queue.h
 *   places   none: reservations are changed under the tree lock
 *   front    whether sequences may run, see live_front.h; nothing is taken under it
 *
 * A thread can lose its CPU while it holds a lock. Waiting for a CPU's lock is bounded
 * spinning, then another CPU's cache (harmless: which cache serves is never a matter of
 * correctness), and only where a certain cache must be entered, sleeping.
 *
 * Marks. A checked domain keeps a byte for the first frame of every range it gave out
 * (range_map.h). Whoever changes a mark from live to free, by compare-and-swap, owns the
 * range from there on: so of two frees of one range one fails, whatever the timing and
 * wherever the range sits by then.
 */
#ifndef IOVA_LIVE_H
#define IOVA_LIVE_H

#include "domain.h"
#include "flush_queue.h"
#include "platform.h"
#include "range_map.h"
#include "rseq.h"

/* ---------------------------------------------------------------------------- marks */

/* The low bits of MARK_LIVE and MARK_DEFERRED are the size class ... */
#define MARK_CLASS 0x0fu
/* ... or this: no cached size, or not as a cached range must lie; the tree knows the size. */
#define MARK_EXACT 0x0fu
enum {
	MARK_NONE = 0,	  /* nothing was ever given out that starts here */
	MARK_FREE = 0x10, /* it was, and is free */
	MARK_LIVE = 0x20,
	MARK_DEFERRED = 0x40,
};

_Static_assert(IOVA_MAX_CLASSES < MARK_EXACT, "a mark holds every class");

/* Ranges that are emptied into the tree in one hold of its lock. */
#define LIVE_DRAIN_BATCH 16u

/* Frames that are never handed out, sorted; each is one range of the tree. */
struct reservations {
	struct iova_range *ranges;
	size_t count, room;
	uint64_t pages;	 /* of all, modulo 2^64 */
	uint64_t inside; /* of those within the windows */
};

/* A call, as a recorder sees it; sizes and places in frames, times as live_now(). */
struct live_event {
	enum live_op {
		/* size, limit, pfn; last is 1 if no cache served it; failed: status */
		LIVE_OP_ALLOC,
		LIVE_OP_FREE,	/* size, pfn; also a deferred one, when it is released */
		LIVE_OP_PLACE,	/* pfn..last, past the caches and Linux's search */
		LIVE_OP_REMOVE, /* pfn, past the caches */
		LIVE_OP_RESERVE, /* pfn..last */
		LIVE_OP_DEFER,	/* size, pfn */
		LIVE_OP_FLUSH_CACHES,
	} op;
	enum iova_status status;
	uint32_t cpu;
	uint64_t began, ended;
	uint64_t size, limit, pfn, last;
};

/* Sees every call, in any thread, several at a time, with no lock held. */
struct live_recorder {
	void (*record)(void *context, const struct live_event *event);
	void *context;
};

struct kept_magazine {
	struct kept_magazine *next;
};

/* Blocks of magazines, linked through themselves; count is read without the lock. */
struct kept_magazines {
	struct kept_magazine *first;
	size_t bytes; /* each: those of other sizes are not kept */
	uint32_t count;
	struct spin_lock lock;
};

struct iova_live {
	/* What the short path reads: one cache line. It never changes but for quick_frames. */
	uint64_t quick_frames; /* atomic: up to so many may take the short path; 0: none */
	struct cpu_cache *caches;
	uint64_t stride; /* bytes of one CPU's caches */
	uint64_t mask;	 /* granule - 1 */
	uint64_t last;	 /* highest address of the windows */
	uint64_t top;	 /* one above their highest frame */
	uint32_t cpus;
	uint32_t classes;
	uint8_t shift; /* log2 of the granule */
	bool checked;
	bool has_fixed; /* atomic: an unchecked domain keeps marks of fixed ranges */
	bool has_fronts; /* CPUs' caches are used by sequences too; see live_front.h */

	uint64_t sequence_frames; /* quick_frames, if it has fronts; else 0 */
	struct rseq_site site; /* its CPUs are those of the domain, or none */
	struct iova_domain *domain;
	struct range_map marks;

	/* The rest. */
	bool closed; /* atomic */
	bool fronts_shut;  /* atomic: no sequence is running, and none can */
	uint32_t shutters; /* who wants them shut */
	struct mutex front_lock; /* of these, and of the site */
	uint64_t budget, budgeted; /* budgeted is atomic */
	uint64_t flushes;	   /* atomic */
	bool (*on_flush)(void *context);
	void *context;
	struct flush_queue queue;
	uint64_t flush_due;  /* atomic; IOVA_NEVER: nothing waits for a flush */
	struct mutex first;
	struct reservations reserved; /* under the tree lock */
	const struct live_recorder *recorder; /* atomic; see live_set_recorder() */
	bool linux_exact; /* fail where Linux fails, also where there is room */
	bool clock_stopped;
	uint64_t stopped_at;
	struct reclaimer_member member;
	struct iova_memory memory, lender; /* see live_memory.c */
	uint64_t bytes;		   /* atomic */
	struct kept_magazines kept;
};

/* ------------------------------------------------------------------------- helpers */

static inline uint64_t live_now(const struct iova_live *live)
{
	return live->clock_stopped ? live->stopped_at : platform_now();
}

/* Frames of `size` bytes; 0 for 0. */
static inline uint64_t pages_of(const struct iova_live *live, uint64_t size)
{
	return (size >> live->shift) + ((size & live->mask) != 0);
}

static inline uint64_t began_now(const struct iova_live *live)
{
	return unlikely(sync_load(&live->recorder)) ? live_now(live) : 0;
}

static inline void record(const struct iova_live *live, struct live_event event)
{
	const struct live_recorder *recorder = sync_load(&live->recorder);
	if (likely(!recorder))
		return;
	event.ended = live_now(live);
	recorder->record(recorder->context, &event);
}

/* Something may be due then. Tests run what is due themselves. */
static inline void live_wake(const struct iova_live *live, uint64_t due)
{
	if (!live->linux_exact)
		reclaimer_wake(due);
}

static inline bool is_closed(const struct iova_live *live)
{
	return sync_load(&live->closed);
}

/* Frames that lie wholly at or below an address, within the windows. */
static inline uint64_t top_of(const struct iova_live *live, uint64_t limit)
{
	if (likely(limit >= live->last))
		return live->top;
	return (limit >> live->shift) + ((limit & live->mask) == live->mask);
}

/* ----------------------------------------------------------------------- live_open.c */

/*
 * linux_exact: for tests. Nothing is reserved above the windows, so that any limit can be
 * asked for, and requests fail wherever they fail in Linux.
 */
enum iova_status live_open(const struct iova_live_config *config, bool linux_exact,
			   struct iova_live **live);
/* Run what is due: the background thread's work, and the tests'. */
void live_run_due(struct iova_live *live, uint64_t now);
/* As iova_live_destroy(). False: the background thread frees it, and what it uses, later. */
bool live_destroy(struct iova_live *live);
uint64_t live_next_due(const struct iova_live *live);

/* --------------------------------------------------------------------- live_memory.c */

/* live->memory: from the lender, counted; linux_exact is set. */
void live_set_up_memory(struct iova_live *live, const struct iova_memory *lender);
/* Give the empty magazines that are kept back to the lender. */
void live_drop_kept(struct iova_live *live);

/* ----------------------------------------------------------------------- live_lock.c */

extern const struct iova_lock_hooks live_lock_hooks;
/* For fork. */
void live_freeze(struct iova_live *live);
void live_thaw(struct iova_live *live, bool in_child);

static inline void lock_tree(struct iova_live *live)
{
	mutex_acquire(&live->domain->tree_lock);
}

static inline void unlock_tree(struct iova_live *live)
{
	mutex_release(&live->domain->tree_lock);
}

/* ------------------------------------------------------------------------- live.c */

/* Whether the short path may be taken, after one of its conditions changed. */
void live_set_quick(struct iova_live *live);
/*
 * NULL: none. Calls that run in other threads may still go to the old one; it must stay
 * until the domain is destroyed.
 */
void live_set_recorder(struct iova_live *live, const struct live_recorder *recorder);

/* Empty every cache into the tree. */
void live_flush_all(struct iova_live *live);
/* What the short path leaves, on a CPU's cache; from cpus on: on that of the CPU this runs on. */
enum iova_status live_alloc_in_full(struct iova_live *live, uint32_t cpu, uint64_t size,
				    uint64_t limit, uint64_t align, uint64_t *address);
enum iova_status live_free_in_full(struct iova_live *live, uint32_t cpu, uint64_t address,
				   uint64_t size);
/*
 * Take a live range away from its owner: its mark becomes `to` (MARK_FREE or
 * MARK_DEFERRED with its class), *pages is its size and *size_class its class or
 * MARK_EXACT. Unchecked domains believe the caller.
 */
enum iova_status live_disown(struct iova_live *live, uint64_t address, uint64_t size, unsigned to,
			     uint64_t *pages, unsigned *size_class);
/* Give back a range whose mark says it is free. */
void live_put_back(struct iova_live *live, uint32_t cpu, uint64_t pfn, uint64_t pages,
		   unsigned size_class);
/*
 * The same for who has the drain lock, and wakes the background thread afterwards: a fork
 * takes that thread's lock first.
 */
void live_put_back_in_drain(struct iova_live *live, uint32_t cpu, uint64_t pfn, uint64_t pages,
			    unsigned size_class);
void live_budget_release(struct iova_live *live);
/* Counts one more live range against the budget. */
bool live_budget_take(struct iova_live *live);

/* ------------------------------------------------------------------- live_place.c */

void reservations_fini(struct iova_live *live);
bool reservations_hold(const struct reservations *reserved, uint64_t pfn,
		       struct iova_range *range);
/* Reserve every gap in lo..hi. The tree is locked, or nobody else knows the domain. */
enum iova_status reserve_gaps(struct iova_live *live, uint64_t lo, uint64_t hi);

/* ------------------------------------------------------------------- live_defer.c */

/* Flush what has waited too long, if on_flush can. */
void live_flush_old(struct iova_live *live, uint64_t now);
#endif
