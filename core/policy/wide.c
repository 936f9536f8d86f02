/* SPDX-License-Identifier: MIT */
/*
 * wide: linux-6.12 with ten size classes instead of six, so that ranges up to 512 pages
 * (2 MiB with pages of 4 KiB) are cached. The option classes= sets another number.
 *
 * Source: reports of stalls where transfers are larger than the caches take (May 2023,
 * 448 CPUs), cured by clamping the transfers.
 */
#include "policy.h"

#define CLASSES 10u

static void setup(const struct iova_design *design, const uint64_t *values,
		  const struct iova_config *config, struct iova_mechanism *mechanism)
{
	reclaim_setup(design, values, config, mechanism);
	mechanism->classes = CLASSES;
}

const struct iova_design design_wide = {
	.name = "wide",
	.summary = "linux-6.12 with ten size classes: up to 512 pages are cached",
	.params = reclaim_params,
	.param_count = RECLAIM_PARAM_COUNT,
	.setup = setup,
	.look = reclaim_look,
};
