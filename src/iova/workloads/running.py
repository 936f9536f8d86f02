"""A workload and a design put onto the simulated machine."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from iova import _core
from iova.designs import DesignError, DesignSpec
from iova.errors import IovaError
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

    def run(self, operations: int) -> bool:
        """Go on for about so many operations; whether the end was reached.

        Raises:
            DesignError: a policy in Python failed.
        """
        with _blamed_on(self.design):
            return self.machine.run(self.until_ps, operations)

    def run_events(self, rows: int) -> tuple[dict[str, Any], bool]:
        """Go on for about so many events; their columns, and whether the end was reached.

        Raises:
            DesignError: a policy in Python failed.
        """
        with _blamed_on(self.design):
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
    try:
        machine = _core.Machine(designs, prices=prices, **(lowered | options))
    except (ValueError, OverflowError) as error:
        raise IovaError(f"workload {workload.name} can not be simulated: {error}") from error
    return RunningWorkload(
        workload, design, chosen, machine, designs, domains, duration_ps(workload)
    )


def tries_32_bits_always(design: DesignSpec) -> bool:
    """Whether the kernels of this design try 32 bits first however often that failed."""
    return design.policy_class is None and design.name == _ALWAYS_32_FIRST


@contextmanager
def _blamed_on(design: DesignSpec) -> Iterator[None]:
    """What a policy raises becomes an error that names the policy and the place."""
    try:
        yield
    except Exception as error:
        if design.policy_class is None:
            raise
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        raise DesignError(
            f"design {design.label}: look() raised {type(error).__name__}: {error}{where}"
        ) from error
