/* SPDX-License-Identifier: MIT */
/*
 * depot - full magazines of one size class, last in first out; in a design with two lists,
 * empty ones too.
 *
 * The lists run through the magazines' own first word. Every function is called under the
 * depot's lock.
 */
#ifndef IOVA_DEPOT_H
#define IOVA_DEPOT_H

#include "magazine.h"

struct depot {
	uintptr_t head, empty_head; /* links: the magazine, and n where it holds 2^n - 1 */
	uint64_t length, empties;
	uint64_t cached; /* entries of the full ones */
	uint64_t low;	 /* fewest full ones since the job last looked */
	uint64_t peak;	 /* most ever */
};

#define LINK_ORDER_BITS UINT64_C(63)

/* NULL: the end of the list. */
static inline struct magazine *link_magazine(uintptr_t link)
{
	return (struct magazine *)(link & ~(uintptr_t)LINK_ORDER_BITS);
}

static inline uint32_t link_capacity(uintptr_t link)
{
	return (UINT32_C(1) << (link & LINK_ORDER_BITS)) - 1;
}

static inline uintptr_t link_to(const struct magazine *magazine)
{
	return (uintptr_t)magazine | (uint32_t)__builtin_ctz(magazine->capacity + 1);
}

static inline void link_push(uintptr_t *head, struct magazine *magazine)
{
	uintptr_t link = link_to(magazine);
	magazine->link = *head;
	*head = link;
}

/* Its capacity restored, its count 0; NULL: the list is empty. */
static inline struct magazine *link_pop(uintptr_t *head)
{
	uintptr_t link = *head;
	struct magazine *magazine = link_magazine(link);
	if (!magazine)
		return NULL;
	*head = magazine->link;
	magazine->count = 0;
	magazine->capacity = link_capacity(link);
	return magazine;
}

/* `magazine` is full. */
static inline void depot_push(struct depot *depot, struct magazine *magazine)
{
	assert_cheap(magazine->count == magazine->capacity);
	depot->cached += magazine->capacity;
	link_push(&depot->head, magazine);
	if (++depot->length > depot->peak)
		depot->peak = depot->length;
}

/* The most recently pushed, its count restored; NULL: the depot is empty. */
static inline struct magazine *depot_pop(struct depot *depot)
{
	struct magazine *magazine = link_pop(&depot->head);
	if (!magazine)
		return NULL;
	magazine->count = magazine->capacity;
	depot->cached -= magazine->capacity;
	if (--depot->length < depot->low)
		depot->low = depot->length;
	return magazine;
}

/* `magazine` holds nothing. */
static inline void depot_push_empty(struct depot *depot, struct magazine *magazine)
{
	assert_cheap(magazine->count == 0);
	link_push(&depot->empty_head, magazine);
	depot->empties++;
}

/* NULL: there is none. */
static inline struct magazine *depot_pop_empty(struct depot *depot)
{
	struct magazine *magazine = link_pop(&depot->empty_head);
	depot->empties -= magazine != NULL;
	return magazine;
}

#endif
