/* SPDX-License-Identifier: MIT */
/*
 * The index of ranges and gaps against a sorted array, which answers every question by
 * looking at each range. Random cases run sizes x seeds; --seed S --size N runs one of
 * them alone and prints its steps.
 */
#include "linear_tree.h"
#include "range_index.h"
#include "support.h"

static struct random_plan plan;

/* The index under test and the array beside it. */
struct pair {
	struct test_memory memory;
	struct range_index index;
	struct linear_tree model;
};

static void pair_init(struct pair *pair)
{
	test_memory_init(&pair->memory);
	CHECK_EQ(index_init(&pair->index, &pair->memory.table), IOVA_OK);
	linear_init(&pair->model, 0, 0);
}

static void pair_fini(struct pair *pair)
{
	index_fini(&pair->index);
	linear_fini(&pair->model);
	CHECK_EQ(test_memory_held(&pair->memory), 0);
}

static uint64_t floor_of(const struct linear_tree *model, size_t at)
{
	return at ? model->range[at - 1].hi + 1 : 0;
}

static uint64_t model_pages(const struct linear_tree *model)
{
	uint64_t pages = 0;
	for (size_t i = 0; i + 1 < model->count; i++)
		pages += model->range[i].hi - model->range[i].lo + 1;
	return pages;
}

static void check_same(const struct pair *pair)
{
	const struct linear_tree *model = &pair->model;
	struct index_path path;
	CHECK_SOUND(index_check(&pair->index));
	CHECK_EQ(pair->index.count, model->count);
	CHECK_EQ(pair->index.pages, model_pages(model));
	index_seek(&pair->index, 0, &path);
	for (size_t i = 0; i < model->count; i++) {
		CHECK_EQ(index_range(&path).lo, model->range[i].lo);
		CHECK_EQ(index_range(&path).hi, model->range[i].hi);
		CHECK_EQ(index_next(&pair->index, &path), i + 1 < model->count);
	}
}

static void insert(struct pair *pair, struct iova_range range)
{
	struct index_path path;
	index_seek(&pair->index, range.hi, &path);
	CHECK_EQ(index_insert(&pair->index, &path, range), IOVA_OK);
}

static void remove_holding(struct range_index *index, uint64_t pfn)
{
	struct index_path path;
	index_seek(index, pfn, &path);
	CHECK(index_range(&path).lo <= pfn);
	index_remove(index, &path);
}

/* ------------------------------------------------------------------ random histories */

static void insert_somewhere(struct pair *pair, struct random *random, uint64_t span, bool trace)
{
	uint64_t pfn = random_below(random, span);
	size_t at = linear_first(&pair->model, pfn);
	uint64_t floor = floor_of(&pair->model, at), top = pair->model.range[at].lo;
	if (pfn >= top)
		return; /* taken */
	uint64_t room = top - pfn < 64 ? top - pfn : 64;
	struct iova_range range = { pfn, pfn + random_below(random, room) };
	if (random_below(random, 4) == 0)
		range.lo = floor; /* touches the range below */
	if (random_below(random, 4) == 0 && top < span)
		range.hi = top - 1; /* touches the one above */
	if (trace)
		printf("insert %" PRIu64 "..%" PRIu64 "\n", range.lo, range.hi);
	insert(pair, range);
	linear_insert(&pair->model, at, range);
}

static void remove_some(struct pair *pair, struct random *random, bool trace)
{
	if (pair->model.count == 1)
		return;
	size_t at = (size_t)random_below(random, pair->model.count - 1);
	struct iova_range range = pair->model.range[at];
	if (trace)
		printf("remove %" PRIu64 "..%" PRIu64 "\n", range.lo, range.hi);
	remove_holding(&pair->index, range.lo + random_below(random, range.hi - range.lo + 1));
	linear_erase(&pair->model, at);
}

static void lower_some(struct pair *pair, struct random *random, bool trace)
{
	size_t at = (size_t)random_below(random, pair->model.count);
	struct iova_range *range = &pair->model.range[at];
	uint64_t floor = floor_of(&pair->model, at);
	bool is_anchor = range->hi == UINT64_MAX;
	if (floor == range->lo || (is_anchor && random_below(random, 100) != 0))
		return;
	uint64_t gap = range->lo - floor;
	uint64_t by = 1 + random_below(random, is_anchor && gap > 8 ? 8 : gap);
	if (trace)
		printf("lower %" PRIu64 "..%" PRIu64 " by %" PRIu64 "\n", range->lo, range->hi, by);
	struct index_path path;
	index_seek(&pair->index, range->hi, &path);
	index_lower(&pair->index, &path, range->lo - by);
	range->lo -= by;
}

static void look_up(const struct pair *pair, struct random *random, uint64_t span)
{
	uint64_t pfn = random_below(random, span + 2);
	size_t at = linear_first(&pair->model, pfn);
	struct index_path path;
	index_seek(&pair->index, pfn, &path);
	CHECK_EQ(index_range(&path).hi, pair->model.range[at].hi);
	CHECK_EQ(index_rank(&pair->index, &path), at);
	CHECK_EQ(index_previous(&pair->index, &path), at > 0);
	CHECK_EQ(index_rank(&pair->index, &path), at > 0 ? at - 1 : 0);
}

/* The highest gap below top in which the request fits, by looking at every gap. */
static bool slow_find_gap(const struct linear_tree *model, uint64_t top, uint64_t size,
			  uint64_t mask, uint64_t *pfn, uint64_t *owner_hi)
{
	for (size_t i = model->count; i-- > 0;) {
		uint64_t a = floor_of(model, i), b = model->range[i].lo;
		if (a >= top)
			continue;
		b = b < top ? b : top;
		if (b - a < size || ((b - size) & mask) < a)
			continue;
		*pfn = (b - size) & mask;
		*owner_hi = model->range[i].hi;
		return true;
	}
	return false;
}

static uint64_t mask_for(uint64_t size, bool aligned)
{
	unsigned order = order_of(size);
	return !aligned ? UINT64_MAX : order < 64 ? UINT64_MAX << order : 0;
}

static void find_gap(const struct pair *pair, uint64_t top, uint64_t size, bool aligned, bool trace)
{
	uint64_t mask = mask_for(size, aligned), pfn = 0, wanted = 0, owner = 0;
	struct index_path path;
	if (trace)
		printf("find %" PRIu64 " below %" PRIu64 "%s\n", size, top,
		       aligned ? " aligned" : "");
	bool exists = slow_find_gap(&pair->model, top, size, mask, &wanted, &owner);
	CHECK_EQ(index_find_gap(&pair->index, top, size, mask, &path, &pfn), exists);
	if (!exists)
		return;
	CHECK_EQ(pfn, wanted);
	CHECK_EQ(index_range(&path).hi, owner);
}

static void find_some_gap(const struct pair *pair, struct random *random, uint64_t span, bool trace)
{
	static const uint64_t far[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 32 };
	uint64_t top = random_below(random, 4) ? random_below(random, span) + 1 :
						 far[random_below(random, 3)];
	uint64_t size = 1 + (random_below(random, 8) ? random_below(random, 40) :
						       random_bits(random, 63));
	find_gap(pair, top, size, random_below(random, 3) != 0, trace);
}

static void one_step(struct pair *pair, struct random *random, uint64_t size, uint64_t span,
		     bool trace)
{
	uint64_t dice = random_below(random, 100);
	bool grow = pair->model.count < size ? dice < 60 : dice < 20;
	if (grow)
		insert_somewhere(pair, random, span, trace);
	else if (dice < 75)
		remove_some(pair, random, trace);
	else if (dice < 82)
		lower_some(pair, random, trace);
	else if (dice < 90)
		look_up(pair, random, span);
	else
		find_some_gap(pair, random, span, trace);
}

static void random_history(uint64_t seed, uint64_t size, bool trace)
{
	struct random random = { seed * 1000003 + size };
	struct pair pair;
	/* From almost full to almost empty. */
	uint64_t span = size * (8 + random_below(&random, 120)) + 8;
	uint64_t every = trace || size < 100 ? 1 : size;
	pair_init(&pair);
	for (uint64_t i = 0; i < 6 * size + 60; i++) {
		one_step(&pair, &random, size, span, trace);
		if (i % every == 0)
			check_same(&pair);
	}
	check_same(&pair);
	while (pair.model.count > 1)
		remove_some(&pair, &random, trace);
	check_same(&pair);
	if (pair.model.range[0].lo == UINT64_MAX)
		CHECK_EQ(index_bytes(&pair.index), sizeof(struct index_leaf));
	pair_fini(&pair);
}

static void random_histories_agree_with_a_sorted_array(void)
{
	static const uint64_t sizes[] = { 1, 5, 31, 62, 200, 1000, 4000 };
	random_run(&plan, sizes, COUNT_OF_ARRAY(sizes), 12, random_history);
}

/* --------------------------------------------------------------- growing and shrinking */

#define MANY UINT64_C(100000)

enum pattern { RISING, FALLING, ALTERNATING, SHUFFLED, INSIDE_OUT, PATTERNS };

/* Place i of n in a pattern; each pattern visits every place once. */
static uint64_t place(enum pattern pattern, uint64_t i, uint64_t n)
{
	switch (pattern) {
	case RISING:
		return i;
	case FALLING:
		return n - 1 - i;
	case ALTERNATING: /* all even places, then all odd ones */
		return i < (n + 1) / 2 ? 2 * i : 2 * (i - (n + 1) / 2) + 1;
	case SHUFFLED: /* 48271 and n have no common divisor */
		return i * 48271 % n;
	default:
		return i % 2 ? n / 2 + i / 2 : n / 2 - 1 - i / 2;
	}
}

static struct iova_range range_at(uint64_t place)
{
	return (struct iova_range){ 10 * place + 3, 10 * place + 3 + place % 5 };
}

/* The top gap of the place's neighbourhood is found through the index while it exists. */
static void check_gap_below(const struct range_index *index, uint64_t top)
{
	struct index_path path;
	uint64_t pfn;
	CHECK(index_find_gap(index, top, 5, UINT64_MAX, &path, &pfn));
	CHECK(pfn + 5 <= top);
}

static void grow_and_shrink(enum pattern in, enum pattern out, uint64_t n)
{
	struct pair pair;
	unsigned highest = 0;
	pair_init(&pair);
	snprintf(check_context, sizeof(check_context), "pattern %d in, %d out", in, out);
	for (uint64_t i = 0; i < n; i++) {
		insert(&pair, range_at(place(in, i, n)));
		if (i % (n / 8) == 0)
			CHECK_SOUND(index_check(&pair.index));
	}
	highest = pair.index.height;
	CHECK_SOUND(index_check(&pair.index));
	CHECK_EQ(pair.index.count, n + 1);
	for (uint64_t i = 0; i < n; i++) {
		remove_holding(&pair.index, range_at(place(out, i, n)).hi);
		if (i % (n / 8) == 0) {
			CHECK_SOUND(index_check(&pair.index));
			check_gap_below(&pair.index, 10 * n);
		}
	}
	/* Deeper than that a full tree of so few ranges need not be. */
	CHECK(highest >= (n >= MANY ? 3 : 2));
	CHECK_EQ(pair.index.height, 0);
	CHECK_EQ(pair.index.count, 1);
	CHECK_EQ(pair.index.pages, 0);
	CHECK_EQ(index_bytes(&pair.index), sizeof(struct index_leaf));
	CHECK_EQ(pair.memory.blocks[IOVA_MEMORY_TREE], 1);
	check_same(&pair);
	pair_fini(&pair);
}

static void a_hundred_thousand_ranges_come_and_go(void)
{
	for (unsigned pattern = 0; pattern < PATTERNS; pattern++)
		grow_and_shrink(pattern, pattern, MANY);
}

static void ranges_come_in_any_pattern_and_go_in_any_other(void)
{
	for (unsigned in = 0; in < PATTERNS; in++)
		for (unsigned out = 0; out < PATTERNS; out++)
			grow_and_shrink(in, out, MANY / 5);
}

static void nodes_stay_well_filled(void)
{
	struct pair pair;
	for (unsigned in = 0; in < PATTERNS; in++) {
		pair_init(&pair);
		snprintf(check_context, sizeof(check_context), "pattern %u", in);
		for (uint64_t i = 0; i < MANY; i++)
			insert(&pair, range_at(place(in, i, MANY)));
		/* A full leaf takes 17 bytes a range. Linux hands out falling addresses. */
		CHECK(index_bytes(&pair.index) <= (in == FALLING ? 20 : 44) * MANY);
		pair_fini(&pair);
	}
}

static void half_of_the_ranges_gone_gives_memory_back(void)
{
	struct pair pair;
	pair_init(&pair);
	for (uint64_t i = 0; i < MANY; i++)
		insert(&pair, range_at(i));
	uint64_t full = index_bytes(&pair.index);
	for (uint64_t i = 0; i < MANY; i++)
		if (i % 8 != 0)
			remove_holding(&pair.index, range_at(i).lo);
	CHECK_SOUND(index_check(&pair.index));
	CHECK(index_bytes(&pair.index) < full / 2);
	pair_fini(&pair);
}

/* ------------------------------------------------------------------------- the gaps */

/* 200 ranges without gaps between, so that what lies below is found by figures alone. */
static void insert_shield(struct pair *pair, uint64_t from)
{
	for (uint64_t i = 0; i < 200; i++) {
		struct iova_range range = { from + i, from + i };
		insert(pair, range);
		linear_insert(&pair->model, linear_first(&pair->model, range.hi), range);
	}
}

/* The only gap is a..b-1. */
static void check_one_gap(uint64_t a, uint64_t b, uint64_t top_size)
{
	struct pair pair;
	pair_init(&pair);
	if (a > 0) {
		struct iova_range below = { 0, a - 1 };
		insert(&pair, below);
		linear_insert(&pair.model, 0, below);
	}
	insert_shield(&pair, b);
	for (uint64_t size = 1; size <= top_size; size++) {
		find_gap(&pair, b + 200, size, true, false);
		find_gap(&pair, b + 200, size, false, false);
	}
	check_same(&pair);
	pair_fini(&pair);
}

static void what_fits_aligned_in_a_small_gap_is_known_exactly(void)
{
	for (uint64_t a = 0; a < 34; a++)
		for (uint64_t b = a; b <= 70; b++)
			check_one_gap(a, b, 72);
}

static void what_fits_aligned_is_known_exactly_high_up_too(void)
{
	static const uint64_t base[] = { (UINT64_C(1) << 32) - 20, (UINT64_C(1) << 63) - 20,
					 UINT64_MAX - 400 };
	for (size_t i = 0; i < COUNT_OF_ARRAY(base); i++)
		for (uint64_t a = 0; a < 24; a++)
			for (uint64_t length = 0; length < 40; length += 3)
				check_one_gap(base[i] + a, base[i] + a + length, 40);
}

static void gaps_of_huge_lengths_serve_huge_sizes(void)
{
	struct pair pair;
	pair_init(&pair);
	insert_shield(&pair, UINT64_MAX - 300);
	for (unsigned bits = 40; bits < 64; bits++) {
		for (uint64_t less = 0; less < 3; less++) {
			uint64_t size = (UINT64_C(1) << bits) + 1 - less;
			find_gap(&pair, UINT64_MAX - 100, size, true, false);
			find_gap(&pair, UINT64_MAX - 100, size, false, false);
		}
	}
	find_gap(&pair, UINT64_MAX, UINT64_MAX - 300, true, false);
	find_gap(&pair, UINT64_MAX, UINT64_MAX - 299, true, false);
	pair_fini(&pair);
}

static void gaps_that_are_long_enough_but_not_aligned_are_passed_over(void)
{
	struct pair pair;
	pair_init(&pair);
	/* Gaps of six frames, 8i+1 .. 8i+6, in which four do not fit aligned; one in which they do. */
	for (uint64_t i = 0; i < 3000; i++) {
		struct iova_range range = { 8 * i + 7, 8 * i + 8 };
		if (i == 5)
			range.lo++; /* opens 8i+7: frames 44..47 */
		insert(&pair, range);
		linear_insert(&pair.model, linear_first(&pair.model, range.hi), range);
	}
	struct index_path path;
	uint64_t pfn = 0;
	CHECK(index_find_gap(&pair.index, 24000, 4, ~UINT64_C(3), &path, &pfn));
	CHECK_EQ(pfn, 44);
	CHECK(index_find_gap(&pair.index, 24000, 4, UINT64_MAX, &path, &pfn));
	CHECK_EQ(pfn, 23995);
	CHECK(index_find_gap(&pair.index, 40, 4, ~UINT64_C(3), &path, &pfn));
	CHECK_EQ(pfn, 0);
	pair_fini(&pair);
}

/* --------------------------------------------------------------------------- memory */

static void an_insert_without_memory_changes_nothing(void)
{
	struct pair pair;
	pair_init(&pair);
	uint64_t refusals = 0;
	for (uint64_t i = 0; i < 2000; i++) {
		struct iova_range range = range_at(i);
		for (uint64_t question = 1;; question++) {
			uint64_t bytes = index_bytes(&pair.index);
			struct index_path path;
			index_seek(&pair.index, range.hi, &path);
			pair.memory.questions = 0;
			pair.memory.refuse_at = question;
			enum iova_status status = index_insert(&pair.index, &path, range);
			pair.memory.refuse_at = 0;
			if (status == IOVA_OK)
				break;
			refusals++;
			CHECK_EQ(status, IOVA_NO_MEMORY);
			CHECK_EQ(index_bytes(&pair.index), bytes);
			CHECK_EQ(pair.index.count, i + 1);
			CHECK_SOUND(index_check(&pair.index));
		}
	}
	CHECK(refusals >= 2000 / LEAF_SLOTS); /* each split once at least */
	CHECK_EQ(pair.index.count, 2001);
	pair_fini(&pair);
}

static void a_removal_never_asks_for_memory(void)
{
	struct pair pair;
	pair_init(&pair);
	for (uint64_t i = 0; i < 5000; i++)
		insert(&pair, range_at(i));
	pair.memory.questions = 0;
	for (uint64_t i = 0; i < 5000; i++)
		remove_holding(&pair.index, range_at(place(SHUFFLED, i, 5000)).lo);
	CHECK_EQ(pair.memory.questions, 0);
	pair_fini(&pair);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(random_histories_agree_with_a_sorted_array);
	if (plan.one)
		return 0;
	TEST(a_hundred_thousand_ranges_come_and_go);
	TEST(ranges_come_in_any_pattern_and_go_in_any_other);
	TEST(nodes_stay_well_filled);
	TEST(half_of_the_ranges_gone_gives_memory_back);
	TEST(what_fits_aligned_in_a_small_gap_is_known_exactly);
	TEST(what_fits_aligned_is_known_exactly_high_up_too);
	TEST(gaps_of_huge_lengths_serve_huge_sizes);
	TEST(gaps_that_are_long_enough_but_not_aligned_are_passed_over);
	TEST(an_insert_without_memory_changes_nothing);
	TEST(a_removal_never_asks_for_memory);
	return 0;
}
