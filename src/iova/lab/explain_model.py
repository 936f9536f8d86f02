"""What ``explain`` finds: causes, their evidence, and how bad each is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

#: Less of the allocator's time than this is not worth anybody's: the prices it is estimated from
#: are themselves not known much better.
WORTH_TELLING: Final = 0.05


class Harm(IntEnum):
    """What a cause does, worst first; within one harm ``Finding.cost`` has one unit."""

    CORRUPTS = 0  #: a device may reach memory that is not meant for it; frees
    FAILS = 1  #: requests fail; allocations
    LOSES = 2  #: memory and address space are gone for good; KiB
    STALLS = 3  #: a CPU does nothing else for long; ms
    SLOWS = 4  #: CPU time; share of the allocator's, 0..1
    HOLDS = 5  #: memory that serves nobody; KiB


@dataclass(frozen=True)
class Evidence:
    """One number that was measured."""

    label: str  #: what was measured
    value: float  #: in ``unit``
    unit: str = ""  #: "" for a count, "share" for 0..1


@dataclass(frozen=True)
class Finding:
    """One cause of trouble."""

    cause: str  #: its name, one of ``explain_causes.CAUSES``
    verdict: str  #: what is wrong, in a sentence
    harm: Harm  #: what it does
    cost: float  #: in the unit of the harm
    evidence: tuple[Evidence, ...]  #: the numbers it rests on
    remedy: str  #: what to do
    settle: str  #: what would make it more certain
    certainty: str  #: how it is known: measured, inferred, ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object; ``harm`` by its name in small letters."""
        return {
            "cause": self.cause,
            "verdict": self.verdict,
            "harm": self.harm.name.lower(),
            "cost": self.cost,
            "evidence": [vars(one) for one in self.evidence],
            "remedy": self.remedy,
            "settle": self.settle,
            "certainty": self.certainty,
        }
