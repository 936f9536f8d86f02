/* SPDX-License-Identifier: MIT */
/*
 * range_map - one byte per page frame: what the range that starts there is.
 *
 * Checked frees need to know, without a lock and in a few nanoseconds, whether an address
 * is the first of a live range and of which size. The map is a radix tree over the pfn
 * with 2^12 entries a node; leaves hold bytes. Nodes are made on first use, put in place
 * by compare-and-swap, and stay until the map is destroyed: a look-up takes no lock. The
 * memory is one byte per frame of the 4096-frame pieces in which ranges ever started.
 *
 * Only bytes of the first frame of a range are ever set. What a byte means is the
 * caller's business; bytes of a new leaf are 0. Bytes are read and written through
 * sync.h, by any thread.
 */
#ifndef IOVA_RANGE_MAP_H
#define IOVA_RANGE_MAP_H

#include "common.h"
#include "sync.h"

#define MAP_BITS 12u
#define MAP_FANOUT (1u << MAP_BITS)

struct range_map {
	void *root; /* NULL until the first byte is made; a node of pointers, or a leaf */
	unsigned levels; /* nodes from root to leaf: 1 .. 6 */
	uint64_t last;	 /* highest pfn */
	uint64_t bytes;	 /* of all nodes */
	const struct iova_memory *memory;
};

/* Costs no memory. The table must outlive the map. */
void map_init(struct range_map *map, const struct iova_memory *memory, uint64_t last_pfn);
/* No other call may be running. */
void map_fini(struct range_map *map);

/*
 * The byte of pfn, made if need be; pfn <= last. NULL: no memory, and nothing changed: the
 * nodes on the way are put in place together or not at all.
 */
uint8_t *map_make(struct range_map *map, uint64_t pfn);

/* The node below, one level down on the way to pfn; NULL: none was made. */
static inline void *map_below(void *node, uint64_t pfn, unsigned shift)
{
	return likely(node) ? sync_load(&((void **)node)[pfn >> shift & (MAP_FANOUT - 1)]) : NULL;
}

/* The byte of pfn; NULL: none was made, or pfn is above the last. */
static inline uint8_t *map_find(struct range_map *map, uint64_t pfn)
{
	if (unlikely(pfn > map->last))
		return NULL;
	void *node = sync_load(&map->root);
	if (likely(map->levels == 3)) { /* 48-bit addresses in 4 KiB pages */
		node = map_below(node, pfn, 2 * MAP_BITS);
		node = map_below(node, pfn, MAP_BITS);
	} else {
		for (unsigned shift = (map->levels - 1) * MAP_BITS; shift; shift -= MAP_BITS)
			node = map_below(node, pfn, shift);
	}
	return likely(node) ? (uint8_t *)node + (pfn & (MAP_FANOUT - 1)) : NULL;
}

#endif
