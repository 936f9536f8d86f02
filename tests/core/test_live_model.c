/* SPDX-License-Identifier: MIT */
/*
 * Random histories of all calls against a model that knows the state of every frame: each
 * status is the one the header promises, what is handed out was nobody's, what is refused
 * for want of room has none, and the figures add up after each call.
 */
#include "live_support.h"

/* Few enough to be full now and then. */
#define FRAMES 512u
#define MOST_HELD 200u
#define FIRST_FRAME 1000u

enum state { IS_FREE, IS_LIVE, IS_DEFERRED, IS_RESERVED };

struct held {
	uint64_t frame, frames; /* as the domain has it */
	uint64_t stated;	/* frames as asked for */
	bool fixed;
};

static struct {
	struct test_memory memory;
	struct random random;
	iova_live *live;
	uint64_t granule, budget;
	uint32_t classes;
	bool checked, trace;
	enum state state[FRAMES];
	struct held held[MOST_HELD], deferred[FLUSH_USABLE + 1];
	uint64_t count, deferred_count, ticket;
} world;

/* --------------------------------------------------------------------------- helpers */

static uint64_t below(uint64_t n)
{
	return random_below(&world.random, n);
}

static uint64_t address_of(uint64_t frame)
{
	return (FIRST_FRAME + frame) * world.granule;
}

static void set_state(uint64_t frame, uint64_t frames, enum state from, enum state to)
{
	for (uint64_t i = frame; i < frame + frames; i++) {
		CHECK_EQ(world.state[i], from);
		world.state[i] = to;
	}
}

static uint64_t count_of(enum state state)
{
	uint64_t count = 0;
	for (unsigned i = 0; i < FRAMES; i++)
		count += world.state[i] == state;
	return count;
}

static uint64_t frames_for(uint64_t stated)
{
	unsigned order = order_of(stated);
	return order < world.classes ? UINT64_C(1) << order : stated;
}

static bool all_free(uint64_t frame, uint64_t frames)
{
	for (uint64_t i = frame; i < frame + frames; i++)
		if (world.state[i] != IS_FREE)
			return false;
	return true;
}

/* Whether frames fit somewhere at a multiple of align, with their last at or below top - 1. */
static bool there_is_room(uint64_t frames, uint64_t align, uint64_t top)
{
	for (uint64_t at = 0; at + frames <= top; at++)
		if ((FIRST_FRAME + at) % align == 0 && all_free(at, frames))
			return true;
	return false;
}

static void trace(const char *what, uint64_t a, uint64_t b, enum iova_status status)
{
	if (world.trace)
		printf("%s %" PRIu64 " %" PRIu64 ": %s\n", what, a, b, iova_status_text(status));
}

/* ------------------------------------------------------------------------- allocation */

static void hold(uint64_t address, uint64_t frames, uint64_t stated, bool fixed)
{
	CHECK_EQ(address % world.granule, 0);
	uint64_t frame = address / world.granule - FIRST_FRAME;
	CHECK(frame < FRAMES && frames <= FRAMES - frame);
	set_state(frame, frames, IS_FREE, IS_LIVE);
	world.held[world.count++] = (struct held){ frame, frames, stated, fixed };
}

static bool budget_is_used_up(void)
{
	return world.budget && world.count >= world.budget;
}

static void step_alloc(void)
{
	uint64_t stated = 1 + random_bits(&world.random, 6), frames = frames_for(stated);
	uint64_t top = below(4) ? FRAMES : below(FRAMES + 1);
	uint64_t align = below(5) ? 0 : UINT64_C(1) << below(8), address;
	uint64_t own = UINT64_C(1) << order_of(stated);
	if (world.count == MOST_HELD)
		return;
	enum iova_status status =
		iova_live_alloc(world.live, stated * world.granule - below(world.granule),
				top == FRAMES ? ANYWHERE : address_of(top) - 1,
				align * world.granule, &address);
	trace("alloc", stated, top, status);
	if (status == IOVA_OK) {
		CHECK(!budget_is_used_up());
		hold(address, frames, stated, false);
		CHECK(address + frames * world.granule <= address_of(top));
		CHECK_EQ(address / world.granule % (align > own ? align : own), 0);
	} else if (status == IOVA_NO_SPACE) {
		CHECK(!there_is_room(frames, align > own ? align : own, top));
	} else {
		CHECK_EQ(status, IOVA_OVER_BUDGET);
		CHECK(budget_is_used_up());
	}
}

static void step_alloc_many(void)
{
	uint64_t address[40], n = 1 + below(40), stated = 1 + below(3), frames = frames_for(stated);
	if (world.count + n > MOST_HELD)
		return;
	enum iova_status status =
		iova_live_alloc_many(world.live, n, stated * world.granule, ANYWHERE, address);
	trace("alloc_many", n, stated, status);
	if (status == IOVA_OVER_BUDGET)
		CHECK(world.budget && world.count + n > world.budget);
	else if (status == IOVA_NO_SPACE)
		CHECK(count_of(IS_FREE) < FRAMES);
	else
		CHECK_EQ(status, IOVA_OK);
	for (uint64_t i = 0; status == IOVA_OK && i < n; i++)
		hold(address[i], frames, stated, false);
}

static void step_alloc_at(void)
{
	uint64_t frames = 1 + random_bits(&world.random, 5), frame = below(FRAMES);
	bool fits = frames <= FRAMES - frame && all_free(frame, frames);
	if (world.count == MOST_HELD)
		return;
	enum iova_status status =
		iova_live_alloc_at(world.live, address_of(frame), frames * world.granule);
	trace("alloc_at", frame, frames, status);
	if (frames > FRAMES - frame)
		CHECK_EQ(status, IOVA_RESERVED);
	else if (budget_is_used_up())
		CHECK_EQ(status, IOVA_OVER_BUDGET);
	else
		CHECK_EQ(status, fits ? IOVA_OK : IOVA_RESERVED);
	if (status == IOVA_OK)
		hold(address_of(frame), frames, frames, true);
}

/* ------------------------------------------------------------------------------- frees */

static struct held drop(uint64_t at, enum state to)
{
	struct held held = world.held[at];
	set_state(held.frame, held.frames, IS_LIVE, to);
	world.held[at] = world.held[--world.count];
	return held;
}

/* As it was asked for, or in any other way that comes to the same. */
static uint64_t some_size(const struct held *held)
{
	if (world.checked && below(8) == 0)
		return 0;
	return held->stated * world.granule - below(world.granule);
}

static void step_free(void)
{
	if (world.count == 0)
		return;
	uint64_t at = below(world.count);
	CHECK_EQ(iova_live_free(world.live, address_of(world.held[at].frame),
				some_size(&world.held[at])),
		 IOVA_OK);
	trace("free", world.held[at].frame, world.held[at].stated, IOVA_OK);
	(void)drop(at, IS_FREE);
}

static void step_defer(void)
{
	uint64_t ticket = 0;
	if (world.count == 0)
		return;
	uint64_t at = below(world.count);
	enum iova_status status = iova_live_defer(world.live, address_of(world.held[at].frame),
						  some_size(&world.held[at]), &ticket);
	trace("defer", world.held[at].frame, world.held[at].stated, status);
	CHECK_EQ(status, world.deferred_count == FLUSH_USABLE ? IOVA_FLUSH_NEEDED : IOVA_OK);
	if (status != IOVA_OK) {
		CHECK_EQ(ticket, world.ticket);
		return;
	}
	CHECK_EQ(ticket, ++world.ticket);
	world.deferred[world.deferred_count++] = drop(at, IS_DEFERRED);
}

/* The oldest so many are flushed. */
static void step_flushed(void)
{
	uint64_t n = below(world.deferred_count + 1);
	uint64_t ticket = world.ticket - world.deferred_count + n;
	if (ticket == 0)
		return;
	CHECK_EQ(iova_live_flushed(world.live, ticket), IOVA_OK);
	trace("flushed", ticket, n, IOVA_OK);
	for (uint64_t i = 0; i < n; i++)
		set_state(world.deferred[i].frame, world.deferred[i].frames, IS_DEFERRED, IS_FREE);
	world.deferred_count -= n;
	memmove(world.deferred, world.deferred + n, world.deferred_count * sizeof(struct held));
}

static const struct held *held_at(uint64_t frame)
{
	for (uint64_t i = 0; i < world.count; i++)
		if (frame >= world.held[i].frame &&
		    frame - world.held[i].frame < world.held[i].frames)
			return &world.held[i];
	return NULL;
}

static bool same_size(const struct held *held, uint64_t stated)
{
	return stated == 0 || stated == held->frames || frames_for(stated) == held->frames;
}

/* Any frame, any size: freed if that is right, refused for the right reason if not. */
static void step_free_anything(void)
{
	uint64_t frame = below(FRAMES), stated = below(10), odd = below(4) ? 0 : 1;
	if (!world.checked || world.granule == 1)
		return;
	const struct held *held = held_at(frame);
	enum iova_status status =
		iova_live_free(world.live, address_of(frame) + odd, stated * world.granule);
	trace("free anything", frame, stated, status);
	if (odd || (held && held->frame != frame))
		CHECK_EQ(status, IOVA_NOT_ALLOCATED);
	else if (held && !same_size(held, stated))
		CHECK_EQ(status, IOVA_SIZE_MISMATCH);
	else if (held)
		CHECK_EQ(status, IOVA_OK);
	else if (world.state[frame] == IS_RESERVED)
		CHECK_EQ(status, IOVA_RESERVED);
	else
		CHECK(status == IOVA_DOUBLE_FREE || status == IOVA_NOT_ALLOCATED);
	if (status == IOVA_OK)
		(void)drop((uint64_t)(held - world.held), IS_FREE);
}

/* ------------------------------------------------------------------------------- others */

static void step_reserve(void)
{
	uint64_t frame = below(FRAMES), frames = 1 + below(3), taken = 0;
	if (below(10) || frames > FRAMES - frame || count_of(IS_RESERVED) > FRAMES / 8)
		return;
	for (uint64_t i = frame; i < frame + frames; i++)
		taken += world.state[i] == IS_LIVE || world.state[i] == IS_DEFERRED;
	enum iova_status status = iova_live_reserve(world.live, address_of(frame),
						    address_of(frame + frames) - 1);
	trace("reserve", frame, frames, status);
	CHECK_EQ(status, taken ? IOVA_RESERVED : IOVA_OK);
	for (uint64_t i = frame; status == IOVA_OK && i < frame + frames; i++)
		world.state[i] = IS_RESERVED;
}

static void step_find(void)
{
	static const enum iova_place places[] = { IOVA_PLACE_FREE, IOVA_PLACE_LIVE,
						  IOVA_PLACE_DEFERRED, IOVA_PLACE_RESERVED };
	uint64_t frame = below(FRAMES), address = address_of(frame) + below(world.granule);
	struct iova_span span;
	enum iova_place place = iova_live_find(world.live, address, &span);
	CHECK(span.first <= address && span.last >= address);
	if (!world.checked && world.state[frame] != IS_RESERVED)
		return; /* it can not tell cached, live and deferred ranges apart */
	CHECK_EQ(place, places[world.state[frame]]);
	const struct held *held = held_at(frame);
	if (held) {
		CHECK_EQ(span.first, address_of(held->frame));
		CHECK_EQ(span.last, address_of(held->frame + held->frames) - 1);
	}
}

static void step_flush_caches(void)
{
	if (below(20))
		return;
	CHECK_EQ(iova_live_flush_caches(world.live), IOVA_OK);
	trace("flush_caches", 0, 0, IOVA_OK);
	CHECK_EQ(read_stats(world.live).cached, 0);
}

static void check_figures(bool thoroughly)
{
	struct iova_live_stats stats = read_stats(world.live);
	CHECK_EQ(stats.live, world.count);
	CHECK_EQ(stats.live_bytes, count_of(IS_LIVE) * world.granule);
	CHECK_EQ(stats.deferred, world.deferred_count);
	CHECK_EQ(stats.cached_bytes + stats.free_bytes, count_of(IS_FREE) * world.granule);
	if (!thoroughly)
		return;
	world.memory.paused = true;
	check_adds_up(world.live);
	world.memory.paused = false;
}

/* ------------------------------------------------------------------------------ histories */

static void open_world(uint64_t seed, bool traced)
{
	struct iova_span windows[2];
	memset(&world, 0, sizeof(world));
	world.random = (struct random){ seed };
	world.trace = traced;
	world.granule = UINT64_C(1) << below(17);
	world.checked = below(3) != 0;
	world.budget = below(3) ? 0 : 1 + below(60);
	world.classes = 1 + (uint32_t)below(IOVA_MAX_CLASSES);
	/* A hole between two windows, the upper one first. */
	uint64_t hole = 100 + below(200), wide = below(30);
	windows[1] = (struct iova_span){ address_of(0), address_of(hole) - 1 };
	windows[0] = (struct iova_span){ address_of(hole + wide), address_of(FRAMES) - 1 };
	for (uint64_t i = hole; i < hole + wide; i++)
		world.state[i] = IS_RESERVED;
	const struct iova_design *design;
	do
		design = iova_design_at((uint32_t)below(32));
	while (!design);
	world.live = make_live(&world.memory, (struct iova_live_config){
						      .windows = windows,
						      .window_count = 2,
						      .granule = world.granule,
						      .design = design,
						      .classes = world.classes,
						      .budget = world.budget,
						      .unchecked = !world.checked });
	world.classes = world.live->classes; /* a design may have a number of its own */
}

static void history_agrees_with_the_model(uint64_t seed, uint64_t steps, bool traced)
{
	static void (*const kinds[])(void) = {
		step_alloc, step_alloc,	 step_alloc,	     step_alloc_many, step_alloc_at,
		step_free,  step_free,	 step_free,	     step_free,	      step_defer,
		step_defer, step_flushed, step_free_anything, step_reserve,    step_find,
		step_find,  step_flush_caches,
	};
	open_world(seed, traced);
	for (uint64_t i = 0; i < steps; i++) {
		kinds[below(COUNT_OF_ARRAY(kinds))]();
		check_figures(i % 16 == 0);
	}
	end_live(&world.memory, world.live);
}

static struct random_plan plan;

static void random_histories_agree_with_a_model_of_every_frame(void)
{
	static const uint64_t steps[] = { 50, 3000 };
	random_run(&plan, steps, COUNT_OF_ARRAY(steps), 150, history_agrees_with_the_model);
}

int main(int argc, char **argv)
{
	plan = random_plan_from(argc, argv);
	TEST(random_histories_agree_with_a_model_of_every_frame);
	return 0;
}
