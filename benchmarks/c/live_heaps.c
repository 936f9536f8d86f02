/* SPDX-License-Identifier: MIT */
/*
 * The heaps: glibc's own, and those that are installed, each loaded beside it and called by
 * the address of its own functions. A page counts as 64 bytes, which is where they are best.
 */
#include <dlfcn.h>
#include <string.h>

#include "bench.h"
#include "live_loops.h"

static const struct heap {
	const char *name, *library, *take, *give;
} heaps[] = {
	{ "glibc malloc", NULL, "malloc", "free" },
	{ "jemalloc", "libjemalloc.so.2", "malloc", "free" },
	{ "mimalloc", "libmimalloc.so.2", "mi_malloc", "mi_free" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4", "tc_malloc", "tc_free" },
};

#define HEAPS (sizeof(heaps) / sizeof(*heaps))

struct calls {
	void *(*take)(size_t);
	void (*give)(void *);
};

static struct calls calls[HEAPS];
static struct calls now; /* of the heap that runs */

static inline uint64_t take(unsigned order)
{
	void *block = now.take((size_t)HEAP_BYTES_A_PAGE << order);
	if (!block)
		abort();
	return (uint64_t)(uintptr_t)block;
}

static inline void give(uint64_t address, unsigned order)
{
	(void)order;
	now.give((void *)(uintptr_t)address);
}

DEFINE_LIVE_LOOPS(heap, take, give);

static void enter(const struct contender *contender, enum workload workload)
{
	(void)workload;
	now = calls[contender->variant];
}

static bool load(const struct heap *heap, struct calls *into)
{
	void *library = RTLD_DEFAULT;
	if (heap->library)
		library = dlopen(heap->library, RTLD_NOW | RTLD_LOCAL);
	void *take = heap->library && !library ? NULL : dlsym(library, heap->take);
	void *give = take ? dlsym(library, heap->give) : NULL;
	if (!give) {
		fprintf(stderr, "benchmark: %s is not measured: %s\n", heap->name, dlerror());
		return false;
	}
	memcpy(&into->take, &take, sizeof(take));
	memcpy(&into->give, &give, sizeof(give));
	return true;
}

size_t heap_contenders(struct contender *to)
{
	size_t count = 0;
	for (unsigned i = 0; i < HEAPS; i++)
		if (load(&heaps[i], &calls[i]))
			to[count++] = (struct contender){ heaps[i].name, &heap_loops, i,
							  ALL_WORKLOADS, enter, NULL, NULL };
	return count;
}
