/* SPDX-License-Identifier: MIT */
/*
 * range_tree - the allocated ranges of a domain, and every Linux rule about where a
 * search for room starts and when it is not made at all.
 *
 * Theory of operation
 *
 * Linux keeps ranges in a balanced tree and walks it downwards, node by node, from a
 * remembered start: `near32` for requests whose limit lies below 4 GiB, `near` for the
 * others. Starts follow the last allocation and move up on removals; what lies above a
 * start is searched in a second pass. `give_up` is the size that last failed: 32-bit
 * requests at least that large fail without a search, until something below 4 GiB goes.
 *
 * Each pass stops at the first range, going down, below which the request fits, and fails
 * if it would have to start under the pass' lower end first. Positions only fall during a
 * pass, so that is the same as: take the highest gap below the start in which the request
 * fits (range_index finds it in O(log n)); the pass succeeds if the place it gives lies
 * at or above the lower end. How far Linux would have walked follows from two ranks.
 *
 * The starts are remembered as the ranges they stand on. A range's hi never changes, so
 * it identifies the range; lo is kept in step when a reservation lowers it.
 */
#ifndef IOVA_RANGE_TREE_H
#define IOVA_RANGE_TREE_H

#include "range_index.h"

struct range_tree {
	struct range_index index;
	uint64_t start; /* lowest pfn the search may hand out */
	uint64_t d32;	/* first pfn at or above 4 GiB */
	uint64_t give_up;
	struct iova_range near, near32;
	uint64_t steps; /* nodes the last search would have walked in Linux; 0 if not counted */
	bool count_steps;
	const struct iova_memory *memory;
};

enum iova_status tree_init(struct range_tree *tree, const struct iova_memory *memory,
			   uint64_t start, uint64_t d32, bool count_steps);
void tree_fini(struct range_tree *tree);

/* IOVA_NO_SPACE, IOVA_NO_MEMORY or the new range. align: to size rounded up. */
enum iova_status tree_alloc(struct range_tree *tree, uint64_t size, uint64_t limit, bool align,
			    struct iova_range *result);
/* Remove the range that holds pfn, or IOVA_NOT_FOUND. pfn is not the anchor's. */
enum iova_status tree_remove(struct range_tree *tree, uint64_t pfn);
/* The same, and tell which range it was. */
enum iova_status tree_take_out(struct range_tree *tree, uint64_t pfn, struct iova_range *removed);
enum iova_status tree_reserve(struct range_tree *tree, uint64_t lo, uint64_t hi,
			      struct iova_range *result);
/* Remembers nothing; false if no range holds pfn. */
bool tree_find(const struct range_tree *tree, uint64_t pfn, struct iova_range *result);

#endif
