#include "arrow.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ARROW_FLAG_NULLABLE = 2 };

struct column_format {
    const char *name;
    const char *format;
};

static const struct column_format formats[COLUMNS] = {
    [COLUMN_T] = {"t", "l"},         [COLUMN_T_END] = {"t_end", "l"}, [COLUMN_CPU] = {"cpu", "S"},
    [COLUMN_OP] = {"op", "C"},       [COLUMN_DOMAIN] = {"domain", "I"}, [COLUMN_FLAGS] = {"flags", "C"},
    [COLUMN_SIZE] = {"size", "L"},   [COLUMN_LIMIT] = {"limit", "L"}, [COLUMN_PFN] = {"pfn", "L"},
    [COLUMN_LAST] = {"last", "L"},   [COLUMN_SLOT] = {"slot", "I"},   [COLUMN_N] = {"n", "I"},
    [COLUMN_DEPOT] = {"depot", "+w:6"},
};

_Static_assert(RECORD_DEPOTS == 6, "the format of the depot column says so");

/* ---------------------------------------------------------------- schema */

struct schema_memory {
    struct ArrowSchema columns[COLUMNS];
    struct ArrowSchema *pointers[COLUMNS];
    struct ArrowSchema item;
    struct ArrowSchema *item_pointer;
};

static void release_part_of_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void release_schema(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release)
            schema->children[i]->release(schema->children[i]);
    }
    free(schema->private_data);
    schema->release = NULL;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct schema_memory *memory = calloc(1, sizeof(*memory));

    (void)stream;
    if (!memory)
        return ENOMEM;
    for (int i = 0; i < COLUMNS; i++) {
        memory->pointers[i] = &memory->columns[i];
        memory->columns[i] = (struct ArrowSchema){.format = formats[i].format,
                                                  .name = formats[i].name,
                                                  .flags = ARROW_FLAG_NULLABLE,
                                                  .release = release_part_of_schema};
    }
    memory->item = (struct ArrowSchema){
        .format = "S", .name = "item", .flags = ARROW_FLAG_NULLABLE, .release = release_part_of_schema};
    memory->item_pointer = &memory->item;
    memory->columns[COLUMN_DEPOT].n_children = 1;
    memory->columns[COLUMN_DEPOT].children = &memory->item_pointer;
    *out = (struct ArrowSchema){.format = "+s",
                                .name = "",
                                .n_children = COLUMNS,
                                .children = memory->pointers,
                                .release = release_schema,
                                .private_data = memory};
    return 0;
}

/* ---------------------------------------------------------------- batches */

enum { BITMAP_WORDS = ROWS_PER_BLOCK / 64 };

/* A block and what describes it as arrays; `users` counts the arrays that are not released. */
struct batch {
    atomic_int users;
    struct row_block *block;
    struct ArrowArray columns[COLUMNS];
    struct ArrowArray *pointers[COLUMNS];
    struct ArrowArray item;
    struct ArrowArray *item_pointer;
    const void *buffers[COLUMNS][2];
    const void *item_buffers[2];
    const void *no_buffer;
    uint64_t bitmaps[COLUMNS][BITMAP_WORDS];
};

static void release_array(struct ArrowArray *array)
{
    struct batch *batch = array->private_data;

    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release)
            array->children[i]->release(array->children[i]);
    }
    array->release = NULL;
    if (atomic_fetch_sub(&batch->users, 1) == 1) {
        free(batch->block);
        free(batch);
    }
}

static const void *column_values(const struct row_block *b, int column)
{
    const void *values[COLUMNS] = {
        [COLUMN_T] = b->t,         [COLUMN_T_END] = b->t_end, [COLUMN_CPU] = b->cpu,   [COLUMN_OP] = b->op,
        [COLUMN_DOMAIN] = b->domain, [COLUMN_FLAGS] = b->flags, [COLUMN_SIZE] = b->size, [COLUMN_LIMIT] = b->limit,
        [COLUMN_PFN] = b->pfn,     [COLUMN_LAST] = b->last,   [COLUMN_SLOT] = b->slot, [COLUMN_N] = b->n,
        [COLUMN_DEPOT] = b->depot,
    };
    return values[column];
}

/* Fills the column's bitmap; how many rows are null. */
static int64_t fill_bitmap(const struct row_block *block, int column, uint32_t count, uint64_t *bitmap)
{
    int64_t valid = 0;

    for (uint32_t first = 0; first < count; first += 64) {
        const uint32_t here = count - first < 64 ? count - first : 64;
        uint64_t word = 0;
        for (uint32_t i = 0; i < here; i++)
            word |= (uint64_t)(block->valid[first + i] >> column & 1) << i;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        bitmap[first / 64] = __builtin_bswap64(word);
#else
        bitmap[first / 64] = word;
#endif
        valid += __builtin_popcountll(word);
    }
    return (int64_t)count - valid;
}

static void describe_column(struct batch *batch, int column, uint32_t count)
{
    const int64_t nulls = fill_bitmap(batch->block, column, count, batch->bitmaps[column]);

    batch->buffers[column][0] = nulls ? batch->bitmaps[column] : NULL;
    batch->buffers[column][1] = column_values(batch->block, column);
    batch->pointers[column] = &batch->columns[column];
    batch->columns[column] = (struct ArrowArray){.length = count,
                                                 .null_count = nulls,
                                                 .n_buffers = 2,
                                                 .buffers = batch->buffers[column],
                                                 .release = release_array,
                                                 .private_data = batch};
}

/* A list of fixed size has its values in a child. */
static void describe_depot(struct batch *batch, uint32_t count)
{
    batch->item_buffers[0] = NULL;
    batch->item_buffers[1] = batch->block->depot;
    batch->item_pointer = &batch->item;
    batch->item = (struct ArrowArray){.length = (int64_t)count * RECORD_DEPOTS,
                                      .n_buffers = 2,
                                      .buffers = batch->item_buffers,
                                      .release = release_array,
                                      .private_data = batch};
    batch->columns[COLUMN_DEPOT].n_buffers = 1;
    batch->columns[COLUMN_DEPOT].n_children = 1;
    batch->columns[COLUMN_DEPOT].children = &batch->item_pointer;
}

/* Takes over the block. */
static bool describe_block(struct row_block *block, uint32_t count, struct ArrowArray *out)
{
    struct batch *batch = malloc(sizeof(*batch));

    if (!batch)
        return false;
    batch->block = block;
    batch->no_buffer = NULL;
    atomic_init(&batch->users, COLUMNS + 2);
    for (int column = 0; column < COLUMNS; column++)
        describe_column(batch, column, count);
    describe_depot(batch, count);
    *out = (struct ArrowArray){.length = count,
                               .n_buffers = 1,
                               .n_children = COLUMNS,
                               .buffers = &batch->no_buffer,
                               .children = batch->pointers,
                               .release = release_array,
                               .private_data = batch};
    return true;
}

/* ---------------------------------------------------------------- stream */

struct stream_memory {
    struct rows rows;
    size_t next; /* block; those before are given away */
};

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct stream_memory *memory = stream->private_data;
    const uint64_t first = (uint64_t)memory->next * ROWS_PER_BLOCK;

    if (memory->next == memory->rows.block_count || first >= memory->rows.count) {
        *out = (struct ArrowArray){0};
        return 0;
    }
    const uint64_t left = memory->rows.count - first;
    if (!describe_block(memory->rows.blocks[memory->next], left < ROWS_PER_BLOCK ? (uint32_t)left : ROWS_PER_BLOCK, out))
        return ENOMEM;
    memory->rows.blocks[memory->next++] = NULL;
    return 0;
}

static const char *get_last_error(struct ArrowArrayStream *stream)
{
    (void)stream;
    return "out of memory";
}

static void release_stream(struct ArrowArrayStream *stream)
{
    struct stream_memory *memory = stream->private_data;

    rows_free(&memory->rows);
    free(memory);
    stream->release = NULL;
}

bool arrow_stream_of(struct rows *rows, struct ArrowArrayStream *stream)
{
    struct stream_memory *memory = malloc(sizeof(*memory));

    if (!memory)
        return false;
    *memory = (struct stream_memory){.rows = *rows};
    *rows = (struct rows){0};
    *stream = (struct ArrowArrayStream){get_schema, get_next, get_last_error, release_stream, memory};
    return true;
}
