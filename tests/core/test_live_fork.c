/* SPDX-License-Identifier: MIT */
/*
 * fork() while threads allocate: the child's domains are whole and its own, and so are the
 * parent's. Memory is the C library's, which can be forked at any moment.
 */
#include "live_support.h"
#include "threads.h"

#include <semaphore.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOMAINS 3u
#define FORKS 40u

static iova_live *live[DOMAINS];
static bool done;

static bool flush_is_fine(void *context)
{
	(void)context;
	return true;
}

static void open_all(void)
{
	uint64_t params[IOVA_MAX_PARAMS] = { 1, 0, 1, 1 }; /* each millisecond, keep none */
	const struct iova_live_config configs[DOMAINS] = {
		{ .design = iova_design_named("linux-7.3"), .params = params },
		{ .design = iova_design_named("linux-6.1"), .unchecked = true },
		{ .design = iova_design_named("linux-6.12"),
		  .params = params,
		  .on_flush = flush_is_fine,
		  .budget = 100000 },
	};
	for (unsigned i = 0; i < DOMAINS; i++)
		CHECK_EQ(iova_live_open(&configs[i], &live[i]), IOVA_OK);
}

static void close_all(void)
{
	for (unsigned i = 0; i < DOMAINS; i++) {
		check_adds_up(live[i]);
		iova_live_destroy(live[i]);
	}
}

/* All that a driver does, in one domain. */
static void use(iova_live *domain, struct random *random)
{
	uint64_t address[40], size = PAGE << random_below(random, 4), ticket;
	size_t n = 1 + random_below(random, COUNT_OF_ARRAY(address));
	CHECK_EQ(iova_live_alloc_many(domain, n, size, ANYWHERE, address), IOVA_OK);
	if (random_below(random, 10) == 0)
		CHECK_EQ(iova_live_flush_caches(domain), IOVA_OK);
	enum iova_status status = iova_live_defer(domain, address[--n], size, &ticket);
	CHECK(status == IOVA_OK || status == IOVA_FLUSH_NEEDED);
	CHECK_EQ(iova_live_flushed(domain, ticket), IOVA_OK);
	if (status == IOVA_FLUSH_NEEDED)
		give(domain, address[n], size);
	CHECK_EQ(iova_live_free_many(domain, n, address, size, NULL), IOVA_OK);
}

static void *use_all_until_done(void *context)
{
	struct random random = { *(const unsigned *)context };
	while (!sync_load(&done))
		use(live[random_below(&random, DOMAINS)], &random);
	return NULL;
}

/* Several magazines of ranges of that size, into the depot. */
static void push_some(iova_live *domain, uint64_t size)
{
	static uint64_t address[8 * IOVA_MAGAZINE_CAPACITY];
	CHECK_EQ(iova_live_alloc_many(domain, 8 * FULL, size, ANYWHERE, address), IOVA_OK);
	CHECK_EQ(iova_live_free_many(domain, 8 * FULL, address, size, NULL), IOVA_OK);
}

/* Magazines that pile up in the depot go by themselves: the child has such a thread again. */
static void check_is_reclaimed(iova_live *domain)
{
	struct timespec ms = { 0, 1000000 };
	uint64_t deadline = platform_now() + 60 * 1000 * MS;
	push_some(domain, 8 * PAGE);
	while (iova_live_counters(domain, 3).depot > 0) {
		CHECK(platform_now() < deadline);
		nanosleep(&ms, NULL);
	}
}

static void be_the_child(unsigned seed)
{
	struct random random = { seed };
	for (unsigned i = 0; i < DOMAINS; i++)
		CHECK_SOUND(iova_check(live[i]->domain));
	for (unsigned i = 0; i < 200; i++)
		use(live[i % DOMAINS], &random);
	if (seed % 4 == 0)
		check_is_reclaimed(live[0]);
	/* Stopped, so that nothing moves while it is checked. */
	CHECK(reclaimer_stop(60 * 1000 * MS));
	for (unsigned i = 0; i < DOMAINS; i++) {
		CHECK_SOUND(iova_check(live[i]->domain));
		CHECK_EQ(read_stats(live[i]).totals.warnings, 0);
		iova_live_destroy(live[i]);
	}
}

static void fork_one(unsigned seed)
{
	int status;
	fflush(stdout);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		be_the_child(seed);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

static void a_child_of_a_process_whose_threads_allocate_has_whole_domains(void)
{
	pthread_t thread[THREADS];
	unsigned seed[THREADS];
	open_all();
	done = false;
	for (unsigned i = 0; i < THREADS; i++) {
		seed[i] = 1000 + i;
		CHECK_EQ(pthread_create(&thread[i], NULL, use_all_until_done, &seed[i]), 0);
	}
	for (unsigned i = 0; i < FORKS; i++)
		fork_one(i);
	sync_store(&done, true);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	/* The parent's lost nothing. */
	CHECK(reclaimer_stop(60 * 1000 * MS));
	for (unsigned i = 0; i < DOMAINS; i++) {
		CHECK_EQ(read_stats(live[i]).deferred, 0);
		CHECK_EQ(iova_live_flush_caches(live[i]), IOVA_OK);
		CHECK_EQ(read_stats(live[i]).totals.ranges, 0);
	}
	close_all();
}

static void a_child_s_domain_is_its_own(void)
{
	open_all();
	uint64_t kept = take(live[0], PAGE), freed = take(live[0], PAGE);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		/* It holds what its parent held, and nobody hears what becomes of it. */
		give(live[0], freed, PAGE);
		CHECK_EQ(take(live[0], PAGE), freed);
		give(live[0], kept, PAGE);
		CHECK_EQ(iova_live_free(live[0], kept, PAGE), IOVA_DOUBLE_FREE);
		iova_live_close(live[0]);
		_exit(0);
	}
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK_EQ(place_at(live[0], kept), IOVA_PLACE_LIVE);
	give(live[0], kept, PAGE);
	give(live[0], freed, PAGE);
	close_all();
}

/* What the parent's background thread was about to note is noted by the child. */
static void what_is_due_is_not_forgotten_in_a_child(void)
{
	uint64_t ticket;
	open_all();
	CHECK_EQ(iova_live_defer(live[2], take(live[2], PAGE), PAGE, &ticket), IOVA_OK);
	CHECK(reclaimer_stop(60 * 1000 * MS));
	stop_clock(live[2]);
	/* As in the middle of a look. */
	live[2]->flush_due = IOVA_NEVER;
	live[0]->domain->rcache[2].job.due = 5;
	live[0]->domain->earliest = IOVA_NEVER;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		CHECK_EQ(live_next_due(live[0]), 5);
		live_run_due(live[2], live[2]->stopped_at);
		CHECK_EQ(read_stats(live[2]).deferred, 0);
		_exit(0);
	}
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK_EQ(iova_live_flushed(live[2], ticket), IOVA_OK);
	close_all();
}

static sem_t looking, go;

static void blocking_setup(const struct iova_design *design, const uint64_t *values,
			   const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values, (void)config;
	mechanism->depot_max = UINT64_MAX;
	mechanism->arm_delay_ns = MS;
	mechanism->magazines_at_first_use = true;
}

static void blocking_look(const struct iova_design *design, void *state, const uint64_t *values,
			  const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	(void)state;
	(void)values;
	decision->release = view->depot;
	sem_post(&looking);
	while (sem_wait(&go) != 0)
		;
}

/* The child has no such look: the thread that is in it is not there. */
static void use_what_was_looked_at(iova_live *domain)
{
	struct random random = { 1 };
	for (unsigned i = 0; i < 100; i++)
		use(domain, &random);
	sem_post(&go);
	push_some(domain, 8 * PAGE);
	while (sem_wait(&looking) != 0)
		;
	CHECK(reclaimer_stop(60 * 1000 * MS));
	CHECK_SOUND(iova_check(domain->domain));
	iova_live_destroy(domain);
}

static void a_process_may_fork_while_a_policy_blocks(void)
{
	static const struct iova_design design = { .name = "blocking",
						   .summary = "waits",
						   .setup = blocking_setup,
						   .look = blocking_look };
	struct iova_live_config config = { .design = &design };
	iova_live *domain;
	int status;
	CHECK_EQ(sem_init(&looking, 0, 0), 0);
	CHECK_EQ(sem_init(&go, 0, 0), 0);
	CHECK_EQ(iova_live_open(&config, &domain), IOVA_OK);
	push_some(domain, 8 * PAGE);
	while (sem_wait(&looking) != 0)
		;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		use_what_was_looked_at(domain);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	sem_post(&go);
	CHECK(reclaimer_stop(60 * 1000 * MS));
	CHECK_SOUND(iova_check(domain->domain));
	iova_live_destroy(domain);
}

/* exit() with the background thread at work in domains that nobody destroys. */
static void a_process_may_end_with_live_domains(void)
{
	for (unsigned i = 0; i < 20; i++) {
		int status;
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			struct timespec time = { 0, i * 200000 };
			open_all();
			/* Few frames: a leak checker does not follow mapped memory. */
			push_some(live[0], PAGE);
			push_some(live[2], PAGE);
			nanosleep(&time, NULL);
			exit(0);
		}
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

int main(void)
{
	TEST(a_child_s_domain_is_its_own);
	TEST(what_is_due_is_not_forgotten_in_a_child);
	TEST(a_process_may_fork_while_a_policy_blocks);
	TEST(a_process_may_end_with_live_domains);
	TEST(a_child_of_a_process_whose_threads_allocate_has_whole_domains);
	return 0;
}
