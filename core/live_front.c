/* SPDX-License-Identifier: MIT */
/* live_front - closing fronts, one by one and all at once; live_front.h and rseq.h tell why. */
#include "live_front.h"

#if IOVA_HAS_RSEQ

/* Under front_lock. */
static void set_site(struct iova_live *live)
{
	bool open = live->has_fronts && live->shutters == 0;
	sync_store(&live->site.cpus, open ? live->cpus : 0u);
}

/*
 * Reading the own CPU after taking the lock proves that no other thread is inside a sequence
 * of that CPU and will go on with it: it would have to run there at this moment.
 */
static bool has_no_sequence(const struct iova_live *live, uint32_t cpu)
{
	return rseq_cpu(&live->site) == cpu || sync_load(&live->fronts_shut);
}

void front_close(struct iova_live *live, struct cpu_cache *cache, uint32_t cpu)
{
	if (unlikely(!has_no_sequence(live, cpu)))
		rseq_abort_on(cpu);
	front_write_back(cache, sync_load(&cache->front));
	sync_store(&cache->front, FRONT_CLOSED);
}

void live_shut_fronts(struct iova_live *live)
{
	if (!live->has_fronts)
		return;
	mutex_acquire(&live->front_lock);
	if (live->shutters++ == 0) {
		set_site(live);
		rseq_abort_on(RSEQ_ALL_CPUS);
		sync_store(&live->fronts_shut, true);
	}
	mutex_release(&live->front_lock);
}

void live_reopen_fronts(struct iova_live *live)
{
	if (!live->has_fronts)
		return;
	mutex_acquire(&live->front_lock);
	if (--live->shutters == 0) {
		/* In this order: who saw them shut holds a lock that sequences look at. */
		sync_store(&live->fronts_shut, false);
		set_site(live);
	}
	mutex_release(&live->front_lock);
}

static void close_all(struct iova_live *live)
{
	for (uint32_t cpu = 0; cpu < live->cpus; cpu++) {
		for (uint32_t k = 0; k < live->classes; k++) {
			struct cpu_cache *cache = cpu_cache_of(live->domain, cpu, k);
			if (!sync_load(&cache->used))
				continue;
			spin_acquire(&cache->lock);
			cache_enter(live, cache, cpu);
			spin_release(&cache->lock);
		}
	}
}

void live_use_fronts(struct iova_live *live, bool use)
{
	/* Without fronts none is open, and caches that were never used stay untouched. */
	if (live->has_fronts) {
		live_shut_fronts(live);
		close_all(live);
		live_reopen_fronts(live);
	}
	live->site.row_bytes = (uint32_t)live->stride;
	live->has_fronts = use && live->cpus >= platform_cpus() &&
			   rseq_is_there(&live->site.area);
	set_site(live);
	live_set_quick(live);
}

#else
/* A translation unit holds something. */
extern const int live_front_is_not_built;
#endif
