"""What other tools saw of 6.12 verifies, call for call: our recorder has no part in it.

So a difference between a recording of ours and this is the recorder's fault, and a difference
here is the replay's or the reader's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.e2e import recordings
from tests.e2e.guest import Machine, run
from tests.e2e.kernels import kernel

BIRTHS = (
    "trace_clock=mono trace_buf_size=30M"
    ' kprobe_event="p:b_init,init_iova_domain,iovad=$arg1:x64,granule=$arg2:x64,start=$arg3:x64;'
    'p:b_resv,reserve_iova,iovad=$arg1:x64,lo=$arg2:x64,hi=$arg3:x64"'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The share of a guest that ran every load under an observer."""
    share = tmp_path_factory.mktemp("observed")
    here = Path(__file__).parent
    script = (
        f"source {here}/loads.sh; source {here}/observers.sh; count; observe\n"
        f"{recordings.everything()}sleep 2; counted counted; observed seen.dat"
    )
    machine = Machine(cpus=4, words=f"iommu.strict=0 {BIRTHS}")
    run(
        kernel("6.12"),
        script,
        share,
        machine=machine,
        timeout_s=recordings.LIMIT_S,
        console=sys.stdout,
    )
    with (share / "seen.txt").open("wb") as text:
        report = ["trace-cmd", "report", "-t", "-i", "seen.dat"]
        subprocess.run(report, cwd=share, stdout=text, check=True, timeout=300)
    done = recordings.iova("convert", share / "seen.txt", share / "seen.parquet")
    assert done.returncode == 0, done.stderr
    return share


@pytest.mark.parametrize("name", ["seen.txt", "seen.parquet"])
def test_what_trace_cmd_recorded_is_exact_as_text_and_as_parquet(folder: Path, name: str) -> None:
    done = recordings.iova("verify", folder / name, "--design", "linux-6.12")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_events_are_as_many_as_another_observer_counted(folder: Path) -> None:
    counted = recordings.read_counts(folder / "counted")
    frame = pl.read_parquet(folder / "seen.parquet", columns=["op"])
    seen = {n: frame.filter(pl.col("op") == int(op)).height for n, op in recordings.COUNTED.items()}
    assert seen == counted
    assert min(counted.values()) > 0
