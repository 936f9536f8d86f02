/* SPDX-License-Identifier: MIT */
/* report - what the explorer says of an execution, and how a failure ends it. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scheduler.h"

#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

static bool same_thread_as_before(unsigned i)
{
	return i > 0 && execution.steps[i].picked == execution.steps[i - 1].picked;
}

static void print_schedule(void)
{
	for (unsigned i = 0, run; i < execution.count; i += run) {
		for (run = 1; i + run < execution.count && same_thread_as_before(i + run);)
			run++;
		printf("%s%ux%u", i ? "," : "", execution.steps[i].picked, run);
	}
}

static void print_object(const void *object)
{
	struct object_name name = { 0 };
	if (execution.scenario->name_of)
		name = execution.scenario->name_of(object);
	if (name.name)
		printf(" %s[%u]", name.name, name.index);
	else
		printf(" %p", object);
}

static bool is_like_the_one_before(unsigned i)
{
	const struct step *step = &execution.steps[i];
	return same_thread_as_before(i) && step->effect == step[-1].effect &&
	       step->object == step[-1].object;
}

static void print_step(const struct step *step)
{
	static const char *const words[] = {
		[EFFECT_NONE] = "begins",	[EFFECT_ACCESS] = "access",
		[EFFECT_ACQUIRED] = "acquired", [EFFECT_RELEASED] = "released",
		[EFFECT_WAITS] = "waits for",
	};
	printf(" %s", words[step->effect]);
	if (step->effect != EFFECT_NONE)
		print_object(step->object);
}

static void print_thread(unsigned i)
{
	const struct step *step = &execution.steps[i];
	bool preempts = step->current != NOBODY && step->current != step->picked;
	printf("%s  step %u, thread %u%s:", i ? "\n" : "", i, step->picked,
	       preempts ? " (preempts)" : "");
}

/* One line a run of steps: what each step did to what. */
void print_trace(void)
{
	for (unsigned i = 0, alike; i < execution.count; i += alike) {
		if (same_thread_as_before(i))
			putchar(',');
		else
			print_thread(i);
		print_step(&execution.steps[i]);
		for (alike = 1; i + alike < execution.count && is_like_the_one_before(i + alike);)
			alike++;
		if (alike > 1)
			printf(" (%u times)", alike);
	}
	putchar('\n');
}

static void print_failure(const char *text)
{
	static bool failing;
	if (failing || !execution.scenario)
		return;
	failing = true;
	printf("\nFAILED %s: %s\n", execution.scenario->name, text);
	if (execution.running != NOBODY)
		printf("in thread %u\n", execution.running);
	print_trace();
	printf("explorer %s --replay ", execution.scenario->name);
	print_schedule();
	putchar('\n');
	fflush(stdout);
}

void explore_fail(const char *text)
{
	print_failure(text);
	_exit(1);
}

static void fail_by_signal(int number)
{
	char text[64];
	snprintf(text, sizeof(text), "%s", strsignal(number));
	print_failure(text);
	_exit(1);
}

#ifdef WITH_ASAN
static void fail_by_sanitizer(void)
{
	print_failure("stopped by a sanitizer");
}
#endif

void catch_crashes(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
	static unsigned char stack[64 << 10];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	sigaltstack(&alternate, NULL);
	struct sigaction action = { .sa_flags = SA_ONSTACK };
	action.sa_handler = fail_by_signal;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
#ifdef WITH_ASAN
	__sanitizer_set_death_callback(fail_by_sanitizer);
#endif
}
