"""What a recorder that was killed leaves behind is removed, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.e2e import recordings
from tests.e2e.guest import run
from tests.e2e.kernels import kernel

SCRIPT = """\
T=/sys/kernel/tracing
mkdir $T/instances/somebody
echo 'p:somebody/theirs alloc_iova_fast' > $T/kprobe_events
echo 1 > $T/instances/somebody/events/somebody/enable
iova record -o killed.iovaring --duration 3000 2>/dev/null &
for ((i = 0; i < 600; i++)); do
	[ "$(ls $T/instances | wc -l)" -ge 2 ] && grep -q iova $T/dynamic_events && break
	sleep 0.5
done
sleep 2
kill -9 $!
wait $! || true
ls $T/instances > after-kill
iova record --clean > cleaned
ls $T/instances > after-clean
cat $T/dynamic_events > probes
cat $T/instances/somebody/events/somebody/theirs/enable > theirs
iova record --clean > cleaned-again
"""


@pytest.fixture(scope="module", params=["6.1", "6.12"])
def share(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a guest in which a recorder was killed with SIGKILL."""
    folder = tmp_path_factory.mktemp(f"killed-{request.param}")
    run(kernel(request.param), SCRIPT, folder, timeout_s=recordings.LIMIT_S, console=sys.stdout)
    return folder


def test_clean_removes_what_a_killed_recorder_left_and_nobody_elses(share: Path) -> None:
    assert set((share / "after-kill").read_text().split()) > {"somebody"}
    assert "removed" in (share / "cleaned").read_text()
    assert (share / "after-clean").read_text() == "somebody\n"
    assert "somebody/theirs" in (share / "probes").read_text()
    assert len((share / "probes").read_text().splitlines()) == 1
    assert (share / "theirs").read_text() == "1\n"
    assert "nothing" in (share / "cleaned-again").read_text()
