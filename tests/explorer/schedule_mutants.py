"""Mutants of the core that only some schedules show, and the scenario that must show each.

``killer`` names a scenario of the explorer; otherwise as ``tests/mutants.py``.
"""

from __future__ import annotations

from dataclasses import replace

from mutants import DISCUSSED, Mutant

#: What the explorer is there to find first of all.
NAMED = (
    replace(DISCUSSED[0], killer="teardown"),
    Mutant(
        "flushing all caches pops from an empty depot",
        "rcache.c",
        "flush",
        """\
	while ((magazine = job_take(domain, size_class, 0)) != NULL) {
""",
        """\
	struct depot *depot = &domain->rcache[size_class].depot;
	for (bool more = true; more; more = depot->length > 0) {
		lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
		magazine = link_magazine(depot->head);
		depot->head = magazine->link;
		magazine->count = magazine->capacity = IOVA_MAGAZINE_CAPACITY;
		depot->length--;
		unlock(domain, IOVA_LOCK_DEPOT, 0, size_class);
""",
    ),
    Mutant(
        "a trim takes the CPU's lock before the drain lock",
        "rcache.c",
        "trim",
        """\
	begin_drain(domain);
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	struct magazine *loaded = cache->loaded, *previous = cache->previous;
""",
        """\
	lock(domain, IOVA_LOCK_CPU, cpu, size_class);
	begin_drain(domain);
	struct magazine *loaded = cache->loaded, *previous = cache->previous;
""",
    ),
    Mutant(
        "the job counts the depot's magazines before it locks the depot",
        "job.c",
        "reclaim",
        """\
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	struct magazine *magazine = depot->length > keep ? depot_pop(depot) : NULL;
""",
        """\
	bool enough = depot->length > keep;
	lock(domain, IOVA_LOCK_DEPOT, 0, size_class);
	struct magazine *magazine = enough ? depot_pop(depot) : NULL;
""",
    ),
    Mutant(
        "a deferred free looks at the mark and then sets it",
        "live.c",
        "two-defers",
        """\
	} while (!sync_cas(mark, &seen, (uint8_t)(to | *size_class)));
""",
        """\
	} while (false);
	sync_store(mark, (uint8_t)(to | *size_class));
""",
    ),
)

OTHERS = (
    Mutant(
        "a deferred free looks for a free slot and then locks the ring",
        "flush_queue.c",
        "queue-full",
        """\
	mutex_acquire(&ring->lock);
	bool full = ring_is_full(ring);
""",
        """\
	bool full = ring_is_full(ring);
	mutex_acquire(&ring->lock);
""",
    ),
    Mutant(
        "the report of an earlier flush overwrites that of a later one",
        "flush_queue.c",
        "queue-one-ring",
        "	while (finished < ticket && !sync_cas(&queue->finished, &finished, ticket))\n		;",
        "	if (finished < ticket)\n		sync_store(&queue->finished, ticket);",
    ),
    Mutant(
        "a free looks at the mark and then sets it",
        "live_fast.h",
        "double-free",
        "sync_cas(mark, &owned, (uint8_t)MARK_FREE)",
        "sync_load(mark) == owned && (sync_store(mark, (uint8_t)MARK_FREE), true)",
    ),
    Mutant(
        "the job tells nobody that it has ranges in its hand",
        "job.c",
        "exhausted-reclaim",
        """\
	begin_drain(domain);
	struct magazine *magazine = job_take(domain, size_class, keep);
	if (magazine)
		job_finish(domain, size_class, magazine);
	end_drain(domain);
""",
        """\
	struct magazine *magazine = job_take(domain, size_class, keep);
	if (magazine)
		job_finish(domain, size_class, magazine);
""",
    ),
    Mutant(
        "the earliest due time is looked for and then written",
        "job.c",
        "reclaim",
        """\
	sync_exchange(&domain->earliest, IOVA_NEVER);
	if (next_job(domain, &due) < domain->classes)
		note_due(domain, due);
""",
        """\
	(void)next_job(domain, &due);
	sync_exchange(&domain->earliest, due);
""",
    ),
    Mutant(
        "close leaves the short path open",
        "live_open.c",
        "close",
        """\
	sync_exchange(&live->quick_frames, UINT64_C(0));
	sync_exchange(&live->sequence_frames, UINT64_C(0));
	sync_exchange(&live->closed, true);
	live_set_quick(live);
""",
        """\
	sync_exchange(&live->closed, true);
""",
    ),
    Mutant(
        "the short path is opened again by who did not see the close",
        "live.c",
        "close-recorded",
        "	if (is_closed(live)) {\n		sync_exchange(",
        "	if (false) {\n		sync_exchange(",
    ),
    Mutant(
        "a refused request counts against the budget for a moment",
        "live.c",
        "budget",
        """\
	while (taken < live->budget)
		if (sync_cas(&live->budgeted, &taken, taken + 1))
			return true;
	return false;
""",
        """\
	taken = sync_add(&live->budgeted, 1u);
	if (taken < live->budget)
		return true;
	sync_sub(&live->budgeted, 1u);
	return false;
""",
    ),
    Mutant(
        "a range is collected before its flush is known to be done",
        "flush_queue.c",
        "defer-alloc",
        "ring->slot[ring->head].ticket <= sync_load(&queue->finished)",
        "ring->slot[ring->head].ticket <= sync_load(&queue->finished) + 1",
    ),
)

MUTANTS = NAMED + OTHERS
