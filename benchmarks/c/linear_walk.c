/* SPDX-License-Identifier: MIT */
#include "linear_walk.h"

#include <stdlib.h>

#include "bench.h"

/* ----------------------------------------------------------------------- searching */

struct place {
	uint64_t pfn;
	struct linear_node *above; /* the range just above the place */
};

/* Walk down from `from` to the first range below which the request fits. */
static bool walk_down(struct linear_node *from, uint64_t top, uint64_t low, uint64_t size,
		      uint64_t mask, struct place *place)
{
	struct linear_node *current = from;
	uint64_t high = top;
	do {
		high = high < current->lo ? high : current->lo;
		place->pfn = (high - size) & mask;
		place->above = current;
		current = current->below;
	} while (current && place->pfn <= current->hi && place->pfn >= low);
	return high >= size && place->pfn >= low;
}

static struct linear_node *lowest_at_or_above(struct linear_walk *walk, uint64_t pfn)
{
	struct linear_node *node = &walk->anchor;
	while (node->below && node->below->lo >= pfn)
		node = node->below;
	return node;
}

static bool search(struct linear_walk *walk, uint64_t size, uint64_t top, uint64_t mask,
		   struct place *place)
{
	bool is32 = top <= walk->d32;
	struct linear_node *from = is32 ? walk->near32 : walk->near;
	uint64_t retry = from->hi;
	if (walk_down(from, top, walk->start, size, mask, place))
		return true;
	if (retry >= top)
		return false;
	from = is32 ? lowest_at_or_above(walk, top) : &walk->anchor;
	return walk_down(from, top, retry + 1, size, mask, place);
}

/* --------------------------------------------------------------- changing the list */

static struct linear_node *link_below(struct linear_walk *walk, struct linear_node *above,
				      struct iova_range range)
{
	struct linear_node *node = walk->unused;
	walk->unused = node->below;
	*node = (struct linear_node){ range.lo, range.hi, above->below, above };
	if (above->below)
		above->below->above = node;
	above->below = node;
	return node;
}

struct linear_node *linear_alloc(struct linear_walk *walk, uint64_t size, uint64_t limit,
				 bool align)
{
	uint64_t top = limit + 1;
	uint64_t mask = align ? UINT64_MAX << order_of(size) : UINT64_MAX;
	struct place place;
	if (!walk->unused || (top <= walk->d32 && size >= walk->give_up))
		return NULL;
	if (!search(walk, size, top, mask, &place)) {
		walk->give_up = size;
		return NULL;
	}
	struct iova_range range = { place.pfn, place.pfn + size - 1 };
	struct linear_node *node = link_below(walk, place.above, range);
	if (node->hi < walk->d32)
		walk->near32 = node;
	else
		walk->near = node;
	return node;
}

void linear_free(struct linear_walk *walk, struct linear_node *node)
{
	if (node == walk->near32 || (node->hi < walk->d32 && node->lo >= walk->near32->lo))
		walk->near32 = node->above;
	if (node->lo < walk->d32)
		walk->give_up = walk->d32;
	if (node->lo >= walk->near->lo)
		walk->near = node->above;
	node->above->below = node->below;
	if (node->below)
		node->below->above = node->above;
	node->below = walk->unused;
	walk->unused = node;
}

/* ------------------------------------------------------------------- from a tree */

static void shuffle_unused(struct linear_walk *walk, size_t count, uint64_t seed)
{
	uint32_t *order = malloc(count * sizeof(*order));
	must(order != NULL, "no memory");
	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (size_t i = count; i-- > 1;) {
		size_t j = random_below(&seed, i + 1);
		uint32_t swapped = order[i];
		order[i] = order[j];
		order[j] = swapped;
	}
	for (size_t i = 0; i < count; i++) {
		walk->nodes[order[i]].below = walk->unused;
		walk->unused = &walk->nodes[order[i]];
	}
	free(order);
}

bool linear_copy(struct linear_walk *walk, const struct range_tree *tree, size_t extra,
		 uint64_t seed)
{
	size_t count = tree->index.count - 1 + extra;
	struct index_path path;
	*walk = (struct linear_walk){ .start = tree->start,
				      .d32 = tree->d32,
				      .give_up = tree->give_up,
				      .anchor = { ANCHOR_PFN, ANCHOR_PFN, NULL, NULL } };
	walk->nodes = malloc(count * sizeof(*walk->nodes));
	walk->sorted = malloc(count * sizeof(*walk->sorted));
	if (!walk->nodes || !walk->sorted)
		return false;
	shuffle_unused(walk, count, seed);
	walk->near = walk->near32 = &walk->anchor;
	struct linear_node *above = &walk->anchor;
	walk->sorted_count = tree->index.count - 1;
	size_t at = walk->sorted_count;
	index_seek(&tree->index, ANCHOR_PFN, &path);
	while (index_previous(&tree->index, &path)) {
		above = link_below(walk, above, index_range(&path));
		walk->sorted[--at] = above;
		if (above->hi == tree->near.hi)
			walk->near = above;
		if (above->hi == tree->near32.hi)
			walk->near32 = above;
	}
	return true;
}

void linear_fini(struct linear_walk *walk)
{
	free(walk->nodes);
	free(walk->sorted);
	walk->nodes = NULL;
	walk->sorted = NULL;
}

static int by_lo(const void *a, const void *b)
{
	const struct linear_node *x = a, *const *y = b;
	return (x->lo > (*y)->lo) - (x->lo < (*y)->lo);
}

struct linear_node *linear_find(const struct linear_walk *walk, uint64_t lo)
{
	struct linear_node key = { .lo = lo };
	struct linear_node **found =
		bsearch(&key, walk->sorted, walk->sorted_count, sizeof(*walk->sorted), by_lo);
	must(found != NULL, "a live range is not in the tree");
	return *found;
}
