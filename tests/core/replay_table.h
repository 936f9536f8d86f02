/* SPDX-License-Identifier: MIT */
/* replay_table - rows written one by one, as the columns a replay reads; and the replays. */
#ifndef REPLAY_TABLE_H
#define REPLAY_TABLE_H

#include "replay.h"
#include "support.h"

/* One row, its fields in the order in which tests write them. */
struct row {
	int64_t t;
	uint8_t op;
	uint16_t cpu;
	uint32_t slot;
	uint64_t size, limit;
	uint8_t flags;
	uint32_t domain;
	uint64_t pfn, last;
	uint32_t n;
};

#define ROWS 4096

struct table {
	size_t count;
	int64_t t[ROWS];
	uint16_t cpu[ROWS];
	uint8_t op[ROWS], flags[ROWS];
	uint32_t domain[ROWS], slot[ROWS], n[ROWS];
	uint64_t size[ROWS], limit[ROWS], pfn[ROWS], last[ROWS], result[ROWS];
};

/* One of each for the program. */
extern struct table table;
extern struct test_memory memory;
extern const struct iova_design *designs[2]; /* of plain()'s domains, linux-6.12 */

void add(struct row row);
/* Of domain 0, below 4 GiB. */
void add_alloc(int64_t t, uint16_t cpu, uint32_t slot, uint64_t size);
void add_free(int64_t t, uint16_t cpu, uint32_t slot);
/* Allocates and frees single pages on CPU 0 at t so that its depot gets so many magazines. */
void add_depot(int64_t t, uint32_t magazines);
struct replay_events rows_from(size_t first, size_t count);

/* One domain of linux-6.12 on two CPUs, memory from the table above. */
struct replay_config plain(void);
/* An empty table and a new replay. */
struct replay *begin(struct replay_config config);
/* Feed all rows of the table, each of which must be fine, and empty the table. */
void feed(struct replay *replay);
/* Destroy the replay and check that no memory is left. */
void end(struct replay *replay);

#endif
