/* SPDX-License-Identifier: MIT */
/* The list of built-in designs. */
#include <string.h>

#include "policy.h"

static const struct iova_design *const designs[] = {
	&design_linux_6_1,
	&design_unbounded,
	&design_linux_6_12,
	&design_linux_7_3,
	&design_adaptive,
};

const struct iova_design *iova_design_at(uint32_t index)
{
	return index < COUNT_OF(designs) ? designs[index] : NULL;
}

const struct iova_design *iova_design_named(const char *name)
{
	for (uint32_t i = 0; i < COUNT_OF(designs); i++)
		if (strcmp(designs[i]->name, name) == 0)
			return designs[i];
	return NULL;
}
