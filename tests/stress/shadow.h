/* SPDX-License-Identifier: MIT */
/*
 * shadow - who owns each page of a window, kept beside the domain that hands them out.
 *
 * Whoever is given a range stamps its pages, by atomic exchange, and clears them before he
 * gives it back: a page that two were given is seen at once by the second. A page whose
 * free is deferred is stamped with the number of flushes that had begun by then: it may be
 * handed out again when a flush that began later is done.
 */
#ifndef SHADOW_H
#define SHADOW_H

#include <stdint.h>

#include "check.h"

#define SHADOW_PAGE UINT64_C(4096)
#define SHADOW_PAGES 32768u
#define SHADOW_FIRST (UINT64_C(1) << 30)
#define SHADOW_LAST (SHADOW_FIRST + SHADOW_PAGES * SHADOW_PAGE - 1)

/* Stamps: 0 is nobody's; an owner's number is below WAITING; WAITING + flushes begun. */
#define WAITING (UINT64_C(1) << 32)
#define NOBODY 0u
#define RESERVED_FOR_GOOD (WAITING - 1)

static uint64_t shadow[SHADOW_PAGES];
static uint64_t flushes_begun, flushes_done; /* the highest number done */

static inline uint64_t flush_begins(void)
{
	return __atomic_add_fetch(&flushes_begun, 1, __ATOMIC_SEQ_CST);
}

static inline void flush_is_done(uint64_t number)
{
	uint64_t done = __atomic_load_n(&flushes_done, __ATOMIC_SEQ_CST);
	while (done < number && !__atomic_compare_exchange_n(&flushes_done, &done, number, false,
							     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

static inline uint64_t *stamp_of(uint64_t address)
{
	CHECK(address >= SHADOW_FIRST && address <= SHADOW_LAST);
	CHECK_EQ(address % SHADOW_PAGE, 0);
	return &shadow[(address - SHADOW_FIRST) / SHADOW_PAGE];
}

/* May a page with this stamp be handed out? */
static inline bool is_up_for_grabs(uint64_t stamp)
{
	if (stamp < WAITING)
		return stamp == NOBODY;
	return __atomic_load_n(&flushes_done, __ATOMIC_SEQ_CST) > stamp - WAITING;
}

/* The range was handed out to this owner. */
static inline void shadow_take(uint64_t address, uint64_t pages, uint64_t owner)
{
	uint64_t *stamp = stamp_of(address);
	for (uint64_t i = 0; i < pages; i++) {
		uint64_t before = __atomic_exchange_n(&stamp[i], owner, __ATOMIC_RELAXED);
		if (!is_up_for_grabs(before)) {
			printf("page %#" PRIx64 " was given to %" PRIu64 ", and is %s %" PRIu64 "\n",
			       address + i * SHADOW_PAGE, owner,
			       before < WAITING ? "owned by" : "waiting for a flush after number",
			       before < WAITING ? before : before - WAITING);
			CHECK(is_up_for_grabs(before));
		}
	}
}

/* The owner is about to give the range back, or to pass it on. */
static inline void shadow_give(uint64_t address, uint64_t pages, uint64_t owner, uint64_t next)
{
	uint64_t *stamp = stamp_of(address);
	for (uint64_t i = 0; i < pages; i++)
		CHECK_EQ(__atomic_exchange_n(&stamp[i], next, __ATOMIC_RELAXED), owner);
}

/* The stamp of a page whose free is about to be deferred. */
static inline uint64_t waiting_from_now(void)
{
	return WAITING + __atomic_load_n(&flushes_begun, __ATOMIC_SEQ_CST);
}

#endif
