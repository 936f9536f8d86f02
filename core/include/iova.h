/* SPDX-License-Identifier: MIT */
/*
 * libiova - the Linux IOVA allocator as a library.
 *
 * An IOVA domain hands out ranges of I/O virtual addresses. Two layers do it: a tree of
 * allocated ranges, searched from the top down, and above it per-CPU magazines of
 * recently freed ranges, one cache per power-of-two size class, which exchange full
 * magazines with a depot. In the `linux-*` designs every call returns the address that
 * Linux returns for the same calls.
 *
 * This header is the whole public interface, and its reference.
 *
 * Conventions
 *   - Sizes, limits and addresses are page frame numbers (pfn) and counts of page frames
 *     of the domain's granule. All arithmetic is modulo 2^64. Limits are inclusive.
 *   - Time is an argument, in nanoseconds of a clock of the caller's that never goes back.
 *   - The core, iova_domain, has no clock, threads, files or globals. Memory comes from the
 *     table given at creation, locks are the hooks given at creation; without hooks a domain
 *     may be used by one thread at a time. A driver wants iova_live, at the end of this
 *     header: a domain for many threads, in bytes, with a clock and a thread of its own.
 *   - Pointers are not NULL unless it says so.
 *   - Every allocation of memory may fail at any moment: the call then reports it and has
 *     changed nothing, unless it says otherwise. No free ever needs memory to succeed.
 *   - Not async-signal-safe.
 */
#ifndef IOVA_H
#define IOVA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOVA_VERSION "0.1.0"

#ifndef IOVA_API
#if defined(__GNUC__)
#define IOVA_API __attribute__((visibility("default")))
#else
#define IOVA_API
#endif
#endif

/* Size classes a domain may have: class k caches ranges of 2^k page frames. */
#define IOVA_DEFAULT_CLASSES 6u
#define IOVA_MAX_CLASSES 10u
/* Index of the counters of ranges too large for the domain's caches. */
#define IOVA_BEYOND_CLASSES IOVA_MAX_CLASSES

/* Largest granule: the largest page of a CPU that Linux runs on. */
#define IOVA_MAX_GRANULE 65536u

/* CPUs a domain may have at most. */
#define IOVA_MAX_CPUS 65536u

/* Entries a magazine may hold: 2^n - 1 of them, so that its size is a power of two. */
#define IOVA_MAGAZINE_LEAST 3u
#define IOVA_MAGAZINE_MOST 1023u

/* "No time": not armed, nothing due. */
#define IOVA_NEVER UINT64_MAX
/* Looks of one job that asks to look again lie at least this far apart: 1 ms. */
#define IOVA_LOOK_NS UINT64_C(1000000)
/* A parameter's value that leaves the choice to the design. */
#define IOVA_AUTO UINT64_MAX

enum iova_status {
	IOVA_OK = 0,
	IOVA_NO_SPACE,	/* no gap is large enough below the limit */
	IOVA_NO_MEMORY, /* the memory table, or its admit_range, refused */
	IOVA_INVALID,	/* an argument that can not be served; nothing was changed */
	IOVA_NOT_FOUND, /* no range holds that pfn */
	/* Of live domains only. */
	IOVA_DOUBLE_FREE,   /* the range was free already, or waits for its flush */
	IOVA_NOT_ALLOCATED, /* no range given out starts there */
	IOVA_SIZE_MISMATCH, /* a range of another size starts there */
	IOVA_RESERVED,	    /* the place is reserved, outside the windows, or taken */
	IOVA_OVER_BUDGET,   /* as many ranges are live as the domain may have */
	IOVA_FLUSH_NEEDED,  /* flush the IOTLB, call iova_live_flushed(), try again */
	IOVA_CLOSED,
};

/* A static text, one clause in lower case, for any value. */
IOVA_API const char *iova_status_text(enum iova_status status);
/* The library's version, as IOVA_VERSION was when it was built. */
IOVA_API const char *iova_version(void);

/* Both ends included. */
struct iova_range {
	uint64_t lo, hi;
};

/* ---------------------------------------------------------------- environment */

enum iova_memory_kind {
	IOVA_MEMORY_DOMAIN,   /* the domain itself, a design's state */
	IOVA_MEMORY_CACHES,   /* per-CPU cache heads, and what is looked up by CPU or pfn: zeroed */
	IOVA_MEMORY_MAGAZINE, /* one magazine: 1 KiB, or as the design says; aligned to 64 */
	IOVA_MEMORY_TREE,     /* a node of the range tree: up to 1 KiB, aligned to 16 */
	IOVA_MEMORY_REPLAY,   /* tables of a replay */
	IOVA_MEMORY_KINDS
};

struct iova_memory {
	/*
	 * NULL: refused. alignment is a power of two. IOVA_MEMORY_CACHES must be all zeroes:
	 * much of it may never be touched, so that mapping it costs least.
	 */
	void *(*allocate)(void *context, enum iova_memory_kind kind, size_t size, size_t alignment);
	void (*release)(void *context, enum iova_memory_kind kind, void *block, size_t size);
	/*
	 * Optional. Asked before each range record is added, and before a search for one,
	 * where Linux would ask its slab: a tree node here holds many records, so a test or
	 * a budget that must refuse one record can not do it in allocate().
	 */
	bool (*admit_range)(void *context);
	void *context;
};

/* The C library's heap. */
IOVA_API const struct iova_memory *iova_memory_heap(void);

enum iova_lock {
	IOVA_LOCK_CPU,	 /* the two magazines of one CPU and class */
	IOVA_LOCK_DEPOT, /* the depot of one class */
	IOVA_LOCK_TREE,	 /* the range tree of the domain; cpu and size_class are 0 */
};

/*
 * Taken in the order CPU, depot, tree; never two of a kind. Between acquire and release
 * of a lock no other domain is entered.
 */
struct iova_lock_hooks {
	void (*acquire)(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class);
	void (*release)(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class);
	void *context;
};

/* -------------------------------------------------------------------- designs */

/*
 * A design is a mechanism (how the depot behaves on the path of an allocation or free)
 * and a policy (what is decided at most every few milliseconds, at a deadline).
 *
 * Protocol of a policy. Each size class has one delayed job, armed or not. A push onto
 * the depot arms it arm_delay_ns later if it is not armed. When it is due, the owner of
 * the domain runs it (iova_run_due): it counts as not armed, look() is shown a view and
 * fills in a decision, the decision is carried out, and the job is armed again if the
 * decision says so. look() is called with no lock held and must not call into the domain
 * other than iova_read_cpu().
 */
struct iova_view {
	uint64_t now;	      /* the job's due time */
	uint32_t size_class;  /* the class this job is for */
	uint32_t classes;     /* classes of the domain */
	uint32_t cpus_online, cpus_possible;
	uint64_t depot;	      /* full magazines in the depot */
	uint64_t depot_low;   /* fewest since this job last ran, or since creation */
	uint64_t pushed, popped; /* magazines put into and taken out of the depot by CPUs, ever */
	uint64_t tree_allocated; /* ranges of this class cut from the tree, ever */
	uint64_t tree_freed;	 /* ranges of this class given back to it, ever */
	uint64_t depot_cached;	 /* ranges in the depot */
	uint32_t magazine;	 /* entries of the magazines that are made now */
	void *cpu_state; /* the design's cpu_state_size bytes for each of cpus_possible CPUs */
	const struct iova_domain *domain; /* for iova_read_cpu() */
};

struct iova_decision {
	/* Take up to `release` magazines from the depot and empty them into the tree, ... */
	uint64_t release;
	/* ... but leave `keep` there, also if the depot shrank since the view was taken. */
	uint64_t keep;
	/*
	 * Look again after this long, but not sooner than IOVA_LOOK_NS; 0: not before the
	 * next push arms the job.
	 */
	uint64_t again_ns;
	/*
	 * CPUs whose magazines of this class are given back: a full one to the depot, a
	 * partial one to the tree, the memory of both freed. trim has room for
	 * cpus_possible numbers; look() writes trim_count of them.
	 */
	uint32_t trim_count;
	uint32_t *trim;
	/*
	 * Entries of the magazines of this class that are made from now on, 2^n - 1 within
	 * IOVA_MAGAZINE_LEAST .. IOVA_MAGAZINE_MOST; any other number changes nothing.
	 * Those there are keep their size.
	 */
	uint32_t magazine;
};

/* What one CPU's cache of one class holds and has done; counts since creation. */
struct iova_cpu_view {
	uint32_t loaded, previous;   /* entries; 0 also where there is no magazine */
	bool has_loaded, has_previous;
	uint64_t hits_loaded, hits_previous, hits_depot, puts;
};

struct iova_param {
	const char *name; /* with its unit, as in delay_ms */
	const char *unit;
	const char *help;
	uint64_t minimum, maximum, initial;
	const char *automatic; /* what IOVA_AUTO means; NULL: IOVA_AUTO is not accepted */
};

#define IOVA_MAX_PARAMS 8u

struct iova_config;

/* All zero but for depot_max: an unbounded depot that nothing shrinks. */
struct iova_mechanism {
	uint64_t depot_max;	  /* full magazines per class; UINT64_MAX: no bound */
	uint64_t arm_delay_ns;	  /* a push arms the job this much later; 0: never */
	bool magazines_at_first_use; /* else two per CPU and class at iova_make_caches() */
	bool arm_by_growth; /* so does a magazine that is made for a CPU's free */
	/*
	 * Where the depot has no room for a full magazine: the range that would go on top of
	 * an empty one goes to the tree, and no magazine moves. Else the full one is emptied
	 * into the tree.
	 */
	bool bail;
	/*
	 * For the lab: the job runs where a CPU is idle (an unbound work queue); else on the
	 * CPU that armed it, where it waits as long as that has interrupts to serve.
	 */
	bool unbound;
	bool indexed;	    /* for the lab: tree work has the price of our index, not of a walk */
	uint32_t magazine;  /* entries of a magazine at first; 0: Linux's 127 */
	uint32_t classes;   /* size classes; 0: as in iova_config */
	uint32_t tree_batch; /* a magazine is emptied in holds of so many ranges; 0: in one */
	uint64_t empties_max; /* empty magazines a depot keeps for CPUs that need one */
};

struct iova_design {
	const char *name, *summary;
	const struct iova_param *params;
	uint32_t param_count;
	/*
	 * values has param_count numbers, in range; cpus_possible and classes are those of
	 * the config. The mechanism is what struct iova_mechanism says beside its name, and
	 * what does not fit is refused by iova_create().
	 */
	void (*setup)(const struct iova_design *design, const uint64_t *values,
		      const struct iova_config *config, struct iova_mechanism *mechanism);
	/*
	 * May be NULL if arm_delay_ns is 0. state: state_size bytes per class, zeroed; the
	 * view has cpu_state_size bytes per class and CPU, zeroed too.
	 */
	void (*look)(const struct iova_design *design, void *state, const uint64_t *values,
		     const struct iova_view *view, struct iova_decision *decision);
	size_t state_size, cpu_state_size;
	void *user; /* for designs made at run time; the library does not look at it */
};

/* Built-in designs, in the order in which Linux had them; NULL past the last. */
IOVA_API const struct iova_design *iova_design_at(uint32_t index);
/* NULL: there is none of that name. */
IOVA_API const struct iova_design *iova_design_named(const char *name);

/* --------------------------------------------------------------------- domain */

typedef struct iova_domain iova_domain;

struct iova_config {
	uint64_t granule;   /* bytes of a page frame: a power of two, at most IOVA_MAX_GRANULE */
	uint64_t start_pfn; /* lowest pfn the search may hand out; 1 or more for sane use */
	uint32_t cpus_possible; /* 1 .. IOVA_MAX_CPUS */
	uint32_t cpus_online;	/* CPUs 0 .. cpus_online-1 are online at first */
	uint32_t classes;	/* 1 .. IOVA_MAX_CLASSES */
	const struct iova_design *design; /* kept: must outlive the domain */
	const uint64_t *params; /* design->param_count values, copied; NULL: the initial ones */
	const struct iova_memory *memory;   /* copied; NULL: iova_memory_heap() */
	const struct iova_lock_hooks *locks; /* copied; NULL: none */
	/* Count the tree nodes Linux would have walked: two rank queries a tree allocation. */
	bool count_steps;
};

/*
 * IOVA_INVALID: a number of the config is out of range. The new domain holds no range
 * and has no caches; until iova_make_caches() only the raw calls may be used.
 */
IOVA_API enum iova_status iova_create(const struct iova_config *config, iova_domain **domain);
/*
 * Frees everything, live ranges and cached ones included. No other call may be running
 * or follow. NULL is ignored.
 */
IOVA_API void iova_destroy(iova_domain *domain);
/* IOVA_NO_MEMORY leaves no caches behind. IOVA_INVALID: they exist. */
IOVA_API enum iova_status iova_make_caches(iova_domain *domain);

/*
 * Marks lo..hi as taken. Ranges that overlap it grow downwards over the gaps below them;
 * what sticks out at the top becomes a range of its own. *result (may be NULL) is the
 * range that holds the top. IOVA_INVALID: an end lies above the last pfn of the granule
 * (this also counts as a warning), or lo > hi and no range holds both. On
 * IOVA_NO_MEMORY the growth stays.
 */
IOVA_API enum iova_status iova_reserve(iova_domain *domain, uint64_t lo, uint64_t hi,
				       struct iova_range *result);

/*
 * Linux's alloc_iova_fast. size >= 1 page frames, rounded up to a power of two where the
 * caches hold such sizes. If nothing is cached and the tree has no room, and flush is
 * set, the caches of all online CPUs and all depots are emptied and the tree is tried
 * once more. Returns the first pfn, 0 = failed.
 */
IOVA_API uint64_t iova_alloc(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t limit,
			     bool flush);
/*
 * Linux's free_iova_fast: pfn and size (as given to iova_alloc) are believed. now: the
 * push of a full magazine arms the reclaim job.
 */
IOVA_API void iova_free(iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size,
			uint64_t now);
/* Linux's alloc_iova: exactly size frames, from the tree. align: to the rounded-up size. */
IOVA_API enum iova_status iova_alloc_raw(iova_domain *domain, uint64_t size, uint64_t limit,
					 bool align, struct iova_range *result);
/* Linux's free_iova: pfn is any frame of the range. Never needs memory. */
IOVA_API enum iova_status iova_free_raw(iova_domain *domain, uint64_t pfn);
/* The range that holds a pfn, cached ones included; IOVA_NOT_FOUND: none does. */
IOVA_API enum iova_status iova_find(const iova_domain *domain, uint64_t pfn,
				    struct iova_range *result);

/* Empty every online CPU's magazines and every depot into the tree. */
IOVA_API void iova_flush_caches(iova_domain *domain);
/* The CPU leaves the online set and its magazines are emptied; CPUs online afterwards. */
IOVA_API uint32_t iova_cpu_offline(iova_domain *domain, uint32_t cpu);
/* The CPU joins the online set; CPUs online afterwards. */
IOVA_API uint32_t iova_cpu_online(iova_domain *domain, uint32_t cpu);

/* When the next job is due; IOVA_NEVER: no job is armed. */
IOVA_API uint64_t iova_next_deadline(const iova_domain *domain);
/* The same for one class. */
IOVA_API uint64_t iova_class_deadline(const iova_domain *domain, uint32_t size_class);
/*
 * Run every job due at or before now, earliest first, ties in the order of arming, each
 * with the clock at its own due time. Returns how many ran.
 */
IOVA_API uint64_t iova_run_due(iova_domain *domain, uint64_t now);
/* Run one class's job now, armed or not: for replaying a recorded run. */
IOVA_API void iova_run_class(iova_domain *domain, uint32_t size_class, uint64_t now);

/* ----------------------------------------------------------------- statistics */

struct iova_counters {
	uint64_t hits_loaded, hits_previous, hits_depot; /* allocations served by the cache */
	uint64_t tree_allocations; /* ranges cut from the tree */
	uint64_t tree_frees;	   /* ranges given back to the tree, magazines' included */
	uint64_t tree_steps;	   /* nodes Linux would have walked; 0 without count_steps */
	uint64_t failures;	   /* allocations that failed */
	uint64_t puts;		   /* frees that the cache took */
	uint64_t magazines_allocated, magazines_freed;
	uint64_t pushed, popped;   /* magazines, by CPUs */
	uint64_t reclaimed;	   /* magazines a job took from the depot and emptied */
	uint64_t trimmed;	   /* per-CPU magazines given back */
	uint64_t armed, found_armed; /* pushes that armed the job, that found it armed */
	uint64_t runs;		   /* runs of the job */
	uint64_t depot, depot_peak; /* full magazines: now, at most */
	uint64_t depot_empties;	    /* empty ones, of designs that keep them */
	uint64_t cached;	   /* ranges in magazines now, walks all CPUs */
};

/* size_class: 0 .. classes-1, or IOVA_BEYOND_CLASSES. Zeros for any other. */
IOVA_API struct iova_counters iova_read_counters(const iova_domain *domain, uint32_t size_class);
IOVA_API struct iova_cpu_view iova_read_cpu(const iova_domain *domain, uint32_t cpu,
					    uint32_t size_class);

struct iova_totals {
	uint64_t ranges;	/* in the tree, the anchor not counted */
	uint64_t pages;		/* that they cover */
	uint64_t tree_bytes;	/* memory of the tree's nodes */
	uint64_t magazines;	/* allocated now */
	uint64_t magazines_peak;
	uint64_t magazine_bytes; /* that they take */
	uint64_t warnings;	/* bad reservations, unknown pfns found in a magazine */
	uint64_t runs;		/* jobs run */
};

IOVA_API struct iova_totals iova_read_totals(const iova_domain *domain);

/*
 * Walks everything: the tree's order and index, every magazine and depot, and that every
 * cached pfn is the first of a range in the tree and is cached once. Returns NULL if all
 * holds, else a static text that names the first thing that does not. Needs memory for
 * the cached pfns. For tests.
 */
IOVA_API const char *iova_check(const iova_domain *domain);

/* --------------------------------------------------------------- live domains */

/*
 * A domain for many threads: the allocator above behind the caches of the CPUs that its
 * callers run on, with locks, a clock and a reclaimer of its own, and what drivers need.
 * Here sizes and addresses are bytes; sizes are rounded up to the granule. Every function
 * may be called from any thread at any time, but for iova_live_destroy().
 *
 * Memory is given back by one background thread for all live domains of the process. It
 * starts when the first depot has something to look at and sleeps when nothing is due. Where
 * the system refuses a thread, nothing is given back or flushed in the background, until a
 * later call can start one. The library stays loaded once it is: dlclose() does not unmap it.
 *
 * fork(): the child has the same domains, its own and independent; the IOMMU behind them
 * is the caller's business. In the child the background thread starts again on need. A range
 * that another thread was handing out or giving back at that moment is lost to the child.
 */
typedef struct iova_live iova_live;

/* Both ends included, in bytes. */
struct iova_span {
	uint64_t first, last;
};

/* Zero stands for the default everywhere. */
struct iova_live_config {
	/* What may be handed out, in any order, as VFIO and iommufd report it. Default:
	   4 KiB .. 2^48 - 1 without the x86 MSI window 0xfee00000 .. 0xfeefffff. */
	const struct iova_span *windows;
	size_t window_count;
	/* Never handed out, in any order; may lie anywhere. */
	const struct iova_span *reserved;
	size_t reserved_count;
	uint64_t granule; /* a power of two, at most IOVA_MAX_GRANULE; default 4096 */
	const struct iova_design *design; /* kept; default linux-7.3 */
	const uint64_t *params;		  /* as in iova_config */
	uint32_t classes;		  /* default IOVA_DEFAULT_CLASSES */
	uint32_t cpus;			  /* caches; default: the CPUs the machine may have */
	uint64_t budget; /* most ranges live at once (65535 for VFIO's type 1); default: no bound */
	bool unchecked;	 /* frees are believed: an error of the caller's corrupts the domain */
	bool allow_zero; /* address 0 may be handed out, if a window holds it */
	/*
	 * Flush the IOTLB of what was unmapped, and return true. Called with no lock held,
	 * by any thread that defers a free, and by the background thread when one has
	 * waited for IOVA_FLUSH_AGE_NS; by several at a time. It may call any function here
	 * but iova_live_destroy(), and iova_live_defer(), which might call it again without
	 * end. NULL: iova_live_defer() says IOVA_FLUSH_NEEDED instead.
	 */
	bool (*on_flush)(void *context);
	void *context;
	const struct iova_memory *memory; /* copied; its functions may run in any thread */
};

/* A deferred free older than this calls for a flush: 10 ms, as Linux's flush queue timer. */
#define IOVA_FLUSH_AGE_NS UINT64_C(10000000)

/*
 * IOVA_INVALID: a number of the config can not be served, the windows hold no whole
 * granule that is not reserved, or first > last somewhere. IOVA_NO_MEMORY.
 */
IOVA_API enum iova_status iova_live_open(const struct iova_live_config *config, iova_live **live);
/*
 * From now on every call but iova_live_destroy() returns IOVA_CLOSED; calls that are
 * running in other threads finish. May be called again.
 */
IOVA_API void iova_live_close(iova_live *live);
/*
 * Closes the domain and frees it with all ranges in it. No other call may be running or
 * follow. A policy or on_flush that runs in the background thread is not waited for: the
 * memory then goes when it returns. NULL is ignored.
 */
IOVA_API void iova_live_destroy(iova_live *live);

/*
 * size bytes whose last lies at or below limit (UINT64_MAX: anywhere), at a multiple of
 * align (0: the size's own alignment, up to the largest size class that of the size rounded
 * up to a power of two). IOVA_NO_SPACE comes after every cache was emptied once.
 * Also IOVA_INVALID (size 0, align no power of two), IOVA_NO_MEMORY, IOVA_OVER_BUDGET,
 * IOVA_CLOSED. *address is written on success only.
 */
IOVA_API enum iova_status iova_live_alloc(iova_live *live, uint64_t size, uint64_t limit,
					  uint64_t align, uint64_t *address);
/*
 * Give a range back: address as handed out, size as asked for (rounded sizes are
 * compared; 0: whatever it is, which an unchecked domain looks up in the tree). IOVA_DOUBLE_FREE, IOVA_NOT_ALLOCATED,
 * IOVA_SIZE_MISMATCH, IOVA_RESERVED (an address outside the windows or in a reservation):
 * nothing was changed. IOVA_CLOSED. Unchecked domains notice only the last two. A free never
 * needs memory.
 */
IOVA_API enum iova_status iova_live_free(iova_live *live, uint64_t address, uint64_t size);
/*
 * n ranges of one size, the same ones that n calls would return; whole magazines are moved
 * at a time. All or none: on failure nothing is taken. More than there can be room for is
 * refused at once. Errors as iova_live_alloc(); addresses hold nothing of use after one.
 */
IOVA_API enum iova_status iova_live_alloc_many(iova_live *live, size_t n, uint64_t size,
					       uint64_t limit, uint64_t *addresses);
/*
 * n ranges of one size. On failure *bad (may be NULL) is the index of the first that can
 * not be freed: those before it are, it and those after it are not. Errors as iova_live_free().
 */
IOVA_API enum iova_status iova_live_free_many(iova_live *live, size_t n,
					      const uint64_t *addresses, uint64_t size,
					      size_t *bad);
/*
 * Take exactly the granules from address, a multiple of the granule, that size bytes need.
 * IOVA_RESERVED: something there is reserved, outside the windows, live, or waits for its
 * flush. IOVA_INVALID: size 0, or an address that is no multiple. Also IOVA_OVER_BUDGET, IOVA_NO_MEMORY, IOVA_CLOSED.
 * Freed like any other.
 */
IOVA_API enum iova_status iova_live_alloc_at(iova_live *live, uint64_t address, uint64_t size);
/*
 * Hand nothing out of first .. last any more (widened to granules). What is reserved
 * already stays so. IOVA_RESERVED: something there is live or waits for its flush, and
 * nothing was changed. On IOVA_NO_MEMORY a part of it may be reserved: call again.
 * IOVA_INVALID: first > last. IOVA_CLOSED.
 */
IOVA_API enum iova_status iova_live_reserve(iova_live *live, uint64_t first, uint64_t last);

enum iova_place {
	IOVA_PLACE_FREE,     /* in no range, or in one that a cache holds */
	IOVA_PLACE_LIVE,
	IOVA_PLACE_DEFERRED, /* waits for its IOTLB flush */
	IOVA_PLACE_RESERVED, /* or outside the windows */
};

/*
 * What holds the address. *span is the range or reservation; the address alone if free.
 * Unchecked domains can not tell cached and deferred ranges from live ones: they count as
 * live, here and in iova_live_ranges(). In a closed domain all is free.
 */
IOVA_API enum iova_place iova_live_find(iova_live *live, uint64_t address,
					struct iova_span *span);

/*
 * Free a range after the IOTLB flush that follows its unmap: the caller has unmapped it, and
 * it is not handed out again before the flush. *ticket names it. If the CPU's ring is full,
 * or its oldest entry older than IOVA_FLUSH_AGE_NS, on_flush is called first; where there
 * is none, or it returns false: IOVA_FLUSH_NEEDED, the range stays live, and *ticket is what to
 * pass to iova_live_flushed() after a flush. IOVA_NO_MEMORY: the CPU's ring, 8 KiB, could not
 * be made at its first use; the range stays live. Errors also as iova_live_free(). It waits
 * for no flush of others, but takes as long as an on_flush that it calls.
 */
IOVA_API enum iova_status iova_live_defer(iova_live *live, uint64_t address, uint64_t size,
					  uint64_t *ticket);
/*
 * An IOTLB flush that began after that ticket was given out is done: what was deferred up
 * to it is free now. IOVA_INVALID: that ticket was not given out.
 */
IOVA_API enum iova_status iova_live_flushed(iova_live *live, uint64_t ticket);

/* Empty every cache into the tree. IOVA_CLOSED. */
IOVA_API enum iova_status iova_live_flush_caches(iova_live *live);

struct iova_live_stats {
	uint64_t live, live_bytes;	   /* ranges handed out, deferred ones not counted */
	uint64_t deferred;		   /* ranges that wait for an IOTLB flush */
	uint64_t cached, cached_bytes;	   /* ranges in magazines */
	uint64_t free_bytes;		   /* of the windows: not live, deferred, cached, reserved */
	uint64_t largest_gap_bytes;	   /* the longest free piece */
	uint64_t flushes;		   /* IOTLB flushes asked of on_flush */
	uint64_t budget;		   /* 0: no bound */
	uint64_t memory_bytes;		   /* everything the domain holds */
	struct iova_totals totals;
};

/* IOVA_CLOSED. Read while others allocate, its numbers are of moments apart. */
IOVA_API enum iova_status iova_live_read(iova_live *live, struct iova_live_stats *stats);
/* As iova_read_counters(); zeros once the domain is closed. */
IOVA_API struct iova_counters iova_live_counters(iova_live *live, uint32_t size_class);
/*
 * The live ranges, lowest first: up to room of them into spans; how many there are. Ranges
 * that come and go meanwhile may be in it or not. 0 once the domain is closed.
 */
IOVA_API size_t iova_live_ranges(iova_live *live, struct iova_span *spans, size_t room);

#ifdef __cplusplus
}
#endif

#endif
