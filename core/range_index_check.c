/* SPDX-License-Identifier: MIT */
/* range_index, the check of everything it promises; for tests and iova_check(). */
#include "range_index_inner.h"

struct check_state {
	const struct range_index *index;
	uint64_t floor;	 /* pfn above the last range seen */
	bool any, ended; /* a range was seen; the anchor was */
	uint64_t pages, leaves, nodes;
	const char *fault;
};

static bool leaf_is_padded(const struct index_leaf *leaf)
{
	for (uint64_t i = leaf->count; i < LEAF_SLOTS; i++)
		if (leaf->hi[i] != UINT64_MAX)
			return false;
	return (leaf->gaps & gaps_from((unsigned)leaf->count)) == 0;
}

static bool node_is_padded(const struct index_node *node)
{
	for (uint64_t i = node->count; i < NODE_SLOTS; i++)
		if (node->key[i] != UINT64_MAX || node->best[i] != 0 || node->longest[i] != 0)
			return false;
	return true;
}

static void check_leaf(struct check_state *s, const struct index_leaf *leaf,
		       struct child_entry *e)
{
	s->leaves++;
	if (leaf->count == 0 || leaf->count > LEAF_SLOTS) {
		s->fault = "a leaf is empty or overfull";
		return;
	}
	if (!leaf_is_padded(leaf))
		s->fault = "an unused slot of a leaf holds something";
	if (leaf->floor != s->floor)
		s->fault = "a leaf's floor is not the end of the leaf before";
	for (unsigned i = 0; i < leaf->count; i++) {
		if (s->ended || leaf->lo[i] > leaf->hi[i] || leaf->lo[i] < s->floor)
			s->fault = "ranges are out of order or overlap";
		if ((leaf->lo[i] > s->floor) != ((leaf->gaps & gap_bit(i)) != 0))
			s->fault = "a gap is marked wrongly";
		s->ended = leaf->hi[i] == ANCHOR_PFN;
		if (!s->ended)
			s->pages += leaf->hi[i] - leaf->lo[i] + 1;
		s->floor = leaf->hi[i] + 1;
	}
	if (s->fault)
		return; /* ranges that overlap have no gaps to look at */
	e->key = leaf->hi[leaf->count - 1];
	e->ranges = leaf->count;
	e->sum = leaf_summary(leaf);
}

static void check_below(struct check_state *s, const void *block, unsigned height,
			struct child_entry *e)
{
	if (height == 0) {
		check_leaf(s, block, e);
		return;
	}
	const struct index_node *node = block;
	s->nodes++;
	*e = (struct child_entry){ 0 };
	if (node->count == 0 || node->count > NODE_SLOTS) {
		s->fault = "an inner node is empty or overfull";
		return;
	}
	if (!node_is_padded(node))
		s->fault = "an unused slot of an inner node holds something";
	for (unsigned i = 0; i < node->count && !s->fault; i++) {
		struct child_entry c = { 0 };
		check_below(s, node->child[i], height - 1, &c);
		if (s->fault)
			return;
		if (c.key != node->key[i] || c.ranges != node->ranges[i])
			s->fault = "a key or count differs from the child's";
		if (c.sum.best != node->best[i] || c.sum.longest != node->longest[i])
			s->fault = "a gap figure differs from the child's";
		e->key = c.key;
		e->ranges += c.ranges;
	}
	e->sum = node_summary(node);
}

const char *index_check(const struct range_index *index)
{
	struct check_state s = { .index = index };
	struct child_entry all = { 0 };
	check_below(&s, index->root, index->height, &all);
	if (s.fault)
		return s.fault;
	if (!s.ended)
		return "the anchor is missing";
	if (all.ranges != index->count || s.pages != index->pages)
		return "the count of ranges or pages is wrong";
	if (s.leaves != index->leaves || s.nodes != index->nodes)
		return "the count of nodes is wrong";
	return NULL;
}
