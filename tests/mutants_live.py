"""Mutants of what live domains are made of; see ``mutants.py``."""

from __future__ import annotations

from mutants import Mutant

TREE_OWN = (
    Mutant(
        "a fixed place is taken if its first frame is free",
        "range_tree.c",
        "test_range_tree_own",
        "\tif (next.lo <= hi) {\n",
        "\tif (next.lo <= lo) {\n",
    ),
    Mutant(
        "a fixed place moves the narrow start",
        "range_tree.c",
        "test_range_tree_own",
        "\t\treturn IOVA_NO_MEMORY;\n\t*result = range;\n\treturn IOVA_OK;\n}\n\n/* The highest",
        "\t\treturn IOVA_NO_MEMORY;\n\t*result = tree->near32 = range;\n"
        "\treturn IOVA_OK;\n}\n\n/* The highest",
    ),
    Mutant(
        "a coarsely aligned request needs a whole block",
        "range_tree.c",
        "test_range_tree_own",
        "\tif (!found)\n\t\tfound = index_find_gap_at_order",
        "\tif (!found && order == 0)\n\t\tfound = index_find_gap_at_order",
    ),
    Mutant(
        "a coarsely aligned request may begin below the start",
        "range_tree.c",
        "test_range_tree_own",
        " &&\n\t\t\tpfn >= tree->start;",
        ";",
    ),
    Mutant(
        "a block below the start counts",
        "range_tree.c",
        "test_range_tree_own",
        " ||\n\t    *pfn < tree->start)",
        ")",
    ),
    Mutant(
        "the highest limit wraps around in an aligned request",
        "range_tree.c",
        "test_range_tree_own",
        "limit < ANCHOR_PFN ? limit + 1 : ANCHOR_PFN;",
        "limit + 1;",
    ),
    Mutant(
        "the walk over all ranges does not end before the anchor",
        "range_tree.c",
        "test_range_tree_own",
        "\tif (range.hi == ANCHOR_PFN)\n\t\treturn false;\n\t*result = range;\n",
        "\t*result = range;\n",
    ),
    Mutant(
        "the search for an aligned place tries one gap",
        "range_index.c",
        "test_range_tree_own",
        "\t\ttop = *pfn + size; /*",
        "\t\treturn false; /*",
    ),
    Mutant(
        "the search for an aligned place skips a multiple",
        "range_index.c",
        "test_range_tree_own",
        "\t\ttop = *pfn + size; /*",
        "\t\ttop = *pfn; /*",
    ),
    Mutant(
        "the longest gap counts what lies below the start",
        "range_index.c",
        "test_range_tree_own",
        "longer(low, gap_start(leaf, path->slot));",
        "gap_start(leaf, path->slot);",
    ),
    Mutant(
        "the longest gap is looked for in one leaf",
        "range_index.c",
        "test_range_tree_own",
        "for (unsigned i = path->at[level] + 1; i < node->count; i++)\n\t\t\tlongest",
        "for (unsigned i = path->at[level] + 1; i < 0 * node->count; i++)\n\t\t\tlongest",
    ),
)

RANGE_MAP = (
    Mutant(
        "who loses the race for a node goes on with its own",
        "range_map.c",
        "test_range_map",
        "\tfree_below(map, branch, level);\n\treturn there;\n",
        "\treturn branch;\n",
    ),
    Mutant(
        "who loses the race for a node keeps its memory",
        "range_map.c",
        "test_range_map",
        "\tfree_below(map, branch, level);\n\treturn there;\n",
        "\treturn there;\n",
    ),
    Mutant(
        "a branch of the map that can not be completed is lost",
        "range_map.c",
        "test_range_map",
        "\t\t\tif (i > level)\n\t\t\t\tunstack(map, below, pfn, i - 1, level);\n",
        "",
    ),
    Mutant(
        "the map grows a level more than it needs",
        "range_map.c",
        "test_range_map",
        "levels_to_cover(old, pfn), top",
        "levels_to_cover(old, pfn) + 1, top",
    ),
    Mutant(
        "the map counts its leaves only",
        "range_map.c",
        "test_range_map",
        "return node_bytes(0) + level * node_bytes(1);",
        "return node_bytes(0) + 0 * level;",
    ),
    Mutant(
        "bytes are found under another prefix",
        "range_map.h",
        "test_range_map",
        "unlikely(!root || (pfn & root->mask) != root->prefix)",
        "unlikely(!root)",
    ),
)

FLUSH_QUEUE = (
    Mutant(
        "a full ring is written to all the same",
        "flush_queue.c",
        "test_flush_queue",
        "bool full = ring_is_full(ring);",
        "bool full = false && ring_is_full(ring);",
    ),
    Mutant(
        "a ring with one slot left refuses",
        "flush_queue.c",
        "test_flush_queue",
        "return slot_after(ring->tail) == ring->head;",
        "return slot_after(slot_after(ring->tail)) == ring->head;",
    ),
    Mutant(
        "a flush that finishes late takes back what a later one covered",
        "flush_queue.c",
        "test_flush_queue",
        "while (finished < ticket && !sync_cas(",
        "while (!sync_cas(",
    ),
    Mutant(
        "a ticket that was never given out is believed",
        "flush_queue.c",
        "test_flush_queue",
        "if (ticket == 0 || ticket > sync_load(&queue->issued))",
        "if (ticket == 0)",
    ),
    Mutant(
        "a range is released before its flush",
        "flush_queue.c",
        "test_flush_queue",
        "ring->slot[ring->head].ticket <= sync_load(&queue->finished)",
        "ring->slot[ring->head].ticket <= sync_load(&queue->finished) + 1",
    ),
    Mutant(
        "collecting writes past the room it was given",
        "flush_queue.c",
        "test_flush_queue",
        "while (n < room && head_is_flushed(queue, ring))",
        "while (n <= room && head_is_flushed(queue, ring))",
    ),
    Mutant(
        "who loses the race for a ring goes on with its own",
        "flush_queue.c",
        "test_flush_queue",
        "\tring_delete(queue, ring); /* another thread was first */\n\treturn there;\n",
        "\treturn ring;\n",
    ),
    Mutant(
        "the refused put does not say which ticket to flush",
        "flush_queue.c",
        "test_flush_queue",
        "\t\t*ticket = sync_load(&queue->issued);\n",
        "\t\t*ticket = sync_load(&queue->finished);\n",
    ),
    Mutant(
        "a thaw unlocks rings that were frozen once",
        "flush_queue.c",
        "test_flush_queue",
        "\t\tring->frozen = false;\n",
        "",
    ),
    Mutant(
        "a child inherits the lock of a ring made during the fork",
        "flush_queue.c",
        "test_flush_queue",
        "\t\tif (in_child)\n\t\t\tsync_store",
        "\t\tif (in_child && was_frozen)\n\t\t\tsync_store",
    ),
)

LIVE = (
    Mutant(
        "a budget is not given back when an allocation fails",
        "live.c",
        "test_live",
        """\
		*address = pfn << live->shift;
	else
		live_budget_release(live);
	return status;
""",
        """\
		*address = pfn << live->shift;
	return status;
""",
    ),
    Mutant(
        "emptying all caches forgets the depots of a live domain",
        "rcache.c",
        "test_live",
        """\
		if (domain->drain_batch)
			drain_depot_briefly(domain, k);
""",
        """\
		if (domain->drain_batch)
			continue;
""",
    ),
    Mutant(
        "caches that were furnished at once do not count as used",
        "live_open.c",
        "test_live",
        "\t\tmark_furnished_caches_used(live->domain);\n",
        "\t\t(void)mark_furnished_caches_used;\n",
    ),
    Mutant(
        "a request fails where Linux would not have searched",
        "live.c",
        "test_live_limits",
        "if (wanted->align || live->linux_exact || wanted->order >= 63)",
        "if (wanted->order < 64)",
    ),
    Mutant(
        "frame 0 gets into a cache",
        "live.c",
        "test_live_limits",
        "*pfn ? class_of(live, wanted) : MARK_EXACT",
        "class_of(live, wanted)",
    ),
    Mutant(
        "a limit inside a frame lets the frame through",
        "live.h",
        "test_live_limits",
        "return (limit >> live->shift) + ((limit & live->mask) == live->mask);",
        "return (limit >> live->shift) + 1;",
    ),
    Mutant(
        "an aligned request is served from a cache",
        "live.c",
        "test_live_limits",
        "if (wanted->order >= live->classes || wanted->align)",
        "if (wanted->order >= live->classes)",
    ),
    Mutant(
        "a free is checked and then carried out",
        "live_fast.h",
        "test_live_frees",
        "return likely(mark && sync_cas(mark, &owned, (uint8_t)MARK_FREE));",
        "sync_store(mark, (uint8_t)MARK_FREE);\n\treturn mark && owned;",
    ),
    Mutant(
        "frees compare no sizes",
        "live.c",
        "test_live_frees",
        "return stated == 0 || stated == pages || rounded_size(live->domain, stated) == pages;",
        "return true;",
    ),
    Mutant(
        "a mark of times gone by is taken for a free range's",
        "live.c",
        "test_live_frees",
        "return mark == MARK_NONE || is_inside ?",
        "return mark == MARK_NONE ?",
    ),
    Mutant(
        "an unchecked domain forgets that there are fixed ranges",
        "live_place.c",
        "test_live_frees",
        "\tsync_store(&live->has_fixed, true);\n",
        "",
    ),
    Mutant(
        "a fixed range is marked before its place is taken",
        "live_place.c",
        "test_live_place",
        """\
	enum iova_status status =
		mark ? place(live, lo, lo + pages - 1) : IOVA_NO_MEMORY;
""",
        """\
	if (mark)
		sync_store(mark, (uint8_t)(MARK_LIVE | MARK_EXACT));
	enum iova_status status =
		mark ? place(live, lo, lo + pages - 1) : IOVA_NO_MEMORY;
""",
    ),
    Mutant(
        "a fixed address is refused while a cache holds it",
        "live_place.c",
        "test_live_place",
        "\tunlock_tree(live);\n\t(void)iova_live_flush_caches(live);\n\tlock_tree(live);\n",
        "",
    ),
    Mutant(
        "a window that ends inside an earlier one cuts it short",
        "live_open.c",
        "test_live_place",
        "if (sorted[i].last > window.last)",
        "if (sorted[i].last)",
    ),
    Mutant(
        "a reservation is put in front of its neighbours",
        "live_place.c",
        "test_live_place",
        "\tsize_t at = first_not_below(reserved, lo);\n\tmemmove",
        "\tsize_t at = 0;\n\tmemmove",
    ),
    Mutant(
        "a deferred range is released by the flush before its own",
        "flush_queue.c",
        "test_live_defer",
        "ring->slot[ring->head].ticket <= sync_load(&queue->finished);",
        "ring->slot[ring->head].ticket <= sync_load(&queue->finished) + 1;",
    ),
    Mutant(
        "a deferred free that grows old asks for no flush",
        "live_defer.c",
        "test_live_defer",
        "now - queued > IOVA_FLUSH_AGE_NS;",
        "now - queued > 1000 * IOVA_FLUSH_AGE_NS;",
    ),
    Mutant(
        "a range that could not be deferred is nobody's",
        "live_defer.c",
        "test_live_defer",
        "\tgive_back_to_owner(live, pfn, size_class);\n",
        "\t(void)give_back_to_owner;\n",
    ),
    Mutant(
        "a flush that failed counts as done",
        "live_defer.c",
        "test_live_defer",
        "\tif (!live->on_flush(live->context))\n\t\treturn false;\n",
        "\t(void)live->on_flush(live->context);\n",
    ),
    Mutant(
        "a flush covers what was deferred while it ran",
        "live_defer.c",
        "test_live_defer",
        "\tif (ticket)\n\t\t(void)flush_queue_finish(&live->queue, ticket);\n",
        "\tticket = sync_load(&live->queue.issued);\n"
        "\tif (ticket)\n\t\t(void)flush_queue_finish(&live->queue, ticket);\n",
    ),
    Mutant(
        "a deferred range counts against the budget for ever",
        "live_defer.c",
        "test_live_defer",
        "\tif (status == IOVA_OK) {\n\t\tlive_budget_release(live);\n",
        "\tif (status == IOVA_OK) {\n",
    ),
    Mutant(
        "a batch frees what lies between granules",
        "live_many.c",
        "test_live_many",
        "\t\tif (addresses[i] & live->mask)\n\t\t\treturn i;\n",
        "",
    ),
    Mutant(
        "a batch that fails keeps what it took",
        "live_many.c",
        "test_live_many",
        "\t\t\tgive_all_back(live, addresses, done, size);\n",
        "\t\t\t(void)give_all_back;\n",
    ),
    Mutant(
        "a batch takes a magazine from the bottom",
        "live_many.c",
        "test_live_many",
        "out[i] = *(top - i) << shift;",
        "out[i] = *(top - (n - 1) + i) << shift;",
    ),
    Mutant(
        "a range without a mark stays in the tree",
        "live.c",
        "test_live_faults",
        "\t\tiova_free_raw(live->domain, pfn);\n\t\treturn IOVA_NO_MEMORY;\n",
        "\t\treturn IOVA_NO_MEMORY;\n",
    ),
    Mutant(
        "a free that finds no memory for a magazine is lost",
        "live.c",
        "test_live_faults",
        "\tif (!put_into_cache(live, cpu, pfn, size_class))\n",
        "\tif (!put_into_cache(live, cpu, pfn, size_class) && size_class >= live->classes)\n",
    ),
    Mutant(
        "a child forgets what was due",
        "live_lock.c",
        "test_live_fork",
        "\tif (in_child)\n\t\tnote_what_is_due(live);\n",
        "\t(void)note_what_is_due;\n",
    ),
    Mutant(
        "a domain goes while the background thread is in it",
        "platform.c",
        "test_live_background",
        "bool is_running = reclaimer.running == member;",
        "bool is_running = false;",
    ),
    Mutant(
        "what is due in a closed domain is done",
        "live_open.c",
        "test_live_background",
        "k < live->classes && !is_closed(live); k++)",
        "k < live->classes; k++)",
    ),
    Mutant(
        "the background thread never forgets that a flush was due",
        "live_defer.c",
        "test_live_defer",
        "\tsync_exchange(&live->flush_due, IOVA_NEVER);\n",
        "",
    ),
    Mutant(
        "the short path does not see that a domain was closed",
        "live_open.c",
        "test_live_threads",
        """\
	sync_exchange(&live->quick_frames, UINT64_C(0));
	sync_exchange(&live->sequence_frames, UINT64_C(0));
	sync_exchange(&live->closed, true);
	live_set_quick(live);
""",
        "\tsync_exchange(&live->closed, true);\n",
    ),
    Mutant(
        "a CPU without a cache uses one beyond the last",
        "live.c",
        "test_live_threads",
        "\t\tif (cpu >= live->cpus)\n\t\t\tcpu %= live->cpus;\n",
        "",
    ),
    Mutant(
        "an aligned request does not empty the caches",
        "live.c",
        "test_live_model",
        """\
	if (unlikely(status != IOVA_OK)) {
		live_flush_all(live);
		status = cut_from_tree(live, wanted, &range);
	}
""",
        """\
	if (unlikely(status != IOVA_OK) && !wanted->align) {
		live_flush_all(live);
		status = cut_from_tree(live, wanted, &range);
	}
""",
    ),
    Mutant(
        "figures count the room below the windows' start",
        "live_place.c",
        "test_live_model",
        "uint64_t window_pages = live->top - live->domain->tree.start;",
        "uint64_t window_pages = live->top;",
    ),
    Mutant(
        "an allocation past the caches is told twice",
        "live.c",
        "test_live_record",
        "\t\trecord(live, event);\n\treturn event.status;",
        "\t\trecord(live, event), record(live, event);\n\treturn event.status;",
    ),
    Mutant(
        "a recorder that goes opens a closed domain",
        "live.c",
        "test_live_record",
        "bool quick = !is_closed(live) && live->budget == 0 && !sync_load(&live->recorder);\n"
        "\tuint64_t frames = quick ? UINT64_C(1) << (live->classes - 1) : 0;\n"
        "\tsync_exchange(&live->quick_frames, frames);\n"
        "\tsync_exchange(&live->sequence_frames, live->has_fronts ? frames : 0);\n"
        "\t/* Closed meanwhile: whichever of the two comes last finds it closed. */\n"
        "\tif (is_closed(live)) {\n",
        "bool quick = live->budget == 0 && !sync_load(&live->recorder);\n"
        "\tuint64_t frames = quick ? UINT64_C(1) << (live->classes - 1) : 0;\n"
        "\tsync_exchange(&live->quick_frames, frames);\n"
        "\tsync_exchange(&live->sequence_frames, live->has_fronts ? frames : 0);\n"
        "\tif (!live->closed) {\n",
    ),
    Mutant(
        "emptied magazines are kept when the caches are flushed",
        "live.c",
        "test_live_place",
        "\tlive_drop_kept(live);\n",
        "",
    ),
)

# Mistakes around restartable sequences. Where the kernel
# or the C library has none, nothing can notice them (the programs then say so).
SEQUENCES = (
    Mutant(
        "a sequence stores where it can not be aborted any more",
        "rseq.h",
        "test_rseq",
        "2f - 1f, 4f",
        "2f - 1f - 8, 4f",
    ),
    Mutant(
        "a sequence learns its CPU before it can be aborted",
        "rseq.h",
        "test_rseq",
        ".quad 1f, 2f - 1f, 4f",
        ".quad 1f + 8, 2f - 1f - 8, 4f",
    ),
    Mutant(
        "what a front counted is not written back",
        "live_front.c",
        "test_rseq",
        "\tfront_write_back(cache, sync_load(&cache->front));\n",
        "",
    ),
    Mutant(
        "who visits a cache from elsewhere leaves its front open",
        "live_front.h",
        "test_rseq",
        " && rseq_cpu(&live->site) == cpu)",
        ")",
    ),
    Mutant(
        "sequences go on during a fork",
        "live_lock.c",
        "test_rseq",
        "\tlive_shut_fronts(live);\n",
        "\tlive->shutters += live->has_fronts;\n",
    ),
    Mutant(
        "a child waits for a thread of the parent to open its fronts",
        "live_lock.c",
        "test_rseq",
        "\t\tlive->shutters = 1;",
        "\t\tlive->shutters += 0;",
    ),
    Mutant(
        "a front of another CPU is closed without a barrier",
        "live_front.c",
        "test_rseq_threads",
        "\t\trseq_abort_on(cpu);\n",
        "\t\t(void)cpu;\n",
    ),
    Mutant(
        "all fronts are shut without a barrier",
        "live_front.c",
        "test_rseq_threads",
        "\t\trseq_abort_on(RSEQ_ALL_CPUS);\n",
        "",
    ),
    Mutant(
        "fronts count as shut while sequences may begin",
        "live_front.c",
        "test_rseq_threads",
        "\t\tset_site(live);\n\t\trseq_abort_on(RSEQ_ALL_CPUS);\n",
        "\t\tsync_store(&live->fronts_shut, true);\n\t\trseq_abort_on(RSEQ_ALL_CPUS);\n"
        "\t\tset_site(live);\n",
    ),
    Mutant(
        "any CPU counts as the own one",
        "live_front.c",
        "test_rseq_threads",
        "rseq_cpu(&live->site) == cpu || ",
        "rseq_cpu(&live->site) < live->cpus || ",
    ),
    Mutant(
        "a sequence does not look at the lock",
        "rseq.h",
        "test_rseq_threads",
        '"cmpl $0, %c[lock](%[cache])\\n\\t"',
        '"cmpl %k[cache], %k[cache]\\n\\t"',
    ),
)

LIVE_MUTANTS = (*TREE_OWN, *RANGE_MAP, *FLUSH_QUEUE, *LIVE, *SEQUENCES)
