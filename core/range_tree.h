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

/*
 * What Linux has not. These leave the search starts and `give_up` alone, as reservations
 * do: starts are ranges that stay, so Linux's calls go on as if the new range had been
 * reserved.
 */

/*
 * Take exactly lo..hi, which may lie below tree->start, as a range of its own.
 * IOVA_RESERVED: *result, the lowest range that overlaps it, the anchor's included, is in
 * the way. IOVA_INVALID: lo > hi. IOVA_NO_MEMORY. All three change nothing.
 */
enum iova_status tree_place(struct range_tree *tree, uint64_t lo, uint64_t hi,
			    struct iova_range *result);
/*
 * size >= 1 frames at a multiple of 2^order, order <= 63, in tree->start .. limit: found
 * whenever there is such a place, else IOVA_NO_SPACE; IOVA_NO_MEMORY.
 *
 * Which place: where 2^order >= size and some gap holds a whole block, 2^order frames at a
 * multiple of 2^order, from the start to the limit, the highest place in the highest such
 * gap; else the highest place there is. So a place higher up, in a gap without a block, is
 * left for smaller requests: to look there would mean to try, each time, the rests that
 * earlier requests of this kind left.
 *
 * O(log n) with a block; without one, a search of O(log n) for each multiple of 2^order
 * near which a gap is large enough but in the wrong place.
 */
enum iova_status tree_alloc_aligned(struct range_tree *tree, uint64_t size, uint64_t limit,
				    unsigned order, struct iova_range *result);
/* The lowest range with hi >= pfn; false if that is the anchor. */
bool tree_next(const struct range_tree *tree, uint64_t pfn, struct iova_range *result);
/* Frames of the longest gap from tree->start up to the anchor. */
uint64_t tree_longest_gap(const struct range_tree *tree);

#endif
