/* SPDX-License-Identifier: MIT */
/*
 * The map of bytes against a list of what was written: every byte keeps its value and its
 * place, no other byte is touched, and there are exactly the nodes that the pfns in use
 * need. Random cases run bits of the last pfn x seeds.
 */
#include "threads.h"

#include "range_map.h"

#define LEAF_BYTES ((uint64_t)MAP_FANOUT)
#define INNER_BYTES ((uint64_t)MAP_FANOUT * sizeof(void *))
#define MOST_WRITTEN 80u

static struct random_plan plan;

/* ------------------------------------------------------------------------- the model */

struct written {
	uint64_t pfn;
	uint8_t *byte, value;
};

struct model {
	struct written entry[MOST_WRITTEN];
	unsigned count;
};

static struct written *model_find(struct model *model, uint64_t pfn)
{
	for (unsigned i = 0; i < model->count; i++)
		if (model->entry[i].pfn == pfn)
			return &model->entry[i];
	return NULL;
}

/* Nodes of a level that the pfns need: distinct numbers of what such a node covers. */
static uint64_t nodes_needed(const struct model *model, unsigned level)
{
	unsigned shift = (level + 1) * MAP_BITS;
	uint64_t nodes = 0;
	for (unsigned i = 0; i < model->count; i++) {
		uint64_t node = shift < 64 ? model->entry[i].pfn >> shift : 0;
		bool seen = false;
		for (unsigned j = 0; j < i && !seen; j++)
			seen = (shift < 64 ? model->entry[j].pfn >> shift : 0) == node;
		nodes += !seen;
	}
	return nodes;
}

static unsigned levels_of(const struct range_map *map)
{
	return map->root ? map->root->levels : 0;
}

static uint64_t roots_of(const struct range_map *map)
{
	uint64_t roots = 0;
	for (const struct map_root *root = map->root; root; root = root->older)
		roots++;
	return roots;
}

static void check_nodes(const struct range_map *map, const struct model *model,
			const struct test_memory *memory)
{
	uint64_t leaves = nodes_needed(model, 0), inner = 0;
	for (unsigned level = 1; level < levels_of(map); level++)
		inner += nodes_needed(model, level);
	CHECK_EQ(map->bytes, leaves * LEAF_BYTES + inner * INNER_BYTES);
	CHECK_EQ(memory->blocks[IOVA_MEMORY_CACHES], leaves + inner);
	CHECK_EQ(test_memory_held(memory), leaves + inner + roots_of(map));
}

/* --------------------------------------------------------------------- random histories */

static uint64_t some_pfn(struct random *random, const struct model *model, uint64_t last)
{
	uint64_t pfn = random_next(random);
	switch (random_below(random, 6)) {
	case 0:
		pfn = last - random_bits(random, 13);
		break;
	case 1:
		pfn = random_bits(random, 64);
		break;
	case 2:
	case 3:
	case 4: /* near one that is there: another byte, leaf or branch */
		if (model->count > 0)
			pfn = model->entry[random_below(random, model->count)].pfn ^
			      random_bits(random, 26);
		break;
	}
	return pfn <= last ? pfn : pfn % (last | 1);
}

static void check_find(const struct range_map *map, struct model *model, uint64_t pfn)
{
	uint8_t *byte = map_find((struct range_map *)map, pfn);
	const struct written *written = model_find(model, pfn);
	if (written) {
		CHECK(byte == written->byte);
		CHECK_EQ(*byte, written->value);
	} else if (byte) {
		CHECK_EQ(*byte, 0);
	}
}

static void write_one(struct range_map *map, struct model *model, struct random *random,
		      uint64_t pfn)
{
	struct written *written = model_find(model, pfn);
	uint8_t *byte = map_make(map, pfn);
	CHECK(byte != NULL);
	CHECK(byte == map_find(map, pfn));
	if (written) {
		CHECK(byte == written->byte);
		CHECK_EQ(*byte, written->value);
	} else {
		if (model->count == MOST_WRITTEN)
			return;
		CHECK_EQ(*byte, 0);
		written = &model->entry[model->count++];
		*written = (struct written){ .pfn = pfn, .byte = byte };
	}
	*byte = written->value = (uint8_t)(1 + random_below(random, 255));
}

static void random_history(uint64_t seed, uint64_t bits, bool trace)
{
	struct random random = { seed * 1000003 + bits };
	uint64_t last = UINT64_MAX >> (64 - bits);
	struct test_memory memory;
	struct range_map map;
	struct model model = { .count = 0 };
	if (seed % 2 == 0)
		last -= random_below(&random, last / 2 + 1);
	test_memory_init(&memory);
	map_init(&map, &memory.table);
	for (unsigned i = 0; model.count < MOST_WRITTEN && i < 4 * MOST_WRITTEN; i++) {
		uint64_t pfn = some_pfn(&random, &model, last);
		if (trace)
			printf("last %" PRIu64 " pfn %" PRIu64 "\n", last, pfn);
		check_find(&map, &model, pfn);
		if (random_below(&random, 2) == 0) {
			write_one(&map, &model, &random, pfn);
			check_nodes(&map, &model, &memory);
		}
	}
	for (unsigned i = 0; i < model.count; i++) {
		uint64_t pfn = model.entry[i].pfn;
		check_find(&map, &model, pfn);
		check_find(&map, &model, pfn ^ 1);
		check_find(&map, &model, pfn ^ (random_next(&random) & (MAP_FANOUT - 1)));
	}
	map_fini(&map);
	CHECK_EQ(map.bytes, 0);
	CHECK_EQ(test_memory_held(&memory), 0);
}

static void every_byte_keeps_its_value_and_its_place(void)
{
	static const uint64_t bits[] = { 1, 11, 12, 13, 24, 25, 36, 48, 60, 61, 64 };
	random_run(&plan, bits, COUNT_OF_ARRAY(bits), 12, random_history);
}

/* ----------------------------------------------------------------------------- shapes */

static void levels_follow_from_what_the_pfns_have_in_common(void)
{
	static const struct {
		uint64_t last;
		unsigned levels;
	} shapes[] = {
		{ 0, 1 },
		{ 4095, 1 },
		{ 4096, 2 },
		{ (UINT64_C(1) << 24) - 1, 2 },
		{ UINT64_C(1) << 24, 3 },
		{ (UINT64_C(1) << 36) - 1, 3 },
		{ UINT64_C(1) << 36, 4 },
		{ UINT64_C(1) << 60, 6 },
		{ UINT64_MAX, 6 },
	};
	for (size_t i = 0; i < COUNT_OF_ARRAY(shapes); i++) {
		struct test_memory memory;
		struct range_map map;
		test_memory_init(&memory);
		map_init(&map, &memory.table);
		uint8_t *lowest = map_make(&map, 0);
		*lowest = 3;
		uint8_t *highest = map_make(&map, shapes[i].last);
		CHECK_EQ(*highest, shapes[i].last == 0 ? 3 : 0);
		*highest = 7;
		CHECK_EQ(levels_of(&map), shapes[i].levels);
		CHECK_EQ(*map_find(&map, 0), shapes[i].last == 0 ? 7 : 3);
		CHECK_EQ(*map_find(&map, shapes[i].last), 7);
		map_fini(&map);
		CHECK_EQ(test_memory_held(&memory), 0);
	}
}

static void a_map_without_a_byte_costs_nothing(void)
{
	struct test_memory memory;
	struct range_map map;
	test_memory_init(&memory);
	map_init(&map, &memory.table);
	CHECK(map_find(&map, 0) == NULL);
	CHECK(map_find(&map, UINT64_MAX) == NULL);
	CHECK_EQ(memory.questions, 0);
	CHECK_EQ(map.bytes, 0);
	map_fini(&map);
}

static void bytes_that_lie_together_need_one_leaf(void)
{
	const uint64_t base = (UINT64_C(1) << 36) - MAP_FANOUT;
	struct test_memory memory;
	struct range_map map;
	test_memory_init(&memory);
	map_init(&map, &memory.table);
	for (uint64_t i = 0; i < MAP_FANOUT; i++)
		*map_make(&map, base + i) = 1;
	CHECK_EQ(map.bytes, LEAF_BYTES);
	CHECK(map_find(&map, base - 1) == NULL);
	CHECK(map_find(&map, base + MAP_FANOUT) == NULL);
	CHECK(map_find(&map, MAP_FANOUT - 1) == NULL);
	CHECK(map_find(&map, UINT64_MAX) == NULL);
	map_fini(&map);
	CHECK_EQ(test_memory_held(&memory), 0);
}

static void neighbours_bytes_lie_in_different_cache_lines(void)
{
	for (unsigned order = 0; order < 10; order++)
		for (uint64_t pfn = 0; pfn < MAP_FANOUT; pfn++)
			CHECK(map_place(pfn << order) / 64 !=
			      map_place((pfn + 1) << order) / 64);
}

/* ------------------------------------------------------------------------- no memory */

static void refuse_each_node(uint64_t last, bool with_a_neighbour)
{
	struct test_memory memory;
	struct range_map map;
	for (uint64_t node = 1;; node++) {
		test_memory_init(&memory);
		map_init(&map, &memory.table);
		if (with_a_neighbour)
			*map_make(&map, 0) = 9;
		uint64_t held = test_memory_held(&memory), bytes = map.bytes;
		memory.refuse_at = memory.questions + node;
		uint8_t *byte = map_make(&map, last);
		if (memory.refusals == 0) {
			CHECK(byte != NULL);
			/* a leaf and a root, or the nodes above both, a branch and a root */
			CHECK_EQ(node, with_a_neighbour ? 2 * levels_of(&map) : 3);
			map_fini(&map);
			return;
		}
		CHECK(byte == NULL);
		CHECK(map_find(&map, last) == NULL);
		CHECK_EQ(test_memory_held(&memory), held);
		CHECK_EQ(map.bytes, bytes);
		byte = map_make(&map, last); /* now there is memory */
		CHECK(byte != NULL);
		CHECK_EQ(*byte, 0);
		if (with_a_neighbour)
			CHECK_EQ(*map_find(&map, 0), 9);
		map_fini(&map);
		CHECK_EQ(test_memory_held(&memory), 0);
	}
}

static void each_allocation_may_fail_and_leaves_nothing_behind(void)
{
	static const uint64_t lasts[] = { 100, (UINT64_C(1) << 24) - 1, (UINT64_C(1) << 36) - 1,
					  UINT64_MAX };
	for (size_t i = 0; i < COUNT_OF_ARRAY(lasts); i++) {
		refuse_each_node(lasts[i], false);
		if (i > 0) /* with one level a neighbour is in the same leaf */
			refuse_each_node(lasts[i], true);
	}
}

/* --------------------------------------------------------------------------- threads */

#define ROUNDS 40u
#define LEAVES 64u

struct race {
	struct shared_memory shared;
	struct range_map map;
	pthread_barrier_t meeting;
	unsigned apart; /* bits of the pfn in which the two threads' bytes differ */
	bool meets;	/* both allocate before one of them puts a branch in place */
};

/* Leaf i's byte of a thread: in the same leaf, the same inner node, or another one. */
static uint64_t raced_pfn(const struct race *race, unsigned leaf, unsigned thread)
{
	return ((uint64_t)leaf << 24) + ((uint64_t)thread << race->apart) + 2;
}

static void make_bytes(void *context, unsigned thread)
{
	struct race *race = context;
	for (unsigned leaf = 0; leaf < LEAVES; leaf++) {
		pthread_barrier_wait(&race->meeting);
		meet_at_allocation = race->meets ? &race->meeting : NULL;
		uint8_t *byte = map_make(&race->map, raced_pfn(race, leaf, thread));
		CHECK(byte != NULL);
		meet_at_allocation = NULL;
		sync_store(byte, (uint8_t)(1 + thread + 2 * leaf));
		uint8_t *other = map_find(&race->map, raced_pfn(race, leaf, 1 - thread));
		if (other) {
			unsigned value = sync_load(other);
			CHECK(value == 0 || value == 1 + (1 - thread) + 2 * leaf);
		}
	}
}

static void race_once(unsigned apart, bool meets)
{
	struct race race = { .apart = apart, .meets = meets };
	shared_memory_init(&race.shared);
	CHECK_EQ(pthread_barrier_init(&race.meeting, NULL, THREADS), 0);
	map_init(&race.map, &race.shared.table);
	run_threads(make_bytes, &race);

	for (unsigned leaf = 0; leaf < LEAVES; leaf++) {
		for (unsigned thread = 0; thread < THREADS; thread++) {
			uint64_t pfn = raced_pfn(&race, leaf, thread);
			const uint8_t *byte = map_find(&race.map, pfn);
			CHECK(byte != NULL);
			CHECK_EQ(*byte, 1 + thread + 2 * leaf);
		}
	}
	uint64_t leaves = apart < 12 ? LEAVES : 2 * LEAVES;
	CHECK_EQ(race.map.bytes, leaves * LEAF_BYTES + (LEAVES + 1) * INNER_BYTES);
	CHECK_EQ(test_memory_held(&race.shared.memory), leaves + LEAVES + 1 + roots_of(&race.map));
	map_fini(&race.map);
	CHECK_EQ(pthread_barrier_destroy(&race.meeting), 0);
	shared_memory_fini(&race.shared);
}

static void no_byte_is_lost_when_two_threads_make_the_same_nodes(void)
{
	race_once(6, true);   /* the same leaf */
	race_once(16, true);  /* the same inner node, another leaf */
	for (unsigned round = 0; round < ROUNDS; round++)
		race_once(round % 2 ? 6 : 16, false);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(every_byte_keeps_its_value_and_its_place);
	if (plan.one)
		return 0;
	TEST(levels_follow_from_what_the_pfns_have_in_common);
	TEST(a_map_without_a_byte_costs_nothing);
	TEST(bytes_that_lie_together_need_one_leaf);
	TEST(neighbours_bytes_lie_in_different_cache_lines);
	TEST(each_allocation_may_fail_and_leaves_nothing_behind);
	TEST(no_byte_is_lost_when_two_threads_make_the_same_nodes);
	return 0;
}
