"""Every bundled trace can be replayed exactly, and holds nothing that names a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import run_iova
from iova import samples

NAMES = [sample.name for sample in samples.SAMPLES]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_verifies_under_its_own_kernel_and_compares(name: str) -> None:
    verified = run_iova("verify", name, "--json")
    assert verified.returncode == 0, verified.stdout
    [verdict] = json.loads(verified.stdout)["verdicts"]
    assert verdict["exact"]
    assert verdict["unexplained"] == 0
    assert verdict["exact_addresses"] == verdict["predictable"]
    assert verdict["predictable"] == verdict["total"] - verdict["state_before"] > 0
    assert verdict["design"].removeprefix("linux-") == name.rpartition("-")[2]
    assert run_iova("compare", name, "--design", verdict["design"]).returncode == 0


def test_the_recorded_sample_is_redacted_and_small() -> None:
    info = json.loads(run_iova("info", "mixed4-6.1", "--json").stdout)["info"]
    assert info["host"] is None
    assert info["cmdline"] is None
    assert info["lost_events"] == 0
    assert Path(samples.resolve("mixed4-6.1")).stat().st_size < 3 << 20
