/* SPDX-License-Identifier: MIT */
/* one_domain - a domain in counted memory, one at a time, and what a test asks of its caches. */
#ifndef ONE_DOMAIN_H
#define ONE_DOMAIN_H

#include "support.h"

static struct test_memory memory;

static inline iova_domain *domain_of(struct shape shape)
{
	test_memory_init(&memory);
	return make_domain(&memory, shape);
}

static inline void end(iova_domain *domain)
{
	end_domain(&memory, domain);
}

/* One frame from the CPU's cache or the tree. */
static inline uint64_t take(iova_domain *domain, uint32_t cpu)
{
	return iova_alloc(domain, cpu, 1, LIMIT64, false);
}

/* How many entries of one frame the two magazines of a CPU hold. */
static inline void check_cpu(const iova_domain *domain, uint32_t cpu, uint64_t loaded,
			     uint64_t previous)
{
	struct iova_cpu_view view = iova_read_cpu(domain, cpu, 0);
	CHECK_EQ(view.loaded, loaded);
	CHECK_EQ(view.previous, previous);
}

#endif
