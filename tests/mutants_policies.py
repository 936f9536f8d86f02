"""Mistakes in the designs that Linux never had; ``test_policies`` must notice each."""

from __future__ import annotations

from mutants import Mutant


def _mutant(what: str, design: str, old: str, new: str) -> Mutant:
    return Mutant(what, f"policy/{design}.c", "test_policies", old, new)


POLICY_MUTANTS = (
    _mutant("fewer CPUs, smaller depot", "cpu_scaled", "depot > LEAST ? depot : LEAST", "depot"),
    _mutant(
        "a depot by CPUs alone",
        "cpu_scaled",
        "values[PER_CPU] * config->cpus_online",
        "config->cpus_online + 0 * values[PER_CPU]",
    ),
    _mutant("who should bail empties", "bail", "mechanism->bail = true", "mechanism->bail = false"),
    _mutant("the limit bounds no depot", "limits", "\tmechanism->depot_max =", "\tin_flight ="),
    _mutant("each CPU may have the whole limit", "limits", "in_flight / 2 /", "in_flight /"),
    _mutant("empties by CPUs, whatever is set", "two_list", "automatic ? config", "true ? config"),
    _mutant("busy CPUs are trimmed", "trim", "\t\tcpu_has_called(", "\t\tif (0) cpu_has_called("),
    _mutant("half the idle time is enough", "trim", ">= idle_ns)", ">= idle_ns / 2)"),
    _mutant("trim never sleeps", "trim", "!seen->holding && !decision->trim_count", "false"),
    _mutant("trim drops Linux's reclaim", "trim", "\treclaim_look(", "\tif (0) reclaim_look("),
    _mutant(
        "one interval is enough",
        "working_set",
        "view->depot_low < seen->low ? view->depot_low : seen->low",
        "view->depot_low",
    ),
    _mutant("what was released is surplus again", "working_set", "low - surplus", "low"),
    _mutant(
        "magazines grow in the first period", "grown_magazines", "seen->begun && moved", "moved"
    ),
    _mutant(
        "the size has no bound", "grown_magazines", "2 * view->magazine < values[MOST]", "true"
    ),
    _mutant("exchanges of all CPUs count as one's", "grown_magazines", " * view->cpus_online", ""),
    _mutant("nine classes are wide", "wide", "CLASSES 10u", "CLASSES 9u"),
    _mutant("a batch is a magazine", "batch", "HOLD 16u", "HOLD 127u"),
    _mutant(
        "adaptive never sleeps", "adaptive", "!seen->holding && !decision->trim_count", "false"
    ),
    _mutant("adaptive trims at once", "adaptive", "patience - patience / 8", "0"),
    _mutant(
        "adaptive's magazines only grow", "adaptive", "\t\t\tentries /= 2;", "\t\t\treturn entries;"
    ),
    _mutant(
        "adaptive holds the tree for a magazine", "adaptive", "tree_batch = HOLD", "tree_batch = 0"
    ),
    _mutant("adaptive's magazines have no bound", "adaptive", "2 * entries < values[MOST]", "true"),
)
