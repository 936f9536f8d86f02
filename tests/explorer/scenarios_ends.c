/* SPDX-License-Identifier: MIT */
/* The last place, the last range of a budget, and the end of a domain. */
#include "live_world.h"

/* ---------------------------------------------------------------- one place, budget */

/* One frame, cached. */
static void begin_fixed(void)
{
	make_with_cached((struct shape){ .frames = 1, .threshold = 4 }, 1, 0);
}

static void thread_fixed(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0) {
		result[id] = try_take(id);
	} else {
		result[id] = iova_live_alloc_at(live, FRAME, FRAME);
		if (result[id] == IOVA_OK)
			own(id, FRAME);
	}
}

static void end_fixed(void)
{
	explore_require((result[0] == IOVA_OK) + (result[1] == IOVA_OK) == 1,
			"the only frame has not one owner");
	end();
}

static const struct scenario fixed = {
	"fixed", "an allocation against one at a fixed address", false, 2,
	begin_fixed, thread_fixed, end_fixed, NULL, name_of,
};

static void thread_reserve(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0)
		result[id] = try_take(id);
	else
		result[id] = iova_live_reserve(live, FRAME, 2 * FRAME - 1);
}

static void end_reserve(void)
{
	explore_require((result[0] == IOVA_OK) + (result[1] == IOVA_OK) == 1,
			"the only frame is not either reserved or handed out");
	if (result[0] == IOVA_OK)
		end();
	else
		destroy();
}

static const struct scenario reserve = {
	"reserve", "an allocation against a reservation", false, 2,
	begin_fixed, thread_reserve, end_reserve, NULL, name_of,
};

/* Thread 0 has the one range of the budget. */
static void begin_budget(void)
{
	make_with_cached((struct shape){ .frames = 8, .threshold = 4, .budget = 1 }, 0, 1);
}

static void thread_budget(unsigned id)
{
	explore_set_cpu(id);
	if (id == 0)
		give(id);
	result[id] = try_take(id);
	explore_require(owned() <= 1, "more ranges are live than the budget allows");
}

static void end_budget(void)
{
	explore_require(result[0] == IOVA_OK || result[1] == IOVA_OK,
			"over budget, though nothing was live");
	end();
}

static const struct scenario budget = {
	"budget", "the last range of a budget", false, 2,
	begin_budget, thread_budget, end_budget, NULL, name_of,
};

/* ------------------------------------------------------------------------- teardown */

static bool close_returned;

static void begin_close(void)
{
	make_with_cached((struct shape){ .frames = 8, .threshold = 4 }, FULL, 1);
	close_returned = false;
}

static void thread_close(unsigned id)
{
	explore_set_cpu(id & 1);
	if (id == 0) {
		iova_live_close(live);
		close_returned = true;
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		bool was_closed = close_returned;
		enum iova_status status = try_take(id);
		explore_require(status == IOVA_CLOSED || (status == IOVA_OK && !was_closed),
				"an allocation of a closed domain succeeded");
	}
}

/* The inside is whole, though no public call looks at it any more. */
static void end_close(void)
{
	const char *fault = iova_check(domain);
	explore_require(!fault, fault);
	explore_require(try_take(SCENARIO) == IOVA_CLOSED, "the domain is not closed");
	destroy();
}

static const struct scenario close_alloc = {
	"close", "close against allocations on two CPUs", false, 3,
	begin_close, thread_close, end_close, NULL, name_of,
};

static void ignore_event(void *context, const struct live_event *event)
{
	(void)context;
	(void)event;
}

static void begin_close_recorded(void)
{
	static const struct live_recorder recorder = { ignore_event, NULL };
	begin_close();
	live_set_recorder(live, &recorder);
}

/* Both decide whether the short path may be taken. */
static void thread_close_recorded(unsigned id)
{
	if (id == 0)
		iova_live_close(live);
	else
		live_set_recorder(live, NULL);
}

static const struct scenario close_recorded = {
	"close-recorded", "close against the end of a recording", false, 2,
	begin_close_recorded, thread_close_recorded, end_close, NULL, name_of,
};

/* One magazine in the depot, which the job is to reclaim. */
static void begin_teardown(void)
{
	make_with_cached((struct shape){ .frames = 16, .threshold = 0 }, 3 * FULL, 1);
	explore_set_time(100 * MS);
}

static void thread_teardown(unsigned id)
{
	if (id == 0)
		iova_live_destroy(live);
	else
		explore_reclaim();
}

static void nothing_is_left(void)
{
	explore_require(explore_memory_held() == 0, "memory was leaked");
}

/* No names: they would be looked up in a domain that is gone. */
static const struct scenario teardown = {
	"teardown", "teardown against the job", false, 2,
	begin_teardown, thread_teardown, nothing_is_left, NULL, NULL,
};

const struct scenario *const end_scenarios[] = {
	&fixed, &reserve, &budget, &close_alloc, &close_recorded, &teardown, NULL,
};
