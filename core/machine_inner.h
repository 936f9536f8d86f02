/* SPDX-License-Identifier: MIT */
/*
 * The inside of a simulated machine: CPUs, lanes, locks, tapes.
 *
 * A CPU does one activity at a time and is not interrupted in it. Work that arrives
 * meanwhile waits in its two lists, interrupts before tasks. An activity either ends in the
 * event in which it began (its end lies in the CPU's future: `free_at`), or it is suspended:
 * then one EVENT_CPU is pending for the CPU, or it waits in the list of one lock.
 *
 * A tape is what one operation on the core did, as steps: work, and locks taken and let go.
 * Playing it moves the activity's own clock `t`; before a lock is asked for, everything
 * that is due earlier on other CPUs happens first.
 */
#ifndef IOVA_MACHINE_INNER_H
#define IOVA_MACHINE_INNER_H

#include "linux_ring.h"
#include "machine.h"
#include "machine_queue.h"
#include "replay_inner.h"

#define PS_PER_NS UINT64_C(1000)
#define NOBODY UINT32_MAX /* end of a list of work or CPUs */
#define SPARE_SIZES (1 + 10) /* IOVA_MAGAZINE_MOST is 2^10 - 1 */

/* ------------------------------------------------------------------------- events */

/* In this order at the same moment. */
enum event_kind {
	EVENT_CPU,    /* a CPU is free, or goes on with what was suspended */
	EVENT_DONE,   /* the device is done with a lane's request */
	EVENT_GO,     /* a lane that waited for room in the device has got it */
	EVENT_READY,  /* a lane has thought */
	EVENT_TIMER,  /* of a domain's flush queue */
	EVENT_JOB,    /* of a domain's class: number = domain * IOVA_MAX_CLASSES + class */
	EVENT_BURST,  /* a flow turns on or off */
	EVENT_REBIND, /* of a flow */
};

static inline uint64_t event_of(enum event_kind kind, uint32_t number)
{
	return (uint64_t)kind << 32 | number;
}

/* -------------------------------------------------------------------------- locks */

struct sim_lock {
	uint64_t free_at;   /* holds that are known end then */
	uint64_t since;	    /* the last hold began then */
	uint32_t waiters, last_waiter; /* CPUs, linked by cpu.next_waiter */
	uint32_t owner;	    /* CPU that had it last; NOBODY */
	uint8_t kind;	    /* enum machine_lock */
	bool held;	    /* and it is not known until when; or kept for a waiter */
};

enum step_kind {
	STEP_HOLD,    /* take it, hold it for `hold`, let go: nothing else is locked meanwhile */
	STEP_ACQUIRE, /* take it and keep it for further steps */
	STEP_RELEASE,
};

struct step {
	uint64_t work; /* before it */
	uint64_t hold;
	struct sim_lock *lock;
	uint32_t lines; /* that the lock protects and its owner needs, its own included */
	enum step_kind kind;
};

struct tape {
	struct step *steps;
	uint32_t count, capacity, next;
	uint64_t rest; /* work after the last step */
};

/* ------------------------------------------------------------------------ domains */

struct sim_domain {
	const struct machine_domain *config;
	struct replay_domain *ledger;
	struct sim_lock *locks; /* CPU and class, classes' depots, tree, rings; NULL: idle */
	struct linux_ring *rings; /* [ring_count], lazy only */
	uint32_t ring_count;
	uint32_t event_number;	/* of the event table: a new one after each rebind */
	uint32_t foreign_holds; /* CPU locks held or waited for by other CPUs */
	uint64_t started, finished; /* flushes */
	uint64_t timer_at;	/* ps; IOVA_NEVER: not running */
	uint32_t timer_cpu;
	bool timer_event;	/* is pending */
	bool timer_queued;	/* waits on its CPU, or runs there */
	uint64_t armings;	/* as last seen */
	uint64_t job_due[IOVA_MAX_CLASSES]; /* ps; IOVA_NEVER: not armed, or queued */
	uint64_t job_at[IOVA_MAX_CLASSES]; /* ps of the event that is pending; IOVA_NEVER: none */
	uint32_t job_cpu[IOVA_MAX_CLASSES];
	bool job_queued[IOVA_MAX_CLASSES];
	/* Where the depot's magazines come from, as its lists: full ones, empty ones. */
	struct origins {
		struct origin {
			uint16_t cpu;	/* that filled or emptied it */
			uint16_t lines; /* of 64 bytes that it has */
		} *of;
		uint32_t count, capacity;
	} full[IOVA_MAX_CLASSES], empty[IOVA_MAX_CLASSES];
};

/* -------------------------------------------------------------------------- flows */

struct lane {
	uint64_t pfn;
	uint32_t slot;
	uint32_t domain;
	uint16_t cpu;
	uint8_t flow, size;
	uint16_t alloc_cpu; /* of its range */
	bool completes; /* waits to complete; else to be submitted */
	uint8_t mishap; /* enum mishap: what the driver does to its range */
};

enum mishap {
	NO_MISHAP,
	NEVER_FREED,
	WRONG_SIZE,
};

struct submitter {
	uint64_t moves_at;
	uint32_t cpu;
};

struct size_choice {
	uint64_t up_to; /* of a random number, inclusive */
	uint64_t pages; /* as asked for */
	uint64_t rounded;
	uint32_t size_class; /* >= classes: not cached */
};

struct list { /* of work, linked by machine.next[] */
	uint32_t first, last;
};

struct sim_flow {
	const struct machine_flow *config;
	uint32_t number, first_lane, lanes;
	uint16_t *complete_cpu; /* by submitting CPU */
	struct submitter *submitters;
	struct size_choice sizes[MACHINE_MAX_SIZES];
	uint64_t random;
	uint64_t device_free_at;
	uint64_t completions;
	uint32_t used;	      /* requests the device has room for, that are taken */
	uint32_t outstanding; /* lanes between the start of their submission and their end */
	struct list waiting;  /* for room in the device */
	struct list parked;   /* until the flow is on again */
	bool off, rebinding, no_32_bit;
};

/* --------------------------------------------------------------------------- CPUs */

enum activity_kind {
	ACT_NONE,
	ACT_ALLOC,
	ACT_FREE,  /* strict */
	ACT_QUEUE, /* lazy: put into the flush queue */
	ACT_LEAK,
	ACT_TIMER,
	ACT_JOB,
	ACT_REBIND,
};

struct activity {
	enum activity_kind kind;
	uint32_t phase;
	uint32_t work; /* lane or number of what it is for */
	struct sim_domain *domain;
	uint32_t ring; /* that is being drained */
	uint32_t ring_owner; /* CPU that wrote it last before */
	uint64_t flush_number; /* of its own flush */
	bool granted; /* the lock it waited for is its own now */
	uint64_t begun, t; /* ps */
	struct tape tape;
	/* The call that is being done. */
	bool playing;
	bool priced; /* taking the entry of a ring that is next */
	uint64_t call_begun, seq; /* ps; place in the event table */
	uint64_t limit;
	uint64_t refused_limit;	  /* of a first try that failed; 0: there was none */
	bool flush;		  /* the caches may be flushed for it */
	bool reached_tree;
	struct ring_entry range;
};

struct sim_cpu {
	uint64_t free_at;
	struct list interrupts, tasks;
	bool event_pending;
	uint32_t next_waiter; /* in a lock's list */
	uint32_t node;
	struct activity act;
};

/* ------------------------------------------------------------------------ machine */

struct machine {
	struct machine_config config;
	struct iova_memory memory;
	struct iova_lock_hooks hooks;
	struct replay *replay;
	struct replay_domain_config *starts;
	struct event_queue queue;
	uint64_t now; /* ps */
	struct sim_cpu *cpus;
	struct sim_domain *domains;
	struct sim_flow *flows;
	struct lane *lanes;
	/*
	 * Numbers of work: lanes, then timers by domain, then jobs by domain and class, then
	 * rebinds by flow.
	 */
	uint32_t lane_count, first_timer, first_job, first_rebind, work_count;
	uint32_t *next; /* by work: lists */
	uint32_t *free_slots;
	uint32_t free_slot_count, free_slot_capacity, slot_count;
	uint64_t seq;
	uint32_t event_domains; /* numbers given out for the event table */
	/* What is being recorded, if something is. */
	struct {
		struct tape *tape;
		struct sim_domain *domain;
		struct iova_domain *core;
		uint32_t cpu, counters; /* whose work; size class of what is asked for */
		uint32_t depth;	  /* locks held */
		uint64_t work;	  /* priced since the last step */
		uint64_t ranges, steps; /* as of the last step */
		uint64_t pushed, popped;
	} record;
	/* Given back by the core, kept for it: blocks of magazines of 2^n - 1 entries, by n. */
	struct spare {
		struct spare *next;
		uint64_t owner; /* CPU that gave it back; NOBODY */
	} *spare[SPARE_SIZES];
	enum replay_status status;
	struct machine_events *events;
	bool births_written;
	size_t rows_wanted;   /* room the next event may need */
	uint32_t interrupted; /* CPU that waits for room, and goes on first; NOBODY */
	struct machine_totals totals;
	struct machine_sample *samples;
	size_t sample_count, sample_capacity;
	uint64_t alloc_times[MACHINE_BUCKETS], free_times[MACHINE_BUCKETS];
	uint64_t *handovers; /* [cpu row][cpu row], allocating and freeing; NULL: not counted */
	uint32_t cpu_rows;
};

/* --------------------------------------------------------------------- small things */

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* A random number below n. */
static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((next_random(state) >> 32) * n >> 32);
}

/* A random time of a distribution given by its quantiles; NULL: 0. */
static inline uint64_t random_time(uint64_t *state, const uint64_t *quantiles)
{
	if (!quantiles)
		return 0;
	uint64_t r = next_random(state);
	const uint64_t *q = &quantiles[r >> 54];
	uint64_t part = (uint32_t)(r >> 22);
	return q[0] + (uint64_t)(((page_time)(q[1] - q[0]) * part) >> 32);
}

static inline uint32_t bucket_of(uint64_t ps)
{
	if (ps < 16)
		return (uint32_t)ps;
	uint32_t shift = 59u - (uint32_t)__builtin_clzll(ps);
	uint32_t bucket = (shift + 1) * 16 + (uint32_t)((ps >> shift) & 15);
	return bucket < MACHINE_BUCKETS ? bucket : MACHINE_BUCKETS - 1;
}

static inline void raise_longest(uint64_t *longest, uint64_t ps)
{
	if (ps > *longest)
		*longest = ps;
}

static inline void list_add(struct machine *m, struct list *list, uint32_t work)
{
	m->next[work] = NOBODY;
	if (list->first == NOBODY)
		list->first = work;
	else
		m->next[list->last] = work;
	list->last = work;
}

/* NOBODY: it is empty. */
static inline uint32_t list_take(struct machine *m, struct list *list)
{
	uint32_t work = list->first;
	if (work != NOBODY)
		list->first = m->next[work];
	return work;
}

static inline struct sim_lock *lock_of_cpu(const struct machine *m, const struct sim_domain *d,
					   uint32_t cpu, uint32_t size_class)
{
	return &d->locks[(size_t)cpu * m->config.classes + size_class];
}

static inline struct sim_lock *lock_of_depot(const struct machine *m, const struct sim_domain *d,
					     uint32_t size_class)
{
	return &d->locks[(size_t)m->config.cpus_possible * m->config.classes + size_class];
}

static inline struct sim_lock *lock_of_tree(const struct machine *m, const struct sim_domain *d)
{
	return &d->locks[(size_t)m->config.cpus_possible * m->config.classes + m->config.classes];
}

static inline struct sim_lock *lock_of_ring(const struct machine *m, const struct sim_domain *d,
					    uint32_t ring)
{
	return lock_of_tree(m, d) + 1 + ring;
}

static inline uint32_t cpu_number(const struct machine *m, const struct sim_cpu *cpu)
{
	return (uint32_t)(cpu - m->cpus);
}

/* ------------------------------------------------------------ machine.c, machine_config.c */

/* Beside each of the ledger's samples so far goes one of the machine's, as it is now. */
void machine_take_samples(struct machine *m);
/* Whether a machine can be made of it. */
bool machine_config_is_valid(const struct machine_config *config);

/* ----------------------------------------------------------- machine_record.c: prices */

/* Hooks of the core's locks; context is the machine. */
void record_acquire(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class);
void record_release(void *context, enum iova_lock lock, uint32_t cpu, uint32_t size_class);
void *record_allocate(void *context, enum iova_memory_kind kind, size_t size, size_t alignment);
void record_release_memory(void *context, enum iova_memory_kind kind, void *block, size_t size);

/* From here to record_end() what the core does goes onto the CPU's tape. */
void record_begin(struct machine *m, struct sim_cpu *cpu, struct sim_domain *d,
		  uint32_t size_class);
void record_end(struct machine *m);

/* ------------------------------------------------------------- machine_locks.c: waiting */

/* The activity can not go on before its own clock's time: come back then. */
void suspend_until(struct machine *m, struct sim_cpu *cpu, uint64_t t);
/*
 * Go on with the tape. True: it is done, and act.t is when. False: suspended; come back
 * in the CPU's next event.
 */
bool play(struct machine *m, struct sim_cpu *cpu);
/* The same two for a lock that is kept while other tapes are played. */
bool lock_and_keep(struct machine *m, struct sim_cpu *cpu, struct sim_lock *lock, uint32_t lines);
void let_go(struct machine *m, struct sim_cpu *cpu, struct sim_lock *lock);
/* Price of so many lines that `owner` wrote last; of lines in a row, fetched ahead. */
uint64_t price_of_lines(struct machine *m, const struct sim_cpu *cpu, uint32_t owner,
			uint32_t lines);
uint64_t price_of_lines_ahead(struct machine *m, const struct sim_cpu *cpu, uint32_t owner,
			      uint32_t lines);
/* Whether something is due on another CPU before the activity's own clock. */
static inline bool others_are_first(const struct machine *m, const struct sim_cpu *cpu)
{
	return queue_next(&m->queue) < cpu->act.t;
}

/* --------------------------------------------------------------- machine_calls.c: calls */

/* Each goes on with an activity. True: it has ended, act.t is when; false: suspended. */
bool alloc_goes_on(struct machine *m, struct sim_cpu *cpu);
bool free_goes_on(struct machine *m, struct sim_cpu *cpu);
/* A completion whose range the driver forgets. */
bool leak_goes_on(struct machine *m, struct sim_cpu *cpu);
bool job_goes_on(struct machine *m, struct sim_cpu *cpu);
void job_is_due(struct machine *m, uint32_t number);

/* Give act.range back to the core; if act.playing then, a tape is to be played. */
void give_back(struct machine *m, struct sim_cpu *cpu);
/* ... and when it is: the event table's row. */
void gave_back(struct machine *m, struct sim_cpu *cpu);
/* After something happened on a core: jobs that were armed get their events. */
void note_jobs(struct machine *m, struct sim_domain *d, uint32_t cpu);
/* A lane's range, as it is freed. */
struct ring_entry range_of_lane(const struct machine *m, const struct lane *lane);
/* A free, or what stands for it, is over: the time it took. */
void count_free(struct machine *m, const struct sim_cpu *cpu);

/* --------------------------------------------------------------- machine_flush.c: lazy */

bool queueing_goes_on(struct machine *m, struct sim_cpu *cpu);
bool timer_goes_on(struct machine *m, struct sim_cpu *cpu);
void timer_is_due(struct machine *m, uint32_t domain);
/* Drop what a domain's rings hold, and stop its timer. */
void drop_rings(struct machine *m, struct sim_domain *d);

/* --------------------------------------------------------------- machine_flows.c: lanes */

void begin_flows(struct machine *m);
/* A lane's request is over at t. */
void end_request(struct machine *m, uint32_t lane, uint64_t t);
/* A lane's range was allocated, and its CPU's part is done, at t: the device has it. */
void device_takes(struct machine *m, uint32_t lane, uint64_t t);
void lane_is_done(struct machine *m, uint32_t lane);
void lane_is_ready(struct machine *m, uint32_t lane);
void lane_goes(struct machine *m, uint32_t lane);
void flow_turns(struct machine *m, uint32_t flow);
void flow_rebinds(struct machine *m, uint32_t flow);
bool rebind_goes_on(struct machine *m, struct sim_cpu *cpu);
/* Make a domain, with caches and reservations. */
void bear_domain(struct machine *m, uint32_t domain);

/* --------------------------------------------------------------------- machine_cpus.c */

/* Work arrives at a CPU now. */
void cpu_gets(struct machine *m, uint32_t cpu, uint32_t work, bool interrupt);
/* Its event: it goes on with what was suspended, or takes what waits. */
void cpu_wakes(struct machine *m, uint32_t cpu);

/* --------------------------------------------------------------- machine_rows.c: table */

/* Rows an event may write, but for a rebind's. */
#define ROWS_AN_EVENT 16u
/* How many more rows there is room for; plenty if none are written. */
size_t rows_left(const struct machine *m);
/* The activity goes on, before anything else, once there is room for so many rows. */
void wait_for_room(struct machine *m, const struct sim_cpu *cpu, size_t rows);
/* The call of an activity that has ended: an allocation, or giving act.range back. */
void write_call(struct machine *m, const struct sim_cpu *cpu, enum replay_op op);
/* A range is unmapped that will be freed later; a flush queue's timer runs. */
void write_unmap(struct machine *m, const struct sim_cpu *cpu, const struct lane *lane);
void write_timer(struct machine *m, const struct sim_cpu *cpu);
/* What becomes of a domain: its birth, with caches and reservations, or its end. */
void write_birth(struct machine *m, const struct sim_domain *d, uint32_t cpu);
void write_end(struct machine *m, const struct sim_domain *d, uint32_t cpu);
uint32_t take_slot(struct machine *m);
void put_slot(struct machine *m, uint32_t slot);

#endif
