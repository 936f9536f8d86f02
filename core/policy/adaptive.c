/* SPDX-License-Identifier: MIT */
/*
 * adaptive: a design of ours that tunes itself. It has one price for everything, the time
 * for which a cached page may lie unused if that saves one trip to the tree or to the
 * depot, and weighs with it what it has seen each size class do.
 *
 * What it decides, for each size class, whose ranges have 2^k pages:
 *
 * - Idle. A range of 2^k pages that nobody needed for patience / 2^k has cost more than
 *   its next allocation from the tree. What the depot never dipped below for so long is
 *   given back (the working set of Bonwick and Adams, "Magazines and Vmem", section 3.4, with
 *   an interval that follows from the size), and so are the magazines of a CPU that made no
 *   call for so long (what Zhen Lei asked for in 2019). So what is cached is bounded by what
 *   was in flight at once during that time and by what busy CPUs hold. Waiting until the cost
 *   of having waited equals that of acting is at most twice as dear as knowing the future:
 *   Karlin et al., "Competitive snoopy caching", 1988.
 * - Regret. Where a quarter of a class's allocations take from the tree what was given back
 *   before, the price is no longer the point: somebody releases all and wants it again, time
 *   after time. Then what is cached is kept for longer than the gap that was seen, up to
 *   LONGEST_NS, and for half as long each time that turns out to be in vain.
 * - Magazine size. A busy CPU holds about one magazine of m ranges on average, and goes to
 *   the depot once in m calls or less often. The sum of both costs is least where they are
 *   equal, so m grows where exchanges cost twice what the pages held do, and shrinks where
 *   they cost less than two fifths. What counts is what was spent already, with a memory of a
 *   second: one burst does not make a magazine grow that then lies about.
 * - When to look. After LOOK_NS while anything is held, as nothing changes much sooner;
 *   never while nothing is held.
 *
 * The tree's lock is held for one range at a time (HOLD): no hold is longer than the one that
 * an allocation from the tree needs anyway. The tree's index is used for its price in the lab,
 * and magazines are made at first use.
 *
 * The numbers come from the simulated machine and the real traces, docs/findings/adaptive.md.
 */
#include "policy.h"

#define FIRST_LOOK_NS (5 * NS_PER_MS)
#define LOOK_NS (20 * NS_PER_MS)
#define SECOND_NS (1000 * NS_PER_MS)
#define LONGEST_NS (60 * SECOND_NS)
#define HOLD 1u
#define FIRST_ENTRIES 7u
/* One regret in so many allocations makes it keep longer; both are counted to this number. */
#define REGRETS 4u
#define REMEMBERED 65536u
/* So many busy CPUs double the cost of an exchange. */
#define FAR_CPUS 64u
/* Exchanges are counted in fractions of this. */
#define UNIT UINT64_C(4096)

enum { PATIENCE, EXCHANGE, MOST };

static const struct iova_param params[] = {
	[PATIENCE] = { "patience_ms", "page ms", "a page may lie unused to save a tree operation",
		       1, 3600000, 4000, NULL },
	[EXCHANGE] = { "exchange_ms", "page ms", "a page may be held to save a depot exchange", 1,
		       3600000, 600, NULL },
	[MOST] = { "most", "entries", "of a magazine, rounded down to 2**n - 1", IOVA_MAGAZINE_LEAST,
		   IOVA_MAGAZINE_MOST, 127, NULL },
};

struct seen_class {
	uint64_t looked, scanned; /* when; 0: never */
	uint64_t moved;		  /* magazines into and out of the depot, at the last look */
	uint64_t spent;	     /* exchanges a busy CPU made in the last second or so, in UNITs */
	uint64_t low, low_before; /* shortest depot in this half of the patience, and in the last */
	bool half;		  /* a whole half lies behind us */
	uint64_t active;	  /* when a scan last found a CPU that had called */
	uint64_t keep_ns;	  /* patience that regret has taught; 0: none */
	uint64_t freed, missed;	  /* ranges to and from the tree, at the last scan */
	uint64_t gone;		  /* of those freed, not missed yet */
	uint64_t allocated, regretted; /* since creation, old ones counting less */
	uint64_t served;	       /* by caches, at the last scan */
	uint32_t busy;		  /* CPUs that called since the scan before the last */
	uint32_t holding;	  /* CPUs with magazines */
};

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values, (void)config;
	mechanism->arm_delay_ns = FIRST_LOOK_NS;
	mechanism->arm_by_growth = true;
	mechanism->magazines_at_first_use = true;
	mechanism->unbound = true;
	mechanism->indexed = true;
	mechanism->magazine = FIRST_ENTRIES;
	mechanism->tree_batch = HOLD;
}

static uint64_t patience_ns(const struct seen_class *seen, const uint64_t *values,
			    uint32_t size_class)
{
	uint64_t patience = (values[PATIENCE] * NS_PER_MS) >> size_class;
	if (patience < LOOK_NS / 2)
		patience = LOOK_NS / 2;
	return patience < seen->keep_ns ? seen->keep_ns : patience;
}

/* Is what was given back wanted again? Then how long would it have had to be kept? */
static void learn_from_regret(struct seen_class *seen, const struct iova_view *view,
			      uint64_t served)
{
	uint64_t missed = view->tree_allocated - seen->missed;
	uint64_t regretted = missed < seen->gone ? missed : seen->gone;
	uint64_t gap = view->now - seen->active;
	seen->allocated += missed + served - seen->served;
	seen->regretted += regretted;
	if (regretted && REGRETS * seen->regretted > seen->allocated && gap < LONGEST_NS) {
		uint64_t longer = gap + gap / 4;
		seen->keep_ns = longer > seen->keep_ns ? longer : seen->keep_ns;
	}
	seen->gone += view->tree_freed - seen->freed - regretted;
	seen->freed = view->tree_freed;
	seen->missed = view->tree_allocated;
	seen->served = served;
	if (seen->allocated > REMEMBERED) {
		seen->allocated /= 2;
		seen->regretted /= 2;
	}
}

/* Which CPUs are busy, and which were idle for so long that they give back what they hold. */
static void scan_cpus(struct seen_class *seen, const struct iova_view *view, uint64_t patience,
		      struct iova_decision *decision)
{
	struct seen_cpu *cpus = view->cpu_state;
	uint32_t busy = 0;
	uint64_t served = 0;
	seen->holding = 0;
	for (uint32_t cpu = 0; cpu < view->cpus_possible; cpu++) {
		struct iova_cpu_view cache = iova_read_cpu(view->domain, cpu, view->size_class);
		bool holds = cache.has_loaded || cache.has_previous;
		served += cache.hits_loaded + cache.hits_previous + cache.hits_depot;
		if (cpu_has_called(&cpus[cpu], &cache, view->now)) {
			busy++;
		} else if (holds && view->now - cpus[cpu].since >= patience - patience / 8) {
			decision->trim[decision->trim_count++] = cpu;
			holds = false;
		}
		seen->holding += holds;
	}
	learn_from_regret(seen, view, served);
	if (busy) {
		seen->busy = busy;
		seen->active = view->now;
	}
}

/* What nobody needed for two halves of the patience is surplus. */
static void release_surplus(struct seen_class *seen, const struct iova_view *view,
			    struct iova_decision *decision)
{
	if (seen->half)
		decision->release = seen->low < seen->low_before ? seen->low : seen->low_before;
	seen->low_before = seen->low - decision->release;
	seen->low = view->depot - decision->release;
	seen->half = true;
}

static void note_exchanges(struct seen_class *seen, const struct iova_view *view)
{
	uint64_t moved = view->pushed + view->popped;
	uint64_t passed = view->now - seen->looked;
	/* W / (W + t): close to exp(-t / W) where t is short, and right where it is long. */
	uint64_t left = SECOND_NS * UNIT / (SECOND_NS + passed);
	seen->spent = seen->spent * left / UNIT + (moved - seen->moved) * UNIT / seen->busy;
	seen->moved = moved;
	seen->looked = view->now;
}

/* The size at which holding a magazine costs about what exchanging it does. */
static uint32_t best_size(struct seen_class *seen, const uint64_t *values, uint32_t entries,
			  uint32_t size_class)
{
	/* Of an exchange, in page ms. */
	uint64_t price = values[EXCHANGE] + values[EXCHANGE] * seen->busy / FAR_CPUS;
	for (;;) {
		uint64_t held = ((uint64_t)entries << size_class) * 1000 * UNIT;
		uint64_t spent = seen->spent * price;
		if (spent > 2 * held && 2 * entries < values[MOST]) {
			seen->spent /= 2;
			entries = 2 * entries + 1;
		} else if (spent < held * 2 / 5 && entries > IOVA_MAGAZINE_LEAST) {
			seen->spent *= 2;
			entries /= 2;
		} else {
			return entries;
		}
	}
}

static void look(const struct iova_design *design, void *state, const uint64_t *values,
		 const struct iova_view *view, struct iova_decision *decision)
{
	(void)design;
	struct seen_class *seen = state;
	uint64_t patience = patience_ns(seen, values, view->size_class), half = patience / 2;
	bool first = !seen->busy;
	if (first) {
		*seen = (struct seen_class){ .busy = 1, .holding = 1, .spent = view->magazine * UNIT };
		seen->looked = view->now - FIRST_LOOK_NS;
	}
	if (view->depot_low < seen->low)
		seen->low = view->depot_low;
	if (view->now - seen->scanned >= half - half / 16 || !seen->scanned) {
		scan_cpus(seen, view, patience, decision);
		release_surplus(seen, view, decision);
		seen->scanned = view->now;
	}
	if (first || view->now - seen->looked >= LOOK_NS - LOOK_NS / 8) {
		note_exchanges(seen, view);
		decision->magazine = best_size(seen, values, view->magazine, view->size_class);
	}
	/* A full magazine of a CPU that gives back goes to the depot. */
	if (!seen->holding && !decision->trim_count && view->depot <= decision->release) {
		seen->keep_ns /= 2; /* nobody came for it */
		return;
	}
	uint64_t left = seen->scanned + half - view->now;
	decision->again_ns = left < LOOK_NS ? left : LOOK_NS;
}

const struct iova_design design_adaptive = {
	.name = "adaptive",
	.summary = "tunes magazine size, idle time and rate from the demand it sees (ours)",
	.params = params,
	.param_count = COUNT_OF(params),
	.setup = setup,
	.look = look,
	.state_size = sizeof(struct seen_class),
	.cpu_state_size = sizeof(struct seen_cpu),
};
