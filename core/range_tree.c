/* SPDX-License-Identifier: MIT */
#include "range_tree.h"

static const struct iova_range anchor = { ANCHOR_PFN, ANCHOR_PFN };

enum iova_status tree_init(struct range_tree *tree, const struct iova_memory *memory,
			   uint64_t start, uint64_t d32, bool count_steps)
{
	*tree = (struct range_tree){
		.start = start,
		.d32 = d32,
		.give_up = d32,
		.near = anchor,
		.near32 = anchor,
		.count_steps = count_steps,
		.memory = memory,
	};
	return index_init(&tree->index, memory);
}

void tree_fini(struct range_tree *tree)
{
	index_fini(&tree->index);
}

static bool record_admitted(const struct range_tree *tree)
{
	return !tree->memory->admit_range || tree->memory->admit_range(tree->memory->context);
}

/* ---------------------------------------------------------------------- searching */

/* One pass of a search, downwards from a start range. */
struct pass {
	uint64_t from; /* lo of the range the walk starts at */
	uint64_t top;  /* L: one above the limit */
	uint64_t low;  /* lowest pfn this pass may hand out */
};

/*
 * Path to the range at which a pass that fails stops: the first, going down, below which
 * the request would start under `low`, or would wrap below 0.
 */
static void seek_failing_stop(const struct range_tree *tree, const struct pass *pass,
			      uint64_t size, uint64_t mask, struct index_path *path)
{
	uint64_t low = (pass->low + ~mask) & mask; /* rounded up */
	uint64_t bound = low + size;
	uint64_t high = pass->from < pass->top ? pass->from : pass->top;
	bool overflows = low < pass->low || bound < size;

	if (high < size) {
		/* The place wraps to near 2^64: only ranges up there let the walk go on. */
		uint64_t wrapped = (high - size) & mask;
		index_seek(&tree->index, wrapped < pass->from ? wrapped : pass->from, path);
	} else if (overflows || high < bound) {
		index_seek(&tree->index, pass->from, path);
	} else {
		/* The highest range with lo below the bound. */
		index_seek(&tree->index, bound - 1, path);
		if (path->leaf->lo[path->slot] >= bound)
			index_previous(&tree->index, path);
	}
}

/* Rank of the range a walk starts at; `path` leads to `top`, the lower of that and the limit. */
static uint64_t rank_of_start(const struct range_tree *tree, const struct pass *pass, uint64_t top,
			      const struct index_path *path)
{
	if (likely(top == pass->from))
		return index_rank(&tree->index, path);
	struct index_path from;
	index_seek(&tree->index, pass->from, &from);
	return index_rank(&tree->index, &from);
}

static bool run_pass(struct range_tree *tree, const struct pass *pass, uint64_t size,
		     uint64_t mask, struct index_path *path, uint64_t *pfn)
{
	const struct range_index *index = &tree->index;
	uint64_t top = pass->from < pass->top ? pass->from : pass->top;
	index_seek(index, top, path);
	uint64_t from = tree->count_steps ? rank_of_start(tree, pass, top, path) : 0;
	bool found = size <= top && index_find_gap_from(index, top, size, mask, path, pfn) &&
		     *pfn >= pass->low;
	if (tree->count_steps) {
		/* Linux's walk takes a step for each range from its start to its stop. */
		if (!found)
			seek_failing_stop(tree, pass, size, mask, path);
		tree->steps += from - index_rank(index, path) + 1;
	}
	return found;
}

/*
 * Where Linux starts the second pass: at the anchor, or just above a 32-bit limit. Only
 * the length of the walk tells the two apart.
 */
static uint64_t second_start(const struct range_tree *tree, uint64_t top, bool is32)
{
	if (!is32 || !tree->count_steps)
		return ANCHOR_PFN;
	struct index_path path;
	index_seek(&tree->index, top, &path);
	if (path.leaf->lo[path.slot] < top)
		index_next(&tree->index, &path);
	return path.leaf->lo[path.slot];
}

static bool search(struct range_tree *tree, uint64_t size, uint64_t top, uint64_t mask,
		   struct index_path *path, uint64_t *pfn)
{
	bool is32 = top <= tree->d32;
	const struct iova_range *near = is32 ? &tree->near32 : &tree->near;
	uint64_t retry = near->hi;
	struct pass pass = { near->lo, top, tree->start };

	if (run_pass(tree, &pass, size, mask, path, pfn))
		return true;
	if (retry >= top)
		return false;
	pass.from = second_start(tree, top, is32);
	pass.low = retry + 1;
	return run_pass(tree, &pass, size, mask, path, pfn);
}

enum iova_status tree_alloc(struct range_tree *tree, uint64_t size, uint64_t limit, bool align,
			    struct iova_range *result)
{
	uint64_t top = limit + 1;
	unsigned order = align ? order_of(size) : 0;
	uint64_t mask = order < 64 ? UINT64_MAX << order : 0;
	struct index_path path;
	uint64_t pfn;

	tree->steps = 0;
	if (!record_admitted(tree))
		return IOVA_NO_MEMORY;
	if (top <= tree->d32 && size >= tree->give_up)
		return IOVA_NO_SPACE;
	if (!search(tree, size, top, mask, &path, &pfn)) {
		tree->give_up = size;
		return IOVA_NO_SPACE;
	}
	struct iova_range range = { pfn, pfn + size - 1 };
	if (index_insert(&tree->index, &path, range) != IOVA_OK)
		return IOVA_NO_MEMORY;
	if (range.hi < tree->d32)
		tree->near32 = range;
	else
		tree->near = range;
	*result = range;
	return IOVA_OK;
}

/* ----------------------------------------------------------- removing and reserving */

enum iova_status tree_remove(struct range_tree *tree, uint64_t pfn)
{
	struct iova_range unused;
	return tree_take_out(tree, pfn, &unused);
}

enum iova_status tree_take_out(struct range_tree *tree, uint64_t pfn, struct iova_range *removed)
{
	struct index_path path;
	index_seek(&tree->index, pfn, &path);
	struct iova_range range = index_range(&path);
	if (range.lo > pfn || range.hi == ANCHOR_PFN)
		return IOVA_NOT_FOUND;

	if (range.hi == tree->near32.hi || (range.hi < tree->d32 && range.lo >= tree->near32.lo))
		tree->near32 = index_range_above(&tree->index, &path);
	if (range.lo < tree->d32)
		tree->give_up = tree->d32;
	if (range.lo >= tree->near.lo)
		tree->near = index_range_above(&tree->index, &path);
	index_remove(&tree->index, &path);
	*removed = range;
	return IOVA_OK;
}

bool tree_find(const struct range_tree *tree, uint64_t pfn, struct iova_range *result)
{
	struct index_path path;
	index_seek(&tree->index, pfn, &path);
	*result = index_range(&path);
	return result->lo <= pfn;
}

static void lower_range(struct range_tree *tree, struct index_path *path, uint64_t lo)
{
	uint64_t hi = index_range(path).hi;
	index_lower(&tree->index, path, lo);
	if (tree->near.hi == hi)
		tree->near.lo = lo;
	if (tree->near32.hi == hi)
		tree->near32.lo = lo;
}

enum iova_status tree_reserve(struct range_tree *tree, uint64_t lo, uint64_t hi,
			      struct iova_range *result)
{
	struct index_path path;
	index_seek(&tree->index, lo, &path);
	for (struct iova_range r = index_range(&path); r.lo <= hi; r = index_range(&path)) {
		if (lo < r.lo)
			lower_range(tree, &path, lo);
		if (hi <= r.hi) {
			*result = index_range(&path);
			return IOVA_OK;
		}
		lo = r.hi + 1;
		index_next(&tree->index, &path);
	}
	if (lo > hi)
		return IOVA_INVALID;
	if (!record_admitted(tree))
		return IOVA_NO_MEMORY;
	*result = (struct iova_range){ lo, hi };
	return index_insert(&tree->index, &path, *result);
}

/* ----------------------------------------------------------------- what Linux has not */

enum iova_status tree_place(struct range_tree *tree, uint64_t lo, uint64_t hi,
			    struct iova_range *result)
{
	struct index_path path;
	struct iova_range range = { lo, hi };
	if (lo > hi)
		return IOVA_INVALID;
	if (!record_admitted(tree))
		return IOVA_NO_MEMORY;
	index_seek(&tree->index, lo, &path);
	struct iova_range next = index_range(&path);
	if (next.lo <= hi) {
		*result = next;
		return IOVA_RESERVED;
	}
	if (index_insert(&tree->index, &path, range) != IOVA_OK)
		return IOVA_NO_MEMORY;
	*result = range;
	return IOVA_OK;
}

/* The highest place in the highest gap that holds a whole block of 2^order frames. */
static bool find_beside_a_block(const struct range_tree *tree, uint64_t size, uint64_t top,
				unsigned order, struct index_path *path, uint64_t *pfn)
{
	uint64_t block = UINT64_C(1) << order, mask = UINT64_MAX << order;
	if (size > block || !index_find_gap(&tree->index, top, block, mask, path, pfn) ||
	    *pfn < tree->start)
		return false;
	uint64_t end = index_range(path).lo;
	*pfn = ((end < top ? end : top) - size) & mask;
	return true;
}

enum iova_status tree_alloc_aligned(struct range_tree *tree, uint64_t size, uint64_t limit,
				    unsigned order, struct iova_range *result)
{
	/* The last frame is the anchor's. */
	uint64_t top = limit < ANCHOR_PFN ? limit + 1 : ANCHOR_PFN;
	struct index_path path;
	uint64_t pfn;

	assert_cheap(size >= 1 && order < 64);
	tree->steps = 0;
	if (!record_admitted(tree))
		return IOVA_NO_MEMORY;
	bool found = find_beside_a_block(tree, size, top, order, &path, &pfn);
	if (!found)
		found = index_find_gap_at_order(&tree->index, top, size, order, &path, &pfn) &&
			pfn >= tree->start;
	if (!found)
		return IOVA_NO_SPACE;
	struct iova_range range = { pfn, pfn + size - 1 };
	if (index_insert(&tree->index, &path, range) != IOVA_OK)
		return IOVA_NO_MEMORY;
	*result = range;
	return IOVA_OK;
}

bool tree_next(const struct range_tree *tree, uint64_t pfn, struct iova_range *result)
{
	struct index_path path;
	index_seek(&tree->index, pfn, &path);
	struct iova_range range = index_range(&path);
	if (range.hi == ANCHOR_PFN)
		return false;
	*result = range;
	return true;
}

uint64_t tree_longest_gap(const struct range_tree *tree)
{
	struct index_path path;
	index_seek(&tree->index, tree->start, &path);
	return index_longest_gap(&tree->index, tree->start, &path);
}
