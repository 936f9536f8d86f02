/* SPDX-License-Identifier: MIT */
/*
 * One path of the core, run so often, for counting its instructions under callgrind:
 * what measured() executes is what counts, all else is setting up.
 *
 * usage: instructions inlined|called|tree|replay OPERATIONS
 */
#include <string.h>

#include "bench.h"
#include "rcache_fast.h"
#include "replay.h"

#define LIMIT UINT64_C(0xfffffffff)
#define CPUS 8u

static iova_domain *domain;
static uint32_t cpu = 1;
static uint64_t size = 1, limit = LIMIT, now = 0;

static iova_domain *new_domain(void)
{
	iova_domain *made;
	struct iova_config config = { .granule = 4096,
				      .start_pfn = 1,
				      .cpus_possible = CPUS,
				      .cpus_online = CPUS,
				      .classes = IOVA_DEFAULT_CLASSES,
				      .design = iova_design_named("linux-7.3") };
	must(iova_create(&config, &made) == IOVA_OK, "no domain");
	must(iova_make_caches(made) == IOVA_OK, "no caches");
	return made;
}

/* ------------------------------------------------------- hits in the loaded magazine */

static void set_up_hits(size_t operations)
{
	(void)operations;
	OPAQUE(cpu);
	OPAQUE(size);
	OPAQUE(limit);
	OPAQUE(now);
	domain = new_domain();
	iova_free(domain, cpu, iova_alloc(domain, cpu, size, limit, false), size, now);
}

static void hit_inlined(size_t operations)
{
	for (size_t i = 0; i < operations; i += 2) {
		bool quick;
		uint64_t pfn = alloc_fast(domain, cpu, size, limit, false, &quick);
		free_fast(domain, cpu, pfn, size, now, &quick);
	}
}

static void hit_called(size_t operations)
{
	for (size_t i = 0; i < operations; i += 2) {
		uint64_t pfn = iova_alloc(domain, cpu, size, limit, false);
		iova_free(domain, cpu, pfn, size, now);
	}
}

/* --------------------------------------------------------- 64 pages among 10000 ranges */

#define RANGES 10000u
#define PAGES 64u

static uint64_t live[RANGES];
static uint64_t seed = 1;

static uint64_t take(void)
{
	struct iova_range range;
	must(iova_alloc_raw(domain, PAGES, limit, true, &range) == IOVA_OK, "no room");
	return range.lo;
}

static void replace_ranges(size_t operations)
{
	for (size_t i = 0; i < operations; i += 2) {
		uint64_t *victim = &live[random_below(&seed, RANGES)];
		must(iova_free_raw(domain, *victim) == IOVA_OK, "a free failed");
		*victim = take();
	}
}

static void set_up_tree(size_t operations)
{
	(void)operations;
	domain = new_domain();
	for (size_t i = 0; i < RANGES; i++)
		live[i] = take();
	replace_ranges(4 * RANGES);
}

/* ------------------------------------------------------------------- replayed events */

/* At most so many ranges are live; their sizes are those of a disk's requests. */
#define IN_FLIGHT 4000u
#define EVENT_NS 2000

static struct replay *replay;
static struct replay_events events;

struct columns {
	int64_t *t;
	uint16_t *cpu;
	uint8_t *op;
	uint64_t *size;
	uint32_t *slot;
};

static void *column(size_t count, size_t bytes)
{
	void *zeroed = calloc(count, bytes);
	must(zeroed != NULL, "no memory");
	return zeroed;
}

static uint64_t random_size(void)
{
	uint64_t kind = random_below(&seed, 16);
	return kind < 8 ? 1 : kind < 15 ? UINT64_C(2) << (kind - 8) % 5 : 48;
}

/* Each slot in turn: allocated if it is free, freed on some CPU if it is not. */
static void fill_rows(struct columns to, size_t count)
{
	static uint64_t held[IN_FLIGHT];
	uint32_t used = 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t slot = (uint32_t)random_below(&seed, used < IN_FLIGHT ? used + 1 : used);
		used += slot == used;
		to.t[i] = (int64_t)i * EVENT_NS;
		to.cpu[i] = (uint16_t)random_below(&seed, CPUS);
		to.slot[i] = slot;
		to.op[i] = held[slot] ? OP_FREE : OP_ALLOC;
		to.size[i] = held[slot] ? held[slot] : random_size();
		held[slot] = held[slot] ? 0 : to.size[i];
	}
}

static void set_up_replay(size_t count)
{
	static const struct replay_domain_config domains[] = { { 4096, 1 } };
	static const struct iova_design *designs[1];
	struct columns to = { column(count, 8), column(count, 2), column(count, 1),
			      column(count, 8), column(count, 4) };
	uint64_t *limits = column(count, 8);
	designs[0] = iova_design_named("linux-6.12");
	fill_rows(to, count);
	for (size_t i = 0; i < count; i++)
		limits[i] = LIMIT;
	events = (struct replay_events){ .count = count,
					 .t = to.t,
					 .cpu = to.cpu,
					 .op = to.op,
					 .flags = column(count, 1),
					 .domain = column(count, 4),
					 .size = to.size,
					 .limit = limits,
					 .pfn = limits,
					 .last = limits,
					 .slot = to.slot,
					 .n = to.slot };
	struct replay_config config = { .cpus_possible = CPUS,
					.cpus_online = CPUS,
					.classes = IOVA_DEFAULT_CLASSES,
					.domain_count = 1,
					.domains = domains,
					.designs = designs,
					.count_steps = true };
	must(replay_create(&config, &replay) == REPLAY_OK, "no replay");
}

static void feed(size_t operations)
{
	size_t row;
	(void)operations;
	must(replay_feed(replay, &events, &row) == REPLAY_OK, "a row can not be replayed");
}

/* ----------------------------------------------------------------------------- choice */

static const struct path {
	const char *name;
	void (*set_up)(size_t operations);
	void (*run)(size_t operations);
} paths[] = {
	{ "inlined", set_up_hits, hit_inlined },
	{ "called", set_up_hits, hit_called },
	{ "tree", set_up_tree, replace_ranges },
	{ "replay", set_up_replay, feed },
};

static void measured(const struct path *path, size_t operations)
{
	path->run(operations);
	__asm__ volatile(""); /* no tail call */
}

/* A pointer the compiler does not see through: the function keeps its name. */
static void (*volatile run_measured)(const struct path *, size_t) = measured;

int main(int count, char **arguments)
{
	must(count == 3, "usage: instructions inlined|called|tree|replay OPERATIONS");
	size_t operations = (size_t)atoll(arguments[2]);
	for (size_t i = 0; i < COUNT_OF_ARRAY(paths); i++) {
		if (strcmp(arguments[1], paths[i].name) != 0)
			continue;
		paths[i].set_up(operations);
		run_measured(&paths[i], operations);
		return 0;
	}
	must(0, "no such path");
	return 1;
}
