"""Programs of their own, for what happens at the end of an interpreter or of a process."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run_script(code: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run Python code; its exit status, output and what it complained about.

    Raises:
        subprocess.TimeoutExpired: it did not end.
    """
    # From Python 3.12 on a fork beside threads warns.
    options = ["-X", "faulthandler", "-W", "ignore::DeprecationWarning"]
    arguments = [sys.executable, *options, "-c", textwrap.dedent(code)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout, check=False)


def output_of(code: str, *, timeout: float = 60) -> str:
    """What a program prints that ends well and says nothing on standard error."""
    done = run_script(code, timeout=timeout)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.strip()
