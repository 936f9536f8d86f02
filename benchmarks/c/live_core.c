/* SPDX-License-Identifier: MIT */
/*
 * The core itself under locks as a kernel has them, first come, first served: who waits
 * spins. Threads are pinned, so that the CPU whose caches they use is theirs.
 */
#define _GNU_SOURCE
#include <sched.h>

#include "bench.h"
#include "domain.h"
#include "live_loops.h"

#define CPUS 2
#define LIMIT UINT64_C(0xfffffffff)

struct ticket_lock {
	_Alignas(64) uint32_t next;
	uint32_t serving;
};

static struct iova_domain *domains[WORKLOADS];
static struct ticket_lock cpu_locks[CPUS][IOVA_DEFAULT_CLASSES];
static struct ticket_lock depot_locks[IOVA_DEFAULT_CLASSES];
static struct ticket_lock tree_lock;
/* Of the workload that runs. */
static struct iova_domain *domain;
static _Thread_local uint32_t own_cpu;

/* --------------------------------------------------------------------------- locks */

static struct ticket_lock *lock_of(enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	if (lock == IOVA_LOCK_CPU)
		return &cpu_locks[cpu][size_class];
	return lock == IOVA_LOCK_DEPOT ? &depot_locks[size_class] : &tree_lock;
}

static void acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct ticket_lock *taken = lock_of(lock, cpu, size_class);
	uint32_t ticket = __atomic_fetch_add(&taken->next, 1u, __ATOMIC_ACQUIRE);
	(void)context;
	while (__atomic_load_n(&taken->serving, __ATOMIC_ACQUIRE) != ticket)
		ring_pause();
}

static void release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct ticket_lock *held = lock_of(lock, cpu, size_class);
	(void)context;
	__atomic_store_n(&held->serving, held->serving + 1, __ATOMIC_RELEASE);
}

/* --------------------------------------------------------------------------- calls */

static inline uint64_t take(unsigned order)
{
	uint64_t pfn = iova_alloc(domain, own_cpu, UINT64_C(1) << order, LIMIT, false);
	if (!pfn)
		abort();
	return pfn;
}

static inline void give(uint64_t pfn, unsigned order)
{
	iova_free(domain, own_cpu, pfn, UINT64_C(1) << order, 0);
}

DEFINE_LIVE_LOOPS(core, take, give);

static void enter(const struct contender *contender, enum workload workload)
{
	struct iova_lock_hooks hooks = { acquire, release, NULL };
	struct iova_config config = { .granule = 4096,
				      .start_pfn = 1,
				      .cpus_possible = CPUS,
				      .cpus_online = CPUS,
				      .classes = IOVA_DEFAULT_CLASSES,
				      .design = iova_design_named("linux-7.3"),
				      .locks = &hooks };
	(void)contender;
	if (!domains[workload]) {
		must(iova_create(&config, &domains[workload]) == IOVA_OK, "no domain");
		must(iova_make_caches(domains[workload]) == IOVA_OK, "no caches");
	}
	domain = domains[workload];
}

static void thread_begins(void)
{
	int cpu = sched_getcpu();
	must(cpu >= 0 && cpu < CPUS, "a thread is not where it should be");
	own_cpu = (uint32_t)cpu;
}

size_t core_contenders(struct contender *to)
{
	*to = (struct contender){ "the core under ticket locks", &core_loops, 0, ALL_WORKLOADS,
				  enter, thread_begins, NULL };
	return 1;
}
