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

LIVE_MUTANTS = (*TREE_OWN, *RANGE_MAP, *FLUSH_QUEUE)
