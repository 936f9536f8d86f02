/* SPDX-License-Identifier: MIT */
/*
 * Micro-measurements for the price table of the simulated machine. Every round measures each
 * part once, so that what disturbs the host falls on all of them; for its milliseconds a part
 * has real-time priority where the user may give it.
 *
 * usage: calibrate ROUNDS OPERATIONS [PART...]
 * PART: only parts whose names begin so.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "calibrate.h"
#include "undisturbed.h"

#define MOST_PARTS 64

static struct part chosen[MOST_PARTS];
static size_t chosen_count;

double clock_alone(void)
{
	enum { READS = 256 };
	double began = now_ns();
	for (int i = 0; i < READS; i++)
		(void)now_ns();
	return (now_ns() - began) / READS;
}

static void stay_on_first_cpu(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	must(sched_setaffinity(0, sizeof(set), &set) == 0, "CPU 0 is not to be had");
}

static bool is_wanted(const char *name, int count, char **prefixes)
{
	for (int i = 0; i < count; i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return count == 0;
}

static void choose(struct parts from, int count, char **prefixes)
{
	for (size_t i = 0; i < from.count; i++) {
		if (!is_wanted(from.part[i].name, count, prefixes))
			continue;
		must(chosen_count < MOST_PARTS, "too many parts");
		chosen[chosen_count++] = from.part[i];
	}
}

static void measure(const struct part *part, size_t operations)
{
	begin_undisturbed();
	double ns = part->measure(part->number, operations);
	end_undisturbed();
	report(part->name, "ns", ns);
}

int main(int count, char **arguments)
{
	must(count >= 3, "usage: calibrate ROUNDS OPERATIONS [PART...]");
	int rounds = atoi(arguments[1]);
	size_t operations = (size_t)atoll(arguments[2]);
	stay_on_first_cpu();
	choose(parts_of_caches(), count - 3, arguments + 3);
	choose(parts_of_trees(), count - 3, arguments + 3);
	choose(parts_of_queues(), count - 3, arguments + 3);
	choose(parts_of_lines(), count - 3, arguments + 3);
	choose(parts_of_turns(), count - 3, arguments + 3);
	must(chosen_count > 0, "there is no such part");
	for (size_t i = 0; i < chosen_count; i++)
		if (chosen[i].prepare)
			chosen[i].prepare(chosen[i].number);
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < chosen_count; i++)
			measure(&chosen[i], operations);
	return 0;
}
