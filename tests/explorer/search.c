/* SPDX-License-Identifier: MIT */
/*
 * search - which schedules are executed, in which order. scheduler.c says what a schedule,
 * a decision and a preemption are.
 *
 * The search (Musuvathi and Qadeer, "Iterative context bounding for systematic testing of
 * multithreaded programs", PLDI 2007) is depth-first and keeps nothing but the decisions
 * of the last execution. The next execution repeats them up to the last one that has an
 * untried alternative within the bound, takes that, and from there on goes on with
 * whoever runs. Bounds are tried from 0 up, so a failure is shown with the fewest
 * preemptions that make it. There is no reduction: every schedule within the bound runs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "scheduler.h"

/* ------------------------------------------------------------------------ searching */

/* Turn the decisions of the last execution into a prefix not tried yet, if there is one. */
static bool next_prefix(unsigned bound)
{
	for (unsigned i = execution.count; i-- > 0;) {
		struct step *step = &execution.steps[i];
		unsigned next = option_after(step, step->picked);
		bool costs = step->current != NOBODY && next != step->current;
		if (next == NOBODY || step->preemptions + costs > bound)
			continue;
		step->picked = (uint8_t)next;
		execution.fixed = i + 1;
		return true;
	}
	return false;
}

static struct exploration explore_bound(unsigned bound, uint64_t max_executions)
{
	struct exploration done = { .complete = true };
	execution.fixed = 0;
	do {
		if (done.executions == max_executions) {
			done.complete = false;
			break;
		}
		execute();
		done.executions++;
		if (execution.count > done.longest)
			done.longest = execution.count;
	} while (next_prefix(bound));
	return done;
}

struct exploration explore(const struct scenario *chosen, unsigned preemptions,
			   uint64_t max_executions)
{
	struct exploration done = { 0 };
	execution.scenario = chosen;
	catch_crashes();
	for (unsigned bound = 0; bound <= preemptions; bound++)
		done = explore_bound(bound, max_executions);
	return done;
}

/* ------------------------------------------------------------------------ replaying */

static bool read_schedule(const char *text)
{
	execution.fixed = 0;
	for (;; text++) {
		char *end;
		if (*text < '0' || *text >= (char)('0' + MAX_THREADS) || text[1] != 'x' ||
		    text[2] < '1' || text[2] > '9')
			return false;
		unsigned long run = strtoul(text + 2, &end, 10);
		if (run > MAX_STEPS - execution.fixed)
			return false;
		for (; run > 0; run--)
			execution.steps[execution.fixed++].picked = (uint8_t)(*text - '0');
		text = end;
		if (*text == '\0')
			return true;
		if (*text != ',')
			return false;
	}
}

void explore_replay(const struct scenario *chosen, const char *schedule)
{
	execution.scenario = chosen;
	catch_crashes();
	if (!read_schedule(schedule)) {
		fprintf(stderr, "a schedule looks like 0x12,1x3: thread, x, steps\n");
		exit(2);
	}
	execute();
	print_trace();
}
