/* SPDX-License-Identifier: MIT */
/*
 * How long the tree's lock is held while the reclaim empties surplus magazines: the whole
 * magazine in one hold, as Linux does, beside a live domain's batches. The lock hooks read
 * the clock; the ranges in a magazine lie scattered among the live ones. A round makes the
 * same calls REPEATS times and keeps the shortest time of each hold, so that what came in
 * between, an interrupt or a neighbour, is not in the longest.
 *
 * usage: bench_holds ROUNDS LIVE MAGAZINES
 */
#include "bench.h"
#include "live.h"
#include "undisturbed.h"

#define LIMIT UINT64_C(0xfffffffff)
#define REPEATS 5

struct holds {
	double began;
	double *ns, *shortest;
	size_t count, room;
	bool noting;
};

struct contender {
	const char *name;
	uint32_t drain_batch;
	iova_domain *domain;
	struct holds holds;
	uint64_t *pfns;
};

/* -------------------------------------------------------------------------- hooks */

static void acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct holds *holds = context;
	(void)cpu;
	(void)size_class;
	if (lock == IOVA_LOCK_TREE && holds->noting)
		holds->began = now_ns();
}

static void release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	struct holds *holds = context;
	(void)cpu;
	(void)size_class;
	if (lock != IOVA_LOCK_TREE || !holds->noting)
		return;
	must(holds->count < holds->room, "more holds than expected");
	holds->ns[holds->count++] = now_ns() - holds->began;
}

/* ------------------------------------------------------------------------ domains */

static void make_tables(struct contender *contender, size_t live, size_t magazines)
{
	struct holds *holds = &contender->holds;
	holds->room = magazines * IOVA_MAGAZINE_CAPACITY;
	holds->ns = malloc(holds->room * sizeof(*holds->ns));
	holds->shortest = malloc(holds->room * sizeof(*holds->shortest));
	contender->pfns = malloc(live * sizeof(*contender->pfns));
	must(holds->ns && holds->shortest && contender->pfns, "no memory");
}

static void make_domain(struct contender *contender)
{
	struct iova_lock_hooks hooks = { acquire, release, &contender->holds };
	struct iova_config config = { .granule = 4096,
				      .start_pfn = 1,
				      .cpus_possible = 1,
				      .cpus_online = 1,
				      .classes = IOVA_DEFAULT_CLASSES,
				      .design = iova_design_named("linux-6.12"),
				      .locks = &hooks };
	must(iova_create(&config, &contender->domain) == IOVA_OK, "no domain");
	must(iova_make_caches(contender->domain) == IOVA_OK, "no caches");
	contender->domain->drain_batch = contender->drain_batch;
}

static void fill(struct contender *contender, size_t live)
{
	for (size_t i = 0; i < live; i++)
		contender->pfns[i] = iova_alloc(contender->domain, 0, 1, LIMIT, false);
}

/* Frees ranges at random until the depot has that many magazines. */
static void free_some(struct contender *contender, size_t live, uint64_t magazines, uint64_t *seed)
{
	while (iova_read_counters(contender->domain, 0).depot < magazines)
		for (size_t i = 0; i < IOVA_MAGAZINE_CAPACITY;) {
			uint64_t *pfn = &contender->pfns[random_below(seed, live)];
			if (!*pfn)
				continue;
			iova_free(contender->domain, 0, *pfn, 1, 0);
			*pfn = 0;
			i++;
		}
}

/* ---------------------------------------------------------------------- measuring */

static int by_length(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

static void tell(const struct contender *contender)
{
	const struct holds *holds = &contender->holds;
	qsort(holds->shortest, holds->count, sizeof(*holds->shortest), by_length);
	report("median hold", contender->name, holds->shortest[holds->count / 2]);
	report("99th percentile", contender->name, holds->shortest[holds->count * 99 / 100]);
	report("longest hold", contender->name, holds->shortest[holds->count - 1]);
}

static void keep_shortest(struct holds *holds, bool first)
{
	for (size_t i = 0; i < holds->count; i++)
		if (first || holds->ns[i] < holds->shortest[i])
			holds->shortest[i] = holds->ns[i];
}

static void reclaim(struct contender *contender, uint64_t magazines)
{
	struct holds *holds = &contender->holds;
	holds->count = 0;
	holds->noting = true;
	begin_undisturbed();
	for (uint64_t i = 0; i < magazines; i++)
		iova_run_class(contender->domain, 0, 0);
	end_undisturbed();
	holds->noting = false;
	must(iova_read_counters(contender->domain, 0).depot == 1, "not all was reclaimed");
}

static void measure(struct contender *contender, size_t live, uint64_t magazines, uint64_t seed)
{
	size_t count = 0;
	for (int repeat = 0; repeat < REPEATS; repeat++) {
		uint64_t state = seed;
		make_domain(contender);
		fill(contender, live);
		free_some(contender, live, magazines + 1, &state);
		reclaim(contender, magazines);
		must(repeat == 0 || contender->holds.count == count, "other holds than before");
		count = contender->holds.count;
		keep_shortest(&contender->holds, repeat == 0);
		iova_destroy(contender->domain);
	}
	tell(contender);
}

/* A hold in which nothing is done: what reading the clock adds. */
static void measure_clock(size_t count)
{
	struct contender clock = { .name = "the clock alone" };
	struct holds *holds = &clock.holds;
	make_tables(&clock, 1, count);
	holds->noting = true;
	for (int repeat = 0; repeat < REPEATS; repeat++) {
		holds->count = 0;
		for (size_t i = 0; i < count; i++) {
			acquire(holds, IOVA_LOCK_TREE, 0, 0);
			release(holds, IOVA_LOCK_TREE, 0, 0);
		}
		keep_shortest(holds, repeat == 0);
	}
	tell(&clock);
	free(holds->ns);
	free(holds->shortest);
	free(clock.pfns);
}

int main(int count, char **arguments)
{
	struct contender contenders[] = {
		{ .name = "whole magazine", .drain_batch = 0 },
		{ .name = "live domain", .drain_batch = LIVE_DRAIN_BATCH },
	};
	must(count == 4, "usage: bench_holds ROUNDS LIVE MAGAZINES");
	int rounds = atoi(arguments[1]);
	size_t live = (size_t)atoll(arguments[2]), magazines = (size_t)atoll(arguments[3]);
	must(live > (magazines + 4) * IOVA_MAGAZINE_CAPACITY, "too few live ranges");
	for (size_t i = 0; i < 2; i++)
		make_tables(&contenders[i], live, magazines);
	for (int round = 0; round < rounds; round++) {
		for (size_t i = 0; i < 2; i++)
			measure(&contenders[i], live, magazines, (uint64_t)round);
		measure_clock(magazines);
	}
	return 0;
}
