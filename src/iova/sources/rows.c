#include "rows.h"

#include <stdlib.h>

static bool add_block(struct rows *rows)
{
    if (rows->block_count == rows->block_capacity) {
        const size_t capacity = rows->block_capacity ? 2 * rows->block_capacity : 16;
        struct row_block **blocks = realloc(rows->blocks, capacity * sizeof(struct row_block *));
        if (!blocks)
            return false;
        rows->blocks = blocks;
        rows->block_capacity = capacity;
    }
    struct row_block *block = calloc(1, sizeof(*block));
    if (!block)
        return false;
    rows->blocks[rows->block_count++] = block;
    return true;
}

bool rows_grow(struct rows *rows)
{
    while ((uint64_t)rows->block_count * ROWS_PER_BLOCK < rows->count + 2) {
        if (!add_block(rows))
            return false;
    }
    return true;
}

void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->block_count; i++)
        free(rows->blocks[i]);
    free(rows->blocks);
    *rows = (struct rows){0};
}
