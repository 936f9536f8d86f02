/* SPDX-License-Identifier: MIT */
/*
 * Allocating and freeing 64 pages in the range tree, past all caches, with so many random
 * ranges live; one operation is one allocation or one free. Three layouts:
 *
 *   64 pages   every live range is of 64 pages; random ones are freed and replaced
 *   mixed      half of the live ranges are of 1 .. 128 pages; the layout was aged by
 *              replacing each twice; random ones of 64 pages are freed and replaced
 *   unaligned  the adversary: as many gaps that are large enough and none that is
 *              aligned, all searched from the top down; once for 64 pages, once for 48
 *
 * Beside the tree a linear walk over the same ranges, whose addresses must be the same.
 *
 * usage: bench_tree LIVE ROUNDS OPERATIONS [steps]
 * With `steps` the tree also counts the steps of Linux's walk, as the lab does.
 */
#include <malloc.h>
#include <string.h>

#include "bench.h"
#include "linear_walk.h"

#define PAGES 64u
#define LIMIT UINT64_C(0xfffffffffff)
#define D32 (UINT64_C(1) << 20)
/* The walk takes microseconds an operation: it gets as many as fit in this. */
#define WALK_STEPS_PER_ROUND 10000000u

struct layout {
	const char *name;
	struct range_tree tree;
	struct linear_walk walk;
	size_t count;		    /* ranges that may be replaced, of 64 pages */
	uint64_t *lo;		    /* of each, in the tree */
	struct linear_node **nodes; /* of each, in the walk */
	uint64_t seed_tree, seed_walk;
};

static uint64_t tree_take(struct range_tree *tree, uint64_t pages)
{
	struct iova_range range;
	must(tree_alloc(tree, pages, LIMIT, true, &range) == IOVA_OK, "an allocation failed");
	return range.lo;
}

static void tree_give(struct range_tree *tree, uint64_t lo)
{
	must(tree_remove(tree, lo) == IOVA_OK, "a free failed");
}

/* ------------------------------------------------------------------------- layouts */

static void start(struct layout *layout, const char *name, size_t live, bool steps)
{
	*layout = (struct layout){ .name = name, .seed_tree = 7, .seed_walk = 7 };
	must(tree_init(&layout->tree, iova_memory_heap(), 1, D32, steps) == IOVA_OK, "no tree");
	layout->lo = malloc(live * sizeof(*layout->lo));
	layout->nodes = malloc(live * sizeof(*layout->nodes));
	must(layout->lo && layout->nodes, "no memory");
}

static void same_for_the_walk(struct layout *layout)
{
	must(linear_copy(&layout->walk, &layout->tree, 1, 3), "no memory");
	linear_nodes_by_lo(&layout->walk, layout->lo, layout->count, layout->nodes);
}

static void finish(struct layout *layout)
{
	linear_fini(&layout->walk);
	tree_fini(&layout->tree);
	free(layout->lo);
	free(layout->nodes);
}

static void replace_in_tree(struct layout *layout, size_t operations)
{
	for (size_t i = 0; i < operations; i += 2) {
		size_t victim = random_below(&layout->seed_tree, layout->count);
		tree_give(&layout->tree, layout->lo[victim]);
		layout->lo[victim] = tree_take(&layout->tree, PAGES);
	}
}

static void lay_out_equal(struct layout *layout, size_t live, bool steps)
{
	start(layout, "64 pages", live, steps);
	layout->count = live;
	for (size_t i = 0; i < live; i++)
		layout->lo[i] = tree_take(&layout->tree, PAGES);
	replace_in_tree(layout, 2 * live);
	same_for_the_walk(layout);
}

static uint64_t pages_of_mixed(size_t i, uint64_t *seed)
{
	return i % 2 ? 1 + random_below(seed, 128) : PAGES;
}

static void lay_out_mixed(struct layout *layout, size_t live, bool steps)
{
	uint64_t seed = 5;
	start(layout, "mixed", live, steps);
	for (size_t i = 0; i < live; i++)
		layout->lo[i] = tree_take(&layout->tree, pages_of_mixed(i, &seed));
	for (size_t done = 0; done < 2 * live; done++) {
		size_t i = random_below(&seed, live);
		tree_give(&layout->tree, layout->lo[i]);
		layout->lo[i] = tree_take(&layout->tree, pages_of_mixed(i, &seed));
	}
	for (size_t i = 0; i < live; i += 2)
		layout->lo[layout->count++] = layout->lo[i];
	same_for_the_walk(layout);
}

/* ------------------------------------------------------------------------ measuring */

static double steps_per_operation(struct layout *layout)
{
	const struct range_tree before = layout->tree;
	uint64_t steps = 0, operations = 2000;
	layout->tree.count_steps = true;
	for (uint64_t i = 0; i < operations; i += 2) {
		replace_in_tree(layout, 2);
		steps += layout->tree.steps;
	}
	layout->tree.count_steps = before.count_steps;
	return (double)steps / (double)operations;
}

static void replace_in_walk(struct layout *layout, size_t operations)
{
	for (size_t i = 0; i < operations; i += 2) {
		size_t victim = random_below(&layout->seed_walk, layout->count);
		linear_free(&layout->walk, layout->nodes[victim]);
		layout->nodes[victim] = linear_alloc(&layout->walk, PAGES, LIMIT, true);
		must(layout->nodes[victim] != NULL, "an allocation of the walk failed");
	}
}

/* The walk catches up with the tree: from one state, both do the same. */
static void require_same_addresses(struct layout *layout, size_t operations)
{
	replace_in_walk(layout, operations);
	replace_in_tree(layout, operations);
	for (size_t i = 0; i < layout->count; i++)
		must(layout->lo[i] == layout->nodes[i]->lo, "tree and walk differ");
}

static void measure(struct layout *layout, int rounds, size_t operations)
{
	double steps = steps_per_operation(layout);
	linear_fini(&layout->walk);
	same_for_the_walk(layout);
	layout->seed_walk = layout->seed_tree;
	size_t walked = (size_t)((double)WALK_STEPS_PER_ROUND / (steps + 1)) & ~(size_t)1;
	walked = walked < 2 ? 2 : walked > operations ? operations : walked;
	require_same_addresses(layout, walked);
	for (int round = 0; round < rounds; round++) {
		double began = now_ns();
		replace_in_tree(layout, operations);
		double then = now_ns();
		replace_in_walk(layout, walked);
		double ended = now_ns();
		report(layout->name, "iova", (then - began) / (double)operations);
		report(layout->name, "linear walk", (ended - then) / (double)walked);
	}
	report(layout->name, "steps an operation", steps);
}

static void report_memory(const struct layout *layout)
{
	double ranges = (double)(layout->tree.index.count - 1);
	report(layout->name, "bytes a range", (double)index_bytes(&layout->tree.index) / ranges);
}

/* ---------------------------------------------------------------------- the adversary */

/*
 * Every 128 pages a range that leaves a gap in which `pages` fit, but at no multiple of
 * 64. Room for an aligned one is below all of them only.
 */
static void lay_out_unaligned(struct layout *layout, size_t gaps, uint64_t pages, bool steps)
{
	struct iova_range unused;
	start(layout, pages == PAGES ? "unaligned 64" : "unaligned 48", gaps, steps);
	for (uint64_t i = 1; i <= gaps + 1; i++) {
		uint64_t last = D32 + 128 * i, first = last - 128 + 64 + pages - 1;
		must(tree_reserve(&layout->tree, first, last, &unused) == IOVA_OK, "no range");
	}
	must(linear_copy(&layout->walk, &layout->tree, 1, 3), "no memory");
}

static void search_from_the_top_in_tree(struct layout *layout, uint64_t pages, uint64_t limit,
					uint64_t *found)
{
	struct iova_range range;
	layout->tree.near = (struct iova_range){ ANCHOR_PFN, ANCHOR_PFN };
	must(tree_alloc(&layout->tree, pages, limit, true, &range) == IOVA_OK, "no room");
	*found = range.lo;
	tree_give(&layout->tree, range.lo);
}

static void search_from_the_top_in_walk(struct layout *layout, uint64_t pages, uint64_t limit,
					uint64_t *found)
{
	layout->walk.near = &layout->walk.anchor;
	struct linear_node *node = linear_alloc(&layout->walk, pages, limit, true);
	must(node != NULL, "no room for the walk");
	*found = node->lo;
	linear_free(&layout->walk, node);
}

static void measure_unaligned(size_t gaps, uint64_t pages, int rounds, size_t operations,
			      bool steps)
{
	struct layout layout;
	lay_out_unaligned(&layout, gaps, pages, steps);
	uint64_t limit = D32 + 128 * (gaps + 1) - 1;
	size_t walked = WALK_STEPS_PER_ROUND / (gaps + 1) + 1;
	for (int round = 0; round < rounds; round++) {
		uint64_t in_tree = 0, in_walk = 0;
		double began = now_ns();
		for (size_t i = 0; i < operations; i += 2)
			search_from_the_top_in_tree(&layout, pages, limit, &in_tree);
		double then = now_ns();
		for (size_t i = 0; i < walked; i++)
			search_from_the_top_in_walk(&layout, pages, limit, &in_walk);
		double ended = now_ns();
		must(in_tree == in_walk && in_tree < D32 + 128, "tree and walk differ");
		report(layout.name, "iova", (then - began) / (double)operations);
		report(layout.name, "linear walk", (ended - then) / (double)walked / 2);
	}
	finish(&layout);
}

int main(int count, char **arguments)
{
	must(count == 4 || (count == 5 && strcmp(arguments[4], "steps") == 0),
	     "usage: bench_tree LIVE ROUNDS OPERATIONS [steps]");
	size_t live = (size_t)atoll(arguments[1]), operations = (size_t)atoll(arguments[3]);
	int rounds = atoi(arguments[2]);
	bool steps = count == 5;
	struct layout equal, mixed;

	lay_out_equal(&equal, live, steps);
	measure(&equal, rounds, operations);
	report_memory(&equal);
	finish(&equal);
	lay_out_mixed(&mixed, live, steps);
	measure(&mixed, rounds, operations);
	report_memory(&mixed);
	finish(&mixed);
	measure_unaligned(live, PAGES, rounds, operations, steps);
	measure_unaligned(live, 48, rounds, operations, steps);
	return 0;
}
