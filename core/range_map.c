/* SPDX-License-Identifier: MIT */
#include "range_map.h"

#define PFN_BITS 64u

/* Level 0 are the leaves. */
static size_t node_bytes(unsigned level)
{
	return MAP_FANOUT * (level ? sizeof(void *) : sizeof(uint8_t));
}

static unsigned slot_of(uint64_t pfn, unsigned level)
{
	return (unsigned)(pfn >> level * MAP_BITS) & (MAP_FANOUT - 1);
}

static unsigned levels_for(uint64_t last_pfn)
{
	unsigned bits = PFN_BITS - (unsigned)__builtin_clzll(last_pfn | 1);
	return (bits + MAP_BITS - 1) / MAP_BITS;
}

void map_init(struct range_map *map, const struct iova_memory *memory, uint64_t last_pfn)
{
	*map = (struct range_map){
		.levels = levels_for(last_pfn),
		.last = last_pfn,
		.memory = memory,
	};
}

static void free_below(struct range_map *map, void *node, unsigned level)
{
	for (unsigned i = 0; level > 0 && i < MAP_FANOUT; i++) {
		void *child = ((void **)node)[i];
		if (child)
			free_below(map, child, level - 1);
	}
	memory_put(map->memory, IOVA_MEMORY_CACHES, node, node_bytes(level));
}

void map_fini(struct range_map *map)
{
	if (map->root)
		free_below(map, map->root, map->levels - 1);
	map->root = NULL;
	map->bytes = 0;
}

/* The nodes from `level` down to the leaf of pfn, which nobody else knows; NULL: no memory. */
static void *branch_new(struct range_map *map, uint64_t pfn, unsigned level)
{
	void *below = NULL;
	for (unsigned i = 0; i <= level; i++) {
		void *node = memory_get(map->memory, IOVA_MEMORY_CACHES, node_bytes(i));
		if (!node) {
			if (below)
				free_below(map, below, i - 1);
			return NULL;
		}
		if (i > 0)
			((void **)node)[slot_of(pfn, i)] = below;
		below = node;
	}
	return below;
}

static uint64_t branch_bytes(unsigned level)
{
	return node_bytes(0) + level * node_bytes(1);
}

/*
 * What hangs at `link`, where nothing did: a whole branch is put there in one step, so
 * that a failure leaves nothing behind, or another thread was first.
 */
static void *grow(struct range_map *map, void **link, uint64_t pfn, unsigned level)
{
	void *branch = branch_new(map, pfn, level), *there = NULL;
	if (!branch)
		return NULL;
	if (sync_cas(link, &there, branch)) {
		sync_add(&map->bytes, branch_bytes(level));
		return branch;
	}
	free_below(map, branch, level);
	return there;
}

uint8_t *map_make(struct range_map *map, uint64_t pfn)
{
	assert_cheap(pfn <= map->last);
	void **link = &map->root;
	for (unsigned level = map->levels - 1;; level--) {
		void *node = sync_load(link);
		if (!node)
			node = grow(map, link, pfn, level);
		if (!node)
			return NULL;
		if (level == 0)
			return (uint8_t *)node + slot_of(pfn, 0);
		link = &((void **)node)[slot_of(pfn, level)];
	}
}
