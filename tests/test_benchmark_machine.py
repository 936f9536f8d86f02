"""The measurement of the simulated machine works: a small run of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest


def test_every_preset_and_design_gets_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    machine = importlib.import_module("benchmarks.machine")
    report = machine.measure(1, True)
    found = {(one.pattern, one.contender) for one in report.series}
    assert found == {(preset, design) for preset in machine.PRESETS for design in machine.DESIGNS}
    assert all(one.median > 0 for one in report.series)
    assert len(report.verdicts) == len(found)
