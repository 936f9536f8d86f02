/* SPDX-License-Identifier: MIT */
/* The list of built-in designs, and what some of them share. */
#include <string.h>

#include "policy.h"

static const struct iova_design *const designs[] = {
	&design_linux_6_1,
	&design_unbounded,
	&design_linux_6_12,
	&design_linux_7_3,
	&design_cpu_scaled,
	&design_bail,
	&design_two_list,
	&design_trim,
	&design_working_set,
	&design_grown_magazines,
	&design_wide,
	&design_batch,
	&design_limits,
	&design_adaptive,
};

uint32_t magazine_at_most(uint64_t entries)
{
	uint32_t size = IOVA_MAGAZINE_MOST;
	while (size > IOVA_MAGAZINE_LEAST && size > entries)
		size /= 2;
	return size;
}

bool cpu_has_called(struct seen_cpu *seen, const struct iova_cpu_view *cache, uint64_t now)
{
	uint64_t calls = cache->hits_loaded + cache->hits_previous + cache->hits_depot + cache->puts;
	if (calls == seen->calls)
		return false;
	seen->calls = calls;
	seen->since = now;
	return true;
}

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
