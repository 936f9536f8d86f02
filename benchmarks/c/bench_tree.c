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
 * usage: bench_tree LIVE ROUNDS OPERATIONS [walk] [steps]
 * walk: beside the tree, a linear walk over the same ranges, as Linux searches; its
 * addresses must be the same. steps: the tree counts the steps of that walk, as the lab
 * has it do.
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

/* Frees and allocations are timed in batches of so many, between the drawing of victims. */
#define BATCH 256u

/* Ranges of one side that may be replaced; victims are drawn without repetition. */
struct live {
	uint64_t seed;
	size_t count;
	union live_range {
		uint64_t lo;
		struct linear_node *node;
	} *range;
};

struct options {
	size_t live;
	int rounds;
	size_t operations;
	bool walk, steps;
};

struct layout {
	const char *name;
	struct range_tree tree;
	struct linear_walk walk;
	struct live in_tree, in_walk;
	size_t heap_before;
};

/* Bring a random choice to the front, in random order. */
static void draw_victims(struct live *live, size_t victims)
{
	for (size_t i = 0; i < victims; i++) {
		size_t j = i + random_below(&live->seed, live->count - i);
		union live_range drawn = live->range[j];
		live->range[j] = live->range[i];
		live->range[i] = drawn;
	}
}

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

/* ----------------------------------------------------------------------- replacing */

/* Replace so many random ranges by new ones of 64 pages; nanoseconds it took. */
static double replace_in_tree(struct layout *layout, size_t replacements)
{
	struct live *live = &layout->in_tree;
	double took = 0;
	for (size_t left = replacements, batch; left > 0; left -= batch) {
		batch = left < BATCH ? left : BATCH;
		draw_victims(live, batch);
		double began = now_ns();
		for (size_t i = 0; i < batch; i++) {
			tree_give(&layout->tree, live->range[i].lo);
			live->range[i].lo = tree_take(&layout->tree, PAGES);
		}
		took += now_ns() - began;
	}
	return took;
}

static double replace_in_walk(struct layout *layout, size_t replacements)
{
	struct live *live = &layout->in_walk;
	double took = 0;
	for (size_t left = replacements, batch; left > 0; left -= batch) {
		batch = left < BATCH ? left : BATCH;
		draw_victims(live, batch);
		double began = now_ns();
		for (size_t i = 0; i < batch; i++) {
			linear_free(&layout->walk, live->range[i].node);
			live->range[i].node = linear_alloc(&layout->walk, PAGES, LIMIT, true);
			must(live->range[i].node != NULL, "an allocation of the walk failed");
		}
		took += now_ns() - began;
	}
	return took;
}

/* The walk starts over from the tree's state: from now on both do the same. */
static void copy_to_walk(struct layout *layout)
{
	const struct live *from = &layout->in_tree;
	struct live *to = &layout->in_walk;
	linear_fini(&layout->walk);
	must(linear_copy(&layout->walk, &layout->tree, 1, 3), "no memory");
	to->seed = from->seed;
	to->count = from->count;
	for (size_t i = 0; i < from->count; i++)
		to->range[i].node = linear_find(&layout->walk, from->range[i].lo);
}

static void require_same_addresses(struct layout *layout, size_t replacements)
{
	copy_to_walk(layout);
	replace_in_walk(layout, replacements);
	replace_in_tree(layout, replacements);
	for (size_t i = 0; i < layout->in_tree.count; i++)
		must(layout->in_tree.range[i].lo == layout->in_walk.range[i].node->lo,
		     "tree and walk differ");
}

/* ------------------------------------------------------------------------- layouts */

/* What the heap took from the system, large single blocks aside. */
static size_t heap_bytes(void)
{
	return mallinfo2().arena;
}

static void start(struct layout *layout, const char *name, const struct options *options)
{
	*layout = (struct layout){ .name = name, .in_tree.seed = 7 };
	must(tree_init(&layout->tree, iova_memory_heap(), 1, D32, options->steps) == IOVA_OK,
	     "no tree");
	mallopt(M_MMAP_THRESHOLD, 4096);
	mallopt(M_TOP_PAD, 0);
	malloc_trim(0);
	layout->heap_before = heap_bytes();
	layout->in_tree.range = malloc(options->live * sizeof(union live_range));
	layout->in_walk.range = malloc(options->live * sizeof(union live_range));
	must(layout->in_tree.range && layout->in_walk.range, "no memory");
}

static void finish(struct layout *layout)
{
	linear_fini(&layout->walk);
	tree_fini(&layout->tree);
	free(layout->in_tree.range);
	free(layout->in_walk.range);
}

static void lay_out_equal(struct layout *layout, const struct options *options)
{
	start(layout, "64 pages", options);
	struct live *in_tree = &layout->in_tree;
	while (in_tree->count < options->live)
		in_tree->range[in_tree->count++].lo = tree_take(&layout->tree, PAGES);
	replace_in_tree(layout, 2 * options->live);
}

static uint64_t pages_of_mixed(size_t i, uint64_t *seed)
{
	return i % 2 ? 1 + random_below(seed, 128) : PAGES;
}

static void lay_out_mixed(struct layout *layout, const struct options *options)
{
	size_t live = options->live;
	uint64_t seed = 5;
	start(layout, "mixed", options);
	union live_range *range = layout->in_tree.range;
	for (size_t i = 0; i < live; i++)
		range[i].lo = tree_take(&layout->tree, pages_of_mixed(i, &seed));
	for (size_t done = 0; done < 2 * live; done++) {
		size_t i = random_below(&seed, live);
		tree_give(&layout->tree, range[i].lo);
		range[i].lo = tree_take(&layout->tree, pages_of_mixed(i, &seed));
	}
	for (size_t i = 0; i < live; i += 2)
		range[layout->in_tree.count++] = range[i];
}

/* ------------------------------------------------------------------------ measuring */

/* What the next replacements would cost Linux, without the frees' look-up. */
static double walk_steps(struct layout *layout)
{
	bool counted = layout->tree.count_steps;
	uint64_t steps = 0, replacements = 1000;
	layout->tree.count_steps = true;
	for (uint64_t i = 0; i < replacements; i++) {
		replace_in_tree(layout, 1);
		steps += layout->tree.steps;
	}
	layout->tree.count_steps = counted;
	return (double)steps / (double)replacements;
}

static size_t walks_in(double steps, size_t replacements)
{
	double walks = WALK_STEPS_PER_ROUND / (steps + 1);
	return walks < 1 ? 1 : walks < (double)replacements ? (size_t)walks : replacements;
}

static void report_memory(const struct layout *layout)
{
	double ranges = (double)(layout->tree.index.count - 1);
	report(layout->name, "bytes a range", (double)index_bytes(&layout->tree.index) / ranges);
}

/* With the heap's own headers and holes. For the first layout: others use its leavings. */
static void report_heap(const struct layout *layout)
{
	double ranges = (double)(layout->tree.index.count - 1);
	double heap = (double)(heap_bytes() - layout->heap_before);
	report(layout->name, "heap bytes a range", heap / ranges);
}

static void measure(struct layout *layout, const struct options *options)
{
	size_t replacements = options->operations / 2;
	double steps = walk_steps(layout);
	size_t walks = walks_in(steps, replacements);
	report_memory(layout);
	if (options->walk)
		require_same_addresses(layout, walks);
	for (int round = 0; round < options->rounds; round++) {
		double ours = replace_in_tree(layout, replacements);
		report(layout->name, "iova", ours / (double)(2 * replacements));
		if (!options->walk)
			continue;
		double linear = replace_in_walk(layout, walks);
		report(layout->name, "linear walk", linear / (double)(2 * walks));
	}
	report(layout->name, "steps of a walk", steps);
}

/* ---------------------------------------------------------------------- the adversary */

/*
 * Every 128 pages a range that leaves a gap in which `pages` fit, but at no multiple of
 * 64. Room for an aligned one is below all of them only.
 */
static void lay_out_unaligned(struct layout *layout, uint64_t pages, const struct options *options)
{
	struct iova_range unused;
	start(layout, pages == PAGES ? "unaligned 64" : "unaligned 48", options);
	for (uint64_t i = 1; i <= options->live + 1; i++) {
		uint64_t last = D32 + 128 * i, first = last - 128 + 64 + pages - 1;
		must(tree_reserve(&layout->tree, first, last, &unused) == IOVA_OK, "no range");
	}
}

static double search_tree_from_the_top(struct range_tree *tree, uint64_t pages, uint64_t limit,
				       size_t times)
{
	double began = now_ns();
	for (size_t i = 0; i < times; i++) {
		struct iova_range range;
		tree->near = (struct iova_range){ ANCHOR_PFN, ANCHOR_PFN };
		must(tree_alloc(tree, pages, limit, true, &range) == IOVA_OK, "no room");
		must(range.lo < D32 + 128, "not below all gaps");
		tree_give(tree, range.lo);
	}
	return now_ns() - began;
}

static double search_walk_from_the_top(struct linear_walk *walk, uint64_t pages, uint64_t limit,
				       size_t times)
{
	double began = now_ns();
	for (size_t i = 0; i < times; i++) {
		walk->near = &walk->anchor;
		struct linear_node *node = linear_alloc(walk, pages, limit, true);
		must(node && node->lo < D32 + 128, "not below all gaps");
		linear_free(walk, node);
	}
	return now_ns() - began;
}

static void measure_unaligned(uint64_t pages, const struct options *options)
{
	struct layout layout;
	lay_out_unaligned(&layout, pages, options);
	copy_to_walk(&layout);
	uint64_t limit = D32 + 128 * (options->live + 1) - 1;
	size_t times = options->operations / 2;
	size_t walks = walks_in((double)options->live, times);
	for (int round = 0; round < options->rounds; round++) {
		double ours = search_tree_from_the_top(&layout.tree, pages, limit, times);
		report(layout.name, "iova", ours / (double)(2 * times));
		if (!options->walk)
			continue;
		double linear = search_walk_from_the_top(&layout.walk, pages, limit, walks);
		report(layout.name, "linear walk", linear / (double)(2 * walks));
	}
	finish(&layout);
}

static struct options read_options(int count, char **arguments)
{
	struct options options = { 0 };
	must(count >= 4, "usage: bench_tree LIVE ROUNDS OPERATIONS [walk] [steps]");
	options.live = (size_t)atoll(arguments[1]);
	options.rounds = atoi(arguments[2]);
	options.operations = (size_t)atoll(arguments[3]);
	for (int i = 4; i < count; i++) {
		options.walk = options.walk || strcmp(arguments[i], "walk") == 0;
		options.steps = options.steps || strcmp(arguments[i], "steps") == 0;
	}
	must(options.live >= 2 * BATCH, "at least 512 live ranges are wanted");
	return options;
}

int main(int count, char **arguments)
{
	struct options options = read_options(count, arguments);
	struct layout equal, mixed;
	lay_out_equal(&equal, &options);
	report_heap(&equal);
	measure(&equal, &options);
	finish(&equal);
	lay_out_mixed(&mixed, &options);
	measure(&mixed, &options);
	finish(&mixed);
	measure_unaligned(PAGES, &options);
	measure_unaligned(48, &options);
	return 0;
}
