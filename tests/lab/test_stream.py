"""A stream is replayed as its events would be from a table, in memory that does not grow."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from comparisons import TABLE, busy
from iova import _core
from iova.designs import parse_design
from iova.errors import IovaError
from iova.lab.prices import load_prices
from iova.lab.replay import prepare, replay
from iova.lab.stream import Streamed, replay_generated
from iova.workloads import load_workload
from iova.workloads.events import generate

#: Jobs run all the time; they have numbers of their own in the machine's order.
RECLAIMING = "linux-6.12,threshold=0,delay_ms=1"

PIECE = _core.MACHINE_MIN_ROOM


def streamed(calls: int, *designs: str, made_under: str = RECLAIMING, **options: Any) -> Streamed:
    workload, prices = options.pop("workload", busy()), options.pop("prices", TABLE)
    return replay_generated(
        workload,
        [parse_design(design) for design in designs or (RECLAIMING,)],
        prices,
        calls=calls,
        made_under=parse_design(made_under),
        piece_rows=PIECE,
        **options,
    )


def test_a_stream_is_replayed_like_a_table_under_every_design() -> None:
    calls, designs = 400_000, (RECLAIMING, "linux-6.1", "unbounded")
    workload = busy(duration_s=1)
    made = generate(workload, TABLE.as_dict(), design=parse_design(RECLAIMING))
    table = prepare(made)
    assert table.rows > calls
    first = {name: column[:calls] for name, column in table.columns.items()}
    table = dataclasses.replace(table, columns=first)
    wide, narrow = (
        streamed(calls, *designs, workload=workload, window_rows=rows) for rows in (1 << 18, 20_000)
    )
    assert (wide.calls, wide.workload) == (calls, "busy")
    assert wide.results[0].totals["runs"] > 50
    assert wide.results[0].totals != wide.results[1].totals
    for design, *results in zip(designs, wide.results, narrow.results, strict=True):
        expected = replay(table, parse_design(design))
        for result in results:
            assert result.totals == expected.totals
            assert result.classes == expected.classes
            assert result.beyond == expected.beyond
            assert result.linux_bytes_peak == expected.linux_bytes_peak


def test_a_call_that_ends_beyond_the_window_is_an_error_not_another_order() -> None:
    many = {"workload": load_workload("sas-256"), "prices": load_prices()}
    told = "ended after 0 calls that began later: give a larger window"
    with pytest.raises(IovaError, match=told):
        streamed(1_000_000, **many, window_rows=0)
    assert streamed(600_000, **many).calls == 600_000


def test_a_stream_ends_where_the_machine_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iova.lab.stream._UNTIL_PS", 10 * 10**9)
    found = streamed(10**9)
    whole = prepare(generate(busy(0.01), TABLE.as_dict(), design=parse_design(RECLAIMING)))
    assert found.calls == whole.rows
    assert found.results[0].totals == replay(whole, parse_design(RECLAIMING)).totals


def test_a_seed_and_the_machine_s_design_make_other_streams() -> None:
    first, again, seeded, other = (
        streamed(50_000, "unbounded", **options).results[0].totals
        for options in ({}, {}, {"seed": 7}, {"made_under": "linux-6.1"})
    )
    assert first == again
    assert first != seeded
    assert first != other


def test_progress_tells_every_piece() -> None:
    told: list[tuple[int, int]] = []
    streamed(500_000, progress=lambda *state: told.append(state))
    assert told[-1] == (500_000, 500_000)
    assert len(told) > 1
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_domains_without_end_are_refused() -> None:
    with pytest.raises(IovaError, match=r"new domain every 5 ms.*set flow.disk.rebind_ms=0"):
        streamed(1000, workload=busy(rebind_ms=5.0))


def test_what_a_user_s_design_raises_is_told(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stream_moody.py").write_text(
        "class Moody:\n"
        "    arm_delay_ns = 1\n"
        "    def look(self, view):\n"
        "        raise ValueError('out of sorts')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(IovaError, match=r"look\(\) raised ValueError: out of sorts"):
        streamed(400_000, "stream_moody:Moody")


PEAKS = """
import json
from pathlib import Path
from comparisons import TABLE, busy
from iova.designs import parse_design
from iova.lab.stream import replay_generated

def peak(done, total):
    lines = Path("/proc/self/status").read_text().splitlines()
    peaks[done] = int(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0])

peaks = {}
designs = [parse_design("linux-6.1"), parse_design("linux-6.12")]
replay_generated(busy(), designs, TABLE, calls=5_000_000, progress=peak)
print(json.dumps(peaks))
"""


@pytest.mark.timeout(120)
def test_five_million_calls_take_no_more_memory_than_one_million() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAKS], capture_output=True, text=True, timeout=110, check=True,
        env=_with_tests_importable(),
    )  # fmt: skip
    peaks = {int(calls): kib for calls, kib in json.loads(done.stdout).items()}
    first = next(kib for calls, kib in peaks.items() if calls >= 1_000_000)
    assert max(peaks) == 5_000_000
    # Four million rows would take 200 MiB.
    assert peaks[5_000_000] - first < 40 * 1024


def _with_tests_importable() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
