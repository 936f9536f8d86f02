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

extern const struct iova_design design_linux_6_1;
extern const struct iova_design design_unbounded;
extern const struct iova_design design_linux_6_12;
extern const struct iova_design design_linux_7_3;
extern const struct iova_design design_adaptive;

/* Shared by the designs that have Linux's reclaim; its parameters come first. */
#define RECLAIM_PARAM_COUNT 4u
extern const struct iova_param reclaim_params[RECLAIM_PARAM_COUNT];
void reclaim_setup(const struct iova_design *design, const uint64_t *values,
		   const struct iova_config *config, struct iova_mechanism *mechanism);
void reclaim_look(const struct iova_design *design, void *state, const uint64_t *values,
		  const struct iova_view *view, struct iova_decision *decision);

#endif
