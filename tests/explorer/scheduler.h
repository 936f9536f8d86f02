/* SPDX-License-Identifier: MIT */
/* The inside of the explorer: executions and their steps. */
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include "explorer.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#define NOBODY MAX_THREADS

enum effect { EFFECT_NONE, EFFECT_ACCESS, EFFECT_ACQUIRED, EFFECT_RELEASED, EFFECT_WAITS };

/* A decision, and what the step that followed did. */
struct step {
	uint8_t options; /* bit set of threads that could go on */
	uint8_t current; /* who ran and can go on; NOBODY: the choice is free */
	uint8_t picked;
	uint8_t effect;
	unsigned preemptions; /* before this decision */
	const void *object;
};

/* The last execution; while one runs, as far as it has come. */
struct execution {
	const struct scenario *scenario;
	unsigned running; /* thread; NOBODY: begin(), end(), or no execution */
	struct step steps[MAX_STEPS];
	unsigned count;
	unsigned fixed; /* the first so many decisions are given */
};

extern struct execution execution;

/* ---------------------------------------------------------------------- scheduler.c */

/* Run the scenario, following the fixed decisions and then whoever runs. */
void execute(void);
/*
 * The option that is tried after another, NOBODY before the first and after the last: who
 * runs already, then the others.
 */
unsigned option_after(const struct step *step, unsigned option);

/* ------------------------------------------------------------------------- report.c */

/* Report crashes and what sanitizers find as failures of the schedule. */
void catch_crashes(void);
void print_trace(void);

#endif
