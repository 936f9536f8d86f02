/* SPDX-License-Identifier: MIT */
/*
 * magazine - a stack of pfns: what caches hold and depots trade.
 *
 * The first word is the count of entries and how many there is room for while a CPU has the
 * magazine, and the link to the next one while the depot has it. Only full magazines enter a
 * depot, so the count is known there, and the list costs no space beside the magazines (the
 * paper's unbounded depot list, Bonwick and Adams, "Magazines and Vmem", section 3.1). With
 * 127 entries, as in Linux, the whole is 1 KiB: a power of two, which slabs and caches pack
 * without waste. So it is with any capacity of 2^n - 1 entries; n goes into the low bits of
 * the link, which are free because magazines are aligned to 64 bytes.
 */
#ifndef IOVA_MAGAZINE_H
#define IOVA_MAGAZINE_H

#include "common.h"

/* Entries of a magazine where the design does not say; tests build with other numbers. */
#ifndef IOVA_MAGAZINE_CAPACITY
#define IOVA_MAGAZINE_CAPACITY 127u
#endif

struct magazine {
	union {
		struct {
			uint32_t count, capacity;
		};
		uintptr_t link; /* see depot.h */
	};
	uint64_t pfn[];
};

_Static_assert(sizeof(struct magazine) == sizeof(uint64_t), "one word precedes the entries");
_Static_assert(((IOVA_MAGAZINE_CAPACITY + 1) & IOVA_MAGAZINE_CAPACITY) == 0,
	       "a magazine's size is a power of two");

static inline bool magazine_can_hold(uint64_t capacity)
{
	return capacity >= IOVA_MAGAZINE_LEAST && capacity <= IOVA_MAGAZINE_MOST &&
	       ((capacity + 1) & capacity) == 0;
}

static inline size_t magazine_bytes(uint64_t capacity)
{
	return (capacity + 1) * sizeof(uint64_t);
}

/* A missing magazine has nothing to take ... */
static inline bool magazine_has_entries(const struct magazine *magazine)
{
	return magazine && magazine->count > 0;
}

/* ... and no room either. */
static inline bool magazine_has_room(const struct magazine *magazine)
{
	return magazine && magazine->count < magazine->capacity;
}

static inline void magazine_push(struct magazine *magazine, uint64_t pfn)
{
	magazine->pfn[magazine->count++] = pfn;
}

/* Take the top entry if it is at or below `cap`; 0, and nothing changed, if there is none. */
static inline uint64_t magazine_take_top(struct magazine *magazine, uint64_t cap)
{
	if (unlikely(!magazine_has_entries(magazine)))
		return 0;
	uint32_t top = magazine->count - 1;
	uint64_t pfn = magazine->pfn[top];
	if (unlikely(pfn > cap || pfn == 0))
		return 0;
	magazine->count = top;
	return pfn;
}

/*
 * Take the topmost entry at or below `cap`; the top entry fills its place. False, and
 * nothing changed, if no entry is. The magazine has entries.
 */
static inline bool magazine_take(struct magazine *magazine, uint64_t cap, uint64_t *pfn)
{
	uint32_t top = magazine->count - 1;
	uint32_t i = top;
	while (unlikely(magazine->pfn[i] > cap))
		if (i-- == 0)
			return false;
	*pfn = magazine->pfn[i];
	magazine->pfn[i] = magazine->pfn[top];
	magazine->count = top;
	return true;
}

#endif
