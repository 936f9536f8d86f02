"""A workload as the numbers the simulated machine takes: picoseconds, pfns, tables."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from iova.workloads.distributions import LONGEST_PS, quantile_table
from iova.workloads.model import DomainGroup, Flow, Workload

PS_PER_US: Final = 10**6
PS_PER_MS: Final = 10**9
PS_PER_S: Final = 10**12

_HIGHEST: Final = (1 << 64) - 1

#: As in ``core/machine.h``.
_LIMIT_RULES: Final = {"plain": 0, "32-always": 1, "32-until-failure": 2}
_QUEUE_RULES: Final = {"linux": 0, "covered": 1}


def lower(workload: Workload, *, seed: int | None = None, first_32: bool) -> dict[str, Any]:
    """Keyword arguments for ``_core.Machine``: those that the workload settles.

    Args:
        workload: what to run.
        seed: instead of the workload's own.
        first_32: what the limit rule ``by-design`` means: 32 bits first every time (Linux 6.1),
            not only until that has failed once.

    Returns:
        ``domains`` and ``flows`` are lists of dicts, the rest are numbers. Times are whole
        picoseconds, tables uint64, CPU lists uint16 arrays.
    """
    machine = workload.machine
    first: dict[str, int] = {}
    domains: list[dict[str, Any]] = []
    for group in workload.domains:
        first[group.name] = len(domains)
        domains.extend([_domain(group)] * group.count)
    groups = {group.name: group for group in workload.domains}
    return {
        "cpus_possible": machine.cpus,
        "cpus_online": machine.online,
        "cpus_per_node": machine.cpus_per_node or machine.cpus,
        "classes": machine.classes,
        "seed": workload.seed if seed is None else seed,
        "domains": domains,
        "flows": [
            _flow(workload, flow, groups[flow.domain], first_32)
            | {"domain": first[flow.domain], "domains": groups[flow.domain].count}
            for flow in workload.flows
        ],
    }


def duration_ps(workload: Workload) -> int:
    """How long to run it, in picoseconds."""
    return _ps(workload.duration_s, PS_PER_S)


def _domain(group: DomainGroup) -> dict[str, Any]:
    return {
        "granule": group.granule,
        "start_pfn": group.start,
        "reserved": np.array(group.reserved, np.uint64).reshape(-1, 2),
        "lazy": group.mode == "lazy",
        "single_ring": group.queue == "single",
        "queue_rule": _QUEUE_RULES[group.queue_rule],
        "flush": _ps(group.flush_us, PS_PER_US),
        "stall_every": group.stall_every,
        "stall": _ps(group.stall_ms, PS_PER_MS),
    }


def _flow(workload: Workload, flow: Flow, group: DomainGroup, first_32: bool) -> dict[str, Any]:
    sizes = [(size.pages, size.weight) for size in flow.sizes]
    return {
        "submitters": workload.submitters_of(flow),
        "depth": flow.depth,
        "submit_cpus": np.array(workload.submit_cpus_of(flow), np.uint16),
        "complete_cpus": np.array(workload.complete_cpus_of(flow), np.uint16),
        "in_flight": flow.in_flight,
        "resubmit_there": flow.resubmit == "completion",
        "think": quantile_table(flow.think_us, PS_PER_US),
        "latency": quantile_table(flow.latency_us, PS_PER_US),
        "service": _ps(1 / flow.device_miops, PS_PER_US) if flow.device_miops else 0,
        "submit_work": _ps(flow.submit_work_us, PS_PER_US),
        "complete_work": _ps(flow.complete_work_us, PS_PER_US),
        "sizes": np.array(sizes, np.uint64),
        "limit": _highest_pfn(flow.limit_bits, group.granule),
        "limit_rule": _limit_rule(flow, first_32),
        "on": _ps(flow.on_ms, PS_PER_MS),
        "off": _ps(flow.off_ms, PS_PER_MS),
        "migrate": _ps(flow.migrate_ms, PS_PER_MS),
        "rebind": _ps(flow.rebind_ms, PS_PER_MS),
        "start": _ps(flow.start_ms, PS_PER_MS),
        "leak_every": flow.leak_every,
        "wrong_every": flow.wrong_size_every,
        "wrong_pages": flow.wrong_size_pages,
    }


def _limit_rule(flow: Flow, first_32: bool) -> int:
    if flow.limit_bits <= 32:  # there is nothing to fall back to
        return _LIMIT_RULES["plain"]
    if flow.limit_rule == "by-design":
        return _LIMIT_RULES["32-always" if first_32 else "32-until-failure"]
    return _LIMIT_RULES[flow.limit_rule]


def _highest_pfn(bits: int, granule: int) -> int:
    return min((1 << bits) // granule - 1, _HIGHEST >> 1)


def _ps(value: float, unit: int) -> int:
    """Whole picoseconds; what is above zero stays so."""
    return min(max(round(value * unit), int(value > 0)), LONGEST_PS)
