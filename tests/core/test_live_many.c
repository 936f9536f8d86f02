/* SPDX-License-Identifier: MIT */
/* Live domains: batches, which do what as many single calls would do, or nothing. */
#include "live_support.h"

#define MOST (5 * IOVA_MAGAZINE_CAPACITY)

static struct test_memory memory;

static iova_live *make_of(bool unchecked)
{
	struct iova_span window = { MIB, 64 * MIB - 1 };
	return make_live(&memory, (struct iova_live_config){
					  .windows = &window, .window_count = 1, .unchecked = unchecked });
}

/* ----------------------------------------------------- the same as single calls would do */

/* Two domains with the same history: one has batches, one single calls. */
struct pair {
	struct test_memory memory[2];
	iova_live *batches, *singles;
	uint64_t held[16 * MOST];
	uint64_t count;
};

static void pair_make(struct pair *pair, bool unchecked, const struct iova_design *design)
{
	struct iova_live_config config = { .unchecked = unchecked, .design = design };
	pair->batches = make_live(&pair->memory[0], config);
	pair->singles = make_live(&pair->memory[1], config);
	pair->count = 0;
}

static void pair_end(struct pair *pair)
{
	end_live(&pair->memory[0], pair->batches);
	end_live(&pair->memory[1], pair->singles);
}

static void pair_alloc(struct pair *pair, uint64_t n, uint64_t size, uint64_t limit)
{
	uint64_t batch[MOST];
	CHECK_EQ(iova_live_alloc_many(pair->batches, n, size, limit, batch), IOVA_OK);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t single = 0;
		CHECK_EQ(iova_live_alloc(pair->singles, size, limit, 0, &single), IOVA_OK);
		CHECK_EQ(batch[i], single);
		pair->held[pair->count++] = single;
	}
}

static void pair_free(struct pair *pair, uint64_t n, uint64_t size)
{
	const uint64_t *last = pair->held + pair->count - n;
	CHECK_EQ(iova_live_free_many(pair->batches, n, last, size, NULL), IOVA_OK);
	for (uint64_t i = 0; i < n; i++)
		give(pair->singles, last[i], size);
	pair->count -= n;
}

static void check_same_counters(struct pair *pair)
{
	for (uint32_t k = 0; k <= IOVA_MAX_CLASSES; k++) {
		struct iova_counters one = iova_live_counters(pair->batches, k);
		struct iova_counters other = iova_live_counters(pair->singles, k);
		CHECK(memcmp(&one, &other, sizeof(one)) == 0);
	}
}

static void batches_return_what_single_calls_would_return(void)
{
	static const uint64_t sizes[] = { PAGE, 3 * PAGE, 32 * PAGE, 40 * PAGE };
	static struct pair pair;
	const struct iova_design *design;
	for (uint32_t d = 0; (design = iova_design_at(d)) != NULL; d++) {
		for (unsigned i = 0; i < 2 * COUNT_OF_ARRAY(sizes); i++) {
			struct random random = { i };
			uint64_t size = sizes[i / 2];
			pair_make(&pair, i % 2, design);
			for (unsigned step = 0; step < 40; step++) {
				uint64_t n = random_below(&random, MOST);
				uint64_t limit = step % 5 == 4 ? 4 * GIB - 1 : ANYWHERE;
				if (pair.count + n <= COUNT_OF_ARRAY(pair.held) && step % 3 != 1)
					pair_alloc(&pair, n, size, limit);
				else
					pair_free(&pair, random_below(&random, pair.count + 1) %
								 MOST, size);
				check_same_counters(&pair);
			}
			while (pair.count)
				pair_free(&pair, pair.count < MOST ? pair.count : MOST, size);
			check_same_counters(&pair);
			pair_end(&pair);
		}
	}
}

static void a_batch_of_nothing_succeeds(void)
{
	iova_live *live = make_of(false);
	CHECK_EQ(iova_live_alloc_many(live, 0, PAGE, ANYWHERE, NULL), IOVA_OK);
	CHECK_EQ(iova_live_free_many(live, 0, NULL, PAGE, NULL), IOVA_OK);
	end_live(&memory, live);
}

/* --------------------------------------------------------------------------- all or none */

static void check_none_is_taken(iova_live *live, uint64_t n, uint64_t size, uint64_t limit,
				enum iova_status expected)
{
	uint64_t address[MOST], before = read_stats(live).live_bytes;
	CHECK_EQ(iova_live_alloc_many(live, n, size, limit, address), expected);
	CHECK_EQ(read_stats(live).live_bytes, before);
	check_adds_up(live);
}

static void a_batch_that_can_not_be_had_as_a_whole_takes_nothing(void)
{
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		struct iova_span window = { MIB, MIB + 300 * PAGE - 1 };
		iova_live *live = make_live(&memory,
					    (struct iova_live_config){ .windows = &window,
								       .window_count = 1,
								       .unchecked = unchecked });
		uint64_t address[300];
		check_none_is_taken(live, 301, PAGE, ANYWHERE, IOVA_NO_SPACE);
		check_none_is_taken(live, 101, PAGE, MIB + 100 * PAGE - 1, IOVA_NO_SPACE);
		check_none_is_taken(live, 10, 32 * PAGE, ANYWHERE, IOVA_NO_SPACE);
		check_none_is_taken(live, 2, 0, ANYWHERE, IOVA_INVALID);
		check_none_is_taken(live, 1, UINT64_MAX, ANYWHERE, IOVA_NO_SPACE);
		CHECK_EQ(iova_live_alloc_many(live, 300, PAGE, ANYWHERE, address), IOVA_OK);
		CHECK_EQ(iova_live_free_many(live, 300, address, PAGE, NULL), IOVA_OK);
		end_live(&memory, live);
	}
}

static void a_batch_beyond_the_budget_takes_nothing(void)
{
	struct iova_live_config config = { .budget = 200 };
	iova_live *live = make_live(&memory, config);
	uint64_t address[200];
	check_none_is_taken(live, 201, PAGE, ANYWHERE, IOVA_OVER_BUDGET);
	CHECK_EQ(iova_live_alloc_many(live, 200, PAGE, ANYWHERE, address), IOVA_OK);
	check_none_is_taken(live, 1, PAGE, ANYWHERE, IOVA_OVER_BUDGET);
	CHECK_EQ(iova_live_free_many(live, 150, address, PAGE, NULL), IOVA_OK);
	check_none_is_taken(live, 151, PAGE, ANYWHERE, IOVA_OVER_BUDGET);
	CHECK_EQ(iova_live_alloc_many(live, 150, PAGE, ANYWHERE, address), IOVA_OK);
	end_live(&memory, live);
}

/* ------------------------------------------------------------------- what can not be freed */

/* Position `at` of a batch holds something else: the ones before are freed, no other. */
static void check_stops_at(iova_live *live, uint64_t n, uint64_t at, uint64_t odd,
			   enum iova_status expected)
{
	uint64_t address[MOST];
	size_t bad = 7777;
	CHECK_EQ(iova_live_alloc_many(live, n, PAGE, ANYWHERE, address), IOVA_OK);
	uint64_t kept = address[at], before = read_stats(live).live;
	address[at] = odd;
	CHECK_EQ(iova_live_free_many(live, n, address, PAGE, &bad), expected);
	CHECK_EQ(bad, at);
	CHECK_EQ(read_stats(live).live, before - at);
	for (uint64_t i = 0; i < n; i++)
		if (i != at)
			CHECK_EQ(place_at(live, address[i]),
				 i < at ? IOVA_PLACE_FREE : IOVA_PLACE_LIVE);
	CHECK_EQ(place_at(live, kept), IOVA_PLACE_LIVE);
	/* *bad may be NULL; the rest goes as usual. */
	CHECK_EQ(iova_live_free_many(live, n - at, address + at, PAGE, NULL), expected);
	address[at] = kept;
	CHECK_EQ(iova_live_free_many(live, n - at, address + at, PAGE, &bad), IOVA_OK);
	CHECK_EQ(read_stats(live).live, before - n);
}

static void a_batch_of_frees_stops_at_the_first_that_can_not_be(void)
{
	iova_live *live = make_of(false);
	uint64_t pair = take(live, 2 * PAGE), large = take(live, 64 * PAGE);
	uint64_t freed = take(live, 4 * PAGE), waiting = take(live, PAGE), ticket;
	CHECK_EQ(iova_live_alloc_at(live, 2 * MIB, 2 * PAGE), IOVA_OK);
	give(live, freed, 4 * PAGE);
	CHECK_EQ(iova_live_defer(live, waiting, PAGE, &ticket), IOVA_OK);
	const struct {
		uint64_t address;
		enum iova_status status;
	} odd[] = {
		{ pair, IOVA_SIZE_MISMATCH },	    { large, IOVA_SIZE_MISMATCH },
		{ 2 * MIB, IOVA_SIZE_MISMATCH },    { 2 * MIB + PAGE, IOVA_NOT_ALLOCATED },
		{ freed, IOVA_DOUBLE_FREE },	    { waiting, IOVA_DOUBLE_FREE },
		{ MIB, IOVA_NOT_ALLOCATED },	    { MIB - PAGE, IOVA_RESERVED },
		{ 64 * MIB, IOVA_RESERVED },	    { UINT64_MAX, IOVA_RESERVED },
		{ pair + PAGE, IOVA_NOT_ALLOCATED }, { MIB + 1, IOVA_NOT_ALLOCATED },
	};
	for (size_t i = 0; i < COUNT_OF_ARRAY(odd); i++) {
		static const uint64_t at[] = { 0, 1, FULL - 1, FULL, 2 * FULL + 3, 299 };
		for (size_t k = 0; k < COUNT_OF_ARRAY(at); k++)
			check_stops_at(live, 300, at[k], odd[i].address, odd[i].status);
	}
	end_live(&memory, live);
}

static void an_address_between_granules_frees_nothing_in_a_batch(void)
{
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		iova_live *live = make_of(unchecked);
		uint64_t address[10], odd[3];
		size_t bad;
		CHECK_EQ(iova_live_alloc_many(live, 10, PAGE, ANYWHERE, address), IOVA_OK);
		/* So that there is a magazine with room. */
		CHECK_EQ(iova_live_free_many(live, 7, address, PAGE, NULL), IOVA_OK);
		odd[0] = address[7];
		odd[1] = address[8] + 1;
		odd[2] = address[9];
		CHECK_EQ(iova_live_free_many(live, 3, odd, PAGE, &bad), IOVA_NOT_ALLOCATED);
		CHECK_EQ(bad, 1);
		CHECK_EQ(read_stats(live).cached, 8);
		CHECK_EQ(read_stats(live).live, 2);
		end_live(&memory, live);
	}
}

static void an_address_twice_in_a_batch_is_a_double_free(void)
{
	iova_live *live = make_of(false);
	uint64_t address[20];
	size_t bad;
	CHECK_EQ(iova_live_alloc_many(live, 20, PAGE, ANYWHERE, address), IOVA_OK);
	give(live, address[0], PAGE);
	uint64_t repeated[] = { address[1], address[2], address[1], address[3] };
	CHECK_EQ(iova_live_free_many(live, 4, repeated, PAGE, &bad), IOVA_DOUBLE_FREE);
	CHECK_EQ(bad, 2);
	CHECK_EQ(read_stats(live).cached, 3);
	CHECK_EQ(place_at(live, address[3]), IOVA_PLACE_LIVE);
	end_live(&memory, live);
}

static void a_batch_with_size_zero_frees_whatever_is_there(void)
{
	iova_live *live = make_of(false);
	uint64_t mixed[] = { take(live, PAGE), take(live, 9 * PAGE), take(live, 50 * PAGE) };
	CHECK_EQ(iova_live_free_many(live, 3, mixed, 0, NULL), IOVA_OK);
	CHECK_EQ(read_stats(live).live, 0);
	end_live(&memory, live);
}

static void batches_reach_to_the_last_address(void)
{
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		struct iova_span window = { UINT64_MAX - MIB + 1, UINT64_MAX };
		iova_live *live = make_live(&memory,
					    (struct iova_live_config){ .windows = &window,
								       .window_count = 1,
								       .unchecked = unchecked });
		uint64_t address[200], odd[2];
		CHECK_EQ(iova_live_alloc_many(live, 200, PAGE, ANYWHERE, address), IOVA_OK);
		CHECK_EQ(address[0], UINT64_MAX - PAGE + 1);
		CHECK_EQ(iova_live_free_many(live, 198, address, PAGE, NULL), IOVA_OK);
		odd[0] = address[198];
		odd[1] = address[199] + 1;
		size_t bad;
		CHECK_EQ(iova_live_free_many(live, 2, odd, PAGE, &bad), IOVA_NOT_ALLOCATED);
		CHECK_EQ(bad, 1);
		CHECK_EQ(read_stats(live).cached, 199);
		end_live(&memory, live);
	}
}

int main(void)
{
	TEST(batches_return_what_single_calls_would_return);
	TEST(a_batch_of_nothing_succeeds);
	TEST(a_batch_that_can_not_be_had_as_a_whole_takes_nothing);
	TEST(a_batch_beyond_the_budget_takes_nothing);
	TEST(a_batch_of_frees_stops_at_the_first_that_can_not_be);
	TEST(an_address_between_granules_frees_nothing_in_a_batch);
	TEST(an_address_twice_in_a_batch_is_a_double_free);
	TEST(a_batch_with_size_zero_frees_whatever_is_there);
	TEST(batches_reach_to_the_last_address);
	return 0;
}
