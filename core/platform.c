/* SPDX-License-Identifier: MIT */
/* platform - the only file of the library that knows the operating system. */
#include <stdlib.h>

#include "common.h"

static void *heap_allocate(void *context, enum iova_memory_kind kind, size_t size,
			   size_t alignment)
{
	(void)context;
	(void)kind;
	/* aligned_alloc wants a multiple of the alignment. */
	return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void heap_release(void *context, enum iova_memory_kind kind, void *block, size_t size)
{
	(void)context;
	(void)kind;
	(void)size;
	free(block);
}

const struct iova_memory *iova_memory_heap(void)
{
	static const struct iova_memory heap = { heap_allocate, heap_release, NULL, NULL };
	return &heap;
}
