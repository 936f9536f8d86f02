"""Causes by presets: what ``explain`` names in a source into which one cause was put.

``python tests/lab/explain_confusion.py`` prints the table as it stands in docs/explain.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from iova.designs import parse_design
from iova.events import Trace
from iova.lab.explain import CAUSES, Explanation, explain
from iova.lab.prices import load_prices
from iova.workloads import load_workload
from iova.workloads.events import generate


@dataclass(frozen=True)
class Case:
    """A preset, the design it runs under, and the one cause that is in it; "": none."""

    cause: str
    preset: str
    design: str = "linux-6.12"
    settings: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What a user types."""
        design = "" if self.design == "linux-6.12" else f" --design {self.design}"
        return f"iova explain {self.preset}{design}" + "".join(
            f" --set {setting}" for setting in self.settings
        )


CASES = (
    Case("wrong-size", "wrong-size", settings=("duration_s=1",)),
    Case("32-bit-neighbour", "crowded-4g"),
    Case("never-unmaps", "never-unmaps", settings=("duration_s=1",)),
    Case("lost-rings", "stalled-flush", settings=("duration_s=1",)),
    Case("timer-storm", "timer-storm"),
    Case("sizes-beyond", "mixed-sizes", settings=("duration_s=0.5",)),
    Case("fixed-depot", "small-depot", "linux-6.1"),
    Case("frees-on-few-cpus", "scsi-256", settings=("duration_s=0.5",)),
    Case("ageing", "slow-ageing"),
    Case("idle-domains", "idle-domains", settings=("duration_s=0.5",)),
    Case("", "board-4", settings=("duration_s=2",)),
    Case("", "small-depot"),
    Case("", "idle-domains", "linux-7.3", ("duration_s=0.5",)),
    Case("", "stalled-flush", settings=("duration_s=1", "queue_rule=covered")),
    Case("", "mixed-sizes", settings=("duration_s=0.5", "flow.drive.sizes=32")),
    Case("", "scsi-256", settings=("duration_s=0.5", "flow.disk.complete_cpus=all")),
    Case("", "slow-ageing", settings=("flow.disk.limit_rule=32-until-failure",)),
    Case("", "never-unmaps", settings=("duration_s=1", "flow.card.leak_every=0")),
    Case("", "wrong-size", settings=("duration_s=1", "flow.card.wrong_size_every=0")),
    Case("", "crowded-4g", settings=("flow.drive.depth=256",)),
)


def trace_of_case(case: Case, seed: int | None = None) -> Trace:
    """The events of a case."""
    workload = load_workload(case.preset, case.settings)
    prices = load_prices().as_dict()
    return generate(workload, prices, design=parse_design(case.design), seed=seed)


@cache
def explained(case: Case, seed: int | None = None) -> Explanation:
    """What is found in a case."""
    return explain(case.preset, trace_of_case(case, seed))


def table(cases: Sequence[Case] = CASES) -> str:
    """The confusion table, Markdown: a row a case, an x for each cause that is named."""
    lines = [
        "| command | " + " | ".join(CAUSES) + " |",
        "|---|" + ":-:|" * len(CAUSES),
    ]
    for case in cases:
        found = explained(case).causes
        marks = " | ".join("x" if cause in found else " " for cause in CAUSES)
        lines.append(f"| `{case.command}` | {marks} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
