"""What `iova record` recorded of an unmodified kernel verifies, and nothing is missing in it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.e2e import recordings
from tests.e2e.guest import Machine, run
from tests.e2e.kernels import kernel

from iova.events import Op

#: Kernel series, CPUs, strict: both depots, both modes, 4 and 8 CPUs.
MACHINES = [("6.1", 4, False), ("6.12", 8, False), ("6.12", 4, True)]
LOADS = Path(__file__).with_name("loads.sh")


@dataclass(frozen=True)
class Recording:
    """A trace that a guest made, and what probes of another observer counted meanwhile."""

    series: str
    cpus: int
    strict: bool
    trace: Path
    counted: dict[str, int]
    told: dict[str, Any]  #: by `iova info`

    @property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = self.told["info"]
        return found

    def rows(self, op: Op) -> pl.DataFrame:
        return pl.read_parquet(self.trace).filter(pl.col("op") == int(op))


@pytest.fixture(
    scope="module",
    params=MACHINES,
    ids=lambda p: f"{p[0]}-{p[1]}-{'strict' if p[2] else 'lazy'}",
)
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    """Every load under `iova record`; the births of the domains come from the kernel's words."""
    series, cpus, strict = request.param
    share = tmp_path_factory.mktemp(f"recorded-{series}-{cpus}")
    births = recordings.iova("record", "--print-cmdline").stdout.strip()
    load = recordings.everything(strict=strict)
    (share / "load").write_text(f"source {LOADS}\n{load}sleep 2\ncounted /mnt/share/counted\n")
    script = (
        f"source {LOADS}; count\n"
        # The console is a terminal, on which the recorder draws; a file is none.
        "iova record -o seen.iovaring --redact --buffer-kib 16384 -- bash -e load"
        " 2> said || failed=1\n"
        'cat said; [ -z "$failed" ]\n'
        "ls /sys/kernel/tracing/instances > instances\n"
        "grep -c . /sys/kernel/tracing/dynamic_events > probes || true\n"
    )
    run(
        kernel(series),
        script,
        share,
        machine=Machine(cpus=cpus, words=f"iommu.strict={int(strict)} {births}"),
        timeout_s=recordings.LIMIT_S,
        console=sys.stdout,
    )
    trace = share / "seen.parquet"
    done = recordings.iova("convert", share / "seen.iovaring", trace)
    assert done.returncode == 0, done.stdout + done.stderr
    told = recordings.iova_json("info", trace)
    counted = recordings.read_counts(share / "counted")
    return Recording(series, cpus, strict, trace, counted, told)


def test_it_verifies_under_the_design_of_its_kernel(recording: Recording) -> None:
    done = recordings.iova("verify", recording.trace)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"under linux-{recording.series}" in done.stdout


def test_nothing_was_lost_and_nothing_is_unknown(recording: Recording) -> None:
    assert recording.info["lost_events"] == 0
    assert recording.info["kernel"] == kernel(recording.series).release
    assert recording.info["cpus_online"] == recording.cpus
    assert recording.info["cmdline"] is None is recording.info["host"]  # --redact
    used = {row["info"]["domain"] for row in recording.told["domains"] if row["allocs"]}
    domains = [d for d in recording.info["domains"] if d["domain"] in used]
    assert sum(d["born"] for d in domains) >= 4  # two NVMe disks, SATA, network
    # The paravirtual disk's bus driver was bound before the recording began, so nothing says that
    # its domain was unused until then.
    assert len([d for d in domains if not d["born"]]) <= 1


def test_hits_tree_calls_and_reclaims_are_as_many_as_other_probes_counted(
    recording: Recording,
) -> None:
    frame = pl.read_parquet(recording.trace, columns=["op"])
    counted = dict(recording.counted)
    seen = {
        name: frame.filter(pl.col("op") == int(op)).height
        for name, op in recordings.COUNTED.items()
        if name in counted
    }
    assert seen == counted
    hits = recording.told["cache_hits"]  # allocations that did not reach the tree
    assert hits == counted["alloc_iova_fast"] - counted["alloc_iova"] > 10_000


def test_the_load_reached_every_part_of_the_allocator(recording: Recording) -> None:
    allocs, frees = recording.rows(Op.ALLOC), recording.rows(Op.FREE)
    assert set(allocs["size"]) >= {1, 2, 4, 8, 16, 32, 33, 64, 128, 256}  # to 1 MiB
    assert recording.rows(Op.CPU_OFFLINE).height > 0
    assert recording.rows(Op.DESTROY).height > 0
    assert recording.told["frees_on_other_cpu"] > frees.height // 20
    if recording.series == "6.12":
        assert recording.rows(Op.RECLAIM).height > 0
        assert recording.rows(Op.MAGAZINE_FREE).height > 0


def test_compare_replays_it_under_other_designs(recording: Recording) -> None:
    found = recordings.iova_json("compare", recording.trace)
    [compared] = found["comparisons"]
    assert {d["failed"] for d in compared["designs"]} == {0}
    assert compared["designs"][0]["allocations"] == recording.counted["alloc_iova_fast"]


def test_the_recorder_left_nothing_behind(recording: Recording) -> None:
    assert (recording.trace.parent / "instances").read_text() == ""
    left = int((recording.trace.parent / "probes").read_text())
    assert left <= 2  # the two that the kernel's words made
