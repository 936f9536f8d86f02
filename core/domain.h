/* SPDX-License-Identifier: MIT */
/*
 * The inside of a domain, shared by rcache, domain and replay.
 *
 * Locks (SEMANTICS of the concurrent use, taken in this order): one per CPU and class
 * for the two magazines, one per class for the depot, one for the tree. A magazine that
 * is taken out of a cache or depot belongs to whoever took it and needs no lock. The tree
 * lock is innermost; emptying a magazine holds it for the whole magazine, or, in a live
 * domain, for drain_batch entries at a time.
 *
 * What several threads touch outside those locks is atomic (sync.h): the online set, what
 * is due when, gauges of magazines, failures and warnings.
 */
#ifndef IOVA_DOMAIN_H
#define IOVA_DOMAIN_H

#include "depot.h"
#include "range_tree.h"
#include "sync.h"

/* One CPU's cache of one class: one cache line, written by that CPU only. */
struct cpu_cache {
	/* NULL: none has been made. loaded is looked at without the lock, to see just that. */
	struct magazine *loaded, *previous;
	uint64_t hits_loaded, hits_previous, hits_depot;
	uint64_t puts;
	struct spin_lock lock; /* live domains */
	uint32_t used;	       /* live domains: it was locked once; see live_lock.c */
	uint64_t front;	       /* live domains: what sequences change; see rseq.h */
};

_Static_assert(sizeof(struct cpu_cache) == 64, "a CPU's cache is one cache line");

/* The delayed job of one class. */
struct job {
	uint64_t due;	/* IOVA_NEVER: not armed */
	uint64_t order; /* of arming: ties run in this order */
};

struct rcache {
	struct depot depot;
	struct mutex lock; /* of the depot, in live domains */
	bool no_pops;	   /* caches are being flushed; under the depot's lock */
	uint32_t capacity; /* of magazines made from now on; set by the job */
	struct job job;
	void *policy_state, *cpu_state;
	uint64_t magazines_allocated, magazines_freed;
	uint64_t pushed, popped, reclaimed, trimmed;
	uint64_t armed, found_armed, runs;
};

/* Written under the tree lock, but for failures, which are counted after it is let go. */
struct tree_counters {
	uint64_t allocations, frees, steps, failures;
};

struct iova_domain {
	struct cpu_cache *caches; /* [cpu][class]; NULL: not made */
	uint32_t classes;
	uint32_t cpus_possible, cpus_online;
	bool has_locks;
	struct iova_lock_hooks locks;
	struct iova_mechanism mechanism;
	const struct iova_design *design;
	uint64_t params[IOVA_MAX_PARAMS];
	struct range_tree tree;
	struct tree_counters tree_counters[IOVA_MAX_CLASSES + 1];
	struct rcache rcache[IOVA_MAX_CLASSES];
	/*
	 * Holds of the tree lock that empty a magazine remove so many ranges each, and a CPU's
	 * lock is not held meanwhile; 0: as Linux, all in one hold.
	 */
	uint32_t drain_batch;
	bool live; /* used by many threads through live.h */
	struct mutex tree_lock;
	/* Taken first: whoever has ranges in the hand, of neither cache nor tree. */
	struct mutex drain_lock;
	uint64_t armings;  /* jobs armed, ever: the next arming's place in line */
	uint64_t earliest; /* due time of the next job; IOVA_NEVER: none is armed */
	uint64_t runs;
	uint64_t warnings;
	uint64_t magazines, magazines_peak, magazine_bytes;
	uint64_t reserve_max; /* highest pfn a reservation may name */
	uint64_t *online;     /* bit set */
	uint32_t *trim;	      /* room for a decision's CPU numbers */
	struct iova_memory memory;
};

/* ----------------------------------------------------------------------- locking */

static inline void lock(const struct iova_domain *domain, enum iova_lock lock, uint32_t cpu,
			uint32_t size_class)
{
	if (unlikely(domain->has_locks))
		domain->locks.acquire(domain->locks.context, lock, cpu, size_class);
}

static inline void unlock(const struct iova_domain *domain, enum iova_lock lock, uint32_t cpu,
			  uint32_t size_class)
{
	if (unlikely(domain->has_locks))
		domain->locks.release(domain->locks.context, lock, cpu, size_class);
}

/* Ranges are about to be in this thread's hand on their way from caches to the tree. */
static inline void begin_drain(struct iova_domain *domain)
{
	if (domain->live)
		mutex_acquire(&domain->drain_lock);
}

static inline void end_drain(struct iova_domain *domain)
{
	if (domain->live)
		mutex_release(&domain->drain_lock);
}

/* A counter that several threads may raise at a time, if there are several. */
static inline void count_shared(const struct iova_domain *domain, uint64_t *counter, uint64_t n)
{
	if (domain->has_locks)
		count_add(counter, n);
	else
		*counter += n;
}

/* -------------------------------------------------------------------------- parts */

static inline struct cpu_cache *cpu_cache_of(const struct iova_domain *domain, uint32_t cpu,
					     uint32_t size_class)
{
	return &domain->caches[(size_t)cpu * domain->classes + size_class];
}

/* Under the CPU's lock, or with nobody else about. */
static inline void set_loaded(struct cpu_cache *cache, struct magazine *magazine)
{
	__atomic_store_n(&cache->loaded, magazine, __ATOMIC_RELAXED);
}

static inline bool cpu_is_online(const struct iova_domain *domain, uint32_t cpu)
{
	return peek(&domain->online[cpu / 64]) >> (cpu % 64) & 1;
}

/* Which counters a range of this many frames goes to. */
static inline uint32_t counters_of(const struct iova_domain *domain, uint64_t size)
{
	unsigned order = order_of(size);
	return order < domain->classes ? order : IOVA_BEYOND_CLASSES;
}

struct magazine *magazine_new(struct iova_domain *domain, uint32_t size_class);
/* NULL is ignored. */
void magazine_delete(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine);
/* Give every entry, bottom to top, back to the tree. The caller owns the magazine. */
void magazine_drain(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine);

/* ------------------------------------------------------------------------- rcache */

enum iova_status rcache_make(struct iova_domain *domain);
void rcache_destroy(struct iova_domain *domain);
/*
 * Take a range of the class whose pfn is at most cap from the CPU's cache or the depot.
 * True: *pfn was taken out of a cache. rcache_fast.h has the shortest way inlined.
 */
bool rcache_get(struct iova_domain *domain, uint32_t cpu, uint32_t size_class, uint64_t cap,
		uint64_t *pfn);
/* Put a range into the CPU's cache. False: not cached, and nothing has changed. */
bool rcache_put(struct iova_domain *domain, uint32_t cpu, uint32_t size_class, uint64_t pfn,
		uint64_t now);
/*
 * The CPU's lock is held; its loaded magazine has nothing. One with entries takes its place;
 * the counter of the hit that comes first. NULL: there is none.
 */
uint64_t *rcache_refill(struct iova_domain *domain, uint32_t cpu, uint32_t size_class);
/*
 * The CPU's lock is held; its loaded magazine has no room. One with room takes its place.
 * *surplus: the caller is to empty and delete it. False: no memory, nothing has changed.
 */
bool rcache_make_room(struct iova_domain *domain, uint32_t cpu, uint32_t size_class, uint64_t now,
		      struct magazine **surplus);
void rcache_drain_cpu(struct iova_domain *domain, uint32_t cpu);
void rcache_drain_depots(struct iova_domain *domain);
/*
 * Live domains. While caches are flushed no CPU takes from a depot: what was free all the
 * time could get behind the sweep, to a CPU that was visited.
 */
void rcache_stop_pops(struct iova_domain *domain, bool stop);
/* Give a CPU's magazines of one class back: full to the depot, partial to the tree. */
void rcache_trim_cpu(struct iova_domain *domain, uint32_t size_class, uint32_t cpu);

/* ------------------------------------------------------------------------ the tree */

/* tree_alloc() under its lock, counted; failures are not. */
enum iova_status alloc_counted(struct iova_domain *domain, uint64_t size, uint64_t limit,
			       bool align, struct iova_range *result);
void count_failure(struct iova_domain *domain, uint64_t size);

/* --------------------------------------------------------------------------- jobs */

/* A push arms the class' job, unless it is armed. Called under the depot's lock. */
void job_arm_by_push(struct iova_domain *domain, uint32_t size_class, uint64_t now);
/* The same for a magazine that was made for a CPU; no lock but the CPU's is held. */
void job_arm_by_growth(struct iova_domain *domain, uint32_t size_class, uint64_t now);
/* Pop the magazine a reclaim empties next, if more than keep are there; else NULL. */
struct magazine *job_take(struct iova_domain *domain, uint32_t size_class, uint64_t keep);
/* Look for the next deadline anew; while a job runs it may stand at "never". */
void job_find_earliest(struct iova_domain *domain);
void job_finish(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine);

#endif
