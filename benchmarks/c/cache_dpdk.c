/* SPDX-License-Identifier: MIT */
/* DPDK's rte_mempool with its per-core cache, get and put of one object inlined. */
#include <rte_eal.h>
#include <rte_mempool.h>

#include "bench.h"
#include "cache.h"

#define OBJECTS 8191u
#define CORE_CACHE 256u

static struct rte_mempool *pool;

static inline void *take(void)
{
	void *object;
	if (rte_mempool_get(pool, &object) != 0)
		abort();
	return object;
}

static inline void give(void *object)
{
	rte_mempool_put(pool, object);
}

DEFINE_LOOPS(dpdk, void *, take, give)

const struct contender *dpdk_contender(void)
{
	static const struct contender contender = { "DPDK mempool, inlined", dpdk_fill,
						    dpdk_pairs, dpdk_replace };
	static char program[] = "bench_cache", huge[] = "--no-huge", pci[] = "--no-pci",
		    config[] = "--no-shconf", telemetry[] = "--no-telemetry",
		    size[] = "-m64", level[] = "--log-level=error", cores[] = "--lcores=0@0";
	char *arguments[] = { program, huge, pci, config, telemetry, size, level, cores };
	if (rte_eal_init((int)(sizeof(arguments) / sizeof(*arguments)), arguments) < 0)
		return NULL;
	pool = rte_mempool_create("objects", OBJECTS, 64, CORE_CACHE, 0, NULL, NULL, NULL, NULL,
				  SOCKET_ID_ANY, 0);
	return pool ? &contender : NULL;
}
