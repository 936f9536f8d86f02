/* SPDX-License-Identifier: MIT */
/*
 * iova_check() is what most tests lean on: each kind of damage, one word at a time, is
 * named by it, and it is content again when the word is mended.
 */
#include "domain.h"
#include "support.h"

static struct test_memory memory;

/* One word of the inside, what it is overwritten with, and what the check then says. */
static void check_damage(const iova_domain *domain, uint64_t *word, uint64_t value,
			 const char *says)
{
	uint64_t before = *word;
	CHECK_SOUND(iova_check(domain));
	*word = value;
	CHECK_TEXT(iova_check(domain), says);
	*word = before;
	CHECK_SOUND(iova_check(domain));
}

/* Some hundred ranges with gaps between, in a tree of two levels. */
static iova_domain *tree_of_two_levels(void)
{
	test_memory_init(&memory);
	iova_domain *domain = make_domain(&memory, (struct shape){ 0 });
	for (uint64_t i = 0; i < 200; i++)
		CHECK_EQ(iova_reserve(domain, 100 + 10 * i, 100 + 10 * i + 3, NULL), IOVA_OK);
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
	check_damage(domain, &leaf->count, 0, "a leaf is empty or overfull");
	check_damage(domain, &leaf->count, LEAF_SLOTS + 1, "a leaf is empty or overfull");
	check_damage(domain, &leaf->hi[LEAF_SLOTS - 1], 5,
		     "an unused slot of a leaf holds something");
	check_damage(domain, &leaf->floor, 1, "a leaf's floor is not the end of the leaf before");
	check_damage(domain, &leaf->lo[1], leaf->hi[0], "ranges are out of order or overlap");
	check_damage(domain, &leaf->lo[1], leaf->hi[1] + 1, "ranges are out of order or overlap");
	check_damage(domain, &leaf->lo[0], leaf->lo[0] + 1,
		     "a gap figure differs from the child's");
	end_domain(&memory, domain);
}

static void damage_to_an_inner_node_is_named(void)
{
	iova_domain *domain = tree_of_two_levels();
	struct index_node *root = domain->tree.index.root;
	CHECK(root->count < NODE_SLOTS);
	check_damage(domain, &root->count, 0, "an inner node is empty or overfull");
	check_damage(domain, &root->count, NODE_SLOTS + 1, "an inner node is empty or overfull");
	check_damage(domain, &root->best[NODE_SLOTS - 1], 1,
		     "an unused slot of an inner node holds something");
	check_damage(domain, &root->longest[NODE_SLOTS - 1], 1,
		     "an unused slot of an inner node holds something");
	check_damage(domain, &root->key[NODE_SLOTS - 1], 1,
		     "an unused slot of an inner node holds something");
	check_damage(domain, &root->key[0], 1, "a key or count differs from the child's");
	check_damage(domain, &root->ranges[0], 1, "a key or count differs from the child's");
	check_damage(domain, &root->best[1], 99, "a gap figure differs from the child's");
	check_damage(domain, &root->longest[1], 99, "a gap figure differs from the child's");
	end_domain(&memory, domain);
}

static void wrong_sums_of_the_tree_are_named(void)
{
	iova_domain *domain = tree_of_two_levels();
	struct range_index *index = &domain->tree.index;
	check_damage(domain, &index->count, 7, "the count of ranges or pages is wrong");
	check_damage(domain, &index->pages, 7, "the count of ranges or pages is wrong");
	check_damage(domain, &index->leaves, 7 + index->leaves, "the count of nodes is wrong");
	check_damage(domain, &index->nodes, 7, "the count of nodes is wrong");
	end_domain(&memory, domain);
}

static void a_missing_anchor_is_named(void)
{
	test_memory_init(&memory);
	iova_domain *domain = make_domain(&memory, (struct shape){ 0 });
	struct index_leaf *leaf = domain->tree.index.root;
	leaf->lo[0] = 7;
	check_damage(domain, &leaf->hi[0], 7, "the anchor is missing");
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
	check_damage(domain, &loaded->count, FULL + 1, "a magazine holds more than its capacity");
	check_damage(domain, &depot->length, 2, "a depot's list is longer than its length");
	check_damage(domain, &depot->length, 4, "a depot's list is shorter than its length");
	check_damage(domain, &domain->magazines, 1, "the count of magazines is wrong");
	check_damage(domain, &depot->head->pfn[5], depot->head->pfn[6], "a range is cached twice");
	check_damage(domain, &depot->head->pfn[5], 3, "a cached range is not in the tree");
	check_damage(domain, &depot->head->pfn[5], depot->head->pfn[5] + 1,
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
