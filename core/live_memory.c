/* SPDX-License-Identifier: MIT */
/*
 * live_memory - a live domain's memory: what it holds is counted, and a few magazines are
 * kept when they fall empty, for the next CPU that needs one.
 *
 * Every exchange with a depot frees a magazine or makes one, so a domain whose threads
 * hand ranges to one another would go to the heap once in 127 operations. The magazines
 * kept are bounded, and given back when the background thread runs for the domain, as it
 * does after the last push, and when the caches are emptied. (The second list of Bonwick
 * and Adams' depot, "Magazines and Vmem", section 3.1, is the same idea without the bound.)
 */
#include "live.h"

/* 16 KiB: the magazines of 2000 ranges. */
#define KEPT_MOST 16u

static void *lend(struct iova_live *live, enum iova_memory_kind kind, size_t size,
		  size_t alignment)
{
	void *block = live->lender.allocate(live->lender.context, kind, size, alignment);
	if (block)
		count_add(&live->bytes, size);
	return block;
}

static void give_to_lender(struct iova_live *live, enum iova_memory_kind kind, void *block,
			   size_t size)
{
	count_add(&live->bytes, -(uint64_t)size);
	live->lender.release(live->lender.context, kind, block, size);
}

/* ------------------------------------------------------------------- magazines kept */

static struct kept_magazine *take_kept(struct kept_magazines *kept)
{
	if (!peek(&kept->count))
		return NULL;
	spin_acquire(&kept->lock);
	struct kept_magazine *magazine = kept->first;
	if (magazine) {
		kept->first = magazine->next;
		count_up(&kept->count, -1u);
	}
	spin_release(&kept->lock);
	return magazine;
}

static bool keep(struct kept_magazines *kept, struct kept_magazine *magazine)
{
	if (peek(&kept->count) >= KEPT_MOST)
		return false;
	spin_acquire(&kept->lock);
	bool has_room = kept->count < KEPT_MOST;
	if (has_room) {
		magazine->next = kept->first;
		kept->first = magazine;
		count_up(&kept->count, 1u);
	}
	spin_release(&kept->lock);
	return has_room;
}

void live_drop_kept(struct iova_live *live)
{
	struct kept_magazine *magazine;
	while ((magazine = take_kept(&live->kept)) != NULL)
		give_to_lender(live, IOVA_MEMORY_MAGAZINE, magazine, live->kept.bytes);
}

/* ------------------------------------------------------------------ the domain's table */

static void *allocate(void *context, enum iova_memory_kind kind, size_t size, size_t alignment)
{
	struct iova_live *live = context;
	bool can_be_kept = kind == IOVA_MEMORY_MAGAZINE && size == live->kept.bytes;
	void *kept = can_be_kept ? take_kept(&live->kept) : NULL;
	return kept ? kept : lend(live, kind, size, alignment);
}

static void release(void *context, enum iova_memory_kind kind, void *block, size_t size)
{
	struct iova_live *live = context;
	if (kind != IOVA_MEMORY_MAGAZINE || size != live->kept.bytes || !keep(&live->kept, block))
		give_to_lender(live, kind, block, size);
}

static bool admit(void *context)
{
	struct iova_live *live = context;
	return live->lender.admit_range(live->lender.context);
}

/* Tests count magazines and refuse them: those go to the lender and come from it. */
static void *allocate_exactly(void *context, enum iova_memory_kind kind, size_t size,
			      size_t alignment)
{
	return lend(context, kind, size, alignment);
}

static void release_exactly(void *context, enum iova_memory_kind kind, void *block, size_t size)
{
	give_to_lender(context, kind, block, size);
}

void live_set_up_memory(struct iova_live *live, const struct iova_memory *lender)
{
	live->lender = *lender;
	live->memory = (struct iova_memory){
		.allocate = live->linux_exact ? allocate_exactly : allocate,
		.release = live->linux_exact ? release_exactly : release,
		.admit_range = lender->admit_range ? admit : NULL,
		.context = live,
	};
	live->bytes = sizeof(*live);
}
