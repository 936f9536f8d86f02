/* SPDX-License-Identifier: MIT */
/* Live domains: windows and reservations, fixed addresses, and what lies where. */
#include "live_support.h"

static struct test_memory memory;

static iova_live *make_with(const struct iova_span *windows, size_t window_count,
			    const struct iova_span *reserved, size_t reserved_count)
{
	return make_live(&memory, (struct iova_live_config){ .windows = windows,
							     .window_count = window_count,
							     .reserved = reserved,
							     .reserved_count = reserved_count });
}

/* Everything that can be handed out a granule at a time is what `spans` say, highest first. */
static void check_hands_out(iova_live *live, const struct iova_span *spans, size_t count)
{
	uint64_t granule = UINT64_C(1) << live->shift, address;
	for (size_t i = 0; i < count; i++)
		for (uint64_t at = spans[i].last + 1; at > spans[i].first; at -= granule)
			CHECK_EQ(take(live, granule), at - granule);
	CHECK_EQ(iova_live_alloc(live, granule, ANYWHERE, 0, &address), IOVA_NO_SPACE);
	CHECK_EQ(read_stats(live).free_bytes, 0);
}

/* ------------------------------------------------------------------------- windows */

static void windows_that_meet_inside_a_granule_hold_it(void)
{
	static const struct iova_span windows[] = {
		{ 0, 7 }, { 12 * PAGE + 9, 14 * PAGE - 1 }, { 0, PAGE + 99 },
		{ 10 * PAGE, 12 * PAGE + 8 }, { PAGE + 100, 3 * PAGE - 1 },
	};
	iova_live *live = make_with(windows, COUNT_OF_ARRAY(windows), NULL, 0);
	CHECK_EQ(read_stats(live).free_bytes, 6 * PAGE); /* address 0 is not handed out */
	end_live(&memory, live);
}

static void outside_the_windows_is_one_reservation_each(void)
{
	static const struct iova_span window = { 10 * PAGE, 20 * PAGE - 1 };
	iova_live *live = make_with(&window, 1, NULL, 0);
	struct iova_span span;
	CHECK_EQ(iova_live_find(live, 7, &span), IOVA_PLACE_RESERVED);
	CHECK(span.first == 0 && span.last == 10 * PAGE - 1);
	CHECK_EQ(iova_live_find(live, 20 * PAGE, &span), IOVA_PLACE_RESERVED);
	CHECK(span.first == 20 * PAGE && span.last == UINT64_MAX);
	end_live(&memory, live);
}

static void windows_may_come_in_any_order_and_overlap(void)
{
	static const struct iova_span windows[] = {
		{ 40 * PAGE, 49 * PAGE - 1 }, { 10 * PAGE, 19 * PAGE - 1 },
		{ 12 * PAGE, 15 * PAGE - 1 }, { 60 * PAGE, 62 * PAGE - 1 },
		{ 18 * PAGE, 25 * PAGE - 1 }, { 60 * PAGE, 62 * PAGE - 1 },
		{ 49 * PAGE, 50 * PAGE - 1 },
	};
	static const struct iova_span usable[] = {
		{ 60 * PAGE, 62 * PAGE - 1 },
		{ 40 * PAGE, 50 * PAGE - 1 },
		{ 10 * PAGE, 25 * PAGE - 1 },
	};
	for (size_t first = 0; first < COUNT_OF_ARRAY(windows); first++) {
		struct iova_span turned[COUNT_OF_ARRAY(windows)];
		for (size_t i = 0; i < COUNT_OF_ARRAY(windows); i++)
			turned[i] = windows[(first + i) % COUNT_OF_ARRAY(windows)];
		iova_live *live = make_with(turned, COUNT_OF_ARRAY(turned), NULL, 0);
		CHECK_EQ(read_stats(live).free_bytes, 27 * PAGE);
		CHECK_EQ(read_stats(live).largest_gap_bytes, 15 * PAGE);
		check_hands_out(live, usable, COUNT_OF_ARRAY(usable));
		end_live(&memory, live);
	}
}

static void only_whole_granules_inside_a_window_are_handed_out(void)
{
	static const struct iova_span windows[] = {
		{ 10 * PAGE + 1, 13 * PAGE },	  /* 11 and 12 */
		{ 20 * PAGE - 1, 21 * PAGE - 2 }, /* none */
		{ 30 * PAGE, 30 * PAGE },	  /* none */
		{ 40 * PAGE - 1, 41 * PAGE },	  /* 40 */
		{ 51 * PAGE - 1, 51 * PAGE - 1 }, /* none, above all others */
	};
	static const struct iova_span usable[] = {
		{ 40 * PAGE, 41 * PAGE - 1 },
		{ 11 * PAGE, 13 * PAGE - 1 },
	};
	iova_live *live = make_with(windows, COUNT_OF_ARRAY(windows), NULL, 0);
	check_hands_out(live, usable, COUNT_OF_ARRAY(usable));
	end_live(&memory, live);
}

static void every_granule_has_its_windows(void)
{
	for (uint64_t granule = 1; granule <= IOVA_MAX_GRANULE; granule *= 2) {
		struct iova_span windows[] = { { 9 * granule, 12 * granule - 1 },
					       { 3 * granule, 7 * granule - 1 } };
		struct iova_span reserved = { 4 * granule, 4 * granule };
		struct iova_span usable[] = { { 9 * granule, 12 * granule - 1 },
					      { 5 * granule, 7 * granule - 1 },
					      { 3 * granule, 4 * granule - 1 } };
		iova_live *live = make_live(&memory, (struct iova_live_config){
							     .windows = windows,
							     .window_count = 2,
							     .reserved = &reserved,
							     .reserved_count = 1,
							     .granule = granule });
		check_hands_out(live, usable, 3);
		end_live(&memory, live);
	}
}

static void the_default_windows_are_48_bits_without_page_zero_and_the_msi_window(void)
{
	iova_live *live = make_live(&memory, (struct iova_live_config){ 0 });
	uint64_t address;
	CHECK_EQ(read_stats(live).free_bytes, (UINT64_C(1) << 48) - PAGE - MIB);
	CHECK_EQ(take(live, PAGE), (UINT64_C(1) << 48) - PAGE);
	CHECK_EQ(place_at(live, 0), IOVA_PLACE_RESERVED);
	CHECK_EQ(place_at(live, PAGE), IOVA_PLACE_FREE);
	CHECK_EQ(place_at(live, 0xfee00000), IOVA_PLACE_RESERVED);
	CHECK_EQ(place_at(live, 0xfeefffff), IOVA_PLACE_RESERVED);
	CHECK_EQ(place_at(live, 0xfedfffff), IOVA_PLACE_FREE);
	CHECK_EQ(place_at(live, 0xfef00000), IOVA_PLACE_FREE);
	CHECK_EQ(place_at(live, UINT64_C(1) << 48), IOVA_PLACE_RESERVED);
	CHECK_EQ(iova_live_alloc(live, MIB, 0xfeefffff, 0, &address), IOVA_OK);
	CHECK_EQ(address, 0xfed00000);
	end_live(&memory, live);
}

static void windows_of_the_caller_keep_the_msi_window(void)
{
	struct iova_span window = { 0xfee00000, 0xfeefffff };
	iova_live *live = make_with(&window, 1, NULL, 0);
	CHECK_EQ(take(live, MIB), 0xfee00000);
	end_live(&memory, live);
}

static void a_window_may_reach_to_the_last_address(void)
{
	struct iova_span window = { UINT64_MAX - 64 * PAGE + 1, UINT64_MAX };
	iova_live *live = make_with(&window, 1, NULL, 0);
	uint64_t address;
	CHECK_EQ(take(live, 32 * PAGE), UINT64_MAX - 32 * PAGE + 1);
	CHECK_EQ(iova_live_alloc(live, PAGE, UINT64_MAX - 32 * PAGE, PAGE, &address), IOVA_OK);
	CHECK_EQ(address, UINT64_MAX - 33 * PAGE + 1);
	give(live, UINT64_MAX - 32 * PAGE + 1, 32 * PAGE);
	CHECK_EQ(iova_live_alloc_at(live, UINT64_MAX - PAGE + 1, PAGE), IOVA_OK);
	CHECK_EQ(iova_live_alloc_at(live, UINT64_MAX - 2 * PAGE + 1, 2 * PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_reserve(live, UINT64_MAX - 4 * PAGE, UINT64_MAX - 2 * PAGE), IOVA_OK);
	end_live(&memory, live);
}

static void check_can_not_be_opened(struct iova_live_config config)
{
	iova_live *live = NULL;
	test_memory_init(&memory);
	config.memory = &memory.table;
	CHECK_EQ(iova_live_open(&config, &live), IOVA_INVALID);
	CHECK(live == NULL);
	CHECK_EQ(test_memory_held(&memory), 0);
}

static void numbers_that_can_not_be_served_are_refused(void)
{
	static const struct iova_span good = { MIB, 2 * MIB - 1 }, turned = { 2 * MIB, MIB };
	static const struct iova_span two[] = { { MIB, 2 * MIB - 1 }, { 9, 8 } };
	static const struct iova_span small = { MIB + 1, MIB + PAGE }, zero = { 0, PAGE - 1 };
	static const struct iova_span all = { 0, UINT64_MAX };
	const uint64_t params[IOVA_MAX_PARAMS] = { 0 };
	const struct iova_live_config bad[] = {
		{ .windows = &good },
		{ .windows = &turned, .window_count = 1 },
		{ .windows = two, .window_count = 2 },
		{ .windows = &small, .window_count = 1 },
		{ .windows = &zero, .window_count = 1 },
		{ .windows = &good, .window_count = 1, .reserved = &turned, .reserved_count = 1 },
		{ .windows = &good, .window_count = 1, .reserved = &good, .reserved_count = 1 },
		{ .reserved = &all, .reserved_count = 1 },
		{ .windows = &good, .window_count = 5000000 },
		{ .granule = 3 },
		{ .granule = 2 * (uint64_t)IOVA_MAX_GRANULE },
		{ .granule = UINT64_C(1) << 63 },
		{ .classes = IOVA_MAX_CLASSES + 1 },
		{ .cpus = IOVA_MAX_CPUS + 1 },
		{ .params = params },
	};
	for (size_t i = 0; i < COUNT_OF_ARRAY(bad); i++)
		check_can_not_be_opened(bad[i]);
}

/* --------------------------------------------------------------------- reservations */

static void reserved_regions_may_lie_anywhere_and_overlap(void)
{
	static const struct iova_span windows[] = { { 10 * PAGE, 20 * PAGE - 1 },
						    { 30 * PAGE, 40 * PAGE - 1 } };
	static const struct iova_span reserved[] = {
		{ 5 * PAGE, 12 * PAGE - 1 },	/* sticks out below */
		{ 11 * PAGE, 13 * PAGE },	/* overlaps that one; widened to page 13 */
		{ 19 * PAGE, 31 * PAGE - 1 },	/* over the hole */
		{ 25 * PAGE, 26 * PAGE },	/* in the hole */
		{ 38 * PAGE + 5, UINT64_MAX },	/* sticks out above; page 38 too */
		{ 11 * PAGE, 13 * PAGE },	/* again */
		{ UINT64_MAX, UINT64_MAX },
		{ 0, 0 },
	};
	static const struct iova_span usable[] = { { 31 * PAGE, 38 * PAGE - 1 },
						   { 14 * PAGE, 19 * PAGE - 1 } };
	for (size_t first = 0; first < COUNT_OF_ARRAY(reserved); first++) {
		struct iova_span turned[COUNT_OF_ARRAY(reserved)];
		for (size_t i = 0; i < COUNT_OF_ARRAY(reserved); i++)
			turned[i] = reserved[(first + i) % COUNT_OF_ARRAY(reserved)];
		iova_live *live = make_with(windows, 2, turned, COUNT_OF_ARRAY(turned));
		check_hands_out(live, usable, 2);
		CHECK_EQ(reserved_bytes(live), (30 - 12) * PAGE);
		end_live(&memory, live);
	}
}

static void a_domain_may_be_reserved_as_a_whole_once_it_is_open(void)
{
	iova_live *live = make_with(NULL, 0, NULL, 0);
	uint64_t address;
	CHECK_EQ(iova_live_reserve(live, 0, UINT64_MAX), IOVA_OK);
	CHECK_EQ(iova_live_alloc(live, 1, ANYWHERE, 0, &address), IOVA_NO_SPACE);
	CHECK_EQ(read_stats(live).free_bytes, 0);
	CHECK_EQ(read_stats(live).largest_gap_bytes, 0);
	end_live(&memory, live);
}

static void a_reservation_takes_what_the_caches_hold(void)
{
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	uint64_t page = take(live, PAGE), four = take(live, 4 * PAGE);
	give(live, page, PAGE);
	give(live, four, 4 * PAGE);
	CHECK_EQ(iova_live_reserve(live, four + PAGE, page + PAGE - 1), IOVA_OK);
	CHECK_EQ(read_stats(live).cached, 0);
	CHECK_EQ(place_at(live, page), IOVA_PLACE_RESERVED);
	CHECK_EQ(place_at(live, four), IOVA_PLACE_FREE);
	CHECK_EQ(take(live, PAGE), four);
	end_live(&memory, live);
}

static void a_reservation_over_what_is_live_or_deferred_changes_nothing(void)
{
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	uint64_t address = take(live, 2 * PAGE), ticket;
	CHECK_EQ(iova_live_reserve(live, MIB, 2 * MIB - 1), IOVA_RESERVED);
	CHECK_EQ(iova_live_reserve(live, address + 2 * PAGE - 1, 2 * MIB), IOVA_RESERVED);
	CHECK_EQ(iova_live_reserve(live, 0, address), IOVA_RESERVED);
	CHECK_EQ(iova_live_defer(live, address, 2 * PAGE, &ticket), IOVA_OK);
	CHECK_EQ(iova_live_reserve(live, address, address), IOVA_RESERVED);
	CHECK_EQ(reserved_bytes(live), 0);
	/* Beside it: fine. */
	CHECK_EQ(iova_live_reserve(live, 0, address - 1), IOVA_OK);
	CHECK_EQ(iova_live_reserve(live, 1, 0), IOVA_INVALID);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(iova_live_reserve(live, 0, UINT64_MAX), IOVA_OK);
	CHECK_EQ(reserved_bytes(live), MIB);
	/* What is reserved stays so. */
	CHECK_EQ(iova_live_reserve(live, 0, UINT64_MAX), IOVA_OK);
	CHECK_EQ(reserved_bytes(live), MIB);
	end_live(&memory, live);
}

static void hundreds_of_reservations_are_kept_in_order(void)
{
	enum { COUNT = 500 };
	iova_live *live = make_live_in(&memory, MIB, MIB + 2 * COUNT * PAGE - 1);
	for (uint64_t i = 0; i < COUNT; i++) {
		uint64_t at = MIB + 2 * (i * 7 % COUNT) * PAGE; /* in no order */
		CHECK_EQ(iova_live_reserve(live, at, at), IOVA_OK);
	}
	for (uint64_t i = 0; i < 2 * COUNT; i++)
		CHECK_EQ(place_at(live, MIB + i * PAGE),
			 i % 2 ? IOVA_PLACE_FREE : IOVA_PLACE_RESERVED);
	CHECK_EQ(read_stats(live).largest_gap_bytes, PAGE);
	CHECK_EQ(iova_live_reserve(live, MIB, UINT64_MAX), IOVA_OK);
	CHECK_EQ(read_stats(live).free_bytes, 0);
	end_live(&memory, live);
}

/* ------------------------------------------------------------------ fixed addresses */

static void a_fixed_address_is_given_if_it_is_free(void)
{
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	CHECK_EQ(iova_live_alloc_at(live, MIB + PAGE, 3 * PAGE - 5), IOVA_OK);
	CHECK_EQ(place_at(live, MIB + 3 * PAGE), IOVA_PLACE_LIVE);
	CHECK_EQ(place_at(live, MIB + 4 * PAGE), IOVA_PLACE_FREE);
	CHECK_EQ(iova_live_alloc_at(live, MIB + PAGE, PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_alloc_at(live, MIB, 2 * PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_alloc_at(live, MIB + 3 * PAGE, 9 * PAGE), IOVA_RESERVED);
	CHECK_EQ(iova_live_alloc_at(live, MIB, MIB), IOVA_RESERVED);
	CHECK_EQ(iova_live_alloc_at(live, MIB, PAGE), IOVA_OK);
	CHECK_EQ(iova_live_alloc_at(live, MIB + 4 * PAGE, MIB - 4 * PAGE), IOVA_OK);
	CHECK_EQ(read_stats(live).free_bytes, 0);
	CHECK_EQ(read_stats(live).live, 3);
	end_live(&memory, live);
}

static void a_fixed_address_outside_the_windows_or_reserved_is_not_given(void)
{
	static const struct iova_span windows[] = { { 10 * PAGE, 20 * PAGE - 1 },
						    { 30 * PAGE, 40 * PAGE - 1 } };
	static const struct iova_span reserved = { 35 * PAGE, 36 * PAGE - 1 };
	static const struct {
		uint64_t address, size;
		enum iova_status status;
	} cases[] = {
		{ 9 * PAGE, PAGE, IOVA_RESERVED },
		{ 0, 11 * PAGE, IOVA_RESERVED },
		{ 19 * PAGE, 2 * PAGE, IOVA_RESERVED },
		{ 25 * PAGE, PAGE, IOVA_RESERVED },
		{ 35 * PAGE, PAGE, IOVA_RESERVED },
		{ 34 * PAGE, 2 * PAGE, IOVA_RESERVED },
		{ 39 * PAGE, 2 * PAGE, IOVA_RESERVED },
		{ 40 * PAGE, PAGE, IOVA_RESERVED },
		{ 39 * PAGE, UINT64_MAX, IOVA_RESERVED },
		{ UINT64_MAX - PAGE + 1, 2 * PAGE, IOVA_RESERVED },
		{ 10 * PAGE, 0, IOVA_INVALID },
		{ 10 * PAGE + 1, PAGE, IOVA_INVALID },
		{ 10 * PAGE, 10 * PAGE, IOVA_OK },
		{ 36 * PAGE, 4 * PAGE, IOVA_OK },
	};
	iova_live *live = make_with(windows, 2, &reserved, 1);
	for (size_t i = 0; i < COUNT_OF_ARRAY(cases); i++)
		CHECK_EQ(iova_live_alloc_at(live, cases[i].address, cases[i].size),
			 cases[i].status);
	end_live(&memory, live);
}

static void a_fixed_address_that_was_refused_is_nobody_s(void)
{
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	uint64_t top = take(live, PAGE);
	CHECK_EQ(iova_live_alloc_at(live, MIB, MIB), IOVA_RESERVED);
	CHECK_EQ(iova_live_free(live, MIB, MIB), IOVA_NOT_ALLOCATED);
	/* And what is in the way is as it was. */
	CHECK_EQ(iova_live_alloc_at(live, top, PAGE), IOVA_RESERVED);
	give(live, top, PAGE);
	CHECK_EQ(read_stats(live).cached, 1);
	end_live(&memory, live);
}

static void a_fixed_address_takes_what_the_caches_hold(void)
{
	uint64_t address[3 * IOVA_MAGAZINE_CAPACITY];
	iova_live *live = make_live_in(&memory, MIB, 8 * MIB - 1);
	CHECK_EQ(iova_live_alloc_many(live, 3 * FULL, PAGE, ANYWHERE, address), IOVA_OK);
	CHECK_EQ(iova_live_free_many(live, 3 * FULL, address, PAGE, NULL), IOVA_OK);
	CHECK_EQ(iova_live_counters(live, 0).depot, 1);
	/* One of the depot, and with it three frames that lie in another's place. */
	CHECK_EQ(iova_live_alloc_at(live, address[3], 4 * PAGE), IOVA_OK);
	CHECK_EQ(read_stats(live).cached, 0);
	CHECK_EQ(iova_live_free(live, address[0], PAGE), IOVA_NOT_ALLOCATED);
	CHECK_EQ(iova_live_free(live, address[4], PAGE), IOVA_DOUBLE_FREE);
	give(live, address[3], 4 * PAGE);
	end_live(&memory, live);
}

static void what_was_at_a_fixed_address_is_handed_out_as_usual_afterwards(void)
{
	iova_live *live = make_live_in(&memory, MIB, MIB + 4 * PAGE - 1);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(iova_live_alloc_at(live, MIB, 4 * PAGE), IOVA_OK);
		give(live, MIB, 4 * PAGE);
		CHECK_EQ(read_stats(live).cached, 0);
		CHECK_EQ(take(live, 4 * PAGE), MIB);
		give(live, MIB, 4 * PAGE);
		CHECK_EQ(read_stats(live).cached, 1);
	}
	end_live(&memory, live);
}

/* --------------------------------------------------------------------- what is where */

static void check_span(iova_live *live, uint64_t address, enum iova_place place, uint64_t first,
		       uint64_t last)
{
	struct iova_span span;
	CHECK_EQ(iova_live_find(live, address, &span), place);
	CHECK_EQ(span.first, first);
	CHECK_EQ(span.last, last);
}

static void every_address_is_found_in_what_holds_it(void)
{
	static const struct iova_span windows[] = { { MIB, 2 * MIB - 1 },
						    { 3 * MIB, 4 * MIB - 1 } };
	iova_live *live = make_with(windows, 2, NULL, 0);
	uint64_t three = take(live, 3 * PAGE), cached = take(live, PAGE), ticket;
	CHECK_EQ(three, 4 * MIB - 4 * PAGE);
	give(live, cached, PAGE);
	check_span(live, three, IOVA_PLACE_LIVE, three, three + 4 * PAGE - 1);
	check_span(live, three + 3 * PAGE + 9, IOVA_PLACE_LIVE, three, three + 4 * PAGE - 1);
	check_span(live, cached + 8, IOVA_PLACE_FREE, cached + 8, cached + 8);
	check_span(live, MIB + 77, IOVA_PLACE_FREE, MIB + 77, MIB + 77);
	check_span(live, 2 * MIB + 5, IOVA_PLACE_RESERVED, 2 * MIB, 3 * MIB - 1);
	CHECK_EQ(place_at(live, MIB - 1), IOVA_PLACE_RESERVED);
	CHECK_EQ(place_at(live, 4 * MIB), IOVA_PLACE_RESERVED);
	CHECK_EQ(place_at(live, UINT64_MAX), IOVA_PLACE_RESERVED);
	CHECK_EQ(iova_live_defer(live, three, 3 * PAGE, &ticket), IOVA_OK);
	check_span(live, three + PAGE, IOVA_PLACE_DEFERRED, three, three + 4 * PAGE - 1);
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	CHECK_EQ(place_at(live, three), IOVA_PLACE_FREE);
	end_live(&memory, live);
}

static void live_ranges_are_listed_lowest_first(void)
{
	struct iova_span spans[4] = { { 1, 2 }, { 1, 2 }, { 1, 2 }, { 1, 2 } };
	iova_live *live = make_live_in(&memory, MIB, 2 * MIB - 1);
	uint64_t high = take(live, PAGE), cached = take(live, PAGE), large = take(live, 40 * PAGE);
	uint64_t deferred = take(live, 2 * PAGE), ticket;
	CHECK_EQ(iova_live_alloc_at(live, MIB, 3 * PAGE), IOVA_OK);
	CHECK_EQ(iova_live_reserve(live, MIB + 9 * PAGE, MIB + 9 * PAGE), IOVA_OK);
	give(live, cached, PAGE);
	CHECK_EQ(iova_live_defer(live, deferred, 2 * PAGE, &ticket), IOVA_OK);
	CHECK_EQ(iova_live_ranges(live, NULL, 0), 3);
	CHECK_EQ(iova_live_ranges(live, spans, 2), 3);
	CHECK_EQ(spans[0].first, MIB);
	CHECK_EQ(spans[0].last, MIB + 3 * PAGE - 1);
	CHECK_EQ(spans[1].first, large);
	CHECK_EQ(spans[1].last, large + 40 * PAGE - 1);
	CHECK_EQ(spans[2].first, 1); /* there was no room for it */
	CHECK_EQ(iova_live_ranges(live, spans, 4), 3);
	CHECK_EQ(spans[2].first, high);
	CHECK_EQ(spans[3].first, 1);
	end_live(&memory, live);
}

static void memory_is_counted_to_the_byte(void)
{
	iova_live *live = make_live_in(&memory, MIB, 64 * MIB - 1);
	uint64_t before = read_stats(live).memory_bytes;
	CHECK(before >= sizeof(struct iova_live) + sizeof(struct iova_domain));
	give(live, take(live, PAGE), PAGE);
	/* A magazine, and where marks are kept: a leaf and two levels of nodes at most. */
	uint64_t more = read_stats(live).memory_bytes - before;
	CHECK(more >= magazine_bytes(IOVA_MAGAZINE_CAPACITY) + MAP_FANOUT);
	CHECK(more <= 2 * magazine_bytes(IOVA_MAGAZINE_CAPACITY) + MAP_FANOUT * (1 + 2 * sizeof(void *)));
	end_live(&memory, live);
}

static void flushing_the_caches_gives_their_memory_back(void)
{
	const struct iova_design *design;
	for (uint32_t i = 0; (design = iova_design_at(i)) != NULL; i++) {
		uint64_t address[10 * IOVA_MAGAZINE_CAPACITY];
		iova_live *live = make_live(&memory, (struct iova_live_config){ .design = design,
										.cpus = 1 });
		CHECK_EQ(iova_live_alloc_many(live, 10 * FULL, PAGE, ANYWHERE, address), IOVA_OK);
		CHECK_EQ(iova_live_free_many(live, 10 * FULL, address, PAGE, NULL), IOVA_OK);
		CHECK(memory.blocks[IOVA_MEMORY_MAGAZINE] >= 10);
		CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
		/* But for the two that each CPU has of each class it used. */
		uint64_t used = read_stats(live).totals.magazines;
		CHECK(used == 2 || used == 2 * live->classes);
		CHECK_EQ(memory.blocks[IOVA_MEMORY_MAGAZINE], used);
		end_live(&memory, live);
	}
}

int main(void)
{
	TEST(windows_may_come_in_any_order_and_overlap);
	TEST(windows_that_meet_inside_a_granule_hold_it);
	TEST(outside_the_windows_is_one_reservation_each);
	TEST(only_whole_granules_inside_a_window_are_handed_out);
	TEST(every_granule_has_its_windows);
	TEST(the_default_windows_are_48_bits_without_page_zero_and_the_msi_window);
	TEST(windows_of_the_caller_keep_the_msi_window);
	TEST(a_window_may_reach_to_the_last_address);
	TEST(numbers_that_can_not_be_served_are_refused);
	TEST(reserved_regions_may_lie_anywhere_and_overlap);
	TEST(a_domain_may_be_reserved_as_a_whole_once_it_is_open);
	TEST(a_reservation_takes_what_the_caches_hold);
	TEST(a_reservation_over_what_is_live_or_deferred_changes_nothing);
	TEST(hundreds_of_reservations_are_kept_in_order);
	TEST(a_fixed_address_is_given_if_it_is_free);
	TEST(a_fixed_address_outside_the_windows_or_reserved_is_not_given);
	TEST(a_fixed_address_that_was_refused_is_nobody_s);
	TEST(a_fixed_address_takes_what_the_caches_hold);
	TEST(what_was_at_a_fixed_address_is_handed_out_as_usual_afterwards);
	TEST(every_address_is_found_in_what_holds_it);
	TEST(live_ranges_are_listed_lowest_first);
	TEST(memory_is_counted_to_the_byte);
	TEST(flushing_the_caches_gives_their_memory_back);
	return 0;
}
