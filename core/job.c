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

static void arm(struct iova_domain *domain, struct job *job, uint64_t due)
{
	job->due = due;
	job->order = domain->armings++;
	if (due < domain->earliest)
		domain->earliest = due;
}

void job_arm_by_push(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	if (domain->mechanism.arm_delay_ns == 0)
		return;
	if (rcache->job.due != IOVA_NEVER) {
		rcache->found_armed++;
		return;
	}
	rcache->armed++;
	arm(domain, &rcache->job, later(now, domain->mechanism.arm_delay_ns));
}

/* ------------------------------------------------------------------------ running */

static struct iova_view view_of(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	struct iova_view view = {
		.now = now,
		.size_class = size_class,
		.classes = domain->classes,
		.cpus_online = domain->cpus_online,
		.cpus_possible = domain->cpus_possible,
		.tree_allocated = domain->tree_counters[size_class].allocations,
		.domain = domain,
	};
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	view.depot = rcache->depot.length;
	view.depot_low = rcache->depot.low;
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
	domain->rcache[size_class].reclaimed++;
}

static void carry_out(struct iova_domain *domain, uint32_t size_class,
		      const struct iova_decision *decision)
{
	for (uint32_t i = 0; i < decision->trim_count && i < domain->cpus_possible; i++)
		if (decision->trim[i] < domain->cpus_possible)
			rcache_trim_cpu(domain, size_class, decision->trim[i]);
	for (uint64_t i = 0; i < decision->release; i++) {
		struct magazine *magazine = job_take(domain, size_class, decision->keep);
		if (!magazine)
			return;
		job_finish(domain, size_class, magazine);
	}
}

static void run(struct iova_domain *domain, uint32_t size_class, uint64_t now)
{
	struct rcache *rcache = &domain->rcache[size_class];
	const struct iova_design *design = domain->design;
	rcache->job.due = IOVA_NEVER;
	rcache->runs++;
	domain->runs++;
	if (!design->look)
		return;
	struct iova_view view = view_of(domain, size_class, now);
	struct iova_decision decision = { .trim = domain->trim };
	design->look(design, rcache->policy_state, domain->params, &view, &decision);
	carry_out(domain, size_class, &decision);
	/* A push during the run may have armed it already: the earlier due time stays. */
	if (decision.again_ns && rcache->job.due == IOVA_NEVER) {
		bool soon = decision.again_ns < IOVA_LOOK_NS;
		arm(domain, &rcache->job, later(now, soon ? IOVA_LOOK_NS : decision.again_ns));
	}
}

/* Of two armed jobs, the one that runs first. */
static bool runs_before(const struct job *a, const struct job *b)
{
	return a->due < b->due || (a->due == b->due && a->order < b->order);
}

/* The class whose job is next; classes if none is armed. */
static uint32_t next_job(const struct iova_domain *domain)
{
	const struct job *first = NULL;
	uint32_t next = domain->classes;
	for (uint32_t k = 0; k < domain->classes; k++) {
		const struct job *job = &domain->rcache[k].job;
		if (job->due != IOVA_NEVER && (!first || runs_before(job, first))) {
			first = job;
			next = k;
		}
	}
	return next;
}

uint64_t iova_class_deadline(const iova_domain *domain, uint32_t size_class)
{
	return size_class < domain->classes ? domain->rcache[size_class].job.due : IOVA_NEVER;
}

uint64_t iova_next_deadline(const iova_domain *domain)
{
	return domain->earliest;
}

static void find_earliest(struct iova_domain *domain)
{
	domain->earliest = iova_class_deadline(domain, next_job(domain));
}

void iova_run_class(iova_domain *domain, uint32_t size_class, uint64_t now)
{
	if (!domain->caches || size_class >= domain->classes)
		return;
	run(domain, size_class, now);
	find_earliest(domain);
}

uint64_t iova_run_due(iova_domain *domain, uint64_t now)
{
	uint64_t ran = 0;
	for (; domain->earliest <= now && domain->earliest != IOVA_NEVER; ran++) {
		uint32_t k = next_job(domain);
		run(domain, k, domain->rcache[k].job.due);
		find_earliest(domain);
	}
	return ran;
}
