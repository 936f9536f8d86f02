/* SPDX-License-Identifier: MIT */
/*
 * Live domains without memory: a scenario that asks for all kinds of it is run once for
 * each question, with that one refused; by one thread, then by two at a time. A refusal
 * is reported by the call that met it, or made up for; nothing is lost, nothing leaks,
 * and the same call succeeds when it is made again.
 */
#include "live_support.h"
#include "threads.h"

static const struct iova_span window = { MIB, 16 * GIB - 1 };

/* ---------------------------------------------------------------------- one thread */

static struct test_memory memory;
static iova_live *live;

static void check_now(void)
{
	memory.paused = true;
	check_adds_up(live);
	memory.paused = false;
}

/* The call succeeds, or met the refusal and succeeds when made again. */
#define CHECK_OR_AGAIN(call)                                               \
	do {                                                               \
		uint64_t before = memory.refusals;                         \
		enum iova_status status = (call);                          \
		if (memory.refusals > before)                              \
			check_now();                                       \
		if (status == IOVA_NO_MEMORY && memory.refusals > before)  \
			status = (call);                                   \
		CHECK_EQ(status, IOVA_OK);                                 \
	} while (0)

static uint64_t alloc_one(uint64_t size, uint64_t limit, uint64_t align)
{
	uint64_t address = 77;
	CHECK_OR_AGAIN(iova_live_alloc(live, size, limit, align, &address));
	CHECK_EQ(address % PAGE, 0);
	return address;
}

/* A batch that fails takes nothing. */
static void alloc_batch(uint64_t n, uint64_t size, uint64_t *address)
{
	uint64_t before = read_stats(live).live_bytes;
	enum iova_status status = iova_live_alloc_many(live, n, size, ANYWHERE, address);
	if (status != IOVA_OK) {
		CHECK_EQ(status, IOVA_NO_MEMORY);
		CHECK_EQ(read_stats(live).live_bytes, before);
		CHECK_EQ(iova_live_alloc_many(live, n, size, ANYWHERE, address), IOVA_OK);
	}
}

static uint64_t defer_one(uint64_t address, uint64_t size)
{
	uint64_t ticket;
	CHECK_OR_AGAIN(iova_live_defer(live, address, size, &ticket));
	return ticket;
}

static void use_fixed_places(void)
{
	for (uint64_t i = 1; i <= 3; i++)
		CHECK_OR_AGAIN(iova_live_alloc_at(live, i * GIB, PAGE * i));
	for (uint64_t i = 1; i <= 10; i++)
		CHECK_OR_AGAIN(iova_live_reserve(live, 5 * GIB + 2 * i * PAGE,
						 5 * GIB + 2 * i * PAGE));
	/* Several gaps in one. */
	CHECK_OR_AGAIN(iova_live_reserve(live, 5 * GIB, 5 * GIB + MIB));
	for (uint64_t i = 1; i <= 3; i++)
		give(live, i * GIB, PAGE * i);
}

/* A free never needs memory: whatever is refused, it succeeds. */
static void scenario(void)
{
	static uint64_t batch[3 * IOVA_MAGAZINE_CAPACITY];
	uint64_t some[40], ticket = 0;
	alloc_batch(COUNT_OF_ARRAY(batch), PAGE, batch);
	for (unsigned i = 0; i < COUNT_OF_ARRAY(some); i++)
		some[i] = alloc_one(PAGE * (1 + i), i % 2 ? ANYWHERE : 4 * GIB - 1, 0);
	CHECK_EQ(iova_live_free_many(live, COUNT_OF_ARRAY(batch), batch, PAGE, NULL), IOVA_OK);
	for (unsigned i = 0; i < COUNT_OF_ARRAY(some); i += 2)
		ticket = defer_one(some[i], PAGE * (1 + i));
	for (unsigned i = 1; i < COUNT_OF_ARRAY(some); i += 2)
		give(live, some[i], PAGE * (1 + i));
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	uint64_t aligned = alloc_one(PAGE, ANYWHERE, MIB);
	use_fixed_places();
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	alloc_batch(COUNT_OF_ARRAY(batch), PAGE, batch);
	CHECK_EQ(iova_live_free_many(live, COUNT_OF_ARRAY(batch), batch, PAGE, NULL), IOVA_OK);
	give(live, aligned, PAGE);
}

static bool open_one(struct iova_live_config config)
{
	config.memory = &memory.table;
	enum iova_status status = iova_live_open(&config, &live);
	if (status == IOVA_OK) {
		stop_clock(live);
		return true;
	}
	CHECK_EQ(status, IOVA_NO_MEMORY);
	CHECK_EQ(memory.refusals, 1);
	CHECK_EQ(test_memory_held(&memory), 0);
	return false;
}

/* How many questions were asked. */
static uint64_t run_with_refusal_of(uint64_t question, struct iova_live_config config)
{
	snprintf(check_context, sizeof(check_context), "question %" PRIu64 " is refused", question);
	test_memory_init(&memory);
	memory.refuse_at = question;
	if (!open_one(config))
		return question;
	scenario();
	uint64_t asked = memory.questions;
	CHECK_EQ(memory.refusals, question > 0 && question <= asked);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(read_stats(live).totals.ranges, 0);
	end_live(&memory, live);
	return asked;
}

static void run_with_each_question_refused(struct iova_live_config config)
{
	uint64_t questions = run_with_refusal_of(0, config);
	CHECK(questions > 100);
	for (uint64_t question = 1; question <= questions; question++)
		(void)run_with_refusal_of(question, config);
}

static void any_refusal_in_any_design_is_reported_or_made_up_for(void)
{
	static const struct iova_span reserved[] = { { 7 * GIB, 8 * GIB }, { 9 * GIB, 9 * GIB } };
	const struct iova_design *design;
	stay_on_this_cpu();
	for (uint32_t i = 0; (design = iova_design_at(i)) != NULL; i++) {
		for (unsigned unchecked = 0; unchecked < 2; unchecked++)
			run_with_each_question_refused(
				(struct iova_live_config){ .windows = &window,
							   .window_count = 1,
							   .reserved = reserved,
							   .reserved_count = 2,
							   .design = design,
							   .unchecked = unchecked,
							   .budget = unchecked ? 0 : 2000 });
	}
}

static void a_mark_that_can_not_be_made_costs_neither_room_nor_budget(void)
{
	struct iova_live_config config = { .windows = &window, .window_count = 1, .budget = 2 };
	uint64_t address;
	live = make_live(&memory, config);
	for (unsigned i = 0; i < 5; i++) {
		memory.refuse_next[IOVA_MEMORY_CACHES] = 1;
		CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &address), IOVA_NO_MEMORY);
		memory.refuse_next[IOVA_MEMORY_CACHES] = 1;
		CHECK_EQ(iova_live_alloc_at(live, GIB, PAGE), IOVA_NO_MEMORY);
		CHECK_EQ(read_stats(live).live, 0);
		CHECK_EQ(read_stats(live).totals.ranges, 0);
	}
	(void)take(live, PAGE);
	(void)take(live, PAGE);
	end_live(&memory, live);
}

static void without_a_ring_a_range_stays_its_owner_s(void)
{
	uint64_t ticket;
	live = make_live(&memory, (struct iova_live_config){ .budget = 1 });
	uint64_t address = take(live, PAGE);
	memory.refuse_next[IOVA_MEMORY_CACHES] = 1;
	CHECK_EQ(iova_live_defer(live, address, PAGE, &ticket), IOVA_NO_MEMORY);
	CHECK_EQ(place_at(live, address), IOVA_PLACE_LIVE);
	CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, &address), IOVA_OVER_BUDGET);
	give(live, address, PAGE);
	end_live(&memory, live);
}

static void without_a_magazine_a_free_goes_to_the_tree(void)
{
	live = make_live(&memory, (struct iova_live_config){ .windows = NULL });
	for (unsigned i = 0; i < 5; i++) {
		uint64_t address = take(live, PAGE);
		memory.refuse_next[IOVA_MEMORY_MAGAZINE] = 1;
		give(live, address, PAGE);
		CHECK_EQ(read_stats(live).totals.ranges, 0);
		CHECK_EQ(iova_live_free(live, address, PAGE), IOVA_DOUBLE_FREE);
	}
	end_live(&memory, live);
}

/* --------------------------------------------------------------------- two threads */

/* shared_memory's, which has no records to refuse. */
static bool shared_admit(void *context)
{
	struct shared_memory *shared = context;
	pthread_mutex_lock(&shared->lock);
	bool admitted = shared->memory.table.admit_range(&shared->memory);
	pthread_mutex_unlock(&shared->lock);
	return admitted;
}

static struct shared_memory shared;
static pthread_barrier_t start;

static void check_served(enum iova_status status)
{
	CHECK(status == IOVA_OK || status == IOVA_NO_MEMORY);
}

/* Takes and gives of every kind; a refusal may meet either thread. */
static void use_with_another(void *context, unsigned number)
{
	uint64_t address[150], ticket;
	(void)context;
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < COUNT_OF_ARRAY(address); i++) {
		uint64_t size = i % 50 == 49 ? 40 * PAGE : PAGE;
		enum iova_status status = iova_live_alloc(live, size, ANYWHERE, 0, &address[i]);
		check_served(status);
		if (status != IOVA_OK)
			address[i] = 0;
	}
	uint64_t fixed = (4 + number) * GIB;
	enum iova_status placed = iova_live_alloc_at(live, fixed, 3 * PAGE);
	check_served(placed);
	check_served(iova_live_reserve(live, (8 + number) * GIB, (8 + number) * GIB));
	for (unsigned i = 0; i < COUNT_OF_ARRAY(address); i++) {
		uint64_t size = i % 50 == 49 ? 40 * PAGE : PAGE;
		if (!address[i])
			continue;
		enum iova_status status = IOVA_NO_MEMORY;
		if (i % 3 == 0) {
			status = iova_live_defer(live, address[i], size, &ticket);
			check_served(status);
		}
		if (status != IOVA_OK)
			give(live, address[i], size);
		else if (i % 9 == 0)
			CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	}
	if (placed == IOVA_OK)
		give(live, fixed, 3 * PAGE);
	if (iova_live_alloc_many(live, COUNT_OF_ARRAY(address), PAGE, ANYWHERE, address) == IOVA_OK)
		CHECK_EQ(iova_live_free_many(live, COUNT_OF_ARRAY(address), address, PAGE, NULL),
			 IOVA_OK);
}

static uint64_t run_two_threads_with_refusal_of(uint64_t question, bool unchecked)
{
	struct iova_live_config config = { .windows = &window,
					   .window_count = 1,
					   .unchecked = unchecked,
					   .memory = &shared.table };
	snprintf(check_context, sizeof(check_context), "question %" PRIu64 " is refused", question);
	shared_memory_init(&shared);
	shared.table.admit_range = shared_admit;
	CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
	stop_clock(live);
	shared.memory.questions = 0;
	shared.memory.refuse_at = question;
	run_threads(use_with_another, NULL);
	uint64_t asked = shared.memory.questions;
	shared.memory.paused = true;
	if (live->queue.issued)
		CHECK_EQ(iova_live_flushed(live, live->queue.issued), IOVA_OK);
	check_adds_up(live);
	CHECK_EQ(read_stats(live).live, 0);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(read_stats(live).totals.ranges, 0);
	iova_live_destroy(live);
	shared_memory_fini(&shared);
	return asked;
}

static void any_refusal_to_one_of_two_threads_loses_nothing(void)
{
	CHECK_EQ(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (unsigned unchecked = 0; unchecked < 2; unchecked++) {
		uint64_t questions = run_two_threads_with_refusal_of(0, unchecked);
		CHECK(questions > 100);
		for (uint64_t question = 1; question <= questions; question++)
			(void)run_two_threads_with_refusal_of(question, unchecked);
	}
	CHECK_EQ(pthread_barrier_destroy(&start), 0);
}

int main(void)
{
	/* Before this thread is tied to a CPU, which those it makes would inherit. */
	TEST(any_refusal_to_one_of_two_threads_loses_nothing);
	TEST(any_refusal_in_any_design_is_reported_or_made_up_for);
	TEST(a_mark_that_can_not_be_made_costs_neither_room_nor_budget);
	TEST(without_a_ring_a_range_stays_its_owner_s);
	TEST(without_a_magazine_a_free_goes_to_the_tree);
	return 0;
}
