/* SPDX-License-Identifier: MIT */
/*
 * Parts of the tree's calls, as Linux pays them: a step of the walk downwards, a level of a
 * look-up, making and linking a record, unlinking and freeing one; and whole calls of our
 * own tree.
 *
 * Linux's tree is a balanced one of a record for each range. Here it is red_black.h's, its
 * records scattered over memory in large pages, as a kernel's slabs come to be. Steps and
 * look-ups are measured in trees of many sizes, for what they cost is a matter of where the
 * records are.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "calibrate.h"
#include "range_tree.h"
#include "red_black.h"

#define STRETCH 64u
#define PAGES 4u /* of a range; the next lies PAGES + 1 above it */
#define SPACING (PAGES + 1u)

#define SMALLEST 8u /* log2 of the ranges */
#define LARGEST 21u
/* Look-ups wait for memory level by level. */
#define OPERATIONS_PER_LOOK_UP 16u

/* ------------------------------------------------------------------- trees of all sizes */

struct grown {
	struct red_black tree;
	struct record *cursor; /* where the last walk ended */
	uint64_t ranges, seed;
};

static struct grown grown[LARGEST + 1];

static struct record *scattered_memory(uint64_t count)
{
	size_t bytes = count * sizeof(struct record);
	void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(block != MAP_FAILED, "no memory");
	(void)madvise(block, bytes, MADV_HUGEPAGE);
	return block;
}

static uint32_t *random_order(uint64_t count, uint64_t *seed)
{
	uint32_t *order = malloc(count * sizeof(*order));
	must(order != NULL, "no memory");
	for (uint64_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (uint64_t i = count; i-- > 1;) {
		uint64_t j = random_below(seed, i + 1);
		uint32_t swapped = order[i];
		order[i] = order[j];
		order[j] = swapped;
	}
	return order;
}

static void grow(size_t log2)
{
	struct grown *to = &grown[log2];
	if (to->ranges)
		return;
	to->ranges = UINT64_C(1) << log2;
	to->seed = log2;
	struct record *records = scattered_memory(to->ranges), *last = NULL;
	uint32_t *order = random_order(to->ranges, &to->seed);
	for (uint64_t i = 0; i < to->ranges; i++) {
		struct record *record = &records[order[i]];
		record->lo = (i + 1) * SPACING;
		record->hi = record->lo + PAGES - 1;
		red_black_link(&to->tree, record, last, true);
		last = record;
	}
	must(red_black_check(&to->tree) > 0, "the tree is not balanced");
	to->cursor = last;
	free(order);
}

/*
 * One pass downwards in search of an aligned gap of that size, over so many records, none of
 * which leaves room; it goes on from the top when it is at the bottom.
 */
BEHIND_CALL static struct record *walk_down(struct record *from, struct record *top, uint64_t size,
					    uint64_t align_mask, size_t steps)
{
	struct record *current = from;
	for (size_t i = 0; i < steps; i++) {
		uint64_t high = current->lo;
		current = red_black_next(current, false);
		uint64_t pfn = (high - size) & align_mask;
		if (!current)
			current = top;
		else
			must(pfn <= current->hi, "there is a gap");
	}
	return current;
}

static struct record *highest(const struct red_black *tree)
{
	struct record *record = tree->root;
	while (record->child[1])
		record = record->child[1];
	return record;
}

static double measure_steps(size_t log2, size_t operations)
{
	struct grown *in = &grown[log2];
	struct record *top = highest(&in->tree);
	double began = now_ns();
	in->cursor = walk_down(in->cursor, top, PAGES, UINT64_MAX - 3, operations);
	return (now_ns() - began) / (double)operations;
}

/* Each look-up's key waits for the one before it. */
static double measure_look_ups(size_t log2, size_t operations)
{
	struct grown *in = &grown[log2];
	size_t look_ups = operations / OPERATIONS_PER_LOOK_UP + 1;
	uint64_t none = 0;
	double began = now_ns();
	for (size_t i = 0; i < look_ups; i++) {
		uint64_t key = (random_below(&in->seed, in->ranges) + 1 + none) * SPACING;
		struct record *found = red_black_find(&in->tree, key);
		must(found != NULL, "a range is not in the tree");
		none = found->lo - key;
	}
	return (now_ns() - began) / (double)look_ups;
}

/* --------------------------------------------------------------------------- records */

#define RECORDS 4096u

static struct red_black of_records;
static struct record *record_at[RECORDS];

static struct record *record_new(uint64_t lo)
{
	struct record *record = malloc(sizeof(*record));
	must(record != NULL, "no memory");
	record->lo = lo;
	record->hi = lo + PAGES - 1;
	return record;
}

static void prepare_records(size_t number)
{
	(void)number;
	if (of_records.root)
		return;
	for (uint64_t i = 0; i < RECORDS; i++) {
		record_at[i] = record_new((i + 1) * SPACING);
		red_black_link(&of_records, record_at[i], i ? record_at[i - 1] : NULL, true);
	}
}

/* Records to go, one from each part of the tree: the next above it stays. */
static void choose(uint64_t *gone, uint64_t *seed)
{
	uint64_t part = RECORDS / STRETCH;
	for (uint64_t i = 0; i < STRETCH; i++)
		gone[i] = i * 37 % STRETCH * part + random_below(seed, part - 1);
}

static void link_all(const uint64_t *gone)
{
	for (size_t i = 0; i < STRETCH; i++) {
		struct record *record = record_new((gone[i] + 1) * SPACING);
		red_black_link(&of_records, record, record_at[gone[i] + 1], false);
		record_at[gone[i]] = record;
	}
}

static void unlink_all(const uint64_t *gone)
{
	for (size_t i = 0; i < STRETCH; i++) {
		struct record *record = record_at[gone[i]];
		red_black_unlink(&of_records, record);
		free(record);
	}
}

enum { LINKING, UNLINKING };

static double measure_records(size_t which, size_t operations)
{
	static uint64_t seed;
	double ns[2] = { 0, 0 }, clock = clock_alone();
	size_t stretches = operations / STRETCH / 8 + 1;
	for (size_t done = 0; done < stretches; done++) {
		uint64_t gone[STRETCH];
		choose(gone, &seed);
		double began = now_ns();
		unlink_all(gone);
		double between = now_ns();
		link_all(gone);
		ns[LINKING] += now_ns() - between - clock;
		ns[UNLINKING] += between - began - clock;
	}
	must(red_black_check(&of_records) > 0, "the tree is not balanced");
	return ns[which] / (double)(stretches * STRETCH);
}

/* -------------------------------------------------------------------------- our tree */

#define LIVE 16384u
#define LIMIT UINT64_C(0xfffffffff)
#define D32 (UINT64_C(1) << 20)

static struct range_tree ours;
static uint64_t live[LIVE];

static uint64_t take_out(uint64_t pfn)
{
	struct iova_range range;
	must(tree_take_out(&ours, pfn, &range) == IOVA_OK, "a live range is not in the tree");
	return range.hi - range.lo + 1;
}

static uint64_t put_in(uint64_t pages)
{
	struct iova_range range;
	must(tree_alloc(&ours, pages, LIMIT, true, &range) == IOVA_OK, "no room");
	return range.lo;
}

/* Sizes of 1 to 32 pages, aged by replacing each twice. */
static void prepare_ours(size_t number)
{
	(void)number;
	uint64_t seed = 3;
	if (ours.memory)
		return;
	must(tree_init(&ours, iova_memory_heap(), 1, D32, false) == IOVA_OK, "no tree");
	for (size_t i = 0; i < LIVE; i++)
		live[i] = put_in(UINT64_C(1) << random_below(&seed, 6));
	for (size_t i = 0; i < 2 * LIVE; i++) {
		uint64_t *one = &live[random_below(&seed, LIVE)];
		*one = put_in(take_out(*one));
	}
}

enum { ALLOCATING, TAKING_OUT };

static double measure_ours(size_t which, size_t operations)
{
	static uint64_t seed;
	double ns[2] = { 0, 0 }, clock = clock_alone();
	size_t stretches = operations / STRETCH / 8 + 1;
	for (size_t done = 0; done < stretches; done++) {
		uint64_t *chosen[STRETCH], pages[STRETCH];
		for (uint64_t i = 0; i < STRETCH; i++)
			chosen[i] = &live[i * (LIVE / STRETCH) + random_below(&seed, LIVE / STRETCH)];
		double began = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			pages[i] = take_out(*chosen[i]);
		double between = now_ns();
		for (size_t i = 0; i < STRETCH; i++)
			*chosen[i] = put_in(pages[i]);
		ns[ALLOCATING] += now_ns() - between - clock;
		ns[TAKING_OUT] += between - began - clock;
	}
	return ns[which] / (double)(stretches * STRETCH);
}

/* ------------------------------------------------------------------------------- all */

struct parts parts_of_trees(void)
{
	static struct part parts[2 * (LARGEST - SMALLEST + 1) + 4];
	static char names[COUNT_OF_ARRAY(parts)][32];
	size_t count = 0;
	for (size_t log2 = SMALLEST; log2 <= LARGEST; log2++) {
		snprintf(names[count], sizeof(names[count]), "step %u", 1u << log2);
		parts[count] = (struct part){ names[count], grow, measure_steps, log2 };
		count++;
		snprintf(names[count], sizeof(names[count]), "look-up %u", 1u << log2);
		parts[count] = (struct part){ names[count], grow, measure_look_ups, log2 };
		count++;
	}
	parts[count++] = (struct part){ "link", prepare_records, measure_records, LINKING };
	parts[count++] = (struct part){ "unlink", prepare_records, measure_records, UNLINKING };
	parts[count++] = (struct part){ "index alloc", prepare_ours, measure_ours, ALLOCATING };
	parts[count++] = (struct part){ "index free", prepare_ours, measure_ours, TAKING_OUT };
	return (struct parts){ parts, count };
}
