"""Generated traffic: one closed-loop model of submitters, a device and completions.

A preset is a TOML file of that model; so is what a user writes. :func:`load_workload` reads
either, with parameters overridden, and :func:`lower` makes the numbers of it that the simulated
machine takes. Nothing here needs more than numpy.
"""

from iova.workloads.checks import WorkloadError
from iova.workloads.cpus import parse_cpus
from iova.workloads.distributions import Distribution, mean_of, quantile_table
from iova.workloads.dump import to_toml
from iova.workloads.lower import duration_ps, lower
from iova.workloads.model import DomainGroup, Flow, MachineShape, Size, Workload
from iova.workloads.presets import (
    PresetInfo,
    is_workload,
    load_workload,
    preset_text,
    presets,
)
from iova.workloads.toml import parse_workload

__all__ = [
    "Distribution",
    "DomainGroup",
    "Flow",
    "MachineShape",
    "PresetInfo",
    "Size",
    "Workload",
    "WorkloadError",
    "duration_ps",
    "is_workload",
    "load_workload",
    "lower",
    "mean_of",
    "parse_cpus",
    "parse_workload",
    "preset_text",
    "presets",
    "quantile_table",
    "to_toml",
]
