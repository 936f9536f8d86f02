/* SPDX-License-Identifier: MIT */
/* live_choices - what the workloads of live_loops.h hold live, and what their steps replace. */
#ifndef LIVE_CHOICES_H
#define LIVE_CHOICES_H

#include "live_loops.h"

/* Steps drawn for a workload; loops go over them again and again. */
#define STEPS 65536u

struct choice {
	size_t live; /* ranges; 0: none but the one in hand */
	bool sizes_mixed;
	uint8_t order; /* if they are not */
};

struct choice choice_of(enum workload workload);
/* STEPS and LOOK_AHEAD more. The caller's to free. */
struct step *draw_steps(struct choice choice, uint64_t seed);
/* choice.live of them, with orders and no addresses. The caller's to free. */
struct held *draw_held(struct choice choice, uint64_t seed);

#endif
