/* SPDX-License-Identifier: MIT */
/* Small event tables: which rows reach the core, in which domain, what they return. */
#include "replay_table.h"

/* --------------------------------------------------------------------------- slots */

static void a_free_gives_back_what_the_allocation_of_its_slot_got(void)
{
	struct replay *replay = begin(plain());
	add((struct row){ .op = OP_CREATE, .pfn = 1 });
	add((struct row){ .op = OP_MAKE_CACHES });
	add_alloc(1, 0, 0, 1);
	add_alloc(2, 0, 1, 1);
	add_free(3, 1, 0);
	add_alloc(4, 1, 0, 1);
	add_alloc(5, 1, 2, 1);
	feed(replay);
	CHECK_EQ(table.result[2], LIMIT32);
	CHECK_EQ(table.result[3], LIMIT32 - 1);
	CHECK_EQ(table.result[5], LIMIT32);
	CHECK_EQ(table.result[6], LIMIT32 - 2);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.events, 7);
	CHECK_EQ(totals.calls, 7);
	CHECK_EQ(totals.allocations, 4);
	CHECK_EQ(totals.frees, 1);
	CHECK_EQ(totals.live_ranges, 3);
	CHECK_EQ(totals.domains, 1);
	CHECK_EQ(replay_read_counters(replay, 0).hits_loaded, 1);
	end(replay);
}

static void a_domain_that_is_used_before_its_creation_is_made_then(void)
{
	struct replay *replay = begin(plain());
	add_alloc(0, 0, 0, 1);
	feed(replay);
	CHECK_EQ(table.result[0], LIMIT32);
	CHECK_EQ(replay_read_totals(replay).domains, 1);
	end(replay);
}

static void frees_without_a_live_range_are_skipped_and_counted(void)
{
	struct replay *replay = begin(plain());
	add_free(0, 0, NO_SLOT);
	add_free(0, 0, 7);
	add((struct row){ 1, OP_ALLOC, 0, 0, 2, .limit = 1 }); /* fails */
	add_free(2, 0, 0);
	add_alloc(3, 0, 0, 1);
	add_free(4, 0, 0);
	add_free(5, 0, 0);
	feed(replay);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.skipped_frees, 4);
	CHECK_EQ(totals.frees, 1);
	CHECK_EQ(totals.failed, 1);
	CHECK_EQ(totals.allocations, 2);
	end(replay);
}

static void a_raw_allocation_that_fails_leaves_its_slot_empty(void)
{
	struct replay *replay = begin(plain());
	add((struct row){ 0, OP_ALLOC, 0, 0, 9, .limit = 5, .flags = FLAG_RAW });
	add_free(1, 0, 0);
	feed(replay);
	CHECK_EQ(table.result[0], 0);
	CHECK_EQ(replay_read_totals(replay).failed, 1);
	CHECK_EQ(replay_read_totals(replay).skipped_frees, 1);
	end(replay);
}

static void an_allocation_without_a_slot_lives_for_ever(void)
{
	struct replay *replay = begin(plain());
	add_alloc(0, 0, NO_SLOT, 2);
	add_alloc(0, 0, 0, 1);
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).live_pages, 3);
	end(replay);
}

static void an_allocation_marked_so_is_done_only_if_the_row_before_failed(void)
{
	const uint8_t if_failed = FLAG_ONLY_IF_PREVIOUS_FAILED;
	struct replay *replay = begin(plain());
	add((struct row){ 0, OP_ALLOC, 0, 0, 1, .limit = 0 });
	add((struct row){ 0, OP_ALLOC, 0, 0, 1, .limit = LIMIT64, .flags = if_failed });
	add((struct row){ 1, OP_ALLOC, 0, 0, 1, .limit = LIMIT64, .flags = if_failed });
	add((struct row){ 2, OP_ALLOC, 0, 1, 1, .limit = 0 });
	add_free(3, 0, 0);
	add((struct row){ 4, OP_ALLOC, 0, 1, 1, .limit = LIMIT64, .flags = if_failed });
	add((struct row){ 5, OP_ALLOC, 0, 1, 1, .limit = 0 });
	feed(replay);
	/* Also across two pieces. */
	add((struct row){ 6, OP_ALLOC, 0, 1, 1, .limit = LIMIT64, .flags = if_failed });
	struct replay_totals before = replay_read_totals(replay);
	CHECK_EQ(before.allocations, 4);
	CHECK_EQ(before.failed, 3);
	CHECK_EQ(table.result[1], LIMIT64);
	CHECK_EQ(table.result[2], 0);
	CHECK_EQ(table.result[5], 0);
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).allocations, 5);
	end(replay);
}

static void raw_calls_go_past_the_caches(void)
{
	struct replay *replay = begin(plain());
	add((struct row){ 0, OP_ALLOC, 0, 0, 3, .limit = 100, .flags = FLAG_RAW });
	add((struct row){ 1, OP_ALLOC, 0, 1, 3, .limit = 90, .flags = FLAG_RAW | FLAG_ALIGN });
	add((struct row){ 2, OP_FREE, 0, 0, .flags = FLAG_RAW });
	feed(replay);
	CHECK_EQ(table.result[0], 98);
	CHECK_EQ(table.result[1], 88);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.live_pages, 3);
	CHECK_EQ(totals.cached_pages, 0);
	CHECK_EQ(replay_read_counters(replay, 2).tree_frees, 1);
	end(replay);
}

static void a_free_states_its_own_size_or_the_slot_s(void)
{
	struct replay *replay = begin(plain());
	add_alloc(0, 0, 0, 3);
	add_free(1, 0, 0);
	add((struct row){ 2, OP_ALLOC, 0, 0, 3, .limit = LIMIT32, .flags = FLAG_RAW });
	add((struct row){ 3, OP_FREE, 0, 0, .size = 2 });
	feed(replay);
	CHECK_EQ(replay_read_counters(replay, 2).puts, 1);
	CHECK_EQ(replay_read_counters(replay, 1).puts, 1);
	end(replay);
}

static void a_flush_and_retry_finds_what_was_cached(void)
{
	struct replay *replay = begin(plain());
	add((struct row){ 0, OP_RESERVE, .pfn = 1, .last = 63 });
	for (uint32_t slot = 0; slot < 32; slot++)
		add((struct row){ 1, OP_ALLOC, 0, slot, 1, .limit = 95 });
	for (uint32_t slot = 0; slot < 32; slot++)
		add_free(2, 1, slot);
	add((struct row){ 3, OP_ALLOC, 0, 0, 32, .limit = 95 });
	add((struct row){ 4, OP_ALLOC, 0, 0, 32, .limit = 95, .flags = FLAG_FLUSH_RETRY });
	feed(replay);
	CHECK_EQ(table.result[65], 0);
	CHECK_EQ(table.result[66], 64);
	end(replay);
}

/* --------------------------------------------------------------------------- errors */

static void check_refused(struct replay_config config, struct row row, enum replay_status expected)
{
	struct replay *replay = begin(config);
	struct replay_events events;
	size_t at = SIZE_MAX;
	add_alloc(50, 0, 0, 1);
	add_alloc(60, 0, 1, 1);
	add_free(70, 0, 1);
	add(row);
	add_alloc(1000, 0, 1, 1);
	events = rows_from(0, table.count);
	CHECK_TEXT(replay_status_text(replay_feed(replay, &events, &at)),
		   replay_status_text(expected));
	CHECK_EQ(at, 3);
	CHECK_EQ(replay_read_totals(replay).events, 3);
	CHECK_EQ(replay_read_totals(replay).allocations, 2);
	/* The rows after the one at fault can still be fed. */
	events = rows_from(4, 1);
	CHECK_EQ(replay_feed(replay, &events, &at), REPLAY_OK);
	CHECK_EQ(table.result[4], LIMIT32 - 1);
	end(replay);
}

static void a_row_at_fault_is_named_and_the_rows_before_it_are_done(void)
{
	struct replay_config config = plain();
	check_refused(config, (struct row){ 69, .op = OP_FREE }, REPLAY_TIME_BACK);
	check_refused(config, (struct row){ -5, .op = OP_FREE }, REPLAY_TIME_BACK);
	check_refused(config, (struct row){ 70, .op = 9 }, REPLAY_BAD_OP);
	check_refused(config, (struct row){ 70, .op = 15 }, REPLAY_BAD_OP);
	check_refused(config, (struct row){ 70, OP_FREE, .cpu = 2 }, REPLAY_BAD_CPU);
	check_refused(config, (struct row){ 70, OP_FREE, .domain = 1 }, REPLAY_BAD_DOMAIN);
	check_refused(config, (struct row){ 70, OP_ALLOC, 0, 1, 0, .limit = LIMIT32 }, REPLAY_BAD_SIZE);
	check_refused(config, (struct row){ 70, OP_ALLOC, 0, 0, 1, .limit = LIMIT32 }, REPLAY_BAD_SLOT);
	check_refused(config, (struct row){ 70, OP_ALLOC, 0, 3, 1, .limit = LIMIT32 }, REPLAY_BAD_SLOT);
	check_refused(config, (struct row){ 70, OP_CREATE, .pfn = 1 }, REPLAY_EXISTS);
	check_refused(config, (struct row){ 70, .op = OP_MAKE_CACHES }, REPLAY_EXISTS);
	check_refused(config, (struct row){ 70, OP_RESERVE, .pfn = 0, .last = UINT64_MAX },
		      REPLAY_BAD_RESERVE);
	check_refused(config, (struct row){ 70, OP_RESERVE, .pfn = 9, .last = 3 },
		      REPLAY_BAD_RESERVE);
	config.domain_count = 2;
	check_refused(config, (struct row){ 70, OP_FREE, 0, 0, .domain = 1 }, REPLAY_BAD_SLOT);
}

static void the_first_time_may_not_be_negative(void)
{
	struct replay *replay = begin(plain());
	size_t row;
	add_alloc(-1, 0, 0, 1);
	struct replay_events events = rows_from(0, 1);
	CHECK_EQ(replay_feed(replay, &events, &row), REPLAY_TIME_BACK);
	CHECK_EQ(row, 0);
	end(replay);
}

static void rows_seen_inside_the_recorded_system_are_passed_over(void)
{
	struct replay *replay = begin(plain());
	add((struct row){ 0, .op = 16, .cpu = 9, .domain = 77 });
	add((struct row){ 1, .op = 22, .cpu = 9, .domain = UINT32_MAX });
	add((struct row){ 2, .op = 255 });
	add((struct row){ 3, OP_RECLAIM, .size = 1 });
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).events, 4);
	CHECK_EQ(replay_read_totals(replay).calls, 0);
	CHECK_EQ(replay_read_totals(replay).domains, 0);
	end(replay);
}

static void check_no_replay(struct replay_config config)
{
	struct replay *replay = NULL;
	CHECK_EQ(replay_create(&config, &replay), REPLAY_BAD_CONFIG);
	CHECK(replay == NULL);
}

static void a_configuration_out_of_range_is_refused(void)
{
	struct replay_config bad = plain();
	test_memory_init(&memory);
	bad.domain_count = 0;
	check_no_replay(bad);
	bad = plain();
	bad.sample_ns = -1;
	check_no_replay(bad);
	CHECK_EQ(test_memory_held(&memory), 0);

	/* What only a domain can find out, its first row reports. */
	static const struct replay_domain_config bad_granule[] = { { 3, 1 } };
	bad = plain();
	bad.domains = bad_granule;
	struct replay *replay = begin(bad);
	size_t row;
	add_alloc(0, 0, 0, 1);
	struct replay_events events = rows_from(0, 1);
	CHECK_EQ(replay_feed(replay, &events, &row), REPLAY_BAD_CONFIG);
	end(replay);
}

static void every_status_has_a_text_of_its_own(void)
{
	for (int a = REPLAY_OK; a <= REPLAY_STOPPED; a++)
		for (int b = a + 1; b <= REPLAY_STOPPED + 1; b++)
			CHECK(strcmp(replay_status_text((enum replay_status)a),
				     replay_status_text((enum replay_status)b)) != 0);
}

static void a_reservation_without_memory_can_be_fed_again(void)
{
	struct replay *replay = begin(plain());
	size_t row = SIZE_MAX;
	add((struct row){ .op = OP_CREATE, .pfn = 1 });
	feed(replay);
	memory.refuse_records = 1;
	add((struct row){ 1, OP_RESERVE, .pfn = 10, .last = 19 });
	struct replay_events events = rows_from(0, 1);
	CHECK_EQ(replay_feed(replay, &events, &row), REPLAY_NO_MEMORY);
	CHECK_EQ(row, 0);
	feed(replay);
	CHECK_EQ(replay_read_totals(replay).ranges_peak, 1);
	end(replay);
}

static void without_a_memory_table_the_heap_serves(void)
{
	struct replay_config config = plain();
	config.memory = NULL;
	struct replay *replay = begin(config);
	add_alloc(0, 0, 0, 1);
	feed(replay);
	CHECK_EQ(table.result[0], LIMIT32);
	CHECK_EQ(memory.questions, 0);
	end(replay);
}

static void no_replay_can_be_destroyed(void)
{
	replay_destroy(NULL);
}

static void a_class_that_does_not_exist_has_counted_nothing(void)
{
	struct replay *replay = begin(plain());
	add_alloc(0, 0, 0, 1);
	feed(replay);
	CHECK_EQ(replay_read_counters(replay, IOVA_BEYOND_CLASSES + 1).tree_allocations, 0);
	CHECK_EQ(replay_read_counters(replay, 7).tree_allocations, 0);
	end(replay);
}

static void its_tables_refused_are_reported_and_the_row_can_be_fed_again(void)
{
	struct replay_config config = plain();
	config.sample_ns = 10;
	config.max_samples = 200;
	config.sample_cpus = true;
	config.map_bins = 4;
	config.map_last = 100;
	uint64_t questions = 0;
	for (uint64_t refuse_at = 0; refuse_at <= questions; refuse_at++) {
		test_memory_init(&memory);
		table.count = 0;
		memory.table.admit_range = NULL;
		memory.kind_is_exempt[IOVA_MEMORY_TREE] = true;
		memory.refuse_at = refuse_at;
		for (uint32_t slot = 0; slot < 1100; slot++) /* the slots' table grows once */
			add_alloc(slot, 0, slot, 1);
		struct replay *replay = NULL;
		enum replay_status status = replay_create(&config, &replay);
		if (status == REPLAY_NO_MEMORY) {
			CHECK_EQ(test_memory_held(&memory), 0);
			CHECK_EQ(replay_create(&config, &replay), REPLAY_OK);
		}
		struct replay_events events = rows_from(0, table.count);
		size_t row, done = 0;
		while ((status = replay_feed(replay, &events, &row)) == REPLAY_NO_MEMORY) {
			CHECK(refuse_at > 0);
			done += row;
			events = rows_from(done, table.count - done);
		}
		CHECK_EQ(status, REPLAY_OK);
		CHECK_EQ(memory.refusals, refuse_at > 0);
		CHECK_EQ(replay_read_totals(replay).live_ranges, 1100);
		CHECK_EQ(replay_sample_count(replay), 110);
		if (refuse_at == 0)
			questions = memory.questions;
		end(replay);
	}
	CHECK(questions > 30);
}

/* --------------------------------------------------------------------------- domains */

static void domains_do_not_share_addresses_and_may_differ_in_design(void)
{
	struct replay_config config = plain();
	designs[1] = iova_design_named("linux-7.3");
	config.domain_count = 2;
	struct replay *replay = begin(config);
	add_alloc(0, 0, 0, 1);
	add((struct row){ 1, OP_ALLOC, 0, 1, 1, .limit = LIMIT32, .domain = 1 });
	feed(replay);
	CHECK_EQ(table.result[0], table.result[1]);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.domains, 2);
	CHECK_EQ(totals.magazines_peak, 24); /* the second has none yet */
	CHECK_EQ(replay_read_counters(replay, 0).tree_allocations, 2);
	end(replay);
}

static void a_destroyed_domain_takes_its_live_ranges_along_and_leaves_its_counts(void)
{
	struct replay *replay = begin(plain());
	add_alloc(0, 0, 0, 4);
	add_alloc(1, 0, 1, 4);
	add_free(2, 0, 1);
	add((struct row){ 10, .op = OP_DESTROY });
	feed(replay);
	struct replay_totals totals = replay_read_totals(replay);
	CHECK_EQ(totals.live_pages, 0);
	CHECK_EQ(totals.live_ranges, 0);
	CHECK_EQ(totals.cached_pages, 0);
	CHECK_EQ(totals.cached_page_ns, 4 * 8);
	CHECK_EQ(replay_read_counters(replay, 2).tree_allocations, 2);
	CHECK_EQ(replay_read_counters(replay, 2).cached, 0);
	add_free(11, 0, 0); /* died with its domain */
	add_alloc(12, 0, 0, 4);
	add((struct row){ 13, .op = OP_DESTROY });
	add((struct row){ 14, .op = OP_DESTROY });
	add((struct row){ 15, OP_CREATE, .pfn = 40 });
	add((struct row){ 16, OP_ALLOC, 0, 0, 1, .limit = 39 });
	feed(replay);
	totals = replay_read_totals(replay);
	CHECK_EQ(totals.skipped_frees, 1);
	CHECK_EQ(table.result[1], D32 - 4);
	CHECK_EQ(table.result[5], 0); /* below the new domain's start */
	CHECK_EQ(totals.domains, 3);
	CHECK_EQ(totals.failed, 1);
	CHECK_EQ(replay_read_counters(replay, 2).tree_allocations, 3);
	end(replay);
}

static void the_jobs_of_a_destroyed_domain_do_not_run(void)
{
	struct replay_config config = plain();
	config.cpus_possible = config.cpus_online = 1;
	struct replay *replay = begin(config);
	add_depot(0, 2);
	add((struct row){ 1, .op = OP_DESTROY });
	feed(replay);
	CHECK_EQ(replay_advance(replay, 1000000000), REPLAY_OK);
	CHECK_EQ(replay_read_totals(replay).runs, 0);
	CHECK_EQ(replay_read_totals(replay).depot_peak, 2);
	CHECK_EQ(replay_read_totals(replay).depot_ns, 2);
	end(replay);
}

/* ---------------------------------------------------------------------------- pieces */

/* Random rows over two domains, with slots as a trace has them. */
static void add_random_rows(uint64_t seed, size_t rows)
{
	struct random random = { seed };
	uint32_t open[64], domain_of_slot[64], used = 0, free_slots[64], free_count = 0, live = 0;
	int64_t t = 5;
	for (size_t i = 0; i < rows; i++) {
		uint16_t cpu = (uint16_t)random_below(&random, 2);
		t += (int64_t)random_below(&random, 2000000);
		if (live < 60 && random_below(&random, 100) < 52) {
			uint32_t slot = free_count ? free_slots[--free_count] : used++;
			domain_of_slot[slot] = (uint32_t)random_below(&random, 2);
			open[live++] = slot;
			add((struct row){ t, OP_ALLOC, cpu, slot,
					  1 + random_below(&random, 40), .limit = LIMIT32,
					  .domain = domain_of_slot[slot] });
		} else if (live > 0) {
			uint32_t at = (uint32_t)random_below(&random, live), slot = open[at];
			open[at] = open[--live];
			free_slots[free_count++] = slot;
			add((struct row){ t, OP_FREE, cpu, slot,
					  .domain = domain_of_slot[slot] });
		}
	}
}

static void rows_fed_in_pieces_give_the_same_as_at_once(void)
{
	static uint64_t whole[ROWS];
	struct replay_config config = plain();
	config.domain_count = 2;
	config.sample_ns = 50000000;
	config.max_samples = 1000;
	config.sample_cpus = true;
	struct random random = { 5 };
	struct replay *at_once = begin(config), *in_pieces = NULL;
	CHECK_EQ(replay_create(&config, &in_pieces), REPLAY_OK);
	add_random_rows(99, 3000);
	size_t count = table.count, row;
	feed(at_once);
	memcpy(whole, table.result, sizeof(whole));
	memset(table.result, 0, sizeof(table.result));
	for (size_t first = 0; first < count;) {
		size_t n = (size_t)random_below(&random, 40);
		n = n < count - first ? n : count - first;
		struct replay_events events = rows_from(first, n);
		CHECK_EQ(replay_feed(in_pieces, &events, &row), REPLAY_OK);
		first += n;
	}
	CHECK(memcmp(whole, table.result, count * sizeof(uint64_t)) == 0);
	struct replay_totals a = replay_read_totals(at_once), b = replay_read_totals(in_pieces);
	CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	CHECK_EQ(a.events, count);
	size_t samples = replay_sample_count(at_once);
	CHECK(samples > 30);
	CHECK_EQ(replay_sample_count(in_pieces), samples);
	CHECK(memcmp(replay_samples(at_once), replay_samples(in_pieces),
		     samples * sizeof(struct replay_sample)) == 0);
	CHECK(memcmp(replay_cpu_pages(at_once), replay_cpu_pages(in_pieces),
		     samples * 2 * sizeof(uint32_t)) == 0);
	for (uint32_t k = 0; k <= IOVA_BEYOND_CLASSES; k++) {
		struct iova_counters one = replay_read_counters(at_once, k);
		struct iova_counters other = replay_read_counters(in_pieces, k);
		CHECK(memcmp(&one, &other, sizeof(one)) == 0);
	}
	replay_destroy(in_pieces);
	end(at_once);
}

static void memory_is_bounded_by_the_live_set_and_not_by_the_rows(void)
{
	struct replay *replay = begin(plain());
	uint64_t tables = 0;
	for (int64_t piece = 0; piece < 50; piece++) {
		for (uint32_t i = 0; i < 1000; i++) {
			add_alloc(piece * 1000 + i, 0, i % 5, 1);
			add_free(piece * 1000 + i, 1, i % 5);
		}
		feed(replay);
		if (piece == 0)
			tables = test_memory_held(&memory);
		CHECK(test_memory_held(&memory) <= tables + 4);
	}
	CHECK_EQ(replay_read_totals(replay).events, 100000);
	end(replay);
}

int main(void)
{
	TEST(a_free_gives_back_what_the_allocation_of_its_slot_got);
	TEST(a_domain_that_is_used_before_its_creation_is_made_then);
	TEST(frees_without_a_live_range_are_skipped_and_counted);
	TEST(a_raw_allocation_that_fails_leaves_its_slot_empty);
	TEST(an_allocation_without_a_slot_lives_for_ever);
	TEST(an_allocation_marked_so_is_done_only_if_the_row_before_failed);
	TEST(raw_calls_go_past_the_caches);
	TEST(a_free_states_its_own_size_or_the_slot_s);
	TEST(a_flush_and_retry_finds_what_was_cached);
	TEST(a_row_at_fault_is_named_and_the_rows_before_it_are_done);
	TEST(the_first_time_may_not_be_negative);
	TEST(rows_seen_inside_the_recorded_system_are_passed_over);
	TEST(a_configuration_out_of_range_is_refused);
	TEST(every_status_has_a_text_of_its_own);
	TEST(a_reservation_without_memory_can_be_fed_again);
	TEST(without_a_memory_table_the_heap_serves);
	TEST(no_replay_can_be_destroyed);
	TEST(a_class_that_does_not_exist_has_counted_nothing);
	TEST(its_tables_refused_are_reported_and_the_row_can_be_fed_again);
	TEST(domains_do_not_share_addresses_and_may_differ_in_design);
	TEST(a_destroyed_domain_takes_its_live_ranges_along_and_leaves_its_counts);
	TEST(the_jobs_of_a_destroyed_domain_do_not_run);
	TEST(rows_fed_in_pieces_give_the_same_as_at_once);
	TEST(memory_is_bounded_by_the_live_set_and_not_by_the_rows);
	return 0;
}
