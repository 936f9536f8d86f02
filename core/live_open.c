/* SPDX-License-Identifier: MIT */
/* live_open - opening and closing a live domain, and its part of the background thread. */
#include "live_front.h"

#include <string.h>

/* VFIO and iommufd report a handful; more than this is a mistake. */
#define MAX_WINDOWS 4096u

static const struct iova_span default_window = { 0x1000, (UINT64_C(1) << 48) - 1 };
static const struct iova_span msi_window = { 0xfee00000, 0xfeefffff };

/* -------------------------------------------------------------------------- windows */

/* Whole frames inside a window; false: there is none. */
static bool frames_inside(const struct iova_live *live, struct iova_span span,
			  struct iova_range *frames)
{
	uint64_t mask = live->mask;
	frames->lo = (span.first >> live->shift) + ((span.first & mask) != 0);
	uint64_t top = (span.last >> live->shift) + ((span.last & mask) == mask);
	/* With granules of a byte the last frame of all is the tree's own. */
	if (top == 0 && span.last == UINT64_MAX)
		top = ANCHOR_PFN;
	frames->hi = top - 1;
	return frames->lo < top;
}

static void sort_spans(const struct iova_span *from, size_t count, struct iova_span *sorted)
{
	for (size_t i = 0; i < count; i++) {
		size_t at = i;
		for (; at > 0 && sorted[at - 1].first > from[i].first; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = from[i];
	}
}

/*
 * The windows, sorted, as frames; how many. What touches or overlaps is one window: a
 * granule may lie in two that meet inside it.
 */
static size_t frames_of_windows(const struct iova_live *live, const struct iova_span *sorted,
				size_t count, struct iova_range *frames)
{
	size_t n = 0;
	for (size_t i = 0; i < count;) {
		struct iova_span window = sorted[i++];
		for (; i < count && (sorted[i].first <= window.last ||
				     sorted[i].first - 1 == window.last);
		     i++)
			if (sorted[i].last > window.last)
				window.last = sorted[i].last;
		n += frames_inside(live, window, &frames[n]);
	}
	return n;
}

/* Everything between the windows, which have gaps between them, and above them. */
static enum iova_status reserve_holes(struct iova_live *live, const struct iova_range *windows,
				      size_t count)
{
	uint64_t next = windows[0].hi + 1;
	for (size_t i = 1; i < count; i++) {
		enum iova_status status = reserve_gaps(live, next, windows[i].lo - 1);
		if (status != IOVA_OK)
			return status;
		next = windows[i].hi + 1;
	}
	if (live->linux_exact || live->top == ANCHOR_PFN)
		return IOVA_OK;
	return reserve_gaps(live, live->top, ANCHOR_PFN - 1);
}

static enum iova_status reserve_spans(struct iova_live *live, const struct iova_span *spans,
				      size_t count)
{
	enum iova_status status = IOVA_OK;
	for (size_t i = 0; i < count && status == IOVA_OK; i++)
		status = iova_live_reserve(live, spans[i].first, spans[i].last);
	return status;
}

static bool spans_are_valid(const struct iova_span *spans, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (spans[i].first > spans[i].last)
			return false;
	return true;
}

static uint64_t highest_of(const struct iova_range *windows, size_t count)
{
	uint64_t highest = 0;
	for (size_t i = 0; i < count; i++)
		if (windows[i].hi > highest)
			highest = windows[i].hi;
	return highest;
}

/* ------------------------------------------------------------------------- the domain */

/*
 * Designs that give every CPU its magazines at once: the short path may enter any cache
 * from now on, so all count as used, for whoever empties, counts or freezes them.
 */
static void mark_furnished_caches_used(struct iova_domain *domain)
{
	if (domain->mechanism.magazines_at_first_use)
		return;
	for (uint32_t cpu = 0; cpu < domain->cpus_possible; cpu++)
		for (uint32_t k = 0; k < domain->classes; k++)
			cpu_cache_of(domain, cpu, k)->used = 1;
}

static enum iova_status make_domain(struct iova_live *live,
				    const struct iova_live_config *config, uint64_t start)
{
	struct iova_lock_hooks locks = live_lock_hooks;
	locks.context = live;
	const struct iova_config inner = {
		.granule = UINT64_C(1) << live->shift,
		.start_pfn = start,
		.cpus_possible = live->cpus,
		.cpus_online = live->cpus,
		.classes = live->classes,
		.design = config->design ? config->design : iova_design_named("linux-7.3"),
		.params = config->params,
		.memory = &live->memory,
		.locks = &locks,
	};
	enum iova_status status = iova_create(&inner, &live->domain);
	if (status != IOVA_OK)
		return status;
	live->domain->live = true;
	if (!live->domain->drain_batch)
		live->domain->drain_batch = LIVE_DRAIN_BATCH;
	live->classes = live->domain->classes; /* the design may want others */
	live->stride = live->classes * sizeof(struct cpu_cache);
	live->kept.bytes = magazine_bytes(live->domain->mechanism.magazine);
	status = iova_make_caches(live->domain);
	if (status == IOVA_OK)
		mark_furnished_caches_used(live->domain);
	return status;
}

static enum iova_status furnish(struct iova_live *live, const struct iova_live_config *config,
				const struct iova_range *windows, size_t count)
{
	uint64_t start = windows[0].lo;
	if (start == 0 && !config->allow_zero)
		start = 1;
	live->top = highest_of(windows, count) + 1;
	live->last = (live->top << live->shift) - 1;
	if (start >= live->top)
		return IOVA_INVALID;
	enum iova_status status = make_domain(live, config, start);
	if (status != IOVA_OK)
		return status;
	live->caches = live->domain->caches;
	map_init(&live->marks, &live->memory);
	flush_queue_init(&live->queue, live->cpus, &live->memory);
	status = reserve_holes(live, windows, count);
	if (status == IOVA_OK && !config->windows)
		status = reserve_spans(live, &msi_window, 1);
	if (status == IOVA_OK)
		status = reserve_spans(live, config->reserved, config->reserved_count);
	/* What is reserved stays so: nothing could ever be handed out. */
	if (status == IOVA_OK && live->reserved.inside == live->top - start)
		status = IOVA_INVALID;
	return status;
}

static enum iova_status furnish_with_windows(struct iova_live *live,
					     const struct iova_live_config *config)
{
	const struct iova_span *windows = config->windows ? config->windows : &default_window;
	size_t count = config->windows ? config->window_count : 1;
	size_t bytes = count * (sizeof(struct iova_range) + sizeof(struct iova_span));
	if (count == 0 || count > MAX_WINDOWS || !spans_are_valid(windows, count) ||
	    !spans_are_valid(config->reserved, config->reserved_count))
		return IOVA_INVALID;
	struct iova_range *frames = memory_get(&live->memory, IOVA_MEMORY_DOMAIN, bytes);
	if (!frames)
		return IOVA_NO_MEMORY;
	struct iova_span *sorted = (struct iova_span *)(frames + count);
	sort_spans(windows, count, sorted);
	size_t n = frames_of_windows(live, sorted, count, frames);
	enum iova_status status = n ? furnish(live, config, frames, n) : IOVA_INVALID;
	memory_put(&live->memory, IOVA_MEMORY_DOMAIN, frames, bytes);
	return status;
}

static void end_live(struct iova_live *live)
{
	struct iova_memory lender = live->lender;
	if (live->domain) {
		flush_queue_fini(&live->queue);
		map_fini(&live->marks);
		reservations_fini(live);
		iova_destroy(live->domain);
		live_drop_kept(live);
	}
	memory_put(&lender, IOVA_MEMORY_DOMAIN, live, sizeof(*live));
}

/* ---------------------------------------------------------------- in the background */

static struct iova_live *live_of(struct reclaimer_member *member)
{
	return (struct iova_live *)(void *)((char *)member - offsetof(struct iova_live, member));
}

uint64_t live_next_due(const struct iova_live *live)
{
	if (is_closed(live))
		return IOVA_NEVER;
	uint64_t job = iova_next_deadline(live->domain), flush = sync_load(&live->flush_due);
	return job < flush ? job : flush;
}

void live_run_due(struct iova_live *live, uint64_t now)
{
	/* Not as often as was missed, if this comes late: each class once, at this time. */
	for (uint32_t k = 0; k < live->classes && !is_closed(live); k++)
		if (iova_class_deadline(live->domain, k) <= now)
			iova_run_class(live->domain, k, now);
	live_drop_kept(live);
	if (!is_closed(live))
		live_flush_old(live, now);
}

static uint64_t member_due(struct reclaimer_member *member)
{
	return live_next_due(live_of(member));
}

static void member_run(struct reclaimer_member *member, uint64_t now)
{
	live_run_due(live_of(member), now);
}

static void member_release(struct reclaimer_member *member)
{
	end_live(live_of(member));
}

static void member_freeze(struct reclaimer_member *member)
{
	live_freeze(live_of(member));
}

static void member_thaw(struct reclaimer_member *member, bool in_child)
{
	live_thaw(live_of(member), in_child);
}

/* --------------------------------------------------------------------- open and close */

static bool config_is_valid(const struct iova_live_config *config)
{
	uint64_t granule = config->granule;
	return (granule & (granule - 1)) == 0 && granule <= IOVA_MAX_GRANULE &&
	       config->classes <= IOVA_MAX_CLASSES && config->cpus <= IOVA_MAX_CPUS;
}

enum iova_status live_open(const struct iova_live_config *config, bool linux_exact,
			   struct iova_live **result)
{
	if (!config_is_valid(config))
		return IOVA_INVALID;
	const struct iova_memory *lender = config->memory ? config->memory : iova_memory_heap();
	struct iova_live *live = memory_get(lender, IOVA_MEMORY_DOMAIN, sizeof(*live));
	if (!live)
		return IOVA_NO_MEMORY;
	memset(live, 0, sizeof(*live));
	live->linux_exact = linux_exact;
	live_set_up_memory(live, lender);
	live->shift = (uint8_t)order_of(config->granule ? config->granule : 4096);
	live->mask = (UINT64_C(1) << live->shift) - 1;
	live->classes = config->classes ? config->classes : IOVA_DEFAULT_CLASSES;
	live->cpus = config->cpus ? config->cpus : platform_cpus();
	live->stride = live->classes * sizeof(struct cpu_cache);
	live->checked = !config->unchecked;
	live->budget = config->budget;
	live->on_flush = config->on_flush;
	live->context = config->context;
	live->flush_due = IOVA_NEVER;
	/* Frame 0 must be told from the rest, in unchecked domains too. */
	live->has_fixed = config->allow_zero;
	enum iova_status status = furnish_with_windows(live, config);
	if (status != IOVA_OK) {
		end_live(live);
		return status;
	}
	live->member = (struct reclaimer_member){
		.due = member_due,
		.run = member_run,
		.release = member_release,
		.freeze = member_freeze,
		.thaw = member_thaw,
	};
	live_use_fronts(live, true);
	live_set_quick(live);
	if (!linux_exact)
		reclaimer_join(&live->member);
	*result = live;
	return IOVA_OK;
}

enum iova_status iova_live_open(const struct iova_live_config *config, iova_live **live)
{
	return live_open(config, false, live);
}

void iova_live_close(iova_live *live)
{
	/* First, so that who was told once that it is closed is told so ever after. */
	sync_exchange(&live->quick_frames, UINT64_C(0));
	sync_exchange(&live->sequence_frames, UINT64_C(0));
	sync_exchange(&live->closed, true);
	live_set_quick(live);
}

bool live_destroy(struct iova_live *live)
{
	iova_live_close(live);
	bool ended = live->linux_exact || reclaimer_leave(&live->member);
	if (ended)
		end_live(live);
	return ended;
}

void iova_live_destroy(iova_live *live)
{
	if (live)
		(void)live_destroy(live);
}
