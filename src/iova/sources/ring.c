#include "ring.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- words */

static uint64_t word(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* ---------------------------------------------------------------- formats */

static const struct field *field_named(const struct event *event, const char *name)
{
    char padded[TEXT_SLACK] = {0};
    const size_t len = strlen(name);

    if (len + 1 > 8)
        return NULL;
    memcpy(padded, name, len);
    padded[len] = '=';
    const uint64_t key = peek8(padded);
    for (unsigned i = 0; i < event->field_count; i++) {
        if ((key & event->fields[i].mask) == event->fields[i].key && event->fields[i].key_len == len + 1)
            return &event->fields[i];
    }
    return NULL;
}

/* The kernel's own event: first byte and length, not a probe's fields. */
static int use_in_unmap(const char *name)
{
    if (strcmp(name, "iova") == 0)
        return USE_V1;
    return strcmp(name, "size") == 0 ? USE_V2 : -1;
}

static int use_of_field(const struct event *event, const char *name)
{
    if (event->payload == PAYLOAD_UNMAP)
        return use_in_unmap(name);
    const struct field *field = field_named(event, name);
    return field ? field->use : -1;
}

static bool is_readable(const struct ring_format_field *field)
{
    const bool is_word = field->size == 1 || field->size == 2 || field->size == 4 || field->size == 8;

    return is_word && field->offset <= UINT16_MAX - 8;
}

enum ring_bound ring_bind(struct ring *ring, uint64_t id, const char *name, const struct ring_format_field *fields,
                          size_t count)
{
    int at = 0;

    while (at < VOCABULARY_EVENTS && strcmp(vocabulary[at].name, name) != 0)
        at++;
    if (at == VOCABULARY_EVENTS || id >= RING_IDS)
        return RING_UNKNOWN_EVENT;
    struct ring_event *bound = &ring->events[at];
    *bound = (struct ring_event){.event = (uint8_t)at, .need = 8};
    for (size_t i = 0; i < count; i++) {
        const int use = use_of_field(&vocabulary[at], fields[i].name);
        if (use < 0 || !is_readable(&fields[i]) || bound->field_count == RING_FIELDS || bound->seen & 1u << use)
            continue;
        bound->fields[bound->field_count++] = (struct ring_field){
            .offset = (uint16_t)fields[i].offset, .size = (uint8_t)fields[i].size, .use = (uint8_t)use};
        bound->seen |= (uint16_t)(1u << use);
        const uint16_t end = (uint16_t)(fields[i].offset + fields[i].size);
        if (end > bound->need)
            bound->need = end;
    }
    const unsigned required = vocabulary[at].payload == PAYLOAD_UNMAP ? 1u << USE_V1 | 1u << USE_V2
                                                                      : vocabulary[at].required;
    if ((bound->seen & required) != required)
        return RING_LACKS_A_FIELD;
    ring->by_id[id] = (uint8_t)(at + 1);
    return RING_BOUND;
}

/* ---------------------------------------------------------------- one entry */

#define ALL_DEPOTS (((1u << RECORD_DEPOTS) - 1) << USE_D0)

static void store(struct record *r, unsigned use, uint64_t value)
{
    if (use <= USE_V3)
        r->v[use] = value;
    else if (use == USE_FLAG)
        r->has |= value ? HAS_FLAG | FLAG_SET : HAS_FLAG;
    else
        r->depot[use - USE_D0] = (uint16_t)value;
}

static void read_record(const struct ring_event *bound, const uint8_t *entry, struct record *r)
{
    const struct event *event = &vocabulary[bound->event];

    memset(r, 0, sizeof(*r));
    r->kind = event->kind;
    r->pid = (uint32_t)word(entry + 4, 4);
    for (unsigned i = 0; i < bound->field_count; i++)
        store(r, bound->fields[i].use, word(entry + bound->fields[i].offset, bound->fields[i].size));
    r->has |= (uint8_t)(bound->seen & (HAS_V0 | HAS_V1 | HAS_V2 | HAS_V3));
    if ((bound->seen & ALL_DEPOTS) == ALL_DEPOTS)
        r->has |= HAS_DEPOT;
    if (event->payload == PAYLOAD_UNMAP)
        r->v[2] += r->v[1];
}

/* ---------------------------------------------------------------- pages */

enum {
    PAGE_HEADER = 16,
    ENTRY_HEADER = 4,
    TYPE_BITS = 5,
    DELTA_BITS = 27,
    TYPE_LONG = 0, /* the length stands in the next word */
    TYPE_LONGEST = 28,
    TYPE_PADDING = 29,
    TYPE_EXTEND = 30,
    TYPE_STAMP = 31,
};

static const uint64_t COMMIT_MASK = 0xfffff;
static const uint64_t COMMIT_MISSED = 1u << 31;
static const uint64_t COMMIT_COUNTED = 1u << 30; /* how many were missed stands behind the entries */
static const uint64_t STAMP_TOP = 0xf8ULL << 56; /* an absolute time has 59 bits */

/* Where a CPU is in its pages. `has`: `record` waits for its turn. */
struct cursor_of_cpu {
    const struct ring_page *page;
    const struct ring_page *end;
    const uint8_t *at;
    const uint8_t *stop;
    uint64_t t;
    struct record record;
    int event;
    bool has;
};

struct merge {
    const struct ring *ring;
    struct scanner *scanner;
    const uint8_t *base;
    size_t size;
};

static void damaged(const struct merge *m, struct cursor_of_cpu *c, const char *problem)
{
    scan_malformed(m->scanner, problem);
    c->at = c->stop;
}

static void open_page(const struct merge *m, struct cursor_of_cpu *c)
{
    const struct ring_page *page = c->page++;

    c->at = c->stop = m->base;
    if (page->offset > m->size || page->length > m->size - page->offset || page->length < PAGE_HEADER) {
        damaged(m, c, "a page of the ring buffer is cut short");
        return;
    }
    const uint8_t *start = m->base + page->offset;
    const uint64_t commit = word(start + 8, 8);
    const uint64_t used = commit & COMMIT_MASK;
    if (used > page->length - PAGE_HEADER) {
        damaged(m, c, "a page of the ring buffer is shorter than it says");
        return;
    }
    c->t = word(start, 8);
    c->at = start + PAGE_HEADER;
    c->stop = c->at + used;
    if (commit & COMMIT_MISSED) {
        const bool counted = commit & COMMIT_COUNTED && page->length - PAGE_HEADER - used >= 8;
        const uint64_t missed = counted ? word(c->stop, 8) : 1;
        scan_lost(m->scanner, missed ? missed : 1);
    }
}

/* Takes an entry's payload, if it is an event of ours. */
static void take_payload(const struct merge *m, struct cursor_of_cpu *c, const uint8_t *entry, size_t len)
{
    const unsigned known = len >= 8 ? m->ring->by_id[word(entry, 2)] : 0;

    if (len < 8) {
        scan_malformed(m->scanner, "an event of the ring buffer has no header");
    } else if (!known) {
        scan_unknown_id(m->scanner, (unsigned)word(entry, 2));
    } else if (len < m->ring->events[known - 1].need) {
        scan_malformed(m->scanner, "an event of the ring buffer is shorter than its format says");
    } else if (c->t >> 63) {
        damaged(m, c, "the time of an event in the ring buffer is too large");
    } else {
        read_record(&m->ring->events[known - 1], entry, &c->record);
        c->record.t = (int64_t)c->t;
        c->event = m->ring->events[known - 1].event;
        c->has = true;
    }
}

/* One entry at c->at, of which at least the header is there. */
static void take_entry(const struct merge *m, struct cursor_of_cpu *c)
{
    const uint64_t head = word(c->at, ENTRY_HEADER);
    const unsigned type = head & ((1u << TYPE_BITS) - 1);
    const uint64_t delta = head >> TYPE_BITS;
    const size_t left = (size_t)(c->stop - c->at);
    const uint64_t next = left >= 8 ? word(c->at + 4, 4) : 0;
    size_t len;

    if (type == TYPE_PADDING && delta == 0) {
        c->at = c->stop; /* the rest of the page was not used */
        return;
    }
    if (type == TYPE_LONG || type == TYPE_PADDING)
        len = (size_t)next + ENTRY_HEADER;
    else if (type <= TYPE_LONGEST)
        len = ENTRY_HEADER + 4 * (size_t)type;
    else
        len = 8;
    if (type == TYPE_LONG)
        len = (len + 3) & ~(size_t)3;
    if (len < 8 || len > left) {
        damaged(m, c, "an entry of the ring buffer is longer than its page");
        return;
    }
    const uint8_t *entry = c->at + (type == TYPE_LONG ? 8 : ENTRY_HEADER);
    const uint8_t *end = c->at + len;
    c->at = end;
    if (type == TYPE_STAMP) {
        c->t = (c->t & STAMP_TOP) | (delta + (next << DELTA_BITS));
        return;
    }
    c->t += type == TYPE_EXTEND ? delta + (next << DELTA_BITS) : delta;
    if (type <= TYPE_LONGEST)
        take_payload(m, c, entry, (size_t)(end - entry));
}

/* Goes on to the CPU's next record, if it has one. */
static void advance(const struct merge *m, struct cursor_of_cpu *c)
{
    c->has = false;
    while (!c->has) {
        if (c->at == c->stop) {
            if (c->page == c->end)
                return;
            open_page(m, c);
        } else if (c->stop - c->at < ENTRY_HEADER) {
            damaged(m, c, "an entry of the ring buffer is longer than its page");
        } else {
            take_entry(m, c);
        }
    }
}

/* ---------------------------------------------------------------- all CPUs */

/* The CPU whose record comes first, or NULL. */
static struct cursor_of_cpu *earliest(struct cursor_of_cpu *cpus, size_t count)
{
    struct cursor_of_cpu *first = NULL;

    for (size_t i = 0; i < count; i++) {
        if (cpus[i].has && (!first || cpus[i].record.t < first->record.t))
            first = &cpus[i];
    }
    return first;
}

static size_t count_cpus(const struct ring_page *pages, size_t count)
{
    size_t cpus = 0;

    for (size_t i = 0; i < count; i++)
        cpus += i == 0 || pages[i].cpu != pages[i - 1].cpu;
    return cpus;
}

bool ring_feed(const struct ring *ring, struct scanner *scanner, const uint8_t *base, size_t size,
               const struct ring_page *pages, size_t count)
{
    const struct merge m = {ring, scanner, base, size};
    const size_t cpus = count_cpus(pages, count);
    struct cursor_of_cpu *cursors = calloc(cpus ? cpus : 1, sizeof(*cursors));
    struct cursor_of_cpu *c = cursors - 1;
    bool fits = cursors != NULL;

    for (size_t i = 0; fits && i < count; i++) {
        if (i == 0 || pages[i].cpu != pages[i - 1].cpu)
            *++c = (struct cursor_of_cpu){.page = pages + i, .at = base, .stop = base};
        c->end = pages + i + 1;
    }
    for (size_t i = 0; fits && i < cpus; i++)
        advance(&m, &cursors[i]);
    while (fits && (c = earliest(cursors, cpus)) != NULL) {
        const uint64_t cpu = c->page[-1].cpu;
        if (cpu < LINE_MAX_CPUS) {
            c->record.cpu = (uint16_t)cpu;
            fits = scan_take(scanner, &c->record, c->event);
        } else {
            scan_malformed(scanner, "the CPU's number is too large");
        }
        advance(&m, c);
    }
    free(cursors);
    return fits;
}
