/* SPDX-License-Identifier: MIT */
/*
 * The background thread of live domains, with the real clock: what it does by itself, that
 * it sleeps when nothing is due, and that a policy which blocks holds up nobody else.
 * Waits have a deadline far beyond what they need.
 */
#include "live_support.h"
#include "threads.h"

#include <dirent.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_S 60u

static struct shared_memory shared;

/* ------------------------------------------------------------------------- waiting */

static void nap(void)
{
	struct timespec ms = { 0, 1000000 };
	nanosleep(&ms, NULL);
}

/* Until condition(context) holds. */
static void wait_until(bool (*condition)(void *context), void *context)
{
	uint64_t deadline = platform_now() + DEADLINE_S * 1000 * MS;
	while (!condition(context)) {
		CHECK(platform_now() < deadline);
		nap();
	}
}

static uint64_t blocks_held(void)
{
	pthread_mutex_lock(&shared.lock);
	uint64_t held = test_memory_held(&shared.memory);
	pthread_mutex_unlock(&shared.lock);
	return held;
}

static bool nothing_is_held(void *context)
{
	(void)context;
	return blocks_held() == 0;
}

static void set_up(void)
{
	shared_memory_init(&shared);
}

static void tear_down(void)
{
	wait_until(nothing_is_held, NULL);
	shared_memory_fini(&shared);
}

/* ------------------------------------------------------------------- policies to watch */

/* A design whose look counts, and may stop to wait. */
static struct watched {
	uint64_t looks; /* atomic */
	bool blocks;	/* atomic: the next look waits for `go` */
	uint64_t again_ns;
	sem_t looking, go;
} watched;

static void watched_setup(const struct iova_design *design, const uint64_t *values,
			  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values, (void)config;
	mechanism->depot_max = UINT64_MAX;
	mechanism->arm_delay_ns = MS;
	mechanism->magazines_at_first_use = true;
}

static void watched_look(const struct iova_design *design, void *state, const uint64_t *values,
			 const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	(void)state;
	(void)values;
	sync_add(&watched.looks, 1u);
	if (sync_exchange(&watched.blocks, false)) {
		sem_post(&watched.looking);
		while (sem_wait(&watched.go) != 0)
			;
	}
	decision->release = view->depot;
	decision->again_ns = watched.again_ns;
}

static const struct iova_design watched_design = { .name = "watched",
						   .summary = "counts its looks",
						   .setup = watched_setup,
						   .look = watched_look };

static void watch(bool blocks, uint64_t again_ns)
{
	watched.looks = 0;
	watched.again_ns = again_ns;
	watched.blocks = blocks;
	CHECK_EQ(sem_init(&watched.looking, 0, 0), 0);
	CHECK_EQ(sem_init(&watched.go, 0, 0), 0);
}

static void wait_for_a_look(void)
{
	while (sem_wait(&watched.looking) != 0)
		;
}

/* ------------------------------------------------------------------------- domains */

static iova_live *open_with(struct iova_live_config config)
{
	iova_live *live;
	config.memory = &shared.table;
	CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
	return live;
}

static iova_live *open_watched(void)
{
	return open_with((struct iova_live_config){ .design = &watched_design });
}

/* linux-7.3 that looks every millisecond and keeps nothing. */
static iova_live *open_reclaiming(void)
{
	uint64_t params[IOVA_MAX_PARAMS];
	const struct iova_design *design = iova_design_named("linux-7.3");
	for (uint32_t i = 0; i < design->param_count; i++) {
		const struct iova_param *param = &design->params[i];
		params[i] = param->initial;
		if (!strcmp(param->name, "delay_ms"))
			params[i] = param->minimum;
		if (!strcmp(param->name, "threshold"))
			params[i] = 0;
	}
	return open_with((struct iova_live_config){ .design = design, .params = params });
}

/* Push so many magazines into the depot, on one CPU. */
static void push_magazines(iova_live *live, uint64_t magazines)
{
	uint64_t n = (magazines + 2) * FULL, *address = malloc(n * sizeof(*address));
	CHECK(address != NULL);
	CHECK_EQ(iova_live_alloc_many(live, n, PAGE, ANYWHERE, address), IOVA_OK);
	CHECK_EQ(iova_live_free_many(live, n, address, PAGE, NULL), IOVA_OK);
	free(address);
}

static bool depot_is_empty(void *context)
{
	return iova_live_counters(context, 0).depot == 0;
}

/* --------------------------------------------------------------------- by itself */

static void memory_is_given_back_without_a_call(void)
{
	set_up();
	iova_live *live = open_reclaiming();
	push_magazines(live, 12);
	CHECK(iova_live_counters(live, 0).pushed >= 10);
	wait_until(depot_is_empty, live);
	/* The last magazine may still be on its way. */
	CHECK(reclaimer_stop(DEADLINE_S * 1000 * MS));
	struct iova_counters counters = iova_live_counters(live, 0);
	CHECK_EQ(counters.reclaimed + counters.popped, counters.pushed);
	CHECK(counters.runs > 0);
	CHECK_SOUND(iova_check(live->domain));
	iova_live_destroy(live);
	tear_down();
}

static void many_domains_are_served_by_one_thread(void)
{
	enum { DOMAINS = 100 };
	iova_live *live[DOMAINS];
	set_up();
	for (unsigned i = 0; i < DOMAINS; i++) {
		live[i] = open_reclaiming();
		push_magazines(live[i], 3);
	}
	for (unsigned i = 0; i < DOMAINS; i++)
		wait_until(depot_is_empty, live[i]);
	for (unsigned i = 0; i < DOMAINS; i++)
		iova_live_destroy(live[i * 37 % DOMAINS]);
	tear_down();
}

static bool flush_is_fine(void *context)
{
	sync_add((uint64_t *)context, 1u);
	return true;
}

static bool nothing_is_deferred(void *context)
{
	struct iova_live_stats stats;
	CHECK_EQ(iova_live_read(context, &stats), IOVA_OK);
	return stats.deferred == 0;
}

static void what_waits_for_a_flush_is_flushed_without_a_call(void)
{
	uint64_t asked = 0, ticket;
	set_up();
	iova_live *live = open_with((struct iova_live_config){ .on_flush = flush_is_fine,
							       .context = &asked });
	uint64_t began = platform_now();
	CHECK_EQ(iova_live_defer(live, take(live, PAGE), PAGE, &ticket), IOVA_OK);
	wait_until(nothing_is_deferred, live);
	CHECK(platform_now() - began >= IOVA_FLUSH_AGE_NS);
	CHECK_EQ(sync_load(&asked), 1);
	iova_live_destroy(live);
	tear_down();
}

/* ---------------------------------------------------------------------------- idle */

/* How often a thread of this process was put to sleep of itself, but for the calling one. */
static uint64_t sleeps_of(const char *task)
{
	char path[300], line[200];
	unsigned long long sleeps = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%s/status", task);
	FILE *file = fopen(path, "r");
	if (!file)
		return 0; /* it has ended meanwhile */
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &sleeps) == 1)
			break;
	fclose(file);
	return sleeps;
}

static uint64_t sleeps_of_others(void)
{
	uint64_t sum = 0;
	DIR *tasks = opendir("/proc/self/task");
	CHECK(tasks != NULL);
	for (struct dirent *task; (task = readdir(tasks)) != NULL;)
		if (task->d_name[0] != '.' && atoi(task->d_name) != getpid())
			sum += sleeps_of(task->d_name);
	closedir(tasks);
	return sum;
}

static uint64_t cpu_time(clockid_t clock)
{
	struct timespec time;
	CHECK_EQ(clock_gettime(clock, &time), 0);
	return (uint64_t)time.tv_sec * 1000 * MS + (uint64_t)time.tv_nsec;
}

/* What the other threads have used of the CPUs' time, to some microseconds. */
static uint64_t cpu_time_of_others(void)
{
	uint64_t mine = cpu_time(CLOCK_THREAD_CPUTIME_ID);
	return cpu_time(CLOCK_PROCESS_CPUTIME_ID) - mine;
}

/* They slept before, and in 50 ms neither wake up nor have been awake all the time. */
static bool others_sleep(void *context)
{
	uint64_t sleeps = sleeps_of_others(), used = cpu_time_of_others();
	(void)context;
	for (unsigned i = 0; i < 50; i++)
		nap();
	return sleeps > 0 && sleeps_of_others() == sleeps && cpu_time_of_others() - used < MS;
}

static bool has_looked(void *context)
{
	return sync_load(&watched.looks) >= *(const uint64_t *)context;
}

static void the_thread_sleeps_when_nothing_is_due(void)
{
	uint64_t one = 1, asked = 0, ticket;
	set_up();
	watch(false, 0);
	iova_live *live = open_watched();
	iova_live *other = open_with((struct iova_live_config){ .on_flush = flush_is_fine,
								.context = &asked });
	push_magazines(live, 2);
	wait_until(has_looked, &one);
	CHECK_EQ(iova_live_defer(other, take(other, PAGE), PAGE, &ticket), IOVA_OK);
	wait_until(nothing_is_deferred, other);
	/* With domains open, and ranges cached in them. */
	wait_until(others_sleep, NULL);
	uint64_t looks = sync_load(&watched.looks);
	wait_until(others_sleep, NULL);
	CHECK_EQ(sync_load(&watched.looks), looks);
	iova_live_destroy(live);
	iova_live_destroy(other);
	tear_down();
}

static void a_policy_that_asks_to_look_again_is_asked_again(void)
{
	uint64_t twenty = 20;
	set_up();
	watch(false, MS);
	iova_live *live = open_watched();
	push_magazines(live, 1);
	wait_until(has_looked, &twenty);
	/* But not after it was closed. */
	iova_live_close(live);
	wait_until(others_sleep, NULL);
	iova_live_destroy(live);
	tear_down();
}

/* --------------------------------------------------------------- a policy that blocks */

static void a_policy_that_blocks_holds_up_no_call(void)
{
	uint64_t ticket;
	set_up();
	watch(true, 0);
	iova_live *live = open_watched(), *other = open_reclaiming();
	push_magazines(live, 2);
	wait_for_a_look();
	for (unsigned i = 0; i < 2; i++) {
		iova_live *domain = i ? other : live;
		push_magazines(domain, 3);
		CHECK_EQ(iova_live_alloc_at(domain, GIB, PAGE), IOVA_OK);
		CHECK_EQ(iova_live_defer(domain, GIB, PAGE, &ticket), IOVA_OK);
		CHECK_EQ(iova_live_flushed(domain, ticket), IOVA_OK);
		CHECK_EQ(iova_live_reserve(domain, 2 * GIB, 2 * GIB), IOVA_OK);
		CHECK_EQ(iova_live_flush_caches(domain), IOVA_OK);
		check_adds_up(domain);
	}
	iova_live_destroy(open_reclaiming());
	iova_live_destroy(other);
	iova_live_close(live);
	iova_live_destroy(live);
	/* Its memory stays for as long as the policy is in it. */
	CHECK(blocks_held() > 0);
	uint64_t looks = sync_load(&watched.looks);
	sem_post(&watched.go);
	tear_down();
	CHECK_EQ(sync_load(&watched.looks), looks);
}

static bool flush_in_background(void *context)
{
	if (sync_exchange(&watched.blocks, false)) {
		sem_post(&watched.looking);
		while (sem_wait(&watched.go) != 0)
			;
	}
	sync_add((uint64_t *)context, 1u);
	return true;
}

static void an_on_flush_that_blocks_holds_up_no_call(void)
{
	uint64_t asked = 0, ticket;
	set_up();
	watch(true, 0);
	iova_live *live = open_with((struct iova_live_config){ .on_flush = flush_in_background,
							       .context = &asked });
	CHECK_EQ(iova_live_defer(live, take(live, PAGE), PAGE, &ticket), IOVA_OK);
	wait_for_a_look();
	CHECK_EQ(iova_live_flushed(live, ticket), IOVA_OK);
	give(live, take(live, PAGE), PAGE);
	CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
	check_adds_up(live);
	iova_live_destroy(live);
	CHECK(blocks_held() > 0);
	sem_post(&watched.go);
	tear_down();
	CHECK_EQ(sync_load(&asked), 1);
}

/* Something of two classes, and a flush, are due when the thread comes to it. */
static iova_live *open_with_much_due(uint64_t *asked)
{
	uint64_t address[3 * IOVA_MAGAZINE_CAPACITY], ticket;
	iova_live *live = open_with((struct iova_live_config){
		.design = &watched_design, .on_flush = flush_is_fine, .context = asked });
	for (uint64_t size = PAGE; size <= 2 * PAGE; size *= 2) {
		CHECK_EQ(iova_live_alloc_many(live, 3 * FULL, size, ANYWHERE, address), IOVA_OK);
		CHECK_EQ(iova_live_free_many(live, 3 * FULL, address, size, NULL), IOVA_OK);
	}
	CHECK_EQ(iova_live_defer(live, take(live, PAGE), PAGE, &ticket), IOVA_OK);
	return live;
}

static void nothing_runs_in_a_domain_that_is_being_destroyed(void)
{
	uint64_t asked = 0;
	set_up();
	watch(true, 0);
	iova_live *first = open_watched();
	push_magazines(first, 2);
	wait_for_a_look();
	/* While the thread is stuck in one domain, much falls due in another. */
	iova_live *live = open_with_much_due(&asked);
	uint64_t due = platform_now() + 2 * IOVA_FLUSH_AGE_NS;
	while (platform_now() < due)
		nap();
	sync_store(&watched.blocks, true);
	sem_post(&watched.go);
	wait_for_a_look();
	/* Now it is in the first look of three things to do. */
	CHECK_EQ(sync_load(&watched.looks), 2);
	iova_live_destroy(live);
	iova_live_destroy(first);
	sem_post(&watched.go);
	tear_down();
	CHECK_EQ(sync_load(&watched.looks), 2);
	CHECK_EQ(sync_load(&asked), 0);
}

static void a_domain_may_be_destroyed_while_it_is_looked_at(void)
{
	set_up();
	for (unsigned i = 0; i < 200; i++) {
		watch(true, MS);
		iova_live *live = open_watched();
		push_magazines(live, 2);
		wait_for_a_look();
		sem_post(&watched.go);
		/* Now it is in the look, emptying a magazine, or through. */
		for (volatile unsigned spin = 0; spin < i * 50; spin++)
			;
		iova_live_destroy(live);
		wait_until(nothing_is_held, NULL);
	}
	tear_down();
}

/* ------------------------------------------------------------------------- stopping */

static void a_stopped_thread_starts_again_on_need(void)
{
	set_up();
	iova_live *live = open_reclaiming();
	for (unsigned i = 0; i < 5; i++) {
		push_magazines(live, 4);
		wait_until(depot_is_empty, live);
		CHECK(reclaimer_stop(DEADLINE_S * 1000 * MS));
		CHECK(reclaimer_stop(0));
	}
	iova_live_destroy(live);
	tear_down();
}

static void a_stop_does_not_wait_for_ever_for_a_policy(void)
{
	set_up();
	watch(true, 0);
	iova_live *blocked = open_watched(), *live = open_reclaiming();
	push_magazines(blocked, 2);
	wait_for_a_look();
	CHECK(!reclaimer_stop(MS));
	CHECK(!reclaimer_stop(MS));
	/* No second thread runs beside the one that is stuck ... */
	push_magazines(live, 4);
	iova_live_destroy(blocked);
	CHECK(blocks_held() > 0);
	sem_post(&watched.go);
	/* ... but one does when it has ended, on the next need. */
	uint64_t deadline = platform_now() + DEADLINE_S * 1000 * MS;
	do {
		CHECK(platform_now() < deadline);
		push_magazines(live, 4);
		nap();
	} while (iova_live_counters(live, 0).reclaimed == 0);
	wait_until(depot_is_empty, live);
	iova_live_destroy(live);
	tear_down();
}

int main(void)
{
	TEST(memory_is_given_back_without_a_call);
	TEST(many_domains_are_served_by_one_thread);
	TEST(what_waits_for_a_flush_is_flushed_without_a_call);
	TEST(the_thread_sleeps_when_nothing_is_due);
	TEST(a_policy_that_asks_to_look_again_is_asked_again);
	TEST(a_policy_that_blocks_holds_up_no_call);
	TEST(an_on_flush_that_blocks_holds_up_no_call);
	TEST(nothing_runs_in_a_domain_that_is_being_destroyed);
	TEST(a_domain_may_be_destroyed_while_it_is_looked_at);
	TEST(a_stopped_thread_starts_again_on_need);
	TEST(a_stop_does_not_wait_for_ever_for_a_policy);
	return 0;
}
