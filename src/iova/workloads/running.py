"""A workload and a design put onto the simulated machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from iova import _core
from iova.designs import DesignSpec
from iova.errors import IovaError
from iova.policy_errors import blamed_on_policy
from iova.workloads.lower import duration_ps, lower
from iova.workloads.model import Workload

#: The design of the kernels that try 32 bits first at every call; later ones give that up when
#: it failed once.
_ALWAYS_32_FIRST: Final = "linux-6.1"


@dataclass(frozen=True)
class RunningWorkload:
    """A machine that is ready to go, and what it is made of."""

    workload: Workload
    design: DesignSpec
    seed: int
    machine: _core.Machine
    designs: tuple[_core.Design, ...]  #: one a domain
    domains: tuple[Mapping[str, Any], ...]  #: fields of ``struct machine_domain``
    until_ps: int  #: when the workload ends
    mechanism: _core.Mechanism  #: what the design makes of the machine

    def run(self, operations: int) -> bool:
        """Go on for about so many operations; whether the end was reached.

        Raises:
            DesignError: a policy in Python failed.
        """
        with blamed_on_policy(self.design):
            return self.machine.run(self.until_ps, operations)

    def run_events(self, rows: int) -> tuple[dict[str, Any], bool]:
        """Go on for about so many events; their columns, and whether the end was reached.

        Raises:
            DesignError: a policy in Python failed.
        """
        with blamed_on_policy(self.design):
            return self.machine.run_events(self.until_ps, rows)


def start(
    workload: Workload,
    design: DesignSpec,
    prices: Mapping[str, int],
    *,
    seed: int | None = None,
    **options: Any,
) -> RunningWorkload:
    """Make the machine for a workload.

    Args:
        workload: what it is to do.
        design: the depot design of all its domains.
        prices: what each step costs: fields of ``struct machine_prices`` in picoseconds.
        seed: of every choice left to chance; None: the workload's own.
        options: more arguments of ``_core.Machine``.

    Raises:
        IovaError: the workload is beyond what can be simulated.
    """
    chosen = workload.seed if seed is None else seed
    lowered = lower(workload, seed=chosen, first_32=tries_32_bits_always(design))
    domains = tuple(lowered["domains"])
    designs = tuple(design.make() for _ in domains)
    mechanism = designs[0].mechanism(workload.machine.cpus, workload.machine.classes)
    lowered["classes"] = mechanism["classes"]
    lowered["indexed"] = mechanism["indexed"]
    try:
        machine = _core.Machine(designs, prices=prices, **(lowered | options))
    except (ValueError, OverflowError) as error:
        raise IovaError(f"workload {workload.name} can not be simulated: {error}") from error
    return RunningWorkload(
        workload, design, chosen, machine, designs, domains, duration_ps(workload), mechanism
    )


def tries_32_bits_always(design: DesignSpec) -> bool:
    """Whether the kernels of this design try 32 bits first however often that failed."""
    return design.policy_class is None and design.name == _ALWAYS_32_FIRST
