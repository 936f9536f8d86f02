/* SPDX-License-Identifier: MIT */
/* range_index, what changes it: insert, remove, lower. */
#include "range_index_inner.h"

#include <string.h>

/* A node takes a new child until it is full; siblings that together leave this much room
 * are merged, so that a merge is not undone by the next insert. */
#define MERGE_LEAF (LEAF_SLOTS - LEAF_SLOTS / 5)
#define MERGE_NODE (NODE_SLOTS - NODE_SLOTS / 5)

/* --------------------------------------------------------- keeping the index true */

/* Both figures are below those of the whole node that hangs at `at`. */
static inline bool is_within(struct gap_summary sum, const struct index_node *node, unsigned at)
{
	return sum.best < node->best[at] && sum.longest < node->longest[at];
}

/* The figures of the child at path level changed to `sum`; tell the levels above. */
static void figures_changed(const struct range_index *index, struct index_path *path,
			    unsigned level, struct gap_summary sum)
{
	for (;; level++) {
		struct index_node *node = path->node[level];
		unsigned at = path->at[level];
		struct gap_summary old = { node->best[at], node->longest[at] };
		if (old.best == sum.best && old.longest == sum.longest)
			return;
		node->best[at] = sum.best;
		node->longest[at] = sum.longest;
		if (level + 1 == index->height)
			return;
		const struct index_node *above = path->node[level + 1];
		unsigned here = path->at[level + 1];
		if (is_within(old, above, here) && is_within(sum, above, here))
			return; /* another child has the largest figures */
		sum = node_summary(node);
	}
}

/* A gap of the path's leaf grew to `grown`: no gap shrank, so maxima can only rise. */
static void gap_grew(const struct range_index *index, struct index_path *path,
		     struct gap_summary grown)
{
	for (unsigned level = 0; level < index->height; level++) {
		struct index_node *node = path->node[level];
		unsigned at = path->at[level];
		if (node->best[at] >= grown.best && node->longest[at] >= grown.longest)
			return;
		if (node->best[at] < grown.best)
			node->best[at] = grown.best;
		if (node->longest[at] < grown.longest)
			node->longest[at] = grown.longest;
	}
}

/* A gap of the path's leaf that had `was` shrank or was split. */
static void gap_shrank(const struct range_index *index, struct index_path *path,
		       struct gap_summary was)
{
	if (index->height == 0)
		return;
	struct index_node *node = path->node[0];
	unsigned at = path->at[0];
	/* If a gap as good remains unknown, look; if this was not the best, one does. */
	if (is_within(was, node, at))
		return;
	figures_changed(index, path, 0, leaf_summary(path->leaf));
}

static void ranges_changed(const struct range_index *index, struct index_path *path,
			   uint64_t delta)
{
	for (unsigned level = 0; level < index->height; level++)
		path->node[level]->ranges[path->at[level]] += delta;
}

/* The last range of the path's leaf is now one with another hi. */
static void key_changed(const struct range_index *index, struct index_path *path, uint64_t key)
{
	for (unsigned level = 0; level < index->height; level++) {
		struct index_node *node = path->node[level];
		node->key[path->at[level]] = key;
		if (path->at[level] + 1 < node->count)
			return;
	}
}

/* ---------------------------------------------------------------------- inserting */

/* Put a range, which lies in the gap there, into a slot of a leaf that has room. */
static void leaf_insert(struct index_leaf *leaf, unsigned slot, struct iova_range range)
{
	size_t n = (size_t)leaf->count - slot;
	uint64_t moving = leaf->gaps & gaps_from(slot);
	memmove(&leaf->hi[slot + 1], &leaf->hi[slot], n * sizeof(uint64_t));
	memmove(&leaf->lo[slot + 1], &leaf->lo[slot], n * sizeof(uint64_t));
	leaf->gaps = (leaf->gaps ^ moving) | moving >> 1;
	leaf->lo[slot] = range.lo;
	leaf->hi[slot] = range.hi;
	leaf->count++;
	note_gap(leaf, slot);
	if (n > 0)
		note_gap(leaf, slot + 1);
}

static void leaf_remove(struct index_leaf *leaf, unsigned slot)
{
	size_t n = (size_t)leaf->count - slot - 1;
	uint64_t moving = leaf->gaps & gaps_from(slot);
	memmove(&leaf->hi[slot], &leaf->hi[slot + 1], n * sizeof(uint64_t));
	memmove(&leaf->lo[slot], &leaf->lo[slot + 1], n * sizeof(uint64_t));
	leaf->gaps = (leaf->gaps ^ moving) | (moving << 1 & gaps_from(slot));
	leaf->hi[--leaf->count] = UINT64_MAX;
	if (n > 0)
		leaf->gaps |= gap_bit(slot); /* at least where the range was */
}

/* Copy n children of `from`, at slot f, to `to`, at slot t; the two may be the same. */
static void node_copy(struct index_node *to, unsigned t, const struct index_node *from, unsigned f,
		      uint64_t n)
{
	size_t bytes = (size_t)n * sizeof(uint64_t);
	memmove(&to->child[t], &from->child[f], (size_t)n * sizeof(void *));
	memmove(&to->key[t], &from->key[f], bytes);
	memmove(&to->best[t], &from->best[f], bytes);
	memmove(&to->longest[t], &from->longest[f], bytes);
	memmove(&to->ranges[t], &from->ranges[f], bytes);
}

static void node_set(struct index_node *node, unsigned at, struct child_entry e)
{
	node->child[at] = e.child;
	node->key[at] = e.key;
	node->ranges[at] = e.ranges;
	node->best[at] = e.sum.best;
	node->longest[at] = e.sum.longest;
}

static struct child_entry leaf_entry(struct index_leaf *leaf)
{
	return (struct child_entry){ leaf, leaf->hi[leaf->count - 1], leaf->count,
				     leaf_summary(leaf) };
}

static struct child_entry node_entry(struct index_node *node)
{
	uint64_t ranges = 0;
	for (unsigned i = 0; i < node->count; i++)
		ranges += node->ranges[i];
	return (struct child_entry){ node, node->key[node->count - 1], ranges,
				     node_summary(node) };
}

static void node_insert(struct index_node *node, unsigned at, struct child_entry e)
{
	node_copy(node, at + 1, node, at, node->count - at);
	node->count++;
	node_set(node, at, e);
}

/* The nodes that splitting from the path's leaf upwards will take. */
struct spare_nodes {
	struct index_leaf *leaf;
	struct index_node *node[MAX_HEIGHT + 1];
	unsigned count, used;
};

static void spare_release(struct range_index *index, struct spare_nodes *spare)
{
	if (spare->leaf)
		leaf_free(index, spare->leaf);
	while (spare->count > 0)
		node_free(index, spare->node[--spare->count]);
}

static enum iova_status spare_reserve(struct range_index *index, const struct index_path *path,
				      struct spare_nodes *spare)
{
	*spare = (struct spare_nodes){ .leaf = leaf_new(index) };
	unsigned wanted = 0;
	while (wanted < index->height && path->node[wanted]->count == NODE_SLOTS)
		wanted++;
	if (wanted == index->height)
		wanted++; /* a new root */
	bool failed = !spare->leaf || index->height + 1 > MAX_HEIGHT;
	while (!failed && spare->count < wanted) {
		struct index_node *node = node_new(index);
		failed = !node;
		if (node)
			spare->node[spare->count++] = node;
	}
	if (failed)
		spare_release(index, spare);
	return failed ? IOVA_NO_MEMORY : IOVA_OK;
}

/*
 * Where a full leaf is cut. Addresses are handed out downwards, so a cut near the bottom
 * leaves a full leaf behind instead of one that stays half empty.
 */
static unsigned leaf_cut(unsigned slot)
{
	return slot <= LEAF_SLOTS / 4 ? slot : LEAF_SLOTS / 2;
}

/* Move the first n ranges of `leaf` into the new leaf `low`. */
static void leaf_split(struct index_leaf *leaf, struct index_leaf *low, unsigned n)
{
	low->floor = leaf->floor;
	low->count = n;
	low->gaps = leaf->gaps & ~gaps_from(n);
	memcpy(low->hi, leaf->hi, n * sizeof(uint64_t));
	memcpy(low->lo, leaf->lo, n * sizeof(uint64_t));
	size_t rest = (size_t)leaf->count - n;
	memmove(leaf->hi, &leaf->hi[n], rest * sizeof(uint64_t));
	memmove(leaf->lo, &leaf->lo[n], rest * sizeof(uint64_t));
	leaf->count = rest;
	leaf->gaps <<= n;
	leaf_pad(low);
	leaf_pad(leaf);
}

/* Move the first n children of `node` into the new node `low`. */
static void node_split(struct index_node *node, struct index_node *low, unsigned n)
{
	node_copy(low, 0, node, 0, n);
	low->count = n;
	node_copy(node, 0, node, n, node->count - n);
	node->count -= n;
	node_pad(low);
	node_pad(node);
}

/* The child at level `level` of the path was split: `low` is new, just below it. */
static void insert_child(struct range_index *index, struct index_path *path,
			 struct child_entry low, struct child_entry old, struct spare_nodes *spare)
{
	unsigned level = 0;
	for (; level < index->height; level++) {
		struct index_node *node = path->node[level];
		unsigned at = path->at[level];
		node_set(node, at, old);
		if (node->count < NODE_SLOTS) {
			node_insert(node, at, low);
			break;
		}
		struct index_node *below = spare->node[spare->used++];
		unsigned cut = at <= NODE_SLOTS / 4 ? at : NODE_SLOTS / 2;
		node_split(node, below, cut);
		if (at <= cut)
			node_insert(below, at, low);
		else
			node_insert(node, at - cut, low);
		low = node_entry(below);
		old = node_entry(node);
	}
	if (level == index->height) {
		struct index_node *root = spare->node[spare->used++];
		root->count = 2;
		node_pad(root);
		node_set(root, 0, low);
		node_set(root, 1, old);
		index->root = root;
		index->height++;
		return;
	}
	/* Counts and figures above the node that had room. */
	for (; level + 1 < index->height; level++) {
		struct child_entry e = node_entry(path->node[level]);
		node_set(path->node[level + 1], path->at[level + 1], e);
	}
}

static enum iova_status insert_splitting(struct range_index *index, struct index_path *path,
					 struct iova_range range)
{
	struct spare_nodes spare;
	if (spare_reserve(index, path, &spare) != IOVA_OK)
		return IOVA_NO_MEMORY;
	struct index_leaf *leaf = path->leaf, *low = spare.leaf;
	unsigned cut = leaf_cut(path->slot);
	leaf_split(leaf, low, cut);
	struct index_leaf *target = path->slot <= cut ? low : leaf;
	unsigned slot = path->slot <= cut ? path->slot : path->slot - cut;
	leaf_insert(target, slot, range);
	leaf->floor = low->hi[low->count - 1] + 1;
	note_gap(leaf, 0);
	insert_child(index, path, leaf_entry(low), leaf_entry(leaf), &spare);
	assert_cheap(spare.used == spare.count);
	return IOVA_OK;
}

enum iova_status index_insert(struct range_index *index, struct index_path *path,
			      struct iova_range range)
{
	struct index_leaf *leaf = path->leaf;
	unsigned slot = path->slot;
	assert_cheap(range.lo <= range.hi && range.hi < leaf->lo[slot]);
	assert_cheap(range.lo >= gap_start(leaf, slot));
	if (leaf->count == LEAF_SLOTS) {
		enum iova_status status = insert_splitting(index, path, range);
		if (status != IOVA_OK)
			return status;
	} else {
		struct gap_summary was = gap_figures(gap_start(leaf, slot), leaf->lo[slot]);
		leaf_insert(leaf, slot, range);
		ranges_changed(index, path, 1);
		gap_shrank(index, path, was);
	}
	index->count++;
	index->pages += range.hi - range.lo + 1;
	return IOVA_OK;
}

/* ----------------------------------------------------------------------- removing */

/* Take the child at `at` out of the node at path level `level`, which keeps others. */
static void node_drop(struct index_node *node, unsigned at)
{
	node_copy(node, at, node, at + 1, node->count - at - 1);
	node->count--;
	node_pad(node);
}

static bool merge_leaves(struct range_index *index, struct index_node *node, unsigned at)
{
	struct index_leaf *low = node->child[at], *high = node->child[at + 1];
	if (low->count + high->count > MERGE_LEAF)
		return false;
	memmove(&high->hi[low->count], high->hi, (size_t)high->count * sizeof(uint64_t));
	memmove(&high->lo[low->count], high->lo, (size_t)high->count * sizeof(uint64_t));
	memcpy(high->hi, low->hi, (size_t)low->count * sizeof(uint64_t));
	memcpy(high->lo, low->lo, (size_t)low->count * sizeof(uint64_t));
	high->gaps = high->gaps >> low->count | low->gaps;
	high->count += low->count;
	high->floor = low->floor;
	leaf_free(index, low);
	return true;
}

static bool merge_nodes(struct range_index *index, struct index_node *node, unsigned at)
{
	struct index_node *low = node->child[at], *high = node->child[at + 1];
	if (low->count + high->count > MERGE_NODE)
		return false;
	node_copy(high, (unsigned)low->count, high, 0, high->count);
	node_copy(high, 0, low, 0, low->count);
	high->count += low->count;
	node_free(index, low);
	return true;
}

/* Merge the children `at` and `at + 1` of an inner node, if they fit in one. */
static bool merge_children(struct range_index *index, struct index_node *node, unsigned at,
			   bool leaves)
{
	if (!(leaves ? merge_leaves(index, node, at) : merge_nodes(index, node, at)))
		return false;
	node->ranges[at + 1] += node->ranges[at];
	if (node->best[at] > node->best[at + 1])
		node->best[at + 1] = node->best[at];
	if (node->longest[at] > node->longest[at + 1])
		node->longest[at + 1] = node->longest[at];
	node_drop(node, at);
	return true;
}

static void shrink_root(struct range_index *index)
{
	while (index->height > 0) {
		struct index_node *root = index->root;
		if (root->count > 1)
			return;
		index->root = root->child[0];
		index->height--;
		node_free(index, root);
	}
}

/* What hangs at the path's place on `level` has become small: merge it where it fits, and
 * then its parents, which may have become small by that. */
static void merge_upwards(struct range_index *index, struct index_path *path, unsigned level)
{
	for (; level < index->height; level++) {
		struct index_node *node = path->node[level];
		unsigned at = path->at[level];
		bool leaves = level == 0;
		bool merged = at + 1 < node->count && merge_children(index, node, at, leaves);
		if (!merged && at > 0)
			merged = merge_children(index, node, at - 1, leaves);
		if (!merged && node->count > 1)
			break;
	}
	shrink_root(index);
}

/* The path's leaf has no range left: free it, and the inner nodes it leaves empty. */
static void drop_leaf(struct range_index *index, struct index_path *path)
{
	leaf_free(index, path->leaf);
	unsigned level = 0;
	while (path->node[level]->count == 1)
		node_free(index, path->node[level++]);
	node_drop(path->node[level], path->at[level]);
	for (unsigned up = level + 1; up < index->height; up++)
		node_set(path->node[up], path->at[up], node_entry(path->node[up - 1]));
	merge_upwards(index, path, level + 1);
}

/* The range above the removed one is in the next leaf, whose first gap grows down to a. */
static void lower_next_floor(const struct range_index *index, const struct index_path *path,
			     uint64_t a)
{
	struct index_path next = *path;
	bool found = index_next(index, &next);
	assert_cheap(found);
	(void)found;
	next.leaf->floor = a;
	next.leaf->gaps |= gap_bit(0);
	gap_grew(index, &next, gap_figures(a, next.leaf->lo[0]));
}

void index_remove(struct range_index *index, struct index_path *path)
{
	struct index_leaf *leaf = path->leaf;
	unsigned slot = path->slot;
	struct iova_range range = index_range(path);
	uint64_t a = gap_start(leaf, slot);
	bool last = slot + 1 == leaf->count;

	assert_cheap(range.hi != ANCHOR_PFN);
	index->count--;
	index->pages -= range.hi - range.lo + 1;
	if (last)
		lower_next_floor(index, path, a);
	leaf_remove(leaf, slot);
	if (leaf->count == 0) {
		drop_leaf(index, path);
		return;
	}
	ranges_changed(index, path, UINT64_MAX);
	if (last) {
		key_changed(index, path, leaf->hi[leaf->count - 1]);
		gap_shrank(index, path, gap_figures(a, range.lo));
	} else {
		gap_grew(index, path, gap_figures(a, leaf->lo[slot]));
	}
	if (leaf->count < LEAF_SLOTS / 3)
		merge_upwards(index, path, 0);
}

void index_lower(struct range_index *index, struct index_path *path, uint64_t lo)
{
	struct index_leaf *leaf = path->leaf;
	unsigned slot = path->slot;
	uint64_t a = gap_start(leaf, slot);
	assert_cheap(lo < leaf->lo[slot] && lo >= a);
	struct gap_summary was = gap_figures(a, leaf->lo[slot]);
	if (leaf->hi[slot] != ANCHOR_PFN)
		index->pages += leaf->lo[slot] - lo;
	leaf->lo[slot] = lo;
	note_gap(leaf, slot);
	gap_shrank(index, path, was);
}
