"""`iova top` counts what the running kernel does, and takes its probes away when it is ended."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import recordings
from tests.e2e.guest import Machine, run
from tests.e2e.kernels import BUILD, kernel

LOADS = Path(__file__).with_name("loads.sh")
#: Of requirements/e2e.txt.
POLARS = BUILD / "python"
#: Quiet before and after the load, so that both observers have seen all of it.
SCRIPT = f"""\
source {LOADS}
export PYTHONPATH={POLARS} POLARS_FORCE_PKG=compat
drivers
# In a shell of its own: the loads wait for all that this one started.
(bash -c 'iova top --json > looks 2> said & echo $! > pid; wait $! || echo $? > status' &)
for ((i = 0; i < 600; i++)); do
	[ -s looks ] && break
	sleep 0.5
done
count
mixed 300
pinned 300
looked=$(wc -l < looks)
for ((i = 0; i < 120; i++)); do
	[ $(wc -l < looks) -ge $((looked + 3)) ] && break
	sleep 0.5
done
counted /mnt/share/counted
cat said
kill $(cat pid)
for ((i = 0; i < 120; i++)); do
	[ -s status ] && break
	sleep 0.5
done
ls /sys/kernel/tracing/instances > instances
grep -c . /sys/kernel/tracing/dynamic_events > probes || true
"""


@dataclass(frozen=True)
class Watched:
    """What a guest saw."""

    folder: Path
    looks: list[dict[str, Any]]

    def sum_of(self, rate: str) -> int:
        """Rates a second, times the seconds between the looks."""
        times = [0.0, *(look["t_s"] for look in self.looks)]
        spans = [after - before for before, after in pairwise(times)]
        return round(
            sum(look["total"][rate] * s for look, s in zip(self.looks, spans, strict=True))
        )


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    assert POLARS.is_dir(), "tests/check/e2e installs Polars for the guest"
    folder = tmp_path_factory.mktemp(f"watched-{request.param}")
    run(
        kernel(request.param),
        SCRIPT,
        folder,
        machine=Machine(cpus=4),
        timeout_s=recordings.LIMIT_S,
        console=sys.stdout,
    )
    looks = [json.loads(line) for line in (folder / "looks").read_text().splitlines()]
    return Watched(folder, looks)


def test_every_call_that_another_observer_counts_is_shown(watched: Watched) -> None:
    counted = recordings.read_counts(watched.folder / "counted")
    assert counted["alloc_iova_fast"] > 1000
    assert watched.sum_of("allocs_s") == counted["alloc_iova_fast"]
    assert watched.sum_of("frees_s") == counted["free_iova_fast"]
    assert watched.looks[-1]["lost"] == 0


def test_disks_are_named(watched: Watched) -> None:
    busy = {row["domain"] for look in watched.looks for row in look["rows"] if row["allocs_s"]}
    assert len(busy) == 2
    assert all(":" in name for name in busy), busy


def test_ended_by_a_signal_it_takes_its_probes_away(watched: Watched) -> None:
    assert (watched.folder / "status").read_text() == "143\n"
    assert (watched.folder / "instances").read_text() == ""
    assert (watched.folder / "probes").read_text() == "0\n"
    assert "Traceback" not in (watched.folder / "said").read_text()
