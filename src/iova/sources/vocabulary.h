/* The events of the trace text: their names and what their payload holds. */
#ifndef IOVA_SOURCES_VOCABULARY_H
#define IOVA_SOURCES_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

enum { VOCABULARY_EVENTS = 20, VOCABULARY_FIELDS = 10 };

/* Where a field's value goes: v[0..3], the flag, or depot[0..5]. */
enum field_use { USE_V0, USE_V1, USE_V2, USE_V3, USE_FLAG, USE_D0, USE_D5 = USE_D0 + RECORD_DEPOTS - 1 };

enum payload {
    PAYLOAD_PROBE, /* (address) name=value ... */
    PAYLOAD_UNMAP, /* IOMMU: iova=first - past the last ... */
    PAYLOAD_NONE,  /* not looked at */
};

/* `key` is the name with its `=`, as a word of eight characters (digits.h); all names fit. */
struct field {
    uint64_t key;
    uint64_t mask;
    uint8_t key_len;
    uint8_t use;
};

struct event {
    const char *name;
    uint8_t name_len;
    uint8_t kind;
    uint8_t payload;
    uint8_t field_count;
    uint16_t required; /* bits 1 << use of the fields that must be there */
    struct field fields[VOCABULARY_FIELDS + 1]; /* the last one matches nothing */
};

extern const struct event vocabulary[VOCABULARY_EVENTS];

/* The first characters of the names, as words, for the search. */
struct vocabulary_keys {
    uint64_t head[VOCABULARY_EVENTS];
    uint64_t mask[VOCABULARY_EVENTS];
};

void vocabulary_prepare(struct vocabulary_keys *keys);

/* Index of the event whose name, and then a colon, stand at p; or -1. */
int vocabulary_find(const struct vocabulary_keys *keys, const char *p, const char *end);

/* Index of the event that makes records of this kind. */
int vocabulary_of_kind(unsigned kind);

#endif
