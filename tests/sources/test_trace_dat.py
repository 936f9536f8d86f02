"""``trace.dat`` by way of trace-cmd: the tool's text is taken, and its failures are told."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from importer_samples import content, sample, trace_cmd_that

from commands import iova, run_iova
from iova.errors import InputError
from iova.sources import load
from iova.sources.trace_dat import TraceDat

DAT = b"\x17\x08\x44tracing6\x00\x00\x08" + bytes(64)

#: ``make check`` installs it and sets this, so that there it is never skipped.
needs_trace_cmd = pytest.mark.skipif(
    shutil.which("trace-cmd") is None and "IOVA_TEST_TRACE_CMD" not in os.environ,
    reason="trace-cmd is not installed (apt install trace-cmd); make check installs it",
)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that prints a real report; its arguments are in the file ``asked``."""
    (tmp_path / "report.txt").write_bytes(content("trace-cmd-report.txt"))
    folder = shlex.quote(str(tmp_path))
    tool = trace_cmd_that(
        tmp_path,
        f'echo "$*" >> {folder}/asked',
        "case $* in",
        '*--uname*) echo "Linux host 6.1.0-50-amd64 x86_64";;',
        '*--stat*) printf "CPU: 0\\noverrun: 0\\ncommit overrun: 0\\ndropped events: 0\\n";;',
        f"*) cat {folder}/report.txt;;",
        "esac",
    )
    monkeypatch.setenv("PATH", f"{tool}:{os.environ['PATH']}")
    return tmp_path / "asked"


# ------------------------------------------------------------------------- the tool itself


@needs_trace_cmd
def test_a_file_of_trace_cmd_holds_what_its_report_prints() -> None:
    dat, text = load(sample("trace.dat")), load(sample("trace-cmd-report.txt"))
    assert dat.report.events == text.report.events
    columns = ["cpu", "op", "domain", "size", "pfn", "slot", "depot"]
    assert dat.trace.events.select(columns).equals(text.trace.events.select(columns))
    micros = (dat.trace.events["t"] + 500) // 1000 * 1000  # the report rounds
    assert micros.equals(text.trace.events["t"])
    info = dat.trace.info
    assert (info.source, info.kernel, info.cpus_possible) == (
        "trace.dat",
        "6.12.117+deb12-amd64",
        4,
    )


@needs_trace_cmd
def test_the_overruns_it_recorded_are_losses() -> None:
    with pytest.raises(InputError, match="at least 1455 events were lost"):
        load(sample("trace-lossy.dat"))


@needs_trace_cmd
def test_a_file_that_was_cut_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cut.dat").write_bytes(content("trace.dat")[:-20000])
    with pytest.raises(InputError, match="trace-cmd stopped here"):
        load(tmp_path / "cut.dat")


# --------------------------------------------------------------------------- in our hands


def test_files_pipes_and_packed_files_reach_the_tool(report: Path, tmp_path: Path) -> None:
    (tmp_path / "-i.dat").write_bytes(DAT)
    shutil.copy(sample("trace.dat"), tmp_path / "packed")
    expected = load(sample("trace-cmd-report.txt")).trace.events
    piped = run_iova("convert", "-", "out.parquet", cwd=tmp_path, stdin=DAT)
    assert piped.returncode == 0, piped.stderr
    assert pl.read_parquet(tmp_path / "out.parquet").equals(expected)
    for name in ("-i.dat", "packed"):
        loaded = load(tmp_path / name)
        assert loaded.trace.events.equals(expected)
        assert loaded.trace.info.kernel == "6.1.0-50-amd64"
    asked = report.read_text().splitlines()
    assert f"report -N -t -i {tmp_path}/-i.dat" in asked
    put_aside = {line.rsplit(" ", 1)[1] for line in asked} - {f"{tmp_path}/-i.dat"}
    assert put_aside
    assert not any(Path(path).exists() for path in put_aside)


def test_without_the_tool_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dat").write_bytes(DAT)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = iova("info", tmp_path / "a.dat", status=2)
    assert told.count("\n") == 1
    assert "Install trace-cmd" in told


def test_a_tool_that_fails_half_way_leaves_the_good_part_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dat").write_bytes(DAT)
    (tmp_path / "report.txt").write_bytes(content("trace-cmd-report.txt"))
    told = r"printf 'bad\033[2Jpage\n' >&2"
    tool = trace_cmd_that(tmp_path, f"cat {shlex.quote(str(tmp_path))}/report.txt", told, "exit 22")
    monkeypatch.setenv("PATH", f"{tool}:{os.environ['PATH']}")
    (problem,) = load(tmp_path / "a.dat").report.incomplete
    assert problem == "trace-cmd stopped here (bad[2Jpage)"
    assert "iova: " not in iova("convert", tmp_path / "a.dat", tmp_path / "out", status=3)


def test_a_reader_that_stops_ends_the_tool(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    tool = trace_cmd_that(tmp_path, f"echo $$ > {shlex.quote(str(pid_file))}", "exec yes x")
    text = TraceDat(str(tool / "trace-cmd"), tmp_path / "a.dat").text(None)
    next(text)
    pid = int(pid_file.read_text())
    assert Path(f"/proc/{pid}").exists()
    text.close()  # type: ignore[attr-defined]
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(printed=st.binary(max_size=2000), status=st.integers(0, 3), said=st.binary(max_size=200))
def test_whatever_the_tool_prints_the_answer_is_one_error(
    tmp_path: Path, printed: bytes, status: int, said: bytes
) -> None:
    (tmp_path / "printed").write_bytes(printed)
    (tmp_path / "said").write_bytes(said)
    folder = shlex.quote(str(tmp_path))
    tool = trace_cmd_that(
        tmp_path, f"cat {folder}/printed", f"cat {folder}/said >&2", f"exit {status}"
    )
    (tmp_path / "a.dat").write_bytes(DAT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tool}:{os.environ['PATH']}")
        with pytest.raises(InputError, match="no event of the IOVA allocator") as caught:
            load(tmp_path / "a.dat")
    assert str(caught.value).isprintable()
    assert ("trace-cmd stopped here" in str(caught.value)) == (status != 0)
