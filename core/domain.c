/* SPDX-License-Identifier: MIT */
/* domain - ties tree, caches and jobs together: the public calls. */
#include "rcache_fast.h"

#include <string.h>

/* ------------------------------------------------------------- creation and teardown */

static bool params_are_valid(const struct iova_design *design, const uint64_t *values)
{
	for (uint32_t i = 0; i < design->param_count; i++) {
		const struct iova_param *param = &design->params[i];
		if (values[i] == IOVA_AUTO && param->automatic)
			continue;
		if (values[i] < param->minimum || values[i] > param->maximum)
			return false;
	}
	return true;
}

static bool config_is_valid(const struct iova_config *config)
{
	return config->granule != 0 && (config->granule & (config->granule - 1)) == 0 &&
	       config->granule <= IOVA_MAX_GRANULE && config->cpus_possible >= 1 &&
	       config->cpus_possible <= IOVA_MAX_CPUS && config->cpus_online >= 1 &&
	       config->cpus_online <= config->cpus_possible && config->classes >= 1 &&
	       config->classes <= IOVA_MAX_CLASSES && config->design &&
	       config->design->param_count <= IOVA_MAX_PARAMS &&
	       (!config->params || params_are_valid(config->design, config->params));
}

/* What the design makes of the config. */
struct arrangement {
	uint64_t params[IOVA_MAX_PARAMS];
	struct iova_mechanism mechanism;
};

static bool arrange(const struct iova_config *config, struct arrangement *result)
{
	const struct iova_design *design = config->design;
	struct iova_mechanism *mechanism = &result->mechanism;
	*result = (struct arrangement){ .mechanism.depot_max = UINT64_MAX };
	for (uint32_t i = 0; i < design->param_count; i++)
		result->params[i] =
			config->params ? config->params[i] : design->params[i].initial;
	design->setup(design, result->params, config, mechanism);
	if (!mechanism->classes)
		mechanism->classes = config->classes;
	if (!mechanism->magazine)
		mechanism->magazine = IOVA_MAGAZINE_CAPACITY;
	return mechanism->classes <= IOVA_MAX_CLASSES &&
	       magazine_can_hold(mechanism->magazine);
}

/* One block: the domain, its online set, room for trim decisions, the design's state. */
struct block_layout {
	size_t online, trim, state, state_of_class, bytes;
};

static size_t round_up_64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

static struct block_layout layout_of(uint32_t possible, uint32_t classes,
				     const struct iova_design *design)
{
	struct block_layout at;
	at.online = round_up_64(sizeof(struct iova_domain));
	at.trim = at.online + round_up_64(((size_t)possible + 63) / 64 * sizeof(uint64_t));
	at.state = at.trim + round_up_64((size_t)possible * sizeof(uint32_t));
	at.state_of_class = round_up_64(design->state_size) +
			    round_up_64(design->cpu_state_size * possible);
	at.bytes = at.state + classes * at.state_of_class;
	return at;
}

static void set_up_class(struct iova_domain *domain, uint32_t size_class, char *state)
{
	struct rcache *rcache = &domain->rcache[size_class];
	rcache->job.due = IOVA_NEVER;
	rcache->capacity = domain->mechanism.magazine;
	rcache->policy_state = state;
	rcache->cpu_state = state + round_up_64(domain->design->state_size);
}

static void set_up(struct iova_domain *domain, const struct iova_config *config,
		   const struct iova_memory *memory, const struct arrangement *arrangement,
		   const struct block_layout *at)
{
	char *block = (char *)domain;
	memset(domain, 0, at->bytes);
	domain->design = config->design;
	memcpy(domain->params, arrangement->params, sizeof(domain->params));
	domain->mechanism = arrangement->mechanism;
	domain->classes = arrangement->mechanism.classes;
	domain->drain_batch = arrangement->mechanism.tree_batch;
	domain->cpus_possible = config->cpus_possible;
	domain->cpus_online = config->cpus_online;
	domain->memory = *memory;
	domain->has_locks = config->locks != NULL;
	if (config->locks)
		domain->locks = *config->locks;
	domain->reserve_max = UINT64_MAX >> order_of(config->granule);
	domain->earliest = IOVA_NEVER;
	domain->online = (uint64_t *)(void *)(block + at->online);
	domain->trim = (uint32_t *)(void *)(block + at->trim);
	for (uint32_t cpu = 0; cpu < config->cpus_online; cpu++)
		domain->online[cpu / 64] |= UINT64_C(1) << (cpu % 64);
	for (uint32_t k = 0; k < domain->classes; k++)
		set_up_class(domain, k, block + at->state + k * at->state_of_class);
}

enum iova_status iova_create(const struct iova_config *config, iova_domain **result)
{
	struct arrangement arrangement;
	if (!config_is_valid(config) || !arrange(config, &arrangement))
		return IOVA_INVALID;
	const struct iova_memory *memory = config->memory ? config->memory : iova_memory_heap();
	struct block_layout at =
		layout_of(config->cpus_possible, arrangement.mechanism.classes, config->design);
	struct iova_domain *domain = memory_get(memory, IOVA_MEMORY_DOMAIN, at.bytes);
	if (!domain)
		return IOVA_NO_MEMORY;
	set_up(domain, config, memory, &arrangement, &at);
	uint64_t d32 = UINT64_C(1) << (32 - order_of(config->granule));
	enum iova_status status = tree_init(&domain->tree, &domain->memory, config->start_pfn, d32,
					    config->count_steps);
	if (status != IOVA_OK) {
		memory_put(memory, IOVA_MEMORY_DOMAIN, domain, at.bytes);
		return status;
	}
	*result = domain;
	return IOVA_OK;
}

void iova_destroy(iova_domain *domain)
{
	if (!domain)
		return;
	rcache_destroy(domain);
	tree_fini(&domain->tree);
	struct iova_memory memory = domain->memory;
	struct block_layout at =
		layout_of(domain->cpus_possible, domain->classes, domain->design);
	memory_put(&memory, IOVA_MEMORY_DOMAIN, domain, at.bytes);
}

enum iova_status iova_make_caches(iova_domain *domain)
{
	return domain->caches ? IOVA_INVALID : rcache_make(domain);
}

/* --------------------------------------------------------------------- the tree's calls */

enum iova_status iova_reserve(iova_domain *domain, uint64_t lo, uint64_t hi,
			      struct iova_range *result)
{
	struct iova_range unused;
	if ((lo | hi) > domain->reserve_max) {
		count_shared(domain, &domain->warnings, 1);
		return IOVA_INVALID;
	}
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	enum iova_status status = tree_reserve(&domain->tree, lo, hi, result ? result : &unused);
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	return status;
}

void count_failure(struct iova_domain *domain, uint64_t size)
{
	count_shared(domain, &domain->tree_counters[counters_of(domain, size)].failures, 1);
}

enum iova_status alloc_counted(struct iova_domain *domain, uint64_t size, uint64_t limit,
			       bool align, struct iova_range *result)
{
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	enum iova_status status = tree_alloc(&domain->tree, size, limit, align, result);
	struct tree_counters *counters = &domain->tree_counters[counters_of(domain, size)];
	counters->steps += domain->tree.steps;
	count_up(&counters->allocations, status == IOVA_OK);
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	return status;
}

enum iova_status iova_alloc_raw(iova_domain *domain, uint64_t size, uint64_t limit, bool align,
				struct iova_range *result)
{
	if (size == 0)
		return IOVA_INVALID;
	enum iova_status status = alloc_counted(domain, size, limit, align, result);
	if (status != IOVA_OK)
		count_failure(domain, size);
	return status;
}

enum iova_status iova_free_raw(iova_domain *domain, uint64_t pfn)
{
	struct iova_range range;
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	enum iova_status status = tree_take_out(&domain->tree, pfn, &range);
	if (status == IOVA_OK) {
		uint32_t of = counters_of(domain, range.hi - range.lo + 1);
		count_up(&domain->tree_counters[of].frees, 1);
	}
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	return status;
}

enum iova_status iova_find(const iova_domain *domain, uint64_t pfn, struct iova_range *result)
{
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	bool found = tree_find(&domain->tree, pfn, result);
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
	return found ? IOVA_OK : IOVA_NOT_FOUND;
}

/* ------------------------------------------------------------------- the cached calls */

/* From the tree, flushing the caches once if asked to. 0: failed. */
static uint64_t alloc_from_tree(struct iova_domain *domain, uint64_t size, uint64_t limit,
				bool flush)
{
	for (;; flush = false) {
		struct iova_range range;
		if (alloc_counted(domain, size, limit, true, &range) == IOVA_OK)
			return range.lo;
		if (!flush)
			break;
		iova_flush_caches(domain);
	}
	count_failure(domain, size);
	return 0;
}

uint64_t alloc_in_full(struct iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t limit,
		       bool flush)
{
	unsigned size_class = order_of(size);
	size = rounded_size(domain, size);
	if (size_class < domain->classes) {
		uint64_t cap = highest_acceptable(limit, size), pfn;
		if (rcache_get(domain, cpu, size_class, cap, &pfn) && pfn)
			return pfn;
	}
	return alloc_from_tree(domain, size, limit, flush);
}

void free_in_full(struct iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size,
		  uint64_t now)
{
	unsigned size_class = order_of(size);
	if (size_class < domain->classes && rcache_put(domain, cpu, size_class, pfn, now))
		return;
	(void)iova_free_raw(domain, pfn); /* an unknown pfn is ignored, as in Linux */
}

uint64_t iova_alloc(iova_domain *domain, uint32_t cpu, uint64_t size, uint64_t limit, bool flush)
{
	assert_cheap(domain->caches && cpu < domain->cpus_possible && size > 0);
	bool quick;
	return alloc_fast(domain, cpu, size, limit, flush, &quick);
}

void iova_free(iova_domain *domain, uint32_t cpu, uint64_t pfn, uint64_t size, uint64_t now)
{
	assert_cheap(domain->caches && cpu < domain->cpus_possible && size > 0);
	bool quick;
	free_fast(domain, cpu, pfn, size, now, &quick);
}

/* ----------------------------------------------------------------- caches and CPUs */

void iova_flush_caches(iova_domain *domain)
{
	if (!domain->caches)
		return;
	begin_drain(domain);
	rcache_stop_pops(domain, true);
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++)
		if (cpu_is_online(domain, cpu))
			rcache_drain_cpu(domain, cpu);
	rcache_drain_depots(domain);
	rcache_stop_pops(domain, false);
	end_drain(domain);
}

uint32_t iova_cpu_offline(iova_domain *domain, uint32_t cpu)
{
	uint64_t bit = UINT64_C(1) << (cpu % 64);
	if (cpu >= domain->cpus_possible || !(sync_and(&domain->online[cpu / 64], ~bit) & bit))
		return sync_load(&domain->cpus_online);
	uint32_t online = sync_sub(&domain->cpus_online, 1u) - 1;
	if (domain->caches) {
		begin_drain(domain);
		rcache_drain_cpu(domain, cpu);
		end_drain(domain);
	}
	return online;
}

uint32_t iova_cpu_online(iova_domain *domain, uint32_t cpu)
{
	uint64_t bit = UINT64_C(1) << (cpu % 64);
	if (cpu >= domain->cpus_possible || sync_or(&domain->online[cpu / 64], bit) & bit)
		return sync_load(&domain->cpus_online);
	return sync_add(&domain->cpus_online, 1u) + 1;
}
