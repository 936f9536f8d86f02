#include "line.h"

#include "cursor.h"
#include "header.h"
#include "vocabulary.h"

/* ---------------------------------------------------------------- fields */

/* The field whose name the word starts with. */
static const struct field *find_field(const struct event *event, uint64_t word)
{
    for (unsigned i = 0; i < event->field_count; i++) {
        if ((word & event->fields[i].mask) == event->fields[i].key)
            return &event->fields[i];
    }
    return NULL;
}

/* A field that we do not use: `name=` and anything up to a space. */
static const char *skip_field(const char *p, const char *end)
{
    const char *name = p;

    while (p < end && is_identifier(*p))
        p++;
    if (p == name || p == end || *p != '=')
        return NULL;
    const char *space = memchr(p, ' ', (size_t)(end - p));
    return space ? space : end;
}

/* A value the kernel could not read. */
static bool is_fault(const char *p, const char *end)
{
    return p < end && *p == '(' && end - p >= 7 && memcmp(p, "(fault)", 7) == 0;
}

static bool store(struct record *r, unsigned use, uint64_t value)
{
    if (use <= USE_V3) {
        r->v[use] = value;
    } else if (use == USE_FLAG) {
        r->has |= value ? HAS_FLAG | FLAG_SET : HAS_FLAG;
    } else {
        r->depot[use - USE_D0] = (uint16_t)value;
        return value <= UINT16_MAX;
    }
    return true;
}

/* `name=value` at *at, which moves to the space after it. *seen has a bit for each use. */
static bool read_field(const struct cursor *c, const struct field *field, const char **at, unsigned *seen)
{
    const char *value_at = *at + field->key_len;
    const char *p = value_at;
    uint64_t value;

    if (*seen & 1u << field->use)
        return malformed(c, *at, "this field is given twice");
    if (is_fault(p, c->end)) {
        p += 7;
    } else {
        if (!read_number(&p, &value))
            return malformed(c, value_at, "expected a number of at most 64 bits");
        if (!store(c->record, field->use, value))
            return malformed(c, value_at, "the number is too large for this field");
        *seen |= 1u << field->use;
    }
    *at = p;
    return p == c->end || *p == ' ' || malformed(c, value_at, "expected a number of at most 64 bits");
}

#define ALL_DEPOTS (((1u << RECORD_DEPOTS) - 1) << USE_D0)

static bool check_fields(const struct cursor *c, const struct event *event, unsigned seen)
{
    if ((seen & event->required) != event->required)
        return malformed(c, c->end, "a field of this event is missing");
    c->record->has |= (uint8_t)(seen & (HAS_V0 | HAS_V1 | HAS_V2 | HAS_V3));
    if ((seen & ALL_DEPOTS) == ALL_DEPOTS)
        c->record->has |= HAS_DEPOT;
    return true;
}

/* Mostly there is one space. */
static const char *next_word(const char *p)
{
    return p[0] == ' ' && p[1] != ' ' ? p + 1 : skip_spaces(p);
}

/* ` d0=1 d1=2 d2=3 d3=4 d4=5 d5=6`, each of one digit, up to the end of the line: the usual case, without a search. */
static bool read_short_depots(const struct cursor *c, const char *p)
{
    static const uint64_t lead = ' ' | 'd' << 8 | '0' << 16 | (uint64_t)'=' << 24 | (uint64_t)'0' << 32;

    if (c->end - p != 5 * RECORD_DEPOTS)
        return false;
    for (unsigned i = 0; i < RECORD_DEPOTS; i++) {
        const uint64_t digit = (peek8(p + 5 * i) ^ (lead + (i << 16))) & 0xffffffffffULL;
        if (digit >> 32 > 9 || digit & 0xffffffffULL)
            return false;
        c->record->depot[i] = (uint16_t)(digit >> 32);
    }
    return true;
}

/* `name=value` to the end of the line, in any order; other names are skipped, other text is malformed. `seen` are
 * the fields that were read already. */
static bool read_fields(const struct cursor *c, const struct event *event, const char *p, unsigned seen)
{
    const struct field *next = event->fields + (seen != 0); /* the one that is expected here */

    for (p = next_word(p); p < c->end; p = next_word(p)) {
        const uint64_t word = peek8(p);
        const struct field *field = next;
        if ((word & field->mask) != field->key)
            field = find_field(event, word);
        if (field && field->use == USE_D0 && !(seen >> USE_D0) && read_short_depots(c, p - 1)) {
            seen |= ALL_DEPOTS;
            break;
        }
        if (field) {
            if (!read_field(c, field, &p, &seen))
                return false;
            next = field + 1;
        } else {
            const char *after = skip_field(p, c->end);
            if (!after)
                return malformed(c, p, "expected name=value");
            p = after;
        }
    }
    return check_fields(c, event, seen);
}

/* `(address)`: what stands after it, or NULL. */
static const char *skip_address(const struct cursor *c, const char *p)
{
    if (p == c->end || *p != '(') {
        malformed(c, p, "expected the probe's (address)");
        return NULL;
    }
    const char *close = memchr(p, ')', (size_t)(c->end - p));
    if (!close || (close + 1 < c->end && close[1] != ' ')) {
        malformed(c, p, "the probe's (address) has no end");
        return NULL;
    }
    return close + 1;
}

static void remember_probe(const struct cursor *c, const char *probe, const char *end, unsigned seen)
{
    const size_t len = (size_t)(end - probe);

    if (len > sizeof(c->memory->probe[0].text))
        return;
    c->memory->probe[c->result->event].len = (uint8_t)len;
    c->memory->probe[c->result->event].has_iovad = seen != 0;
    c->memory->probe[c->result->event].iovad = c->record->v[0];
    memcpy(c->memory->probe[c->result->event].text, probe, len);
}

/* `(address) name=value ...` */
static bool read_probe(const struct cursor *c, const struct event *event, const char *p)
{
    const struct line_memory *m = c->memory;
    const int i = c->result->event;
    unsigned seen = 0;

    if (same_text(p, c->end, m->probe[i].text, m->probe[i].len) && p[m->probe[i].len] == ' ') {
        c->record->v[0] = m->probe[i].iovad;
        return read_fields(c, event, p + m->probe[i].len, m->probe[i].has_iovad ? 1u << USE_V0 : 0);
    }
    const char *probe = p;
    p = skip_address(c, p);
    if (!p)
        return false;
    const char *word = next_word(p);
    if ((peek8(word) & event->fields[0].mask) == event->fields[0].key && event->fields[0].use == USE_V0) {
        if (!read_field(c, &event->fields[0], &word, &seen))
            return false;
        p = word;
    }
    remember_probe(c, probe, p, seen);
    return read_fields(c, event, p, seen);
}

/* `IOMMU: iova=0x... - 0x... size=...`: first byte and the byte past the last. */
static bool read_unmap(const struct cursor *c, const char *p)
{
    static const char lead[] = "IOMMU: iova=";
    const size_t lead_len = sizeof(lead) - 1;

    if ((size_t)(c->end - p) < lead_len || memcmp(p, lead, lead_len) != 0)
        return malformed(c, p, "expected IOMMU: iova=first - past the last");
    p += lead_len;
    const char *value_at = p;
    if (!read_number(&p, &c->record->v[1]))
        return malformed(c, value_at, "expected a number of at most 64 bits");
    if (c->end - p < 3 || memcmp(p, " - ", 3) != 0)
        return malformed(c, p, "expected IOMMU: iova=first - past the last");
    value_at = p += 3;
    if (!read_number(&p, &c->record->v[2]) || (p < c->end && *p != ' '))
        return malformed(c, value_at, "expected a number of at most 64 bits");
    if (c->record->v[2] <= c->record->v[1])
        return malformed(c, value_at, "the range is empty");
    c->record->has |= HAS_V1 | HAS_V2;
    return true;
}

/* ---------------------------------------------------------------- what the numbers may be */

const char *record_problem(const struct record *r)
{
    const uint64_t *v = r->v;

    switch (r->kind) {
    case KIND_INIT:
        if (v[1] == 0 || v[1] & (v[1] - 1) || v[1] > 1u << 16)
            return "the granule is no power of two up to 65536";
        break;
    case KIND_ALLOC:
    case KIND_FREE:
    case KIND_TREE_ALLOC:
        if (v[1] == 0)
            return "the size is zero";
        break;
    case KIND_RESERVE:
    case KIND_TREE_REMOVE:
        if (v[1] > v[2])
            return "the range ends before it starts";
        break;
    case KIND_TREE_ALLOC_RET:
        if ((r->has & (HAS_V1 | HAS_V2)) == (HAS_V1 | HAS_V2) && v[1] > v[2])
            return "the range ends before it starts";
        break;
    case KIND_MAGAZINE_FREE:
        if (v[1] > UINT32_MAX)
            return "the number is too large for this field";
        break;
    case KIND_DEPOT_WORK:
        if (v[2] > UINT32_MAX)
            return "the number is too large for this field";
        break;
    case KIND_FREE_CPU:
    case KIND_CPU_DEAD:
        if (v[1] >= LINE_MAX_CPUS)
            return "the CPU's number is too large";
        break;
    case KIND_UNMAP:
        if (v[2] <= v[1])
            return "the range is empty";
        break;
    default:
        break;
    }
    return NULL;
}

static bool check_values(const struct cursor *c)
{
    const char *problem = record_problem(c->record);

    return !problem || malformed(c, c->end, problem);
}

static bool read_payload(const struct cursor *c, const struct event *event, const char *p)
{
    switch ((enum payload)event->payload) {
    case PAYLOAD_PROBE:
        return read_probe(c, event, p) && check_values(c);
    case PAYLOAD_UNMAP:
        return read_unmap(c, p);
    case PAYLOAD_NONE:
        break;
    }
    return true;
}

void line_prepare(struct line_memory *memory, enum line_layout layout)
{
    memset(memory, 0, sizeof(*memory));
    memory->layout = layout;
    vocabulary_prepare(&memory->keys);
}

void line_parse(struct line_memory *memory, const char *text, const char *end, struct record *record,
                struct line_result *result)
{
    const struct cursor c = {memory, text, end, record, result};
    struct header h;

    record->has = 0;
    result->outcome = LINE_RECORD;
    if (!header_read(&c, &h) || result->outcome != LINE_RECORD)
        return;
    if (result->event < 0) {
        result->outcome = LINE_UNKNOWN;
        result->name = h.name;
        result->name_len = (size_t)(h.name_end - h.name);
        return;
    }
    const struct event *event = &vocabulary[result->event];
    record->kind = event->kind;
    if (read_payload(&c, event, h.payload))
        result->outcome = event->kind == KIND_IGNORED ? LINE_IGNORED : LINE_RECORD;
}
