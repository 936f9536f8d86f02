"""Every command, tried with files that are no trace, names that are no file, and worse.

The table below is the list of what was tried. Each case ends with status 2 and one sentence on
standard error that names what is wrong; nothing is printed, no file appears, none is changed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from bad_inputs import BAD_OPTIONS, FOREIGN, NAMES
from commands import run_here
from fake_tracefs import fake_tracefs
from iova import cli_record
from iova.sources import pieces, text
from iova.sources.formats import Format
from iova.sources.parquet import write_parquet
from rights import bound_by_permissions
from tables import filling_depot, trace_of

#: A SOURCE stands where this stands; OUT is a file that exists and must be kept.
SOURCE: Final = "SOURCE"
KEPT: Final = "kept.parquet"
KEPT_TRACE: Final = "kept.pftrace"
KEPT_PAGE: Final = "kept.html"

#: Commands that read a trace.
READING: Final[dict[str, Sequence[str]]] = {
    "info": ("info", SOURCE),
    "info --json": ("info", SOURCE, "--json"),
    "convert": ("convert", SOURCE, KEPT),
    "convert to Perfetto": ("convert", SOURCE, KEPT_TRACE),
    **{f"convert --format {kind}": ("convert", SOURCE, KEPT, "--format", kind) for kind in Format},
    "verify": ("verify", SOURCE),
    "verify --json": ("verify", SOURCE, "--json", "--design", "linux-6.12"),
    "compare": ("compare", SOURCE),
    "compare --html": ("compare", SOURCE, "--html", KEPT_PAGE),
    "explain": ("explain", SOURCE),
    "explain --json": ("explain", SOURCE, "--json", "--design", "linux-6.12"),
    "tune": ("tune", SOURCE, "--trials", "1"),
    "top": ("top", SOURCE, "--plain"),
    "top --json": ("top", SOURCE, "--json", "--count", "1"),
}

#: Commands that read another kind of file: it is FILE.
READING_OTHERS: Final[dict[str, Sequence[str]]] = {
    "info, a workload": ("info", "FILE.toml"),
    "convert, a workload": ("convert", "FILE.toml", KEPT),
    "compare, a workload": ("compare", "FILE.toml", "--html", KEPT_PAGE),
    "explain, a workload": ("explain", "FILE.toml"),
    "tune, a workload": ("tune", "FILE.toml"),
    "compare --prices": ("compare", "board-4", "--prices", "FILE"),
    "convert --prices": ("convert", "board-4", KEPT, "--prices", "FILE"),
    "explain --prices": ("explain", "board-4", "--prices", "FILE"),
    "tune --prices": ("tune", "board-4", "--prices", "FILE"),
    "compare --against": ("compare", "burst8-6.12", "--against", "FILE", "--html", KEPT_PAGE),
    "sweep": ("sweep", "FILE.toml", "--out", KEPT),
}


def folder_with_kept_files(path: Path) -> dict[str, bytes]:
    for name in (KEPT, KEPT_TRACE, KEPT_PAGE):
        (path / name).write_bytes(f"{name}, as it was".encode())
    (path / "a-file").write_bytes(b"not a folder")
    return contents(path)


def contents(path: Path) -> dict[str, bytes]:
    """What the output files hold, and the names of all others."""
    return {
        one.name: one.read_bytes() if one.name.startswith("kept") else b""
        for one in sorted(path.iterdir())
    }


def refused(command: Sequence[str], folder: Path, named: str) -> None:
    before = contents(folder)
    assert_refused(run_here(*command, cwd=folder), named)
    assert contents(folder) == before


def assert_refused(done: subprocess.CompletedProcess[str], named: str) -> None:
    """Status 2, and one line that is a sentence, names the thing and holds no control character."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    told = done.stderr
    assert told.startswith("iova: ")
    assert told.endswith(".\n")
    assert told.count("\n") == 1
    assert told[:-1].isprintable()
    assert named in told


@pytest.fixture(autouse=True)
def _a_kernel(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be recorded if nothing else were wrong, wherever the tests run."""
    monkeypatch.setattr(
        cli_record, "find_tracefs", lambda: fake_tracefs(tmp_path_factory.mktemp("kernel"))
    )


@pytest.fixture(autouse=True)
def _less_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what has no end, so that a thousand cases stay quick."""
    monkeypatch.setattr(text, "HOPELESS", 1 << 20)
    monkeypatch.setattr(pieces, "MAX_STREAMED", 1 << 24)


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("command", READING)
def test_a_file_that_is_no_trace_is_refused(command: str, kind: str, tmp_path: Path) -> None:
    folder_with_kept_files(tmp_path)
    FOREIGN[kind](tmp_path / "input")
    refused([one.replace(SOURCE, "input") for one in READING[command]], tmp_path, "input")


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("command", READING)
def test_a_name_that_is_no_file_is_refused(command: str, kind: str, tmp_path: Path) -> None:
    folder_with_kept_files(tmp_path)
    refused([one.replace(SOURCE, NAMES[kind]) for one in READING[command]], tmp_path, "")


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("command", READING_OTHERS)
def test_a_file_of_another_kind_is_refused(command: str, kind: str, tmp_path: Path) -> None:
    folder_with_kept_files(tmp_path)
    name = "input.toml" if "FILE.toml" in READING_OTHERS[command] else "input"
    FOREIGN[kind](tmp_path / name)
    told = [one.replace("FILE.toml", "FILE") for one in READING_OTHERS[command]]
    refused([one.replace("FILE", name) for one in told], tmp_path, name)


#: What a shell can not open can not be standard input.
OPENED: Final = [
    kind for kind in FOREIGN if kind not in ("folder", "socket") and "link" not in kind
]


@pytest.mark.parametrize("kind", OPENED)
def test_standard_input_that_is_no_trace_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with_kept_files(tmp_path)
    made = tmp_path / "input"
    FOREIGN[kind](made)
    with made.open("rb") as file:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
        refused(("convert", "-", KEPT), tmp_path, "-")


@pytest.mark.parametrize("command", READING)
def test_a_stream_of_anything_is_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with_kept_files(tmp_path)
    for content in (b"", bytes(100_000), b"PAR1" + bytes(5000), b"\x28\xb5\x2f\xfd" + bytes(50)):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        refused([one.replace(SOURCE, "-") for one in READING[command]], tmp_path, "-")


def test_a_stream_that_does_not_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "MAX_STREAMED", 1 << 20)
    with Path("/dev/zero").open("rb") as zeros:
        start = io.BytesIO(b"PAR1")
        endless = SimpleNamespace(
            fileno=zeros.fileno,
            readinto=lambda into: start.readinto(into) or zeros.readinto(into),
            read=zeros.read,
        )
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=endless))
        refused(("info", "-"), tmp_path, "is a stream of more than 0 GiB")


def test_standard_input_that_is_closed_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "iova", "convert", "-", "out.parquet"]
    done = subprocess.run(
        command, capture_output=True, cwd=tmp_path, timeout=60, preexec_fn=lambda: os.close(0)
    )
    assert done.returncode == 2
    assert done.stderr == b"iova: -: cannot be read: standard input is closed.\n"
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------- outputs

#: Made at a path at which a command is to write a file.
BAD_OUTPUTS: Final[dict[str, Callable[[Path], object]]] = {
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a socket": FOREIGN["socket"],
    "a link to itself": FOREIGN["link to itself"],
    "a link to a device": lambda path: path.symlink_to("/dev/null"),
    "a link into a folder that is missing": lambda path: path.symlink_to("no/such/folder"),
}
BAD_OUTPUT_NAMES: Final[dict[str, str]] = {
    "standard output": "-",
    "no name": "",
    "in a folder that is missing": "no/such/folder/out",
    "in a file, as if it were a folder": "a-file/out",
    "in a folder that nothing can be written to": "/proc/out",
    "too long": "x" * 300,
    "an input": "small.parquet",
}
WRITING: Final[dict[str, tuple[Sequence[str], str]]] = {
    "convert": (("convert", "small.parquet", "OUT"), ""),
    "convert to Perfetto": (
        ("convert", "small.parquet", "OUT", "--design", "linux-6.12"), ".pftrace"
    ),
    "convert a workload": (("convert", "board-4", "OUT", "--set", "duration_s=0.001"), ""),
    "compare --html": (("compare", "small.parquet", "--html", "OUT"), ""),
    "sweep --out": (("sweep", "fleet.toml", "--out", "OUT"), ""),
    "record": (("record", "-o", "OUT", "--duration", "1"), ""),
    "record raw pages": (("record", "-o", "OUT", "--duration", "1"), ".iovaring"),
}  # fmt: skip


#: Of a preset, and of this machine's kernel.
WITHOUT_INPUT: Final = ("convert a workload", "record", "record raw pages")


def folder_with_a_trace(path: Path) -> None:
    (path / "a-file").write_bytes(b"not a folder")
    write_parquet(trace_of(*filling_depot(1)), path / "small.parquet")
    (path / "fleet.toml").write_text(
        '[[source]]\nsource = "small.parquet"\n[[design]]\ndesign = "linux-6.12"\n'
    )


@pytest.mark.parametrize("kind", BAD_OUTPUTS)
@pytest.mark.parametrize("command", WRITING)
def test_what_is_no_file_is_not_written_to(command: str, kind: str, tmp_path: Path) -> None:
    folder_with_a_trace(tmp_path)
    told, suffix = WRITING[command]
    out = f"kept{suffix}" if kind != "a folder" else f"folder{suffix}"
    BAD_OUTPUTS[kind](tmp_path / out)
    before = sorted(tmp_path.iterdir())
    done = run_here(*(one.replace("OUT", out) for one in told), cwd=tmp_path)
    assert_refused(done, out)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (command, kind)
        for command in WRITING
        for kind in BAD_OUTPUT_NAMES
        if kind != "an input" or command not in WITHOUT_INPUT
    ],
)
def test_a_name_that_can_not_be_written_is_refused(command: str, kind: str, tmp_path: Path) -> None:
    folder_with_a_trace(tmp_path)
    told, suffix = WRITING[command]
    name = BAD_OUTPUT_NAMES[kind]
    if suffix and kind == "an input":
        Path(tmp_path / "small.parquet").rename(tmp_path / f"small{suffix}")
        told = [one.replace("small.parquet", f"small{suffix}") for one in told]
        name = f"small{suffix}"
    elif suffix and kind not in ("standard output", "no name"):
        name += suffix
    before = contents(tmp_path)
    assert_refused(run_here(*(one.replace("OUT", name) for one in told), cwd=tmp_path), "")
    assert contents(tmp_path) == before


# -------------------------------------------------------------------------------- options


@pytest.mark.parametrize("command", BAD_OPTIONS)
def test_a_value_that_can_not_be_is_refused(command: str, tmp_path: Path) -> None:
    folder_with_a_trace(tmp_path)
    before = contents(tmp_path)
    done = run_here(*command.split(), cwd=tmp_path)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert BAD_OPTIONS[command] in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 or done.stderr.startswith("Usage: iova")
    assert contents(tmp_path) == before


# ------------------------------------------------------------------------------ permission


@pytest.mark.parametrize("command", READING)
def test_a_file_that_may_not_be_read_is_refused(command: str, tmp_path: Path) -> None:
    folder_with_kept_files(tmp_path)
    (tmp_path / "input").write_bytes(b"secret")
    (tmp_path / "input").chmod(0)
    with bound_by_permissions():
        told = "input: cannot be read: Permission denied"
        refused([one.replace(SOURCE, "input") for one in READING[command]], tmp_path, told)


@pytest.mark.parametrize("command", WRITING)
def test_a_folder_that_may_not_be_written_to_is_refused(command: str, tmp_path: Path) -> None:
    folder_with_a_trace(tmp_path)
    tmp_path.chmod(0o555)
    told, suffix = WRITING[command]
    with bound_by_permissions():
        done = run_here(*(one.replace("OUT", f"out{suffix}") for one in told), cwd=tmp_path)
    tmp_path.chmod(0o755)
    assert_refused(done, "out")
    assert "Permission denied" in done.stderr
    assert not list(tmp_path.glob("*out*"))


def test_a_sweep_names_every_source_that_is_no_trace(tmp_path: Path) -> None:
    kinds = [kind for kind in FOREIGN if "1 TiB" not in kind]  # a sweep hashes its sources
    spec = '[[design]]\ndesign = "linux-6.12"\n'
    for number, kind in enumerate(kinds):
        FOREIGN[kind](tmp_path / f"input{number}")
        spec += f'[[source]]\nsource = "input{number}"\n'
    spec += '[[source]]\nsource = "/dev/zero"\n'
    (tmp_path / "fleet.toml").write_text(spec)
    done = run_here("sweep", "fleet.toml", "--jobs", "1", "--json", cwd=tmp_path)
    assert done.returncode == 3, done
    failed = {one["source"]: one["error"] for one in json.loads(done.stdout)["failed"]}
    assert list(failed) == [*(f"input{number}" for number in range(len(kinds))), "/dev/zero"]
    for name, error in failed.items():
        assert error.startswith((f"{name}:", f"{tmp_path / name}:"))
        assert "Traceback" not in error
    assert "is no file" in failed["/dev/zero"]
    assert "is no file" in failed[f"input{kinds.index('FIFO with no trace in it')}"]
    assert "Traceback" not in done.stderr
