/* SPDX-License-Identifier: MIT */
/* Scenarios that test the explorer: faults it must find, schedules that can be counted. */
#include "explorer.h"
#include "sync.h"

static uint32_t word[4];
static struct mutex mutex[2];
static uint32_t *block;

static void begin(void)
{
	for (unsigned i = 0; i < 4; i++)
		word[i] = 0;
	mutex[0] = mutex[1] = (struct mutex){ 0 };
	block = explore_memory.allocate(NULL, IOVA_MEMORY_TREE, 64, 64);
}

static void nothing_to_check(void)
{
}

static struct object_name name_of(const void *object)
{
	for (unsigned i = 0; i < 2; i++)
		if (object == &mutex[i])
			return (struct object_name){ "mutex", i, i + 1 };
	for (unsigned i = 0; i < 4; i++)
		if (object == &word[i])
			return (struct object_name){ "word", i, 0 };
	return (struct object_name){ 0 };
}

/* ------------------------------------------------------------------- to be counted */

static void touch_once(unsigned id)
{
	(void)sync_load(&word[id]);
}

static void touch_twice(unsigned id)
{
	(void)sync_load(&word[id]);
	(void)sync_load(&word[id]);
}

static const struct scenario count_2x1 = {
	"self-count-2x1", "two threads, one access each", false, 2,
	begin, touch_once, nothing_to_check, NULL, name_of,
};

static const struct scenario count_3x1 = {
	"self-count-3x1", "three threads, one access each", false, 3,
	begin, touch_once, nothing_to_check, NULL, name_of,
};

static const struct scenario count_2x2 = {
	"self-count-2x2", "two threads, two accesses each", false, 2,
	begin, touch_twice, nothing_to_check, NULL, name_of,
};

/* --------------------------------------------------------------------- lost update */

static void add_without_lock(unsigned id)
{
	(void)id;
	uint32_t value = sync_load(&word[0]);
	sync_store(&word[0], value + 1);
}

static void both_were_counted(void)
{
	explore_require(word[0] == 2, "an update was lost");
}

static const struct scenario lost_update = {
	"self-lost-update", "a counter of two threads, no lock", true, 2,
	begin, add_without_lock, both_were_counted, NULL, name_of,
};

static void add_with_lock(unsigned id)
{
	mutex_acquire(&mutex[0]);
	add_without_lock(id);
	mutex_release(&mutex[0]);
}

static const struct scenario locked_update = {
	"self-locked-update", "a counter of two threads, locked", false, 2,
	begin, add_with_lock, both_were_counted, NULL, name_of,
};

/* --------------------------------------------------------------------------- locks */

static void take_both(unsigned id)
{
	mutex_acquire(&mutex[id]);
	mutex_acquire(&mutex[1 - id]);
	mutex_release(&mutex[1 - id]);
	mutex_release(&mutex[id]);
}

static const struct scenario deadlock = {
	"self-deadlock", "two locks, taken in either order; the order is not known", true, 2,
	begin, take_both, nothing_to_check, NULL, NULL,
};

static const struct scenario lock_order = {
	"self-lock-order", "two locks, taken in either order; the order is known", true, 2,
	begin, take_both, nothing_to_check, NULL, name_of,
};

static void keep_lock(unsigned id)
{
	(void)id;
	mutex_acquire(&mutex[0]);
}

static const struct scenario kept_lock = {
	"self-kept-lock", "a lock that is never released", true, 1,
	begin, keep_lock, nothing_to_check, NULL, name_of,
};

static void wait_by_looking(unsigned id)
{
	while (id == 0 && sync_load(&word[0]) == 0)
		;
	sync_store(&word[0], 1u);
}

static const struct scenario livelock = {
	"self-livelock", "waiting for another thread without a word to the scheduler", true, 2,
	begin, wait_by_looking, nothing_to_check, NULL, name_of,
};

/* ------------------------------------------------------------------------ patience */

/* Looks a few times whether the other thread is done; word 1 tells whether it gave up. */
static void wait_a_while(unsigned id)
{
	if (id == 0) {
		sync_store(&word[0], 1u);
		return;
	}
	for (unsigned round = 0; round < 5; round++) {
		if (sync_load(&word[0]))
			return;
		explore_yield(true);
	}
	sync_store(&word[1], 1u);
}

static void it_did_not_give_up(void)
{
	explore_require(word[1] == 0, "it gave up");
}

static const struct scenario patience = {
	"self-patience", "waiting a bounded time: it may be too short", true, 2,
	begin, wait_a_while, it_did_not_give_up, NULL, name_of,
};

static void wait_for_the_other(unsigned id)
{
	if (id == 1)
		while (!sync_load(&word[0]))
			explore_yield(false);
	sync_store(&word[id], 1u);
}

static const struct scenario waiting = {
	"self-waiting", "waiting for another thread, with a word to the scheduler", false, 2,
	begin, wait_for_the_other, nothing_to_check, NULL, name_of,
};

/* -------------------------------------------------------------------------- memory */

static void use_or_release(unsigned id)
{
	if (id == 0) {
		(void)sync_load(&word[0]);
		block[3] = 1;
	} else if (sync_load(&word[1]) == 0) {
		(void)sync_load(&word[1]);
		explore_memory.release(NULL, IOVA_MEMORY_TREE, block, 64);
	}
}

static const struct scenario stale_write = {
	"self-stale-write", "memory written by one thread, released by the other", true, 2,
	begin, use_or_release, nothing_to_check, NULL, name_of,
};

static void publish_and_follow(unsigned id)
{
	static uint32_t *volatile shared;
	if (id == 0)
		shared = NULL;
	sync_store(&word[id], 1u);
	(void)sync_load(&word[2]);
	if (id == 0)
		shared = block;
	else if (sync_load(&word[0]) == 1)
		*shared = 1;
}

static const struct scenario crash = {
	"self-crash", "a pointer followed after its flag was set, before it was", true, 2,
	begin, publish_and_follow, nothing_to_check, NULL, name_of,
};

const struct scenario *const self_scenarios[] = {
	&count_2x1, &count_3x1,	 &count_2x2, &locked_update, &lost_update, &deadlock,
	&lock_order, &kept_lock, &livelock,  &stale_write,   &crash,
	&patience, &waiting, NULL,
};
