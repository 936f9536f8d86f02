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

/* What a node and all below it has in common. */
static uint64_t mask_of(unsigned levels)
{
	unsigned bits = levels * MAP_BITS;
	return bits < PFN_BITS ? UINT64_MAX << bits : 0;
}

void map_init(struct range_map *map, const struct iova_memory *memory)
{
	*map = (struct range_map){ .memory = memory };
}

/* ------------------------------------------------------------------------- freeing */

static void free_below(struct range_map *map, void *node, unsigned level)
{
	for (unsigned i = 0; level > 0 && i < MAP_FANOUT; i++) {
		void *child = ((void **)node)[i];
		if (child)
			free_below(map, child, level - 1);
	}
	memory_put(map->memory, IOVA_MEMORY_CACHES, node, node_bytes(level));
}

static void free_root(struct range_map *map, struct map_root *root)
{
	memory_put(map->memory, IOVA_MEMORY_DOMAIN, root, sizeof(*root));
}

void map_fini(struct range_map *map)
{
	struct map_root *root = map->root;
	/* Older roots' nodes are below the newest's. */
	if (root)
		free_below(map, root->node, root->levels - 1);
	while (root) {
		struct map_root *older = root->older;
		free_root(map, root);
		root = older;
	}
	map->root = NULL;
	map->bytes = 0;
}

/* ------------------------------------------------------------------------- growing */

/* Free the nodes from level `top` down to `bottom` that lie on the way to pfn, and no others. */
static void unstack(struct range_map *map, void *node, uint64_t pfn, unsigned top,
		    unsigned bottom)
{
	for (unsigned level = top;; level--) {
		void *child = level ? ((void **)node)[slot_of(pfn, level)] : NULL;
		memory_put(map->memory, IOVA_MEMORY_CACHES, node, node_bytes(level));
		if (level == bottom)
			return;
		node = child;
	}
}

/*
 * Put nodes on top of `below`, from `level` up to `top`, on the way to pfn. Nobody else
 * knows them. NULL: no memory, and `below` stands alone again.
 */
static void *stack_on(struct range_map *map, void *below, uint64_t pfn, unsigned level,
		      unsigned top)
{
	for (unsigned i = level; i <= top; i++) {
		void **node = memory_get(map->memory, IOVA_MEMORY_CACHES, node_bytes(i));
		if (!node) {
			if (i > level)
				unstack(map, below, pfn, i - 1, level);
			return NULL;
		}
		if (i > 0)
			node[slot_of(pfn, i)] = below;
		below = node;
	}
	return below;
}

/* The nodes from `level` down to the leaf of pfn. */
static void *branch_new(struct range_map *map, uint64_t pfn, unsigned level)
{
	return stack_on(map, NULL, pfn, 0, level);
}

static uint64_t branch_bytes(unsigned level)
{
	return node_bytes(0) + level * node_bytes(1);
}

/*
 * What hangs at `link`, where nothing did: a whole branch is put there in one step, so
 * that a failure leaves nothing behind, or another thread was first.
 */
static void *grow_down(struct range_map *map, void **link, uint64_t pfn, unsigned level)
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

static struct map_root *root_new(struct range_map *map, void *node, uint64_t pfn, unsigned levels,
				 struct map_root *older)
{
	struct map_root *root = memory_get(map->memory, IOVA_MEMORY_DOMAIN, sizeof(*root));
	if (root)
		*root = (struct map_root){ .node = node,
					   .mask = mask_of(levels),
					   .prefix = pfn & mask_of(levels),
					   .levels = levels,
					   .older = older };
	return root;
}

/* A root that covers one pfn's leaf. False: no memory. */
static bool plant(struct range_map *map, uint64_t pfn)
{
	struct map_root *none = NULL, *root;
	void *leaf = branch_new(map, pfn, 0);
	if (!leaf)
		return false;
	root = root_new(map, leaf, pfn, 1, NULL);
	if (root && sync_cas(&map->root, &none, root)) {
		sync_add(&map->bytes, branch_bytes(0));
		return true;
	}
	free_below(map, leaf, 0);
	if (root)
		free_root(map, root);
	return root != NULL;
}

/* Levels of the lowest node that covers what the root covers, and pfn. */
static unsigned levels_to_cover(const struct map_root *root, uint64_t pfn)
{
	unsigned levels = root->levels;
	while ((pfn & mask_of(levels)) != (root->prefix & mask_of(levels)))
		levels++;
	return levels;
}

/*
 * A root that covers pfn as well as what `old` does. All of it, pfn's branch too, is put in
 * place in one step. False: no memory.
 */
static bool grow_up(struct range_map *map, struct map_root *old, uint64_t pfn)
{
	unsigned levels = levels_to_cover(old, pfn), top = levels - 1;
	void **node = stack_on(map, old->node, old->prefix, old->levels, top);
	void *branch = node ? branch_new(map, pfn, top - 1) : NULL;
	struct map_root *root = branch ? root_new(map, node, pfn, levels, old) : NULL;
	if (root) {
		struct map_root *expected = old;
		node[slot_of(pfn, top)] = branch;
		if (sync_cas(&map->root, &expected, root)) {
			sync_add(&map->bytes, branch_bytes(top - 1) +
						      (levels - old->levels) * node_bytes(1));
			return true;
		}
		node[slot_of(pfn, top)] = NULL;
		free_root(map, root);
	}
	if (branch)
		free_below(map, branch, top - 1);
	if (node)
		unstack(map, node, old->prefix, top, old->levels);
	return root != NULL;
}

/* A root that covers pfn; NULL: no memory. */
static struct map_root *cover(struct range_map *map, uint64_t pfn)
{
	for (;;) {
		struct map_root *root = sync_load(&map->root);
		if (root && (pfn & root->mask) == root->prefix)
			return root;
		if (root ? !grow_up(map, root, pfn) : !plant(map, pfn))
			return NULL;
	}
}

uint8_t *map_make(struct range_map *map, uint64_t pfn)
{
	struct map_root *root = cover(map, pfn);
	if (!root)
		return NULL;
	void *node = root->node;
	for (unsigned level = root->levels - 1; level > 0; level--) {
		void **link = &((void **)node)[slot_of(pfn, level)];
		node = sync_load(link);
		if (!node)
			node = grow_down(map, link, pfn, level - 1);
		if (!node)
			return NULL;
	}
	return (uint8_t *)node + map_place(pfn);
}
