/* SPDX-License-Identifier: MIT */
/*
 * Restartable sequences among threads: allocations and frees on two CPUs by threads that
 * are pinned, that wander, and that the C library has not registered, while another one
 * empties, trims, reads and forks all the time. Every address is stamped when it is handed
 * out: a second owner is noticed at once. At the end every call was counted once.
 *
 * usage: test_rseq_threads [SECONDS]
 */
#define _GNU_SOURCE
#include "live_fast.h"
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform.h"

#define PAGE UINT64_C(4096)
#define FRAMES (UINT64_C(1) << 17)
#define WORKERS 6u
#define HOLD 400u
#define BATCH 40u

enum habit { PINNED, WANDERING, UNREGISTERED };

struct worker {
	pthread_t thread;
	enum habit habit;
	uint32_t cpu;
	struct random random;
	uint64_t held[HOLD];
	size_t count;
	uint64_t allocs, frees;
};

static iova_live *live;
static uint8_t *owned; /* [frame]: handed out */
static bool stop;
/* A range on its way from one thread to another; 0: none. */
static uint64_t handed_over[4];

static void run_on(uint32_t cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu % platform_cpus(), &set);
	/* A CPU that is not to be had leaves the thread where it is. */
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/* ------------------------------------------------------------------------- ownership */

static void own(uint64_t address)
{
	CHECK(address / PAGE < FRAMES);
	CHECK_EQ(__atomic_exchange_n(&owned[address / PAGE], 1, __ATOMIC_SEQ_CST), 0);
}

static void disown(uint64_t address)
{
	CHECK_EQ(__atomic_exchange_n(&owned[address / PAGE], 0, __ATOMIC_SEQ_CST), 1);
}

static void keep(struct worker *worker, uint64_t address)
{
	own(address);
	worker->held[worker->count++] = address;
	worker->allocs++;
}

/* --------------------------------------------------------------------------- workers */

static void take_one(struct worker *worker)
{
	uint64_t address;
	CHECK_EQ(iova_live_alloc(live, PAGE, UINT64_MAX, 0, &address), IOVA_OK);
	keep(worker, address);
}

static void give_one(struct worker *worker, uint64_t address)
{
	disown(address);
	CHECK_EQ(iova_live_free(live, address, PAGE), IOVA_OK);
	worker->frees++;
}

static void take_many(struct worker *worker)
{
	uint64_t addresses[BATCH];
	CHECK_EQ(iova_live_alloc_many(live, BATCH, PAGE, UINT64_MAX, addresses), IOVA_OK);
	for (size_t i = 0; i < BATCH; i++)
		keep(worker, addresses[i]);
}

static void give_many(struct worker *worker)
{
	worker->count -= BATCH;
	for (size_t i = 0; i < BATCH; i++)
		disown(worker->held[worker->count + i]);
	CHECK_EQ(iova_live_free_many(live, BATCH, worker->held + worker->count, PAGE, NULL),
		 IOVA_OK);
	worker->frees += BATCH;
}

/* Give the last one to whoever comes by, and free what lay there. */
static void hand_over(struct worker *worker)
{
	size_t place = random_below(&worker->random, COUNT_OF_ARRAY(handed_over));
	uint64_t address = __atomic_exchange_n(&handed_over[place], worker->held[--worker->count],
					       __ATOMIC_SEQ_CST);
	if (address)
		give_one(worker, address);
}

static void act(struct worker *worker)
{
	uint64_t choice = random_below(&worker->random, 100);
	bool has = worker->count >= BATCH, has_room = worker->count + BATCH <= HOLD;
	if (choice < 2 && has_room)
		take_many(worker);
	else if (choice < 4 && has)
		give_many(worker);
	else if (choice < 14 && has)
		hand_over(worker);
	else if (choice < 60 && has_room)
		take_one(worker);
	else if (has)
		give_one(worker, worker->held[--worker->count]);
}

#if IOVA_HAS_RSEQ

/* What glibc registered: a thread of a runtime of its own might never have been. */
static void unregister(void)
{
	if (!live->has_fronts)
		return;
	char *area = rseq_area(&live->site);
	for (uint32_t length = 20; length <= 512; length++)
		if (syscall(SYS_rseq, area, length, 1, 0x53053053) == 0)
			break;
	CHECK(rseq_cpu(&live->site) >= platform_cpus());
}

#else

static void unregister(void)
{
}

#endif

static void *work(void *argument)
{
	struct worker *worker = argument;
	run_on(worker->cpu);
	if (worker->habit == UNREGISTERED)
		unregister();
	for (uint64_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		act(worker);
		if (worker->habit == WANDERING && i % 64 == 0)
			run_on((uint32_t)random_below(&worker->random, 1u << 16));
		if (worker->habit == UNREGISTERED && i % 16 == 0)
			sched_yield();
	}
	while (worker->count > 0)
		give_one(worker, worker->held[--worker->count]);
	return NULL;
}

/* --------------------------------------------------------------------------- visitors */

/* The child has one thread, and ranges that nobody will free. */
static void fork_and_go_on(void)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		uint64_t addresses[300];
		CHECK_SOUND(iova_check(live->domain));
		for (unsigned i = 0; i < 300; i++)
			CHECK_EQ(iova_live_alloc(live, PAGE, UINT64_MAX, 0, &addresses[i]), IOVA_OK);
		for (unsigned i = 0; i < 300; i++)
			CHECK_EQ(iova_live_free(live, addresses[i], PAGE), IOVA_OK);
		CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
		CHECK_SOUND(iova_check(live->domain));
		_exit(0);
	}
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
}

static void visit(struct random *random)
{
	struct iova_live_stats stats;
	uint32_t cpu = (uint32_t)random_below(random, live->cpus);
	run_on(cpu);
	switch (random_below(random, 6)) {
	case 0:
		CHECK_EQ(iova_live_flush_caches(live), IOVA_OK);
		break;
	case 1:
		CHECK(iova_live_counters(live, 0).puts < UINT64_MAX / 2);
		break;
	case 2:
		CHECK_EQ(iova_live_read(live, &stats), IOVA_OK);
		break;
	case 3:
		rcache_trim_cpu(live->domain, 0, (uint32_t)random_below(random, live->cpus));
		break;
	case 4:
		(void)iova_read_cpu(live->domain, (uint32_t)random_below(random, live->cpus), 0);
		break;
	default:
		iova_cpu_offline(live->domain, cpu);
		iova_cpu_online(live->domain, cpu);
	}
}

static void visit_until(uint64_t end)
{
	struct random random = { 3 };
	for (uint64_t i = 1; platform_now() < end; i++) {
		visit(&random);
		if (i % 1000 == 0)
			fork_and_go_on();
		/* Most of the time nobody visits, and sequences run. */
		if (i % 4 == 0)
			usleep(100);
	}
}

/* ---------------------------------------------------------------------------- the test */

static double seconds = 2;

static void start(struct worker *workers)
{
	static const enum habit habits[WORKERS] = { PINNED,    PINNED,	  WANDERING,
						    WANDERING, WANDERING, UNREGISTERED };
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .habit = habits[i], .cpu = i, .random = { i + 1 } };
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
}

static void free_handed_over(struct worker *worker)
{
	for (size_t i = 0; i < COUNT_OF_ARRAY(handed_over); i++)
		if (handed_over[i])
			give_one(worker, handed_over[i]);
	memset(handed_over, 0, sizeof(handed_over));
}

static void check_sums(const struct worker *workers)
{
	uint64_t allocs = 0, frees = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		allocs += workers[i].allocs;
		frees += workers[i].frees;
	}
	struct iova_counters sum = iova_live_counters(live, 0);
	CHECK_EQ(allocs, frees);
	CHECK_EQ(sum.hits_loaded + sum.hits_previous + sum.hits_depot + sum.tree_allocations,
		 allocs);
	CHECK_EQ(sum.puts, frees);
	struct iova_live_stats stats;
	CHECK_EQ(iova_live_read(live, &stats), IOVA_OK);
	CHECK_EQ(stats.live, 0);
	CHECK_SOUND(iova_check(live->domain));
}

static void run(bool checked, bool with_sequences)
{
	static struct worker workers[WORKERS];
	const struct iova_span window = { PAGE, FRAMES * PAGE - 1 };
	struct iova_live_config config = { .windows = &window,
					   .window_count = 1,
					   .unchecked = !checked };
	CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
	live_use_fronts(live, with_sequences);
	stop = false;
	start(workers);
	visit_until(platform_now() + (uint64_t)(seconds / 4 * 1e9));
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	free_handed_over(&workers[0]);
	CHECK(reclaimer_stop(UINT64_C(60000000000))); /* nobody else is in the domain now */
	check_sums(workers);
	iova_live_destroy(live);
}

static void no_address_has_two_owners_with_locks_alone(void)
{
	run(false, false);
}

#if IOVA_HAS_RSEQ

static void no_address_has_two_owners_with_sequences(void)
{
	run(false, true);
}

static void no_address_has_two_owners_with_sequences_and_checks(void)
{
	run(true, true);
}

/* ------------------------------------------------------------------ what a visitor sees */

#define LOOKS 200

static void *pair_for_ever(void *unused)
{
	uint64_t address;
	run_on(0);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		CHECK_EQ(iova_live_alloc(live, PAGE, UINT64_MAX, 0, &address), IOVA_OK);
		CHECK_EQ(iova_live_free(live, address, PAGE), IOVA_OK);
	}
	return unused;
}

/* Closed and opened by who holds the lock, it has counted nothing: what counts is a sequence. */
static void look_at_it_shut(const struct cpu_cache *cache)
{
	live_shut_fronts(live);
	uint64_t front = sync_load(&cache->front);
	for (int i = 0; i < LOOKS; i++) {
		uint64_t now = sync_load(&cache->front);
		CHECK(now == front || front_taken(now) == 0);
	}
	live_reopen_fronts(live);
}

static void check_it_stands_still(const struct cpu_cache *cache)
{
	for (int i = 0; i < LOOKS; i++)
		CHECK_EQ(sync_load(&cache->front), FRONT_CLOSED);
}

static void look_at_it_closed(struct cpu_cache *cache)
{
	spin_acquire(&cache->lock);
	cache_enter(live, cache, 0);
	uint64_t count = cache->loaded ? cache->loaded->count : 0;
	check_it_stands_still(cache);
	CHECK_EQ(cache->loaded ? cache->loaded->count : 0, count);
	cache_release(live, cache, 0);
}

static void wait_for_an_open_front(const struct cpu_cache *cache)
{
	while (sync_load(&cache->front) == FRONT_CLOSED)
		platform_pause(0);
}

/* From the next CPU, if there is one: while the other thread runs. */
static void no_sequence_goes_on_under_the_eyes_of_another_cpu(void)
{
	struct iova_live_config config = { .unchecked = true };
	CHECK_EQ(iova_live_open(&config, &live), IOVA_OK);
	struct cpu_cache *cache = cpu_cache_of(live->domain, 0, 0);
	stop = false;
	pthread_t thread;
	CHECK_EQ(pthread_create(&thread, NULL, pair_for_ever, NULL), 0);
	run_on(1);
	uint64_t end = platform_now() + (uint64_t)(seconds / 4 * 1e9);
	for (int i = 0; platform_now() < end; i++) {
		wait_for_an_open_front(cache);
		if (i % 2)
			look_at_it_shut(cache);
		else
			look_at_it_closed(cache);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	iova_live_destroy(live);
}

static void test_sequences(void)
{
	ptrdiff_t area;
	if (!rseq_is_there(&area)) {
		puts("restartable sequences are not to be had here: locks alone were tested");
		return;
	}
	TEST(no_sequence_goes_on_under_the_eyes_of_another_cpu);
	TEST(no_address_has_two_owners_with_sequences);
	TEST(no_address_has_two_owners_with_sequences_and_checks);
}

#else

static void test_sequences(void)
{
	puts("built without restartable sequences: locks alone were tested");
}

#endif

int main(int count, char **arguments)
{
	if (count > 1)
		seconds = atof(arguments[1]);
	owned = calloc(FRAMES, 1);
	CHECK(owned != NULL);
	TEST(no_address_has_two_owners_with_locks_alone);
	test_sequences();
	free(owned);
	return 0;
}
