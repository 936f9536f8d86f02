/* What must be so after any input, for the fuzz targets of the scanner and of the ring buffer's decoder: every line
 * is counted once, the rows are in order of time, and they can be taken out.
 */
#ifndef IOVA_FUZZ_CHECKS_H
#define IOVA_FUZZ_CHECKS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "arrow.h"
#include "scan.h"

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

static inline void check_counts(const struct scan_counts *counts)
{
    uint64_t lines = counts->headers + counts->loss_lines + counts->unknown + counts->malformed;

    for (int i = 0; i < VOCABULARY_EVENTS; i++)
        lines += counts->events[i];
    require(lines == counts->lines);
}

static inline void check_rows(const struct rows *rows)
{
    int64_t last = INT64_MIN;

    for (uint64_t i = 0; i < rows->count; i++) {
        const struct row_block *block = rows->blocks[i / ROWS_PER_BLOCK];
        const size_t at = i % ROWS_PER_BLOCK;
        require(block->t[at] >= last);
        require(!(block->valid[at] & VALID(T_END)) || block->t_end[at] >= block->t[at]);
        require(!(block->valid[at] & VALID(SLOT)) || block->slot[at] < rows->count);
        last = block->t[at];
    }
}

/* Takes the rows out and lets go of the batches in another order than they came. */
static inline void drain(struct scanner *scanner)
{
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray batch;

    require(arrow_stream_of(&scanner->calls.rows, &stream));
    require(stream.get_schema(&stream, &schema) == 0);
    schema.release(&schema);
    require(stream.get_next(&stream, &batch) == 0);
    stream.release(&stream);
    if (batch.release) {
        struct ArrowArray column = *batch.children[COLUMN_DEPOT];
        batch.children[COLUMN_DEPOT]->release = NULL;
        batch.release(&batch);
        column.release(&column);
    }
}

#endif
