/* SPDX-License-Identifier: MIT */
/*
 * range_map - one byte per page frame: what the range that starts there is.
 *
 * Checked frees need to know, without a lock and in a few nanoseconds, whether an address
 * is the first of a live range and of which size. The map is a radix tree over the pfn
 * with 2^12 entries a node; leaves hold bytes. It covers no more than the pfns that were
 * made have in common, and grows at its root: ranges lie close together below the top of
 * the address space, so one leaf is often all there is, and two levels hardly ever too few.
 *
 * Nodes are made on first use, put in place by compare-and-swap, whole branches at a time, and
 * stay until the map is destroyed: a look-up takes no lock. The memory is one byte per
 * frame of the 4096-frame pieces in which ranges ever started, and where it is mapped, that
 * of the pages touched of the nodes above.
 *
 * Only bytes of the first frame of a range are ever set. What a byte means is the
 * caller's business; bytes of a new leaf are 0. Bytes are read and written through
 * sync.h, by any thread. The bytes of neighbouring frames lie in different cache lines:
 * neighbours are cut from the tree together and then live on different CPUs.
 */
#ifndef IOVA_RANGE_MAP_H
#define IOVA_RANGE_MAP_H

#include "common.h"
#include "sync.h"

#define MAP_BITS 12u
#define MAP_FANOUT (1u << MAP_BITS)

struct map_root {
	void *node;	       /* a leaf, if levels is 1; else MAP_FANOUT pointers */
	uint64_t mask, prefix; /* it covers the pfns with pfn & mask == prefix */
	unsigned levels;       /* nodes from root to leaf: 1 .. 6 */
	struct map_root *older; /* a thread may still be looking at it */
};

struct range_map {
	struct map_root *root; /* atomic; NULL until the first byte is made */
	uint64_t bytes;	       /* of all nodes */
	const struct iova_memory *memory;
};

/* Costs no memory. The table must outlive the map. */
void map_init(struct range_map *map, const struct iova_memory *memory);
/* No other call may be running. */
void map_fini(struct range_map *map);

/* The byte of pfn, made if need be. NULL: no memory, and nothing changed. */
uint8_t *map_make(struct range_map *map, uint64_t pfn);

/* Where in its leaf the byte of pfn stands: neighbours lie a line and a byte apart. */
static inline unsigned map_place(uint64_t pfn)
{
	return (unsigned)(pfn * 65) & (MAP_FANOUT - 1);
}

/* The byte of pfn; NULL: none was made. */
static inline uint8_t *map_find(struct range_map *map, uint64_t pfn)
{
	const struct map_root *root = sync_load(&map->root);
	if (unlikely(!root || (pfn & root->mask) != root->prefix))
		return NULL;
	void *node = root->node;
	for (unsigned level = root->levels - 1; level; level--) {
		node = sync_load(&((void **)node)[pfn >> level * MAP_BITS & (MAP_FANOUT - 1)]);
		if (unlikely(!node))
			return NULL;
	}
	return (uint8_t *)node + map_place(pfn);
}

#endif
