/* SPDX-License-Identifier: MIT */
/* What the files of range_index share: figures of gaps, and nodes' memory. */
#ifndef IOVA_RANGE_INDEX_INNER_H
#define IOVA_RANGE_INDEX_INNER_H

#include "range_index.h"

/* ------------------------------------------------------------------------ gaps */

static inline uint64_t largest_power_of_two(uint64_t n)
{
	return n ? UINT64_C(1) << (63 - __builtin_clzll(n)) : 0;
}

/* `best` of the gap a..b-1: see the theory in the header. */
static inline uint64_t gap_best(uint64_t a, uint64_t b)
{
	if (a == 0)
		return b;
	unsigned k = 63u - (unsigned)__builtin_clzll((a - 1) ^ b);
	uint64_t m = b & (UINT64_MAX << k);
	uint64_t above = b - m, below = largest_power_of_two(m - a);
	return above > below ? above : below;
}

static inline bool gap_fits(uint64_t a, uint64_t b, uint64_t size, uint64_t mask)
{
	return b - a >= size && ((b - size) & mask) >= a;
}

static inline uint64_t gap_start(const struct index_leaf *leaf, unsigned slot)
{
	return slot ? leaf->hi[slot - 1] + 1 : leaf->floor;
}

/* The bits of `gaps` for the slots from `slot` up: the highest slot's is the lowest bit. */
static inline uint64_t gaps_from(unsigned slot)
{
	return UINT64_MAX >> slot;
}

static inline uint64_t gap_bit(unsigned slot)
{
	return (UINT64_C(1) << 63) >> slot;
}

/* After the range at `slot` or the end of the one before has moved. */
static inline void note_gap(struct index_leaf *leaf, unsigned slot)
{
	bool is_gap = leaf->lo[slot] > gap_start(leaf, slot);
	leaf->gaps = (leaf->gaps & ~gap_bit(slot)) | (is_gap ? gap_bit(slot) : 0);
}

struct gap_summary {
	uint64_t best, longest;
};

static inline struct gap_summary gap_figures(uint64_t a, uint64_t b)
{
	return (struct gap_summary){ gap_best(a, b), b - a };
}

static inline struct gap_summary larger(struct gap_summary x, struct gap_summary y)
{
	x.best = y.best > x.best ? y.best : x.best;
	x.longest = y.longest > x.longest ? y.longest : x.longest;
	return x;
}

static inline struct gap_summary leaf_summary(const struct index_leaf *leaf)
{
	struct gap_summary sum = { 0, 0 };
	for (uint64_t left = leaf->gaps; left; left &= left - 1) {
		unsigned i = 63u - (unsigned)__builtin_ctzll(left);
		uint64_t a = gap_start(leaf, i), b = leaf->lo[i];
		if (b - a > sum.best) /* best never exceeds the length */
			sum = larger(sum, gap_figures(a, b));
	}
	return sum;
}

static inline struct gap_summary node_summary(const struct index_node *node)
{
	struct gap_summary sum = { 0, 0 };
	for (unsigned i = 0; i < NODE_SLOTS; i++)
		sum = larger(sum, (struct gap_summary){ node->best[i], node->longest[i] });
	return sum;
}
/* ---------------------------------------------------------------------- memory */

/* Slots from the count on hold nothing: see the searches. */
static inline void leaf_pad(struct index_leaf *leaf)
{
	for (uint64_t i = leaf->count; i < LEAF_SLOTS; i++)
		leaf->hi[i] = UINT64_MAX;
}

static inline void node_pad(struct index_node *node)
{
	for (uint64_t i = node->count; i < NODE_SLOTS; i++) {
		node->key[i] = UINT64_MAX;
		node->best[i] = node->longest[i] = 0;
	}
}

/* Aligned as every heap does by itself: asked for whole cache lines, many waste a quarter. */
static inline void *block_get(const struct range_index *index, size_t size)
{
	return index->memory->allocate(index->memory->context, IOVA_MEMORY_TREE, size, 16);
}

static inline struct index_leaf *leaf_new(struct range_index *index)
{
	struct index_leaf *leaf = block_get(index, sizeof(*leaf));
	if (leaf)
		index->leaves++;
	return leaf;
}

static inline struct index_node *node_new(struct range_index *index)
{
	struct index_node *node = block_get(index, sizeof(*node));
	if (node)
		index->nodes++;
	return node;
}

static inline void leaf_free(struct range_index *index, struct index_leaf *leaf)
{
	index->leaves--;
	memory_put(index->memory, IOVA_MEMORY_TREE, leaf, sizeof(*leaf));
}

static inline void node_free(struct range_index *index, struct index_node *node)
{
	index->nodes--;
	memory_put(index->memory, IOVA_MEMORY_TREE, node, sizeof(*node));
}

/* A child as its node tells of it. */
struct child_entry {
	void *child;
	uint64_t key, ranges;
	struct gap_summary sum;
};

#endif
