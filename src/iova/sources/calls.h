/* From records to rows: pairs entries with returns, numbers domains, assigns slots.
 *
 * Records must come in time order, equal times in text order. Each entry makes its row at once; its return
 * completes the row. So rows are in the order of entries, and an outer call stands before the calls nested in it.
 *
 * Pairing. Every CPU has a stack of open calls (stack.h). A return closes the innermost open call of its kind on its CPU:
 * interrupts nest, and show the interrupted task. Where the CPU can also switch tasks inside a call, the innermost
 * one of the same pid is meant, if there is one. Open calls of the same pid above it lost their returns and are abandoned:
 * their `t_end` stays null. Where the return repeats the domain, the size or the address, they must agree.
 *
 * Domains are numbered in order of first sight of their address. An address gets a new number at each `b_init`, and
 * at the first call after `put_domain`; what the teardown itself still frees keeps the old one.
 *
 * Slots are numbers of live ranges over the whole trace (not per domain), so that their count is
 * bounded by the ranges that are live or being allocated at once. An allocation takes its slot at its entry, and
 * gives it back if it fails: so no slot is in two hands when rows are executed in their order, although calls overlap. A
 * free is tied to its allocation by (domain, pfn), taken from the allocation's return and from the free's entry.
 *
 * Depot works run per size class, and tell it only by an address. Runs are listed with their work; where a run
 * empties a magazine, the size of the first range removed tells the class. The rest is worked out from the addresses
 * afterwards (reclaim.py).
 */
#ifndef IOVA_SOURCES_CALLS_H
#define IOVA_SOURCES_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line.h"
#include "record.h"
#include "rows.h"
#include "table.h"

enum { CALLS_MAX_DOMAINS = 65536, CALLS_WORKS = 6 };

enum { ORDER_UNKNOWN = -1, ORDER_CONTRADICTED = -2 };

struct domain_seen {
    uint64_t iovad; /* its address; it can be that of an earlier domain */
    uint64_t start;     /* lowest page frame, where born */
    uint64_t works[CALLS_WORKS];
    int8_t orders[CALLS_WORKS]; /* size class of each work, or ORDER_UNKNOWN, ORDER_CONTRADICTED */
    uint32_t granule;           /* bytes, where born */
    uint8_t work_count;
    bool born;      /* its creation was seen */
    bool destroyed; /* its put_domain was seen */
    bool too_many_works;
};

/* What could not be paired or tied; none of it is an error of the text. */
struct calls_counts {
    uint64_t open_entries;         /* entries whose return is not in the trace */
    uint64_t returns_without_entry;
    uint64_t frees_without_alloc;  /* their slot is null */
    uint64_t allocs_of_live;       /* the returned range was already live: its free is missing */
    uint64_t tree_calls_outside;   /* tree_alloc outside of any alloc_fast */
    uint64_t flush_steps;          /* free_cpu_cached as a step of an allocation's flush, which is no offline CPU */
    uint64_t unnumbered_runs;      /* depot works beyond six a domain */
};

struct reclaim_run {
    uint64_t row;
    uint32_t domain;
    uint8_t work; /* index into the domain's works */
};

struct cpu_calls;

struct calls {
    struct rows rows;
    struct calls_counts counts;
    struct domain_seen *domains;
    size_t domain_count;
    size_t domain_capacity;
    struct reclaim_run *runs;
    size_t run_count;
    size_t run_capacity;
    bool mixed_granules; /* `unmap` names no domain, and its frame cannot be told for sure */

    struct table numbers; /* address of a domain to its number */
    struct table live;    /* (pfn, domain) to slot */
    uint32_t *spare_slots;
    size_t spare_count;
    size_t spare_capacity;
    uint32_t next_slot;
    uint32_t unmap_granule;
    struct cpu_calls *cpus[LINE_MAX_CPUS];
};

enum calls_outcome { CALLS_OK, CALLS_NO_MEMORY, CALLS_MALFORMED };

/* False: no memory. */
bool calls_init(struct calls *calls, uint64_t seed);
void calls_free(struct calls *calls);

/* Takes one record. For CALLS_MALFORMED *problem says why, as a string constant, and the record is left out. */
enum calls_outcome calls_take(struct calls *calls, const struct record *record, const char **problem);

/* After the last record: counts the calls that are still open. */
void calls_finish(struct calls *calls);

#endif
