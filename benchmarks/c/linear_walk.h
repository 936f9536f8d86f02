/* SPDX-License-Identifier: MIT */
/*
 * linear_walk - the same address allocation with a search that walks from range to range,
 * as Linux searches: the peer of the tree benchmark, and a check of its addresses.
 *
 * Ranges are a doubly linked list in order, so a step of the walk is one pointer, a step
 * less than in a balanced tree, and inserting and freeing by node need no search at all:
 * the figures flatter the walk.
 */
#ifndef LINEAR_WALK_H
#define LINEAR_WALK_H

#include "range_tree.h"

struct linear_node {
	uint64_t lo, hi;
	struct linear_node *below, *above;
};

struct linear_walk {
	struct linear_node anchor;
	struct linear_node *near, *near32;
	struct linear_node *nodes, *unused;
	struct linear_node **sorted; /* as copied, rising; for setting up */
	size_t sorted_count;
	uint64_t start, d32, give_up;
};

/*
 * A copy of the tree's ranges and search starts, with room for `extra` more ranges. Nodes
 * lie in memory in the order of a random permutation, as they do in a heap after a while.
 * false: no memory.
 */
bool linear_copy(struct linear_walk *walk, const struct range_tree *tree, size_t extra,
		 uint64_t seed);
void linear_fini(struct linear_walk *walk);
/* NULL: there is no room. */
struct linear_node *linear_alloc(struct linear_walk *walk, uint64_t size, uint64_t limit,
				 bool align);
void linear_free(struct linear_walk *walk, struct linear_node *node);
/* A range by its first page; in O(log n) on a walk that was just copied. */
struct linear_node *linear_find(const struct linear_walk *walk, uint64_t lo);

#endif
