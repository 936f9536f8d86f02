/* SPDX-License-Identifier: MIT */
/*
 * The delayed job of each size class: when it runs, what it shows its policy, and how
 * the decision is carried out.
 *
 * A push onto the depot arms the job; so does the job itself, if its policy asks to look
 * again. It must be able to, because pushes stop when a machine falls idle: without it a
 * deep depot would be looked at once and then keep its memory for ever.
 */
#include "domain.h"

/* ------------------------------------------------------------------------- arming */

/* Past the end of time: never. */
static uint64_t later(uint64_t now, uint64_t delay)
{
	return now > IOVA_NEVER - delay ? IOVA_NEVER : now + delay;
}

/* The next job is due no later than this. */
static void note_due(struct iova_domain *domain, uint64_t due)
{
	uint64_t earliest = sync_load(&domain->earliest);
	/* Also where it is no sooner: whoever looks for the earliest sees one of the two. */
	while (!sync_cas(&domain->earliest, &earliest, due < earliest ? due : earliest))
		;
}

/* False: it was armed, and the earlier due time stays. */
static bool arm(struct iova_domain *domain, struct job *job, uint64_t due)
{
	uint64_t never = IOVA_NEVER;
	if (sync_load(&job->due) != IOVA_NEVER || !sync_cas(&job->due, &never, due))
		return false;
	sync_store(&job->order, sync_add(&domain->armings, 1u));
	note_due(domain, due);
	return true;
}

void job_arm_by_push(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	if (domain->mechanism.arm_delay_ns == 0)
		return;
	if (arm(domain, &rcache->job, later(now, domain->mechanism.arm_delay_ns)))
		count_up(&rcache->armed, 1);
	else
		count_up(&rcache->found_armed, 1);
}

void job_arm_by_growth(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	uint64_t delay = domain->mechanism.arm_delay_ns;
	if (delay)
		(void)arm(domain, &domain->rcache[size_class].job, later(now, delay));
}

/* ------------------------------------------------------------------------ running */

static struct iova_view view_of(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	struct iova_view view = {
		.now = now,
		.size_class = size_class,
		.classes = domain->classes,
		.cpus_online = sync_load(&domain->cpus_online),
		.cpus_possible = domain->cpus_possible,
		.tree_allocated = peek(&domain->tree_counters[size_class].allocations),
		.tree_freed = peek(&domain->tree_counters[size_class].frees),
		.magazine = peek(&rcache->capacity),
		.cpu_state = rcache->cpu_state,
		.domain = domain,
	};
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	view.depot = rcache->depot.length;
	view.depot_low = rcache->depot.low;
	view.depot_cached = rcache->depot.cached;
	view.pushed = rcache->pushed;
	view.popped = rcache->popped;
	rcache->depot.low = rcache->depot.length;
	unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	return view;
}

struct magazine *job_take(struct iova_domain *domain, uint32_t size_class, uint64_t keep)
{
	struct depot *depot = &domain->rcache[size_class].depot;
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	struct magazine *magazine = depot->length > keep ? depot_pop(depot) : NULL;
	unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	return magazine;
}

void job_finish(struct iova_domain *domain, uint32_t size_class, struct magazine *magazine)
{
	magazine_drain(domain, size_class, magazine);
	magazine_delete(domain, size_class, magazine);
	count_up(&domain->rcache[size_class].reclaimed, 1);
}

static bool reclaim_one(struct iova_domain *domain, uint32_t size_class, uint64_t keep)
{
	begin_drain(domain);
	struct magazine *magazine = job_take(domain, size_class, keep);
	if (magazine)
		job_finish(domain, size_class, magazine);
	end_drain(domain);
	return magazine != NULL;
}

static void carry_out(struct iova_domain *domain, uint32_t size_class,
		      const struct iova_decision *decision)
{
	if (magazine_can_hold(decision->magazine))
		sync_store(&domain->rcache[size_class].capacity, decision->magazine);
	for (uint32_t i = 0; i < decision->trim_count && i < domain->cpus_possible; i++)
		if (decision->trim[i] < domain->cpus_possible)
			rcache_trim_cpu(domain, size_class, decision->trim[i]);
	for (uint64_t i = 0; i < decision->release; i++)
		if (!reclaim_one(domain, size_class, decision->keep))
			return;
}

static void run(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	const struct iova_design *design = domain->design;
	sync_store(&rcache->job.due, IOVA_NEVER);
	count_up(&rcache->runs, 1);
	count_up(&domain->runs, 1);
	if (!design->look)
		return;
	struct iova_view view = view_of(domain, size_class, now);
	struct iova_decision decision = { .trim = domain->trim };
	design->look(design, rcache->policy_state, domain->params, &view, &decision);
	carry_out(domain, size_class, &decision);
	/* A push during the run may have armed it already: the earlier due time stays. */
	if (decision.again_ns) {
		bool soon = decision.again_ns < IOVA_LOOK_NS;
		arm(domain, &rcache->job, later(now, soon ? IOVA_LOOK_NS : decision.again_ns));
	}
}

/* The class whose job is next; classes if none is armed. */
static uint32_t next_job(const struct iova_domain *domain, uint64_t *due)
{
	uint32_t next = domain->classes;
	*due = IOVA_NEVER;
	for (uint32_t k = 0; k < domain->classes; k++) {
		uint64_t job_due = sync_load(&domain->rcache[k].job.due);
		if (job_due == IOVA_NEVER || job_due > *due)
			continue;
		if (job_due == *due && next < domain->classes &&
		    peek(&domain->rcache[k].job.order) > peek(&domain->rcache[next].job.order))
			continue;
		next = k;
		*due = job_due;
	}
	return next;
}

uint64_t iova_class_deadline(const iova_domain *domain, uint32_t size_class)
{
	return size_class < domain->classes ? sync_load(&domain->rcache[size_class].job.due) :
					      IOVA_NEVER;
}

uint64_t iova_next_deadline(const iova_domain *domain)
{
	return sync_load(&domain->earliest);
}

/*
 * "Never" is written before the jobs are looked at: one that is armed meanwhile is seen
 * here, or lowers the new value.
 */
void job_find_earliest(struct iova_domain *domain)
{
	uint64_t due;
	sync_exchange(&domain->earliest, IOVA_NEVER);
	if (next_job(domain, &due) < domain->classes)
		note_due(domain, due);
}

void iova_run_class(iova_domain *domain, uint32_t size_class, uint64_t now)
{
	if (!domain->caches || size_class >= domain->classes)
		return;
	run(domain, size_class, now);
	job_find_earliest(domain);
}

uint64_t iova_run_due(iova_domain *domain, uint64_t now)
{
	uint64_t ran = 0, due;
	while ((due = sync_load(&domain->earliest)) <= now && due != IOVA_NEVER) {
		uint32_t k = next_job(domain, &due);
		if (k < domain->classes && due <= now) {
			run(domain, k, due);
			ran++;
		}
		job_find_earliest(domain);
	}
	return ran;
}
