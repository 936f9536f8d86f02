/* SPDX-License-Identifier: MIT */
/*
 * tree_pair - a range tree and its reference, the literal walk of linear_tree. Each do_
 * makes one call on both, checks that the answers are the same, and then all there is to
 * see of the two.
 */
#ifndef TREE_PAIR_H
#define TREE_PAIR_H

#include "linear_tree.h"
#include "range_tree.h"
#include "support.h"

struct pair {
	struct test_memory memory;
	struct range_tree tree;
	struct linear_tree model;
	bool trace; /* calls are printed */
};

void pair_init(struct pair *pair, uint64_t start, uint64_t d32);
/* Checks that the tree is sound and that no memory is left. */
void pair_fini(struct pair *pair);
/* The search starts, the size that failed, and how many ranges there are. */
void pair_check(const struct pair *pair);

enum iova_status do_alloc(struct pair *pair, uint64_t size, uint64_t limit, bool align);
void do_remove(struct pair *pair, uint64_t pfn);
void do_reserve(struct pair *pair, uint64_t lo, uint64_t hi);

#endif
