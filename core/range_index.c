/* SPDX-License-Identifier: MIT */
#include "range_index_inner.h"

_Static_assert(sizeof(struct index_leaf) <= 1024, "a leaf is at most sixteen cache lines");
_Static_assert(sizeof(struct index_node) <= 1024, "an inner node is as well");
_Static_assert(LEAF_SLOTS < 64 && NODE_SLOTS < 32, "a bit for each slot");

#define WORDS_PER_LINE 8u

/* ------------------------------------------------------------- making and freeing */

enum iova_status index_init(struct range_index *index, const struct iova_memory *memory)
{
	*index = (struct range_index){ .memory = memory };
	struct index_leaf *leaf = leaf_new(index);
	if (!leaf)
		return IOVA_NO_MEMORY;
	leaf->floor = 0;
	leaf->count = 1;
	leaf->lo[0] = leaf->hi[0] = ANCHOR_PFN;
	leaf->gaps = gap_bit(0);
	leaf_pad(leaf);
	index->root = leaf;
	index->count = 1;
	return IOVA_OK;
}

static void free_below(struct range_index *index, void *block, unsigned height)
{
	if (height == 0) {
		leaf_free(index, block);
		return;
	}
	struct index_node *node = block;
	for (unsigned i = 0; i < node->count; i++)
		free_below(index, node->child[i], height - 1);
	node_free(index, node);
}

void index_fini(struct range_index *index)
{
	if (index->root)
		free_below(index, index->root, index->height);
	index->root = NULL;
}

uint64_t index_bytes(const struct range_index *index)
{
	return index->leaves * sizeof(struct index_leaf) + index->nodes * sizeof(struct index_node);
}

/* ------------------------------------------------------------------ moving about */

/* First of the sorted keys that is at or above pfn, as the caller knows that one is. */
static inline unsigned first_at_or_above(const uint64_t *key, unsigned slots, uint64_t pfn)
{
	unsigned line = 0;
	for (unsigned i = WORDS_PER_LINE - 1; i + 1 < slots; i += WORDS_PER_LINE)
		line += key[i] < pfn;
	unsigned first = line * WORDS_PER_LINE;
	if (first > slots - WORDS_PER_LINE)
		first = slots - WORDS_PER_LINE; /* the last line may be a short one */
	unsigned at = first;
	for (unsigned i = 0; i < WORDS_PER_LINE - 1; i++)
		at += key[first + i] < pfn;
	return at;
}

/* All lines of a node at once: the keys lead to the others, and each may be far away. */
static inline void prefetch(const void *node, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch((const char *)node + i);
}

/*
 * Not to be called from this file with a local path: GCC 12 forgets, in what it notes for
 * callers it compiles together with this, that path->node is written (seen with -O2; the
 * caller then reads what was there before).
 */
void index_seek(const struct range_index *index, uint64_t pfn, struct index_path *path)
{
	void *block = index->root;
	for (unsigned level = index->height; level-- > 0;) {
		struct index_node *node = block;
		prefetch(node, sizeof(*node));
		path->node[level] = node;
		path->at[level] = first_at_or_above(node->key, NODE_SLOTS, pfn);
		block = node->child[path->at[level]];
	}
	path->leaf = block;
	prefetch(path->leaf, sizeof(*path->leaf));
	path->slot = first_at_or_above(path->leaf->hi, LEAF_SLOTS, pfn);
}

static void descend_first(struct index_path *path, unsigned level)
{
	while (level-- > 0) {
		path->node[level] = path->node[level + 1]->child[path->at[level + 1]];
		path->at[level] = 0;
	}
	path->leaf = path->node[0]->child[path->at[0]];
	path->slot = 0;
}

static void descend_last(struct index_path *path, unsigned level)
{
	while (level-- > 0) {
		path->node[level] = path->node[level + 1]->child[path->at[level + 1]];
		path->at[level] = (unsigned)path->node[level]->count - 1;
	}
	path->leaf = path->node[0]->child[path->at[0]];
	path->slot = (unsigned)path->leaf->count - 1;
}

bool index_next(const struct range_index *index, struct index_path *path)
{
	if (path->slot + 1 < path->leaf->count) {
		path->slot++;
		return true;
	}
	for (unsigned level = 0; level < index->height; level++) {
		if (path->at[level] + 1 < path->node[level]->count) {
			path->at[level]++;
			descend_first(path, level);
			return true;
		}
	}
	return false;
}

bool index_previous(const struct range_index *index, struct index_path *path)
{
	if (path->slot > 0) {
		path->slot--;
		return true;
	}
	for (unsigned level = 0; level < index->height; level++) {
		if (path->at[level] > 0) {
			path->at[level]--;
			descend_last(path, level);
			return true;
		}
	}
	return false;
}

struct iova_range index_range_above(const struct range_index *index, const struct index_path *path)
{
	const struct index_leaf *leaf = path->leaf;
	if (likely(path->slot + 1 < leaf->count))
		return (struct iova_range){ leaf->lo[path->slot + 1], leaf->hi[path->slot + 1] };
	struct index_path next = *path;
	index_next(index, &next);
	return index_range(&next);
}

uint64_t index_rank(const struct range_index *index, const struct index_path *path)
{
	uint64_t rank = path->slot;
	for (unsigned level = 0; level < index->height; level++)
		for (unsigned i = 0; i < path->at[level]; i++)
			rank += path->node[level]->ranges[i];
	return rank;
}

/* --------------------------------------------------------------------- searching */

/* In the path's leaf, from its slot down, the gap of that slot ending at `top`. */
static bool find_in_leaf(struct index_path *path, uint64_t top, uint64_t size, uint64_t mask,
			 uint64_t *pfn)
{
	const struct index_leaf *leaf = path->leaf;
	uint64_t left = leaf->gaps & ~gaps_from(path->slot + 1);
	for (; left; left &= left - 1) {
		unsigned i = 63u - (unsigned)__builtin_ctzll(left);
		uint64_t b = leaf->lo[i] < top ? leaf->lo[i] : top;
		if (gap_fits(gap_start(leaf, i), b, size, mask)) {
			path->slot = i;
			*pfn = (b - size) & mask;
			return true;
		}
	}
	return false;
}

/* The figure that decides for this mask. */
static inline const uint64_t *figure_for(const struct index_node *node, uint64_t mask)
{
	return mask != UINT64_MAX ? node->best : node->longest;
}

/* Last of the first n children with a gap for `size`; NODE_SLOTS if there is none. */
static inline unsigned last_that_holds(const uint64_t *figure, unsigned n, uint64_t size)
{
	uint32_t holds = 0;
	for (unsigned line = 0; line < NODE_SLOTS; line += WORDS_PER_LINE)
		for (unsigned i = 0; i < WORDS_PER_LINE; i++)
			holds |= (uint32_t)(figure[line + i] >= size) << (line + i);
	holds &= (UINT32_C(1) << n) - 1;
	return holds ? 31u - (unsigned)__builtin_clz(holds) : NODE_SLOTS;
}

/* The child `at` of the path's node on `level` holds size: find its last gap that does. */
static void find_below(struct index_path *path, unsigned level, unsigned at, uint64_t size,
		       uint64_t mask, uint64_t *pfn)
{
	struct index_node *node = path->node[level];
	path->at[level] = at;
	while (level-- > 0) {
		node = node->child[at];
		at = last_that_holds(figure_for(node, mask), (unsigned)node->count, size);
		assert_cheap(at < node->count);
		path->node[level] = node;
		path->at[level] = at;
	}
	path->leaf = node->child[at];
	path->slot = (unsigned)path->leaf->count - 1;
	bool found = find_in_leaf(path, UINT64_MAX, size, mask, pfn);
	assert_cheap(found);
	(void)found;
}

bool index_find_gap(const struct range_index *index, uint64_t top, uint64_t size, uint64_t mask,
		    struct index_path *path, uint64_t *pfn)
{
	index_seek(index, top, path);
	return index_find_gap_from(index, top, size, mask, path, pfn);
}

bool index_find_gap_from(const struct range_index *index, uint64_t top, uint64_t size,
			 uint64_t mask, struct index_path *path, uint64_t *pfn)
{
	bool here = index->height == 0 ||
		    figure_for(path->node[0], mask)[path->at[0]] >= size;
	if (here && find_in_leaf(path, top, size, mask, pfn))
		return true;
	for (unsigned level = 0; level < index->height; level++) {
		const uint64_t *figure = figure_for(path->node[level], mask);
		unsigned at = last_that_holds(figure, path->at[level], size);
		if (at != NODE_SLOTS) {
			find_below(path, level, at, size, mask, pfn);
			return true;
		}
	}
	return false;
}

bool index_find_gap_at_order(const struct range_index *index, uint64_t top, uint64_t size,
			     unsigned order, struct index_path *path, uint64_t *pfn)
{
	uint64_t mask = UINT64_MAX << order;
	unsigned natural = order_of(size);
	/* Wherever the request fits, it fits at this alignment as well. */
	uint64_t weaker = natural <= order ? UINT64_MAX << natural : UINT64_MAX;

	while (size <= top && index_find_gap(index, top, size, weaker, path, pfn)) {
		*pfn &= mask;
		if (*pfn >= gap_start(path->leaf, path->slot))
			return true;
		top = *pfn + size; /* the next multiple down is the highest left to try */
	}
	return false;
}

/* ----------------------------------------------------------------- the longest gap */

static inline uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t index_longest_gap(const struct range_index *index, uint64_t low,
			   const struct index_path *path)
{
	const struct index_leaf *leaf = path->leaf;
	uint64_t from = longer(low, gap_start(leaf, path->slot));
	uint64_t lo = leaf->lo[path->slot];
	uint64_t longest = lo > from ? lo - from : 0;
	for (unsigned i = path->slot + 1; i < leaf->count; i++)
		longest = longer(longest, leaf->lo[i] - gap_start(leaf, i));
	for (unsigned level = 0; level < index->height; level++) {
		const struct index_node *node = path->node[level];
		for (unsigned i = path->at[level] + 1; i < node->count; i++)
			longest = longer(longest, node->longest[i]);
	}
	return longest;
}
