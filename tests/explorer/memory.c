/* SPDX-License-Identifier: MIT */
/*
 * memory - the memory table of explored scenarios: one arena, filled from the bottom up
 * and emptied between executions, so that an execution gets the same addresses each time.
 *
 * A released block stays where it is, full of a pattern. Who reads it finds a pointer that
 * faults or a number that no check accepts; who writes it is found when the execution
 * ends. With AddressSanitizer both are found at once.
 */
#include <string.h>

#include "explorer.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

#define ARENA_BYTES (4u << 20)
#define MAX_BLOCKS 4096u
#define LINE 64u
#define FRESH 0xA5
#define STALE 0x5A

struct block {
	unsigned char *start;
	size_t size;
	enum iova_memory_kind kind;
	bool released;
};

static _Alignas(LINE) unsigned char arena[ARENA_BYTES];
static struct block blocks[MAX_BLOCKS];
static size_t used, block_count, held;

void memory_reset(void)
{
	ASAN_UNPOISON_MEMORY_REGION(arena, used);
	used = block_count = held = 0;
}

static void *allocate(void *context, enum iova_memory_kind kind, size_t size, size_t alignment)
{
	(void)context;
	/* A free line between two blocks: what is written past an end goes nowhere. */
	size_t room = (size + LINE - 1) / LINE * LINE + LINE;
	explore_require(size > 0 && alignment <= LINE, "memory asked for in an odd shape");
	explore_require(block_count < MAX_BLOCKS && room <= ARENA_BYTES - used,
			"the scenario needs more memory than the explorer has");
	struct block *block = &blocks[block_count++];
	*block = (struct block){ arena + used, size, kind, false };
	memset(block->start, kind == IOVA_MEMORY_CACHES ? 0 : FRESH, size);
	ASAN_POISON_MEMORY_REGION(block->start + size, room - size);
	used += room;
	held++;
	return block->start;
}

static struct block *block_at(const void *start)
{
	for (size_t i = block_count; i-- > 0;)
		if (blocks[i].start == start)
			return &blocks[i];
	return NULL;
}

static void release(void *context, enum iova_memory_kind kind, void *start, size_t size)
{
	(void)context;
	struct block *block = block_at(start);
	explore_require(block != NULL, "memory released that was never allocated");
	explore_require(!block->released, "memory released twice");
	explore_require(block->kind == kind && block->size == size,
			"memory released as another kind or size than it was allocated");
	block->released = true;
	memset(start, STALE, size);
	ASAN_POISON_MEMORY_REGION(start, size);
	held--;
}

const struct iova_memory explore_memory = { allocate, release, NULL, NULL };

size_t explore_memory_held(void)
{
	return held;
}

static bool is_stale(const struct block *block)
{
	/* All bytes are alike if the first is right and each equals the one before it. */
	return block->start[0] == STALE &&
	       memcmp(block->start, block->start + 1, block->size - 1) == 0;
}

const char *memory_fault(void)
{
	ASAN_UNPOISON_MEMORY_REGION(arena, used);
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i].released && !is_stale(&blocks[i]))
			return "memory was written after it was released";
	return NULL;
}
