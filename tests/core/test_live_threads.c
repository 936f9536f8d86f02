/* SPDX-License-Identifier: MIT */
/* Live domains under several threads: races for one range, closing, more threads than CPUs. */
#include "live_support.h"
#include "threads.h"

static struct shared_memory shared;
static iova_live *live;
static pthread_barrier_t meeting;

static void open_for_threads(struct iova_live_config config)
{
	shared_memory_init(&shared);
	config.memory = &shared.table;
	CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
	stop_clock(live);
	CHECK_EQ(pthread_barrier_init(&meeting, NULL, THREADS), 0);
}

static void end_with_threads_gone(void)
{
	shared.memory.paused = true;
	if (!is_closed(live))
		check_adds_up(live);
	iova_live_destroy(live);
	shared_memory_fini(&shared);
	CHECK_EQ(pthread_barrier_destroy(&meeting), 0);
}

static void meet(void)
{
	pthread_barrier_wait(&meeting);
}

/* -------------------------------------------------------------- two threads, one range */

#define RACES 3000u

static uint64_t raced; /* address, as one thread tells the other */
static enum iova_status outcome[THREADS];

/* In each race one thread wins, and the other is told `lost`. */
static void check_one_won(enum iova_status lost)
{
	CHECK((outcome[0] == IOVA_OK) != (outcome[1] == IOVA_OK));
	CHECK_EQ(outcome[0] == IOVA_OK ? outcome[1] : outcome[0], lost);
}

static void free_what_the_other_frees(void *context, unsigned number)
{
	uint64_t size = *(const uint64_t *)context;
	for (unsigned i = 0; i < RACES; i++) {
		if (number == 0)
			raced = take(live, size);
		meet();
		outcome[number] = iova_live_free(live, raced, size);
		meet();
		if (number == 0)
			check_one_won(IOVA_DOUBLE_FREE);
	}
}

static void of_two_frees_of_one_range_one_fails(void)
{
	uint64_t sizes[] = { PAGE, 40 * PAGE };
	for (size_t i = 0; i < COUNT_OF_ARRAY(sizes); i++) {
		open_for_threads((struct iova_live_config){ .windows = NULL });
		run_threads(free_what_the_other_frees, &sizes[i]);
		CHECK_EQ(read_stats(live).live, 0);
		end_with_threads_gone();
	}
}

static void defer_what_the_other_frees(void *context, unsigned number)
{
	(void)context;
	for (unsigned i = 0; i < RACES; i++) {
		uint64_t ticket = 0;
		if (number == 0)
			raced = take(live, PAGE);
		meet();
		outcome[number] = number == 0 ? iova_live_defer(live, raced, PAGE, &ticket) :
						iova_live_free(live, raced, PAGE);
		if (ticket)
			CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
		meet();
		if (number == 0)
			check_one_won(IOVA_DOUBLE_FREE);
	}
}

static void of_a_free_and_a_deferred_free_one_fails(void)
{
	open_for_threads((struct iova_live_config){ .windows = NULL });
	run_threads(defer_what_the_other_frees, NULL);
	CHECK_EQ(read_stats(live).live, 0);
	CHECK_EQ(read_stats(live).deferred, 0);
	end_with_threads_gone();
}

static void place_where_the_other_does(void *context, unsigned number)
{
	(void)context;
	for (unsigned i = 0; i < RACES; i++) {
		/* The second overlaps the first's last page. */
		uint64_t at = GIB + (number ? 3 * PAGE : 0);
		meet();
		outcome[number] = iova_live_alloc_at(live, at, 4 * PAGE);
		meet();
		if (number == 0)
			check_one_won(IOVA_RESERVED);
		meet();
		if (outcome[number] == IOVA_OK)
			give(live, at, 4 * PAGE);
	}
}

static void of_two_ranges_at_one_place_one_fails(void)
{
	open_for_threads((struct iova_live_config){ .budget = 2 });
	run_threads(place_where_the_other_does, NULL);
	CHECK_EQ(read_stats(live).live, 0);
	end_with_threads_gone();
}

/* ---------------------------------------------------------------------- a shared budget */

#define BUDGET 10u

static void fill_the_budget(void *context, unsigned number)
{
	uint64_t address[BUDGET], *refused = context;
	for (unsigned i = 0; i < RACES; i++) {
		unsigned held = 0;
		meet();
		while (held < BUDGET &&
		       iova_live_alloc(live, PAGE, ANYWHERE, 0, &address[held]) == IOVA_OK)
			held++;
		outcome[number] = (enum iova_status)held;
		meet();
		/* Both were refused at the end, and all of the budget is theirs. */
		if (number == 0 && outcome[0] + outcome[1] != BUDGET)
			++*refused;
		meet();
		while (held > 0)
			give(live, address[--held], PAGE);
	}
}

static void two_threads_have_a_budget_between_them_to_the_last_range(void)
{
	uint64_t wrong = 0;
	open_for_threads((struct iova_live_config){ .budget = BUDGET });
	run_threads(fill_the_budget, &wrong);
	CHECK_EQ(wrong, 0);
	end_with_threads_gone();
}

/* ---------------------------------------------------------------------------- closing */

static void use_until_closed(void *context, unsigned number)
{
	bool *used = context;
	uint64_t address[20], ticket;
	enum iova_status status = IOVA_OK;
	for (unsigned i = 0; status == IOVA_OK; i++) {
		uint64_t n = 1 + i % 20;
		status = iova_live_alloc_many(live, n, PAGE, ANYWHERE, address);
		if (status == IOVA_OK && i % 7 == 0) {
			status = iova_live_defer(live, address[--n], PAGE, &ticket);
			if (status == IOVA_OK)
				status = iova_live_flushed(live, ticket);
		}
		if (status == IOVA_OK)
			status = iova_live_free_many(live, n, address, PAGE, NULL);
		if (status == IOVA_OK && i % 50 == 0)
			status = iova_live_flush_caches(live);
		sync_store(&used[number], true);
	}
	CHECK_EQ(status, IOVA_CLOSED);
	/* Once closed, it stays so. */
	for (unsigned i = 0; i < 100; i++) {
		CHECK_EQ(iova_live_alloc(live, PAGE, ANYWHERE, 0, address), IOVA_CLOSED);
		CHECK_EQ(iova_live_free(live, address[0], PAGE), IOVA_CLOSED);
	}
}

static void *close_when_used(void *context)
{
	bool *used = context;
	while (!sync_load(&used[0]) || !sync_load(&used[1]))
		sched_yield();
	iova_live_close(live);
	return NULL;
}

static void closing_ends_what_other_threads_do(void)
{
	for (unsigned i = 0; i < 50; i++) {
		bool used[THREADS] = { false, false };
		pthread_t closer;
		open_for_threads((struct iova_live_config){ .windows = NULL });
		CHECK_EQ(pthread_create(&closer, NULL, close_when_used, used), 0);
		run_threads(use_until_closed, used);
		CHECK_EQ(pthread_join(closer, NULL), 0);
		end_with_threads_gone();
	}
}

/* ------------------------------------------------- more threads than CPUs, fewer caches */

enum { MANY = 24, HELD = 64, ROUNDS = 400 };

/* Who holds each page of the window; 0: nobody. */
static uint32_t owner_of[4096];
static const struct iova_span owned_window = { 16 * MIB, 32 * MIB - 1 };

static void stamp(uint64_t address, uint64_t pages, uint32_t from, uint32_t to)
{
	uint64_t first = (address - owned_window.first) / PAGE;
	for (uint64_t i = first; i < first + pages; i++)
		CHECK_EQ(sync_exchange(&owner_of[i], to), from);
}

/* So that every CPU that this process may use is used. */
static void go_to_a_cpu(uint32_t number)
{
	cpu_set_t allowed, one;
	unsigned cpu = 0;
	CHECK_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	for (unsigned left = number % (unsigned)CPU_COUNT(&allowed) + 1; left > 0; cpu++)
		left -= CPU_ISSET(cpu, &allowed) != 0;
	CPU_ZERO(&one);
	CPU_SET(cpu - 1, &one);
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void hold_and_give(uint32_t me)
{
	struct random random = { me };
	uint64_t address[HELD] = { 0 }, pages[HELD];
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t at = random_below(&random, HELD);
		if (address[at]) {
			stamp(address[at], pages[at], me, 0);
			give(live, address[at], pages[at] * PAGE);
			address[at] = 0;
		} else {
			pages[at] = UINT64_C(1) << random_below(&random, 3);
			address[at] = take(live, pages[at] * PAGE);
			stamp(address[at], pages[at], 0, me);
		}
	}
	for (unsigned i = 0; i < HELD; i++) {
		if (address[i]) {
			stamp(address[i], pages[i], me, 0);
			give(live, address[i], pages[i] * PAGE);
		}
	}
}

static void *hold_and_give_on_a_cpu(void *context)
{
	uint32_t me = *(const uint32_t *)context;
	go_to_a_cpu(me);
	hold_and_give(me);
	return NULL;
}

static void run_many_threads(struct iova_live_config config)
{
	pthread_t thread[MANY];
	uint32_t number[MANY];
	config.windows = &owned_window;
	config.window_count = 1;
	open_for_threads(config);
	for (uint32_t i = 0; i < MANY; i++) {
		number[i] = i + 1;
		CHECK_EQ(pthread_create(&thread[i], NULL, hold_and_give_on_a_cpu, &number[i]), 0);
	}
	for (uint32_t i = 0; i < MANY; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	CHECK_EQ(read_stats(live).live, 0);
	check_adds_up(live);
	/* What threads that are gone have cached is not lost. */
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	CHECK_EQ(read_stats(live).totals.ranges, 0);
	end_with_threads_gone();
}

static void more_threads_than_cpus_share_a_domain_and_go(void)
{
	run_many_threads((struct iova_live_config){ .unchecked = false });
	run_many_threads((struct iova_live_config){ .unchecked = true });
}

static void threads_of_all_cpus_share_the_only_cache(void)
{
	run_many_threads((struct iova_live_config){ .cpus = 1 });
	run_many_threads((struct iova_live_config){ .cpus = 1, .unchecked = true });
}

static void a_domain_may_have_more_caches_than_there_are_cpus(void)
{
	run_many_threads((struct iova_live_config){ .cpus = 300, .classes = 2 });
}

/* ------------------------------------------------------------------------ looking on */

static void look_on(void *context, unsigned number)
{
	bool *done = context;
	struct iova_span spans[8], span;
	struct iova_live_stats stats;
	if (number == 0) {
		for (unsigned i = 0; i < 20; i++)
			hold_and_give(1);
		sync_store(done, true);
		return;
	}
	uint64_t window = owned_window.last - owned_window.first + 1;
	while (!sync_load(done)) {
		CHECK_EQ(iova_live_read(live, &stats), IOVA_OK);
		CHECK(stats.free_bytes <= window && stats.live_bytes <= window);
		CHECK(iova_live_ranges(live, spans, COUNT_OF_ARRAY(spans)) <= HELD + 1);
		enum iova_place place = iova_live_find(live, owned_window.last, &span);
		CHECK(place == IOVA_PLACE_LIVE || place == IOVA_PLACE_FREE);
		CHECK(span.first <= owned_window.last && span.last >= owned_window.last);
		(void)iova_live_counters(live, 0);
	}
}

static void one_thread_may_look_while_another_allocates(void)
{
	bool done = false;
	open_for_threads((struct iova_live_config){ .windows = &owned_window, .window_count = 1 });
	run_threads(look_on, &done);
	end_with_threads_gone();
}

int main(void)
{
	TEST(of_two_frees_of_one_range_one_fails);
	TEST(of_a_free_and_a_deferred_free_one_fails);
	TEST(of_two_ranges_at_one_place_one_fails);
	TEST(two_threads_have_a_budget_between_them_to_the_last_range);
	TEST(closing_ends_what_other_threads_do);
	TEST(more_threads_than_cpus_share_a_domain_and_go);
	TEST(threads_of_all_cpus_share_the_only_cache);
	TEST(a_domain_may_have_more_caches_than_there_are_cpus);
	TEST(one_thread_may_look_while_another_allocates);
	return 0;
}
