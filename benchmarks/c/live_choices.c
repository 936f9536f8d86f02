/* SPDX-License-Identifier: MIT */
#include "live_choices.h"

#include "bench.h"

struct choice choice_of(enum workload workload)
{
	static const struct choice choices[WORKLOADS] = {
		[W2_RANDOM] = { .live = W2_LIVE },
		[W3_SIZES] = { .live = W3_LIVE, .sizes_mixed = true },
		[W4_LARGE] = { .live = W4_LIVE, .order = W4_ORDER },
	};
	return choices[workload];
}

/* 1, 2, 4 .. 32 pages: 60, 15, 10, 7, 5 and 3 percent. */
static uint8_t random_order(uint64_t *seed)
{
	static const uint8_t below[] = { 60, 75, 85, 92, 97, 100 };
	uint64_t percent = random_below(seed, 100);
	uint8_t order = 0;
	while (percent >= below[order])
		order++;
	return order;
}

static uint8_t draw_order(struct choice choice, uint64_t *seed)
{
	return choice.sizes_mixed ? random_order(seed) : choice.order;
}

struct step *draw_steps(struct choice choice, uint64_t seed)
{
	struct step *steps = malloc((STEPS + LOOK_AHEAD) * sizeof(*steps));
	must(steps != NULL, "no memory");
	for (size_t i = 0; i < STEPS + LOOK_AHEAD; i++) {
		steps[i].slot = (uint16_t)random_below(&seed, choice.live);
		steps[i].order = draw_order(choice, &seed);
	}
	return steps;
}

struct held *draw_held(struct choice choice, uint64_t seed)
{
	struct held *held = calloc(choice.live, sizeof(*held));
	must(held != NULL, "no memory");
	for (size_t i = 0; i < choice.live; i++)
		held[i].order = draw_order(choice, &seed);
	return held;
}
