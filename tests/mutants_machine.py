"""Mutants of the simulated machine; see ``mutants.py``."""

from __future__ import annotations

from mutants import Mutant

RING = (
    Mutant(
        "a full ring has one slot more",
        "linux_ring.h",
        "test_linux_ring",
        "return ((ring->tail + 1) & (ring->slots - 1)) == ring->head;",
        "return ((ring->tail + 2) & (ring->slots - 1)) == ring->head;",
    ),
    Mutant(
        "an entry goes with a flush that began before it was queued",
        "linux_ring.h",
        "test_linux_ring",
        "started < finished",
        "started <= finished",
    ),
    Mutant(
        "a full ring loses nothing",
        "linux_ring.h",
        "test_linux_ring",
        "return ring->tail == ring->head ? ring->slots : 0;",
        "return 0;",
    ),
)

QUEUE = (
    Mutant(
        "what is due at one moment comes as it likes",
        "machine_queue.h",
        "test_machine_queue",
        "(event_key)event.time << 64 | event.what",
        "(event_key)event.time << 64",
    ),
    Mutant(
        "the fourth brother is not looked at",
        "machine_queue.h",
        "test_machine_queue",
        "lesser(heap, first + 2, first + 3)",
        "first + 2",
    ),
    Mutant(
        "what was last sinks to a leaf and stays there",
        "machine_queue.h",
        "test_machine_queue",
        "while (i > 0 && key_of(last) < key_of(heap[(i - 1) / 4]))",
        "while (i > 0 && key_of(last) > key_of(last))",
    ),
)

MACHINE = (
    Mutant(
        "who waits for a lock is not told",
        "machine_locks.c",
        "test_machine_random",
        "\tlock->held = lock->waiters != NOBODY;\n",
        "\tlock->held = false;\n",
    ),
    Mutant(
        "a completion leaves no room in the device",
        "machine_flows.c",
        "test_machine_random",
        "\t\tflow->used--;\n\t\treturn;\n",
        "\t\treturn;\n",
    ),
    Mutant(
        "a lane that gets room is not outstanding",
        "machine_flows.c",
        "test_machine_random",
        "\tflow->outstanding++;\n\tpush(m, EVENT_GO, next, t);\n",
        "\tpush(m, EVENT_GO, next, t);\n",
    ),
    Mutant(
        "hits of the short way are not counted",
        "machine_calls.c",
        "test_machine_random",
        "\t\tcache->hits_loaded++;\n",
        "",
    ),
    Mutant(
        "what is in a flush queue is counted twice",
        "machine_flush.c",
        "test_machine_random",
        "\t\tm->totals.queued--;\n",
        "",
    ),
    Mutant(
        "a range goes out of the order of time",
        "machine_flush.c",
        "test_machine_random",
        "\t\tif (others_are_first(m, cpu)) {\n\t\t\tsuspend_until(m, cpu, act->t);\n"
        "\t\t\treturn false;\n\t\t}\n\t\tif (rows_left",
        "\t\tif (rows_left",
    ),
)

MACHINE_MUTANTS = (*RING, *QUEUE, *MACHINE)
