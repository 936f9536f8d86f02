/* SPDX-License-Identifier: MIT */
/* Allocation and free against what moves magazines: depot, job, CPU offline, trim, flush. */
#include "live_world.h"

/* ------------------------------------------------------ allocation, free, the depot */

/* CPU 0: two full magazines; depot: one; CPU 1: nothing. */
static void begin_exchange(void)
{
	make_with_cached((struct shape){ .frames = 16, .threshold = 4 }, 3 * FULL, 3);
	explore_require(domain->rcache[0].depot.length == 1, "the depot is not as meant");
}

static void thread_exchange(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0) {
		give(id); /* a full magazine goes to the depot */
		take(id);
	} else {
		take(id); /* a full magazine comes from the depot */
		give(id);
		give(id);
	}
}

static const struct scenario exchange = {
	"exchange", "alloc and free on two CPUs that exchange magazines", false, 2,
	begin_exchange, thread_exchange, end, NULL, name_of,
};

static void thread_last_magazine(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0) {
		give(id);
	} else {
		explore_set_cpu(1);
		take(id); /* two of them, and one magazine in the depot */
		give(id);
	}
}

static const struct scenario last_magazine = {
	"last-magazine", "a depot's last magazine is wanted twice while one is pushed", false, 3,
	begin_exchange, thread_last_magazine, end, NULL, name_of,
};

static void thread_one_cpu(unsigned id)
{
	give(id);
	take(id);
}

static const struct scenario one_cpu = {
	"one-cpu", "two threads of one CPU: one may lose it while it holds the lock", false, 2,
	begin_exchange, thread_one_cpu, end, NULL, name_of,
};

static void begin_unchecked(void)
{
	struct shape shape = { .frames = 16, .threshold = 4, .unchecked = true };
	make_with_cached(shape, 3 * FULL, 3);
}

static const struct scenario unchecked = {
	"unchecked", "alloc and free on two CPUs of an unchecked domain", false, 2,
	begin_unchecked, thread_exchange, end, NULL, name_of,
};

/* Whole magazines at a time: four, of which the loaded one can serve three. */
static void thread_many(unsigned id)
{
	uint64_t addresses[4];
	explore_set_cpu(id);
	explore_require(iova_live_alloc_many(live, 4, FRAME, ANYWHERE, addresses) == IOVA_OK,
			"no space for many");
	for (unsigned i = 0; i < 4; i++)
		own(id, addresses[i]);
	for (unsigned i = 0; i < 4; i++)
		addresses[i] = disown(id);
	explore_require(iova_live_free_many(live, 4, addresses, FRAME, NULL) == IOVA_OK,
			"the free of many failed");
}

static const struct scenario many = {
	"many", "alloc_many and free_many on two CPUs", false, 2,
	begin_exchange, thread_many, end, NULL, name_of,
};

/* ------------------------------------------------------------ the job against the rest */

#define THRESHOLD 1u
static uint64_t depot_before;

/* Two magazines in the depot, the job armed, CPU 0 with two full ones. */
static void begin_reclaim(void)
{
	make_with_cached((struct shape){ .frames = 16, .threshold = THRESHOLD }, 4 * FULL, 3);
	depot_before = domain->rcache[0].depot.length;
	explore_require(depot_before == 2, "the depot is not as meant");
}

/* The job takes nothing from a depot that holds no more than it is to keep. */
static void watch_reclaim(unsigned id)
{
	uint64_t length = domain->rcache[0].depot.length;
	explore_require(id != 2 || length >= depot_before || length >= THRESHOLD,
			"the job took a magazine that it was to leave");
	depot_before = length;
}

static void run_job(void)
{
	explore_set_time(100 * MS);
	explore_reclaim();
}

static void thread_reclaim(unsigned id)
{
	explore_set_cpu(id & 1);
	if (id == 0)
		give(id); /* pushes */
	else if (id == 1)
		take(id); /* pops */
	else
		run_job();
}

/* What the push armed is run some day. */
static void end_reclaim(void)
{
	uint64_t due = iova_class_deadline(domain, 0);
	explore_require(due != IOVA_NEVER, "a push did not arm the job");
	explore_require(iova_next_deadline(domain) <= due, "an armed job will not be run");
	end();
}

static const struct scenario reclaim = {
	"reclaim", "the job against a free that pushes and an allocation that pops", false, 3,
	begin_reclaim, thread_reclaim, end_reclaim, watch_reclaim, name_of,
};

/*
 * Every frame is cached or owned. The job empties one of the two magazines of the depot,
 * which nobody else may be told is not there.
 */
static void begin_reclaim_exhausted(void)
{
	make_with_cached((struct shape){ .frames = 4 * FULL, .threshold = 0 }, 4 * FULL, 0);
}

static void thread_reclaim_exhausted(unsigned id)
{
	explore_set_cpu(1);
	if (id == 1) {
		run_job();
	} else {
		/* The depot's magazines first, and then what is left of the space. */
		for (unsigned i = 0; i < 4 * FULL; i++)
			take(id);
	}
}

static const struct scenario reclaim_exhausted = {
	"exhausted-reclaim", "the last ranges are wanted while the job has some in its hand",
	false, 2, begin_reclaim_exhausted, thread_reclaim_exhausted, end, NULL, name_of,
};

/* ---------------------------------------------------------------- CPU offline, trim */

static void begin_offline(void)
{
	make_with_cached((struct shape){ .frames = 16, .threshold = 4 }, FULL, 3);
	take_many(FULL);
	give_many(1, FULL);
}

/* The live domain has no call for it; the domain inside it has. */
static void thread_offline(unsigned id)
{
	if (id == 0) {
		explore_require(iova_cpu_offline(domain, 1) == 1, "the CPU is still online");
	} else if (id == 1) {
		explore_set_cpu(1); /* goes away meanwhile; its last free comes late */
		give(id);
		take(id);
	} else {
		give(id);
		take(id);
	}
}

static void end_offline(void)
{
	iova_cpu_online(domain, 1);
	end();
}

static const struct scenario offline = {
	"offline", "a CPU goes offline against alloc and free on it and another", false, 3,
	begin_offline, thread_offline, end_offline, NULL, name_of,
};

static void set_up_trim(const struct iova_design *design, const uint64_t *values,
			const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values, (void)config;
	*mechanism = (struct iova_mechanism){
		.depot_max = 4, .arm_delay_ns = MS, .magazines_at_first_use = true
	};
}

/* Give the magazines of CPU 1 back. */
static void look_trim(const struct iova_design *design, void *state, const uint64_t *values,
		      const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	(void)state;
	(void)values;
	(void)view;
	decision->trim[0] = 1;
	decision->trim_count = 1;
}

static const struct iova_design trim_design = {
	.name = "trim CPU 1",
	.summary = "gives the magazines of CPU 1 back at every look",
	.setup = set_up_trim,
	.look = look_trim,
};

/* Of CPU 1 one magazine is full and one is not; a push has armed the job. */
static void begin_trim(void)
{
	make_with_cached((struct shape){ .frames = 16, .design = &trim_design }, 3 * FULL, 3);
	take_many(FULL + 1);
	give_many(1, FULL + 1);
}

static void thread_trim(unsigned id)
{
	explore_set_cpu(1);
	if (id == 0) {
		run_job();
	} else if (id == 1) {
		give(id);
		take(id);
	} else {
		flush_caches();
	}
}

static const struct scenario trim = {
	"trim", "a CPU's magazines are trimmed while it uses them and all are flushed", false, 3,
	begin_trim, thread_trim, end, NULL, name_of,
};

/* ------------------------------------------------------------------ flush of caches */

/* Every frame is in a magazine or in the depot: nothing in the tree to hand out. */
static void begin_flush(void)
{
	make_with_cached((struct shape){ .frames = 3 * FULL, .threshold = 4 }, 3 * FULL, 0);
}

static void thread_flush(unsigned id)
{
	explore_set_cpu(id & 1);
	if (id == 0)
		flush_caches();
	else
		take(id);
}

static const struct scenario flush = {
	"flush", "flush of caches against allocations on two CPUs", false, 3,
	begin_flush, thread_flush, end, NULL, name_of,
};

static void thread_two_flushes(unsigned id)
{
	(void)id;
	flush_caches();
}

static void end_two_flushes(void)
{
	explore_require(iova_live_counters(live, 0).cached == 0, "a cache was not emptied");
	end();
}

static const struct scenario two_flushes = {
	"two-flushes", "two flushes of all caches at a time", false, 2,
	begin_flush, thread_two_flushes, end_two_flushes, NULL, name_of,
};

static void begin_flush_free(void)
{
	make_with_cached((struct shape){ .frames = 16, .threshold = 4 }, 2 * FULL, 2);
}

static void thread_flush_free(unsigned id)
{
	if (id == 0) {
		flush_caches();
	} else {
		give(id); /* pushes, if the flush was not here */
		take(id);
	}
}

static const struct scenario flush_free = {
	"flush-free", "flush of caches against a free that pushes a magazine", false, 2,
	begin_flush_free, thread_flush_free, end, NULL, name_of,
};

/* ----------------------------------------------- no space, but only if there is none */

/* All that is free is in the magazines of CPU 0. */
static void begin_exhausted(void)
{
	make_with_cached((struct shape){ .frames = FULL, .threshold = 4 }, FULL, 0);
}

/* More frames than threads, and none is freed: nobody may be told that there is none. */
static void thread_exhausted(unsigned id)
{
	explore_set_cpu(1);
	take(id);
}

static const struct scenario exhausted = {
	"exhausted", "two allocations when every free range is cached elsewhere", false, 2,
	begin_exhausted, thread_exhausted, end, NULL, name_of,
};

static const struct scenario exhausted_flush = {
	"exhausted-flush", "the same against a flush that has the ranges in its hand", false, 3,
	begin_exhausted, thread_flush, end, NULL, name_of,
};

/* Three frames, in a magazine of the depot, with frame 1 on top. */
static void begin_pop(void)
{
	make((struct shape){ .frames = FULL, .threshold = 4 });
	take_many(FULL);
	for (unsigned i = 0; i < FULL; i++)
		(void)disown(SCENARIO);
	for (unsigned i = 1; i <= FULL; i++)
		own(SCENARIO, i * FRAME);
	give_many(0, FULL);
	rcache_trim_cpu(domain, 0, 0);
}

/* Frames 2 and 3 are free all the time, but on their way from the depot to a CPU. */
static void thread_pop(unsigned id)
{
	uint64_t address;
	explore_set_cpu(id);
	if (id == 0)
		explore_require(try_take_below(id, 2 * FRAME - 1) == IOVA_OK,
				"no space, though the lowest frame was free all the time");
	else
		explore_require(iova_live_alloc(live, 2 * FRAME, ANYWHERE, 0, &address) ==
						IOVA_OK &&
					address == 2 * FRAME,
				"no space, though two frames were free all the time");
}

static void end_pop(void)
{
	explore_require(iova_live_free(live, 2 * FRAME, 2 * FRAME) == IOVA_OK, "no free");
	end();
}

static const struct scenario exhausted_pop = {
	"exhausted-pop", "an allocation that needs a flush against a pop from the depot", false, 2,
	begin_pop, thread_pop, end_pop, NULL, name_of,
};

const struct scenario *const cache_scenarios[] = {
	&exchange, &last_magazine, &one_cpu,	 &unchecked, &many,	 &reclaim,
	&offline,  &trim,	   &flush,	 &two_flushes, &flush_free,
	&exhausted, &reclaim_exhausted, &exhausted_flush, &exhausted_pop, NULL,
};
