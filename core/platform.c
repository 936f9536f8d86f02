/* SPDX-License-Identifier: MIT */
/* platform - the only file of the library that knows the operating system. */
#define _GNU_SOURCE
#include "platform.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sync.h"

#define NS_PER_S UINT64_C(1000000000)

/* ------------------------------------------------------------------------- memory */

/* From this size on caches are mapped, so that CPUs that never run here cost nothing. */
#define MAP_FROM_BYTES (UINT64_C(16) << 10)

static bool is_mapped(enum iova_memory_kind kind, size_t size)
{
	return kind == IOVA_MEMORY_CACHES && size >= MAP_FROM_BYTES;
}

static void *map_zeroed(size_t size)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return block == MAP_FAILED ? NULL : block;
}

static void *heap_allocate(void *context, enum iova_memory_kind kind, size_t size,
			   size_t alignment)
{
	(void)context;
	if (is_mapped(kind, size))
		return map_zeroed(size);
	/* aligned_alloc wants a multiple of the alignment. */
	size_t rounded = (size + alignment - 1) & ~(alignment - 1);
	void *block = aligned_alloc(alignment, rounded);
	if (block && kind == IOVA_MEMORY_CACHES)
		memset(block, 0, size);
	return block;
}

static void heap_release(void *context, enum iova_memory_kind kind, void *block, size_t size)
{
	(void)context;
	if (is_mapped(kind, size))
		munmap(block, size);
	else
		free(block);
}

const struct iova_memory *iova_memory_heap(void)
{
	static const struct iova_memory heap = { heap_allocate, heap_release, NULL, NULL };
	return &heap;
}

/* -------------------------------------------------------------------- CPUs and time */

uint32_t platform_cpus(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	return cpus < 1 ? 1 : cpus > IOVA_MAX_CPUS ? IOVA_MAX_CPUS : (uint32_t)cpus;
}

#if defined(__x86_64__) && defined(__linux__)
/* glibc's: where in a thread's block the kernel keeps its rseq area; 0 bytes: it does not. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

#define OFFSET_OF_CPU_ID 4

/*
 * A variable of our own costs no load of an address. Where there is no rseq area it
 * leads to the first word of the thread's block, an address: hardly ever a CPU's number,
 * and if it is, it only says which cache is used.
 */
ptrdiff_t platform_cpu_offset;

__attribute__((constructor)) static void find_cpu_number(void)
{
	if (&__rseq_offset && &__rseq_size && __rseq_size)
		platform_cpu_offset = __rseq_offset + OFFSET_OF_CPU_ID;
}
#endif

uint32_t platform_cpu(void)
{
	int cpu = sched_getcpu();
	return cpu < 0 ? 0 : (uint32_t)cpu;
}

uint64_t platform_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
}

/* ------------------------------------------------------------------------- waiting */

/* Rounds of spinning: longer than any hold by a thread that keeps its CPU usually takes. */
#define SPIN_ROUNDS 64u
#define SLEEP_NS UINT64_C(20000)
#define SLEEP_DOUBLINGS 6u

void platform_pause(unsigned round)
{
	if (round < SPIN_ROUNDS) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
		return;
	}
	unsigned doublings = round - SPIN_ROUNDS;
	if (doublings > SLEEP_DOUBLINGS)
		doublings = SLEEP_DOUBLINGS;
	struct timespec time = timespec_of(SLEEP_NS << doublings);
	nanosleep(&time, NULL);
}

void spin_wait(struct spin_lock *lock)
{
	for (unsigned round = 0;; round++) {
		if (!sync_load(&lock->held) && spin_try(lock))
			return;
		platform_pause(round);
	}
}

static void futex(uint32_t *word, int operation, uint32_t value)
{
	int saved = errno;
	syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
	errno = saved;
}

void mutex_wait(struct mutex *mutex)
{
	for (unsigned round = 0; round < SPIN_ROUNDS; round++) {
		if (!sync_load(&mutex->state) && mutex_try(mutex))
			return;
		platform_pause(0);
	}
	while (sync_exchange(&mutex->state, 2u) != 0)
		futex(&mutex->state, FUTEX_WAIT, 2);
}

void mutex_wake(struct mutex *mutex)
{
	futex(&mutex->state, FUTEX_WAKE, 1);
}

/* ---------------------------------------------------------------- background thread */

/*
 * One for the process. `lock` protects all but wake_at; it is held for looking at the
 * members, not while one runs.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	struct reclaimer_member *first;
	struct reclaimer_member *running;
	uint64_t wake_at; /* atomic: when the thread looks again of itself; IOVA_NEVER: on a call */
	pthread_t thread;
	/* abandoned: nobody waits for its end; it says itself that it can be started again. */
	bool started, stopping, abandoned, ready;
} reclaimer = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake_at = IOVA_NEVER };

static void init_condition(void)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&reclaimer.changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void lock_registry(void)
{
	pthread_mutex_lock(&reclaimer.lock);
}

static void unlock_registry(void)
{
	pthread_mutex_unlock(&reclaimer.lock);
}

/* The registry is locked around this, but not while the member runs. */
static void run_member(struct reclaimer_member *member, uint64_t now)
{
	reclaimer.running = member;
	unlock_registry();
	member->run(member, now);
	lock_registry();
	reclaimer.running = NULL;
	pthread_cond_broadcast(&reclaimer.changed);
	if (member->doomed) {
		unlock_registry();
		member->release(member);
		lock_registry();
	}
}

/* The member whose work is due first, and when; NULL: none has any. */
static struct reclaimer_member *next_member(uint64_t *due)
{
	struct reclaimer_member *first = NULL;
	*due = IOVA_NEVER;
	for (struct reclaimer_member *member = reclaimer.first; member; member = member->next) {
		uint64_t member_due = member->due(member);
		if (member_due < *due) {
			*due = member_due;
			first = member;
		}
	}
	return first;
}

static void sleep_until(uint64_t due)
{
	struct timespec until = timespec_of(due);
	if (due == IOVA_NEVER)
		pthread_cond_wait(&reclaimer.changed, &reclaimer.lock);
	else
		pthread_cond_timedwait(&reclaimer.changed, &reclaimer.lock, &until);
}

static void note_thread_ended(void)
{
	reclaimer.started = reclaimer.stopping = reclaimer.abandoned = false;
	sync_exchange(&reclaimer.wake_at, IOVA_NEVER);
}

static void *reclaim_for_ever(void *unused)
{
	uint64_t due, again;
	(void)unused;
	lock_registry();
	while (!reclaimer.stopping) {
		struct reclaimer_member *member = next_member(&due);
		uint64_t now = platform_now();
		if (due <= now) {
			sync_exchange(&reclaimer.wake_at, 0u); /* awake: nobody needs to call */
			run_member(member, now);
			continue;
		}
		/* What is armed after this look either sees the new time or is seen here. */
		sync_exchange(&reclaimer.wake_at, due);
		next_member(&again);
		if (again >= due)
			sleep_until(due);
	}
	if (reclaimer.abandoned)
		note_thread_ended();
	unlock_registry();
	return NULL;
}

/* The registry is locked. Signals are the other threads' business. */
static void start_thread(void)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Where there can be no thread nothing is reclaimed, until a later call can start it. */
	reclaimer.started =
		pthread_create(&reclaimer.thread, NULL, reclaim_for_ever, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void reclaimer_wake(uint64_t due)
{
	if (likely(due >= sync_load(&reclaimer.wake_at)))
		return;
	lock_registry();
	if (!reclaimer.started && !reclaimer.stopping)
		start_thread();
	else
		pthread_cond_broadcast(&reclaimer.changed);
	unlock_registry();
}

/* The registry is locked. Whether the thread runs no member any more. */
static bool wait_until_idle(uint64_t timeout_ns)
{
	uint64_t deadline = platform_now() + timeout_ns;
	struct timespec until = timespec_of(deadline);
	while (reclaimer.running && platform_now() < deadline)
		pthread_cond_timedwait(&reclaimer.changed, &reclaimer.lock, &until);
	return !reclaimer.running;
}

bool reclaimer_stop(uint64_t timeout_ns)
{
	lock_registry();
	bool is_first = reclaimer.started && !reclaimer.stopping;
	if (is_first) {
		reclaimer.stopping = true;
		pthread_cond_broadcast(&reclaimer.changed);
	}
	bool stopped = !reclaimer.started || wait_until_idle(timeout_ns);
	if (is_first && stopped) {
		unlock_registry();
		pthread_join(reclaimer.thread, NULL);
		lock_registry();
		note_thread_ended();
	} else if (is_first) {
		reclaimer.abandoned = true;
		pthread_detach(reclaimer.thread);
	}
	unlock_registry();
	return stopped;
}

/* ---------------------------------------------------------------------------- fork */

static void before_fork(void)
{
	lock_registry();
	for (struct reclaimer_member *member = reclaimer.first; member; member = member->next)
		member->freeze(member);
}

static void after_fork(bool in_child)
{
	for (struct reclaimer_member *member = reclaimer.first; member; member = member->next)
		member->thaw(member, in_child);
}

static void after_fork_in_parent(void)
{
	after_fork(false);
	unlock_registry();
}

static void after_fork_in_child(void)
{
	after_fork(true);
	/* Its thread was left behind. */
	init_condition();
	note_thread_ended();
	reclaimer.running = NULL;
	unlock_registry();
}

/* ------------------------------------------------------------------------- members */

void reclaimer_join(struct reclaimer_member *member)
{
	lock_registry();
	if (!reclaimer.ready) {
		init_condition();
		pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
		reclaimer.ready = true;
	}
	member->doomed = false;
	member->previous = NULL;
	member->next = reclaimer.first;
	if (member->next)
		member->next->previous = member;
	reclaimer.first = member;
	unlock_registry();
}

bool reclaimer_leave(struct reclaimer_member *member)
{
	lock_registry();
	if (member->previous)
		member->previous->next = member->next;
	else
		reclaimer.first = member->next;
	if (member->next)
		member->next->previous = member->previous;
	member->next = member->previous = NULL;
	bool is_running = reclaimer.running == member;
	member->doomed = is_running;
	unlock_registry();
	return !is_running;
}
