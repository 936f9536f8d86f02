"""Mutants of the C core: one small, plausible mistake each, and the C test that must notice it.

A mutant's ``old`` text stands exactly once in its file, so a change of the core that moves or
rewrites the place makes the mutant's test fail until the mutant is brought up to date. ``file`` is
relative to ``core/``; ``killer`` names a program of ``tests/core``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A mistake, and who finds it."""

    name: str
    file: str
    killer: str
    old: str
    new: str


#: The four that the discussion of August 2023 is about.
DISCUSSED = (
    Mutant(
        "teardown pops from an empty depot",
        "rcache.c",
        "test_teardown",
        """\
		struct magazine *magazine;
		while ((magazine = depot_pop(&domain->rcache[k].depot)) != NULL)
			magazine_delete(domain, k, magazine);
""",
        """\
		struct depot *depot = &domain->rcache[k].depot;
		do {
			struct magazine *magazine = link_magazine(depot->head);
			magazine->capacity = link_capacity(depot->head);
			depot->head = magazine->link;
			magazine_delete(domain, k, magazine);
		} while (depot->head);
""",
    ),
    Mutant(
        "flushing all caches pops from an empty depot",
        "rcache.c",
        "test_teardown",
        """\
	while ((magazine = depot_pop(&domain->rcache[size_class].depot)) != NULL) {
		magazine_drain(domain, size_class, magazine);
		magazine_delete(domain, size_class, magazine);
	}
""",
        """\
		struct depot *depot = &domain->rcache[size_class].depot;
		do {
			magazine = link_magazine(depot->head);
			magazine->capacity = link_capacity(depot->head);
			depot->head = magazine->link;
			magazine->count = magazine->capacity;
			depot->length--;
			magazine_drain(domain, size_class, magazine);
			magazine_delete(domain, size_class, magazine);
		} while (depot->head);
""",
    ),
    Mutant(
        "the job waits longer after a run than after a push",
        "policy/linux_6_12.c",
        "test_jobs",
        "decision->again_ns = values[RECLAIM_DELAY] * NS_PER_MS;",
        "decision->again_ns = values[RECLAIM_DELAY] * NS_PER_MS * 2;",
    ),
    Mutant(
        "a popped magazine's link is read as its count",
        "depot.h",
        "test_magazine",
        "\tmagazine->count = magazine->capacity;\n",
        "",
    ),
)

TREE = (
    Mutant(
        "a removal above the narrow start does not move it up",
        "range_tree.c",
        "test_range_tree",
        "(range.hi == tree->near32.hi || (range.hi < tree->d32 && range.lo >= tree->near32.lo))",
        "(range.hi == tree->near32.hi)",
    ),
    Mutant(
        "a removal above the wide start does not move it up",
        "range_tree.c",
        "test_range_tree",
        "if (range.lo >= tree->near.lo)",
        "if (range.lo == tree->near.lo)",
    ),
    Mutant(
        "the size that failed is never forgotten",
        "range_tree.c",
        "test_range_tree",
        "\t\ttree->give_up = tree->d32;\n",
        "\t\ttree->give_up = tree->give_up;\n",
    ),
    Mutant(
        "the size that failed is not remembered",
        "range_tree.c",
        "test_range_tree",
        "\t\ttree->give_up = size;\n",
        "",
    ),
    Mutant(
        "the second pass is dropped",
        "range_tree.c",
        "test_range_tree",
        "if (retry >= top)",
        "if (retry + 1 > 0 || retry >= top)",
    ),
    Mutant(
        "the limit decides which start moves, not the range",
        "range_tree.c",
        "test_range_tree",
        "if (range.hi < tree->d32)\n\t\ttree->near32 = range;",
        "if (top <= tree->d32)\n\t\ttree->near32 = range;",
    ),
    Mutant(
        "a reservation leaves the narrow start where it was",
        "range_tree.c",
        "test_range_tree",
        "\tif (tree->near32.hi == hi)\n\t\ttree->near32.lo = lo;\n",
        "",
    ),
    Mutant(
        "one step too few is counted",
        "range_tree.c",
        "test_range_tree",
        "from - index_rank(index, path) + 1;",
        "from - index_rank(index, path);",
    ),
    Mutant(
        "the second pass of a narrow request is counted from the anchor",
        "range_tree.c",
        "test_range_tree",
        "if (!is32 || !tree->count_steps)",
        "if (true || !is32)",
    ),
    Mutant(
        "a reservation ends at the first range it meets",
        "range_tree.c",
        "test_range_tree",
        "\t\tif (hi <= r.hi) {",
        "\t\tif (hi <= r.hi || lo > r.lo) {",
    ),
)

INDEX = (
    Mutant(
        "a gap's figures stay when a range grows into it",
        "range_index_change.c",
        "test_range_index",
        "\tnote_gap(leaf, slot);\n\tgap_shrank(index, path, was);\n",
        "\tnote_gap(leaf, slot);\n\t(void)was;\n",
    ),
    Mutant(
        "a gap's figures stay when a range is removed",
        "range_index_change.c",
        "test_range_index",
        "\t\tgap_grew(index, path, gap_figures(a, leaf->lo[slot]));\n",
        "\t\t(void)a;\n",
    ),
    Mutant(
        "the next leaf is not told where its first gap begins now",
        "range_index_change.c",
        "test_range_index",
        "\tnext.leaf->floor = a;\n",
        "",
    ),
    Mutant(
        "a merge forgets where the lower leaf's first gap began",
        "range_index_change.c",
        "test_range_index",
        "\thigh->floor = low->floor;\n",
        "",
    ),
    Mutant(
        "a merge forgets which of the lower leaf's ranges have a gap below",
        "range_index_change.c",
        "test_range_index",
        "high->gaps = high->gaps >> low->count | low->gaps;",
        "high->gaps = high->gaps >> low->count;",
    ),
    Mutant(
        "the range above a removed one is not marked in the next leaf",
        "range_index_change.c",
        "test_range_index",
        "\tnext.leaf->gaps |= gap_bit(0);\n",
        "",
    ),
    Mutant(
        "a split leaves the upper leaf's first gap too long",
        "range_index_change.c",
        "test_range_index",
        "\tleaf->floor = low->hi[low->count - 1] + 1;\n",
        "",
    ),
    Mutant(
        "room below the coarsest boundary in a gap is overlooked",
        "range_index_inner.h",
        "test_range_index",
        "return above > below ? above : below;",
        "return above + 0 * below;",
    ),
    Mutant(
        "an insert that finds no memory keeps what it got",
        "range_index_change.c",
        "test_range_index",
        "\tif (failed)\n\t\tspare_release(index, spare);\n",
        "",
    ),
    Mutant(
        "a merge forgets the lower child's gaps",
        "range_index_change.c",
        "test_range_index",
        "\tif (node->best[at] > node->best[at + 1])\n\t\tnode->best[at + 1] = node->best[at];\n",
        "",
    ),
    Mutant(
        "a root with one child stays",
        "range_index_change.c",
        "test_range_index",
        "\t\tif (root->count > 1)\n\t\t\treturn;\n\t\tindex->root = root->child[0];",
        "\t\tif (root->count > 0)\n\t\t\treturn;\n\t\tindex->root = root->child[0];",
    ),
)

CHECK = (
    Mutant(
        "the check does not look where a leaf's first gap begins",
        "range_index_check.c",
        "test_check",
        "if (leaf->floor != s->floor)",
        "if (leaf->floor > UINT64_MAX - 1)",
    ),
    Mutant(
        "the check does not look whether a range is cached twice",
        "statistics.c",
        "test_check",
        "if (i > 0 && list->pfn[i] == list->pfn[i - 1])",
        "if (i > list->count)",
    ),
)

CACHES = (
    Mutant(
        "previous is used before loaded",
        "rcache_fast.h",
        "test_rcache",
        "magazine_take_top(cache->loaded, cap);",
        """\
magazine_take_top(
			magazine_has_entries(cache->previous) ? cache->previous : cache->loaded, cap);""",
    ),
    Mutant(
        "the depot is first in, first out",
        "depot.h",
        "test_rcache",
        """\
	uintptr_t link = *head;
	struct magazine *magazine = link_magazine(link);
	if (!magazine)
		return NULL;
	*head = magazine->link;
""",
        """\
	uintptr_t link = *head;
	if (!link)
		return NULL;
	while (link_magazine(link)->link) {
		head = &link_magazine(link)->link;
		link = *head;
	}
	struct magazine *magazine = link_magazine(link);
	*head = 0;
""",
    ),
    Mutant(
        "a magazine is full one entry early",
        "magazine.h",
        "test_magazine",
        "magazine->count < magazine->capacity;",
        "magazine->count + 1 < magazine->capacity;",
    ),
    Mutant(
        "an entry at the limit is not taken",
        "magazine.h",
        "test_rcache",
        "magazine->pfn[i] > cap",
        "magazine->pfn[i] >= cap",
    ),
    Mutant(
        "a range that ends at the limit counts as above it",
        "rcache_fast.h",
        "test_rcache",
        "return limit + 1 - size;",
        "return limit - size;",
    ),
    Mutant(
        "the top entry does not fill the place of the one taken",
        "magazine.h",
        "test_rcache",
        "\tmagazine->pfn[i] = magazine->pfn[top];\n",
        "",
    ),
    Mutant(
        "a surplus magazine is freed with its ranges in it",
        "rcache.c",
        "test_rcache",
        "\t\tmagazine_drain(domain, size_class, surplus);\n",
        "",
    ),
    Mutant(
        "the fixed depot takes one magazine too many",
        "rcache.c",
        "test_rcache",
        "\tif (rcache->depot.length < domain->mechanism.depot_max) {\n"
        "\t\tdepot_push(&rcache->depot, full);",
        "\tif (rcache->depot.length <= domain->mechanism.depot_max) {\n"
        "\t\tdepot_push(&rcache->depot, full);",
    ),
    Mutant(
        "a first full magazine goes to the depot although previous is missing",
        "rcache.c",
        "test_rcache",
        "if (cache->loaded && !cache->previous)",
        "if (false && cache->loaded)",
    ),
    Mutant(
        "the empty magazine is not freed when one is taken from the depot",
        "rcache.c",
        "test_rcache",
        "\tmagazine_delete(domain, size_class, empty);\n\tset_loaded(cache, full);\n",
        "\tset_loaded(cache, full);\n",
    ),
    Mutant(
        "caches that can not be made stay half made",
        "rcache.c",
        "test_teardown",
        "\trcache_destroy(domain);\n\treturn IOVA_NO_MEMORY;\n",
        "\treturn IOVA_NO_MEMORY;\n",
    ),
    Mutant(
        "a new magazine's count is taken as it comes from the allocator",
        "rcache.c",
        "test_rcache",
        "\tmagazine->count = 0;\n\tmagazine->capacity = capacity;\n",
        "\tmagazine->capacity = capacity;\n",
    ),
    Mutant(
        "a free that could not be cached is dropped",
        "domain.c",
        "test_faults",
        """\
	(void)iova_free_raw(domain, pfn); /* an unknown pfn is ignored, as in Linux */
""",
        """\

""",
    ),
    Mutant(
        "a flush also empties CPUs that are offline",
        "domain.c",
        "test_caches",
        "\t\tif (cpu_is_online(domain, cpu))\n\t\t\trcache_drain_cpu(domain, cpu);\n",
        "\t\trcache_drain_cpu(domain, cpu);\n",
    ),
    Mutant(
        "a CPU goes offline with its ranges",
        "domain.c",
        "test_caches",
        "\t\trcache_drain_cpu(domain, cpu);\n\t\tend_drain(domain);\n\t}\n\treturn online;",
        "\t\tend_drain(domain);\n\t}\n\treturn online;",
    ),
    Mutant(
        "a partial magazine that is trimmed goes to the depot",
        "rcache.c",
        "test_jobs",
        "\tif (!magazine_has_room(magazine)) {\n\t\tbool pushed",
        "\tif (magazine->count <= magazine->capacity) {\n\t\tbool pushed",
    ),
)

JOBS = (
    Mutant(
        "a decision's keep is ignored",
        "job.c",
        "test_jobs",
        "depot->length > keep ? depot_pop(depot) : NULL;",
        "depot->length > keep * 0 ? depot_pop(depot) : NULL;",
    ),
    Mutant(
        "a push moves the time of an armed job",
        "job.c",
        "test_jobs",
        "sync_load(&job->due) != IOVA_NEVER || !sync_cas(&job->due, &never, due)",
        "!sync_cas(&job->due, &never, due) && !sync_cas(&job->due, &never, due)",
    ),
    Mutant(
        "the depot shrinks below the number of CPUs online",
        "policy/linux_6_12.c",
        "test_jobs",
        "\tdecision->keep = threshold;\n",
        "\tdecision->keep = threshold - 1;\n",
    ),
    Mutant(
        "the job goes on when the depot has reached the threshold",
        "policy/linux_6_12.c",
        "test_jobs",
        "if (view->depot <= threshold)",
        "if (view->depot < threshold)",
    ),
    Mutant(
        "CPUs that are offline count for the threshold",
        "policy/linux_6_12.c",
        "test_jobs",
        "threshold = view->cpus_online;",
        "threshold = view->cpus_possible;",
    ),
    Mutant(
        "jobs due at once run in the order of their classes",
        "job.c",
        "test_jobs",
        "peek(&domain->rcache[k].job.order) > peek(&domain->rcache[next].job.order)",
        "k > next",
    ),
    Mutant(
        "a late run counts its next wait from now",
        "job.c",
        "test_jobs",
        "\t\t\trun(domain, k, due);\n",
        "\t\t\trun(domain, k, now);\n",
    ),
)

LOCKS = (
    Mutant(
        "a surplus magazine is emptied under the CPU's lock",
        "rcache.c",
        "test_locks",
        """\
	if (!domain->live)
		unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
	if (surplus) {
		magazine_drain(domain, size_class, surplus);
		magazine_delete(domain, size_class, surplus);
	}
	if (domain->live)
		unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
""",
        """\
	if (surplus) {
		magazine_drain(domain, size_class, surplus);
		magazine_delete(domain, size_class, surplus);
	}
	unlock(domain, IOVA_LOCK_CPU, cpu, size_class);
""",
    ),
    Mutant(
        "a depot's lock is kept when it is empty",
        "rcache.c",
        "test_locks",
        "\tunlock(domain, IOVA_LOCK_DEPOT, cpu, size_class);\n\treturn magazine;\n",
        "\tif (magazine)\n\t\tunlock(domain, IOVA_LOCK_DEPOT, cpu, size_class);\n"
        "\treturn magazine;\n",
    ),
    Mutant(
        "a look-up takes no lock",
        "domain.c",
        "test_locks",
        """\
	lock(domain, IOVA_LOCK_TREE, 0, 0);
	bool found = tree_find(&domain->tree, pfn, result);
	unlock(domain, IOVA_LOCK_TREE, 0, 0);
""",
        """\
	bool found = tree_find(&domain->tree, pfn, result);
""",
    ),
)

MECHANISMS = (
    Mutant(
        "who bails empties a magazine all the same",
        "rcache.c",
        "test_mechanisms",
        "\tif (must_bail(domain, cpu, size_class))\n\t\treturn false;\n",
        "\t(void)must_bail;\n",
    ),
    Mutant(
        "the list of empty magazines has no bound",
        "rcache.c",
        "test_mechanisms",
        "rcache->depot.empties < domain->mechanism.empties_max && *empty",
        "domain->mechanism.empties_max && *empty",
    ),
    Mutant(
        "a decision on the magazines' capacity is ignored",
        "job.c",
        "test_mechanisms",
        "\tif (magazine_can_hold(decision->magazine))\n",
        "\tif (magazine_can_hold(decision->magazine) && decision->magazine < 0)\n",
    ),
    Mutant(
        "a popped magazine has the capacity of those made now",
        "depot.h",
        "test_magazine",
        "\tmagazine->capacity = link_capacity(link);\n",
        "\tmagazine->capacity = IOVA_MAGAZINE_CAPACITY;\n",
    ),
    Mutant(
        "a new magazine does not arm the job",
        "job.c",
        "test_mechanisms",
        "\tuint64_t delay = domain->mechanism.arm_delay_ns;\n",
        "\tuint64_t delay = 0;\n",
    ),
    Mutant(
        "the state of CPUs overlaps that of the class",
        "domain.c",
        "test_mechanisms",
        "rcache->cpu_state = state + round_up_64(domain->design->state_size);",
        "rcache->cpu_state = state;",
    ),
)

REPLAY = (
    Mutant(
        "a slot outlives its domain",
        "replay.c",
        "test_replay",
        "slot->pfn != NO_PFN && slot->epoch == r->domains[slot->domain].epoch;",
        "slot->pfn != NO_PFN;",
    ),
    Mutant(
        "a job runs after a sample of the same time",
        "replay_time.c",
        "test_replay_time",
        "r->next_due <= r->next_sample",
        "r->next_due < r->next_sample",
    ),
    Mutant(
        "time with nothing done adds nothing to the integrals",
        "replay_inner.h",
        "test_replay_time",
        "r->cached_past += (page_time)pages * (uint64_t)r->now;",
        "(void)r;",
    ),
    Mutant(
        "reserved pages count as cached",
        "replay_domains.c",
        "test_replay_time",
        "\td->outside += d->core->tree.index.pages - before;\n",
        "\t(void)before;\n",
    ),
    Mutant(
        "an allocation meant for a failure is always done",
        "replay.c",
        "test_replay",
        "(e->flags[i] & FLAG_ONLY_IF_PREVIOUS_FAILED) && !r->previous_failed",
        "false",
    ),
)

MUTANTS = (*DISCUSSED, *TREE, *INDEX, *CHECK, *CACHES, *JOBS, *LOCKS, *MECHANISMS, *REPLAY)
