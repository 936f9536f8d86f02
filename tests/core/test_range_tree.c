/* SPDX-License-Identifier: MIT */
/*
 * The range tree against the literal walk of linear_tree: the same answers, addresses,
 * search starts, give-up size and number of nodes walked after every call. Random cases
 * run sizes x seeds; --seed S --size N runs one of them alone and prints its steps.
 */
#include "tree_pair.h"

static struct random_plan plan;

static void check_same_ranges(const struct pair *pair)
{
	struct index_path path;
	CHECK_SOUND(index_check(&pair->tree.index));
	index_seek(&pair->tree.index, 0, &path);
	for (size_t i = 0; i < pair->model.count; i++) {
		CHECK_EQ(index_range(&path).lo, pair->model.range[i].lo);
		CHECK_EQ(index_range(&path).hi, pair->model.range[i].hi);
		index_next(&pair->tree.index, &path);
	}
}

static void do_find(struct pair *pair, uint64_t pfn)
{
	struct iova_range got, wanted;
	bool found = linear_find(&pair->model, pfn, &wanted);
	CHECK_EQ(tree_find(&pair->tree, pfn, &got), found);
	if (found)
		CHECK_EQ(got.hi, wanted.hi);
}

/* ------------------------------------------------------------------ random histories */

/* Where a history plays: near the bottom, around 4 GiB, or over all of 2^64. */
struct scene {
	uint64_t start, d32;
	uint64_t span; /* about as many frames as the history needs */
	unsigned size_bits;
	bool anchor_may_grow;
};

static struct scene scene_of(struct random *random, uint64_t size)
{
	static const unsigned shifts[] = { 12, 12, 11, 9, 0 };
	struct scene scene = {
		.d32 = UINT64_C(1) << (32 - shifts[random_below(random, 5)]),
		.span = size * (4 + random_below(random, 30)) + 4,
		.size_bits = (unsigned)random_below(random, 7),
	};
	uint64_t half = scene.span / 2;
	const uint64_t starts[] = { 0, 1, 7, 100, scene.d32 - half, scene.d32 + 50 };
	scene.start = starts[random_below(random, COUNT_OF_ARRAY(starts))];
	scene.anchor_may_grow = scene.d32 == UINT64_C(1) << 32;
	return scene;
}

static uint64_t some_limit(const struct scene *scene, struct random *random)
{
	const uint64_t limits[] = {
		scene->start + random_below(random, scene->span),
		scene->start + random_below(random, scene->span),
		scene->start + scene->span,
		scene->start + scene->span,
		scene->start - 1,
		scene->start,
		scene->d32 - 1,
		scene->d32,
		scene->d32 - 2 + random_below(random, 600),
		UINT64_MAX,
		UINT64_MAX - 1,
		random_bits(random, 64),
	};
	return limits[random_below(random, COUNT_OF_ARRAY(limits))];
}

static uint64_t some_size(const struct scene *scene, struct random *random)
{
	switch (random_below(random, 24)) {
	case 0:
		return scene->d32 - 2 + random_below(random, 4);
	case 1:
		return 1 + random_bits(random, 63);
	case 2:
		return 1 + random_below(random, scene->span);
	default:
		return 1 + random_bits(random, scene->size_bits);
	}
}

static void random_remove(struct pair *pair, struct random *random)
{
	if (pair->model.count == 1)
		return;
	size_t at = (size_t)random_below(random, pair->model.count - 1);
	struct iova_range range = pair->model.range[at];
	do_remove(pair, range.lo + random_below(random, range.hi - range.lo + 1));
}

static void random_reserve(struct pair *pair, const struct scene *scene, struct random *random)
{
	uint64_t lo = scene->start + random_below(random, scene->span);
	uint64_t hi = lo + random_bits(random, 8);
	if (random_below(random, 20) == 0)
		hi = lo - random_below(random, 4); /* misuse */
	if (scene->anchor_may_grow && random_below(random, 200) == 0)
		hi = UINT64_MAX;
	do_reserve(pair, lo, hi);
}

static void one_step(struct pair *pair, const struct scene *scene, struct random *random,
		     uint64_t size)
{
	uint64_t dice = random_below(random, 100);
	if (dice < (pair->model.count < size ? 62u : 40u)) {
		do_alloc(pair, some_size(scene, random), some_limit(scene, random),
			 random_below(random, 3) != 0);
	} else if (dice < 90) {
		random_remove(pair, random);
	} else if (dice < 95) {
		random_reserve(pair, scene, random);
	} else {
		uint64_t pfn = scene->start + random_below(random, scene->span);
		do_find(pair, pfn);
		if (dice == 99)
			do_remove(pair, pfn);
	}
}

static void random_history(uint64_t seed, uint64_t size, bool trace)
{
	struct random random = { seed * 1000003 + size };
	struct scene scene = scene_of(&random, size);
	struct pair pair;
	uint64_t every = size < 50 ? 1 : size;
	pair_init(&pair, scene.start, scene.d32);
	pair.trace = trace;
	for (uint64_t i = 0; i < 8 * size + 100; i++) {
		one_step(&pair, &scene, &random, size);
		if (i % every == 0)
			check_same_ranges(&pair);
	}
	while (pair.model.count > 1)
		random_remove(&pair, &random);
	check_same_ranges(&pair);
	pair_fini(&pair);
}

static void random_histories_agree_with_the_literal_walk(void)
{
	static const uint64_t sizes[] = { 3, 20, 100, 700 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 60, random_history);
}

static void long_random_histories_agree_with_the_literal_walk(void)
{
	static const uint64_t sizes[] = { 3000 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 6, random_history);
}

/* --------------------------------------------------------------------- the patterns */

static void addresses_fall_from_the_limit(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	for (uint64_t i = 0; i < 3000; i++) {
		CHECK_EQ(do_alloc(&pair, 1, LIMIT32, true), IOVA_OK);
		CHECK_EQ(pair.tree.near32.lo, LIMIT32 - i);
		CHECK_EQ(pair.tree.steps, 1);
	}
	check_same_ranges(&pair);
	pair_fini(&pair);
}

static void ranges_may_be_reserved_upwards_and_removed_in_any_order(void)
{
	struct pair pair;
	for (uint64_t order = 0; order < 3; order++) {
		pair_init(&pair, 1, D32);
		for (uint64_t i = 0; i < 3000; i++)
			do_reserve(&pair, 4 * i + 2, 4 * i + 3);
		for (uint64_t i = 0; i < 3000; i++) {
			uint64_t which = order == 0 ? i : order == 1 ? 2999 - i : i * 7 % 3000;
			do_remove(&pair, 4 * which + 3);
		}
		CHECK_EQ(pair.model.count, 1);
		pair_fini(&pair);
	}
}

static void every_second_range_freed_makes_a_larger_request_walk_all_of_them(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	for (uint64_t i = 0; i < 4000; i++)
		do_alloc(&pair, 1, LIMIT32, true);
	uint64_t lowest = pair.tree.near32.lo;
	for (uint64_t i = 0; i < 4000; i += 2)
		do_remove(&pair, LIMIT32 - i);
	CHECK_EQ(do_alloc(&pair, 2, LIMIT32, true), IOVA_OK);
	CHECK(pair.tree.near32.hi < lowest);
	CHECK_EQ(pair.tree.steps, 2001);
	for (uint64_t i = 0; i < 2000; i++)
		CHECK_EQ(do_alloc(&pair, 1, LIMIT32, true), IOVA_OK);
	check_same_ranges(&pair);
	pair_fini(&pair);
}

static void gaps_that_are_long_enough_but_not_aligned_are_walked_past(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	/* Six free frames, 8i+1 .. 8i+6, in which four do not fit aligned. */
	for (uint64_t i = 0; i < 5000; i++)
		do_reserve(&pair, 8 * i + 7, 8 * i + 8);
	do_reserve(&pair, 1, 6);
	CHECK_EQ(do_alloc(&pair, 4, 40000, true), IOVA_NO_SPACE);
	CHECK(pair.tree.steps >= 5000);
	CHECK_EQ(pair.tree.give_up, 4);
	/* The size that last failed now fails at once, aligned or not. */
	CHECK_EQ(do_alloc(&pair, 4, 40000, false), IOVA_NO_SPACE);
	CHECK_EQ(pair.tree.steps, 0);
	do_remove(&pair, 8 * 2500 + 8);
	CHECK_EQ(do_alloc(&pair, 4, 40000, false), IOVA_OK);
	CHECK_EQ(do_alloc(&pair, 4, 40000, true), IOVA_OK);
	CHECK_EQ(pair.tree.near32.lo, 8 * 2500 + 8);
	CHECK_EQ(do_alloc(&pair, 4, 40000, true), IOVA_OK);
	CHECK_EQ(pair.tree.near32.lo, 8 * 2500 + 4);
	CHECK_EQ(do_alloc(&pair, 4, 40000, true), IOVA_NO_SPACE);
	pair_fini(&pair);
}

static void all_freed_is_as_new_but_for_the_search_starts(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	for (uint64_t i = 0; i < 2000; i++)
		do_alloc(&pair, 1 + i % 5, i % 2 ? LIMIT32 : LIMIT64, true);
	while (pair.model.count > 1)
		do_remove(&pair, pair.model.range[0].lo);
	CHECK_EQ(index_bytes(&pair.tree.index), sizeof(struct index_leaf));
	CHECK_EQ(pair.tree.near.hi, UINT64_MAX);
	CHECK_EQ(pair.tree.near32.hi, UINT64_MAX);
	CHECK_EQ(do_alloc(&pair, 1, LIMIT32, true), IOVA_OK);
	CHECK_EQ(pair.tree.near32.lo, LIMIT32);
	pair_fini(&pair);
}

/* ------------------------------------------------------------------------ the rules */

static void a_hole_above_the_search_start_is_found_at_once(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	for (uint64_t i = 0; i < 100; i++)
		do_alloc(&pair, 1, LIMIT32, true);
	do_remove(&pair, LIMIT32 - 40);
	CHECK_EQ(pair.tree.near32.lo, LIMIT32 - 39);
	CHECK_EQ(do_alloc(&pair, 1, LIMIT32, true), IOVA_OK);
	CHECK_EQ(pair.tree.near32.lo, LIMIT32 - 40);
	CHECK_EQ(pair.tree.steps, 1);
	pair_fini(&pair);
}

static void the_second_pass_looks_above_the_search_start(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	do_reserve(&pair, 1, 49);
	CHECK_EQ(do_alloc(&pair, 1, 50, true), IOVA_OK); /* the start is there now */
	CHECK_EQ(do_alloc(&pair, 8, 200, true), IOVA_OK);
	CHECK_EQ(pair.tree.near32.lo, 192);
	CHECK(pair.tree.steps > 1);
	pair_fini(&pair);
}

static void a_failure_is_remembered_until_something_below_4_GiB_goes(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	do_alloc(&pair, 8, 63, true);
	do_alloc(&pair, 1, D32 + 100, true);
	CHECK_EQ(do_alloc(&pair, 128, 100, true), IOVA_NO_SPACE);
	CHECK_EQ(pair.tree.give_up, 128);
	CHECK_EQ(do_alloc(&pair, 128, LIMIT32, true), IOVA_NO_SPACE); /* limits are not asked */
	CHECK_EQ(do_alloc(&pair, 64, LIMIT32, true), IOVA_OK);
	do_remove(&pair, D32 + 100);
	CHECK_EQ(pair.tree.give_up, 128);
	do_remove(&pair, 60);
	CHECK_EQ(pair.tree.give_up, D32);
	CHECK_EQ(do_alloc(&pair, 128, LIMIT32, true), IOVA_OK);
	pair_fini(&pair);
}

static void a_failed_wide_request_may_allow_larger_narrow_ones_again(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	CHECK_EQ(do_alloc(&pair, 16, 10, true), IOVA_NO_SPACE);
	CHECK_EQ(do_alloc(&pair, UINT64_C(1) << 40, D32 + 10, true), IOVA_NO_SPACE);
	CHECK_EQ(pair.tree.give_up, UINT64_C(1) << 40);
	CHECK_EQ(do_alloc(&pair, 16, LIMIT32, true), IOVA_OK);
	pair_fini(&pair);
}

static void a_request_for_4_GiB_below_4_GiB_fails_at_once(void)
{
	struct pair pair;
	pair_init(&pair, 0, D32);
	CHECK_EQ(do_alloc(&pair, D32, LIMIT32, false), IOVA_NO_SPACE);
	CHECK_EQ(pair.tree.steps, 0);
	CHECK_EQ(do_alloc(&pair, D32 - 1, LIMIT32, false), IOVA_OK);
	pair_fini(&pair);
}

static void a_wide_request_that_ends_below_4_GiB_moves_the_narrow_start(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	do_reserve(&pair, D32, D32 + 100);
	CHECK_EQ(do_alloc(&pair, 4, D32 + 100, true), IOVA_OK);
	CHECK_EQ(pair.tree.near.hi, UINT64_MAX);
	CHECK_EQ(pair.tree.near32.hi, LIMIT32);
	pair_fini(&pair);
}

static void a_range_across_4_GiB_resets_the_failed_size_and_leaves_the_narrow_start(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	do_alloc(&pair, 1, 100, true);
	do_reserve(&pair, D32 - 4, D32 + 4);
	CHECK_EQ(do_alloc(&pair, 200, 50, true), IOVA_NO_SPACE);
	do_remove(&pair, D32);
	CHECK_EQ(pair.tree.give_up, D32);
	CHECK_EQ(pair.tree.near32.lo, 100);
	pair_fini(&pair);
}

static void a_reservation_lowers_a_search_start_with_its_range(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	do_alloc(&pair, 4, 103, true);
	CHECK_EQ(pair.tree.near32.lo, 100);
	do_reserve(&pair, 90, 101);
	CHECK_EQ(pair.tree.near32.lo, 90);
	CHECK_EQ(do_alloc(&pair, 1, 103, true), IOVA_OK);
	CHECK_EQ(pair.tree.near32.lo, 89);
	pair_fini(&pair);
}

static void a_reservation_fills_gaps_downwards_and_adds_what_sticks_out(void)
{
	struct pair pair;
	pair_init(&pair, 1, D32);
	do_reserve(&pair, 10, 12);
	do_reserve(&pair, 20, 22);
	do_reserve(&pair, 30, 32);
	do_reserve(&pair, 5, 25);
	check_same_ranges(&pair);
	CHECK_EQ(pair.model.count, 5);
	CHECK_EQ(pair.model.range[0].lo, 5);
	CHECK_EQ(pair.model.range[1].lo, 13);
	CHECK_EQ(pair.model.range[2].lo, 23);
	CHECK_EQ(pair.model.range[2].hi, 25);
	pair_fini(&pair);
}

static void a_refused_record_fails_the_call_and_changes_nothing(void)
{
	struct pair pair;
	struct iova_range range;
	pair_init(&pair, 1, D32);
	do_alloc(&pair, 8, LIMIT32, true);
	pair.memory.refuse_records = 2;
	CHECK_EQ(tree_alloc(&pair.tree, 2 * D32, LIMIT32, true, &range), IOVA_NO_MEMORY);
	CHECK_EQ(tree_reserve(&pair.tree, 5, 6, &range), IOVA_NO_MEMORY);
	pair_check(&pair);
	check_same_ranges(&pair);
	/* A reservation that adds no range needs no record. */
	pair.memory.refuse_records = 1;
	do_reserve(&pair, LIMIT32, LIMIT32);
	CHECK_EQ(pair.memory.refuse_records, 1);
	pair_fini(&pair);
}

static void without_counting_the_same_addresses_come_out(void)
{
	struct test_memory memory;
	struct range_tree counting, not_counting;
	struct random random = { 7 };
	test_memory_init(&memory);
	CHECK_EQ(tree_init(&counting, &memory.table, 1, D32, true), IOVA_OK);
	CHECK_EQ(tree_init(&not_counting, &memory.table, 1, D32, false), IOVA_OK);
	for (unsigned i = 0; i < 20000; i++) {
		struct iova_range a = { 0, 0 }, b = { 0, 0 };
		uint64_t size = 1 + random_below(&random, 70);
		uint64_t limit = random_below(&random, 2) ? 20000 : D32 + 20000;
		CHECK_EQ(tree_alloc(&counting, size, limit, true, &a),
			 tree_alloc(&not_counting, size, limit, true, &b));
		CHECK_EQ(a.lo, b.lo);
		CHECK_EQ(not_counting.steps, 0);
		uint64_t pfn = random_below(&random, 2) ? random_below(&random, 20000) :
							  D32 + random_below(&random, 20000);
		CHECK_EQ(tree_remove(&counting, pfn), tree_remove(&not_counting, pfn));
	}
	CHECK_EQ(counting.give_up, not_counting.give_up);
	tree_fini(&counting);
	tree_fini(&not_counting);
	CHECK_EQ(test_memory_held(&memory), 0);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(random_histories_agree_with_the_literal_walk);
	if (plan.one)
		return 0;
	TEST(long_random_histories_agree_with_the_literal_walk);
	TEST(addresses_fall_from_the_limit);
	TEST(ranges_may_be_reserved_upwards_and_removed_in_any_order);
	TEST(every_second_range_freed_makes_a_larger_request_walk_all_of_them);
	TEST(gaps_that_are_long_enough_but_not_aligned_are_walked_past);
	TEST(all_freed_is_as_new_but_for_the_search_starts);
	TEST(a_hole_above_the_search_start_is_found_at_once);
	TEST(the_second_pass_looks_above_the_search_start);
	TEST(a_failure_is_remembered_until_something_below_4_GiB_goes);
	TEST(a_failed_wide_request_may_allow_larger_narrow_ones_again);
	TEST(a_request_for_4_GiB_below_4_GiB_fails_at_once);
	TEST(a_wide_request_that_ends_below_4_GiB_moves_the_narrow_start);
	TEST(a_range_across_4_GiB_resets_the_failed_size_and_leaves_the_narrow_start);
	TEST(a_reservation_lowers_a_search_start_with_its_range);
	TEST(a_reservation_fills_gaps_downwards_and_adds_what_sticks_out);
	TEST(a_refused_record_fails_the_call_and_changes_nothing);
	TEST(without_counting_the_same_addresses_come_out);
	return 0;
}
