"""The command `iova record`: its arguments, and what it says where it cannot record."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from commands import run_iova
from fake_tracefs import recording
from iova import cli_record
from iova.report.schemas import schemas
from iova.sources.record.errors import RecordError
from iova.sources.record.recorder import Plan, Recorded
from iova.sources.record.tracefs import Tracefs

DONE = Recorded(1.5, 1000, 0, "the time is over", False, None, ("a note",))


def recorded(monkeypatch: pytest.MonkeyPatch, done: Recorded = DONE) -> list[Plan]:
    """Stand in for a kernel: a recording that was made before. The plans that were asked for."""
    plans: list[Plan] = []

    def record(_tracefs: Tracefs, plan: Plan, file: int, **_given: object) -> Recorded:
        plans.append(plan)
        os.write(file, recording("6.12"))
        return done

    monkeypatch.setattr(cli_record, "find_tracefs", lambda: Tracefs(Path("/none")))
    monkeypatch.setattr(cli_record, "record", record)
    return plans


def test_it_writes_parquet_and_no_raw_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = recorded(monkeypatch)
    out = tmp_path / "x.parquet"
    asked = ["-o", str(out), "--max-bytes", "2K", "--redact", "--", "a", "--json"]
    assert cli_record.main(asked) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    assert plans == [Plan(command=("a", "--json"), max_bytes=2048, redact=True)]
    assert "note: a note" in capsys.readouterr().err
    assert run_iova("verify", out).returncode == 0


def test_a_loss_is_an_error_and_the_pages_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(monkeypatch, Recorded(1.0, 9, 4, "", False, None, ()))
    out = tmp_path / "x.parquet"
    assert cli_record.main(["-o", str(out), "--duration", "1"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet.iovaring"]
    assert "at least 4 events were lost" in capsys.readouterr().err
    assert cli_record.main(["-o", str(out), "--duration", "1", "--allow-lost"]) == 0
    assert out.exists()


def test_a_recording_cut_short_is_written_with_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(monkeypatch, Recorded(1.0, 9, 0, "tracing was taken away", True, None, ()))
    out = tmp_path / "x.iovaring"
    assert cli_record.main(["-o", str(out)]) == 3
    assert out.read_bytes() == recording("6.12")


def test_json_is_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = recorded(monkeypatch)
    assert cli_record.main(["--json", "-o", str(tmp_path / "x.iovaring"), "--", "true"]) == 0
    told = json.loads(capsys.readouterr().out)
    Draft202012Validator(schemas()["record"]).validate(told)
    assert told["reason"] == "the time is over"
    assert plans[0].command_to_stderr


def test_nothing_stays_when_recording_cannot_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(monkeypatch)

    def refuse(*_given: object, **_more: object) -> Recorded:
        raise RecordError("no.")

    monkeypatch.setattr(cli_record, "record", refuse)
    for name in ("x.parquet", "x.iovaring"):
        assert cli_record.main(["-o", str(tmp_path / name)]) == 2
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == "iova: no.\niova: no.\n"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--duration", "-1"], "invalid number of seconds value: '-1'"),
        (["--duration", "nan"], "invalid number of seconds"),
        (["--max-bytes", "12Q"], "invalid number of bytes"),
        (["--device", "eth0"], "is no PCI device"),
        (["--device", "0000:ff:1f.7"], "there is no such PCI device"),
        (["--"], "there is no command after --"),
        (["--duration", "1", "--", "true"], "not both"),
        (["--level", "all"], "invalid choice"),
        (["-o", "/no/such/folder/x.parquet"], "no such folder"),
        (["extra"], "unrecognized arguments"),
    ],
)
def test_bad_arguments_are_told(
    asked: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_record.main(asked) == 2
    assert told in capsys.readouterr().err


def test_the_kernel_words_are_printed_by_the_command() -> None:
    done = run_iova("record", "--print-cmdline")
    assert done.returncode == 0
    assert done.stdout.startswith('trace_clock=mono kprobe_event="p:b_init,')


def test_the_command_lists_it_and_helps_within_80_columns() -> None:
    assert "record " in run_iova("--help").stdout
    lines = run_iova("record", "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("--print-cmdline" in line for line in lines)
