"""What recording costs: fio's requests a second in the emulator, without and with `iova record`.

    python -m benchmarks.record_cost [6.1 6.12]

Each load runs three times each way, in turns, in one boot; the medians are told. Emulated CPUs are
slow at what probes do (breakpoints, text patching), so these are no figures of a server.
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path

from tests.e2e.guest import Machine, run
from tests.e2e.kernels import BUILD, kernel

SCRIPT = """\
load nvme
sleep 1
cat > once.sh <<'X'
fio --name=x --filename=/dev/nvme0n1 --rw=randread --bs=4k --iodepth=32 --ioengine=libaio \\
    --direct=1 --numjobs=2 --time_based --runtime=4 --norandommap=1 --group_reporting \\
    --output-format=terse --terse-version=3 | cut -d';' -f8 > iops
X
for i in 1 2 3; do
    bash once.sh; echo "COST without $(cat iops)"
    iova record -o x.iovaring -- bash once.sh 2> told
    echo "COST with $(cat iops)"; tail -n 1 told
done
"""


def measure(name: str, share: Path) -> dict[str, float]:
    """Median requests a second, by way."""
    console = run(kernel(name), SCRIPT, share, machine=Machine(cpus=2), timeout_s=400)
    found = re.findall(r"COST (with|without) (\d+)", console)
    if len(found) != 6:
        raise SystemExit(f"{name}: the guest told {len(found)} figures, not 6:\n{console[-2000:]}")
    return {
        way: statistics.median(int(value) for told, value in found if told == way)
        for way in ("without", "with")
    }


def main() -> None:
    """Measure, and print a line a kernel."""
    for name in sys.argv[1:] or ["6.1", "6.12"]:
        rates = measure(name, BUILD / "record-cost")
        share = rates["with"] / rates["without"]
        print(f"{name}: {rates['without']:.0f} requests a second without, {rates['with']:.0f}"
              f" with the recorder ({share:.0%})")  # fmt: skip


if __name__ == "__main__":
    main()
