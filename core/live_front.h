/* SPDX-License-Identifier: MIT */
/*
 * live_front - who may use a CPU's cache when: by a restartable sequence while its front is
 * open (rseq.h), by anybody who holds its lock and has closed the front.
 *
 * A domain has fronts where sequences are built in, the system can abort them, and every
 * CPU has a cache of its own; else these are the plain lock. Threads that the C library
 * has not registered may use the same domain at the same time: to them every CPU is
 * another thread's.
 */
#ifndef IOVA_LIVE_FRONT_H
#define IOVA_LIVE_FRONT_H

#include "live.h"

#if IOVA_HAS_RSEQ

/* Have fronts if that can be (IOVA_HAS_RSEQ), or have none. No other call is running. */
void live_use_fronts(struct iova_live *live, bool use);
/* The front is open: see to it that no sequence runs, and write back what it counted. */
void front_close(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu);

/*
 * Between the two no sequence of the domain runs, and closing a front costs no barrier:
 * one barrier for a visit of many CPUs, and for a fork. They nest and may overlap.
 */
void live_shut_fronts(struct iova_live *live);
void live_reopen_fronts(struct iova_live *live);

/* The CPU's lock was just taken. */
static inline void cache_enter(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	if (sync_load(&cache->front) != FRONT_CLOSED)
		front_close(live, cache, cpu);
}

/* The CPU's lock is let go next. Sequences may go on if this is their CPU. */
static inline void cache_leave(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	if (live->has_fronts && cache->loaded && rseq_cpu(&live->site) == cpu)
		sync_store(&cache->front, front_of(cache->loaded));
}

#else

static inline void live_use_fronts(struct iova_live *live, bool use)
{
	(void)live, (void)use;
}

static inline void live_shut_fronts(struct iova_live *live)
{
	(void)live;
}

static inline void live_reopen_fronts(struct iova_live *live)
{
	(void)live;
}

static inline void cache_enter(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	(void)live, (void)cache, (void)cpu;
}

static inline void cache_leave(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	(void)live, (void)cache, (void)cpu;
}

#endif

/* Whether domains can have fronts here and now. */
static inline bool live_can_have_fronts(void)
{
#if IOVA_HAS_RSEQ
	ptrdiff_t area;
	return rseq_is_there(&area);
#else
	return false;
#endif
}

/* As the sequences see it. */
static inline uint32_t cpu_of_caller(const struct iova_live *live)
{
#if IOVA_HAS_RSEQ
	if (live->has_fronts)
		return rseq_cpu(&live->site);
#endif
	(void)live;
	return platform_cpu_quick();
}

static inline bool cache_try(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	if (!spin_try(&cache->lock))
		return false;
	cache_enter(live, cache, cpu);
	return true;
}

static inline void cache_release(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	cache_leave(live, cache, cpu);
	spin_release(&cache->lock);
}

#endif
