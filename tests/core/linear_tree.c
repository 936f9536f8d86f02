/* SPDX-License-Identifier: MIT */
#include "linear_tree.h"

#include "check.h"

void linear_init(struct linear_tree *tree, uint64_t start, uint64_t d32)
{
	*tree = (struct linear_tree){
		.start = start,
		.d32 = d32,
		.give_up = d32,
		.near_hi = UINT64_MAX,
		.near32_hi = UINT64_MAX,
	};
	linear_insert(tree, 0, (struct iova_range){ UINT64_MAX, UINT64_MAX });
}

void linear_fini(struct linear_tree *tree)
{
	free(tree->range);
}

void linear_insert(struct linear_tree *tree, size_t at, struct iova_range range)
{
	if (tree->count == tree->capacity) {
		tree->capacity = tree->capacity ? 2 * tree->capacity : 64;
		tree->range = realloc(tree->range, tree->capacity * sizeof(range));
		CHECK(tree->range != NULL);
	}
	memmove(&tree->range[at + 1], &tree->range[at], (tree->count - at) * sizeof(range));
	tree->range[at] = range;
	tree->count++;
}

void linear_erase(struct linear_tree *tree, size_t at)
{
	tree->count--;
	memmove(&tree->range[at], &tree->range[at + 1],
		(tree->count - at) * sizeof(struct iova_range));
}

size_t linear_first(const struct linear_tree *tree, uint64_t pfn)
{
	size_t low = 0, high = tree->count - 1;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (tree->range[middle].hi < pfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t linear_at(const struct linear_tree *tree, uint64_t hi)
{
	size_t at = linear_first(tree, hi);
	CHECK_EQ(tree->range[at].hi, hi);
	return at;
}

/* ---------------------------------------------------------------------- searching */

struct walk {
	size_t cur;
	uint64_t high, low, pfn;
};

static bool walk_down(struct linear_tree *tree, struct walk *walk, uint64_t size, uint64_t mask)
{
	size_t cur = walk->cur;
	bool exists, again;
	do {
		tree->steps++;
		if (tree->range[cur].lo < walk->high)
			walk->high = tree->range[cur].lo;
		walk->pfn = (walk->high - size) & mask;
		exists = cur > 0;
		cur -= exists;
		again = exists && walk->pfn <= tree->range[cur].hi && walk->pfn >= walk->low;
	} while (again);
	return !(walk->high < size || walk->pfn < walk->low);
}

/* Where the second pass starts: the anchor, or the lowest range at or above the limit. */
static size_t second_start(const struct linear_tree *tree, uint64_t top)
{
	size_t at = tree->count - 1;
	if (top > tree->d32)
		return at;
	while (at > 0 && tree->range[at - 1].lo >= top)
		at--;
	return at;
}

static bool search(struct linear_tree *tree, uint64_t size, uint64_t top, uint64_t mask,
		   uint64_t *pfn)
{
	size_t near = linear_at(tree, top <= tree->d32 ? tree->near32_hi : tree->near_hi);
	uint64_t retry = tree->range[near].hi;
	struct walk walk = { near, top, tree->start, 0 };
	bool found = walk_down(tree, &walk, size, mask);
	if (!found && retry < top) {
		walk = (struct walk){ second_start(tree, top), top, retry + 1, 0 };
		found = walk_down(tree, &walk, size, mask);
	}
	*pfn = walk.pfn;
	return found;
}

static uint64_t mask_of(uint64_t size, bool align)
{
	uint64_t mask = UINT64_MAX;
	for (uint64_t block = 1; align && mask && block < size; block <<= 1)
		mask <<= 1;
	return mask;
}

enum iova_status linear_alloc(struct linear_tree *tree, uint64_t size, uint64_t limit, bool align,
			      struct iova_range *result)
{
	uint64_t top = limit + 1, pfn;
	tree->steps = 0;
	if (top <= tree->d32 && size >= tree->give_up)
		return IOVA_NO_SPACE;
	if (!search(tree, size, top, mask_of(size, align), &pfn)) {
		tree->give_up = size;
		return IOVA_NO_SPACE;
	}
	*result = (struct iova_range){ pfn, pfn + size - 1 };
	linear_insert(tree, linear_first(tree, result->hi), *result);
	if (result->hi < tree->d32)
		tree->near32_hi = result->hi;
	else
		tree->near_hi = result->hi;
	return IOVA_OK;
}

/* ----------------------------------------------------------- removing and reserving */

enum iova_status linear_remove(struct linear_tree *tree, uint64_t pfn)
{
	size_t at = linear_first(tree, pfn);
	struct iova_range range = tree->range[at];
	if (range.lo > pfn || range.hi == UINT64_MAX)
		return IOVA_NOT_FOUND;
	uint64_t near_lo = tree->range[linear_at(tree, tree->near_hi)].lo;
	uint64_t near32_lo = tree->range[linear_at(tree, tree->near32_hi)].lo;
	uint64_t next_hi = tree->range[at + 1].hi;
	if (range.hi == tree->near32_hi || (range.hi < tree->d32 && range.lo >= near32_lo))
		tree->near32_hi = next_hi;
	if (range.lo < tree->d32)
		tree->give_up = tree->d32;
	if (range.lo >= near_lo)
		tree->near_hi = next_hi;
	linear_erase(tree, at);
	return IOVA_OK;
}

enum iova_status linear_reserve(struct linear_tree *tree, uint64_t lo, uint64_t hi,
				struct iova_range *result)
{
	size_t at = 0;
	bool overlapped = false;
	for (; at < tree->count; at++) {
		struct iova_range *r = &tree->range[at];
		bool overlaps = lo <= r->hi && hi >= r->lo;
		if (!overlaps && (overlapped || r->lo > hi))
			break;
		if (!overlaps)
			continue;
		overlapped = true;
		if (lo < r->lo)
			r->lo = lo;
		if (hi > r->hi)
			lo = r->hi + 1;
		if (lo >= r->lo && hi <= r->hi) {
			*result = *r;
			return IOVA_OK;
		}
	}
	if (lo > hi)
		return IOVA_INVALID;
	*result = (struct iova_range){ lo, hi };
	linear_insert(tree, linear_first(tree, hi), *result);
	return IOVA_OK;
}

bool linear_find(const struct linear_tree *tree, uint64_t pfn, struct iova_range *result)
{
	*result = tree->range[linear_first(tree, pfn)];
	return result->lo <= pfn;
}
