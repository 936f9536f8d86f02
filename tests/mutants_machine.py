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

PRICES = (
    Mutant(
        "a walk costs the same however many nodes it passes",
        "machine_record.c",
        "test_machine",
        "p->tree_alloc + steps * mixed(",
        "p->tree_alloc + mixed(",
    ),
    Mutant(
        "lines in a row cost what single ones cost",
        "machine_locks.c",
        "test_machine",
        "prices->line_ahead, prices->line_ahead_far)",
        "prices->line, prices->line_far)",
    ),
    Mutant(
        "finding a range costs one level",
        "machine_record.c",
        "test_machine",
        "64u - (uint32_t)__builtin_clzll(ranges | 1)",
        "1u",
    ),
    Mutant(
        "a call is counted as shorter than it was",
        "machine_calls.c",
        "test_machine",
        "m->alloc_times[bucket_of(took)]++",
        "m->alloc_times[bucket_of(took / 2)]++",
    ),
)

BOUNDS = (
    Mutant(
        "a CPU that is not there may run a flow",
        "machine_config.c",
        "test_machine_config",
        "cpus[i] >= config->cpus_online",
        "cpus[i] > config->cpus_online",
    ),
    Mutant(
        "quantiles may fall",
        "machine_config.c",
        "test_machine_config",
        "(i > 0 && quantiles[i] < quantiles[i - 1])",
        "false",
    ),
    Mutant(
        "a driver is unbound from a domain that others use",
        "machine_config.c",
        "test_machine_config",
        "b->domain < a->domain + a->domains",
        "b->domain + 1 < a->domain + a->domains",
    ),
    Mutant(
        "a sample is late by what happens then",
        "machine.c",
        "test_machine_config",
        "\t\tpass_time(m, event.time);\n\t\thappen(m, event);\n",
        "\t\thappen(m, event);\n\t\tpass_time(m, event.time);\n",
    ),
)

FAULTS = (
    Mutant(
        "a tape that could not grow is played as it is",
        "machine_record.c",
        "test_machine_faults",
        "\t\t\tm->status = REPLAY_NO_MEMORY;\n\t\t\treturn NULL;\n",
        "\t\t\treturn NULL;\n",
    ),
    Mutant(
        "slots that could not be kept are forgotten",
        "machine_rows.c",
        "test_machine_faults",
        "\t\tm->status = REPLAY_NO_MEMORY;\n\t\treturn false;\n",
        "\t\treturn false;\n",
    ),
)

FLOWS = (
    Mutant(
        "the device serves any number at once",
        "machine_flows.c",
        "test_machine_flows",
        "t > flow->device_free_at ? t : flow->device_free_at",
        "t",
    ),
    Mutant(
        "a submitter that moved moves again at once",
        "machine_flows.c",
        "test_machine_flows",
        "\t\tsubmitter->moves_at = m->now + config->migrate;\n",
        "",
    ),
    Mutant(
        "low addresses are given up after one failure by every rule",
        "machine_calls.c",
        "test_machine_flows",
        "flow->no_32_bit = flow->config->limit_rule == MACHINE_LIMIT_32_UNTIL_FAILURE;",
        "flow->no_32_bit = true;",
    ),
    Mutant(
        "the timer of a domain that is gone runs",
        "machine_flush.c",
        "test_machine_flows",
        "\t\t\tput_slot(m, ring_take(ring).slot);\n\t}\n\td->timer_at = IOVA_NEVER;\n",
        "\t\t\tput_slot(m, ring_take(ring).slot);\n\t}\n",
    ),
    Mutant(
        "tasks come before interrupts",
        "machine_cpus.c",
        "test_machine_flows",
        "list_add(m, interrupt ? &cpu->interrupts : &cpu->tasks, work)",
        "list_add(m, interrupt ? &cpu->tasks : &cpu->interrupts, work)",
    ),
)

FLUSH = (
    Mutant(
        "an entry of a ring is a line of its own",
        "machine_flush.c",
        "test_machine_flush",
        "if (ring->head % 2 == 0)",
        "if (ring->slots)",
    ),
    Mutant(
        "a flush covers what a later one has covered",
        "machine_flush.c",
        "test_machine_flush",
        "d->config->queue_rule == MACHINE_QUEUE_LINUX",
        "d->config->queue_rule <= MACHINE_QUEUE_COVERED",
    ),
    Mutant(
        "the timer stays where it was started first",
        "machine_flush.c",
        "test_machine_flush",
        "\tif (!d->timer_queued)\n\t\td->timer_cpu = cpu_number(m, cpu);\n",
        "\tif (!m->totals.timer_runs)\n\t\td->timer_cpu = cpu_number(m, cpu);\n",
    ),
    Mutant(
        "a stall takes no time",
        "machine_flush.c",
        "test_machine_flush",
        "config->flush + (stalled ? config->stall : 0)",
        "config->flush + (stalled ? 0 : 0)",
    ),
)

JOBS = (
    Mutant(
        "reclaim runs on the first CPU",
        "machine_calls.c",
        "test_machine_jobs",
        "\t\td->job_cpu[k] = cpu;\n",
        "\t\td->job_cpu[k] = 0;\n",
    ),
    Mutant(
        "a run of reclaim is free but for what it does",
        "machine_calls.c",
        "test_machine_jobs",
        "\tm->record.work = m->config.prices.job;\n",
        "",
    ),
    Mutant(
        "the job of a domain that is gone runs for the new one",
        "machine_flows.c",
        "test_machine_jobs",
        "\t\td->job_due[k] = IOVA_NEVER;\n",
        "",
    ),
)

LOCKS = (
    Mutant(
        "a lock is handed over at the price of a free one",
        "machine_locks.c",
        "test_machine_locks",
        "#define HANDOVER_PERCENT 40u",
        "#define HANDOVER_PERCENT 0u",
    ),
    Mutant(
        "who asked last is served first",
        "machine_locks.c",
        "test_machine_flush",
        "m->cpus[lock->last_waiter].next_waiter = number;",
        "(cpu->next_waiter = lock->waiters, lock->waiters = number);",
    ),
    Mutant(
        "lines of another node cost what near ones cost",
        "machine_locks.c",
        "test_machine_locks",
        "\treturn lines * far;\n",
        "\treturn lines * near;\n",
    ),
    Mutant(
        "a visit from another CPU is not noticed",
        "machine_locks.c",
        "test_machine_locks",
        "\t\tcpu->act.domain->foreign_holds++;\n",
        "\t\t(void)cpu;\n",
    ),
)

MACHINE_MUTANTS = (
    *RING,
    *QUEUE,
    *MACHINE,
    *PRICES,
    *BOUNDS,
    *FAULTS,
    *FLOWS,
    *FLUSH,
    *JOBS,
    *LOCKS,
)
