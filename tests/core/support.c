/* SPDX-License-Identifier: MIT */
#include "support.h"

char check_context[160];

/* ------------------------------------------------------------------------- memory */

/* Stands before each block. */
struct block_head {
	size_t size;
	enum iova_memory_kind kind;
	uint64_t magic;
};

#define HEAD_BYTES 64u
#define TAIL_BYTES 64u
#define MAGIC UINT64_C(0x1d0a5b10c4)
#define FRESH 0xA5
#define STALE 0x5A
#define TAIL 0xEE

static bool is_refused(struct test_memory *memory, uint64_t *refuse_next)
{
	bool refused = ++memory->questions == memory->refuse_at;
	if (!refused && *refuse_next > 0) {
		--*refuse_next;
		refused = true;
	}
	memory->refusals += refused;
	return refused;
}

static void *allocate(void *context, enum iova_memory_kind kind, size_t size, size_t alignment)
{
	struct test_memory *memory = context;
	CHECK(size > 0 && alignment <= HEAD_BYTES && (alignment & (alignment - 1)) == 0);
	bool asked = !memory->paused && !memory->kind_is_exempt[kind];
	if (asked && is_refused(memory, &memory->refuse_next[kind]))
		return NULL;
	size_t padded = (size + HEAD_BYTES - 1) / HEAD_BYTES * HEAD_BYTES;
	unsigned char *raw = aligned_alloc(HEAD_BYTES, HEAD_BYTES + padded + TAIL_BYTES);
	CHECK(raw != NULL);
	*(struct block_head *)(void *)raw = (struct block_head){ size, kind, MAGIC };
	memset(raw + HEAD_BYTES, kind == IOVA_MEMORY_CACHES ? 0 : FRESH, size);
	memset(raw + HEAD_BYTES + size, TAIL, padded - size + TAIL_BYTES);
	memory->blocks[kind]++;
	return raw + HEAD_BYTES;
}

static void release(void *context, enum iova_memory_kind kind, void *block, size_t size)
{
	struct test_memory *memory = context;
	unsigned char tail[TAIL_BYTES];
	memset(tail, TAIL, sizeof(tail));
	CHECK(block != NULL);
	unsigned char *raw = (unsigned char *)block - HEAD_BYTES;
	struct block_head *head = (struct block_head *)(void *)raw;
	CHECK_EQ(head->magic, MAGIC);
	CHECK_EQ(head->size, size);
	CHECK_EQ(head->kind, kind);
	CHECK(memcmp(raw + HEAD_BYTES + size, tail, TAIL_BYTES) == 0);
	CHECK(memory->blocks[kind] > 0);
	memory->blocks[kind]--;
	head->magic = 0;
	memset(block, STALE, size);
	free(raw);
}

static bool admit_range(void *context)
{
	struct test_memory *memory = context;
	return memory->paused || !is_refused(memory, &memory->refuse_records);
}

void test_memory_init(struct test_memory *memory)
{
	*memory = (struct test_memory){
		.table = { allocate, release, admit_range, memory },
	};
}

uint64_t test_memory_held(const struct test_memory *memory)
{
	uint64_t sum = 0;
	for (unsigned kind = 0; kind < IOVA_MEMORY_KINDS; kind++)
		sum += memory->blocks[kind];
	return sum;
}

/* ------------------------------------------------------------------------- domains */

static void set_param(const struct iova_design *design, const struct param_setting *setting,
		      uint64_t *params)
{
	uint32_t i = 0;
	while (i < design->param_count && strcmp(design->params[i].name, setting->name) != 0)
		i++;
	CHECK(i < design->param_count); /* the design has such a parameter */
	params[i] = setting->value;
}

struct iova_config config_of(struct test_memory *memory, const struct shape *shape,
			     uint64_t params[IOVA_MAX_PARAMS])
{
	const struct iova_design *design = shape->custom;
	if (!design)
		design = iova_design_named(shape->design ? shape->design : "linux-6.12");
	CHECK(design != NULL);
	for (uint32_t i = 0; i < design->param_count; i++)
		params[i] = design->params[i].initial;
	for (size_t i = 0; i < COUNT_OF_ARRAY(shape->params) && shape->params[i].name; i++)
		set_param(design, &shape->params[i], params);
	uint32_t possible = shape->possible ? shape->possible : 4;
	return (struct iova_config){
		.granule = shape->granule ? shape->granule : 4096,
		.start_pfn = shape->start_at_zero ? 0 : (shape->start ? shape->start : 1),
		.cpus_possible = possible,
		.cpus_online = shape->online ? shape->online : possible,
		.classes = shape->classes ? shape->classes : IOVA_DEFAULT_CLASSES,
		.design = design,
		.params = params,
		.memory = &memory->table,
		.locks = shape->locks,
		.count_steps = shape->count_steps,
	};
}

iova_domain *make_domain(struct test_memory *memory, struct shape shape)
{
	uint64_t params[IOVA_MAX_PARAMS];
	struct iova_config config = config_of(memory, &shape, params);
	iova_domain *domain = NULL;
	CHECK_EQ(iova_create(&config, &domain), IOVA_OK);
	if (!shape.without_caches)
		CHECK_EQ(iova_make_caches(domain), IOVA_OK);
	return domain;
}

void end_domain(struct test_memory *memory, iova_domain *domain)
{
	CHECK_SOUND(iova_check(domain));
	iova_destroy(domain);
	CHECK_EQ(test_memory_held(memory), 0);
}

void alloc_many(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t n, uint64_t *pfn)
{
	for (uint64_t i = 0; i < n; i++) {
		pfn[i] = iova_alloc(domain, cpu, size, LIMIT64, false);
		CHECK(pfn[i] != 0);
	}
}

void free_many(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t n, const uint64_t *pfn,
	       uint64_t now)
{
	for (uint64_t i = 0; i < n; i++)
		iova_free(domain, cpu, pfn[i], size, now);
}

void fill_depot(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t magazines,
		uint64_t now)
{
	uint64_t n = (magazines + 1) * FULL + 1;
	uint64_t *pfn = malloc(n * sizeof(*pfn));
	CHECK(pfn != NULL);
	alloc_many(domain, cpu, size, n, pfn);
	free_many(domain, cpu, size, n, pfn, now);
	free(pfn);
}

void cache_pfn(iova_domain *domain, uint32_t cpu, uint64_t pfn)
{
	CHECK_EQ(iova_reserve(domain, pfn, pfn, NULL), IOVA_OK);
	iova_free(domain, cpu, pfn, 1, 0);
}

/* -------------------------------------------------------------------------- random */

uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t n)
{
	return random_next(random) % n;
}

uint64_t random_bits(struct random *random, unsigned bits)
{
	uint64_t n = random_below(random, (uint64_t)bits + 1);
	return n ? random_next(random) >> (64 - n) : 0;
}

static uint64_t number_after(const char *option, int argc, char **argv, bool *found)
{
	for (int i = 1; i + 1 < argc; i++) {
		if (strcmp(argv[i], option) == 0) {
			*found = true;
			return strtoull(argv[i + 1], NULL, 10);
		}
	}
	*found = false;
	return 0;
}

struct random_plan random_plan_from(int argc, char **argv)
{
	bool seed, size;
	struct random_plan plan = { .seed = number_after("--seed", argc, argv, &seed),
				    .size = number_after("--size", argc, argv, &size) };
	plan.one = seed && size;
	if (argc > 1 && !plan.one) {
		printf("usage: %s [--seed S --size N]\n", argv[0]);
		exit(2);
	}
	return plan;
}

void random_run(const struct random_plan *plan, const uint64_t *sizes, size_t size_count,
		uint64_t seeds, void (*test)(uint64_t seed, uint64_t size, bool trace))
{
	if (plan->one) {
		printf("\n");
		test(plan->seed, plan->size, true);
		return;
	}
	for (size_t i = 0; i < size_count; i++) {
		for (uint64_t seed = 1; seed <= seeds; seed++) {
			snprintf(check_context, sizeof(check_context),
				 "--seed %" PRIu64 " --size %" PRIu64, seed, sizes[i]);
			test(seed, sizes[i], false);
		}
	}
	check_context[0] = '\0';
}
