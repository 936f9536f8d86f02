/* SPDX-License-Identifier: MIT */
/*
 * live_world - what the scenarios of live domains share: one domain, stamps that tell who
 * owns which range, and the checks that end every scenario.
 *
 * Ranges are of one frame; frames 1 .. frames are in the window. Magazines hold three
 * ranges (IOVA_MAGAZINE_CAPACITY), so a few operations reach a depot. Each function is
 * called by a virtual thread, or by the scenario's begin() and end(); `id` is the thread,
 * or SCENARIO.
 */
#ifndef LIVE_WORLD_H
#define LIVE_WORLD_H

#include "explorer.h"
#include "live.h"

#define FULL IOVA_MAGAZINE_CAPACITY
#define PFNS 64u
#define FRAME UINT64_C(4096)
#define ANYWHERE UINT64_MAX
#define MS UINT64_C(1000000) /* ns */

enum { SCENARIO = MAX_THREADS }; /* the owner of what no thread owns */

extern iova_live *live;
extern struct iova_domain *domain; /* the one inside */
extern uint64_t frames;
/* For scenarios that compare how several threads fared. */
extern enum iova_status result[MAX_THREADS];

/* ------------------------------------------------------------------ making, checking */

struct shape {
	uint64_t frames;
	uint64_t threshold; /* magazines that the job leaves in the depot */
	uint64_t budget;
	bool (*on_flush)(void *context);
	const struct iova_design *design; /* NULL: linux-7.3 */
	bool unchecked;
};

void make(struct shape shape);
/*
 * CPU 0 holds `cached` ranges in its magazines and the depot; each of the threads
 * 0 .. threads-1 owns one. The other frames are in the tree.
 */
void make_with_cached(struct shape shape, unsigned cached, unsigned threads);
/* Nothing is broken, lost or leaked. Destroys the domain. */
void end(void);
/* The last part of it. */
void destroy(void);
struct object_name name_of(const void *object);

/* ---------------------------------------------------------------------- ownership */

/* The address is the owner's from now on; fails if it was handed to somebody else. */
void own(unsigned id, uint64_t address);
/* The range that the owner got last is not its own any more; its address. */
uint64_t disown(unsigned id);
/* The pfn that the owner got last. */
uint64_t last_of(unsigned id);
/* Ranges that somebody owns. */
unsigned owned(void);

/* Allocate a range at or below limit. */
enum iova_status try_take_below(unsigned id, uint64_t limit);
enum iova_status try_take(unsigned id);
/* It must succeed. */
void take(unsigned id);
/* Free the range that the owner got last. */
void give(unsigned id);
/* The scenario takes, or frees on a CPU. */
void take_many(unsigned n);
void give_many(uint32_t cpu, unsigned n);
/* A thread becomes the owner of what the scenario got last. */
void hand_over(unsigned id, unsigned n);
/* Every cache is emptied into the tree. */
void flush_caches(void);

#endif
