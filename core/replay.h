/* SPDX-License-Identifier: MIT */
/*
 * replay - event arrays in, counters and time series out.
 *
 * A replay executes the calls of an event table on domains of one design. Ranges are
 * named by slots: an allocation stores what the design returned in its slot, the free
 * that names the slot gives that back. Slots are dense and recycled, so memory is bounded
 * by the peak live set and not by the length of the table, which may be fed in pieces.
 *
 * Between two events the clock goes from one to the other: jobs run at their due times,
 * samples are taken at theirs. Everything is a function of the events and the design.
 *
 * Internal to the project: the binding links it statically.
 */
#ifndef IOVA_REPLAY_H
#define IOVA_REPLAY_H

#include "iova.h"

/* Codes of the `op` column; see iova.events. */
enum replay_op {
	OP_CREATE = 0,
	OP_MAKE_CACHES = 1,
	OP_RESERVE = 2,
	OP_ALLOC = 3,
	OP_FREE = 4,
	OP_FLUSH_CACHES = 5,
	OP_CPU_OFFLINE = 6,
	OP_CPU_ONLINE = 7,
	OP_DESTROY = 8,
	OP_FIRST_INSIDE = 16,
	OP_RECLAIM = 20,
	OP_UNMAP = 21,
	OP_FLUSH_TIMER = 22,
};

/* Bits of the `flags` column. */
enum replay_flag {
	FLAG_RAW = 1,
	FLAG_FLUSH_RETRY = 2,
	FLAG_ONLY_IF_PREVIOUS_FAILED = 4,
	FLAG_ALIGN = 8,
	FLAG_REACHED_TREE = 16, /* of recorded rows: not looked at */
};

#define NO_SLOT UINT32_MAX

/* What Linux's slab takes for one struct iova. */
#define LINUX_RANGE_BYTES 40u

/* Columns of `count` rows. A null limit is UINT64_MAX, a null slot NO_SLOT, other nulls 0. */
struct replay_events {
	size_t count;
	const int64_t *t;
	const uint16_t *cpu;
	const uint8_t *op, *flags;
	const uint32_t *domain;
	const uint64_t *size, *limit, *pfn, *last;
	const uint32_t *slot, *n;
	uint64_t *result; /* NULL, or the pfn each allocation row was given, 0 = failed; rows that
			   * call no allocation are not written */
};

enum replay_status {
	REPLAY_OK = 0,
	REPLAY_NO_MEMORY,
	REPLAY_TIME_BACK,    /* t is before the row above */
	REPLAY_BAD_OP,	     /* no such operation */
	REPLAY_BAD_CPU,	     /* not below cpus_possible */
	REPLAY_BAD_DOMAIN,   /* not below the number of domains announced */
	REPLAY_BAD_SIZE,     /* 0 */
	REPLAY_BAD_SLOT,     /* an allocation's slot is missing, taken or not dense */
	REPLAY_EXISTS,	     /* created twice */
	REPLAY_BAD_RESERVE,  /* refused by the core */
	REPLAY_SAMPLES,	     /* more samples than max_samples */
	REPLAY_BAD_CONFIG,
	REPLAY_STOPPED,	     /* as replay_config.stop asked; no row is at fault */
};

const char *replay_status_text(enum replay_status status);

struct replay_domain_config {
	uint64_t granule, start_pfn;
};

struct replay_config {
	uint32_t cpus_possible, cpus_online, classes;
	const uint64_t *params; /* NULL: the design's initial ones */
	/*
	 * domain_count domains may be named; one that is used before its create row is made
	 * then. designs[i] is domain i's: a run-time design may differ from domain to domain.
	 */
	uint32_t domain_count;
	const struct replay_domain_config *domains;
	const struct iova_design *const *designs;
	bool recorded_reclaim; /* reclaim rows run the jobs, deadlines do not */
	bool count_steps;
	int64_t sample_ns;     /* time between samples; 0: none */
	size_t max_samples;
	/* Tables beside every table_every-th sample, the first included; 0: beside each. */
	uint32_t table_every;
	bool sample_cpus;      /* pages in each CPU's magazines */
	uint32_t cpu_rows;     /* ... of so many groups of neighbours; 0: of each CPU */
	uint32_t map_bins;     /* occupancy map of map_first..map_last; 0: none */
	uint64_t map_first, map_last;
	const struct iova_memory *memory; /* NULL: the heap */
	const struct iova_lock_hooks *locks; /* of all domains; NULL: none */
	/* NULL, or looked at after each job, before other jobs and rows: true ends the call. */
	const bool *stop;
};

/* State after everything before `t`, summed over domains; counters since the start. */
struct replay_sample {
	int64_t t;
	uint64_t live_pages, cached_pages;
	uint64_t hits_loaded, hits_previous, hits_depot;
	uint64_t tree_allocations, tree_frees, tree_steps;
	uint64_t reclaimed, magazines, tree_bytes;
	uint64_t linux_bytes; /* magazines and range records at Linux's sizes */
	uint64_t depot[IOVA_MAX_CLASSES];
};

struct replay_totals {
	uint64_t events;	 /* rows fed */
	uint64_t calls;		 /* rows executed */
	uint64_t allocations, frees; /* calls that reached the core */
	uint64_t failed;	 /* allocations that failed */
	uint64_t skipped_frees;	 /* their allocation failed, or is not in the table */
	int64_t t_first, t_last;
	uint64_t live_pages, live_pages_peak;
	uint64_t cached_pages, cached_pages_peak;
	uint64_t live_ranges, live_ranges_peak;
	uint64_t ranges_peak;	 /* in the trees, cached and reserved ones included */
	uint64_t magazines_peak; /* of all domains together */
	uint64_t linux_bytes_peak; /* magazines and range records at Linux's sizes */
	uint64_t depot_peak;	 /* longest depot of any class and domain */
	double cached_page_ns;	 /* integral of cached pages over time */
	double depot_ns;	 /* integral of the number of full magazines */
	uint64_t warnings, runs;
	uint64_t domains;	 /* created */
};

struct replay;

enum replay_status replay_create(const struct replay_config *config, struct replay **replay);
void replay_destroy(struct replay *replay);
/*
 * Execute the rows. On any other status than REPLAY_OK the rows before *row are done, row
 * *row is at fault, and the replay can only be read and destroyed.
 */
enum replay_status replay_feed(struct replay *replay, const struct replay_events *events,
			       size_t *row);
/* Let the clock go on to t, with jobs and samples; nothing else happens. */
enum replay_status replay_advance(struct replay *replay, int64_t t);

struct replay_totals replay_read_totals(const struct replay *replay);
/* Counters of a class, summed over all domains, destroyed ones included. */
struct iova_counters replay_read_counters(const struct replay *replay, uint32_t size_class);

/* Rows of the tables of CPUs, and the one that a CPU falls into. */
uint32_t replay_cpu_rows(const struct replay_config *config);
static inline uint32_t replay_cpu_row(uint32_t cpu, uint32_t rows, uint32_t cpus_possible)
{
	return (uint32_t)((uint64_t)cpu * rows / cpus_possible);
}

/*
 * Samples so far, and the tables beside some of them. cpu_pages: [table][cpu row];
 * maps: [table][2][bin], allocated and cached.
 */
size_t replay_sample_count(const struct replay *replay);
const struct replay_sample *replay_samples(const struct replay *replay);
size_t replay_table_count(const struct replay *replay);
const uint32_t *replay_cpu_pages(const struct replay *replay);
const uint32_t *replay_maps(const struct replay *replay);

#endif
