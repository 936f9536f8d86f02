/* Fuzz target of the decoder of raw ring-buffer pages, for libFuzzer.
 *
 * An input is a recording in small, all numbers little-endian. One byte says how many formats follow; each is an event
 * (one byte, an index of the vocabulary), the number by which pages know it (two), how many fields it has (one), and
 * for each field its name (one byte, an index of the names below), offset (two) and size (one). The rest is pages: a
 * CPU (one byte), a length (two), and so many bytes, or as many as there are: the last page may be cut short.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_checks.h"
#include "ring.h"

enum { MAX_PAGES = 256 };

static const char *const names[] = {"iovad", "size", "limit", "flush", "align", "start", "depot",
                                    "granule", "iova", "work", "pfn", "cpu", "lo", "hi",
                                    "n", "d0", "d1", "d2", "d3", "d4", "d5"};

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

/* 0 where the input has ended. */
static unsigned take(struct input *in, unsigned bytes)
{
    unsigned value = 0;

    for (unsigned i = 0; i < bytes && in->at < in->end; i++)
        value |= (unsigned)*in->at++ << (8 * i);
    return value;
}

/* False: the recorder's reader would go no further. */
static bool bind_one(struct ring *ring, struct input *in)
{
    struct ring_format_field fields[UINT8_MAX];
    const char *name = vocabulary[take(in, 1) % VOCABULARY_EVENTS].name;
    const unsigned id = take(in, 2);
    const unsigned count = take(in, 1);

    for (unsigned i = 0; i < count; i++) {
        fields[i].name = names[take(in, 1) % (sizeof(names) / sizeof(names[0]))];
        fields[i].offset = take(in, 2);
        fields[i].size = take(in, 1);
    }
    return ring_bind(ring, id, name, fields, count) != RING_LACKS_A_FIELD;
}

/* The pages as they come; their offsets are into all that is left of the input. */
static size_t list_pages(struct input in, struct ring_page *pages)
{
    const uint8_t *base = in.at;
    size_t count = 0;

    while (in.at < in.end && count < MAX_PAGES) {
        struct ring_page *page = &pages[count++];
        page->cpu = take(&in, 1);
        page->length = take(&in, 2);
        page->offset = (uint64_t)(in.at - base);
        in.at += page->length < (uint64_t)(in.end - in.at) ? page->length : (uint64_t)(in.end - in.at);
    }
    return count;
}

/* By CPU, each CPU's in order. */
static void sort_pages(struct ring_page *pages, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct ring_page page = pages[i];
        size_t at = i;
        for (; at > 0 && pages[at - 1].cpu > page.cpu; at--)
            pages[at] = pages[at - 1];
        pages[at] = page;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct ring *ring = calloc(1, sizeof(*ring));
    struct ring_page pages[MAX_PAGES];
    bool bound = true;

    require(ring != NULL);
    for (unsigned left = take(&in, 1); bound && left > 0; left--)
        bound = bind_one(ring, &in);
    const size_t rest = (size_t)(in.end - in.at);
    const size_t count = list_pages(in, pages);
    if (bound && count > 0) {
        /* Of its own size on the heap, so that reading beyond it is seen. */
        uint8_t *copy = malloc(rest);
        struct scanner *scanner = scan_new(1, LAYOUT_FTRACE);
        require(copy != NULL && scanner != NULL);
        memcpy(copy, in.at, rest);
        sort_pages(pages, count);
        require(ring_feed(ring, scanner, copy, rest, pages, count));
        free(copy);
        require(scan_finish(scanner));
        check_counts(&scanner->counts);
        check_rows(&scanner->calls.rows);
        drain(scanner);
        scan_free(scanner);
    }
    free(ring);
    return 0;
}
