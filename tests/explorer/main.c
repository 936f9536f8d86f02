/* SPDX-License-Identifier: MIT */
/* The command line of the explorer. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "explorer.h"

static const char usage[] =
	"explorer [SCENARIO...] [--preemptions N] [--max-executions N]\n"
	"explorer SCENARIO --replay SCHEDULE\n"
	"explorer --list\n"
	"Exit status: 0 all passed, 1 a schedule failed, 2 usage, 3 not every schedule was run.\n";

static const struct scenario *const *const lists[] = {
	cache_scenarios, free_scenarios, end_scenarios, queue_scenarios, self_scenarios,
};

#define LISTS (sizeof(lists) / sizeof(lists[0]))

struct options {
	const char *names[32];
	unsigned name_count;
	unsigned preemptions;
	uint64_t max_executions;
	const char *replay;
	bool list;
};

static void refuse(const char *what)
{
	fprintf(stderr, "explorer: %s\n%s", what, usage);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end = NULL;
	unsigned long long value = 0;
	if (text && *text >= '0' && *text <= '9')
		value = strtoull(text, &end, 10);
	if (!end || *end)
		refuse("an option needs a number");
	return value;
}

static struct options options_of(char **argv)
{
	struct options options = { .preemptions = 3, .max_executions = UINT64_MAX };
	while (*++argv) {
		if (strcmp(*argv, "--list") == 0)
			options.list = true;
		else if (strcmp(*argv, "--preemptions") == 0)
			options.preemptions = (unsigned)number(argv[1]), argv++;
		else if (strcmp(*argv, "--max-executions") == 0)
			options.max_executions = number(argv[1]), argv++;
		else if (strcmp(*argv, "--replay") == 0 && argv[1])
			options.replay = *++argv;
		else if (**argv == '-' || options.name_count == 32)
			refuse("unknown option, or too many scenarios");
		else
			options.names[options.name_count++] = *argv;
	}
	return options;
}

static const struct scenario *scenario_named(const char *name)
{
	for (size_t i = 0; i < LISTS; i++)
		for (const struct scenario *const *at = lists[i]; *at; at++)
			if (strcmp((*at)->name, name) == 0)
				return *at;
	refuse("no such scenario; --list names them");
	return NULL;
}

static void print_list(void)
{
	for (size_t i = 0; i < LISTS; i++)
		for (const struct scenario *const *at = lists[i]; *at; at++)
			printf("%-24s %s%s\n", (*at)->name, (*at)->summary,
			       (*at)->broken ? " (wrong on purpose)" : "");
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* False: stopped before every schedule was run. */
static bool run(const struct scenario *scenario, const struct options *options)
{
	double start = seconds();
	struct exploration done = explore(scenario, options->preemptions, options->max_executions);
	printf("%-24s %9llu executions, at most %u preemptions, at most %u steps, %.1f s%s\n",
	       scenario->name, (unsigned long long)done.executions, options->preemptions,
	       done.longest, seconds() - start, done.complete ? "" : ": NOT ALL SCHEDULES");
	fflush(stdout);
	return done.complete;
}

int main(int argc, char **argv)
{
	(void)argc;
	struct options options = options_of(argv);
	bool complete = true;
	if (options.list) {
		print_list();
		return 0;
	}
	if (options.replay) {
		if (options.name_count != 1)
			refuse("--replay needs one scenario");
		explore_replay(scenario_named(options.names[0]), options.replay);
		printf("passed\n");
		return 0;
	}
	for (unsigned i = 0; i < options.name_count; i++)
		complete &= run(scenario_named(options.names[i]), &options);
	for (size_t i = 0; i < LISTS && options.name_count == 0; i++)
		for (const struct scenario *const *at = lists[i]; *at; at++)
			if (!(*at)->broken)
				complete &= run(*at, &options);
	return complete ? 0 : 3;
}
