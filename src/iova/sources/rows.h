/* The event table being built, column by column, as events.py names them.
 *
 * Rows live in blocks that never move, and a row can be changed until the end, for a call's return comes after
 * other rows. What a row does not use stays zero and its bit in `valid` clear: that is a null.
 */
#ifndef IOVA_SOURCES_ROWS_H
#define IOVA_SOURCES_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* Columns in file order, and bits of `valid`. */
enum column {
    COLUMN_T,
    COLUMN_T_END,
    COLUMN_CPU,
    COLUMN_OP,
    COLUMN_DOMAIN,
    COLUMN_FLAGS,
    COLUMN_SIZE,
    COLUMN_LIMIT,
    COLUMN_PFN,
    COLUMN_LAST,
    COLUMN_SLOT,
    COLUMN_N,
    COLUMN_DEPOT,
    COLUMNS,
};

#define VALID(column) ((uint16_t)(1u << COLUMN_##column))

/* As events.Op. */
enum op {
    OP_CREATE = 0,
    OP_MAKE_CACHES = 1,
    OP_RESERVE = 2,
    OP_ALLOC = 3,
    OP_FREE = 4,
    OP_CPU_OFFLINE = 6,
    OP_DESTROY = 8,
    OP_TREE_ALLOC = 16,
    OP_TREE_FREE = 17,
    OP_TREE_REMOVE = 18,
    OP_MAGAZINE_FREE = 19,
    OP_RECLAIM = 20,
    OP_UNMAP = 21,
    OP_FLUSH_TIMER = 22,
};

/* As events.Flag. */
enum op_flag { FLAG_FLUSH_RETRY = 2, FLAG_ALIGN = 8, FLAG_REACHED_TREE = 16 };

/* A multiple of 64. Tests build with a small one. */
#ifndef ROWS_PER_BLOCK
#define ROWS_PER_BLOCK 32768
#endif

struct row_block {
    int64_t t[ROWS_PER_BLOCK];
    int64_t t_end[ROWS_PER_BLOCK];
    uint64_t size[ROWS_PER_BLOCK];
    uint64_t limit[ROWS_PER_BLOCK];
    uint64_t pfn[ROWS_PER_BLOCK];
    uint64_t last[ROWS_PER_BLOCK];
    uint32_t domain[ROWS_PER_BLOCK];
    uint32_t slot[ROWS_PER_BLOCK];
    uint32_t n[ROWS_PER_BLOCK];
    uint16_t depot[ROWS_PER_BLOCK][RECORD_DEPOTS];
    uint16_t cpu[ROWS_PER_BLOCK];
    uint16_t valid[ROWS_PER_BLOCK];
    uint8_t op[ROWS_PER_BLOCK];
    uint8_t flags[ROWS_PER_BLOCK];
};

struct rows {
    struct row_block **blocks; /* all full but the last */
    size_t block_count;
    size_t block_capacity;
    uint64_t count;
};

/* One row: its block and its place there. Stays good as rows are added. */
struct row {
    struct row_block *block;
    uint32_t at;
};

/* Makes room for two more rows. False: no memory; the rows are as before. */
bool rows_grow(struct rows *rows);

static inline bool rows_reserve(struct rows *rows)
{
    return (uint64_t)rows->block_count * ROWS_PER_BLOCK >= rows->count + 2 || rows_grow(rows);
}

/* A new row of nulls with t, cpu, op and flags (none) set; room for it must have been reserved. */
static inline struct row rows_add(struct rows *rows, int64_t t, uint16_t cpu, enum op op)
{
    const struct row row = {rows->blocks[rows->count / ROWS_PER_BLOCK], (uint32_t)(rows->count % ROWS_PER_BLOCK)};

    rows->count++;
    row.block->t[row.at] = t;
    row.block->cpu[row.at] = cpu;
    row.block->op[row.at] = (uint8_t)op;
    row.block->valid[row.at] = VALID(T) | VALID(CPU) | VALID(OP) | VALID(FLAGS);
    return row;
}

void rows_free(struct rows *rows);

/* ---------------------------------------------------------------- setting what a row has */

static inline void row_set_end(struct row row, int64_t t)
{
    row.block->t_end[row.at] = t;
    row.block->valid[row.at] |= VALID(T_END);
}

static inline void row_set_domain(struct row row, uint32_t domain)
{
    row.block->domain[row.at] = domain;
    row.block->valid[row.at] |= VALID(DOMAIN);
}

static inline void row_set_flag(struct row row, enum op_flag flag)
{
    row.block->flags[row.at] |= (uint8_t)flag;
}

static inline void row_set_size(struct row row, uint64_t size)
{
    row.block->size[row.at] = size;
    row.block->valid[row.at] |= VALID(SIZE);
}

static inline void row_set_limit(struct row row, uint64_t limit)
{
    row.block->limit[row.at] = limit;
    row.block->valid[row.at] |= VALID(LIMIT);
}

static inline void row_set_pfn(struct row row, uint64_t pfn)
{
    row.block->pfn[row.at] = pfn;
    row.block->valid[row.at] |= VALID(PFN);
}

static inline void row_set_range(struct row row, uint64_t pfn, uint64_t last)
{
    row_set_pfn(row, pfn);
    row.block->last[row.at] = last;
    row.block->valid[row.at] |= VALID(LAST);
}

static inline void row_set_slot(struct row row, uint32_t slot)
{
    row.block->slot[row.at] = slot;
    row.block->valid[row.at] |= VALID(SLOT);
}

static inline void row_set_n(struct row row, uint32_t n)
{
    row.block->n[row.at] = n;
    row.block->valid[row.at] |= VALID(N);
}

/* The depot lengths, where the record has them. */
static inline void row_set_depot(struct row row, const struct record *record)
{
    if (!(record->has & HAS_DEPOT))
        return;
    for (int i = 0; i < RECORD_DEPOTS; i++)
        row.block->depot[row.at][i] = record->depot[i];
    row.block->valid[row.at] |= VALID(DEPOT);
}

#endif
