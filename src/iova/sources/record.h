/* One trace line after parsing: what the scanner hands to the stage that pairs calls.
 *
 * A record is one cache line and holds numbers only. What `v` means depends on the kind:
 *
 *   kind            v[0]    v[1]     v[2]    v[3]   flag    depot
 *   INIT            iovad   granule  start
 *   RESERVE         iovad   lo       hi
 *   ALLOC           iovad   size     limit          flush   d0..d5
 *   ALLOC_RET       iovad?  size?    pfn
 *   FREE            iovad   size     pfn                    d0..d5
 *   FREE_RET        iovad?           pfn?
 *   TREE_ALLOC      iovad   size     limit          align
 *   TREE_ALLOC_RET  iovad?  lo?      hi?     iova?
 *   TREE_FREE       iovad            pfn
 *   TREE_REMOVE     iovad   lo       hi
 *   MAGAZINE_FREE   iovad   n
 *   DEPOT_WORK      iovad   work     depot
 *   FREE_CPU        iovad   cpu
 *   CPU_DEAD                cpu
 *   PUT_DOMAIN      iovad
 *   FLUSH_TIMER
 *   UNMAP                   first byte, byte past the last
 *
 * `?` marks what only some kernels' probes record; the bits of `has` say which are there.
 */
#ifndef IOVA_SOURCES_RECORD_H
#define IOVA_SOURCES_RECORD_H

#include <stdint.h>

enum record_kind {
    KIND_ALLOC,
    KIND_ALLOC_RET,
    KIND_FREE,
    KIND_FREE_RET,
    KIND_TREE_ALLOC,
    KIND_TREE_ALLOC_RET,
    KIND_TREE_FREE,
    KIND_TREE_REMOVE,
    KIND_MAGAZINE_FREE,
    KIND_DEPOT_WORK,
    KIND_FREE_CPU,
    KIND_CPU_DEAD,
    KIND_PUT_DOMAIN,
    KIND_FLUSH_TIMER,
    KIND_UNMAP,
    KIND_INIT,
    KIND_RESERVE,
    KIND_IGNORED, /* known, counted, no record: phase markers and `map` */
};

enum { RECORD_VALUES = 4, RECORD_DEPOTS = 6 };

enum record_has {
    HAS_V0 = 1,
    HAS_V1 = 2,
    HAS_V2 = 4,
    HAS_V3 = 8,
    HAS_FLAG = 16,
    HAS_DEPOT = 32,
    FLAG_SET = 64, /* the value of the flag field, where HAS_FLAG */
};

struct record {
    int64_t t; /* ns, the trace's clock */
    uint64_t v[RECORD_VALUES];
    uint16_t depot[RECORD_DEPOTS];
    uint32_t line; /* low 32 bits of the 1-based line number */
    uint32_t pid;
    uint16_t cpu;
    uint8_t kind;
    uint8_t has;
};

_Static_assert(sizeof(struct record) == 64, "a record is one cache line");

#endif
