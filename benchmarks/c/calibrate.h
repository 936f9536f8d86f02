/* SPDX-License-Identifier: MIT */
/*
 * What calibrate measures: parts of an allocator's calls, each in a small loop of its own. How
 * prices follow from them is the business of benchmarks/calibrate.py.
 */
#ifndef CALIBRATE_H
#define CALIBRATE_H

#include <stddef.h>

#include "bench.h"

struct part {
	const char *name;
	/* Once, before the first round; may be NULL. */
	void (*prepare)(size_t number);
	/* One round: ns an operation, of about so many operations. */
	double (*measure)(size_t number, size_t operations);
	size_t number; /* what distinguishes parts of the same functions, as a tree's size */
};

struct parts {
	const struct part *part;
	size_t count;
};

struct parts parts_of_caches(void);
struct parts parts_of_trees(void);
struct parts parts_of_queues(void);
/* None on a machine of one CPU. */
struct parts parts_of_lines(void);
struct parts parts_of_turns(void);

/* ns that reading the clock twice adds to what is between. */
double clock_alone(void);

#endif
