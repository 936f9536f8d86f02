/* SPDX-License-Identifier: MIT */
#include "tree_pair.h"

void pair_init(struct pair *pair, uint64_t start, uint64_t d32)
{
	test_memory_init(&pair->memory);
	pair->trace = false;
	CHECK_EQ(tree_init(&pair->tree, &pair->memory.table, start, d32, true), IOVA_OK);
	linear_init(&pair->model, start, d32);
}

void pair_fini(struct pair *pair)
{
	CHECK_SOUND(index_check(&pair->tree.index));
	tree_fini(&pair->tree);
	linear_fini(&pair->model);
	CHECK_EQ(test_memory_held(&pair->memory), 0);
}

void pair_check(const struct pair *pair)
{
	const struct linear_tree *model = &pair->model;
	struct iova_range near = model->range[linear_at(model, model->near_hi)];
	struct iova_range near32 = model->range[linear_at(model, model->near32_hi)];
	CHECK_EQ(pair->tree.near.lo, near.lo);
	CHECK_EQ(pair->tree.near.hi, near.hi);
	CHECK_EQ(pair->tree.near32.lo, near32.lo);
	CHECK_EQ(pair->tree.near32.hi, near32.hi);
	CHECK_EQ(pair->tree.give_up, model->give_up);
	CHECK_EQ(pair->tree.index.count, model->count);
}

enum iova_status do_alloc(struct pair *pair, uint64_t size, uint64_t limit, bool align)
{
	struct iova_range got = { 0, 0 }, wanted = { 0, 0 };
	if (pair->trace)
		printf("alloc %" PRIu64 " limit %" PRIu64 "%s\n", size, limit,
		       align ? " aligned" : "");
	enum iova_status status = linear_alloc(&pair->model, size, limit, align, &wanted);
	CHECK_EQ(tree_alloc(&pair->tree, size, limit, align, &got), status);
	CHECK_EQ(got.lo, wanted.lo);
	CHECK_EQ(got.hi, wanted.hi);
	CHECK_EQ(pair->tree.steps, pair->model.steps);
	pair_check(pair);
	return status;
}

void do_remove(struct pair *pair, uint64_t pfn)
{
	if (pair->trace)
		printf("remove %" PRIu64 "\n", pfn);
	CHECK_EQ(tree_remove(&pair->tree, pfn), linear_remove(&pair->model, pfn));
	pair_check(pair);
}

void do_reserve(struct pair *pair, uint64_t lo, uint64_t hi)
{
	struct iova_range got = { 0, 0 }, wanted = { 0, 0 };
	if (pair->trace)
		printf("reserve %" PRIu64 "..%" PRIu64 "\n", lo, hi);
	enum iova_status status = linear_reserve(&pair->model, lo, hi, &wanted);
	CHECK_EQ(tree_reserve(&pair->tree, lo, hi, &got), status);
	CHECK_EQ(got.lo, wanted.lo);
	CHECK_EQ(got.hi, wanted.hi);
	pair_check(pair);
}
