/* SPDX-License-Identifier: MIT */
/*
 * Domains that end: with and without live ranges, with full and with empty depots, with
 * no caches at all, half made. All memory is back each time.
 *
 * The crash of the discussion (20 and 21 August 2023: unbind the driver, change the
 * domain, bind again) was a pop from an empty depot at teardown; the same loop stood
 * where all caches are flushed.
 */
#include "support.h"

static const char *const designs[] = { "linux-6.1", "unbounded", "linux-6.12", "linux-7.3" };
#define DESIGNS COUNT_OF_ARRAY(designs)

static struct test_memory memory;
static uint64_t pfn[8 * IOVA_MAGAZINE_CAPACITY];

static iova_domain *domain_of(struct shape shape)
{
	test_memory_init(&memory);
	snprintf(check_context, sizeof(check_context), "design %s",
		 shape.design ? shape.design : "linux-6.12");
	return make_domain(&memory, shape);
}

static void end(iova_domain *domain)
{
	end_domain(&memory, domain);
}

static void a_new_domain_can_be_destroyed(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		end(domain_of((struct shape){ .design = designs[d], .without_caches = true }));
		end(domain_of((struct shape){ .design = designs[d] }));
	}
}

static void no_domain_can_be_destroyed(void)
{
	iova_destroy(NULL);
}

static void live_ranges_are_no_obstacle(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		alloc_many(domain, 0, 4, 5 * FULL, pfn);
		CHECK_EQ(iova_reserve(domain, 5, 900, NULL), IOVA_OK);
		end(domain);
	}
}

static void empty_depots_are_no_obstacle(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		alloc_many(domain, 0, 1, 2 * FULL, pfn);
		free_many(domain, 0, 1, 2 * FULL, pfn, 0);
		CHECK_EQ(iova_read_counters(domain, 0).depot, 0);
		end(domain);
	}
}

static void full_depots_are_freed_with_their_magazines(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		for (unsigned k = 0; k < IOVA_DEFAULT_CLASSES; k++)
			fill_depot(domain, k % 4, UINT64_C(1) << k, 1 + k, 0);
		end(domain);
	}
}

static void depots_that_were_filled_and_emptied_are_freed(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		fill_depot(domain, 0, 1, 3, 0);
		alloc_many(domain, 1, 1, 3 * FULL, pfn);
		CHECK_EQ(iova_read_counters(domain, 0).depot, 0);
		end(domain);
	}
}

static void an_armed_job_dies_with_its_domain(void)
{
	iova_domain *domain = domain_of((struct shape){ .possible = 1 });
	fill_depot(domain, 0, 1, 4, 0);
	CHECK(iova_next_deadline(domain) != IOVA_NEVER);
	end(domain);
}

/* Unbind the driver, change the domain, bind again. */
static void a_device_can_be_bound_again_and_again(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		for (unsigned bind = 0; bind < 5; bind++) {
			iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
			alloc_many(domain, bind % 4, 1, bind * FULL, pfn);
			free_many(domain, 3 - bind % 4, 1, bind * FULL, pfn, bind);
			end(domain);
		}
	}
}

static void all_caches_can_be_flushed_with_empty_depots(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		iova_flush_caches(domain);
		alloc_many(domain, 0, 1, 10, pfn);
		free_many(domain, 0, 1, 10, pfn, 0);
		iova_flush_caches(domain);
		iova_flush_caches(domain);
		CHECK_EQ(iova_read_totals(domain).ranges, 0);
		CHECK_EQ(iova_read_totals(domain).warnings, 0);
		end(domain);
	}
}

static void all_caches_can_be_flushed_with_full_depots(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		iova_domain *domain = domain_of((struct shape){ .design = designs[d] });
		fill_depot(domain, 0, 1, 3, 0);
		fill_depot(domain, 1, 32, 2, 0);
		uint64_t depots = 5, before = iova_read_totals(domain).magazines;
		iova_flush_caches(domain);
		CHECK_EQ(iova_read_totals(domain).ranges, 0);
		CHECK_EQ(iova_read_totals(domain).warnings, 0);
		CHECK_EQ(iova_read_totals(domain).magazines, before - depots);
		iova_flush_caches(domain);
		fill_depot(domain, 0, 1, 2, 0);
		CHECK_SOUND(iova_check(domain));
		end(domain);
	}
}

static void flushing_without_caches_does_nothing(void)
{
	iova_domain *domain = domain_of((struct shape){ .without_caches = true });
	iova_flush_caches(domain);
	CHECK_EQ(iova_cpu_offline(domain, 0), 3);
	CHECK_EQ(iova_cpu_online(domain, 0), 4);
	CHECK_EQ(iova_run_due(domain, 1000 * MS), 0);
	iova_run_class(domain, 0, 0);
	CHECK_EQ(iova_read_totals(domain).runs, 0);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 0);
	CHECK_EQ(iova_read_cpu(domain, 0, 0).loaded, 0);
	end(domain);
}

static void raw_calls_need_no_caches(void)
{
	iova_domain *domain = domain_of((struct shape){ .without_caches = true });
	struct iova_range range;
	CHECK_EQ(iova_alloc_raw(domain, 5, LIMIT32, false, &range), IOVA_OK);
	CHECK_EQ(range.hi, LIMIT32);
	CHECK_EQ(iova_free_raw(domain, LIMIT32 - 2), IOVA_OK);
	CHECK_EQ(iova_free_raw(domain, LIMIT32 - 2), IOVA_NOT_FOUND);
	CHECK_EQ(iova_free_raw(domain, UINT64_MAX), IOVA_NOT_FOUND);
	CHECK_EQ(iova_alloc_raw(domain, 0, LIMIT32, false, &range), IOVA_INVALID);
	end(domain);
}

/* -------------------------------------------------------------------------- half made */

static void caches_that_can_not_be_made_leave_nothing_behind(void)
{
	for (unsigned d = 0; d < 3; d++) {
		/* The head, then two magazines for each CPU and class. */
		for (uint64_t question = 1; question <= 1 + 4 * 12; question++) {
			iova_domain *domain = domain_of(
				(struct shape){ .design = designs[d], .without_caches = true });
			uint64_t before = test_memory_held(&memory);
			memory.questions = 0;
			memory.refuse_at = question;
			CHECK_EQ(iova_make_caches(domain), IOVA_NO_MEMORY);
			CHECK_EQ(test_memory_held(&memory), before);
			CHECK_EQ(iova_read_totals(domain).magazines, 0);
			memory.refuse_at = 0;
			if (question % 2)
				CHECK_EQ(iova_make_caches(domain), IOVA_OK);
			end(domain);
		}
	}
}

static void magazines_at_first_use_make_creation_depend_on_one_block(void)
{
	iova_domain *domain =
		domain_of((struct shape){ .design = "linux-7.3", .without_caches = true });
	memory.refuse_next[IOVA_MEMORY_CACHES] = 1;
	CHECK_EQ(iova_make_caches(domain), IOVA_NO_MEMORY);
	memory.refuse_next[IOVA_MEMORY_MAGAZINE] = 1;
	CHECK_EQ(iova_make_caches(domain), IOVA_OK);
	CHECK_EQ(memory.refuse_next[IOVA_MEMORY_MAGAZINE], 1);
	end(domain);
}

static void caches_are_made_once(void)
{
	iova_domain *domain = domain_of((struct shape){ .design = "linux-6.12" });
	CHECK_EQ(iova_make_caches(domain), IOVA_INVALID);
	CHECK_EQ(iova_read_totals(domain).magazines, 48);
	end(domain);
}

static void a_domain_that_can_not_be_made_leaves_nothing_behind(void)
{
	uint64_t params[IOVA_MAX_PARAMS];
	for (uint64_t question = 1; question <= 2; question++) {
		test_memory_init(&memory);
		struct iova_config config = config_of(&memory, &(struct shape){ 0 }, params);
		iova_domain *domain = NULL;
		memory.refuse_at = question;
		CHECK_EQ(iova_create(&config, &domain), IOVA_NO_MEMORY);
		CHECK(domain == NULL);
		CHECK_EQ(test_memory_held(&memory), 0);
	}
}

static void check_refused(struct iova_config config)
{
	iova_domain *domain = NULL;
	CHECK_EQ(iova_create(&config, &domain), IOVA_INVALID);
	CHECK(domain == NULL);
	CHECK_EQ(memory.questions, 0);
}

static void numbers_out_of_range_are_refused(void)
{
	uint64_t params[IOVA_MAX_PARAMS];
	test_memory_init(&memory);
	struct iova_config good = config_of(&memory, &(struct shape){ 0 }, params), bad;
	static const uint64_t granules[] = { 0, 3, 4095, 131072, UINT64_MAX };
	for (unsigned i = 0; i < COUNT_OF_ARRAY(granules); i++) {
		bad = good;
		bad.granule = granules[i];
		check_refused(bad);
	}
	static const uint32_t cpus[][2] = { { 0, 0 }, { 4, 0 }, { 4, 5 }, { 65537, 1 } };
	for (unsigned i = 0; i < COUNT_OF_ARRAY(cpus); i++) {
		bad = good;
		bad.cpus_possible = cpus[i][0];
		bad.cpus_online = cpus[i][1];
		check_refused(bad);
	}
	bad = good;
	bad.classes = 0;
	check_refused(bad);
	bad.classes = IOVA_MAX_CLASSES + 1;
	check_refused(bad);
	bad = good;
	bad.design = NULL;
	check_refused(bad);
}

static void the_largest_numbers_are_served(void)
{
	iova_domain *domain = domain_of((struct shape){
		.design = "linux-7.3", .possible = 65536, .classes = IOVA_MAX_CLASSES });
	uint64_t first = iova_alloc(domain, 65535, 512, LIMIT64, false);
	CHECK_EQ(first % 512, 0);
	iova_free(domain, 65535, first, 512, 0);
	CHECK_EQ(iova_read_cpu(domain, 65535, 9).loaded, 1);
	CHECK_EQ(iova_cpu_offline(domain, 65535), 65535);
	CHECK_EQ(iova_read_totals(domain).ranges, 0);
	end(domain);
}

/* ------------------------------------------------------------- reservations' own errors */

static void a_reservation_above_the_last_frame_of_the_granule_is_a_warning(void)
{
	static const uint64_t granules[] = { 1, 512, 4096 };
	static const unsigned shifts[] = { 0, 9, 12 };
	for (unsigned i = 0; i < COUNT_OF_ARRAY(granules); i++) {
		iova_domain *domain = domain_of((struct shape){ .granule = granules[i] });
		uint64_t last = UINT64_MAX >> shifts[i];
		CHECK_EQ(iova_reserve(domain, last - 1, last, NULL), IOVA_OK);
		CHECK_EQ(iova_read_totals(domain).warnings, 0);
		if (last < UINT64_MAX) {
			CHECK_EQ(iova_reserve(domain, 5, last + 1, NULL), IOVA_INVALID);
			CHECK_EQ(iova_reserve(domain, last + 1, 5, NULL), IOVA_INVALID);
			CHECK_EQ(iova_read_totals(domain).warnings, 2);
		}
		end(domain);
	}
}

static void every_status_has_a_text_of_its_own(void)
{
	for (int a = IOVA_OK; a <= IOVA_NOT_FOUND; a++) {
		const char *text = iova_status_text((enum iova_status)a);
		CHECK(strlen(text) > 0);
		CHECK(strcmp(text, iova_status_text((enum iova_status)99)) != 0);
		for (int b = IOVA_OK; b < a; b++)
			CHECK(strcmp(text, iova_status_text((enum iova_status)b)) != 0);
	}
	CHECK_TEXT(iova_version(), IOVA_VERSION);
}

static void designs_are_found_by_name_and_by_number(void)
{
	for (unsigned d = 0; d < DESIGNS; d++) {
		const struct iova_design *design = iova_design_named(designs[d]);
		CHECK(design != NULL && design == iova_design_at(d));
		CHECK_TEXT(design->name, designs[d]);
		for (uint32_t i = 0; i < design->param_count; i++) {
			const struct iova_param *param = &design->params[i];
			bool is_auto = param->initial == IOVA_AUTO;
			CHECK(is_auto ? param->automatic != NULL :
					(param->minimum <= param->initial &&
					 param->initial <= param->maximum));
		}
	}
	CHECK(iova_design_at(UINT32_MAX) == NULL);
	CHECK(iova_design_named("linux-9") == NULL);
}

int main(void)
{
	TEST(a_new_domain_can_be_destroyed);
	TEST(no_domain_can_be_destroyed);
	TEST(live_ranges_are_no_obstacle);
	TEST(empty_depots_are_no_obstacle);
	TEST(full_depots_are_freed_with_their_magazines);
	TEST(depots_that_were_filled_and_emptied_are_freed);
	TEST(an_armed_job_dies_with_its_domain);
	TEST(a_device_can_be_bound_again_and_again);
	TEST(all_caches_can_be_flushed_with_empty_depots);
	TEST(all_caches_can_be_flushed_with_full_depots);
	TEST(flushing_without_caches_does_nothing);
	TEST(raw_calls_need_no_caches);
	TEST(caches_that_can_not_be_made_leave_nothing_behind);
	TEST(magazines_at_first_use_make_creation_depend_on_one_block);
	TEST(caches_are_made_once);
	TEST(a_domain_that_can_not_be_made_leaves_nothing_behind);
	TEST(numbers_out_of_range_are_refused);
	TEST(the_largest_numbers_are_served);
	TEST(a_reservation_above_the_last_frame_of_the_granule_is_a_warning);
	TEST(every_status_has_a_text_of_its_own);
	TEST(designs_are_found_by_name_and_by_number);
	return 0;
}
