/* SPDX-License-Identifier: MIT */
/*
 * What the range tree has and Linux has not (fixed places, coarser alignment, walking all
 * ranges, the longest gap) against a sorted array that is searched gap by gap; and that
 * Linux's own calls, mixed with these, still find what the literal walk of linear_tree
 * finds. Random cases run sizes x seeds.
 */
#include "tree_pair.h"

static struct random_plan plan;

static void check_same_ranges(const struct pair *pair)
{
	struct iova_range range;
	uint64_t from = 0;
	size_t i = 0;
	CHECK_SOUND(index_check(&pair->tree.index));
	for (; tree_next(&pair->tree, from, &range); from = range.hi + 1, i++) {
		CHECK(i < pair->model.count);
		CHECK_EQ(range.lo, pair->model.range[i].lo);
		CHECK_EQ(range.hi, pair->model.range[i].hi);
	}
	CHECK_EQ(i, pair->model.count - 1); /* all but the anchor's */
}

/* ---------------------------------------------------------------- the same, gap by gap */

/* Free frames below range i of the model that are below top: lo .. end-1. */
struct gap {
	uint64_t lo, end;
};

static struct gap gap_below(const struct linear_tree *model, size_t i, uint64_t top)
{
	uint64_t lo = i ? model->range[i - 1].hi + 1 : 0, end = model->range[i].lo;
	end = end < top ? end : top;
	return (struct gap){ lo, end > lo ? end : lo };
}

/* The highest place in a gap; its end if there is none. */
static uint64_t place_in(struct gap gap, uint64_t size, unsigned order)
{
	if (gap.end - gap.lo < size)
		return gap.end;
	uint64_t place = (gap.end - size) >> order << order;
	return place >= gap.lo ? place : gap.end;
}

/* The highest place of all, or of the highest gap with a whole block, if there is one. */
static bool model_place(const struct linear_tree *model, uint64_t size, uint64_t top,
			unsigned order, uint64_t *place)
{
	bool found = false, has_block = false;
	uint64_t block = UINT64_C(1) << order;
	for (size_t i = model->count; i-- > 0 && !has_block;) {
		struct gap gap = gap_below(model, i, top);
		uint64_t here = place_in(gap, size, order);
		uint64_t whole = place_in(gap, block, order);
		has_block = size <= block && whole != gap.end && whole >= model->start;
		bool usable = here != gap.end && here >= model->start;
		if (usable && (!found || has_block))
			*place = here;
		found = found || usable;
	}
	return found;
}

static enum iova_status model_aligned(struct linear_tree *model, uint64_t size, uint64_t limit,
				      unsigned order, struct iova_range *result)
{
	uint64_t place = 0;
	if (!model_place(model, size, limit + (limit != UINT64_MAX), order, &place))
		return IOVA_NO_SPACE;
	*result = (struct iova_range){ place, place + size - 1 };
	linear_insert(model, linear_first(model, result->hi), *result);
	return IOVA_OK;
}

static enum iova_status model_place_at(struct linear_tree *model, uint64_t lo, uint64_t hi,
				       struct iova_range *result)
{
	if (lo > hi)
		return IOVA_INVALID;
	for (size_t i = 0; i < model->count; i++) {
		if (model->range[i].lo <= hi && model->range[i].hi >= lo) {
			*result = model->range[i];
			return IOVA_RESERVED;
		}
	}
	*result = (struct iova_range){ lo, hi };
	linear_insert(model, linear_first(model, hi), *result);
	return IOVA_OK;
}

static uint64_t model_longest_gap(const struct linear_tree *model)
{
	uint64_t longest = 0;
	for (size_t i = 0; i < model->count; i++) {
		struct gap gap = gap_below(model, i, UINT64_MAX);
		uint64_t from = gap.lo > model->start ? gap.lo : model->start;
		if (gap.end > from && gap.end - from > longest)
			longest = gap.end - from;
	}
	return longest;
}

/* ------------------------------------------------- one call on both, all there is to see */

static enum iova_status do_aligned(struct pair *pair, uint64_t size, uint64_t limit,
				   unsigned order)
{
	struct iova_range got = { 0, 0 }, wanted = { 0, 0 };
	if (pair->trace)
		printf("aligned %" PRIu64 " limit %" PRIu64 " order %u\n", size, limit, order);
	enum iova_status status = model_aligned(&pair->model, size, limit, order, &wanted);
	CHECK_EQ(tree_alloc_aligned(&pair->tree, size, limit, order, &got), status);
	CHECK_EQ(got.lo, wanted.lo);
	CHECK_EQ(got.hi, wanted.hi);
	pair_check(pair);
	return status;
}

static enum iova_status do_place(struct pair *pair, uint64_t lo, uint64_t hi)
{
	struct iova_range got = { 0, 0 }, wanted = { 0, 0 };
	if (pair->trace)
		printf("place %" PRIu64 "..%" PRIu64 "\n", lo, hi);
	enum iova_status status = model_place_at(&pair->model, lo, hi, &wanted);
	CHECK_EQ(tree_place(&pair->tree, lo, hi, &got), status);
	CHECK_EQ(got.lo, wanted.lo);
	CHECK_EQ(got.hi, wanted.hi);
	pair_check(pair);
	return status;
}

static void do_next(struct pair *pair, uint64_t pfn)
{
	struct iova_range got = { 0, 0 };
	size_t at = linear_first(&pair->model, pfn);
	bool exists = at + 1 < pair->model.count;
	CHECK_EQ(tree_next(&pair->tree, pfn, &got), exists);
	CHECK_EQ(got.lo, exists ? pair->model.range[at].lo : 0);
	CHECK_EQ(got.hi, exists ? pair->model.range[at].hi : 0);
}

/* ------------------------------------------------------------------- random histories */

/* Where a history plays: low, around 4 GiB, under the anchor, or everywhere. */
struct scene {
	uint64_t start, d32, span;
	unsigned order_bits; /* of the alignments asked for */
};

static struct scene scene_of(struct random *random, uint64_t size)
{
	static const unsigned shifts[] = { 12, 12, 11, 9, 0 };
	struct scene scene = {
		.d32 = UINT64_C(1) << (32 - shifts[random_below(random, 5)]),
		.span = size * (4 + random_below(random, 60)) + 4,
		.order_bits = 3 + (unsigned)random_below(random, 9),
	};
	uint64_t half = scene.span / 2;
	const uint64_t starts[] = { 0, 1, 7, 100, scene.d32 - half, scene.d32 + 50,
				    UINT64_MAX - scene.span };
	scene.start = starts[random_below(random, COUNT_OF_ARRAY(starts))];
	return scene;
}

static uint64_t some_pfn(const struct scene *scene, struct random *random)
{
	return scene->start + random_below(random, scene->span);
}

static uint64_t some_limit(const struct scene *scene, struct random *random)
{
	const uint64_t limits[] = {
		some_pfn(scene, random),   some_pfn(scene, random), some_pfn(scene, random),
		scene->start + scene->span, scene->start,	    scene->start - 1,
		scene->d32 - 1,		    scene->d32,		    0,
		UINT64_MAX,		    UINT64_MAX - 1,	    random_bits(random, 64),
	};
	return limits[random_below(random, COUNT_OF_ARRAY(limits))];
}

static void random_aligned(struct pair *pair, const struct scene *scene, struct random *random)
{
	unsigned order = (unsigned)random_below(random, scene->order_bits);
	uint64_t size = 1 + random_bits(random, order), limit = some_limit(scene, random);
	switch (random_below(random, 20)) {
	case 0:
		order = 63 - (unsigned)random_below(random, 8);
		break;
	case 1:
		size = 1 + random_bits(random, 63);
		break;
	case 2:
	case 3: /* finer than the size's own */
		size = 1 + random_bits(random, order + 3);
		break;
	}
	do_aligned(pair, size, limit, order);
	if (limit > 0 && limit < UINT64_MAX) /* as large as all below the limit, or not */
		do_aligned(pair, limit + random_below(random, 2), limit, order);
}

static void random_place(struct pair *pair, const struct scene *scene, struct random *random)
{
	uint64_t lo = some_pfn(scene, random), hi = lo + random_bits(random, 6);
	uint64_t dice = random_below(random, 30);
	if (dice == 0)
		hi = lo - random_below(random, 4);
	else if (dice == 1)
		hi = UINT64_MAX; /* the anchor is in the way */
	else if (dice == 2)
		lo = random_below(random, lo + 1);
	do_place(pair, lo, hi);
}

static void random_remove(struct pair *pair, struct random *random)
{
	if (pair->model.count == 1)
		return;
	size_t at = (size_t)random_below(random, pair->model.count - 1);
	struct iova_range range = pair->model.range[at];
	do_remove(pair, range.lo + random_below(random, range.hi - range.lo + 1));
}

static void one_step(struct pair *pair, const struct scene *scene, struct random *random,
		     uint64_t size)
{
	uint64_t dice = random_below(random, 100);
	bool grows = pair->model.count < size;
	if (dice < (grows ? 25u : 12u)) {
		random_aligned(pair, scene, random);
	} else if (dice < (grows ? 50u : 24u)) {
		random_place(pair, scene, random);
	} else if (dice < (grows ? 70u : 36u)) {
		do_alloc(pair, 1 + random_bits(random, 5), some_limit(scene, random),
			 random_below(random, 3) != 0);
	} else if (dice < 73) {
		uint64_t lo = some_pfn(scene, random);
		do_reserve(pair, lo, lo + random_bits(random, 6));
	} else if (dice < 98) {
		random_remove(pair, random);
	} else {
		do_next(pair, some_pfn(scene, random));
		do_next(pair, random_bits(random, 64));
	}
}

static void random_history(uint64_t seed, uint64_t size, bool trace)
{
	struct random random = { seed * 1000003 + size };
	struct scene scene = scene_of(&random, size);
	struct pair pair;
	uint64_t every = size < 50 ? 1 : size / 4;
	pair_init(&pair, scene.start, scene.d32);
	pair.trace = trace;
	for (uint64_t i = 0; i < 8 * size + 100; i++) {
		one_step(&pair, &scene, &random, size);
		if (i % (1 + size / 50) == 0)
			CHECK_EQ(tree_longest_gap(&pair.tree), model_longest_gap(&pair.model));
		if (i % every == 0)
			check_same_ranges(&pair);
	}
	while (pair.model.count > 1)
		random_remove(&pair, &random);
	check_same_ranges(&pair);
	pair_fini(&pair);
}

static void random_histories_agree_with_a_search_gap_by_gap(void)
{
	static const uint64_t sizes[] = { 3, 20, 100, 700 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 60, random_history);
}

static void long_random_histories_agree_with_a_search_gap_by_gap(void)
{
	static const uint64_t sizes[] = { 4000 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 3, random_history);
}

/* -------------------------------------------------------------- against every address */

#define FRAMES 64u

static bool is_free(const struct linear_tree *model, uint64_t lo, uint64_t size)
{
	struct iova_range range;
	for (uint64_t pfn = lo; pfn < lo + size; pfn++)
		if (linear_find(model, pfn, &range))
			return false;
	return true;
}

/* The highest place of all, one address after the other. */
static bool exists(const struct linear_tree *model, uint64_t size, uint64_t limit, unsigned order,
		   uint64_t *place)
{
	for (uint64_t pfn = limit + 1; pfn-- > model->start;) {
		bool fits = pfn % (UINT64_C(1) << order) == 0 && pfn + size <= limit + 1;
		if (fits && is_free(model, pfn, size)) {
			*place = pfn;
			return true;
		}
	}
	return false;
}

static void each_request(struct pair *pair)
{
	struct iova_range range;
	uint64_t place = 0, block;
	for (unsigned order = 0; order < 7; order++) {
		for (uint64_t size = 1; size <= 9; size++) {
			for (uint64_t limit = 0; limit < FRAMES; limit += 7) {
				bool is_there = exists(&pair->model, size, limit, order, &place);
				enum iova_status status =
					tree_alloc_aligned(&pair->tree, size, limit, order, &range);
				CHECK_EQ(status, is_there ? IOVA_OK : IOVA_NO_SPACE);
				if (!is_there)
					continue;
				CHECK_EQ(range.lo % (UINT64_C(1) << order), 0);
				CHECK_EQ(range.hi - range.lo + 1, size);
				CHECK(range.lo >= pair->model.start && range.hi <= limit);
				CHECK(is_free(&pair->model, range.lo, size));
				CHECK(range.lo <= place);
				/* Without room for a whole block anywhere it is the highest. */
				if (!exists(&pair->model, UINT64_C(1) << order, limit, order,
					    &block))
					CHECK_EQ(range.lo, place);
				CHECK_EQ(tree_remove(&pair->tree, range.lo), IOVA_OK);
			}
		}
	}
}

static void wherever_a_request_fits_it_is_found(void)
{
	struct random random = { 5 };
	for (unsigned round = 0; round < 60; round++) {
		struct pair pair;
		pair_init(&pair, round % 3 * 5, D32);
		for (unsigned i = 0; i < 2 + round / 2; i++)
			do_reserve(&pair, i * 2, i * 2 + random_below(&random, 2));
		for (unsigned i = 0; i < round / 2; i++)
			do_remove(&pair, random_below(&random, FRAMES));
		each_request(&pair);
		check_same_ranges(&pair);
		pair_fini(&pair);
	}
}

/* ---------------------------------------------------------------------------- places */

static void a_place_is_taken_exactly_or_not_at_all(void)
{
	struct pair pair;
	struct iova_range range = { 0, 0 };
	pair_init(&pair, 10, D32);
	CHECK_EQ(do_place(&pair, 100, 119), IOVA_OK);
	CHECK_EQ(do_place(&pair, 120, 120), IOVA_OK); /* touching is fine */
	CHECK_EQ(do_place(&pair, 99, 99), IOVA_OK);
	CHECK_EQ(do_place(&pair, 0, 5), IOVA_OK); /* below the start as well */
	CHECK_EQ(do_place(&pair, 119, 130), IOVA_RESERVED);
	CHECK_EQ(do_place(&pair, 110, 112), IOVA_RESERVED);
	CHECK_EQ(tree_place(&pair.tree, 50, 500, &range), IOVA_RESERVED);
	CHECK_EQ(range.lo, 99); /* the lowest of the three in the way */
	CHECK_EQ(do_place(&pair, UINT64_MAX, UINT64_MAX), IOVA_RESERVED);
	CHECK_EQ(do_place(&pair, 121, UINT64_MAX - 1), IOVA_OK);
	CHECK_EQ(do_place(&pair, 50, 49), IOVA_INVALID);
	check_same_ranges(&pair);
	CHECK_EQ(pair.model.count, 6);
	pair_fini(&pair);
}

static void a_refused_record_or_node_changes_nothing(void)
{
	struct pair pair;
	struct iova_range range;
	pair_init(&pair, 1, D32);
	for (uint64_t i = 0; i < LEAF_SLOTS - 1; i++) /* the leaf is full then */
		do_place(&pair, 1000 + 2 * i, 1000 + 2 * i);
	for (unsigned question = 1; question <= 3; question++) {
		pair.memory.refuse_at = pair.memory.questions + question;
		CHECK_EQ(tree_place(&pair.tree, 5, 6, &range), IOVA_NO_MEMORY);
		pair.memory.refuse_at = pair.memory.questions + question;
		CHECK_EQ(tree_alloc_aligned(&pair.tree, 1, 5000, 3, &range), IOVA_NO_MEMORY);
		pair_check(&pair);
		check_same_ranges(&pair);
	}
	/* The record is asked for first, as in an allocation. */
	pair.memory.refuse_records = 2;
	CHECK_EQ(tree_place(&pair.tree, 1000, 1000, &range), IOVA_NO_MEMORY);
	CHECK_EQ(tree_alloc_aligned(&pair.tree, D32, 5, 63, &range), IOVA_NO_MEMORY);
	CHECK_EQ(do_place(&pair, 5, 6), IOVA_OK);
	pair_fini(&pair);
}

/* -------------------------------------------------------------------------- alignment */

static void aligned_requests_go_down_block_by_block(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	for (uint64_t i = 1; i <= 1000; i++) {
		CHECK_EQ(do_aligned(&pair, 3, LIMIT32, 9), IOVA_OK);
		CHECK_EQ(pair.model.range[0].lo, D32 - 512 * i);
	}
	/* One that went is the highest gap with a whole block. */
	do_remove(&pair, D32 - 512 * 400);
	CHECK_EQ(do_aligned(&pair, 2, LIMIT32, 9), IOVA_OK);
	struct iova_range range;
	CHECK(tree_find(&pair.tree, D32 - 512 * 400 + 1, &range));
	CHECK_EQ(range.lo, D32 - 512 * 400);
	pair_check(&pair);
	pair_fini(&pair);
}

static void room_at_the_only_multiple_is_found_among_gaps_that_miss_it(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	/* Each multiple of 8 is taken, and the seven frames between two of them are free. */
	for (uint64_t i = 1; i <= 4000; i++)
		do_place(&pair, 8 * i, 8 * i);
	do_reserve(&pair, 1, 7);
	CHECK_EQ(do_aligned(&pair, 2, 8 * 4000 + 7, 3), IOVA_NO_SPACE);
	CHECK_EQ(do_aligned(&pair, 2, 8 * 4000 + 7, 2), IOVA_OK);
	do_remove(&pair, 8 * 1234);
	CHECK_EQ(do_aligned(&pair, 6, 8 * 4000 + 7, 3), IOVA_OK);
	CHECK_EQ(do_aligned(&pair, 1, 8 * 4000 + 7, 3), IOVA_NO_SPACE);
	struct iova_range range;
	CHECK(tree_find(&pair.tree, 8 * 1234, &range));
	CHECK_EQ(range.hi, 8 * 1234 + 5);
	pair_fini(&pair);
}

static void the_ends_of_the_address_space_are_served(void)
{
	struct pair pair;
	uint64_t half = UINT64_C(1) << 63;
	pair_init(&pair, 0, D32);
	CHECK_EQ(do_aligned(&pair, half, UINT64_MAX, 63), IOVA_OK);
	CHECK_EQ(pair.model.range[0].lo, 0); /* above 2^63 the anchor is in the way */
	CHECK_EQ(do_aligned(&pair, half - 1, UINT64_MAX, 63), IOVA_OK);
	CHECK_EQ(do_aligned(&pair, 1, UINT64_MAX, 0), IOVA_NO_SPACE);
	CHECK_EQ(tree_longest_gap(&pair.tree), 0);
	do_remove(&pair, 5);
	CHECK_EQ(do_aligned(&pair, half + 1, UINT64_MAX, 0), IOVA_NO_SPACE);
	CHECK_EQ(do_aligned(&pair, UINT64_MAX, UINT64_MAX, 63), IOVA_NO_SPACE);
	CHECK_EQ(do_aligned(&pair, 11, 9, 4), IOVA_NO_SPACE);
	CHECK_EQ(do_aligned(&pair, 1, 0, 63), IOVA_OK);
	CHECK_EQ(pair.model.range[0].lo, 0);
	pair_fini(&pair);
}

static void the_search_for_a_place_stops_at_the_start(void)
{
	struct pair pair;
	pair_init(&pair, 20, D32);
	CHECK_EQ(do_aligned(&pair, 1, 31, 5), IOVA_NO_SPACE);
	CHECK_EQ(do_aligned(&pair, 2, 23, 3), IOVA_NO_SPACE);
	CHECK_EQ(do_aligned(&pair, 1, 23, 2), IOVA_OK);
	CHECK_EQ(pair.model.range[0].lo, 20);
	/* The only block begins below the start: it does not count. */
	do_reserve(&pair, 40, 100);
	CHECK_EQ(do_aligned(&pair, 2, 100, 4), IOVA_OK);
	CHECK_EQ(pair.model.range[1].lo, 32);
	pair_fini(&pair);
}

/* ------------------------------------------------------------------------ longest gap */

static void the_longest_gap_counts_from_the_start_to_the_anchor(void)
{
	struct pair pair;
	pair_init(&pair, 1000, D32);
	CHECK_EQ(tree_longest_gap(&pair.tree), UINT64_MAX - 1000);
	do_reserve(&pair, 900, 1099); /* across the start */
	CHECK_EQ(tree_longest_gap(&pair.tree), UINT64_MAX - 1100);
	do_reserve(&pair, 2000, UINT64_MAX); /* the anchor reaches down */
	CHECK_EQ(tree_longest_gap(&pair.tree), 900);
	do_place(&pair, 1100, 1999);
	CHECK_EQ(tree_longest_gap(&pair.tree), 0); /* 0 .. 899 is below the start */
	pair_fini(&pair);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(random_histories_agree_with_a_search_gap_by_gap);
	if (plan.one)
		return 0;
	TEST(long_random_histories_agree_with_a_search_gap_by_gap);
	TEST(wherever_a_request_fits_it_is_found);
	TEST(a_place_is_taken_exactly_or_not_at_all);
	TEST(a_refused_record_or_node_changes_nothing);
	TEST(aligned_requests_go_down_block_by_block);
	TEST(room_at_the_only_multiple_is_found_among_gaps_that_miss_it);
	TEST(the_ends_of_the_address_space_are_served);
	TEST(the_search_for_a_place_stops_at_the_start);
	TEST(the_longest_gap_counts_from_the_start_to_the_anchor);
	return 0;
}
