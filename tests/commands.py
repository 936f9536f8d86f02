"""Running the command as a user does."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from iova import cli_record
from iova.cli import run

COLUMNS = {"COLUMNS": "80"}


def run_iova(
    *arguments: object, cwd: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; how it ended and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "iova", *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        input=stdin,
        timeout=120,
        env=os.environ | COLUMNS,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def run_here(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same within this process: no second in which everything is loaded again.

    A user's modules are forgotten afterwards: the next test may have others of the same name.
    """
    out, err = io.StringIO(), io.StringIO()
    loaded, path = set(sys.modules), sys.path.copy()
    with (
        mock.patch.dict(os.environ, COLUMNS),
        contextlib.chdir(cwd or "."),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = _main([str(argument) for argument in arguments])
    sys.path[:] = path
    for name in set(sys.modules) - loaded if cwd else ():
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == cwd.resolve():
            del sys.modules[name]
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def _main(arguments: list[str]) -> int:
    """As ``iova.__main__`` has it."""
    return cli_record.main(arguments[1:]) if arguments[:1] == ["record"] else run(arguments)


def iova(*arguments: object, status: int = 0, cwd: Path | None = None) -> str:
    """Run the command here; its output, after its exit status was what it should be.

    Of a command that failed it is what it said on standard error.
    """
    done = run_here(*arguments, cwd=cwd)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status in (0, 1) else done.stderr


def assert_refused(*arguments: object, told: str, cwd: Path) -> None:
    """The command ends with an error that says so, and leaves this empty folder empty."""
    output = iova(*arguments, status=2, cwd=cwd)
    assert told in output
    assert "Traceback" not in output
    assert list(cwd.iterdir()) == []
