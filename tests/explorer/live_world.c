/* SPDX-License-Identifier: MIT */
#include "live_world.h"

#include <string.h>

iova_live *live;
struct iova_domain *domain;
uint64_t frames;
enum iova_status result[MAX_THREADS];

static unsigned owner[PFNS + 1];	     /* of each pfn: 1 + the owner's id; 0: nobody */
static uint64_t held[MAX_THREADS + 1][PFNS]; /* pfns of each owner, as a stack */
static unsigned held_count[MAX_THREADS + 1];

/* --------------------------------------------------------------------------- names */

enum { RANK_DRAIN = 1, RANK_FIRST, RANK_CPU, RANK_DEPOT, RANK_TREE, RANK_RING };

static struct object_name named(const char *name, unsigned index, unsigned rank)
{
	return (struct object_name){ name, index, rank };
}

static struct object_name name_by_cpu(const void *object, unsigned cpu)
{
	const struct cpu_cache *cache = cpu_cache_of(domain, cpu, 0);
	struct flush_ring *const *rings = live->queue.rings;
	const struct flush_ring *ring = rings ? rings[cpu] : NULL;
	if (object == &cache->lock)
		return named("CPU lock", cpu, RANK_CPU);
	if (object == &cache->used)
		return named("cache used", cpu, 0);
	if (object == &cache->loaded)
		return named("loaded", cpu, 0);
	if (rings && object == &rings[cpu])
		return named("ring", cpu, 0);
	if (ring && object == &ring->lock)
		return named("ring lock", cpu, RANK_RING);
	return named(NULL, 0, 0);
}

static struct object_name name_in_domain(const void *object)
{
	const struct rcache *rcache = &domain->rcache[0];
	if (object == &domain->drain_lock)
		return named("drain lock", 0, RANK_DRAIN);
	if (object == &domain->tree_lock)
		return named("tree lock", 0, RANK_TREE);
	if (object == &rcache->lock)
		return named("depot lock", 0, RANK_DEPOT);
	if (object == &rcache->job.due)
		return named("due", 0, 0);
	if (object == &rcache->job.order)
		return named("order", 0, 0);
	if (object == &domain->armings)
		return named("armings", 0, 0);
	if (object == &domain->earliest)
		return named("earliest", 0, 0);
	if (object == &domain->cpus_online)
		return named("CPUs online", 0, 0);
	if (object == &domain->magazines_peak)
		return named("most magazines", 0, 0);
	return named(NULL, 0, 0);
}

static struct object_name name_in_live(const void *object)
{
	const char *at = object;
	const char *marks = live->marks.root ? live->marks.root->node : NULL;
	if (object == &live->first)
		return named("first lock", 0, RANK_FIRST);
	if (object == &live->quick_frames)
		return named("quick", 0, 0);
	if (object == &live->closed)
		return named("closed", 0, 0);
	if (object == &live->budgeted)
		return named("budgeted", 0, 0);
	if (object == &live->bytes)
		return named("bytes", 0, 0);
	if (object == &live->flush_due)
		return named("flush due", 0, 0);
	if (object == &live->recorder)
		return named("recorder", 0, 0);
	if (object == &live->has_fixed)
		return named("has fixed", 0, 0);
	if (object == &live->queue.issued)
		return named("issued", 0, 0);
	if (object == &live->queue.finished)
		return named("finished", 0, 0);
	if (object == &live->marks.root)
		return named("marks", 0, 0);
	/* map_place() turned back: 65 * 4033 is 1 modulo 4096. */
	if (marks && at >= marks && at < marks + MAP_FANOUT)
		return named("mark", (unsigned)(at - marks) * 4033u % MAP_FANOUT, 0);
	return named(NULL, 0, 0);
}

struct object_name name_of(const void *object)
{
	struct object_name name = name_in_domain(object);
	if (!name.name)
		name = name_in_live(object);
	for (unsigned cpu = 0; cpu < EXPLORE_CPUS && !name.name; cpu++)
		name = name_by_cpu(object, cpu);
	return name;
}

/* ---------------------------------------------------------------------- ownership */

void own(unsigned id, uint64_t address)
{
	uint64_t pfn = address / FRAME;
	explore_require(address % FRAME == 0 && pfn >= 1 && pfn <= frames,
			"an address outside the window was handed out");
	explore_require(owner[pfn] == 0, "a range was handed to two owners");
	owner[pfn] = id + 1;
	held[id][held_count[id]++] = pfn;
}

uint64_t last_of(unsigned id)
{
	return held[id][held_count[id] - 1];
}

uint64_t disown(unsigned id)
{
	uint64_t pfn = held[id][--held_count[id]];
	explore_require(owner[pfn] == id + 1, "a range changed its owner");
	owner[pfn] = 0;
	return pfn * FRAME;
}

unsigned owned(void)
{
	unsigned sum = 0;
	for (unsigned id = 0; id <= MAX_THREADS; id++)
		sum += held_count[id];
	return sum;
}

enum iova_status try_take_below(unsigned id, uint64_t limit)
{
	uint64_t address;
	enum iova_status status = iova_live_alloc(live, FRAME, limit, 0, &address);
	if (status == IOVA_OK)
		own(id, address);
	return status;
}

enum iova_status try_take(unsigned id)
{
	return try_take_below(id, ANYWHERE);
}

void take(unsigned id)
{
	explore_require(try_take(id) == IOVA_OK, "no space, though a range was free all the time");
}

void give(unsigned id)
{
	explore_require(iova_live_free(live, disown(id), FRAME) == IOVA_OK,
			"the free of a live range failed");
}

void take_many(unsigned n)
{
	while (n-- > 0)
		take(SCENARIO);
}

void give_many(uint32_t cpu, unsigned n)
{
	explore_set_cpu(cpu);
	while (n-- > 0)
		give(SCENARIO);
	explore_set_cpu(0);
}

void hand_over(unsigned id, unsigned n)
{
	while (n-- > 0)
		own(id, disown(SCENARIO));
}

void flush_caches(void)
{
	explore_require(iova_live_flush_caches(live) == IOVA_OK, "the caches were not flushed");
}

/* ------------------------------------------------------------------ making, checking */

void make(struct shape shape)
{
	const uint64_t params[IOVA_MAX_PARAMS] = { 100, shape.threshold, 1, 1 };
	const struct iova_span window = { FRAME, FRAME * (1 + shape.frames) - 1 };
	const struct iova_live_config config = {
		.windows = &window,
		.window_count = 1,
		.design = shape.design,
		.params = shape.design ? NULL : params,
		.classes = 1,
		.cpus = EXPLORE_CPUS,
		.budget = shape.budget,
		.unchecked = shape.unchecked,
		.on_flush = shape.on_flush,
		.memory = &explore_memory,
	};
	frames = shape.frames;
	memset(owner, 0, sizeof(owner));
	memset(held_count, 0, sizeof(held_count));
	explore_require(iova_live_open(&config, &live) == IOVA_OK, "no domain");
	domain = live->domain;
}

void make_with_cached(struct shape shape, unsigned cached, unsigned threads)
{
	make(shape);
	take_many(cached + threads);
	give_many(0, cached);
	for (unsigned id = 0; id < threads; id++)
		hand_over(id, 1);
}

void destroy(void)
{
	iova_live_destroy(live);
	explore_require(explore_memory_held() == 0, "memory was leaked");
}

void end(void)
{
	struct iova_live_stats stats;
	const char *fault = iova_check(domain);
	explore_require(!fault, fault);
	explore_require(iova_live_read(live, &stats) == IOVA_OK, "no statistics");
	explore_require(stats.live == owned(), "a range was lost");
	explore_require(stats.totals.warnings == 0, "a range was freed twice");
	flush_caches();
	explore_require(iova_live_read(live, &stats) == IOVA_OK && stats.cached == 0 &&
				stats.free_bytes == (frames - owned() - stats.deferred) * FRAME,
			"a cache kept a range");
	destroy();
}
