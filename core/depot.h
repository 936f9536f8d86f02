/* SPDX-License-Identifier: MIT */
/*
 * depot - full magazines of one size class, last in first out.
 *
 * The list runs through the magazines' own first word. Every function is called under
 * the depot's lock.
 */
#ifndef IOVA_DEPOT_H
#define IOVA_DEPOT_H

#include "magazine.h"

struct depot {
	struct magazine *head;
	uint64_t length;
	uint64_t low;  /* fewest since the job last looked */
	uint64_t peak; /* most ever */
};

/* `magazine` is full. */
static inline void depot_push(struct depot *depot, struct magazine *magazine)
{
	assert_cheap(magazine->count == IOVA_MAGAZINE_CAPACITY);
	magazine->next = depot->head;
	depot->head = magazine;
	if (++depot->length > depot->peak)
		depot->peak = depot->length;
}

/* The most recently pushed, its count restored; NULL: the depot is empty. */
static inline struct magazine *depot_pop(struct depot *depot)
{
	struct magazine *magazine = depot->head;
	if (!magazine)
		return NULL;
	depot->head = magazine->next;
	magazine->count = IOVA_MAGAZINE_CAPACITY;
	if (--depot->length < depot->low)
		depot->low = depot->length;
	return magazine;
}

#endif
