"""The table of causes that ``explain`` knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from iova.lab.explain_ageing import ageing
from iova.lab.explain_facts import Facts
from iova.lab.explain_model import Finding
from iova.lab.explain_ranges import lost_rings, never_unmapped, wrong_sizes
from iova.lab.explain_space import idle_domains, neighbour_32bit
from iova.lab.explain_time import (
    fixed_depot,
    frees_on_few_cpus,
    sizes_beyond,
    timer_storms,
)

#: Names a cause if it costs something, with the evidence; else None.
Cause = Callable[[Facts], Finding | None]

#: Every cause by its name.
CAUSES: Final[dict[str, Cause]] = {
    "wrong-size": wrong_sizes,
    "32-bit-neighbour": neighbour_32bit,
    "never-unmaps": never_unmapped,
    "lost-rings": lost_rings,
    "timer-storm": timer_storms,
    "sizes-beyond": sizes_beyond,
    "fixed-depot": fixed_depot,
    "frees-on-few-cpus": frees_on_few_cpus,
    "ageing": ageing,
    "idle-domains": idle_domains,
}
