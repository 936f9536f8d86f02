"""A small workload as TOML, for tests that change one thing in it."""

from iova.workloads import Workload, parse_workload

SMALL = """\
duration_s = 0.5

[machine]
cpus = 8

[domain.disk]
mode = "lazy"

[domain.spare]
count = 3

[flow.read]
domain = "disk"
submit_cpus = "0-3"
depth = 4
latency_us = { spread = "exponential", mean = 100.0 }

[flow.write]
domain = "disk"
complete_cpus = "6"
sizes = [{ pages = 1, weight = 3 }, { pages = 8 }]
"""


def parsed(text: str = SMALL, *settings: str) -> Workload:
    """Read TOML as if from a file ``here.toml``."""
    return parse_workload(text, name="here", source="here.toml", settings=settings)


def with_line(line: str, *, after: str) -> str:
    """The small workload with one more line after the one that says ``after``."""
    assert SMALL.count(f"{after}\n") == 1
    return SMALL.replace(f"{after}\n", f"{after}\n{line}\n")
