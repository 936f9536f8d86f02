/* SPDX-License-Identifier: MIT */
/*
 * iova_check() is what most tests lean on: each kind of damage, one number at a time,
 * is named by it, and it is content again when the number is mended.
 */
#include "domain.h"
#include "support.h"

static struct test_memory memory;

/* One number of the inside, what it is overwritten with, and what the check then says. */
static void check_damage(const iova_domain *domain, void *place, size_t size, uint64_t value,
			 const char *says)
{
	uint64_t before = 0;
	memcpy(&before, place, size);
	CHECK_SOUND(iova_check(domain));
	memcpy(place, &value, size);
	CHECK_TEXT(iova_check(domain), says);
	memcpy(place, &before, size);
	CHECK_SOUND(iova_check(domain));
}

#define CHECK_DAMAGE(place, value, says) \
	check_damage(domain, &(place), sizeof(place), (value), (says))

/* Some hundred ranges with gaps between, in a tree of two levels. */
static iova_domain *tree_of_two_levels(void)
{
	test_memory_init(&memory);
	iova_domain *domain = make_domain(&memory, (struct shape){ 0 });
	for (uint64_t i = 0; i < 200; i++)
		CHECK_EQ(iova_reserve(domain, 100 + 10 * i, 100 + 10 * i + 3, NULL), IOVA_OK);
	CHECK_EQ(iova_reserve(domain, 104, 105, NULL), IOVA_OK); /* touches the lowest */
	CHECK_EQ(domain->tree.index.height, 1);
	return domain;
}

static void damage_to_a_leaf_is_named(void)
{
	iova_domain *domain = tree_of_two_levels();
	struct index_path path;
	index_seek(&domain->tree.index, 0, &path);
	struct index_leaf *leaf = path.leaf;
	CHECK(leaf->count < LEAF_SLOTS);
	CHECK_DAMAGE(leaf->count, 0, "a leaf is empty or overfull");
	CHECK_DAMAGE(leaf->count, LEAF_SLOTS + 1, "a leaf is empty or overfull");
	CHECK_DAMAGE(leaf->hi[LEAF_SLOTS - 1], 5,
		     "an unused slot of a leaf holds something");
	CHECK_DAMAGE(leaf->floor, 1, "a leaf's floor is not the end of the leaf before");
	CHECK_DAMAGE(leaf->lo[1], leaf->hi[0], "ranges are out of order or overlap");
	CHECK_DAMAGE(leaf->lo[2], leaf->hi[2] + 1, "ranges are out of order or overlap");
	CHECK_DAMAGE(leaf->gaps, leaf->gaps ^ (UINT64_C(1) << 63), "a gap is marked wrongly");
	CHECK_DAMAGE(leaf->gaps, leaf->gaps | 1, "an unused slot of a leaf holds something");
	CHECK_DAMAGE(leaf->lo[0], leaf->lo[0] + 1,
		     "a gap figure differs from the child's");
	end_domain(&memory, domain);
}

static void damage_to_an_inner_node_is_named(void)
{
	iova_domain *domain = tree_of_two_levels();
	struct index_node *root = domain->tree.index.root;
	CHECK(root->count < NODE_SLOTS);
	CHECK_DAMAGE(root->count, 0, "an inner node is empty or overfull");
	CHECK_DAMAGE(root->count, NODE_SLOTS + 1, "an inner node is empty or overfull");
	CHECK_DAMAGE(root->best[NODE_SLOTS - 1], 1,
		     "an unused slot of an inner node holds something");
	CHECK_DAMAGE(root->longest[NODE_SLOTS - 1], 1,
		     "an unused slot of an inner node holds something");
	CHECK_DAMAGE(root->key[NODE_SLOTS - 1], 1,
		     "an unused slot of an inner node holds something");
	CHECK_DAMAGE(root->key[0], 1, "a key or count differs from the child's");
	CHECK_DAMAGE(root->ranges[0], 1, "a key or count differs from the child's");
	CHECK_DAMAGE(root->best[1], 99, "a gap figure differs from the child's");
	CHECK_DAMAGE(root->longest[1], 99, "a gap figure differs from the child's");
	end_domain(&memory, domain);
}

static void wrong_sums_of_the_tree_are_named(void)
{
	iova_domain *domain = tree_of_two_levels();
	struct range_index *index = &domain->tree.index;
	CHECK_DAMAGE(index->count, 7, "the count of ranges or pages is wrong");
	CHECK_DAMAGE(index->pages, 7, "the count of ranges or pages is wrong");
	CHECK_DAMAGE(index->leaves, 7 + index->leaves, "the count of nodes is wrong");
	CHECK_DAMAGE(index->nodes, 7, "the count of nodes is wrong");
	end_domain(&memory, domain);
}

static void a_missing_anchor_is_named(void)
{
	test_memory_init(&memory);
	iova_domain *domain = make_domain(&memory, (struct shape){ 0 });
	struct index_leaf *leaf = domain->tree.index.root;
	leaf->lo[0] = 7;
	CHECK_DAMAGE(leaf->hi[0], 7, "the anchor is missing");
	leaf->lo[0] = UINT64_MAX;
	end_domain(&memory, domain);
}

static void damage_to_the_caches_is_named(void)
{
	test_memory_init(&memory);
	iova_domain *domain = make_domain(&memory, (struct shape){ 0 });
	fill_depot(domain, 1, 2, 3, 0);
	struct magazine *loaded = cpu_cache_of(domain, 1, 1)->loaded;
	struct depot *depot = &domain->rcache[1].depot;
	struct magazine *head = link_magazine(depot->head);
	CHECK_DAMAGE(loaded->count, FULL + 1, "a magazine holds more than its capacity");
	CHECK_DAMAGE(loaded->capacity, FULL - 1, "a magazine has a capacity that is none");
	CHECK_DAMAGE(loaded->capacity, 2 * FULL + 1, "the count of magazines' bytes is wrong");
	CHECK_DAMAGE(depot->cached, 1, "a depot's count of ranges is wrong");
	CHECK_DAMAGE(depot->empties, 1,
		     "a depot's list of empty magazines is shorter than its length");
	CHECK_DAMAGE(depot->length, 2, "a depot's list is longer than its length");
	CHECK_DAMAGE(depot->length, 4, "a depot's list is shorter than its length");
	CHECK_DAMAGE(domain->magazines, 1, "the count of magazines is wrong");
	CHECK_DAMAGE(head->pfn[5], head->pfn[6], "a range is cached twice");
	CHECK_DAMAGE(head->pfn[5], 3, "a cached range is not in the tree");
	CHECK_DAMAGE(head->pfn[5], head->pfn[5] + 1,
		     "a cached pfn is not the first of its range");
	end_domain(&memory, domain);
}

int main(void)
{
	TEST(damage_to_a_leaf_is_named);
	TEST(damage_to_an_inner_node_is_named);
	TEST(wrong_sums_of_the_tree_are_named);
	TEST(a_missing_anchor_is_named);
	TEST(damage_to_the_caches_is_named);
	return 0;
}
