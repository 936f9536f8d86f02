"""Traces that come with the package; wherever a SOURCE is named, a sample's name will do."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A bundled trace."""

    name: str
    summary: str


SAMPLES = (
    Sample(
        "burst8-6.12",
        "8 CPUs, Linux 6.12, lazy: NVMe mixed sizes, then bursts of 1000 in flight and idle gaps",
    ),
    Sample(
        "mixed4-6.1",
        "4 CPUs, Linux 6.1, lazy: disks to 1 MiB a request, network, CPU offline, driver rebound",
    ),
)


def resolve(source: str) -> str:
    """The path of a sample, or the source itself if it is no sample's name or is a file."""
    if source in {sample.name for sample in SAMPLES} and not Path(source).exists():
        return str(resources.files("iova").joinpath("data", f"{source}.parquet"))
    return source
