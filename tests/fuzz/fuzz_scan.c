/* Fuzz target of the importer's C scanner, for libFuzzer.
 *
 * The first byte of the input chooses where the rest is cut into pieces, its top bit whose layout it has. Checked besides what the sanitizers see:
 * every line is counted once, the rows are in order of time, and the pieces make no difference.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_checks.h"

/* A piece of its own size on the heap, so that reading beyond it is seen. */
static void feed_copy(struct scanner *scanner, const uint8_t *text, size_t len)
{
    char *copy = malloc(len ? len : 1);

    require(copy != NULL);
    if (len)
        memcpy(copy, text, len);
    require(scan_feed(scanner, copy, len));
    free(copy);
}

static struct scanner *scan_in_pieces(const uint8_t *text, size_t len, size_t piece, enum line_layout layout)
{
    struct scanner *scanner = scan_new(piece, layout);

    require(scanner != NULL);
    for (size_t at = 0; at < len; at += piece)
        feed_copy(scanner, text + at, len - at < piece ? len - at : piece);
    require(scan_finish(scanner));
    return scanner;
}

static void check_same(const struct scanner *a, const struct scanner *b)
{
    require(memcmp(&a->counts, &b->counts, sizeof(a->counts)) == 0);
    require(memcmp(&a->calls.counts, &b->calls.counts, sizeof(a->calls.counts)) == 0);
    require(a->problem_count == b->problem_count && a->calls.rows.count == b->calls.rows.count);
    for (size_t i = 0; i < a->calls.rows.block_count; i++)
        require(memcmp(a->calls.rows.blocks[i], b->calls.rows.blocks[i], sizeof(struct row_block)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const enum line_layout layout = data[0] & 0x80 ? LAYOUT_PERF : LAYOUT_FTRACE;
    struct scanner *whole = scan_in_pieces(data + 1, size - 1, size, layout);
    struct scanner *pieces = scan_in_pieces(data + 1, size - 1, (size_t)(data[0] & 0x7f) + 1, layout);
    check_counts(&whole->counts);
    check_rows(&whole->calls.rows);
    check_same(whole, pieces);
    drain(whole);
    scan_free(whole);
    scan_free(pieces);
    return 0;
}
