"""The rig itself: what a script's end, a time limit and a kernel's death look like."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.guest import GuestError, Machine, run
from tests.e2e.kernels import kernel

LIMIT_S = 240


def test_a_script_that_fails_fails_the_run_and_its_last_lines_are_shown(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=r"status 3(?s:.*)the last words"):
        run(kernel("6.12"), "echo the last words; exit 3", tmp_path, timeout_s=LIMIT_S)


def test_a_guest_is_stopped_at_its_time_limit_and_its_last_lines_are_shown(tmp_path: Path) -> None:
    script = "echo now it hangs > /dev/kmsg; touch started; sleep 1000"
    with pytest.raises(GuestError, match=r"did not end within 30 s"):
        run(kernel("6.1"), script, tmp_path, timeout_s=30)


def test_a_kernel_that_panics_fails_the_run(tmp_path: Path) -> None:
    script = "echo now it dies; sync; echo c > /proc/sysrq-trigger; sleep 100"
    with pytest.raises(GuestError, match=r"died before(?s:.*)now it dies(?s:.*)panic"):
        run(kernel("6.1"), script, tmp_path, timeout_s=LIMIT_S)


def test_files_come_back_through_the_share_and_the_host_is_read_only(tmp_path: Path) -> None:
    probe = Path(__file__).parent / "written-by-the-guest"
    script = f"nproc > cpus; uname -r > release; if touch {probe}; then exit 1; fi"
    run(kernel("6.12"), script, tmp_path, machine=Machine(cpus=3), timeout_s=LIMIT_S)
    assert (tmp_path / "cpus").read_text() == "3\n"
    assert (tmp_path / "release").read_text().strip() == kernel("6.12").release
    assert not probe.exists()
