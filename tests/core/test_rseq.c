/* SPDX-License-Identifier: MIT */
/*
 * Restartable sequences: each is stopped before each of its instructions by a real abort
 * of the kernel's, while another user of that CPU's cache does something of its own; what
 * the sequence was to do must then have been done exactly once. And a long random run,
 * address by address beside a domain without sequences.
 */
#define _GNU_SOURCE
#include "live_fast.h"
#include "support.h"

#if IOVA_HAS_RSEQ

#include "rseq_steps.h"

#include <sched.h>
#include <sys/wait.h>

#define PAGE UINT64_C(4096)
#define MAX_HELD (4 * FULL + 100)

/* A live domain, and what this test holds of it. */
struct world {
	iova_live *live;
	uint64_t held[MAX_HELD];
	size_t count;
	uint64_t allocs, frees;
};

static uint32_t home;	  /* the CPU on which all this runs */
static cpu_set_t allowed; /* those it may run on */

static void run_on(uint32_t cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
}

static bool is_held(const struct world *world, uint64_t address)
{
	for (size_t i = 0; i < world->count; i++)
		if (world->held[i] == address)
			return true;
	return false;
}

static void alloc_one(void *context)
{
	struct world *world = context;
	uint64_t address;
	CHECK_EQ(iova_live_alloc(world->live, PAGE, UINT64_MAX, 0, &address), IOVA_OK);
	CHECK(!is_held(world, address));
	CHECK(world->count < MAX_HELD);
	world->held[world->count++] = address;
	world->allocs++;
}

static void free_one(void *context)
{
	struct world *world = context;
	CHECK(world->count > 0);
	uint64_t address = world->held[--world->count];
	world->frees++;
	CHECK_EQ(iova_live_free(world->live, address, PAGE), IOVA_OK);
}

/* Some cached, some held, and the CPU's front open. */
static struct world make_world(bool checked)
{
	struct world world = { .count = 0 };
	struct iova_live_config config = {
		.unchecked = !checked,
		.design = iova_design_named("unbounded"),
	};
	CHECK_EQ(iova_live_open(&config, &world.live), IOVA_OK);
	CHECK(world.live->has_fronts);
	for (int i = 0; i < 60; i++)
		alloc_one(&world);
	for (int i = 0; i < 30; i++)
		free_one(&world);
	return world;
}

/* Every allocation and free was counted once, and every range is in one place. */
static void check_world(const struct world *world)
{
	struct iova_live_stats stats;
	CHECK_EQ(iova_live_read(world->live, &stats), IOVA_OK);
	struct iova_counters sum = iova_live_counters(world->live, 0);
	CHECK_EQ(sum.hits_loaded + sum.hits_previous + sum.hits_depot + sum.tree_allocations,
		 world->allocs);
	CHECK_EQ(sum.puts, world->frees);
	CHECK_EQ(stats.live, world->count);
	CHECK_SOUND(iova_check(world->live->domain));
}

static void end_world(struct world *world)
{
	check_world(world);
	while (world->count > 0)
		free_one(world);
	check_world(world);
	iova_live_destroy(world->live);
}

static bool front_is_open(const struct world *world)
{
	return cpu_cache_of(world->live->domain, home, 0)->front != FRONT_CLOSED;
}

static uint64_t entries_in_front(const struct world *world)
{
	uint64_t front = cpu_cache_of(world->live->domain, home, 0)->front;
	return (front & ((1u << FRONT_TAKEN_SHIFT) - 1)) - 1;
}

/* The front open, with entries on the loaded magazine and room on it. */
static void open_front(struct world *world)
{
	run_on(home);
	while (world->count < 30)
		alloc_one(world);
	free_one(world);
	CHECK(front_is_open(world));
	while (entries_in_front(world) < 10)
		free_one(world);
	while (entries_in_front(world) > FULL - 10)
		alloc_one(world);
	CHECK(front_is_open(world));
}

/* ------------------------------------------------------ every instruction of a sequence */

static void do_nothing(void *context)
{
	(void)context;
}

/* As a thread that gets this CPU next. */
static void take_two_and_put_one(void *context)
{
	alloc_one(context);
	alloc_one(context);
	free_one(context);
}

/* The count of entries is the same afterwards, the entries are not. */
static void exchange_two(void *context)
{
	struct world *world = context;
	alloc_one(world);
	alloc_one(world);
	uint64_t last = world->held[world->count - 1];
	world->held[world->count - 1] = world->held[world->count - 2];
	world->held[world->count - 2] = last;
	free_one(world);
	free_one(world);
}

static void flush(void *context)
{
	struct world *world = context;
	CHECK_EQ(iova_live_flush_caches(world->live), IOVA_OK);
}

static void read_counters(void *context)
{
	struct world *world = context;
	(void)iova_live_counters(world->live, 0);
}

static void trim(void *context)
{
	struct world *world = context;
	rcache_trim_cpu(world->live->domain, 0, home);
}

static void go_offline(void *context)
{
	struct world *world = context;
	iova_cpu_offline(world->live->domain, home);
	iova_cpu_online(world->live->domain, home);
}

static void migrate(void *context)
{
	(void)context;
	for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (cpu != home && CPU_ISSET(cpu, &allowed)) {
			run_on(cpu);
			return;
		}
	}
}

/* From another CPU than this cache's, where there is one. */
static void migrate_and_flush(void *context)
{
	migrate(context);
	flush(context);
}

static void migrate_and_exchange(void *context)
{
	migrate(context);
	exchange_two(context);
}

static void fill_up(void *context)
{
	for (uint64_t i = 0; i < 3 * FULL; i++)
		alloc_one(context);
	for (uint64_t i = 0; i < 3 * FULL; i++)
		free_one(context);
}

static void (*const intruders[])(void *context) = {
	do_nothing, take_two_and_put_one, exchange_two, flush,		   read_counters,	 trim,
	go_offline, migrate,		  fill_up,	migrate_and_flush, migrate_and_exchange,
};

static struct steps steps_on_short_path(struct world *world, void (*operation)(void *context))
{
	struct made_up_area area = { .cpu_id_start = home, .cpu_id = home };
	open_front(world);
	steps_use_area(world->live, &area);
	struct steps steps = steps_of(operation, world);
	steps_use_own_area(world->live);
	size_t inside = 0;
	for (size_t i = 0; i < steps.count; i++)
		inside += steps_is_inside(steps.at[i]);
	/* Fewer could not look at the lock, the count, the entry, and store. */
	CHECK(inside > 10);
	return steps;
}

/* Losing the CPU before it gets there aborts a sequence as well: then once more. */
static enum stop stop_once(struct world *world, uintptr_t at, void (*operation)(void *context),
			   void (*back)(void *context), void (*intrude)(void *context))
{
	for (unsigned tries = 0; tries < 100; tries++) {
		open_front(world);
		enum stop stop = steps_stop_at(at, operation, intrude, world);
		if (stop != NOT_REACHED)
			return stop;
		back(world);
	}
	return NOT_REACHED;
}

static void stop_everywhere(bool checked, void (*operation)(void *context),
			    void (*back)(void *context))
{
	struct world world = make_world(checked);
	struct steps steps = steps_on_short_path(&world, operation);
	back(&world);
	for (size_t i = 0; i < sizeof(intruders) / sizeof(*intruders); i++) {
		for (size_t step = 0; step < steps.count; step++) {
			uintptr_t at = steps.at[step];
			snprintf(check_context, sizeof(check_context), "intruder %zu, step %zu",
				 i, step);
			enum stop stop = stop_once(&world, at, operation, back, intruders[i]);
			CHECK_EQ(stop, steps_is_inside(at) ? ABORTED : NOT_ABORTED);
			check_world(&world);
			back(&world);
			check_world(&world);
		}
	}
	run_on(home);
	end_world(&world);
}

static void an_allocation_aborted_at_any_instruction_happens_once(void)
{
	stop_everywhere(false, alloc_one, free_one);
	stop_everywhere(true, alloc_one, free_one);
}

static void a_free_aborted_at_any_instruction_happens_once(void)
{
	stop_everywhere(false, free_one, alloc_one);
	stop_everywhere(true, free_one, alloc_one);
}

/* ------------------------------------------------------------------- which CPU it is on */

#define CPUS 8u
#define HERE 3u
#define THERE 4u

static struct made_up_area where;

/* Fewer than the machine has would share caches, and have no fronts. */
static uint32_t enough_cpus(void)
{
	return platform_cpus() > CPUS ? platform_cpus() : CPUS;
}

static void go_there(void *context)
{
	(void)context;
	where.cpu_id = THERE;
}

static uint64_t front_on(const struct world *world, uint32_t cpu)
{
	return cpu_cache_of(world->live->domain, cpu, 0)->front;
}

static void open_front_on(struct world *world, uint32_t cpu)
{
	uint64_t addresses[20];
	where.cpu_id = cpu;
	for (size_t i = 0; i < COUNT_OF_ARRAY(addresses); i++)
		CHECK_EQ(live_alloc_in_full(world->live, cpu, PAGE, UINT64_MAX, 0, &addresses[i]),
			 IOVA_OK);
	for (size_t i = 0; i < COUNT_OF_ARRAY(addresses); i++)
		CHECK_EQ(live_free_in_full(world->live, cpu, addresses[i], PAGE), IOVA_OK);
	CHECK(front_on(world, cpu) != FRONT_CLOSED);
}

/* Had it learned its CPU before, it could go on with it on another, unaborted. */
static void check_it_asks_inside(struct world *world, void (*operation)(void *context))
{
	open_front_on(world, THERE);
	open_front_on(world, HERE);
	struct steps steps = steps_of(operation, world);
	size_t first = 0;
	while (!steps_is_inside(steps.at[first]))
		first++;
	where.cpu_id = HERE;
	uint64_t here = front_on(world, HERE), there = front_on(world, THERE);
	CHECK_EQ(steps_stop_at(steps.at[first], operation, go_there, world), NOT_ABORTED);
	CHECK_EQ(front_on(world, HERE), here);
	CHECK(front_on(world, THERE) != there);
}

static void a_sequence_asks_for_its_cpu_where_it_can_be_aborted(void)
{
	struct world world = { .count = 0 };
	struct iova_live_config config = { .unchecked = true, .cpus = enough_cpus() };
	CHECK_EQ(iova_live_open(&config, &world.live), IOVA_OK);
	steps_use_area(world.live, &where);
	check_it_asks_inside(&world, alloc_one);
	check_it_asks_inside(&world, free_one);
	iova_live_destroy(world.live);
}

/* ------------------------------------------------------------ beside the plain domain */

#define SLOTS 3000u

struct pair {
	iova_live *live;
	iova_domain *plain;
	struct made_up_area area;
	struct {
		uint64_t pfn, pages;
	} slot[SLOTS];
};

static void choose_cpu(struct pair *pair, uint32_t cpu)
{
	pair->area.cpu_id = pair->area.cpu_id_start = cpu;
}

static void change_slot(struct pair *pair, struct random *random)
{
	uint32_t cpu = (uint32_t)random_below(random, CPUS);
	size_t at = random_below(random, SLOTS);
	uint64_t pages = pair->slot[at].pages, pfn = pair->slot[at].pfn;
	choose_cpu(pair, cpu);
	if (pages) {
		iova_free(pair->plain, cpu, pfn, pages, 0);
		if (!quick_free_here(pair->live, pfn * PAGE, pages * PAGE))
			CHECK_EQ(live_free_in_full(pair->live, cpu, pfn * PAGE, pages * PAGE),
				 IOVA_OK);
		pair->slot[at].pages = 0;
		return;
	}
	bool low = random_below(random, 4) == 0;
	uint64_t address;
	pages = 1 + random_below(random, random_below(random, 3) ? 1 : 70);
	pfn = iova_alloc(pair->plain, cpu, pages, low ? LIMIT32 : LIMIT64, true);
	CHECK(pfn != 0);
	uint64_t limit = low ? D32 * PAGE - 1 : UINT64_MAX;
	if (!quick_alloc_here(pair->live, pages * PAGE, limit, 0, &address))
		CHECK_EQ(live_alloc_in_full(pair->live, cpu, pages * PAGE, limit, 0, &address),
			 IOVA_OK);
	CHECK_EQ(address, pfn * PAGE);
	pair->slot[at].pages = pages;
	pair->slot[at].pfn = pfn;
}

static void visit_all(struct pair *pair, struct random *random)
{
	uint32_t cpu = (uint32_t)random_below(random, CPUS);
	switch (random_below(random, 3)) {
	case 0:
		iova_flush_caches(pair->plain);
		CHECK_EQ(iova_live_flush_caches(pair->live), IOVA_OK);
		break;
	case 1:
		iova_cpu_offline(pair->plain, cpu);
		iova_cpu_offline(pair->live->domain, cpu);
		iova_cpu_online(pair->plain, cpu);
		iova_cpu_online(pair->live->domain, cpu);
		break;
	default:
		CHECK_SOUND(iova_check(pair->live->domain));
	}
}

static void compare_counters(const struct pair *pair)
{
	for (uint32_t k = 0; k < IOVA_DEFAULT_CLASSES; k++) {
		struct iova_counters a = iova_read_counters(pair->plain, k);
		struct iova_counters b = iova_live_counters(pair->live, k);
		CHECK(memcmp(&a, &b, sizeof(a)) == 0);
	}
}

static void every_address_and_counter_is_that_of_a_domain_without_sequences(void)
{
	static struct pair pair;
	const struct iova_span window = { PAGE, (LIMIT64 + 1) * PAGE - 1 };
	struct iova_live_config live = { .windows = &window,
					 .window_count = 1,
					 .cpus = enough_cpus(),
					 .design = iova_design_named("unbounded") };
	struct iova_config plain = { .granule = PAGE,
				     .start_pfn = 1,
				     .cpus_possible = live.cpus,
				     .cpus_online = live.cpus,
				     .classes = IOVA_DEFAULT_CLASSES,
				     .design = live.design };
	CHECK_EQ(iova_create(&plain, &pair.plain), IOVA_OK);
	CHECK_EQ(iova_make_caches(pair.plain), IOVA_OK);
	CHECK_EQ(live_open(&live, true, &pair.live), IOVA_OK);
	CHECK(pair.live->has_fronts);
	steps_use_area(pair.live, &pair.area);
	struct random random = { 7 };
	for (int i = 0; i < 400000; i++) {
		change_slot(&pair, &random);
		if (i % 5000 == 0)
			visit_all(&pair, &random);
		if (i % 50000 == 0)
			compare_counters(&pair);
	}
	compare_counters(&pair);
	iova_live_destroy(pair.live);
	iova_destroy(pair.plain);
}

/* ------------------------------------------------------------------------ the rest */

static void a_front_that_counted_very_much_is_written_back_in_full(void)
{
	struct world world = make_world(false);
	open_front(&world);
	struct cpu_cache *cache = cpu_cache_of(world.live->domain, home, 0);
	uint64_t many = UINT64_C(1) << 31, put = iova_live_counters(world.live, 0).puts;
	open_front(&world);
	cache->front += many << FRONT_TAKEN_SHIFT;
	/* The entry is put by the lock's holder, who writes the number back. */
	uint64_t frees = world.frees;
	alloc_one(&world);
	free_one(&world);
	CHECK(front_taken(cache->front) < 100);
	CHECK_EQ(iova_live_counters(world.live, 0).puts - put, many + 2);
	CHECK_EQ(world.frees - frees, 1);
	world.allocs += many;
	world.frees += many;
	end_world(&world);
}

static void a_closed_domain_lets_no_sequence_through(void)
{
	struct world world = make_world(false);
	uint64_t address;
	open_front(&world);
	iova_live_close(world.live);
	CHECK_EQ(iova_live_alloc(world.live, PAGE, UINT64_MAX, 0, &address), IOVA_CLOSED);
	CHECK_EQ(iova_live_free(world.live, world.held[0], PAGE), IOVA_CLOSED);
	iova_live_destroy(world.live);
}

static void a_domain_can_do_with_and_without_sequences(void)
{
	struct world world = make_world(true);
	for (int i = 0; i < 6; i++) {
		live_use_fronts(world.live, i % 2);
		CHECK_EQ(world.live->has_fronts, i % 2);
		fill_up(&world);
		check_world(&world);
	}
	end_world(&world);
}

static void a_visited_cache_stays_closed_until_its_cpu_uses_it(void)
{
	struct world world = make_world(false);
	struct made_up_area area = { .cpu_id = home };
	open_front(&world);
	steps_use_area(world.live, &area);
	area.cpu_id = UINT32_MAX;
	read_counters(&world);
	CHECK(!front_is_open(&world));
	area.cpu_id = home;
	(void)iova_read_cpu(world.live->domain, home, 0);
	CHECK(front_is_open(&world));
	steps_use_own_area(world.live);
	end_world(&world);
}

static void no_sequence_runs_during_a_fork(void)
{
	struct world world = make_world(false);
	live_freeze(world.live);
	CHECK_EQ(world.live->site.cpus, 0);
	CHECK(world.live->fronts_shut);
	live_thaw(world.live, false);
	CHECK_EQ(world.live->site.cpus, world.live->cpus);
	CHECK(!world.live->fronts_shut);
	end_world(&world);
}

/* The other thread, which had them shut, is not in the child. */
static void a_child_opens_what_another_thread_had_shut(void)
{
	struct world world = make_world(false);
	live_shut_fronts(world.live);
	live_freeze(world.live);
	live_thaw(world.live, true);
	CHECK_EQ(world.live->site.cpus, world.live->cpus);
	CHECK(!world.live->fronts_shut);
	end_world(&world);
}

static void a_child_of_fork_goes_on_with_sequences(void)
{
	struct world world = make_world(true);
	open_front(&world);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK_EQ(world.live->site.cpus, world.live->cpus);
		CHECK(front_is_open(&world));
		fill_up(&world);
		flush(&world);
		rcache_trim_cpu(world.live->domain, 0, home);
		check_world(&world);
		_exit(0);
	}
	int status;
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	CHECK(front_is_open(&world));
	end_world(&world);
}

int main(void)
{
	ptrdiff_t area;
	if (!rseq_is_there(&area)) {
		puts("restartable sequences are not to be had here: nothing was tested");
		return 77;
	}
	home = platform_cpu();
	CHECK_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	run_on(home);
	TEST(an_allocation_aborted_at_any_instruction_happens_once);
	TEST(a_free_aborted_at_any_instruction_happens_once);
	TEST(a_sequence_asks_for_its_cpu_where_it_can_be_aborted);
	TEST(every_address_and_counter_is_that_of_a_domain_without_sequences);
	TEST(a_front_that_counted_very_much_is_written_back_in_full);
	TEST(a_closed_domain_lets_no_sequence_through);
	TEST(a_domain_can_do_with_and_without_sequences);
	TEST(a_visited_cache_stays_closed_until_its_cpu_uses_it);
	TEST(no_sequence_runs_during_a_fork);
	TEST(a_child_opens_what_another_thread_had_shut);
	TEST(a_child_of_fork_goes_on_with_sequences);
	return 0;
}

#else

int main(void)
{
	puts("built without restartable sequences: nothing was tested");
	return 77;
}

#endif
