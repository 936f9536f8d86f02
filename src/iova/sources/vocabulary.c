#include "vocabulary.h"

#include <string.h>

#include "digits.h"

#define B(c, i) ((uint64_t)(unsigned char)(c) << (8 * (i)))
#define KEY2(a, b) (B(a, 0) | B(b, 1)), 0xffffULL, 2
#define KEY3(a, b, c) (B(a, 0) | B(b, 1) | B(c, 2)), 0xffffffULL, 3
#define KEY4(a, b, c, d) (B(a, 0) | B(b, 1) | B(c, 2) | B(d, 3)), 0xffffffffULL, 4
#define KEY5(a, b, c, d, e) (B(a, 0) | B(b, 1) | B(c, 2) | B(d, 3) | B(e, 4)), 0xffffffffffULL, 5
#define KEY6(a, b, c, d, e, f) \
    (B(a, 0) | B(b, 1) | B(c, 2) | B(d, 3) | B(e, 4) | B(f, 5)), 0xffffffffffffULL, 6
#define KEY8(a, b, c, d, e, f, g, h)                                                               \
    (B(a, 0) | B(b, 1) | B(c, 2) | B(d, 3) | B(e, 4) | B(f, 5) | B(g, 6) | B(h, 7)), \
        0xffffffffffffffffULL, 8

#define IOVAD KEY6('i', 'o', 'v', 'a', 'd', '=')
#define SIZE KEY5('s', 'i', 'z', 'e', '=')
#define LIMIT KEY6('l', 'i', 'm', 'i', 't', '=')
#define FLUSH KEY6('f', 'l', 'u', 's', 'h', '=')
#define ALIGN KEY6('a', 'l', 'i', 'g', 'n', '=')
#define START KEY6('s', 't', 'a', 'r', 't', '=')
#define DEPOT KEY6('d', 'e', 'p', 'o', 't', '=')
#define GRANULE KEY8('g', 'r', 'a', 'n', 'u', 'l', 'e', '=')
#define IOVA KEY5('i', 'o', 'v', 'a', '=')
#define WORK KEY5('w', 'o', 'r', 'k', '=')
#define PFN KEY4('p', 'f', 'n', '=')
#define CPU KEY4('c', 'p', 'u', '=')
#define LO KEY3('l', 'o', '=')
#define HI KEY3('h', 'i', '=')
#define N KEY2('n', '=')
#define D(i) {KEY3('d', '0' + (i), '='), USE_D0 + (i)}
#define DEPOTS D(0), D(1), D(2), D(3), D(4), D(5)

#define NO_FIELD {1, 0, 0, 0}
#define NEEDS(use) (1 << USE_##use)
#define NAMED(text) text, (uint8_t)(sizeof(text) - 1)

/* The frequent first: the search is linear. Fields stand in the order in which the kernels print them. */
const struct event vocabulary[VOCABULARY_EVENTS] = {
    {NAMED("unmap"), KIND_UNMAP, PAYLOAD_UNMAP, 0, 0,
     {NO_FIELD}},
    {NAMED("alloc_fast"), KIND_ALLOC, PAYLOAD_PROBE, 10, NEEDS(FLAG) | NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{IOVAD, USE_V0}, {SIZE, USE_V1}, {LIMIT, USE_V2}, {FLUSH, USE_FLAG}, DEPOTS, NO_FIELD}},
    {NAMED("alloc_fast_ret"), KIND_ALLOC_RET, PAYLOAD_PROBE, 3, NEEDS(V2),
     {{IOVAD, USE_V0}, {SIZE, USE_V1}, {PFN, USE_V2}, NO_FIELD}},
    {NAMED("free_fast"), KIND_FREE, PAYLOAD_PROBE, 9, NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{IOVAD, USE_V0}, {PFN, USE_V2}, {SIZE, USE_V1}, DEPOTS, NO_FIELD}},
    {NAMED("free_fast_ret"), KIND_FREE_RET, PAYLOAD_PROBE, 2, 0,
     {{IOVAD, USE_V0}, {PFN, USE_V2}, NO_FIELD}},
    {NAMED("map"), KIND_IGNORED, PAYLOAD_NONE, 0, 0,
     {NO_FIELD}},
    {NAMED("tree_alloc"), KIND_TREE_ALLOC, PAYLOAD_PROBE, 4, NEEDS(FLAG) | NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{IOVAD, USE_V0}, {SIZE, USE_V1}, {LIMIT, USE_V2}, {ALIGN, USE_FLAG}, NO_FIELD}},
    {NAMED("tree_alloc_ret"), KIND_TREE_ALLOC_RET, PAYLOAD_PROBE, 4, 0,
     {{IOVAD, USE_V0}, {IOVA, USE_V3}, {LO, USE_V1}, {HI, USE_V2}, NO_FIELD}},
    {NAMED("tree_remove"), KIND_TREE_REMOVE, PAYLOAD_PROBE, 3, NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{IOVAD, USE_V0}, {LO, USE_V1}, {HI, USE_V2}, NO_FIELD}},
    {NAMED("fq_timeout"), KIND_FLUSH_TIMER, PAYLOAD_PROBE, 0, 0,
     {NO_FIELD}},
    {NAMED("tree_free"), KIND_TREE_FREE, PAYLOAD_PROBE, 2, NEEDS(V0) | NEEDS(V2),
     {{IOVAD, USE_V0}, {PFN, USE_V2}, NO_FIELD}},
    {NAMED("mag_free_pfns"), KIND_MAGAZINE_FREE, PAYLOAD_PROBE, 2, NEEDS(V0) | NEEDS(V1),
     {{IOVAD, USE_V0}, {N, USE_V1}, NO_FIELD}},
    {NAMED("depot_work"), KIND_DEPOT_WORK, PAYLOAD_PROBE, 3, NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{WORK, USE_V1}, {IOVAD, USE_V0}, {DEPOT, USE_V2}, NO_FIELD}},
    {NAMED("b_resv"), KIND_RESERVE, PAYLOAD_PROBE, 3, NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{IOVAD, USE_V0}, {LO, USE_V1}, {HI, USE_V2}, NO_FIELD}},
    {NAMED("b_init"), KIND_INIT, PAYLOAD_PROBE, 3, NEEDS(V0) | NEEDS(V1) | NEEDS(V2),
     {{IOVAD, USE_V0}, {GRANULE, USE_V1}, {START, USE_V2}, NO_FIELD}},
    {NAMED("put_domain"), KIND_PUT_DOMAIN, PAYLOAD_PROBE, 1, NEEDS(V0),
     {{IOVAD, USE_V0}, NO_FIELD}},
    {NAMED("free_cpu_cached"), KIND_FREE_CPU, PAYLOAD_PROBE, 2, NEEDS(V0) | NEEDS(V1),
     {{CPU, USE_V1}, {IOVAD, USE_V0}, NO_FIELD}},
    {NAMED("cpuhp_dead"), KIND_CPU_DEAD, PAYLOAD_PROBE, 1, NEEDS(V1),
     {{CPU, USE_V1}, NO_FIELD}},
    {NAMED("print"), KIND_IGNORED, PAYLOAD_NONE, 0, 0,
     {NO_FIELD}},
    {NAMED("tracing_mark_write"), KIND_IGNORED, PAYLOAD_NONE, 0, 0,
     {NO_FIELD}},
};

/* Up to eight characters of a text, as peek8() would read them. */
static uint64_t word_of(const char *text, size_t len)
{
    char padded[TEXT_SLACK] = {0};

    memcpy(padded, text, len < sizeof(padded) ? len : sizeof(padded));
    return peek8(padded);
}

void vocabulary_prepare(struct vocabulary_keys *keys)
{
    for (int i = 0; i < VOCABULARY_EVENTS; i++) {
        const size_t len = vocabulary[i].name_len;
        keys->head[i] = word_of(vocabulary[i].name, len);
        keys->mask[i] = len < 8 ? (1ULL << (8 * len)) - 1 : UINT64_MAX;
    }
}

int vocabulary_find(const struct vocabulary_keys *keys, const char *p, const char *end)
{
    const uint64_t word = peek8(p);

    for (int i = 0; i < VOCABULARY_EVENTS; i++) {
        const size_t len = vocabulary[i].name_len;
        if ((word & keys->mask[i]) != keys->head[i] || (size_t)(end - p) <= len || p[len] != ':')
            continue;
        if (len <= 8 || memcmp(p + 8, vocabulary[i].name + 8, len - 8) == 0)
            return i;
    }
    return -1;
}

int vocabulary_of_kind(unsigned kind)
{
    int event = 0;

    while (vocabulary[event].kind != kind)
        event++;
    return event;
}
