/* SPDX-License-Identifier: MIT */
/*
 * An order-0 allocation or free that hits the loaded magazine, in nanoseconds: inlined as
 * the replayer does it, and behind a call into the shared library; beside DPDK's mempool
 * and an uncontended atomic addition.
 *
 * usage: bench_cache LIBIOVA_SO ROUNDS OPERATIONS
 */
#include <dlfcn.h>
#include <string.h>

#include "bench.h"
#include "cache.h"
#include "rcache_fast.h"

#define LIMIT UINT64_C(0xfffffffff)
#define VICTIMS 65536u

static uint32_t cpu = 0;
static uint64_t size = 1, limit = LIMIT, now = 0;

/* The arguments are what a caller has at run time, no constants of the benchmark. */
static void hide_arguments(void)
{
	OPAQUE(cpu);
	OPAQUE(size);
	OPAQUE(limit);
	OPAQUE(now);
}

static struct iova_config config_of(const struct iova_design *design)
{
	return (struct iova_config){ .granule = 4096,
				     .start_pfn = 1,
				     .cpus_possible = 2,
				     .cpus_online = 2,
				     .classes = IOVA_DEFAULT_CLASSES,
				     .design = design };
}

/* ------------------------------------------------------------------------ inlined */

static struct iova_domain *inlined;

static inline uint64_t inlined_take(void)
{
	bool quick;
	return alloc_fast(inlined, cpu, size, limit, false, &quick);
}

static inline void inlined_give(uint64_t pfn)
{
	bool quick;
	free_fast(inlined, cpu, pfn, size, now, &quick);
}

DEFINE_LOOPS(inlined, uint64_t, inlined_take, inlined_give)

static void inlined_setup(void)
{
	struct iova_config config = config_of(iova_design_named("linux-7.3"));
	must(iova_create(&config, &inlined) == IOVA_OK, "no domain");
	must(iova_make_caches(inlined) == IOVA_OK, "no caches");
}

/* ------------------------------------------------------------------ behind a call */

static struct {
	iova_domain *domain;
	uint64_t (*alloc)(iova_domain *, uint32_t, uint64_t, uint64_t, bool);
	void (*free)(iova_domain *, uint32_t, uint64_t, uint64_t, uint64_t);
} shared;

static inline uint64_t shared_take(void)
{
	return shared.alloc(shared.domain, cpu, size, limit, false);
}

static inline void shared_give(uint64_t pfn)
{
	shared.free(shared.domain, cpu, pfn, size, now);
}

DEFINE_LOOPS(shared, uint64_t, shared_take, shared_give)

static void look_up(void *library, const char *name, void *function, size_t bytes)
{
	void *symbol = dlsym(library, name);
	must(symbol != NULL, name);
	memcpy(function, &symbol, bytes);
}

static void shared_setup(const char *path)
{
	const struct iova_design *(*design_named)(const char *);
	enum iova_status (*create)(const struct iova_config *, iova_domain **);
	enum iova_status (*make_caches)(iova_domain *);
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	must(library != NULL, "libiova could not be loaded");
	look_up(library, "iova_design_named", &design_named, sizeof(design_named));
	look_up(library, "iova_create", &create, sizeof(create));
	look_up(library, "iova_make_caches", &make_caches, sizeof(make_caches));
	look_up(library, "iova_alloc", &shared.alloc, sizeof(shared.alloc));
	look_up(library, "iova_free", &shared.free, sizeof(shared.free));
	struct iova_config config = config_of(design_named("linux-7.3"));
	must(create(&config, &shared.domain) == IOVA_OK, "no domain");
	must(make_caches(shared.domain) == IOVA_OK, "no caches");
}

/* ------------------------------------------------------------------ atomic addition */

static uint64_t shared_count;

static void xadd_pairs(size_t pairs)
{
	for (size_t i = 0; i < 2 * pairs; i++) {
		uint64_t one = 1;
		__asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(shared_count));
	}
}

/* ----------------------------------------------------------------------- measuring */

static void measure_pairs(const struct contender *contender, size_t operations)
{
	double began = now_ns();
	contender->pairs(operations / 2);
	report("pairs", contender->name, (now_ns() - began) / (double)operations);
}

static void measure_replacing(const struct contender *contender, const uint16_t *victims,
			      size_t operations)
{
	if (!contender->replace)
		return;
	double began = now_ns();
	for (size_t done = 0; done < operations; done += 2 * VICTIMS)
		contender->replace(victims, VICTIMS);
	size_t whole = (operations + 2 * VICTIMS - 1) / (2 * VICTIMS) * (2 * VICTIMS);
	report("4096 live", contender->name, (now_ns() - began) / (double)whole);
}

static void require_hits_only(uint64_t operations)
{
	struct iova_counters counters = iova_read_counters(inlined, 0);
	must(counters.tree_allocations <= LIVE + 1, "allocations missed the cache");
	must(counters.hits_loaded >= operations / 2, "allocations missed the loaded magazine");
}

int main(int count, char **arguments)
{
	static uint16_t victims[VICTIMS];
	static const struct contender ours[] = {
		{ "iova, inlined", inlined_fill, inlined_pairs, inlined_replace },
		{ "iova, called", shared_fill, shared_pairs, shared_replace },
		{ "lock xadd", NULL, xadd_pairs, NULL },
	};
	const struct contender *all[4] = { &ours[0], &ours[1], &ours[2], NULL };
	uint64_t seed = 1;

	must(count == 4, "usage: bench_cache LIBIOVA_SO ROUNDS OPERATIONS");
	int rounds = atoi(arguments[2]);
	size_t operations = (size_t)atoll(arguments[3]);
	hide_arguments();
	inlined_setup();
	shared_setup(arguments[1]);
#ifdef HAVE_DPDK
	all[3] = dpdk_contender();
	must(all[3] != NULL, "DPDK's environment could not be set up");
#endif
	for (size_t i = 0; i < VICTIMS; i++)
		victims[i] = (uint16_t)random_below(&seed, LIVE);
	for (size_t i = 0; i < 4; i++)
		if (all[i] && all[i]->fill)
			all[i]->fill();
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < 4; i++)
			if (all[i]) {
				measure_pairs(all[i], operations);
				measure_replacing(all[i], victims, operations);
			}
	require_hits_only(operations * (uint64_t)rounds);
	return 0;
}
