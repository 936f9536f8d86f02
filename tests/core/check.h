/* SPDX-License-Identifier: MIT */
/*
 * check - what a C test needs: checks that say what they saw, and one line for each test.
 *
 * A failed check ends the program with status 1, after it said where and, in a random
 * test, how to run that case alone.
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Printed with a failure: what the test was doing. In support.c, one for the program. */
extern char check_context[160];

static inline void check_failed(const char *file, int line)
{
	if (check_context[0])
		printf("    while: %s\n", check_context);
	printf("    at %s:%d\n", file, line);
	fflush(stdout);
	exit(1);
}

static inline void check_true(bool value, const char *text, const char *file, int line)
{
	if (value)
		return;
	printf("FAILED\n    not so: %s\n", text);
	check_failed(file, line);
}

static inline void check_equal(uint64_t got, uint64_t expected, const char *text, const char *file,
			       int line)
{
	if (got == expected)
		return;
	printf("FAILED\n    %s is %" PRIu64 ", expected %" PRIu64 "\n", text, got, expected);
	check_failed(file, line);
}

static inline void check_text(const char *got, const char *expected, const char *text,
			      const char *file, int line)
{
	if (got && strcmp(got, expected) == 0)
		return;
	printf("FAILED\n    %s is \"%s\", expected \"%s\"\n", text, got ? got : "(null)", expected);
	check_failed(file, line);
}

static inline void check_no_fault(const char *fault, const char *text, const char *file, int line)
{
	if (!fault)
		return;
	printf("FAILED\n    %s says: %s\n", text, fault);
	check_failed(file, line);
}

#define CHECK(condition) check_true((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(got, expected) \
	check_equal((uint64_t)(got), (uint64_t)(expected), #got, __FILE__, __LINE__)
#define CHECK_TEXT(got, expected) check_text((got), (expected), #got, __FILE__, __LINE__)
/* For the checkers, which return NULL or a text that names what is wrong. */
#define CHECK_SOUND(fault) check_no_fault((fault), #fault, __FILE__, __LINE__)

/* A test's name is a sentence: its function's, with spaces. */
static inline void check_run(const char *name, void (*test)(void))
{
	printf("test ");
	for (const char *c = name; *c; c++)
		putchar(*c == '_' ? ' ' : *c);
	printf(" ... ");
	fflush(stdout);
	check_context[0] = '\0';
	test();
	printf("ok\n");
}

#define TEST(function) check_run(#function, function)

#endif
