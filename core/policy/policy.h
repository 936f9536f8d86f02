/* SPDX-License-Identifier: MIT */
/*
 * The built-in designs. One file each, all of the same shape: where it comes from, its
 * parameters, its mechanism (setup), what it looks at and decides (look).
 */
#ifndef IOVA_POLICY_H
#define IOVA_POLICY_H

#include "../common.h"

#define NS_PER_MS UINT64_C(1000000)
#define COUNT_OF(array) ((uint32_t)COUNT_OF_ARRAY(array))

/* In the order of iova_design_at(). */
extern const struct iova_design design_linux_6_1;
extern const struct iova_design design_unbounded;
extern const struct iova_design design_linux_6_12;
extern const struct iova_design design_linux_7_3;
extern const struct iova_design design_cpu_scaled;
extern const struct iova_design design_bail;
extern const struct iova_design design_two_list;
extern const struct iova_design design_trim;
extern const struct iova_design design_working_set;
extern const struct iova_design design_grown_magazines;
extern const struct iova_design design_wide;
extern const struct iova_design design_batch;
extern const struct iova_design design_limits;
extern const struct iova_design design_adaptive;

/* Shared by the designs that have Linux's reclaim; its parameters come first. */
enum { RECLAIM_DELAY, RECLAIM_THRESHOLD, RECLAIM_BATCH, RECLAIM_REARM, RECLAIM_PARAM_COUNT };
/* clang-format off */
#define RECLAIM_PARAMS                                                                          \
	[RECLAIM_DELAY] = { "delay_ms", "ms", "from a push, or a run, to the next run of the job", \
			    1, 86400000, 100, NULL },                                          \
	[RECLAIM_THRESHOLD] = { "threshold", "magazines",                                      \
				"depot length above which the job reclaims", 0, 1u << 20,      \
				IOVA_AUTO, "CPUs online" },                                    \
	[RECLAIM_BATCH] = { "batch", "magazines", "reclaimed in one run", 1, 1u << 20, 1,      \
			    NULL },                                                            \
	[RECLAIM_REARM] = { "rearm", "0 or 1", "the job arms itself again after it reclaimed", \
			    0, 1, 1, NULL }
/* clang-format on */
extern const struct iova_param reclaim_params[RECLAIM_PARAM_COUNT];
void reclaim_setup(const struct iova_design *design, const uint64_t *values,
		   const struct iova_config *config, struct iova_mechanism *mechanism);
void reclaim_look(const struct iova_design *design, void *state, const uint64_t *values,
		  const struct iova_view *view, struct iova_decision *decision);

/* The largest size of magazines, 2^n - 1 entries, that is not above a number. */
uint32_t magazine_at_most(uint64_t entries);

/*
 * Shared by the designs that ask which CPUs are idle. A CPU's calls of one class since
 * creation, and whether they changed since it was last asked; since is when that was seen.
 */
struct seen_cpu {
	uint64_t calls, since;
};
bool cpu_has_called(struct seen_cpu *seen, const struct iova_cpu_view *cache, uint64_t now);

#endif
