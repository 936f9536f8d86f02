/* SPDX-License-Identifier: MIT */
/*
 * machine - a simulated SMP machine: who holds which lock when, and what it costs.
 *
 * Theory of operation
 *
 * Up to 4 096 CPUs, each with its own clock, run closed loops of I/O: a lane (one
 * outstanding request of a submitter) thinks, waits for the device to have room, is
 * submitted on its submitter's CPU, which allocates a range, spends its time in the device,
 * and completes on the CPU of the interrupt map, which frees the range: at once (strict) or
 * through a flush queue (lazy). Then it thinks again.
 *
 * What a call does is not modelled but done: each operation is executed on the real core, as
 * a whole, at the moment it starts. What it did is then priced: a call that the loaded
 * magazine serves, an exchange with the depot, a walk of so many nodes as Linux would have
 * walked, erasures, cache lines that another CPU wrote last. The core's lock hooks say where
 * locks were taken, so a price falls into a hold or between holds. An operation that took a
 * lock others take too is then played out in time: locks are first come, first served, and
 * a CPU that waits spins. What an operation waits for costs time; what it finds was settled
 * when it started.
 *
 * Long work is not one operation: the flush queue's timer frees range by range, a flush of
 * the IOTLB takes its time between two of them, and other CPUs act meanwhile.
 *
 * Time is counted in picoseconds. Everything is a function of the configuration and its seed:
 * only integers, ties broken by what is due, no clock.
 *
 * Internal to the project: the binding links it statically.
 */
#ifndef IOVA_MACHINE_H
#define IOVA_MACHINE_H

#include "replay.h"

#define MACHINE_MAX_CPUS 4096u
/* Requests of all flows together. */
#define MACHINE_MAX_LANES (1u << 22)
#define MACHINE_MAX_FLOWS 64u
#define MACHINE_MAX_SIZES 64u
#define MACHINE_MAX_DOMAINS 4096u
#define MACHINE_MAX_RESERVED 64u
/* Of one range. */
#define MACHINE_MAX_PAGES (UINT64_C(1) << 32)
/* Of any one time of a flow or domain: 13 days. */
#define MACHINE_MAX_TIME (UINT64_C(1) << 60)
/* No run goes on longer: 53 days. */
#define MACHINE_END (UINT64_C(1) << 62)
#define MACHINE_MAX_SAMPLES ((size_t)1 << 22)
/* Of any one price: 1 ms, or as many ranges. */
#define MACHINE_MAX_PRICE UINT64_C(1000000000)

/* -------------------------------------------------------------------------- prices */

/*
 * Picoseconds of one CPU, unless it says otherwise. "A line" is the transfer of one cache
 * line from the CPU that wrote it last.
 */
struct machine_prices {
	uint64_t alloc_hit, free_hit; /* a call that the loaded magazine serves, its lock included */
	uint64_t swap;		/* loaded and previous change places */
	uint64_t lock;		/* take and release a lock whose line is in the own cache */
	uint64_t line, line_far; /* from a CPU of the same node, of another node */
	uint64_t line_ahead, line_ahead_far; /* of lines in a row, which are fetched ahead */
	uint64_t depot;		/* push or pop a magazine, beside the lock and the lines */
	uint64_t magazine_new, magazine_free;
	uint64_t scan;		/* look at one entry of a magazine that is above the limit */
	uint64_t tree_alloc;	/* make and link the record of a range, beside the walk */
	uint64_t tree_free;	/* unlink and free it, beside finding it */
	uint64_t tree_step, tree_step_far; /* one node of Linux's walk: cached, from memory */
	uint64_t tree_level, tree_level_far; /* one level of finding a range by its pfn */
	uint64_t tree_near;	/* so many ranges stay in a CPU's cache (a number, not a time) */
	uint64_t index_alloc, index_free; /* with `indexed`: ours, per call, walk and all */
	uint64_t queue;		/* put an entry into a flush queue, or take one out */
	uint64_t job;		/* one run of a delayed job or timer, beside what it does */
};

/* ------------------------------------------------------------------------ workload */

/* Quantiles of a distribution, in picoseconds, at 0, 1/n, ... 1 with n = QUANTILES - 1. */
#define MACHINE_QUANTILES 1025u

enum machine_limit {
	MACHINE_LIMIT_PLAIN,	   /* the flow's limit only */
	MACHINE_LIMIT_32_ALWAYS,   /* 32 bits first, every time (Linux to 6.x) */
	MACHINE_LIMIT_32_UNTIL_FAILURE, /* ... until that failed once */
};

struct machine_size {
	uint64_t pages;
	uint32_t weight;
};

/* One closed loop: submitters, a device, its interrupts. */
struct machine_flow {
	uint32_t domain, domains; /* submitter s uses domain + s % domains */
	uint32_t submitters, depth; /* lanes = submitters * depth */
	const uint16_t *submit_cpus; /* submitter s starts on submit_cpus[s % submit_cpu_count] */
	uint32_t submit_cpu_count;
	/* CPU of queue q, q < queues; the queue of CPU c is c * queues / cpus. */
	const uint16_t *complete_cpus;
	uint32_t queues;
	uint32_t in_flight;	/* the device takes so many at a time; 0: any number */
	bool resubmit_there;	/* a lane goes on on the CPU on which it completed */
	const uint64_t *think, *latency; /* quantiles; NULL: 0 */
	uint64_t service;	/* the device takes one request in so many ps; 0: no bound */
	uint64_t submit_work, complete_work; /* ps on the CPU beside the allocator */
	const struct machine_size *sizes;
	uint32_t size_count;
	uint64_t limit;		/* highest pfn */
	enum machine_limit limit_rule;
	uint64_t on, off;	/* ps: submits for `on`, is quiet for `off`, and so on; off 0: always on */
	uint64_t migrate;	/* a submitter moves to another of its CPUs after so long; 0: never */
	uint64_t rebind;	/* driver unbound, domain renewed, bound again so often; 0: never */
	uint64_t start;		/* begins then */
	/* A faulty driver; 0: never. */
	uint32_t leak_every;	/* every so many-th range is never freed */
	uint32_t wrong_every;	/* every so many-th is freed as if it had wrong_pages */
	uint64_t wrong_pages;
};

enum machine_queue_rule {
	MACHINE_QUEUE_LINUX,   /* a finished flush raises `finished` by one */
	MACHINE_QUEUE_COVERED, /* ... to its own number: it covers all that was queued before it began */
};

struct machine_domain {
	uint64_t granule, start_pfn;
	const struct iova_range *reserved;
	uint32_t reserved_count;
	bool lazy;
	bool single_ring;	/* one ring of 32768 slots and 1 s, not one a CPU of 256 and 10 ms */
	enum machine_queue_rule queue_rule;
	uint64_t flush;		/* ps of one IOTLB flush */
	uint32_t stall_every;	/* every so many-th flush of the domain is stalled; 0: none */
	uint64_t stall;		/* ... so much longer: its CPU was paused */
};

struct machine_config {
	uint32_t cpus_possible, cpus_online, classes;
	uint32_t cpus_per_node;	/* CPU c is of node c / cpus_per_node */
	const uint64_t *params;	/* as in replay_config */
	uint32_t domain_count, flow_count;
	const struct machine_domain *domains;
	const struct iova_design *const *designs; /* one a domain */
	const struct machine_flow *flows;
	struct machine_prices prices;
	bool indexed;		/* tree work at the price of our index, not of Linux's walk */
	uint64_t seed;
	int64_t sample_ns;	/* as in replay_config */
	size_t max_samples;
	uint32_t table_every;
	bool sample_cpus;
	uint32_t cpu_rows;	/* not 0, with sample_cpus: handovers are counted, too */
	uint32_t map_bins;
	uint64_t map_first, map_last;
	const struct iova_memory *memory; /* NULL: the heap */
	const bool *stop;		  /* as in replay_config */
};

/* ------------------------------------------------------------------------- results */

enum machine_source { /* whose CPU time */
	MACHINE_ALLOC,	 /* callers' allocations */
	MACHINE_FREE,	 /* callers' frees, and queueing them */
	MACHINE_RECLAIM, /* the designs' delayed jobs */
	MACHINE_TIMER,	 /* the flush queues' timers */
	MACHINE_SOURCES
};

enum machine_lock { /* of all domains */
	MACHINE_LOCK_CPU,
	MACHINE_LOCK_DEPOT,
	MACHINE_LOCK_TREE,
	MACHINE_LOCK_RING, /* of the flush queues */
	MACHINE_LOCKS
};

/* Times in ps. */
struct machine_lock_totals {
	uint64_t taken;	/* CPU locks: only those that could be contended */
	uint64_t waited; /* how many of these had to wait */
	uint64_t wait, wait_longest;
	uint64_t held, held_longest;
};

/*
 * Histogram of call times: bucket b counts calls of [lower(b), lower(b + 1)) ps, where
 * lower(b) is b below 16 and (16 + b % 16) << (b / 16 - 1) from there on.
 */
#define MACHINE_BUCKETS 768u

struct machine_totals {
	uint64_t now;		/* ps since the start */
	uint64_t operations;	/* allocations and frees of ranges, failed allocations included */
	uint64_t requests;	/* lanes' round trips that ended */
	uint64_t failed;	/* requests whose allocation failed */
	uint64_t leaked, wrong;	/* ranges never freed, freed as of another size */
	uint64_t lines, lines_far; /* cache lines that changed CPU */
	uint64_t cpu[MACHINE_SOURCES]; /* ps */
	uint64_t busy;		/* ps of all CPUs, all work included */
	struct machine_lock_totals lock[MACHINE_LOCKS];
	uint64_t alloc_longest, free_longest; /* ps */
	uint64_t timer_runs, timer_longest;   /* ps */
	uint64_t job_runs, job_longest;	      /* ps */
	uint64_t flushes;	/* IOTLB flushes of flush queues */
	uint64_t flushed_in_vain; /* by a full ring that stayed full */
	uint64_t lost;		/* ranges that vanished from flush queues */
	uint64_t queued, queued_peak; /* ranges in flush queues */
	uint64_t rebinds;
};

/* Beside each replay_sample of the same index; counts and times since the start. */
struct machine_sample {
	uint64_t operations, requests;
	uint64_t cpu[MACHINE_SOURCES];
	uint64_t wait[MACHINE_LOCKS];
	uint64_t queued, lost;
};

/*
 * Columns of `room` rows, see iova.events; rows of domains' births first. A row is written
 * when its call has ended, so rows are to be sorted by seq, the order in which the core executed
 * them; in that order t never falls. Calls that have not ended are not there yet. pfn 0 of
 * an alloc: it failed. t, t_end in ns. Rows of a lazy domain's unmaps and of its timer stand
 * where these begin, with MACHINE_NO_DOMAIN.
 */
#define MACHINE_NO_DOMAIN UINT32_MAX
struct machine_events {
	size_t room, count;
	uint64_t *seq;
	int64_t *t, *t_end;
	uint16_t *cpu;
	uint8_t *op, *flags;
	uint32_t *domain, *slot;
	uint64_t *size, *limit, *pfn, *last;
};

struct machine;

/* REPLAY_BAD_CONFIG: a number is out of range; REPLAY_NO_MEMORY. Arrays must outlive it. */
enum replay_status machine_create(const struct machine_config *config, struct machine **machine);
void machine_destroy(struct machine *machine);
/* Rows a call of machine_run() needs room for at least: all domains may be born at once. */
#define MACHINE_MIN_ROOM (MACHINE_MAX_DOMAINS * (MACHINE_MAX_RESERVED + 3u) + 64u)
/*
 * Go on until `until` (ps since the start), or until about so many more operations were
 * done, or, with events, until there is little room left. *done: `until` was reached, or is
 * past. until is below MACHINE_END.
 * events may be NULL, but then in every call; rows are added at count.
 */
enum replay_status machine_run(struct machine *machine, uint64_t until, uint64_t operations,
			       struct machine_events *events, bool *done);

struct machine_totals machine_read_totals(const struct machine *machine);
/* The allocator's side of it: counters, totals and samples. t in ns. */
const struct replay *machine_replay(const struct machine *machine);
const struct machine_sample *machine_samples(const struct machine *machine);
/* Frees by the row of the CPU that had allocated and of the one that frees; NULL: not counted. */
const uint64_t *machine_handovers(const struct machine *machine);
/* MACHINE_BUCKETS numbers. */
const uint64_t *machine_alloc_times(const struct machine *machine);
const uint64_t *machine_free_times(const struct machine *machine);

#endif
