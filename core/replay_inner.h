/* SPDX-License-Identifier: MIT */
/*
 * The inside of a replay: its state, how what happens in a domain is accounted for, and what its
 * files call of each other.
 */
#ifndef IOVA_REPLAY_INNER_H
#define IOVA_REPLAY_INNER_H

#include "domain.h"
#include "replay_samples.h"

/* A slot's allocation failed, or there is none. */
#define NO_PFN UINT64_MAX

/* Pages times nanoseconds. */
__extension__ typedef unsigned __int128 page_time;

struct slot {
	uint64_t pfn;
	uint64_t pages; /* that the range has in the tree */
	uint32_t domain;
	uint32_t epoch; /* of the domain: a range dies with it */
};

/* What every call reads and writes comes first: one cache line. */
struct replay_domain {
	struct iova_domain *core; /* NULL: not created, or destroyed */
	uint32_t epoch;		  /* times it was destroyed */
	bool overdrawn;		  /* ranges were freed as larger than they are */
	uint64_t live, live_ranges; /* pages and ranges users hold */
	uint64_t outside;	  /* pages of the tree that are neither live nor cached */
	uint64_t cached;	  /* tree pages - live - outside; if overdrawn, 0 */
	uint64_t ranges, magazines, magazine_bytes; /* as last accounted */
	uint32_t depot[IOVA_MAX_CLASSES]; /* full magazines, as last accounted */
	uint32_t unused[4];	  /* to a power of two: the fastest to index */
};

_Static_assert(sizeof(struct replay_domain) == 128, "two cache lines");

struct replay {
	struct replay_config config;
	struct iova_memory memory;
	struct replay_domain *domains;
	struct slot *slots;
	size_t slot_count, slot_capacity;
	bool previous_failed; /* the row before is an allocation that failed */
	bool *online;	      /* by CPU: a domain that is made later starts with these */
	bool someone_left;    /* a CPU went offline and has not been seen since */
	bool started;
	int64_t now;
	int64_t depot_since;  /* totals.depot_ns counts up to here */
	uint64_t next_sample; /* IOVA_NEVER: none; may pass the end of the clock */
	uint64_t next_due;    /* earliest deadline of any domain */
	uint64_t wake;	      /* the earlier of the two; 0 before the start */
	uint64_t ranges, magazines, magazine_bytes, depot; /* of all domains */
	uint64_t not_calls;	/* rows that are not for a replay */
	uint64_t buried_ranges; /* that were live when their domain was destroyed */
	page_time cached_past; /* see cached_page_ns() */
	struct replay_totals totals;
	struct iova_counters dead[IOVA_MAX_CLASSES + 1]; /* of destroyed domains */
	struct sample_store samples;
};

/* A design's look() asked for the end. */
static inline bool replay_is_stopped(const struct replay *r)
{
	return r->config.stop && *r->config.stop;
}

/* ------------------------------------------------------------------------ accounting */

/*
 * The integral of cached pages over time, without an addition for each event: each page
 * that is cached from t1 to t2 adds t2 - t1, that is, t2 when it goes and -t1 when it
 * comes; cached_past sums these, modulo 2^128.
 */
static inline void cached_came(struct replay *r, uint64_t pages)
{
	r->totals.cached_pages += pages;
	r->cached_past -= (page_time)pages * (uint64_t)r->now;
}

static inline void cached_went(struct replay *r, uint64_t pages)
{
	r->totals.cached_pages -= pages;
	r->cached_past += (page_time)pages * (uint64_t)r->now;
}

static inline double cached_page_ns(const struct replay *r)
{
	return (double)(r->cached_past +
			(page_time)r->totals.cached_pages * (uint64_t)r->now);
}

/* Depots change seldom: their integral is brought up to now when they do. */
static inline void depot_changed(struct replay *r, uint32_t *counted, uint32_t depot)
{
	r->totals.depot_ns += (double)r->depot * (double)(r->now - r->depot_since);
	r->depot_since = r->now;
	r->depot += (uint64_t)depot - *counted;
	*counted = depot;
}

static inline void set_wake(struct replay *r)
{
	r->wake = r->next_due < r->next_sample ? r->next_due : r->next_sample;
}

static inline void raise_peak(uint64_t *peak, uint64_t value)
{
	if (value > *peak)
		*peak = value;
}

static inline void count_cached(struct replay *r, struct replay_domain *d)
{
	uint64_t pages = d->core ? d->core->tree.index.pages : 0, used = d->live + d->outside;
	cached_went(r, d->cached);
	d->overdrawn = pages < used;
	d->cached = d->overdrawn ? 0 : pages - used;
	cached_came(r, d->cached);
	raise_peak(&r->totals.cached_pages_peak, r->totals.cached_pages);
}

/* After something happened in a domain: what it holds, and the peaks of all domains. */
static inline void account(struct replay *r, struct replay_domain *d)
{
	uint64_t ranges = d->core ? d->core->tree.index.count - 1 : 0;
	uint64_t magazines = d->core ? d->core->magazines : 0;
	uint64_t bytes = d->core ? d->core->magazine_bytes : 0;
	r->ranges += ranges - d->ranges;
	r->magazines += magazines - d->magazines;
	r->magazine_bytes += bytes - d->magazine_bytes;
	d->ranges = ranges;
	d->magazines = magazines;
	d->magazine_bytes = bytes;
	for (uint32_t k = 0; k < r->config.classes; k++) {
		uint32_t depot = d->core ? (uint32_t)d->core->rcache[k].depot.length : 0;
		if (unlikely(depot != d->depot[k]))
			depot_changed(r, &d->depot[k], depot);
	}
	raise_peak(&r->totals.ranges_peak, r->ranges);
	raise_peak(&r->totals.magazines_peak, r->magazines);
	raise_peak(&r->totals.linux_bytes_peak,
		   r->ranges * LINUX_RANGE_BYTES + r->magazine_bytes);
	count_cached(r, d);
}

/* After an allocation that only the loaded magazine served: its pages were cached. */
static inline void account_quick_alloc(struct replay *r, struct replay_domain *d, uint64_t pages)
{
	if (unlikely(d->cached < pages)) {
		count_cached(r, d);
		return;
	}
	d->cached -= pages;
	cached_went(r, pages);
}

/* After a free that only the loaded magazine took. */
static inline void account_quick_free(struct replay *r, struct replay_domain *d, uint64_t pages)
{
	if (unlikely(d->overdrawn)) {
		count_cached(r, d);
		return;
	}
	d->cached += pages;
	cached_came(r, pages);
	raise_peak(&r->totals.cached_pages_peak, r->totals.cached_pages);
}

/* After any other call. */
static inline void account_call(struct replay *r, struct replay_domain *d)
{
	account(r, d);
	if (d->core->earliest < r->next_due && !r->config.recorded_reclaim) {
		r->next_due = d->core->earliest;
		set_wake(r);
	}
}

static inline void went_live(struct replay *r, struct replay_domain *d, uint64_t pages)
{
	d->live += pages;
	d->live_ranges++;
	r->totals.live_pages += pages;
	raise_peak(&r->totals.live_pages_peak, r->totals.live_pages);
	raise_peak(&r->totals.live_ranges_peak, ++r->totals.live_ranges);
}

static inline void left_live(struct replay *r, struct replay_domain *d, uint64_t pages)
{
	d->live -= pages;
	d->live_ranges--;
	r->totals.live_pages -= pages;
	r->totals.live_ranges--;
}

/* -------------------------------------------------------- replay_time.c: jobs, samples */

/* The clock begins, if it has not; jobs and samples up to t, in the order of time. */
enum replay_status replay_wake_up(struct replay *r, int64_t t);
/* After deadlines may have gone. */
void replay_find_next_due(struct replay *r);

/* ---------------------------------------------------------- replay_domains.c: rare rows */

/* By its number; its first frame is a row's, not the configuration's. */
enum replay_status replay_make_domain(struct replay *r, uint32_t number, uint64_t start);
enum replay_status replay_make_caches(struct replay *r, struct replay_domain *d);
/* The domain a row names, made if it is not there yet. */
enum replay_status replay_need_domain(struct replay *r, uint32_t number, bool caches);
/* Nothing happens to one that is not there. */
void replay_bury(struct replay *r, struct replay_domain *d);
enum replay_status replay_reserve(struct replay *r, struct replay_domain *d, uint64_t lo,
				  uint64_t hi);
enum replay_status replay_move_cpu(struct replay *r, struct replay_domain *d, uint32_t cpu,
				   bool online);
/* A call on a CPU that had gone shows that it is back: kernels record only the going. */
void replay_bring_back(struct replay *r, uint32_t cpu);

/* ------------------------------------------------------------ replay_results.c: counters */

/* The peak is the higher one, all else is added. */
void counters_add(struct iova_counters *sum, const struct iova_counters *one);

#endif
