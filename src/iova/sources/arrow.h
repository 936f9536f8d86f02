/* Rows out, without a copy: the Arrow C stream interface.
 *
 * The structs are those of the Arrow specification ("The Arrow C data interface" and "C stream interface"), whose
 * layout is fixed. Each block of rows becomes one batch; a block is freed when the last of its columns is released.
 */
#ifndef IOVA_SOURCES_ARROW_H
#define IOVA_SOURCES_ARROW_H

#include <stdbool.h>
#include <stdint.h>

#include "rows.h"

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

/* Moves the rows into a stream of batches, leaving none behind. False: no memory; the rows are as before. */
bool arrow_stream_of(struct rows *rows, struct ArrowArrayStream *stream);

#endif
