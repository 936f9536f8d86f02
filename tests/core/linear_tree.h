/* SPDX-License-Identifier: MIT */
/*
 * linear_tree - the range set as Linux walks it: a sorted array and the literal search,
 * node by node, as the specification of its behaviour words it. Slow, short, and the
 * reference that range_tree is compared with, number of nodes walked included.
 */
#ifndef LINEAR_TREE_H
#define LINEAR_TREE_H

#include "iova.h"

struct linear_tree {
	struct iova_range *range; /* rising; the last is the anchor */
	size_t count, capacity;
	uint64_t start, d32, give_up;
	uint64_t near_hi, near32_hi; /* the ranges where searches start, by their hi */
	uint64_t steps;		     /* of the last search */
};

void linear_init(struct linear_tree *tree, uint64_t start, uint64_t d32);
void linear_fini(struct linear_tree *tree);

enum iova_status linear_alloc(struct linear_tree *tree, uint64_t size, uint64_t limit, bool align,
			      struct iova_range *result);
enum iova_status linear_remove(struct linear_tree *tree, uint64_t pfn);
enum iova_status linear_reserve(struct linear_tree *tree, uint64_t lo, uint64_t hi,
				struct iova_range *result);
bool linear_find(const struct linear_tree *tree, uint64_t pfn, struct iova_range *result);

/* Index of the range with this hi, which exists. */
size_t linear_at(const struct linear_tree *tree, uint64_t hi);
/* Index of the first range with hi >= pfn. */
size_t linear_first(const struct linear_tree *tree, uint64_t pfn);
void linear_insert(struct linear_tree *tree, size_t at, struct iova_range range);
void linear_erase(struct linear_tree *tree, size_t at);

#endif
