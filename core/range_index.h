/* SPDX-License-Identifier: MIT */
/*
 * range_index - disjoint ranges in order, with an index of the gaps between them.
 *
 * Theory of operation
 *
 * A B+ tree whose entries are ranges lo..hi, sorted; the key is hi, which never changes
 * while a range lives (reservations lower lo). A leaf holds up to LEAF_SLOTS ranges, an
 * inner node up to NODE_SLOTS children with, for each, the hi of its last range, how many
 * ranges it holds, and two figures on the gaps below those ranges:
 *
 *   longest  length of the longest gap;
 *   best     the largest n for which n frames, aligned to n rounded up to a power of two,
 *            fit in some gap.
 *
 * A gap belongs to the range above it. Because the range with hi = 2^64-1 (the anchor)
 * always exists, each gap has an owner, and a range cut from a gap goes into the leaf of
 * that owner, just before it: no other leaf changes. Each leaf keeps the pfn above the
 * last range of the leaf before it (`floor`), so its first gap is known locally.
 *
 * Why one figure suffices for every aligned size. If n frames fit aligned, so does any
 * smaller m: its alignment divides n's, so it fits at the same place. So "fits" is
 * monotone in n and the gap is described by the largest n. For the gap a..b-1, let M be
 * the multiple of the highest power of two, 2^k, in a..b. Both M-a and b-M are below 2^k.
 * At M everything up to b-M fits; below M, blocks must end at or before M, and the
 * largest is the largest power of two up to M-a. A block cannot straddle M, for its own
 * alignment would have to be coarser than 2^k. So
 *
 *   best(a, b) = max(b - M, largest power of two <= M - a).
 *
 * The highest gap at or below a point in which a request fits is therefore found in
 * O(log n) node visits for any size and any layout, gaps that are long enough but not
 * aligned included. A request without an alignment needs `longest`. One with another
 * alignment than its size's own has no figure: the gaps that either figure lets through are
 * tried one by one, and from a gap that fails the search goes on below the next multiple
 * at which the request could lie.
 *
 * Bounds, n ranges: search, insert, remove, rank, look-up O(log n), a node of bounded
 * size read or rewritten per level. Insert may need memory for splits and takes all of it
 * before it changes anything; remove and lower never need any.
 */
#ifndef IOVA_RANGE_INDEX_H
#define IOVA_RANGE_INDEX_H

#include "common.h"

#define LEAF_SLOTS 62u
#define NODE_SLOTS 24u
/* Levels of inner nodes. Siblings that fit in one node are merged, so inner nodes are
 * more than a third full on average and 2^48 ranges need fewer. */
#define MAX_HEIGHT 20u

/*
 * Slots beyond the count have the key UINT64_MAX: so a key is found by comparing with one
 * of each cache line's worth, and then with the others of that line, without a branch and
 * without waiting for one line to know the next.
 */
struct index_leaf {
	uint64_t hi[LEAF_SLOTS];
	uint64_t count;
	uint64_t gaps; /* bit 63 - i: there is a gap below range i; most ranges touch */
	uint64_t lo[LEAF_SLOTS];
	uint64_t floor; /* pfn above the range before the first; 0: there is none */
};

struct index_node {
	uint64_t key[NODE_SLOTS]; /* hi of the child's last range */
	void *child[NODE_SLOTS];
	uint64_t best[NODE_SLOTS];
	uint64_t longest[NODE_SLOTS];
	uint64_t ranges[NODE_SLOTS];
	uint64_t count;
};

struct range_index {
	void *root; /* a leaf if height is 0 */
	unsigned height;
	uint64_t count; /* ranges, the anchor among them */
	uint64_t pages; /* that they cover, the anchor not counted */
	uint64_t leaves, nodes;
	const struct iova_memory *memory;
};

/* The way from the root to one range. Any insert, remove or other seek makes it stale. */
struct index_path {
	struct index_node *node[MAX_HEIGHT]; /* node[height-1] is the root */
	unsigned at[MAX_HEIGHT];	     /* which child */
	struct index_leaf *leaf;
	unsigned slot;
};

/* IOVA_NO_MEMORY, or a new index that holds the anchor. */
enum iova_status index_init(struct range_index *index, const struct iova_memory *memory);
void index_fini(struct range_index *index);

/* The first range whose hi is at or above pfn; always found. */
void index_seek(const struct range_index *index, uint64_t pfn, struct index_path *path);
/* To the next range up or down; false, and nothing changed, if there is none. */
bool index_next(const struct range_index *index, struct index_path *path);
bool index_previous(const struct range_index *index, struct index_path *path);
/* Ranges below this one. */
uint64_t index_rank(const struct range_index *index, const struct index_path *path);

/* The range above the path's, which is not the anchor's. */
struct iova_range index_range_above(const struct range_index *index, const struct index_path *path);

static inline struct iova_range index_range(const struct index_path *path)
{
	return (struct iova_range){ path->leaf->lo[path->slot], path->leaf->hi[path->slot] };
}

/*
 * The highest gap below `top` that holds size frames at a multiple of the alignment that
 * `mask` clears to; mask is all ones, or clears exactly order_of(size) bits. True: *pfn
 * is the highest such place in it, and the path leads to the range above the gap.
 * The second form takes the path that index_seek() found for top.
 */
bool index_find_gap(const struct range_index *index, uint64_t top, uint64_t size, uint64_t mask,
		    struct index_path *path, uint64_t *pfn);
bool index_find_gap_from(const struct range_index *index, uint64_t top, uint64_t size,
			 uint64_t mask, struct index_path *path, uint64_t *pfn);

/*
 * The same for a multiple of 2^order, order <= 63, whatever the size. Takes a search as
 * above for each gap it tries: at most as many as there are gaps of that length, and as
 * there are multiples of 2^order below top.
 */
bool index_find_gap_at_order(const struct range_index *index, uint64_t top, uint64_t size,
			     unsigned order, struct index_path *path, uint64_t *pfn);
/*
 * Frames of the longest piece without a range, from pfn `low` up to the anchor; path is
 * what index_seek() found for low.
 */
uint64_t index_longest_gap(const struct range_index *index, uint64_t low,
			   const struct index_path *path);

/*
 * Add `range`, which lies in the gap below the path's range. IOVA_NO_MEMORY changes
 * nothing.
 */
enum iova_status index_insert(struct range_index *index, struct index_path *path,
			      struct iova_range range);
/* Remove the path's range, which is not the anchor. */
void index_remove(struct range_index *index, struct index_path *path);
/* Let the path's range begin at lo, lower than it did and above the range before it. */
void index_lower(struct range_index *index, struct index_path *path, uint64_t lo);

/* Bytes of all nodes. */
uint64_t index_bytes(const struct range_index *index);
/* NULL, or what is wrong. Visits every node. */
const char *index_check(const struct range_index *index);

#endif
