"""The command: what it prints, its exit status, and what it says when something is wrong."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import zstandard

from commands import assert_refused, iova, run_here, run_iova
from iova import _core
from iova.events import DomainInfo
from iova.sources.parquet import write_parquet
from tables import alloc, filling_depot, free, trace_of
from waiting import eventually

DATA = Path(__file__).parent / "data"
TRACE = DATA / "traces" / "small4-6.12.txt.zst"


#: Commands that run the design of :func:`running_a_policy_that`.
RUNNING_POLICIES: Final = (
    ("compare", "burst8-6.12", "--design", "never:Never"),
    ("compare", "scsi-256", "--design", "never:Never"),
    ("tune", "burst8-6.12", "--design", "never:Never", "--param", "n=1..9", "--trials", "4"),
    ("sweep", "never.toml", "--jobs", "2"),
)

#: Of one design.
PARAMETERS_TURNED: Final = ("threshold=1,delay_ms=10", "delay_ms=10,threshold=1")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small trace file."""
    path = tmp_path / "small.parquet"
    write_parquet(trace_of(*filling_depot(3)), path)
    return path


# ------------------------------------------------------------------------------- compare


def test_compare_prints_one_row_a_design_within_80_columns() -> None:
    lines = iova("compare", "burst8-6.12").splitlines()
    assert all(len(line) <= 80 for line in lines)
    rows = [line.split() for line in lines if line.startswith(("linux", "unbounded"))]
    assert [row[0] for row in rows] == ["linux-6.1", "unbounded", "linux-6.12", "linux-7.3"]
    assert all(len(row) == 11 for row in rows)
    assert "  waste   mean cached pages / peak live pages" in lines


def test_the_readme_shows_what_the_demo_prints() -> None:
    printed = "\n".join(line.rstrip() for line in iova("compare", "burst8-6.12").splitlines())
    assert printed.strip() in (DATA.parent.parent / "README.md").read_text()


def test_compare_gives_json_with_the_same_designs(small: Path) -> None:
    compared = json.loads(iova("compare", small, "--design", "linux-6.1,depot=1", "--json"))
    (design,) = compared["comparisons"][0]["designs"]
    assert design["design"] == "linux-6.1,depot=1"
    assert design["depot_peak"] == 1
    assert design["allocations"] == 127 * 4 + 1


def test_compare_writes_a_page_and_leaves_nothing_else(small: Path) -> None:
    page = small.parent / "out" / "report.html"
    page.parent.mkdir()
    output = iova("compare", small, small, "--html", page)
    assert f"report: {page}" in output.replace("\n", "")
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
    assert page.stat().st_size < 3_000_000


def test_compare_runs_a_user_s_design(small: Path) -> None:
    (small.parent / "mine.py").write_text(
        "from iova.designs import Decision\n"
        "class Mine:\n"
        "    def look(self, view):\n"
        "        return Decision(release=1)\n"
    )
    output = iova("compare", small, "--design", "mine:Mine", cwd=small.parent)
    assert "Mine" in output


def test_a_user_s_design_that_raises_is_told_in_one_sentence(small: Path) -> None:
    (small.parent / "broken.py").write_text(
        "class Broken:\n    arm_delay_ns = 1\n    def look(self, view):\n        return 1 // 0\n"
    )
    told = iova("compare", small, "--design", "broken:Broken", cwd=small.parent, status=2)
    assert "Broken" in told
    assert "ZeroDivisionError" in told
    assert "Traceback" not in told


def test_what_a_user_s_design_prints_does_not_spoil_the_output(small: Path) -> None:
    (small.parent / "chatty.py").write_text(
        "print('loaded')\n"
        "class Chatty:\n"
        "    arm_delay_ns = 1\n"
        "    def __init__(self):\n"
        "        print('made')\n"
        "    def look(self, view):\n"
        "        print('looked')\n"
    )
    for source in (small, "board-4"):
        options = ["--set", "duration_s=0.5"] if source == "board-4" else []
        done = run_iova(
            "compare", source, *options, "--design", "chatty:Chatty", "--json", cwd=small.parent
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["comparisons"]
        assert {"loaded", "made", "looked"} <= set(done.stderr.split())


@pytest.mark.parametrize("where", ["__init__", "look", "loading"])
def test_a_user_s_design_can_not_end_the_command(small: Path, where: str) -> None:
    leave = "import sys; sys.exit('enough')"
    (small.parent / "leaves.py").write_text(
        f"{leave if where == 'loading' else ''}\n"
        "class Leaves:\n"
        "    arm_delay_ns = 1\n"
        "    def __init__(self):\n"
        f"        {leave if where == '__init__' else 'pass'}\n"
        "    def look(self, view):\n"
        f"        {leave if where == 'look' else 'pass'}\n"
    )
    done = run_iova("compare", small, "--design", "leaves:Leaves", cwd=small.parent)
    assert done.returncode == 2
    assert "SystemExit" in done.stderr
    assert "enough" in done.stderr


@pytest.mark.parametrize("how", ["pass", "time.sleep(1)"])
@pytest.mark.parametrize("command", RUNNING_POLICIES)
def test_ctrl_c_ends_a_policy_that_never_decides(
    command: Sequence[str], how: str, tmp_path: Path
) -> None:
    process = running_a_policy_that(f"while True: {how}", command, tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, out, told = ended(process)
    assert (status, out) == (130, "")
    kept = {"sweep": "iova: 0 of 1 cells are done and kept in never.parquet.journal; the same"
            " command goes on from there\n"}  # fmt: skip
    assert told == kept.get(command[0], "") + "iova: stopped\n"
    assert_processes_are_gone(tmp_path)


@pytest.mark.parametrize("command", RUNNING_POLICIES)
def test_sigterm_in_a_policy_is_not_the_policy_s(command: Sequence[str], tmp_path: Path) -> None:
    process = running_a_policy_that("while True: pass", command, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (143, "", "")
    assert_processes_are_gone(tmp_path)


@pytest.mark.parametrize("where", ["__init__", "look", "loading"])
def test_a_user_s_design_may_raise_what_is_no_exception(small: Path, where: str) -> None:
    fail = "raise BaseException('odd')"
    (small.parent / "odd.py").write_text(
        f"{fail if where == 'loading' else ''}\n"
        "class Odd:\n"
        "    arm_delay_ns = 1\n"
        "    def __init__(self):\n"
        f"        {fail if where == '__init__' else 'pass'}\n"
        "    def look(self, view):\n"
        f"        {fail if where == 'look' else 'pass'}\n"
    )
    for source in (small, "scsi-256"):
        told = iova("compare", source, "--design", "odd:Odd", cwd=small.parent, status=2)
        assert "BaseException: odd" in told
        assert told.count("\n") == 1


def running_a_policy_that(does: str, command: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    """The command in the midst of a design's ``look()``."""
    (folder / "never.py").write_text(
        "import os, pathlib, time\n"
        "class Never:\n"
        "    def __init__(self, n=1):\n"
        "        pass\n"
        "    def look(self, view):\n"
        "        pathlib.Path(f'looks-{os.getpid()}').touch()\n"
        f"        {does}\n"
    )
    (folder / "never.toml").write_text(
        '[[source]]\nsource = "burst8-6.12"\n[[design]]\ndesign = "never:Never"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "iova", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    eventually(lambda: any(folder.glob("looks-*")), 60)
    return process


def assert_processes_are_gone(folder: Path) -> None:
    """Whoever looked has ended, a sweep's workers included."""
    for looked in folder.glob("looks-*"):
        process = Path("/proc", looked.name.removeprefix("looks-"))
        eventually(lambda process=process: not process.exists(), 20)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit status and what it said, if it ends in good time."""
    try:
        out, error = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, out, error


# --------------------------------------------------------------------- verify, convert, info


def test_verify_of_a_trace_ends_in_the_verdict_and_is_the_same_for_its_parquet(
    tmp_path: Path,
) -> None:
    parquet = tmp_path / "trace.parquet"
    iova("convert", TRACE, parquet)
    from_text, from_parquet = (iova("verify", path).splitlines()[-1] for path in (TRACE, parquet))
    assert from_text == from_parquet
    assert from_text.startswith("exact 12072 of 12072; by timestamps alone ")
    assert from_text.endswith("state before the trace 0; unexplained 0")


def test_verify_of_a_folder_ends_in_the_count_and_fails_on_a_difference(tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    folder.mkdir()
    for name in ("s17_start_zero", "s19_edge_limits"):
        for source in (DATA / "conformance").glob(f"{name}.*"):
            (folder / source.name).write_bytes(source.read_bytes())
    lines = iova("verify", folder).splitlines()
    assert lines[-1] == "2 of 2 exact"
    assert len(lines) == 3
    shared = (folder / "s17_start_zero.csv.zst", folder / "s19_edge_limits.csv.zst")
    shared[0].write_bytes(shared[1].read_bytes())
    assert iova("verify", folder, status=1).splitlines()[-1] == "1 of 2 exact"


def test_verify_says_in_words_what_it_can_not_explain() -> None:
    told = run_here("verify", TRACE, "--design", "linux-6.1").stdout
    (line,) = [line for line in told.splitlines() if line.startswith("first unexplained: ")]
    where = r"row \d+ \(domain \d+, CPU \d, \d+\.\d{9} s\)"
    assert re.fullmatch(rf"first unexplained: {where}: recorded is .+, the replay has .+", line)


def test_verify_under_the_wrong_design_says_no() -> None:
    last = iova("verify", TRACE, "--design", "linux-6.1", status=1).splitlines()[-1]
    assert not last.endswith("unexplained 0")
    verdict = json.loads(iova("verify", TRACE, "--design", "linux-6.1", "--json", status=1))
    assert verdict["verdicts"][0]["exact"] is False
    assert verdict["verdicts"][0]["unexplained"] > 0


def test_convert_reads_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert run_iova("convert", "-", out, stdin=TRACE.read_bytes()).returncode == 0
    assert json.loads(iova("info", out, "--json"))["allocs"] == 12072


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A trace of which one line is cut off."""
    text = zstandard.ZstdDecompressor().stream_reader(TRACE.read_bytes()).read()
    lines = text.split(b"\n")
    lines[5000] = lines[5000][:90]
    path = tmp_path / "damaged.txt"
    path.write_bytes(b"\n".join(lines))
    return path


def test_convert_writes_the_good_rest_of_a_damaged_trace_and_exits_with_3(damaged: Path) -> None:
    out = damaged.with_name("out.parquet")
    iova("convert", damaged, out, status=3)
    assert json.loads(run_here("info", out, "--json").stdout)["allocs"] >= 12071


@pytest.mark.parametrize("as_json", [False, True])
def test_info_and_compare_of_a_damaged_trace_exit_with_3_as_well(
    damaged: Path, as_json: bool
) -> None:
    options = ["--json"] if as_json else []
    parquet = damaged.with_name("out.parquet")
    iova("convert", damaged, parquet, status=3)
    for source in (damaged, parquet):
        for verb in ("info", "compare"):
            done = run_here(verb, source, *options)
            assert done.returncode == 3
            assert "malformed" in done.stdout + done.stderr
            if as_json:
                assert json.loads(done.stdout)


def test_every_verb_says_that_the_end_of_a_trace_is_missing(tmp_path: Path) -> None:
    cut = tmp_path / "cut.zst"
    cut.write_bytes(TRACE.read_bytes()[: TRACE.stat().st_size // 2])
    cut.with_suffix(".json").write_bytes((TRACE.parent / "small4-6.12.json").read_bytes())
    for verb, status in (("info", 3), ("explain", 3), ("compare", 3), ("verify", 1)):
        done = run_here(verb, cut, *(["--design", "linux-6.12"] if verb == "compare" else []))
        assert done.returncode == status, verb
        told = " ".join((done.stdout + done.stderr).split())
        assert "the compressed data ends early" in told, verb
        assert "of the 84095 entries that its header announces are missing" in told, verb
        assert "cut.zst:0" not in told, verb
    iova("convert", cut, tmp_path / "cut.parquet", status=3)
    assert "NOT WHOLE: the compressed data" in run_here("info", tmp_path / "cut.parquet").stdout


def test_what_is_missing_of_a_trace_stands_beside_the_answer(tmp_path: Path) -> None:
    cut = tmp_path / "cut.zst"
    cut.write_bytes(TRACE.read_bytes()[: TRACE.stat().st_size // 2])
    page = tmp_path / "page.html"
    options = ("--design", "linux-6.12", "--html", page)
    told, mail, as_json = (
        run_here("compare", cut, *options, *more).stdout for more in ([], ["--text"], ["--json"])
    )
    missing = "entries that its header announces are missing"
    (found,) = json.loads(as_json)["comparisons"]
    assert missing in found["warnings"][0]
    assert found["incomplete"][0] == "the compressed data ends early"
    assert found["malformed"] == 1
    assert missing in " ".join(told.split("  design ")[0].split())
    assert missing in " ".join(mail.split("\n\n")[0].split())
    assert max(map(len, mail.splitlines())) <= 72
    opening = page.read_text().partition("<h2>")[0]
    assert re.search(rf'<p class="answer">[^<]+</p><p class="warning">[^<]+{missing}', opening)


def test_losses_that_were_allowed_are_warnings_as_well(tmp_path: Path) -> None:
    path = tmp_path / "lossy.parquet"
    write_parquet(trace_of(*filling_depot(2), lost_events=7, allowed_loss=True), path)
    assert "7 events were lost" in iova("compare", path, status=2)
    (found,) = json.loads(iova("compare", path, "--allow-lost", "--json"))["comparisons"]
    assert "7 events were lost while it was recorded" in found["warnings"][0]


@pytest.mark.parametrize(
    "arguments", [["convert", TRACE, "-"], ["compare", "burst8-6.12", "--html", "-"]]
)
def test_standard_output_is_no_file_to_write(arguments: list[object], tmp_path: Path) -> None:
    assert "Give the file's name" in iova(*arguments, status=2, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_control_characters_of_a_file_s_name_are_escaped(tmp_path: Path) -> None:
    name = "a\x1b[31m\nb"
    hostile = tmp_path / f"{name}.parquet"
    write_parquet(trace_of(*filling_depot(3)), hostile)
    shown = "a\\x1b[31m\\nb"
    for arguments, status in (
        (["compare", hostile], 0),
        (["info", hostile], 0),
        (["verify", hostile, "--design", "linux-6.12"], 0),
        (["convert", hostile, tmp_path / f"{name}.out"], 0),
        (["info", f"{name}.absent"], 2),
        (["compare", TRACE, "--html", tmp_path / f"{name}.html"], 0),
    ):
        done = run_here(*arguments, cwd=tmp_path)
        assert done.returncode == status, done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert shown in (done.stdout + done.stderr).replace("\n", "").replace("  ", "")


def test_info_tells_what_a_trace_holds() -> None:
    output = iova("info", TRACE)
    assert "6.12" in output
    assert "12072" in output
    assert "63.6 %" in output
    assert all(len(line) <= 80 for line in output.splitlines())


def test_list_names_designs_and_samples() -> None:
    output = iova("list")
    assert "threshold" in output
    assert "burst8-6.12" in output
    designs = json.loads(iova("list", "designs", "--json"))["designs"]
    assert designs[0]["name"] == "linux-6.1"


def test_the_version_names_library_sources_compiler_and_rseq() -> None:
    printed = run_iova("--version").stdout
    first, *rest = printed.splitlines()
    assert first == f"iova {_core.VERSION}"
    told = dict(line.split(maxsplit=1) for line in rest)
    assert set(told) == {"commit", "compiler", "rseq", "python"}
    assert re.fullmatch(r"not known|[0-9a-f]{40,64}(-dirty)?", told["commit"])
    assert re.fullmatch(r"(gcc|clang) [0-9.]+", told["compiler"])
    assert told["python"].startswith(f"CPython {platform.python_version()}")
    assert told["rseq"] == ("yes" if _core.uses_rseq() else "no")


def test_without_restartable_sequences_the_version_says_so() -> None:
    command = [sys.executable, "-m", "iova", "--version"]
    off = os.environ | {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
    done = subprocess.run(command, env=off, capture_output=True, text=True, timeout=60)
    assert "\nrseq      no\n" in done.stdout


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "absent"], "absent: "),
        (["compare"], "Missing argument"),
        (["frobnicate"], "No such command"),
        (["compare", "burst8-6.12", "--design", "linux-9"], "Known: linux-6.1"),
        (["compare", "burst8-6.12", "--domain", "77"], "its domains: 0, 1, 2, 3, 4, 5"),
        (["compare", "burst8-6.12", "--html", "/no/such/folder/x.html"], "/no/such/folder"),
        (["convert", "absent", "out.parquet"], "absent: "),
        (["info", "."], "."),
        (["list", "nothing"], "Known: designs, presets, samples, schemas"),
        (["verify", "absent"], "absent: "),
    ],
)
def test_an_error_is_one_line_that_names_the_thing(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    assert_refused(*arguments, told=told, cwd=tmp_path)


def test_a_file_that_is_no_trace_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    junk, out = tmp_path / "junk", tmp_path / "out.parquet"
    for content in (b"", b"\x00\xff" * 5000, b"PAR1 but not really", b"hello\nworld\n"):
        junk.write_bytes(content)
        assert str(junk) in iova("convert", junk, out, status=2)
        assert not out.exists()


def test_a_perfetto_trace_is_called_one(small: Path) -> None:
    written = small.parent / "small.pftrace"
    iova("convert", small, written, "--design", "linux-6.12")
    for verb in ("compare", "info"):
        told = iova(verb, written, status=2)
        assert "is a Perfetto trace, which is written but not read." in told


def test_an_input_is_not_overwritten_by_the_report(small: Path) -> None:
    before = small.read_bytes()
    assert "is an input as well" in iova("compare", small, "--html", small, status=2)
    assert small.read_bytes() == before


def test_a_link_is_written_through(small: Path) -> None:
    link = small.parent / "link.parquet"
    link.symlink_to(small.parent / "real.parquet")
    iova("convert", small, link)
    assert link.is_symlink()
    assert (small.parent / "real.parquet").is_file()


def test_a_trace_of_which_nothing_can_be_predicted_is_not_exact(tmp_path: Path) -> None:
    path = tmp_path / "late.parquet"
    rows = [alloc(1, 0, t_end=2, pfn=0xFFFFF), free(3, 0, t_end=4, pfn=0xFFFFF)]
    write_parquet(trace_of(*rows, domains=(DomainInfo(0, born=False),), kernel="6.12.1"), path)
    output = iova("verify", path, status=1)
    assert "1 address can not be predicted" in output


def test_something_that_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for arguments in (("convert", TRACE, pipe), ("compare", TRACE, "--html", pipe)):
        assert f"{pipe}: is not a file" in iova(*arguments, status=2)
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_full_disk_is_told_with_the_file_s_name(tmp_path: Path) -> None:
    # A limit on the size of files stands for the disk: no root is needed for it.
    out = tmp_path / "out"
    for arguments in (("convert", TRACE, out), ("compare", TRACE, "--html", out)):
        done = subprocess.run(
            [sys.executable, "-m", "iova", *map(str, arguments)],
            capture_output=True,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        )
        assert done.returncode == 2, done.stderr.decode()
        assert f"{out}: cannot be written" in done.stderr.decode()
        assert list(tmp_path.iterdir()) == []


def test_a_trace_that_can_not_have_happened_is_not_trusted(tmp_path: Path) -> None:
    """Each line twice: every address is handed out while it is live."""
    lines = zstandard.ZstdDecompressor().stream_reader(TRACE.read_bytes()).read(2_000_000)
    twice = b"".join(line + b"\n" + line + b"\n" for line in lines.split(b"\n")[14:-1])
    (tmp_path / "twice.txt").write_bytes(twice)
    iova("convert", tmp_path / "twice.txt", tmp_path / "twice.parquet")
    for verb in ("explain", "compare"):
        for source in ("twice.txt", "twice.parquet"):
            done = run_here(verb, tmp_path / source, "--design", "linux-6.12")
            assert "the trace contradicts itself: of" in done.stderr, source
            assert "can not be trusted" in done.stderr
            shown = " ".join(done.stdout.split())
            assert verb == "explain" or "! The trace contradicts itself: of" in shown
        assert run_here(verb, TRACE, "--design", "linux-6.12").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("compare", "burst", "--design", "linux6.1"), "Did you mean linux-6.1?"),
        (("compare", "burst", "--design", "linux-6.12,treshold=3"), "Did you mean threshold?"),
        (("tune", "burst", "--objective", "cach"), "Did you mean cache?"),
        (("tune", "burst", "--target", "mem0ry<=9"), "Did you mean memory?"),
        (("list", "desings"), "Did you mean designs?"),
        (("compare", "brust"), "Did you mean burst?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_that_was_meant(
    arguments: tuple[str, ...], told: str
) -> None:
    assert told in iova(*arguments, status=2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("compare", "burst8-6.12", "--domain", "-1"), "greater than or equal to 0"),
        (("info", "burst", "--set", "seed=1", "--set", "seed=2"), "'seed' is given twice"),
        (("compare", "board-4", *("--design", "linux-6.1") * 2), "linux-6.1: is given twice"),
        (
            ("compare", "board-4", *(f"--design=linux-6.12,{p}" for p in PARAMETERS_TURNED)),
            "--design linux-6.12,delay_ms=10,threshold=1: is given twice",
        ),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(arguments: tuple[str, ...], told: str) -> None:
    assert told in iova(*arguments, status=2)


def test_a_page_that_can_not_be_written_takes_no_table_with_it(tmp_path: Path) -> None:
    plain = run_here("compare", TRACE)
    for option in ("--html", "--png"):
        done = subprocess.run(
            [sys.executable, "-m", "iova", "compare", str(TRACE), option, str(tmp_path / "out")],
            capture_output=True,
            timeout=100,
            text=True,
            env=os.environ | {"COLUMNS": "80"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        )
        assert done.returncode == 2
        assert done.stdout == plain.stdout
        assert done.stderr.count("\n") == 1


def test_rows_that_can_not_be_replayed_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    write_parquet(trace_of(alloc(1, 0), alloc(2, 0), free(3, 0)), path)
    for verb in (["compare"], ["explain"], ["convert"], ["top", "--count", "1"]):
        out = [tmp_path / "o.pftrace"] if verb == ["convert"] else []
        told = iova(*verb, path, *out, "--design", "linux-6.12", status=2)
        assert f"{path}: call 1 of the trace: the slot" in told, verb
        assert "again" in told


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    command = [sys.executable, "-m", "iova", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_file_behind(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    read, write = os.pipe()  # never closed while it runs, so the command waits for input
    process = subprocess.Popen(
        [sys.executable, "-m", "iova", "convert", "-", str(out)],
        stdin=read,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        os.write(write, b"# tracer: nop\n")
        wait_until_it_reads(process.pid, write)
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
    finally:
        process.kill()
        os.close(read)
        os.close(write)
    assert process.returncode == status
    assert b"Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def wait_until_it_reads(pid: int, write: int) -> None:
    """Wait until the process has taken all that was written to its standard input."""
    for _ in range(300):
        time.sleep(0.1)
        waiting = bytearray(4)
        fcntl.ioctl(write, termios.FIONREAD, waiting)
        if not int.from_bytes(waiting, sys.byteorder):
            return
    pytest.fail(f"process {pid} does not read its input")


def test_help_says_of_every_verb_what_it_does_in_a_line() -> None:
    lines = iova("--help").split("Commands:\n")[1].splitlines()
    assert len(lines) >= 8
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    assert all(len(line) <= 80 for line in lines)
