/* SPDX-License-Identifier: MIT */
/* Small things every file of the core uses. */
#ifndef IOVA_COMMON_H
#define IOVA_COMMON_H

#include <assert.h>

#include "iova.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Cheap enough for every debug build; gone with NDEBUG. Whole-structure walks are iova_check(). */
#define assert_cheap(condition) assert(condition)

#define COUNT_OF_ARRAY(array) (sizeof(array) / sizeof((array)[0]))

/* pfn of the range above all others, which never goes away. */
#define ANCHOR_PFN UINT64_MAX

/* Smallest k with 2^k >= n, n >= 1; 64 past 2^63. No branch parts the sizes in use. */
static inline unsigned order_of(uint64_t n)
{
	if (unlikely((int64_t)(n - 1) < 0))
		return n ? 64 : 0;
	return 63u - (unsigned)__builtin_clzll(2 * n - 1);
}

static inline void *memory_get(const struct iova_memory *memory, enum iova_memory_kind kind,
			       size_t size)
{
	return memory->allocate(memory->context, kind, size, 64);
}

static inline void memory_put(const struct iova_memory *memory, enum iova_memory_kind kind,
			      void *block, size_t size)
{
	memory->release(memory->context, kind, block, size);
}

#endif
