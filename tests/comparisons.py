"""A small workload, for the lab's tests; and comparisons of it, for those of tables and page."""

from __future__ import annotations

import dataclasses
from typing import Any

from iova.designs import parse_design
from iova.lab.compare import Comparison, compare_workload
from iova.lab.prices import Prices
from iova.workloads import Distribution, DomainGroup, Flow, MachineShape, Size, Workload
from machines import PRICES

TABLE = Prices(**PRICES, provenance="host: a test's")
LAZY = DomainGroup("disk", mode="lazy")
#: Between a completion and the next submission, so that the CPUs do not march in step.
THINK_US = Distribution("uniform", low=0, high=20)


def busy(duration_s: float = 0.02, domain: DomainGroup = LAZY, **values: Any) -> Workload:
    """Four CPUs allocate mixed sizes, one frees; a few milliseconds already show every number."""
    flow = Flow(
        "disk",
        "disk",
        depth=64,
        complete_cpus="0",
        latency_us=Distribution("uniform", low=5, high=400),
        sizes=(Size(1, 5), Size(3, 2), Size(64, 1)),
    )
    return Workload(
        "busy",
        duration_s,
        MachineShape(4),
        (domain,),
        (dataclasses.replace(flow, **values),),
        summary="a test's workload",
        source="made up",
    )


def compared(*designs: str, name: str = "busy", flow: Any = None, **options: Any) -> Comparison:
    """Designs on that workload; by default the first two of Linux."""
    specs = [parse_design(design) for design in designs or ("linux-6.1", "linux-6.12")]
    return compare_workload(name, busy(**(flow or {})), specs, TABLE, **options)
