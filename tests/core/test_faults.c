/* SPDX-License-Identifier: MIT */
/*
 * A scenario that touches everything, in each design: run once to number the questions
 * for memory and for range records, then once for each of them, with that one refused.
 * Each refusal is reported by the call that met it or made up for, the state is sound
 * after the call, every range is still live, cached or reserved, the same call succeeds
 * when it is made again, and nothing leaks.
 */
#include "support.h"

static const char *const designs[] = { "linux-6.1", "unbounded", "linux-6.12", "linux-7.3" };

/* Short enough to run once for every question in it. */
#define SINGLES (3 * FULL + 5)
#define PAIRS UINT64_C(20)
#define CHECK_EVERY 100u /* calls; and after each call from the refusal on, for a while */
#define CHECK_AFTER 5u

static struct test_memory memory;

static struct {
	iova_domain *domain;
	struct shape shape;
	uint64_t live, reserved; /* ranges */
	uint64_t calls, refused_call;
	bool check_each;
	uint64_t single[3 * IOVA_MAGAZINE_CAPACITY + 5], pair[20], beyond[3];
	struct iova_range raw;
} scene;

/* -------------------------------------------------------------------- after each call */

static void check_balance(void)
{
	uint64_t cached = 0;
	for (uint32_t k = 0; k < scene.shape.classes; k++)
		cached += iova_read_counters(scene.domain, k).cached;
	struct iova_totals totals = iova_read_totals(scene.domain);
	CHECK_EQ(totals.ranges, scene.live + cached + scene.reserved);
	CHECK_EQ(totals.warnings, 0);
	CHECK_EQ(totals.magazines, memory.blocks[IOVA_MEMORY_MAGAZINE]);
}

static void after_call(void)
{
	scene.calls++;
	if (memory.refusals && !scene.refused_call)
		scene.refused_call = scene.calls;
	bool just_refused = scene.refused_call && scene.calls < scene.refused_call + CHECK_AFTER;
	if (!scene.check_each && !just_refused && scene.calls % CHECK_EVERY != 0)
		return;
	memory.paused = true;
	CHECK_SOUND(iova_check(scene.domain));
	memory.paused = false;
	check_balance();
}

/* A call may fail only if it met the refusal. */
static void check_excused(uint64_t refusals_before)
{
	CHECK(memory.refusals > refusals_before);
}

/* ---------------------------------------------------------------------------- calls */

static void create(void)
{
	uint64_t params[IOVA_MAX_PARAMS], refusals = memory.refusals;
	struct iova_config config = config_of(&memory, &scene.shape, params);
	enum iova_status status = iova_create(&config, &scene.domain);
	if (status != IOVA_OK) {
		CHECK_EQ(status, IOVA_NO_MEMORY);
		check_excused(refusals);
		CHECK_EQ(test_memory_held(&memory), 0);
		CHECK_EQ(iova_create(&config, &scene.domain), IOVA_OK);
	}
	after_call();
}

static void make_caches(void)
{
	uint64_t refusals = memory.refusals;
	enum iova_status status = iova_make_caches(scene.domain);
	if (status != IOVA_OK) {
		CHECK_EQ(status, IOVA_NO_MEMORY);
		check_excused(refusals);
		CHECK_EQ(iova_read_totals(scene.domain).magazines, 0);
		CHECK_EQ(iova_make_caches(scene.domain), IOVA_OK);
	}
	after_call();
}

static uint64_t alloc(uint32_t cpu, uint64_t size, bool flush)
{
	uint64_t refusals = memory.refusals;
	uint64_t pfn = iova_alloc(scene.domain, cpu, size, LIMIT32, flush);
	if (pfn == 0) {
		check_excused(refusals);
		after_call();
		pfn = iova_alloc(scene.domain, cpu, size, LIMIT32, flush);
		CHECK(pfn != 0);
	}
	scene.live++;
	after_call();
	return pfn;
}

/* Needs no memory to succeed, whatever is refused. */
static void free_one(uint32_t cpu, uint64_t pfn, uint64_t size, uint64_t now)
{
	iova_free(scene.domain, cpu, pfn, size, now);
	scene.live--;
	after_call();
}

static void reserve(uint64_t lo, uint64_t hi)
{
	uint64_t refusals = memory.refusals;
	struct iova_range range;
	enum iova_status status = iova_reserve(scene.domain, lo, hi, &range);
	if (status != IOVA_OK) {
		CHECK_EQ(status, IOVA_NO_MEMORY);
		check_excused(refusals);
		after_call();
		CHECK_EQ(iova_reserve(scene.domain, lo, hi, &range), IOVA_OK);
	}
	CHECK_EQ(range.lo, lo);
	CHECK_EQ(range.hi, hi);
	scene.reserved++;
	after_call();
}

static void alloc_raw(void)
{
	uint64_t refusals = memory.refusals;
	enum iova_status status = iova_alloc_raw(scene.domain, 3, LIMIT64, false, &scene.raw);
	if (status != IOVA_OK) {
		CHECK_EQ(status, IOVA_NO_MEMORY);
		check_excused(refusals);
		after_call();
		CHECK_EQ(iova_alloc_raw(scene.domain, 3, LIMIT64, false, &scene.raw), IOVA_OK);
	}
	scene.live++;
	after_call();
}

static void alloc_where_nothing_is_free(void)
{
	CHECK_EQ(iova_alloc(scene.domain, 0, 16, 90, true), 0);
	after_call();
}

/* -------------------------------------------------------------------------- scenario */

static void set_up(void)
{
	create();
	reserve(1, 100);
	make_caches();
	reserve(1000, 1010);
	reserve(500, 510);
}

static void fill(uint64_t now)
{
	for (uint64_t i = 0; i < SINGLES; i++)
		scene.single[i] = alloc(0, 1, i % 50 == 49);
	for (uint64_t i = 0; i < PAIRS; i++)
		scene.pair[i] = alloc(i % 2, 2, false);
	for (unsigned i = 0; i < COUNT_OF_ARRAY(scene.beyond); i++)
		scene.beyond[i] = alloc(1, 40, true);
	alloc_raw();
	for (uint64_t i = 0; i < SINGLES; i++)
		free_one(1, scene.single[i], 1, now);
	for (uint64_t i = 0; i < PAIRS; i++)
		free_one(0, scene.pair[i], 2, now);
}

static void empty(void)
{
	for (unsigned i = 0; i < COUNT_OF_ARRAY(scene.beyond); i++)
		free_one(0, scene.beyond[i], 40, 0);
	CHECK_EQ(iova_free_raw(scene.domain, scene.raw.hi), IOVA_OK);
	scene.live--;
	after_call();
}

static void run_scenario(void)
{
	set_up();
	fill(0);
	iova_run_due(scene.domain, 150 * MS);
	after_call();
	for (uint64_t i = 0; i < FULL; i++) /* CPU 0 takes from the depot */
		scene.single[i] = alloc(0, 1, false);
	iova_cpu_offline(scene.domain, 1);
	after_call();
	for (uint64_t i = 0; i < FULL; i++)
		free_one(0, scene.single[i], 1, 200 * MS);
	iova_cpu_online(scene.domain, 1);
	alloc_where_nothing_is_free();
	empty();
	iova_flush_caches(scene.domain);
	after_call();
	fill(300 * MS);
	iova_run_due(scene.domain, 1000 * MS);
	after_call();
	CHECK(memory.refusals > 0 || memory.refuse_at == 0);
	iova_destroy(scene.domain);
	CHECK_EQ(test_memory_held(&memory), 0);
}

/* Returns how many questions were asked. */
static uint64_t run_refusing(const char *design, uint64_t question)
{
	struct shape shape = { .design = design, .possible = 2, .classes = 2 };
	if (strcmp(design, "linux-6.1") == 0)
		shape.params[0] = (struct param_setting){ "depot", 1 };
	else if (strcmp(design, "unbounded") != 0)
		shape.params[0] = (struct param_setting){ "threshold", 0 };
	memset(&scene, 0, sizeof(scene));
	scene.shape = shape;
	scene.check_each = question == 0;
	test_memory_init(&memory);
	memory.refuse_at = question;
	snprintf(check_context, sizeof(check_context), "design %s, question %" PRIu64, design,
		 question);
	run_scenario();
	return memory.questions;
}

static void the_scenario_touches_everything(void)
{
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		test_memory_init(&memory);
		memset(&scene, 0, sizeof(scene));
		scene.shape = (struct shape){ .design = designs[d], .possible = 2, .classes = 2 };
		set_up();
		fill(0);
		struct iova_counters counters = iova_read_counters(scene.domain, 0);
		CHECK(counters.pushed >= 1);
		CHECK(iova_read_totals(scene.domain).tree_bytes > 1024); /* leaves were split */
		iova_destroy(scene.domain);
	}
}

static void any_one_refusal_is_survived(void)
{
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		uint64_t questions = run_refusing(designs[d], 0);
		CHECK(questions > SINGLES);
		for (uint64_t question = 1; question <= questions; question++)
			run_refusing(designs[d], question);
	}
}

/* Every question from the n-th on is refused: what can be given back still is. */
static void frees_succeed_without_any_memory(void)
{
	for (unsigned d = 0; d < COUNT_OF_ARRAY(designs); d++) {
		test_memory_init(&memory);
		memset(&scene, 0, sizeof(scene));
		scene.shape = (struct shape){ .design = designs[d], .possible = 2, .classes = 2 };
		set_up();
		for (uint64_t i = 0; i < SINGLES; i++)
			scene.single[i] = alloc(0, 1, false);
		for (unsigned kind = 0; kind < IOVA_MEMORY_KINDS; kind++)
			memory.refuse_next[kind] = UINT64_MAX;
		memory.refuse_records = UINT64_MAX;
		for (uint64_t i = 0; i < SINGLES; i++)
			free_one(1, scene.single[i], 1, 0);
		CHECK_EQ(scene.live, 0);
		iova_flush_caches(scene.domain);
		after_call();
		CHECK_EQ(iova_read_totals(scene.domain).ranges, scene.reserved);
		CHECK_EQ(iova_alloc(scene.domain, 0, 1, LIMIT32, true), 0);
		iova_destroy(scene.domain);
		CHECK_EQ(test_memory_held(&memory), 0);
	}
}

static void the_check_says_when_it_has_no_memory(void)
{
	test_memory_init(&memory);
	iova_domain *domain = make_domain(&memory, (struct shape){ 0 });
	fill_depot(domain, 0, 1, 1, 0);
	memory.refuse_next[IOVA_MEMORY_DOMAIN] = 1;
	CHECK_TEXT(iova_check(domain), "no memory to check the caches");
	end_domain(&memory, domain);
}

int main(void)
{
	TEST(the_scenario_touches_everything);
	TEST(any_one_refusal_is_survived);
	TEST(frees_succeed_without_any_memory);
	TEST(the_check_says_when_it_has_no_memory);
	return 0;
}
