/* SPDX-License-Identifier: MIT */
/* What a design may choose beside the depot's bound: sizes of magazines, lists, lock holds. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "domain.h"

#define MS UINT64_C(1000000)

static struct test_memory memory;
static struct iova_mechanism wanted;  /* of the design below */
static struct iova_decision decision; /* likewise */
static uint64_t looks, seen_by_cpu_1;
static struct iova_view seen;
static uint64_t pfn[4096];

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	(void)design, (void)values;
	CHECK_EQ(mechanism->depot_max, UINT64_MAX);
	CHECK_EQ(config->cpus_possible, 2);
	*mechanism = wanted;
}

static void look(const struct iova_design *design, void *state, const uint64_t *values,
		 const struct iova_view *view, struct iova_decision *result)
{
	(void)design, (void)values;
	uint64_t *by_cpu = view->cpu_state;
	CHECK((char *)by_cpu >= (char *)state + sizeof(uint64_t));
	by_cpu[0] += 1;
	by_cpu[1] += 2;
	seen_by_cpu_1 = by_cpu[1];
	seen = *view;
	looks++;
	result->magazine = decision.magazine;
	result->release = decision.release;
}

static const struct iova_design chosen = {
	.name = "chosen",
	.summary = "what the test wants",
	.setup = setup,
	.look = look,
	.state_size = sizeof(uint64_t),
	.cpu_state_size = sizeof(uint64_t),
};

static iova_domain *domain_with(struct iova_mechanism mechanism)
{
	test_memory_init(&memory);
	memset(&decision, 0, sizeof(decision));
	looks = seen_by_cpu_1 = 0;
	wanted = mechanism;
	if (!wanted.depot_max)
		wanted.depot_max = UINT64_MAX;
	return make_domain(&memory,
			   (struct shape){ .custom = &chosen, .possible = 2, .online = 2 });
}

static void free_some(iova_domain *domain, uint32_t cpu, uint64_t n, uint64_t now)
{
	alloc_many(domain, cpu, 1, n, pfn);
	free_many(domain, cpu, 1, n, pfn, now);
}

static void magazines_hold_what_the_design_says(void)
{
	iova_domain *domain = domain_with((struct iova_mechanism){ .magazine = 7 });
	free_some(domain, 0, 3 * 7, 0);
	CHECK_EQ(iova_read_cpu(domain, 0, 0).loaded, 7);
	CHECK_EQ(iova_read_cpu(domain, 0, 0).previous, 7);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 1);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 3 * 7);
	struct iova_totals totals = iova_read_totals(domain);
	CHECK_EQ(totals.magazine_bytes, totals.magazines * 64);
	end_domain(&memory, domain);
}

static void a_capacity_that_is_none_is_refused(void)
{
	static const uint32_t none[] = { 1, 2, 5, 8, 126, 128, 2047, UINT32_MAX };
	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		wanted = (struct iova_mechanism){ .depot_max = 1, .magazine = none[i] };
		struct shape shape = { .custom = &chosen, .possible = 2, .online = 2 };
		uint64_t params[IOVA_MAX_PARAMS];
		test_memory_init(&memory);
		struct iova_config config = config_of(&memory, &shape, params);
		iova_domain *domain = NULL;
		CHECK_EQ(iova_create(&config, &domain), IOVA_INVALID);
		wanted = (struct iova_mechanism){ .classes = IOVA_MAX_CLASSES + 1 };
		CHECK_EQ(iova_create(&config, &domain), IOVA_INVALID);
		CHECK_EQ(test_memory_held(&memory), 0);
	}
}

static void a_design_may_want_more_classes(void)
{
	iova_domain *domain = domain_with((struct iova_mechanism){ .classes = 10 });
	uint64_t huge = iova_alloc(domain, 0, 512, LIMIT64, false);
	CHECK(huge != 0);
	iova_free(domain, 0, huge, 512, 0);
	CHECK_EQ(iova_read_counters(domain, 9).cached, 1);
	CHECK_EQ(iova_alloc(domain, 0, 300, LIMIT64, false), huge);
	end_domain(&memory, domain);
}

static void magazines_made_after_a_decision_have_the_new_capacity(void)
{
	iova_domain *domain =
		domain_with((struct iova_mechanism){ .magazine = 7, .arm_delay_ns = MS });
	free_some(domain, 0, 3 * 7, 0);
	decision.magazine = 31;
	CHECK_EQ(iova_run_due(domain, MS), 1);
	CHECK_EQ(seen.magazine, 7);
	CHECK_EQ(seen.depot_cached, 7);
	CHECK_EQ(seen.tree_allocated, 3 * 7);
	CHECK_EQ(seen.tree_freed, 0);
	/* Small ones go round with large ones, and each comes back as full as it went. */
	free_some(domain, 0, 2 * 7 + 31 + 31, MS);
	CHECK_SOUND(iova_check(domain));
	CHECK_EQ(cpu_cache_of(domain, 0, 0)->loaded->capacity, 31);
	alloc_many(domain, 1, 1, 7, pfn);
	CHECK_EQ(iova_read_counters(domain, 0).hits_depot > 0, true);
	free_many(domain, 1, 1, 7, pfn, MS);
	/* A number that is none changes nothing; neither does 0. */
	decision.magazine = 30;
	iova_run_class(domain, 0, 3 * MS);
	decision.magazine = 0;
	iova_run_class(domain, 0, 4 * MS);
	CHECK_EQ(seen.magazine, 31);
	CHECK_EQ(looks, 3);
	CHECK_EQ(seen_by_cpu_1, 6);
	end_domain(&memory, domain);
}

static void a_magazine_made_for_a_free_arms_the_job_if_the_design_wants_it(void)
{
	struct iova_mechanism mechanism = { .magazine = 7,
					    .arm_delay_ns = MS,
					    .magazines_at_first_use = true };
	iova_domain *domain = domain_with(mechanism);
	free_some(domain, 0, 1, 5);
	CHECK_EQ(iova_class_deadline(domain, 0), IOVA_NEVER);
	end_domain(&memory, domain);
	mechanism.arm_by_growth = true;
	domain = domain_with(mechanism);
	free_some(domain, 0, 1, 5);
	CHECK_EQ(iova_class_deadline(domain, 0), MS + 5);
	CHECK_EQ(iova_read_counters(domain, 0).armed, 0);
	end_domain(&memory, domain);
}

static void who_bails_gives_one_range_to_the_tree_and_moves_no_magazine(void)
{
	struct iova_mechanism mechanism = { .magazine = 7, .depot_max = 1, .bail = true };
	iova_domain *domain = domain_with(mechanism);
	free_some(domain, 0, 3 * 7, 0); /* all three are full */
	struct magazine *loaded = cpu_cache_of(domain, 0, 0)->loaded;
	alloc_many(domain, 1, 2, 1, pfn); /* of another class: nothing changes here */
	struct iova_range range;
	CHECK_EQ(iova_alloc_raw(domain, 1, LIMIT64, true, &range), IOVA_OK);
	iova_free(domain, 0, range.lo, 1, 0);
	CHECK(cpu_cache_of(domain, 0, 0)->loaded == loaded);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 3 * 7);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, 1);
	end_domain(&memory, domain);
	/* Who does not bail empties a magazine. */
	mechanism.bail = false;
	domain = domain_with(mechanism);
	free_some(domain, 0, 3 * 7 + 1, 0);
	CHECK_EQ(iova_read_counters(domain, 0).tree_frees, 7);
	end_domain(&memory, domain);
}

static void a_depot_with_two_lists_keeps_empty_magazines(void)
{
	iova_domain *domain =
		domain_with((struct iova_mechanism){ .magazine = 7, .empties_max = 1 });
	free_some(domain, 0, 4 * 7 + 1, 0);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 3);
	/* CPU 1 has two empty ones from the start; each exchange leaves one. */
	alloc_many(domain, 1, 1, 2 * 7, pfn);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 1);
	CHECK_EQ(iova_read_counters(domain, 0).depot_empties, 1);
	CHECK_SOUND(iova_check(domain));
	uint64_t made = iova_read_counters(domain, 0).magazines_allocated;
	free_many(domain, 1, 1, 2 * 7, pfn, 0);
	alloc_many(domain, 0, 2, 1, pfn + 14);
	CHECK_EQ(iova_read_counters(domain, 0).magazines_allocated, made);
	struct iova_range range;
	CHECK_EQ(iova_alloc_raw(domain, 1, LIMIT64, true, &range), IOVA_OK);
	iova_free(domain, 1, range.lo, 1, 0);
	CHECK_EQ(iova_read_counters(domain, 0).magazines_allocated, made);
	CHECK_EQ(iova_read_counters(domain, 0).depot_empties, 0);
	CHECK_EQ(iova_read_counters(domain, 0).depot, 2);
	/* Full caches flushed: nothing is kept. */
	iova_flush_caches(domain);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 0);
	end_domain(&memory, domain);
}

/* ---------------------------------------------------------------------- lock holds */

static uint64_t holds, longest, held_from;

static void acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	(void)cpu, (void)size_class;
	if (lock == IOVA_LOCK_TREE)
		held_from = (*(iova_domain **)context)->tree_counters[0].frees;
}

static void release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class)
{
	(void)cpu, (void)size_class;
	if (lock != IOVA_LOCK_TREE)
		return;
	uint64_t freed = (*(iova_domain **)context)->tree_counters[0].frees - held_from;
	holds += freed > 0;
	longest = freed > longest ? freed : longest;
}

static void a_magazine_is_emptied_in_holds_of_the_size_the_design_wants(void)
{
	iova_domain *domain = NULL;
	const struct iova_lock_hooks hooks = { acquire, release, &domain };
	test_memory_init(&memory);
	wanted = (struct iova_mechanism){ .depot_max = UINT64_MAX,
					  .magazine = 15,
					  .arm_delay_ns = MS,
					  .tree_batch = 4 };
	struct shape shape = { .custom = &chosen, .possible = 2, .online = 2, .locks = &hooks };
	uint64_t params[IOVA_MAX_PARAMS];
	struct iova_config config = config_of(&memory, &shape, params);
	CHECK_EQ(iova_create(&config, &domain), IOVA_OK);
	CHECK_EQ(iova_make_caches(domain), IOVA_OK);
	free_some(domain, 0, 4 * 15, 0);
	holds = longest = 0;
	decision.release = 1;
	iova_run_class(domain, 0, MS);
	CHECK_EQ(holds, 4);
	CHECK_EQ(longest, 4);
	iova_flush_caches(domain);
	CHECK_EQ(longest, 4);
	CHECK_EQ(iova_read_counters(domain, 0).cached, 0);
	end_domain(&memory, domain);
}

int main(void)
{
	TEST(magazines_hold_what_the_design_says);
	TEST(a_capacity_that_is_none_is_refused);
	TEST(a_design_may_want_more_classes);
	TEST(magazines_made_after_a_decision_have_the_new_capacity);
	TEST(a_magazine_made_for_a_free_arms_the_job_if_the_design_wants_it);
	TEST(who_bails_gives_one_range_to_the_tree_and_moves_no_magazine);
	TEST(a_depot_with_two_lists_keeps_empty_magazines);
	TEST(a_magazine_is_emptied_in_holds_of_the_size_the_design_wants);
	return 0;
}
