/* SPDX-License-Identifier: MIT */
/* live_lock - a live domain's locks as the hooks of the domain inside it, and fork. */
#include "live_front.h"

/*
 * A cache is entered for the first time. Fork takes the locks of the caches in use only,
 * so that those of CPUs that never ran here stay untouched memory; no cache comes into use
 * meanwhile.
 */
static void use_first(struct iova_live *live, struct cpu_cache *cache)
{
	mutex_acquire(&live->first);
	sync_store(&cache->used, 1u);
	mutex_release(&live->first);
}

static void acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct iova_live *live = context;
	struct cpu_cache *cache;
	switch (lock) {
	case IOVA_LOCK_CPU:
		cache = cpu_cache_of(live->domain, cpu, size_class);
		if (unlikely(!sync_load(&cache->used)))
			use_first(live, cache);
		spin_acquire(&cache->lock);
		cache_enter(live, cache, cpu);
		break;
	case IOVA_LOCK_DEPOT:
		mutex_acquire(&live->domain->rcache[size_class].lock);
		break;
	case IOVA_LOCK_TREE:
		mutex_acquire(&live->domain->tree_lock);
		break;
	}
}

static void release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct iova_live *live = context;
	switch (lock) {
	case IOVA_LOCK_CPU:
		cache_release(live, cpu_cache_of(live->domain, cpu, size_class), cpu);
		break;
	case IOVA_LOCK_DEPOT:
		mutex_release(&live->domain->rcache[size_class].lock);
		break;
	case IOVA_LOCK_TREE:
		mutex_release(&live->domain->tree_lock);
		break;
	}
}

const struct iova_lock_hooks live_lock_hooks = { acquire, release, NULL };

/* ---------------------------------------------------------------------------- fork */

static void for_each_used_cache(struct iova_live *live, void (*visit)(struct spin_lock *lock))
{
	for (uint32_t cpu = 0; cpu < live->cpus; cpu++) {
		for (uint32_t k = 0; k < live->classes; k++) {
			struct cpu_cache *cache = cpu_cache_of(live->domain, cpu, k);
			if (sync_load(&cache->used))
				visit(&cache->lock);
		}
	}
}

void live_freeze(struct iova_live *live)
{
	struct iova_domain *domain = live->domain;
	/* A child must not see half of what a sequence did. */
	live_shut_fronts(live);
	mutex_acquire(&domain->drain_lock);
	mutex_acquire(&live->first);
	for_each_used_cache(live, spin_acquire);
	for (uint32_t k = 0; k < live->classes; k++)
		mutex_acquire(&domain->rcache[k].lock);
	mutex_acquire(&domain->tree_lock);
	flush_queue_freeze(&live->queue);
	spin_acquire(&live->kept.lock);
	mutex_acquire(&live->front_lock);
}

/* In a child nobody waits, and the sleepers of the parent are not there to be woken. */
static void let_go(struct mutex *mutex, bool in_child)
{
	if (in_child)
		sync_store(&mutex->state, 0u);
	else
		mutex_release(mutex);
}

/*
 * The background thread of the parent may have been about to note what is due next, which
 * nobody else would do again.
 */
static void note_what_is_due(struct iova_live *live)
{
	uint64_t earliest = IOVA_NEVER;
	for (uint32_t k = 0; k < live->classes; k++) {
		uint64_t due = iova_class_deadline(live->domain, k);
		earliest = due < earliest ? due : earliest;
	}
	sync_store(&live->domain->earliest, earliest);
	/* In the past: the next look finds out. */
	sync_store(&live->flush_due, live->on_flush ? 0 : IOVA_NEVER);
}

void live_thaw(struct iova_live *live, bool in_child)
{
	struct iova_domain *domain = live->domain;
	if (in_child && live->has_fronts)
		live->shutters = 1; /* live_freeze(); the others stayed in the parent */
	let_go(&live->front_lock, in_child);
	spin_release(&live->kept.lock);
	flush_queue_thaw(&live->queue, in_child);
	let_go(&domain->tree_lock, in_child);
	for (uint32_t k = live->classes; k-- > 0;)
		let_go(&domain->rcache[k].lock, in_child);
	for_each_used_cache(live, spin_release);
	let_go(&live->first, in_child);
	let_go(&domain->drain_lock, in_child);
	live_reopen_fronts(live);
	if (in_child)
		note_what_is_due(live);
}
