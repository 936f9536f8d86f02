/* SPDX-License-Identifier: MIT */
/*
 * DPDK's rte_mempool with its per-core cache, one pool for each size; as its header inlines it,
 * and behind a call as the other contenders are.
 */
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <string.h>

#include "bench.h"
#include "live_loops.h"

#define OBJECTS 16383u
#define OBJECT_BYTES 64u
#define CORE_CACHE 256u

static struct rte_mempool *pools[2][WORKLOADS][ORDERS]; /* by variant */
static struct rte_mempool **pool; /* of the workload that runs, by order */

static inline uint64_t take(unsigned order)
{
	void *object;
	if (rte_mempool_get(pool[order], &object) != 0)
		abort();
	return (uint64_t)(uintptr_t)object;
}

static inline void give(uint64_t address, unsigned order)
{
	rte_mempool_put(pool[order], (void *)(uintptr_t)address);
}

DEFINE_LIVE_LOOPS(inlined, take, give);

BEHIND_CALL static uint64_t take_behind_call(unsigned order)
{
	return take(order);
}

BEHIND_CALL static void give_behind_call(uint64_t address, unsigned order)
{
	give(address, order);
}

DEFINE_LIVE_LOOPS(called, take_behind_call, give_behind_call);

static struct rte_mempool *make_pool(unsigned variant, enum workload workload, unsigned order)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	snprintf(name, sizeof(name), "w%u_%u_%u", (unsigned)workload, order, variant);
	struct rte_mempool *made = rte_mempool_create(name, OBJECTS, OBJECT_BYTES, CORE_CACHE, 0,
						      NULL, NULL, NULL, NULL, SOCKET_ID_ANY, 0);
	must(made != NULL, "no DPDK mempool");
	return made;
}

static void enter(const struct contender *contender, enum workload workload)
{
	unsigned first = workload == W4_LARGE ? W4_ORDER : 0;
	unsigned last = workload == W3_SIZES ? W4_ORDER - 1 : first;
	pool = pools[contender->variant][workload];
	for (unsigned order = first; order <= last; order++)
		if (!pool[order])
			pool[order] = make_pool(contender->variant, workload, order);
}

static void thread_begins(void)
{
	must(rte_thread_register() == 0, "DPDK refused a thread");
}

size_t dpdk_contenders(struct contender *to)
{
	static const struct contender all[] = {
		{ "DPDK mempool", &inlined_loops, 0, ALL_WORKLOADS, enter, thread_begins,
		  rte_thread_unregister },
		{ "DPDK mempool, called", &called_loops, 1, ALL_WORKLOADS, enter,
		  thread_begins, rte_thread_unregister },
	};
	static char program[] = "bench_live", huge[] = "--no-huge", pci[] = "--no-pci",
		    config[] = "--no-shconf", telemetry[] = "--no-telemetry",
		    size[] = "-m256", level[] = "--log-level=error", cores[] = "--lcores=0@0";
	char *arguments[] = { program, huge, pci, config, telemetry, size, level, cores };
	if (rte_eal_init((int)(sizeof(arguments) / sizeof(*arguments)), arguments) < 0) {
		fprintf(stderr, "benchmark: DPDK is not measured: no environment\n");
		return 0;
	}
	memcpy(to, all, sizeof(all));
	return sizeof(all) / sizeof(*all);
}
