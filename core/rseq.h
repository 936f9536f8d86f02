/* SPDX-License-Identifier: MIT */
/*
 * rseq - the top of a CPU's loaded magazine taken and put back without a lock, by
 * restartable sequences (Linux on x86-64).
 *
 * Theory of operation (rseq(2), membarrier(2); the idea: Paul Turner's and Andrew Hunter's
 * per-CPU sequences, 2013). A thread tells the kernel, in an area of its own that the C
 * library has registered, which few instructions it is about to run. If it loses its CPU or
 * gets a signal between the first of them and the end of the last, the kernel has it go on
 * at an abort address instead. So a sequence that ends in one store either ran on one CPU
 * with no other thread of the process on that CPU in between, or did not store.
 *
 * The front. That one store must move the magazine's count and count the operation.
 * Therefore the count lives in a word of the cache itself while sequences may use it,
 * together with the operations it has not shown yet and what the magazine has room for:
 *   bits 0..15    1 + entries of the loaded magazine; 0: closed, no sequence may run
 *   bits 16..47   entries taken since the front was opened
 *   bits 48..63   1 + its capacity; 0: closed
 * Entries put follow from the first two. The magazine's own count is that of the moment of
 * opening. What a sequence writes besides, the slot above the top, means nothing before
 * its store.
 *
 * Who needs the magazines takes the CPU's lock, which every sequence looks at, and closes
 * the front: it makes sure that no sequence of that CPU is still under way, and then writes
 * back what the front counted. Nothing else in the library knows of fronts. Two things make
 * sure:
 *   - Running on that CPU, after the lock was taken. Any other thread that is inside a
 *     sequence of this CPU has lost it, and will be aborted before it runs again.
 *   - membarrier's rseq command, which aborts what runs on a CPU, or on all.
 * A front is opened by a holder of the lock that runs on the CPU, so the caches of idle
 * CPUs stay closed once they were visited, and cost no further barrier.
 */
#ifndef IOVA_RSEQ_H
#define IOVA_RSEQ_H

#include "domain.h"

#if defined(__SANITIZE_THREAD__)
#define IOVA_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IOVA_THREAD_SANITIZED 1
#endif
#endif

#if defined(__clang__)
#define IOVA_ASM_GOTO_HAS_OUTPUTS (__clang_major__ >= 11)
#else
#define IOVA_ASM_GOTO_HAS_OUTPUTS (__GNUC__ >= 11)
#endif

/* ThreadSanitizer and the explorer can not see what orders sequences. */
#if !defined(IOVA_NO_RSEQ) && defined(__x86_64__) && !defined(__ILP32__) && \
	defined(__linux__) && IOVA_ASM_GOTO_HAS_OUTPUTS && \
	!defined(IOVA_EXPLORE) && !defined(IOVA_THREAD_SANITIZED)
#define IOVA_HAS_RSEQ 1
#else
#define IOVA_HAS_RSEQ 0
#endif

/* What a sequence must know of its domain. */
struct rseq_site {
	uint32_t cpus;	    /* atomic: CPUs below this may run sequences; 0: none at all */
	uint32_t row_bytes; /* from one CPU's caches to the next's */
	ptrdiff_t area;	    /* of this thread's struct rseq, from its thread pointer */
};

#define FRONT_CLOSED UINT64_C(0)
#define FRONT_TAKEN_SHIFT 16
#define FRONT_CAPACITY_SHIFT 48

_Static_assert(IOVA_MAGAZINE_MOST + 1 < 1u << FRONT_TAKEN_SHIFT, "a front holds any count");

/* The lock is held, no sequence can run. */
static inline uint64_t front_of(const struct magazine *loaded)
{
	return (1 + (uint64_t)loaded->capacity) << FRONT_CAPACITY_SHIFT |
	       (1 + (uint64_t)loaded->count);
}

/* Entries taken since it was opened. */
static inline uint64_t front_taken(uint64_t front)
{
	return (uint32_t)(front >> FRONT_TAKEN_SHIFT);
}

static inline void front_write_back(struct cpu_cache *cache, uint64_t front)
{
	uint64_t count = (front & ((UINT64_C(1) << FRONT_TAKEN_SHIFT) - 1)) - 1;
	uint64_t taken = front_taken(front);
	cache->hits_loaded += taken;
	cache->puts += count + taken - cache->loaded->count;
	cache->loaded->count = (uint32_t)count;
}

#if IOVA_HAS_RSEQ

/* Whether the kernel aborts sequences on demand; *area is where the C library keeps its areas. */
bool rseq_is_there(ptrdiff_t *area);
/* Abort every sequence of this process that runs on a CPU; RSEQ_ALL_CPUS: on any. */
#define RSEQ_ALL_CPUS UINT32_MAX
void rseq_abort_on(uint32_t cpu);

/* struct rseq of the kernel's interface: two of its fields. */
#define RSEQ_CPU_ID 4	  /* uint32: the CPU now; above all CPUs' numbers if not registered */
#define RSEQ_SEQUENCE 8	  /* uint64: address of the descriptor of a sequence, or 0 */

static inline char *rseq_area(const struct rseq_site *site)
{
	char *thread;
	__asm__("movq %%fs:0, %0" : "=r"(thread));
	return thread + site->area;
}

/* The CPU this thread runs on at the moment of the load. */
static inline uint32_t rseq_cpu(const struct rseq_site *site)
{
	return *(volatile uint32_t *)(void *)(rseq_area(site) + RSEQ_CPU_ID);
}

/* The code of sequences may be unloaded once no area points at a descriptor any more. */
static inline void rseq_forget(const struct rseq_site *site)
{
	*(volatile uint64_t *)(void *)(rseq_area(site) + RSEQ_SEQUENCE) = 0;
}

/*
 * A sequence: 1 is its first instruction, 2 is past its last, 3 its descriptor (version,
 * flags, start, length, abort address), 4 its abort address, before which the kernel wants
 * to see the signature that the C library registered; as an instruction it is ud1.
 */
#define RSEQ_BEGIN                                                  \
	".pushsection __rseq_cs, \"aw\"\n\t"                        \
	".balign 32\n"                                              \
	"3:\t.long 0, 0\n\t"                                        \
	".quad 1f, 2f - 1f, 4f\n\t"                                 \
	".popsection\n\t"                                           \
	"leaq 3b(%%rip), %[cache]\n\t"                              \
	"movq %[cache], %%fs:%c[sequence](%[area])\n"               \
	"1:\t"
#define RSEQ_END                                                    \
	".pushsection __rseq_abort, \"ax\"\n\t"                     \
	".byte 0x0f, 0xb9, 0x3d\n\t"                                \
	".long 0x53053053\n"                                        \
	"4:\tjmp %l[aborted]\n\t"                                   \
	".popsection\n\t"

/* cache becomes this CPU's cache, count its front. The area's register is free from here on. */
#define RSEQ_ENTER_CACHE                                            \
	"movl %%fs:%c[cpu_id](%[area]), %k[cache]\n\t"             \
	"cmpl %k[cache], %[cpus]\n\t"                              \
	"jbe %l[refused]\n\t"                                      \
	"imull %[row_bytes], %k[cache]\n\t"                        \
	"addq %[row], %[cache]\n\t"                                \
	"cmpl $0, %c[lock](%[cache])\n\t"                          \
	"jne %l[refused]\n\t"                                      \
	"movq %c[front](%[cache]), %[count]\n\t"

#define RSEQ_INPUTS(site, row)                                                     \
	[cpus] "m"((site)->cpus), [row_bytes] "m"((site)->row_bytes), [row] "r"(row), \
		[cpu_id] "i"(RSEQ_CPU_ID), [sequence] "i"(RSEQ_SEQUENCE),          \
		[lock] "i"(offsetof(struct cpu_cache, lock)),                      \
		[front] "i"(offsetof(struct cpu_cache, front)),                    \
		[loaded_at] "i"(offsetof(struct cpu_cache, loaded))

/*
 * row: CPU 0's cache of the class. Take the top entry of this CPU's loaded magazine, if it
 * is at most cap. False: nothing has changed, whatever the reason.
 */
static inline bool rseq_take(const struct rseq_site *site, const struct cpu_cache *row,
			     uint64_t cap, uint64_t *pfn)
{
	uint64_t top, cache, count;
	__asm__ volatile goto(RSEQ_BEGIN RSEQ_ENTER_CACHE
			      "movzwl %w[count], %k[count]\n\t"
			      "cmpl $1, %k[count]\n\t"
			      "jbe %l[refused]\n\t"
			      "movq %c[loaded_at](%[cache]), %[area]\n\t"
			      "movq -8(%[area], %[count], 8), %[area]\n\t"
			      "cmpq %[area], %[cap]\n\t"
			      "jb %l[refused]\n\t"
			      "addq %[one_taken], %c[front](%[cache])\n"
			      "2:\tmovq %[home], %[cache]\n\t"
			      "movq $0, %%fs:%c[sequence](%[cache])\n\t"
			      RSEQ_END
			      : [area] "=&r"(top), [cache] "=&r"(cache), [count] "=&r"(count)
			      : "0"(site->area), [home] "m"(site->area),
				RSEQ_INPUTS(site, row), [cap] "r"(cap),
				[one_taken] "i"((1 << FRONT_TAKEN_SHIFT) - 1)
			      : "cc", "memory"
			      : refused, aborted);
	*pfn = top;
	return true;
refused:
	rseq_forget(site);
aborted:
	return false;
}

/* Put an entry on top of this CPU's loaded magazine, if it has room. */
static inline bool rseq_put(const struct rseq_site *site, const struct cpu_cache *row,
			    uint64_t pfn)
{
	uint64_t cache, count, loaded;
	/* A front that counted 2^31 entries goes to the lock, which writes the number back. */
	__asm__ volatile goto(RSEQ_BEGIN RSEQ_ENTER_CACHE
			      "testb $0x80, %c[front] + 5(%[cache])\n\t"
			      "jnz %l[refused]\n\t"
			      "cmpw %w[count], %c[front] + 6(%[cache])\n\t"
			      "jbe %l[refused]\n\t"
			      "movzwl %w[count], %k[count]\n\t"
			      "movq %c[loaded_at](%[cache]), %[loaded]\n\t"
			      "movq %[pfn], (%[loaded], %[count], 8)\n\t"
			      "incq %c[front](%[cache])\n"
			      "2:\tmovq $0, %%fs:%c[sequence](%[area])\n\t"
			      RSEQ_END
			      : [cache] "=&r"(cache), [count] "=&r"(count), [loaded] "=&r"(loaded)
			      : [area] "r"(site->area), RSEQ_INPUTS(site, row), [pfn] "r"(pfn)
			      : "cc", "memory"
			      : refused, aborted);
	return true;
refused:
	rseq_forget(site);
aborted:
	return false;
}

#endif

#endif
