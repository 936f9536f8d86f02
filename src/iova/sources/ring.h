/* Pages of a kernel's ring buffer in, records in time order out, to the stage that pairs calls.
 *
 * A page is what one read of `trace_pipe_raw` gave: its time, the bytes that were committed, and entries. Every CPU has
 * its own pages, in order; they are merged by time, equal times by CPU. Nothing is copied but the record at hand, so
 * memory is bounded by the number of CPUs, whatever the recording's size.
 *
 * Where an event keeps its fields differs from kernel to kernel: the event's format says it, and ring_bind() ties
 * its fields to those of the vocabulary.
 *
 * Pages are as untrusted as text: every length is looked at before it is used. What is damaged is counted as
 * malformed, and the rest of its page left out; each event counts as one line of the scanner.
 *
 * Words are little-endian, as on all machines that the recorder knows.
 */
#ifndef IOVA_SOURCES_RING_H
#define IOVA_SOURCES_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scan.h"

enum { RING_IDS = 65536, RING_FIELDS = VOCABULARY_FIELDS };

struct ring_field {
    uint16_t offset; /* from the entry's first byte */
    uint8_t size;    /* 1, 2, 4 or 8 */
    uint8_t use;     /* enum field_use */
};

struct ring_event {
    struct ring_field fields[RING_FIELDS];
    uint16_t seen; /* a bit for each use */
    uint16_t need; /* bytes an entry must have */
    uint8_t field_count;
    uint8_t event; /* index of the vocabulary */
};

struct ring {
    struct ring_event events[VOCABULARY_EVENTS];
    uint8_t by_id[RING_IDS]; /* index into `events` + 1; 0: not known */
};

/* A page of one CPU: where it lies. */
struct ring_page {
    uint64_t cpu;
    uint64_t offset;
    uint64_t length;
};

/* A field's name, offset and bytes, as a format has them. */
struct ring_format_field {
    const char *name;
    uint64_t offset;
    uint64_t size;
};

enum ring_bound { RING_BOUND, RING_UNKNOWN_EVENT, RING_LACKS_A_FIELD };

/* Ties an event's number and fields to the vocabulary. Fields of other names are left out. */
enum ring_bound ring_bind(struct ring *ring, uint64_t id, const char *name, const struct ring_format_field *fields,
                          size_t count);

/* Takes all pages. They must be sorted by CPU, each CPU's in order. False: no memory, and the scanner can only be
 * freed. */
bool ring_feed(const struct ring *ring, struct scanner *scanner, const uint8_t *base, size_t size,
               const struct ring_page *pages, size_t count);

#endif
