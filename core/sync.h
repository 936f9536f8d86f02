/* SPDX-License-Identifier: MIT */
/*
 * sync - every atomic access and every lock word of the library.
 *
 * Nothing else in the library touches memory that two threads share without a lock, so
 * that a build with IOVA_EXPLORE makes each such access a switch point of a scheduler of
 * virtual threads (tests/explorer). Plain counters that nobody decides by go through
 * count_up(), count_add() and peek(), which are no switch points.
 *
 * Orders: loads acquire, stores release, everything that reads and writes is sequentially
 * consistent. On x86-64 only the last cost more than a plain access.
 */
#ifndef IOVA_SYNC_H
#define IOVA_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#ifdef IOVA_EXPLORE
/* Let another virtual thread run before the access to `object` that follows. */
void explore_point(const void *object);
/* The same, for a thread that can not go on until `object` was written by another. */
void explore_block(const void *object);
#else
static inline void explore_point(const void *object)
{
	(void)object;
}
#endif

/* ------------------------------------------------------------------------- atomics */

#define sync_load(pointer) (explore_point(pointer), __atomic_load_n(pointer, __ATOMIC_ACQUIRE))
#define sync_store(pointer, value) \
	(explore_point(pointer), __atomic_store_n(pointer, value, __ATOMIC_RELEASE))
/* The old value. */
#define sync_add(pointer, n) \
	(explore_point(pointer), __atomic_fetch_add(pointer, n, __ATOMIC_SEQ_CST))
#define sync_sub(pointer, n) \
	(explore_point(pointer), __atomic_fetch_sub(pointer, n, __ATOMIC_SEQ_CST))
#define sync_or(pointer, bits) \
	(explore_point(pointer), __atomic_fetch_or(pointer, bits, __ATOMIC_SEQ_CST))
#define sync_and(pointer, bits) \
	(explore_point(pointer), __atomic_fetch_and(pointer, bits, __ATOMIC_SEQ_CST))
#define sync_exchange(pointer, value) \
	(explore_point(pointer), __atomic_exchange_n(pointer, value, __ATOMIC_SEQ_CST))
/* True: *pointer was *expected and is value now; else *expected is what it was. */
#define sync_cas(pointer, expected, value)                                                  \
	(explore_point(pointer), __atomic_compare_exchange_n(pointer, expected, value, false, \
							      __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))

/* A gauge with many writers. The old value. */
#define count_add(pointer, n) __atomic_fetch_add(pointer, n, __ATOMIC_RELAXED)
/* A counter with one writer at a time, and readers that may be anywhere. */
#define count_up(pointer, n)                                                     \
	__atomic_store_n(pointer, __atomic_load_n(pointer, __ATOMIC_RELAXED) + (n), \
			 __ATOMIC_RELAXED)
#define peek(pointer) __atomic_load_n(pointer, __ATOMIC_RELAXED)

/* ------------------------------------------------------------------------ spin locks */

/*
 * The lock of one CPU's cache: taken once an operation and almost never contended, so
 * that its release is a plain store. It can not know of sleepers: who waits sleeps by the
 * clock.
 */
struct spin_lock {
	uint32_t held;
};

static inline bool spin_try(struct spin_lock *lock)
{
	return sync_exchange(&lock->held, 1u) == 0;
}

static inline void spin_release(struct spin_lock *lock)
{
	sync_store(&lock->held, 0u);
}

/* Spins a bounded time, for the holder may have lost its CPU; then sleeps, ever longer. */
void spin_wait(struct spin_lock *lock);

static inline void spin_acquire(struct spin_lock *lock)
{
	if (__builtin_expect(!spin_try(lock), 0))
		spin_wait(lock);
}

/* --------------------------------------------------------------------------- mutexes */

/* For the depots and the tree: waiters sleep in the kernel and are woken. */
struct mutex {
	uint32_t state; /* 0: free, 1: held, 2: held and somebody may sleep */
};

void mutex_wait(struct mutex *mutex);
void mutex_wake(struct mutex *mutex);

static inline bool mutex_try(struct mutex *mutex)
{
	uint32_t free = 0;
	return sync_cas(&mutex->state, &free, 1u);
}

static inline void mutex_acquire(struct mutex *mutex)
{
	if (__builtin_expect(!mutex_try(mutex), 0))
		mutex_wait(mutex);
}

static inline void mutex_release(struct mutex *mutex)
{
	if (__builtin_expect(sync_exchange(&mutex->state, 0u) == 2u, 0))
		mutex_wake(mutex);
}

#endif
