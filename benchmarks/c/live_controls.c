/* SPDX-License-Identifier: MIT */
/* What the measurement itself costs: calls that do nothing, nothing at all, and one `lock xadd`. */
#include <string.h>

#include "bench.h"
#include "live_loops.h"

/* ------------------------------------------------------------- calls that do nothing */

BEHIND_CALL static uint64_t do_not_take(unsigned order)
{
	return order + UINT64_C(4096);
}

BEHIND_CALL static void do_not_give(uint64_t address, unsigned order)
{
	(void)address;
	(void)order;
}

static uint64_t (*volatile call_take)(unsigned) = do_not_take;
static void (*volatile call_give)(uint64_t, unsigned) = do_not_give;

static inline uint64_t empty_take(unsigned order)
{
	return call_take(order);
}

static inline void empty_give(uint64_t address, unsigned order)
{
	call_give(address, order);
}

DEFINE_LIVE_LOOPS(empty, empty_take, empty_give);

/* ---------------------------------------------------------------------- nothing */

static inline uint64_t bare_take(unsigned order)
{
	return order + UINT64_C(4096);
}

static inline void bare_give(uint64_t address, unsigned order)
{
	OPAQUE(address);
	(void)order;
}

DEFINE_LIVE_LOOPS(bare, bare_take, bare_give);

/* -------------------------------------------------------- one atomic addition each */

static _Thread_local uint64_t counted;

static inline void count_one(void)
{
	uint64_t one = 1;
	__asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(counted));
}

static inline uint64_t xadd_take(unsigned order)
{
	count_one();
	return order + UINT64_C(4096);
}

static inline void xadd_give(uint64_t address, unsigned order)
{
	OPAQUE(address);
	(void)order;
	count_one();
}

DEFINE_LIVE_LOOPS(xadd, xadd_take, xadd_give);

static void enter(const struct contender *contender, enum workload workload)
{
	(void)contender;
	(void)workload;
}

size_t control_contenders(struct contender *to)
{
	static const struct contender all[] = {
		{ "an empty call", &empty_loops, 0, ALL_WORKLOADS & ~(1u << W5_HAND_OVER), enter,
		  NULL, NULL },
		{ "the empty ring", &bare_loops, 0, 1u << W5_HAND_OVER, enter, NULL, NULL },
		{ "lock xadd", &xadd_loops, 0, 1u << W1_PAIRS, enter, NULL, NULL },
	};
	memcpy(to, all, sizeof(all));
	return sizeof(all) / sizeof(*all);
}
