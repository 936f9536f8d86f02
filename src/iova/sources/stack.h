/* What each CPU is in the middle of: its open calls, innermost last. The rules of pairing are in calls.h. */
#ifndef IOVA_SOURCES_STACK_H
#define IOVA_SOURCES_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "record.h"
#include "rows.h"

enum { STACK_DEPTH = 32, NO_SLOT_TAKEN = -1 };

struct open_call {
    struct row row;
    uint64_t iovad;
    uint64_t size;
    uint64_t pfn;
    int64_t slot; /* of an allocation, else NO_SLOT_TAKEN */
    uint32_t pid;
    uint32_t domain;
    uint8_t kind; /* of the entry's record */
};

enum run_stage { RUN_NONE, RUN_STARTED, RUN_EMPTIES };

/* A depot work whose magazine may follow. It has no return, so it ends with the first range removed. */
struct open_run {
    enum run_stage stage;
    uint32_t domain;
    uint32_t pid;
    uint8_t depth; /* of the stack when it started */
    uint8_t work;
};

struct cpu_calls {
    struct open_call open[STACK_DEPTH];
    struct open_run run;
    uint64_t closed_free_pfn; /* of the last free that returned, for a callee it jumped to */
    struct row closed_free_row;
    uint32_t closed_free_domain;
    uint32_t dead_cpu; /* the CPU named by the last cpuhp_dead here, + 1; 0 after an allocation */
    uint8_t depth;
    bool has_closed_free;
};

/* The innermost open call, or NULL. */
static inline struct open_call *stack_top(struct cpu_calls *cpu)
{
    return cpu->depth ? &cpu->open[cpu->depth - 1] : NULL;
}

/* Takes out the call at this index. */
static inline struct open_call stack_remove(struct cpu_calls *cpu, int at)
{
    const struct open_call call = cpu->open[at];

    cpu->depth--;
    if (at < cpu->depth)
        memmove(&cpu->open[at], &cpu->open[at + 1], (size_t)(cpu->depth - at) * sizeof(cpu->open[0]));
    return call;
}

/* Opens a call. If the stack is full, its outermost call moves to *dropped, and the result is true. */
static inline bool stack_push(struct cpu_calls *cpu, const struct open_call *call, struct open_call *dropped)
{
    const bool full = cpu->depth == STACK_DEPTH;

    if (full)
        *dropped = stack_remove(cpu, 0);
    cpu->open[cpu->depth++] = *call;
    return full;
}

/* Index of the call that this return closes: the innermost of the kind and pid, else of the kind; or -1. */
int stack_find(const struct cpu_calls *cpu, unsigned kind, uint32_t pid);

#endif
