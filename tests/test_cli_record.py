"""The command `iova record`: its arguments, and what it says where it cannot record."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from commands import run_iova
from fake_tracefs import fake_tracefs, no_types, recording
from iova import cli_record
from iova.errors import InputError
from iova.report.schemas import schemas
from iova.sources.record import tracefs as tracefs_module
from iova.sources.record.errors import RecordError
from iova.sources.record.recorder import Plan, Recorded, record
from iova.sources.record.session import Session
from iova.sources.record.tracefs import Tracefs

DONE = Recorded(1.5, 1000, 0, "the time is over", False, None, ("a note",))


def recorded(monkeypatch: pytest.MonkeyPatch, done: Recorded = DONE) -> list[Plan]:
    """Stand in for a kernel: a recording that was made before. The plans that were asked for."""
    plans: list[Plan] = []

    def record_before(_tracefs: Tracefs, plan: Plan, file: int, **_given: object) -> Recorded:
        plans.append(plan)
        os.write(file, recording("6.12"))
        return done

    monkeypatch.setattr(cli_record, "find_tracefs", lambda: Tracefs(Path("/none")))
    monkeypatch.setattr(cli_record, "record", record_before)
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


def a_kernel(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, missing: str = "", mounted: bool = True
) -> None:
    """Have the recorder find a stand-in for tracefs, of a kernel without these functions."""
    tracefs = fake_tracefs(folder, missing=missing)
    mounts = (tracefs.root if mounted else folder / "none",)
    find = partial(tracefs_module.find_tracefs, mounts, folder / "lockdown")
    monkeypatch.setattr(cli_record, "find_tracefs", lambda: find() and tracefs)
    session = partial(Session, read_btf=no_types)
    monkeypatch.setattr(cli_record, "record", partial(record, make_session=session))


@pytest.mark.parametrize("out", ["x.parquet", "x.iovaring"])
@pytest.mark.parametrize(
    ("kernel", "user", "command", "told"),
    [
        ({"mounted": False}, 0, "true", "mount -t tracefs"),
        ({"mounted": False}, 1000, "true", "run it with sudo"),
        ({"missing": "alloc_iova_fast"}, 0, "true", "with --level maps"),
        ({}, 0, "/no/such", "/no/such could not be run: No such file or directory"),
        ({}, 0, "/etc/passwd", "/etc/passwd could not be run: Permission denied"),
    ],
)
def test_where_it_can_not_record_it_says_what_to_do_and_leaves_nothing(
    kernel: dict[str, Any],
    user: int,
    command: str,
    told: str,
    out: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a_kernel(tmp_path / "kernel", monkeypatch, **kernel)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    (tmp_path / "here").mkdir()
    assert cli_record.main(["-o", str(tmp_path / "here" / out), "--", command]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert (said.count("\n"), said[-2:]) == (1, ".\n")
    assert list((tmp_path / "here").iterdir()) == []
    assert list((tmp_path / "kernel/tracing/instances").iterdir()) == []


def test_a_recording_of_nothing_names_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_kernel(tmp_path / "kernel", monkeypatch)
    (tmp_path / "here").mkdir()
    out = tmp_path / "here" / "x.parquet"
    assert cli_record.main(["-o", str(out), "--level", "maps", "--", "false"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"iova: {out}: ")
    assert last.endswith("Record while a device is at work.")
    assert list(out.parent.iterdir()) == []


def test_a_command_that_fails_ends_the_recording_and_its_status_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_kernel(tmp_path / "kernel", monkeypatch)
    assert cli_record.main(["-o", str(tmp_path / "x.iovaring"), "--", "sh", "-c", "exit 3"]) == 0
    assert "the command ended, with status 3" in capsys.readouterr().err


def test_a_trace_that_can_not_be_written_leaves_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(monkeypatch)
    out = tmp_path / "x.parquet"

    def full(_raw: Path, out: str, **_given: object) -> None:
        raise InputError(out, "cannot be written: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr("iova.sources.convert.convert", full)
        assert cli_record.main(["-o", str(out)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet.iovaring"]
    assert "`iova convert` makes a trace of it" in capsys.readouterr().err
    assert run_iova("convert", tmp_path / "x.parquet.iovaring", out).returncode == 0


def test_the_kernel_words_are_printed_by_the_command() -> None:
    done = run_iova("record", "--print-cmdline")
    assert done.returncode == 0
    assert done.stdout.startswith('trace_clock=mono kprobe_event="p:b_init,')


def test_the_command_lists_it_and_helps_within_80_columns() -> None:
    assert "record " in run_iova("--help").stdout
    lines = run_iova("record", "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("--print-cmdline" in line for line in lines)
