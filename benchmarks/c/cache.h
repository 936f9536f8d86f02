/* SPDX-License-Identifier: MIT */
/* One contender of the cache benchmark: how it takes one object and gives it back. */
#ifndef CACHE_H
#define CACHE_H

#include <stddef.h>
#include <stdint.h>

#define LIVE 4096u

struct contender {
	const char *name;
	/* Make LIVE objects live. */
	void (*fill)(void);
	/* `pairs` times: take an object, give it back. */
	void (*pairs)(size_t pairs);
	/* For each victim: give that live object back, take another in its place. */
	void (*replace)(const uint16_t *victims, size_t count);
};

/* The loops are the same text for all, so that only the calls in them differ. */
#define DEFINE_LOOPS(prefix, type, take, give)                                                 \
	static type prefix##_live[LIVE];                                                       \
	static void prefix##_fill(void)                                                        \
	{                                                                                      \
		for (size_t i = 0; i < LIVE; i++)                                              \
			prefix##_live[i] = take();                                             \
	}                                                                                      \
	static void prefix##_pairs(size_t pairs)                                               \
	{                                                                                      \
		for (size_t i = 0; i < pairs; i++) {                                           \
			type object = take();                                                  \
			OPAQUE(object);                                                        \
			give(object);                                                          \
		}                                                                              \
	}                                                                                      \
	static void prefix##_replace(const uint16_t *victims, size_t count)                    \
	{                                                                                      \
		for (size_t i = 0; i < count; i++) {                                           \
			type *slot = &prefix##_live[victims[i]];                               \
			give(*slot);                                                           \
			*slot = take();                                                        \
		}                                                                              \
	}

#ifdef HAVE_DPDK
/* NULL: DPDK's environment could not be set up; it has said why. */
const struct contender *dpdk_contender(void);
#endif

#endif
